"""The trait profile: what attributes of people or objects hold, and as which kind (SR-057 … SR-064)."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from cio2d365.decide.evidence import finish, merge, propose, tally
from cio2d365.decide.json_scan import scan
from cio2d365.decide.names import reads_as_code, slug
from cio2d365.decide.system_traits import is_system
from cio2d365.decide.value_types import TYPES, value_type

NULL_RATE = 0.80
"""A trait is flagged when strictly more of it is missing (SR-064)."""

FEW_VALUES, MANY_VALUES = 10, 200
"""Distinct values: above the first, up to the second an Option Set is proposed; up to the first offered (SR-063)."""

REPEATS = 5.0
"""Rows per distinct value from which values count as a category."""

LABEL_LENGTH = 100
"""Longest value that is taken for a label."""

TOP = 10
_COUNTED = 1_024
_BATCH = 50_000
_EVIDENCE = (*TYPES, "max_length", "places", "minimum", "maximum", "low", "high", "sketch", "examples")
_PERSONAL = re.compile(
    r"(?:\A|_)(?:name|firstname|lastname|surname|email|mail|phone|mobile|cell|fax|address|street|line1|line2|postcode|zip"
    r"|city|birthday|birthdate|dob|birth|gender|sex|ip|latitude|longitude|iban|ssn|passport|salary|religion|health|nationality)"
    r"(?:_|\Z)"
)
_PROPOSAL = {
    "kind": pl.String,
    "majority": pl.String,
    "breaks": pl.Int64,
    "unit": pl.String,
    "length": pl.Int64,
    "precision": pl.Int64,
    "rounding": pl.Boolean,
    "note": pl.String,
    "option_set": pl.String,
    "personal": pl.Boolean,
    "system": pl.Boolean,
}


def profile_traits(rows: pl.DataFrame, *, key: str, classes: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per trait, most present first. `rows` has the column `key` and `attributes` (JSON objects).

    trait; rows (denominator: all of `rows`); present (neither missing, null, "" nor blank); null_rate; a count per
    word of `TYPES`; kind (by all values) with unit, length, precision, rounding and note; majority (kind of most
    values) and breaks (values that keep it from fitting); distinct (`estimated` from 1,024 on); max_length (UTF-16
    units); minimum, maximum (numbers as written), low, high (as floats), places; top (value and count; all values up
    to 200 distinct ones, else the 10 commonest, then counts may be low); examples (keys of rows); flagged (null_rate
    > 0.80); option_set (`proposed`, `alternative` or empty); personal (by name); system (reserved or kept by
    Customer.io). With `classes` (`key`, cls): present_<cls> and null_rate_<cls> for each class that occurs.
    """
    grouped = _by_class(rows, key, classes)
    parts, counts = _scan_batches(grouped, key)
    overall = finish(merge(parts.lazy(), ["trait"])).collect().with_columns(rows=pl.lit(rows.height, pl.Int64))
    profile = overall.with_columns(present="filled", null_rate=1 - pl.col("filled") / pl.col("rows"))
    judged = profile.hstack(_judgements(profile)).join(_top(counts, profile), on="trait", how="left")
    found = judged.join(_per_class(parts, grouped), on="trait", how="left")
    ordered = found.with_columns(flagged=pl.col("null_rate") > NULL_RATE).sort(
        ["present", "trait"], descending=[True, False]
    )
    return ordered.select(
        *_LEADING, *(c for c in ordered.columns if c not in (*_LEADING, "filled", "null", "nulls")), "null"
    )


_LEADING = ("trait", "rows", "present", "null_rate", "flagged", "kind", "unit", "option_set")


def _by_class(rows: pl.DataFrame, key: str, classes: pl.DataFrame | None) -> pl.DataFrame:
    plain = rows.select(pl.col(key).alias("at"), "attributes")
    if classes is None:
        return plain.with_columns(cls=pl.lit(None, pl.String))
    named = classes.select(pl.col(key).alias("at"), "cls")
    return plain.join(named, on="at", how="left", maintain_order="left")


def _scan_batches(rows: pl.DataFrame, key: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Evidence per (trait, cls), and counts of values per trait, added up over slices of the rows."""
    starts = range(0, max(rows.height, 1), _BATCH)
    batches = [_scan_batch(rows.slice(start, _BATCH)) for start in starts]
    counts = pl.concat([c for _, c in batches]).group_by("trait", "value").agg(pl.col("count").sum())
    return pl.concat([p for p, _ in batches]), counts


def _scan_batch(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    owners = rows.select("at", "cls").with_row_index("row")
    pairs = scan(rows["attributes"]).pairs.lazy().join(owners.lazy(), on="row", how="left", maintain_order="left")
    typed = pairs.select(value_type().alias("type"), "text", "at", "cls", trait="key").collect()
    evidence = tally(typed.lazy(), ["trait", "cls"]).select("trait", "cls", *_EVIDENCE).collect()
    filled = typed.filter(~pl.col("type").is_in(["null", "empty"]))
    counts = filled.group_by("trait", value="text").agg(count=pl.len().cast(pl.Int64))
    commonest = counts.sort(["count", "value"], descending=[True, False]).group_by("trait", maintain_order=True)
    return evidence, commonest.head(_COUNTED)


def _judgements(profile: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([_judge(row) for row in profile.iter_rows(named=True)], schema=_PROPOSAL)


def _judge(row: dict[str, Any]) -> dict[str, Any]:
    proposal = propose(row["trait"], row)
    return {
        "kind": proposal.kind,
        "majority": proposal.majority,
        "breaks": proposal.breaks,
        "unit": proposal.unit,
        "length": proposal.length,
        "precision": proposal.precision,
        "rounding": proposal.rounding,
        "note": proposal.note,
        "option_set": _option_set(row, proposal.kind),
        "personal": _PERSONAL.search(slug(row["trait"])) is not None,
        "system": is_system(row["trait"]),
    }


def _option_set(row: dict[str, Any], kind: str) -> str:
    """Whether the values could be a closed list; above 200 distinct values never (B-055)."""
    distinct, present = row["distinct"], row["present"]
    is_label = kind == "string" and (row["max_length"] or 0) <= LABEL_LENGTH and not reads_as_code(row["trait"])
    if not is_label or not 1 < distinct <= MANY_VALUES or present / distinct < REPEATS:
        return ""
    return "proposed" if distinct > FEW_VALUES else "alternative"


def _top(counts: pl.DataFrame, profile: pl.DataFrame) -> pl.DataFrame:
    shown = profile.select("trait", shown=pl.when(pl.col("distinct") <= MANY_VALUES).then(MANY_VALUES).otherwise(TOP))
    ranked = counts.sort(["count", "value"], descending=[True, False]).join(shown, on="trait", maintain_order="left")
    kept = ranked.filter(pl.int_range(pl.len()).over("trait") < pl.col("shown"))
    return kept.group_by("trait", maintain_order=True).agg(top=pl.struct("value", "count"))


def _per_class(parts: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    sizes = dict(rows.filter(pl.col("cls").is_not_null()).group_by("cls").len().sort("cls").iter_rows())
    filled = pl.sum_horizontal(t for t in TYPES if t not in ("null", "empty"))
    present = [filled.filter(pl.col("cls") == cls).sum().alias(f"present_{cls}") for cls in sizes]
    rates = [(1 - pl.col(f"present_{cls}") / size).alias(f"null_rate_{cls}") for cls, size in sizes.items()]
    return parts.group_by("trait").agg(*present).with_columns(*rates)
