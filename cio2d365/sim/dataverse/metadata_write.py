"""POST, PUT and DELETE on definitions: tables, columns, keys, choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .address import Segment
from .context import Answer, Context
from .definitions import (
    check_schema_name,
    column_type,
    label_text,
    managed_value,
    read_column,
    read_options,
    type_settings,
)
from .errors import ServiceError, malformed, payload_error, unknown_segment
from .intersect import drop_relation
from .keys import start_key
from .metadata_json import attribute_items
from .metadata_read import find_item, find_table
from .new_table import build_table
from .relations import drop_lookup, link_standard_lookups
from .schema import KEY_TYPES, Choice, Column, Key, Table, metadata_id
from .seeds import filter_row
from .store import quoted

_MOST_KEYS = 10
_MOST_KEY_COLUMNS = 16
_MOST_KEY_BYTES = 900
_KEY_BYTES = {"Integer": 4, "Picklist": 4, "Decimal": 17, "DateTime": 8, "Lookup": 16}


def created(context: Context, path: str) -> Answer:
    """204 with the address of what was created."""
    return Answer(204, headers={"OData-EntityId": context.root + path})


def create_table(context: Context, body: Any) -> Table:
    """Make a table from an EntityMetadata (or ComplexEntityMetadata) body."""
    if not isinstance(body, Mapping):
        raise payload_error("EntityMetadata", "An object is expected.")
    schema_name = check_schema_name(context, body.get("SchemaName"), "entity")
    _refuse_existing(context, schema_name)
    table = build_table(context, schema_name, body)
    with context.org.store.transaction():
        context.org.store.create_table(table)
        context.org.save_table(table)
        link_standard_lookups(context, table)
        _announce_messages(context, table)
    context.org.note_defined(table.name)
    return table


def _refuse_existing(context: Context, schema_name: str) -> None:
    if schema_name.lower() in context.org.schema.tables:
        raise ServiceError(
            400,
            "0x8004700b",
            f"An entity with the specified name '{schema_name}' already exists. Please specify a unique name.",
        )
    custom = sum(1 for table in context.org.schema.tables.values() if table.custom)
    if custom >= context.org.switches.max_tables:
        raise ServiceError(400, "0x8004b042", "The maximum number of custom tables has been reached.")


def _announce_messages(context: Context, table: Table) -> None:
    for message in ("Create", "Update", "Delete", "CreateMultiple", "UpdateMultiple"):
        name, row = filter_row(message, table.name)
        row["versionnumber"] = context.org.store.reserve_versions()
        listed, marks = ", ".join(map(quoted, row)), ", ".join("?" * len(row))
        context.org.store.execute(
            f"INSERT OR REPLACE INTO {quoted(name)} ({listed}) VALUES ({marks})", list(row.values())
        )


def post_table(context: Context, body: Any) -> Answer:
    """`POST EntityDefinitions`."""
    return created(context, f"EntityDefinitions({create_table(context, body).metadata_id})")


def add_column(context: Context, table: Table, column: Column) -> Table:
    """Add one column (for money its companions too). Raises when the name is taken."""
    if column.name in table.columns:
        raise ServiceError(400, "0x80047013", f"An attribute with the specified name '{column.name}' already exists")
    if len(table.columns) >= context.org.switches.max_columns:
        raise ServiceError(
            400, "0x8004841a", "The maximum number of attributes allowed for an entity has been reached."
        )
    added = [column, *_money_companions(table, column)]
    with context.org.store.transaction():
        for one in added:
            context.org.store.add_column(table.name, one)
        changed = table.with_columns(*added)
        context.org.save_table(changed)
    context.org.note_defined(table.name, column.name)
    return changed


def _money_companions(table: Table, column: Column) -> list[Column]:
    """The first money column brings currency and rate, every one its base value (dataverse-api 4)."""
    if column.type != "Money":
        return []
    fixed: dict[str, Any] = {"create": False, "update": False, "custom": column.custom}
    name = f"{column.name}_base"
    found = [Column(name, f"{column.schema_name}_Base", "Money", metadata_id(table.name, name), precision=4, **fixed)]
    if "transactioncurrencyid" not in table.columns:
        found += [
            Column(
                "transactioncurrencyid",
                "TransactionCurrencyId",
                "Lookup",
                metadata_id(table.name, "transactioncurrencyid"),
                targets=("transactioncurrency",),
                navigation={"transactioncurrency": "transactioncurrencyid"},
            ),
            Column(
                "exchangerate",
                "ExchangeRate",
                "Decimal",
                metadata_id(table.name, "exchangerate"),
                precision=10,
                create=False,
                update=False,
            ),
        ]
    return found


def post_column(context: Context, table: Table, body: Any) -> Answer:
    """`POST EntityDefinitions(…)/Attributes`."""
    column = read_column(context, body)
    if column.primary_name and table.primary_name:
        raise ServiceError(
            400, "0x8004701e", f"The new attribute is set as the primary name attribute for the {table.name} entity."
        )
    add_column(context, table, column)
    return created(context, f"EntityDefinitions({table.metadata_id})/Attributes({column.metadata_id})")


def put_column(context: Context, table: Table, column: Column, body: Any) -> Answer:
    """`PUT …/Attributes(…)`: the whole definition again, changed in what may change."""
    if not isinstance(body, Mapping):
        raise payload_error("AttributeMetadata", "An object is expected.")
    kind = column.type
    if body.get("@odata.type") and not column.is_lookup and column.options == () and column_type(body) != kind:
        raise ServiceError(400, "0x80040203", "The type of an attribute cannot be changed.")
    changed = replace(
        column,
        label=label_text(body.get("DisplayName")) or column.label,
        description=label_text(body.get("Description")) or column.description,
        required=managed_value(body.get("RequiredLevel"), column.required),
    )
    if kind in ("String", "Memo", "Integer", "Decimal", "Double", "Money"):
        changed = replace(changed, **type_settings(context, kind, column.name, body))
    with context.org.store.transaction():
        context.org.save_table(table.with_columns(changed))
    return Answer(204)


def put_table(context: Context, table: Table, body: Any) -> Answer:
    """`PUT EntityDefinitions(…)`: labels and change tracking; ownership never changes."""
    if not isinstance(body, Mapping):
        raise payload_error("EntityMetadata", "An object is expected.")
    if body.get("OwnershipType", table.ownership) != table.ownership:
        raise ServiceError(400, "0x80040203", "The ownership of an entity cannot be changed.")
    changed = replace(
        table,
        label=label_text(body.get("DisplayName")) or table.label,
        collection_label=label_text(body.get("DisplayCollectionName")) or table.collection_label,
        description=label_text(body.get("Description")) or table.description,
        tracked=body.get("ChangeTrackingEnabled", table.tracked) is True,
    )
    with context.org.store.transaction():
        context.org.save_table(changed)
    return Answer(204)


def post_key(context: Context, table: Table, body: Any) -> Answer:
    """`POST EntityDefinitions(…)/Keys`: the key exists at once and works when its index is built."""
    if not isinstance(body, Mapping):
        raise payload_error("EntityKeyMetadata", "An object is expected.")
    schema_name = check_schema_name(context, body.get("SchemaName"), "entity key")
    columns = tuple(str(name) for name in body.get("KeyAttributes") or ())
    _check_key(table, schema_name, columns)
    key = Key(
        name=schema_name.lower(),
        schema_name=schema_name,
        metadata_id=context.org.new_id(),
        columns=columns,
        label=label_text(body.get("DisplayName")),
    )
    with context.org.store.transaction():
        context.org.save_table(table.with_key(key))
    start_key(context.org, table, key)
    return created(context, f"EntityDefinitions({table.metadata_id})/Keys({key.metadata_id})")


def _check_key(table: Table, schema_name: str, columns: tuple[str, ...]) -> None:
    if table.elastic:
        raise ServiceError(400, "0x8006088f", "Invalid EntityKey Operation performed : not supported on elastic tables")
    if schema_name.lower() in table.keys:
        raise ServiceError(
            400, "0x80060893", f"An entity key with the name {schema_name} already exists on entity {table.name}."
        )
    if any(set(key.columns) == set(columns) for key in table.keys.values()):
        raise ServiceError(
            400, "0x80060894", f"An entity key with the selected attributes already exists on entity {table.name}."
        )
    if len(table.keys) >= _MOST_KEYS or not 1 <= len(columns) <= _MOST_KEY_COLUMNS:
        raise ServiceError(400, "0x8006088f", "Invalid EntityKey Operation performed : too many keys or columns")
    if sum(_key_bytes(table, name) for name in columns) > _MOST_KEY_BYTES:
        raise ServiceError(
            400,
            "0x80060895",
            "Index size exceeded the size limit of 900 bytes. The key is too large. Try removing some columns or "
            "making the strings in string columns shorter.",
        )


def _key_bytes(table: Table, name: str) -> int:
    column = table.columns.get(name)
    if column is None:
        raise ServiceError(400, "0x8005e009", f"Attribute {name} cannot be found for entity {table.name}.")
    if column.type not in KEY_TYPES:
        raise ServiceError(
            400, "0x8006088f", f"Invalid EntityKey Operation performed : type {column.type} of {name} is not supported"
        )
    return 2 * (column.max_length or 0) if column.type == "String" else _KEY_BYTES[column.type]


def delete_table(context: Context, table: Table) -> Answer:
    """`DELETE EntityDefinitions(…)`: definition, rows and the lookups of other tables to it are gone."""
    if not table.custom:
        raise ServiceError(400, "0x8004f01f", f"The {table.name} entity is a system entity and cannot be deleted.")
    sides = context.org.schema.sides_of(table.name)
    with context.org.store.transaction():
        for relationship in context.org.schema.children_of(table.name):
            if relationship.child != table.name:
                drop_lookup(context, relationship)
        for relation in {side.relation.schema_name: side.relation for _, side in sides}.values():
            drop_relation(context, relation)
        context.org.forget_table(context.org.schema.tables[table.name])
        context.org.store.drop_table(table.name)
        context.org.store.execute("DELETE FROM sdkmessagefilter WHERE primaryobjecttypecode = ?", (table.name,))
    return Answer(204)


def delete_column(context: Context, table: Table, column: Column) -> Answer:
    """`DELETE …/Attributes(…)`; a lookup takes its relationships along."""
    if not column.custom:
        raise ServiceError(400, "0x80047009", "The specified attribute is not a custom attribute")
    if column.name == table.primary_name:
        raise ServiceError(400, "0x80047002", "The Primary UI Attribute is not valid for deletion")
    for key in table.keys.values():
        if column.name in key.columns:
            raise ServiceError(
                400,
                "0x8004f01f",
                f"The Attribute({column.metadata_id}) component cannot be deleted because it is referenced by 1 "
                "other components.",
            )
    with context.org.store.transaction():
        for relationship in context.org.schema.parents_of(table.name):
            if relationship.column == column.name:
                context.org.forget_relationship(relationship)
        _drop_column(context, table, column)
    return Answer(204)


def _drop_column(context: Context, table: Table, column: Column) -> None:
    changed = table.without_column(column.name)
    context.org.store.drop_column(table.name, column)
    base = changed.columns.get(f"{column.name}_base")
    if column.type == "Money" and base:
        context.org.store.drop_column(table.name, base)
        changed = changed.without_column(base.name)
    context.org.save_table(changed)


def delete_key(context: Context, table: Table, key: Key) -> Answer:
    """`DELETE …/Keys(…)`."""
    with context.org.store.transaction():
        context.org.store.drop_key_index(table.name, key.name)
        context.org.save_table(table.without_key(key.name))
    context.org.key_jobs.pop((table.name, key.name), None)
    return Answer(204)


def post_choice(context: Context, body: Any) -> Answer:
    """`POST GlobalOptionSetDefinitions`."""
    if not isinstance(body, Mapping):
        raise payload_error("OptionSetMetadata", "An object is expected.")
    name = check_schema_name(context, body.get("Name"), "choice")
    if name.lower() in (known.lower() for known in context.org.schema.choices):
        raise ServiceError(
            400, "0x80044345", "An OptionSet with the specified name already exists. Please specify a unique name."
        )
    options = read_options(context, body.get("Options") or [])
    text = label_text(body.get("DisplayName")) or name
    choice = Choice(name, context.org.new_id(), text, options, label_text(body.get("Description")))
    with context.org.store.transaction():
        context.org.save_choice(choice)
    return created(context, f"GlobalOptionSetDefinitions({choice.metadata_id})")


def find_choice(context: Context, inside: str) -> Choice:
    """The global choice a key addresses. 404 when there is none."""
    for choice in context.org.schema.choices.values():
        if choice.metadata_id in inside.lower() or f"'{choice.name}'" in inside:
            return choice
    raise ServiceError(404, "0x80040217", f"Could not find the global choice {inside}.")


def delete_choice(context: Context, choice: Choice) -> Answer:
    """`DELETE GlobalOptionSetDefinitions(…)`; refused while a column uses it."""
    for table in context.org.schema.tables.values():
        if any(column.global_choice == choice.name for column in table.columns.values()):
            raise ServiceError(
                400, "0x80048417", f"This option set cannot be deleted. {table.name} references this option set."
            )
    with context.org.store.transaction():
        del context.org.schema.choices[choice.name]
        context.org.store.forget_definition("choice", choice.name)
    return Answer(204)


def write_definition(context: Context, segments: list[Segment], body: Any) -> Answer:
    """Every write below `EntityDefinitions` and `GlobalOptionSetDefinitions`."""
    if context.method == "PATCH":
        raise ServiceError(405, "0x80060888", "Metadata cannot be changed with PATCH; PUT the whole definition.")
    shape = (context.method, segments[0].name, segments[0].inside is not None, *(s.name for s in segments[1:2]))
    runner = _WRITES.get(shape)
    if runner is None:
        raise malformed(f"The HTTP method {context.method} is not supported for '{context.path}'.")
    return runner(context, segments, body)


def _table_of(context: Context, segments: list[Segment]) -> Table:
    return find_table(context, segments[0].inside or "")


def _column_of(context: Context, table: Table, segments: list[Segment]) -> Column:
    inside = segments[1].inside
    if inside is None:
        raise unknown_segment(segments[1].name)
    return table.columns[find_item(context, attribute_items(table), inside).base["LogicalName"]]


def _put_column(context: Context, segments: list[Segment], body: Any) -> Answer:
    table = _table_of(context, segments)
    return put_column(context, table, _column_of(context, table, segments), body)


def _delete_column(context: Context, segments: list[Segment], body: Any) -> Answer:
    table = _table_of(context, segments)
    return delete_column(context, table, _column_of(context, table, segments))


def _delete_key(context: Context, segments: list[Segment], body: Any) -> Answer:
    table = _table_of(context, segments)
    inside = (segments[1].inside or "").lower()
    for key in table.keys.values():
        if key.metadata_id in inside or f"'{key.name}'" in inside:
            return delete_key(context, table, key)
    raise ServiceError(404, "0x80041140", "The specified entitykey was not found.")


_WRITES: dict[tuple[Any, ...], Callable[[Context, list[Segment], Any], Answer]] = {
    ("POST", "EntityDefinitions", False): lambda context, _, body: post_table(context, body),
    ("PUT", "EntityDefinitions", True): lambda c, s, body: put_table(c, _table_of(c, s), body),
    ("DELETE", "EntityDefinitions", True): lambda c, s, _: delete_table(c, _table_of(c, s)),
    ("POST", "EntityDefinitions", True, "Attributes"): lambda c, s, body: post_column(c, _table_of(c, s), body),
    ("PUT", "EntityDefinitions", True, "Attributes"): _put_column,
    ("DELETE", "EntityDefinitions", True, "Attributes"): _delete_column,
    ("POST", "EntityDefinitions", True, "Keys"): lambda c, s, body: post_key(c, _table_of(c, s), body),
    ("DELETE", "EntityDefinitions", True, "Keys"): _delete_key,
    ("POST", "GlobalOptionSetDefinitions", False): lambda context, _, body: post_choice(context, body),
    ("DELETE", "GlobalOptionSetDefinitions", True): lambda c, s, _: delete_choice(c, find_choice(c, s[0].inside or "")),
}
