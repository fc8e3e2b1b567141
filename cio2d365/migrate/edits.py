"""What people have changed in the target since it was loaded, against what the source says now (F-48). Pure.

Three values meet: as loaded before, as the target holds it now, as the source has it now. A value that nobody changed
in the target is sent. One that was changed there and not in the source is kept. One that was changed in both places is
a conflict, and a rule decides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import polars as pl

from cio2d365.migrate.reconcile import read_names, texts_of
from cio2d365.tables import OWNER_READ, Table

Rule = Literal["keep", "overwrite"]
# A value that was never loaded may be the platform's own default in these, and in the owner: no trace of a person.
DEFAULTED = ("boolean", "choice")
SCHEMA = dict.fromkeys(("id", "cio_source_key", "column", "loaded", "target", "source", "kind", "decision"), pl.String)


def compare(
    wanted: pl.DataFrame,
    target: pl.DataFrame,
    loaded: pl.DataFrame,
    table: Table,
    rule: Rule,
    assigned: Collection[str] = (),
) -> tuple[pl.DataFrame, list[str]]:
    """Values edited in the target, and the ids of rows that would be sent for nothing.

    `wanted` and `loaded` are staged rows, `target` has the same rows as read. The first frame has one row per value:
    id, cio_source_key, column (as read), loaded, target, source, kind ("edited in Dynamics" or "edited in both"),
    decision ("kept" or "overwritten"). Rows without a `loaded` counterpart are not judged, nor is the owner of those
    whose ids are in `assigned`: the server has given them away with their account.
    """
    known = wanted.join(loaded.select(table.primary_id), on=table.primary_id, how="semi")
    source = texts_of(known, table, staged=True).drop_nulls("value").rename({"value": "source"})
    before = texts_of(loaded, table, staged=True).drop("cio_source_key").rename({"value": "loaded"})
    now = texts_of(target, table).drop("cio_source_key").rename({"value": "target"})
    joined = source.join(before, on=["id", "column"], how="left").join(now, on=["id", "column"], how="left")
    by_server = (pl.col("column") == OWNER_READ) & pl.col("id").is_in(list(assigned))
    edited = _edited(joined.filter(pl.col("column").is_in(_comparable(table)) & ~by_server), table, rule)
    gone = edited.filter(decision="kept").select("id", "column")
    sent = joined.join(gone, on=["id", "column"], how="anti").filter(~pl.col("column").is_in(_ignored(table)))
    busy = sent.filter(pl.col("source").ne_missing(pl.col("target")))["id"]
    return edited, sorted(set(known[table.primary_id]) - set(busy))


def _edited(values: pl.DataFrame, table: Table, rule: Rule) -> pl.DataFrame:
    defaulted = [c.name for c in table.columns if c.kind in DEFAULTED]
    default = pl.col("loaded").is_null() & pl.col("column").is_in([*defaulted, OWNER_READ])
    changed = pl.col("target").ne_missing(pl.col("loaded")) & pl.col("target").ne_missing(pl.col("source")) & ~default
    both = pl.col("source").ne_missing(pl.col("loaded"))
    kind = pl.when(both).then(pl.lit("edited in both")).otherwise(pl.lit("edited in Dynamics"))
    lost = both & pl.lit(rule == "overwrite")
    decision = pl.when(lost).then(pl.lit("overwritten")).otherwise(pl.lit("kept"))
    return values.filter(changed).with_columns(kind=kind, decision=decision).select(*SCHEMA)


def _ignored(table: Table) -> set[str]:
    """Create-only columns, which the server ignores in an update; some metadata call `createdon` updatable."""
    return {"createdon", *(c.name for c in table.columns if not c.updatable)}


def _comparable(table: Table) -> set[str]:
    lookups = {f"_{x.name}_value" for x in table.lookups}
    return lookups | {c.name for c in table.columns} - _ignored(table) - {table.primary_id}


def without_kept(part: pl.DataFrame, edited: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Staged rows without the values that are kept as the target has them."""
    kept = edited.filter(decision="kept")
    reads = read_names(part, table)
    for name in part.columns:
        ids = kept.filter(column=reads[name])["id"].to_list()
        if ids:
            part = part.with_columns(pl.when(~pl.col(table.primary_id).is_in(ids)).then(name).alias(name))
    return part
