"""Creating, updating and deleting rows, with what the platform fills in by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from .context import Context
from .errors import ServiceError, duplicate_key, duplicate_primary_key, row_missing
from .privileges import require_privilege, require_right, roles_of
from .schema import Relationship, Table
from .special import check_create, check_update
from .store import quoted, type_column
from .writer import Parsed, Writer, writer_for


def create_row(context: Context, table: Table, payload: Any, row_id: str | None = None, **key: Any) -> str:
    """Create one row (and nested ones) in a transaction of its own or the running one; returns its id."""
    with context.org.store.transaction():
        values = prepare_create(context, table, payload, row_id, key)
        insert_rows(context, table, [values])
        create_nested(context, table, values)
    return str(values[table.primary_id])


def prepare_create(
    context: Context,
    table: Table,
    payload: Any,
    row_id: str | None = None,
    key: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The complete stored values of a new row; nothing is written but nested parents."""
    require_right(context, "Create", table)
    writer = writer_for(context, table)
    parsed = writer.parse(context, payload, creating=True)
    values = parsed.values
    if values.get("overriddencreatedon") is not None:
        require_privilege(context, "prvOverrideCreatedOnCreatedBy")
    for name, value in (key or {}).items():
        values.setdefault(name, value)
    if row_id is not None:
        values[table.primary_id] = row_id
    elif not values.get(table.primary_id):
        values[table.primary_id] = context.org.new_id()
    _create_parents(context, parsed)
    complete(context, table, values)
    check_create(context, table, values)
    _require_columns(writer, values)
    if parsed.nested:
        context.nested[values[table.primary_id]] = parsed.nested
    context.known_rows.add((table.name, values[table.primary_id]))
    return values


def _create_parents(context: Context, parsed: Parsed) -> None:
    for column, target, payload in parsed.parents:
        parsed.values[column.name] = create_row(context, context.org.schema.tables[target], payload)
        hidden = type_column(column)
        if hidden:
            parsed.values[hidden] = target


def create_nested(context: Context, table: Table, values: Mapping[str, Any]) -> None:
    """Create the child rows that were nested in a payload (deep insert)."""
    for relationship, payloads in context.nested.pop(values[table.primary_id], ()):
        child = context.org.schema.tables[relationship.child]
        link = _link_to(child, relationship, values[table.primary_id])
        for payload in payloads if isinstance(payloads, list) else [payloads]:
            nested = prepare_create(context, child, payload, key=link)
            insert_rows(context, child, [nested])
            create_nested(context, child, nested)


def _link_to(child: Table, relationship: Relationship, parent_id: str) -> dict[str, str]:
    hidden = type_column(child.columns[relationship.column])
    link = {relationship.column: parent_id}
    return {**link, hidden: relationship.parent} if hidden else link


def complete(context: Context, table: Table, values: dict[str, Any]) -> None:
    """Fill in defaults, owner, state, stamps and derived columns of a new row."""
    writer = writer_for(context, table)
    for name, default in writer.defaults.items():
        if values.get(name) is None:
            values[name] = default
    if "createdon" in writer.stored:
        values["createdon"] = context.now
    if values.get("overriddencreatedon"):
        values["overriddencreatedon"], values["createdon"] = context.now, values["overriddencreatedon"]
    for name, stamp in _stamps(context):
        if name in writer.stored:
            values[name] = stamp
    if "ownerid" in writer.stored:
        fill_owner(context, writer, values, creating=True)
    derive(context, writer, values, values)


def _stamps(context: Context) -> list[tuple[str, Any]]:
    stamps = [("modifiedon", context.now), ("createdby", context.caller), ("modifiedby", context.caller)]
    if context.real_caller != context.caller:
        stamps.append(("createdonbehalfby", context.real_caller))
    return stamps


