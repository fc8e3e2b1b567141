"""Pace and availability, F-06 to F-13: an outage costs time, never rows."""

from __future__ import annotations

from collections import deque
from typing import Any

import httpx
import pytest

from cio2d365.customerio.app_api import AppApi
from cio2d365.dataverse.metadata import read_tables
from cio2d365.errors import SettingsError, Transient, WorldError
from cio2d365.migrate import provision
from cio2d365.settings import CustomerIo
from cio2d365.transport import Pace, Patience, Transport
from tests.migrate.world import Instant, World, nothing, only, people, small_schema, sums

from .conftest import Undisturbed
from .story import CREATE, UPSERT, Wire, committed, content, gaps, odata_error, on_one_clock, over, sent

PAGE = "<html>\x1b[31m<h1>Bad Gateway</h1>" + "x" * 5000 + "</html>"
LOCKED = odata_error(429, "0x80071151", "Cannot start the requested operation [EntityCustomization]")


# --- F-06, F-07: the service or a gateway is away for a moment --------------------------------------------------------


@pytest.mark.parametrize("message", [CREATE, UPSERT])
@pytest.mark.parametrize(
    "answer", [{"code": 503}, {"code": 502, "body": PAGE}, {"code": 504, "body": PAGE}], ids=lambda a: a["code"]
)
def test_a_service_that_is_away_for_a_moment_costs_waits_only(
    target: World, undisturbed: Undisturbed, answer: dict[str, Any], message: str
) -> None:
    """F-06, F-07: an empty 503 and a gateway's HTML page are waited out."""
    before, frames = {"contact": people(60, jobtitle="old")}, {"contact": people(60, jobtitle="new")}
    loads = [before, frames] if message == UPSERT else [frames]
    for n, earlier in enumerate(loads[:-1]):
        target.load(earlier, f"r{n}")
    target.fault({"verb": "status", **answer}, message=message, nth=[1, 2, 4])
    balance = target.load(frames, f"r{len(loads) - 1}", request_rows=20, parallel=1)
    assert sums(balance) == (only(updated=60) if message == UPSERT else only(created=60))
    assert content(target) == undisturbed(*loads)


def test_a_503_that_names_no_wait_is_asked_again_after_waits_that_grow(timed: World) -> None:
    """F-06: half a second, one, two; with up to a half of it as jitter."""
    timed.load({"contact": people(20, jobtitle="old")}, "r0")
    since = timed.mark()
    timed.fault({"verb": "status", "code": 503}, message=UPSERT, nth=[1, 2, 3])
    timed.load({"contact": people(20, jobtitle="new")}, "r1", parallel=1)
    waits = gaps(sent(timed, UPSERT, since))
    assert all(low <= wait <= 2 * low for low, wait in zip((0.25, 0.5, 1.0), waits, strict=True))


@pytest.mark.parametrize(
    ("answer", "least"),
    [({"code": 503, "headers": {"Retry-After": "37"}}, 37), ({"code": 503}, 0.25), ({"code": 504}, 0.25)],
    ids=["503 that names a wait", "503", "504"],
)
def test_a_create_that_met_an_outage_is_looked_for_only_after_the_wait(
    timed: World, answer: dict[str, Any], least: float
) -> None:
    """F-06: whether it was written has to be read, and the service that is away is not asked at once."""
    timed.fault({"verb": "status", **answer}, message=CREATE, nth=1)
    assert sums(timed.load({"contact": people(20)}, parallel=1)) == only(created=20)
    arrived = timed.journal()
    [refused] = [n for n, entry in enumerate(arrived) if entry["status"] == answer["code"]]
    assert (arrived[refused]["method"], arrived[refused + 1]["method"]) == ("POST", "GET")
    assert gaps(arrived[refused : refused + 2])[0] >= least


@pytest.mark.parametrize("message", ["Read", UPSERT])
def test_a_503_that_names_a_wait_is_obeyed(timed: World, message: str) -> None:
    """F-06: nothing of this identity arrives before the wait is over."""
    timed.load({"contact": people(20, jobtitle="old")}, "r0")
    since = timed.mark()
    timed.fault({"verb": "status", "code": 503, "headers": {"Retry-After": "37"}}, message=message, nth=1)
    timed.load({"contact": people(20, jobtitle="new")}, "r1", parallel=1)
    arrived = timed.journal(since)
    [refused] = [n for n, entry in enumerate(arrived) if entry["status"] == 503]
    assert gaps(arrived[refused : refused + 2])[0] >= 37


def test_a_gateway_page_is_reported_with_its_status_and_two_hundred_safe_characters(target: World) -> None:
    """F-07: what ends a run says what came back, and cannot draw on a terminal."""
    target.fault({"verb": "status", "code": 502, "body": PAGE}, message="Read")
    with pytest.raises(Transient) as caught:
        list(target.client.rows_by_id(target.tables["contact"], people(1)["contactid"], ["lastname"]))
    text = str(caught.value)
    assert "status 502 <html> [31m<h1>Bad Gateway</h1>" in text
    assert text.isprintable()
    assert "x" * 150 in text
    assert "x" * 200 not in text
    assert target.origin in text


