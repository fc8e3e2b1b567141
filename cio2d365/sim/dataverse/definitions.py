"""Bodies of schema calls to columns, choices and cascade settings, with the checks of dataverse-api 9."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .context import Context
from .errors import ServiceError, malformed, payload_error
from .schema import Choice, Column, Option
from .solutions import solution_id

Json = Mapping[str, Any]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LONGEST_NAME = 100
_FIRST_VALUE = 10_000
_COLUMN_TYPES = frozenset(
    {
        "String",
        "Memo",
        "Integer",
        "BigInt",
        "Decimal",
        "Double",
        "Money",
        "Boolean",
        "DateTime",
        "Picklist",
        "MultiSelectPicklist",
        "File",
        "Image",
    }
)


def label_text(value: Any) -> str:
    """The English text of a Label."""
    if not isinstance(value, Mapping):
        return ""
    labels = value.get("LocalizedLabels") or [value.get("UserLocalizedLabel") or {}]
    return str(labels[0].get("Label") or "") if labels else ""


def check_schema_name(context: Context, name: Any, kind: str) -> str:
    """A schema name with the prefix of some publisher. The API never adds the prefix itself."""
    if not isinstance(name, str) or not name:
        raise ServiceError(400, "0x80040203", f"The {kind} needs a SchemaName.")
    if len(name) > _LONGEST_NAME:
        raise ServiceError(400, "0x80044367", f"The {kind} name '{name[:60]}…' exceeds the maximum length.")
    prefixes = [row[0].lower() for row in context.org.store.query("SELECT customizationprefix FROM publisher")]
    prefix, found, rest = name.partition("_")
    if not found or not rest or not _NAME.fullmatch(name) or prefix.lower() not in prefixes:
        raise ServiceError(
            400,
            "0x80044366",
            f"The {kind} name '{name}' is not valid: it must start with a valid customization prefix.",
        )
    return name


def check_relationship_name(context: Context, name: Any) -> str:
    """A relationship may also begin with a table's name when a prefix follows, as the vendor's clients name them."""
    text = str(name or "")
    prefixes = [row[0].lower() for row in context.org.store.query("SELECT customizationprefix FROM publisher")]
    if _NAME.fullmatch(text) and any(f"_{prefix}_" in text.lower() for prefix in prefixes):
        return text
    return check_schema_name(context, name, "relationship")


def managed_value(value: Any, default: str) -> str:
    """The value of a managed property such as RequiredLevel."""
    return str(value.get("Value", default)) if isinstance(value, Mapping) else default


def column_type(body: Json) -> str:
    """SDK type of an attribute body, from `@odata.type` (plain or Complex…) or AttributeType."""
    kind = str(body.get("@odata.type", "")).rpartition(".")[2].removeprefix("Complex")
    name = kind.removesuffix("AttributeMetadata") or str(body.get("AttributeType", ""))
    if name not in _COLUMN_TYPES:
        raise malformed(f"An attribute of type '{name or 'unknown'}' cannot be created with this request.")
    return name


def read_column(context: Context, body: Any) -> Column:
    """A new column from its metadata body."""
    if not isinstance(body, Mapping):
        raise payload_error("AttributeMetadata", "An object is expected.")
    kind = column_type(body)
    schema_name = check_schema_name(context, body.get("SchemaName"), "attribute")
    common: dict[str, Any] = {
        "name": schema_name.lower(),
        "schema_name": schema_name,
        "type": kind,
        "metadata_id": context.org.new_id(),
        "label": label_text(body.get("DisplayName")) or schema_name,
        "description": label_text(body.get("Description")),
        "required": managed_value(body.get("RequiredLevel"), "None"),
        "primary_name": body.get("IsPrimaryName") is True,
        "custom": True,
    }
    return Column(**common, **type_settings(context, kind, schema_name.lower(), body))


def type_settings(context: Context, kind: str, name: str, body: Json) -> dict[str, Any]:
    """The settings that only some types have."""
    if kind in ("String", "Memo"):
        return _text_settings(kind, body)
    if kind in ("Integer", "BigInt", "Decimal", "Double", "Money"):
        return _number_settings(kind, body)
    if kind == "DateTime":
        return _date_settings(body)
    if kind == "Boolean":
        return _boolean_settings(body)
    if kind in ("Picklist", "MultiSelectPicklist"):
        return _choice_settings(context, kind, body)
    return {"max_size_kb": body.get("MaxSizeInKB", 10_240)}


def _text_settings(kind: str, body: Json) -> dict[str, Any]:
    most, default = (4000, 100) if kind == "String" else (1_048_576, 2000)
    length = body.get("MaxLength", default)
    if type(length) is not int or not 1 <= length <= most:
        raise ServiceError(400, "0x80040203", f"MaxLength must be between 1 and {most}, not {length}.")
    format_name = body.get("FormatName")
    format_text = format_name.get("Value") if isinstance(format_name, Mapping) else body.get("Format")
    return {"max_length": length, "format": format_text or ("Text" if kind == "String" else "TextArea")}


_BOUNDS: dict[str, tuple[float, float, int | None, int]] = {
    "Integer": (-2_147_483_648, 2_147_483_647, None, 0),
    "BigInt": (-9_223_372_036_854_775_808, 9_223_372_036_854_775_807, None, 0),
    "Decimal": (-100_000_000_000, 100_000_000_000, 2, 10),
    "Double": (-100_000_000_000, 100_000_000_000, 2, 5),
    "Money": (-922_337_203_685_477, 922_337_203_685_477, 2, 4),
}


def _number_settings(kind: str, body: Json) -> dict[str, Any]:
    low, high, precision, most = _BOUNDS[kind]
    wanted_low, wanted_high = _given(body, "MinValue", low), _given(body, "MaxValue", high)
    if not low <= wanted_low <= wanted_high <= high:
        raise ServiceError(400, "0x80040203", f"MinValue and MaxValue must lie between {low} and {high}.")
    found: dict[str, Any] = {"minimum": wanted_low, "maximum": wanted_high, "format": body.get("Format")}
    if precision is None:
        return found
    places = _given(body, "Precision", precision)
    if type(places) is not int or not 0 <= places <= most:
        raise ServiceError(400, "0x80040203", f"Precision must be between 0 and {most}, not {places}.")
    return {**found, "precision": places, "precision_source": body.get("PrecisionSource")}


def _given(body: Json, name: str, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value


def _date_settings(body: Json) -> dict[str, Any]:
    behavior = body.get("DateTimeBehavior")
    name = behavior.get("Value") if isinstance(behavior, Mapping) else behavior
    wanted = name or "UserLocal"
    format_name = body.get("Format") or "DateOnly"
    if wanted not in ("UserLocal", "DateOnly", "TimeZoneIndependent"):
        raise ServiceError(400, "0x80040203", f"'{wanted}' is not a DateTimeBehavior.")
    if wanted == "DateOnly" and format_name != "DateOnly":
        raise ServiceError(400, "0x80040203", "The DateOnly behavior needs the DateOnly format.")
    return {"behavior": wanted, "format": format_name}


def _boolean_settings(body: Json) -> dict[str, Any]:
    options = body.get("OptionSet") or {}
    texts = [
        Option(value, label_text((options.get(name) or {}).get("Label")) or default)
        for value, name, default in ((1, "TrueOption", "Yes"), (0, "FalseOption", "No"))
    ]
    return {"options": tuple(texts), "default": bool(body.get("DefaultValue", False))}


def _choice_settings(context: Context, kind: str, body: Json) -> dict[str, Any]:
    shared = _shared_choice(context, body)
    local = body.get("OptionSet") or {}
    options = shared.options if shared else read_options(context, local.get("Options") or [])
    if not options and not shared:
        raise ServiceError(400, "0x80048403", "Invalid OptionSet: a choice column needs options.")
    default = body.get("DefaultFormValue")
    return {
        "options": options,
        "global_choice": shared.name if shared else None,
        "default": None if kind == "MultiSelectPicklist" or default in (None, -1) else default,
    }


def _shared_choice(context: Context, body: Json) -> Choice | None:
    bind = body.get("GlobalOptionSet@odata.bind")
    local = body.get("OptionSet") or {}
    wanted = str(bind) if bind else str(local.get("Name", "")) if local.get("IsGlobal") else ""
    if not wanted:
        return None
    for choice in context.org.schema.choices.values():
        if choice.metadata_id in wanted or choice.name == wanted or f"'{choice.name}'" in wanted:
            return choice
    raise ServiceError(404, "0x80040217", f"Could not find the global choice '{wanted}'.")


def read_options(context: Context, raw: list[Json]) -> tuple[Option, ...]:
    """Options of a choice; values that are left out are numbered with the publisher's value prefix."""
    numbers = _next_values(context)
    options = tuple(Option(_option_value(item, numbers), label_text(item.get("Label"))) for item in raw)
    if len({option.value for option in options}) != len(options):
        raise ServiceError(400, "0x80044310", "The picklist value already exists.  Picklist values must be unique.")
    return options


