"""The Dataverse client over a function that answers: pages are whole or an error, refusals become our errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from cio2d365.dataverse import batch, requests
from cio2d365.dataverse.auth import client_credentials
from cio2d365.dataverse.client import Dataverse
from cio2d365.errors import AuthorityError, Refused, RequestRejected, SettingsError, Terminal, Transient
from cio2d365.sim.dataverse import UVICORN_OPTIONS, create_app
from cio2d365.sim.serve import Listener, bind, running
from cio2d365.tables import Lookup, Table
from cio2d365.transport import Pace, Request, Response, Transport

ORIGIN = "https://org.example"
CONTACT = Table("contact", "contacts", "contactid", "fullname")
Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, slept: list[float] | None = None) -> Dataverse:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        (slept if slept is not None else []).append(seconds)

    pace = Pace(clock=lambda: now[0], sleep=sleep)
    return Dataverse(Transport(ORIGIN, lambda _: "Bearer t", pace=pace, client=httpx.MockTransport(answer)))


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


@pytest.mark.parametrize("body", [b'{"value": {}}', b"[]", b"{}", b'"x"', b"null"])
def test_a_page_of_another_shape_is_an_error_not_an_end(body: bytes) -> None:
    answer, _ = script(page([{"a": 1}], f"{ORIGIN}/api/data/v9.2/contacts?x"), httpx.Response(200, content=body))
    with pytest.raises(Terminal, match="not a list of rows"):
        list(client(answer).rows(requests.rows(CONTACT, ["a"])))


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
        (error(403, "0x80040220"), AuthorityError),
        (error(403, "0x80048306"), AuthorityError),
        (error(400, "0x80072325"), Terminal),
        (error(400, "0x80044331"), RequestRejected),
        (error(412, "0x80060882"), RequestRejected),
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


# --- requests are data, never syntax ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["O'Neil", "x' or 1 eq 1 or 'a' eq 'a", "a&b=c", "50%", "a+b", "#", "é", "a\\b", "''"]
)
def test_values_in_a_filter_stay_values(value: str) -> None:
    request = requests.get("contacts", {"$filter": f"lastname eq {requests.text(value)}"})
    query = httpx.URL(f"{ORIGIN}{request.path}").params
    assert dict(query) == {"$filter": "lastname eq '" + value.replace("'", "''") + "'"}


def test_a_create_is_never_repeated_blindly_and_an_upsert_may_be() -> None:
    rows = [{"contactid": "1", "lastname": "a"}]
    assert not requests.create_multiple(CONTACT, rows).repeatable
    assert requests.upsert_multiple(CONTACT, rows).repeatable


def test_an_update_of_one_row_cannot_create_it() -> None:
    assert requests.update_row(CONTACT, "1", {"lastname": None}).headers["If-Match"] == "*"


def test_a_lookup_knows_where_it_may_point() -> None:
    lookup = Lookup("parentcustomerid", (("account", "parentcustomerid_account"),))
    assert lookup.navigation("account") == "parentcustomerid_account"
    with pytest.raises(KeyError):
        lookup.navigation("lead")


# --- batches ----------------------------------------------------------------------------------------------------------

PART = b"--batchresponse_1\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 "
MIXED = (
    PART + b"204 No Content\r\nOData-Version: 4.0\r\n\r\n\r\n" + PART + b"404 Not Found\r\n\r\n"
    b'{"error":{"code":"0x80040217","message":"gone"}}\r\n--batchresponse_1--\r\n'
)


def multipart(body: bytes) -> Response:
    return Response(200, {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}, body)


def test_each_part_of_a_batch_has_its_own_end() -> None:
    first, second = batch.parse(multipart(MIXED))
    assert (first.status, second.status) == (204, 404)
    assert second.json()["error"]["message"] == "gone"


@pytest.mark.parametrize(
    "answer", [Response(200, {"Content-Type": "text/html"}, b"<html>"), multipart(MIXED[:90]), multipart(MIXED[:-9])]
)
def test_a_batch_answer_that_cannot_be_read_is_an_error(answer: Response) -> None:
    with pytest.raises(Terminal):
        batch.parse(answer)


def test_fewer_answers_than_requests_are_an_error() -> None:
    play, _ = script(
        httpx.Response(200, headers={"Content-Type": "multipart/mixed; boundary=batchresponse_1"}, content=MIXED)
    )
    with pytest.raises(Terminal, match="3 requests sent, 2 answers"):
        batch.send(client(play), [requests.delete_row(CONTACT, str(n)) for n in range(3)])


def test_a_batch_is_repeatable_when_all_its_parts_are_and_holds_a_thousand() -> None:
    one = requests.delete_row(CONTACT, "1")
    assert batch.build([one]).repeatable
    assert not batch.build([one, Request("POST", "/x", repeatable=False)]).repeatable
    with pytest.raises(ValueError, match="at most 1000"):
        batch.build([one] * 1001)


# --- tokens -----------------------------------------------------------------------------------------------------------

SECRET = "s3cr3t-canary"


def test_tokens_come_from_the_authority_and_one_new_one_serves_all_workers() -> None:
    app = create_app(state_dir=None, tenant_id="t-1", client_id="c-1", client_secret=SECRET)
    listener = Listener(app, bind(0), options=UVICORN_OPTIONS)
    with running([[listener]], threading.Event()):
        origin = listener.url
        authorize = client_credentials(origin, "t-1", "c-1", SECRET, origin)
        with Transport(origin, authorize) as link, ThreadPoolExecutor(8) as workers:
            who = Dataverse(link).who_am_i()
            assert who.organization_id == app.state.service.org.id
            rules = [{"match": {"method": "GET", "nth": 1}, "action": {"verb": "expire_tokens"}}]
            httpx.post(f"{origin}/_control/faults", json={"rules": rules}).raise_for_status()
            found = list(workers.map(lambda _: Dataverse(link).who_am_i(), range(24)))
        assert set(found) == {who}
        journal = httpx.get(f"{origin}/_control/journal").json()
        assert sum(e["path"].endswith("/token") for e in journal) == 2
        assert any(e["status"] == 401 for e in journal)


def test_a_wrong_secret_is_said_to_be_one_and_not_shown() -> None:
    app = create_app(state_dir=None, tenant_id="t-1", client_id="c-1", client_secret="right")
    listener = Listener(app, bind(0), options=UVICORN_OPTIONS)
    with running([[listener]], threading.Event()):
        authorize = client_credentials(listener.url, "t-1", "c-1", SECRET, listener.url)
        with pytest.raises(AuthorityError, match="secret of application c-1 is wrong or expired") as caught:
            authorize("")
    assert SECRET not in str(caught.value)


def test_an_authority_that_fails_for_a_moment_is_asked_again() -> None:
    app = create_app(state_dir=None, tenant_id="t-1", client_id="c-1", client_secret=SECRET)
    listener = Listener(app, bind(0), options=UVICORN_OPTIONS)
    slept: list[float] = []
    with running([[listener]], threading.Event()):
        rule = {"match": {"message": "Token", "nth": [1, 2]}, "action": {"verb": "status", "code": 503}}
        httpx.post(f"{listener.url}/_control/faults", json={"rules": [rule]}).raise_for_status()
        authorize = client_credentials(listener.url, "t-1", "c-1", SECRET, listener.url, sleep=slept.append)
        assert authorize("").startswith("Bearer ")
    assert slept == [1.0, 2.0]


def test_plain_http_to_a_foreign_authority_is_refused() -> None:
    with pytest.raises(SettingsError, match="must be https"):
        client_credentials(ORIGIN, "t", "c", SECRET, "http://login.example.com")
