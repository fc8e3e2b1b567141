"""Definitions of schema components as the Web API wants them (`dataverse-api 9`): how each is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from cio2d365.dataverse.requests import API, JSON, post, text
from cio2d365.tables import Choice, Column, Key, Lookup, Option, Publisher, Table, View
from cio2d365.transport import Request

Body = dict[str, Any]
TYPE = "Microsoft.Dynamics.CRM."
LANGUAGE = 1033
NAME_LENGTH = 50  # of a relationship (0x8004802a, dataverse-api 8.4)
CELL_WIDTH = 200  # pixels of a column in a view
NO_CASCADE = {
    "Assign": "NoCascade", "Delete": "RemoveLink", "Merge": "NoCascade", "Reparent": "NoCascade",
    "Share": "NoCascade", "Unshare": "NoCascade",
}  # fmt: skip


def label(words: str) -> Body:
    """A label in English."""
    one = {"@odata.type": f"{TYPE}LocalizedLabel", "Label": words, "LanguageCode": LANGUAGE}
    return {"@odata.type": f"{TYPE}Label", "LocalizedLabels": [one]}


def create_publisher(publisher: Publisher) -> Request:
    """Our own publisher: its prefix starts every name that we create."""
    body = {"uniquename": publisher.name, "friendlyname": "Customer.io migration",
            "customizationprefix": publisher.prefix,
            "customizationoptionvalueprefix": publisher.option_prefix}  # fmt: skip
    return post("publishers", body)


def create_solution(name: str, publisher_id: str) -> Request:
    """One solution holds everything, so that the schema is portable and removable."""
    body = {"uniquename": name, "friendlyname": "Customer.io migration", "version": "1.0.0.0",
            "publisherid@odata.bind": f"/publishers({publisher_id})"}  # fmt: skip
    return post("solutions", body)


def create_table(table: Table, solution: str) -> Request:
    """The table with its primary name column; other columns follow one by one. KeyError when it defines none."""
    name = table.column(table.primary_name)
    if name is None:
        raise KeyError(f"{table.name} does not define its primary name column {table.primary_name}")
    body = {
        "@odata.type": f"{TYPE}EntityMetadata", "SchemaName": table.name, "EntitySetName": table.set_name,
        "TableType": table.kind.title(), "OwnershipType": "UserOwned", "IsActivity": False, "HasActivities": False,
        "HasNotes": False, "DisplayName": label(table.label),
        "DisplayCollectionName": label(table.label_plural or table.label), "Description": label(table.description),
        "Attributes": [_attribute(name, "") | {"IsPrimaryName": True}],
    }  # fmt: skip
    return _schema_post("EntityDefinitions", body, solution)


def create_column(table: str, column: Column, solution: str, choice_id: str = "") -> Request:
    """One column of an existing table; `choice_id` is the id of the global choice that it refers to."""
    body = _attribute(column, choice_id)
    return _schema_post(f"EntityDefinitions(LogicalName={text(table)})/Attributes", body, solution)


def create_choice(choice: Choice, solution: str) -> Request:
    """A global choice with its options."""
    body = {**_option_set(choice.options, shared=True), "Name": choice.name, "DisplayName": label(choice.label)}
    return _schema_post("GlobalOptionSetDefinitions", body, solution)


def insert_option(option: Option, solution: str, *, choice: str = "", table: str = "", column: str = "") -> Request:
    """One more option of a global choice, or of the choice of one column."""
    place = {"OptionSetName": choice} if choice else {"EntityLogicalName": table, "AttributeLogicalName": column}
    body = {**place, "Value": option.value, "Label": label(option.label), "SolutionUniqueName": solution}
    return post("InsertOptionValue", body)


def create_lookup(table: str, lookup: Lookup, solution: str) -> Request:
    """A lookup to one table, a multi-table lookup or a customer lookup; deleting a target only removes the link."""
    relations = [_relation(table, lookup.name, target) for target, _ in lookup.targets]
    if len(relations) == 1:
        return _schema_post("RelationshipDefinitions", {**relations[0], "Lookup": _lookup_column(lookup)}, solution)
    many = _lookup_column(lookup) | {"@odata.type": f"{TYPE}ComplexLookupAttributeMetadata"}
    body = {"OneToManyRelationships": relations, "Lookup": many, "SolutionUniqueName": solution}
    return post("CreateCustomerRelationships" if lookup.customer else "CreatePolymorphicLookupAttribute", body)


def add_target(table: str, lookup: Lookup, target: str, solution: str) -> Request:
    """A further target of a lookup that was made as multi-table."""
    body = {**_relation(table, lookup.name, target), "Lookup": _lookup_column(lookup)}
    return _schema_post("RelationshipDefinitions", body, solution)


def create_key(table: str, key: Key, solution: str) -> Request:
    """An alternate key; its index is built by a job of the server."""
    body = {"SchemaName": key.name, "DisplayName": label(key.label or key.name), "KeyAttributes": list(key.columns)}
    return _schema_post(f"EntityDefinitions(LogicalName={text(table)})/Keys", body, solution)


def reactivate_key(table: str, key: str) -> Request:
    """Build the index of a failed key again, once the rows that share a value are gone (`dataverse-api 10`)."""
    return post("ReactivateEntityKey", {"EntityLogicalName": table, "EntityKeyLogicalName": key.lower()})


def create_view(view: View, table: Table, view_id: str, solution: str) -> Request:
    """A public view with an id that we chose; `table` gives the type code, which differs per environment."""
    body = {
        "savedqueryid": view_id, "name": view.name, "returnedtypecode": view.table, "querytype": 0,
        "isdefault": False, "fetchxml": view.fetch, "layoutxml": _layout(view, table),
    }  # fmt: skip
    return _schema_post("savedqueries", body, solution)


def _layout(view: View, table: Table) -> str:
    cells = "".join(f'<cell name={quoteattr(name)} width="{CELL_WIDTH}"/>' for name in view.columns)
    jump, identity = quoteattr(table.primary_name), quoteattr(table.primary_id)
    return (
        f'<grid name="resultset" object="{table.type_code}" jump={jump} select="1" icon="1" preview="1">'
        f'<row name="result" id={identity}>{cells}</row></grid>'
    )


def add_component(component_type: int, component_id: str, solution: str) -> Request:
    """Put something that exists into our solution; a table comes with all of its parts."""
    body = {"ComponentId": component_id, "ComponentType": component_type, "SolutionUniqueName": solution,
            "AddRequiredComponents": False, "DoNotIncludeSubcomponents": False}  # fmt: skip
    return post("AddSolutionComponent", body, repeatable=True)


def publish(tables: Iterable[str], choices: Iterable[str] = ()) -> Request:
    """Publish the customisations of some tables and global choices."""
    entities = "".join(f"<entity>{escape(name)}</entity>" for name in tables)
    sets = "".join(f"<optionset>{escape(name)}</optionset>" for name in choices)
    shared = f"<optionsets>{sets}</optionsets>" if sets else ""
    xml = f"<importexportxml><entities>{entities}</entities>{shared}</importexportxml>"
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


def _lookup_column(lookup: Lookup) -> Body:
    return {
        "@odata.type": f"{TYPE}LookupAttributeMetadata", "SchemaName": lookup.name, "AttributeType": "Lookup",
        "AttributeTypeName": {"Value": "LookupType"}, "DisplayName": label(lookup.label or lookup.name),
        "RequiredLevel": {"Value": "None"},
    }  # fmt: skip


def relationship_name(table: str, lookup: str, target: str) -> str:
    """Schema name of the relationship behind a lookup, at most 50 characters: a longer one ends in a digest of itself.

    It begins with the lookup's prefix when the table's own name has none (contact, lead).
    """
    prefix, _, rest = lookup.partition("_")
    whole = f"{table}_{rest}_{target}" if "_" in table else f"{prefix}_{table}_{rest}_{target}"
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return whole if len(whole) <= NAME_LENGTH else f"{whole[: NAME_LENGTH - 9]}_{digest}"


def _attribute(column: Column, choice_id: str) -> Body:
    common = {"SchemaName": column.name, "DisplayName": label(column.label or column.name),
              "Description": label(column.description), "RequiredLevel": {"Value": "None"}}  # fmt: skip
    return {**common, **(_shared(column, choice_id) if column.choice else _SPECIFIC[column.kind](column))}


def _typed(kind: str, **extra: Any) -> Body:
    return {"@odata.type": f"{TYPE}{kind}AttributeMetadata", **extra}


def _shared(column: Column, choice_id: str) -> Body:
    bind = {"GlobalOptionSet@odata.bind": f"/GlobalOptionSetDefinitions({choice_id})"}
    return _typed(_CHOICES[column.kind], **bind)


def _option_set(options: Iterable[Option], *, shared: bool) -> Body:
    return {
        "@odata.type": f"{TYPE}OptionSetMetadata",
        "IsGlobal": shared,
        "OptionSetType": "Picklist",
        "Options": [{"Value": o.value, "Label": label(o.label)} for o in options],
    }


def _own_choice(column: Column) -> Body:
    return _typed(_CHOICES[column.kind], OptionSet=_option_set(column.options, shared=False))


def _yes_no(_: Column) -> Body:
    options = {"TrueOption": {"Value": 1, "Label": label("Yes")}, "FalseOption": {"Value": 0, "Label": label("No")}}
    return _typed(
        "Boolean", DefaultValue=False, OptionSet={"@odata.type": f"{TYPE}BooleanOptionSetMetadata", **options}
    )


def _ranged(kind: str, column: Column, **extra: Any) -> Body:
    return _typed(kind, MinValue=column.minimum, MaxValue=column.maximum, **extra)


def _precise(kind: str, column: Column, places: int, **extra: Any) -> Body:
    return _ranged(kind, column, Precision=column.precision if column.precision is not None else places, **extra)


def _date(column: Column) -> Body:
    day = column.kind == "date"
    behavior = "DateOnly" if day else column.behavior or "UserLocal"
    return _typed("DateTime", Format="DateOnly" if day else "DateAndTime", DateTimeBehavior={"Value": behavior})


_CHOICES = {"choice": "Picklist", "multichoice": "MultiSelectPicklist"}
_SPECIFIC: Mapping[str, Callable[[Column], Body]] = {
    "string": lambda c: _typed("String", MaxLength=c.length or 100, FormatName={"Value": c.format or "Text"}),
    "memo": lambda c: _typed("Memo", MaxLength=c.length, Format="TextArea"),
    "integer": lambda c: _ranged("Integer", c, Format="None"),
    "bigint": lambda c: _typed("BigInt"),
    "decimal": lambda c: _precise("Decimal", c, 10),
    "double": lambda c: _precise("Double", c, 5),
    "money": lambda c: _precise("Money", c, 4, PrecisionSource=0),
    "boolean": _yes_no,
    "datetime": _date,
    "date": _date,
    "choice": _own_choice,
    "multichoice": _own_choice,
}
CREATABLE = frozenset(_SPECIFIC)  # kinds of columns that can be made
