"""Security roles: what they grant, what a user holds through them, and the refusal for what is missing.

Privileges are named `prv`, right, and the table's schema name; a few tables share or shorten theirs. What a role grants
is enforced as granted or not. Depths (Basic, Local, Deep, Global) are told, but every grant reaches all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from .context import Answer, Context, json_answer
from .errors import ServiceError, malformed
from .organization import Organization
from .schema import Table, metadata_id

DEPTHS = ("Basic", "Local", "Deep", "Global")
RIGHTS = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")
SCHEMA = tuple(
    f"prv{right}{part}"
    for part in ("Entity", "Attribute", "Relationship", "EntityKey", "OptionSet")
    for right in ("Create", "Read", "Write", "Delete")
)
OTHERS = (
    "prvOverrideCreatedOnCreatedBy",
    "prvBulkDelete",
    "prvBypassCustomBusinessLogic",
    "prvBypassCustomPlugins",
    "prvActOnBehalfOfAnotherUser",
    "prvPublishCustomization",
)
_SUFFIXES = {"systemuser": "User", "annotation": "Note", "activityparty": "Activity", "activitypointer": "Activity",
             "savedquery": "Query", "solutioncomponent": "Solution"}  # fmt: skip
_SELLING = ("account", "contact", "lead", "campaign", "campaignresponse", "list", "listmember", "annotation")
_MAKING = ("publisher", "solution", "solutioncomponent", "savedquery")
ADMINISTRATOR, CUSTOMIZER, SALESPERSON, BASIC = "System Administrator", "System Customizer", "Salesperson", "Basic User"
_META = "role_grants"

Held = dict[str, str]


def privilege_name(right: str, table: Table) -> str:
    """Name of a table's privilege."""
    return f"prv{right}{'Activity' if table.activity else _SUFFIXES.get(table.name, table.schema_name)}"


def table_privileges(table: Table) -> list[dict[str, Any]]:
    """The `Privileges` of EntityMetadata; a table that nobody owns cannot be assigned or shared."""
    owned = table.ownership == "UserOwned"
    rights = () if table.intersect else RIGHTS if owned else RIGHTS[:6]
    return [_shown(privilege_name(right, table), right, owned) for right in rights]


def _shown(name: str, right: str, owned: bool) -> dict[str, Any]:
    return {
        "CanBeBasic": owned,
        "CanBeLocal": owned,
        "CanBeDeep": owned,
        "CanBeGlobal": True,
        "CanBeEntityReference": False,
        "CanBeParentEntityReference": False,
        "Name": name,
        "PrivilegeId": metadata_id("privilege", name),
        "PrivilegeType": right,
    }


def held_by(org: Organization, user: str) -> Held:
    """Privilege → greatest depth that the user's own and teams' roles grant; revoked ones are left out."""
    found: Held = {}
    for role in roles_of(org, user):
        for name, depth in _granted(org, role):
            if name not in found or DEPTHS.index(depth) > DEPTHS.index(found[name]):
                found[name] = depth
    return {name: depth for name, depth in found.items() if name not in _revoked(org)}


def roles_of(org: Organization, user: str) -> list[str]:
    """Names of the roles that a user has, through teams too."""
    sql = (
        "SELECT r.name FROM role r JOIN systemuserroles s ON s.roleid = r.roleid WHERE s.systemuserid = ? UNION "
        "SELECT r.name FROM role r JOIN teamroles t ON t.roleid = r.roleid "
        "JOIN teammembership m ON m.teamid = t.teamid WHERE m.systemuserid = ?"
    )
    return [str(row[0]) for row in org.store.query(sql, (user, user))]


def _granted(org: Organization, role: str) -> Iterator[tuple[str, str]]:
    """What a role grants: one of the product's by rule, another one as it was defined."""
    defined = role_grants(org)
    if role in defined:
        yield from defined[role].items()
        return
    if role in (ADMINISTRATOR, CUSTOMIZER):
        yield from ((name, "Global") for name in SCHEMA)
        yield "prvPublishCustomization", "Global"
    if role == ADMINISTRATOR:
        yield from ((name, "Global") for name in OTHERS)
    for table in org.schema.tables.values():
        yield from _on_table(role, table)


