"""GET on rows: one row, or a collection in pages with an opaque next link."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from .address import RowAddress, missing, require_row
from .context import Answer, Context, json_answer
from .errors import ServiceError, bad_query, unknown_property
from .odata import parse
from .privileges import require_right
from .reader import Reader, Row, selected
from .schema import Column, Table
from .sqlfilter import find_property, order_expression, where
from .store import quoted, type_column

PAGE_LIMIT = 5000
COUNT_LIMIT = 5000
_MOST_TOP = 2_147_483_647
_OPTIONS = re.compile(r"\$(\w+)=((?:[^;()]|\([^()]*\))*)")
_ALLOWED = {"$select", "$filter", "$orderby", "$top", "$expand", "$count", "$skiptoken", "$deltatoken"}


@dataclass(frozen=True)
class Expand:
    """One `$expand` item: where to go and what to show there."""

    navigation: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """A collection query, ready to run."""

    table: Table
    reader: Reader
    condition: str = "1=1"
    parameters: list[Any] = field(default_factory=list)
    order: str = ""
    expands: list[Expand] = field(default_factory=list)


def read_one(context: Context, address: RowAddress) -> Answer:
    """One row by id or key."""
    require_right(context, "Read", address.table)
    row_id = require_row(context, address)
    row = fetch_one(context, address.table, row_id, context.query)
    if row is None:
        raise missing(address)
    if context.headers.get("if-none-match") == row["@odata.etag"]:
        return Answer(304, b"", {"ETag": row["@odata.etag"]})
    name = f"{context.root}$metadata#{address.table.set_name}/$entity"
    return json_answer({"@odata.context": name, **row}, headers={"ETag": row["@odata.etag"]})


def fetch_one(context: Context, table: Table, row_id: str, options: Mapping[str, str]) -> Row | None:
    """One row as JSON with its expansions; None when it does not exist."""
    reader = Reader(table, selected(table, options.get("$select"), find_property))
    sql = f"SELECT {reader.sql_list} FROM {quoted(table.name)} t WHERE t.{quoted(table.primary_id)} = ?"
    values = context.org.store.query(sql, (row_id,))
    if not values:
        return None
    rows = _finish(context, reader, values)
    _expand_all(context, table, rows, parse_expand(options.get("$expand", "")))
    return rows[0]


def _finish(context: Context, reader: Reader, values: list[Any]) -> list[Row]:
    if not context.annotations:
        return [reader.row(item) for item in values]
    return [reader.annotate(context, reader.row(item), item) for item in values]


def read_collection(context: Context, table: Table) -> Answer:
    """A page of rows of a table, with `@odata.count` and `@odata.nextLink` where they belong."""
    return _read_page(context, checked_plan(context, table))


def read_related(context: Context, source: Collection, row_id: str, counted: bool = False) -> Answer:
    """The rows behind a collection of one row, in pages, or (`counted`) their bare number."""
    plan = _narrowed(checked_plan(context, source.table), source.test, row_id)
    return _bare_count(context, plan) if counted else _read_page(context, plan)


def checked_plan(context: Context, table: Table) -> Plan:
    """The options of the request as a query. Raises 403 for callers without the right to read."""
    require_right(context, "Read", table)
    _refuse_unknown_options(context)
    return make_plan(context, table, context.query)


def _narrowed(plan: Plan, test: str, row_id: str) -> Plan:
    return replace(plan, condition=f"({plan.condition}) AND {test}", parameters=[*plan.parameters, row_id])


def _read_page(context: Context, plan: Plan) -> Answer:
    page = take_page(context, plan)
    body: dict[str, Any] = {"@odata.context": f"{context.root}$metadata#{plan.table.set_name}"}
    body.update(_counted(context, plan))
    body["value"] = page.rows
    if page.next_link:
        body["@odata.nextLink"] = page.next_link
    return json_answer(body, headers=applied(context))


@dataclass(frozen=True)
class Page:
    """Rows of one answer, and the link to the next one if there are more."""

    rows: list[Row]
    next_link: str | None


def take_page(context: Context, plan: Plan, since: int | None = None) -> Page:
    """The page that the request asks for. `since` (a row version) travels in the links of a tracked read."""
    top = _top(context.query)
    token = read_token(context)
    size = page_size(context)
    wanted = size if top is None else min(size, top - token.served)
    values = _page(context, plan, token.skip, wanted + 1)
    more = len(values) > wanted and (top is None or token.served + wanted < top)
    rows = _finish(context, plan.reader, values[:wanted])
    _expand_all(context, plan.table, rows, plan.expands)
    behind = PageToken(_advance(plan, token.skip, rows), token.served + wanted, since) if more else None
    return Page(rows, _next_link(context, behind) if behind else None)


def applied(context: Context) -> dict[str, str]:
    """The header that says which preferences were honoured."""
    names = ("odata.maxpagesize", "odata.include-annotations")
    used = [
        f'{name}="{context.preferences[name]}"' if "include" in name else f"{name}={context.preferences[name]}"
        for name in names
        if name in context.preferences
    ]
    return {"Preference-Applied": ", ".join(used)} if used else {}


def _refuse_unknown_options(context: Context) -> None:
    for name in context.query:
        if name == "$skip":
            raise ServiceError(400, "0x80060888", "Skip Clause is not supported in CRM")
        if name.startswith("$") and name not in _ALLOWED:
            raise bad_query(f"The query parameter '{name}' is not supported.")


def make_plan(context: Context, table: Table, options: Mapping[str, str]) -> Plan:
    """Compile the options of a collection query."""
    condition: str = "1=1"
    parameters: list[Any] = []
    if "$filter" in options:
        tree = parse(options["$filter"], context.aliases)
        condition, parameters = where(context, table, tree, "t")
    return Plan(
        table,
        Reader(table, selected(table, options.get("$select"), find_property)),
        condition,
        parameters,
        _order(table, options.get("$orderby", "")),
        parse_expand(options.get("$expand", "")),
    )


def _order(table: Table, text: str) -> str:
    parts = []
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, direction = item.partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc"):
            raise bad_query(f"'{direction}' is not a sort direction.")
        parts.append(f"{order_expression(find_property(table, name), 't')} {direction.strip().upper() or 'ASC'}")
    return ", ".join(parts)


def page_size(context: Context) -> int:
    """Rows per page: what `Prefer: odata.maxpagesize` asks for, at most 5,000."""
    text = context.preferences.get("odata.maxpagesize")
    if text is None:
        return PAGE_LIMIT
    if not text.isdigit() or int(text) < 1:
        raise bad_query("The value of odata.maxpagesize must be a positive number.")
    return min(int(text), PAGE_LIMIT)


def _top(options: Mapping[str, str]) -> int | None:
    text = options.get("$top")
    if text is None:
        return None
    if not text.isdigit() or int(text) > _MOST_TOP:
        raise bad_query(
            f"Invalid value '{text}' for $top query option found. The $top query option requires a non-negative "
            "integer value."
        )
    return int(text)


def _page(context: Context, plan: Plan, skip: Any, limit: int) -> list[Any]:
    """Ordered queries skip by number; unordered ones go on behind the last primary key."""
    key = f"t.{quoted(plan.table.primary_id)}"
    head = f"SELECT {plan.reader.sql_list} FROM {quoted(plan.table.name)} t WHERE {plan.condition}"
    if plan.order:
        sql = f"{head} ORDER BY {plan.order}, {key} LIMIT ? OFFSET ?"
        return context.org.store.query(sql, [*plan.parameters, limit, skip or 0])
    behind = f" AND {key} > ?" if skip else ""
    sql = f"{head}{behind} ORDER BY {key} LIMIT ?"
    return context.org.store.query(sql, [*plan.parameters, *([skip] if skip else []), limit])


def _advance(plan: Plan, skip: Any, rows: list[Row]) -> Any:
    return (skip or 0) + len(rows) if plan.order else rows[-1][plan.table.primary_id]


@dataclass(frozen=True)
class PageToken:
    """Where a page begins: what to skip (a number of rows, or the last primary key) and how many rows came before."""

    skip: Any = None
    served: int = 0
    since: int | None = None


def read_token(context: Context) -> PageToken:
    """What the `$skiptoken` of the request says. Raises 400 for one that was not made here."""
    token = context.query.get("$skiptoken")
    if not token:
        return PageToken()
    found = _COOKIE.fullmatch(token)
    try:
        return PageToken(*orjson.loads(base64.urlsafe_b64decode(found[1]))) if found else _broken_token()
    except (ValueError, TypeError):
        return _broken_token()


def _broken_token() -> PageToken:
    raise ServiceError(400, "0x8004112a", "Invalid page number in paging cookie.")


_COOKIE = re.compile(r"<cookie pagenumber=\"\d+\" pagingcookie=\"([\w=-]+)\" istracking=\"(?:False|True)\" />")


def _next_link(context: Context, token: PageToken) -> str:
    packed = base64.urlsafe_b64encode(orjson.dumps([token.skip, token.served, token.since])).decode()
    tracking = token.since is not None
    cookie = f'<cookie pagenumber="2" pagingcookie="{packed}" istracking="{tracking}" />'
    options = {**context.query, "$skiptoken": cookie}
    options.pop("$count", None)
    path = quote(context.path.strip("/"), safe="(),=/'$")
    return f"{context.root}{path}?{urlencode(options, quote_via=quote, safe='$,')}"


def _counted(context: Context, plan: Plan) -> dict[str, Any]:
    wanted = context.query.get("$count", "false")
    if wanted not in ("true", "false"):
        raise bad_query(f"Invalid value '{wanted}' for $count query option found.")
    if wanted == "false":
        return {}
    number = count_rows(context, plan)
    found: dict[str, Any] = {"@odata.count": min(number, COUNT_LIMIT)}
    if context.wants("Microsoft.Dynamics.CRM.totalrecordcount"):
        found["@Microsoft.Dynamics.CRM.totalrecordcount"] = min(number, COUNT_LIMIT)
        found["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] = number > COUNT_LIMIT
    return found


def count_rows(context: Context, plan: Plan) -> int:
    """Rows that match, counted no further than one past the limit."""
    inner = f"SELECT 1 FROM {quoted(plan.table.name)} t WHERE {plan.condition} LIMIT {COUNT_LIMIT + 1}"
    return int(context.org.store.query(f"SELECT count(*) FROM ({inner})", plan.parameters)[0][0])


def read_count(context: Context, table: Table) -> Answer:
    """`/set/$count`: a bare number, at most 5,000."""
    return _bare_count(context, checked_plan(context, table))


def _bare_count(context: Context, plan: Plan) -> Answer:
    number = min(count_rows(context, plan), COUNT_LIMIT)
    return Answer(200, str(number).encode(), {"Content-Type": "text/plain"})


def parse_expand(text: str) -> list[Expand]:
    """`nav($select=a,b;$filter=…),other` as items."""
    items, depth, current = [], 0, ""
    for char in text + ",":
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            if current.strip():
                items.append(_expand_item(current.strip()))
            current = ""
        else:
            current += char
    if depth:
        raise bad_query(f"The parentheses of the $expand '{text}' do not match.")
    return items


def _expand_item(text: str) -> Expand:
    name, _, inside = text.partition("(")
    options = {f"${key}": value for key, value in _OPTIONS.findall(inside[:-1] if inside else "")}
    return Expand(name.strip(), options)


def _expand_all(context: Context, table: Table, rows: list[Row], expands: list[Expand]) -> None:
    for expand in expands:
        column = _lookup_of(table, expand.navigation)
        if column:
            _expand_lookup(context, table, rows, expand, *column)
        else:
            _expand_collection(context, table, rows, expand)


def _lookup_of(table: Table, navigation: str) -> tuple[Column, str] | None:
    for column in table.columns.values():
        for target, name in column.navigation.items():
            if name == navigation and column.stored:
                return column, target
    return None


def _expand_lookup(
    context: Context, table: Table, rows: list[Row], expand: Expand, column: Column, target: str
) -> None:
    other = context.org.schema.tables.get(target)
    if other is None:
        raise unknown_property(expand.navigation, table.name)
    selected(other, expand.options.get("$select"), find_property)
    hidden = type_column(column)
    kind = quoted(hidden) if hidden else f"'{target}'"
    sql = f"SELECT {quoted(column.name)}, {kind} FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?"
    for row in rows:
        found = context.org.store.query(sql, (row[table.primary_id],))[0]
        fits = found[0] is not None and found[1] == target
        row[expand.navigation] = fetch_one(context, other, found[0], expand.options) if fits else None


def _expand_collection(context: Context, table: Table, rows: list[Row], expand: Expand) -> None:
    source = collection_of(context, table, expand.navigation)
    if source is None:
        raise unknown_property(expand.navigation, table.name)
    plan, top = make_plan(context, source.table, expand.options), _top(expand.options)
    size = PAGE_LIMIT if top is None else min(top, PAGE_LIMIT)
    for row in rows:
        values = _page(context, _narrowed(plan, source.test, row[table.primary_id]), None, size)
        row[expand.navigation] = _finish(context, plan.reader, values)
        _expand_all(context, source.table, row[expand.navigation], plan.expands)


@dataclass(frozen=True)
class Collection:
    """A collection-valued navigation property: the table it leads to, and the SQL test for the rows of one owner."""

    table: Table
    test: str


def collection_of(context: Context, table: Table, navigation: str) -> Collection | None:
    """The many side of a relationship, or the other end of a many-to-many one; None for any other name."""
    schema = context.org.schema
    relation = next((r for r in schema.children_of(table.name) if r.parent_navigation == navigation), None)
    if relation is not None:
        return Collection(schema.tables[relation.child], f"t.{quoted(relation.column)} = ?")
    side = schema.side_of(table.name, navigation)
    if side is None:
        return None
    other = schema.tables[side.other]
    links = f"SELECT {quoted(side.other_column)} FROM {quoted(side.relation.intersect)}"
    test = f"t.{quoted(other.primary_id)} IN ({links} WHERE {quoted(side.own_column)} = ?)"
    return Collection(other, test)
