"""Read the schema of an environment into `tables` words (`dataverse-api 9.5`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import get, text
from cio2d365.errors import RequestRejected
from cio2d365.tables import Column, Key, Kind, Lookup, Option, Table

Row = dict[str, Any]
TABLE = "LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,IsCustomEntity,DisplayName"
BASIC = "LogicalName,AttributeType,AttributeTypeName,RequiredLevel,IsValidForCreate,IsValidForUpdate,IsCustomAttribute,AttributeOf,DisplayName"  # noqa: E501
CAST = "Microsoft.Dynamics.CRM.{}AttributeMetadata"
# Type-specific keys come with a cast only; one request for each type that the table has.
DETAILS: Mapping[str, tuple[str, str]] = {
    "String": ("LogicalName,MaxLength,FormatName", ""),
    "Memo": ("LogicalName,MaxLength", ""),
    "Integer": ("LogicalName,MinValue,MaxValue", ""),
    "Decimal": ("LogicalName,MinValue,MaxValue,Precision", ""),
    "Double": ("LogicalName,MinValue,MaxValue,Precision", ""),
    "Money": ("LogicalName,MinValue,MaxValue,Precision", ""),
    "DateTime": ("LogicalName,Format,DateTimeBehavior", ""),
    "Picklist": ("LogicalName", "OptionSet,GlobalOptionSet"),
    "MultiSelectPicklist": ("LogicalName", "OptionSet,GlobalOptionSet"),
}
KINDS: Mapping[str, Kind] = {
    "String": "string", "Memo": "memo", "Integer": "integer", "BigInt": "bigint", "Decimal": "decimal",
    "Double": "double", "Money": "money", "Boolean": "boolean", "DateTime": "datetime", "Picklist": "choice",
    "MultiSelectPicklist": "multichoice", "Uniqueidentifier": "uniqueidentifier",
}  # fmt: skip
LOOKUPS = ("Lookup", "Customer", "Owner")


def read_tables(client: Dataverse, names: Iterable[str], *, fresh: bool = False) -> dict[str, Table]:
    """The named tables that exist, with columns, lookups and keys; absent ones are left out."""
    found = {name: read_table(client, name, fresh=fresh) for name in names}
    return {name: table for name, table in found.items() if table is not None}


def read_table(client: Dataverse, name: str, *, fresh: bool = False) -> Table | None:
    """One table, or None when the environment has no table of that name."""
    path = f"EntityDefinitions(LogicalName={text(name)})"
    try:
        head = client.value(path, {"$select": TABLE}, fresh=fresh)
    except RequestRejected as error:
        if error.status == 404:
            return None
        raise
    basic = _list(client, f"{path}/Attributes", BASIC, fresh=fresh)
    details = _details(client, path, basic, fresh)
    return Table(
        name=name, set_name=head["EntitySetName"], primary_id=head["PrimaryIdAttribute"],
        primary_name=head["PrimaryNameAttribute"] or "", label=_label(head.get("DisplayName")),
        columns=tuple(_column(row, details[row["LogicalName"]]) for row in basic if _is_plain(row)),
        lookups=tuple(_lookups(client, path, basic, fresh)), keys=read_keys(client, name, fresh=fresh),
        custom=bool(head.get("IsCustomEntity")),
    )  # fmt: skip


def custom_tables(client: Dataverse) -> list[str]:
    """Logical names of the customer's own custom tables (not managed, not intersect; `dataverse-api 14`)."""
    rows = _list(client, "EntityDefinitions", "LogicalName,IsCustomEntity,IsManaged,IsIntersect")
    return sorted(r["LogicalName"] for r in rows if r["IsCustomEntity"] and not r["IsManaged"] and not r["IsIntersect"])


def _list(client: Dataverse, path: str, select: str, expand: str = "", *, fresh: bool = False) -> list[Row]:
    query = {"$select": select} | ({"$expand": expand} if expand else {})
    return list(client.rows(get(path, query, fresh=fresh)))