def _on_table(role: str, table: Table) -> Iterator[tuple[str, str]]:
    for right in RIGHTS if table.ownership == "UserOwned" else RIGHTS[:6]:
        depth = _depth(role, right, table)
        if depth:
            yield privilege_name(right, table), depth


def _depth(role: str, right: str, table: Table) -> str | None:
    """New custom tables belong to administrators and customizers only, until a role is changed."""
    if role == ADMINISTRATOR or (role == CUSTOMIZER and (table.custom or table.name in _MAKING)):
        return "Global"
    if role not in (CUSTOMIZER, SALESPERSON, BASIC) or table.custom:
        return None
    if right == "Read":
        return "Global" if role != BASIC or table.name not in _SELLING else "Basic"
    if table.name in _SELLING or table.activity:
        return "Local" if role == SALESPERSON else "Basic"
    return None


def _revoked(org: Organization) -> set[str]:
    """Names of the privileges that the fault verb has taken away; `*` stands for every table or right."""
    names = {right for _, right in org.switches.revoked if right.startswith("prv")}
    for name, right in org.switches.revoked:
        tables = (
            org.schema.tables.values() if name == "*" else (t for t in org.schema.tables.values() if t.name == name)
        )
        rights = RIGHTS if right == "*" else (right,)
        names |= {privilege_name(r, table) for table in tables for r in rights}
    return names


def role_grants(org: Organization) -> dict[str, dict[str, str]]:
    """Roles that were defined on this organisation: name → privilege → depth."""
    found: dict[str, dict[str, str]] = orjson.loads(org.store.get_meta(_META) or "{}")
    return found


def define_role(org: Organization, name: str, grants: Mapping[str, str]) -> None:
    """Say what a role grants. Raises ValueError for an unknown depth."""
    wrong = set(grants.values()) - set(DEPTHS)
    if wrong:
        raise ValueError(f"'{min(wrong)}' is no depth; there are {', '.join(DEPTHS)}")
    org.store.set_meta(_META, orjson.dumps({**role_grants(org), name: dict(grants)}).decode())


def require_right(context: Context, right: str, table: Table) -> None:
    """Refuse a caller who lacks a right on a table (faults F-26)."""
    if not table.intersect:
        _require(context, privilege_name(right, table), f" on OTC={table.object_type_code} for entity '{table.name}'")


def require_privilege(context: Context, name: str) -> None:
    """Refuse a caller who lacks a privilege that is about no single table."""
    _require(context, name, "")


def _require(context: Context, name: str, where: str) -> None:
    if not context.held:
        context.held.update(held_by(context.org, context.caller))
    if name not in context.held:
        text = f"Principal user (Id={context.caller}, type=8) is missing {name} privilege{where}."
        raise ServiceError(403, "0x80040220", text)


def user_privileges(context: Context, user: str) -> Answer:
    """RetrieveUserPrivileges, bound to a user."""
    return _answer(context, user, "RetrieveUserPrivileges", held_by(context.org, user).items())


def user_privileges_by_names(context: Context, user: str, names: Iterable[str]) -> Answer:
    """RetrieveUserSetOfPrivilegesByNames: those of the names that the user holds."""
    held = held_by(context.org, user)
    return _answer(context, user, "RetrieveUserSetOfPrivilegesByNames", ((n, held[n]) for n in names if n in held))


def _answer(context: Context, user: str, name: str, held: Iterable[tuple[str, str]]) -> Answer:
    unit = context.org.store.query("SELECT businessunitid FROM systemuser WHERE systemuserid = ?", (user,))
    rows = [
        {
            "Depth": depth,
            "PrivilegeId": metadata_id("privilege", privilege),
            "BusinessUnitId": unit[0][0],
            "PrivilegeName": privilege,
            "RecordFilterId": "00000000-0000-0000-0000-000000000000",
            "RecordFilterUniqueName": "",
        }
        for privilege, depth in held
    ]
    return json_answer(
        {"@odata.context": f"{context.root}$metadata#Microsoft.Dynamics.CRM.{name}Response", "RolePrivileges": rows}
    )


def read_names(text: str | None) -> list[str]:
    """The JSON list of names that a function's parameter holds. Raises 400 for anything else."""
    try:
        names = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise malformed("The parameter 'PrivilegeNames' is not a list of names.")
    return names
