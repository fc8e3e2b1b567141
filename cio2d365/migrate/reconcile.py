"""Did every row and every field arrive? Staged frames against what the target now holds (L8). Pure.

In rising cost: same count, same keys, same values. A value is equal when it is the same in the column's own type; what
was not sent is not compared, and is counted as such.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from cio2d365.tables import OWNER_BIND, OWNER_READ, Kind, Table

DIFFERENCES = {
    "table": pl.String, "source_key": pl.String, "column": pl.String, "staged": pl.String, "target": pl.String,
}  # fmt: skip
# What is written to `overriddencreatedon` becomes `createdon`; the column itself then tells when the row came in.
READ_AS = {"overriddencreatedon": "createdon", OWNER_BIND: OWNER_READ}
FLOAT_PLACES = 9  # decimals have at most 10 places; the last one is the server's rounding


@dataclass(frozen=True)
class Comparison:
    """One table: counts, one row per field, and every difference."""

    table: str
    staged: int
    target: int
    missing: pl.DataFrame
    extra: pl.DataFrame
    fields: pl.DataFrame
    differences: pl.DataFrame

    @property
    def clean(self) -> bool:
        """Every staged row is there, nothing else is, and every value is equal."""
        return not (self.missing.height or self.extra.height or self.differences.height)


def read_names(frame: pl.DataFrame, table: Table) -> dict[str, str]:
    """Staged column → the name under which the target gives it back."""
    binds = table.binds
    return {c: f"_{binds[c][0].name}_value" if c in binds else READ_AS.get(c, c) for c in frame.columns}


def columns_to_read(frame: pl.DataFrame, table: Table) -> list[str]:
    """What to select in the target to compare a staged frame."""
    return sorted(set(read_names(frame, table).values()))


def compare(frame: pl.DataFrame, target: pl.DataFrame, table: Table, quarantined: Sequence[str] = ()) -> Comparison:
    """Compare staged rows with target rows.

    Rows that are in quarantine are not expected, and not extra either: a refused change leaves its old row in place.
    """
    staged = _as_read(frame, table)
    wanted = staged.filter(~pl.col(table.primary_id).is_in(list(quarantined)))
    there = target.with_columns(pl.col(table.primary_id).str.to_lowercase())
    names = [c for c in wanted.columns if c != table.primary_id]
    found = there.rename({c: f"{c} target" for c in there.columns if c != table.primary_id})
    joined = wanted.join(found, on=table.primary_id, how="inner")
    compared = [_field(joined, name, table) for name in names if name != "cio_source_key"]
    return Comparison(
        table.name,
        wanted.height,
        there.height,
        wanted.join(there, on=table.primary_id, how="anti").select("cio_source_key", table.primary_id),
        there.join(staged, on=table.primary_id, how="anti").select("cio_source_key", table.primary_id),
        pl.DataFrame([counts for counts, _ in compared]),
        pl.concat([pl.DataFrame(schema=DIFFERENCES), *(rows for _, rows in compared)]),
    )


def _as_read(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The staged frame under the names in which the target answers; a lookup's navigations become one column."""
    groups: dict[str, list[str]] = {}
    for column, name in read_names(frame, table).items():
        groups.setdefault(name, []).append(column)
    ids = frame.with_columns(pl.col(OWNER_BIND).str.extract(r"\((.+)\)$")) if OWNER_BIND in frame.columns else frame
    return ids.select(pl.coalesce(columns).alias(name) for name, columns in groups.items())


def _field(joined: pl.DataFrame, name: str, table: Table) -> tuple[dict[str, object], pl.DataFrame]:
    kind = _kind(table, name)
    pair = joined.select(
        "cio_source_key", staged=_text(joined, name, kind), target=_text(joined, f"{name} target", kind)
    )
    sent = pair.filter(pl.col("staged").is_not_null())
    different = sent.filter(pl.col("staged").ne_missing(pl.col("target")))
    counts = {
        "table": table.name, "column": name, "sent": sent.height, "equal": sent.height - different.height,
        "different": different.height, "not_sent": pair.height - sent.height,
    }  # fmt: skip
    rows = different.select(
        table=pl.lit(table.name), source_key="cio_source_key", column=pl.lit(name), staged="staged", target="target"
    )
    return counts, rows


def _kind(table: Table, name: str) -> Kind:
    column = table.column(name)
    return column.kind if column else "other"


def _text(frame: pl.DataFrame, name: str, kind: Kind) -> pl.Expr:
    """A value as text in its column's own type, the same for the same value: what is compared and shown."""
    value, dtype = pl.col(name), frame.schema[name]
    if dtype == pl.Boolean:
        return pl.when(value).then(pl.lit("true")).when(~value).then(pl.lit("false"))
    if dtype.is_float():
        return _number_text(value)
    text = value.cast(pl.String)
    if kind == "datetime":
        return _time_text(text)
    if kind == "multichoice":
        return text.str.split(",").list.sort().list.join(",")
    return text.str.to_lowercase() if name.startswith("_") else text


