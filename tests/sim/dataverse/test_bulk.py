from __future__ import annotations

import uuid

import httpx
import pytest

from .build import CRM, bulk, code, column, contact, key, message, table, values


@pytest.fixture
def events(api: httpx.Client) -> httpx.Client:
    table(api)
    assert column(api, "String", "cio_id", MaxLength=100).status_code == 204
    key(api, "cio_id")
    return api


def test_create_multiple_returns_ids_in_the_order_of_the_targets(api: httpx.Client) -> None:
    chosen = str(uuid.uuid4())
    response = bulk(api, "contacts", "contact", "CreateMultiple", [{"lastname": "A"}, {"contactid": chosen}])
    assert response.status_code == 200
    ids = response.json()["Ids"]
    assert ids[1] == chosen
    assert api.get(f"contacts({ids[0]})").json()["lastname"] == "A"


@pytest.mark.parametrize("verb", ["CreateMultiple", "UpsertMultiple"])
def test_one_bad_row_rolls_back_the_whole_request(api: httpx.Client, verb: str) -> None:
    rows = [{"contactid": str(uuid.uuid4()), "lastname": "ok"} for _ in range(20)]
    rows[13]["lastname"] = "x" * 51
    response = bulk(api, "contacts", "contact", verb, rows)
    assert (response.status_code, code(response)) == (400, "0x80044331")
    assert api.get("contacts").json()["value"] == []


def test_a_bad_row_rolls_back_updates_too(api: httpx.Client) -> None:
    first, second = contact(api), contact(api)
    rows = [{"contactid": first, "lastname": "new"}, {"contactid": second, "lastname": "x" * 51}]
    assert bulk(api, "contacts", "contact", "UpdateMultiple", rows).status_code == 400
    assert set(values(api.get("contacts"), "lastname")) == {"Bell"}


def test_continue_on_error_has_no_effect_on_a_bulk_message(api: httpx.Client) -> None:
    api.headers["Prefer"] = "odata.continue-on-error"
    rows = [{"lastname": "ok"}, {"lastname": "x" * 51}]
    assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 400
    assert api.get("contacts").json()["value"] == []


def test_upsert_and_update_answer_204_and_say_nothing(api: httpx.Client) -> None:
    row = {"contactid": str(uuid.uuid4()), "lastname": "A"}
    for verb in ("UpsertMultiple", "UpsertMultiple", "UpdateMultiple"):
        response = bulk(api, "contacts", "contact", verb, [row])
        assert (response.status_code, response.content) == (204, b"")
        assert "OData-EntityId" not in response.headers
    assert len(api.get("contacts").json()["value"]) == 1


def test_every_target_needs_its_type(api: httpx.Client) -> None:
    response = api.post(f"contacts/{CRM}CreateMultiple", json={"Targets": [{"lastname": "A"}]})
    assert response.status_code == 400
    assert "@odata.type" in message(response)
    other = {"@odata.type": f"{CRM}lead", "lastname": "A"}
    assert api.post(f"contacts/{CRM}CreateMultiple", json={"Targets": [other]}).status_code == 400


def test_the_same_primary_key_twice_fails_an_upsert(api: httpx.Client) -> None:
    row = {"contactid": str(uuid.uuid4()), "lastname": "A"}
    response = bulk(api, "contacts", "contact", "UpsertMultiple", [row, row])
    assert response.status_code == 412
    assert api.get("contacts").json()["value"] == []


def test_the_same_alternate_key_twice_fails_an_upsert_even_in_other_case(events: httpx.Client) -> None:
    rows = [{"@odata.id": f"cio_events(cio_id='{value}')", "cio_name": "n"} for value in ("abc", "ABC")]
    response = bulk(events, "cio_events", "cio_event", "UpsertMultiple", rows)
    assert (response.status_code, code(response)) == (412, "0x80060892")


def test_in_update_multiple_the_first_of_two_wins(api: httpx.Client) -> None:
    row = contact(api)
    rows = [{"contactid": row, "lastname": "first"}, {"contactid": row, "lastname": "second"}]
    assert bulk(api, "contacts", "contact", "UpdateMultiple", rows).status_code == 204
    assert api.get(f"contacts({row})").json()["lastname"] == "first"


def test_upsert_by_alternate_key_creates_then_updates(events: httpx.Client) -> None:
    for name in ("one", "two"):
        rows = [{"@odata.id": "cio_events(cio_id='k-1')", "cio_name": name}]
        assert bulk(events, "cio_events", "cio_event", "UpsertMultiple", rows).status_code == 204
    found = events.get("cio_events").json()["value"]
    assert [(row["cio_id"], row["cio_name"]) for row in found] == [("k-1", "two")]


def test_a_key_column_in_id_and_body_is_refused_only_for_new_rows(events: httpx.Client) -> None:
    row = {"@odata.id": "cio_events(cio_id='k')", "cio_id": "k", "cio_name": "n"}
    refused = bulk(events, "cio_events", "cio_event", "UpsertMultiple", [row])
    assert (refused.status_code, code(refused)) == (400, "0x80040216")
    bulk(events, "cio_events", "cio_event", "CreateMultiple", [{"cio_id": "k"}])
    assert bulk(events, "cio_events", "cio_event", "UpsertMultiple", [row]).status_code == 204


def test_updating_a_missing_row_fails(api: httpx.Client) -> None:
    response = bulk(api, "contacts", "contact", "UpdateMultiple", [{"contactid": str(uuid.uuid4())}])
    assert (response.status_code, code(response)) == (404, "0x80040217")


@pytest.mark.parametrize(("set_name", "kind"), [("annotations", "annotation"), ("listmembers", "listmember")])
def test_some_tables_take_no_bulk_messages(api: httpx.Client, set_name: str, kind: str) -> None:
    response = bulk(api, set_name, kind, "CreateMultiple", [{}])
    assert (response.status_code, code(response)) == (400, "0x80040800")


def test_delete_multiple_does_not_exist_for_standard_tables(api: httpx.Client) -> None:
    response = bulk(api, "contacts", "contact", "DeleteMultiple", [{"contactid": contact(api)}])
    assert response.status_code == 501
    assert message(response) == "DeleteMultiple has not yet been implemented."


def test_support_for_bulk_messages_can_be_asked_for(api: httpx.Client) -> None:
    def supported(name: str, kind: str) -> bool:
        query = "sdkmessageid/name eq @m and primaryobjecttypecode eq @t"
        response = api.get(f"sdkmessagefilters?$select=sdkmessagefilterid&$filter={query}&@m='{name}'&@t='{kind}'")
        return bool(response.json()["value"])

    table(api)
    assert supported("CreateMultiple", "contact")
    assert supported("UpdateMultiple", "cio_event")
    assert not supported("CreateMultiple", "annotation")
    assert not supported("UpsertMultiple", "contact")


def test_the_journal_knows_what_was_committed(api: httpx.Client, control: httpx.Client) -> None:
    rows = [{"contactid": str(uuid.uuid4()), "lastname": "A"} for _ in range(3)]
    bulk(api, "contacts", "contact", "UpsertMultiple", rows[:2])
    bulk(api, "contacts", "contact", "UpsertMultiple", rows)
    rows[0]["lastname"] = "x" * 51
    bulk(api, "contacts", "contact", "UpsertMultiple", rows)
    committed = [entry["committed"] for entry in control.get("journal").json()]
    assert committed == [{"contact": {"created": 2}}, {"contact": {"created": 1, "updated": 2}}, {}]
