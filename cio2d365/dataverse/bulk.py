"""Write many rows: all-or-nothing requests, bad rows isolated by halving, unclear ends resolved by reading.

Laws L2, L6, L7. To find k bad rows among n takes at most 1 + 2k⌈log2 n⌉ requests (F-37).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cio2d365.dataverse import requests
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.codes import Class, ServerError
from cio2d365.errors import OutcomeUnknown, RequestRejected, Terminal
from cio2d365.outcomes import Outcome, Refusal, RowOutcome
from cio2d365.tables import Table
from cio2d365.transport import Request

Row = Mapping[str, Any]
TAG = "importsequencenumber"  # create-only on every table: the number of the run that created a row (dataverse-api 3)
UNCLEAR_TRIES = 3
SCHEMA_TRIES, SCHEMA_WAIT = 6, 5.0  # a new table or column can be unknown to a server for half a minute (F-29, F-30)


class Streak:
    """Stops a table when many rows in a row fail with one code and none lands between: that is not the rows (F-39)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._code: int | None = None
        self._count = 0

    def landed(self) -> None:
        """Rows landed."""
        with self._lock:
            self._count = 0

    def refused(self, table: str, refusal: Refusal) -> None:
        """A row was refused; raises Terminal at the limit."""
        with self._lock:
            self._count = self._count + 1 if refusal.code == self._code else 1
            self._code = refusal.code
            if self._count >= self._limit:
                raise Terminal(
                    f"{self._count} rows of {table} in a row were refused alike ({refusal}); this looks like schema or "
                    "mapping, not like data. Nothing more was sent to this table"
                )


def create(client: Dataverse, table: Table, rows: Sequence[Row], streak: Streak, unclear: int = 0) -> list[RowOutcome]:
    """Create rows with ids and an `importsequencenumber` that we chose.

    Rows that are there already without that number were not put there by us: they come back with outcome UNKNOWN.
    """
    try:
        _send(client, lambda: requests.create_multiple(table, rows))
    except OutcomeUnknown:
        if unclear == UNCLEAR_TRIES:
            raise
        return _after_reading(client, table, rows, streak, unclear + 1)
    except RequestRejected as error:
        if _cause(error) is Class.EXISTS and unclear < UNCLEAR_TRIES:
            return _after_reading(client, table, rows, streak, unclear + 1)
        return _halved(client, table, rows, streak, error, lambda part: create(client, table, part, streak, unclear))
    return _all(table, rows, streak, Outcome.CREATED)


def upsert(client: Dataverse, table: Table, rows: Sequence[Row], streak: Streak) -> list[RowOutcome]:
    """Create or update rows by primary key; harmless to repeat."""
    try:
        _send(client, lambda: requests.upsert_multiple(table, rows))
    except RequestRejected as error:
        return _halved(client, table, rows, streak, error, lambda part: upsert(client, table, part, streak))
    return _all(table, rows, streak, Outcome.UPDATED)


def _send(client: Dataverse, build: Callable[[], Request]) -> None:
    for attempt in range(1, SCHEMA_TRIES + 1):
        try:
            client.send(build())
            return
        except RequestRejected as error:
            if _cause(error) is not Class.SCHEMA or attempt == SCHEMA_TRIES:
                raise
            client.transport.pace.pause(SCHEMA_WAIT)


def _after_reading(
    client: Dataverse, table: Table, rows: Sequence[Row], streak: Streak, unclear: int
) -> list[RowOutcome]:
    """Some of the rows are there, by this call or before it: sort them out and send the rest again."""
    there = tags(client, table, (str(r[table.primary_id]) for r in rows))
    found = [
        RowOutcome(
            str(r[table.primary_id]), Outcome.CREATED if there[r[table.primary_id]] == r[TAG] else Outcome.UNKNOWN
        )
        for r in rows
        if r[table.primary_id] in there
    ]
    rest = [r for r in rows if r[table.primary_id] not in there]
    return found + (create(client, table, rest, streak, unclear) if rest else [])


def tags(client: Dataverse, table: Table, ids: Iterable[str]) -> dict[str, int | None]:
    """Which of some ids are there, and the number of the run that created each."""
    rows = client.rows_by_id(table, ids, [table.primary_id, TAG])
    return {str(row[table.primary_id]).lower(): row.get(TAG) for row in rows}


def _halved(
    client: Dataverse,
    table: Table,
    rows: Sequence[Row],
    streak: Streak,
    error: RequestRejected,
    again: Callable[[Sequence[Row]], list[RowOutcome]],
) -> list[RowOutcome]:
    if _cause(error) is Class.SCHEMA:
        raise Terminal(
            f"the target does not know what is sent to {table.name}: {error}. Run 04_schema, then load again"
        )
    if len(rows) > 1:
        middle = len(rows) // 2
        return again(rows[:middle]) + again(rows[middle:])
    refusal = Refusal(error.code, error.text)
    streak.refused(table.name, refusal)
    return [RowOutcome(str(rows[0][table.primary_id]), Outcome.QUARANTINED, refusal)]


def _all(table: Table, rows: Sequence[Row], streak: Streak, outcome: Outcome) -> list[RowOutcome]:
    streak.landed()
    return [RowOutcome(str(row[table.primary_id]), outcome) for row in rows]


def _cause(error: RequestRejected) -> Class:
    return ServerError(error.status, error.code, error.text).cause
