"""URLs that name things: paths split into segments, rows found by id or alternate key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .context import Context
from .errors import ServiceError, bad_query, row_missing, unknown_segment
from .odata import Literal, Node, parse_arguments
from .schema import Column, Key, Table
from .sqlfilter import comparable
from .store import key_expression, quoted
from .values import GUID

# Values with these characters can be stored but not addressed (dataverse-api 10).
UNADDRESSABLE = frozenset("/<>*%&:\\?+")
_SEGMENT = re.compile(r"(?P<name>[^(]*)(?:\((?P<inside>.*)\))?", re.DOTALL)


@dataclass(frozen=True)
class Segment:
    """One part of a path: a name and what stands in its parentheses (None without parentheses)."""

    name: str
    inside: str | None = None

    @property
    def bare_name(self) -> str:
        """The name without the `Microsoft.Dynamics.CRM.` namespace."""
        return self.name.removeprefix("Microsoft.Dynamics.CRM.")


def split_path(path: str) -> list[Segment]:
    """Segments of a decoded path relative to the API root; slashes inside quotes do not separate."""
    parts, current, quote = [], "", False
    for char in path.strip("/"):
        quote ^= char == "'"
        if char == "/" and not quote:
            parts.append(current)
            current = ""
        else:
            current += char
    return [_segment(part) for part in [*parts, current] if part]


def _segment(text: str) -> Segment:
    found = _SEGMENT.fullmatch(text)
    if not found:
        raise bad_query(f"Bad Request - Error in query syntax near '{text}'.")
    return Segment(found["name"], found["inside"])


def find_set(context: Context, name: str) -> Table:
    """The table behind an entity set name. 404 when there is none (or not visible yet)."""
    table = context.org.visible(context.org.schema.sets.get(name))
    if table is None:
        raise unknown_segment(name)
    return table


@dataclass(frozen=True)
class RowAddress:
    """A row named in a URL: by id, or by the values of an alternate key."""

    table: Table
    row_id: str | None
    key: Key | None = None
    key_values: Mapping[str, Any] | None = None


def read_address(context: Context, table: Table, inside: str) -> RowAddress:
    """What the parentheses behind a set name address. Raises for undefined or inactive keys."""
    parts = parse_arguments(inside, context.aliases)
    if len(parts) == 1 and parts[0][0] is None:
        return RowAddress(table, _guid(parts[0][1], inside))
    named = {name: value for name, value in parts if name}
    if set(named) == {table.primary_id}:
        return RowAddress(table, _guid(named[table.primary_id], inside))
    if table.elastic and set(named) == {table.primary_id, "partitionid"}:
        return RowAddress(table, _guid(named[table.primary_id], inside))
    return _key_address(table, named)


def _guid(node: Node, shown: str) -> str:
    if isinstance(node, Literal) and GUID.fullmatch(str(node.value)):
        return str(node.value).lower()
    raise bad_query(f"Bad Request - Error in query syntax: '{shown}' is not a valid key.")


def _key_address(table: Table, named: Mapping[str, Node]) -> RowAddress:
    columns = {_key_column(table, name): node for name, node in named.items()}
    key = next((k for k in table.keys.values() if set(k.columns) == set(columns)), None)
    if key is None:
        raise ServiceError(
            400, "0x80060890", f"The specified key attributes are not a defined key for the {table.name} entity"
        )
    if key.status != "Active":
        raise ServiceError(
            400, "0x80060890", f"The entity key {key.schema_name} is not active on the {table.name} entity"
        )
    values = {name: _key_value(table.columns[name], node) for name, node in columns.items()}
    return RowAddress(table, None, key, values)


def _key_column(table: Table, name: str) -> str:
    column = table.columns.get(name) or table.columns.get(name.removeprefix("_").removesuffix("_value"))
    if column is None or column.property_name != name:
        raise ServiceError(
            400,
            "0x80060888",
            f"The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.{table.name}'.",
        )
    return column.name


def _key_value(column: Column, node: Node) -> Any:
    if not isinstance(node, Literal):
        raise bad_query("A key value must be a constant.")
    if node.kind == "string" and UNADDRESSABLE & set(node.value):
        raise ServiceError(
            400, "", "A potentially dangerous Request.Path value was detected from the client in a key value."
        )
    return node.value if node.kind == "string" else comparable(column, node)


def find_row(context: Context, address: RowAddress) -> str | None:
    """Id of the addressed row, None when it does not exist."""
    table = address.table
    if address.row_id is not None:
        sql = f"SELECT 1 FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?"
        return address.row_id if context.org.store.query(sql, (address.row_id,)) else None
    return find_by_key(context, table, address.key_values or {})


def find_by_key(context: Context, table: Table, values: Mapping[str, Any]) -> str | None:
    """Id of the row with these key values, compared as the unique index compares."""
    tests = " AND ".join(
        f"{key_expression(table.columns[name])} = "
        + ("fold(?)" if key_expression(table.columns[name]).startswith("fold") else "?")
        for name in values
    )
    sql = f"SELECT {quoted(table.primary_id)} FROM {quoted(table.name)} WHERE {tests}"
    rows = context.org.store.query(sql, list(values.values()))
    return str(rows[0][0]) if rows else None


def require_row(context: Context, address: RowAddress) -> str:
    """Id of the addressed row. Raises 404 with the code for ids or for keys."""
    found = find_row(context, address)
    if found is None:
        raise missing(address)
    return found


def missing(address: RowAddress) -> ServiceError:
    """The 404 for an address without a row."""
    if address.row_id is not None:
        return row_missing(address.table.name, address.row_id)
    return ServiceError(
        404, "0x80060891", f"A record with the specified key values does not exist in {address.table.name} entity"
    )


def parse_reference(context: Context, text: str) -> RowAddress:
    """The row an `@odata.bind` or `@odata.id` value names: relative, rooted or absolute."""
    segments = split_path(context.below_root(text))
    if len(segments) != 1 or segments[0].inside is None:
        raise bad_query(f"'{text}' does not address a row.")
    return read_address(context, find_set(context, segments[0].name), segments[0].inside)
