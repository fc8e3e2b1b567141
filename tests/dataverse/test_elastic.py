"""Elastic tables: every row of a message has its own end, and reads see what the session wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from cio2d365.dataverse import elastic, requests
from cio2d365.errors import InputError, OutcomeUnknown, PrivilegeError, RequestRejected
from cio2d365.outcomes import Outcome
from cio2d365.tables import Table
from tests.dataverse.scripted import Organisation, Script, guid, organisation, refused
from tests.sim.dataverse.build import column, table

EVENT = Table("cio_event", "cio_events", "cio_eventid", "cio_name")
OK = httpx.Response(204)


def events(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"cio_eventid": guid(n), "cio_name": f"e{n}", **more} for n in range(count)]


def partial(*failed: tuple[int, int], status: int = 400, code: str = "0x80044331", wait: str = "") -> httpx.Response:
    listed = [{"RequestIndex": at, "Id": guid(at), "StatusCode": s} for at, s in failed]
    error = {"code": code, "message": "too long", elastic.DETAILS: orjson.dumps(listed).decode()}
    return httpx.Response(status, json={"error": error}, headers={"Retry-After": wait} if wait else {})


def ends(sent: elastic.Sent) -> list[str]:
    return [o.outcome.value for o in sent.outcomes]


def targets(request: httpx.Request) -> list[str]:
    return [t["cio_eventid"] for t in orjson.loads(request.content)["Targets"]]


def test_a_message_holds_a_hundred_rows_each_with_its_id() -> None:
    elastic.message_request(EVENT, "UpsertMultiple", events(100))
    with pytest.raises(ValueError, match="at most 100 rows"):
        elastic.message_request(EVENT, "UpsertMultiple", events(101))
    with pytest.raises(InputError, match="needs its cio_eventid"):
        elastic.message_request(EVENT, "CreateMultiple", [{"cio_name": "x"}])


def test_one_id_in_two_partitions_is_two_rows() -> None:
    rows = [{"cio_eventid": guid(1), "partitionid": p} for p in ("a", "b")]
    elastic.message_request(EVENT, "UpsertMultiple", rows)
    with pytest.raises(InputError, match="more than one row"):
        elastic.message_request(EVENT, "UpsertMultiple", [*rows, rows[0]])


def test_the_failed_row_has_the_servers_words_and_the_others_landed() -> None:
    sent = elastic.create(Script(partial((1, 400))).client, EVENT, events(3))
    assert ends(sent) == ["created", "quarantined", "created"]
    assert [o.row_id for o in sent.outcomes] == [guid(0), guid(1), guid(2)]
    refusal = sent.outcomes[1].refusal
    assert refusal is not None
    assert (refusal.code, refusal.text) == (0x80044331, "too long")


def test_one_text_is_not_told_of_several_failed_rows() -> None:
    sent = elastic.upsert(Script(partial((0, 400), (2, 413))).client, EVENT, events(3))
    assert ends(sent) == ["quarantined", "updated", "quarantined"]
    assert [str(o.refusal) for o in sent.outcomes if o.refusal] == [
        "refused with status 400",
        "refused with status 413",
    ]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_partial_failure_is_read_whatever_its_outer_status_and_not_sent_again_as_a_whole(status: int) -> None:
    script = Script(partial((0, 400), status=status, code=""))
    assert ends(elastic.create(script.client, EVENT, events(2))) == ["quarantined", "created"]
    assert len(script.seen) == 1


def test_rows_that_failed_for_a_moment_go_again_alone() -> None:
    script = Script(partial((1, 429), (2, 400), (3, 503), wait="8"), partial((1, 429)), OK)
    sent = elastic.create(script.client, EVENT, events(4))
    assert ends(sent) == ["created", "created", "quarantined", "created"]
    assert [targets(r) for r in script.seen[1:]] == [[guid(1), guid(3)], [guid(3)]]
    assert script.clock.slept[0] == 8


def test_a_row_that_fails_for_too_long_has_no_known_end() -> None:
    script = Script(*[partial((0, 503))] * 5)
    assert ends(elastic.upsert(script.client, EVENT, events(1))) == ["unknown"]


@pytest.mark.parametrize("status", [409, 412])
def test_a_new_row_whose_id_is_taken_has_no_known_end(status: int) -> None:
    assert ends(elastic.create(Script(partial((0, status))).client, EVENT, events(1))) == ["unknown"]
    assert ends(elastic.upsert(Script(partial((0, status))).client, EVENT, events(1))) == ["quarantined"]


@pytest.mark.parametrize(
    "details", ["", "[]", "no json", '[{"RequestIndex": 9, "StatusCode": 400}]', '[{"x": 1}]', "{}"]
)
def test_a_list_of_failures_that_cannot_be_read_leaves_all_rows_unclear(details: str) -> None:
    answer = httpx.Response(400, json={"error": {"code": "", "message": "m", elastic.DETAILS: details}})
    with pytest.raises(OutcomeUnknown, match="which of 3 rows"):
        elastic.upsert(Script(answer).client, EVENT, events(3))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(refused(400, "0x80048d19"), RequestRejected), (refused(403, "0x80040220"), PrivilegeError),
     (httpx.Response(504), OutcomeUnknown)],
)  # fmt: skip
def test_a_refusal_of_the_whole_message_is_raised(answer: httpx.Response, kind: type[Exception]) -> None:
    script = Script(answer)
    with pytest.raises(kind):
        elastic.create(script.client, EVENT, events(3))
    assert len(script.seen) == 1


def test_rows_that_were_gone_already_need_no_deleting() -> None:
    sent = elastic.delete(Script(partial((0, 404), (1, 403))).client, EVENT, events(3))
    assert [(o.row_id, o.outcome) for o in sent.outcomes] == [(guid(1), Outcome.QUARANTINED)]


def test_the_session_goes_from_message_to_message_and_into_reads() -> None:
    token = "0:1#42#7=-1"
    script = Script(httpx.Response(204, headers={"x-ms-session-token": token}), OK)
    sent = elastic.upsert(script.client, EVENT, events(150))
    assert [len(targets(r)) for r in script.seen] == [100, 50]
    assert [r.headers.get("MSCRM.SessionToken") for r in script.seen] == [None, token]
    assert sent.session == token
    read = requests.row(EVENT, guid(1), ["cio_name"])
    assert elastic.in_session(read, token).headers["MSCRM.SessionToken"] == token
    assert elastic.in_session(read, "") is read


# --- against the simulated service ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target() -> Iterator[Organisation]:
    with organisation() as found:
        url = f"{found.client.transport.origin}/api/data/v9.2/"
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer dev-token"}) as api:
            table(api, TableType="Elastic")
            column(api, "String", "cio_a", MaxLength=5).raise_for_status()
        yield found


@pytest.fixture
def emptied(target: Organisation) -> Organisation:
    kept = [{"cio_eventid": row["cio_eventid"]} for row in target.rows("cio_event")]
    assert elastic.delete(target.client, EVENT, kept).outcomes == ()
    return target


def test_good_rows_stay_when_others_fail(emptied: Organisation) -> None:
    rows = events(250)
    for n in (7, 120, 249):
        rows[n]["cio_a"] = "too long for it"
    sent = elastic.create(emptied.client, EVENT, rows)
    assert [n for n, o in enumerate(sent.outcomes) if o.outcome is not Outcome.CREATED] == [7, 120, 249]
    assert {r["cio_eventid"] for r in emptied.rows("cio_event")} == {
        o.row_id for o in sent.outcomes if o.outcome is Outcome.CREATED
    }


def test_an_update_adds_an_upsert_replaces_and_a_delete_removes(emptied: Organisation) -> None:
    elastic.upsert(emptied.client, EVENT, events(3, cio_a="a"))
    elastic.update(emptied.client, EVENT, [{"cio_eventid": guid(0), "cio_name": "new"}])
    assert sorted(r["cio_name"] for r in emptied.rows("cio_event")) == ["e1", "e2", "new"]
    assert {r["cio_a"] for r in emptied.rows("cio_event")} == {"a"}
    assert ends(elastic.upsert(emptied.client, EVENT, events(2))) == ["updated", "updated"]
    assert sorted(str(r.get("cio_a")) for r in emptied.rows("cio_event")) == ["None", "None", "a"]
    assert elastic.delete(emptied.client, EVENT, events(5)).outcomes == ()
    assert emptied.rows("cio_event") == []