def _option_value(item: Json, numbers: Iterator[int]) -> int:
    value = item.get("Value")
    if value is None:
        return next(numbers)
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise ServiceError(400, "0x80048403", f"Invalid OptionSet: '{value}' is not an option value.")
    return value


def _next_values(context: Context) -> Iterator[int]:
    solution = solution_id(context)
    sql = (
        "SELECT p.customizationoptionvalueprefix FROM publisher p JOIN solution s ON s.publisherid = p.publisherid "
        "WHERE s.solutionid = ? OR (? IS NULL AND s.uniquename = 'Default')"
    )
    rows = context.org.store.query(sql, (solution, solution))
    start = (rows[0][0] if rows else _FIRST_VALUE) * 10_000
    while True:
        yield start
        start += 1


_CASCADE_VALUES = frozenset({"Cascade", "NoCascade", "RemoveLink", "Restrict", "Active", "UserOwned"})


def read_cascade(body: Any) -> dict[str, str]:
    """A CascadeConfiguration; what is left out does not cascade, deletion removes the link."""
    given = body if isinstance(body, Mapping) else {}
    defaults = dict.fromkeys(("Assign", "Merge", "Reparent", "Share", "Unshare"), "NoCascade")
    cascade = {**defaults, "Delete": "RemoveLink"}
    for verb in cascade:
        value = given.get(verb)
        if value is not None and value not in _CASCADE_VALUES:
            raise ServiceError(400, "0x80048102", "Invalid CascadeLink Type")
        cascade[verb] = value or cascade[verb]
    return cascade
