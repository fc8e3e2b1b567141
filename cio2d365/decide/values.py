"""One column's values in the form Dataverse takes, or the reason why a value cannot go there (faults 6.3-6.5).

Nothing is cut, clamped or guessed: a value that does not fit has a problem code and no value, and the caller keeps the
original elsewhere. Whatever is different from the source text afterwards is marked as changed (L4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple, cast

import orjson
import polars as pl

from cio2d365.decide import dates
from cio2d365.decide.emails import examine
from cio2d365.tables import DECIMAL_RANGE, MEMO_LENGTH, STRING_LENGTH, WHOLE_RANGE, Column

PROBLEMS = {
    "E-LEN": "Longer than the column.",
    "E-CHAR": "Holds a character that XML 1.0, and so Dataverse, does not allow.",
    "E-NUMBER": "Not a number in plain notation.",
    "E-PRECISION": "More digits than the column keeps.",
    "E-RANGE": "Outside of the column's range.",
    "E-BOOL": "Not one of the words for yes or no.",
    "E-DATE": "Not a date in a form that has one reading.",
    "E-OPTION": "Not an option of the column.",
    "E-GUID": "Not a GUID.",
    "E-EMAIL": "Not one usable e-mail address.",
    "E-KIND": "The column holds no plain value.",
}
NOTES = {
    "empty": "Blank text becomes an empty column.",
    "trimmed": "Outer blanks removed.",
    "rounded": "Rounded half to even to the column's decimal places.",
    "retyped": "Same value in the column's type.",
    "address": "Address taken out of the text.",
    "url": "https:// put before a bare domain.",
    **dates.NOTES,
}
LOSSY = frozenset({"empty", "rounded", "address", "fraction-dropped", "time-dropped", "no-date"})
"""Notes of changes after which the original cannot be told from the value."""

YES = frozenset({"true", "yes", "y", "1"})
NO = frozenset({"false", "no", "n", "0"})
"""All words that are read as a boolean, without case and outer blanks (B-045); every other word is a problem."""

# surrogates need no gap in the range: a frame's text cannot hold them
FORBIDDEN = r"[^\x09\x0A\x0D\x20-\x{FFFD}\x{10000}-\x{10FFFF}]"
"""Characters that are not legal in XML 1.0: refused with 0x80040278 (dataverse-api 4)."""

MONEY_RANGE = (-922_337_203_685_477.0, 922_337_203_685_477.0)
BIGINT_RANGE = (-(2**63), 2**63 - 1)
PLACES = {"decimal": 10, "double": 5, "money": 4}
RANGES = {
    "integer": WHOLE_RANGE,
    "bigint": BIGINT_RANGE,
    "decimal": DECIMAL_RANGE,
    "double": DECIMAL_RANGE,
    "money": MONEY_RANGE,
}
DTYPES: dict[str, Any] = {
    "integer": pl.Int64,
    "bigint": pl.Int64,
    "decimal": pl.Float64,
    "double": pl.Float64,
    "money": pl.Float64,
    "boolean": pl.Boolean,
    "choice": pl.Int64,
}
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_GUID = r"^\{?([0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})\}?$"
_HOST = r"^(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+\p{L}{2,}(?::[0-9]+)?(?:[/?#]\S*)?$"


class _Converted(NamedTuple):
    value: Any
    problem: str | None = None
    note: str | None = None
    detail: str | None = None


def convert(
    values: pl.Series, column: Column, *, unit: str = "", zone: str = "UTC", rounding: bool = False
) -> pl.DataFrame:
    """Each value for `column`: (value, problem, changed, note, detail), one row per value, in order.

    `value` has the JSON type that Dataverse takes: text for string, memo, dates (`2026-01-31`), times
    (`2026-01-31T08:00:00Z`), multi-select (`"1,9"`) and GUIDs; Int64 for whole numbers and choices, Float64 for
    decimals, Boolean. `problem` is a key of `PROBLEMS` (value is null then), `note` one of `NOTES`, `detail` says
    where or how much. Null in, null out; blank text is null with note `empty`. `unit` (s, ms, us, iso, mixed) is how
    the whole column writes times, `zone` the zone of times without offset. `rounding` allows rounding to the column's
    places; without it a value with more digits is a problem (B-041). Numbers are exact or refused: a decimal whose
    nearest double reads differently is E-PRECISION.
    """
    texts = _as_text(values)
    distinct = texts.unique()
    table = _convert_distinct(distinct, column, unit, zone, rounding).with_columns(given=distinct)
    asked = pl.DataFrame({"given": texts})
    found = asked.join(table, on="given", how="left", nulls_equal=True, maintain_order="left")
    return found.select("value", "problem", "changed", "note", "detail")


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values.cast(pl.Int8).cast(pl.String).replace({"1": "true", "0": "false"}).rename("given")
    return values.cast(pl.String).rename("given")


def _convert_distinct(texts: pl.Series, column: Column, unit: str, zone: str, rounding: bool) -> pl.DataFrame:
    if column.kind == "datetime":
        return dates.to_times(texts, unit=unit, zone=zone)
    if column.kind == "date":
        return dates.to_days(texts, unit=unit)
    if column.kind in ("string", "memo"):
        return _to_text(texts, column)
    return _one_by_one(texts, column, _converter(column, rounding))


def _converter(column: Column, rounding: bool) -> Callable[[str], _Converted]:
    if column.kind in ("integer", "bigint"):
        return lambda text: _whole(text, column)
    if column.kind in PLACES:
        return lambda text: _decimal(text, column, rounding)
    if column.kind == "boolean":
        return _boolean
    if column.kind == "choice":
        return _choice(column)
    if column.kind == "multichoice":
        return _choices(column)
    return _guid if column.kind == "uniqueidentifier" else lambda _: _Converted(None, "E-KIND")


def _one_by_one(texts: pl.Series, column: Column, converter: Callable[[str], _Converted]) -> pl.DataFrame:
    results = [_blank_aware(t, converter) for t in cast(Iterable[str | None], texts)]
    schema = {
        "value": DTYPES.get(column.kind, pl.String),
        "problem": pl.String,
        "note": pl.String,
        "detail": pl.String,
    }
    changed = [r.note is not None for r in results]
    return pl.DataFrame(results, schema=schema, orient="row").with_columns(changed=pl.Series(changed, dtype=pl.Boolean))


def _blank_aware(text: str | None, converter: Callable[[str], _Converted]) -> _Converted:
    if text is None:
        return _Converted(None)
    trimmed = text.strip()
    if not trimmed:
        return _Converted(None, note="empty")
    found = converter(trimmed)
    if found.problem or found.note or trimmed == text:
        return found
    return found._replace(note="trimmed")


def _number(text: str) -> Decimal | None:
    """The number a text writes in plain notation; leading zeros, thousands marks and units have none (B-043)."""
    return Decimal(text) if _PLAIN.fullmatch(text) else None


def _whole(text: str, column: Column) -> _Converted:
    number = _number(text)
    if number is None:
        return _Converted(None, "E-NUMBER")
    outside = _outside(number, column)
    if outside:
        return outside
    if number != number.to_integral_value():
        return _Converted(None, "E-PRECISION", detail="a whole number has no decimal places")
    return _Converted(int(number), note=None if str(int(number)) == text else "retyped")


def _outside(number: Decimal, column: Column) -> _Converted | None:
    low, high = RANGES[column.kind]
    low = low if column.minimum is None else max(low, column.minimum)
    high = high if column.maximum is None else min(high, column.maximum)
    inside = number.is_finite() and Decimal(low) <= number <= Decimal(high)
    return None if inside else _Converted(None, "E-RANGE", detail=f"allowed: {low:,.0f} to {high:,.0f}")


def _decimal(text: str, column: Column, rounding: bool) -> _Converted:
    number = _number(text)
    if number is None:
        return _Converted(None, "E-NUMBER")
    outside = _outside(number, column)
    if outside:
        return outside
    places = PLACES[column.kind] if column.precision is None else column.precision
    rounded = round_half_even(number, places)
    if rounded != number and not rounding:
        return _Converted(None, "E-PRECISION", detail=f"allowed: {places} decimal places")
    value = float(rounded)
    if Decimal(repr(value)) != rounded:
        return _Converted(None, "E-PRECISION", detail="more digits than a JSON number keeps")
    if rounded != number:
        return _Converted(value, note="rounded", detail=f"from {text}")
    return _Converted(value)


def round_half_even(number: Decimal, places: int) -> Decimal:
    """The number with at most `places` decimal places; exact for everything a Dataverse number can hold."""
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)


def _boolean(text: str) -> _Converted:
    word = text.lower()
    if word not in YES and word not in NO:
        return _Converted(None, "E-BOOL")
    value = word in YES
    return _Converted(value, note=None if text == str(value).lower() else "retyped")


def _folded_labels(column: Column) -> dict[str, int | None]:
    """Label without case and outer blanks → option; None where two labels meet."""
    folded: dict[str, int | None] = {}
    for option in column.options:
        key = option.label.strip().casefold()
        folded[key] = None if key in folded else option.value
    return folded


def _choice(column: Column) -> Callable[[str], _Converted]:
    """By exact label, else by label without case, else by the option's number."""
    numbers = {str(o.value): o.value for o in column.options}
    exact: dict[str, int | None] = {**numbers, **{o.label: o.value for o in column.options}}
    folded = _folded_labels(column)

    def chosen(text: str) -> _Converted:
        value = exact.get(text, folded.get(text.casefold()))
        return _Converted(None, "E-OPTION") if value is None else _Converted(value)

    return chosen


