"""Which event properties become columns of `cio_event`, and the events cut accordingly (SR-053, SR-054, I-17)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
import polars as pl

from cio2d365.decide import documents
from cio2d365.decide.event_profile import EventProfile, profile_events
from cio2d365.decide.evidence import Proposal, propose
from cio2d365.decide.json_scan import FATAL, Pair, Problem, read_object
from cio2d365.decide.names import column_names
from cio2d365.decide.standard import OWN_COLUMNS
from cio2d365.decide.values import LOSSY, convert
from cio2d365.errors import DecisionError
from cio2d365.tables import Column

__all__ = ["EventColumn", "EventDecision", "EventProfile", "Offer", "profile_events", "promote", "propose_events"]

REMAINDER = "cio_properties"
UNREADABLE = "_unreadable"
BUDGETS = (0, 400)
PROBLEMS_SCHEMA = {
    "event_key": pl.String,
    "key": pl.String,
    "code": pl.String,
    "note": pl.String,
    "detail": pl.String,
    "kept": pl.Boolean,
}


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

    `cio_properties` is a JSON object of all other properties and of every promoted value that does not fit its column
    or would lose something there (KEEP), byte for byte as in the source; null when empty. Together they hold what the
    event held; only a null under a promoted key counts as absent. The second frame has event_key, key, code
    (problem), note (change), detail, and kept (whether the original is in `cio_properties`). A text that is no object
    goes to `cio_properties` as a whole, as one string under the key `_unreadable`.
    """
    keys = [c.key for c in decision.columns]
    split = _split(events["properties"], keys)
    converted = {c.key: _converted(split.values[c.key], c) for c in decision.columns}
    troubles = [_trouble(events["event_key"], c.key, converted[c.key]) for c in decision.columns]
    for column in decision.columns:
        _keep(split, column.key, converted[column.key])
    values = [converted[c.key]["value"].alias(c.column.name) for c in decision.columns]
    remainder = pl.Series(REMAINDER, [_object(parts) for parts in split.remainders], dtype=pl.String)
    problems = pl.concat([*troubles, _unreadable(events["event_key"], split.problems)])
    return events.with_columns(*values, remainder), problems


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


@dataclass
class _Split:
    """Working state of one `promote` call: promoted texts and their source by key, JSON parts and problems by row."""

    values: dict[str, list[str | None]]
    sources: dict[str, dict[int, str]]
    remainders: list[list[str]]
    problems: list[tuple[int, Problem]]


def _split(texts: pl.Series, keys: Collection[str]) -> _Split:
    split = _Split({k: [None] * len(texts) for k in keys}, {k: {} for k in keys}, [], [])
    for row, text in enumerate(cast(Iterable[str | None], texts)):
        pairs, problems = read_object(text)
        split.problems += [(row, p) for p in problems]
        split.remainders.append(_whole(text, problems))
        for pair in pairs:
            _place(split, row, pair)
    return split


def _whole(text: str | None, problems: list[Problem]) -> list[str]:
    lost = any(p.code in FATAL for p in problems)
    return [f'"{UNREADABLE}":{orjson.dumps(text).decode()}'] if lost else []


def _place(split: _Split, row: int, pair: Pair) -> None:
    member = f"{pair.raw_key}:{pair.raw}"
    if pair.key not in split.values:
        split.remainders[row].append(member)
    elif pair.json != "null":
        split.values[pair.key][row] = pair.text
        split.sources[pair.key][row] = member


def _converted(texts: list[str | None], column: EventColumn) -> pl.DataFrame:
    series = pl.Series("value", texts, dtype=pl.String)
    return convert(series, column.column, unit=column.unit, rounding=column.rounding)


def _kept() -> pl.Expr:
    return pl.col("problem").is_not_null() | pl.col("note").is_in(sorted(LOSSY))


def _keep(split: _Split, key: str, converted: pl.DataFrame) -> None:
    for row in converted.select(_kept().fill_null(value=False).arg_true()).to_series():
        split.remainders[row].append(split.sources[key][row])


def _trouble(event_keys: pl.Series, key: str, converted: pl.DataFrame) -> pl.DataFrame:
    found = converted.with_columns(event_key=event_keys, key=pl.lit(key), kept=_kept().fill_null(value=False))
    noted = found.filter(pl.col("problem").is_not_null() | pl.col("changed"))
    return noted.select("event_key", "key", pl.col("problem").alias("code"), "note", "detail", "kept")


def _unreadable(event_keys: pl.Series, problems: list[tuple[int, Problem]]) -> pl.DataFrame:
    rows = [(event_keys[row], p.key, p.code, None, p.detail, p.code != "duplicate") for row, p in problems]
    return pl.DataFrame(rows, schema=PROBLEMS_SCHEMA, orient="row")


def _object(members: list[str]) -> str | None:
    return "{" + ",".join(members) + "}" if members else None
