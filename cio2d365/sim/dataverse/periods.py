"""Spans of time that FetchXML's relative operators mean, as half-open intervals [from, to).

The caller's time zone is UTC here, weeks begin on Sunday, the fiscal year is the calendar year with quarters.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

Span = tuple[datetime | None, datetime | None]


def start_of_day(moment: datetime) -> datetime:
    """Midnight of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def add_months(moment: datetime, months: int) -> datetime:
    """The same day some months away, or the last day of that month when it is shorter."""
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=moment.tzinfo)
    last_day = (following - timedelta(days=1)).day
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))


def start_of_week(moment: datetime) -> datetime:
    """Midnight of the Sunday on or before the day."""
    day = start_of_day(moment)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def start_of_month(moment: datetime) -> datetime:
    """First midnight of the month."""
    return start_of_day(moment).replace(day=1)


def start_of_quarter(moment: datetime) -> datetime:
    """First midnight of the quarter."""
    return start_of_month(moment).replace(month=(moment.month - 1) // 3 * 3 + 1)


def start_of_year(moment: datetime) -> datetime:
    """First midnight of the year."""
    return start_of_month(moment).replace(month=1)


def _days(moment: datetime, number: int) -> datetime:
    return moment + timedelta(days=number)


_UNITS: dict[str, tuple[Callable[[datetime], datetime], Callable[[datetime, int], datetime]]] = {
    "day": (start_of_day, _days),
    "week": (start_of_week, lambda moment, number: _days(moment, 7 * number)),
    "month": (start_of_month, add_months),
    "fiscal-period": (start_of_quarter, lambda moment, number: add_months(moment, 3 * number)),
    "year": (start_of_year, lambda moment, number: add_months(moment, 12 * number)),
    "fiscal-year": (start_of_year, lambda moment, number: add_months(moment, 12 * number)),
}
_WHOLE = {"last": -1, "this": 0, "next": 1}
_DAY_NAMES = {"yesterday": -1, "today": 0, "tomorrow": 1}
_STEPS: dict[str, Callable[[datetime, int], datetime]] = {
    "minutes": lambda moment, number: moment + timedelta(minutes=number),
    "hours": lambda moment, number: moment + timedelta(hours=number),
    "days": _days,
    "weeks": lambda moment, number: _days(moment, 7 * number),
    "months": add_months,
    "years": lambda moment, number: add_months(moment, 12 * number),
    "fiscal-periods": lambda moment, number: add_months(moment, 3 * number),
    "fiscal-years": lambda moment, number: add_months(moment, 12 * number),
}


def span_of(operator: str, number: int, now: datetime) -> Span | None:
    """The interval of a relative operator; None when `operator` is not one."""
    if operator in _DAY_NAMES:
        start = _days(start_of_day(now), _DAY_NAMES[operator])
        return start, _days(start, 1)
    if operator in ("last-seven-days", "next-seven-days"):
        return _counted("last" if operator.startswith("last") else "next", "days", 7, now)
    head, _, rest = operator.partition("-")
    if head == "olderthan" and rest.startswith("x-"):
        return _older(rest[2:], number, now)
    if head in ("last", "next") and rest.startswith("x-"):
        return _counted(head, rest[2:], number, now)
    if head in _WHOLE and rest in _UNITS:
        floor, step = _UNITS[rest]
        start = step(floor(now), _WHOLE[head])
        return start, step(start, 1)
    return None


def _counted(head: str, unit: str, number: int, now: datetime) -> Span | None:
    """N units back or ahead; all but hours are counted in whole days."""
    if unit not in _STEPS or unit == "minutes":
        return None
    step = _STEPS[unit]
    if head == "last":
        begin = step(now, -number)
        return (begin if unit == "hours" else start_of_day(begin)), now
    end = step(now, number)
    return now, (end if unit == "hours" else _days(start_of_day(end), 1))


def _older(unit: str, number: int, now: datetime) -> Span | None:
    if unit not in _STEPS:
        return None
    end = _STEPS[unit](now, -number)
    return None, (end if unit in ("minutes", "hours") else start_of_day(end))
