"""What a fresh Sales organisation has registered: vendor's steps and rules, an app, time zones, user settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .schema import metadata_id

if TYPE_CHECKING:
    from .organization import Organization

Row = tuple[str, dict[str, Any]]
WESTERN_EUROPE = 110

# name, message, table, stage (20 before, 40 after), mode (0 waits for it, 1 does not)
_STEPS = (
    ("Microsoft.Dynamics.SalesCore: Create of lead", "Create", "lead", 40, 1),
    ("Microsoft.Dynamics.SalesCore: Update of contact", "Update", "contact", 20, 0),
)
_RULES = (
    ("Accounts with the same e-mail address", "account"),
    ("Contacts with the same e-mail address", "contact"),
    ("Leads with the same e-mail address", "lead"),
)
_ZONES = (
    (85, "GMT Standard Time", "(GMT+00:00) Dublin, Edinburgh, Lisbon, London"),
    (92, "UTC", "(GMT) Coordinated Universal Time"),
    (WESTERN_EUROPE, "W. Europe Standard Time", "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"),
)


def system_rows(org: Organization) -> list[Row]:
    """Everything that the platform brings; only row ids are random."""
    return [*_steps(org), *_rules(org), *_zones(org), _app(org)]


def user_settings(users: Iterable[str]) -> list[Row]:
    """Every user has settings under its own id."""
    return [
        ("usersettings", {"systemuserid": user, "timezonecode": WESTERN_EUROPE, "uilanguageid": 1033}) for user in users
    ]


def _steps(org: Organization) -> Iterable[Row]:
    for name, message, table, stage, mode in _STEPS:
        yield "sdkmessageprocessingstep", {
            "sdkmessageprocessingstepid": org.new_id(), "name": name, "stage": stage, "mode": mode, "rank": 1,
            "customizationlevel": 1, "ismanaged": 1, "sdkmessageid": metadata_id("message", message),
            "sdkmessagefilterid": metadata_id("filter", message, table), "statecode": 0, "statuscode": 1,
        }  # fmt: skip


def _rules(org: Organization) -> Iterable[Row]:
    for name, table in _RULES:
        ends = {"baseentityname": table, "matchingentityname": table}
        state = {"statecode": 1, "statuscode": 2, "ismanaged": 0}
        yield "duplicaterule", {"duplicateruleid": org.new_id(), "name": name, **ends, **state}


def _zones(org: Organization) -> Iterable[Row]:
    for code, standard, shown in _ZONES:
        values = {"timezonecode": code, "standardname": standard, "userinterfacename": shown}
        yield "timezonedefinition", {"timezonedefinitionid": org.new_id(), **values}


def _app(org: Organization) -> Row:
    values = {"name": "Sales Hub", "uniquename": "msdynce_saleshub", "ismanaged": 1, "statecode": 0, "statuscode": 1}
    return "appmodule", {"appmoduleid": org.new_id(), **values}
