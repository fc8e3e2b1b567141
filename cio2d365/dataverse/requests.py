"""Requests as values: build here, send elsewhere (`dataverse-api 2, 3, 5`). Values are encoded (L11).

A row is named by its GUID or by the values of an alternate key (`addresses`). A request is `repeatable` when sending it
again after an unclear end cannot do harm and says the same (L7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from cio2d365.dataverse.addresses import KeyValues, folded, path, reference
from cio2d365.dataverse.addresses import text as text
from cio2d365.dataverse.options import PLAIN, WriteOptions
from cio2d365.errors import InputError
from cio2d365.tables import Table
from cio2d365.transport import Request, json_body

API = "/api/data/v9.2"
HEADERS = {"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
TYPE = "Microsoft.Dynamics.CRM."
LOOKUP_TABLE = f"{TYPE}lookuplogicalname"
REPRESENTATION = "return=representation"
PARTITION = "partitionid"  # of an elastic table: the primary key is unique within one only (dataverse-api 11)
PAGE_ROWS = 5000
IDS_PER_QUERY = 400  # In() with 400 GUIDs is about 19,000 characters; an address may have 32,768
Row = Mapping[str, Any]


def get(path: str, query: Mapping[str, str] | None = None, *, page: int | None = None, fresh: bool = False) -> Request:
    """A read; `fresh` asks for the newest schema (`Consistency: Strong`)."""
    headers = {"Prefer": f"odata.maxpagesize={page}"} if page else {}
    strong = {"Consistency": "Strong"} if fresh else {}
    # quote_via=quote: a + for a space is understood by some parsers only
    suffix = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return Request("GET", f"{API}/{path}{suffix}", headers={**headers, **strong})


def post(path: str, value: object, *, repeatable: bool = False, headers: Mapping[str, str] | None = None) -> Request:
    """A write or action with a JSON body."""
    return Request("POST", f"{API}/{path}", json_body(value), {**JSON, **(headers or {})}, repeatable)


def rows(table: Table, select: Sequence[str], where: str = "") -> Request:
    """The rows of a table, 5,000 a page."""
    query = {"$select": ",".join(select)} | ({"$filter": where} if where else {})
    return get(table.set_name, query, page=PAGE_ROWS)


def rows_by_id(table: Table, ids: Iterable[str], select: Sequence[str], *, lookup_tables: bool = False) -> Request:
    """Those rows of a table whose primary key is among `ids` (at most IDS_PER_QUERY)."""
    values = ",".join(text(i) for i in ids)
    where = f"{TYPE}In(PropertyName={text(table.primary_id)},PropertyValues=[{values}])"
    request = rows(table, select, where)
    if not lookup_tables:
        return request
    prefer = f'{request.headers["Prefer"]},odata.include-annotations="{LOOKUP_TABLE}"'
    return replace(request, headers={**request.headers, "Prefer": prefer})


# --- one row ----------------------------------------------------------------------------------------------------------


def row(table: Table, row: str | KeyValues, select: Sequence[str]) -> Request:
    """One row with its ETag."""
    return get(path(table, row), {"$select": ",".join(select)})


def create_row(table: Table, row_id: str, values: Row, options: WriteOptions = PLAIN) -> Request:
    """Create one row with an id that we chose; refused with 412 when it is there already (`If-None-Match: *`).

    Not repeatable: the second time the server would find the row of the first.
    """
    return _patch(table, row_id, values, options, {"If-None-Match": "*"}, repeatable=False)


def update_row(
    table: Table, row: str | KeyValues, values: Row, etag: str = "*", options: WriteOptions = PLAIN
) -> Request:
    """Update one existing row; `If-Match` keeps a PATCH from creating it.

    With an `etag` only if nobody changed the row since. Then it is not repeatable: our own first try changes the ETag.
    """
    return _patch(table, row, values, options, {"If-Match": etag}, repeatable=etag == "*")


def upsert_row(table: Table, row: str | KeyValues, values: Row, options: WriteOptions = PLAIN) -> Request:
    """Create or update one row. By key: InputError when the values repeat a key column, because the body would win."""
    double = set() if isinstance(row, str) else set(row) & set(values)
    if double:
        raise InputError(f"{table.name}: {', '.join(sorted(double))} must be in the address only, not in the values")
    return _patch(table, row, values, options, {}, repeatable=True)


def delete_row(table: Table, row: str | KeyValues, etag: str | None = None, options: WriteOptions = PLAIN) -> Request:
    """Delete one row; with `etag` only if nobody changed it since."""
    match = {"If-Match": etag} if etag else {}
    return Request("DELETE", f"{API}/{path(table, row)}", headers={**options.headers, **match})


def clear_value(table: Table, row: str | KeyValues, column: str, options: WriteOptions = PLAIN) -> Request:
    """Empty one plain column."""
    return Request("DELETE", f"{API}/{path(table, row)}/{quote(column)}", headers=options.headers)


def bind_lookup(
    table: Table, row_id: str, navigation: str, target: Table, target_id: str, options: WriteOptions = PLAIN
) -> Request:
    """Let a lookup point to a row of `target`. InputError when no lookup of the table has that navigation property.

    By `@odata.bind`: a `PUT` on `$ref` wants the absolute address of the target, which a value does not know.
    """
    known = {nav for lookup in table.lookups for _, nav in lookup.targets}
    if known and navigation not in known:
        raise InputError(f"{table.name} has no navigation property {navigation} (names are case-sensitive)")
    values = {f"{navigation}@odata.bind": f"/{path(target, target_id)}"}
    return update_row(table, row_id, values, options=options)


def unbind_lookup(table: Table, row_id: str, navigation: str, options: WriteOptions = PLAIN) -> Request:
    """Let a lookup point nowhere."""
    return Request("DELETE", f"{API}/{path(table, row_id)}/{quote(navigation)}/$ref", headers=options.headers)


def with_representation(request: Request, select: Sequence[str]) -> Request:
    """The same write, answered with the row: 201 when it was created, 200 when it was updated. Costs a read."""
    headers = {**request.headers, "Prefer": REPRESENTATION}
    return replace(request, path=f"{request.path}?{urlencode({'$select': ','.join(select)})}", headers=headers)


def _patch(
    table: Table,
    row: str | KeyValues,
    values: Row,
    options: WriteOptions,
    match: Mapping[str, str],
    *,
    repeatable: bool,
) -> Request:
    headers = {**JSON, **options.headers, **match}
    return Request("PATCH", f"{API}/{path(table, row)}", json_body(values), headers, repeatable)


# --- many rows --------------------------------------------------------------------------------------------------------


def create_multiple(table: Table, targets: Sequence[Row], options: WriteOptions = PLAIN) -> Request:
    """New rows with ids that we chose. All or nothing; not to be repeated blindly after an unclear end (L7)."""
    return bulk_message(table, "CreateMultiple", targets, options, repeatable=False)


def update_multiple(table: Table, targets: Sequence[Row], options: WriteOptions = PLAIN) -> Request:
    """Existing rows by primary key. All or nothing; harmless to repeat.

    Raises InputError for a row without id, and for two with one id: the server would keep the first and say nothing.
    """
    return bulk_message(table, "UpdateMultiple", targets, options, repeatable=True)


def upsert_multiple(table: Table, targets: Sequence[Row], options: WriteOptions = PLAIN) -> Request:
    """Rows by primary key, created or updated. All or nothing; harmless to repeat."""
    return bulk_message(table, "UpsertMultiple", targets, options, repeatable=True)


def upsert_multiple_by_key(
    table: Table, key: Sequence[str], targets: Sequence[Row], options: WriteOptions = PLAIN
) -> Request:
    """Rows by the columns of an alternate key, created or updated. All or nothing; harmless to repeat.

    The key columns leave the body: a row to be created is refused with them (seen on the service, 0x80040216). Raises
    InputError for a value that cannot be addressed, and for two rows that the key cannot tell apart (F-40).
    """
    keys = [{name: target[name] for name in key} for target in targets]
    _refuse_doubles(table, [tuple(folded(v) for v in values.values()) for values in keys])
    named = [
        {"@odata.id": reference(table, values), **{k: v for k, v in target.items() if k not in values}}
        for values, target in zip(keys, targets, strict=True)
    ]
    return _targets(table, "UpsertMultiple", named, options, repeatable=True)


def bulk_message(
    table: Table, message: str, targets: Sequence[Row], options: WriteOptions, *, repeatable: bool
) -> Request:
    """A bulk message on rows that hold their primary key; each id once."""
    if message != "CreateMultiple" and any(not target.get(table.primary_id) for target in targets):
        raise InputError(f"{message} of {table.name}: every row needs its {table.primary_id}")
    ids = [(str(t[table.primary_id]).lower(), t.get(PARTITION)) for t in targets if t.get(table.primary_id)]
    _refuse_doubles(table, ids)
    return _targets(table, message, targets, options, repeatable=repeatable)


def _targets(table: Table, message: str, targets: Sequence[Row], options: WriteOptions, *, repeatable: bool) -> Request:
    kind = f"{TYPE}{table.name}"
    strangers = {str(t["@odata.type"]) for t in targets if t.get("@odata.type", kind) != kind}
    if strangers:
        raise InputError(f"{message} of {table.name}: rows of {', '.join(sorted(strangers))} are among the targets")
    body = {"Targets": [{"@odata.type": kind, **target} for target in targets]}
    return post(f"{table.set_name}/{TYPE}{message}", body, repeatable=repeatable, headers=options.headers)


def _refuse_doubles(table: Table, keys: Sequence[object]) -> None:
    if len(set(keys)) == len(keys):
        return
    twice = sum(1 for count in Counter(keys).values() if count > 1)
    raise InputError(f"{twice} keys stand for more than one row of {table.name} in one request; merge them first")
