"""The Dataverse client over a function that answers: pages are whole or an error, refusals become our errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from cio2d365.dataverse import requests
from cio2d365.dataverse.client import Dataverse, Identity
from cio2d365.errors import Conflict, PrivilegeError, Refused, RequestRejected, Terminal, Transient
from cio2d365.tables import Table
from cio2d365.transport import Pace, Request, Transport

ORIGIN = "https://org.example"
CONTACT = Table("contact", "contacts", "contactid", "fullname")
Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, slept: list[float] | None = None) -> Dataverse:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        (slept if slept is not None else []).append(seconds)

    pace = Pace(clock=lambda: now[0], sleep=sleep)
    return Dataverse(
        Transport(
            ORIGIN, lambda _: "Bearer secret-token", pace=pace, client=httpx.MockTransport(answer), jitter=lambda: 0.0
        )
    )


def script(*answers: httpx.Response) -> tuple[Answer, list[httpx.Request]]:
    left, seen = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return left.pop(0)

    return answer, seen


def page(rows: list[dict[str, Any]], link: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"value": rows} | ({"@odata.nextLink": link} if link else {}))


def error(status: int, code: str, message: str = "m", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}}, headers=headers)


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_are_followed_with_their_size() -> None:
    answer, seen = script(page([{"a": 1}], f"{ORIGIN}/api/data/v9.2/contacts?$skiptoken=x%2By"), page([{"a": 2}]))
    assert [r["a"] for r in client(answer).rows(requests.rows(CONTACT, ["a"]))] == [1, 2]
    assert seen[1].url.raw_path == b"/api/data/v9.2/contacts?$skiptoken=x%2By"
    assert {r.headers["Prefer"] for r in seen} == {"odata.maxpagesize=5000"}


def test_a_next_link_to_another_host_is_refused_and_never_asked_for() -> None:
    answer, seen = script(page([{"a": 1}], "https://elsewhere.example/api/data/v9.2/contacts?$skiptoken=x"))
    with pytest.raises(Refused, match=r"elsewhere\.example; it was not followed"):
        list(client(answer).rows(requests.rows(CONTACT, ["a"])))
    assert [r.url.host for r in seen] == ["org.example"]


def test_a_page_cut_in_the_middle_is_asked_for_again() -> None:
    broken = httpx.Response(200, content=b'{"value": [{"a": 1}, {"a"')
    answer, _ = script(broken, page([{"a": 1}, {"a": 2}]))
    assert len(list(client(answer).rows(requests.rows(CONTACT, ["a"])))) == 2


@pytest.mark.parametrize("body", [b'{"value": {}}', b'{"value": [1]}', b"[]", b"{}", b'"x"', b"null"])
def test_a_page_of_another_shape_is_an_error_not_an_end(body: bytes) -> None:
    answer, _ = script(page([{"a": 1}], f"{ORIGIN}/api/data/v9.2/contacts?x"), httpx.Response(200, content=body))
    with pytest.raises(Terminal, match="not a list of rows"):
        list(client(answer).rows(requests.rows(CONTACT, ["a"])))


@pytest.mark.parametrize("back", ["contacts?$select=a", "contacts?$skiptoken=1"])
def test_a_link_back_to_a_page_that_was_read_is_an_error_not_an_endless_read(back: str) -> None:
    links = [f"{ORIGIN}/api/data/v9.2/{path}" for path in ("contacts?$skiptoken=1", "contacts?$skiptoken=2", back)]
    answer, seen = script(*[page([{"a": n}], link) for n, link in enumerate(links)])
    first = Request("GET", "/api/data/v9.2/contacts?$select=a")
    with pytest.raises(Terminal, match="read already"):
        list(client(answer).rows(first))
    assert len(seen) == 3


@pytest.mark.parametrize("link", ["", 7, ["x"], False])
def test_a_link_that_is_no_address_is_an_error_not_an_end(link: object) -> None:
    answer, _ = script(httpx.Response(200, json={"value": [{"a": 1}], "@odata.nextLink": link}))
    with pytest.raises(Terminal, match="not an address"):
        list(client(answer).rows(requests.get("contacts")))


def test_a_page_that_fails_for_good_ends_the_read_with_its_error() -> None:
    link = f"{ORIGIN}/api/data/v9.2/contacts?$skiptoken=1"
    answer, _ = script(page([{"a": 1}], link), error(400, "0x80041103", "no such attribute"))
    with pytest.raises(RequestRejected, match="no such attribute"):
        list(client(answer).rows(requests.get("contacts")))


def test_a_page_that_never_parses_is_an_error() -> None:
    answer, seen = script(*[httpx.Response(200, content=b"<html>")] * 9)
    with pytest.raises(Transient, match="not JSON: <html>"):
        list(client(answer).rows(requests.rows(CONTACT, ["a"])))
    assert len(seen) == 3


def test_a_table_without_rows_is_a_frame_with_columns() -> None:
    answer, _ = script(page([]))
    frame = client(answer).read_table(CONTACT, ["contactid", "lastname"])
    assert (frame.columns, frame.height) == (["contactid", "lastname"], 0)


def test_many_ids_are_asked_for_in_addresses_that_fit() -> None:
    ids = [f"00000000-0000-5000-8000-{n:012d}" for n in range(900)]
    answer, seen = script(page([]), page([]), page([]))
    assert client(answer).existing_ids(CONTACT, ids) == set()
    assert len(seen) == 3
    assert max(len(r.url.raw_path) for r in seen) < 32_768
    asked = unquote("".join(r.url.raw_path.decode() for r in seen))
    assert all(row_id in asked for row_id in ids)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(403, "0x80040220"), PrivilegeError),
        (error(403, "0x80048306"), PrivilegeError),
        (error(400, "0x80072325"), Terminal),
        (error(400, "0x80044331"), RequestRejected),
        (error(412, "0x80060882"), Conflict),
        (httpx.Response(413), RequestRejected),
    ],
)
def test_a_refusal_is_raised_at_the_first_answer(answer: httpx.Response, kind: type[Exception]) -> None:
    play, seen = script(answer)
    with pytest.raises(kind) as caught:
        client(play).send(Request("POST", "/x", repeatable=False))
    assert type(caught.value) is kind
    assert len(seen) == 1


def test_a_deadlock_is_tried_again_after_waits_that_grow() -> None:
    slept: list[float] = []
    play, _ = script(error(500, "0x80044150"), error(500, "-2147204784"), page([]))
    assert client(play, slept).send(requests.get("contacts")).status == 200
    assert slept == [1.0, 2.0]


def test_an_unknown_error_gets_few_tries() -> None:
    play, seen = script(*[error(500, "0x80040216")] * 9)
    with pytest.raises(RequestRejected, match="0x80040216"):
        client(play).send(requests.get("contacts"))
    assert len(seen) == 3


def test_the_lock_of_a_customisation_is_waited_out_for_minutes_and_named_waits_are_kept() -> None:
    slept: list[float] = []
    play, _ = script(*[error(429, "0x80071151")] * 20, error(429, "0x80071151", **{"Retry-After": "60"}), page([]))
    assert client(play, slept).send(Request("POST", "/x", repeatable=False)).status == 200
    assert sum(slept) == 20 * 15 + 60


def test_a_lock_that_never_ends_is_a_stop_that_can_be_resumed() -> None:
    play, _ = script(*[error(429, "0x80071151")] * 99)
    with pytest.raises(Transient, match="0x80071151"):
        client(play).send(requests.get("x"))


@pytest.mark.parametrize(("hint", "parallel"), [("12", 12), ("", 4), ("many", 4)])
def test_who_we_are_comes_with_the_servers_hint_or_a_careful_one(hint: str, parallel: int) -> None:
    body = {"OrganizationId": "O", "UserId": "U", "BusinessUnitId": "B"}
    answer, _ = script(httpx.Response(200, json=body, headers={"x-ms-dop-hint": hint}))
    assert client(answer).who_am_i() == Identity("o", "u", "b", parallel)
