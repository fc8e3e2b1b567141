from __future__ import annotations

from typing import Any

import httpx
import pytest

from .build import CRM, bulk, contact, label, message, new_id, publisher, table

TRACK = {"Prefer": "odata.track-changes"}


def first_read(api: httpx.Client, url: str = "contacts?$select=lastname") -> tuple[list[dict[str, Any]], str]:
    rows: list[dict[str, Any]] = []
    page = api.get(url, headers={"Prefer": "odata.track-changes,odata.maxpagesize=2"}).json()
    rows += page["value"]
    while "@odata.nextLink" in page:
        assert "@odata.deltaLink" not in page
        page = api.get(page["@odata.nextLink"], headers={"Prefer": "odata.maxpagesize=2"}).json()
        rows += page["value"]
    return rows, page["@odata.deltaLink"]


def test_a_first_read_ends_with_a_delta_link(api: httpx.Client) -> None:
    ids = {contact(api) for _ in range(5)}
    rows, link = first_read(api)
    assert {row["contactid"] for row in rows} == ids
    assert "$select=lastname&$deltatoken=" in link


def test_a_delta_link_tells_what_changed_and_gives_the_next_one(api: httpx.Client, origin: str) -> None:
    kept, changed, gone = (contact(api) for _ in range(3))
    _, link = first_read(api)
    api.patch(f"contacts({changed})", json={"lastname": "Other"})
    api.delete(f"contacts({gone})")
    added = contact(api)
    page = api.get(link).json()
    assert page["@odata.context"] == f"{origin}/api/data/v9.2/$metadata#contacts(lastname)/$delta"
    present = [row["contactid"] for row in page["value"] if "contactid" in row]
    assert present == [changed, added]
    assert kept not in present
    (deleted,) = (row for row in page["value"] if "contactid" not in row)
    assert (deleted["id"], deleted["reason"]) == (gone, "deleted")
    assert deleted["@odata.context"].endswith("#contacts/$deletedEntity")
    assert api.get(page["@odata.deltaLink"]).json()["value"] == []


def test_a_change_between_two_pages_of_the_first_read_is_not_lost(api: httpx.Client) -> None:
    rows = [contact(api) for _ in range(3)]
    page = api.get("contacts", headers={"Prefer": "odata.track-changes,odata.maxpagesize=2"}).json()
    early = page["value"][0]["contactid"]
    api.patch(f"contacts({early})", json={"lastname": "Late"})
    last = api.get(page["@odata.nextLink"], headers={"Prefer": "odata.maxpagesize=2"}).json()
    assert len(page["value"]) + len(last["value"]) == len(rows)
    assert [row["contactid"] for row in api.get(last["@odata.deltaLink"]).json()["value"]] == [early]


def test_many_changes_come_in_pages_and_deletions_last(api: httpx.Client) -> None:
    gone = contact(api)
    _, link = first_read(api)
    bulk(api, "contacts", "contact", "CreateMultiple", [{"lastname": "n"}] * 5)
    api.delete(f"contacts({gone})")
    sizes, page = [], api.get(link, headers={"Prefer": "odata.maxpagesize=3"}).json()
    while "@odata.nextLink" in page:
        sizes.append(len(page["value"]))
        page = api.get(page["@odata.nextLink"], headers={"Prefer": "odata.maxpagesize=3"}).json()
    assert [*sizes, len(page["value"])] == [3, 3]
    assert page["value"][-1]["id"] == gone


def test_a_row_that_was_deleted_and_created_again_is_no_deletion(api: httpx.Client) -> None:
    row = contact(api)
    _, link = first_read(api)
    api.delete(f"contacts({row})")
    contact(api, contactid=row)
    assert [found.get("contactid") for found in api.get(link).json()["value"]] == [row]


@pytest.mark.parametrize("option", ["$filter=lastname eq 'x'", "$orderby=lastname", "$top=3", "$expand=ownerid"])
def test_other_options_cannot_be_tracked(api: httpx.Client, option: str) -> None:
    response = api.get(f"contacts?{option}", headers=TRACK)
    assert response.status_code == 400
    assert "change tracking" in message(response)


def test_a_broken_delta_token_is_refused(api: httpx.Client) -> None:
    assert api.get("contacts?$deltatoken=yesterday").status_code == 400


def test_a_new_table_is_tracked_when_its_definition_says_so(api: httpx.Client) -> None:
    table(api)
    refused = api.get("cio_events", headers=TRACK)
    assert (refused.status_code, message(refused)) == (
        400,
        "Change tracking is not enabled for the entity 'cio_event'.",
    )
    definition = api.get("EntityDefinitions(LogicalName='cio_event')").json()
    api.put(f"EntityDefinitions({definition['MetadataId']})", json={**definition, "ChangeTrackingEnabled": True})
    assert api.get("cio_events", headers=TRACK).status_code == 200


def test_tracking_can_be_on_from_the_start(api: httpx.Client) -> None:
    publisher(api)
    primary = {"@odata.type": f"{CRM}StringAttributeMetadata", "SchemaName": "cio_name", "IsPrimaryName": True}
    body = {
        "SchemaName": "cio_thing",
        "OwnershipType": "UserOwned",
        "DisplayName": label("Thing"),
        "ChangeTrackingEnabled": True,
        "Attributes": [{**primary, "MaxLength": 50}],
    }
    new_id(api.post("EntityDefinitions", json=body))
    assert "@odata.deltaLink" in api.get("cio_things", headers=TRACK).json()