# --- F-08: the error that says nothing --------------------------------------------------------------------------------


def test_an_error_that_says_nothing_is_retried_and_then_isolated(target: World, undisturbed: Undisturbed) -> None:
    """F-08: transient for one record, persistent for another."""
    unexpected = {"verb": "reject", "status": 500, "code": "0x80040216", "message": "An unexpected error occurred."}
    target.faults(
        [
            {"match": {"record": {"column": "lastname", "equals": "n3"}}, "action": unexpected},
            {"match": {"record": {"column": "lastname", "equals": "n40"}, "times": 2}, "action": unexpected},
        ]
    )
    frame = people(64)
    assert sums(target.load({"contact": frame}, request_rows=32, parallel=1)) == only(created=63, quarantined=1)
    with target.ledger() as ledger:
        [bad] = ledger.quarantine().rows(named=True)
    assert (bad["source_key"], bad["code"], bad["message"]) == ("id:3", 0x80040216, "An unexpected error occurred.")
    waits = [s for s in target.clock.slept if s > 0]
    # Each of the six requests that hold the bad row is tried three times; the other row's request as often.
    assert len([e for e in sent(target, CREATE) if e["status"] == 500]) == 3 * 6 + 2
    assert len(waits) >= 2 * 6 + 2
    good = {"contact": frame.filter(frame["lastname"] != "n3")}
    assert content(target) == undisturbed(good)


# --- F-09: the lock of a customisation --------------------------------------------------------------------------------


def test_the_metadata_writer_waits_minutes_for_the_lock_and_goes_on_alone(bare: World) -> None:
    """F-09: four minutes of lock while tables are created."""
    with on_one_clock(bare) as timed:
        timed.fault(LOCKED, message="Metadata", window=[0, 240])
        provision.apply(small_schema(), timed.client, progress=nothing, sleep=timed.clock.sleep)
        tried = [e for e in timed.writes() if e["path"].startswith("EntityDefinitions")]
        refused = [e for e in tried if e["status"] == 429]
        waits = gaps([*refused, tried[len(refused)]])
        assert tried[: len(refused)] == refused
        assert {e["path"] for e in refused} == {tried[0]["path"]}
        assert sum(waits) >= 240
        assert min(waits) >= 10
        assert tried[len(refused)]["elapsed"] - refused[0]["elapsed"] < 240 + 60
        there = read_tables(timed.client, ["account", "contact"])
        assert provision.plan(small_schema(), there).to_create == ()


def test_a_data_writer_waits_for_the_lock_as_long_as_for_a_customisation(timed: World) -> None:
    """F-09: a 429 that is a lock is no service protection limit for those who send rows."""
    timed.fault(LOCKED, message=CREATE, window=[0, 60])
    assert sums(timed.load({"contact": people(20)}, request_rows=20, parallel=1)) == only(created=20)
    assert min(gaps(sent(timed, CREATE))) >= 10
    assert len(timed.rows()) == 20


def test_a_lock_is_not_told_as_a_throttle(timed: World) -> None:
    """F-09: the run log would blame the pace for what a customisation made us wait for."""
    timed.fault(LOCKED, message=CREATE, nth=[1, 2])
    assert sums(timed.load({"contact": people(20)}, parallel=1)) == only(created=20)
    assert timed.client.transport.traffic.throttled == 0


# --- F-10: a connection that was closed meanwhile ---------------------------------------------------------------------

CLOSED = {"verb": "drop_before_commit"}
TIMED_OUT = {"verb": "status", "code": 408}


@pytest.mark.parametrize("action", [CLOSED, TIMED_OUT], ids=lambda a: a["verb"])
def test_a_safe_write_on_a_closed_connection_is_sent_again(target: World, action: dict[str, Any]) -> None:
    """F-10: RETRY for safe repeats; nothing is read back in between."""
    target.load({"contact": people(40, jobtitle="old")}, "r0")
    target.fault(action, message=UPSERT, nth=2)
    since = target.mark()
    assert sums(target.load({"contact": people(40, jobtitle="new")}, request_rows=20, parallel=1)) == only(updated=40)
    first = sent(target, UPSERT, since)[0]["seq"]
    assert all(UPSERT in entry["path"] for entry in target.journal(first - 1))
    assert {row["jobtitle"] for row in target.rows().values()} == {"new"}


@pytest.mark.parametrize("action", [CLOSED, TIMED_OUT], ids=lambda a: a["verb"])
def test_a_create_on_a_closed_connection_is_resolved_before_it_is_sent_again(
    target: World, undisturbed: Undisturbed, action: dict[str, Any]
) -> None:
    """F-10: RESOLVE for others."""
    frames = {"contact": people(40)}
    target.fault(action, message=CREATE, nth=2)
    assert sums(target.load(frames, request_rows=20, parallel=1)) == only(created=40)
    first = sent(target, CREATE)[0]["seq"]
    kinds = [e["method"] for e in target.journal(first - 1) if e["path"] != "WhoAmI"]
    assert kinds[:3] == ["POST", "POST", "GET"]
    assert set(kinds[3:]) == {"POST"}
    assert content(target) == undisturbed(frames)


