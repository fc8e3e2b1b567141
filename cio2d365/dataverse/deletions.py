"""How schema components are deleted, and what has to be asked before (`dataverse-api 9.5`).

A table or column takes its data along; there is no recycle bin for it. Deleting twice is harmless.
"""

from __future__ import annotations

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import API, get, text
from cio2d365.tables import Table
from cio2d365.transport import Request


def delete_table(name: str) -> Request:
    """A table with its rows, columns, keys and views."""
    return Request("DELETE", f"{API}/EntityDefinitions(LogicalName={text(name)})")


def delete_column(table: str, column: str) -> Request:
    """A column with its values."""
    path = f"EntityDefinitions(LogicalName={text(table)})/Attributes(LogicalName={text(column)})"
    return Request("DELETE", f"{API}/{path}")


def delete_key(table: str, key_id: str) -> Request:
    """An alternate key with its index."""
    return Request("DELETE", f"{API}/EntityDefinitions(LogicalName={text(table)})/Keys({key_id})")


def delete_relationship(name: str) -> Request:
    """A relationship; the lookup goes with its last one."""
    return Request("DELETE", f"{API}/RelationshipDefinitions(SchemaName={text(name)})")


def delete_choice(choice_id: str) -> Request:
    """A global choice that no column refers to any more."""
    return Request("DELETE", f"{API}/GlobalOptionSetDefinitions({choice_id})")


def delete_row(set_name: str, row_id: str) -> Request:
    """A view, a solution (its components stay) or a publisher."""
    return Request("DELETE", f"{API}/{set_name}({row_id})")


def dependents(client: Dataverse, component_id: str, component_type: int) -> list[tuple[int, str]]:
    """Component type and id of everything that keeps a component from being deleted."""
    asked = f"RetrieveDependenciesForDelete(ObjectId={component_id},ComponentType={component_type})"
    rows = client.rows(get(asked))
    return [(int(r.get("dependentcomponenttype") or 0), str(r["dependentcomponentobjectid"]).lower()) for r in rows]


def count_rows(client: Dataverse, table: Table, where: str = "") -> int:
    """How many rows a table has, or how many of them satisfy a condition; counting stops at 5,000."""
    query = {"$select": table.primary_id, "$top": "1", "$count": "true"} | ({"$filter": where} if where else {})
    return int(client.value(table.set_name, query)["@odata.count"])


def solutions_of(client: Dataverse, publisher_id: str) -> list[str]:
    """Unique names of the solutions that belong to a publisher."""
    query = {"$select": "uniquename", "$filter": f"_publisherid_value eq {publisher_id}"}
    return [str(row["uniquename"]) for row in client.rows(get("solutions", query))]
