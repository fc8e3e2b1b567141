"""CDP storage files: one call a line, one call type a file, plain or gzip (`customerio-api 9`)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cio2d365 import raw
from cio2d365.customerio.csv_people import opt_out
from cio2d365.customerio.lines import Line, lines
from cio2d365.errors import Place

Row = dict[str, Any]
NAME = re.compile(r"\.(identify|track|page|screen|group|alias)\.json(\.gz)?$", re.IGNORECASE)
# The layout is not documented: one call a line, or an array with one call a line (customerio-api 9).
FRAME = (b"", b"[", b"]")
LONG_NUMBER = re.compile(rb"\d{19}")
EVENT_TYPE = {"track": "event", "page": "page", "screen": "screen"}
# Commands of the CDP that arrive as track calls; they are not the customer's events (customerio-api 9).
COMMANDS = frozenset(
    {"User Deleted", "User Suppressed", "User Unsuppressed", "Relationship Deleted", "Object Deleted",
     "Device Created or Updated", "Device Deleted"}
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One line: its call type, values, and where it stands."""

    kind: str
    values: Row
    file: str
    row: int

    @property
    def at(self) -> int:
        """Unix milliseconds: `sent_at`, the nearest thing to the caller's own time that the files keep."""
        return int(float(self.values.get("sent_at") or self.values["received_at"]) * 1000)

    @property
    def received(self) -> int:
        """Unix milliseconds when the service took the call in, by the service's own clock."""
        return int(float(self.values["received_at"]) * 1000)

    def text(self, key: str) -> str | None:
        """A value as text; null and empty are None; numbers keep their digits (B-012)."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else _dumps(value)

    def json(self, key: str) -> str:
        """An object column as JSON text."""
        return _dumps(self.values.get(key) or {})


@dataclass
class Calls:
    """All calls of a folder, and the lines that could not be read."""

    calls: list[Call] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Call]:
        """Calls of some types, in file order."""
        return [call for call in self.calls if call.kind in kinds]


def call_files(folder: Path) -> list[Path]:
    """The CDP files of a folder and its subfolders, by name."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and NAME.search(p.name))


def read_calls(files: Iterable[Path]) -> Calls:
    """Every call of the files; damaged lines go to `rejected` with file, line and byte (B-068, B-074)."""
    found = Calls()
    for path in files:
        kind = str(NAME.search(path.name)[1]).lower()  # type: ignore[index]
        for call in _numbered(kind, path):
            if isinstance(call, Call):
                found.calls.append(call)
            else:
                found.rejected.append(call)
    return found


def _numbered(kind: str, path: Path) -> Iterator[Call | Row]:
    row = 0
    for line in lines(path):
        if line.data.strip() not in FRAME:
            parsed = _parsed(line)
            for values in parsed if isinstance(parsed, list) else [parsed]:
                row += 1
                yield _call(kind, path.name, row, line, values)


def _parsed(line: Line) -> Any:
    """What stands on a line, or why it cannot be read, as `(code, reason)`."""
    bad = line.bad_byte()
    if bad is not None:
        return "E-UTF8", f"byte {bad} is not UTF-8"
    try:
        return _loads(line.data.strip().removesuffix(b","))
    except (ValueError, RecursionError) as error:
        at = line.offset + getattr(error, "pos", 0)
        cut = "" if line.data.endswith(b"\n") else "; the file ends here, it may be cut"
        return "E-JSON", f"not JSON at byte {at}: {error}{cut}"


def _call(kind: str, file: str, row: int, line: Line, values: Any) -> Call | Row:
    if isinstance(values, tuple):
        return _refuse(kind, file, row, line, None, *values)
    if not isinstance(values, dict):
        return _refuse(kind, file, row, line, None, "E-JSON", "a call is a JSON object")
    call = Call(kind, values, file, row)
    return _without_objects(call, line) or _without_time(call, line) or call


def _loads(data: bytes | str) -> Any:
    """JSON with every digit of its whole numbers (B-024); orjson makes floats of those that need more than 64 bits."""
    raw_bytes = data.encode() if isinstance(data, str) else data
    if not LONG_NUMBER.search(raw_bytes):
        return orjson.loads(raw_bytes)
    return json.loads(raw_bytes, parse_constant=_no_number, parse_float=_finite)