def _choices(column: Column) -> Callable[[str], _Converted]:
    single = _choice(column)

    def chosen(text: str) -> _Converted:
        results = [single(label) for label in _labels(text)]
        if any(r.problem for r in results):
            return _Converted(None, "E-OPTION")
        return _Converted(",".join(str(v) for v in sorted({r.value for r in results})), note="retyped")

    return chosen


def _labels(text: str) -> list[str]:
    """Members of a JSON array as text; any other text is one label."""
    try:
        members = orjson.loads(text) if text.startswith("[") else [text]
    except orjson.JSONDecodeError:
        return [text]
    return [m.strip() if isinstance(m, str) else orjson.dumps(m).decode() for m in members]


def _guid(text: str) -> _Converted:
    found = pl.Series([text]).str.extract(_GUID)[0]
    if found is None:
        return _Converted(None, "E-GUID")
    return _Converted(found.lower(), note=None if found.lower() == text else "retyped")


def _to_text(texts: pl.Series, column: Column) -> pl.DataFrame:
    frame = pl.DataFrame({"given": texts})
    shaped = _addresses(frame) if column.format.lower() == "email" else _plain_text(frame, column)
    limit = column.length or (STRING_LENGTH if column.kind == "string" else MEMO_LENGTH)
    return _fitting(shaped, limit).select("value", "problem", "changed", "note", "detail")


