"""`$filter` and `$orderby` as SQL with bound parameters.

Text is compared through `fold` (no case, no accents). `ne` also finds empty values, as the SQL that the platform
writes for NotEqual does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .context import Context
from .errors import ServiceError, bad_query, unknown_property
from .fetch_conditions import condition_sql
from .odata import Both, Call, Compare, Items, Lambda, Literal, Node, Not, Path
from .schema import NUMBER_TYPES, TEXT_TYPES, Column, Schema, Table
from .store import fold, quoted
from .values import GUID

_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
MOST_CONDITIONS = 500
_LARGEST_NUMBER = 9_223_372_036_854_775_807
_QUERY_FUNCTIONS = "Microsoft.Dynamics.CRM."


@dataclass
class Sql:
    """A piece of SQL under construction with its parameters, in order."""

    context: Context
    parameters: list[Any] = field(default_factory=list)
    aliases: int = 0

    @property
    def schema(self) -> Schema:
        """The definitions that names are looked up in."""
        return self.context.org.schema

    def bind(self, value: Any) -> str:
        """A placeholder for a value."""
        self.parameters.append(value)
        return "?"

    def new_alias(self) -> str:
        """An unused table alias."""
        self.aliases += 1
        return f"t{self.aliases}"


def find_property(table: Table, name: str) -> Column:
    """The column behind a Web API property name. Raises the `Could not find a property` error."""
    column = table.columns.get(name)
    if column is None and name.startswith("_") and name.endswith("_value"):
        column = table.columns.get(name[1:-6])
        if column is not None and not column.is_lookup:
            column = None
    elif column is not None and column.is_lookup:
        column = None
    if column is None or not column.stored:
        raise unknown_property(name, table.name)
    return column


def where(context: Context, table: Table, tree: Node, alias: str) -> tuple[str, list[Any]]:
    """The WHERE text and its parameters for rows of `table` under the SQL alias `alias`."""
    _refuse_too_many(tree)
    sql = Sql(context)
    return _Filter(sql, {"": (table, alias)}).condition(tree), sql.parameters


def property_of(context: Context, table: Table, path: Path) -> tuple[str, Column, Table]:
    """SQL expression, column and owning table of a property of the row `t` or of a row it points at."""
    reader = _Filter(Sql(context), {"": (table, "t")})
    expression, column = reader.property(path)
    owner = table
    for segment in path.segments[:-1]:
        owner, _ = reader.navigate(owner, segment)
    return expression, column, owner


def _refuse_too_many(tree: Node) -> None:
    """A query holds at most 500 conditions, whichever language it is written in."""
    waiting, found = [tree], 0
    while waiting:
        node = waiting.pop()
        if isinstance(node, Both):
            waiting += [node.left, node.right]
        elif isinstance(node, Not):
            waiting.append(node.inner)
        else:
            found += 1
    if found > MOST_CONDITIONS:
        raise ServiceError(400, "0x8004430c", "Number of conditions in query exceeded maximum limit.")


def _flat(node: Node, every: bool) -> list[Node]:
    """The parts of a chain of `and` or of `or`, in order: the database does not parse them deeply nested."""
    parts: list[Node] = []
    while isinstance(node, Both) and node.every is every:
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


def order_expression(column: Column, alias: str) -> str:
    """How a column sorts."""
    name = f"{alias}.{quoted(column.name)}"
    return f"fold({name})" if column.type in TEXT_TYPES else name


class _Filter:
    """Translates one tree; `scope` maps lambda variables ('' = the row itself) to table and SQL alias."""

    def __init__(self, sql: Sql, scope: dict[str, tuple[Table, str]]) -> None:
        self.sql = sql
        self.scope = scope

    def condition(self, node: Node) -> str:
        match node:
            case Both(every):
                word = " AND " if every else " OR "
                return f"({word.join(self.condition(part) for part in _flat(node, every))})"
            case Not(inner):
                return f"(NOT {self.condition(inner)})"
            case Compare():
                return self.compare(node)
            case Call():
                return self.call(node)
            case Lambda():
                return self.any_or_all(node)
            case Path():
                return self.boolean(node)
            case Literal("boolean", value):
                return "(1=1)" if value else "(1=0)"
        raise bad_query("A condition is expected in $filter.")

    def boolean(self, path: Path) -> str:
        expression, column = self.property(path)
        if column.type != "Boolean":
            raise bad_query("The $filter expression must evaluate to a single boolean value.")
        return f"({expression} = 1)"

    def property(self, path: Path) -> tuple[str, Column]:
        """SQL expression and column of a path, following single-valued navigation by subquery."""
        table, alias, segments = self.start(path)
        return self.follow(table, alias, segments)

    def start(self, path: Path) -> tuple[Table, str, tuple[str, ...]]:
        head = path.segments[0]
        if len(path.segments) > 1 and head in self.scope:
            return (*self.scope[head], path.segments[1:])
        return (*self.scope[""], path.segments)

    def follow(self, table: Table, alias: str, segments: tuple[str, ...]) -> tuple[str, Column]:
        if len(segments) == 1:
            column = find_property(table, segments[0])
            return f"{alias}.{quoted(column.name)}", column
        target, lookup = self.navigate(table, segments[0])
        inner_alias = self.sql.new_alias()
        inner, column = self.follow(target, inner_alias, segments[1:])
        return (
            f"(SELECT {inner} FROM {quoted(target.name)} {inner_alias} "
            f"WHERE {inner_alias}.{quoted(target.primary_id)} = {alias}.{quoted(lookup)})",
            column,
        )

    def navigate(self, table: Table, navigation: str) -> tuple[Table, str]:
        for column in table.columns.values():
            for target, name in column.navigation.items():
                if name == navigation and target in self.sql.schema.tables:
                    return self.sql.schema.tables[target], column.name
        raise unknown_property(navigation, table.name)

    def compare(self, node: Compare) -> str:
        if isinstance(node.left, Literal) and not isinstance(node.right, Literal):
            flipped = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}.get(node.operator, node.operator)
            return self.compare(Compare(flipped, node.right, node.left))
        if isinstance(node.left, Call):
            return self.compare_call(node)
        if not isinstance(node.left, Path):
            raise bad_query("The left side of a comparison must be a property.")
        left, column = self.property(node.left)
        if isinstance(node.right, Path):
            return self.compare_columns(node.operator, left, column, node.right)
        return self.compare_value(node.operator, left, column, node.right)

    def compare_call(self, node: Compare) -> str:
        if isinstance(node.right, Literal) and node.right.kind == "boolean":
            positive = (node.right.value is True) == (node.operator == "eq")
            inner = self.condition(node.left)
            return inner if positive else f"(NOT {inner})"
        raise bad_query("This function cannot be compared.")

    def compare_columns(self, operator: str, left: str, column: Column, path: Path) -> str:
        right, other = self.property(path)
        if column.type in TEXT_TYPES and other.type in TEXT_TYPES:
            left, right = f"fold({left})", f"fold({right})"
        return f"({left} {_OPERATORS[operator]} {right})"

    def compare_value(self, operator: str, left: str, column: Column, right: Node) -> str:
        if not isinstance(right, Literal):
            raise bad_query("The right side of a comparison must be a value or a property.")
        if right.kind == "null":
            if operator not in ("eq", "ne"):
                raise bad_query("Only eq and ne can be used with null.")
            return f"({left} IS {'NOT ' if operator == 'ne' else ''}NULL)"
        value = comparable(column, right)
        text = f"fold({left})" if column.type in TEXT_TYPES else left
        condition = f"{text} {_OPERATORS[operator]} {self.sql.bind(value)}"
        return f"({condition} OR {left} IS NULL)" if operator == "ne" else f"({condition})"

    def call(self, node: Call) -> str:
        name = node.name.removeprefix(_QUERY_FUNCTIONS)
        if name == "in" and len(node.arguments) == 2:
            return self.is_in(*node.arguments)
        if name in _TEXT_FUNCTIONS:
            return self.text_function(name, node)
        if node.name.startswith(_QUERY_FUNCTIONS) and node.named:
            return self.query_function(name, node.named)
        raise ServiceError(400, "0x80060888", f"An unknown function with name '{node.name}' was found.")

    def is_in(self, left: Node, items: Node) -> str:
        """Versions differ: some services refuse this operator with 501, and clients of newer ones send it."""
        if not isinstance(left, Path) or not isinstance(items, Items):
            raise bad_query("The in operator needs a property and a list.")
        expression, column = self.property(left)
        if not items.items:
            return "(1=0)"
        values = [comparable(column, item) for item in items.items if isinstance(item, Literal)]
        marks = ",".join(self.sql.bind(value) for value in values)
        text = f"fold({expression})" if column.type in TEXT_TYPES else expression
        return f"({text} IN ({marks}))"

    def text_function(self, name: str, node: Call) -> str:
        if len(node.arguments) != 2:
            raise bad_query(f"{name} needs two arguments.")
        path, needle = node.arguments
        if not isinstance(path, Path) or not isinstance(needle, Literal) or needle.kind != "string":
            raise bad_query(f"{name} needs a property and a text.")
        expression, column = self.property(path)
        if column.type not in TEXT_TYPES:
            raise bad_query(f"No function signature for '{name}' matches the type of '{column.name}'.")
        before, after = _TEXT_FUNCTIONS[name]
        pattern = before + _escaped(fold(needle.value)) + after
        return f"(fold({expression}) LIKE {self.sql.bind(pattern)} ESCAPE '\\')"

    def query_function(self, name: str, named: Mapping[str, Node]) -> str:
        """A query function (`In`, `Between`, `LastXDays` …) is a FetchXML operator under another name."""
        expression, column = self.named_path(named)
        if name in ("In", "NotIn", "ContainValues") and not _texts(named):
            raise bad_query(f"The parameter 'PropertyValues' of {name} is missing.")
        text, values = condition_sql(self.sql.context, column, expression, _operator(name), _texts(named))
        self.sql.parameters += values
        return text

    def named_path(self, named: Mapping[str, Node]) -> tuple[str, Column]:
        name = named.get("PropertyName")
        if not isinstance(name, Literal) or name.kind != "string":
            raise bad_query("The parameter 'PropertyName' is missing.")
        return self.property(Path(tuple(_as_property(self.scope[""][0], name.value).split("/"))))

    def any_or_all(self, node: Lambda) -> str:
        table, alias, segments = self.start(node.path)
        if len(segments) != 1:
            raise bad_query("A collection must belong to the row itself.")
        relation = next(
            (r for r in self.sql.schema.children_of(table.name) if r.parent_navigation == segments[0]), None
        )
        side = self.sql.schema.side_of(table.name, segments[0])
        inner, own = self.sql.new_alias(), f"{alias}.{quoted(table.primary_id)}"
        if relation is not None:
            child = self.sql.schema.tables[relation.child]
            link = f"{inner}.{quoted(relation.column)} = {own}"
        elif side is not None:
            child = self.sql.schema.tables[side.other]
            links = f"SELECT {quoted(side.other_column)} FROM {quoted(side.relation.intersect)}"
            link = f"{inner}.{quoted(child.primary_id)} IN ({links} WHERE {quoted(side.own_column)} = {own})"
        else:
            raise unknown_property(segments[0], table.name)
        head = f"EXISTS (SELECT 1 FROM {quoted(child.name)} {inner} WHERE {link}"
        if node.condition is None:
            return f"({head}))"
        scope = {**self.scope, node.variable: (child, inner)}
        condition = _Filter(self.sql, scope).condition(node.condition)
        return f"({head} AND {condition}))" if node.verb == "any" else f"(NOT {head} AND NOT {condition}))"


def _as_property(table: Table, name: str) -> str:
    column = table.columns.get(name)
    return f"_{name}_value" if column is not None and column.is_lookup else name


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _operator(function: str) -> str:
    """The FetchXML operator behind a query function: `LastXDays` → `last-x-days`."""
    return _IRREGULAR.get(function, "-".join(re.findall(r"[A-Z][a-z]*", function)).lower())


_IRREGULAR = {
    "NotEqual": "ne",
    "OlderThanXMinutes": "olderthan-x-minutes",
    "OlderThanXHours": "olderthan-x-hours",
    "OlderThanXDays": "olderthan-x-days",
    "OlderThanXWeeks": "olderthan-x-weeks",
    "OlderThanXMonths": "olderthan-x-months",
    "OlderThanXYears": "olderthan-x-years",
    "Last7Days": "last-seven-days",
    "Next7Days": "next-seven-days",
    "EqualUserId": "eq-userid",
    "NotEqualUserId": "ne-userid",
    "EqualBusinessId": "eq-businessid",
    "NotEqualBusinessId": "ne-businessid",
    "EqualUserTeams": "eq-userteams",
    "EqualUserOrUserTeams": "eq-useroruserteams",
    "DoesNotContainValues": "not-contain-values",
}


def _texts(named: Mapping[str, Node]) -> list[str]:
    """Values of a query function, which are texts whatever the column's type."""
    nodes: list[Node] = []
    for name in ("PropertyValue", "PropertyValue1", "PropertyValue2", "PropertyValues"):
        node = named.get(name)
        nodes += node.items if isinstance(node, Items) else [node] if node is not None else []
    return [str(node.value) for node in nodes if isinstance(node, Literal)]


