"""`GET set?sql=…`: the T-SQL subset that the service's SQL option takes, run read-only on the store.

Taken: SELECT [DISTINCT] [TOP n], INNER and LEFT JOIN, WHERE, GROUP BY, ORDER BY, OFFSET … FETCH, COUNT SUM AVG MIN MAX.
Refused: `SELECT *`, subqueries, HAVING, UNION, other joins, CASE, functions, several statements, writes.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from .context import Answer, Context, json_answer
from .errors import ServiceError
from .privileges import require_right
from .schema import Table

_MOST_ROWS = 5000
_TOP = re.compile(r"^(SELECT\s+(?:DISTINCT\s+)?)TOP\s*\(?\s*(\d+)\s*\)?\s+", re.IGNORECASE)
_FETCH = re.compile(r"\s+OFFSET\s+(\d+)\s+ROWS?(?:\s+FETCH\s+NEXT\s+(\d+)\s+ROWS?\s+ONLY)?\s*$", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_REFUSED = re.compile(
    r";|--|/\*|\b(?:HAVING|UNION|WITH|CASE|COALESCE|OVER|RIGHT|FULL|CROSS|INSERT|UPDATE|DELETE|PRAGMA|ATTACH)\b"
    r"|\(\s*SELECT\b|SELECT\s+(?:DISTINCT\s+)?(?:\w+\.)?\*",
    re.IGNORECASE,
)
_FUNCTIONS = frozenset({"count", "sum", "avg", "min", "max", "like"})
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})


def read_sql(context: Context, table: Table, text: str) -> Answer:
    """The rows of a SELECT, at most 5,000. Raises 400 for what the subset does not hold."""
    require_right(context, "Read", table)
    sql = _translated(text.strip())
    connection = context.org.store.connection
    connection.set_authorizer(_authorizer(context))
    try:
        cursor = connection.execute(sql)
        names = [item[0] for item in cursor.description]
        found = cursor.fetchall()
    except sqlite3.DatabaseError as error:
        raise _refusal(str(error)) from None
    finally:
        connection.set_authorizer(None)
    rows = [_row(table, names, values) for values in found]
    return json_answer({"@odata.context": f"{context.root}$metadata#{table.set_name}", "value": rows})


def _refusal(reason: str) -> ServiceError:
    return ServiceError(400, "0x80060888", f"The SQL query cannot be executed: {reason}")


def _translated(text: str) -> str:
    bare = _QUOTED.sub("''", text)
    refused = _REFUSED.search(bare)
    if not bare.upper().startswith("SELECT") or refused:
        raise _refusal(f"'{refused[0]}' is not supported" if refused else "only SELECT is supported")
    top, fetch = _TOP.match(text), _FETCH.search(text)
    limit, offset = _MOST_ROWS, 0
    if top:
        text, limit = text[: top.end(1)] + text[top.end() :], int(top[2])
    if fetch:
        text, offset, limit = text[: fetch.start()], int(fetch[1]), int(fetch[2] or _MOST_ROWS)
    return f"{text} LIMIT {min(limit, _MOST_ROWS)} OFFSET {offset}"


def _authorizer(context: Context) -> Any:
    """Reads of Dataverse tables and the five aggregates, nothing else."""
    known = context.org.schema.tables

    def decide(action: int, first: str | None, second: str | None, database: str | None, inner: str | None) -> int:
        allowed = action in _ALLOWED
        if action == sqlite3.SQLITE_READ:
            allowed = first in known and not (second or "").endswith("__type")
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() in _FUNCTIONS
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return decide


def _row(table: Table, names: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    row = dict(zip(names, values, strict=True))
    for name, value in row.items():
        column = table.columns.get(name)
        if column is not None and column.type == "Boolean" and value is not None:
            row[name] = value == 1
    return row
