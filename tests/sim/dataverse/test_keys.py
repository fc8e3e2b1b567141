from __future__ import annotations

import httpx
import pytest

from .build import bulk, code, column, contact, key, label, message, table


@pytest.fixture
def keyed(api: httpx.Client) -> httpx.Client:
    table(api)
    assert column(api, "String", "cio_id", MaxLength=450).status_code == 204
    key(api, "cio_id")
    return api


def statuses(api: httpx.Client, looks: int) -> list[str]:
    url = "EntityDefinitions(LogicalName='cio_event')/Keys?$select=SchemaName,EntityKeyIndexStatus"
    return [api.get(url).json()["value"][0]["EntityKeyIndexStatus"] for _ in range(looks)]


def test_a_key_walks_from_pending_to_active(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"key_seconds": 1000.0})
    table(api)
    column(api, "String", "cio_id")
    assert key(api, "cio_id", active=False).status_code == 204
    assert statuses(api, 4) == ["Pending", "InProgress", "Active", "Active"]


def test_a_key_that_is_not_active_cannot_be_used(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"key_seconds": 1000.0})
    table(api)
    column(api, "String", "cio_id")
    key(api, "cio_id", active=False)
    response = api.patch("cio_events(cio_id='a')", json={"cio_name": "x"})
    assert (response.status_code, code(response)) == (400, "0x80060890")


def test_a_key_becomes_active_by_time_alone(api: httpx.Client, control: httpx.Client) -> None:
    control.post("clock", json={"virtual": True})
    table(api)
    column(api, "String", "cio_id")
    key(api, "cio_id", active=False)
    control.post("clock", json={"advance": 2})
    assert api.patch("cio_events(cio_id='a')", json={"cio_name": "x"}).status_code == 204


