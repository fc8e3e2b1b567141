"""Which event properties become columns of `cio_event`, and the events cut accordingly (SR-053, SR-054, I-17)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from cio2d365.decide import documents
from cio2d365.decide.event_profile import EventProfile, profile_events
from cio2d365.decide.evidence import Proposal, propose
from cio2d365.decide.json_scan import FATAL, objects, pick, scan
from cio2d365.decide.names import column_names
from cio2d365.decide.standard import OWN_COLUMNS
from cio2d365.decide.values import LOSSY, convert
from cio2d365.errors import DecisionError
from cio2d365.tables import Column

__all__ = ["EventColumn", "EventDecision", "EventProfile", "Offer", "profile_events", "promote", "propose_events"]

REMAINDER = "cio_properties"
UNREADABLE = "_unreadable"
BUDGETS = (0, 400)


@dataclass(frozen=True)
class EventColumn:
    """One property that becomes a column; `share` counts over all track() events, `evidence` says why this type."""

    key: str
    column: Column
    share: float
    unit: str = ""
    rounding: bool = False
    conflict: bool = False
    evidence: str = ""


@dataclass(frozen=True)
class Offer:
    """A property above the threshold only within one event name, or beyond the column budget (`name` is empty then)."""

    name: str
    key: str
    share: float
    reason: str


@dataclass(frozen=True)
class EventDecision:
    """The promoted properties and the parameters they came from.

    `share` is exceeded strictly; `budget` is the largest number of columns; `offered` are properties that stay in the
    JSON column but could be promoted by hand. Keys and column names are unique (DecisionError).
    """

    columns: tuple[EventColumn, ...]
    share: float = 0.10
    budget: int = 60
    offered: tuple[Offer, ...] = ()

    def __post_init__(self) -> None:
        documents.within(self.share, 0.0, 1.0, "events: share")
        documents.within(self.budget, *BUDGETS, "events: budget")
        _unique([c.key for c in self.columns], "two columns for the property")
        _unique([c.column.name for c in self.columns], "two properties for the column")
        taken = {c.column.name for c in self.columns} & OWN_COLUMNS
        if taken:
            raise DecisionError(f"events: {', '.join(sorted(taken))} is a column of the event table itself")


def propose_events(
    profile: EventProfile, *, share: float = 0.10, budget: int = 60, prefix: str = "cio"
) -> EventDecision:
    """Columns for the properties in strictly more than `share` of all track() events, commonest first.

    A null counts as absent. Beyond `budget` columns the rest stays in the JSON column and is offered (B-064). Names are
    legal and unique and none of the event table's own (B-057 … B-060).
    """
    overall = profile.properties.filter(pl.col("name").is_null())
    passing = overall.filter(pl.col("share") > share).sort(["share", "key"], descending=[True, False])
    promoted = passing.head(budget)
    names = column_names(promoted["key"], prefix=prefix, taken=OWN_COLUMNS)
    columns = tuple(_event_column(row, names[row["key"]]) for row in promoted.iter_rows(named=True))
    beyond = tuple(_offer(row, "", "beyond the column budget") for row in passing[budget:].iter_rows(named=True))
    return EventDecision(columns, share, budget, beyond + _offers_by_name(profile, share, passing["key"]))


def promote(events: pl.DataFrame, decision: EventDecision) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events with one converted column per promoted property and `cio_properties`, and what did not go smoothly.

    `cio_properties` is a JSON object of all other properties and of every promoted value that does not fit its
    column or would lose something there (KEEP), each member as the source wrote it, sorted; null when empty.
    Together they hold what the event held; only a null under a promoted key counts as absent. A text that is no
    object goes there as a whole, as one string under the key `_unreadable`.

    The second frame has event_key, key, code (problem), note (change), detail, and kept (whether the original is in
    `cio_properties`).
    """
    pairs, problems = scan(events["properties"])
    given = pick(events["properties"], [c.key for c in decision.columns], pairs)
    converted = {c.key: _converted(given[c.key], c) for c in decision.columns}
    values = [converted[c.key]["value"].alias(c.column.name) for c in decision.columns]
    members = pl.concat([_unpromoted(pairs, converted), *_kept_members(pairs, converted), _wholes(events, problems)])
    troubles = [_trouble(events["event_key"], key, frame) for key, frame in converted.items()]
    noted = pl.concat([*troubles, _unreadable(events["event_key"], problems)])
    return events.with_columns(*values, objects(members, events.height, REMAINDER)), noted


def to_document(decision: EventDecision) -> dict[str, Any]:
    """The decision as plain values: parameters, one table per column, one per offer."""
    return {
        "share": decision.share,
        "budget": decision.budget,
        "columns": [_column_table(c) for c in decision.columns],
        "offered": [{"name": o.name, "key": o.key, "share": o.share, "reason": o.reason} for o in decision.offered],
    }


def from_document(document: Mapping[str, Any]) -> EventDecision:
    """Inverse of `to_document`. DecisionError on unknown keys, wrong types and values out of range."""
    where = "events"
    documents.known(document, ("share", "budget", "columns", "offered"), where)
    low, high = BUDGETS
    return EventDecision(
        columns=tuple(_column_from(c) for c in documents.tables(document, "columns", where)),
        share=documents.number(document, "share", where, low=0.0, high=1.0, default=0.10),
        budget=documents.whole(document, "budget", where, low=low, high=high, default=60),
        offered=tuple(_offer_from(o) for o in documents.tables(document, "offered", where)),
    )


