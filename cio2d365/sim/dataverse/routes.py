"""From method and path to the handler; `handle` is the whole Web API as a function."""

from __future__ import annotations

from . import bulk
from .actions import ACTION_PRIVILEGES, ACTIONS, FUNCTIONS, add_member, remove_member
from .address import (
    RowAddress,
    Segment,
    find_row,
    find_set,
    missing,
    parse_reference,
    read_address,
    require_row,
    split_path,
)
from .aggregate import read_aggregate
from .bodies import read_definition, read_json, read_object
from .changes import is_tracked, read_tracked
from .context import Answer, Context, json_answer
from .csdl import metadata_document
from .errors import ServiceError, malformed, unknown_property, unknown_segment
from .fetch_run import read_fetch, saved_query
from .intersect import link, unlink
from .jobs import advance_jobs
from .keys import finish_due_keys
from .metadata_read import read_choices, read_relationships, read_tables
from .metadata_write import write_definition
from .privileges import read_names, require_privilege, user_privileges, user_privileges_by_names
from .query import collection_of, fetch_one, read_collection, read_count, read_one, read_related
from .relations import delete_relationship, post_relationship
from .rows import create_row, delete_row, read_stored, update_row
from .schema import Column, Relationship, Side, Table
from .shapes import check_shape
from .solutions import add_component, component_type, solution_id
from .sqlquery import read_sql

_DEFINED = {"EntityDefinitions": "Entity", "GlobalOptionSetDefinitions": "OptionSet",
            "RelationshipDefinitions": "Relationship", "Attributes": "Attribute", "Keys": "EntityKey"}  # fmt: skip
_RIGHTS = {"POST": "Create", "PUT": "Write", "DELETE": "Delete"}
_USER_FUNCTIONS = ("RetrieveUserPrivileges", "RetrieveUserSetOfPrivilegesByNames")
DEFINITIONS = frozenset({"EntityDefinitions", "GlobalOptionSetDefinitions", "RelationshipDefinitions"})


def handle(context: Context) -> Answer:
    """Carry out one request. Raises ServiceError for every answer that is not a success."""
    finish_due_keys(context.org)
    if context.org.delete_jobs:
        advance_jobs(context)
    segments = split_path(context.path)
    if not segments:
        return _service_document(context)
    head = segments[0]
    if head.name == "$metadata":
        return _metadata(context, segments)
    if head.name in DEFINITIONS:
        return _definitions(context, segments)
    if len(segments) > 1 and head.inside is None and head.bare_name in FUNCTIONS.keys() | ACTIONS.keys():
        raise unknown_segment(segments[1].name)
    if head.bare_name in FUNCTIONS and context.method == "GET":
        return FUNCTIONS[head.bare_name](context, head)
    if head.bare_name in ACTIONS and context.method == "POST":
        body = read_object(context)
        check_shape(body)
        if head.bare_name in ACTION_PRIVILEGES:
            require_privilege(context, ACTION_PRIVILEGES[head.bare_name])
        return ACTIONS[head.bare_name](context, body)
    table = find_set(context, head.name)
    return _on_set(context, table, segments[1:]) if head.inside is None else _on_row(context, table, segments)


def _metadata(context: Context, segments: list[Segment]) -> Answer:
    if context.method != "GET":
        raise _wrong_method(context)
    if len(segments) > 1:
        raise unknown_segment(segments[1].name)
    return metadata_document(context)


def _service_document(context: Context) -> Answer:
    sets = sorted(table.set_name for table in context.org.schema.tables.values())
    value = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
    return json_answer({"@odata.context": f"{context.root}$metadata", "value": value})


def _definitions(context: Context, segments: list[Segment]) -> Answer:
    head = segments[0]
    if context.method == "GET":
        if head.name == "EntityDefinitions":
            return read_tables(context, segments)
        reader = read_relationships if head.name == "RelationshipDefinitions" else read_choices
        return reader(context, segments)
    solution = solution_id(context)
    with context.org.store.transaction():
        answer = _write_definition(context, segments)
        path = answer.headers.get("OData-EntityId", "").removeprefix(context.root)
        if path and context.method == "POST":
            add_component(context, solution, component_type(path), path.rpartition("(")[2].rstrip(")"))
    return answer


def _write_definition(context: Context, segments: list[Segment]) -> Answer:
    head = segments[0]
    part = next(segment.name for segment in reversed(segments) if segment.name in _DEFINED)
    if context.method in _RIGHTS:
        require_privilege(context, f"prv{_RIGHTS[context.method]}{_DEFINED[part]}")
    if head.name == "RelationshipDefinitions":
        if context.method == "POST" and head.inside is None:
            return post_relationship(context, read_definition(context))
        if context.method == "DELETE":
            return delete_relationship(context, head.inside)
    return write_definition(context, segments, read_definition(context))


