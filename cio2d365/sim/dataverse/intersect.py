"""Many-to-many relationships: made, removed, and linking rows through them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .address import RowAddress, require_row
from .context import Answer, Context
from .definitions import check_relationship_name, check_schema_name
from .errors import ServiceError, payload_error
from .schema import ManyToMany, Side, Table, intersect_table
from .store import quoted


def create_relation(context: Context, body: Mapping[str, Any]) -> ManyToMany:
    """A many-to-many relationship with its intersect table, from its metadata body."""
    first, second = (_table(context, body.get(f"Entity{number}LogicalName")) for number in (1, 2))
    if first.elastic or second.elastic:
        raise ServiceError(400, "0x80048d0b", "Elastic tables take no many-to-many relationships.")
    schema_name = check_relationship_name(context, body.get("SchemaName"))
    name = check_schema_name(context, body.get("IntersectEntityName") or schema_name, "entity").lower()
    if schema_name in context.org.schema.many_to_many or name in context.org.schema.tables:
        raise ServiceError(
            400, "0x8004432b", "A relationship with the specified name already exists. Please specify a unique name."
        )
    same = first.name == second.name
    columns = (f"{first.name}idone", f"{first.name}idtwo") if same else (f"{first.name}id", f"{second.name}id")
    relation = ManyToMany(
        schema_name=schema_name,
        metadata_id=context.org.new_id(),
        first=first.name,
        second=second.name,
        intersect=name,
        first_column=columns[0],
        second_column=columns[1],
        first_navigation=body.get("Entity1NavigationPropertyName") or schema_name,
        second_navigation=body.get("Entity2NavigationPropertyName") or schema_name,
        custom=True,
    )
    code = 1 + max(table.object_type_code for table in context.org.schema.tables.values())
    table = intersect_table(name, columns, code, context.org.new_id())
    context.org.store.create_table(table)
    context.org.save_table(table)
    context.org.save_many_to_many(relation)
    return relation


def _table(context: Context, name: Any) -> Table:
    table = context.org.schema.tables.get(str(name))
    if table is None:
        raise ServiceError(400, "0x8005e00c", f"Entity {name} cannot be found.")
    return table


def drop_relation(context: Context, relation: ManyToMany) -> None:
    """Remove a many-to-many relationship with all its links."""
    table = context.org.schema.tables[relation.intersect]
    context.org.forget_table(table)
    context.org.store.drop_table(table.name)


def link(context: Context, side: Side, own_id: str, other: RowAddress) -> Answer:
    """Link two rows; linking twice is a duplicate."""
    if other.table.name != side.other:
        raise payload_error(side.relation.intersect, f"A row of '{side.other}' is expected.")
    other_id = require_row(context, other)
    name = side.relation.intersect
    if context.org.store.query(_select(side), (own_id, other_id)):
        raise ServiceError(412, "0x80040237", "Cannot insert duplicate key.")
    names = ", ".join(map(quoted, (f"{name}id", side.own_column, side.other_column, "versionnumber")))
    with context.org.store.transaction():
        values = (context.org.new_id(), own_id, other_id, context.org.store.reserve_versions())
        context.org.store.execute(f"INSERT INTO {quoted(name)} ({names}) VALUES (?, ?, ?, ?)", values)
        context.org.store.count_change(name, "created")
    return Answer(204)


def unlink(context: Context, side: Side, own_id: str, other_id: str) -> Answer:
    """Take a link away; an absent one is no error."""
    name = quoted(side.relation.intersect)
    sql = f"DELETE FROM {name} WHERE {quoted(side.own_column)} = ? AND {quoted(side.other_column)} = ?"
    with context.org.store.transaction():
        touched = context.org.store.execute(sql, (own_id, other_id))
        context.org.store.count_change(side.relation.intersect, "deleted", touched)
    return Answer(204)


def _select(side: Side) -> str:
    name = quoted(side.relation.intersect)
    return f"SELECT 1 FROM {name} WHERE {quoted(side.own_column)} = ? AND {quoted(side.other_column)} = ?"
