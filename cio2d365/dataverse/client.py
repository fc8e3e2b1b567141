"""One Dataverse environment: send a request value, read pages, say who we are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import polars as pl

from cio2d365.dataverse import requests
from cio2d365.dataverse.codes import Class, ServerError, read_error
from cio2d365.errors import (
    AuthorityError,
    Conflict,
    OutcomeUnknown,
    PrivilegeError,
    RequestRejected,
    Terminal,
    Transient,
)
from cio2d365.tables import Table
from cio2d365.transport import Request, Response, Transport, retry_after

Row = dict[str, Any]
TRIES = 3
# Refusals worth the same request again: how often in all, and how many seconds the wait grows by each time.
AGAIN: Mapping[Class, tuple[int, float]] = {Class.TRANSIENT: (5, 1.0), Class.UNKNOWN: (TRIES, 1.0)}
LOCK_TRIES, LOCK_WAIT = 60, 15.0  # a customisation can hold the lock for minutes (F-09)


def never(_: Response) -> bool:
    """No refusal is an end before it was tried again."""
    return False


@dataclass(frozen=True)
class Identity:
    """Who the server says we are, and how many requests at once it recommends."""

    organization_id: str
    user_id: str
    business_unit_id: str
    parallel_hint: int


@dataclass(frozen=True)
class Stored:
    """A row as the server holds it, and the version of it that conditional writes name."""

    values: Row
    etag: str
    created: bool = False


class Dataverse:
    """Sends request values and turns refusals into our errors.

    Raises AuthorityError, RequestRejected (with the server's code; Conflict for 412), Transient, OutcomeUnknown,
    Terminal.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def send(self, request: Request) -> Response:
        """The answer of a request that succeeded."""
        answer = self.answer(request)
        if answer.status >= 400:
            raise refusal(request, read_error(answer))
        return answer

    def answer(self, request: Request, *, final: Callable[[Response], bool] = never) -> Response:
        """The last answer of a request, success or refusal, after the tries that its cause deserves.

        What `final` holds for is not tried again.
        """
        attempt = 0
        while True:
            attempt += 1
            answer = self.transport.send(request, settled=lambda a: _is_locked(a) or final(a))
            wait = None if answer.status < 400 or final(answer) else wait_before(read_error(answer).cause, attempt)
            if wait is None:
                return answer
            spread = 1.0 + self.transport.jitter() / 2  # workers that met in a deadlock must not meet again (F-47)
            self.transport.pace.pause(max(wait * spread, retry_after(answer.headers) or 0.0))

    def who_am_i(self) -> Identity:
        """The organisation and user behind the token."""
        answer, body = self._whole(requests.get("WhoAmI"), self.send)
        hint = answer.headers.get("x-ms-dop-hint") or "4"
        organization, user, unit = (str(body[k]).lower() for k in ("OrganizationId", "UserId", "BusinessUnitId"))
        return Identity(organization, user, unit, int(hint) if hint.isdigit() else 4)

    def value(self, path: str, query: Mapping[str, str] | None = None, *, fresh: bool = False) -> Row:
        """One JSON object."""
        return cast(Row, self.read(requests.get(path, query, fresh=fresh)))

    def stored(self, request: Request) -> Stored:
        """The row that a read, or a write with representation, answers with. Terminal when it comes without ETag."""
        answer = self.send(request)
        row = parsed(request, answer)
        if not isinstance(row, dict) or not row.get("@odata.etag"):
            raise Terminal(f"{request.label}: the answer is not a row with its version")
        return Stored(row, str(row["@odata.etag"]), answer.status == 201)

    def pages(self, request: Request) -> Iterator[list[Row]]:
        """All pages; one that does not parse, or leads back, is an error, never an end (F-18, F-19)."""
        current: Request | None = request
        seen = {request.path}
        while current:
            body = self.read(current)
            yield rows_of(body, current.label)
            current = self._next(body, current)
            if current and current.path in seen:
                raise Terminal(f"{current.label}: the server leads back to a page that was read already")
            seen.add(current.path if current else "")

    def _next(self, body: Row, current: Request) -> Request | None:
        link = body.get("@odata.nextLink")
        if link is None:
            return None
        if not isinstance(link, str) or not link:
            raise Terminal(f"{current.label}: the link to the next page is not an address")
        return Request("GET", self.transport.relative(link), headers=current.headers)

    def rows(self, request: Request) -> Iterator[Row]:
        """All rows of all pages."""
        for page in self.pages(request):
            yield from page

    def read_table(self, table: Table, select: Sequence[str], where: str = "") -> pl.DataFrame:
        """Rows as a frame of the selected columns; lookups are read as `_<name>_value`."""
        pages = [page for page in self.pages(requests.rows(table, select, where)) if page]
        rows = [{name: row.get(name) for name in select} for page in pages for row in page]
        frame = pl.DataFrame(rows, schema=list(select), infer_schema_length=None)
        return frame.with_columns(pl.col(pl.Null).cast(pl.String))

    def rows_by_id(
        self, table: Table, ids: Iterable[str], select: Sequence[str], *, lookup_tables: bool = False
    ) -> Iterator[Row]:
        """Those rows whose primary key is among `ids`, in requests of 400 ids.

        With `lookup_tables` each lookup comes with an annotation that names the table it points to.
        """
        rest = iter(ids)
        while batch := list(islice(rest, requests.IDS_PER_QUERY)):
            yield from self.rows(requests.rows_by_id(table, batch, select, lookup_tables=lookup_tables))

    def existing_ids(self, table: Table, ids: Iterable[str]) -> set[str]:
        """Which of our ids are there."""
        return {str(row[table.primary_id]).lower() for row in self.rows_by_id(table, ids, [table.primary_id])}

    def read(self, request: Request, through: Callable[[Request], Response] | None = None) -> Any:
        """The JSON of a read, asked for again when it does not parse; `through` is another way to send it."""
        return self._whole(request, through or self.send)[1]

    def _whole(self, request: Request, send: Callable[[Request], Response]) -> tuple[Response, Any]:
        """An answer and its JSON; one that does not parse is asked for again, after a wait (F-18)."""
        for attempt in range(1, TRIES + 1):
            answer = send(request)
            try:
                return answer, answer.json()
            except ValueError:
                self.transport.pace.pause(float(attempt))
        raise Transient(f"{request.label} answered {TRIES} times with something that is not JSON: {answer.excerpt()}")


def parsed(request: Request, answer: Response) -> Any:
    """The JSON of an answer. When it is none a read failed, but a write has happened: OutcomeUnknown (F-17)."""
    try:
        return answer.json()
    except ValueError:
        kind = Transient if request.method == "GET" else OutcomeUnknown
        raise kind(f"{request.label}: the answer is not JSON: {answer.excerpt()}") from None


def _is_locked(answer: Response) -> bool:
    """The lock of a customisation comes as 429, but lasts minutes and is not about our pace (F-09)."""
    return read_error(answer).cause is Class.LOCK


def rows_of(body: object, label: str) -> list[Row]:
    """The rows of one page. Terminal when the answer has another shape."""
    rows = body.get("value") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Terminal(f"{label}: the answer is not a list of rows")
    return rows


def wait_before(cause: Class, attempt: int) -> float | None:
    """Seconds before the same request goes again, or None when it does not."""
    if cause is Class.LOCK:
        return LOCK_WAIT if attempt < LOCK_TRIES else None
    tries, growth = AGAIN.get(cause, (1, 0.0))
    return growth * attempt if attempt < tries else None


def refusal(request: Request, error: ServerError) -> Exception:
    """The server's refusal as one of our errors."""
    text = f"{request.label}: {error}"
    if error.cause is Class.AUTHORITY:
        return AuthorityError(text) if error.status == 401 else PrivilegeError(text)
    if error.cause is Class.STORAGE:
        return Terminal(f"{text}. The environment has no room left; free storage, then run again")
    if error.cause in (Class.LOCK, Class.TRANSIENT):
        return Transient(text)
    kind = Conflict if error.cause is Class.CONFLICT or _asked_for_a_state(request, error) else RequestRejected
    return kind(text, status=error.status, code=error.code, text=error.text)


def _asked_for_a_state(request: Request, error: ServerError) -> bool:
    """A create that must not update is refused with the code of a double key (dataverse-api 3)."""
    return error.status == 412 and ("If-None-Match" in request.headers or "If-Match" in request.headers)
