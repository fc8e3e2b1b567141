"""What really happened, by the simulator's own journal and store, in words that tests compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import httpx

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.transport import Pace, Patience, Transport
from tests.migrate.world import TOKEN, Instant, Rows, World, dataverse, plain

CREATE, UPSERT = "CreateMultiple", "UpsertMultiple"
STAMPS = ("createdon", "modifiedon", "versionnumber")
State = dict[str, dict[str, dict[str, Any]]]


def content(target: World) -> State:
    """All rows of the loaded tables, without the stamps that the server gives."""
    return {
        table: {i: {k: v for k, v in row.items() if k not in STAMPS} for i, row in target.rows(table).items()}
        for table in ("account", "contact")
    }


def sent(target: World, words: str, since: int = 0) -> Rows:
    """Requests whose path has these words, in order of arrival."""
    return [entry for entry in target.journal(since) if words in entry["path"]]


def committed(target: World, what: str, table: str = "contact") -> int:
    """How many rows were created, updated or deleted in all, also by requests whose answer was lost."""
    return sum(int((entry["committed"] or {}).get(table, {}).get(what, 0)) for entry in target.journal())


def gaps(entries: Iterable[dict[str, Any]]) -> list[float]:
    """Seconds of the server's clock between one arrival and the next."""
    return [later["elapsed"] - earlier["elapsed"] for earlier, later in pairwise(entries)]


def odata_error(code: int, error_code: str, message: str = "m", **headers: str) -> dict[str, Any]:
    """A `status` action with an error as the service words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"verb": "status", "code": code, "error_code": error_code, "message": message, "headers": named}


@dataclass
class SharedClock(Instant):
    """An Instant that moves the simulator's clock along."""

    advance: Callable[[float], None] = field(default=lambda _: None)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.advance(seconds)


@contextmanager
def on_one_clock(target: World) -> Iterator[World]:
    """Client and server share a clock that stands still until the client waits. Exact for one worker."""

    def advance(seconds: float) -> None:
        target.control.post("clock", json={"advance": seconds}).raise_for_status()

    clock = SharedClock(advance=advance)
    target.control.post("clock", json={"virtual": True}).raise_for_status()
    try:
        with dataverse(target.origin, clock) as client:
            yield replace(target, client=client, clock=clock)
    finally:
        target.control.post("clock", json={"release": True}).raise_for_status()


@dataclass
class Wire(httpx.BaseTransport):
    """The real connection; `fault` sees each request before it leaves, counted from 1, and may raise."""

    fault: Callable[[int, httpx.Request], None]
    real: httpx.HTTPTransport = field(default_factory=plain)
    seen: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen += 1
        self.fault(self.seen, request)
        return self.real.handle_request(request)

    def close(self) -> None:
        self.real.close()


@contextmanager
def over(wire: httpx.BaseTransport, target: World, patience: Patience | None = None) -> Iterator[World]:
    """The same organisation, reached over another wire."""
    clock = Instant()
    pace = Pace(clock=lambda: clock.now, sleep=clock.sleep)
    with Transport(
        target.origin, lambda _: TOKEN, headers=HEADERS, pace=pace, patience=patience or Patience(), client=wire
    ) as link:
        yield replace(target, client=Dataverse(link), clock=clock)
