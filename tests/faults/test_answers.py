"""Unclear or damaged answers, F-14 to F-22: what happened is found out, never guessed."""

from __future__ import annotations

from typing import Any

import httpx
import polars as pl
import pytest

from cio2d365.dataverse import requests
from cio2d365.dataverse.requests import API
from cio2d365.errors import MigrationError, OutcomeUnknown, Terminal, Transient
from tests.migrate.world import NO_AUTHORITIES, World, companies, dataverse, only, people, sums

from .conftest import Undisturbed
from .story import CREATE, UPSERT, committed, content, over, sent

OLD, NEW = {"contact": people(90, jobtitle="old")}, {"contact": people(90, jobtitle="new")}
IMPATIENT = 0.5
JSON_TYPE = "application/json; odata.metadata=minimal"
PAGE = "<html><h1>Bad Gateway</h1></html>"


# --- F-14 to F-17: was it written? ------------------------------------------------------------------------------------


def test_an_update_whose_answer_comes_too_late_is_counted_once(target: World, undisturbed: Undisturbed) -> None:
    """F-14: RESOLVE. No duplicate, no loss, row counted once."""
    target.load(OLD, "r0")
    target.fault({"verb": "commit_then_delay", "seconds": 1.0}, message=UPSERT, nth=[1, 3])
    with dataverse(target.origin, target.clock, timeout=IMPATIENT) as impatient:
        target.client = impatient
        assert sums(target.load(NEW, "r1", request_rows=30, parallel=2)) == only(updated=90)
    with target.ledger() as ledger:
        assert ledger.runs().select("run_id", "created", "updated").rows() == [("r0", 90, 0), ("r1", 0, 90)]
    assert committed(target, "created") == 90
    assert content(target) == undisturbed(OLD, NEW)


def test_a_create_whose_answer_is_lost_is_found_by_its_ids_and_not_sent_again(
    target: World, undisturbed: Undisturbed
) -> None:
    """F-15: RESOLVE by id."""
    target.fault({"verb": "commit_then_drop"}, message=CREATE, nth=2)
    assert sums(target.load(NEW, "r0", request_rows=30, parallel=1)) == only(created=90)
    assert [entry["status"] for entry in sent(target, CREATE)].count(0) == 1
    assert all(entry["code"] == "" for entry in sent(target, CREATE))
    assert committed(target, "created") == 90
    assert content(target) == undisturbed(NEW)


def test_a_create_that_meets_its_own_earlier_rows_is_done(target: World, undisturbed: Undisturbed) -> None:
    """F-15: the first look finds nothing, the second create says 0x80040237, and the rows prove to be ours."""
    nothing_there = {"verb": "body", "content": '{"value": []}', "content_type": JSON_TYPE}
    target.faults(
        [
            {"match": {"message": CREATE, "nth": 1}, "action": {"verb": "commit_then_drop"}},
            {"match": {"message": "Read", "nth": 1}, "action": nothing_there},
        ]
    )
    assert sums(target.load(NEW, "r0", request_rows=90)) == only(created=90)
    first, *again = ((entry["status"], entry["code"]) for entry in sent(target, CREATE))
    assert first == (0, "")
    assert set(again) == {(412, "0x80040237")}
    assert content(target) == undisturbed(NEW)


def test_a_row_of_somebody_else_under_the_same_id_is_not_counted_as_created(target: World) -> None:
    """F-15: what is compared is whose row it is; a stranger's is updated, and its old values are kept."""
    theirs = {"contactid": NEW["contact"]["contactid"][5], "lastname": "Theirs"}
    target.client.send(requests.post("contacts", theirs))
    target.fault({"verb": "drop_before_commit"}, message=CREATE, nth=1)
    assert sums(target.load(NEW, "r0", request_rows=90)) == only(created=89, updated=1)
    with target.ledger() as ledger:
        [(row_id, picture)] = ledger.preimages("r0", "contact")
    assert (row_id, picture["lastname"]) == (theirs["contactid"], "Theirs")


@pytest.mark.parametrize("parts", [0, 7, 60])
def test_a_batch_that_breaks_in_the_middle_is_finished_part_by_part(target: World, parts: int) -> None:
    """F-16: parts that were committed are not done a second time, and none is left out."""
    target.load({"account": companies(5), "contact": people(60)}, "r0")
    target.fault({"verb": "commit_then_status", "code": 504, "parts": parts}, message="Batch", nth=1)
    undone = target.roll_back("r0")
    assert undone.select("table", "deleted").rows() == [("contact", 60), ("account", 5)]
    assert content(target) == {"account": {}, "contact": {}}
    assert committed(target, "deleted") == 60
    assert committed(target, "created") == 60


