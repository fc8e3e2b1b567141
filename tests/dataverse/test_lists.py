"""Members of marketing lists: who gets on it, who cannot, and lists that take none of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import orjson
import pytest

from cio2d365.dataverse import lists, requests
from cio2d365.errors import InputError, PrivilegeError, Refused, RequestRejected
from cio2d365.tables import Table
from tests.dataverse.scripted import ACCOUNT, CONTACT, Organisation, Script, guid, organisation, refused

LIST = guid(900)
NEXT = count(901)
PEOPLE = [guid(n) for n in range(30)]


@pytest.fixture(scope="module")
def target() -> Iterator[Organisation]:
    with organisation() as found:
        rows = [{"contactid": i, "lastname": "a"} for i in PEOPLE]
        found.client.send(requests.create_multiple(CONTACT, rows))
        yield found


def new_list(target: Organisation, **values: Any) -> str:
    """A list of its own for every test: a static one for contacts, unless `values` say something else."""
    list_id = guid(next(NEXT))
    static = {"listname": "Newsletter", "createdfromcode": 2, "type": False}
    target.client.send(requests.create_row(lists.LIST, list_id, static | values))
    return list_id


def members(target: Organisation, list_id: str) -> list[str]:
    return sorted(row["entityid"] for row in target.rows("listmember") if row["listid"] == list_id)


def test_every_member_names_its_table_and_id() -> None:
    body = orjson.loads(lists.add_request(LIST, CONTACT, PEOPLE[:1]).body or b"")
    kind = "Microsoft.Dynamics.CRM."
    assert body == {
        "List": {"@odata.type": f"{kind}list", "listid": LIST},
        "Members": [{"@odata.type": f"{kind}contact", "contactid": PEOPLE[0]}],
    }
    with pytest.raises(InputError):
        lists.add_request(LIST, CONTACT, ["ann@example.com"])


def test_rows_get_on_a_list_in_chunks_and_once(target: Organisation) -> None:
    wanted, before = new_list(target), len(target.sent())
    assert lists.add(target.client, wanted, CONTACT, [*PEOPLE, *PEOPLE[:3]], chunk=8) == {}
    assert members(target, wanted) == PEOPLE
    assert len([e for e in target.sent()[before:] if e["path"] == "AddListMembersList"]) == 4
    assert lists.add(target.client, wanted, CONTACT, PEOPLE[:5]) == {}
    assert members(target, wanted) == PEOPLE


def test_a_row_that_is_not_there_keeps_nobody_else_off_the_list(target: Organisation) -> None:
    wanted = new_list(target)
    refused = lists.add(target.client, wanted, CONTACT, [*PEOPLE[:7], guid(777), *PEOPLE[7:]])
    assert {i: r.code for i, r in refused.items()} == {guid(777): 0x80040217}
    assert members(target, wanted) == PEOPLE


@pytest.mark.parametrize(
    ("values", "table", "words"),
    [
        ({}, ACCOUNT, "list Newsletter takes members of contact, not of account"),
        ({"createdfromcode": 4}, CONTACT, "list Newsletter takes members of lead, not of contact"),
        ({"type": True, "query": "<fetch/>"}, CONTACT, "is dynamic"),
        ({"lockstatus": True}, CONTACT, "is locked"),
    ],
)
def test_a_list_that_takes_no_such_rows_is_refused_before_anything_is_sent(
    target: Organisation, values: dict[str, Any], table: Table, words: str
) -> None:
    wanted, before = new_list(target, **values), len(target.sent())
    with pytest.raises(Refused, match=words):
        lists.add(target.client, wanted, table, PEOPLE)
    assert [e["method"] for e in target.sent()[before:]] == ["GET"]


def test_a_list_that_is_not_there_is_said_to_be_so(target: Organisation) -> None:
    with pytest.raises(RequestRejected, match="0x80040217"):
        lists.add(target.client, guid(999), CONTACT, PEOPLE)


def test_the_servers_word_about_a_wrong_member_is_raised_and_not_halved() -> None:
    script = Script(refused(400, "0x80040301", "Unsupported list member type."))
    with pytest.raises(RequestRejected, match="Unsupported list member type"):
        lists._added(script.client, LIST, CONTACT, PEOPLE)
    assert len(script.seen) == 1


def test_a_missing_privilege_is_not_halved() -> None:
    script = Script(refused(403, "0x80040220"))
    with pytest.raises(PrivilegeError):
        lists._added(script.client, LIST, CONTACT, PEOPLE)
    assert len(script.seen) == 1


def test_rows_get_off_a_list_and_who_was_not_on_it_is_named(target: Organisation) -> None:
    wanted = new_list(target)
    lists.add(target.client, wanted, CONTACT, PEOPLE[:10])
    assert lists.remove(target.client, wanted, PEOPLE[5:12]) == PEOPLE[10:12]
    assert members(target, wanted) == PEOPLE[:5]


def test_a_removal_that_the_server_refuses_is_raised(target: Organisation) -> None:
    with pytest.raises(RequestRejected, match="0x80040217"):
        lists.remove(target.client, guid(999), PEOPLE[:1])
