"""Read the source into a snapshot. A read is complete or an error; every row read is accounted for (L1).

People, objects and relationships come from the App API when there is one, else from export files. Event history comes
from the files up to their last event and from the API after it, so that no period has two sources (design 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from cio2d365 import artefacts, raw
from cio2d365.customerio import cdp, csv_people
from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.source import Source
from cio2d365.errors import ConservationError, InputError
from cio2d365.migration import Migration, Snapshot, save_snapshot

Row = dict[str, Any]
Progress = Callable[[int, int, str], None]
ULID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
API_EVENT_TYPES = ("event", "page", "screen")


@dataclass(frozen=True)
class Step:
    """One thing that will be read: `requests` and `seconds` are estimates from the workspace's own totals."""

    object: str
    origin: str
    rows: int | None
    requests: int
    seconds: float


@dataclass(frozen=True)
class ExtractPlan:
    """What will be read, from where, with how many requests."""

    steps: tuple[Step, ...]
    company_type: str

    def frame(self) -> pl.DataFrame:
        """One row per step."""
        return pl.DataFrame(list(self.steps), schema=["object", "origin", "rows", "requests", "seconds"], orient="row")


@dataclass
class Tally:
    """Where the rows of one object went: read = kept + merged + excluded + rejected."""

    read: int = 0
    kept: int = 0
    merged: int = 0
    excluded: int = 0
    rejected: int = 0
    note: str = ""


@dataclass
class _Read:
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in raw.TABLES})
    identified: dict[str, str] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def tally(self, name: str) -> Tally:
        return self.tallies.setdefault(name, Tally())

    def add(self, name: str, rows: Iterable[Row], rejected: Iterable[Row] = (), **counts: int) -> None:
        """Count and keep; `counts` are rows that were merged or excluded before they got here."""
        kept, refused, tally = list(rows), list(rejected), self.tally(name)
        self.rows[name] += kept
        self.rows["rejected"] += refused
        tally.kept += len(kept)
        tally.rejected += len(refused)
        tally.merged += counts.get("merged", 0)
        tally.excluded += counts.get("excluded", 0)
        tally.read += len(kept) + len(refused) + sum(counts.values())


def plan(migration: Migration, source: Source) -> ExtractPlan:
    """What `apply` will read; asks the API for its control totals only. Raises InputError when there is no source."""
    if source.api is None:
        return ExtractPlan(tuple(_file_steps(source)), migration.settings.files.company_object_type)
    types = list(source.api.rows("object_types"))
    steps = _api_steps(source.api, types, migration.settings.customerio.requests_per_second)
    return ExtractPlan((*steps, *_file_steps(source)), company_type(migration, types))


def company_type(migration: Migration, types: Iterable[Mapping[str, Any]]) -> str:
    """Object type that becomes Account: the setting, else the enabled type whose name says so (SR-038)."""
    chosen = migration.settings.companies.object_type_id
    words = ("compan", "account", "organi", "customer", "firm", "unternehmen", "empresa", "société")
    named = [str(t["id"]) for t in types if any(w in str(t.get("name", "")).lower() for w in words)]
    enabled = [str(t["id"]) for t in types if t.get("enabled") and str(t["id"]) in named]
    return chosen or next(iter(enabled or named), "")


