"""Classify what the server says: by code, then status, then text (L6; codes in `dataverse-api 18`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from cio2d365.transport import Response


class Class(StrEnum):
    """What to do about a refusal."""

    LOCK = "lock"  # a customisation runs: wait minutes, one writer
    TRANSIENT = "transient"  # the same again after a wait
    SMALLER = "smaller"  # the same rows in smaller requests
    RECORD = "record"  # one row is at fault: isolate it
    EXISTS = "exists"  # a row with this primary key is there already
    CONFLICT = "conflict"  # somebody changed the row meanwhile
    AUTHORITY = "authority"  # the caller may not: stop the table
    SCHEMA = "schema"  # column, key or table is not (yet) known
    STORAGE = "storage"  # no room: stop at once
    UNKNOWN = "unknown"  # few tries, then isolate


CODES: Mapping[int, Class] = {
    0x80072322: Class.TRANSIENT, 0x80072321: Class.SMALLER, 0x80072326: Class.TRANSIENT,
    0x80071151: Class.LOCK,
    0x80072324: Class.TRANSIENT, 0x80072323: Class.TRANSIENT, 0x80072325: Class.STORAGE,
    0x80044151: Class.SMALLER, 0x80044150: Class.TRANSIENT,
    0x80040255: Class.TRANSIENT, 0x80040251: Class.TRANSIENT, 0x80048105: Class.TRANSIENT,
    0x80044339: Class.TRANSIENT, 0x8004ED47: Class.TRANSIENT,
    0x80040216: Class.UNKNOWN,
    0x80060882: Class.CONFLICT,
    0x80040237: Class.EXISTS, 0x80060892: Class.RECORD, 0x80040333: Class.RECORD,
    0x80060891: Class.RECORD, 0x80040217: Class.RECORD,
    0x80044331: Class.RECORD, 0x8004432F: Class.RECORD, 0x80044330: Class.RECORD, 0x8004431A: Class.RECORD,
    0x80040239: Class.RECORD, 0x80040278: Class.RECORD, 0x80048D19: Class.RECORD, 0x80040265: Class.RECORD,
    0x8004022B: Class.RECORD, 0x80040225: Class.RECORD, 0x80040229: Class.RECORD, 0x80040231: Class.RECORD,
    0x80040220: Class.AUTHORITY, 0x80048306: Class.AUTHORITY, 0x80042F09: Class.AUTHORITY,
    0x80060890: Class.SCHEMA, 0x8006088A: Class.SCHEMA,
}  # fmt: skip

# An unknown column shares its code with payloads that are one row's fault; only the text tells (dataverse-api 18).
UNKNOWN_PROPERTY = ("Could not find a property named", "does not exist on type")


@dataclass(frozen=True)
class ServerError:
    """The server's own words: `code` as unsigned 32-bit number, None when it gave none."""

    status: int
    code: int | None
    text: str

    @property
    def cause(self) -> Class:
        """What to do about it."""
        if any(words in self.text for words in UNKNOWN_PROPERTY):
            return Class.SCHEMA
        if self.code is not None and self.code in CODES:
            return CODES[self.code]
        if self.status == 413:
            return Class.SMALLER
        if self.status in (401, 403):
            return Class.AUTHORITY
        if self.status == 412:
            return Class.CONFLICT
        if self.status == 404:
            return Class.SCHEMA
        return Class.RECORD if self.status == 400 else Class.UNKNOWN

    def __str__(self) -> str:
        """`status 400 0x80044331 text`."""
        return f"status {self.status} {f'0x{self.code:08x} ' if self.code is not None else ''}{self.text}".strip()


def read_error(answer: Response) -> ServerError:
    """The error that an answer carries; a body that is not JSON gives its excerpt as text (F-07)."""
    try:
        error = orjson.loads(answer.body)["error"]
        return ServerError(answer.status, number(error.get("code")), str(error.get("message") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerError(answer.status, None, answer.excerpt())


def number(code: object) -> int | None:
    """`0x80072322`, `-2147015902` and `2147951394` are one code; empty and `0x0` are none."""
    text = str(code or "").strip()
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        value = int(text, 16)
    elif re.fullmatch(r"-?\d+", text):
        value = int(text)
    else:
        return None
    return value & 0xFFFF_FFFF or None
