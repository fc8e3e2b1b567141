"""The event profile: which properties the `track()` events carry, how often and of which types (SR-114, SR-151).

Read in batches, so that memory does not grow with the number of events; the batches' counts are added up by
`evidence.merge`. That is also where a faster scan or other machines would hand in their parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from cio2d365.decide.evidence import finish, merge, tally
from cio2d365.decide.json_scan import scan
from cio2d365.decide.value_types import TYPES, value_type

BATCH = 50_000
"""Events that are read at a time: about 600,000 values, some 100 MB."""

_MERGE_EVERY = 20
_EXAMPLES = 3

MALFORMED_SCHEMA = {
    "event_key": pl.String,
    "type": pl.String,
    "name": pl.String,
    "key": pl.String,
    "code": pl.String,
    "position": pl.Int64,
    "detail": pl.String,
}
_EMPTY_VIEWS_SCHEMA = {"type": pl.String, "key": pl.String}


@dataclass(frozen=True)
class EventProfile:
    """What was found in the events.

    `names`: name, type, events, people, first_at, last_at (unix ms), one row per event name and type.
    `properties`: name (null = over all `track()` events), key, events (denominator: all such events, readable or not),
    present (not null), nulls, share (present / events), a count per word of `value_types.TYPES`, distinct (exact below
    1,024, else `estimated`), max_length (UTF-16 units), places, minimum, maximum (numbers as written), low, high (as
    floats), examples (up to 3 event_keys), conflict (values of more than one family of types).
    `malformed`: event_key, type, name, key, code, position, detail: what could not be read, or only in part.
    `views`: as `properties` for page and screen views, over all names, with their `type`; never in the denominator.
    """

    names: pl.DataFrame
    properties: pl.DataFrame
    malformed: pl.DataFrame
    views: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_EMPTY_VIEWS_SCHEMA))


def profile_events(events: pl.LazyFrame, *, batch: int = BATCH) -> EventProfile:
    """Profile of raw events (`raw.EVENTS`); `track()` events are those of type `event` (SR-053).

    A property that is null counts as absent. Properties that are not a JSON object are listed in `malformed` and stay
    in the denominator.
    """
    names = _names(events)
    parts, malformed = _parts(events, batch)
    by_type = names.group_by("type").agg(pl.col("events").sum())
    tracked = parts.filter(pl.col("type") == "event")
    overall = merge(tracked.lazy(), ["type", "key"]).with_columns(name=pl.lit(None, pl.String))
    each = merge(tracked.lazy(), ["type", "name", "key"])
    totals = pl.concat([names.select("type", "name", "events"), _over_all(by_type)])
    views = merge(parts.filter(pl.col("type") != "event").lazy(), ["type", "key"])
    both = pl.concat([overall.select(_ORDER), each.select(_ORDER)])
    return EventProfile(
        names=names,
        properties=_shares(both, totals.lazy(), ["type", "name"]).drop("type"),
        malformed=malformed,
        views=_shares(views, by_type.lazy(), ["type"]),
    )


_PARTIAL = (*TYPES, "max_length", "places", "minimum", "maximum", "low", "high", "sketch", "examples")
_ORDER = ("type", "name", "key", *_PARTIAL)


def _names(events: pl.LazyFrame) -> pl.DataFrame:
    return (
        events.group_by("name", "type")
        .agg(
            events=pl.len().cast(pl.Int64),
            people=pl.col("person_key").drop_nulls().n_unique().cast(pl.Int64),
            first_at=pl.col("at").min(),
            last_at=pl.col("at").max(),
        )
        .sort(["type", "events", "name"], descending=[False, True, False])
        .collect()
    )


def _over_all(by_type: pl.DataFrame) -> pl.DataFrame:
    return by_type.select("type", pl.lit(None, pl.String).alias("name"), "events")


def _parts(events: pl.LazyFrame, size: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Evidence per (type, name, key) over all batches, and the problems."""
    merged = _batch_evidence(_empty_batch())
    problems = [pl.DataFrame(schema=MALFORMED_SCHEMA)]
    waiting: list[pl.DataFrame] = []
    for batch in _batches(events, size):
        pairs, malformed = _scanned(batch)
        waiting.append(_batch_evidence(pairs))
        problems.append(malformed)
        if len(waiting) == _MERGE_EVERY:
            merged, waiting = _merged([merged, *waiting]), []
    return _merged([merged, *waiting]), pl.concat(problems)


def _batches(events: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
    needed = events.select("event_key", "type", "name", "properties")
    return needed.collect_batches(chunk_size=size, maintain_order=True)


def _merged(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return merge(pl.concat(parts).lazy(), ["type", "name", "key"]).collect()


def _empty_batch() -> pl.DataFrame:
    schema = {"event_key": pl.String, "type": pl.String, "name": pl.String, "properties": pl.String}
    return _scanned(pl.DataFrame(schema=schema))[0]


def _scanned(batch: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    pairs, problems = scan(batch["properties"])
    events = batch.select("event_key", "type", "name").with_row_index("row")
    named = pairs.join(events, on="row", how="left", maintain_order="left")
    malformed = problems.join(events, on="row", how="left", maintain_order="left")
    return named, malformed.select(*MALFORMED_SCHEMA)


def _batch_evidence(pairs: pl.DataFrame) -> pl.DataFrame:
    typed = pairs.lazy().select(
        pl.col("type").alias("kind"), "name", "key", "text", value_type().alias("type"), at="event_key"
    )
    return tally(typed, ["kind", "name", "key"]).rename({"kind": "type"}).select(_ORDER).collect()


def _shares(evidence: pl.LazyFrame, totals: pl.LazyFrame, by: list[str]) -> pl.DataFrame:
    found = finish(evidence.join(totals, on=by, how="left", nulls_equal=True))
    families = [pl.sum_horizontal(group) > 0 for group in _FAMILIES]
    return (
        found.with_columns(
            share=pl.col("present") / pl.col("events"),
            conflict=pl.sum_horizontal(f.cast(pl.Int32) for f in families) > 1,
            examples=pl.col("examples").list.head(_EXAMPLES),
        )
        .sort([*(["name"] if "name" in by else by), "present", "key"], descending=[False, True, False])
        .select(*by, "key", "events", "present", "nulls", "share", *TYPES, *_REST)
        .collect()
    )


_FAMILIES = (
    ("bool", "text-bool"),
    ("int", "decimal", "text-int", "text-decimal"),
    ("text-date", "text-datetime"),
    ("text",),
    ("array", "object"),
)
_REST = (
    "filled",
    "distinct",
    "estimated",
    "max_length",
    "places",
    "minimum",
    "maximum",
    "low",
    "high",
    "examples",
    "conflict",
)
