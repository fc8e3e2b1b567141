"""Everything that can go wrong, as one tree.

- MigrationError
  - Refused              you must change something; nothing was written (exit code 2)
    - SettingsError      a setting or parameter is missing, unknown or out of range
    - InputError         a source file or row cannot be used
    - DecisionError      a decision is unconfirmed, stale or contradicts itself
    - GateError          production is closed, or the ledger belongs to another place
    - SchemaConflict     the target already holds something different under the same name
  - WorldError           the world failed
    - Transient          may pass: time-outs, throttling, unreachable host (exit code 3, resumable)
      - OutcomeUnknown   a write was sent and its end is not known
    - Terminal           will not pass by waiting (exit code 3, resumable after a fix)
      - AuthorityError   the caller's credentials are not accepted
        - PrivilegeError the caller is known but may not do this
      - TableRefused     one table is refused as a whole: its schema or mapping; others may go on
      - RequestRejected  the server refused one request for its content
        - Conflict       the row is not in the state that the request asked for
  - ConservationError    sums that must agree do not; our defect (exit code 4)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MigrationError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line ends with (design 7)."""

    exit_code = 4


class Refused(MigrationError):
    """You must change something first; nothing was written."""

    exit_code = 2


class SettingsError(Refused):
    """A setting or parameter is missing, unknown or out of range."""


class InputError(Refused):
    """A source file or row cannot be used; the message names file, row, source id and field (L9)."""


class DecisionError(Refused):
    """A decision is unconfirmed, stale or contradicts itself."""


class GateError(Refused):
    """Production is closed, or the ledger belongs to another place (L13, L14)."""


class SchemaConflict(Refused):
    """The target already holds something different under the same name; both definitions are in the message."""


class WorldError(MigrationError):
    """The world failed; the ledger can be resumed."""

    exit_code = 3


class Transient(WorldError):
    """May pass by itself: time-outs, throttling, an unreachable host."""


class OutcomeUnknown(Transient):
    """A write was sent and its end is not known; it has to be resolved by reading (L2).

    `parts` are the single requests of a `$batch` whose ends are not known, empty for any other request (F-16).
    """

    def __init__(self, message: str, parts: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.parts = tuple(parts)


class Terminal(WorldError):
    """Will not pass by waiting."""


class AuthorityError(Terminal):
    """The caller's credentials are not accepted."""


class PrivilegeError(AuthorityError):
    """The caller is known but may not do this (F-26, F-27)."""


class TableRefused(Terminal):
    """A table is refused as a whole, because of its schema or the mapping; other tables may go on (F-39)."""


class RequestRejected(Terminal):
    """The server refused one request for its content.

    `status` is the HTTP status, `code` the server's error code as unsigned 32-bit number (None when it gave none),
    `text` its message without the request's own values.
    """

    def __init__(self, message: str, *, status: int, code: int | None = None, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.text = text


class Conflict(RequestRejected):
    """The row was changed, created or deleted by somebody else since we looked (412); carries the server's words."""


class ConservationError(MigrationError):
    """Sums that must agree do not (L1); a defect of this program, never of the data."""


@dataclass(frozen=True)
class Place:
    """Where a message about data points (L9): `row` counts records and `line` physical lines, from 1."""

    file: str
    row: int | None = None
    line: int | None = None
    byte: int | None = None
    source_id: str | None = None
    field: str | None = None

    def __str__(self) -> str:
        """`people.csv row 12 (line 14) id=007 field=email`."""
        row = f" row {self.row}" if self.row is not None else ""
        line = f" (line {self.line})" if self.line is not None else ""
        byte = f" byte {self.byte}" if self.byte is not None else ""
        source = f" id={self.source_id}" if self.source_id is not None else ""
        return f"{self.file}{row}{line}{byte}{source}{f' field={self.field}' if self.field else ''}"


def exit_code_of(class_name: str) -> int:
    """Exit code for an error class known only by name, as papermill reports it; 4 for a class that is not ours."""
    found = globals().get(class_name)
    return found.exit_code if isinstance(found, type) and issubclass(found, MigrationError) else 4
