"""The trait profile: what attributes of people or objects hold, and as which kind (SR-057 … SR-064)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from cio2d365.decide import documents
from cio2d365.decide.evidence import finish, merge, propose, tally
from cio2d365.decide.json_scan import scan
from cio2d365.decide.names import reads_as_code, slug
from cio2d365.decide.system_traits import is_system
from cio2d365.decide.value_types import TYPES, value_type


@dataclass(frozen=True)
class TraitRules:
    """Thresholds of the profile, checked on creation (DecisionError with the allowed range).

    A trait is flagged when strictly more than `null_rate` of it is missing (SR-064). An Option Set is proposed for more
    than `few_values` and at most `many_values` distinct values, offered for fewer, if a value occurs `repeats` times on
    average (SR-063).
    """

    null_rate: float = 0.80
    few_values: int = 10
    many_values: int = 200
    repeats: float = 5.0

    def __post_init__(self) -> None:
        documents.within(self.null_rate, 0.0, 1.0, "traits: null_rate")
        documents.within(self.few_values, 1, self.many_values, "traits: few_values")
        documents.within(self.many_values, 1, COUNTED, "traits: many_values")
        documents.within(self.repeats, 1.0, 1e6, "traits: repeats")


COUNTED = 1_024
"""Distinct values per trait that are counted one by one."""

LABEL_LENGTH = 100
"""Longest value that is taken for a label."""

TOP = 10
_BATCH = 50_000
_EVIDENCE = (*TYPES, "max_length", "places", "minimum", "maximum", "low", "high", "sketch", "examples")
_PERSONAL = re.compile(
    r"(?:\A|_)(?:name|firstname|lastname|surname|email|mail|phone|mobile|cell|fax|address|street|line1|line2|postcode|zip"
    r"|city|birthday|birthdate|dob|birth|gender|sex|ip|latitude|longitude|iban|ssn|passport|salary|religion|health|nationality)"
    r"(?:_|\Z)"
)
DEFAULT_RULES = TraitRules()
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


def profile_traits(
    rows: pl.DataFrame, *, key: str, classes: pl.DataFrame | None = None, rules: TraitRules = DEFAULT_RULES
) -> pl.DataFrame:
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
    judged = profile.hstack(_judgements(profile, rules)).join(
        _top(counts, profile, rules.many_values), on="trait", how="left"
    )
    found = judged.join(_per_class(parts, grouped), on="trait", how="left")
    ordered = found.with_columns(flagged=pl.col("null_rate") > rules.null_rate).sort(
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
    return evidence, commonest.head(COUNTED)


def _judgements(profile: pl.DataFrame, rules: TraitRules) -> pl.DataFrame:
    return pl.DataFrame([_judge(row, rules) for row in profile.iter_rows(named=True)], schema=_PROPOSAL)


def _judge(row: dict[str, Any], rules: TraitRules) -> dict[str, Any]:
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
        "option_set": _option_set(row, proposal.kind, rules),
        "personal": _PERSONAL.search(slug(row["trait"])) is not None,
        "system": is_system(row["trait"]),
    }


def _option_set(row: dict[str, Any], kind: str, rules: TraitRules) -> str:
    """Whether the values could be a closed list; with too many distinct values never (B-055)."""
    distinct, present = row["distinct"], row["present"]
    is_label = kind == "string" and (row["max_length"] or 0) <= LABEL_LENGTH and not reads_as_code(row["trait"])
    if not is_label or not 1 < distinct <= rules.many_values or present / distinct < rules.repeats:
        return ""
    return "proposed" if distinct > rules.few_values else "alternative"


def _top(counts: pl.DataFrame, profile: pl.DataFrame, many: int) -> pl.DataFrame:
    shown = profile.select("trait", shown=pl.when(pl.col("distinct") <= many).then(many).otherwise(TOP))
    ranked = counts.sort(["count", "value"], descending=[True, False]).join(shown, on="trait", maintain_order="left")
    kept = ranked.filter(pl.int_range(pl.len()).over("trait") < pl.col("shown"))
    return kept.group_by("trait", maintain_order=True).agg(top=pl.struct("value", "count"))


def _per_class(parts: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    sizes = dict(rows.filter(pl.col("cls").is_not_null()).group_by("cls").len().sort("cls").iter_rows())
    filled = pl.sum_horizontal(t for t in TYPES if t not in ("null", "empty"))
    present = [filled.filter(pl.col("cls") == cls).sum().alias(f"present_{cls}") for cls in sizes]
    rates = [(1 - pl.col(f"present_{cls}") / size).alias(f"null_rate_{cls}") for cls, size in sizes.items()]
    return parts.group_by("trait").agg(*present).with_columns(*rates)