# --- F-11: names that cannot be looked up -----------------------------------------------------------------------------


def no_name(*_: object) -> None:
    raise httpx.ConnectError("[Errno -2] Name or service not known")


def test_a_host_that_has_no_name_is_refused_within_half_a_minute(target: World) -> None:
    """F-11, at the start: REFUSE, and the host is named."""
    with over(Wire(no_name), target) as nowhere, pytest.raises(SettingsError) as caught:
        nowhere.client.who_am_i()
    assert target.origin in str(caught.value)
    assert caught.value.exit_code == 2
    assert sum(nowhere.clock.slept) < 30


def test_five_failed_look_ups_in_mid_run_are_waited_out(target: World, undisturbed: Undisturbed) -> None:
    """F-11, in mid-run: RETRY."""
    frames = {"contact": people(60)}
    with over(Wire(lambda n, _: no_name() if 4 <= n < 9 else None), target) as flaky:
        assert sums(flaky.load(frames, request_rows=20, parallel=1)) == only(created=60)
        assert len(flaky.clock.slept) >= 5
    assert content(target) == undisturbed(frames)


def test_look_ups_that_keep_failing_in_mid_run_stop_it_and_it_can_be_resumed(
    target: World, undisturbed: Undisturbed
) -> None:
    """F-11, in mid-run: STOP after the time budget."""
    frames = {"contact": people(60)}
    patience = Patience(total=600)
    with over(Wire(lambda n, _: no_name() if n >= 4 else None), target, patience) as flaky:
        with pytest.raises(Transient, match="Name or service not known") as caught:
            flaky.load(frames, request_rows=20, parallel=1)
        assert caught.value.exit_code == 3
        assert target.origin in str(caught.value)
        assert sum(flaky.clock.slept) <= 600
    assert 0 < len(target.rows()) < 60
    assert sums(target.load(frames)) == only(created=60)
    assert content(target) == undisturbed(frames)


# --- F-12: an outage longer than all patience -------------------------------------------------------------------------


@pytest.mark.parametrize("action", [CLOSED, {"verb": "status", "code": 503}], ids=lambda a: a["verb"])
def test_an_outage_longer_than_all_patience_stops_the_run_and_the_next_one_goes_on(
    target: World, undisturbed: Undisturbed, action: dict[str, Any]
) -> None:
    """F-12: STOP, resumable; the next run continues where it was."""
    frames = {"contact": people(200)}
    target.fault(action, nth=list(range(6, 2000)))
    with pytest.raises(WorldError) as caught:
        target.load(frames, request_rows=20, parallel=1)
    assert caught.value.exit_code == 3
    landed = len(target.rows())
    assert 0 < landed < 200
    target.faults([])
    since = target.mark()
    assert sums(target.load(frames, request_rows=20, parallel=1)) == only(created=200)
    assert len(sent(target, CREATE, since)) == (200 - landed) / 20
    assert committed(target, "created") == 200
    assert content(target) == undisturbed(frames)


# --- F-13: the source -------------------------------------------------------------------------------------------------


class Workspace:
    """An App API that admits ten requests in any second, for all who use the workspace together."""

    def __init__(self, clock: Instant) -> None:
        self.clock = clock
        self.admitted: deque[float] = deque()
        self.refused = 0
        self.early = 0
        self._closed_until = 0.0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        now = self.clock.now
        self.early += now < self._closed_until
        while self.admitted and self.admitted[0] <= now - 1:
            self.admitted.popleft()
        if len(self.admitted) >= 10:
            self.refused += 1
            self._closed_until = now + 1
            return httpx.Response(429, headers={"Retry-After": "1"}, json={"errors": []})
        self.admitted.append(now)
        return httpx.Response(200, json={"workspaces": []})


def reading(per_second: float, requests: int) -> Workspace:
    """The workspace after so many reads at that pace."""
    clock = Instant()
    workspace = Workspace(clock)
    pace = Pace(per_second, clock=lambda: clock.now, sleep=clock.sleep)
    with Transport(
        "https://api.example", lambda _: "Bearer k", pace=pace, client=httpx.MockTransport(workspace)
    ) as link:
        for _ in range(requests):
            assert AppApi(link).workspaces() == []
    return workspace


def test_the_pace_of_the_settings_never_meets_the_limit_of_the_source() -> None:
    """F-13: ten requests a second are the limit; the default stays below."""
    assert reading(CustomerIo().requests_per_second, 120).refused == 0


def test_a_limit_of_the_source_that_others_use_up_is_waited_for() -> None:
    """F-13: a pace that is too fast is refused by the source, and the named wait is kept."""
    workspace = reading(50.0, 60)
    assert workspace.refused > 0
    assert workspace.early == 0