def _number_text(value: pl.Expr) -> pl.Expr:
    """`5` for 5.0, so that a whole number is one text in integer and float columns."""
    rounded = value.round(FLOAT_PLACES)
    whole = (rounded == rounded.floor()) & (rounded.abs() < 2**53)
    return pl.when(whole).then(rounded.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(rounded.cast(pl.String))


def _time_text(text: pl.Expr) -> pl.Expr:
    """A moment in UTC; Dataverse keeps whole seconds (dataverse-api 4). What is no moment stays as it is."""
    moment = text.str.to_datetime("%+", time_unit="ms", time_zone="UTC", strict=False)
    return pl.coalesce(moment.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), text)


def summary(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per table: staged, in target, missing, extra, values compared, values different, verdict."""
    return pl.DataFrame(
        [
            {
                "table": c.table, "staged": c.staged, "in_target": c.target, "missing": c.missing.height,
                "extra": c.extra.height, "values_compared": _sum(c.fields, "sent"),
                "values_different": c.differences.height, "verdict": "equal" if c.clean else "differs",
            }
            for c in comparisons
        ]
    )  # fmt: skip


def _sum(frame: pl.DataFrame, column: str) -> int:
    return int(frame[column].sum()) if column in frame.columns else 0


def fields(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per field: table, column, sent, equal, different, not_sent (SR-006)."""
    return pl.concat([c.fields for c in comparisons if c.fields.height])


def differences(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """Every difference with both values."""
    return pl.concat([pl.DataFrame(schema=DIFFERENCES), *(c.differences for c in comparisons)])


def explained(differences: pl.DataFrame, kept: pl.DataFrame, unlinked: pl.DataFrame) -> pl.DataFrame:
    """Differences with the `reason` that the load has recorded for them, empty when there is none.

    `kept` are values edited in the target (table, source_key, column, target), `unlinked` links left out (table,
    source_key, column as read).
    """
    edits = kept.cast(pl.String).with_columns(_kept=True)
    links = unlinked.select(pl.col("table", "source_key", "column").cast(pl.String), _left=pl.lit(True)).unique()
    found = differences.join(edits, on=["table", "source_key", "column", "target"], how="left", nulls_equal=True)
    found = found.join(links, on=["table", "source_key", "column"], how="left")
    left = pl.col("_left").fill_null(False) & pl.col("target").is_null()
    reason = (
        pl.when(pl.col("_kept"))
        .then(pl.lit("kept as edited in Dynamics"))
        .when(left)
        .then(pl.lit("link left out: its target is in quarantine"))
    )
    return found.with_columns(reason=reason.otherwise(pl.lit(""))).drop("_kept", "_left")


def link_check(children: Mapping[str, pl.DataFrame], people: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Per table of children and lookup column: rows with a link, and links to a row that is not there (SR-009)."""
    known = set().union(*(frame[:, 0].str.to_lowercase().to_list() for frame in people.values()))
    rows = []
    for name, frame in children.items():
        for column in (c for c in frame.columns if c.startswith("_") and c.endswith("_value") and c != OWNER_READ):
            linked = frame[column].drop_nulls().cast(pl.String).str.to_lowercase()
            dangling = len(linked) - int(linked.is_in(list(known)).sum())
            rows.append({"table": name, "lookup": column, "linked": len(linked), "dangling": dangling})
    return pl.DataFrame(
        rows, schema={"table": pl.String, "lookup": pl.String, "linked": pl.Int64, "dangling": pl.Int64}
    )


def spot_checks(
    frame: pl.DataFrame, target: pl.DataFrame, table: Table, raw: pl.DataFrame, *, rows: int
) -> pl.DataFrame:
    """A sheet for people (SR-144): source record, each value sent and found, and an empty verdict.

    The rows are drawn by a hash of their source key, so that the same snapshot gives the same sample.
    """
    drawn = frame.with_columns(_draw=_drawn(frame["cio_source_key"])).sort("_draw").head(rows).drop("_draw")
    wanted = texts_of(drawn, table, staged=True)
    there = target.with_columns(pl.col(table.primary_id).str.to_lowercase())
    found = texts_of(there, table).drop("cio_source_key").rename({"value": "found"})
    sheet = wanted.drop_nulls("value").join(found, on=["id", "column"], how="left")
    source = raw.select(cio_source_key=pl.first(), source="attributes")
    names = {"cio_source_key": "source_key", "value": "sent"}
    sheet = sheet.join(source, on="cio_source_key", how="left").rename(names).sort("source_key", "column")
    order = ("table", "source_key", "column", "sent", "found", "verdict", "source")
    return sheet.with_columns(table=pl.lit(table.name), verdict=pl.lit("")).select(order)


def texts_of(frame: pl.DataFrame, table: Table, *, staged: bool = False) -> pl.DataFrame:
    """Every value as comparable text, by the name under which the target is read: id, cio_source_key, column, value."""
    frame = _as_read(frame, table) if staged else frame
    names = [c for c in frame.columns if c not in (table.primary_id, "cio_source_key")]
    texts = frame.select(
        pl.col(table.primary_id).alias("id"),
        "cio_source_key",
        *(_text(frame, n, _kind(table, n)).alias(n) for n in names),
    )
    return texts.unpivot(index=["id", "cio_source_key"], variable_name="column", value_name="value")


def _drawn(keys: pl.Series) -> pl.Series:
    return pl.Series([hashlib.sha256(str(k).encode()).hexdigest() for k in keys], dtype=pl.String)
