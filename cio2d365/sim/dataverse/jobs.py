"""Work that goes on after the answer: BulkDelete. And the recycle bin with Restore (dataverse-api 16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .context import Answer, Context, json_answer
from .errors import ServiceError, malformed, row_missing
from .organization import Organization
from .rows import complete, delete_row, insert_rows
from .schema import Column, Table
from .sqlfilter import order_expression
from .store import fold, quoted
from .writer import writer_for

_WAITING, _RUNNING, _SUCCEEDED, _FAILED = 0, 20, 30, 31
_READY, _LOCKED, _COMPLETED = 0, 2, 3
_OPERATORS = {
    "Equal": "{c} = {v}",
    "NotEqual": "({c} <> {v} OR {c} IS NULL)",
    "GreaterThan": "{c} > {v}",
    "GreaterEqual": "{c} >= {v}",
    "LessThan": "{c} < {v}",
    "LessEqual": "{c} <= {v}",
}


@dataclass
class DeleteJob:
    """A BulkDelete under way: the rows that existed when it began, and who asked for it."""

    job_id: str
    caller: str
    pending: list[tuple[str, str]]
    started: bool = False
    done: int = 0
    failed: int = 0


def bulk_delete(context: Context, body: Mapping[str, Any]) -> Answer:
    """BulkDelete: the rows that match now are deleted later, in steps, by a job."""
    queries = body.get("QuerySet")
    if not isinstance(queries, list) or not queries or not body.get("JobName"):
        raise malformed("The parameters 'QuerySet' and 'JobName' are needed.")
    pending = [(table, row_id) for query in queries for table, row_id in _matching(context, query)]
    job_id = _job_row(context, str(body["JobName"]))
    context.org.delete_jobs.append(DeleteJob(job_id, context.caller, pending))
    name = f"{context.root}$metadata#Microsoft.Dynamics.CRM.BulkDeleteResponse"
    return json_answer({"@odata.context": name, "JobId": job_id})


def _matching(context: Context, query: Mapping[str, Any]) -> list[tuple[str, str]]:
    table = context.org.schema.tables.get(str(query.get("EntityName")))
    if table is None:
        raise ServiceError(400, "0x80041102", "The specified entity was not found.")
    condition, parameters = _criteria(table, query.get("Criteria") or {})
    sql = f"SELECT {quoted(table.primary_id)} FROM {quoted(table.name)} t WHERE {condition}"
    return [(table.name, row[0]) for row in context.org.store.query(sql, parameters)]


def _criteria(table: Table, criteria: Mapping[str, Any]) -> tuple[str, list[Any]]:
    if not isinstance(criteria, Mapping):
        raise malformed("The criteria of a query must be a FilterExpression.")
    parts, parameters = [], []
    for condition in criteria.get("Conditions") or ():
        text, values = _condition(table, condition)
        parts.append(text)
        parameters += values
    for inner in criteria.get("Filters") or ():
        text, values = _criteria(table, inner)
        parts.append(text)
        parameters += values
    word = " OR " if criteria.get("FilterOperator") in ("Or", 1) else " AND "
    return (f"({word.join(parts)})" if parts else "(1=1)"), parameters


def _condition(table: Table, condition: Mapping[str, Any]) -> tuple[str, list[Any]]:
    column = table.columns.get(str(condition.get("AttributeName")))
    if column is None or not column.stored:
        raise ServiceError(400, "0x80041103", "The specified attribute does not exist on this entity.")
    operator, name = str(condition.get("Operator")), order_expression(column, "t")
    values = [_value(column, item) for item in condition.get("Values") or ()]
    if operator in ("Null", "NotNull"):
        return f"{name} IS {'NOT ' if operator == 'NotNull' else ''}NULL", []
    if operator in ("In", "NotIn"):
        word = "NOT IN" if operator == "NotIn" else "IN"
        return f"{name} {word} ({','.join('?' * len(values))})", values
    if operator not in _OPERATORS or len(values) != 1:
        raise ServiceError(400, "0x80041120", "Unsupported condition operator.")
    return _OPERATORS[operator].format(c=name, v="?"), values


def _value(column: Column, item: Any) -> Any:
    raw: Any = item.get("Value") if isinstance(item, Mapping) else item
    if column.type in ("Integer", "Picklist", "State", "Status", "BigInt"):
        return int(raw)
    if column.type == "Boolean":
        return int(str(raw).lower() in ("true", "1"))
    if column.is_lookup or column.type == "Uniqueidentifier":
        return str(raw).lower()
    return fold(raw)


def _job_row(context: Context, name: str) -> str:
    tables = context.org.schema.tables
    with context.org.store.transaction():
        job_id = _system_row(context, tables["asyncoperation"], {"name": name, "operationtype": 13})
        _system_row(
            context,
            tables["bulkdeleteoperation"],
            {"name": name, "asyncoperationid": job_id, "successcount": 0, "failurecount": 0},
        )
        _note(context.org, job_id, _READY, _WAITING)
    return job_id


def _system_row(context: Context, table: Table, values: dict[str, Any]) -> str:
    """A row that the platform writes itself, free of the rules for callers."""
    row_id = context.org.new_id()
    row = {table.primary_id: row_id, **values}
    complete(context, table, row)
    insert_rows(context, table, [row])
    return row_id


def _note(org: Organization, job_id: str, state: int, status: int) -> None:
    sql = "UPDATE asyncoperation SET statecode = ?, statuscode = ? WHERE asyncoperationid = ?"
    org.store.execute(sql, (state, status, job_id))


def advance_jobs(context: Context) -> None:
    """One step of every job, taken with each request that arrives: wait, delete in portions, complete."""
    for job in list(context.org.delete_jobs):
        with context.org.store.transaction():
            _step(context, job)


def _step(context: Context, job: DeleteJob) -> None:
    if not job.started:
        job.started = True
        _note(context.org, job.job_id, _LOCKED, _RUNNING)
        return
    portion, job.pending = job.pending[: _portion(context)], job.pending[_portion(context) :]
    for table, row_id in portion:
        _delete_one(context, job, table, row_id)
    sql = "UPDATE bulkdeleteoperation SET successcount = ?, failurecount = ? WHERE asyncoperationid = ?"
    context.org.store.execute(sql, (job.done, job.failed, job.job_id))
    if not job.pending:
        context.org.delete_jobs.remove(job)
        _note(context.org, job.job_id, _COMPLETED, _SUCCEEDED if not job.failed else _FAILED)


def _portion(context: Context) -> int:
    return context.org.switches.bulk_delete_rows


def _delete_one(context: Context, job: DeleteJob, table: str, row_id: str) -> None:
    try:
        delete_row(context, context.org.schema.tables[table], row_id)
        job.done += 1
    except (ServiceError, KeyError):
        job.failed += 1


def restore(context: Context, body: Mapping[str, Any]) -> Answer:
    """Restore a deleted row from the recycle bin, with the conflicts that can stand in the way."""
    target = body.get("Target")
    kind = str(target.get("@odata.type", "")).rpartition(".")[2] if isinstance(target, Mapping) else ""
    table = context.org.schema.tables.get(kind)
    if table is None or not isinstance(target, Mapping):
        raise malformed("The parameter 'Target' must be an entity with '@odata.type'.")
    row_id = str(target.get(table.primary_id, "")).lower()
    row = _from_bin(context, table, row_id)
    given = {name: value for name, value in target.items() if name != table.primary_id}
    row.update(writer_for(context, table).parse(context, given, creating=False).values)
    _refuse_conflicts(context, table, row)
    with context.org.store.transaction():
        row.pop("versionnumber", None)
        insert_rows(context, table, [row])
        context.org.store.execute("DELETE FROM _bin WHERE tbl = ? AND id = ?", (table.name, row_id))
    name = f"{context.root}$metadata#Microsoft.Dynamics.CRM.RestoreResponse"
    return json_answer({"@odata.context": name, "Target": {table.primary_id: row_id}})


def _from_bin(context: Context, table: Table, row_id: str) -> dict[str, Any]:
    sql = "SELECT row FROM _bin WHERE tbl = ? AND id = ?"
    rows = context.org.store.query(sql, (table.name, row_id))
    if not rows:
        raise row_missing(table.name, row_id)
    found: dict[str, Any] = orjson.loads(rows[0][0])
    return {name: value for name, value in found.items() if name in table.columns or name.endswith("__type")}


def _refuse_conflicts(context: Context, table: Table, row: Mapping[str, Any]) -> None:
    sql = f"SELECT 1 FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?"
    if context.org.store.query(sql, (row[table.primary_id],)):
        raise ServiceError(400, "0x80049939", "A record with the primary key of the deleted record exists.")
    for key in table.keys.values():
        if key.status == "Active" and _key_taken(context, table, key.columns, row):
            raise ServiceError(400, "0x80049929", f"A record with the value of key {key.schema_name} exists.")
    for column in table.columns.values():
        value = row.get(column.name)
        if value is not None and column.is_lookup and column.custom:
            _require_target(context, column, str(value), row.get(f"{column.name}__type"))
        if value is not None and column.type == "Picklist" and value not in {o.value for o in column.options}:
            raise ServiceError(400, "0x80049949", f"The value {value} of '{column.name}' does not exist any more.")


def _key_taken(context: Context, table: Table, columns: tuple[str, ...], row: Mapping[str, Any]) -> bool:
    values = [row.get(name) for name in columns]
    if None in values:
        return False
    tests = " AND ".join(f"fold({quoted(name)}) = fold(?)" for name in columns)
    return bool(context.org.store.query(f"SELECT 1 FROM {quoted(table.name)} WHERE {tests}", values))


def _require_target(context: Context, column: Column, value: str, kind: Any) -> None:
    target = context.org.schema.tables.get(str(kind or column.targets[0]))
    if target is None:
        return
    sql = f"SELECT 1 FROM {quoted(target.name)} WHERE {quoted(target.primary_id)} = ?"
    if not context.org.store.query(sql, (value,)):
        raise ServiceError(400, "0x80049959", f"The row that '{column.name}' refers to does not exist any more.")
