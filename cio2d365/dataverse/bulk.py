"""Write many rows: all-or-nothing requests, bad rows isolated by halving, unclear ends resolved by reading.

Laws L2, L6, L7. To find k bad rows among n takes at most 1 + 2k⌈log2 n⌉ requests (F-37).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cio2d365.dataverse import requests
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.codes import Class, ServerError
from cio2d365.dataverse.options import PLAIN, WriteOptions
from cio2d365.errors import OutcomeUnknown, RequestRejected, TableRefused
from cio2d365.outcomes import Outcome, Refusal, RowOutcome
from cio2d365.tables import Table
from cio2d365.transport import Request, Response

Row = Mapping[str, Any]
TAG = "importsequencenumber"  # create-only on every table: the number of the run that created a row (dataverse-api 3)
NOT_THERE = frozenset({0x80040217, 0x80060891})  # no row with that id, or with that key (dataverse-api 18)
UNCLEAR_TRIES = 3
NO_CONTENT = 204  # how UpsertMultiple says that all rows landed (dataverse-api 5.1)
FEW_ROWS = 100  # where Microsoft suggests to start (dataverse-api 5.3)
SOON, SLOW = 2.0, 10.0  # seconds for one request: below the first it may grow, above the second it shrinks
SCHEMA_TRIES, SCHEMA_WAIT = 9, 5.0  # a new table or column can be unknown to a server for half a minute (F-29, F-30)


class Flow:
    """What sending to one table has taught, shared by all workers.

    How many rows a request holds: few at first, twice as many while the answers come soon, half as many when they
    take long. What the server once found too large stays a ceiling (F-46). And how many rows in a row were refused
    alike while none landed between: at `same_error_limit` it is not the rows (F-39). `options` go with every write.
    """

    def __init__(self, request_rows: int, same_error_limit: int, options: WriteOptions = PLAIN) -> None:
        self.options = options
        self.ceiling = request_rows
        self.rows = min(request_rows, max(FEW_ROWS, request_rows // 4))
        self._limit = same_error_limit
        self._lock = threading.Lock()
        self._code: int | None = None
        self._count = 0

    def cut(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """The rows in requests of the size that is right by the time each is taken."""
        start = 0
        while start < len(rows):
            size = self.rows
            yield rows[start : start + size]
            start += size

    def landed(self, rows: int, seconds: float) -> None:
        """So many rows landed with one request that took so long."""
        with self._lock:
            self._count = 0
            if seconds > SLOW:
                self.rows = min(self.rows, max(FEW_ROWS, rows // 2))
            elif seconds < SOON and rows >= self.rows:
                self.rows = min(self.ceiling, rows * 2)

    def took_too_long(self, rows: int) -> None:
        """A request of so many rows had no answer in time."""
        with self._lock:
            self.rows = min(self.rows, max(1, rows // 2))

    def too_large(self, rows: int) -> None:
        """A request of so many rows was too large."""
        with self._lock:
            self.ceiling = min(self.ceiling, max(1, rows // 2))
            self.rows = min(self.rows, self.ceiling)

    def refused(self, table: str, refusal: Refusal) -> None:
        """A row was refused; raises TableRefused at the limit."""
        with self._lock:
            self._count = self._count + 1 if refusal.code == self._code else 1
            self._code = refusal.code
            if self._count >= self._limit:
                raise TableRefused(
                    f"{self._count} rows of {table} in a row were refused alike ({refusal}); this looks like schema or "
                    "mapping, not like data. Nothing more was sent to this table"
                )


def create(client: Dataverse, table: Table, rows: Sequence[Row], flow: Flow) -> list[RowOutcome]:
    """Create rows with ids and an `importsequencenumber` that we chose.

    Rows that are there already without that number were not put there by this run: their outcome is UNKNOWN.
    """
    return [o for part in flow.cut(rows) for o in _create(client, table, part, flow, 0)]


def upsert(client: Dataverse, table: Table, rows: Sequence[Row], flow: Flow) -> list[RowOutcome]:
    """Create or update rows by primary key; harmless to repeat."""
    return [o for part in flow.cut(rows) for o in _upsert(client, table, part, flow)]


def _create(client: Dataverse, table: Table, rows: Sequence[Row], flow: Flow, unclear: int) -> list[RowOutcome]:
    try:
        seconds = _send(
            client, requests.create_multiple(table, rows, flow.options), lambda answer: _names(answer, len(rows))
        )
    except OutcomeUnknown:
        flow.took_too_long(len(rows))
        if unclear >= UNCLEAR_TRIES and len(rows) == 1:
            raise
        return _after_reading(client, table, rows, flow, unclear + 1)
    except RequestRejected as error:
        if _cause(error) is Class.EXISTS and unclear < UNCLEAR_TRIES:
            return _after_reading(client, table, rows, flow, unclear + 1)
        return _halved(table, rows, flow, error, lambda part: _create(client, table, part, flow, unclear))
    return _all(table, rows, flow, seconds, Outcome.CREATED)


def _upsert(client: Dataverse, table: Table, rows: Sequence[Row], flow: Flow) -> list[RowOutcome]:
    try:
        request = replace(requests.upsert_multiple(table, rows, flow.options), divisible=len(rows) > 1)
        seconds = _send(client, request, lambda answer: answer.status == NO_CONTENT)
    except OutcomeUnknown:
        flow.took_too_long(len(rows))
        if len(rows) == 1:
            raise
        return _in_halves(rows, lambda part: _upsert(client, table, part, flow))
    except RequestRejected as error:
        return _halved(table, rows, flow, error, lambda part: _upsert(client, table, part, flow))
    return _all(table, rows, flow, seconds, Outcome.UPDATED)


def _send(client: Dataverse, request: Request, confirms: Callable[[Response], bool]) -> float:
    """Send a write; how many seconds it took. OutcomeUnknown when the answer of success is not the service's own.

    A gateway between us and the service can answer 200 with a page of its own (F-20). A create is not sent again after
    that, what is harmless to repeat is.
    """
    for attempt in range(1, SCHEMA_TRIES + 1):
        try:
            answer = client.send(request)
        except RequestRejected as error:
            if _cause(error) is not Class.SCHEMA or attempt == SCHEMA_TRIES:
                raise
            client.transport.pace.pause(SCHEMA_WAIT)
            continue
        if confirms(answer):
            return answer.seconds
        client.transport.pace.pause(float(attempt))
        if not request.repeatable:
            break
    raise OutcomeUnknown(f"{request.label}: status {answer.status}, but not as the service says it: {answer.excerpt()}")


def _names(answer: Response, rows: int) -> bool:
    """The answer of CreateMultiple: an id for each row (`dataverse-api 5.1`)."""
    try:
        ids = answer.json()["Ids"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(ids, list) and len(ids) == rows


def _after_reading(client: Dataverse, table: Table, rows: Sequence[Row], flow: Flow, unclear: int) -> list[RowOutcome]:
    """Some of the rows are there, by this call or before it: sort them out and send the rest again."""
    there = tags(client, table, (str(r[table.primary_id]) for r in rows))
    found = [_found(table, r, there) for r in rows if r[table.primary_id] in there]
    rest = [r for r in rows if r[table.primary_id] not in there]
    if found:
        flow.landed(0, 0.0)
    return found + [o for part in flow.cut(rest) for o in _create(client, table, part, flow, unclear)]


def _found(table: Table, row: Row, there: Mapping[str, int | None]) -> RowOutcome:
    row_id = str(row[table.primary_id])
    return RowOutcome(row_id, Outcome.CREATED if there[row_id] == row[TAG] else Outcome.UNKNOWN)


def tags(client: Dataverse, table: Table, ids: Iterable[str]) -> dict[str, int | None]:
    """Which of some ids are there, and the number of the run that created each."""
    rows = client.rows_by_id(table, ids, [table.primary_id, TAG])
    return {str(row[table.primary_id]).lower(): row.get(TAG) for row in rows}


def _halved(
    table: Table,
    rows: Sequence[Row],
    flow: Flow,
    error: RequestRejected,
    again: Callable[[Sequence[Row]], list[RowOutcome]],
) -> list[RowOutcome]:
    cause = _cause(error)
    if cause is Class.SCHEMA:
        raise TableRefused(
            f"the target does not know what is sent to {table.name}: {error}. Run 04_schema, then load again"
        )
    if cause is Class.SMALLER:
        flow.too_large(len(rows))
    if len(rows) > 1:
        return _in_halves(rows, again)
    refusal = Refusal(error.code, error.text)
    if not lacks_target(rows[0], refusal):
        flow.refused(table.name, refusal)
    return [RowOutcome(str(rows[0][table.primary_id]), Outcome.QUARANTINED, refusal)]


def lacks_target(row: Row, refusal: Refusal) -> bool:
    """Whether a row may have been refused because one that it points to is not there (F-43)."""
    return refusal.code in NOT_THERE and any(name.endswith("@odata.bind") for name in row)


def _in_halves(rows: Sequence[Row], again: Callable[[Sequence[Row]], list[RowOutcome]]) -> list[RowOutcome]:
    middle = len(rows) // 2
    return again(rows[:middle]) + again(rows[middle:])


def _all(table: Table, rows: Sequence[Row], flow: Flow, seconds: float, outcome: Outcome) -> list[RowOutcome]:
    flow.landed(len(rows), seconds)
    return [RowOutcome(str(row[table.primary_id]), outcome) for row in rows]


def _cause(error: RequestRejected) -> Class:
    return ServerError(error.status, error.code, error.text).cause
