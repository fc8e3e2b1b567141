"""Users and teams as owners of rows: who can own, and why somebody cannot (SR-109)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.reads import Reads, Row
from cio2d365.errors import PrivilegeError
from cio2d365.tables import OWNER_SETS

Kind = Literal["person", "application", "team"]
USER_ROLES, TEAM_ROLES, MEMBERS = "systemuserroles_association", "teamroles_association", "teammembership_association"
# Such owners are refused with 0x8004022b and 0x80040231 (`dataverse-api 13`).
DISABLED, NO_ROLE = "disabled", "no security role"
ACCESS_TEAM = 1  # teamtype; the others are owner teams and teams of the directory (`dataverse-api 13`)


@dataclass(frozen=True)
class Owner:
    """A user or team. `obstacle` says why it cannot own rows; empty when it can."""

    id: str
    kind: Kind
    name: str
    email: str = ""
    login: str = ""
    disabled: bool = False
    obstacle: str = ""

    @property
    def can_own(self) -> bool:
        """Whether rows can be given to it."""
        return not self.obstacle

    @property
    def path(self) -> str:
        """What a row's `ownerid` is bound to when it is given to this owner: `/systemusers(id)` or `/teams(id)`."""
        return f"/{OWNER_SETS['team' if self.kind == 'team' else 'systemuser']}({self.id})"

    @property
    def label(self) -> str:
        """How people call it: a user by name, else by address; a team as such."""
        return f"team {self.name}" if self.kind == "team" else self.name or self.email or self.login


def owners(client: Dataverse) -> tuple[Owner, ...]:
    """All users and teams; raises PrivilegeError when they may not be read."""
    reads = Reads(client)
    found = read_owners(reads)
    if reads.unread:
        raise PrivilegeError(f"{reads.unread[0].what} could not be read: {reads.unread[0].reason}")
    return found


def read_owners(reads: Reads) -> tuple[Owner, ...]:
    """All users and teams that the load user may see."""
    teams = _teams(reads)
    by_team = {str(m["systemuserid"]) for team in teams if _roles(team) for m in team.get(MEMBERS) or []}
    return (*(_user(row, by_team) for row in _users(reads)), *(_team(row) for row in teams))


def _users(reads: Reads) -> list[Row]:
    names = "fullname,internalemailaddress,domainname,isdisabled,accessmode,applicationid"
    query = {"$select": names, "$expand": f"{USER_ROLES}($select=name)"}
    return reads.rows("users", "systemusers", query)


def _teams(reads: Reads) -> list[Row]:
    expand = f"{TEAM_ROLES}($select=name),{MEMBERS}($select=systemuserid)"
    return reads.rows("teams", "teams", {"$select": "name,teamtype,emailaddress", "$expand": expand})


def _roles(row: Row) -> list[Row]:
    return [*(row.get(USER_ROLES) or []), *(row.get(TEAM_ROLES) or [])]


def _user(row: Row, with_role_by_team: Set[str]) -> Owner:
    has_role = bool(_roles(row)) or row["systemuserid"] in with_role_by_team
    return Owner(
        id=str(row["systemuserid"]),
        kind="application" if row.get("applicationid") else "person",
        name=str(row.get("fullname") or ""),
        email=str(row.get("internalemailaddress") or ""),
        login=str(row.get("domainname") or ""),
        disabled=bool(row.get("isdisabled")),
        obstacle=DISABLED if row.get("isdisabled") else "" if has_role else NO_ROLE,
    )


def _team(row: Row) -> Owner:
    obstacle = "access team" if row.get("teamtype") == ACCESS_TEAM else "" if _roles(row) else NO_ROLE
    return Owner(
        str(row["teamid"]), "team", str(row.get("name") or ""), str(row.get("emailaddress") or ""), obstacle=obstacle
    )
