"""One value as text for people: thousands separated, times in UTC, nothing as an en dash."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from markupsafe import Markup

NOTHING = "–"
SHOWN_CHARACTERS = 240
TITLE_CHARACTERS = 2_000

# Control characters have no glyph; Unicode's "control pictures" block has one for each.
_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: 0x2421}
_NAME_LIKE = re.compile(r"[a-z][a-z0-9]*([_ -][a-z0-9]+)*")


def as_text(value: object, form: str = "") -> str:
    """`value` in a form, or by its type.

    Forms: "percent" (of a fraction), "bytes", "seconds", "id" (no separators), "time" (epoch milliseconds or ISO text).
    """
    if value is None:
        return NOTHING
    if form == "time":
        value = _as_moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | Decimal):
        return _number(value, form)
    if isinstance(value, datetime | date | time | timedelta):
        return _moment(value)
    if isinstance(value, list | tuple):
        return ", ".join(as_text(part, form) for part in value)
    return str(value).translate(_PICTURES)


def _as_moment(value: object) -> object:
    """A datetime, or the value itself where it is none."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except (ValueError, OverflowError, OSError):
        return value


def _number(value: int | float | Decimal, form: str) -> str:
    if not math.isfinite(value):
        return str(value)
    if form == "id":
        return str(value)
    if form == "percent":
        return f"{value:,.1%}"
    if form == "bytes":
        return _bytes(float(value))
    if form == "seconds":
        return _seconds(float(value))
    return f"{value:,}" if isinstance(value, int) else _decimal(float(value))


def _decimal(value: float) -> str:
    """At most four decimals below 1, two above; whole numbers without a point."""
    places = 4 if abs(value) < 1 else 2
    text = f"{value:,.{places}f}".rstrip("0").rstrip(".")
    if text in ("0", "-0") and value != 0:
        return f"{value:.2e}"
    return "0" if text == "-0" else text


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _seconds(seconds: float) -> str:
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _moment(value: datetime | date | time | timedelta) -> str:
    """ISO, seconds only where there are some; a moment with a zone is turned into UTC and says so."""
    if isinstance(value, datetime):
        utc = value.astimezone(UTC) if value.tzinfo else value
        exact = utc.microsecond or utc.second
        return f"{utc:%Y-%m-%d} {utc:{'%H:%M:%S' if exact else '%H:%M'}}{' UTC' if value.tzinfo else ''}"
    if isinstance(value, timedelta):
        return _seconds(value.total_seconds())
    return value.isoformat()


def as_html(value: object, form: str = "") -> Markup:
    """The text, escaped; a long one is shortened for the eye and whole in the `title` attribute."""
    text = as_text(value, form)
    if len(text) <= SHOWN_CHARACTERS:
        return Markup("{}").format(text)
    return Markup('<span title="{}">{}…</span>').format(_title_of(text), text[: SHOWN_CHARACTERS - 1])


def _title_of(text: str) -> str:
    if len(text) <= TITLE_CHARACTERS:
        return text
    return f"{text[:TITLE_CHARACTERS]}… ({len(text):,} characters in all)"


def heading_of(column: str) -> str:
    """`trait_count` becomes "Trait count"; a name that does not look like ours is left as it is."""
    return column.replace("_", " ").capitalize() if _NAME_LIKE.fullmatch(column) else column
