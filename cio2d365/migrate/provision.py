"""Bring the target's schema to what is wanted: a plan that only compares, and an apply that can be killed at any step.

What exists and is equal is left alone; what exists and differs is refused with both definitions (F-33); `apply` reads
again after every round, so that a create whose answer was lost is found and not made twice (F-32, F-34).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from cio2d365.dataverse import definitions, requests
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.metadata import read_keys, read_tables
from cio2d365.errors import OutcomeUnknown, RequestRejected, SchemaConflict, Terminal, Transient
from cio2d365.migrate.schema import OPTION_VALUE_PREFIX, PREFIX, PUBLISHER, SOLUTION
from cio2d365.tables import Column, Key, Lookup, Table
from cio2d365.transport import Request

Progress = Callable[[int, int, str], None]
State = Literal["create", "equal", "conflict", "left alone"]
PROFESSIONAL_TABLES = 15  # custom tables that a Sales Professional licence may create (SR-105)
ALREADY_THERE = frozenset({0x80040237, 0x80047013, 0x8004700B, 0x80060893, 0x80060894, 0x80044363})
NOT_YET = frozenset({0x8005E00C})  # “Entity … cannot be found”, as the creation of lookups says it
KEY_POLLS, KEY_WAIT = 120, 5.0  # an index over many rows takes minutes
# A table that was just created can be unknown to another server for half a minute (F-29).
ROUND_WAITS = (0.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Change:
    """One component: what is wanted, what is there, and what follows from it."""

    kind: Literal["table", "column", "lookup", "key"]
    table: str
    name: str
    state: State
    wanted: str
    existing: str
    component: Table | Column | Lookup | Key


@dataclass(frozen=True)
class SchemaPlan:
    """All components of the wanted schema, compared."""

    changes: tuple[Change, ...]

    @property
    def to_create(self) -> tuple[Change, ...]:
        """What is missing."""
        return tuple(c for c in self.changes if c.state == "create")

    @property
    def conflicts(self) -> tuple[Change, ...]:
        """What exists and differs."""
        return tuple(c for c in self.changes if c.state == "conflict")

    def frame(self) -> pl.DataFrame:
        """One row per component: table, kind, name, state, wanted, existing."""
        names = ("table", "kind", "name", "state", "wanted", "existing")
        return pl.DataFrame(
            {n: [getattr(c, n) for c in self.changes] for n in names}, schema=dict.fromkeys(names, pl.String)
        )

    def summary(self) -> pl.DataFrame:
        """Per table: how many components are to create, equal and in conflict."""
        frame = self.frame().group_by("table", maintain_order=True)
        return frame.agg(
            to_create=(pl.col("state") == "create").sum(),
            equal=(pl.col("state") == "equal").sum(),
            conflict=(pl.col("state") == "conflict").sum(),
        )


def plan(wanted: Iterable[Table], existing: Mapping[str, Table]) -> SchemaPlan:
    """Compare; sends nothing."""
    return SchemaPlan(tuple(c for table in wanted for c in _changes(table, existing.get(table.name))))


def _changes(wanted: Table, existing: Table | None) -> Iterable[Change]:
    if existing is None:
        yield Change("table", wanted.name, wanted.name, "create", f"table with set {wanted.set_name}", "", wanted)
    elif wanted.custom:
        yield Change("table", wanted.name, wanted.name, "equal", "table", "table", wanted)
    for column in wanted.columns:
        if existing is not None or column.name != wanted.primary_name:
            yield _column_change(wanted.name, column, existing.column(column.name) if existing else None)
    for lookup in wanted.lookups:
        yield _lookup_change(wanted.name, lookup, existing.lookup(lookup.name) if existing else None)
    for key in wanted.keys:
        yield _key_change(wanted.name, key, existing.keys if existing else ())


def _key_change(table: str, wanted: Key, existing: Iterable[Key]) -> Change:
    """A key over the same columns serves whatever its name is; the same name over others is a conflict."""
    text = f"key over {', '.join(wanted.columns)}"
    for key in existing:
        there = f"key {key.name} over {', '.join(key.columns)}"
        if set(key.columns) == set(wanted.columns):
            return Change("key", table, wanted.name, "equal", text, there, wanted)
        if key.name.lower() == wanted.name.lower():
            return Change("key", table, wanted.name, "conflict", text, there, wanted)
    return Change("key", table, wanted.name, "create", text, "", wanted)


def _column_change(table: str, wanted: Column, existing: Column | None) -> Change:
    if existing is None:
        return Change("column", table, wanted.name, "create", describe(wanted), "", wanted)
    if _fits(wanted, existing):
        return Change("column", table, wanted.name, "equal", describe(wanted), describe(existing), wanted)
    return Change("column", table, wanted.name, "conflict", _in_full(wanted), _in_full(existing), wanted)


def _lookup_change(table: str, wanted: Lookup, existing: Lookup | None) -> Change:
    text = "lookup to " + ", ".join(t for t, _ in wanted.targets)
    if existing is None:
        return Change("lookup", table, wanted.name, "create", text, "", wanted)
    fits = {t for t, _ in wanted.targets} <= {t for t, _ in existing.targets}
    there = "lookup to " + ", ".join(t for t, _ in existing.targets)
    return Change("lookup", table, wanted.name, "equal" if fits else "conflict", text, there, wanted)


def _fits(wanted: Column, existing: Column) -> bool:
    """Every value that the wanted column can hold, the existing one can hold too, with the same meaning."""
    if wanted.kind != existing.kind:
        return False
    longer = wanted.length is None or existing.length is None or existing.length >= wanted.length
    finer = wanted.precision is None or existing.precision is None or existing.precision >= wanted.precision
    return longer and finer and _is_wide(wanted, existing) and _meanings(wanted) <= _meanings(existing)


def _is_wide(wanted: Column, existing: Column) -> bool:
    low = None in (wanted.minimum, existing.minimum) or (existing.minimum or 0) <= (wanted.minimum or 0)
    high = None in (wanted.maximum, existing.maximum) or (existing.maximum or 0) >= (wanted.maximum or 0)
    return low and high


def _meanings(column: Column) -> set[tuple[int, str]]:
    return {(o.value, o.label.strip()) for o in column.options}


def describe(column: Column) -> str:
    """`string 200`, `decimal 2 places`, `choice of 4`."""
    size = f" {column.length:,}" if column.length else ""
    places = f" {column.precision} places" if column.precision is not None else ""
    return f"{column.kind}{size}{places}{f' of {len(column.options)}' if column.options else ''}"


def _in_full(column: Column) -> str:
    """As `describe`, with range and options, so that a conflict can be seen."""
    bounds = [f"{b:,.15g}" for b in (column.minimum, column.maximum) if b is not None]
    options = [f"{value} {label}" for value, label in sorted(_meanings(column))]
    return describe(column) + "".join(f" ({text})" for text in (" to ".join(bounds), ", ".join(options)) if text)


def apply(
    wanted: Sequence[Table], client: Dataverse, *, progress: Progress, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Table]:
    """Create what is missing, publish, and give back the tables as they now are. It can be killed and run again.

    Raises SchemaConflict before anything is created, Terminal when components are still missing after the last round
    or the index of a key failed, Transient when indexes are not ready in time.
    """
    names = [table.name for table in wanted]
    existing = _read(client, wanted)
    total = len(plan(wanted, existing).to_create)
    if total:
        _ensure_solution(client)
    refusals: list[str] = []
    for wait in ROUND_WAITS:
        missing = plan(wanted, existing).to_create
        if not missing:
            break
        sleep(wait)
        refusals = _create(client, missing, total, progress)
        existing = _read(client, wanted)
    if left := plan(wanted, existing).to_create:
        text = "still missing after creation: " + ", ".join(f"{c.table}.{c.name}" for c in left)
        raise Terminal("; ".join([text, *refusals[:1]]))
    # Also when nothing was created now: an earlier attempt may have ended between creating and publishing (F-36).
    client.send(definitions.publish(names))
    return _with_active_keys(client, wanted, existing, progress, sleep)


def _with_active_keys(
    client: Dataverse,
    wanted: Sequence[Table],
    existing: dict[str, Table],
    progress: Progress,
    sleep: Callable[[float], None],
) -> dict[str, Table]:
    """Wait for the indexes of the wanted keys (F-31). Terminal when one fails, Transient when they take too long."""
    tables = [table for table in wanted if table.keys]
    for attempt in range(1, KEY_POLLS + 1):
        states = dict(state for table in tables for state in _key_states(client, table))
        waiting = ", ".join(name for name, status in states.items() if status != "Active")
        if "Failed" in states.values():
            raise Terminal(f"an index could not be built: {waiting}. Rows of the target share a value in such a key")
        if not waiting:
            return existing if attempt == 1 else _read(client, wanted)
        progress(attempt, KEY_POLLS, f"waiting for the index of {waiting}")
        sleep(KEY_WAIT)
    raise Transient(f"the indexes of {waiting} were not ready after {KEY_POLLS * KEY_WAIT:.0f} s; run 04_schema again")


def _key_states(client: Dataverse, wanted: Table) -> Iterable[tuple[str, str]]:
    columns = {frozenset(key.columns) for key in wanted.keys}
    found = read_keys(client, wanted.name, fresh=True)
    return ((f"{wanted.name}.{k.name}", k.status) for k in found if frozenset(k.columns) in columns)


def _read(client: Dataverse, wanted: Sequence[Table]) -> dict[str, Table]:
    """The tables as they are; SchemaConflict when they contradict what is wanted."""
    existing = read_tables(client, [table.name for table in wanted], fresh=True)
    _refuse_conflicts(plan(wanted, existing))
    return existing


def _refuse_conflicts(compared: SchemaPlan) -> None:
    if compared.conflicts:
        lines = [f"{c.table}.{c.name} is {c.existing}, wanted {c.wanted}" for c in compared.conflicts]
        raise SchemaConflict("the target holds other definitions; nothing was changed: " + "; ".join(lines))


def _create(client: Dataverse, missing: Sequence[Change], total: int, progress: Progress) -> list[str]:
    """Send all creates, parents first; what the server did not take yet is left to the next round, with its words."""
    order = {"table": 0, "column": 1, "lookup": 2, "key": 3}
    refusals: list[str] = []
    absent: set[str] = set()
    for done, change in enumerate(sorted(missing, key=lambda c: order[c.kind]), total - len(missing) + 1):
        if change.table in absent:
            continue
        if refusal := _once(client, _request(change)):
            refusals.append(refusal)
            absent |= {change.table} if change.kind == "table" else set()
        progress(done, total, f"{change.table}.{change.name}")
    return refusals


def _once(client: Dataverse, request: Request) -> str:
    """Send a create; why it is left to the next reading: an unclear end, there already, or its table not yet known."""
    try:
        client.send(request)
    except OutcomeUnknown as error:
        return str(error)
    except RequestRejected as error:
        if error.status != 404 and error.code not in ALREADY_THERE | NOT_YET and "already exist" not in error.text:
            raise
        return str(error)
    return ""


def _request(change: Change) -> Request:
    component = change.component
    if isinstance(component, Table):
        # A table under another publisher's prefix cannot be born in our solution (dataverse-api 9.1).
        return definitions.create_table(component, SOLUTION if component.name.startswith(f"{PREFIX}_") else "")
    if isinstance(component, Column):
        return definitions.create_column(change.table, component, SOLUTION)
    if isinstance(component, Lookup):
        return definitions.create_lookup(change.table, component, SOLUTION)
    return definitions.create_key(change.table, component, SOLUTION)


def _ensure_solution(client: Dataverse) -> None:
    publisher = _find(client, "publishers", "publisherid", "uniquename", PUBLISHER)
    if publisher is None:
        _once(client, definitions.create_publisher(PUBLISHER, PREFIX, OPTION_VALUE_PREFIX))
        publisher = _find(client, "publishers", "publisherid", "uniquename", PUBLISHER)
    if publisher is None:
        raise Terminal(f"the publisher {PUBLISHER} could not be created; is the prefix {PREFIX} taken by another one?")
    if _find(client, "solutions", "solutionid", "uniquename", SOLUTION) is None:
        _once(client, definitions.create_solution(SOLUTION, publisher))


def _find(client: Dataverse, set_name: str, key: str, column: str, value: str) -> str | None:
    query = {"$select": key, "$filter": f"{column} eq {requests.text(value)}"}
    rows = list(client.rows(requests.get(set_name, query)))
    return str(rows[0][key]) if rows else None