def _column_table(column: EventColumn) -> dict[str, Any]:
    optional = {"unit": column.unit, "rounding": column.rounding, "conflict": column.conflict}
    return {
        "key": column.key,
        "share": column.share,
        **{k: v for k, v in optional.items() if v},
        "evidence": column.evidence,
        "column": documents.column_document(column.column),
    }


def _column_from(document: Mapping[str, Any]) -> EventColumn:
    key = documents.text(document, "key", "events: column")
    where = f"events: column of {key!r}"
    documents.known(document, ("key", "share", "unit", "rounding", "conflict", "evidence", "column"), where)
    definition = document.get("column")
    if not isinstance(definition, Mapping):
        raise DecisionError(f"{where}: the table 'column' is missing")
    unit = documents.text(document, "unit", where, "")
    return EventColumn(
        key=key,
        column=documents.column_from(definition, where),
        share=documents.number(document, "share", where, low=0.0, high=1.0, default=0.0),
        unit=documents.one_of(unit, ("", "s", "ms", "us", "iso", "mixed"), f"{where}: unit"),
        rounding=documents.truth(document, "rounding", where, default=False),
        conflict=documents.truth(document, "conflict", where, default=False),
        evidence=documents.text(document, "evidence", where, ""),
    )


def _offer_from(document: Mapping[str, Any]) -> Offer:
    where = "events: offered"
    documents.known(document, ("name", "key", "share", "reason"), where)
    return Offer(
        name=documents.text(document, "name", where, ""),
        key=documents.text(document, "key", where),
        share=documents.number(document, "share", where, low=0.0, high=1.0),
        reason=documents.text(document, "reason", where, ""),
    )


def _unique(names: Collection[str], what: str) -> None:
    twice = sorted({n for n in names if list(names).count(n) > 1})
    if twice:
        raise DecisionError(f"events: {what} {', '.join(twice)}")


def _event_column(row: dict[str, Any], name: str) -> EventColumn:
    proposal = propose(row["key"], row)
    column = Column(
        name,
        proposal.kind,
        label=row["key"][:100],
        length=proposal.length,
        precision=proposal.precision,
        description=f"Property {row['key']} of Customer.io events"[:300],
    )
    return EventColumn(
        row["key"],
        column,
        round(row["share"], 6),
        proposal.unit,
        proposal.rounding,
        row["conflict"],
        _evidence(row, proposal),
    )


def _evidence(row: dict[str, Any], proposal: Proposal) -> str:
    parts = [f"{row['present']:,} of {row['events']:,} events", proposal.note]
    if proposal.breaks:
        parts.append(f"{proposal.breaks:,} values are not {proposal.majority}")
    return "; ".join(p for p in parts if p)


def _offer(row: dict[str, Any], name: str, reason: str) -> Offer:
    return Offer(name, row["key"], round(row["share"], 6), reason)


def _offers_by_name(profile: EventProfile, share: float, passing: pl.Series) -> tuple[Offer, ...]:
    named = profile.properties.filter(
        pl.col("name").is_not_null() & (pl.col("share") > share) & ~pl.col("key").is_in(passing.implode())
    ).sort(["name", "share", "key"], descending=[False, True, False])
    return tuple(_offer(r, r["name"], "within this event name only") for r in named.iter_rows(named=True))


def _converted(texts: pl.Series, column: EventColumn) -> pl.DataFrame:
    return convert(texts, column.column, unit=column.unit, rounding=column.rounding)


def _kept() -> pl.Expr:
    return (pl.col("problem").is_not_null() | pl.col("note").is_in(sorted(LOSSY))).fill_null(value=False)


def _unpromoted(pairs: pl.DataFrame, converted: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    return pairs.filter(~pl.col("key").is_in(list(converted))).select("row", "source")


def _kept_members(pairs: pl.DataFrame, converted: Mapping[str, pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Sources of the promoted values that did not fit, or lost something."""
    for key, frame in converted.items():
        rows = frame.select(_kept().arg_true().cast(pl.UInt32)).to_series()
        if len(rows):
            kept = (pl.col("key") == key) & pl.col("row").is_in(rows.implode())
            yield pairs.filter(kept).select("row", "source")


def _wholes(events: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Texts that are no object, each as one JSON string."""
    rows = problems.filter(pl.col("code").is_in(FATAL))["row"]
    texts = [orjson.dumps(events["properties"][row]).decode() for row in rows]
    sources = [f'"{UNREADABLE}":{text}' for text in texts]
    return pl.DataFrame({"row": rows, "source": sources}, schema={"row": pl.UInt32, "source": pl.String})


def _trouble(event_keys: pl.Series, key: str, converted: pl.DataFrame) -> pl.DataFrame:
    found = converted.with_columns(event_key=event_keys, key=pl.lit(key), kept=_kept())
    noted = found.filter(pl.col("problem").is_not_null() | pl.col("changed"))
    return noted.select("event_key", "key", pl.col("problem").alias("code"), "note", "detail", "kept")


def _unreadable(event_keys: pl.Series, problems: pl.DataFrame) -> pl.DataFrame:
    note = pl.lit(None, pl.String).alias("note")
    named = problems.with_columns(event_key=event_keys.gather(problems["row"]), kept=pl.col("code") != "duplicate")
    return named.select("event_key", "key", "code", note, "detail", "kept")
