"""Requests as values: what is sent, to which row, and what is refused before it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest

from cio2d365.dataverse import addresses, requests
from cio2d365.dataverse.options import WriteOptions
from cio2d365.errors import (
    Conflict,
    InputError,
    OutcomeUnknown,
    RequestRejected,
    SchemaConflict,
    SettingsError,
    Terminal,
    Transient,
)
from cio2d365.tables import Key, Lookup, Table
from cio2d365.transport import Request
from tests.dataverse.scripted import ACCOUNT, CONTACT, ORIGIN, Organisation, Script, guid, organisation, refused

ROWS = [{"contactid": guid(1), "lastname": "a"}, {"contactid": guid(2), "lastname": "b"}]


def body(request: Request) -> Any:
    return orjson.loads(request.body or b"null")


# --- values stay values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["O'Neil", "x' or 1 eq 1 or 'a' eq 'a", "a&b=c", "50%", "a+b", "#", "é", "a\\b", "''"]
)
def test_values_in_a_filter_stay_values(value: str) -> None:
    request = requests.get("contacts", {"$filter": f"lastname eq {requests.text(value)}"})
    query = httpx.URL(f"{ORIGIN}{request.path}").params
    assert dict(query) == {"$filter": "lastname eq '" + value.replace("'", "''") + "'"}


@pytest.mark.parametrize("row_id", ["1", "x)/y", f"{{{guid(1)}}}", "", f"{guid(1)}\n", f" {guid(1)}"])
def test_what_is_no_guid_is_no_row(row_id: str) -> None:
    with pytest.raises(InputError, match="not the id of a row"):
        requests.delete_row(CONTACT, row_id)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("abc", "'abc'"), ("a b", "'a%20b'"), ("O'Neil", "'O''Neil'"), ("a#b", "'a%23b'"), ("é", "'%C3%A9'"),
        ("a,b=(c)", "'a,b=(c)'"), ('"', "'%22'"), (7, "7"), (-7, "-7"), (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"), (UUID(guid(3)), guid(3)), ("\r\n", "'%0D%0A'"),
    ],
)  # fmt: skip
def test_key_values_are_encoded_for_the_address(value: addresses.KeyValue, shown: str) -> None:
    assert addresses.path(CONTACT, {"cio_source_key": value}) == f"contacts(cio_source_key={shown})"


@pytest.mark.parametrize("character", "/<>*%&:\\?+")
def test_a_key_value_that_the_service_cannot_address_is_refused_by_its_character_and_not_shown(character: str) -> None:
    with pytest.raises(InputError) as caught:
        addresses.path(CONTACT, {"cio_source_key": f"secret{character}x"})
    assert f"cio_source_key: the key value holds {character}," in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", True, 1.5, None, b"x"])
def test_what_cannot_be_a_key_value_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="cio_source_key"):
        addresses.path(CONTACT, {"cio_source_key": value})


@pytest.mark.parametrize("columns", [{"lastname": "x"}, {"cio_source_key": "x", "lastname": "y"}, {}])
def test_columns_that_are_no_key_of_the_table_are_refused(columns: dict[str, str]) -> None:
    with pytest.raises(SchemaConflict, match="no active alternate key"):
        addresses.path(CONTACT, columns)


def test_a_key_whose_index_is_not_built_yet_is_refused() -> None:
    table = Table("x", "xs", "xid", "", keys=(Key("k", ("a",), status="Pending"),))
    with pytest.raises(SchemaConflict):
        addresses.path(table, {"a": "b"})


def test_a_key_of_several_columns_and_a_lookup() -> None:
    table = Table("x", "xs", "xid", "", keys=(Key("k", ("a", "parent")),))
    values: addresses.KeyValues = {"a": "b", "_parent_value": UUID(guid(4))}
    assert addresses.path(table, values) == f"xs(a='b',_parent_value={guid(4)})"


# --- one row ----------------------------------------------------------------------------------------------------------


def test_each_write_says_what_it_may_do_to_a_row_that_is_or_is_not_there() -> None:
    row, values = guid(1), {"lastname": None}
    create = requests.create_row(CONTACT, row, values)
    update = requests.update_row(CONTACT, row, values)
    guarded = requests.update_row(CONTACT, row, values, 'W/"7"')
    upsert = requests.upsert_row(CONTACT, row, values)
    assert [r.method for r in (create, update, guarded, upsert)] == ["PATCH"] * 4
    assert (create.headers["If-None-Match"], update.headers["If-Match"]) == ("*", "*")
    assert guarded.headers["If-Match"] == 'W/"7"'
    assert not {"If-Match", "If-None-Match"} & set(upsert.headers)
    assert [r.repeatable for r in (create, update, guarded, upsert)] == [False, True, False, True]


def test_an_upsert_by_key_keeps_the_key_out_of_the_values() -> None:
    request = requests.upsert_row(CONTACT, {"cio_source_key": "id x"}, {"lastname": "a"})
    assert request.path.endswith("/contacts(cio_source_key='id%20x')")
    assert body(request) == {"lastname": "a"}
    with pytest.raises(InputError, match="cio_source_key must be in the address only"):
        requests.upsert_row(CONTACT, {"cio_source_key": "x"}, {"cio_source_key": "y"})


def test_a_lookup_is_bound_by_a_name_that_the_table_has() -> None:
    request = requests.bind_lookup(CONTACT, guid(1), "parentcustomerid_account", ACCOUNT, guid(2))
    assert body(request) == {"parentcustomerid_account@odata.bind": f"/accounts({guid(2)})"}
    assert request.headers["If-Match"] == "*"
    with pytest.raises(InputError, match="case-sensitive"):
        requests.bind_lookup(CONTACT, guid(1), "parentcustomerid_Account", ACCOUNT, guid(2))


def test_a_lookup_knows_where_it_may_point() -> None:
    lookup = Lookup("parentcustomerid", (("account", "parentcustomerid_account"),))
    assert lookup.navigation("account") == "parentcustomerid_account"
    with pytest.raises(KeyError):
        lookup.navigation("lead")


def test_a_conflict_carries_the_words_of_the_server() -> None:
    script = Script(refused(412, "0x80060892", "A record with matching key values already exists."))
    with pytest.raises(Conflict) as caught:
        script.client.send(requests.create_row(CONTACT, guid(1), {}))
    assert (caught.value.status, caught.value.code) == (412, 0x80060892)
    assert caught.value.text == "A record with matching key values already exists."


def test_a_row_without_its_version_is_an_error() -> None:
    script = Script(httpx.Response(200, json={"lastname": "a"}))
    with pytest.raises(Terminal, match="not a row with its version"):
        script.client.stored(requests.row(CONTACT, guid(1), ["lastname"]))


def test_a_write_whose_answer_does_not_parse_has_happened_and_is_not_sent_again() -> None:
    write = requests.with_representation(requests.update_row(CONTACT, guid(1), {}), ["lastname"])
    script = Script(httpx.Response(200, content=b'{"lastn'))
    with pytest.raises(OutcomeUnknown, match="not JSON"):
        script.client.stored(write)
    with pytest.raises(Transient, match="not JSON"):
        Script(httpx.Response(200, content=b"<html>")).client.stored(requests.row(CONTACT, guid(1), []))


# --- many rows --------------------------------------------------------------------------------------------------------


def test_a_create_is_never_repeated_blindly_and_the_others_may_be() -> None:
    assert not requests.create_multiple(CONTACT, ROWS).repeatable
    assert requests.upsert_multiple(CONTACT, ROWS).repeatable
    assert requests.update_multiple(CONTACT, ROWS).repeatable


def test_every_target_names_the_table() -> None:
    targets = body(requests.update_multiple(CONTACT, ROWS))["Targets"]
    assert [t["@odata.type"] for t in targets] == ["Microsoft.Dynamics.CRM.contact"] * 2


@pytest.mark.parametrize("build", [requests.create_multiple, requests.update_multiple, requests.upsert_multiple])
def test_rows_of_another_table_and_doubles_are_refused_before_sending(build: Any) -> None:
    stranger = {"@odata.type": "Microsoft.Dynamics.CRM.lead", "contactid": guid(3)}
    with pytest.raises(InputError, match=r"rows of Microsoft\.Dynamics\.CRM\.lead"):
        build(CONTACT, [*ROWS, stranger])
    with pytest.raises(InputError, match="1 keys stand for more than one row of contact"):
        build(CONTACT, [*ROWS, {"contactid": guid(1).upper(), "lastname": "c"}])


@pytest.mark.parametrize("build", [requests.update_multiple, requests.upsert_multiple])
def test_a_row_without_its_id_is_refused_before_sending(build: Any) -> None:
    with pytest.raises(InputError, match="every row needs its contactid"):
        build(CONTACT, [{"lastname": "a"}])


def test_rows_by_key_have_the_key_in_their_name_only() -> None:
    request = requests.upsert_multiple_by_key(CONTACT, ["cio_source_key"], [{"cio_source_key": "a b", "lastname": "x"}])
    (target,) = body(request)["Targets"]
    assert target == {
        "@odata.type": "Microsoft.Dynamics.CRM.contact", "@odata.id": "contacts(cio_source_key='a b')", "lastname": "x"
    }  # fmt: skip


@pytest.mark.parametrize("other", ["A1", "á1", "a1 "])
def test_keys_that_the_index_cannot_tell_apart_are_refused_before_sending(other: str) -> None:
    rows = [{"cio_source_key": "a1"}, {"cio_source_key": other}]
    with pytest.raises(InputError, match="more than one row"):
        requests.upsert_multiple_by_key(CONTACT, ["cio_source_key"], rows)


# --- optional headers -------------------------------------------------------------------------------------------------


def test_nothing_is_asked_for_unless_it_was_chosen() -> None:
    assert WriteOptions().headers == {}


def test_what_was_chosen_is_in_every_write() -> None:
    options = WriteOptions(guid(9), ("CustomSync", "CustomAsync"), suppress_flows=True, detect_duplicates=True)
    wanted = {
        "CallerObjectId": guid(9),
        "MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync",
        "MSCRM.SuppressCallbackRegistrationExpanderJob": "true",
        "MSCRM.SuppressDuplicateDetection": "false",
    }
    row, nav = guid(1), "parentcustomerid_account"
    writes = [
        requests.create_row(CONTACT, row, {}, options),
        requests.update_row(CONTACT, row, {}, options=options),
        requests.upsert_row(CONTACT, row, {}, options),
        requests.delete_row(CONTACT, row, options=options),
        requests.clear_value(CONTACT, row, "lastname", options),
        requests.bind_lookup(CONTACT, row, nav, ACCOUNT, guid(2), options),
        requests.unbind_lookup(CONTACT, row, nav, options),
        requests.create_multiple(CONTACT, ROWS, options),
        requests.update_multiple(CONTACT, ROWS, options),
        requests.upsert_multiple(CONTACT, ROWS, options),
        requests.upsert_multiple_by_key(CONTACT, ["cio_source_key"], [{"cio_source_key": "a"}], options),
    ]
    assert all(wanted.items() <= dict(r.headers).items() for r in writes)


@pytest.mark.parametrize("caller", ["ann@example.com", "x\r\nX: y", f"{{{guid(1)}}}"])
def test_a_caller_is_a_guid_and_never_another_header(caller: str) -> None:
    with pytest.raises(SettingsError, match="GUID"):
        WriteOptions(caller)


@pytest.mark.parametrize("asked", [False, True])
def test_the_tables_that_lookups_point_to_are_told_when_asked_for(asked: bool) -> None:
    request = requests.rows_by_id(CONTACT, [guid(1)], ["contactid"], lookup_tables=asked)
    assert ("lookuplogicalname" in request.headers["Prefer"]) is asked
    assert "odata.maxpagesize=5000" in request.headers["Prefer"]


# --- against the simulated service ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target() -> Iterator[Organisation]:
    with organisation() as found:
        yield found


def test_a_row_lives_through_all_single_writes(target: Organisation) -> None:
    client, row, company = target.client, guid(100), guid(101)
    client.send(requests.create_row(ACCOUNT, company, {"name": "c"}))
    made = client.stored(
        requests.with_representation(requests.create_row(CONTACT, row, {"lastname": "a"}), ["lastname"])
    )
    assert (made.created, made.values["lastname"]) == (True, "a")
    again = client.stored(requests.with_representation(requests.upsert_row(CONTACT, row, {"jobtitle": "j"}), []))
    assert not again.created
    client.send(requests.bind_lookup(CONTACT, row, "parentcustomerid_account", ACCOUNT, company))
    columns = ["lastname", "jobtitle", "_parentcustomerid_value"]
    bound = client.stored(requests.row(CONTACT, row, columns)).values
    assert (bound["jobtitle"], bound["_parentcustomerid_value"]) == ("j", company)
    client.send(requests.clear_value(CONTACT, row, "jobtitle"))
    client.send(requests.unbind_lookup(CONTACT, row, "parentcustomerid_account"))
    left = client.stored(requests.row(CONTACT, row, columns)).values
    assert (left["lastname"], left["jobtitle"], left["_parentcustomerid_value"]) == ("a", None, None)
    client.send(requests.delete_row(CONTACT, row))
    with pytest.raises(RequestRejected, match="0x80040217"):
        client.send(requests.row(CONTACT, row, columns))


def test_a_write_for_another_version_changes_nothing(target: Organisation) -> None:
    client, row = target.client, guid(110)
    client.send(requests.create_row(CONTACT, row, {"lastname": "a"}))
    seen = client.stored(requests.row(CONTACT, row, ["lastname"]))
    client.send(requests.update_row(CONTACT, row, {"lastname": "somebody"}))
    for late in (
        requests.update_row(CONTACT, row, {"lastname": "late"}, seen.etag),
        requests.delete_row(CONTACT, row, seen.etag),
        requests.create_row(CONTACT, row, {"lastname": "late"}),
    ):
        with pytest.raises(Conflict):
            client.send(late)
    now = client.stored(requests.row(CONTACT, row, ["lastname"]))
    assert now.values["lastname"] == "somebody"
    client.send(requests.update_row(CONTACT, row, {"lastname": "mine"}, now.etag))


def test_an_update_does_not_create(target: Organisation) -> None:
    with pytest.raises(RequestRejected, match="0x80040217"):
        target.client.send(requests.update_row(CONTACT, guid(120), {"lastname": "x"}))


def test_all_rows_of_an_update_change_or_none(target: Organisation) -> None:
    client, ids = target.client, [guid(130), guid(131)]
    client.send(requests.create_multiple(CONTACT, [{"contactid": i, "lastname": "a"} for i in ids]))
    client.send(requests.update_multiple(CONTACT, [{"contactid": i, "lastname": "b"} for i in ids]))
    bad = [{"contactid": ids[0], "lastname": "c"}, {"contactid": guid(139), "lastname": "c"}]
    with pytest.raises(RequestRejected):
        client.send(requests.update_multiple(CONTACT, bad))
    found = {r["contactid"]: r["lastname"] for r in target.rows("contact") if r["contactid"] in ids}
    assert found == dict.fromkeys(ids, "b")
