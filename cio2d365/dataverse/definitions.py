"""Definitions of schema components as the Web API wants them (`dataverse-api 9`): tables, columns, lookups, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cio2d365.dataverse.requests import API, JSON, post, text
from cio2d365.tables import Column, Key, Lookup, Table
from cio2d365.transport import Request

Body = dict[str, Any]
TYPE = "Microsoft.Dynamics.CRM."
LANGUAGE = 1033
NO_CASCADE = {
    "Assign": "NoCascade", "Delete": "RemoveLink", "Merge": "NoCascade", "Reparent": "NoCascade",
    "Share": "NoCascade", "Unshare": "NoCascade",
}  # fmt: skip


def label(words: str) -> Body:
    """A label in English."""
    one = {"@odata.type": f"{TYPE}LocalizedLabel", "Label": words, "LanguageCode": LANGUAGE}
    return {"@odata.type": f"{TYPE}Label", "LocalizedLabels": [one]}


def create_publisher(name: str, prefix: str, option_prefix: int) -> Request:
    """Our own publisher: its prefix starts every name that we create."""
    body = {"uniquename": name, "friendlyname": "Customer.io migration", "customizationprefix": prefix,
            "customizationoptionvalueprefix": option_prefix}  # fmt: skip
    return post("publishers", body)


def create_solution(name: str, publisher_id: str) -> Request:
    """One solution holds everything, so that the schema is portable and removable."""
    body = {"uniquename": name, "friendlyname": "Customer.io migration", "version": "1.0.0.0",
            "publisherid@odata.bind": f"/publishers({publisher_id})"}  # fmt: skip
    return post("solutions", body)


def create_table(table: Table, solution: str) -> Request:
    """The table with its primary name column; other columns follow one by one."""
    name = table.column(table.primary_name)
    if name is None:
        raise KeyError(f"{table.name} does not define its primary name column {table.primary_name}")
    body = {
        "@odata.type": f"{TYPE}EntityMetadata", "SchemaName": table.name, "EntitySetName": table.set_name,
        "OwnershipType": "UserOwned", "IsActivity": False, "HasActivities": False, "HasNotes": False,
        "DisplayName": label(table.label), "DisplayCollectionName": label(table.label_plural or table.label),
        "Description": label(table.description), "Attributes": [_attribute(name) | {"IsPrimaryName": True}],
    }  # fmt: skip
    return _schema_post("EntityDefinitions", body, solution)


def create_column(table: str, column: Column, solution: str) -> Request:
    """One column of an existing table."""
    return _schema_post(f"EntityDefinitions(LogicalName={text(table)})/Attributes", _attribute(column), solution)


def create_lookup(table: str, lookup: Lookup, solution: str) -> Request:
    """A lookup to one table, or a multi-table lookup; deleting a target only removes the link."""
    relations = [_relation(table, lookup.name, target) for target, _ in lookup.targets]
    column = {"SchemaName": lookup.name, "DisplayName": label(lookup.label), "RequiredLevel": {"Value": "None"},
              "AttributeType": "Lookup", "AttributeTypeName": {"Value": "LookupType"}}  # fmt: skip
    if len(relations) == 1:
        one = {"@odata.type": f"{TYPE}LookupAttributeMetadata", **column}
        return _schema_post("RelationshipDefinitions", {**relations[0], "Lookup": one}, solution)
    many = {"@odata.type": f"{TYPE}ComplexLookupAttributeMetadata", **column}
    body = {"OneToManyRelationships": relations, "Lookup": many, "SolutionUniqueName": solution}
    return post("CreatePolymorphicLookupAttribute", body)


def create_key(table: str, key: Key, solution: str) -> Request:
    """An alternate key; its index is built by a job of the server."""
    body = {"SchemaName": key.name, "DisplayName": label(key.label or key.name), "KeyAttributes": list(key.columns)}
    return _schema_post(f"EntityDefinitions(LogicalName={text(table)})/Keys", body, solution)


def publish(tables: list[str]) -> Request:
    """Publish the customisations of some tables."""
    entities = "".join(f"<entity>{name}</entity>" for name in tables)
    xml = f"<importexportxml><entities>{entities}</entities></importexportxml>"
    return post("PublishXml", {"ParameterXml": xml}, repeatable=True)


def _schema_post(path: str, body: Body, solution: str) -> Request:
    request = post(path, body)
    header = {"MSCRM.SolutionUniqueName": solution} if solution else {}
    return Request("POST", f"{API}/{path}", request.body, {**JSON, **header}, repeatable=False)


def _relation(table: str, lookup: str, target: str) -> Body:
    return {
        "@odata.type": f"{TYPE}OneToManyRelationshipMetadata", "SchemaName": relationship_name(table, lookup, target),
        "ReferencedEntity": target, "ReferencingEntity": table, "CascadeConfiguration": NO_CASCADE,
    }  # fmt: skip


def relationship_name(table: str, lookup: str, target: str) -> str:
    """Schema name of the relationship behind a lookup; at most 100 characters by construction of our names."""
    return f"{table}_{lookup.removeprefix('cio_')}_{target}"


def _attribute(column: Column) -> Body:
    common = {"SchemaName": column.name, "DisplayName": label(column.label or column.name),
              "Description": label(column.description), "RequiredLevel": {"Value": "None"}}  # fmt: skip
    return {**common, **_SPECIFIC[column.kind](column)}


def _typed(kind: str, **extra: Any) -> Body:
    return {"@odata.type": f"{TYPE}{kind}AttributeMetadata", **extra}


def _choice(kind: str, column: Column) -> Body:
    options = [{"Value": o.value, "Label": label(o.label)} for o in column.options]
    choice = {
        "@odata.type": f"{TYPE}OptionSetMetadata",
        "IsGlobal": False,
        "OptionSetType": "Picklist",
        "Options": options,
    }
    return _typed(kind, OptionSet=choice)


def _yes_no(_: Column) -> Body:
    options = {"TrueOption": {"Value": 1, "Label": label("Yes")}, "FalseOption": {"Value": 0, "Label": label("No")}}
    return _typed(
        "Boolean", DefaultValue=False, OptionSet={"@odata.type": f"{TYPE}BooleanOptionSetMetadata", **options}
    )


def _ranged(kind: str, column: Column, **extra: Any) -> Body:
    return _typed(kind, MinValue=column.minimum, MaxValue=column.maximum, **extra)


def _date(column: Column) -> Body:
    day = column.kind == "date"
    behavior = "DateOnly" if day else "UserLocal"
    return _typed("DateTime", Format="DateOnly" if day else "DateAndTime", DateTimeBehavior={"Value": behavior})


_SPECIFIC: Mapping[str, Callable[[Column], Body]] = {
    "string": lambda c: _typed("String", MaxLength=c.length or 100, FormatName={"Value": c.format or "Text"}),
    "memo": lambda c: _typed("Memo", MaxLength=c.length, Format="TextArea"),
    "integer": lambda c: _ranged("Integer", c, Format="None"),
    "bigint": lambda c: _typed("BigInt"),
    "decimal": lambda c: _ranged("Decimal", c, Precision=c.precision if c.precision is not None else 10),
    "double": lambda c: _ranged("Double", c, Precision=c.precision if c.precision is not None else 5),
    "boolean": _yes_no,
    "datetime": _date,
    "date": _date,
    "choice": lambda c: _choice("Picklist", c),
    "multichoice": lambda c: _choice("MultiSelectPicklist", c),
}