_TEXT_FUNCTIONS = {"contains": ("%", "%"), "startswith": ("", "%"), "endswith": ("%", "")}


def comparable(column: Column, literal: Node) -> Any:
    """A literal in the form in which the column is stored. Raises when the types do not fit."""
    if not isinstance(literal, Literal):
        raise bad_query("A constant is expected.")
    value = literal.value
    if column.type in TEXT_TYPES or column.type == "MultiSelectPicklist":
        return _wanted(column, literal, "string", fold(value))
    if column.type == "Boolean":
        return _wanted(column, literal, "boolean", 1 if value else 0)
    if column.type in NUMBER_TYPES or column.options:
        return _number(column, literal)
    if column.is_lookup or column.type == "Uniqueidentifier":
        return str(value).lower() if GUID.fullmatch(str(value)) else _wanted(column, literal, "guid", value)
    if column.type == "DateTime":
        return _comparable_date(column, literal)
    return value


def _number(column: Column, literal: Literal) -> Any:
    value = _wanted(column, literal, "number", literal.value)
    if abs(value) > _LARGEST_NUMBER:
        raise bad_query(f"The number for '{column.name}' is out of range.")
    return value


def _wanted(column: Column, literal: Literal, kind: str, value: Any) -> Any:
    if literal.kind != kind:
        raise bad_query(
            "A binary operator with incompatible types was detected. "
            f"Found operand types '{column.type}' and '{literal.kind}' for property '{column.name}'."
        )
    return value


def _comparable_date(column: Column, literal: Literal) -> str:
    text = str(literal.value)
    if literal.kind not in ("date", "string") or not text[:4].isdigit():
        _wanted(column, literal, "date", text)
    if column.behavior == "DateOnly":
        return text[:10]
    return text if "T" in text and text.endswith("Z") and len(text) == 20 else _as_utc(text)


def _as_utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_query(f"'{text}' is not a date.") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
