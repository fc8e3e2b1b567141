"""CreateMultiple, UpdateMultiple, UpsertMultiple: one transaction for all targets of a standard table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from .address import RowAddress, find_by_key, parse_reference
from .context import Answer, Context, json_answer
from .elastic import run_elastic
from .errors import ServiceError, duplicate_key, malformed, payload_error, row_missing, unexpected
from .rows import create_nested, insert_rows, prepare_create, prepare_update, write_updates
from .schema import Key, Table
from .store import fold, quoted

_TYPE = "Microsoft.Dynamics.CRM."
MESSAGES = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple", "DeleteMultiple")


def run(context: Context, table: Table, message: str, body: Any) -> Answer:
    """One bulk message. Raises the error of the first bad row, and then nothing is written."""
    if message == "DeleteMultiple" and not table.elastic:
        raise ServiceError(501, "0x80040219", "DeleteMultiple has not yet been implemented.")
    if not table.bulk:
        raise ServiceError(
            400, "0x80040800", f"The '{message}' method does not support entities of type '{table.name}'."
        )
    targets = read_targets(table, body)
    if table.elastic:
        return run_elastic(context, table, message, targets)
    with context.org.store.transaction():
        return _RUNNERS[message](context, table, targets)


def read_targets(table: Table, body: Any) -> list[dict[str, Any]]:
    """The targets of a bulk body, each checked for its `@odata.type`."""
    targets = body.get("Targets") if isinstance(body, dict) else None
    if not isinstance(targets, list):
        raise payload_error(table.set_name, "The parameter 'Targets' is missing or not a collection.")
    if not targets:
        raise ServiceError(400, "0x80040203", "The collection 'Targets' must not be empty.")
    for target in targets:
        _check_type(table, target)
    return targets


def _check_type(table: Table, target: Any) -> None:
    if not isinstance(target, dict):
        raise payload_error(table.set_name, "An entity is expected in 'Targets'.")
    kind = target.get("@odata.type")
    if not isinstance(kind, str):
        raise malformed(
            "A type name was not found for an entity in 'Targets': the property '@odata.type' must be given."
        )
    if kind.lstrip("#") != _TYPE + table.name:
        raise malformed(f"All entities in 'Targets' must be of type '{_TYPE}{table.name}', not '{kind}'.")


def _create_all(context: Context, table: Table, targets: list[dict[str, Any]]) -> Answer:
    rows = [prepare_create(context, table, target) for target in targets]
    insert_rows(context, table, rows)
    for row in rows:
        create_nested(context, table, row)
    return json_answer(
        {
            "@odata.context": f"{context.root}$metadata#{_TYPE}CreateMultipleResponse",
            "Ids": [row[table.primary_id] for row in rows],
        }
    )


def _update_all(context: Context, table: Table, targets: list[dict[str, Any]]) -> Answer:
    addresses = [_address(context, table, target) for target in targets]
    present = _present_ids(context, table, [a.row_id for a in addresses if a.row_id])
    changes: dict[str, dict[str, Any]] = {}
    for target, address in zip(targets, addresses, strict=True):
        row_id = _existing(context, address, present)
        if row_id is None:
            raise row_missing(table.name, str(address.row_id))
        if row_id not in changes:
            changes[row_id] = prepare_update(context, table, row_id, target, address.key_values or ())
    write_updates(context, table, list(changes.items()))
    return Answer(204)


def _upsert_all(context: Context, table: Table, targets: list[dict[str, Any]]) -> Answer:
    addresses = [_address(context, table, target) for target in targets]
    _refuse_doubles(table, addresses, targets)
    present = _present_ids(context, table, [a.row_id for a in addresses if a.row_id])
    created: list[dict[str, Any]] = []
    updated: list[tuple[str, dict[str, Any]]] = []
    for target, address in zip(targets, addresses, strict=True):
        row_id = _existing(context, address, present)
        if row_id is not None:
            changed = prepare_update(context, table, row_id, target, address.key_values or ())
            updated.append((row_id, changed))
        else:
            _refuse_key_in_body(address, target)
            created.append(prepare_create(context, table, target, address.row_id, address.key_values))
    insert_rows(context, table, created)
    for row in created:
        create_nested(context, table, row)
    write_updates(context, table, updated)
    return Answer(204)


def _refuse_key_in_body(address: RowAddress, target: Mapping[str, Any]) -> None:
    """Seen on the real service: a key column in `@odata.id` and in the body of a row to be created is refused."""
    if address.key and any(name in target for name in address.key.columns):
        raise unexpected()


def _address(context: Context, table: Table, target: Mapping[str, Any]) -> RowAddress:
    row_id = target.get(table.primary_id)
    if isinstance(row_id, str):
        return RowAddress(table, row_id.lower())
    reference = target.get("@odata.id")
    if not isinstance(reference, str):
        raise malformed(f"The primary key '{table.primary_id}' or '@odata.id' must be given for every target.")
    return parse_reference(context, reference)


def _present_ids(context: Context, table: Table, ids: list[str]) -> set[str]:
    sql = (
        f"SELECT {quoted(table.primary_id)} FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} "
        "IN (SELECT value FROM json_each(?))"
    )
    return {row[0] for row in context.org.store.query(sql, (orjson.dumps(ids).decode(),))}


def _existing(context: Context, address: RowAddress, present: set[str]) -> str | None:
    if address.row_id is not None:
        return address.row_id if address.row_id in present else None
    return find_by_key(context, address.table, address.key_values or {})


def _refuse_doubles(table: Table, addresses: list[RowAddress], targets: list[dict[str, Any]]) -> None:
    """Two targets with one primary or alternate key fail the whole request (faults 3.2.2)."""
    seen: set[tuple[Any, ...]] = set()
    for address, target in zip(addresses, targets, strict=True):
        for identity in _identities(table, address, target):
            if identity in seen:
                raise duplicate_key(str(identity[0]), ", ".join(map(str, identity[1:])))
            seen.add(identity)


def _identities(table: Table, address: RowAddress, target: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = [(table.primary_id, address.row_id)] if address.row_id else []
    known = {**target, **(address.key_values or {})}
    for key in table.keys.values():
        values = _key_values(key, known)
        if values:
            found.append((key.schema_name, *values))
    return found


def _key_values(key: Key, known: Mapping[str, Any]) -> tuple[Any, ...] | None:
    values = tuple(fold(known.get(name)) for name in key.columns)
    return None if None in values else values


_RUNNERS = {"CreateMultiple": _create_all, "UpdateMultiple": _update_all, "UpsertMultiple": _upsert_all}
