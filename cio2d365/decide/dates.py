"""Times and days from text: ISO 8601 and unix numbers, nothing that has two readings (B-026 … B-035).

Times are sent in UTC without fractions, because Dataverse keeps whole seconds. Days keep the day that was written.
"""

from __future__ import annotations

import polars as pl

from cio2d365.decide.value_types import CLOCK, DATE, ZONE

NOTES = {
    "unix-s": "From unix seconds.",
    "unix-ms": "From unix milliseconds.",
    "unix-us": "From unix microseconds.",
    "zone-shifted": "Another offset, stored as UTC.",
    "zone-assumed": "No offset in the text; the configured zone was taken.",
    "fraction-dropped": "Fractions of a second are not kept.",
    "time-dropped": "A day column keeps no time of day.",
    "reformatted": "Same moment, written as Dataverse takes it.",
    "no-date": "A word that stands for no date.",
    "never": "The last day of the calendar, often meant as never.",
    "zero": "Unix time 0, often meant as missing.",
}
NO_DATE = ("null", "none", "0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00Z")
"""Texts that mean no date (B-032)."""

FIRST = "1753-01-01"
"""First day of a Dataverse date (faults 3.2, 12)."""

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
UNITS = ("", "iso", "mixed", *PER_SECOND)
_FIRST_SECOND, _LAST_SECOND = -6_847_804_800, 253_402_300_799
_ISO = rf"^({DATE})(?:[Tt ]({CLOCK}) ?({ZONE})?)?$"
_UNIX = r"^(-?[0-9]{1,18})(?:\.([0-9]+))?$"


def to_times(texts: pl.Series, *, unit: str, zone: str) -> pl.DataFrame:
    """(value, problem, changed, note, detail) with value like `2026-01-31T08:00:00Z`.

    Raises ValueError for a unit that is not in `UNITS`.
    """
    moment = pl.coalesce(_iso_moment(zone), "unix_moment")
    frame = _parsed(texts, unit).with_columns(moment=moment)
    value = pl.col("moment").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return _judged(frame.with_columns(value=value), _time_note())


def to_days(texts: pl.Series, *, unit: str) -> pl.DataFrame:
    """(value, problem, changed, note, detail) with value like `2026-01-31`.

    The day as written, or the UTC day of a unix time.

    Raises ValueError for a unit that is not in `UNITS`.
    """
    day = pl.coalesce(pl.col("day").str.to_date("%Y-%m-%d", strict=False), pl.col("unix_moment").dt.date())
    frame = _parsed(texts, unit).with_columns(moment=day.cast(pl.Datetime("us")))
    return _judged(frame.with_columns(value=day.dt.strftime("%Y-%m-%d")), _day_note())


def _parsed(texts: pl.Series, unit: str) -> pl.DataFrame:
    if unit not in UNITS:
        raise ValueError(f"unit {unit!r}: one of {', '.join(u or 'empty' for u in UNITS)}")
    text = pl.col("text")
    frame = pl.DataFrame({"given": texts}).with_columns(text=pl.col("given").str.strip_chars())
    iso = [text.str.extract(_ISO, group).alias(name) for group, name in enumerate(("day", "clock", "offset"), 1)]
    return frame.with_columns(*iso, *_unix(unit)).with_columns(unix_moment=_unix_moment())


def _unix(unit: str) -> list[pl.Expr]:
    number = pl.col("text").str.extract(_UNIX, 1).cast(pl.Int64, strict=False)
    decimals = pl.col("text").str.extract(_UNIX, 2)
    size = number.abs()
    by_size = (
        pl.when(size < 100_000_000_000)
        .then(pl.lit("s"))
        .when(size < 100_000_000_000_000)
        .then(pl.lit("ms"))
        .otherwise(pl.lit("us"))
    )
    chosen = by_size if unit == "mixed" else pl.lit(unit if unit in PER_SECOND else None, pl.String)
    return [number.alias("number"), decimals.alias("decimals"), chosen.alias("unit")]


def _unix_moment() -> pl.Expr:
    scale = pl.col("unit").replace_strict(PER_SECOND, default=None, return_dtype=pl.Int64)
    seconds = pl.col("number").floordiv(scale)
    inside = seconds.is_between(_FIRST_SECOND, _LAST_SECOND)
    return (pl.when(inside).then(seconds) * 1_000_000).cast(pl.Datetime("us"))


