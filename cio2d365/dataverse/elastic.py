"""Bulk messages on elastic tables: at most 100 rows, each with its own end (`dataverse-api 5.2, 11`).

Reads see our own writes only with the session token that the last write answered with. An upsert replaces the row as a
whole: columns that are not sent are emptied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from cio2d365.dataverse import requests
from cio2d365.dataverse.client import AGAIN, Dataverse, refusal
from cio2d365.dataverse.codes import TRANSIENT_STATUS, Class, ServerError, read_error
from cio2d365.dataverse.options import PLAIN, WriteOptions
from cio2d365.errors import InputError, OutcomeUnknown
from cio2d365.outcomes import Outcome, Refusal, RowOutcome
from cio2d365.tables import Table
from cio2d365.transport import Request, Response, retry_after

Row = Mapping[str, Any]
Message = Literal["CreateMultiple", "UpdateMultiple", "UpsertMultiple", "DeleteMultiple"]
LIMIT = 100
DETAILS = "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"
ENDS: dict[Message, Outcome] = {
    "CreateMultiple": Outcome.CREATED, "UpdateMultiple": Outcome.UPDATED, "UpsertMultiple": Outcome.UPDATED,
}  # fmt: skip
TAKEN = (409, 412)  # the id of a new row is there already, by an earlier try of ours or by somebody else
TRIES = AGAIN[Class.TRANSIENT][0]


@dataclass(frozen=True)
class Sent:
    """What became of the rows of a message, in their order, and the session to read them back in."""

    outcomes: tuple[RowOutcome, ...]
    session: str = ""


@dataclass(frozen=True)
class Failure:
    """One row that the server did not take: its place in the request and an HTTP status of its own."""

    index: int
    status: int


def message_request(
    table: Table, message: Message, rows: Sequence[Row], options: WriteOptions = PLAIN, session: str = ""
) -> Request:
    """One bulk message; only a create must not be repeated blindly.

    ValueError for more than 100 rows, InputError for one without its id.
    """
    if len(rows) > LIMIT:
        raise ValueError(f"an elastic table takes at most {LIMIT} rows per request, not {len(rows)}")
    if not all(row.get(table.primary_id) for row in rows):
        raise InputError(f"{message} of {table.name}: every row needs its {table.primary_id}")
    request = requests.bulk_message(table, message, rows, options, repeatable=message != "CreateMultiple")
    noted = {**request.headers, "Prefer": 'odata.include-annotations="*"'}
    return in_session(replace(request, headers=noted), session)


def in_session(request: Request, session: str) -> Request:
    """The same request, seeing what was written in that session."""
    return replace(request, headers={**request.headers, "MSCRM.SessionToken": session}) if session else request


def create(client: Dataverse, table: Table, rows: Sequence[Row], session: str = "") -> Sent:
    """New rows with ids that we chose; UNKNOWN is one whose id is there already, or that failed for too long.

    Raises OutcomeUnknown when nothing is known about the rows of a request.
    """
    return _send_all(client, table, "CreateMultiple", rows, session)


def update(client: Dataverse, table: Table, rows: Sequence[Row], session: str = "") -> Sent:
    """Existing rows by primary key (and partition)."""
    return _send_all(client, table, "UpdateMultiple", rows, session)


def upsert(client: Dataverse, table: Table, rows: Sequence[Row], session: str = "") -> Sent:
    """Rows by primary key, created or replaced as a whole."""
    return _send_all(client, table, "UpsertMultiple", rows, session)


def delete(client: Dataverse, table: Table, rows: Sequence[Row], session: str = "") -> Sent:
    """Delete rows by primary key (and partition): `outcomes` are those that could not be, gone ones not among them."""
    sent = _send_all(client, table, "DeleteMultiple", rows, session)
    return replace(sent, outcomes=tuple(o for o in sent.outcomes if o.refusal))


def _send_all(client: Dataverse, table: Table, message: Message, rows: Sequence[Row], session: str) -> Sent:
    outcomes: list[RowOutcome] = []
    for start in range(0, len(rows), LIMIT):
        sent = _send(client, table, message, rows[start : start + LIMIT], session)
        outcomes += sent.outcomes
        session = sent.session
    return Sent(tuple(outcomes), session)


def _send(client: Dataverse, table: Table, message: Message, rows: Sequence[Row], session: str) -> Sent:
    """One request, and again for the rows that failed for a moment."""
    ends: dict[int, RowOutcome] = {}
    waiting = list(range(len(rows)))
    for attempt in range(1, TRIES + 1):
        some = [rows[n] for n in waiting]
        answer, error = _answer(client, message_request(table, message, some, session=session))
        session = _session(answer) or session
        failed = {f.index: f for f in _failures(answer, len(some))} if error else {}
        ends |= {n: _end(table, message, rows[n], failed.get(at), error, len(failed)) for at, n in enumerate(waiting)}
        waiting = [n for at, n in enumerate(waiting) if at in failed and failed[at].status in TRANSIENT_STATUS]
        if not waiting:
            break
        client.transport.pace.pause(max(float(attempt), retry_after(answer.headers) or 0.0))
    return Sent(tuple(ends[n] for n in range(len(rows))), session)


def _answer(client: Dataverse, request: Request) -> tuple[Response, ServerError | None]:
    """The answer, and its error when it says which rows failed; any other refusal is raised."""
    answer = client.answer(request, final=_is_partial)
    if answer.status < 400:
        return answer, None
    error = read_error(answer)
    if not _is_partial(answer):
        raise refusal(request, error)
    return answer, error


def _details(answer: Response) -> object:
    try:
        return orjson.loads(answer.body)["error"].get(DETAILS)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_partial(answer: Response) -> bool:
    return answer.status >= 400 and _details(answer) is not None


def _failures(answer: Response, rows: int) -> Iterator[Failure]:
    """The failed rows. OutcomeUnknown when the list cannot be read: then any row may be there."""
    try:
        listed = orjson.loads(str(_details(answer)))
        found = [Failure(int(f["RequestIndex"]), int(f["StatusCode"])) for f in listed]
    except (ValueError, KeyError, TypeError):
        found = []
    if not found or any(not 0 <= f.index < rows for f in found):
        raise OutcomeUnknown(f"the server does not say which of {rows} rows it refused: {answer.excerpt()}")
    yield from found


def _end(
    table: Table, message: Message, row: Row, failure: Failure | None, error: ServerError | None, failures: int
) -> RowOutcome:
    row_id = str(row[table.primary_id])
    gone = message == "DeleteMultiple" and failure is not None and failure.status == 404
    if failure is None or error is None or gone:
        return RowOutcome(row_id, ENDS.get(message, Outcome.UNCHANGED))
    # The error has one text for all rows: it is told of a row only when no other row can be meant.
    refusal = (
        Refusal(error.code, error.text) if failures == 1 else Refusal(None, f"refused with status {failure.status}")
    )
    open_end = failure.status in TRANSIENT_STATUS or (message == "CreateMultiple" and failure.status in TAKEN)
    return RowOutcome(row_id, Outcome.UNKNOWN if open_end else Outcome.QUARANTINED, refusal)


def _session(answer: Response) -> str:
    return str({name.lower(): value for name, value in answer.headers.items()}.get("x-ms-session-token", ""))