def _api_steps(api: AppApi, types: list[Row], rate: float) -> list[Step]:
    totals = api.workspaces()
    people = sum(int(w.get("people") or 0) for w in totals)
    objects = sum(int(w.get("objects") or 0) for w in totals)
    counts = [
        ("people", people, -(-people // 1000) + -(-people // 100)),
        ("objects", objects, objects + len(types)),
        ("relationships", None, objects),
        ("events of the last 30 days", None, len(API_EVENT_TYPES)),
        ("segments, campaigns, newsletters, broadcasts, templates", None, 5),
    ]
    return [Step(name, "App API", rows, requests, round(requests / rate, 1)) for name, rows, requests in counts]


def _file_steps(source: Source) -> list[Step]:
    named = [("people", source.people_files)] if source.api is None else []
    named.append(("events" if source.api else "people, objects, relationships, events", source.call_files))
    steps = [Step(name, f"{len(files)} files", None, 0, 0.0) for name, files in named if files]
    if not steps and source.api is None:
        raise InputError(f"{source.folder} holds neither a people CSV nor CDP files (*.identify.json, *.track.json …)")
    return steps


def apply(plan: ExtractPlan, migration: Migration, source: Source, *, at: str, progress: Progress) -> Snapshot:
    """Read everything and write the snapshot; `at` is ISO 8601 UTC. Nothing is written when any part fails."""
    read = _Read()
    calls = cdp.read_calls(_distinct(source))
    read.identified = _identified(calls)
    if source.api:
        documents = _from_api(read, migration, source.api, plan.company_type, progress)
    else:
        documents = _from_files(read, source, calls, migration)
    if not read.rows["people"]:
        raise InputError(f"no person was found in {source.label}; nothing was written")
    _events(read, source, calls, _known_before(migration), now=int(datetime.fromisoformat(at).timestamp() * 1000))
    frames = _frames(read)
    _balance(read)
    facts = {
        "taken_at": at, "source": source.label, "company_type": plan.company_type,
        "requests": source.api.transport.traffic.requests if source.api else 0,
        "tallies": {name: vars(tally) for name, tally in read.tallies.items()}, "coverage": coverage(frames["events"]),
    }  # fmt: skip
    return save_snapshot(migration, frames, documents, facts)


def _identified(calls: cdp.Calls) -> dict[str, str]:
    """Anonymous id → user id, where the calls name exactly one user for it (B-088); an ambiguous one is not guessed."""
    pairs = set(cdp.known_anonymous(calls.calls))
    counts = Counter(anonymous for anonymous, _ in pairs)
    return {anonymous: user for anonymous, user in pairs if counts[anonymous] == 1}


def _distinct(source: Source) -> list[Any]:
    """Call files, each content once: the same export under two names is one file (B-078)."""
    return list({artefacts.sha256(path): path for path in reversed(source.call_files)}.values())[::-1]


# --- from the App API -------------------------------------------------------------------------------------------------


def _from_api(read: _Read, migration: Migration, api: AppApi, company: str, progress: Progress) -> dict[str, list[Row]]:
    listed = list(api.people())
    people = [_api_person(row) for row in _counted(api.attributes(_cio_ids(listed)), len(listed), "people", progress)]
    read.add("people", people, excluded=len(listed) - len(people))
    read.tally("people").note = "excluded: gone while reading" if len(listed) > len(people) else ""
    types = list(api.rows("object_types"))
    read.add("object_types", (_object_type(t) for t in types))
    objects = [(str(t["id"]), o) for t in types for o in api.objects(str(t["id"]))]
    _api_objects(read, api, objects, progress)
    _api_relationships(read, api, objects, listed, migration.settings.customerio.relationship_attributes, progress)
    return {name: _document(api, name) for name in raw.DOCUMENTS}


def _counted(rows: Iterable[Row], total: int, label: str, progress: Progress) -> Iterable[Row]:
    for done, row in enumerate(rows, 1):
        progress(done, total, label)
        yield row


def _cio_ids(listed: list[Row]) -> list[str]:
    missing = [row for row in listed if not row.get("cio_id")]
    if missing:
        raise InputError(f"the people search listed {len(missing)} people without cio_id; the read cannot be complete")
    return [str(row["cio_id"]) for row in listed]


def _api_person(row: Row) -> Row:
    attributes = row.get("attributes") or {}
    # Top-level `id` echoes the identifier of the request; older answers lack `identifiers` (customerio-api 3.3).
    ids = row.get("identifiers") or {}
    cio_id, id_, email = (_text(ids.get(k, attributes.get(k))) for k in ("cio_id", "id", "email"))
    flag = row["unsubscribed"] if "unsubscribed" in row else attributes.get("unsubscribed")
    return {
        "person_key": raw.person_key(cio_id, id_, email), "cio_id": cio_id, "id": id_, "email": email,
        "unsubscribed": flag if isinstance(flag, bool) else csv_people.opt_out(_text(flag)),
        "attributes": artefacts.as_json(attributes).decode(),
        "timestamps": artefacts.as_json(row.get("timestamps") or {}).decode(),
        "file": "/v1/customers/attributes", "row": None,
    }  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None or value == "" else value if isinstance(value, str) else orjson.dumps(value).decode()


def _object_type(row: Row) -> Row:
    names = {k: _text(row.get(k)) for k in ("name", "singular_name", "slug")}
    return {"object_type_id": _text(row["id"]), "enabled": bool(row.get("enabled")), **names}


def _api_objects(read: _Read, api: AppApi, objects: list[tuple[str, Row]], progress: Progress) -> None:
    answers = (api.object_attributes(type_id, str(o["object_id"])) for type_id, o in objects)
    rows: list[Row] = []
    for (type_id, listed), answer in zip(objects, answers, strict=True):
        progress(len(rows) + 1, len(objects), "objects")
        if answer is not None:
            rows.append(_api_object(type_id, listed, answer))
    read.add("objects", rows, excluded=len(objects) - len(rows))


def _api_object(type_id: str, listed: Row, answer: Row) -> Row:
    attributes = artefacts.as_json(answer.get("attributes") or {}).decode()
    object_id = str(listed["object_id"])
    return {"object_key": f"{type_id}:{object_id}", "object_type_id": type_id, "object_id": object_id,
            "cio_object_id": _text(listed.get("cio_object_id")), "attributes": attributes, "file": "/v1/objects",
            "row": None}  # fmt: skip


def _api_relationships(
    read: _Read, api: AppApi, objects: list[tuple[str, Row]], people: list[Row], mode: str, progress: Progress
) -> None:
    """Pairs from the object side (one call an object); attributes from the person side, as the setting says."""
    found: dict[tuple[str, str, str], Row] = {}
    for done, (type_id, obj) in enumerate(objects, 1):
        progress(done, len(objects), "relationships")
        for row in api.people_of(type_id, str(obj["object_id"])):
            cio_id = str(row["identifiers"]["cio_id"])
            found[cio_id, type_id, str(obj["object_id"])] = _relation(cio_id, type_id, str(obj["object_id"]), {})
    chosen = _people_to_ask(found, people, mode)
    for done, cio_id in enumerate(chosen, 1):
        progress(done, len(chosen), "relationship attributes")
        for row in api.relationships_of(cio_id):
            type_id, object_id = str(row["object_type_id"]), str(row["identifiers"]["object_id"])
            found[cio_id, type_id, object_id] = _relation(cio_id, type_id, object_id, row.get("attributes") or {})
    read.add("relationships", found.values())
    read.tally("relationships").note = f"attributes read for {len(chosen):,} of {len(people):,} people ({mode})"


def _people_to_ask(found: Mapping[tuple[str, str, str], Row], people: list[Row], mode: str) -> list[str]:
    if mode == "all":
        return sorted(str(p["cio_id"]) for p in people)
    seen: dict[tuple[str, str], int] = {}
    for cio_id, type_id, _ in found:
        seen[cio_id, type_id] = seen.get((cio_id, type_id), 0) + 1
    return sorted({cio_id for (cio_id, _), count in seen.items() if count > 1}) if mode == "several" else []


def _relation(cio_id: str, type_id: str, object_id: str, attributes: Row) -> Row:
    return {"person_id": cio_id, "object_key": f"{type_id}:{object_id}", "object_type_id": type_id,
            "object_id": object_id, "attributes": artefacts.as_json(attributes).decode(),
            "file": "/v1/customers/{id}/relationships", "row": None}  # fmt: skip


def _document(api: AppApi, name: str) -> list[Row]:
    rows = sorted(api.rows(name), key=lambda row: (len(str(row.get("id"))), str(row.get("id"))))
    if name == "segments":
        return [row | {"members": api.value("segment_count", id=str(row["id"]))} for row in rows]
    if name == "transactional":
        return [row | {"contents": list(api.rows("transactional_contents", id=str(row["id"])))} for row in rows]
    return rows


# --- from files -------------------------------------------------------------------------------------------------------


def _from_files(read: _Read, source: Source, calls: cdp.Calls, migration: Migration) -> dict[str, list[Row]]:
    identify, group = calls.of("identify"), calls.of("group")
    if source.people_files:
        for path in source.people_files:
            read.add("people", *csv_people.read_people(path))
    else:
        every = cdp.people(identify)
        gone = cdp.deleted(calls.calls) | cdp.suppressed(calls.calls)
        people, nobody = [row for row in every if row["id"] not in gone], _without(identify, "user_id")
        lost = len(every) - len(people)
        read.add("people", people, merged=len(identify) - nobody - len(every), excluded=nobody + lost)
        notes = (_said(lost, "were deleted or suppressed later"), _said(nobody, "identify calls name no user"))
        read.tally("people").note = ", ".join(n for n in notes if n)
    for name in ("people", "relationships"):
        read.add(name, [], (row for row in calls.rejected if row["object"] == name))
    objects, relations = cdp.objects(group, migration.settings.files.company_object_type)
    nameless = _without(group, "group_id")
    read.add("objects", objects, merged=len(group) - nameless - len(objects), excluded=nameless)
    read.tally("objects").note = _said(nameless, "group calls name no group")
    read.add("relationships", relations)
    named = migration.settings.files.company_object_type
    types = sorted({str(row["object_type_id"]) for row in objects})
    read.add("object_types", (_unnamed_type(t, "Companies" if t == named else f"Objects {t}") for t in types))
    return {name: [] for name in raw.DOCUMENTS}


def _without(calls: Iterable[cdp.Call], key: str) -> int:
    return sum(1 for call in calls if call.text(key) is None)


def _unnamed_type(type_id: str, name: str) -> Row:
    return {"object_type_id": type_id, "name": name, "singular_name": name, "slug": f"type_{type_id}", "enabled": True}


# --- events -----------------------------------------------------------------------------------------------------------


def _events(read: _Read, source: Source, calls: cdp.Calls, before: list[Row], *, now: int) -> None:
    tracked = calls.of("track", "page", "screen")
    every, merged, commands = cdp.events(tracked)
    barred = cdp.suppressed(calls.calls)
    rows = [row for row in every if row["person_id"] not in barred]
    rejected = [row for row in calls.rejected if row["object"] == "events"]
    read.add("events", rows, rejected, merged=merged, excluded=commands + len(every) - len(rows))
    notes = [_said(commands, "CDP commands"), _said(len(every) - len(rows), "events of suppressed people")]
    read.tally("events").note = ", ".join(n for n in notes if n)
    if source.api is None:
        return
    cut = max((call.received for call in tracked), default=0)
    live = [_api_event(a) for kind in API_EVENT_TYPES for a in source.api.activities(kind)]
    listed = {row["event_key"] for row in live}
    live += [row for row in before if row["event_key"] not in listed]
    # Of an event that is dated in the future nobody can say when it was taken in: the files go first, by content.
    ahead = {_content(row) for row in rows if row["at"] > now}
    later = [row for row in live if _recorded(row) > cut and not (row["at"] > now and _content(row) in ahead)]
    read.add("events", later, excluded=len(live) - len(later))
    covered = _said(len(live) - len(later), "activities lie in the period that the files cover")
    read.tally("events").note = ", ".join(n for n in (read.tally("events").note, covered) if n)


def _said(count: int, what: str) -> str:
    return f"{count:,} {what}" if count else ""


def _api_event(row: Row) -> Row:
    ids = row.get("customer_identifiers") or {}
    name = row.get("name") or row.get("url") or row["type"]
    return {
        "event_key": f"activities:{row['id']}", "source": "activities", "type": row["type"], "name": str(name),
        "at": int(row["timestamp"]) * 1000, "person_id": _text(ids.get("cio_id") or row.get("customer_id")),
        "anonymous_id": _text(row.get("anonymous_id")), "properties": artefacts.as_json(row.get("data") or {}).decode(),
        "file": "/v1/activities", "row": None,
    }  # fmt: skip


def _content(row: Row) -> tuple[str, str, int, bytes]:
    """What an event says, the same from every source."""
    try:
        properties = artefacts.as_json(orjson.loads(row["properties"]))
    except orjson.JSONDecodeError:
        properties = str(row["properties"]).encode()
    return str(row["type"]), str(row["name"]), int(row["at"]) // 1000, properties


def _recorded(row: Row) -> int:
    """When the service took an activity in: the ULID's own time, since the event's time may be anything (B-036)."""
    text = str(row["event_key"]).partition(":")[2]
    if len(text) != 26 or any(c not in ULID_LETTERS for c in text):
        return int(row["at"])
    return sum(ULID_LETTERS.index(c) << (5 * (9 - i)) for i, c in enumerate(text[:10]))


def _known_before(migration: Migration) -> list[Row]:
    """Activities of the last snapshot: the API forgets after 30 days, a project does not (`customerio-api 7.2`)."""
    if not migration.was_read:
        return []
    try:
        events = migration.snapshot().frame("events")
    except InputError as error:
        way = "Put the file back, or delete raw/current to read without the activities that it held"
        raise InputError(f"{error}. {way}") from None
    return events.filter(pl.col("source") == "activities").drop("person_key").to_dicts()


# --- putting it together ----------------------------------------------------------------------------------------------


def _frames(read: _Read) -> dict[str, pl.DataFrame]:
    people = _one_per_key(read, "people", "person_key")
    known = _people_by_name(people)
    frames = {"people": people, "objects": _one_per_key(read, "objects", "object_key")}
    for name in ("relationships", "events"):
        frames[name] = raw.frame(name, read.rows[name]).with_columns(_person(known, "person_id"))
    known_later = {a: known[user] for a, user in read.identified.items() if user in known}
    by_anonymous = pl.when(pl.col("person_id").is_null()).then(_person(known_later, "anonymous_id"))
    frames["events"] = frames["events"].with_columns(pl.col("person_key").fill_null(by_anonymous))
    frames["relationships"] = frames["relationships"].sort("person_id", "object_key")
    frames["events"] = frames["events"].sort("at", "event_key")
    frames["object_types"] = raw.frame("object_types", read.rows["object_types"]).sort("object_type_id")
    frames["rejected"] = raw.frame("rejected", read.rows["rejected"]).sort("file", "row", nulls_last=True)
    return frames


def _one_per_key(read: _Read, name: str, key: str) -> pl.DataFrame:
    """One row per source key: of two rows with one key the later in file order wins, the other is counted."""
    frame = raw.frame(name, read.rows[name])
    unique = frame.unique(key, keep="last", maintain_order=True).sort(key)
    lost, tally = frame.height - unique.height, read.tally(name)
    tally.kept -= lost
    tally.merged += lost
    return unique


def _people_by_name(people: pl.DataFrame) -> dict[str, str]:
    """Every name a source may use for a person → its key: e-mail, then id, then cio_id, the stronger one wins."""
    known: dict[str, str] = {}
    for column in ("email", "id", "cio_id"):
        rows = people.select(column, "person_key").drop_nulls()
        known |= dict(zip(rows[column].to_list(), rows["person_key"].to_list(), strict=True))
    return known


def _person(known: Mapping[str, str], column: str) -> pl.Expr:
    if not known:
        return pl.lit(None, dtype=pl.String).alias("person_key")
    keys = pl.col(column).replace_strict(dict(known), default=None, return_dtype=pl.String)
    return keys.alias("person_key")


def _balance(read: _Read) -> None:
    for name, t in read.tallies.items():
        if t.read != t.kept + t.merged + t.excluded + t.rejected:
            raise ConservationError(f"{name}: {t.read} read, but {vars(t)}")


def coverage(events: pl.DataFrame) -> list[Row]:
    """Per source: rows, first and last event (unix milliseconds)."""
    rows = events.group_by("source").agg(pl.len().alias("rows"), first=pl.col("at").min(), last=pl.col("at").max())
    return rows.sort("source").to_dicts()
