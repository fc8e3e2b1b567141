"""Checks of single values against their column: JSON type, length, range, options, characters, dates.

`converter(table, column)` compiles one function per column. It returns what is stored (dates as UTC text
`2026-01-31T08:00:00Z`, booleans as 0/1, GUIDs in lower case) or raises the error of dataverse-api section 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from .errors import ServiceError, payload_error
from .schema import Column, Table

Converter = Callable[[Any], Any]

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# The characters of XML 1.0; everything else is refused (dataverse-api 4, 0x80040278).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_PLAIN_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,12})?)?(Z|[+-]\d\d:\d\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOST_CHOICES = 150
_DECIMAL_LIMIT = 100_000_000_000
_MONEY_LIMIT = 922_337_203_685_477
_INT32_LIMIT = 2_147_483_647
_INT64_LIMIT = 9_223_372_036_854_775_807
_FIRST_YEAR = 1753


def utf16_length(text: str) -> int:
    """Length as the database counts it: a character outside the basic plane is two."""
    return len(text) if text.isascii() else len(text) + len(_ASTRAL.findall(text))


def converter(table: Table, column: Column) -> Converter:
    """The check of one column, compiled. Null is not its business: it fits every column."""
    return _MAKERS.get(column.type, _text)(table, column)


def _literal_error(table: Table, value: Any, edm: str) -> ServiceError:
    shown = str(value)[:60]
    return payload_error(table.set_name, f"Cannot convert the literal '{shown}' to the expected type 'Edm.{edm}'.")


def _text(table: Table, column: Column) -> Converter:
    limit = column.max_length or 1_048_576
    short = limit // 2

    def convert(value: Any) -> str | None:
        if type(value) is not str:
            raise _literal_error(table, value, "String")
        if len(value) > short and utf16_length(value) > limit:
            raise ServiceError(
                400,
                "0x80044331",
                f"A validation error occurred.  The length of the '{column.name}' attribute of the "
                f"'{table.name}' entity exceeded the maximum allowed length of '{limit}'.",
            )
        if not value.isprintable() and _NOT_XML.search(value):
            raise ServiceError(400, "0x80040278", f"The field '{column.name}' contains one or more invalid characters.")
        return value or None

    return convert


def _integer(table: Table, column: Column) -> Converter:
    big = column.type == "BigInt"
    bound = _INT64_LIMIT if big else _INT32_LIMIT
    edm = "Int64" if big else "Int32"
    low = -bound - 1 if column.minimum is None else column.minimum
    high = bound if column.maximum is None else column.maximum

    def convert(value: Any) -> int:
        if type(value) is not int or not -bound - 1 <= value <= bound:
            raise _literal_error(table, value, edm)
        if not low <= value <= high:
            raise ServiceError(
                400,
                "0x8004432f",
                f"A validation error occurred. The value of '{column.name}' on record of type '{table.name}' is "
                f"outside the valid range. Value: {value}, Minimum Value: {low}, Maximum Value: {high}",
            )
        return value

    return convert


def _number(table: Table, column: Column) -> Converter:
    bound = _MONEY_LIMIT if column.type == "Money" else _DECIMAL_LIMIT
    low = -bound if column.minimum is None else column.minimum
    high = bound if column.maximum is None else column.maximum
    edm = "Double" if column.type == "Double" else "Decimal"
    places = 2 if column.precision is None else column.precision

    def convert(value: Any) -> float:
        if type(value) not in (int, float):
            raise _literal_error(table, value, edm)
        if not low <= value <= high:
            raise ServiceError(
                400,
                "0x80044330",
                f"A validation error occurred. The value of '{column.name}' on record of type '{table.name}' is "
                f"outside the valid range. Value: {value}, Minimum Value: {low}, Maximum Value: {high}",
            )
        return round(float(value), places)

    return convert


def _boolean(table: Table, column: Column) -> Converter:
    def convert(value: Any) -> int:
        if value is True:
            return 1
        if value is False:
            return 0
        raise _literal_error(table, value, "Boolean")

    return convert


def _option_error(table: Table, column: Column, value: Any) -> ServiceError:
    accepted = ",".join(str(option.value) for option in column.options)
    return ServiceError(
        400,
        "0x8004431a",
        f"A validation error occurred. The value '{value}' of '{column.name}' on record of type '{table.name}' is "
        f"outside the valid range. Accepted Values: {accepted}",
    )


def _picklist(table: Table, column: Column) -> Converter:
    allowed = frozenset(option.value for option in column.options)

    def convert(value: Any) -> int:
        if type(value) is not int:
            raise _literal_error(table, value, "Int32")
        if value not in allowed:
            raise _option_error(table, column, value)
        return value

    return convert


def _multi_select(table: Table, column: Column) -> Converter:
    allowed = frozenset(option.value for option in column.options)

    def convert(value: Any) -> str | None:
        if type(value) is not str:
            raise _literal_error(table, value, "String")
        chosen = [_option_number(table, column, part) for part in value.split(",") if part.strip()]
        if len(set(chosen)) > _MOST_CHOICES:
            raise ServiceError(400, "0x80048492", "Number of distinct picklist values exceed the limit.")
        for number in chosen:
            if number not in allowed:
                raise _option_error(table, column, number)
        return ",".join(str(number) for number in sorted(set(chosen))) or None

    return convert


def _option_number(table: Table, column: Column, part: str) -> int:
    try:
        return int(part)
    except ValueError:
        raise _option_error(table, column, part) from None


def _invalid_date(value: Any) -> ServiceError:
    return ServiceError(
        400,
        "0x80040239",
        "DateTime is less than minimum value supported by CrmDateTime. "
        f"Actual value: {value}, Minimum value supported: 01/01/1753 00:00:00",
    )


def _date_time(table: Table, column: Column) -> Converter:
    if column.behavior == "DateOnly":
        return _date_only(table)

    def convert(value: Any) -> str:
        if type(value) is not str or not _DATE_TIME.fullmatch(value):
            raise _literal_error(table, value, "DateTimeOffset")
        plain = _PLAIN_UTC.fullmatch(value) is not None
        try:
            moment = datetime.fromisoformat(value[:19] if plain else _six_digits(value))
        except ValueError:
            raise _literal_error(table, value, "DateTimeOffset") from None
        return value if plain and moment.year >= _FIRST_YEAR else _utc_text(moment, value)

    return convert


def _six_digits(value: str) -> str:
    return re.sub(r"\.(\d{1,6})\d*", lambda found: "." + found.group(1).ljust(6, "0"), value)


def _utc_text(moment: datetime, shown: str) -> str:
    try:
        utc = moment.astimezone(UTC) if moment.tzinfo else moment
    except OverflowError:
        raise _invalid_date(shown) from None
    if utc.year < _FIRST_YEAR:
        raise _invalid_date(shown)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def _date_only(table: Table) -> Converter:
    def convert(value: Any) -> str:
        if type(value) is not str or not _DATE.fullmatch(value):
            raise _literal_error(table, value, "Date")
        try:
            day = date.fromisoformat(value)
        except ValueError:
            raise _literal_error(table, value, "Date") from None
        if day.year < _FIRST_YEAR:
            raise _invalid_date(value)
        return value

    return convert


def _guid(table: Table, column: Column) -> Converter:
    def convert(value: Any) -> str:
        if type(value) is not str or not GUID.fullmatch(value):
            raise _literal_error(table, value, "Guid")
        return value.lower()

    return convert


_MAKERS: dict[str, Callable[[Table, Column], Converter]] = {
    "Integer": _integer,
    "BigInt": _integer,
    "Decimal": _number,
    "Double": _number,
    "Money": _number,
    "Boolean": _boolean,
    "Picklist": _picklist,
    "State": _picklist,
    "Status": _picklist,
    "MultiSelectPicklist": _multi_select,
    "DateTime": _date_time,
    "Uniqueidentifier": _guid,
}
