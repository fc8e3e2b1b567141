"""Bulk messages on elastic tables: rows stand alone, an upsert replaces the row (dataverse-api 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from .address import RowAddress
from .context import Answer, Context, json_answer
from .errors import ServiceError, malformed, row_missing
from .rows import delete_row, insert_rows, prepare_create, prepare_update, write_updates
from .schema import Table
from .store import quoted

MOST_ROWS = 100
_ERRORS = "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"
_KEPT = frozenset({"createdon", "createdby", "ownerid", "ownerid__type", "owninguser", "owningbusinessunit"})
Step = Callable[[Context, Table, RowAddress, dict[str, Any]], str]


def run_elastic(context: Context, table: Table, message: str, targets: list[dict[str, Any]]) -> Answer:
    """Every row by itself. When some fail, the others are stored and the error lists the failed ones."""
    if len(targets) > MOST_ROWS:
        raise malformed(f"An elastic table takes at most {MOST_ROWS} rows per request.")
    step, ids, failures = _STEPS[message], [], []
    for index, target in enumerate(targets):
        try:
            with context.org.store.transaction():
                ids.append(step(context, table, _address(table, target, message), target))
        except ServiceError as error:
            failed_id = str(target.get(table.primary_id) or "")
            failures.append({"RequestIndex": index, "Id": failed_id, "StatusCode": error.status})
            first = error
    if failures:
        details = {_ERRORS: orjson.dumps(failures).decode()}
        raise ServiceError(first.status, first.code, first.message, first.headers, details)
    if message == "CreateMultiple":
        name = f"{context.root}$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse"
        return json_answer({"@odata.context": name, "Ids": ids})
    return Answer(204)


def _address(table: Table, target: dict[str, Any], message: str) -> RowAddress:
    row_id = target.get(table.primary_id)
    if row_id is None and message == "CreateMultiple":
        return RowAddress(table, None)
    if not isinstance(row_id, str):
        raise malformed(f"The primary key '{table.primary_id}' must be given for every target.")
    return RowAddress(table, row_id.lower())


def _exists(context: Context, table: Table, row_id: str | None) -> bool:
    sql = f"SELECT 1 FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?"
    return bool(context.org.store.query(sql, (row_id,)))


def _create(context: Context, table: Table, address: RowAddress, target: dict[str, Any]) -> str:
    values = prepare_create(context, table, target, address.row_id)
    values.setdefault("partitionid", None)
    insert_rows(context, table, [values])
    return str(values[table.primary_id])


def _update(context: Context, table: Table, address: RowAddress, target: dict[str, Any]) -> str:
    if address.row_id is None or not _exists(context, table, address.row_id):
        raise row_missing(table.name, str(address.row_id))
    write_updates(context, table, [(address.row_id, prepare_update(context, table, address.row_id, target))])
    return address.row_id


def _upsert(context: Context, table: Table, address: RowAddress, target: dict[str, Any]) -> str:
    """An upsert of an existing row clears every column that is not sent."""
    if address.row_id is None or not _exists(context, table, address.row_id):
        return _create(context, table, address, target)
    changed = prepare_update(context, table, address.row_id, target)
    for column in table.columns.values():
        if column.stored and column.update and column.name not in _KEPT | {table.primary_id}:
            changed.setdefault(column.name, None)
    write_updates(context, table, [(address.row_id, changed)])
    return address.row_id


def _delete(context: Context, table: Table, address: RowAddress, target: dict[str, Any]) -> str:
    delete_row(context, table, str(address.row_id))
    return str(address.row_id)


_STEPS: dict[str, Step] = {
    "CreateMultiple": _create,
    "UpdateMultiple": _update,
    "UpsertMultiple": _upsert,
    "DeleteMultiple": _delete,
}
