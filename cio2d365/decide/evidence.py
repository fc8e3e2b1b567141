"""Counts of value types per key, and the column kind that holds all of the values.

A type is decided by every value, never by the first rows. Partial counts of several files or batches are frames of the
same shape; `merge` adds them up, so that any engine may compute the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cio2d365.decide.names import reads_as_code, reads_as_day, reads_as_time
from cio2d365.decide.value_types import TYPES
from cio2d365.tables import DECIMAL_RANGE, MEMO_LENGTH, STRING_LENGTH, WHOLE_RANGE, Kind

SKETCH = 1_024
"""Distinct values are counted exactly up to here; beyond, estimated from the smallest hashes (error about 3 %)."""

UNIX_RANGES = {"s": (1e8, 1e11), "ms": (1e11, 1e14), "us": (1e14, 1e17)}
"""Plausible unix times by unit: seconds from 1973 to 5138; the ranges of the units do not overlap (B-026)."""

EARLIEST = -68.5
"""Earliest plausible time, 1753, in multiples of the first value of a unit's range."""

LENGTHS = (100, 200, 400, 1_000, 2_000, STRING_LENGTH)
"""Lengths of text columns that are proposed; longer text gets a memo."""


def tally(values: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Partial evidence per group: `values` holds the columns of `by` and (type, text, at).

    Columns: one count per word of `TYPES`, max_length (UTF-16 units), places (decimal places), minimum, maximum
    (numbers, as the source wrote them), low, high (the same as floats), sketch (smallest hashes of the values),
    examples (three smallest of `at`).
    """
    kinds = [(pl.col("type") == t).sum().cast(pl.Int64).alias(t) for t in TYPES]
    return (
        values.with_columns(number=_number(), length=utf16_length("text"), places=_places(), hash=_hash())
        .group_by(*by)
        .agg(
            *kinds,
            pl.col("length").max().alias("max_length"),
            pl.col("places").max(),
            *_extremes(),
            pl.col("hash").drop_nulls().unique().sort().head(SKETCH).alias("sketch"),
            pl.col("at").filter(_filled()).bottom_k(3).alias("examples"),
        )
    )


def merge(parts: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Sum of partial evidence over `by`; associative and commutative."""
    return parts.group_by(*by, maintain_order=True).agg(
        *(pl.col(t).sum() for t in TYPES),
        pl.col("max_length").max(),
        pl.col("places").max(),
        pl.col("minimum").sort_by("low", nulls_last=True).first(),
        pl.col("maximum").sort_by("high", nulls_last=False).last(),
        pl.col("low").min(),
        pl.col("high").max(),
        pl.col("sketch").explode(empty_as_null=False).unique().sort().head(SKETCH),
        pl.col("examples").explode(empty_as_null=False).bottom_k(3),
    )


def finish(evidence: pl.LazyFrame) -> pl.LazyFrame:
    """Evidence with `present` (not null), `nulls`, `filled` (not blank either) and `distinct`; without the sketch."""
    count = pl.col("sketch").list.len()
    # k smallest of n hashes spread evenly over 2^64: n is near (k - 1) / (largest of them as a fraction)
    fraction = pl.col("sketch").list.last().cast(pl.Float64) / 2.0**64
    estimate = ((SKETCH - 1) / fraction).round().cast(pl.Int64)
    present = pl.sum_horizontal(t for t in TYPES if t != "null")
    return evidence.with_columns(
        present=present,
        nulls=pl.col("null"),
        filled=present - pl.col("empty"),
        distinct=pl.when(count < SKETCH).then(count.cast(pl.Int64)).otherwise(estimate),
        estimated=count >= SKETCH,
    ).drop("sketch")


def utf16_length(column: str) -> pl.Expr:
    """Length as Dataverse counts it: characters beyond U+FFFF count twice."""
    return pl.col(column).str.len_chars() + pl.col(column).str.count_matches(r"[\x{10000}-\x{10FFFF}]")


def _filled() -> pl.Expr:
    return ~pl.col("type").is_in(["null", "empty"])


def _hash() -> pl.Expr:
    return pl.when(_filled()).then(pl.col("text").hash(seed=7))


def _number() -> pl.Expr:
    numeric = pl.col("type").is_in(["int", "decimal", "text-int", "text-decimal"])
    return pl.when(numeric).then(pl.col("text").str.strip_chars().cast(pl.Float64, strict=False))


def _places() -> pl.Expr:
    """Decimal places a number needs, trailing zeros aside and powers of ten counted in."""
    text = pl.col("text").str.strip_chars()
    written = text.str.extract(r"\.([0-9]*[1-9])").str.len_chars().fill_null(0).cast(pl.Int64)
    power = text.str.extract(r"[eE]([+-]?[0-9]+)$").cast(pl.Int64, strict=False).fill_null(0)
    numeric = pl.col("type").is_in(["decimal", "text-decimal"])
    return pl.when(numeric).then(pl.max_horizontal(written - power, pl.lit(0)))


def _extremes() -> list[pl.Expr]:
    """Smallest and largest number, as floats and as written; among equal floats whole numbers are compared exactly."""
    numeric = pl.col("number").is_not_null()
    exact = pl.col("text").str.strip_chars().cast(pl.Int128, strict=False)
    ordered = pl.col("text").filter(numeric).sort_by(pl.col("number").filter(numeric), exact.filter(numeric))
    return [
        ordered.first().alias("minimum"),
        ordered.last().alias("maximum"),
        pl.col("number").min().alias("low"),
        pl.col("number").max().alias("high"),
    ]


@dataclass(frozen=True)
class Proposal:
    """Column kind that holds all values seen; `breaks` of them keep the tighter kind `majority` from fitting."""

    kind: Kind
    majority: Kind
    breaks: int
    unit: str = ""
    length: int | None = None
    precision: int | None = None
    rounding: bool = False
    note: str = ""


def propose(name: str, evidence: dict[str, Any]) -> Proposal:
    """The narrowest kind for a key from its evidence row (`finish`), by all values (SR-058 … SR-062, B-040, B-044).

    Texts that read as numbers stay text under names of identifiers, phone and postal codes (B-011). Numbers are taken
    for unix times only if the name says so and all of them lie in the range of a unit. Mixed types become text.
    """
    counts = {t: int(evidence[t] or 0) for t in TYPES}
    groups = _groups(name, counts, evidence)
    total = sum(groups.values())
    majority = max(groups, key=lambda g: groups[g]) if total else "text"
    tight = _shape(majority, name, counts, evidence)
    if not total or groups[majority] == total:
        return tight
    loose = _mixed(groups, name, counts, evidence)
    breaks = 0 if loose.kind == tight.kind else total - groups[majority]
    return Proposal(
        loose.kind, tight.kind, breaks, loose.unit, loose.length, loose.precision, loose.rounding, _mix_note(counts)
    )


def _groups(name: str, counts: dict[str, int], evidence: dict[str, Any]) -> dict[str, int]:
    """Values per family of types; together they are all values that are filled."""
    digits = counts["text-int"] + counts["text-decimal"]
    as_text = digits if reads_as_code(name) else 0
    numbers = counts["int"] + counts["decimal"] + digits - as_text
    truths = counts["bool"] + counts["text-bool"]
    bits = numbers if truths and _are_bits(counts, evidence) else 0
    return {
        "bool": truths + bits,
        "number": numbers - bits,
        "date": counts["text-date"],
        "datetime": counts["text-datetime"],
        "text": counts["text"] + as_text,
        "nested": counts["array"] + counts["object"],
    }


def _are_bits(counts: dict[str, int], evidence: dict[str, Any]) -> bool:
    """Whether every number is 0 or 1: beside true and false they mean the same (B-045)."""
    whole = not counts["decimal"] + counts["text-decimal"]
    return whole and evidence["low"] is not None and evidence["low"] >= 0 and evidence["high"] <= 1


def _shape(group: str, name: str, counts: dict[str, int], evidence: dict[str, Any]) -> Proposal:
    if group == "number":
        return _time_or_number(name, counts, evidence)
    if group == "bool":
        return Proposal("boolean", "boolean", 0)
    if group == "date":
        return Proposal("date", "date", 0, unit="iso")
    if group == "datetime":
        return _moment(name, "iso")
    return _text(evidence, memo=group == "nested")


def _moment(name: str, unit: str) -> Proposal:
    kind: Kind = "date" if reads_as_day(name) else "datetime"
    return Proposal(kind, kind, 0, unit=unit)


def _text(evidence: dict[str, Any], *, memo: bool = False) -> Proposal:
    longest = int(evidence["max_length"] or 0)
    if memo or longest > STRING_LENGTH:
        return Proposal("memo", "memo", 0, length=MEMO_LENGTH)
    return Proposal("string", "string", 0, length=next(n for n in LENGTHS if longest <= n))


def _time_or_number(name: str, counts: dict[str, int], evidence: dict[str, Any]) -> Proposal:
    unit = unix_unit(evidence["low"], evidence["high"])
    if unit and reads_as_time(name):
        return _moment(name, unit)
    note = f"could be unix time in {unit}, the name does not say so" if unit and float(evidence["low"]) > 9e8 else ""
    shape = _number_shape(counts, evidence)
    return Proposal(shape.kind, shape.kind, 0, "", shape.length, shape.precision, shape.rounding, shape.note or note)


def unix_unit(low: float | None, high: float | None) -> str:
    """Unit in which all numbers between `low` and `high` can be times: s, ms, us; `mixed` for several; else empty.

    The largest magnitude tells the unit. Smaller ones, zero and negative ones are early times (a birth in 1960, B-028);
    only a smallest value that is itself in the range of a smaller unit makes the column mixed.
    """
    if low is None or high is None:
        return ""
    size = max(abs(low), abs(high))
    unit = next((u for u, (first, last) in UNIX_RANGES.items() if first <= size < last), "")
    if not unit or low < EARLIEST * UNIX_RANGES[unit][0]:
        return ""
    return "mixed" if UNIX_RANGES["s"][0] <= low < UNIX_RANGES[unit][0] else unit


def _number_shape(counts: dict[str, int], evidence: dict[str, Any]) -> Proposal:
    low, high, places = float(evidence["low"]), float(evidence["high"]), int(evidence["places"] or 0)
    whole = not counts["decimal"] + counts["text-decimal"]
    if whole and WHOLE_RANGE[0] <= low and high <= WHOLE_RANGE[1]:
        return Proposal("integer", "integer", 0)
    if low < DECIMAL_RANGE[0] or high > DECIMAL_RANGE[1]:
        longest = _text(evidence)
        return Proposal("string", "decimal", 0, length=longest.length, note="numbers beyond ±100,000,000,000")
    if places > 10:
        return Proposal("decimal", "decimal", 0, precision=10, rounding=True, note=f"up to {places} decimal places")
    return Proposal("decimal", "decimal", 0, precision=0 if whole else max(2, places + places % 2))


def _mixed(groups: dict[str, int], name: str, counts: dict[str, int], evidence: dict[str, Any]) -> Proposal:
    present = {g for g, n in groups.items() if n}
    if present == {"date", "datetime"}:
        return _moment(name, "iso")
    timely = present <= {"date", "datetime", "number"} and reads_as_time(name)
    if timely and unix_unit(evidence["low"], evidence["high"]):
        return _moment(name, "mixed")
    return _text(evidence, memo="nested" in present)


def _mix_note(counts: dict[str, int]) -> str:
    return "mixed: " + ", ".join(f"{n} {t}" for t, n in counts.items() if n and t not in ("null", "empty"))