def _iso_moment(zone: str) -> pl.Expr:
    clock = pl.col("clock").fill_null("00:00")
    whole = clock.str.slice(0, 8) + pl.when(clock.str.len_chars() == 5).then(pl.lit(":00")).otherwise(pl.lit(""))
    local = (pl.col("day") + "T" + whole).str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
    assumed = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    utc = assumed.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    shifted = local - pl.duration(minutes=_offset_minutes())
    return pl.when(pl.col("offset").is_null()).then(utc).otherwise(shifted)


def _offset_minutes() -> pl.Expr:
    digits = pl.col("offset").str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int32, strict=False)
    minutes = digits.str.slice(3, 2).cast(pl.Int32, strict=False)
    sign = pl.when(digits.str.starts_with("-")).then(-1).otherwise(1)
    return (sign * (hours * 60 + minutes)).fill_null(0)


def _judged(frame: pl.DataFrame, note: pl.Expr) -> pl.DataFrame:
    no_date = (pl.col("text") == "") | pl.col("text").str.to_lowercase().is_in([w.lower() for w in NO_DATE])
    early = pl.col("moment") < pl.lit(FIRST).str.to_datetime("%Y-%m-%d")
    unread = pl.col("text").is_not_null() & pl.col("moment").is_null() & ~no_date
    outside = pl.col("number").is_not_null() & pl.col("unit").is_not_null() & unread
    problem = (
        pl.when(early | outside | (pl.col("moment").dt.year() > 9999))
        .then(pl.lit("E-RANGE"))
        .when(unread)
        .then(pl.lit("E-DATE"))
    )
    blank = pl.when(pl.col("text") == "").then(pl.lit("empty")).when(no_date).then(pl.lit("no-date"))
    return frame.with_columns(problem=problem).select(
        value=pl.when(pl.col("problem").is_null()).then("value"),
        problem="problem",
        note=pl.when(pl.col("problem").is_null()).then(pl.coalesce(blank, note)),
        changed=pl.col("problem").is_null()
        & pl.col("given").is_not_null()
        & pl.col("value").ne_missing(pl.col("given")),
        detail=pl.when(pl.col("problem") == "E-RANGE").then(pl.lit(f"allowed: {FIRST} to 9999-12-31")),
    )


def _common_notes() -> pl.Expr:
    unix = pl.when(pl.col("unix_moment").is_not_null())
    never = (pl.col("moment").dt.year() == 9999) & (pl.col("moment").dt.ordinal_day() == 365)
    return (
        pl.when(never)
        .then(pl.lit("never"))
        .when((pl.col("number") == 0) & pl.col("unix_moment").is_not_null())
        .then(pl.lit("zero"))
        .otherwise(unix.then("unix-" + pl.col("unit")))
    )


def _time_note() -> pl.Expr:
    fraction = pl.col("clock").str.contains(r"[.,]0*[1-9]").fill_null(value=False)
    parts = pl.col("unit").replace_strict(PER_SECOND, default=None, return_dtype=pl.Int64)
    left_over = (pl.col("number") % parts != 0) | pl.col("decimals").str.contains("[1-9]").fill_null(value=False)
    lost = fraction | (pl.col("unix_moment").is_not_null() & left_over.fill_null(value=False))
    zoned = pl.col("offset").is_not_null()
    return (
        pl.when(lost)
        .then(pl.lit("fraction-dropped"))
        .when(_common_notes().is_not_null())
        .then(_common_notes())
        .when(pl.col("day").is_not_null() & ~zoned)
        .then(pl.lit("zone-assumed"))
        .when(zoned & (_offset_minutes() != 0))
        .then(pl.lit("zone-shifted"))
        .when(pl.col("value").ne_missing(pl.col("given")))
        .then(pl.lit("reformatted"))
    )


def _day_note() -> pl.Expr:
    clocked = pl.col("clock").str.contains("[1-9]").fill_null(value=False)
    midnight = (pl.col("unix_moment").dt.hour() == 0) & (pl.col("unix_moment").dt.minute() == 0)
    lost = clocked | (pl.col("unix_moment").is_not_null() & ~midnight)
    return (
        pl.when(lost)
        .then(pl.lit("time-dropped"))
        .when(_common_notes().is_not_null())
        .then(_common_notes())
        .when(pl.col("value").ne_missing(pl.col("given")))
        .then(pl.lit("reformatted"))
    )