def _details(client: Dataverse, path: str, basic: list[Row], fresh: bool) -> defaultdict[str, Row]:
    present = {_type(row) for row in basic}
    found: defaultdict[str, Row] = defaultdict(dict)
    for kind, (select, expand) in DETAILS.items():
        if kind in present:
            rows = _list(client, f"{path}/Attributes/{CAST.format(kind)}", select, expand, fresh=fresh)
            found.update({row["LogicalName"]: row for row in rows})
    return found


def _type(row: Row) -> str:
    """`AttributeType` is Virtual for multi-select columns; the type name says what they are."""
    name = str((row.get("AttributeTypeName") or {}).get("Value") or "")
    return "MultiSelectPicklist" if name == "MultiSelectPicklistType" else str(row["AttributeType"])


def _is_plain(row: Row) -> bool:
    return _type(row) not in LOOKUPS and not row.get("AttributeOf")


def _column(row: Row, detail: Row) -> Column:
    kind = KINDS.get(_type(row), "other")
    behavior = str((detail.get("DateTimeBehavior") or {}).get("Value") or "")
    return Column(
        name=row["LogicalName"], kind="date" if kind == "datetime" and behavior == "DateOnly" else kind,
        label=_label(row.get("DisplayName")), length=detail.get("MaxLength"), minimum=detail.get("MinValue"),
        maximum=detail.get("MaxValue"), precision=detail.get("Precision"), options=_options(detail),
        format=str((detail.get("FormatName") or {}).get("Value") or detail.get("Format") or ""),
        required=(row.get("RequiredLevel") or {}).get("Value") == "SystemRequired",
        creatable=bool(row.get("IsValidForCreate", True)), updatable=bool(row.get("IsValidForUpdate", True)),
        custom=bool(row.get("IsCustomAttribute")),
    )  # fmt: skip


def _options(detail: Row) -> tuple[Option, ...]:
    choice = detail.get("OptionSet") or detail.get("GlobalOptionSet") or {}
    return tuple(Option(int(o["Value"]), _label(o.get("Label"))) for o in choice.get("Options") or [])


def _lookups(client: Dataverse, path: str, basic: list[Row], fresh: bool) -> list[Lookup]:
    select = "ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName"
    targets: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in _list(client, f"{path}/ManyToOneRelationships", select, fresh=fresh):
        pair = (row["ReferencedEntity"], row["ReferencingEntityNavigationPropertyName"])
        targets[row["ReferencingAttribute"]].append(pair)
    found = [row for row in basic if _type(row) in LOOKUPS and targets[row["LogicalName"]]]
    return [_lookup(row, targets[row["LogicalName"]]) for row in found]


def _lookup(row: Row, targets: list[tuple[str, str]]) -> Lookup:
    custom = bool(row.get("IsCustomAttribute"))
    return Lookup(row["LogicalName"], tuple(sorted(targets)), _label(row.get("DisplayName")), custom)


def read_keys(client: Dataverse, table: str, *, fresh: bool = False) -> tuple[Key, ...]:
    """The alternate keys of a table with the status of their indexes."""
    path = f"EntityDefinitions(LogicalName={text(table)})/Keys"
    rows = _list(client, path, "SchemaName,KeyAttributes,EntityKeyIndexStatus", fresh=fresh)
    return tuple(Key(str(r["SchemaName"]), tuple(r["KeyAttributes"]), status=_status(r)) for r in rows)


def _status(row: Row) -> str:
    # The four values are Pending, InProgress, Active and Failed; documents also spell the second one "In Progress".
    return str(row.get("EntityKeyIndexStatus") or "Active").replace(" ", "")


def _label(label: Any) -> str:
    return str(((label or {}).get("UserLocalizedLabel") or {}).get("Label") or _first_label(label))


def _first_label(label: Any) -> str:
    labels = (label or {}).get("LocalizedLabels") or [{}]
    return str(labels[0].get("Label") or "")
