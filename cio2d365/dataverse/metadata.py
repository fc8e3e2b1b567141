"""Read tables of an environment into `tables` words (`dataverse-api 9.5`)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import get, text
from cio2d365.errors import RequestRejected
from cio2d365.tables import Column, Key, Kind, Lookup, Option, Relationship, Table, TableKind, View

Row = dict[str, Any]
TABLE = (
    "LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,ObjectTypeCode,TableType,IsActivity,"
    "IsCustomEntity,IsManaged,CanCreateAttributes,DisplayName,DisplayCollectionName,Description"
)
KEY = "SchemaName,KeyAttributes,EntityKeyIndexStatus,DisplayName,IsManaged"
RELATIONSHIP = (
    "SchemaName,ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName,CascadeConfiguration,"
    "IsCustomRelationship"
)
# Without $select the columns come with the properties of their own types, all but the options.
PARTS = f"Attributes,Keys($select={KEY}),ManyToOneRelationships($select={RELATIONSHIP})"
CAST = "Microsoft.Dynamics.CRM.{}AttributeMetadata"
# Type → what has to be known of it, what to ask for and what to expand, should the plain answer lack it.
DETAILS: Mapping[str, tuple[str, str, str]] = {
    "String": ("MaxLength", "LogicalName,MaxLength,FormatName", ""),
    "Memo": ("MaxLength", "LogicalName,MaxLength", ""),
    "Integer": ("MinValue", "LogicalName,MinValue,MaxValue", ""),
    "Decimal": ("MinValue", "LogicalName,MinValue,MaxValue,Precision", ""),
    "Double": ("MinValue", "LogicalName,MinValue,MaxValue,Precision", ""),
    "Money": ("MinValue", "LogicalName,MinValue,MaxValue,Precision", ""),
    "DateTime": ("DateTimeBehavior", "LogicalName,Format,DateTimeBehavior", ""),
    "Picklist": ("OptionSet", "LogicalName", "OptionSet,GlobalOptionSet"),
    "MultiSelectPicklist": ("OptionSet", "LogicalName", "OptionSet,GlobalOptionSet"),
}
KINDS: Mapping[str, Kind] = {
    "String": "string", "Memo": "memo", "Integer": "integer", "BigInt": "bigint", "Decimal": "decimal",
    "Double": "double", "Money": "money", "Boolean": "boolean", "DateTime": "datetime", "Picklist": "choice",
    "MultiSelectPicklist": "multichoice", "Uniqueidentifier": "uniqueidentifier",
}  # fmt: skip
LOOKUPS = ("Lookup", "Customer", "Owner")
PUBLIC_VIEW = 0  # querytype of views that everybody sees (dataverse-api 15)


def read_tables(client: Dataverse, names: Iterable[str], *, fresh: bool = False) -> dict[str, Table]:
    """The named tables that exist, with columns, lookups, keys and public views; absent ones are left out.

    Takes one request a table, one more for each type of choice column in it, and one for all views together.
    """
    found = {name: read_table(client, name, fresh=fresh) for name in names}
    present = {name: table for name, table in found.items() if table is not None}
    views = read_views(client, present)
    return {name: replace(table, views=views.get(name, ())) for name, table in present.items()}


def read_table(client: Dataverse, name: str, *, fresh: bool = False) -> Table | None:
    """One table without its views, or None when the environment has no table of that name."""
    path = f"EntityDefinitions(LogicalName={text(name)})"
    try:
        head = client.value(path, {"$select": TABLE, "$expand": PARTS}, fresh=fresh)
    except RequestRejected as error:
        if error.status == 404:
            return None
        raise
    columns = head["Attributes"]
    details = _details(client, path, columns, fresh)
    return Table(
        name=name, set_name=head["EntitySetName"], primary_id=head["PrimaryIdAttribute"],
        primary_name=head["PrimaryNameAttribute"] or "", label=_label(head.get("DisplayName")),
        label_plural=_label(head.get("DisplayCollectionName")), description=_label(head.get("Description")),
        columns=tuple(_column({**row, **details[row["LogicalName"]]}) for row in columns if _is_plain(row)),
        lookups=tuple(_lookups(columns, head["ManyToOneRelationships"])), keys=_keys(head["Keys"]),
        custom=bool(head.get("IsCustomEntity")), kind=_table_kind(head), managed=bool(head.get("IsManaged")),
        customizable=bool((head.get("CanCreateAttributes") or {}).get("Value", True)),
        type_code=head.get("ObjectTypeCode"), id=str(head.get("MetadataId") or ""),
    )  # fmt: skip


def _table_kind(head: Row) -> TableKind:
    if head.get("IsActivity"):
        return "activity"
    return "elastic" if head.get("TableType") == "Elastic" else "standard"


def table_names(client: Dataverse, *, fresh: bool = False) -> tuple[list[str], list[str]]:
    """Names of all tables, and of the customer's own ones (custom, not managed, not intersect; `dataverse-api 14`)."""
    rows = _list(client, "EntityDefinitions", "LogicalName,IsCustomEntity,IsManaged,IsIntersect", fresh=fresh)
    own = (r for r in rows if r["IsCustomEntity"] and not r["IsManaged"] and not r["IsIntersect"])
    return sorted(r["LogicalName"] for r in rows), sorted(r["LogicalName"] for r in own)


