"""The user that loads: who it is, and which security roles it has, also through teams (SR-121)."""

from __future__ import annotations

from dataclasses import dataclass

from cio2d365.dataverse.client import Identity
from cio2d365.dataverse.reads import Reads

SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER = "System Administrator", "System Customizer"
NON_INTERACTIVE = 4  # accessmode (`dataverse-api 13`)


@dataclass(frozen=True)
class LoadUser:
    """Who the server says we are.

    `team_roles` are pairs of role and team. `in_root_unit` says whether its business unit stands above all others.
    """

    id: str
    name: str = ""
    login: str = ""
    kind: str = ""
    disabled: bool = False
    business_unit: str = ""
    in_root_unit: bool = False
    roles: tuple[str, ...] = ()
    team_roles: tuple[tuple[str, str], ...] = ()

    @property
    def every_role(self) -> tuple[str, ...]:
        """Names of all roles, own ones and those of teams."""
        return tuple(sorted({*self.roles, *(role for role, _ in self.team_roles)}))

    @property
    def gets_new_tables(self) -> bool:
        """Whether new custom tables belong to it at once: only two roles of the product are given rights on them."""
        return bool({SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER} & set(self.every_role))


def read_load_user(reads: Reads, who: Identity) -> LoadUser:
    """Ask for the user behind the token."""
    path = f"systemusers({who.user_id})"
    row = reads.value(
        "the load user",
        path,
        {"$select": "fullname,domainname,isdisabled,accessmode,applicationid"},
    )  # fmt: skip
    unit = reads.value(
        "business unit of the load user",
        f"businessunits({who.business_unit_id})",
        {"$select": "name,_parentbusinessunitid_value"},
    )
    roles = reads.rows("roles of the load user", f"{path}/systemuserroles_association", {"$select": "name"})
    return LoadUser(
        id=who.user_id,
        name=str(row.get("fullname") or ""),
        login=str(row.get("domainname") or ""),
        kind=_kind(row.get("applicationid"), row.get("accessmode")),
        disabled=bool(row.get("isdisabled")),
        business_unit=str(unit.get("name") or ""),
        in_root_unit=bool(unit) and unit.get("_parentbusinessunitid_value") is None,
        roles=tuple(sorted(str(role["name"]) for role in roles)),
        team_roles=_team_roles(reads, path),
    )


def _kind(application: object, access_mode: object) -> str:
    if application:
        return "application user"
    return "non-interactive user" if access_mode == NON_INTERACTIVE else "person"


def _team_roles(reads: Reads, path: str) -> tuple[tuple[str, str], ...]:
    what = "teams of the load user"
    teams = reads.rows(what, f"{path}/teammembership_association", {"$select": "name"})
    found = {
        (str(role["name"]), str(team["name"]))
        for team in teams
        for role in reads.rows(what, f"teams({team['teamid']})/teamroles_association", {"$select": "name"})
    }
    return tuple(sorted(found))
