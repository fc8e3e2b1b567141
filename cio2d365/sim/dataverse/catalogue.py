"""The tables of the product, read from the metadata files in `data/`.

Columns that only an installed app brings (`optional`) and the custom columns of the organisation the metadata was
taken from are left out: a migration must not find them in a plain Sales organisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import orjson

from .schema import (
    LOOKUP_TYPES,
    Column,
    ManyToMany,
    Option,
    Relationship,
    Schema,
    Table,
    intersect_table,
    metadata_id,
)
from .system_tables import system_tables

_NOT_TABLES = {"cascade-config.json", "error-codes.json"}
_UNSTORED_TYPES = {"PartyList", "ManagedProperty", "Virtual", "CalendarRules"}
_CASCADE_VERBS = {
    "assign": "Assign",
    "delete": "Delete",
    "merge": "Merge",
    "reparent": "Reparent",
    "share": "Share",
}
_LEAST_COLUMNS = 5
_INTERSECTS = (
    ("systemuserroles", "systemuser", "role", 15),
    ("teamroles", "team", "role", 40),
    ("teammembership", "team", "systemuser", 23),
    ("campaignitem", "campaign", "entity", 4403),
)
_ALWAYS_READABLE = {"owningbusinessunit", "owninguser", "owningteam"}

# Columns that the Web API serves although the reference of 2020 has no type for them.
_STORED_WITHOUT_EDM = {
    ("template", "subjectsafehtml"),
    ("template", "safehtml"),
    ("listmember", "entitytype"),
    ("annotation", "objecttypecode"),
}


@cache
def _read(name: str) -> Any:
    return orjson.loads(resources.files(__package__).joinpath("data", name).read_bytes())


def _file_names() -> list[str]:
    folder = resources.files(__package__).joinpath("data")
    names = (item.name for item in folder.iterdir())
    return sorted(name for name in names if name.endswith(".json") and name not in _NOT_TABLES)


@cache
def error_codes() -> Mapping[str, str]:
    """Public text of each error code of the list, keyed by lowercase hex."""
    return {row["code"].lower(): row.get("message") or row["name"] for row in _read("error-codes.json")["codes"]}


def _option(raw: Mapping[str, Any]) -> Option:
    return Option(raw["value"], raw.get("label", ""), raw.get("state"), raw.get("defaultStatus"))


def _belongs(raw: Mapping[str, Any], sparse: bool) -> bool:
    return "type" in raw and not raw.get("custom") and (sparse or not raw.get("optional"))


def _is_stored(table: str, name: str, raw: Mapping[str, Any], sparse: bool) -> bool:
    if raw["type"] in _UNSTORED_TYPES or raw.get("attributeOf"):
        return False
    known = "edm" in raw or (table, name) in _STORED_WITHOUT_EDM or name in _ALWAYS_READABLE
    return sparse or known or raw["type"] in LOOKUP_TYPES or raw["type"] == "Uniqueidentifier"


def _guess_navigation(name: str, targets: tuple[str, ...]) -> dict[str, str]:
    single = len(targets) == 1
    return {target: name if single else f"{name}_{target}" for target in targets}


def _column(table: Mapping[str, Any], name: str, raw: Mapping[str, Any], sparse: bool) -> Column:
    targets = tuple(raw.get("targets", ()))
    owner = table["logicalName"]
    return Column(
        name=name,
        schema_name=raw["schema"],
        type=raw["type"],
        metadata_id=metadata_id(owner, name),
        label=raw.get("label", raw["schema"]),
        required=raw.get("required", "None"),
        create=raw["create"],
        update=raw["update"],
        stored=_is_stored(owner, name, raw, sparse),
        primary_name=name == table["primaryName"],
        max_length=raw.get("maxLength", 100 if raw["type"] in ("String", "EntityName") else None),
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        precision=raw.get("precision"),
        precision_source=raw.get("precisionSource"),
        format=raw.get("format"),
        behavior=raw.get("behavior"),
        options=tuple(_option(option) for option in raw.get("options", ())),
        default=raw.get("default"),
        targets=targets,
        navigation=raw.get("bind") or _guess_navigation(name, targets),
        attribute_of=raw.get("attributeOf"),
    )


def _table(raw: Mapping[str, Any]) -> Table:
    plain = sum(1 for column in raw["columns"].values() if not column.get("optional"))
    sparse = plain < _LEAST_COLUMNS
    columns = {
        name: _column(raw, name, column, sparse) for name, column in raw["columns"].items() if _belongs(column, sparse)
    }
    name = raw["logicalName"]
    bulk = (raw.get("bulkMessages") or {}).get("createMultiple")
    return Table(
        name=name,
        schema_name=raw["schemaName"],
        set_name=raw["entitySetName"],
        primary_id=raw["primaryId"],
        primary_name=raw["primaryName"],
        ownership=raw.get("ownership") or "None",
        object_type_code=raw.get("objectTypeCode") or 10_000,
        metadata_id=metadata_id(name),
        label=raw.get("displayName") or raw["schemaName"],
        collection_label=raw.get("displayCollectionName") or raw["entitySetName"].capitalize(),
        activity=raw.get("baseType") == "activitypointer",
        has_notes=name in ("account", "contact", "lead", "campaign", "campaignresponse", "list"),
        tracked=name in _TRACKED,
        bulk=bool(bulk),
        columns=columns,
    )


# Change tracking is on out of the box for the tables that Outlook and the mobile apps synchronise.
_TRACKED = frozenset({"account", "contact", "lead", "task", "phonecall", "email", "annotation", "systemuser", "team"})


def _organization_table() -> Table:
    def column(name: str, kind: str, **extra: Any) -> Column:
        return Column(name, name, kind, metadata_id("organization", name), create=False, **extra)

    columns = [
        column("organizationid", "Uniqueidentifier", update=False, required="SystemRequired"),
        column("name", "String", update=False, max_length=160, primary_name=True),
        column("languagecode", "Integer", update=False),
        column("maxuploadfilesize", "Integer", minimum=0, maximum=131_072_000, default=5_242_880),
        column("isauditenabled", "Boolean", default=False, options=(Option(1, "Yes"), Option(0, "No"))),
        column("localeid", "Integer", update=False),
        column("organizationstate", "Integer", update=False),
        column("version", "String", update=False, max_length=100),
        column("schemanameprefix", "String", update=False, max_length=8),
        column(
            "basecurrencyid",
            "Lookup",
            targets=("transactioncurrency",),
            navigation={"transactioncurrency": "basecurrencyid"},
            update=False,
        ),
        column("createdon", "DateTime", update=False, behavior="UserLocal"),
        column("modifiedon", "DateTime", update=False, behavior="UserLocal"),
        column("versionnumber", "BigInt", update=False),
    ]
    return Table(
        name="organization",
        schema_name="Organization",
        set_name="organizations",
        primary_id="organizationid",
        primary_name="name",
        ownership="None",
        object_type_code=1019,
        metadata_id=metadata_id("organization"),
        label="Organization",
        collection_label="Organizations",
        bulk=False,
        columns={item.name: item for item in columns},
    )


def _configured_cascades() -> dict[tuple[str, str, str], Mapping[str, Any]]:
    parents = _read("cascade-config.json")["parents"]
    return {(row["child"], row["column"], parent): row for parent, rows in parents.items() for row in rows}


def _cascade(row: Mapping[str, Any] | None) -> dict[str, str]:
    if row is None:
        return {**dict.fromkeys(_CASCADE_VERBS.values(), "NoCascade"), "Unshare": "NoCascade"}
    cascade = {verb: row.get(key) or "NoCascade" for key, verb in _CASCADE_VERBS.items()}
    return {**cascade, "Unshare": cascade["Share"]}


def _relationship(
    table: Table, column: Column, target: str, navigation: str, row: Mapping[str, Any] | None
) -> Relationship:
    name = row["relationship"] if row else f"{target}_{table.name}_{column.name}"
    return Relationship(
        schema_name=name,
        metadata_id=metadata_id("relationship", name),
        parent=target,
        child=table.name,
        column=column.name,
        child_navigation=navigation,
        parent_navigation=row["nav"] if row else name,
        cascade=_cascade(row),
    )


def _parties(tables: Mapping[str, Table]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Activities hold their parties in one collection and take them along when deleted (dataverse-api 12)."""
    names = {name: f"{name}_activity_parties" for name in tables["activityparty"].columns["activityid"].targets}
    return {
        ("activityparty", "activityid", name): {"relationship": nav, "nav": nav, "delete": "Cascade"}
        for name, nav in names.items()
    }


