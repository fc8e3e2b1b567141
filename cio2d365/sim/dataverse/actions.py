"""Unbound functions and actions: WhoAmI, counts, publishing, options, lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from .address import Segment
from .context import Answer, Context, json_answer
from .definitions import label_text
from .errors import ServiceError, malformed, payload_error, row_missing
from .fetchxml import compile_fetch
from .jobs import bulk_delete, restore
from .keys import reactivate
from .metadata_json import attribute_items, key_item, table_item
from .metadata_read import project
from .metadata_write import create_table
from .odata import Items, Literal, Node, parse_arguments
from .relations import create_polymorphic
from .rows import create_row, delete_row
from .schema import Column, Option, Table
from .solutions import RELATIONSHIP, TABLE, add_component, solution_id
from .store import quoted

Body = Mapping[str, Any]


def _shown(context: Context, name: str, values: Mapping[str, Any]) -> Answer:
    return json_answer({"@odata.context": f"{context.root}$metadata#Microsoft.Dynamics.CRM.{name}Response", **values})


def who_am_i(context: Context, segment: Segment) -> Answer:
    """Ids of the caller; the header recommends a number of parallel requests (dataverse-api 7)."""
    rows = context.org.store.query("SELECT businessunitid FROM systemuser WHERE systemuserid = ?", (context.caller,))
    answer = _shown(
        context,
        "WhoAmI",
        {"BusinessUnitId": rows[0][0], "UserId": context.caller, "OrganizationId": context.org.id},
    )
    return replace(answer, headers={**answer.headers, "x-ms-dop-hint": str(context.org.switches.dop_hint)})


def _arguments(context: Context, segment: Segment) -> dict[str, Node]:
    return {name: node for name, node in parse_arguments(segment.inside or "", context.aliases) if name}


def total_record_count(context: Context, segment: Segment) -> Answer:
    """RetrieveTotalRecordCount: the figures are those of now (the real ones may be a day old)."""
    names = _arguments(context, segment).get("EntityNames")
    if not isinstance(names, Items):
        raise malformed("The parameter 'EntityNames' is missing.")
    wanted = [str(item.value) for item in names.items if isinstance(item, Literal)]
    counts = [_count(context, name) for name in wanted]
    found = {"Count": len(wanted), "IsReadOnly": False, "Keys": wanted, "Values": counts}
    return _shown(context, "RetrieveTotalRecordCount", {"EntityRecordCountCollection": found})


def _count(context: Context, name: str) -> int:
    if name not in context.org.schema.tables:
        raise ServiceError(400, "0x8005e00c", f"Entity {name} cannot be found.")
    return int(context.org.store.query(f"SELECT count(*) FROM {quoted(name)}")[0][0])


def organization_resources(context: Context, segment: Segment) -> Answer:
    """RetrieveOrganizationResources: how full the organisation is."""
    custom = sum(1 for table in context.org.schema.tables.values() if table.custom)
    users = context.org.store.query("SELECT count(*) FROM systemuser WHERE isdisabled = 0")[0][0]
    found = {
        "CurrentNumberOfActiveUsers": users,
        "MaxNumberOfActiveUsers": -1,
        "CurrentNumberOfCustomEntities": custom,
        "MaxNumberOfCustomEntities": context.org.switches.max_tables,
        "CurrentNumberOfPublishedWorkflows": 0,
        "MaxNumberOfPublishedWorkflows": -1,
        "CurrentStorage": 0,
        "MaxStorage": -1,
        "CurrentNumberOfNonInteractiveUsers": 0,
        "MaxNumberOfNonInteractiveUsers": 7,
    }
    return _shown(context, "RetrieveOrganizationResources", {"OrganizationResources": found})


def current_organization(context: Context, segment: Segment) -> Answer:
    """RetrieveCurrentOrganization: id, name and type of the environment."""
    name = context.org.store.query("SELECT name FROM organization")[0][0]
    detail = {
        "OrganizationId": context.org.id,
        "FriendlyName": name,
        "OrganizationVersion": "9.2.24114.190",
        "EnvironmentId": context.org.id,
        "DatacenterId": "00000000-0000-0000-0000-000000000000",
        "Geo": "EMEA",
        "TenantId": context.org.tenant_id,
        "UrlName": name,
        "UniqueName": f"unq{context.org.id[:8]}",
        "State": "Enabled",
        "OrganizationType": context.org.switches.organization_type,
        "Endpoints": {
            "Count": 1,
            "IsReadOnly": False,
            "Keys": ["WebApplication"],
            "Values": [f"{context.origin}/"],
        },
    }
    return _shown(context, "RetrieveCurrentOrganization", {"Detail": detail})


def version(context: Context, segment: Segment) -> Answer:
    """RetrieveVersion."""
    return _shown(context, "RetrieveVersion", {"Version": "9.2.24114.190"})


def languages(context: Context, segment: Segment) -> Answer:
    """RetrieveAvailableLanguages and its kin: English only."""
    return _shown(context, segment.bare_name, {"LocaleIds": [1033]})


def dependencies(context: Context, segment: Segment) -> Answer:
    """RetrieveDependenciesForDelete: keys that hold a column."""
    wanted = _arguments(context, segment).get("ObjectId")
    object_id = wanted.value if isinstance(wanted, Literal) else ""
    found = [
        {"dependentcomponentobjectid": key.metadata_id, "requiredcomponentobjectid": object_id}
        for table in context.org.schema.tables.values()
        for key in table.keys.values()
        if any(table.columns[name].metadata_id == object_id for name in key.columns)
    ]
    return json_answer({"@odata.context": f"{context.root}$metadata#dependencies", "value": found})


def metadata_changes(context: Context, segment: Segment) -> Answer:
    """RetrieveMetadataChanges: the tables that match the criteria, whole; time stamps are not compared."""
    alias = (segment.inside or "").partition("=")[2].strip()
    wanted = _wanted_names(orjson.loads(context.aliases.get(alias, "{}")))
    schema = context.org.schema
    tables = [table for table in schema.tables.values() if not wanted or table.name in wanted]
    shown = []
    for table in tables:
        item = project(table_item(schema, table), {})
        item["Attributes"] = [project(one, {}) for one in attribute_items(table)]
        item["Keys"] = [project(key_item(table, key), {}) for key in table.keys.values()]
        shown.append(item)
    found = {"EntityMetadata": shown, "ServerVersionStamp": str(schema.version), "DeletedMetadata": None}
    return _shown(context, "RetrieveMetadataChanges", found)


def _wanted_names(query: Any) -> set[str]:
    """Logical names that the criteria of an EntityQueryExpression ask for; empty for all."""
    criteria = query.get("Criteria") if isinstance(query, Mapping) else None
    conditions = criteria.get("Conditions") if isinstance(criteria, Mapping) else None
    names: set[str] = set()
    for condition in conditions or ():
        if condition.get("PropertyName") == "LogicalName":
            value = condition.get("Value")
            inner = value.get("Value") if isinstance(value, Mapping) else value
            names |= {str(name) for name in (inner if isinstance(inner, list) else [inner])}
    return names


def validate_fetch(context: Context, segment: Segment) -> Answer:
    """ValidateFetchXmlExpression: the errors that running the query would give, as messages."""
    text = _arguments(context, segment).get("FetchXml")
    messages = []
    try:
        compile_fetch(context, str(text.value) if isinstance(text, Literal) else "")
    except ServiceError as error:
        messages.append({"Severity": 3, "MessageText": error.message, "LocalizedMessageText": error.message})
    return _shown(context, "ValidateFetchXmlExpression", {"ValidationResults": {"Messages": messages}})


def publish(context: Context, body: Body) -> Answer:
    """PublishXml and PublishAllXml: schema needs no publishing here, as in the service."""
    return Answer(204)


def publish_some(context: Context, body: Body) -> Answer:
    """PublishXml with its parameter."""
    if not isinstance(body.get("ParameterXml"), str):
        raise malformed("The parameter 'ParameterXml' is missing.")
    return Answer(204)


def polymorphic(context: Context, body: Body) -> Answer:
    """CreatePolymorphicLookupAttribute."""
    return _shown(context, "CreatePolymorphicLookupAttribute", _polymorphic(context, body))


def _polymorphic(context: Context, body: Body) -> dict[str, Any]:
    solution = solution_id(context, body)
    with context.org.store.transaction():
        made = create_polymorphic(context, body)
        for relationship in made["RelationshipIds"]:
            add_component(context, solution, RELATIONSHIP, relationship)
    return made


def customer_relationships(context: Context, body: Body) -> Answer:
    """CreateCustomerRelationships: a multi-table lookup to account and contact."""
    return _shown(context, "CreateCustomerRelationships", _polymorphic(context, body))


def create_entities(context: Context, body: Body) -> Answer:
    """CreateEntities, the action by which Microsoft's own Python client makes tables."""
    entities = body.get("Entities")
    if not isinstance(entities, list):
        raise payload_error("CreateEntities", "The parameter 'Entities' is missing.")
    solution = solution_id(context, body)
    with context.org.store.transaction():
        tables = [create_table(context, entity) for entity in entities]
        for table in tables:
            add_component(context, solution, TABLE, table.metadata_id)
    return _shown(context, "CreateEntities", {"EntityIds": [table.metadata_id for table in tables]})


