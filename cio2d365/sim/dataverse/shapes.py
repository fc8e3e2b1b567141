"""JSON shapes of declared properties in schema bodies: what the OData layer refuses before any handler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import payload_error

_OBJECTS = frozenset({"OptionSet", "Lookup", "CascadeConfiguration", "TrueOption", "FalseOption", "List", "Target"})
_TEXTS = frozenset(
    {
        "SchemaName",
        "Name",
        "OwnershipType",
        "TableType",
        "EntitySetName",
        "ReferencedEntity",
        "ReferencingEntity",
        "IntersectEntityName",
        "Entity1LogicalName",
        "Entity2LogicalName",
        "Entity1NavigationPropertyName",
        "Entity2NavigationPropertyName",
        "EntityLogicalName",
        "AttributeLogicalName",
        "OptionSetName",
        "EntityKeyLogicalName",
        "SolutionUniqueName",
        "JobName",
        "ParameterXml",
        "@odata.type",
    }
)
_OBJECT_LISTS = frozenset(
    {"Attributes", "Options", "LocalizedLabels", "Entities", "OneToManyRelationships", "Members", "QuerySet"}
)
_TEXT_LISTS = frozenset({"KeyAttributes"})
_NUMBERS = frozenset({"MinValue", "MaxValue"})


def check_shape(value: Any) -> None:
    """Walk a body; a declared property of another JSON type is an error in the payload."""
    if isinstance(value, list):
        for item in value:
            check_shape(item)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if inner is not None and not _fits(name, inner):
                raise payload_error("Metadata", f"The value of the property '{name}' has an unexpected JSON type.")
            check_shape(inner)


def _fits(name: str, value: Any) -> bool:
    if name in _OBJECTS:
        return isinstance(value, Mapping)
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name in _OBJECT_LISTS:
        return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
    if name in _TEXT_LISTS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return True
