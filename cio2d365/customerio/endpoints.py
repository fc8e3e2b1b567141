"""The App API's read operations as data (`customerio-api 2.4, 10 to 16`). Nothing here can write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """One read operation: `rows` is the root key of its list, `limit` the largest page (None = not paged)."""

    path: str
    rows: str
    limit: int | None = None
    method: str = "GET"


ENDPOINTS = {
    "workspaces": Endpoint("/v1/workspaces", "workspaces"),
    "people": Endpoint("/v1/customers", "identifiers", 1000, "POST"),
    "attributes": Endpoint("/v1/customers/attributes", "customers", method="POST"),
    "person_relationships": Endpoint("/v1/customers/{id}/relationships", "cio_relationships", 100),
    "object_types": Endpoint("/v1/object_types", "types"),
    "objects": Endpoint("/v1/objects", "identifiers", 1000, "POST"),
    "object": Endpoint("/v1/objects/{type}/{id}/attributes", "object"),
    "object_relationships": Endpoint("/v1/objects/{type}/{id}/relationships", "cio_relationships", 100),
    "activities": Endpoint("/v1/activities", "activities", 100),
    "segments": Endpoint("/v1/segments", "segments"),
    "segment_count": Endpoint("/v1/segments/{id}/customer_count", "count"),
    "campaigns": Endpoint("/v1/campaigns", "campaigns"),
    "newsletters": Endpoint("/v1/newsletters", "newsletters", 100),
    "broadcasts": Endpoint("/v1/broadcasts", "broadcasts"),
    "transactional": Endpoint("/v1/transactional", "messages"),
    "transactional_contents": Endpoint("/v1/transactional/{id}/contents", "contents"),
}

EVERYBODY = {"and": [{"attribute": {"field": "cio_id", "operator": "exists"}}]}
IDS_PER_ATTRIBUTES_CALL = 100


def all_objects(type_id: str) -> dict[str, object]:
    """Filter that every object of a type meets (`customerio-api 6`)."""
    return {"and": [{"object_attribute": {"type_id": type_id, "field": "object_id", "operator": "exists"}}]}
