"""Bring the target's schema to what is wanted. It can be killed at any step and run again.

`apply` reads again after every round, so that a create whose answer was lost is found and not made twice (F-32, F-34).
One request changes the schema at a time: the platform has one lock for all of them (F-09).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid5

from cio2d365.dataverse import definitions
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.environment import Room, read_environment, read_table_room
from cio2d365.dataverse.metadata import read_keys, read_table, read_tables
from cio2d365.errors import DecisionError, OutcomeUnknown, RequestRejected, SchemaConflict, Terminal, Transient
from cio2d365.identity import ROOT
from cio2d365.migrate.schema import OPTION_VALUE_PREFIX, PREFIX, PUBLISHER, SOLUTION, choices_of
from cio2d365.migrate.schema_checks import PROFESSIONAL_TABLES, Problem
from cio2d365.migrate.schema_members import Member, members_of
from cio2d365.migrate.schema_plan import Change, NewOption, NewTarget, SchemaPlan, plan
from cio2d365.migrate.schema_words import describe
from cio2d365.tables import Choice, Column, Environment, Key, Lookup, Publisher, Table, View
from cio2d365.transport import Request

__all__ = [
    "KEY_POLLS",
    "KEY_WAIT",
    "PROFESSIONAL_TABLES",
    "Change",
    "Problem",
    "Progress",
    "SchemaPlan",
    "apply",
    "compare",
    "describe",
    "plan",
    "reactivate_keys",
    "read",
    "read_tables",
]  # fmt: skip

Progress = Callable[[int, int, str], None]
ALREADY_THERE = frozenset({
    0x80040237, 0x80047013, 0x8004700B, 0x80060893, 0x80060894, 0x80044363, 0x80044345, 0x80044310, 0x8004432B,
})  # fmt: skip
NOT_YET = frozenset({0x8005E00C, 0x8005E009})  # “Entity … cannot be found”, the same of an attribute
TOO_MANY_COLUMNS = 0x8004841A
NO_ROOM = {TOO_MANY_COLUMNS: "columns", 0x8004B042: "custom tables"}  # limits of the environment itself (F-35)
KEY_POLLS, KEY_WAIT = 120, 5.0  # an index over many rows takes minutes
# A table that was just created can be unknown to another server for half a minute (F-29).
ROUND_WAITS = (0.0, 2.0, 5.0, 10.0, 20.0)
ORDER = ("choice", "option", "table", "column", "lookup", "target", "key", "view")


@dataclass(frozen=True)
class Found:
    """What the target holds: the tables that are wanted, and what lies around them."""

    tables: dict[str, Table]
    environment: Environment


def read(client: Dataverse, wanted: Iterable[Table]) -> Found:
    """Everything that comparing needs to know, in its newest state."""
    tables = read_tables(client, [table.name for table in wanted], fresh=True)
    return Found(tables, read_environment(client, SOLUTION, PREFIX))


def compare(wanted: Sequence[Table], client: Dataverse, *, table_limit: int | None = None) -> SchemaPlan:
    """The plan against the target as it is now; sends nothing that changes it."""
    found = read(client, wanted)
    return plan(wanted, found.tables, found.environment, table_limit=table_limit)


def apply(
    wanted: Sequence[Table],
    client: Dataverse,
    *,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
    table_limit: int | None = None,
) -> dict[str, Table]:
    """Create what is missing, publish, and give back the tables as they now are.

    Raises SchemaConflict or DecisionError with everything that speaks against the plan before anything is created,
    Terminal when components are still missing after the last round, a limit of the environment is reached or the
    index of a key failed, Transient when indexes are not ready in time.
    """
    found = read(client, wanted)
    first = plan(wanted, found.tables, found.environment, table_limit=table_limit)
    _refuse(first)
    if first.to_create or not found.environment.solution_id:
        _ensure_solution(client)
    found = _create_all(client, wanted, found, first, progress, sleep)
    _complete_solution(client, wanted, found, progress)
    # Also when nothing was created now: an earlier attempt may have ended between creating and publishing (F-36).
    client.send(definitions.publish([t.name for t in wanted], [c.name for c in choices_of(wanted)]))
    return _with_active_keys(client, wanted, found.tables, progress, sleep)


def _refuse(compared: SchemaPlan) -> None:
    conflicts = [f"{c.table}.{c.name} is {c.existing}, wanted {c.wanted}" for c in compared.conflicts]
    problems = [str(p) for p in compared.problems if p.refuses]
    if conflicts:
        lines = "; ".join([*conflicts, *problems])
        raise SchemaConflict(f"the target holds other definitions; nothing was changed: {lines}")
    if problems:
        raise DecisionError(f"the schema cannot be made as it is wanted; nothing was changed: {'; '.join(problems)}")


def _create_all(
    client: Dataverse,
    wanted: Sequence[Table],
    found: Found,
    compared: SchemaPlan,
    progress: Progress,
    sleep: Callable[[float], None],
) -> Found:
    """Rounds of creating and reading, until nothing is missing or, after growing waits, nothing comes of it."""
    total, stuck = len(compared.to_create), 0
    missing, refusals = compared.to_create, list[str]()
    while missing:
        if stuck == len(ROUND_WAITS):
            text = "still missing after creation: " + ", ".join(f"{c.table}.{c.name}" for c in missing)
            raise Terminal("; ".join([text, *refusals[:1]]))
        sleep(ROUND_WAITS[stuck])
        refusals = _create(client, missing, found, total, progress)
        found = read(client, wanted)
        again = plan(wanted, found.tables, found.environment)
        _refuse_conflicts(again)
        stuck = 0 if len(again.to_create) < len(missing) else stuck + 1
        missing = again.to_create
    return found


def _refuse_conflicts(compared: SchemaPlan) -> None:
    """What a lost answer left behind, or somebody else made meanwhile, is not what was wanted (F-32)."""
    _refuse(SchemaPlan(compared.conflicts))


def _create(client: Dataverse, missing: Sequence[Change], found: Found, total: int, progress: Progress) -> list[str]:
    """Send all creates, parents first; what the server did not take yet is left to the next round, with its words."""
    refusals: list[str] = []
    absent: set[str] = set()
    ordered = sorted(missing, key=lambda c: ORDER.index(c.kind))
    for n, change in enumerate(ordered):
        request = None if change.table in absent else _request(change, found)
        if request is None:
            continue
        if refusal := _once(client, request, ordered[n:]):
            refusals.append(refusal)
            absent |= {change.table} if change.kind == "table" else set()
        progress(total - len(ordered) + n + 1, total, f"{change.table}.{change.name}")
    return refusals


def _once(client: Dataverse, request: Request, wanted: Sequence[Change] = ()) -> str:
    """Send a create, the first of what is still wanted; why it is left to the next reading.

    That is an unclear end, there already, or its table not yet known. Terminal when there is no room for it.
    """
    try:
        client.send(request)
    except OutcomeUnknown as error:
        return str(error)
    except RequestRejected as error:
        if error.code in NO_ROOM and wanted:
            raise _no_room(client, wanted, error) from error
        if error.status != 404 and error.code not in ALREADY_THERE | NOT_YET and "already exist" not in error.text:
            raise
        return str(error)
    return ""


def _no_room(client: Dataverse, wanted: Sequence[Change], error: RequestRejected) -> Terminal:
    """The stop at a limit, with what is there, still wanted and allowed, as far as the service tells (F-35)."""
    first, of_columns = wanted[0], error.code == TOO_MANY_COLUMNS
    room = _columns_of(client, first.table) if of_columns else read_table_room(client)
    more = sum(c.table == first.table and c.kind in ("column", "lookup") if of_columns else c.kind == "table"
               for c in wanted)  # fmt: skip
    told = {"there": room.used, "still wanted": more, "allowed": room.most}
    figures = ", ".join(f"{name}: {n:,}" for name, n in told.items() if n is not None)
    return Terminal(f"{first.table}.{first.name}: one more is needed than the environment's limit of "
                    f"{NO_ROOM[error.code or 0]} allows ({figures}): {error}")  # fmt: skip


def _columns_of(client: Dataverse, name: str) -> Room:
    """How many columns a table has; the service does not tell how many it takes."""
    table = read_table(client, name, fresh=True)
    return Room(len(table.columns) + len(table.lookups) if table else None)


def _request(change: Change, found: Found) -> Request | None:
    """What makes a component; None while something that it refers to is not there."""
    match change.component:
        case Table() as table:
            # A table under another publisher's prefix cannot be born in our solution (dataverse-api 9.1).
            return definitions.create_table(table, SOLUTION if table.name.startswith(f"{PREFIX}_") else "")
        case Choice() as choice:
            return definitions.create_choice(choice, SOLUTION)
        case NewOption() as new:
            return definitions.insert_option(
                new.option, SOLUTION, choice=new.choice, table=new.table, column=new.column
            )
        case Column() as column:
            return _column_request(change.table, column, found.environment)
        case Lookup() as lookup:
            return definitions.create_lookup(change.table, lookup, SOLUTION)
        case NewTarget() as target:
            return definitions.add_target(change.table, target.lookup, target.target, SOLUTION)
        case Key() as key:
            return definitions.create_key(change.table, key, SOLUTION)
        case View() as view:
            return _view_request(view, found.tables.get(view.table))


def _column_request(table: str, column: Column, environment: Environment) -> Request | None:
    """A column needs the id of its global choice, which is known once the choice was read."""
    choice = environment.choice(column.choice) if column.choice else None
    if column.choice and (choice is None or not choice.id):
        return None
    return definitions.create_column(table, column, SOLUTION, choice.id if choice else "")


def _view_request(view: View, table: Table | None) -> Request | None:
    """A view needs the table's type code, and all of its columns. Its id is computed: a repeat makes no second one."""
    if table is None or not all(table.column(c) or table.lookup(c) for c in view.columns):
        return None
    return definitions.create_view(view, table, str(uuid5(ROOT, f"view/{view.table}/{view.name}")), SOLUTION)


