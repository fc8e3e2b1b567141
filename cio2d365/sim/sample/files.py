"""A workspace as export files: the people as CSV, raw calls as a storage destination writes them (customerio-api 9).

The call files cover two years up to `workspace.files_until`; one call type per file, several parts by time, every
third part compressed. Times are unix seconds: `sent_at` is when the call says it happened.
"""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

from cio2d365.sim.customerio.exports import people_csv
from cio2d365.sim.customerio.workspace import Activity, Json, Person, Workspace
from cio2d365.sim.sample.draw import YEAR

DESTINATION = 2184
ACTIONS = {"identify": 13699, "track": 13700, "page": 13701, "screen": 13702, "group": 13703}
PARTS = {"identify": 4, "track": 8, "page": 2, "screen": 1, "group": 2}
CALL_OF_ACTIVITY = {"event": "track", "page": "page", "screen": "screen"}
LATE = 2
NOT_SENT = ("cio_subscription_preferences", "_last_emailed")


def write_files(workspace: Workspace, folder: Path) -> list[Path]:
    """Write `people.csv` and the call files into the folder; the paths in the order they were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [_write(folder / "people.csv", people_csv(workspace.people.values()))]
    for kind, action in ACTIONS.items():
        rows = sorted(call_rows(workspace, kind), key=lambda row: (row["received_at"], str(row["id"])))
        for part, chunk in enumerate(_parts(rows, PARTS[kind]), start=1):
            name = f"{DESTINATION}.{action}.{part}.{kind}.json"
            written.append(_write_part(folder, name, part, chunk))
    return written


def call_rows(workspace: Workspace, kind: str) -> Iterator[Json]:
    """The rows of one call type, in no particular order."""
    until = workspace.clock.now() if workspace.files_until is None else workspace.files_until
    start = workspace.clock.now() - 2 * YEAR
    rows = {"identify": _identify_rows, "group": _group_rows}.get(kind)
    found = rows(workspace, start) if rows else _activity_rows(workspace, kind)
    return (row for row in found if start <= row["received_at"] <= until)


def slug(name: str) -> str:
    """The `event` column: lower case, everything else an underscore."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _user_id(workspace: Workspace, cio_id: str | None) -> str | None:
    known = workspace.people.get(cio_id or "") or workspace.departed.get(cio_id or "")
    return (known.id or known.email) if known else None


def _anonymous_id(workspace: Workspace, cio_id: str | None) -> str | None:
    person = workspace.people.get(cio_id or "")
    return person.attributes.get("anonymous_id") if person else None


def _head(id: str | None, received: int, sent: int, anonymous: str | None, user: str | None) -> Json:
    return {"id": id, "received_at": received, "sent_at": sent, "anonymous_id": anonymous, "user_id": user}


def _context(number: int) -> Json:
    return {"ip": f"192.0.2.{number % 250 + 1}", "library": {"name": "analytics.js", "version": "2.11.1"}}


def _activity_rows(workspace: Workspace, kind: str) -> Iterator[Json]:
    for number, activity in enumerate(workspace.activities):
        if CALL_OF_ACTIVITY.get(activity.type) == kind:
            row = {**_activity_row(workspace, activity), "context": _context(number)}
            for again in range(activity.redelivered + 1):
                yield {**row, "received_at": row["received_at"] + 3600 * again}
    if kind == "track":
        yield from _deletions(workspace)


def _activity_row(workspace: Workspace, activity: Activity) -> Json:
    user = _user_id(workspace, activity.cio_id) if activity.names_person else None
    received = activity.received_at or activity.timestamp + LATE
    anonymous = activity.anonymous_id or (None if user else _anonymous_id(workspace, activity.cio_id))
    row = _head(activity.message_id, received, activity.timestamp, anonymous, user)
    if activity.type == "event":
        name = activity.name or ""
        return {**row, "event": slug(name), "event_text": name, "properties": activity.data}
    extra = {"url": activity.url} if activity.type == "page" else {"name": activity.name}
    return {**row, "properties": {**extra, **activity.data}}


def _deletions(workspace: Workspace) -> Iterator[Json]:
    """`User Deleted` and `User Suppressed` are commands, not events of a customer."""
    for number, gone in enumerate(workspace.departed.values()):
        name = "User Suppressed" if gone.suppressed else "User Deleted"
        head = _head(f"command-{gone.cio_id}", gone.deleted_at + LATE, gone.deleted_at, None, gone.id)
        yield {**head, "event": slug(name), "event_text": name, "properties": {}, "context": _context(number)}


def _identify_rows(workspace: Workspace, start: int) -> Iterator[Json]:
    for number, person in enumerate(workspace.people.values()):
        user = person.id or person.email
        if user:
            yield from _identifies(person, user, number, start)
    for number, gone in enumerate(workspace.departed.values()):
        head = _head(f"identify-{gone.cio_id}", start + number + LATE, start + number, None, gone.id)
        yield {**head, "traits": {"email": gone.email}, "context": _context(number)}


def _identifies(person: Person, user: str, number: int, start: int) -> Iterator[Json]:
    """The first call carries everything; a later one what changed and, once, the anonymous id."""
    anonymous = person.attributes.get("anonymous_id")
    traits = {name: value for name, value in person.attributes.items() if name not in NOT_SENT}
    if person.email is not None:
        traits["email"] = person.email
    first = max(person.created_in_cio_at, start + number * 60)
    head = _head(f"identify-{person.cio_id}-0", first + LATE, first, anonymous, user)
    yield {**head, "traits": traits, "context": _context(number)}
    for rank, (name, moment) in enumerate(sorted(person.changed.items()), start=1):
        if moment > first and name in person.attributes:
            head = _head(f"identify-{person.cio_id}-{rank}", moment + LATE, moment, None, user)
            yield {**head, "traits": {name: person.attributes[name]}, "context": _context(number)}


def _group_rows(workspace: Workspace, start: int) -> Iterator[Json]:
    """One row for each relationship, and one for an object that nobody belongs to."""
    for number, thing in enumerate(workspace.things.values()):
        ties = list(workspace.ties_of_thing(thing.cio_object_id))
        moment = max(thing.created_at, start + number)
        base = {"group_id": thing.object_id, "objectTypeId": thing.type_id}
        if not ties:
            head = _head(f"group-{thing.cio_object_id}-0", moment + LATE, moment, None, None)
            yield {**head, **base, "traits": thing.attributes}
        for rank, tie in enumerate(ties):
            sent = max(tie.created_at, moment)
            user = _user_id(workspace, tie.cio_id)
            head = _head(f"group-{thing.cio_object_id}-{rank}", sent + LATE, sent, None, user)
            yield {**head, **base, "traits": {**thing.attributes, "relationshipAttributes": tie.attributes}}


def _parts(rows: list[Json], number: int) -> Iterator[list[Json]]:
    size = -(-len(rows) // number) or 1
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _write_part(folder: Path, name: str, part: int, rows: list[Json]) -> Path:
    lines = b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)
    if part % 3 == 0:
        return _write(folder / f"{name}.gz", gzip.compress(lines, mtime=0))
    return _write(folder / name, lines)


def _write(path: Path, content: bytes) -> Path:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return path
