"""One organisation: its store, its schema, its clock and its switches."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalogue import standard_schema
from .clock import Clock
from .schema import (
    Choice,
    ManyToMany,
    Relationship,
    Schema,
    Table,
    dump,
    load_choice,
    load_many_to_many,
    load_relationship,
    load_table,
)
from .seeds import organization_rows
from .store import Store, quoted

if TYPE_CHECKING:
    from .jobs import DeleteJob
    from .writer import Writer


@dataclass
class Switches:
    """What a test may turn; the defaults are a healthy organisation (see `control`)."""

    key_path: tuple[str, ...] = ("Pending", "InProgress", "Active")
    key_seconds: float = 1.0
    customization_seconds: float = 0.0
    metadata_lag_requests: int = 0
    metadata_lag_seconds: float = 0.0
    recycle_bin: bool = False
    bulk_delete_rows: int = 1_000
    organization_type: str = "CustomerTest"
    dop_hint: int = 4
    max_tables: int = 10_000
    max_columns: int = 1_000
    max_body_bytes: int = 128 * 1024 * 1024
    revoked: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class KeyProgress:
    """How far the index job of a key is."""

    polls: int
    since: float


class Organization:
    """Everything a request can touch. The store's lock guards all of it."""

    def __init__(self, state_dir: Path | None, tenant_id: str, client_id: str, seed: int) -> None:
        self.random = random.Random(seed or None)
        self.clock = Clock()
        self.switches = Switches()
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.key_jobs: dict[tuple[str, str], KeyProgress] = {}
        self.defined_at: dict[tuple[str, str], tuple[float, int]] = {}
        self.requests_seen = 0
        self.delete_jobs: list[DeleteJob] = []
        self.writers: dict[str, Writer] = {}
        self.state_file = state_dir / "dataverse.sqlite" if state_dir else None
        if state_dir:
            state_dir.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self.store = Store(self.state_file)
        with self.store.lock:
            if self.store.get_meta("organization_id") is None:
                self._found()
            else:
                self.schema = self._load_schema()
        self._mark = self.schema.version
        self.store.on_begin, self.store.on_rollback = self._remember_schema, self._restore_schema
        self.id = self.store.get_meta("organization_id") or ""
        self.business_unit = self.store.get_meta("business_unit") or ""
        self.app_user = self.store.get_meta("app_user") or ""

    def _found(self) -> None:
        with self.store.transaction():
            self.schema = standard_schema()
            kinds: tuple[tuple[str, dict[str, Any]], ...] = (
                ("table", self.schema.tables),
                ("relationship", self.schema.relationships),
                ("many", self.schema.many_to_many),
            )
            for kind, values in kinds:
                self.store.save_definitions(kind, ((name, dump(value)) for name, value in values.items()))
            for table in self.schema.tables.values():
                self.store.create_table(table)
            for relationship in self.schema.relationships.values():
                self._index_cascade(relationship)
            self._seed_rows()

    def _index_cascade(self, relationship: Relationship) -> None:
        if relationship.on_delete != "NoCascade":
            self.store.index_lookup(relationship.child, relationship.column)

    def _seed_rows(self) -> None:
        seeds = organization_rows(self)
        for name, value in seeds.meta.items():
            self.store.set_meta(name, value)
        groups: dict[tuple[str, ...], list[list[Any]]] = {}
        for table, row in seeds.rows:
            groups.setdefault((table, *row), []).append(list(row.values()))
        for (table, *names), rows in groups.items():
            listed, marks = ", ".join(map(quoted, names)), ", ".join("?" * len(names))
            self.store.execute_many(f"INSERT INTO {quoted(table)} ({listed}) VALUES ({marks})", rows)
        self.store.committed.clear()

    def _load_schema(self) -> Schema:
        return Schema(
            [load_table(data) for data in self.store.definitions("table")],
            [load_relationship(data) for data in self.store.definitions("relationship")],
            [load_choice(data) for data in self.store.definitions("choice")],
            [load_many_to_many(data) for data in self.store.definitions("many")],
        )

    def _remember_schema(self) -> None:
        self._mark = self.schema.version

    def _restore_schema(self) -> None:
        """Definitions made by a transaction that was rolled back are forgotten."""
        if self.schema.version != self._mark:
            version = self.schema.version + 1
            self.schema = self._load_schema()
            self.schema.version = version

    def reset(self) -> None:
        """A new organisation with a new id in the same place."""
        self.store.close()
        if self.state_file:
            for suffix in ("", "-wal", "-shm"):
                self.state_file.with_name(self.state_file.name + suffix).unlink(missing_ok=True)
        self.switches = Switches()
        self.key_jobs.clear()
        self.defined_at.clear()
        self.writers.clear()
        self.delete_jobs.clear()
        self._open()

    def new_id(self) -> str:
        """A random row id; repeats with the seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def note_defined(self, table: str, column: str = "") -> None:
        """Remember when a component was defined, for the lag of the metadata cache."""
        self.defined_at[table, column] = (self.clock.elapsed(), self.requests_seen)

    def visible(self, table: Table | None, strong: bool = False) -> Table | None:
        """A definition as a cache shows it that lags behind; `strong` reads see the newest one."""
        if table is None or strong or not self.defined_at or not self._lags():
            return table
        if self._is_hidden(table.name, ""):
            return None
        hidden = {name for name in table.columns if self._is_hidden(table.name, name)}
        shown = {name: column for name, column in table.columns.items() if name not in hidden}
        return replace(table, columns=shown) if hidden else table

    def _lags(self) -> bool:
        return self.switches.metadata_lag_seconds > 0 or self.switches.metadata_lag_requests > 0

    def _is_hidden(self, table: str, column: str) -> bool:
        if (table, column) not in self.defined_at:
            return False
        moment, request = self.defined_at[table, column]
        age = self.clock.elapsed() - moment
        seen = self.requests_seen - request
        return age < self.switches.metadata_lag_seconds or seen <= self.switches.metadata_lag_requests

    def save_table(self, table: Table) -> None:
        """Register and persist a table definition."""
        self.schema.put_table(table)
        self.store.save_definition("table", table.name, dump(table))

    def forget_table(self, table: Table) -> None:
        """Drop a table definition with its relationships."""
        for relationship in list(self.schema.relationships.values()):
            if table.name in (relationship.parent, relationship.child):
                self.store.forget_definition("relationship", relationship.schema_name)
        for relation in list(self.schema.many_to_many.values()):
            if table.name in (relation.first, relation.second, relation.intersect):
                self.store.forget_definition("many", relation.schema_name)
        self.schema.drop_table(table.name)
        self.store.forget_definition("table", table.name)

    def save_relationship(self, relationship: Relationship) -> None:
        """Register and persist a relationship."""
        self.schema.put_relationship(relationship)
        self.store.save_definition("relationship", relationship.schema_name, dump(relationship))

    def forget_relationship(self, relationship: Relationship) -> None:
        """Drop a relationship definition."""
        self.schema.drop_relationship(relationship.schema_name)
        self.store.forget_definition("relationship", relationship.schema_name)

    def save_many_to_many(self, relation: ManyToMany) -> None:
        """Register and persist a many-to-many relationship."""
        self.schema.put_many_to_many(relation)
        self.store.save_definition("many", relation.schema_name, dump(relation))

    def save_choice(self, choice: Choice) -> None:
        """Register and persist a global choice."""
        self.schema.put_choice(choice)
        self.store.save_definition("choice", choice.name, dump(choice))
        for table in self.schema.tables.values():
            if any(column.global_choice == choice.name for column in table.columns.values()):
                self.store.save_definition("table", table.name, dump(table))
