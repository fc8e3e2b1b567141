"""Requests as values: build here, send elsewhere (`dataverse-api 2, 3, 5`). Values are encoded (L11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from cio2d365.tables import Table
from cio2d365.transport import Request, json_body

API = "/api/data/v9.2"
HEADERS = {"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
PAGE_ROWS = 5000
IDS_PER_QUERY = 400  # In() with 400 GUIDs is about 19,000 characters; an address may have 32,768


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


def text(value: str) -> str:
    """An OData string literal: quotes doubled (B-020, B-119)."""
    return "'" + value.replace("'", "''") + "'"


def rows(table: Table, select: Sequence[str], where: str = "") -> Request:
    """The rows of a table, 5,000 a page."""
    query = {"$select": ",".join(select)} | ({"$filter": where} if where else {})
    return get(table.set_name, query, page=PAGE_ROWS)


def rows_by_id(table: Table, ids: Iterable[str], select: Sequence[str], *, lookup_tables: bool = False) -> Request:
    """Those rows of a table whose primary key is among `ids` (at most IDS_PER_QUERY)."""
    values = ",".join(text(i) for i in ids)
    where = f"Microsoft.Dynamics.CRM.In(PropertyName={text(table.primary_id)},PropertyValues=[{values}])"
    request = rows(table, select, where)
    if not lookup_tables:
        return request
    prefer = f'{request.headers["Prefer"]},odata.include-annotations="{LOOKUP_TABLE}"'
    return replace(request, headers={**request.headers, "Prefer": prefer})


def create_multiple(table: Table, targets: Sequence[Mapping[str, Any]]) -> Request:
    """New rows with ids that we chose. All or nothing; not to be repeated blindly after an unclear end (L7)."""
    return _bulk(table, "CreateMultiple", targets, repeatable=False)


def upsert_multiple(table: Table, targets: Sequence[Mapping[str, Any]]) -> Request:
    """Rows by primary key, created or updated. All or nothing; harmless to repeat."""
    return _bulk(table, "UpsertMultiple", targets, repeatable=True)


def _bulk(table: Table, message: str, targets: Sequence[Mapping[str, Any]], *, repeatable: bool) -> Request:
    kind = {"@odata.type": f"Microsoft.Dynamics.CRM.{table.name}"}
    path = f"{table.set_name}/Microsoft.Dynamics.CRM.{message}"
    return post(path, {"Targets": [{**kind, **row} for row in targets]}, repeatable=repeatable)


def delete_row(table: Table, row_id: str, etag: str | None = None) -> Request:
    """Delete one row; with `etag` only if nobody changed it since."""
    return Request("DELETE", f"{API}/{table.set_name}({row_id})", headers={"If-Match": etag} if etag else {})


def update_row(table: Table, row_id: str, values: Mapping[str, Any], etag: str = "*") -> Request:
    """Update one existing row; `If-Match` keeps a PATCH from creating it."""
    path = f"{API}/{table.set_name}({row_id})"
    return Request("PATCH", path, json_body(values), {**JSON, "If-Match": etag})
