"""What one value can be: thirteen words for the type of a JSON value, strings told apart by what they read as."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import orjson
import polars as pl

TYPES = (
    "null", "bool", "int", "decimal", "empty", "text-bool", "text-int", "text-decimal", "text-date",
    "text-datetime", "text", "array", "object",
)  # fmt: skip
"""What a value can be; the `text-` types are strings that read as something else."""

DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]+)?)?"
ZONE = r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
DATE_TIME = rf"{DATE}[Tt ]{CLOCK} ?{ZONE}?"
# whole numbers of up to 19 digits without a leading zero: 007 and 20 digits are names, not numbers (B-011, B-024)
WHOLE = r"-?(?:0|[1-9][0-9]{0,18})"
DECIMAL = r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
TRUTH = r"(?i:true|false|yes|no)"


def value_type(json: str = "json", text: str = "text") -> pl.Expr:
    """Type word of each value from its JSON type and text. Texts are looked at without outer blanks."""
    trimmed = pl.col(text).str.strip_chars()
    return (
        pl.when(pl.col(json) != "text")
        .then(pl.col(json))
        .when(trimmed == "")
        .then(pl.lit("empty"))
        .when(trimmed.str.contains(rf"^{TRUTH}$"))
        .then(pl.lit("text-bool"))
        .when(trimmed.str.contains(rf"^{WHOLE}$"))
        .then(pl.lit("text-int"))
        .when(trimmed.str.contains(rf"^{DECIMAL}$") & trimmed.cast(pl.Float64, strict=False).is_finite())
        .then(pl.lit("text-decimal"))
        .when(_calendar_day(trimmed, rf"^{DATE}$"))
        .then(pl.lit("text-date"))
        .when(_calendar_day(trimmed, rf"^{DATE_TIME}$"))
        .then(pl.lit("text-datetime"))
        .when(_is_json(trimmed))
        .then(pl.when(trimmed.str.starts_with("[")).then(pl.lit("array")).otherwise(pl.lit("object")))
        .otherwise(pl.lit("text"))
    )


def _calendar_day(text: pl.Expr, pattern: str) -> pl.Expr:
    return text.str.contains(pattern) & text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).is_not_null()


def _is_json(text: pl.Expr) -> pl.Expr:
    return text.map_batches(_holds_json, return_dtype=pl.Boolean, is_elementwise=True)


def _holds_json(texts: pl.Series) -> pl.Series:
    """Which texts are a JSON array or object; only bracketed ones are parsed."""
    bracketed = texts.str.contains(r"^(?s:\[.*\]|\{.*\})$").fill_null(value=False)
    parsed = [_parses(t) for t in cast(Iterable[str], texts.filter(bracketed))]
    return bracketed.set(bracketed, False).scatter(bracketed.arg_true(), parsed)


def _parses(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
