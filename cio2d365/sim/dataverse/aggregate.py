"""`$apply`: the documented subset of OData aggregation: `filter`, then `groupby` or `aggregate`, over 50,000 rows.

A grouped column of a related row comes back as `<table>_<column>`. Dates cannot be grouped, and an aggregate cannot be
ordered by ("Aggregate data by using OData").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .context import Answer, Context, json_answer
from .errors import ServiceError, bad_query
from .odata import Path, parse
from .privileges import require_right
from .reader import option_label
from .schema import NUMBER_TYPES, Column, Table
from .sqlfilter import property_of, where
from .store import quoted

_MOST_ROWS = 50_000
_STEP = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
_EXPRESSION = re.compile(
    r"\s*(?:(?P<count>\$count)|(?P<path>[\w/]+)\s+with\s+(?P<method>\w+))\s+as\s+(?P<alias>\w+)\s*"
)
_METHODS = {"sum": "SUM({})", "average": "AVG({})", "min": "MIN({})", "max": "MAX({})"}
_FORMATTED = "OData.Community.Display.V1.FormattedValue"


@dataclass(frozen=True)
class Value:
    """One value of a result row; `column` gives it its type, `group` makes rows of equal values one."""

    name: str
    expression: str
    column: Column | None
    group: bool = False


def read_aggregate(context: Context, table: Table) -> Answer:
    """The rows that `$apply` makes of a table. Raises 400 for what the service does not aggregate."""
    require_right(context, "Read", table)
    for option in context.query:
        if option.startswith("$") and option not in ("$apply", "$orderby", "$top", "$count"):
            raise bad_query(f"The query option '{option}' cannot be combined with $apply.")
    condition, parameters, values = _read_steps(context, table, context.query["$apply"])
    source = f"FROM {quoted(table.name)} t WHERE {condition}"
    _refuse_too_many(context, source, parameters)
    found = context.org.store.query(_sql(context, values, source), parameters)
    rows = [_row(context, values, item) for item in found]
    body: dict[str, Any] = {"@odata.context": f"{context.root}$metadata#{table.set_name}"}
    if context.query.get("$count") == "true":
        body["@odata.count"] = len(rows)
    return json_answer({**body, "value": rows})


def _read_steps(context: Context, table: Table, text: str) -> tuple[str, list[Any], list[Value]]:
    conditions: list[str] = []
    parameters: list[Any] = []
    values: list[Value] = []
    for step in split(text, "/"):
        found = _STEP.fullmatch(step.strip())
        if not found or values:
            raise bad_query(f"'{step}' is not a transformation that $apply supports here.")
        name, inside = found.groups()
        if name == "filter":
            condition, more = where(context, table, parse(inside, context.aliases), "t")
            conditions.append(condition)
            parameters += more
        else:
            values = _values(context, table, name, inside)
    if not values:
        raise bad_query("$apply needs a groupby or an aggregate.")
    return " AND ".join(conditions) or "1=1", parameters, values


def _values(context: Context, table: Table, name: str, inside: str) -> list[Value]:
    if name == "aggregate":
        return _aggregates(context, table, inside)
    if name != "groupby":
        raise bad_query(f"The transformation '{name}' is not supported.")
    parts = list(split(inside, ","))
    columns = parts[0].strip()
    if not (columns.startswith("(") and columns.endswith(")")) or len(parts) > 2:
        raise bad_query("groupby takes a list in parentheses and at most one aggregate.")
    groups = [_group(context, table, path.strip()) for path in split(columns[1:-1], ",")]
    if len(parts) == 1:
        return groups
    found = _STEP.fullmatch(parts[1].strip())
    if not found or found[1] != "aggregate":
        raise bad_query("Only an aggregate can follow the columns of a groupby.")
    return groups + _aggregates(context, table, found[2])


def split(text: str, mark: str) -> Iterator[str]:
    """The pieces between marks that stand outside of parentheses and quotes."""
    depth, quote, start = 0, False, 0
    for at, char in enumerate(text):
        quote ^= char == "'"
        if not quote:
            depth += (char == "(") - (char == ")")
            if char == mark and depth == 0:
                yield text[start:at]
                start = at + 1
    yield text[start:]


def _group(context: Context, table: Table, path: str) -> Value:
    expression, column, owner = property_of(context, table, Path(tuple(path.split("/"))))
    if column.type == "DateTime":
        raise bad_query("groupby with values of the type DateTime is not supported.")
    name = column.property_name if owner is table else f"{owner.name}_{column.name}"
    return Value(name, expression, column, group=True)


def _aggregates(context: Context, table: Table, inside: str) -> list[Value]:
    return [_aggregate(context, table, piece) for piece in split(inside, ",")]


def _aggregate(context: Context, table: Table, piece: str) -> Value:
    found = _EXPRESSION.fullmatch(piece)
    if not found:
        raise bad_query(f"'{piece.strip()}' is not an aggregate expression.")
    if found["count"]:
        return Value(found["alias"], "COUNT(*)", None)
    expression, column, _ = property_of(context, table, Path(tuple(found["path"].split("/"))))
    method = found["method"]
    if method == "countdistinct":
        return Value(found["alias"], f"COUNT(DISTINCT {expression})", None)
    if method not in _METHODS:
        raise bad_query(f"The aggregate method '{method}' is not supported.")
    if method in ("sum", "average") and column.type not in NUMBER_TYPES:
        raise bad_query(f"'{method}' needs a number, and '{column.name}' is of the type '{column.type}'.")
    return Value(found["alias"], _METHODS[method].format(expression), column)


def _refuse_too_many(context: Context, source: str, parameters: list[Any]) -> None:
    sql = f"SELECT count(*) FROM (SELECT 1 {source} LIMIT {_MOST_ROWS + 1})"
    if context.org.store.query(sql, parameters)[0][0] > _MOST_ROWS:
        raise ServiceError(
            400,
            "0x8004e023",
            "The maximum record limit is exceeded. Reduce the number of records. AggregateQueryRecordLimit exceeded.",
        )


def _sql(context: Context, values: list[Value], source: str) -> str:
    listed = ", ".join(value.expression for value in values)
    groups = ", ".join(value.expression for value in values if value.group)
    top = context.query.get("$top", "")
    if top and not top.isdigit():
        raise bad_query(f"Invalid value '{top}' for $top query option found.")
    limit = f" LIMIT {int(top)}" if top else ""
    return f"SELECT {listed} {source}{' GROUP BY ' + groups if groups else ''}{_order(context, values)}{limit}"


def _order(context: Context, values: list[Value]) -> str:
    parts = []
    for item in filter(None, (piece.strip() for piece in context.query.get("$orderby", "").split(","))):
        name, _, direction = item.partition(" ")
        value = next((one for one in values if one.group and one.name == name), None)
        if value is None:
            raise bad_query("The query node SingleValueOpenPropertyAccess is not supported.")
        parts.append(f"{value.expression} {'DESC' if direction.strip().lower() == 'desc' else 'ASC'}")
    return f" ORDER BY {', '.join(parts)}" if parts else ""


def _row(context: Context, values: list[Value], item: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for value, found in zip(values, item, strict=True):
        if found is None:
            continue
        if context.wants(_FORMATTED):
            row[f"{value.name}@{_FORMATTED}"] = _formatted(value, found)
        boolean = value.group and value.column is not None and value.column.type == "Boolean"
        row[value.name] = found == 1 if boolean else found
    return row


def _formatted(value: Value, found: Any) -> str:
    column = value.column
    if column is not None and value.group and column.options:
        return option_label(column, found)
    return f"€{found:,.2f}" if column is not None and column.type == "Money" else str(found)