def insert_option(context: Context, body: Body) -> Answer:
    """InsertOptionValue for a local or global choice."""
    text = label_text(body.get("Label"))
    present = _options(context, body)
    value = body.get("Value")
    if value is not None and type(value) is not int:
        raise malformed(f"'{value}' is not an option value.")
    number = value if value is not None else max((option.value for option in present), default=9_999) + 1
    if any(option.value == number for option in present):
        raise ServiceError(400, "0x80044310", "The picklist value already exists.  Picklist values must be unique.")
    _save_options(context, body, (*present, Option(number, text)))
    return _shown(context, "InsertOptionValue", {"NewOptionValue": number})


def update_option(context: Context, body: Body) -> Answer:
    """UpdateOptionValue: a new label."""
    value, text = body.get("Value"), label_text(body.get("Label"))
    options = tuple(replace(o, label=text) if o.value == value else o for o in _options(context, body))
    _save_options(context, body, options)
    return Answer(204)


def delete_option(context: Context, body: Body) -> Answer:
    """DeleteOptionValue: rows keep a value that has no label any more."""
    options = tuple(o for o in _options(context, body) if o.value != body.get("Value"))
    _save_options(context, body, options)
    return Answer(204)


def _option_column(context: Context, body: Body) -> tuple[Table, Column]:
    table = context.org.schema.tables.get(str(body.get("EntityLogicalName")))
    column = table.columns.get(str(body.get("AttributeLogicalName"))) if table else None
    if table is None or column is None:
        raise ServiceError(400, "0x8005e009", f"Attribute {body.get('AttributeLogicalName')} cannot be found.")
    if column.type not in ("Picklist", "MultiSelectPicklist", "Status"):
        raise ServiceError(400, "0x80044320", "You can add option values only to picklist and status attributes.")
    return table, column