def test_duplicates_in_the_rows_make_a_key_fail_and_it_can_be_reactivated(api: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_id")
    bulk(api, "cio_events", "cio_event", "CreateMultiple", [{"cio_id": "Émile"}, {"cio_id": "emile "}])
    key(api, "cio_id", active=False)
    assert statuses(api, 3)[-1] == "Failed"
    row = api.get("cio_events?$filter=cio_id eq 'emile'&$top=1").json()["value"][0]["cio_eventid"]
    api.delete(f"cio_events({row})")
    body = {"EntityLogicalName": "cio_event", "EntityKeyLogicalName": "cio_key"}
    assert api.post("ReactivateEntityKey", json=body).status_code == 204
    assert statuses(api, 3)[-1] == "Active"
    assert code(api.post("ReactivateEntityKey", json=body)) == "0x80060897"


def test_uniqueness_ignores_case_accents_and_trailing_spaces(keyed: httpx.Client) -> None:
    assert keyed.post("cio_events", json={"cio_id": "Ångström"}).status_code == 204
    for same in ("angstrom", "ANGSTRÖM  "):
        response = keyed.post("cio_events", json={"cio_id": same})
        assert (response.status_code, code(response)) == (412, "0x80060892")
    assert keyed.get("cio_events(cio_id='ANGSTROM')").status_code == 200


def test_rows_without_a_key_value_may_be_many(keyed: httpx.Client) -> None:
    assert [keyed.post("cio_events", json={"cio_name": "n"}).status_code for _ in range(2)] == [204, 204]


@pytest.mark.parametrize("char", list("/<>*%&:\\?+"))
def test_values_with_special_characters_are_stored_but_not_addressed(keyed: httpx.Client, char: str) -> None:
    value = f"a{char}b"
    assert keyed.post("cio_events", json={"cio_id": value}).status_code == 204
    encoded = "".join(f"%{byte:02X}" for byte in value.encode())
    response = keyed.get(f"cio_events(cio_id='{encoded}')")
    assert response.status_code == 400


def test_a_quote_in_a_key_value_is_doubled(keyed: httpx.Client) -> None:
    keyed.post("cio_events", json={"cio_id": "O'Neil", "cio_name": "found"})
    assert keyed.get("cio_events(cio_id='O''Neil')").json()["cio_name"] == "found"


def test_an_unknown_key_value_is_404_and_an_undefined_key_400(keyed: httpx.Client) -> None:
    missing = keyed.get("cio_events(cio_id='none')")
    assert (missing.status_code, code(missing)) == (404, "0x80060891")
    undefined = keyed.get("cio_events(cio_name='x')")
    assert (undefined.status_code, code(undefined)) == (400, "0x80060890")
    unknown = keyed.get("cio_events(cio_nothing='x')")
    assert "The key in the request URI is not valid" in message(unknown)


def test_on_create_the_key_value_of_the_body_wins_and_on_update_it_is_dropped(keyed: httpx.Client) -> None:
    keyed.patch("cio_events(cio_id='url')", json={"cio_id": "body", "cio_name": "created"})
    assert keyed.get("cio_events(cio_id='url')").status_code == 404
    keyed.patch("cio_events(cio_id='body')", json={"cio_id": "other", "cio_name": "updated"})
    assert keyed.get("cio_events(cio_id='body')").json()["cio_name"] == "updated"


def test_keys_of_lookup_and_several_columns_are_addressed_by_value(api: httpx.Client) -> None:
    table(api)
    relation = {
        "SchemaName": "cio_contact_event",
        "ReferencedEntity": "contact",
        "ReferencingEntity": "cio_event",
        "Lookup": {"SchemaName": "cio_ContactId", "DisplayName": label("Contact")},
    }
    assert api.post("RelationshipDefinitions", json=relation).status_code == 204
    column(api, "Integer", "cio_number")
    key(api, "cio_contactid", "cio_number")
    person = contact(api)
    row = {"cio_ContactId@odata.bind": f"/contacts({person})", "cio_number": 5, "cio_name": "both"}
    assert api.post("cio_events", json=row).status_code == 204
    found = api.get(f"cio_events(_cio_contactid_value={person},cio_number=5)")
    assert found.json()["cio_name"] == "both"
    assert code(api.post("cio_events", json=row)) == "0x80060892"


def test_limits_of_keys(api: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_long", MaxLength=451)
    column(api, "Memo", "cio_memo")
    assert code(key(api, "cio_long", active=False)) == "0x80060895"
    assert code(key(api, "cio_memo", active=False)) == "0x8006088f"
    assert code(key(api, "cio_nothing", active=False)) == "0x8005e009"
    for number in range(11):
        column(api, "Integer", f"cio_n{number}")
        body = {"SchemaName": f"cio_key{number}", "KeyAttributes": [f"cio_n{number}"]}
        response = api.post("EntityDefinitions(LogicalName='cio_event')/Keys", json=body)
    assert (response.status_code, code(response)) == (400, "0x8006088f")


def test_a_key_name_and_a_set_of_columns_are_taken_only_once(keyed: httpx.Client) -> None:
    assert code(key(keyed, "cio_name", active=False)) == "0x80060893"
    body = {"SchemaName": "cio_other", "KeyAttributes": ["cio_id"]}
    assert code(keyed.post("EntityDefinitions(LogicalName='cio_event')/Keys", json=body)) == "0x80060894"


def test_a_deleted_key_frees_its_values_and_its_columns(keyed: httpx.Client) -> None:
    keyed.post("cio_events", json={"cio_id": "a"})
    column_url = "EntityDefinitions(LogicalName='cio_event')/Attributes(LogicalName='cio_id')"
    assert code(keyed.delete(column_url)) == "0x8004f01f"
    key_url = "EntityDefinitions(LogicalName='cio_event')/Keys"
    identity = keyed.get(key_url).json()["value"][0]["MetadataId"]
    assert keyed.delete(f"{key_url}({identity})").status_code == 204
    assert keyed.post("cio_events", json={"cio_id": "a"}).status_code == 204
    assert keyed.delete(column_url).status_code == 204
