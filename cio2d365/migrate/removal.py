"""Remove the schema that we created: look, count, ask what depends on it, then delete. It can be killed and run again.

Our solution says what is ours, so it is deleted after everything in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from cio2d365.dataverse import deletions
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.environment import read_environment
from cio2d365.dataverse.metadata import read_tables
from cio2d365.errors import DecisionError, RequestRejected, SchemaConflict, Terminal
from cio2d365.migrate.provision import Progress
from cio2d365.migrate.schema import PREFIX, PUBLISHER, SOLUTION, STANDARD
from cio2d365.migrate.schema_removal import COUNTED, Removal, RemovalPlan, Usage, plan_removal
from cio2d365.tables import Environment, Table
from cio2d365.transport import Request

OBJECT_PREFIXES = (f"{PREFIX}_", "new_")  # of tables that we may have made (schema.object_prefix)


def look(client: Dataverse) -> RemovalPlan:
    """What there is to remove, with the rows that it holds and what depends on it. Changes nothing."""
    environment = read_environment(client, SOLUTION, PREFIX)
    names = [name for name in environment.custom_tables if name.startswith(OBJECT_PREFIXES)]
    existing = read_tables(client, [*STANDARD, *names], fresh=True)
    first = plan_removal(existing, environment)
    return plan_removal(existing, environment, _usage(client, first, existing, environment))


def _usage(client: Dataverse, first: RemovalPlan, existing: Mapping[str, Table], environment: Environment) -> Usage:
    publisher = environment.publisher(PUBLISHER)
    return Usage(
        {r.id: _rows(client, r, existing[r.table]) for r in first.to_remove if r.table},
        {r.id: tuple(deletions.dependents(client, r.id, r.type)) for r in first.to_remove if r.type},
        tuple(deletions.solutions_of(client, publisher.id)) if publisher else (),
    )


def _rows(client: Dataverse, removal: Removal, table: Table) -> int:
    """Rows of a table, rows with a value in a column or lookup; 0 for what holds no data."""
    match removal.kind:
        case "table":
            return deletions.count_rows(client, table)
        case "column":
            return deletions.count_rows(client, table, f"{removal.name} ne null")
        case "relationship":
            return deletions.count_rows(client, table, f"_{removal.column}_value ne null")
    return 0


def apply_removal(client: Dataverse, *, progress: Progress, allow_rows: bool = False) -> RemovalPlan:
    """Delete what `look` says, and give back that plan.

    Raises SchemaConflict when something depends on a component of ours, DecisionError when rows would go and
    `allow_rows` is not given, both before anything is deleted; Terminal when the server refuses a deletion or
    something of ours is still there afterwards.
    """
    planned = look(client)
    _refuse(planned, allow_rows)
    for done, removal in enumerate(planned.to_remove, 1):
        _delete(client, removal)
        progress(done, len(planned.to_remove), f"{removal.kind} {removal.name}")
    left = look(client).to_remove
    if left:
        raise Terminal(f"still there after deletion: {', '.join(r.name for r in left)}; run it again")
    return planned


def _refuse(planned: RemovalPlan, allow_rows: bool) -> None:
    if planned.blocked:
        lines = "; ".join(f"{r.kind} {r.name} is {r.reason}" for r in planned.blocked)
        raise SchemaConflict(f"other components depend on ours; nothing was removed: {lines}")
    if planned.with_rows and not allow_rows:
        lines = ", ".join(f"{_place(r)} {_counted(r.rows)}" for r in planned.with_rows)
        raise DecisionError(f"rows would go with the schema; nothing was removed: {lines}. Allow it explicitly")


def _place(removal: Removal) -> str:
    return removal.name if removal.kind == "table" else f"{removal.table}.{removal.column or removal.name}"


def _counted(rows: int) -> str:
    return f"{rows:,} or more rows" if rows >= COUNTED else f"{rows:,} rows"


def _delete(client: Dataverse, removal: Removal) -> None:
    """Delete one component; one that is gone already is no error."""
    try:
        client.send(_request(removal))
    except RequestRejected as error:
        if error.status != 404:
            raise Terminal(f"{removal.kind} {removal.name} could not be removed: {error}") from error


def _request(removal: Removal) -> Request:
    match removal.kind:
        case "table":
            return deletions.delete_table(removal.name)
        case "column":
            return deletions.delete_column(removal.table, removal.name)
        case "key":
            return deletions.delete_key(removal.table, removal.id)
        case "relationship":
            return deletions.delete_relationship(removal.name)
        case "choice":
            return deletions.delete_choice(removal.id)
        case "view":
            return deletions.delete_row("savedqueries", removal.id)
        case "solution":
            return deletions.delete_row("solutions", removal.id)
        case "publisher":
            return deletions.delete_row("publishers", removal.id)