def test_a_batch_of_updates_that_breaks_in_the_middle_makes_no_new_row(target: World) -> None:
    """F-16: old values come back once, into the rows that are there."""
    target.load(OLD, "r0")
    before = content(target)
    target.load(NEW, "r1")
    target.fault({"verb": "commit_then_status", "code": 504, "parts": 40}, message="Batch", nth=1)
    assert target.roll_back("r1")["restored"].to_list() == [90]
    assert content(target) == before
    assert committed(target, "created") == 90


@pytest.mark.parametrize("message", [CREATE, UPSERT])
@pytest.mark.parametrize(
    "action",
    [{"verb": "reset_after", "bytes": 64}, {"verb": "truncate_after", "bytes": 64}, {"verb": "corrupt_gzip"}],
    ids=lambda a: a["verb"],
)
def test_an_answer_that_breaks_off_is_resolved(
    target: World, undisturbed: Undisturbed, action: dict[str, Any], message: str
) -> None:
    """F-17, F-21: damage in the body of an answer to a write says nothing about the write."""
    loads = load_before(target, message)
    target.fault(action, message=message, nth=[1, 2])
    balance = target.load(NEW, f"r{len(loads) - 1}", request_rows=30, parallel=1)
    assert sums(balance) == (only(updated=90) if message == UPSERT else only(created=90))
    assert committed(target, "created") == 90
    assert content(target) == undisturbed(*loads)


def load_before(target: World, message: str) -> list[dict[str, pl.DataFrame]]:
    """The loads after which NEW will have been written by this message, all but the last one done."""
    if message == CREATE:
        return [NEW]
    target.load(OLD, "r0")
    return [OLD, NEW]


BROKEN: list[dict[str, Any]] = [
    {"verb": "truncate_after", "bytes": 200},
    {"verb": "reset_after", "bytes": 200},
    {"verb": "corrupt_gzip"},
    {"verb": "body", "content": PAGE, "content_type": JSON_TYPE},
    {"verb": "commit_then_drop"},
]


@pytest.mark.parametrize("action", BROKEN, ids=lambda a: a["verb"])
def test_the_answer_to_a_batch_that_cannot_be_read_is_resolved(target: World, action: dict[str, Any]) -> None:
    """F-16, F-17, F-21: the parts are committed; what became of each is found out."""
    target.load(NEW, "r0")
    target.fault(action, message="Batch", nth=1)
    assert target.roll_back("r0")["deleted"].to_list() == [90]
    assert target.rows() == {}
    assert committed(target, "deleted") == 90


# --- F-18 to F-21: pages ----------------------------------------------------------------------------------------------


def pages(target: World) -> list[list[str]]:
    """Last names of all contacts, ten a page."""
    request = requests.get("contacts", {"$select": "lastname", "$orderby": "createdon"}, page=10)
    return [[row["lastname"] for row in page] for page in target.client.pages(request)]


@pytest.fixture
def nine_pages(target: World) -> World:
    target.load(OLD, "r0")
    return target


DAMAGE: list[dict[str, Any]] = [
    {"verb": "truncate_after", "bytes": 300},
    {"verb": "reset_after", "bytes": 300},
    {"verb": "body", "content": '{"value":[{"lastname":"n1"},{"lastn', "content_type": JSON_TYPE},
    {"verb": "body", "content": "", "content_type": JSON_TYPE},
    {"verb": "body", "content": PAGE, "content_type": JSON_TYPE},
    {"verb": "corrupt_gzip"},
]


@pytest.mark.parametrize("action", DAMAGE, ids=lambda a: f"{a['verb']} {a.get('content', '')[:9]}".strip())
def test_a_damaged_page_is_asked_for_again_and_no_row_is_lost_or_doubled(
    nine_pages: World, action: dict[str, Any]
) -> None:
    """F-18, F-20, F-21: RETRY the page after a wait; never “the rows so far”, never an unhandled decoder error."""
    whole = pages(nine_pages)
    since = nine_pages.mark()
    nine_pages.clock.slept.clear()
    nine_pages.fault(action, message="Read", nth=[3, 4])
    assert pages(nine_pages) == whole
    assert sum(nine_pages.clock.slept) > 0
    assert [len(page) for page in whole] == [10] * 9
    asked = [entry["path"] for entry in nine_pages.journal(since)]
    assert len(asked) == 9 + 2
    assert len(set(asked)) == 9


