"""Simple conditions on the columns of one table, as FetchXML and as a QueryExpression (`dataverse-api 15, 16`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, get_args
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement

from cio2d365.errors import InputError

Operator = Literal["eq", "ne", "gt", "ge", "lt", "le", "in", "not-in", "null", "not-null"]
Value = str | bool | int | Decimal | UUID | datetime
WORDS: dict[Operator, str] = {
    "eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterEqual", "lt": "LessThan", "le": "LessEqual",
    "in": "In", "not-in": "NotIn", "null": "Null", "not-null": "NotNull",
}  # fmt: skip
LISTS, BARE = ("in", "not-in"), ("null", "not-null")
INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True)
class Condition:
    """`column operator values`. InputError when the number of values does not fit the operator."""

    column: str
    operator: Operator
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if self.operator not in get_args(Operator):
            raise InputError(f"{self.column}: {self.operator!r} is not a known operator")
        fits = not self.values if self.operator in BARE else bool(self.values)
        if not fits or (len(self.values) > 1 and self.operator not in LISTS):
            raise InputError(f"{self.column} {self.operator}: {len(self.values)} values do not fit")


def add_filter(entity: Element, conditions: Sequence[Condition]) -> None:
    """The conditions, all of which must hold, as a filter below a FetchXML element."""
    if not conditions:
        return
    group = SubElement(entity, "filter")
    for condition in conditions:
        one = SubElement(group, "condition", attribute=condition.column, operator=condition.operator)
        if condition.operator in LISTS:
            for value in condition.values:
                SubElement(one, "value").text = _text(value)
        elif condition.values:
            one.set("value", _text(condition.values[0]))


def criteria(conditions: Sequence[Condition]) -> dict[str, Any]:
    """The conditions, all of which must hold, as a FilterExpression; every value with its .NET type."""
    return {
        "FilterOperator": "And",
        "Conditions": [
            {
                "AttributeName": condition.column,
                "Operator": WORDS[condition.operator],
                "Values": [{"Value": _text(value), "Type": _type(value)} for value in condition.values],
            }
            for condition in conditions
        ],
    }


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InputError("a moment in a condition needs its time zone")
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "System.Boolean"
    if isinstance(value, int):
        return "System.Int32" if value in INT32 else "System.Int64"
    kinds = {UUID: "System.Guid", datetime: "System.DateTime", Decimal: "System.Decimal"}
    return kinds.get(type(value), "System.String")