def _ensure_solution(client: Dataverse) -> None:
    environment = read_environment(client, SOLUTION, PREFIX)
    if environment.publisher(PUBLISHER) is None:
        _once(client, definitions.create_publisher(Publisher(PUBLISHER, PREFIX, OPTION_VALUE_PREFIX)))
        environment = read_environment(client, SOLUTION, PREFIX)
    publisher = environment.publisher(PUBLISHER)
    if publisher is None:
        raise Terminal(f"the publisher {PUBLISHER} could not be created; is the prefix {PREFIX} taken by another one?")
    if not environment.solution_id:
        _once(client, definitions.create_solution(SOLUTION, publisher.id))


def _complete_solution(client: Dataverse, wanted: Sequence[Table], found: Found, progress: Progress) -> None:
    """Put into our solution what was born outside of it: tables with another prefix, views.

    Terminal when something is still outside of it afterwards: the schema could not be moved to production.
    """
    outside = _outside(wanted, found.tables, found.environment)
    for done, member in enumerate(outside, 1):
        client.send(definitions.add_component(member.kind, member.id, SOLUTION))
        progress(done, len(outside), f"{member.name} into the solution {SOLUTION}")
    if outside:
        left = _outside(wanted, found.tables, read_environment(client, SOLUTION, PREFIX))
        if left:
            raise Terminal(f"not in the solution {SOLUTION}: {', '.join(m.name for m in left)}")


