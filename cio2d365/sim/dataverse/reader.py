"""Stored rows to OData JSON: property names, types, annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .context import Context
from .schema import Column, Table
from .store import quoted, type_column

Row = dict[str, Any]
_FORMATTED = "@OData.Community.Display.V1.FormattedValue"
_LOOKUP_NAME = "@Microsoft.Dynamics.CRM.lookuplogicalname"
_NAVIGATION = "@Microsoft.Dynamics.CRM.associatednavigationproperty"


class Reader:
    """Reads some columns of one table; `sql_list` is the SELECT list that `row` expects."""

    def __init__(self, table: Table, columns: Iterable[Column], alias: str = "t") -> None:
        self.table = table
        self.columns = list(columns)
        self.names: list[str] = []
        parts: list[str] = []
        for column in self.columns:
            self.names.append(column.property_name)
            parts.append(f"{alias}.{quoted(column.name)}")
        self.hidden = [column for column in self.columns if type_column(column)]
        parts += [f"{alias}.{quoted(type_column(column) or '')}" for column in self.hidden]
        self.sql_list = ", ".join([f"{alias}.versionnumber", *parts])
        self.booleans = [c.name for c in self.columns if c.type == "Boolean"]

    def row(self, values: Sequence[Any]) -> Row:
        """One row as JSON, with its ETag."""
        found: Row = {"@odata.etag": f'W/"{values[0]}"'}
        found.update(zip(self.names, values[1:], strict=False))
        for name in self.booleans:
            if found[name] is not None:
                found[name] = found[name] == 1
        return found

    def annotate(self, context: Context, found: Row, values: Sequence[Any]) -> Row:
        """The row with formatted values and lookup names."""
        kinds = dict(zip((column.name for column in self.hidden), values[1 + len(self.columns) :], strict=True))
        for column in self.columns:
            value = found[column.property_name]
            if value is not None:
                notes = _annotations(context, column, value, kinds.get(column.name))
                found.update((name, note) for name, note in notes.items() if context.wants(name.partition("@")[2]))
        return found


def _annotations(context: Context, column: Column, value: Any, kind: str | None) -> Row:
    name = column.property_name
    if column.is_lookup:
        return _lookup_annotations(context, column, value, kind)
    if column.options:
        return {name + _FORMATTED: option_label(column, value)}
    if column.type == "Money":
        return {name + _FORMATTED: f"€{value:,.2f}"}
    if column.type in ("DateTime", "Integer", "Decimal", "Double", "BigInt"):
        return {name + _FORMATTED: str(value)}
    return {}


def option_label(column: Column, value: Any) -> str:
    """Label or labels of an option value."""
    labels = {option.value: option.label for option in column.options}
    if column.type == "MultiSelectPicklist":
        return "; ".join(labels.get(int(part), part) for part in str(value).split(","))
    return labels.get(int(value), str(value))


def _lookup_annotations(context: Context, column: Column, value: str, kind: str | None) -> Row:
    name, target = column.property_name, kind or column.targets[0]
    found: Row = {name + _LOOKUP_NAME: target}
    navigation = column.navigation.get(target)
    if navigation:
        found[name + _NAVIGATION] = navigation
    label = primary_name(context, target, value)
    if label is not None:
        found[name + _FORMATTED] = label
    return found


def primary_name(context: Context, table_name: str, row_id: str) -> str | None:
    """Value of the primary name column of a row."""
    table = context.org.schema.tables.get(table_name)
    if table is None or table.primary_name not in table.columns:
        return None
    sql = f"SELECT {quoted(table.primary_name)} FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?"
    rows = context.org.store.query(sql, (row_id,))
    return rows[0][0] if rows else None


def readable(table: Table) -> list[Column]:
    """The columns that a query without $select shows."""
    return [column for column in table.columns.values() if column.stored]


def selected(table: Table, text: str | None, find: Callable[[Table, str], Column]) -> list[Column]:
    """Columns of a $select, the primary key always among them. Raises for unknown names."""
    if not text or text.strip() == "*":
        return readable(table)
    names = [name.strip() for name in text.split(",") if name.strip()]
    columns = {column.name: column for column in (find(table, name) for name in names)}
    columns.setdefault(table.primary_id, table.columns[table.primary_id])
    return list(columns.values())


def without_nulls(row: Mapping[str, Any]) -> Row:
    """A row as FetchXML shows it."""
    return {name: value for name, value in row.items() if value is not None}
