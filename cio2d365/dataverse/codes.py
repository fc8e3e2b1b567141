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
    DEFINED = "defined"  # a definition of that name exists: compare it with the wanted one
    PLAN = "plan"  # a definition breaks a limit or rule of the platform: the plan must change
    OURS = "ours"  # this program should not have sent that: too many parts, a query beyond the limits
    STORAGE = "storage"  # no room: stop at once
    UNKNOWN = "unknown"  # few tries, then isolate


CODES: Mapping[int, Class] = {
    0x80072322: Class.TRANSIENT, 0x80072321: Class.SMALLER, 0x80072326: Class.TRANSIENT, 0x8005F103: Class.TRANSIENT,
    0x80071151: Class.LOCK,
    0x80072324: Class.TRANSIENT, 0x80072323: Class.TRANSIENT, 0x80072325: Class.STORAGE,
    0x80044151: Class.SMALLER, 0x8004418A: Class.SMALLER,
    0x80040255: Class.TRANSIENT, 0x80040251: Class.TRANSIENT, 0x80048105: Class.TRANSIENT,
    0x80044339: Class.TRANSIENT, 0x8004ED47: Class.TRANSIENT,
    0x80040216: Class.UNKNOWN,
    0x80060882: Class.CONFLICT,
    0x80040237: Class.EXISTS, 0x80060892: Class.RECORD, 0x80040333: Class.RECORD,
    0x80060891: Class.RECORD, 0x80040217: Class.RECORD,
    0x80044331: Class.RECORD, 0x8004432F: Class.RECORD, 0x80044330: Class.RECORD, 0x8004431A: Class.RECORD,
    0x80061004: Class.RECORD, 0x80061005: Class.RECORD,
    0x80040239: Class.RECORD, 0x80040278: Class.RECORD, 0x80048D19: Class.RECORD, 0x80040265: Class.RECORD,
    0x80048408: Class.RECORD, 0x8004203E: Class.RECORD, 0x80040200: Class.RECORD, 0x80040230: Class.RECORD,
    0x8004022B: Class.RECORD, 0x80040225: Class.RECORD, 0x80040229: Class.RECORD, 0x80040231: Class.RECORD,
    0x8004030A: Class.RECORD, 0x80040301: Class.RECORD, 0x80048458: Class.RECORD, 0x80040227: Class.RECORD,
    # A deleted row cannot be restored: its id, key, lookup or option is no longer free (dataverse-api 16).
    0x80049929: Class.RECORD, 0x80049939: Class.RECORD, 0x80049949: Class.RECORD, 0x80049959: Class.RECORD,
    0x80040220: Class.AUTHORITY, 0x80048306: Class.AUTHORITY, 0x80042F09: Class.AUTHORITY, 0x80040204: Class.AUTHORITY,
    0x8004A112: Class.AUTHORITY, 0x8004D24B: Class.AUTHORITY, 0x80041D40: Class.AUTHORITY,
    # Column security: the caller may not create, read or update this column, whatever the row.
    0x8004F502: Class.AUTHORITY, 0x8004F504: Class.AUTHORITY, 0x8004F507: Class.AUTHORITY,
    0x80060890: Class.SCHEMA, 0x8006088A: Class.SCHEMA, 0x8005E009: Class.SCHEMA, 0x8005E00C: Class.SCHEMA,
    0x80041102: Class.SCHEMA, 0x80041103: Class.SCHEMA,
    0x80047013: Class.DEFINED, 0x8004700B: Class.DEFINED, 0x80060893: Class.DEFINED, 0x80060894: Class.DEFINED,
    0x80044363: Class.DEFINED,
    0x80060895: Class.PLAN, 0x80044366: Class.PLAN, 0x80044367: Class.PLAN, 0x8004841A: Class.PLAN,
    0x8004B042: Class.PLAN, 0x8004802A: Class.PLAN, 0x80048402: Class.PLAN, 0x80047007: Class.PLAN,
    0x80040315: Class.OURS, 0x80040800: Class.OURS, 0x80040219: Class.OURS, 0x80040303: Class.OURS,
    0x8004430D: Class.OURS, 0x8004430C: Class.OURS, 0x8004E023: Class.OURS, 0x80048D0B: Class.OURS,
    0x8004112A: Class.OURS, 0x8004430A: Class.OURS,
}  # fmt: skip

DEADLOCK, GENERIC_SQL = "1205", 0x80044150
AGGREGATE_LIMIT = 0x8004E023
NOT_ON_LIST, WRONG_MEMBER = 0x80048458, 0x80040301
DISABLED_USER = 0x80040225
ISV_ABORTED = 0x80040265
TRANSIENT_STATUS = frozenset({408, 429, 502, 503, 504})
# An unknown column shares its code with payloads that are one row's fault; only the text tells (dataverse-api 18).
UNKNOWN_PROPERTY = ("Could not find a property named", "does not exist on type")
LONGEST, LONGEST_OF_PLUGINS = 1000, 300
TAG = re.compile(r"<[^<>]{0,2000}>")


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
        return _by_code(self) or _by_status(self.status)

    def __str__(self) -> str:
        """`status 400 0x80044331 text`."""
        return f"status {self.status} {f'0x{self.code:08x} ' if self.code is not None else ''}{self.text}".strip()


def _by_code(error: ServerError) -> Class | None:
    if error.code == GENERIC_SQL:  # a deadlock passes; another SQL error need not
        return Class.TRANSIENT if DEADLOCK in error.text or "deadlock" in error.text.lower() else Class.UNKNOWN
    if error.code == DISABLED_USER and error.status == 403:  # the caller is disabled, not the owner of a row
        return Class.AUTHORITY
    return CODES.get(error.code) if error.code is not None else None


def _by_status(status: int) -> Class:
    if status in TRANSIENT_STATUS:
        return Class.TRANSIENT
    known = {413: Class.SMALLER, 401: Class.AUTHORITY, 403: Class.AUTHORITY, 412: Class.CONFLICT, 404: Class.SCHEMA}
    return known.get(status, Class.RECORD if status == 400 else Class.UNKNOWN)


def read_error(answer: Response) -> ServerError:
    """The error that an answer carries; a body that is not JSON gives its excerpt as text (F-07)."""
    try:
        error = orjson.loads(answer.body)["error"]
        code, message = number(error.get("code")), str(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message = None, answer.excerpt()
    return ServerError(answer.status, code, safe_text(message, LONGEST_OF_PLUGINS if code == ISV_ABORTED else LONGEST))


def safe_text(message: str, longest: int) -> str:
    """Words of a stranger for a report: one line, printable, without markup, at most `longest` long (F-45, L11)."""
    text = "".join(c if c.isprintable() else " " for c in TAG.sub(" ", message))
    # What is left of brackets cannot open an element any more; comparison signs stay readable.
    text = " ".join(text.translate({ord("<"): "‹", ord(">"): "›"}).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


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