def _options(context: Context, body: Body) -> tuple[Option, ...]:
    name = body.get("OptionSetName")
    if name:
        if str(name) not in context.org.schema.choices:
            raise ServiceError(404, "0x80040217", f"Could not find the global choice {name}.")
        return context.org.schema.choices[str(name)].options
    return _option_column(context, body)[1].options


def _save_options(context: Context, body: Body, options: tuple[Option, ...]) -> None:
    with context.org.store.transaction():
        if body.get("OptionSetName"):
            choice = context.org.schema.choices[body["OptionSetName"]]
            context.org.save_choice(replace(choice, options=options))
        else:
            table, column = _option_column(context, body)
            context.org.save_table(table.with_columns(replace(column, options=options)))


def add_solution_component(context: Context, body: Body) -> Answer:
    """AddSolutionComponent: an existing part becomes part of a solution."""
    solution, kind = solution_id(context, body), body.get("ComponentType")
    if solution is None or type(kind) is not int:
        raise malformed("The parameters 'SolutionUniqueName', 'ComponentType' and 'ComponentId' are needed.")
    with context.org.store.transaction():
        component = add_component(context, solution, kind, str(body.get("ComponentId")))
    return _shown(context, "AddSolutionComponent", {"id": component})


def reactivate_key(context: Context, body: Body) -> Answer:
    """ReactivateEntityKey: only after a failure."""
    table = context.org.schema.tables.get(str(body.get("EntityLogicalName")))
    key = table.keys.get(str(body.get("EntityKeyLogicalName"))) if table else None
    if table is None or key is None:
        raise ServiceError(404, "0x80041140", "The specified entitykey was not found.")
    if key.status != "Failed":
        raise ServiceError(400, "0x80060897", "Reactivate entity key is only supported for failed job")
    reactivate(context.org, table, key)
    return Answer(204)


_MEMBER_CODES = {"account": 1, "contact": 2, "lead": 4}


