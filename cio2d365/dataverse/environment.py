"""Read what an environment holds around its tables: publishers, our solution, global choices, its own limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.metadata import read_options, table_names
from cio2d365.dataverse.requests import get, text
from cio2d365.errors import AuthorityError, RequestRejected
from cio2d365.tables import Choice, Environment, Publisher

Row = dict[str, Any]
WITH_EVERYTHING = 0  # rootcomponentbehavior of a table that is in a solution with all of its parts
TABLE = 1  # component type (dataverse-api 9.5)


def read_environment(client: Dataverse, solution: str, prefix: str) -> Environment:
    """Publishers, the named solution with its components, the global choices whose names have the prefix, the
    customer's tables and the limit on them. Six requests, and one for each such choice."""
    found = _solution(client, solution)
    solution_id = str(found.get("solutionid") or "")
    rows = _components(client, solution_id) if solution_id else []
    tables, custom = table_names(client, fresh=True)
    return Environment(
        publishers=_publishers(client), solution_id=solution_id, solution_managed=bool(found.get("ismanaged")),
        members=frozenset(str(r["objectid"]).lower() for r in rows),
        whole=frozenset(str(r["objectid"]).lower() for r in rows if _is_whole(r)),
        choices=_choices(client, prefix), tables=frozenset(tables), custom_tables=tuple(custom),
        most_tables=read_table_room(client).most,
    )  # fmt: skip


def _publishers(client: Dataverse) -> tuple[Publisher, ...]:
    query = {"$select": "publisherid,uniquename,customizationprefix,customizationoptionvalueprefix"}
    return tuple(_publisher(row) for row in client.rows(get("publishers", query)))


def _publisher(row: Row) -> Publisher:
    number = int(row.get("customizationoptionvalueprefix") or 0)
    return Publisher(str(row["uniquename"]), str(row.get("customizationprefix") or ""), number, str(row["publisherid"]))


def _solution(client: Dataverse, name: str) -> Row:
    query = {"$select": "solutionid,ismanaged", "$filter": f"uniquename eq {text(name)}"}
    return next(client.rows(get("solutions", query)), {})


def _components(client: Dataverse, solution_id: str) -> list[Row]:
    query = {
        "$select": "objectid,componenttype,rootcomponentbehavior",
        "$filter": f"_solutionid_value eq {solution_id}",
    }
    return list(client.rows(get("solutioncomponents", query)))


def _is_whole(row: Row) -> bool:
    return row["componenttype"] == TABLE and row.get("rootcomponentbehavior") == WITH_EVERYTHING


def _choices(client: Dataverse, prefix: str) -> tuple[Choice, ...]:
    """The list of choices cannot be filtered by the server, and their options come with a single one only."""
    query = {"$select": "Name,MetadataId"}
    rows = client.rows(get("GlobalOptionSetDefinitions", query, fresh=True))
    return tuple(_choice(client, row) for row in rows if str(row["Name"]).lower().startswith(f"{prefix}_"))


def _choice(client: Dataverse, row: Row) -> Choice:
    found = client.value(f"GlobalOptionSetDefinitions({row['MetadataId']})", fresh=True)
    return Choice(str(found["Name"]), _text(found), read_options(found), str(row["MetadataId"]))


def _text(choice: Row) -> str:
    labels = (choice.get("DisplayName") or {}).get("LocalizedLabels") or [{}]
    return str(labels[0].get("Label") or "")


@dataclass(frozen=True)
class Room:
    """How many of a thing an environment counts and how many it takes; None for what it does not tell."""

    used: int | None = None
    most: int | None = None


def read_table_room(client: Dataverse) -> Room:
    """The technical limit on custom tables; -1 stands for none (`dataverse-api 14`)."""
    try:
        found = client.value("RetrieveOrganizationResources()")["OrganizationResources"]
    except (RequestRejected, AuthorityError, KeyError):
        return Room()
    used, most = found.get("CurrentNumberOfCustomEntities"), int(found.get("MaxNumberOfCustomEntities") or 0)
    return Room(None if used is None else int(used), most if most > 0 else None)
