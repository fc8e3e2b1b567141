"""The rows that a fresh organisation has: users, teams, roles, publishers, solutions, messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .schema import metadata_id
from .system_seeds import system_rows, user_settings

if TYPE_CHECKING:
    from .organization import Organization

Row = tuple[str, dict[str, Any]]

_BULK_MESSAGES = ("CreateMultiple", "UpdateMultiple")
_BASE_MESSAGES = ("Create", "Update", "Delete", "Upsert", *_BULK_MESSAGES)
_ROLES = ("System Administrator", "System Customizer", "Salesperson", "Basic User")
_SOLUTIONS = (
    ("Default", "Default Solution", "1.0", 0),
    ("Active", "Active Solution", "1.0", 0),
    ("msdyn_SalesCore", "Sales Core", "9.0.24114.10021", 1),
    ("msdynce_SalesPatch", "Dynamics 365 Sales Enterprise", "9.0.24114.10021", 1),
    ("MSDYN365_Sales_Base", "Sales Base", "9.0.24114.10021", 1),
)


@dataclass(frozen=True)
class Seeds:
    """Rows to insert and facts to remember."""

    rows: list[Row]
    meta: dict[str, str]


@dataclass(frozen=True)
class _Ids:
    organization: str
    unit: str
    app: str
    currency: str


def organization_rows(org: Organization) -> Seeds:
    """All rows of a fresh organisation; only its ids are random."""
    ids = _Ids(org.new_id(), org.new_id(), org.new_id(), org.new_id())
    now = org.clock.now_text()
    makers = (_base, _users, _roles_and_teams, _publishers, _messages, _system)
    rows = [row for make in makers for row in make(org, ids)]
    rows += _role_assignments(org, rows)
    rows += _team_roles(org, rows)
    rows += user_settings(row["systemuserid"] for table, row in rows if table == "systemuser")
    meta = {
        "organization_id": ids.organization,
        "business_unit": ids.unit,
        "app_user": ids.app,
        "currency": ids.currency,
    }
    versions = org.store.reserve_versions(len(rows))
    return Seeds([_stamped(org, row, now, ids, versions + at) for at, row in enumerate(rows)], meta)


def _stamped(org: Organization, row: Row, now: str, ids: _Ids, version: int) -> Row:
    table, values = row
    columns = org.schema.tables[table].columns
    stamps = {"createdon": now, "modifiedon": now, "createdby": ids.app, "modifiedby": ids.app}
    known = {name: value for name, value in stamps.items() if name in columns}
    return table, {**known, **values, "versionnumber": version}


def _base(org: Organization, ids: _Ids) -> list[Row]:
    unit = {"businessunitid": ids.unit, "name": "contoso", "isdisabled": 0, "organizationid": ids.organization}
    currency = {
        "transactioncurrencyid": ids.currency,
        "currencyname": "Euro",
        "isocurrencycode": "EUR",
        "currencysymbol": "€",
        "exchangerate": 1.0,
        "currencyprecision": 2,
        "statecode": 0,
        "statuscode": 1,
    }
    organization = {
        "organizationid": ids.organization,
        "name": "contoso",
        "languagecode": 1033,
        "localeid": 1033,
        "maxuploadfilesize": 5_242_880,
        "isauditenabled": 0,
        "organizationstate": 1,
        "version": "9.2.24114.190",
        "schemanameprefix": "new",
        "basecurrencyid": ids.currency,
    }
    return [("organization", organization), ("businessunit", unit), ("transactioncurrency", currency)]


def user_row(org: Organization, unit: str, first: str, last: str, mail: str, **more: Any) -> dict[str, Any]:
    """A systemuser row as stored."""
    return {
        "systemuserid": org.new_id(),
        "firstname": first,
        "lastname": last,
        "fullname": f"{first} {last}".strip(),
        "internalemailaddress": mail,
        "domainname": mail,
        "businessunitid": unit,
        "isdisabled": 0,
        "accessmode": 0,
        "azureactivedirectoryobjectid": org.new_id(),
        **more,
    }


def _users(org: Organization, ids: _Ids) -> list[Row]:
    app = user_row(
        org,
        ids.unit,
        "#",
        "cio2d365",
        "cio2d365@contoso.onmicrosoft.com",
        systemuserid=ids.app,
        applicationid=org.client_id,
        accessmode=4,
    )
    people = [
        user_row(org, ids.unit, "Ada", "Analyst", "ada.analyst@contoso.com"),
        user_row(org, ids.unit, "Ben", "Consultant", "ben.consultant@contoso.com"),
        user_row(org, ids.unit, "Dora", "Departed", "dora.departed@contoso.com", isdisabled=1),
        user_row(org, ids.unit, "Rolf", "Roleless", "rolf.roleless@contoso.com"),
    ]
    return [("systemuser", row) for row in (app, *people)]


def _roles_and_teams(org: Organization, ids: _Ids) -> list[Row]:
    roles: list[Row] = [("role", {"roleid": org.new_id(), "name": name, "businessunitid": ids.unit}) for name in _ROLES]

    def team(name: str, kind: int, default: int) -> Row:
        return "team", {
            "teamid": org.new_id(),
            "name": name,
            "teamtype": kind,
            "isdefault": default,
            "businessunitid": ids.unit,
            "administratorid": ids.app,
            "organizationid": ids.organization,
        }

    return [*roles, team("contoso", 0, 1), team("Sales Europe", 0, 0), team("Deal room", 1, 0)]


def _role_assignments(org: Organization, rows: list[Row]) -> list[Row]:
    """The application user is an administrator, people sell, and one person has no role at all."""
    roles = {row["name"]: row["roleid"] for table, row in rows if table == "role"}
    users = [row for table, row in rows if table == "systemuser" and row["lastname"] != "Roleless"]
    return [
        role_row(org, user["systemuserid"], roles["System Administrator" if "applicationid" in user else "Salesperson"])
        for user in users
    ]


def _team_roles(org: Organization, rows: list[Row]) -> list[Row]:
    """Teams that can own rows sell; an access team has no role."""
    seller = next(row["roleid"] for table, row in rows if table == "role" and row["name"] == "Salesperson")
    teams = [row["teamid"] for table, row in rows if table == "team" and row["teamtype"] == 0]
    return [("teamroles", {"teamrolesid": org.new_id(), "teamid": team, "roleid": seller}) for team in teams]


def role_row(org: Organization, user_id: str, role_id: str) -> Row:
    """The intersect row that gives a role to a user."""
    return "systemuserroles", {"systemuserrolesid": org.new_id(), "systemuserid": user_id, "roleid": role_id}


def _publishers(org: Organization, ids: _Ids) -> list[Row]:
    def publisher(unique: str, name: str, prefix: str, values: int, read_only: int = 0) -> dict[str, Any]:
        return {
            "publisherid": org.new_id(),
            "uniquename": unique,
            "friendlyname": name,
            "customizationprefix": prefix,
            "customizationoptionvalueprefix": values,
            "isreadonly": read_only,
            "organizationid": ids.organization,
        }

    own = publisher("DefaultPublishercontoso", "Default Publisher for contoso", "new", 10_000)
    modern = publisher("Cr8a3c", "Dataverse Default Publisher", "cr8a3", 32_401)
    vendor = publisher("MicrosoftCorporation", "MicrosoftCorporation", "msdyn", 19_235, 1)
    solutions = [
        {
            "solutionid": org.new_id(),
            "uniquename": unique,
            "friendlyname": name,
            "version": version,
            "ismanaged": managed,
            "isvisible": int(unique != "Active"),
            "publisherid": vendor["publisherid"] if managed else own["publisherid"],
        }
        for unique, name, version, managed in _SOLUTIONS
    ]
    return [
        *(("publisher", row) for row in (own, modern, vendor)),
        *(("solution", row) for row in solutions),
    ]


def _system(org: Organization, ids: _Ids) -> list[Row]:
    return system_rows(org)


def _messages(org: Organization, ids: _Ids) -> list[Row]:
    messages: list[Row] = [
        ("sdkmessage", {"sdkmessageid": metadata_id("message", name), "name": name}) for name in _BASE_MESSAGES
    ]
    filters = [
        filter_row(message, table.name)
        for table in org.schema.tables.values()
        for message in _BASE_MESSAGES
        if message != "Upsert" and (table.bulk or message not in _BULK_MESSAGES)
    ]
    return [*messages, *filters]


def filter_row(message: str, table: str) -> Row:
    """The sdkmessagefilter row that says `table` supports `message`."""
    return "sdkmessagefilter", {
        "sdkmessagefilterid": metadata_id("filter", message, table),
        "sdkmessageid": metadata_id("message", message),
        "primaryobjecttypecode": table,
        "isvisible": 1,
    }
