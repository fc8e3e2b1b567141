"""What became of a row or a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The end of one row in one run. `UNKNOWN` is never counted: it is resolved by reading the target (L2)."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Refusal:
    """Why the server refused one row: its code (unsigned 32 bit, None when it gave none) and its text."""

    code: int | None
    text: str

    def __str__(self) -> str:
        """`0x80044331 text`."""
        return f"0x{self.code:08x} {self.text}" if self.code is not None else self.text


@dataclass(frozen=True)
class RowOutcome:
    """One row's end: `row_id` is its GUID in the target."""

    row_id: str
    outcome: Outcome
    refusal: Refusal | None = None
