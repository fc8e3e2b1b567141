"""The contract of a snapshot: one schema per raw table that every source meets (API, CSV export, CDP files).

Ids are text from the first byte on (`007`, `NA`, 20 digits survive). The source's own JSON of each person, object and
event is kept as text. `file` and `row` say where a row came from (L9): an API path and the record's number, or a file
and the record number in it. Times are unix milliseconds, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

PLACE = {"file": pl.String, "row": pl.Int64}

PEOPLE = {
    "person_key": pl.String,  # cio:<cio_id>, else id:<id>, else email:<email>; unique; fixed in the snapshot
    "cio_id": pl.String,
    "id": pl.String,
    "email": pl.String,
    "unsubscribed": pl.Boolean,  # null = could not be read, counts as opted out (L15)
    "attributes": pl.String,  # JSON object, values as the source gave them
    "timestamps": pl.String,  # JSON object attribute → unix seconds; null where the source has none
    **PLACE,
}
OBJECT_TYPES = {
    "object_type_id": pl.String,
    "name": pl.String,
    "singular_name": pl.String,
    "slug": pl.String,
    "enabled": pl.Boolean,
}
OBJECTS = {
    "object_key": pl.String,  # <object_type_id>:<object_id>; unique
    "object_type_id": pl.String,
    "object_id": pl.String,
    "cio_object_id": pl.String,
    "attributes": pl.String,
    **PLACE,
}
RELATIONSHIPS = {
    "person_key": pl.String,  # null when the person is not in the snapshot
    "person_id": pl.String,  # as the source named the person
    "object_key": pl.String,
    "object_type_id": pl.String,
    "object_id": pl.String,
    "attributes": pl.String,
    **PLACE,
}
EVENTS = {
    "event_key": pl.String,  # <source>:<id>, or content hash and occurrence number without one; unique
    "source": pl.String,  # activities | cdp
    "type": pl.String,  # event | page | screen
    "name": pl.String,
    "at": pl.Int64,
    "person_key": pl.String,  # null when the person is not in the snapshot
    "person_id": pl.String,  # as the source named the person
    "anonymous_id": pl.String,
    "properties": pl.String,
    **PLACE,
}
REJECTED = {
    "object": pl.String,  # people | objects | relationships | events
    "file": pl.String,
    "row": pl.Int64,
    "line": pl.Int64,
    "source_id": pl.String,
    "field": pl.String,
    "code": pl.String,
    "message": pl.String,
    "original": pl.String,
}
TABLES: Mapping[str, Mapping[str, Any]] = {
    "people": PEOPLE,
    "object_types": OBJECT_TYPES,
    "objects": OBJECTS,
    "relationships": RELATIONSHIPS,
    "events": EVENTS,
    "rejected": REJECTED,
}
DOCUMENTS = (
    "segments",
    "campaigns",
    "newsletters",
    "broadcasts",
    "transactional",
)  # <name>.json: list of objects


def frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of the table's schema; a missing key is null."""
    return pl.DataFrame(rows, schema=dict(TABLES[table]), orient="row")


def person_key(cio_id: str | None, id_: str | None, email: str | None) -> str | None:
    """A person's source key (design 3): the kind is part of it, so that an id never meets somebody's cio_id."""
    if cio_id:
        return f"cio:{cio_id}"
    if id_:
        return f"id:{id_}"
    return f"email:{email.strip().lower()}" if email and email.strip() else None
