"""Definitions as the Web API shows them: EntityMetadata, AttributeMetadata, keys, relationships, choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .metadata_defaults import COLUMN_DEFAULTS, TABLE_DEFAULTS, managed
from .privileges import table_privileges
from .schema import Choice, Column, Key, ManyToMany, Option, Relationship, Schema, Table, metadata_id

Json = dict[str, Any]
_CRM = "#Microsoft.Dynamics.CRM."
_LANGUAGE = 1033
_TYPE_NAMES = {"Customer": "Lookup", "Owner": "Lookup"}
_VIRTUAL_TYPES = {"MultiSelectPicklist", "Image", "File"}


@dataclass(frozen=True)
class Item:
    """One metadata object: its plain properties, those of its derived type, and what can be expanded."""

    type: str
    base: Json
    derived: Json = field(default_factory=dict)
    expansions: dict[str, Callable[[], Any]] = field(default_factory=dict)


def label(text: str) -> Json:
    """A Label with one English text."""
    if not text:
        return {"LocalizedLabels": [], "UserLocalizedLabel": None}
    one = {
        "Label": text,
        "LanguageCode": _LANGUAGE,
        "IsManaged": False,
        "MetadataId": metadata_id("label", text),
        "HasChanged": None,
    }
    return {"LocalizedLabels": [one], "UserLocalizedLabel": one}


def table_item(schema: Schema, table: Table) -> Item:
    """EntityMetadata."""
    base: Json = {
        **TABLE_DEFAULTS,
        "MetadataId": table.metadata_id,
        "LogicalName": table.name,
        "SchemaName": table.schema_name,
        "EntitySetName": table.set_name,
        "LogicalCollectionName": table.set_name,
        "CollectionSchemaName": table.set_name,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name or None,
        "ObjectTypeCode": table.object_type_code,
        "OwnershipType": table.ownership,
        "OwnerIdType": None,
        "ReportViewName": f"Filtered{table.name}",
        "TableType": "Elastic" if table.elastic else "Standard",
        "IsCustomEntity": table.custom,
        "IsManaged": not table.custom,
        "IsIntersect": table.intersect,
        "IsActivity": table.activity,
        "IsStateModelAware": "statecode" in table.columns,
        "IsQuickCreateEnabled": False,
        "HasNotes": table.has_notes,
        "HasActivities": not table.custom,
        "HasFeedback": False,
        "IsLogicalEntity": False,
        "IsPrivate": False,
        "IsValidForAdvancedFind": True,
        "ChangeTrackingEnabled": table.tracked,
        "DataProviderId": None,
        "ExternalName": None,
        "IntroducedVersion": "1.0.0.0",
        "DisplayName": label(table.label),
        "DisplayCollectionName": label(table.collection_label),
        "Description": label(table.description),
        "IsCustomizable": managed(not table.intersect, "iscustomizable"),
        "CanCreateAttributes": managed(not table.intersect, "cancreateattributes"),
        "CanBeInManyToMany": managed(True, "canbeinmanytomany"),
        "CanBePrimaryEntityInRelationship": managed(True, "canbeprimaryentityinrelationship"),
        "CanBeRelatedEntityInRelationship": managed(True, "canberelatedentityinrelationship"),
        "CanCreateViews": managed(True, "cancreateviews"),
        "IsAuditEnabled": managed(False, "canmodifyauditsettings"),
        "IsDuplicateDetectionEnabled": managed(False, "canmodifyduplicatedetectionsettings"),
        "IsRenameable": managed(True, "isrenameable"),
        "Privileges": table_privileges(table),
    }
    expansions: dict[str, Callable[[], Any]] = {
        "Attributes": lambda: attribute_items(table),
        "Keys": lambda: [key_item(table, key) for key in table.keys.values()],
        "ManyToOneRelationships": lambda: [relationship_item(schema, r) for r in schema.parents_of(table.name)],
        "OneToManyRelationships": lambda: [relationship_item(schema, r) for r in schema.children_of(table.name)],
        "ManyToManyRelationships": lambda: many_items(schema, table),
    }
    return Item("EntityMetadata", base, {}, expansions)


def attribute_items(table: Table) -> list[Item]:
    """All columns of a table, the companions that are only names included."""
    return [attribute_item(table, column) for column in table.columns.values()]


def attribute_item(table: Table, column: Column) -> Item:
    """AttributeMetadata of the right derived type."""
    kind = _TYPE_NAMES.get(column.type, column.type)
    return Item(
        f"{kind}AttributeMetadata",
        _attribute_base(table, column),
        _derived(column),
        _attribute_expansions(column),
    )


def _attribute_base(table: Table, column: Column) -> Json:
    shown = "Virtual" if column.type in _VIRTUAL_TYPES else column.type
    return {
        **COLUMN_DEFAULTS,
        "MetadataId": column.metadata_id,
        "LogicalName": column.name,
        "SchemaName": column.schema_name,
        "EntityLogicalName": table.name,
        "AttributeType": shown,
        "AttributeTypeName": {"Value": f"{column.type}Type"},
        "AttributeOf": column.attribute_of,
        "ColumnNumber": 1 + list(table.columns).index(column.name),
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsValidForCreate": column.create,
        "IsValidForUpdate": column.update,
        "IsValidForRead": True,
        "IsValidODataAttribute": column.stored,
        "IsCustomAttribute": column.custom,
        "IsManaged": not column.custom,
        "IsLogical": not column.stored,
        "IsSecured": False,
        "IsSearchable": False,
        "SourceType": 0,
        "RequiredLevel": managed(column.required, "canmodifyrequirementlevelsettings"),
        "DisplayName": label(column.label),
        "Description": label(column.description),
        "IsCustomizable": managed(True, "iscustomizable"),
        "IsAuditEnabled": managed(True, "canmodifyauditsettings"),
        "IsValidForAdvancedFind": managed(True, "canmodifysearchsettings"),
        "IntroducedVersion": "1.0.0.0",
    }


def _string(column: Column) -> Json:
    return {
        "MaxLength": column.max_length,
        "DatabaseLength": 2 * (column.max_length or 0),
        "Format": column.format if column.format in ("Text", "Email", "Url", "Phone", "TextArea") else "Text",
        "FormatName": {"Value": column.format or "Text"},
        "ImeMode": "Auto",
        "IsLocalizable": False,
        "YomiOf": None,
        "AutoNumberFormat": "",
        "FormulaDefinition": "",
        "SourceTypeMask": 0,
    }


def _memo(column: Column) -> Json:
    return {
        "MaxLength": column.max_length,
        "Format": column.format or "TextArea",
        "FormatName": {"Value": column.format or "TextArea"},
        "ImeMode": "Auto",
    }


def _range(column: Column) -> Json:
    return {"MinValue": column.minimum, "MaxValue": column.maximum}


def _integer(column: Column) -> Json:
    return {**_range(column), "Format": column.format or "None"}


def _decimal(column: Column) -> Json:
    return {**_range(column), "Precision": column.precision, "ImeMode": "Auto"}


def _money(column: Column) -> Json:
    return {
        **_decimal(column),
        "PrecisionSource": column.precision_source,
        "IsBaseCurrency": column.name.endswith("_base"),
    }


def _boolean(column: Column) -> Json:
    return {"DefaultValue": bool(column.default)}


def _date_time(column: Column) -> Json:
    return {
        "Format": column.format or "DateAndTime",
        "DateTimeBehavior": {"Value": column.behavior or "UserLocal"},
        "CanChangeDateTimeBehavior": {"Value": column.behavior == "UserLocal" and column.custom},
        "ImeMode": "Auto",
    }


def _choice_column(column: Column) -> Json:
    return {"DefaultFormValue": -1 if column.default is None else column.default}


def _lookup(column: Column) -> Json:
    return {"Targets": list(column.targets), "Format": "None"}


def _file(column: Column) -> Json:
    return {"MaxSizeInKB": column.max_size_kb}


def _derived(column: Column) -> Json:
    make = _DERIVED.get(column.type)
    return make(column) if make else {}


_DERIVED: dict[str, Callable[[Column], Json]] = {
    "String": _string,
    "Memo": _memo,
    "Integer": _integer,
    "BigInt": _range,
    "Decimal": _decimal,
    "Double": _decimal,
    "Money": _money,
    "Boolean": _boolean,
    "DateTime": _date_time,
    "Picklist": _choice_column,
    "State": _choice_column,
    "Status": _choice_column,
    "MultiSelectPicklist": _choice_column,
    "Lookup": _lookup,
    "Customer": _lookup,
    "Owner": _lookup,
    "File": _file,
    "Image": _file,
}


def _attribute_expansions(column: Column) -> dict[str, Callable[[], Any]]:
    if not column.options:
        return {}
    if column.type == "Boolean":
        return {"OptionSet": lambda: boolean_options(column), "GlobalOptionSet": lambda: None}
    own = Item("OptionSetMetadata", option_set(column.name, column.metadata_id, column.options, column.type, False))
    if column.global_choice:
        shared = Item(
            "OptionSetMetadata",
            option_set(
                column.global_choice, metadata_id("choice", column.global_choice), column.options, "Picklist", True
            ),
        )
        return {"OptionSet": lambda: shared, "GlobalOptionSet": lambda: shared}
    return {"OptionSet": lambda: own, "GlobalOptionSet": lambda: None}


def boolean_options(column: Column) -> Item:
    """The option set of a yes/no column."""
    by_value = {item.value: option(item) for item in column.options}
    base = {
        "MetadataId": column.metadata_id,
        "Name": column.name,
        "IsGlobal": False,
        "OptionSetType": "Boolean",
        "TrueOption": by_value.get(1),
        "FalseOption": by_value.get(0),
    }
    return Item("BooleanOptionSetMetadata", base)


def option(item: Option) -> Json:
    """OptionMetadata (StatusOptionMetadata when it belongs to a state)."""
    found: Json = {
        "Value": item.value,
        "Label": label(item.label),
        "Description": label(""),
        "Color": None,
        "IsManaged": False,
        "ExternalValue": "",
        "ParentValues": [],
        "MetadataId": None,
        "HasChanged": None,
    }
    if item.state is not None:
        found = {"@odata.type": f"{_CRM}StatusOptionMetadata", **found, "State": item.state}
    if item.default_status is not None:
        found = {
            "@odata.type": f"{_CRM}StateOptionMetadata",
            **found,
            "DefaultStatus": item.default_status,
            "InvariantName": item.label,
        }
    return found


def option_set(name: str, identity: str, options: Sequence[Option], kind: str, shared: bool) -> Json:
    """OptionSetMetadata."""
    return {
        "MetadataId": identity,
        "Name": name,
        "IsGlobal": shared,
        "IsCustomOptionSet": shared,
        "OptionSetType": kind if kind in ("State", "Status") else "Picklist",
        "DisplayName": label(name),
        "Options": [option(item) for item in options],
    }


def choice_item(choice: Choice) -> Item:
    """A global choice."""
    base = option_set(choice.name, choice.metadata_id, choice.options, "Picklist", True)
    texts = {"DisplayName": label(choice.label), "Description": label(choice.description)}
    return Item("OptionSetMetadata", {**base, **texts, "IsCustomizable": managed(True, "iscustomizable")})


def key_item(table: Table, key: Key) -> Item:
    """EntityKeyMetadata."""
    return Item(
        "EntityKeyMetadata",
        {
            "MetadataId": key.metadata_id,
            "SchemaName": key.schema_name,
            "LogicalName": key.name,
            "EntityLogicalName": table.name,
            "KeyAttributes": list(key.columns),
            "EntityKeyIndexStatus": key.status,
            "DisplayName": label(key.label),
            "IsManaged": False,
            "IsCustomizable": managed(True, "iscustomizable"),
            "IsExportKey": False,
            "IsSynchronous": False,
        },
    )


def many_items(schema: Schema, table: Table) -> list[Item]:
    """The many-to-many relationships of a table."""
    found = schema.many_to_many.values()
    return [many_to_many_item(relation) for relation in found if table.name in (relation.first, relation.second)]


def many_to_many_item(relation: ManyToMany) -> Item:
    """ManyToManyRelationshipMetadata."""
    return Item(
        "ManyToManyRelationshipMetadata",
        {
            "MetadataId": relation.metadata_id,
            "SchemaName": relation.schema_name,
            "RelationshipType": "ManyToManyRelationship",
            "IsCustomRelationship": relation.custom,
            "IsManaged": not relation.custom,
            "Entity1LogicalName": relation.first,
            "Entity1IntersectAttribute": relation.first_column,
            "Entity1NavigationPropertyName": relation.first_navigation,
            "Entity2LogicalName": relation.second,
            "Entity2IntersectAttribute": relation.second_column,
            "Entity2NavigationPropertyName": relation.second_navigation,
            "IntersectEntityName": relation.intersect,
            "IsCustomizable": managed(True, "iscustomizable"),
        },
    )


def relationship_item(schema: Schema, relationship: Relationship) -> Item:
    """OneToManyRelationshipMetadata."""
    parent = schema.tables.get(relationship.parent)
    return Item(
        "OneToManyRelationshipMetadata",
        {
            "MetadataId": relationship.metadata_id,
            "SchemaName": relationship.schema_name,
            "RelationshipType": "OneToManyRelationship",
            "IsCustomRelationship": relationship.custom,
            "IsManaged": not relationship.custom,
            "ReferencedEntity": relationship.parent,
            "ReferencedAttribute": parent.primary_id if parent else None,
            "ReferencedEntityNavigationPropertyName": relationship.parent_navigation,
            "ReferencingEntity": relationship.child,
            "ReferencingAttribute": relationship.column,
            "ReferencingEntityNavigationPropertyName": relationship.child_navigation,
            "CascadeConfiguration": dict(relationship.cascade),
            "IsHierarchical": False,
            "IsCustomizable": managed(True, "iscustomizable"),
        },
    )
