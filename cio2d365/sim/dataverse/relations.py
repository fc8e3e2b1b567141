"""Relationships: lookups with one or several targets, and the links every table has to users and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .context import Answer, Context
from .definitions import check_relationship_name, check_schema_name, label_text, managed_value, read_cascade
from .errors import ServiceError, payload_error, unknown_segment
from .intersect import create_relation, drop_relation
from .schema import Column, Relationship, Table, metadata_id
from .store import type_column

_LONGEST_NAME = 50
_NONE = dict.fromkeys(("Assign", "Delete", "Merge", "Reparent", "Share", "Unshare"), "NoCascade")


def link_standard_lookups(context: Context, table: Table) -> None:
    """Relationships of the built-in lookups of a new table, and of notes when it has them."""
    for column in table.columns.values():
        for target, navigation in column.navigation.items():
            if target in context.org.schema.tables:
                name = f"lk_{table.name}_{column.name}_{target}"
                context.org.save_relationship(
                    Relationship(
                        name,
                        metadata_id("relationship", name),
                        target,
                        table.name,
                        column.name,
                        navigation,
                        name,
                        _NONE,
                    )
                )
    if table.has_notes:
        _link_notes(context, table)


def _link_notes(context: Context, table: Table) -> None:
    annotation = context.org.schema.tables["annotation"]
    column = annotation.columns["objectid"]
    navigation = f"objectid_{table.name}"
    wider = replace(
        column,
        targets=(*column.targets, table.name),
        navigation={**column.navigation, table.name: navigation},
    )
    context.org.save_table(annotation.with_columns(wider))
    name = f"{table.name}_Annotations"
    cascade = {**_NONE, "Delete": "Cascade"}
    context.org.save_relationship(
        Relationship(name, context.org.new_id(), table.name, "annotation", "objectid", navigation, name, cascade)
    )


def _table(context: Context, name: Any) -> Table:
    table = context.org.schema.tables.get(str(name))
    if table is None:
        raise ServiceError(400, "0x8005e00c", f"Entity {name} cannot be found.")
    return table


def post_relationship(context: Context, body: Any) -> Answer:
    """`POST RelationshipDefinitions` with a nested Lookup."""
    if not isinstance(body, Mapping):
        raise payload_error("RelationshipMetadataBase", "An object is expected.")
    if "ManyToMany" in str(body.get("@odata.type", "")):
        with context.org.store.transaction():
            return _made(context, create_relation(context, body).metadata_id)
    lookup = body.get("Lookup")
    if not isinstance(lookup, Mapping):
        raise payload_error("OneToManyRelationshipMetadata", "The property 'Lookup' is missing.")
    with context.org.store.transaction():
        relationship = _relate(context, body, lookup, several=False)
    return _made(context, relationship.metadata_id)


def _made(context: Context, identity: str) -> Answer:
    return Answer(204, headers={"OData-EntityId": f"{context.root}RelationshipDefinitions({identity})"})


def create_polymorphic(context: Context, body: Any) -> dict[str, Any]:
    """Action CreatePolymorphicLookupAttribute: one lookup, one relationship per target."""
    parts = body.get("OneToManyRelationships") if isinstance(body, Mapping) else None
    lookup = body.get("Lookup") if isinstance(body, Mapping) else None
    if not isinstance(parts, list) or not parts or not isinstance(lookup, Mapping):
        raise payload_error("CreatePolymorphicLookupAttribute", "OneToManyRelationships and Lookup are needed.")
    child = _table(context, parts[0].get("ReferencingEntity"))
    name = str(lookup.get("SchemaName", "")).lower()
    if name in child.columns:
        raise ServiceError(400, "0x80047013", f"An attribute with the specified name '{name}' already exists")
    with context.org.store.transaction():
        made = [_relate(context, part, lookup, several=True) for part in parts]
    column = context.org.schema.tables[child.name].columns[name]
    return {
        "RelationshipIds": [relationship.metadata_id for relationship in made],
        "AttributeId": column.metadata_id,
    }


def _relate(context: Context, body: Mapping[str, Any], lookup: Mapping[str, Any], several: bool) -> Relationship:
    child, parent = _table(context, body.get("ReferencingEntity")), _table(context, body.get("ReferencedEntity"))
    schema_name = check_relationship_name(context, body.get("SchemaName"))
    if len(schema_name) > _LONGEST_NAME:
        raise ServiceError(400, "0x8004802a", "Relationship name cannot be more than 50 characters long.")
    if schema_name in context.org.schema.relationships:
        raise ServiceError(
            400, "0x8004432b", "A relationship with the specified name already exists. Please specify a unique name."
        )
    cascade = read_cascade(body.get("CascadeConfiguration"))
    column = _lookup_column(context, child, parent, lookup, several)
    relationship = Relationship(
        schema_name=schema_name,
        metadata_id=context.org.new_id(),
        parent=parent.name,
        child=child.name,
        column=column.name,
        child_navigation=column.navigation[parent.name],
        parent_navigation=schema_name,
        cascade=cascade,
        custom=True,
    )
    _refuse_second_parent(context, relationship)
    context.org.save_relationship(relationship)
    context.org.note_defined(child.name, column.name)
    return relationship


def _refuse_second_parent(context: Context, relationship: Relationship) -> None:
    if relationship.parental and any(r.parental for r in context.org.schema.parents_of(relationship.child)):
        raise ServiceError(400, "0x80047007", "An entity can have only one parental relationship")


def _lookup_column(context: Context, child: Table, parent: Table, lookup: Mapping[str, Any], several: bool) -> Column:
    schema_name = check_schema_name(context, lookup.get("SchemaName"), "attribute")
    present = child.columns.get(schema_name.lower())
    if present is not None:
        return _further_target(context, child, parent, present)
    navigation = f"{schema_name}_{parent.name}" if several else schema_name
    column = Column(
        name=schema_name.lower(),
        schema_name=schema_name,
        type="Lookup",
        metadata_id=context.org.new_id(),
        label=label_text(lookup.get("DisplayName")) or schema_name,
        description=label_text(lookup.get("Description")),
        required=managed_value(lookup.get("RequiredLevel"), "None"),
        targets=(parent.name,),
        navigation={parent.name: navigation},
        custom=True,
    )
    context.org.store.add_column(child.name, column)
    context.org.save_table(child.with_columns(column))
    return column


def _further_target(context: Context, child: Table, parent: Table, column: Column) -> Column:
    """A lookup made as multi-table takes more targets; a plain one is refused as existing."""
    marked = all(name.endswith(f"_{target}") for target, name in column.navigation.items())
    if not column.is_lookup or not column.custom or not marked or parent.name in column.targets:
        raise ServiceError(400, "0x80047013", f"An attribute with the specified name '{column.name}' already exists")
    wider = replace(
        column,
        targets=(*column.targets, parent.name),
        navigation={**column.navigation, parent.name: f"{column.schema_name}_{parent.name}"},
    )
    if type_column(column) is None:
        context.org.store.add_hidden_type(child.name, column, column.targets[0])
    context.org.save_table(child.with_columns(wider))
    return wider


def find_relationship(context: Context, inside: str) -> Relationship:
    """The relationship a key addresses by SchemaName or MetadataId. 404 when there is none."""
    for relationship in context.org.schema.relationships.values():
        if relationship.metadata_id in inside.lower() or f"'{relationship.schema_name}'" in inside:
            return relationship
    raise ServiceError(404, "0x80040217", f"Could not find the relationship {inside}.")


def delete_relationship(context: Context, inside: str | None) -> Answer:
    """`DELETE RelationshipDefinitions(…)`: the lookup goes when it was the last target."""
    if inside is None:
        raise unknown_segment("RelationshipDefinitions")
    for relation in context.org.schema.many_to_many.values():
        if relation.custom and (relation.metadata_id in inside.lower() or f"'{relation.schema_name}'" in inside):
            with context.org.store.transaction():
                drop_relation(context, relation)
            return Answer(204)
    relationship = find_relationship(context, inside)
    if not relationship.custom:
        raise ServiceError(400, "0x80047009", "The relationship is a system relationship and cannot be deleted.")
    with context.org.store.transaction():
        drop_lookup(context, relationship)
    return Answer(204)


def drop_lookup(context: Context, relationship: Relationship) -> None:
    """Remove a relationship with its column, or one target of a multi-table lookup."""
    child = context.org.schema.tables[relationship.child]
    column = child.columns[relationship.column]
    context.org.forget_relationship(relationship)
    if len(column.targets) == 1:
        context.org.store.drop_column(child.name, column)
        context.org.save_table(child.without_column(column.name))
        return
    _clear_links(context, child, column, relationship.parent)
    remaining = tuple(target for target in column.targets if target != relationship.parent)
    navigation = {target: column.navigation[target] for target in remaining if target in column.navigation}
    narrower = replace(column, targets=remaining, navigation=navigation)
    if type_column(narrower) is None:
        context.org.store.execute(f'ALTER TABLE "{child.name}" DROP COLUMN "{column.name}__type"')
    context.org.save_table(child.with_columns(narrower))


def _clear_links(context: Context, child: Table, column: Column, parent: str) -> None:
    context.org.store.execute(
        f'UPDATE "{child.name}" SET "{column.name}" = NULL, "{column.name}__type" = NULL '
        f'WHERE "{column.name}__type" = ?',
        (parent,),
    )
