"""Mapped attributes → columns of one table, by the confirmed map. What does not fit is kept as JSON, never cut (L4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl

from cio2d365.decide import json_scan, values
from cio2d365.decide.mapping import FieldMap
from cio2d365.errors import DecisionError
from cio2d365.tables import Column, Table

NOTES = {"source_key": pl.String, "field": pl.String, "column": pl.String, "note": pl.String, "detail": pl.String}
NOBODY = pl.DataFrame(schema={"row": pl.UInt32, "key": pl.String})
REST = "cio_attributes"
SAME_VALUE = ["retyped", "unix-s"]


@dataclass(frozen=True)
class Fields:
    """`columns`: one per target column; `rest`: JSON of what has no column; `notes`: what was changed or kept."""

    columns: pl.DataFrame
    rest: pl.Series
    notes: pl.DataFrame


def mapped(attributes: pl.Series, keys: pl.Series, maps: Sequence[FieldMap], table: Table) -> Fields:
    """Apply the map to attributes (JSON texts), one row per source key; `maps` are the fields of this group of sources.

    A value with a problem, or one that would lose something, keeps its original in `rest` (rule keep).
    """
    chosen = {attribute(m): m for m in maps if m.action == "column" and table.name in dict(m.targets)}
    definitions = {name: _definition(m, table) for name, m in chosen.items()}
    texts = json_scan.pick(attributes, list(chosen))
    done = {name: convert(texts[name], definitions[name], m) for name, m in chosen.items()}
    kept = [frame.filter(_kept()).select("row", key=pl.lit(name)) for name, frame in done.items()]
    whole = {attribute(m) for m in maps if m.action == "json"}
    columns = [frame["value"].alias(definitions[name].name) for name, frame in done.items()]
    notes = [note(keys, name, definitions[name].name, frame) for name, frame in done.items()]
    return Fields(pl.DataFrame(columns), _rest(attributes, whole, pl.concat([NOBODY, *kept])), concat(notes))


def attribute(field: FieldMap) -> str:
    """Name of the attribute that a field of the map is about; attribute names may hold dots."""
    return field.source.split(".", 1)[1] if field.source.startswith("person.") else field.source.split(".", 2)[2]


def convert(texts: pl.Series, column: Column, field: FieldMap | None = None, *, unit: str = "") -> pl.DataFrame:
    """`values.convert` as the map says, with the row number."""
    chosen, rounding = (field.unit, field.rounding) if field else (unit, False)
    return values.convert(texts, column, unit=chosen, rounding=rounding).with_row_index("row")


def note(keys: pl.Series, name: str, column: str, converted: pl.DataFrame) -> pl.DataFrame:
    """What happened to a field's values that did not pass as they were; the same value in another type is no change."""
    frame = converted.with_columns(source_key=keys)
    told = frame.filter(pl.col("problem").is_not_null() | (pl.col("changed") & ~pl.col("note").is_in(SAME_VALUE)))
    return told.select(
        "source_key",
        field=pl.lit(name),
        column=pl.lit(column),
        note=pl.coalesce("problem", "note"),
        detail=pl.col("detail").cast(pl.String),
    )


def concat(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Notes of several fields as one frame."""
    return pl.concat(
        [pl.DataFrame(schema=NOTES), *(f.select(pl.col(n).cast(t) for n, t in NOTES.items()) for f in frames)]
    )


def original(texts: pl.Series, converted: pl.DataFrame) -> pl.Series:
    """The source text where the column could not take it."""
    return pl.select(pl.when(converted["problem"].is_not_null() | converted["value"].is_null()).then(texts)).to_series()


def with_rest(rest: pl.Series, extra: Mapping[str, pl.Series]) -> pl.Series:
    """`rest` with more values: name → texts, null where there is nothing to keep."""
    rows = zip(rest, *extra.values(), strict=True)
    return pl.Series(REST, [_joined(row[0], extra.keys(), row[1:]) for row in rows], dtype=pl.String)


def _joined(rest: str | None, names: Iterable[str], texts: Sequence[str | None]) -> str | None:
    more = [f"{_quoted(n)}:{_quoted(t)}" for n, t in zip(names, texts, strict=True) if t is not None]
    parts = ([rest[1:-1]] if rest else []) + more
    return "{" + ",".join(parts) + "}" if parts else None


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _definition(field: FieldMap, table: Table) -> Column:
    """The definition of the column that a field goes to in a table: the live one first."""
    column = table.column(dict(field.targets)[table.name]) or field.column
    if column is None:
        raise DecisionError(f"{field.source} goes to a column of {table.name} that does not exist and is not defined")
    return column


def _kept() -> pl.Expr:
    return pl.col("problem").is_not_null() | pl.col("note").is_in(sorted(values.LOSSY - {"empty"}))


def _rest(attributes: pl.Series, whole: Collection[str], kept: pl.DataFrame) -> pl.Series:
    """The source's own members of the attributes that go to JSON as a whole, and of single values that were `kept`."""
    members = json_scan.scan(attributes).pairs
    chosen = members.filter(pl.col("key").is_in(list(whole)))
    single = members.filter(~pl.col("key").is_in(list(whole))).join(kept, on=["row", "key"], how="semi")
    return json_scan.objects(pl.concat([chosen, single]), len(attributes), REST)