def custom_tables(client: Dataverse) -> list[str]:
    """Logical names of the customer's own custom tables."""
    return table_names(client)[1]


def _list(client: Dataverse, path: str, select: str, expand: str = "", *, fresh: bool = False) -> list[Row]:
    query = {"$select": select} | ({"$expand": expand} if expand else {})
    return list(client.rows(get(path, query, fresh=fresh)))


def _details(client: Dataverse, path: str, columns: list[Row], fresh: bool) -> defaultdict[str, Row]:
    """What the plain answer lacks, by column: options always, the rest where a server leaves it to the cast."""
    lacking = {kind for row in columns if (kind := _type(row)) in DETAILS and DETAILS[kind][0] not in row}
    found: defaultdict[str, Row] = defaultdict(dict)
    for kind in sorted(lacking):
        _, select, expand = DETAILS[kind]
        rows = _list(client, f"{path}/Attributes/{CAST.format(kind)}", select, expand, fresh=fresh)
        found.update({row["LogicalName"]: row for row in rows})
    return found


def _type(row: Row) -> str:
    """`AttributeType` is Virtual for multi-select columns; the type name says what they are."""
    name = str((row.get("AttributeTypeName") or {}).get("Value") or "")
    return "MultiSelectPicklist" if name == "MultiSelectPicklistType" else str(row["AttributeType"])


def _is_plain(row: Row) -> bool:
    return _type(row) not in LOOKUPS and not row.get("AttributeOf")


def _column(row: Row) -> Column:
    kind = KINDS.get(_type(row), "other")
    behavior = str((row.get("DateTimeBehavior") or {}).get("Value") or "") if kind == "datetime" else ""
    return Column(
        name=row["LogicalName"], kind="date" if behavior == "DateOnly" else kind,
        label=_label(row.get("DisplayName")), length=row.get("MaxLength"), minimum=row.get("MinValue"),
        maximum=row.get("MaxValue"), precision=row.get("Precision"), options=_options(row), choice=_choice(row),
        format=str((row.get("FormatName") or {}).get("Value") or row.get("Format") or ""), behavior=behavior,
        required=(row.get("RequiredLevel") or {}).get("Value") == "SystemRequired",
        creatable=bool(row.get("IsValidForCreate", True)), updatable=bool(row.get("IsValidForUpdate", True)),
        custom=bool(row.get("IsCustomAttribute")), managed=bool(row.get("IsManaged")),
        id=str(row.get("MetadataId") or ""),
    )  # fmt: skip


def _option_set(row: Row) -> Row:
    found: Row = row.get("OptionSet") or row.get("GlobalOptionSet") or {}
    return found


def _options(row: Row) -> tuple[Option, ...]:
    return read_options(_option_set(row))