def _on_set(context: Context, table: Table, rest: list[Segment]) -> Answer:
    if rest and rest[0].bare_name in bulk.MESSAGES and context.method == "POST":
        return bulk.run(context, table, rest[0].bare_name, read_json(context))
    if rest == [Segment("$count")] and context.method == "GET":
        return read_count(context, table)
    if rest:
        raise unknown_segment(rest[0].name)
    if context.method == "GET":
        return _read_set(context, table)
    if context.method == "POST":
        return _post_row(context, table)
    raise _wrong_method(context)


def _read_set(context: Context, table: Table) -> Answer:
    """Rows by OData options, by FetchXML, or by a saved query."""
    for option in ("fetchXml", "savedQuery", "userQuery"):
        if option in context.query:
            text = context.query[option]
            if option != "fetchXml":
                text = saved_query(context, option.lower(), text)
            return read_fetch(context, table, text)
    if "sql" in context.query:
        return read_sql(context, table, context.query["sql"])
    if "$apply" in context.query:
        return read_aggregate(context, table)
    if is_tracked(context):
        return read_tracked(context, table)
    return read_collection(context, table)


def _wrong_method(context: Context) -> ServiceError:
    return ServiceError(405, "0x80060888", f"The HTTP method {context.method} is not supported for this resource.")


def _post_row(context: Context, table: Table) -> Answer:
    row_id = create_row(context, table, read_json(context))
    return _written(context, table, row_id, created=True)


def _written(context: Context, table: Table, row_id: str, created: bool) -> Answer:
    address = f"{context.root}{table.set_name}({row_id})"
    if not context.representation:
        return Answer(
            204, headers={"OData-EntityId": address, "Location": address} if created else {"OData-EntityId": address}
        )
    row = fetch_one(context, table, row_id, context.query) or {}
    name = f"{context.root}$metadata#{table.set_name}/$entity"
    headers = {"OData-EntityId": address, "Preference-Applied": "return=representation", "ETag": row["@odata.etag"]}
    return json_answer({"@odata.context": name, **row}, 201 if created else 200, headers)


def _on_row(context: Context, table: Table, segments: list[Segment]) -> Answer:
    address = read_address(context, table, segments[0].inside or "")
    rest = segments[1:]
    if rest:
        return _on_part(context, address, rest)
    if context.method == "GET":
        return read_one(context, address)
    if context.method == "PATCH":
        return _patch_row(context, address)
    if context.method == "DELETE":
        return _delete_row(context, address)
    raise _wrong_method(context)


def _patch_row(context: Context, address: RowAddress) -> Answer:
    """Plain PATCH is an upsert; If-Match and If-None-Match narrow it (dataverse-api 3)."""
    payload = read_json(context)
    with context.org.store.transaction():
        found = find_row(context, address)
        if found is not None:
            _check_version(context, address.table, found)
            update_row(context, address.table, found, payload, address.key_values or ())
            return _written(context, address.table, found, created=False)
        if "if-match" in context.headers:
            raise missing(address)
        row_id = create_row(context, address.table, payload, address.row_id, **(address.key_values or {}))
        return _written(context, address.table, row_id, created=True)


def _check_version(context: Context, table: Table, row_id: str) -> None:
    if context.headers.get("if-none-match") == "*":
        raise ServiceError(412, "0x80060892", "A record with matching key values already exists.")
    wanted = context.headers.get("if-match", "*")
    if wanted != "*" and wanted != f'W/"{read_stored(context, table, row_id)["versionnumber"]}"':
        raise ServiceError(
            412,
            "0x80060882",
            "The version of the existing record doesn't match the RowVersion property provided.",
        )


def _delete_row(context: Context, address: RowAddress) -> Answer:
    with context.org.store.transaction():
        row_id = require_row(context, address)
        _check_version(context, address.table, row_id)
        delete_row(context, address.table, row_id)
    return Answer(204)


def _on_part(context: Context, address: RowAddress, rest: list[Segment]) -> Answer:
    name = rest[0].bare_name
    if context.method == "POST" and name in ("AddMemberList", "RemoveMemberList"):
        return _member(context, address, name)
    if context.method == "GET" and name in _USER_FUNCTIONS and address.table.name == "systemuser":
        return _user_function(context, address, rest[0])
    if len(rest) == 2 and rest[1].name == "$ref":
        return _reference(context, address, rest[0])
    column = address.table.columns.get(name)
    if column is not None and column.stored and not column.is_lookup and rest[1:] in ([], [Segment("$value")]):
        return _on_property(context, address, column, rest)
    if context.method == "GET" and rest[1:] in ([], [Segment("$count")]):
        return _navigate(context, address, name, counted=len(rest) > 1)
    raise unknown_segment(rest[0].name)


def _user_function(context: Context, address: RowAddress, segment: Segment) -> Answer:
    user = require_row(context, address)
    if segment.bare_name == "RetrieveUserPrivileges":
        return user_privileges(context, user)
    alias = (segment.inside or "").partition("=")[2].strip()
    return user_privileges_by_names(context, user, read_names(context.aliases.get(alias)))


