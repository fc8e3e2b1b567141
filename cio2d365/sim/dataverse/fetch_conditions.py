"""FetchXML conditions as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .context import Context
from .errors import ServiceError
from .periods import Span, span_of, start_of_day
from .schema import NUMBER_TYPES, TEXT_TYPES, Column
from .store import fold

Piece = tuple[str, list[Any]]
_COMPARE = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_PATTERNS = {
    "like": "{}",
    "begins-with": "{}%",
    "ends-with": "%{}",
    "not-like": "{}",
    "not-begin-with": "{}%",
    "not-end-with": "%{}",
}
_USER_OPERATORS = frozenset(
    {"eq-userid", "ne-userid", "eq-businessid", "ne-businessid", "eq-userteams", "eq-useroruserteams"}
)
_YEAR = "CAST(strftime('%Y', {c}) AS INTEGER)"
_QUARTER = "(CAST(strftime('%m', {c}) AS INTEGER) + 2) / 3"
# The fiscal year is the calendar year, its periods are quarters. Values come as period, then year.
_FISCAL = {
    "in-fiscal-year": f"({_YEAR} = ?)",
    "in-fiscal-period": f"({_QUARTER} = ?)",
    "in-fiscal-period-and-year": f"({_QUARTER} = ? AND {_YEAR} = ?)",
    "in-or-before-fiscal-period-and-year": f"({_YEAR} * 4 + {_QUARTER} <= ? + 4 * ?)",
    "in-or-after-fiscal-period-and-year": f"({_YEAR} * 4 + {_QUARTER} >= ? + 4 * ?)",
}


def condition_sql(context: Context, column: Column, name: str, operator: str, values: Sequence[str]) -> Piece:
    """One condition on a column whose SQL expression is `name`.

    Raises 0x80041120 for an operator that does not exist or does not fit.
    """
    if operator in ("null", "not-null"):
        return f"({name} IS {'NOT ' if operator == 'not-null' else ''}NULL)", []
    if operator in _USER_OPERATORS:
        return _user(context, name, operator)
    span = _span(context, operator, values)
    if span is not None:
        return _in_span(column, name, span, operator)
    if operator in ("on", "on-or-before", "on-or-after", "not-on"):
        return _on_day(column, name, operator, _first(values))
    if operator in _FISCAL:
        return _fiscal(column, name, operator, values)
    if operator in ("contain-values", "not-contain-values"):
        return _contain(name, operator, values)
    if operator in _PATTERNS:
        return _pattern(column, name, operator, _first(values))
    return _compare(column, name, operator, values)


def _first(values: Sequence[str]) -> str:
    if not values:
        raise ServiceError(400, "0x80041108", "A value is missing in the condition.")
    return values[0]


def _span(context: Context, operator: str, values: Sequence[str]) -> Span | None:
    """The interval of a relative operator. The N of `last-x-days` must be a positive number within the calendar."""
    number = 0
    if "-x-" in operator:
        text = _first(values)
        number = int(text) if text.isdigit() else 0
        if number < 1:
            raise ServiceError(400, "0x80041139", f"'{text}' is not a number of periods.")
    try:
        return span_of(operator, number, context.org.clock.now())
    except (OverflowError, ValueError):
        raise ServiceError(400, "0x80041139", f"'{number}' is outside the calendar.") from None


def _compare(column: Column, name: str, operator: str, values: Sequence[str]) -> Piece:
    text = f"fold({name})" if column.type in TEXT_TYPES else name
    if operator in _COMPARE:
        return f"({text} {_COMPARE[operator]} ?)", [stored(column, _first(values))]
    if operator in ("ne", "neq"):
        return f"({text} <> ? OR {name} IS NULL)", [stored(column, _first(values))]
    if operator in ("in", "not-in"):
        marks = ",".join("?" * len(values))
        word = "NOT IN" if operator == "not-in" else "IN"
        return f"({text} {word} ({marks}))", [stored(column, value) for value in values]
    if operator in ("between", "not-between"):
        if len(values) != 2:
            raise ServiceError(400, "0x80041108", "between needs two values.")
        word = "NOT BETWEEN" if operator == "not-between" else "BETWEEN"
        return f"({text} {word} ? AND ?)", [stored(column, value) for value in values]
    raise ServiceError(400, "0x80041120", f"Unsupported condition operator '{operator}'.")


def stored(column: Column, value: str) -> Any:
    """A value of the XML in the form in which the column is stored. Raises 0x80041139 when it does not fit."""
    try:
        return _stored(column, value)
    except ValueError:
        raise ServiceError(
            400, "0x80041139", f"The attribute value '{value}' provided for '{column.name}' is invalid."
        ) from None


def _stored(column: Column, value: str) -> Any:
    if column.type in TEXT_TYPES:
        return fold(value)
    if column.type == "Boolean":
        return {"1": 1, "0": 0, "true": 1, "false": 0}[value.lower()] if value.lower() in _YES_NO else int("no")
    if column.type in NUMBER_TYPES or column.type in ("Picklist", "State", "Status"):
        return float(value) if column.type in ("Decimal", "Double", "Money") else int(value)
    if column.type == "DateTime":
        return date_text(column, _moment(value))
    return value.strip("{}").lower() if column.is_lookup or column.type == "Uniqueidentifier" else value


_YES_NO = frozenset({"0", "1", "true", "false"})


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def date_text(column: Column, moment: datetime) -> str:
    """A moment as the column stores it."""
    return moment.strftime("%Y-%m-%d" if column.behavior == "DateOnly" else "%Y-%m-%dT%H:%M:%SZ")


def _require_date(column: Column, operator: str) -> None:
    if column.type != "DateTime" or (column.behavior == "DateOnly" and "hour" in operator):
        raise ServiceError(400, "0x80041120", f"The operator '{operator}' is not valid for '{column.name}'.")


def _in_span(column: Column, name: str, span: Span, operator: str) -> Piece:
    _require_date(column, operator)
    begin, end = span
    tests, parameters = [f"{name} IS NOT NULL"], []
    if begin is not None:
        tests.append(f"{name} >= ?")
        parameters.append(date_text(column, begin))
    if end is not None:
        # Stored moments have no fractions: a row of this very second belongs to a span that ends now.
        inclusive = end != start_of_day(end)
        tests.append(f"{name} {'<=' if inclusive else '<'} ?")
        parameters.append(date_text(column, end))
    return f"({' AND '.join(tests)})", parameters


def _on_day(column: Column, name: str, operator: str, value: str) -> Piece:
    _require_date(column, operator)
    try:
        day = start_of_day(_moment(value))
    except ValueError:
        raise ServiceError(400, "0x80041139", f"'{value}' is not a date.") from None
    begin, end = date_text(column, day), date_text(column, day + timedelta(days=1))
    tests: dict[str, Piece] = {
        "on": (f"({name} >= ? AND {name} < ?)", [begin, end]),
        "not-on": (f"({name} < ? OR {name} >= ?)", [begin, end]),
        "on-or-before": (f"({name} < ?)", [end]),
        "on-or-after": (f"({name} >= ?)", [begin]),
    }
    return tests[operator]


def _fiscal(column: Column, name: str, operator: str, values: Sequence[str]) -> Piece:
    _require_date(column, operator)
    if len(values) != _FISCAL[operator].count("?") or not all(value.isdigit() for value in values):
        raise ServiceError(400, "0x80041139", f"The values of '{operator}' are not valid.")
    return _FISCAL[operator].format(c=name), [int(value) for value in values]


def _pattern(column: Column, name: str, operator: str, value: str) -> Piece:
    if column.type not in TEXT_TYPES:
        raise ServiceError(400, "0x80041120", f"The operator '{operator}' is not valid for '{column.name}'.")
    pattern = _PATTERNS[operator].format(fold_pattern(value))
    if operator.startswith("not-"):
        return f"(NOT like_text(fold({name}), ?) OR {name} IS NULL)", [pattern]
    return f"like_text(fold({name}), ?)", [pattern]


def fold_pattern(value: str) -> str:
    """A pattern compares as text does, but its trailing spaces count."""
    bare = value.rstrip(" ")
    return str(fold(bare)) + value[len(bare) :]


def _contain(name: str, operator: str, values: Sequence[str]) -> Piece:
    tests = " OR ".join([f"(',' || {name} || ',') LIKE ?"] * len(values))
    if not values or any(not value.strip().isdigit() for value in values):
        raise ServiceError(400, "0x80041139", "contain-values takes option values.")
    parameters = [f"%,{int(value)},%" for value in values]
    if operator.startswith("not"):
        return f"(NOT ({tests}) OR {name} IS NULL)", parameters
    return f"({tests})", parameters


def _user(context: Context, name: str, operator: str) -> Piece:
    teams = "SELECT teamid FROM teammembership WHERE systemuserid = ?"
    unit = "(SELECT businessunitid FROM systemuser WHERE systemuserid = ?)"
    tests = {
        "eq-userid": f"({name} = ?)",
        "ne-userid": f"({name} <> ? OR {name} IS NULL)",
        "eq-businessid": f"({name} = {unit})",
        "ne-businessid": f"({name} <> {unit} OR {name} IS NULL)",
        "eq-userteams": f"({name} IN ({teams}))",
        "eq-useroruserteams": f"({name} = ? OR {name} IN ({teams}))",
    }
    number = 2 if operator == "eq-useroruserteams" else 1
    return tests[operator], [context.caller] * number