def fill_owner(context: Context, writer: Writer, values: dict[str, Any], creating: bool) -> None:
    """Default owner, the checks on it, and the columns derived from it (dataverse-api 13)."""
    if values.get("ownerid") is None:
        if not creating:
            raise ServiceError(400, "0x80040229", "Owner ID is invalid.")
        values["ownerid"], values["ownerid__type"] = context.caller, "systemuser"
    kind, owner = values.get("ownerid__type") or "systemuser", values["ownerid"]
    unit = _owner_unit(context, kind, owner)
    for name, value in (
        ("owningbusinessunit", unit),
        ("owninguser", owner if kind == "systemuser" else None),
        ("owningteam", owner if kind == "team" else None),
    ):
        if name in writer.stored:
            values[name] = value


def _stored(table: Table, name: str) -> bool:
    return name in table.columns and table.columns[name].stored


def _owner_unit(context: Context, kind: str, owner: str) -> str | None:
    memory = context.owners
    if owner not in memory:
        memory[owner] = _check_user(context, owner) if kind == "systemuser" else _check_team(context, owner)
    return memory[owner]


def _check_user(context: Context, owner: str) -> str | None:
    sql = "SELECT isdisabled, lastname, businessunitid FROM systemuser WHERE systemuserid = ?"
    rows = context.org.store.query(sql, (owner,))
    if not rows:
        raise row_missing("systemuser", owner)
    disabled, _, unit = rows[0]
    if disabled:
        raise ServiceError(403, "0x8004022b", "The specified owner has been disabled.")
    if not roles_of(context.org, owner):
        raise ServiceError(403, "0x80040231", "Target user or team does not hold required privileges.")
    return unit  # type: ignore[no-any-return]


def _check_team(context: Context, owner: str) -> str | None:
    rows = context.org.store.query("SELECT teamtype, businessunitid FROM team WHERE teamid = ?", (owner,))
    if rows and rows[0][0] == 1:
        raise ServiceError(400, "0x80040229", "Owner ID is invalid: an access team cannot own records.")
    return rows[0][1] if rows else None