def _member(context: Context, address: RowAddress, name: str) -> Answer:
    list_id, body = require_row(context, address), read_object(context)
    if name == "RemoveMemberList":
        remove_member(context, list_id, str(body.get("EntityId")))
        return Answer(204)
    member = add_member(context, list_id, None, str(body.get("EntityId")))
    return json_answer(
        {"@odata.context": f"{context.root}$metadata#Microsoft.Dynamics.CRM.AddMemberListResponse", "Id": member}
    )


def _on_property(context: Context, address: RowAddress, column: Column, rest: list[Segment]) -> Answer:
    row_id = require_row(context, address)
    if context.method == "PUT":
        body = read_object(context)
        if "value" not in body:
            raise malformed("The property 'value' is missing.")
        update_row(context, address.table, row_id, {column.name: body["value"]})
        return Answer(204)
    if context.method == "DELETE":
        update_row(context, address.table, row_id, {column.name: None})
        return Answer(204)
    if context.method != "GET":
        raise _wrong_method(context)
    row = fetch_one(context, address.table, row_id, {"$select": column.name}) or {}
    value = row[column.name]
    if value is None:
        return Answer(204)
    if rest[-1].name == "$value":
        return Answer(200, str(value).encode(), {"Content-Type": "text/plain"})
    name = f"{context.root}$metadata#{address.table.set_name}({row_id})/{column.name}"
    return json_answer({"@odata.context": name, "value": value})


def _navigate(context: Context, address: RowAddress, name: str, counted: bool) -> Answer:
    """Follow a navigation property from a row: a single row, or a collection in pages."""
    row_id = require_row(context, address)
    source = collection_of(context, address.table, name)
    if source is not None:
        return read_related(context, source, row_id, counted)
    found = _lookup_target(context, address.table, name)
    if found is None or counted:
        raise unknown_segment(name)
    column, target = found
    value = read_stored(context, address.table, row_id).get(column.name)
    return read_one(context, RowAddress(target, value)) if value else Answer(204)


def _lookup_target(context: Context, table: Table, navigation: str) -> tuple[Column, Table] | None:
    tables = context.org.schema.tables
    for column in table.columns.values():
        for target, name in column.navigation.items():
            if name == navigation and target in tables:
                return column, tables[target]
    return None


def _reference(context: Context, address: RowAddress, navigation: Segment) -> Answer:
    """`…/nav/$ref`: set or clear a lookup, link or unlink two rows."""
    row_id = require_row(context, address)
    side = context.org.schema.side_of(address.table.name, navigation.name)
    if side is not None:
        return _link(context, side, row_id, navigation)
    return _lookup_reference(context, address, row_id, navigation)


def _link(context: Context, side: Side, row_id: str, navigation: Segment) -> Answer:
    if context.method not in ("POST", "DELETE"):
        raise _wrong_method(context)
    other = parse_reference(context, _other_end(context, side.other, navigation))
    if context.method == "POST":
        return link(context, side, row_id, other)
    return unlink(context, side, row_id, str(other.row_id))


def _lookup_reference(context: Context, address: RowAddress, row_id: str, navigation: Segment) -> Answer:
    """Set or clear a lookup, from its own row or from the row it points at."""
    if context.method not in ("PUT", "POST", "DELETE"):
        raise _wrong_method(context)
    relation = next(
        (r for r in context.org.schema.children_of(address.table.name) if r.parent_navigation == navigation.name), None
    )
    if relation is None:
        target = None if context.method == "DELETE" else str(read_object(context).get("@odata.id", ""))
        update_row(context, address.table, row_id, {f"{navigation.name}@odata.bind": target})
        return Answer(204)
    return _child_reference(context, address.table, row_id, relation, navigation)


def _child_reference(
    context: Context, parent: Table, row_id: str, relation: Relationship, navigation: Segment
) -> Answer:
    """Point a row of the many side at its parent, or clear its lookup if it points there."""
    child = parse_reference(context, _other_end(context, relation.child, navigation))
    if child.table.name != relation.child:
        raise unknown_property(navigation.name, child.table.name)
    child_id = require_row(context, child)
    value: str | None = f"/{parent.set_name}({row_id})"
    if context.method == "DELETE":
        if read_stored(context, child.table, child_id).get(relation.column) != row_id:
            raise missing(child)
        value = None
    update_row(context, child.table, child_id, {f"{relation.child_navigation}@odata.bind": value})
    return Answer(204)


def _other_end(context: Context, table: str, navigation: Segment) -> str:
    """The row that a `$ref` names: in the body, behind the navigation property, or in `$id`."""
    if context.method != "DELETE":
        return str(read_object(context).get("@odata.id", ""))
    if navigation.inside:
        return f"{context.org.schema.tables[table].set_name}({navigation.inside})"
    return context.query.get("$id", "")
