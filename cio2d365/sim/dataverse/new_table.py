"""What the platform adds to every new table: primary key, owner, state, stamps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .context import Context
from .definitions import label_text, read_column
from .errors import ServiceError
from .schema import Column, Option, Table, metadata_id

_STATES = (Option(0, "Active", default_status=1), Option(1, "Inactive", default_status=2))
_STATUSES = (Option(1, "Active", state=0), Option(2, "Inactive", state=1))
_FIRST_TYPE_CODE = 10_100


def build_table(context: Context, schema_name: str, body: Mapping[str, Any]) -> Table:
    """The full definition behind an EntityMetadata body."""
    name = schema_name.lower()
    ownership = body.get("OwnershipType") or "UserOwned"
    if ownership not in ("UserOwned", "OrganizationOwned"):
        raise ServiceError(400, "0x80040203", f"'{ownership}' is not a valid OwnershipType.")
    activity = body.get("IsActivity") is True
    elastic = body.get("TableType") == "Elastic"
    own = [read_column(context, column) for column in body.get("Attributes") or ()]
    primary = _primary_name(own)
    id_name = "activityid" if activity else f"{name}id"
    columns = [*_standard(context, name, schema_name, id_name, ownership, activity, elastic), *own]
    return Table(
        name=name,
        schema_name=schema_name,
        set_name=_set_name(context, name, body),
        primary_id=id_name,
        primary_name=primary,
        ownership=ownership,
        object_type_code=_type_code(context),
        metadata_id=context.org.new_id(),
        label=label_text(body.get("DisplayName")) or schema_name,
        collection_label=label_text(body.get("DisplayCollectionName")) or schema_name,
        description=label_text(body.get("Description")),
        custom=True,
        activity=activity,
        has_notes=body.get("HasNotes") is True,
        tracked=body.get("ChangeTrackingEnabled") is True,
        elastic=elastic,
        columns={column.name: column for column in columns},
    )


def _primary_name(columns: list[Column]) -> str:
    names = [column.name for column in columns if column.primary_name]
    if len(names) != 1:
        raise ServiceError(400, "0x80040203", "The entity needs exactly one primary name attribute.")
    if next(column for column in columns if column.primary_name).type != "String":
        raise ServiceError(400, "0x80040203", "The primary name attribute must be a string.")
    return names[0]


def _type_code(context: Context) -> int:
    used = [table.object_type_code for table in context.org.schema.tables.values()]
    return max(_FIRST_TYPE_CODE, *used) + 1


def _set_name(context: Context, name: str, body: Mapping[str, Any]) -> str:
    wanted = str(body.get("EntitySetName") or plural(name)).lower()
    if wanted in context.org.schema.sets:
        raise ServiceError(400, "0x8004700b", f"An entity set with the name '{wanted}' already exists.")
    return wanted


def plural(name: str) -> str:
    """The set name the platform generates."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh")) else "s")


def _standard(
    context: Context, name: str, schema_name: str, id_name: str, ownership: str, activity: bool, elastic: bool
) -> Iterator[Column]:
    key = "ActivityId" if activity else f"{schema_name}Id"
    yield _made(name, id_name, key, "Uniqueidentifier", required="SystemRequired", update=False)
    if activity:
        yield from _activity_columns(context, name, id_name)
        return
    yield from _stamps(name)
    yield from (
        _owner(name)
        if ownership == "UserOwned"
        else [_lookup(name, "organizationid", "OrganizationId", "organization")]
    )
    if elastic:
        yield _made(name, "partitionid", "PartitionId", "String", max_length=1024, update=False)
        yield _made(name, "ttlinseconds", "TTLInSeconds", "Integer", minimum=1, maximum=2_147_483_647)
    yield _made(name, "statecode", "statecode", "State", options=_STATES, required="SystemRequired", create=True)
    yield _made(name, "statuscode", "statuscode", "Status", options=_STATUSES)


def _made(table: str, name: str, schema_name: str, kind: str, **more: Any) -> Column:
    return Column(name, schema_name, kind, metadata_id(table, name), label=schema_name, **more)


def _lookup(table: str, name: str, schema_name: str, target: str, **more: Any) -> Column:
    fixed: dict[str, Any] = {"create": False, "update": False, **more}
    return _made(table, name, schema_name, "Lookup", targets=(target,), navigation={target: name}, **fixed)


def _stamps(table: str) -> Iterator[Column]:
    fixed: dict[str, Any] = {"create": False, "update": False}
    moment: dict[str, Any] = {"behavior": "UserLocal", "format": "DateAndTime"}
    yield _made(table, "createdon", "CreatedOn", "DateTime", **moment, **fixed)
    yield _made(table, "modifiedon", "ModifiedOn", "DateTime", **moment, **fixed)
    for name, schema_name in (
        ("createdby", "CreatedBy"),
        ("createdonbehalfby", "CreatedOnBehalfBy"),
        ("modifiedby", "ModifiedBy"),
        ("modifiedonbehalfby", "ModifiedOnBehalfBy"),
    ):
        yield _lookup(table, name, schema_name, "systemuser")
    yield _made(
        table,
        "overriddencreatedon",
        "OverriddenCreatedOn",
        "DateTime",
        behavior="UserLocal",
        format="DateOnly",
        update=False,
    )
    yield _made(
        table,
        "importsequencenumber",
        "ImportSequenceNumber",
        "Integer",
        minimum=-2_147_483_648,
        maximum=2_147_483_647,
        update=False,
    )
    yield _made(table, "timezoneruleversionnumber", "TimeZoneRuleVersionNumber", "Integer", minimum=-1)
    yield _made(table, "utcconversiontimezonecode", "UTCConversionTimeZoneCode", "Integer", minimum=-1)
    yield _made(table, "versionnumber", "VersionNumber", "BigInt", **fixed)


def _owner(table: str) -> Iterator[Column]:
    yield _made(
        table,
        "ownerid",
        "OwnerId",
        "Owner",
        required="SystemRequired",
        targets=("systemuser", "team"),
        navigation={"systemuser": "ownerid", "team": "ownerid"},
    )
    yield _lookup(table, "owningbusinessunit", "OwningBusinessUnit", "businessunit")
    yield _lookup(table, "owningteam", "OwningTeam", "team")
    yield _lookup(table, "owninguser", "OwningUser", "systemuser")


def _activity_columns(context: Context, table: str, id_name: str) -> Iterator[Column]:
    """An activity table has every column of activitypointer; polymorphic lookups carry the table's name."""
    for column in context.org.schema.tables["activitypointer"].columns.values():
        if column.name in (id_name, "subject"):
            continue
        navigation = {
            target: f"{nav}_{table}" if len(column.targets) > 1 and column.name != "ownerid" else nav
            for target, nav in column.navigation.items()
        }
        yield replace(column, metadata_id=metadata_id(table, column.name), navigation=navigation)