def _relationships(tables: Mapping[str, Table]) -> Iterator[Relationship]:
    cascades = {**_configured_cascades(), **_parties(tables)}
    for table in tables.values():
        for column in table.columns.values():
            if column.stored and column.is_lookup:
                for target in column.targets:
                    if target in tables:
                        row = cascades.get((table.name, column.name, target))
                        yield _relationship(table, column, target, column.navigation.get(target, column.name), row)


@cache
def _standard_tables() -> Mapping[str, Table]:
    tables = {table.name: table for table in (_table(_read(name)) for name in _file_names())}
    tables["organization"] = _organization_table()
    tables |= {table.name: table for table in system_tables()}
    for name, left, right, code in _INTERSECTS:
        tables[name] = intersect_table(name, (f"{left}id", f"{right}id"), code, metadata_id(name))
    tables["activityparty"] = _with_parties_of(tables)
    return tables


def _with_parties_of(tables: Mapping[str, Table]) -> Table:
    """Parties belong to every kind of activity through one lookup."""
    party = tables["activityparty"]
    kinds = tuple(table.name for table in tables.values() if table.activity)
    navigation = {name: f"activityid_{name}" for name in kinds}
    return party.with_columns(replace(party.columns["activityid"], targets=kinds, navigation=navigation))


@cache
def _standard_relationships() -> tuple[Relationship, ...]:
    return tuple(_relationships(_standard_tables()))


def _standard_links() -> Iterator[ManyToMany]:
    for name, left, right, _ in _INTERSECTS:
        navigation = f"{name}_association"
        if right in _standard_tables():
            yield ManyToMany(
                schema_name=navigation,
                metadata_id=metadata_id("relationship", navigation),
                first=left,
                second=right,
                intersect=name,
                first_column=f"{left}id",
                second_column=f"{right}id",
                first_navigation=navigation,
                second_navigation=navigation,
            )


def standard_schema() -> Schema:
    """A fresh registry with the product's tables and the relationships between them."""
    return Schema(_standard_tables().values(), _standard_relationships(), (), _standard_links())
