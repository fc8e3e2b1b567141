"""Running a FetchXML query: pages with a cookie, aggregates with their limit, saved queries."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from .context import Answer, Context, json_answer
from .errors import ServiceError, bad_query, row_missing
from .fetchxml import Fetch, Output, compile_fetch
from .privileges import require_right
from .reader import option_label
from .schema import Table

_PAGE = 5000
_MOST_AGGREGATED = 50_000
_TOTAL_LIMIT = 5000
_FORMATTED = "@OData.Community.Display.V1.FormattedValue"
_CRM = "@Microsoft.Dynamics.CRM."


def read_fetch(context: Context, table: Table, text: str) -> Answer:
    """`GET set?fetchXml=…`: the rows without empty values."""
    require_right(context, "Read", table)
    fetch = compile_fetch(context, text)
    if fetch.table.name != table.name:
        raise bad_query(f"The entity of the FetchXML must be '{table.name}', the one of the URL.")
    body: dict[str, Any] = {"@odata.context": f"{context.root}$metadata#{table.set_name}"}
    if fetch.aggregate:
        return json_answer({**body, "value": _aggregate(context, fetch)})
    rows, more = _page(context, fetch)
    if context.annotations:
        body.update(_page_notes(context, fetch, rows, more))
    elif fetch.total:
        body.update(_totals(context, fetch))
    return json_answer({**body, "value": rows})


def saved_query(context: Context, kind: str, query_id: str) -> str:
    """FetchXML of a `savedQuery` or `userQuery`."""
    sql = f"SELECT fetchxml FROM {kind} WHERE {kind}id = ?"
    rows = context.org.store.query(sql, (query_id.lower(),))
    if not rows or not rows[0][0]:
        raise row_missing(kind, query_id)
    return str(rows[0][0])


def _aggregate(context: Context, fetch: Fetch) -> list[dict[str, Any]]:
    body, values = fetch.body()
    scanned = context.org.store.query(f"SELECT count(*) FROM (SELECT 1 {body} LIMIT {_MOST_AGGREGATED + 1})", values)
    if scanned[0][0] > _MOST_AGGREGATED:
        raise ServiceError(
            400,
            "0x8004e023",
            "The maximum record limit is exceeded. Reduce the number of records. AggregateQueryRecordLimit exceeded.",
        )
    listed = ", ".join(output.expression for output in fetch.outputs)
    groups = f" GROUP BY {', '.join(fetch.groups)}" if fetch.groups else ""
    order = f" ORDER BY {', '.join(fetch.orders)}" if fetch.orders else ""
    found = context.org.store.query(f"SELECT {listed} {body}{groups}{order} LIMIT {_PAGE}", values)
    return [_row(context, fetch, item) for item in found]


def _page(context: Context, fetch: Fetch) -> tuple[list[dict[str, Any]], bool]:
    _check_cookie(fetch)
    size = min(fetch.top or fetch.count or _preferred(context), _PAGE)
    body, values = fetch.body()
    listed = ", ".join(output.expression for output in fetch.outputs)
    keys = [f't."{fetch.table.primary_id}"'] if not fetch.distinct else []
    order = ", ".join([*fetch.orders, *keys])
    sql = f"SELECT {'DISTINCT ' if fetch.distinct else ''}{listed} {body}"
    sql += f"{' ORDER BY ' + order if order else ''} LIMIT ? OFFSET ?"
    found = context.org.store.query(sql, [*values, size + 1, (fetch.page - 1) * size])
    rows = [_row(context, fetch, item) for item in found[:size]]
    return rows, len(found) > size and fetch.top is None


def _preferred(context: Context) -> int:
    text = context.preferences.get("odata.maxpagesize", "")
    return int(text) if text.isdigit() and int(text) else _PAGE


def _check_cookie(fetch: Fetch) -> None:
    """A cookie must be XML again after it was unpacked from the attribute."""
    if not fetch.cookie:
        return
    try:
        ElementTree.fromstring(unquote(unquote(fetch.cookie)))
    except ElementTree.ParseError:
        raise ServiceError(400, "0x8004112a", "Invalid page number in paging cookie.") from None


def _row(context: Context, fetch: Fetch, values: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for output, value in zip(fetch.outputs, values, strict=True):
        if value is not None:
            row[output.name] = _shown(output, value)
            if context.annotations and output.column is not None and output.column.options:
                row[output.name + _FORMATTED] = option_label(output.column, value)
    return row


def _shown(output: Output, value: Any) -> Any:
    return value == 1 if output.column is not None and output.column.type == "Boolean" else value


def _page_notes(context: Context, fetch: Fetch, rows: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    notes: dict[str, Any] = _totals(context, fetch) if fetch.total else {}
    if more:
        notes[f"{_CRM}morerecords"] = True
        notes[f"{_CRM}fetchxmlpagingcookie"] = _cookie(fetch, rows)
    return notes


def _totals(context: Context, fetch: Fetch) -> dict[str, Any]:
    body, values = fetch.body()
    sql = f"SELECT count(*) FROM (SELECT 1 {body} LIMIT {_TOTAL_LIMIT + 1})"
    number = context.org.store.query(sql, values)[0][0]
    return {
        f"{_CRM}totalrecordcount": min(number, _TOTAL_LIMIT),
        f"{_CRM}totalrecordcountlimitexceeded": number > _TOTAL_LIMIT,
    }


def _cookie(fetch: Fetch, rows: list[dict[str, Any]]) -> str:
    """Twice URL-encoded, as the service sends it."""
    key = fetch.table.primary_id
    first, last = rows[0].get(key, ""), rows[-1].get(key, "")
    inner = f'<cookie page="{fetch.page}"><{key} last="{{{last}}}" first="{{{first}}}" /></cookie>'
    packed = quote(quote(inner, safe=""), safe="")
    return f'<cookie pagenumber="{fetch.page + 1}" pagingcookie="{packed}" istracking="False" />'
