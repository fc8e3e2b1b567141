"""Tables of the platform that an audit reads: plug-in steps, processes, flow triggers, rules, apps, settings.

Only the columns that tell what is registered where; nothing here is executed (a `reject` fault plays a plug-in).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .schema import Column, Option, Table, metadata_id

# name → type, or (type, lookup target). Read-only columns carry a leading "-".
_COLUMNS: Mapping[str, Mapping[str, str | tuple[str, str]]] = {
    "sdkmessageprocessingstep": {
        "name": "String", "stage": "Integer", "mode": "Integer", "rank": "Integer", "filteringattributes": "String",
        "customizationlevel": "Integer", "-ismanaged": "Boolean", "sdkmessageid": ("Lookup", "sdkmessage"),
        "sdkmessagefilterid": ("Lookup", "sdkmessagefilter"),
    },
    "workflow": {
        "name": "String", "category": "Integer", "type": "Integer", "mode": "Integer", "scope": "Integer",
        "primaryentity": "String", "triggeroncreate": "Boolean", "triggerondelete": "Boolean",
        "triggeronupdateattributelist": "String", "processtriggerscope": "Integer", "-ismanaged": "Boolean",
    },
    "callbackregistration": {
        "name": "String", "entityname": "String", "message": "Integer", "sdkmessagename": "String",
        "scope": "Integer", "filteringattributes": "String", "softdeletestatus": "Integer",
    },
    "duplicaterule": {
        "name": "String", "baseentityname": "String", "matchingentityname": "String", "-ismanaged": "Boolean",
    },
    "appmodule": {"name": "String", "uniquename": "String", "-ismanaged": "Boolean"},
    "usersettings": {"timezonecode": "Integer", "uilanguageid": "Integer", "localeid": "Integer"},
    "timezonedefinition": {"timezonecode": "Integer", "standardname": "String", "userinterfacename": "String"},
}  # fmt: skip
_NAMES = {
    "sdkmessageprocessingstep": ("SdkMessageProcessingStep", "sdkmessageprocessingsteps", 4608),
    "workflow": ("Workflow", "workflows", 4703),
    "callbackregistration": ("CallbackRegistration", "callbackregistrations", 301),
    "duplicaterule": ("DuplicateRule", "duplicaterules", 4414),
    "appmodule": ("AppModule", "appmodules", 9006),
    "usersettings": ("UserSettings", "usersettingscollection", 150),
    "timezonedefinition": ("TimeZoneDefinition", "timezonedefinitions", 4810),
}
_STATES = {
    "sdkmessageprocessingstep": (("Enabled", 1), ("Disabled", 2)),
    "workflow": (("Draft", 1), ("Activated", 2)),
    "duplicaterule": (("Inactive", 0), ("Active", 2)),
    "appmodule": (("Active", 1), ("Inactive", 2)),
}
_LENGTH = 1000


def system_tables() -> Iterator[Table]:
    """The definitions, in the order in which they refer to each other."""
    for name, columns in _COLUMNS.items():
        schema_name, set_name, code = _NAMES[name]
        every = [*_own(name, columns), *_states(name), *_stamps(name)]
        yield Table(
            name=name,
            schema_name=schema_name,
            set_name=set_name,
            primary_id=_primary_id(name),
            primary_name="name" if "name" in columns else "",
            ownership="None",
            object_type_code=code,
            metadata_id=metadata_id(name),
            label=schema_name,
            collection_label=set_name,
            bulk=False,
            columns={column.name: column for column in every},
        )


def _primary_id(table: str) -> str:
    # The settings of a user have the user's own id.
    return "systemuserid" if table == "usersettings" else f"{table}id"


def _own(table: str, columns: Mapping[str, str | tuple[str, str]]) -> Iterator[Column]:
    yield _column(table, _primary_id(table), "Uniqueidentifier", required="SystemRequired", update=False)
    for marked, kind in columns.items():
        name, writable = marked.lstrip("-"), not marked.startswith("-")
        if isinstance(kind, tuple):
            yield _column(table, name, kind[0], targets=(kind[1],), navigation={kind[1]: name})
        elif kind == "Boolean":
            options = (Option(1, "Yes"), Option(0, "No"))
            yield _column(table, name, kind, options=options, default=False, create=writable, update=writable)
        else:
            yield _column(table, name, kind, max_length=_LENGTH if kind == "String" else None)


def _states(table: str) -> Iterable[Column]:
    if table not in _STATES:
        return ()
    pairs = list(enumerate(_STATES[table]))
    states = tuple(Option(state, text, default_status=status) for state, (text, status) in pairs)
    reasons = tuple(Option(status, text, state) for state, (text, status) in pairs)
    return (
        _column(table, "statecode", "State", options=states, default=0),
        _column(table, "statuscode", "Status", options=reasons),
    )


def _stamps(table: str) -> Iterator[Column]:
    for name in ("createdon", "modifiedon"):
        yield _column(table, name, "DateTime", behavior="UserLocal", create=False, update=False)
    yield _column(table, "versionnumber", "BigInt", create=False, update=False)


def _column(table: str, name: str, kind: str, **more: Any) -> Column:
    return Column(name=name, schema_name=name, type=kind, metadata_id=metadata_id(table, name), label=name, **more)
