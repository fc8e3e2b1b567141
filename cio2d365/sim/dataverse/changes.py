"""Change tracking: a first read of the whole table ends with a delta link, which tells later what has changed since.

`Prefer: odata.track-changes` starts it. Only `$select` can be combined with it, as on the real service.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from .context import Answer, Context, json_answer
from .errors import ServiceError, bad_query
from .query import Page, Plan, applied, checked_plan, read_token, take_page
from .schema import Table

_TOKEN = re.compile(r"(\d{1,18})!.*", re.DOTALL)
_OTHER_OPTIONS = ("$filter", "$orderby", "$expand", "$top")


def is_tracked(context: Context) -> bool:
    """Whether a read of a set is about changes: a first read, a further page of it, or a delta link."""
    asked = "odata.track-changes" in context.preferences or "$deltatoken" in context.query
    return asked or read_token(context).since is not None


def read_tracked(context: Context, table: Table) -> Answer:
    """A page of a tracked read; the last page carries the delta link. Raises 400 for tables without tracking."""
    if not table.tracked:
        raise ServiceError(400, "0x80060888", f"Change tracking is not enabled for the entity '{table.name}'.")
    for option in _OTHER_OPTIONS:
        if option in context.query:
            raise bad_query(f"The query option '{option}' is not supported with change tracking.")
    since = _since(context)
    mark = read_token(context).since
    newest = context.org.store.last_version() if mark is None else mark
    plan = checked_plan(context, table)
    page = take_page(context, plan if since is None else _changed_since(plan, since), newest)
    if since is not None and not page.next_link:
        page = replace(page, rows=page.rows + _deleted_since(context, table, since))
    return _tracked_answer(context, table, page, newest)


def _since(context: Context) -> int | None:
    token = context.query.get("$deltatoken")
    if token is None:
        return None
    found = _TOKEN.fullmatch(token)
    if not found:
        raise bad_query("The delta token is not valid.")
    return int(found[1])


def _changed_since(plan: Plan, since: int) -> Plan:
    test = f"({plan.condition}) AND t.versionnumber > ?"
    return replace(plan, condition=test, parameters=[*plan.parameters, since], order="t.versionnumber")


def _deleted_since(context: Context, table: Table, since: int) -> list[dict[str, Any]]:
    name = f"{context.root}$metadata#{table.set_name}/$deletedEntity"
    ids = context.org.store.deleted_since(table, since)
    return [{"@odata.context": name, "id": row_id, "reason": "deleted"} for row_id in ids]


def _tracked_answer(context: Context, table: Table, page: Page, newest: int) -> Answer:
    chosen = context.query.get("$select", "")
    columns = f"({chosen})" if chosen else ""
    body: dict[str, Any] = {"@odata.context": f"{context.root}$metadata#{table.set_name}{columns}/$delta"}
    if page.next_link:
        body["@odata.nextLink"] = page.next_link
    else:
        body["@odata.deltaLink"] = _delta_link(context, table, newest)
    preference = {"Preference-Applied": "odata.track-changes"} if "$deltatoken" not in context.query else {}
    return json_answer({**body, "value": page.rows}, headers={**applied(context), **preference})


def _delta_link(context: Context, table: Table, newest: int) -> str:
    moment = context.org.clock.now().strftime("%m/%d/%Y %H:%M:%S")
    chosen = context.query.get("$select")
    select = f"$select={quote(chosen, safe=',')}&" if chosen else ""
    return f"{context.root}{table.set_name}?{select}$deltatoken={quote(f'{newest}!{moment}', safe='')}"
