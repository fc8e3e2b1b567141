"""Every read operation of the published specification answers, with the keys that its example has."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cio2d365.sim.customerio import Workspace

SHAPES: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "shapes.json").read_text(encoding="utf-8"))
BODIES: dict[str, Any] = {
    "/v1/customers": {"filter": {"attribute": {"field": "email", "operator": "exists"}}},
    "/v1/customers/attributes": {"ids": ["007"]},
    "/v1/objects": {
        "object_type_id": "2",
        "filter": {"object_attribute": {"field": "object_id", "operator": "exists"}},
    },
    "/v1/exports/customers": {"filters": {"attribute": {"field": "email", "operator": "exists"}}},
    "/v1/exports/deliveries": {"campaign_id": 1},
}
VALUES = {
    "campaign_id": "1",
    "broadcast_id": "1",
    "newsletter_id": "12",
    "transactional_id": "1",
    "trigger_id": "1",
    "segment_id": "1",
    "sender_id": "7",
    "collection_id": "1",
    "webhook_id": "4",
    "object_type_id": "2",
    "language": "de",
    "test_group_id": "0",
    "content_id": "1024",
    "suppression_type": "bounces",
    "email_address": "bounces%40bounce.example",
}
QUERY = {"start": "1793000000", "end": "1793491200", "res": "days", "version": "2", "email": "seven@agents.example"}
# What an example shows and our answer rightly lacks: free-form content, keys that only some rows have, and the
# `customer` wrapper that live workspaces do not send.
FREE = {
    *("headers", "data", "attributes", "timestamps", "customer", "metrics", "devices", "msg_templates"),
    *("trigger_segment_ids", "filter_segment_ids", "delivery_id", "delivery_type"),
}
MORE = {
    "GET /v1/collections/{collection_id}/content": "content is free-form",
    "GET /v1/imports/{import_id}": "the sample has no imports; 404 is tested",
    "GET /v1/objects/{object_type_id}/{object_id}/attributes": "the example shows a person; tested in test_objects",
}


def filled(template: str, sample: Workspace) -> str:
    person = next(p for p in sample.people.values() if list(sample.ties_of_person(p.cio_id)) and p.id)
    thing = next(t for t in sample.things.values() if t.type_id == "2" and list(sample.ties_of_thing(t.cio_object_id)))
    action = "910" if "/broadcasts/" in template else "100"
    known = {**VALUES, "customer_id": str(person.id), "object_id": thing.object_id, "action_id": action}
    known |= {"message_id": sample.deliveries[0].id.replace("=", "%3D")}
    known["language"] = "pl" if "transactional" in template else "de"
    for name, value in known.items():
        template = template.replace("{" + name + "}", value)
    return template


def missing(expected: Any, got: Any, where: str = "") -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in set(expected) - FREE:
            if key not in got:
                yield f"{where}.{key}"
            else:
                yield from missing(expected[key], got[key], f"{where}.{key}")
    elif isinstance(expected, list) and expected and isinstance(got, list) and got:
        yield from missing(expected[0], got[0], where + "[]")
    elif isinstance(expected, dict):
        yield where


@pytest.fixture(scope="module")
def export_id(api: httpx.Client) -> str:
    body = {"filters": {"attribute": {"field": "email", "operator": "exists"}}}
    number = api.post("/v1/exports/customers", json=body).json()["export"]["id"]
    for _ in range(3):
        api.get(f"/v1/exports/{number}")
    return str(number)


@pytest.mark.parametrize("operation", sorted(set(SHAPES) - set(MORE)))
def test_the_published_operation_answers_with_the_published_keys(
    operation: str, api: httpx.Client, export_id: str, sample: Workspace
) -> None:
    method, _, template = operation.partition(" ")
    url = filled(template.replace("{export_id}", export_id), sample)
    query = QUERY if "metrics" in template or template == "/v1/customers" else None
    answer = api.request(method, url, params=query if method == "GET" else None, json=BODIES.get(template))
    assert answer.status_code == 200, answer.text
    assert list(missing(SHAPES[operation], answer.json())) == []


def test_an_unknown_import_is_not_found(api: httpx.Client) -> None:
    assert api.get("/v1/imports/1").status_code == 404
