"""Rules of single tables: states, campaign responses, list members, publishers, solutions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .context import Context
from .errors import ServiceError
from .schema import Table
from .store import quoted

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{1,7}")
_SOLUTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,64}")
_BLOCKED_FILES = frozenset({"bat", "cmd", "com", "exe", "hta", "jar", "js", "jse", "msi", "ps1", "scr", "vbe", "vbs"})
_MEMBER_TABLES = {1: "account", 2: "contact", 4: "lead"}


def check_create(context: Context, table: Table, values: dict[str, Any]) -> None:
    """What the platform's own logic refuses or adds when a row of this table is created."""
    _check_state(table, values)
    rule = _CREATE_RULES.get(table.name)
    if rule:
        rule(context, values)
    if table.activity and "activitytypecode" in table.columns:
        values["activitytypecode"] = table.name


def check_update(context: Context, table: Table, row: Mapping[str, Any], changed: dict[str, Any]) -> None:
    """The same for an update; `row` is the row as it will be."""
    if "statuscode" in changed or "statecode" in changed:
        _follow_state(table, row, changed)


def _states(table: Table) -> dict[int, int]:
    status = table.columns.get("statuscode")
    return {option.value: option.state for option in status.options if option.state is not None} if status else {}


def _state_error(table: Table, state: Any, status: Any) -> ServiceError:
    return ServiceError(
        400, "0x80048408", f"{status} is not a valid status code for state code {state} on {table.name}."
    )


def _check_state(table: Table, values: dict[str, Any]) -> None:
    states = _states(table)
    status = values.get("statuscode")
    if states and status in states and "statecode" in values and states[status] != values["statecode"]:
        raise _state_error(table, values["statecode"], status)


def _follow_state(table: Table, row: Mapping[str, Any], changed: dict[str, Any]) -> None:
    states = _states(table)
    if "statecode" in changed and "statuscode" not in changed:
        changed["statuscode"] = _default_status(table, changed["statecode"])
    status, state = changed.get("statuscode"), row.get("statecode")
    if states and status in states and states[status] != state:
        raise _state_error(table, state, status)


def _default_status(table: Table, state: int) -> int | None:
    for option in table.columns["statecode"].options:
        if option.value == state and option.default_status is not None:
            return option.default_status
    return next((value for value, owner in _states(table).items() if owner == state), None)


def _campaign_response(context: Context, values: dict[str, Any]) -> None:
    campaign = values.get("regardingobjectid")
    if campaign is None:
        raise ServiceError(400, "0x8004030a", "RegardingObjectId is a required field.")
    rows = context.org.store.query("SELECT istemplate FROM campaign WHERE campaignid = ?", (campaign,))
    if rows and rows[0][0]:
        raise ServiceError(400, "0x80040312", "CampaignResponse can not be created for Template Campaign.")


def _list_member(context: Context, values: dict[str, Any]) -> None:
    rows = context.org.store.query("SELECT createdfromcode FROM list WHERE listid = ?", (values.get("listid"),))
    wanted = _MEMBER_TABLES.get(rows[0][0]) if rows else None
    if wanted and values.get("entityid__type") not in (None, wanted):
        raise ServiceError(400, "0x80040301", "Unsupported list member type.")


def _annotation(context: Context, values: dict[str, Any]) -> None:
    """Attachments: size in bytes is computed, too large ones and blocked file types are refused."""
    body, name = values.get("documentbody"), values.get("filename") or ""
    if body is None:
        return
    size = len(body) * 3 // 4 - body.count("=", -2)
    most = context.org.store.query("SELECT maxuploadfilesize FROM organization")[0][0]
    if size > most or name.rpartition(".")[2].lower() in _BLOCKED_FILES:
        raise ServiceError(
            400,
            "0x80043e09",
            "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.",
        )
    values["filesize"] = size


def _publisher(context: Context, values: dict[str, Any]) -> None:
    prefix = values.get("customizationprefix") or ""
    if not _PREFIX.fullmatch(prefix) or prefix.lower().startswith("mscrm"):
        raise ServiceError(400, "0x8004f01e", f"The customization prefix '{prefix}' is not valid.")
    number = values.get("customizationoptionvalueprefix")
    if not isinstance(number, int) or not 10_000 <= number <= 99_999:
        raise ServiceError(400, "0x80048402", "CustomizationOptionValuePrefix must be a number between 10000 and 99999")
    _require_unique(context, "publisher", values, "0x8004f01d")


def _solution(context: Context, values: dict[str, Any]) -> None:
    if not _SOLUTION_NAME.fullmatch(values.get("uniquename") or ""):
        raise ServiceError(
            400,
            "0x8004f002",
            "Invalid character specified for solution unique name. Only characters within the ranges [A-Z], "
            "[a-z], [0-9] or _ are allowed. The first character may only be in the ranges [A-Z], [a-z] or _.",
        )
    if values.get("publisherid") is None:
        raise ServiceError(400, "0x80040200", "Required field 'publisherid' is missing on entity 'solution'.")
    _require_unique(context, "solution", values, "0x80040237")
    values.update({"ismanaged": 0, "isvisible": 1, "installedon": context.now})


def _require_unique(context: Context, table: str, values: Mapping[str, Any], code: str) -> None:
    sql = f"SELECT 1 FROM {quoted(table)} WHERE fold(uniquename) = fold(?)"
    if context.org.store.query(sql, (values.get("uniquename"),)):
        raise ServiceError(412, code, f"A {table} with the unique name '{values.get('uniquename')}' already exists.")


_CREATE_RULES: dict[str, Callable[[Context, dict[str, Any]], None]] = {
    "annotation": _annotation,
    "campaignresponse": _campaign_response,
    "listmember": _list_member,
    "publisher": _publisher,
    "solution": _solution,
}
