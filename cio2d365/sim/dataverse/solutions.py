"""Solutions: which one a schema call names, and the components it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .context import Context
from .errors import ServiceError
from .rows import complete, insert_rows

TABLE, COLUMN, CHOICE, RELATIONSHIP, KEY = 1, 2, 9, 10, 14
_PARTS = {"Attributes": COLUMN, "Keys": KEY}
_SETS = {"EntityDefinitions": TABLE, "RelationshipDefinitions": RELATIONSHIP, "GlobalOptionSetDefinitions": CHOICE}


def solution_id(context: Context, body: Any = None) -> str | None:
    """The solution named by header, query or body; None for the default one. 404 when it does not exist."""
    given = body.get("SolutionUniqueName") if isinstance(body, Mapping) else None
    name = context.headers.get("mscrm.solutionuniquename") or context.query.get("SolutionUniqueName") or given
    if not name:
        return None
    rows = context.org.store.query("SELECT solutionid FROM solution WHERE fold(uniquename) = fold(?)", (name,))
    if not rows:
        raise ServiceError(404, "0x80040217", f"The solution with the unique name '{name}' does not exist.")
    return str(rows[0][0])


def component_type(path: str) -> int:
    """Component type of what an address such as `EntityDefinitions(…)/Attributes(…)` names."""
    for part, kind in _PARTS.items():
        if f"/{part}(" in path:
            return kind
    return next(kind for name, kind in _SETS.items() if path.startswith(name))


def add_component(context: Context, solution: str | None, kind: int, object_id: str) -> str | None:
    """Put a component into a solution once; its row's id, None for the default solution."""
    if solution is None:
        return None
    store, table = context.org.store, context.org.schema.tables["solutioncomponent"]
    sql = "SELECT solutioncomponentid FROM solutioncomponent WHERE solutionid = ? AND objectid = ?"
    present = store.query(sql, (solution, object_id))
    if present:
        return str(present[0][0])
    component = context.org.new_id()
    row: dict[str, Any] = {
        "solutioncomponentid": component,
        "componenttype": kind,
        "objectid": object_id,
        "solutionid": solution,
    }
    complete(context, table, row)
    insert_rows(context, table, [row])
    return component