def _outside(wanted: Sequence[Table], tables: Mapping[str, Table], environment: Environment) -> list[Member]:
    return [m for m in members_of(wanted, tables, environment) if not m.is_in(environment)]


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
        states = {f"{t.name}.{k.name}": k.status for t in tables for k in _keys(client, t)}
        waiting = ", ".join(name for name, status in states.items() if status != "Active")
        if "Failed" in states.values():
            failed = ", ".join(name for name, status in states.items() if status == "Failed")
            raise Terminal(f"an index could not be built: {failed}. Rows of the target share a value in such a key; "
                           "clean them, then build it again (provision.reactivate_keys)")  # fmt: skip
        if not waiting:
            return existing if attempt == 1 else read_tables(client, list(existing), fresh=True)
        progress(attempt, KEY_POLLS, f"waiting for the index of {waiting}")
        sleep(KEY_WAIT)
    raise Transient(f"the indexes of {waiting} were not ready after {KEY_POLLS * KEY_WAIT:.0f} s; run 04_schema again")


def _keys(client: Dataverse, wanted: Table) -> Iterator[Key]:
    """The existing keys that serve the wanted ones."""
    columns = {frozenset(key.columns) for key in wanted.keys}
    return (k for k in read_keys(client, wanted.name, fresh=True) if frozenset(k.columns) in columns)


def reactivate_keys(wanted: Sequence[Table], client: Dataverse) -> list[str]:
    """Start the failed indexes of wanted keys again; their names. For after the rows that shared a value are gone."""
    failed = [(t.name, k.name) for t in wanted if t.keys for k in _keys(client, t) if k.status == "Failed"]
    for table, key in failed:
        client.send(definitions.reactivate_key(table, key))
    return [f"{table}.{key}" for table, key in failed]
