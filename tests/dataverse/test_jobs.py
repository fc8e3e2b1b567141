"""Jobs that delete rows: what they are told, how they are looked after, how they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import orjson
import pytest

from cio2d365.dataverse import jobs, requests
from cio2d365.dataverse.conditions import Condition
from cio2d365.errors import InputError, OutcomeUnknown, Refused, RequestRejected, Terminal, Transient
from cio2d365.outcomes import Outcome, Refusal, RowOutcome
from tests.dataverse.scripted import CONTACT, Organisation, Script, guid, organisation

RUN = [Condition("importsequencenumber", "eq", (42,))]
JOB, OPERATION = guid(500), guid(501)


def told(start: datetime) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(jobs.delete_request("undo 42", CONTACT, RUN, start).body or b"")
    return found


def job(status: int, **more: Any) -> httpx.Response:
    state = {30: 3, 31: 3, 32: 3, 20: 2}.get(status, 0)
    return httpx.Response(200, json={"statecode": state, "statuscode": status, **more})


def rows(*found: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"value": list(found)})


def counted(done: int, failed: int) -> httpx.Response:
    return rows({"successcount": done, "failurecount": failed})


# --- what a job is told -----------------------------------------------------------------------------------------------


def test_a_job_is_told_the_rows_by_a_typed_condition_and_starts_now_in_utc() -> None:
    body = told(datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))))
    assert body["StartDateTime"] == "2026-02-28T23:30:00Z"
    assert (body["JobName"], body["RecurrencePattern"], body["SendEmailNotification"]) == ("undo 42", "", False)
    (query,) = body["QuerySet"]
    assert query["EntityName"] == "contact"
    assert query["Criteria"]["Conditions"] == [
        {
            "AttributeName": "importsequencenumber",
            "Operator": "Equal",
            "Values": [{"Value": "42", "Type": "System.Int32"}],
        }
    ]


def test_a_job_without_a_condition_would_delete_all_rows_and_is_refused() -> None:
    with pytest.raises(Refused, match="without one it deletes all"):
        jobs.delete_request("x", CONTACT, [], datetime.now(UTC))


def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        jobs.delete_request("x", CONTACT, RUN, datetime(2026, 1, 1))


def test_a_job_is_never_started_twice_blindly() -> None:
    assert not jobs.delete_request("x", CONTACT, RUN, datetime.now(UTC)).repeatable


@pytest.mark.parametrize(("names", "found"), [([JOB], JOB), ([], None), ([JOB, OPERATION], None)])
def test_a_job_whose_start_is_unclear_is_found_by_its_name_or_stays_unclear(
    names: list[str], found: str | None
) -> None:
    script = Script(httpx.Response(504), rows(*({"asyncoperationid": n} for n in names)))
    if found:
        assert jobs.start(script.client, "undo 'r1'", CONTACT, RUN) == found
    else:
        with pytest.raises(OutcomeUnknown):
            jobs.start(script.client, "undo 'r1'", CONTACT, RUN)
    assert httpx.URL(str(script.seen[1].url)).params["$filter"] == "name eq 'undo ''r1'''"
    assert [r.method for r in script.seen] == ["POST", "GET"]


def test_a_job_whose_answer_is_cut_is_found_by_its_name() -> None:
    script = Script(httpx.Response(200, content=b'{"JobI'), rows({"asyncoperationid": JOB}))
    assert jobs.start(script.client, "x", CONTACT, RUN) == JOB


def test_an_answer_without_a_job_is_an_error() -> None:
    with pytest.raises(Terminal, match="names no job"):
        jobs.start(Script(httpx.Response(200, json={})).client, "x", CONTACT, RUN)


# --- looking after it -------------------------------------------------------------------------------------------------


def waited(script: Script, **limits: float) -> tuple[jobs.Deleted, list[jobs.JobState]]:
    seen: list[jobs.JobState] = []
    return jobs.wait(script.client, JOB, seen.append, sleep=script.clock.sleep, **limits), seen


def test_every_look_is_told_until_the_job_ends() -> None:
    script = Script(job(0), rows(), job(20), counted(7, 0), job(30), counted(9, 0))
    ended, seen = waited(script, every=5)
    assert [(s.words, s.deleted) for s in seen] == [("waiting for resources", 0), ("in progress", 7), ("succeeded", 9)]
    assert (ended.state.deleted, ended.left) == (9, ())
    assert script.clock.slept == [5, 5]


def test_looking_ends_at_its_limit_while_the_job_goes_on() -> None:
    script = Script(*[job(20), counted(3, 0)] * 5)
    with pytest.raises(Transient, match=rf"job {JOB} is still in progress after 20 s \(3 rows deleted\)"):
        waited(script, every=5, longest=20)
    assert sum(script.clock.slept) == 20


def test_rows_that_could_not_be_deleted_are_named_with_their_reason() -> None:
    failure = {
        "_regardingobjectid_value": guid(7).upper(),
        "errornumber": -2147220953,
        "errordescription": "<b>used</b>",
    }
    left = [rows({"bulkdeleteoperationid": OPERATION}), rows(failure)]
    ended, _ = waited(Script(job(31), counted(4, 1), *left))
    assert ended.left == (RowOutcome(guid(7), Outcome.UNCHANGED, Refusal(0x80040227, "used")),)


@pytest.mark.parametrize(("status", "failed", "left"), [(31, 0, []), (32, 0, []), (31, 1, [rows()]), (32, 1, [rows()])])
def test_a_job_that_ends_without_saying_which_rows_it_left_is_an_error(
    status: int, failed: int, left: list[httpx.Response]
) -> None:
    script = Script(job(status, friendlymessage="out of luck"), counted(4, failed), *left)
    with pytest.raises(Terminal, match=r"after 4 rows .* out of luck"):
        waited(script)


# --- against the simulated service ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target() -> Iterator[Organisation]:
    with organisation() as found:
        yield found


def test_the_rows_of_one_run_go_and_all_others_stay(target: Organisation) -> None:
    client = target.client
    people = [{"contactid": guid(n), "lastname": "a", "importsequencenumber": 42 + n % 2} for n in range(20)]
    client.send(requests.create_multiple(CONTACT, people))
    target.control.post("switches", json={"bulk_delete_rows": 4}).raise_for_status()
    seen: list[jobs.JobState] = []
    job_id = jobs.start(client, "undo run 42", CONTACT, RUN)
    ended = jobs.wait(client, job_id, seen.append, sleep=target.clock.sleep)
    assert (ended.state.words, ended.state.deleted, ended.left) == ("succeeded", 10, ())
    assert len(seen) > 2
    assert {row["importsequencenumber"] for row in target.rows("contact")} == {43}
    assert jobs.jobs_named(client, "undo run 42") == [job_id]


def test_a_job_on_a_column_that_is_not_there_is_refused(target: Organisation) -> None:
    with pytest.raises(RequestRejected, match="0x80041103"):
        jobs.start(target.client, "x", CONTACT, [Condition("cio_nothing", "eq", (1,))])
