"""What tables, columns, keys and relationships are: frozen values and the registry that holds them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson

LOOKUP_TYPES = frozenset({"Lookup", "Customer", "Owner"})
OPTION_TYPES = frozenset({"Picklist", "State", "Status", "MultiSelectPicklist", "Boolean"})
TEXT_TYPES = frozenset({"String", "Memo", "EntityName"})
NUMBER_TYPES = frozenset({"Integer", "BigInt", "Decimal", "Double", "Money"})
KEY_TYPES = frozenset({"String", "Integer", "Decimal", "DateTime", "Lookup", "Picklist"})

METADATA_NAMESPACE = uuid.UUID("5b7c2f0e-5a0e-4f0c-9a0a-6f6a1d0b2c11")


def metadata_id(*parts: str) -> str:
    """Stable id of a product component, so that two fresh organisations agree as they do in reality."""
    return str(uuid.uuid5(METADATA_NAMESPACE, "/".join(parts)))


@dataclass(frozen=True)
class Option:
    """One choice value; `state` ties a status reason to its state, `default_status` a state to its reason."""

    value: int
    label: str
    state: int | None = None
    default_status: int | None = None


@dataclass(frozen=True)
class Column:
    """One column. `stored` is false for the `…name` companions that exist in metadata only."""

    name: str
    schema_name: str
    type: str
    metadata_id: str
    label: str = ""
    description: str = ""
    required: str = "None"
    create: bool = True
    update: bool = True
    stored: bool = True
    custom: bool = False
    primary_name: bool = False
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    precision: int | None = None
    precision_source: int | None = None
    format: str | None = None
    behavior: str | None = None
    options: tuple[Option, ...] = ()
    global_choice: str | None = None
    default: Any = None
    targets: tuple[str, ...] = ()
    navigation: Mapping[str, str] = field(default_factory=dict)
    attribute_of: str | None = None
    max_size_kb: int | None = None

    @property
    def is_lookup(self) -> bool:
        """Whether the column refers to a row."""
        return self.type in LOOKUP_TYPES

    @property
    def property_name(self) -> str:
        """Name under which the Web API shows the value (`_x_value` for lookups)."""
        return f"_{self.name}_value" if self.is_lookup else self.name


@dataclass(frozen=True)
class Key:
    """An alternate key and the state of its index (Pending, InProgress, Active, Failed)."""

    name: str
    schema_name: str
    metadata_id: str
    columns: tuple[str, ...]
    label: str = ""
    status: str = "Pending"


@dataclass(frozen=True)
class Relationship:
    """One-to-many: rows of `child` point with `column` at rows of `parent`."""

    schema_name: str
    metadata_id: str
    parent: str
    child: str
    column: str
    child_navigation: str
    parent_navigation: str
    cascade: Mapping[str, str] = field(default_factory=dict)
    custom: bool = False

    @property
    def on_delete(self) -> str:
        """What a deletion of the parent does: Cascade, RemoveLink, Restrict or NoCascade."""
        return self.cascade.get("Delete", "NoCascade")

    @property
    def parental(self) -> bool:
        """Whether the child follows its parent in every respect."""
        return all(self.cascade.get(verb) == "Cascade" for verb in ("Assign", "Delete", "Reparent", "Share"))


@dataclass(frozen=True)
class ManyToMany:
    """Rows of `first` and `second` are linked by rows of the table `intersect`."""

    schema_name: str
    metadata_id: str
    first: str
    second: str
    intersect: str
    first_column: str
    second_column: str
    first_navigation: str
    second_navigation: str
    custom: bool = False


@dataclass(frozen=True)
class Side:
    """A many-to-many relationship seen from one of its tables."""

    relation: ManyToMany
    own_column: str
    other_column: str
    other: str


@dataclass(frozen=True)
class Choice:
    """A global option set."""

    name: str
    metadata_id: str
    label: str
    options: tuple[Option, ...]
    description: str = ""
    custom: bool = True


@dataclass(frozen=True)
class Table:
    """One table; columns and keys are keyed by logical name."""

    name: str
    schema_name: str
    set_name: str
    primary_id: str
    primary_name: str
    ownership: str
    object_type_code: int
    metadata_id: str
    label: str = ""
    collection_label: str = ""
    description: str = ""
    custom: bool = False
    activity: bool = False
    has_notes: bool = False
    tracked: bool = False
    elastic: bool = False
    bulk: bool = True
    intersect: bool = False
    columns: Mapping[str, Column] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)

    def with_columns(self, *columns: Column) -> Table:
        """The table with columns added or replaced."""
        return replace(self, columns={**self.columns, **{column.name: column for column in columns}})

    def without_column(self, name: str) -> Table:
        """The table without one column."""
        return replace(self, columns={k: v for k, v in self.columns.items() if k != name})

    def with_key(self, key: Key) -> Table:
        """The table with a key added or replaced."""
        return replace(self, keys={**self.keys, key.name: key})

    def without_key(self, name: str) -> Table:
        """The table without one key."""
        return replace(self, keys={k: v for k, v in self.keys.items() if k != name})


class Schema:
    """The registry of everything that is defined; a change replaces a frozen value by another."""

    def __init__(
        self,
        tables: Iterable[Table],
        relationships: Iterable[Relationship] = (),
        choices: Iterable[Choice] = (),
        many_to_many: Iterable[ManyToMany] = (),
    ) -> None:
        self.tables = {table.name: table for table in tables}
        self.sets = {table.set_name: table for table in self.tables.values()}
        self.relationships = {relation.schema_name: relation for relation in relationships}
        self.choices = {choice.name: choice for choice in choices}
        self.many_to_many = {relation.schema_name: relation for relation in many_to_many}
        self.version = 1

    def put_table(self, table: Table) -> None:
        """Add or replace a table."""
        self.tables[table.name] = table
        self.sets[table.set_name] = table
        self.version += 1

    def drop_table(self, name: str) -> None:
        """Forget a table and its relationships on both sides."""
        table = self.tables.pop(name)
        del self.sets[table.set_name]
        gone = [r.schema_name for r in self.relationships.values() if name in (r.parent, r.child)]
        for schema_name in gone:
            del self.relationships[schema_name]
        for relation in list(self.many_to_many.values()):
            if name in (relation.first, relation.second, relation.intersect):
                del self.many_to_many[relation.schema_name]
        self.version += 1

    def put_relationship(self, relationship: Relationship) -> None:
        """Add or replace a relationship."""
        self.relationships[relationship.schema_name] = relationship
        self.version += 1

    def drop_relationship(self, schema_name: str) -> None:
        """Forget a relationship."""
        del self.relationships[schema_name]
        self.version += 1

    def put_many_to_many(self, relation: ManyToMany) -> None:
        """Add a many-to-many relationship."""
        self.many_to_many[relation.schema_name] = relation
        self.version += 1

    def sides_of(self, table: str) -> list[tuple[str, Side]]:
        """Navigation properties of a table that lead through an intersect table."""
        found = []
        for relation in self.many_to_many.values():
            there = Side(relation, relation.first_column, relation.second_column, relation.second)
            back = Side(relation, relation.second_column, relation.first_column, relation.first)
            if relation.first == table:
                found.append((relation.first_navigation, there))
            if relation.second == table:
                found.append((relation.second_navigation, back))
        return found

    def side_of(self, table: str, navigation: str) -> Side | None:
        """The side that a navigation property of a table means."""
        return next((side for name, side in self.sides_of(table) if name == navigation), None)

    def put_choice(self, choice: Choice) -> None:
        """Add or replace a global choice, in the columns that use it as well."""
        self.choices[choice.name] = choice
        for table in list(self.tables.values()):
            users = [column for column in table.columns.values() if column.global_choice == choice.name]
            if users:
                self.put_table(table.with_columns(*(replace(c, options=choice.options) for c in users)))
        self.version += 1

    def children_of(self, parent: str) -> list[Relationship]:
        """Relationships in which `parent` is the referenced side."""
        return [relation for relation in self.relationships.values() if relation.parent == parent]

    def parents_of(self, child: str) -> list[Relationship]:
        """Relationships in which `child` is the referencing side."""
        return [relation for relation in self.relationships.values() if relation.child == child]


def intersect_table(name: str, columns: tuple[str, str], code: int, identity: str) -> Table:
    """The table behind a many-to-many relationship: a key and two ids."""

    def guid(column: str) -> Column:
        return Column(column, column, "Uniqueidentifier", metadata_id(name, column), create=False, update=False)

    made = [guid(f"{name}id"), guid(columns[0]), guid(columns[1])]
    version = metadata_id(name, "versionnumber")
    made.append(Column("versionnumber", "VersionNumber", "BigInt", version, create=False, update=False))
    return Table(
        name=name,
        schema_name=name,
        set_name=f"{name}set",
        primary_id=f"{name}id",
        primary_name="",
        ownership="None",
        object_type_code=code,
        metadata_id=identity,
        bulk=False,
        intersect=True,
        columns={column.name: column for column in made},
    )


def dump(value: Table | Relationship | ManyToMany | Choice) -> bytes:
    """A definition as JSON."""
    return orjson.dumps(value)


def _load(kind: type[Any], data: Mapping[str, Any]) -> Any:
    known = {item.name for item in fields(kind)}
    return kind(**{key: value for key, value in data.items() if key in known})


def _load_column(data: Mapping[str, Any]) -> Column:
    options = tuple(_load(Option, option) for option in data["options"])
    return _load(Column, {**data, "options": options, "targets": tuple(data["targets"])})  # type: ignore[no-any-return]


def load_table(data: Mapping[str, Any]) -> Table:
    """The inverse of `dump` for tables."""
    columns = {name: _load_column(column) for name, column in data["columns"].items()}
    keys = {name: _load(Key, {**key, "columns": tuple(key["columns"])}) for name, key in data["keys"].items()}
    return _load(Table, {**data, "columns": columns, "keys": keys})  # type: ignore[no-any-return]


def load_relationship(data: Mapping[str, Any]) -> Relationship:
    """The inverse of `dump` for relationships."""
    return _load(Relationship, data)  # type: ignore[no-any-return]


def load_many_to_many(data: Mapping[str, Any]) -> ManyToMany:
    """The inverse of `dump` for many-to-many relationships."""
    return _load(ManyToMany, data)  # type: ignore[no-any-return]


def load_choice(data: Mapping[str, Any]) -> Choice:
    """The inverse of `dump` for global choices."""
    options = tuple(_load(Option, option) for option in data["options"])
    return _load(Choice, {**data, "options": options})  # type: ignore[no-any-return]
