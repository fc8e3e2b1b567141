from typing import Any

import httpx

from cio2d365.sim.customerio import Workspace

from .test_people import pages


def every(type_id: str) -> dict[str, Any]:
    rule = {"type_id": type_id, "field": "object_id", "operator": "exists"}
    return {"object_type_id": type_id, "filter": {"and": [{"object_attribute": rule}]}}


def test_the_types_are_awkward(api: httpx.Client) -> None:
    types = api.get("/v1/object_types").json()["types"]
    assert [(t["id"], t["name"], t["enabled"]) for t in types] == [
        ("1", "Contracts", True),
        ("2", "Companies", True),
        ("3", "Loyalty programs", False),
    ]


def test_pages_repeat_the_last_object_of_the_page_before_and_still_hold_all(api: httpx.Client) -> None:
    found = pages(api, "/v1/objects", "identifiers", every("1"), limit=150)
    ids = [[row["cio_object_id"] for row in page] for page in found]
    assert len(ids) == 3
    assert ids[0][-1] == ids[1][0]
    assert ids[1][-1] == ids[2][0]
    assert len({one for page in ids for one in page}) == 400


def test_an_object_is_read_by_either_identifier(api: httpx.Client, sample: Workspace) -> None:
    thing = sample.thing("2", "a/b & co")
    assert thing is not None
    by_id = api.get("/v1/objects/2/a%2Fb%20%26%20co/attributes").json()["object"]
    by_cio = api.get(f"/v1/objects/2/{thing.cio_object_id}/attributes", params={"id_type": "cio_object_id"}).json()
    assert by_id == by_cio["object"]
    assert by_id["identifiers"] == {"object_id": "a/b & co", "cio_object_id": thing.cio_object_id}
    assert by_id["attributes"]["employees"] == str(thing.attributes["employees"])


def test_an_object_of_another_type_is_not_found(api: httpx.Client) -> None:
    assert api.get("/v1/objects/1/acc_1000/attributes").status_code == 404
    assert api.get("/v1/objects/9/acc_1000/attributes").status_code == 404


def test_relationship_attributes_come_from_the_person_side_only(api: httpx.Client, sample: Workspace) -> None:
    tie = next(tie for tie in sample.ties() if sample.people[tie.cio_id].id and tie.attributes)
    thing, person = sample.things[tie.cio_object_id], sample.people[tie.cio_id]
    of_person = api.get(f"/v1/customers/{person.id}/relationships").json()["cio_relationships"]
    of_thing = api.get(f"/v1/objects/{thing.type_id}/{thing.object_id}/relationships").json()["cio_relationships"]
    mine = next(row for row in of_person if row["identifiers"]["cio_object_id"] == tie.cio_object_id)
    assert mine["attributes"]["role"] == tie.attributes["role"]
    assert any(row["identifiers"]["cio_id"] == tie.cio_id for row in of_thing)
    assert all("attributes" not in row for row in of_thing)


def test_a_disabled_type_still_answers_and_says_so(api: httpx.Client) -> None:
    rows = api.get("/v1/objects/3/1/relationships").json()["cio_relationships"]
    assert [row["object_type_disabled"] for row in rows] == [True]


def test_an_empty_list_is_null(api: httpx.Client, sample: Workspace) -> None:
    lonely = next(t for t in sample.things.values() if not list(sample.ties_of_thing(t.cio_object_id)))
    answer = api.get(f"/v1/objects/{lonely.type_id}/{lonely.object_id}/relationships").json()
    assert answer == {"cio_relationships": None, "next": ""}