@pytest.mark.parametrize("action", DAMAGE, ids=lambda a: f"{a['verb']} {a.get('content', '')[:9]}".strip())
def test_a_damaged_answer_about_who_we_are_is_asked_for_again(target: World, action: dict[str, Any]) -> None:
    """F-18, F-20, F-21: WhoAmI is a read like any other."""
    early = {"bytes": 30} if "bytes" in action else {}
    target.fault(action | early, message="WhoAmI", nth=1)
    assert target.client.who_am_i().organization_id == target.organization
    assert len(sent(target, "WhoAmI")) == 2
    assert sum(target.clock.slept) > 0


@pytest.mark.parametrize(
    "action", [{"verb": "status", "code": 503}, {"verb": "status", "code": 500}, *DAMAGE], ids=lambda a: str(a)[9:40]
)
def test_a_page_that_fails_for_good_ends_the_whole_read(nine_pages: World, action: dict[str, Any]) -> None:
    """F-19: STOP of that read with an error; no frame, and so no figure, is made of the pages before."""
    nine_pages.fault(action, message="Read", nth=list(range(4, 100)))
    with pytest.raises((Transient, Terminal)) as caught:
        pages(nine_pages)
    assert caught.value.exit_code == 3
    assert f"GET {API}/contacts" in str(caught.value)


@pytest.mark.parametrize("body", ['{"value": null}', "{}", "[]", '{"error": {"code": "", "message": "oops"}}'])
def test_a_page_of_another_shape_ends_the_whole_read(nine_pages: World, body: str) -> None:
    """F-19: a 200 that holds no list of rows is a failed page, not the last one."""
    action = {"verb": "body", "content": body, "content_type": JSON_TYPE}
    nine_pages.fault(action, message="Read", nth=list(range(4, 100)))
    with pytest.raises(MigrationError, match="not a list of rows"):
        pages(nine_pages)


def test_good_json_is_accepted_whatever_its_type_says(nine_pages: World) -> None:
    """F-20: accepted if it parses and has the expected shape."""

    def as_text(request: httpx.Request) -> httpx.Response:
        headers = {**request.headers, "Accept-Encoding": "identity"}
        answer = httpx.get(request.url, headers=headers, verify=NO_AUTHORITIES)
        return httpx.Response(answer.status_code, content=answer.content, headers={"Content-Type": "text/plain"})

    with over(httpx.MockTransport(as_text), nine_pages) as mislabelled:
        assert pages(mislabelled) == pages(nine_pages)


def test_html_that_calls_itself_json_is_shown_as_what_it_is(nine_pages: World) -> None:
    """F-20, F-07: the message has the first safe characters of what came."""
    nine_pages.fault({"verb": "body", "content": PAGE, "content_type": JSON_TYPE}, message="Read")
    with pytest.raises(Transient, match="not JSON: <html><h1>Bad Gateway"):
        pages(nine_pages)


# --- F-20: a success that is not the service's ------------------------------------------------------------------------

SUCCESSES = {
    "HTML": (200, PAGE),
    "empty": (200, ""),
    "other JSON": (200, "{}"),
    "no ids": (200, '{"Ids": []}'),
    "204": (204, ""),
}


@pytest.mark.parametrize(
    ("message", "code", "body"),
    [
        pytest.param(message, *answer, id=f"{message} {name}")
        for message in (CREATE, UPSERT)
        for name, answer in SUCCESSES.items()
        if (message, name) != (UPSERT, "204")  # what the service itself says to this message
    ],
)
def test_a_success_that_the_service_has_not_said_is_none_and_the_rows_arrive_by_the_next_attempt(
    target: World, undisturbed: Undisturbed, message: str, code: int, body: str
) -> None:
    """F-20: a gateway's own page with status 200 is no proof that rows landed (L6: unknown never means success)."""
    loads = load_before(target, message)
    target.fault({"verb": "status", "code": code, "body": body}, message=message, nth=1)
    since = target.mark()
    balance = target.load(NEW, f"r{len(loads) - 1}", request_rows=90, parallel=1)
    assert sums(balance) == (only(updated=90) if message == UPSERT else only(created=90))
    first = sent(target, message, since)[0]
    assert (first["status"], first["committed"] or {}) == (code, {})
    assert content(target) == undisturbed(*loads)