def add_list_members(context: Context, body: Body) -> Answer:
    """AddListMembersList: many members to a static list, all or none."""
    target, members = body.get("List"), body.get("Members")
    if not isinstance(target, Mapping) or not isinstance(members, list):
        raise malformed("The parameters 'List' and 'Members' are needed.")
    list_id = str(target.get("listid"))
    with context.org.store.transaction():
        for member in members:
            kind = str(member.get("@odata.type", "")).rpartition(".")[2]
            add_member(context, list_id, kind, str(member.get(f"{kind}id")))
    return Answer(204)


def add_member(context: Context, list_id: str, kind: str | None, member_id: str) -> str:
    """Put one row on a static list. Raises 0x80040301 for a row of another type than the list's."""
    rows = context.org.store.query("SELECT createdfromcode, type, lockstatus FROM list WHERE listid = ?", (list_id,))
    if not rows:
        raise row_missing("list", list_id)
    code, dynamic, locked = rows[0]
    wanted = next((name for name, number in _MEMBER_CODES.items() if number == code), None)
    if wanted is None or kind not in (None, wanted) or dynamic or locked:
        raise ServiceError(400, "0x80040301", "Unsupported list member type.")
    _require_member(context, wanted, member_id)
    sql = "SELECT listmemberid FROM listmember WHERE listid = ? AND entityid = ?"
    present = context.org.store.query(sql, (list_id, member_id))
    return present[0][0] if present else _insert_member(context, list_id, wanted, member_id)


def _require_member(context: Context, table: str, member_id: str) -> None:
    sql = f"SELECT 1 FROM {quoted(table)} WHERE {quoted(f'{table}id')} = ?"
    if not context.org.store.query(sql, (member_id,)):
        raise row_missing(table, member_id)


def _insert_member(context: Context, list_id: str, table: str, member_id: str) -> str:
    set_name = context.org.schema.tables[table].set_name
    payload = {"listid@odata.bind": f"/lists({list_id})", f"entityid_{table}@odata.bind": f"/{set_name}({member_id})"}
    return create_row(context, context.org.schema.tables["listmember"], {**payload, "entitytype": table})


def remove_member(context: Context, list_id: str, member_id: str) -> None:
    """Take one row off a list. Raises 0x80048458 when it is not on it."""
    sql = "SELECT listmemberid FROM listmember WHERE listid = ? AND entityid = ?"
    rows = context.org.store.query(sql, (list_id, member_id))
    if not rows:
        raise ServiceError(400, "0x80048458", "Specified Item not a member of the specified List.")
    delete_row(context, context.org.schema.tables["listmember"], rows[0][0])


FUNCTIONS: dict[str, Callable[[Context, Segment], Answer]] = {
    "WhoAmI": who_am_i,
    "RetrieveTotalRecordCount": total_record_count,
    "RetrieveOrganizationResources": organization_resources,
    "RetrieveCurrentOrganization": current_organization,
    "RetrieveVersion": version,
    "RetrieveAvailableLanguages": languages,
    "RetrieveProvisionedLanguages": languages,
    "RetrieveDependenciesForDelete": dependencies,
    "ValidateFetchXmlExpression": validate_fetch,
    "RetrieveMetadataChanges": metadata_changes,
}
ACTIONS: dict[str, Callable[[Context, Body], Answer]] = {
    "PublishXml": publish_some,
    "PublishAllXml": publish,
    "CreatePolymorphicLookupAttribute": polymorphic,
    "CreateCustomerRelationships": customer_relationships,
    "CreateEntities": create_entities,
    "InsertOptionValue": insert_option,
    "UpdateOptionValue": update_option,
    "DeleteOptionValue": delete_option,
    "AddSolutionComponent": add_solution_component,
    "ReactivateEntityKey": reactivate_key,
    "AddListMembersList": add_list_members,
    "BulkDelete": bulk_delete,
    "Restore": restore,
}
ACTION_PRIVILEGES = {
    "PublishXml": "prvPublishCustomization",
    "PublishAllXml": "prvPublishCustomization",
    "CreatePolymorphicLookupAttribute": "prvCreateRelationship",
    "CreateCustomerRelationships": "prvCreateRelationship",
    "CreateEntities": "prvCreateEntity",
    "ReactivateEntityKey": "prvCreateEntityKey",
    "BulkDelete": "prvBulkDelete",
}
SCHEMA_ACTIONS = frozenset(ACTIONS) - {"AddListMembersList", "BulkDelete", "Restore"}
