"""Throttles, F-01 to F-05, and what a load does with the time that Microsoft's limits leave it.

Client and simulator keep one virtual time; several workers really send at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.pace import Window
from cio2d365.transport import Patience, Transport
from tests.migrate.world import TOKEN, Rows, World, only, people, sums
from tests.virtual import Latency, VirtualTime

from .story import odata_error

BURST, TIME, CONCURRENT = "0x80072322", "0x80072321", "0x80072326"


@dataclass
class Timed:
    """A world in virtual time, and what its wire has seen."""

    target: World
    time: VirtualTime
    wire: Latency

    def load(self, rows: int, **settings: Any) -> dict[str, int]:
        with self.time.passing():
            return sums(self.target.load({"contact": people(rows)}, **settings))

    @property
    def window(self) -> Window:
        found = self.target.client.transport.pace.window
        assert found
        return found


def rows_of(request: httpx.Request) -> int:
    """How many rows a bulk request holds."""
    return len(orjson.loads(request.content)["Targets"]) if b"Targets" in request.content else 0


@contextmanager
def in_virtual_time(target: World, seconds: Callable[[httpx.Request], float] = lambda _: 0.0) -> Iterator[Timed]:
    def advance(by: float) -> None:
        target.control.post("clock", json={"advance": by}).raise_for_status()

    time = VirtualTime(advance)
    wire = Latency(time, seconds)
    target.control.post("clock", json={"virtual": True}).raise_for_status()
    patience = Patience(total=100_000)
    try:
        with Transport(
            target.origin, lambda _: TOKEN, headers=HEADERS, pace=time.pace(), patience=patience, client=wire
        ) as link:
            yield Timed(replace(target, client=Dataverse(link)), time, wire)
    finally:
        target.control.post("clock", json={"release": True}).raise_for_status()


@pytest.fixture
def timed(target: World) -> Iterator[Timed]:
    target.control.post("switches", json={"dop_hint": 8}).raise_for_status()
    with in_virtual_time(target) as found:
        yield found


def throttles(journal: Rows) -> Rows:
    return [entry for entry in journal if entry["status"] == 429]


def early(journal: Rows, seconds: float) -> Rows:
    """Requests that came after a 429 and before its wait was over."""
    found: Rows = []
    until = began = float("-inf")
    for entry in journal:
        if began < entry["elapsed"] < until - 1e-6:
            found.append(entry)
        if entry["status"] == 429:
            began, until = entry["elapsed"], max(until, entry["elapsed"] + seconds)
    return found


def many_throttles(timed: Timed, rows: int) -> int:
    """Load one row a request while every third one is told to wait 37 seconds; how many were."""
    timed.target.control.post("limits", json={"enabled": False}).raise_for_status()
    timed.target.fault(odata_error(429, BURST, Retry_After="37"), every=3)
    ended = timed.load(rows, request_rows=1, parallel=8)
    journal = timed.target.journal()
    assert ended == only(created=rows)
    assert early(journal, 37) == []
    assert timed.target.client.transport.traffic.throttled == len(throttles(journal))
    return len(throttles(journal))


def test_no_request_of_any_worker_comes_before_a_named_wait_is_over(timed: Timed) -> None:
    """F-01: 429 with Retry-After binds all workers of the identity."""
    assert many_throttles(timed, 240) >= 100


@pytest.mark.deep
def test_a_thousand_throttles_and_no_request_arrives_early(timed: Timed) -> None:
    """F-01: a thousand times, in virtual time."""
    assert many_throttles(timed, 2200) >= 1000


def test_without_a_named_wait_the_waits_grow(timed: Timed) -> None:
    """F-02: three 429 in a row without Retry-After; the attempts are counted for the run log."""
    timed.target.fault(odata_error(429, BURST), message="CreateMultiple", times=3)
    assert timed.load(50, request_rows=50, parallel=1) == only(created=50)
    arrivals = [e["elapsed"] for e in timed.target.journal() if "CreateMultiple" in e["path"]]
    waits = [later - before for before, later in pairwise(arrivals)]
    assert len(waits) == 3
    assert 0.25 <= waits[0] <= 0.5
    assert 0.5 <= waits[1] <= 1.0 < waits[2] * 1.001 <= 2.003
    assert timed.target.client.transport.traffic.repeated == 3


def test_too_many_at_once_means_fewer_workers_that_come_back_slowly(target: World) -> None:
    """F-03: 0x80072326 halves the requests under way; they climb again one by one, never above the cap."""
    target.control.post("switches", json={"dop_hint": 16}).raise_for_status()
    with in_virtual_time(target, lambda r: 0.5 if rows_of(r) else 0.0) as timed:
        timed.target.control.post("limits", json={"enabled": False}).raise_for_status()
        timed.target.fault(odata_error(429, CONCURRENT, Retry_After="5"), message="CreateMultiple", nth=40)
        assert timed.load(600, request_rows=2, parallel=8) == only(created=600)
    moment = throttles(target.journal())[0]["elapsed"]
    start = target.journal()[0]["elapsed"]
    after = [(at + start - moment, count) for at, count in timed.wire.history if at + start > moment + 4.9]
    before = [count for at, count in timed.wire.history if at + start <= moment]
    assert max(before) == 8
    assert max(count for at, count in after[:60]) == 4
    assert max(count for _, count in after) in (5, 6, 7, 8)
    assert timed.window.halvings == 1


def under_limits(target: World, rows: int, per_row: float, **limits: Any) -> Timed:
    """Load under service protection limits; a request takes 50 ms and so many seconds a row, as the limits count it."""
    costs = {"seconds_per_request": 0.05, "seconds_per_row": per_row}
    target.control.post("limits", json=costs | limits).raise_for_status()
    target.control.post("switches", json={"dop_hint": 8}).raise_for_status()
    with in_virtual_time(target, lambda r: 0.05 + (0.05 + per_row * rows_of(r)) * bool(rows_of(r))) as timed:
        assert timed.load(rows, request_rows=100, parallel=8) == only(created=rows)
    return timed


def test_too_much_execution_time_makes_it_less_not_more(target: World) -> None:
    """F-04: 0x80072321 when the window's execution time is used up: fewer requests at once, none early, none lost."""
    timed = under_limits(target, 4000, 0.004, window_seconds=3, execution_seconds=6)
    refused = throttles(target.journal())
    assert refused
    assert {entry["code"] for entry in refused} == {TIME}
    assert timed.window.halvings >= 1
    assert timed.window.width < 8


def test_a_storm_is_one_shared_wait(timed: Timed) -> None:
    """F-05: for 120 seconds every request is refused; at most one per worker is sent in that time."""
    timed.target.fault(odata_error(429, BURST, Retry_After="120"), window=[0, 119.9], message="CreateMultiple")
    assert timed.load(400, request_rows=25, parallel=8) == only(created=400)
    journal = timed.target.journal()
    assert 1 <= len(throttles(journal)) <= 8
    assert early(journal, 120) == []


@pytest.mark.deep
def test_a_load_keeps_most_of_the_permitted_time_busy(target: World) -> None:
    """`dataverse-api 8.1`: of 1,200 s of execution time per 300 s, 85 % are used by a load of a quarter of an hour."""
    rows, per_row = 60_000, 0.06
    timed = under_limits(target, rows, per_row)
    requests = sum("CreateMultiple" in e["path"] and e["status"] < 400 for e in target.journal())
    executed = requests * 0.05 + rows * per_row
    assert timed.time.now > 800
    print("BUSY", timed.time.now, executed / (timed.time.now * 4), len(throttles(target.journal())), timed.window)
    assert executed / (timed.time.now * 4) >= 0.85
    assert len(throttles(target.journal())) <= 16