@pytest.mark.parametrize("message", [CREATE, UPSERT])
def test_a_gateway_that_lets_no_write_through_stops_the_load(
    target: World, undisturbed: Undisturbed, message: str
) -> None:
    """F-20, F-12: no row is counted, none is set aside, and the next load brings them."""
    loads = load_before(target, message)
    run = f"r{len(loads) - 1}"
    target.fault({"verb": "status", "code": 200, "body": PAGE}, message=message)
    with pytest.raises(OutcomeUnknown, match=r"status 200.*<h1>Bad Gateway") as stop:
        target.load(NEW, run, request_rows=90, parallel=1)
    assert stop.value.exit_code == 3
    with target.ledger() as ledger:
        assert ledger.balance(run).select("created", "updated", "quarantined").rows() == [(0, 0, 0)]
    target.faults([])
    assert sums(target.load(NEW, run)) == (only(updated=90) if message == UPSERT else only(created=90))
    assert content(target) == undisturbed(*loads)


# --- F-22: errors inside of a batch -----------------------------------------------------------------------------------


def test_two_refused_parts_of_a_batch_leave_the_rest_done(target: World) -> None:
    """F-22: outer status 200 with two inner 400s; the two are handled one by one, the rest is counted as done."""
    target.load(OLD, "r0")
    target.load(NEW, "r1")
    ids = NEW["contact"]["contactid"]
    target.faults([refusing(ids[n], "0x80040265") for n in (3, 70)])
    with pytest.raises(Terminal) as caught:
        target.roll_back("r1")
    for words in ("2 rows of contact could not be undone", ids[3], ids[70], "0x80040265"):
        assert words in str(caught.value)
    titles = {row_id: row["jobtitle"] for row_id, row in target.rows().items()}
    assert {row_id for row_id, title in titles.items() if title == "new"} == {ids[3], ids[70]}
    with target.ledger() as ledger:
        assert {row_id for row_id, _ in ledger.preimages("r1", "contact")} == {ids[3], ids[70]}
    target.faults([])
    assert target.roll_back("r1")["restored"].to_list() == [2]
    assert {row["jobtitle"] for row in target.rows().values()} == {"old"}


def test_a_part_of_a_batch_that_is_throttled_waits_and_is_sent_again(target: World) -> None:
    """F-22: an inner 429 is no refusal."""
    target.load(NEW, "r0")
    target.clock.slept.clear()
    match = {"method": "DELETE", "path": NEW["contact"]["contactid"][4], "times": 1}
    slow_down = {"verb": "reject", "status": 429, "code": "0x80072322", "message": "slow down"}
    target.faults([{"match": match, "action": slow_down}])
    assert target.roll_back("r0")["deleted"].to_list() == [90]
    assert target.rows() == {}
    assert sum(target.clock.slept) > 0


def test_refused_parts_hold_back_the_tables_that_they_may_hang_on(target: World) -> None:
    """F-22: an account whose deletion would take a refused contact along stays."""
    accounts = companies(3)
    frame = people(30, parentcustomerid_account=[accounts["accountid"][n % 3] for n in range(30)])
    target.load({"account": accounts, "contact": frame}, "r0")
    target.faults([refusing(frame["contactid"][4], "0x80040265")])
    with pytest.raises(Terminal, match="1 rows of contact could not be undone"):
        target.roll_back("r0")
    assert (len(target.rows("account")), len(target.rows())) == (3, 1)
    target.faults([])
    target.roll_back("r0")
    assert content(target) == {"account": {}, "contact": {}}


def test_a_rollback_that_is_refused_as_a_whole_gives_up_after_one_batch(target: World) -> None:
    """F-22, F-39: four hundred refusals are no exceptions; they are not tried one by one to the end."""
    target.load({"contact": people(400)}, "r0")
    target.faults([refusing(r"contacts\(", "0x80040265")])
    since = target.mark()
    with pytest.raises(Terminal, match="200 rows of contact could not be undone"):
        target.roll_back("r0")
    assert len(target.writes(since)) == 1 + 200
    assert len(target.rows()) == 400


def refusing(row_id: str, code: str) -> dict[str, Any]:
    return {"match": {"path": row_id}, "action": {"verb": "reject", "code": code, "message": "A plug-in refuses."}}
