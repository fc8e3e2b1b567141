"""Payloads to stored values: one compiled writer per table knows every property that may stand in a body."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .address import find_row, missing, parse_reference
from .context import Context
from .errors import ServiceError, payload_error
from .schema import Column, Relationship, Table
from .store import quoted, type_column
from .values import Converter, converter

_BIND = "@odata.bind"
_SIMPLE_REFERENCE = re.compile(r"/?([a-z_0-9]+)\(([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\)")


@dataclass(frozen=True)
class Parsed:
    """A payload after all checks: stored values, and nested rows still to be created."""

    values: dict[str, Any]
    nested: list[tuple[Relationship, Any]] = field(default_factory=list)
    parents: list[tuple[Column, str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Bind:
    column: Column
    targets: Mapping[str, str]
    type_name: str | None


class Writer:
    """The compiled checks of one table; valid as long as the table value and schema version are the same."""

    def __init__(self, context: Context, table: Table) -> None:
        schema = context.org.schema
        self.table = table
        self.version = schema.version
        self.create: dict[str, tuple[str, Converter] | None] = {}
        self.update: dict[str, tuple[str, Converter] | None] = {}
        self.binds: dict[str, _Bind] = {}
        self.lookups: set[str] = set()
        for column in table.columns.values():
            if column.stored:
                self._add(context, column)
        self.stored = frozenset(column.name for column in table.columns.values() if column.stored)
        self.money = frozenset(
            column.name
            for column in table.columns.values()
            if column.type == "Money" and column.stored and not column.name.endswith("_base")
        )
        self.required = _required(table)
        self.defaults = dict(item for column in table.columns.values() for item in _default(table, column))
        self.collections = {r.parent_navigation: r for r in schema.children_of(table.name)}

    def _add(self, context: Context, column: Column) -> None:
        if column.is_lookup:
            self._add_lookup(context, column)
            return
        check = (column.name, converter(self.table, column))
        self.create[column.name] = check if column.create else None
        self.update[column.name] = check if column.update else None

    def _add_lookup(self, context: Context, column: Column) -> None:
        self.lookups.add(column.property_name)
        tables = context.org.schema.tables
        for navigation in set(column.navigation.values()):
            wanted = [t for t, name in column.navigation.items() if name == navigation and t in tables]
            sets = {tables[target].set_name: target for target in wanted}
            self.binds[navigation] = _Bind(column, sets, type_column(column))

    def parse(self, context: Context, payload: Any, creating: bool) -> Parsed:
        """All properties checked and converted; lookups resolved to existing rows."""
        if type(payload) is not dict:
            raise payload_error(self.table.set_name, "An object is expected for an entity.")
        checks = self.create if creating else self.update
        values: dict[str, Any] = {}
        parsed = Parsed(values)
        for name, value in payload.items():
            check = checks.get(name, _MISSING)
            if check is _MISSING:
                self._other(context, name, value, parsed, creating)
            elif check is not None:
                values[check[0]] = None if value is None else check[1](value)
        return parsed

    def _other(self, context: Context, name: str, value: Any, parsed: Parsed, creating: bool) -> None:
        if name.endswith(_BIND):
            self._bind(context, name[: -len(_BIND)], value, parsed.values, creating)
        elif "@" in name:
            return
        elif creating and name in self.collections:
            parsed.nested.append((self.collections[name], value))
        elif creating and name in self.binds and isinstance(value, dict):
            self._nested_parent(name, value, parsed)
        else:
            raise self._unknown(name)

    def _nested_parent(self, name: str, value: Any, parsed: Parsed) -> None:
        bind = self.binds[name]
        if len(bind.targets) != 1:
            raise self._unknown(name)
        parsed.parents.append((bind.column, next(iter(bind.targets.values())), value))

    def _unknown(self, name: str) -> ServiceError:
        if name in self.lookups:
            return payload_error(
                self.table.set_name,
                "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead.",
            )
        return payload_error(
            self.table.set_name,
            f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{self.table.name}'. Make sure "
            "to only use property names that are defined by the type.",
        )

    def _bind(self, context: Context, name: str, value: Any, values: dict[str, Any], creating: bool) -> None:
        bind = self.binds.get(name)
        if bind is None:
            raise payload_error(
                self.table.set_name,
                f"An undeclared property '{name}' which only has property annotations in the payload but no "
                "property value was found in the payload. In OData, only declared navigation properties and "
                "declared named streams can be represented as properties without values.",
            )
        if not (bind.column.create if creating else bind.column.update):
            return
        target, row_id = (None, None) if value is None else self._resolve(context, bind, value)
        values[bind.column.name] = row_id
        if bind.type_name:
            values[bind.type_name] = target

    def _resolve(self, context: Context, bind: _Bind, value: Any) -> tuple[str, str]:
        if type(value) is not str:
            raise payload_error(self.table.set_name, "The value of an odata.bind must be a text.")
        simple = _SIMPLE_REFERENCE.fullmatch(value)
        if simple and simple[1] in bind.targets:
            found = bind.targets[simple[1]], simple[2].lower()
            if found in context.known_rows or _exists(context, *found):
                context.known_rows.add(found)
                return found
        return self._look_up(context, bind, value)

    def _look_up(self, context: Context, bind: _Bind, value: str) -> tuple[str, str]:
        address = parse_reference(context, value)
        if address.table.set_name not in bind.targets:
            raise payload_error(
                self.table.set_name,
                f"A resource of type 'Microsoft.Dynamics.CRM.{address.table.name}' was found where another type "
                f"is expected by '{bind.column.name}'.",
            )
        row_id = find_row(context, address)
        if row_id is None:
            raise missing(address)
        context.known_rows.add((address.table.name, row_id))
        return address.table.name, row_id


def _exists(context: Context, table: str, row_id: str) -> bool:
    key = context.org.schema.tables[table].primary_id
    sql = f"SELECT 1 FROM {quoted(table)} WHERE {quoted(key)} = ?"
    return bool(context.org.store.query(sql, (row_id,)))


def _default(table: Table, column: Column) -> Iterator[tuple[str, Any]]:
    if not column.stored or column.is_lookup:
        return
    if column.name == "statuscode":
        yield column.name, first_status(table, 0)
    elif column.name == "statecode":
        yield column.name, 0
    elif isinstance(column.default, bool):
        yield column.name, int(column.default)
    elif column.default is not None and not (column.type == "Picklist" and column.default == -1):
        yield column.name, column.default


def first_status(table: Table, state: int) -> int | None:
    """Default status reason of a state."""
    state_column, status = table.columns.get("statecode"), table.columns["statuscode"]
    for option in state_column.options if state_column else ():
        if option.value == state and option.default_status is not None:
            return option.default_status
    return next((option.value for option in status.options if option.state in (state, None)), None)


def _required(table: Table) -> list[str]:
    """The columns a create must bring; activities fill theirs in themselves."""
    if table.activity:
        return []
    return [
        column.name
        for column in table.columns.values()
        if column.required == "SystemRequired" and column.create and column.stored and column.name not in _SELF_FILLED
    ]


_SELF_FILLED = frozenset(
    {"ownerid", "statecode", "statuscode", "createdon", "modifiedon", "createdby", "modifiedby", "organizationid"}
)
_MISSING: Any = object()


def writer_for(context: Context, table: Table) -> Writer:
    """The compiled writer of a table, made anew after a schema change."""
    writers = context.org.writers
    found = writers.get(table.name)
    if found is None or found.table is not table or found.version != context.org.schema.version:
        found = writers[table.name] = Writer(context, table)
    return found