def _finite(text: str) -> float:
    return value if math.isfinite(value := float(text)) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _dumps(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _without_objects(call: Call, line: Line) -> Row | None:
    """Unpack object columns, which some layouts hold as text; a refusal when one is no object."""
    for key in ("traits", "properties"):
        value = call.values.get(key)
        try:
            call.values[key] = (_loads(value) if isinstance(value, str) and value.strip() else value) or {}
        except (ValueError, RecursionError):
            call.values[key] = None
        if not isinstance(call.values[key], dict):
            return _refuse(call.kind, call.file, call.row, line, call.text("id"), "E-JSON", f"{key} is no JSON object")
    return None


def _without_time(call: Call, line: Line) -> Row | None:
    try:
        _ = call.at, call.received
    except (KeyError, TypeError, ValueError, OverflowError):
        return _refuse(
            call.kind, call.file, call.row, line, call.text("id"), "E-TIME", "sent_at and received_at are no times"
        )
    return None


def _refuse(kind: str, file: str, row: int, line: Line, source_id: str | None, code: str, why: str) -> Row:
    place = Place(file, row, line.number, source_id=source_id)
    target = "people" if kind == "identify" else "relationships" if kind in ("group", "alias") else "events"
    original = line.data.decode("utf-8", "replace")
    return {"object": target, "file": file, "row": row, "line": line.number, "source_id": source_id, "field": None,
            "code": code, "message": f"{place}: {code} {why}", "original": original}  # fmt: skip


def people(calls: Iterable[Call]) -> list[Row]:
    """People as the identify calls leave them: traits merged in time order, later calls win key by key."""
    merged: dict[str, tuple[Call, Row]] = {}
    for call in sorted(calls, key=lambda c: (c.at, c.file, c.row)):
        if user := call.text("user_id"):
            traits = merged[user][1] if user in merged else {}
            merged[user] = (call, traits | call.values["traits"])
    return [_person(user, call, traits) for user, (call, traits) in sorted(merged.items())]


def _person(user: str, call: Call, traits: Row) -> Row:
    email = str(traits["email"]) if traits.get("email") else None
    # A call without the trait says nothing about consent: the files do not hold what was set elsewhere (L15).
    known = None if "unsubscribed" not in traits else str(traits["unsubscribed"])
    return {
        "person_key": raw.person_key(None, user, None), "cio_id": None, "id": user, "email": email,
        "unsubscribed": opt_out(known), "attributes": _dumps({"id": user} | traits), "timestamps": None,
        "file": call.file, "row": call.row,
    }  # fmt: skip


def objects(calls: Iterable[Call], default_type: str) -> tuple[list[Row], list[Row]]:
    """Objects and relationships as the group calls leave them; `person_key` is filled in by who knows the people."""
    found: dict[str, Row] = {}
    related: dict[tuple[str, str], Row] = {}
    for call in sorted(calls, key=lambda c: (c.at, c.file, c.row)):
        if not (group := call.text("group_id")):
            continue
        traits = dict(call.values["traits"])
        relation = traits.pop("relationshipAttributes", {})
        type_id = call.text("objectTypeId") or str(traits.pop("object_type_id", default_type))
        key = f"{type_id}:{group}"
        base = {"object_key": key, "object_type_id": type_id, "object_id": group, "file": call.file, "row": call.row}
        found[key] = base | {"cio_object_id": None, "traits": found.get(key, {}).get("traits", {}) | traits}
        if user := call.text("user_id"):
            related[user, key] = base | {"person_id": user, "attributes": _dumps(relation)}
    rows = [
        {k: v for k, v in row.items() if k != "traits"} | {"attributes": _dumps(row["traits"])}
        for row in found.values()
    ]
    return rows, list(related.values())


def events(calls: Iterable[Call]) -> tuple[list[Row], int, int]:
    """Rows of `raw.EVENTS` (without `person_key`), how many repeated an id, how many were commands (B-089)."""
    rows: dict[str, Row] = {}
    seen: Counter[str] = Counter()
    merged = commands = 0
    for call in calls:
        if call.kind == "track" and call.text("event_text") in COMMANDS:
            commands += 1
            continue
        row = _event(call, seen)
        merged += row["event_key"] in rows
        rows.setdefault(row["event_key"], row)
    return list(rows.values()), merged, commands


def _event(call: Call, seen: Counter[str]) -> Row:
    name = call.text("event_text") or call.text("event") or call.text("name") or call.kind
    row = {
        "source": "cdp", "type": EVENT_TYPE[call.kind], "name": name, "at": call.at, "person_id": call.text("user_id"),
        "anonymous_id": call.text("anonymous_id"), "properties": call.json("properties"), "file": call.file,
        "row": call.row,
    }  # fmt: skip
    return {"event_key": f"cdp:{call.text('id') or _content_key(row, seen)}"} | row


def _content_key(row: Row, seen: Counter[str]) -> str:
    """Two equal events without an id are two events; a rerun numbers them alike."""
    facts = [row[k] for k in ("type", "name", "at", "person_id", "anonymous_id", "properties")]
    digest = hashlib.sha256(orjson.dumps(facts)).hexdigest()[:32]
    seen[digest] += 1
    return f"{digest}:{seen[digest]}"


def suppressed(calls: Iterable[Call]) -> set[str]:
    """User ids whose last word is User Suppressed: they must not come back from old files (B-093)."""
    last: dict[str, bool] = {}
    for call in sorted(calls, key=lambda c: (c.at, c.file, c.row)):
        command, user = call.text("event_text"), call.text("user_id")
        if user and command in ("User Suppressed", "User Unsuppressed"):
            last[user] = command == "User Suppressed"
    return {user for user, gone in last.items() if gone}


def deleted(calls: Iterable[Call]) -> set[str]:
    """User ids whose last call is User Deleted: a later identify makes a new person."""
    last: dict[str, bool] = {}
    for call in sorted(calls, key=lambda c: (c.at, c.file, c.row)):
        command, user = call.text("event_text"), call.text("user_id")
        if user and (call.kind == "identify" or command == "User Deleted"):
            last[user] = command == "User Deleted"
    return {user for user, gone in last.items() if gone}


def known_anonymous(calls: Iterable[Call]) -> Iterator[tuple[str, str]]:
    """(anonymous id, user id) pairs that some call states."""
    for call in calls:
        anonymous, user = call.text("anonymous_id"), call.text("user_id")
        if anonymous and user:
            yield anonymous, user
