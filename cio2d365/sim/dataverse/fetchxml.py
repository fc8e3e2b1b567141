"""FetchXML: the XML read, checked and turned into SQL (dataverse-api 15)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from .context import Context
from .errors import ServiceError
from .fetch_conditions import condition_sql
from .schema import Column, Table
from .sqlfilter import MOST_CONDITIONS, order_expression
from .store import quoted

_MOST_LINKS = 15
_MOST_ROWS = 5000
_JOINS = {"inner": "JOIN", "outer": "LEFT JOIN"}
_FILTER_LINKS = frozenset({"any", "not any", "all", "not all"})
_SEMI_LINKS = frozenset({"exists", "in"})
_GROUPINGS = {
    "day": "CAST(strftime('%d', {c}) AS INTEGER)",
    "week": "CAST(strftime('%W', {c}) AS INTEGER) + 1",
    "month": "CAST(strftime('%m', {c}) AS INTEGER)",
    "quarter": "(CAST(strftime('%m', {c}) AS INTEGER) + 2) / 3",
    "year": "CAST(strftime('%Y', {c}) AS INTEGER)",
    "fiscal-period": "(CAST(strftime('%m', {c}) AS INTEGER) + 2) / 3",
    "fiscal-year": "CAST(strftime('%Y', {c}) AS INTEGER)",
}
_AGGREGATES = {"sum": "SUM", "avg": "AVG", "min": "MIN", "max": "MAX"}


@dataclass(frozen=True)
class Output:
    """One value of a result row: JSON name, SQL expression and the column that gives it its type."""

    name: str
    expression: str
    column: Column | None = None


@dataclass
class Fetch:
    """A query ready to run."""

    table: Table
    outputs: list[Output] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    join_values: list[Any] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    aggregate: bool = False
    distinct: bool = False
    top: int | None = None
    count: int | None = None
    page: int = 1
    cookie: str = ""
    total: bool = False

    def body(self) -> tuple[str, list[Any]]:
        """FROM … WHERE … with its parameters."""
        where = " AND ".join(self.conditions) or "1=1"
        sql = f"FROM {quoted(self.table.name)} t {' '.join(self.joins)} WHERE {where}"
        return sql, [*self.join_values, *self.values]


def parse_xml(text: str) -> Element:
    """The `fetch` element. Entities are never resolved, malformed text is 0x80040303."""
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        raise ServiceError(400, "0x80040303", "Malformed FetchXml: a DTD is not allowed.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ServiceError(400, "0x80040303", f"Malformed FetchXml: {error}") from None
    if root.tag != "fetch" or len(root.findall("entity")) != 1:
        raise ServiceError(400, "0x80040303", "Malformed FetchXml: one fetch element with one entity is expected.")
    return root


def compile_fetch(context: Context, text: str) -> Fetch:
    """A FetchXML text as a query. Raises the QueryBuilder errors of the platform."""
    root = parse_xml(text)
    _check_sizes(root)
    entity = root.find("entity")
    assert entity is not None
    table = _table(context, entity)
    fetch = Fetch(table, **_paging(root))
    fetch.aggregate = _flag(root, "aggregate")
    fetch.distinct = _flag(root, "distinct")
    _Builder(context, fetch).entity(entity)
    return fetch


def _check_sizes(root: Element) -> None:
    if sum(1 for _ in root.iter("link-entity")) > _MOST_LINKS:
        raise ServiceError(400, "0x8004430d", "Number of link entities in query exceeded maximum limit.")
    if sum(1 for _ in root.iter("condition")) > MOST_CONDITIONS:
        raise ServiceError(400, "0x8004430c", "Number of conditions in query exceeded maximum limit.")


def _paging(root: Element) -> dict[str, Any]:
    top, count, page = (root.get(name) for name in ("top", "count", "page"))
    if top is not None and (page is not None or count is not None):
        raise ServiceError(400, "0x80040303", "Malformed FetchXml: top cannot be combined with count or page.")
    numbers = {"top": _whole(top), "count": _whole(count), "page": _whole(page) or 1}
    if (numbers["top"] or 0) > _MOST_ROWS:
        raise ServiceError(400, "0x80041106", f"top must not be larger than {_MOST_ROWS}.")
    return {**numbers, "cookie": root.get("paging-cookie", ""), "total": _flag(root, "returntotalrecordcount")}


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ServiceError(400, "0x80041139", f"'{text}' is not a positive number.")
    return int(text)


def _flag(element: Element, name: str) -> bool:
    return element.get(name, "false").lower() in ("true", "1")


def _table(context: Context, element: Element) -> Table:
    name = element.get("name", "")
    table = context.org.visible(context.org.schema.tables.get(name))
    if table is None:
        raise ServiceError(400, "0x80041102", f"The entity with a name = '{name}' was not found in the MetadataCache.")
    return table


def _column(table: Table, name: str | None) -> Column:
    if not name:
        raise ServiceError(400, "0x8004111e", "A required attribute was not specified.")
    column = table.columns.get(name)
    if column is None or not column.stored:
        raise ServiceError(400, "0x80041103", f"'{table.name}' entity doesn't contain attribute with Name = '{name}'.")
    return column


class _Builder:
    """Walks the elements and fills a Fetch; `aliases` knows every table that can be named."""

    def __init__(self, context: Context, fetch: Fetch) -> None:
        self.context = context
        self.fetch = fetch
        self.aliases: dict[str, tuple[Table, str]] = {}
        self.used = 0
        self.alias_order: dict[str, str] = {}

    def entity(self, element: Element) -> None:
        table = self.fetch.table
        self.aliases[table.name] = (table, "t")
        self.outputs(element, table, "t", "")
        for link in element.findall("link-entity"):
            self.link(link, table, "t")
        self.filters(element, table, "t")
        # The orders of the entity come before those of its links, wherever they stand.
        link_orders, self.fetch.orders = self.fetch.orders, []
        self.orders(element, table, "t")
        self.fetch.orders += link_orders
        if self.fetch.aggregate and not self.fetch.outputs:
            raise ServiceError(400, "0x80041107", "An aggregate query needs aggregated or grouped attributes.")

    def outputs(self, element: Element, table: Table, alias: str, prefix: str) -> None:
        key = table.columns[table.primary_id]
        if not self.fetch.aggregate and not prefix and not self.fetch.distinct:
            self.output(key, alias, key.property_name)
        wanted = element.findall("attribute")
        everything = element.find("all-attributes") is not None
        if not wanted and not prefix and not self.fetch.aggregate:
            everything = True
        if everything:
            for column in table.columns.values():
                if column.stored:
                    self.output(column, alias, prefix + (column.name if prefix else column.property_name))
        for attribute in wanted:
            self.attribute(attribute, table, alias, prefix)

    def output(self, column: Column, alias: str, name: str) -> None:
        if all(output.name != name for output in self.fetch.outputs):
            self.fetch.outputs.append(Output(name, f"{alias}.{quoted(column.name)}", column))

    def attribute(self, element: Element, table: Table, alias: str, prefix: str) -> None:
        column = _column(table, element.get("name"))
        given = element.get("alias")
        if self.fetch.aggregate:
            self.aggregate(element, column, alias, given)
            return
        own = prefix + column.name if prefix else column.property_name
        self.output(column, alias, given or own)

    def aggregate(self, element: Element, column: Column, alias: str, name: str | None) -> None:
        if not name:
            raise ServiceError(400, "0x8004111e", "An aggregated attribute needs an alias.")
        kind, expression = element.get("aggregate"), f"{alias}.{quoted(column.name)}"
        if _flag(element, "groupby"):
            grouping = element.get("dategrouping")
            grouped = _GROUPINGS[grouping].format(c=expression) if grouping in _GROUPINGS else expression
            self.fetch.groups.append(grouped)
            self.fetch.outputs.append(Output(name, grouped, None if grouping else column))
            self.alias_order[name] = grouped
            return
        if kind is None:
            raise ServiceError(
                400, "0x80041107", "Attributes can not be returned when aggregate operation is specified."
            )
        distinct = "DISTINCT " if _flag(element, "distinct") else ""
        found = self.aggregate_sql(kind, expression, distinct)
        self.fetch.outputs.append(Output(name, found))
        self.alias_order[name] = found

    def aggregate_sql(self, kind: str, expression: str, distinct: str) -> str:
        if kind == "count":
            return "COUNT(*)"
        if kind == "countcolumn":
            return f"COUNT({distinct}{expression})"
        if kind not in _AGGREGATES:
            raise ServiceError(400, "0x80041139", f"'{kind}' is not an aggregate.")
        return f"{_AGGREGATES[kind]}({distinct}{expression})"

    def new_alias(self) -> str:
        self.used += 1
        return f"l{self.used}"

    def link_test(self, element: Element, table: Table, alias: str) -> tuple[Table, str, str]:
        """The linked table, its SQL alias and the join condition."""
        other, inner = _table(self.context, element), self.new_alias()
        if other.elastic or table.elastic:
            raise ServiceError(400, "0x80048d0b", "Links are not supported for elastic tables.")
        child, parent = _column(other, element.get("from")), _column(table, element.get("to"))
        return other, inner, f"{inner}.{quoted(child.name)} = {alias}.{quoted(parent.name)}"

    def link(self, element: Element, table: Table, alias: str) -> None:
        kind = element.get("link-type", "inner")
        if kind in _SEMI_LINKS:
            self.add(self.exists(element, table, alias))
            return
        if kind not in _JOINS and kind != "matchfirstrowusingcrossapply":
            raise ServiceError(
                400, "0x80041117", f"The link type '{kind}' is not valid here; any and all belong inside a filter."
            )
        other, inner, test = self.link_test(element, table, alias)
        name = element.get("alias") or f"{other.name}{self.used}"
        self.aliases[name] = (other, inner)
        self.outputs(element, other, inner, f"{name}.")
        pieces = [self.filter(part, other, inner) for part in element.findall("filter")]
        tests = " AND ".join([test, *(text for text, _ in pieces)])
        self.fetch.joins.append(f"{_JOINS.get(kind, 'JOIN')} {quoted(other.name)} {inner} ON {tests}")
        self.fetch.join_values += [value for _, values in pieces for value in values]
        for nested in element.findall("link-entity"):
            self.link(nested, other, inner)
        self.orders(element, other, inner)

    def exists(self, element: Element, table: Table, alias: str) -> tuple[str, list[Any]]:
        """A link that asks for related rows without returning them."""
        other, inner, test = self.link_test(element, table, alias)
        pieces = [self.filter(part, other, inner) for part in element.findall("filter")]
        pieces += [self.exists(nested, other, inner) for nested in element.findall("link-entity")]
        values = [value for _, found in pieces for value in found]
        tests = " AND ".join([test, *(text for text, _ in pieces)])
        return f"EXISTS (SELECT 1 FROM {quoted(other.name)} {inner} WHERE {tests})", values

    def filter_link(self, element: Element, table: Table, alias: str) -> tuple[str, list[Any]]:
        """`any`, `not any`, `all` (rows exist and none satisfies the filter), `not all` (= `any`)."""
        kind = element.get("link-type", "")
        if kind not in _FILTER_LINKS:
            raise ServiceError(400, "0x80041117", f"The link type '{kind}' is not valid inside a filter.")
        matching, values = self.exists(element, table, alias)
        if kind in ("any", "not all"):
            return matching, values
        if kind == "not any":
            return f"(NOT {matching})", values
        other, inner, test = self.link_test(element, table, alias)
        some = f"EXISTS (SELECT 1 FROM {quoted(other.name)} {inner} WHERE {test})"
        return f"({some} AND NOT {matching})", values

    def add(self, piece: tuple[str, list[Any]]) -> None:
        self.fetch.conditions.append(piece[0])
        self.fetch.values += piece[1]

    def filters(self, element: Element, table: Table, alias: str) -> None:
        for part in element.findall("filter"):
            self.add(self.filter(part, table, alias))

    def filter(self, element: Element, table: Table, alias: str) -> tuple[str, list[Any]]:
        kind = element.get("type", "and")
        if kind not in ("and", "or"):
            raise ServiceError(400, "0x80041122", f"Unsupported filter type '{kind}'. Valid values are 'and', or 'or'.")
        pieces = list(self.pieces(element, table, alias))
        if not pieces:
            return "(1=1)", []
        text = f" {kind.upper()} ".join(piece for piece, _ in pieces)
        return f"({text})", [value for _, values in pieces for value in values]

    def pieces(self, element: Element, table: Table, alias: str) -> Iterator[tuple[str, list[Any]]]:
        for child in element:
            if child.tag == "condition":
                yield self.condition(child, table, alias)
            elif child.tag == "filter":
                yield self.filter(child, table, alias)
            elif child.tag == "link-entity":
                yield self.filter_link(child, table, alias)
            else:
                raise ServiceError(400, "0x8004111c", f"The element node '{child.tag}' encountered is invalid.")

    def condition(self, element: Element, table: Table, alias: str) -> tuple[str, list[Any]]:
        named = element.get("entityname")
        if named is not None:
            if named not in self.aliases:
                raise ServiceError(400, "0x8004110b", f"No alias '{named}' for the given entity was found.")
            table, alias = self.aliases[named]
        column = _column(table, element.get("attribute"))
        operator = element.get("operator", "")
        other = element.get("valueof")
        if other:
            return self.compare_columns(column, alias, operator, other, table)
        values = [value.text or "" for value in element.findall("value")]
        if element.get("value") is not None:
            values.insert(0, element.get("value", ""))
        return condition_sql(self.context, column, f"{alias}.{quoted(column.name)}", operator, values)

    def compare_columns(
        self, column: Column, alias: str, operator: str, other: str, table: Table
    ) -> tuple[str, list[Any]]:
        sign = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}.get(operator)
        if sign is None:
            raise ServiceError(400, "0x80041120", f"'{operator}' cannot compare two columns.")
        owner, _, name = other.rpartition(".")
        right_table, right_alias = self.aliases.get(owner, (table, alias))
        right = _column(right_table, name)
        return f"({order_expression(column, alias)} {sign} {order_expression(right, right_alias)})", []

    def orders(self, element: Element, table: Table, alias: str) -> None:
        for order in element.findall("order"):
            direction = " DESC" if _flag(order, "descending") else ""
            named = order.get("alias")
            if self.fetch.aggregate:
                if named not in self.alias_order:
                    raise ServiceError(400, "0x8004111f", "An aggregate query is ordered by an alias.")
                self.fetch.orders.append(self.alias_order[named] + direction)
            else:
                owner, name = self.aliases.get(order.get("entityname", ""), (table, alias))
                self.fetch.orders.append(order_expression(_column(owner, order.get("attribute")), name) + direction)