def _plain_text(frame: pl.DataFrame, column: Column) -> pl.DataFrame:
    given = pl.col("given")
    blank = given.str.strip_chars() == ""
    bare = given.str.strip_chars().str.contains(_HOST) if column.format.lower() == "url" else pl.lit(value=False)
    value = pl.when(bare).then("https://" + given.str.strip_chars()).when(~blank).then(given)
    note = pl.when(blank).then(pl.lit("empty")).when(bare).then(pl.lit("url"))
    return frame.with_columns(value=value, note=note, problem=pl.lit(None, pl.String))


def _addresses(frame: pl.DataFrame) -> pl.DataFrame:
    found = examine(frame["given"])
    blank = found["reason"] == "missing"
    trimmed = pl.col("given").str.strip_chars()
    return frame.with_columns(
        value=found["address"],
        problem=pl.when(found["address"].is_null() & ~blank).then(pl.lit("E-EMAIL")),
        note=pl.when(blank & pl.col("given").is_not_null())
        .then(pl.lit("empty"))
        .when(found["changed"])
        .then(pl.when(trimmed == found["address"]).then(pl.lit("trimmed")).otherwise(pl.lit("address"))),
    )


def _fitting(frame: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Refuse characters and lengths the server would refuse; lengths count UTF-16 units."""
    value = pl.col("value")
    units = value.str.len_chars() + value.str.count_matches(r"[\x{10000}-\x{10FFFF}]")
    refused = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(value.str.contains(FORBIDDEN))
        .then(pl.lit("E-CHAR"))
        .when(units > limit)
        .then(pl.lit("E-LEN"))
    )
    detail = (
        pl.when(refused == "E-LEN")
        .then(pl.format("{} characters, limit {}", units, pl.lit(limit)))
        .when(refused == "E-CHAR")
        .then(_first_forbidden(value))
    )
    return frame.with_columns(problem=refused, detail=detail).with_columns(
        value=pl.when(pl.col("problem").is_null()).then(value),
        changed=pl.col("note").is_not_null() & pl.col("problem").is_null(),
    )


def _first_forbidden(value: pl.Expr) -> pl.Expr:
    """`U+0000 at 5`: code point and position (characters from 0) of the first illegal character."""
    character = value.str.extract(f"({FORBIDDEN})")
    before = value.str.extract(f"(?s)^(.*?){FORBIDDEN}").str.len_chars()
    code = character.map_batches(_code_points, return_dtype=pl.String, is_elementwise=True)
    return pl.format("{} at {}", code, before)


def _code_points(characters: pl.Series) -> pl.Series:
    points = (None if c is None else f"U+{ord(c):04X}" for c in cast(Iterable[str | None], characters))
    return pl.Series(characters.name, list(points), dtype=pl.String)