def derive(context: Context, writer: Writer, changed: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Columns that follow from others: full name and money in base currency."""
    if writer.table.primary_name == "fullname" and not _NAMES.isdisjoint(changed):
        changed["fullname"] = " ".join(row[name] for name in ("firstname", "lastname") if row.get(name)) or None
    if writer.money and "transactioncurrencyid" in writer.stored:
        money = writer.money.intersection(changed)
        if money:
            _derive_money(context, writer, changed, row, money)


_NAMES = frozenset({"firstname", "lastname"})


def _derive_money(
    context: Context, writer: Writer, changed: dict[str, Any], row: Mapping[str, Any], money: frozenset[str]
) -> None:
    if not row.get("transactioncurrencyid"):
        changed["transactioncurrencyid"] = context.org.store.get_meta("currency")
    if "exchangerate" in writer.stored:
        changed["exchangerate"] = 1.0
    for name in money:
        if f"{name}_base" in writer.stored:
            changed[f"{name}_base"] = changed[name]


def _require_columns(writer: Writer, values: Mapping[str, Any]) -> None:
    for name in writer.required:
        if values.get(name) is None:
            raise ServiceError(
                400, "0x80040200", f"Required field '{name}' is missing on entity '{writer.table.name}'."
            )


def insert_rows(context: Context, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write new rows; rows of one shape go in one statement. Duplicates raise the code of their key."""
    version = context.org.store.reserve_versions(len(rows))
    groups: dict[tuple[str, ...], list[list[Any]]] = {}
    for at, values in enumerate(rows):
        groups.setdefault(tuple(values), []).append([*values.values(), version + at])
    for names, group in groups.items():
        listed = ", ".join(quoted(name) for name in (*names, "versionnumber"))
        sql = f"INSERT INTO {quoted(table.name)} ({listed}) VALUES ({','.join('?' * (len(names) + 1))})"
        _guarded(context, table, sql, group)
    context.rows_touched += len(rows)
    context.org.store.count_change(table.name, "created", len(rows))


def _guarded(context: Context, table: Table, sql: str, rows: list[list[Any]]) -> None:
    try:
        context.org.store.execute_many(sql, rows)
    except sqlite3.IntegrityError as error:
        raise _duplicate(table, str(error)) from None


def _duplicate(table: Table, message: str) -> ServiceError:
    for key in table.keys.values():
        if f"key_{table.name}_{key.name}'" in message or message.endswith(
            ", ".join(f"{table.name}.{name}" for name in key.columns)
        ):
            return duplicate_key(key.label or key.schema_name, ", ".join(key.columns))
    return duplicate_primary_key()


def update_row(context: Context, table: Table, row_id: str, payload: Any, skip: Iterable[str] = ()) -> None:
    """Change one row; columns in `skip` (the key of the address) are left out."""
    with context.org.store.transaction():
        changed = prepare_update(context, table, row_id, payload, skip)
        write_updates(context, table, [(row_id, changed)])


def prepare_update(
    context: Context, table: Table, row_id: str, payload: Any, skip: Iterable[str] = ()
) -> dict[str, Any]:
    """The stored values that an update changes, checked against the present row where that matters."""
    require_right(context, "Write", table)
    writer = writer_for(context, table)
    parsed = writer.parse(context, payload, creating=False)
    changed = parsed.values
    for name in (*skip, table.primary_id):
        changed.pop(name, None)
    _refuse_nulls(table, changed)
    if "ownerid" in changed:
        fill_owner(context, writer, changed, creating=False)
    if needs_row(writer, changed):
        row = {**read_stored(context, table, row_id), **changed}
        check_update(context, table, row, changed)
        derive(context, writer, changed, {**row, **changed})
    for name, stamp in (("modifiedon", context.now), ("modifiedby", context.caller)):
        if name in writer.stored:
            changed[name] = stamp
    return changed


def needs_row(writer: Writer, changed: Mapping[str, Any]) -> bool:
    """Whether an update depends on what the row holds now."""
    watched = {"firstname", "lastname", "statecode", "statuscode"} | writer.money
    return not watched.isdisjoint(changed)


def _refuse_nulls(table: Table, changed: Mapping[str, Any]) -> None:
    for name, value in changed.items():
        if value is None and name in table.columns and table.columns[name].required == "SystemRequired":
            raise ServiceError(400, "0x8004203e", f"The attribute '{name}' cannot be set to NULL.")


def read_stored(context: Context, table: Table, row_id: str) -> dict[str, Any]:
    """All stored values of a row. Raises 404 when it is gone."""
    cursor = context.org.store.connection.execute(
        f"SELECT * FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?", (row_id,)
    )
    row = cursor.fetchone()
    if row is None:
        raise row_missing(table.name, row_id)
    return dict(zip((item[0] for item in cursor.description), row, strict=True))


def write_updates(context: Context, table: Table, updates: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Write changes of several rows; changes of one shape go in one statement."""
    version = context.org.store.reserve_versions(len(updates))
    groups: dict[tuple[str, ...], list[list[Any]]] = {}
    for at, (row_id, changed) in enumerate(updates):
        groups.setdefault(tuple(changed), []).append([*changed.values(), version + at, row_id])
    for names, group in groups.items():
        listed = ", ".join(f"{quoted(name)} = ?" for name in (*names, "versionnumber"))
        sql = f"UPDATE {quoted(table.name)} SET {listed} WHERE {quoted(table.primary_id)} = ?"
        _guarded(context, table, sql, group)
    context.rows_touched += len(updates)
    context.org.store.count_change(table.name, "updated", len(updates))
    _cascade_owners(context, table, updates)


def _cascade_owners(context: Context, table: Table, updates: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Assigning a parent assigns its children where the relationship says so (dataverse-api 12)."""
    owners = [(row_id, changed) for row_id, changed in updates if "ownerid" in changed]
    if not owners:
        return
    for relationship in context.org.schema.children_of(table.name):
        child = context.org.schema.tables[relationship.child]
        if relationship.cascade.get("Assign") == "Cascade" and _stored(child, "ownerid"):
            for row_id, changed in owners:
                _assign_children(context, relationship, child, row_id, changed)


_OWNER_COLUMNS = ("ownerid", "ownerid__type", "owninguser", "owningteam", "owningbusinessunit")


def _assign_children(
    context: Context, relationship: Relationship, child: Table, parent_id: str, changed: Mapping[str, Any]
) -> None:
    names = [name for name in _OWNER_COLUMNS if name in changed and (name in child.columns or name == "ownerid__type")]
    values = {name: changed[name] for name in names}
    own = changed["ownerid"]
    ids = [i for i in child_ids(context, relationship, child, parent_id) if _owner_of(context, child, i) != own]
    if ids:
        write_updates(context, child, [(row_id, dict(values)) for row_id in ids])


def _owner_of(context: Context, table: Table, row_id: str) -> str | None:
    return read_stored(context, table, row_id).get("ownerid")


def child_ids(context: Context, relationship: Relationship, child: Table, parent_id: str) -> list[str]:
    """Ids of the rows that point at a parent through one relationship."""
    sql = (
        f"SELECT {quoted(child.primary_id)} FROM {quoted(child.name)} "
        f"WHERE {quoted(relationship.column)} = ?{_type_test(child, relationship)}"
    )
    return [row[0] for row in context.org.store.query(sql, (parent_id,))]


def _type_test(child: Table, relationship: Relationship) -> str:
    hidden = type_column(child.columns[relationship.column])
    return f" AND {quoted(hidden)} = '{relationship.parent}'" if hidden else ""


def delete_row(context: Context, table: Table, row_id: str) -> None:
    """Delete a row, its dependent rows and the links to it, as the relationships say."""
    require_right(context, "Delete", table)
    with context.org.store.transaction():
        row = read_stored(context, table, row_id)
        _delete(context, table, row_id, row)


def _delete(context: Context, table: Table, row_id: str, row: Mapping[str, Any]) -> None:
    store = context.org.store
    store.execute(f"DELETE FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?", (row_id,))
    store.count_change(table.name, "deleted")
    if table.tracked:
        store.note_deleted(table.name, row_id)
    context.rows_touched += 1
    context.known_rows.discard((table.name, row_id))
    if context.org.switches.recycle_bin and table.name not in _NEVER_IN_BIN:
        _put_in_bin(context, table, row_id, row)
    for relationship in context.org.schema.children_of(table.name):
        _cascade_delete(context, relationship, row_id)
    for _, side in context.org.schema.sides_of(table.name):
        sql = f"DELETE FROM {quoted(side.relation.intersect)} WHERE {quoted(side.own_column)} = ?"
        store.execute(sql, (row_id,))


_NEVER_IN_BIN = frozenset({"template", "savedquery", "userquery", "publisher", "solution", "systemuser"})


def _put_in_bin(context: Context, table: Table, row_id: str, row: Mapping[str, Any]) -> None:
    context.org.store.execute(
        "INSERT OR REPLACE INTO _bin VALUES (?, ?, ?, ?)",
        (table.name, row_id, context.now, orjson.dumps(dict(row)).decode()),
    )


def _cascade_delete(context: Context, relationship: Relationship, parent_id: str) -> None:
    if relationship.on_delete == "NoCascade":
        return
    child = context.org.schema.tables[relationship.child]
    ids = child_ids(context, relationship, child, parent_id)
    if not ids:
        return
    if relationship.on_delete == "Restrict":
        raise ServiceError(
            400,
            "0x80040227",
            "The object you tried to delete is associated with another object and cannot be deleted.",
        )
    if relationship.on_delete != "Cascade":
        _unlink(context, child, relationship, ids)
        return
    for row_id in ids:
        _delete_child(context, child, row_id)


def _delete_child(context: Context, child: Table, row_id: str) -> None:
    sql = f"SELECT 1 FROM {quoted(child.name)} WHERE {quoted(child.primary_id)} = ?"
    if context.org.store.query(sql, (row_id,)):
        _delete(context, child, row_id, read_stored(context, child, row_id))


def _unlink(context: Context, child: Table, relationship: Relationship, ids: list[str]) -> None:
    changed: dict[str, Any] = {relationship.column: None}
    hidden = type_column(child.columns[relationship.column])
    if hidden:
        changed[hidden] = None
    write_updates(context, child, [(row_id, changed) for row_id in ids])