def _choice(row: Row) -> str:
    shared = _option_set(row)
    return str(shared.get("Name") or "") if shared.get("IsGlobal") else ""


def read_options(option_set: Row) -> tuple[Option, ...]:
    """The options of an OptionSetMetadata in their order."""
    return tuple(Option(int(o["Value"]), _label(o.get("Label"))) for o in option_set.get("Options") or [])


def _lookups(columns: list[Row], relationships: list[Row]) -> list[Lookup]:
    by_column: defaultdict[str, list[Row]] = defaultdict(list)
    for row in relationships:
        by_column[row["ReferencingAttribute"]].append(row)
    found = [row for row in columns if _type(row) in LOOKUPS and by_column[row["LogicalName"]]]
    return [_lookup(row, by_column[row["LogicalName"]]) for row in found]


def _lookup(row: Row, relationships: list[Row]) -> Lookup:
    ordered = sorted((r["ReferencedEntity"], r["ReferencingEntityNavigationPropertyName"], n, r)
                     for n, r in enumerate(relationships))  # fmt: skip
    return Lookup(
        row["LogicalName"], tuple((target, navigation) for target, navigation, *_ in ordered),
        _label(row.get("DisplayName")), custom=bool(row.get("IsCustomAttribute")), customer=_type(row) == "Customer",
        managed=bool(row.get("IsManaged")), relationships=tuple(_relationship(r) for *_, r in ordered),
        id=str(row.get("MetadataId") or ""),
    )  # fmt: skip


def _relationship(row: Row) -> Relationship:
    on_delete = str((row.get("CascadeConfiguration") or {}).get("Delete") or "NoCascade")
    custom = bool(row.get("IsCustomRelationship"))
    return Relationship(row["SchemaName"], row["ReferencedEntity"], on_delete, custom, str(row.get("MetadataId") or ""))


def read_keys(client: Dataverse, table: str, *, fresh: bool = False) -> tuple[Key, ...]:
    """The alternate keys of a table with the status of their indexes."""
    return _keys(_list(client, f"EntityDefinitions(LogicalName={text(table)})/Keys", KEY, fresh=fresh))


def _keys(rows: list[Row]) -> tuple[Key, ...]:
    return tuple(
        Key(
            str(row["SchemaName"]), tuple(row["KeyAttributes"]), _label(row.get("DisplayName")), _status(row),
            bool(row.get("IsManaged")), str(row.get("MetadataId") or ""),
        )
        for row in rows
    )  # fmt: skip


def _status(row: Row) -> str:
    # The four values are Pending, InProgress, Active and Failed; documents also spell the second one "In Progress".
    return str(row.get("EntityKeyIndexStatus") or "Active").replace(" ", "")


def read_views(client: Dataverse, tables: Iterable[str]) -> dict[str, tuple[View, ...]]:
    """The public views of some tables, by table."""
    names = " or ".join(f"returnedtypecode eq {text(name)}" for name in tables)
    if not names:
        return {}
    query = {
        "$select": "savedqueryid,name,returnedtypecode,fetchxml,layoutxml,ismanaged",
        "$filter": f"querytype eq {PUBLIC_VIEW} and ({names})",
    }
    found: defaultdict[str, tuple[View, ...]] = defaultdict(tuple)
    for row in client.rows(get("savedqueries", query)):
        found[row["returnedtypecode"]] += (_view(row),)
    return dict(found)


def _view(row: Row) -> View:
    cells = re.findall(r"<cell\b[^>]*?\bname=[\"']([^\"']+)", row.get("layoutxml") or "")
    return View(
        row["name"], row["returnedtypecode"], tuple(cells), row.get("fetchxml") or "", bool(row.get("ismanaged")),
        str(row["savedqueryid"]),
    )  # fmt: skip


def _label(label: Any) -> str:
    return str(((label or {}).get("UserLocalizedLabel") or {}).get("Label") or _first_label(label))


def _first_label(label: Any) -> str:
    labels = (label or {}).get("LocalizedLabels") or [{}]
    return str(labels[0].get("Label") or "")
