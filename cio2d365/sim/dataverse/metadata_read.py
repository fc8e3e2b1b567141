"""GET on definitions: `$select`, `$filter`, `$expand`, casts to a derived type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .address import Segment
from .context import Answer, Context, json_answer
from .errors import ServiceError, bad_query, malformed, unknown_segment
from .keys import poll_keys
from .metadata_json import (
    Item,
    Json,
    attribute_items,
    choice_item,
    key_item,
    many_items,
    many_to_many_item,
    relationship_item,
    table_item,
)
from .odata import Both, Call, Compare, Items, Literal, Node, Not, Path, parse, parse_arguments
from .query import parse_expand
from .schema import Table

_CASTS = "AttributeMetadata"


def find_table(context: Context, inside: str) -> Table:
    """The table that `EntityDefinitions(…)` names by LogicalName or MetadataId. 404 when there is none."""
    name, value = _one_key(context, inside)
    for table in visible_tables(context):
        if value in (table.name if name == "LogicalName" else table.metadata_id,):
            return table
    raise ServiceError(
        404,
        "0x80060888" if name is None else "0x80040217",
        f"Could not find an entity with the name or id '{value}' in the MetadataCache.",
    )


def visible_tables(context: Context) -> Iterator[Table]:
    """All definitions that this request may see; writes see everything."""
    strong = context.strong or context.method != "GET"
    for table in list(context.org.schema.tables.values()):
        shown = context.org.visible(table, strong)
        if shown is not None:
            yield shown


def _one_key(context: Context, inside: str) -> tuple[str | None, str]:
    parts = parse_arguments(inside, context.aliases)
    if len(parts) != 1 or not isinstance(parts[0][1], Literal):
        raise bad_query(f"'{inside}' is not a valid key of a definition.")
    return parts[0][0], str(parts[0][1].value)


def find_item(context: Context, items: Iterable[Item], inside: str) -> Item:
    """The metadata object with this MetadataId, LogicalName, SchemaName or Name."""
    name, value = _one_key(context, inside)
    for item in items:
        if str(item.base.get(name or "MetadataId")).lower() == value.lower():
            return item
    raise ServiceError(404, "0x80040217", f"Could not find a component with the key '{inside}'.")


def read_tables(context: Context, segments: list[Segment]) -> Answer:
    """`EntityDefinitions…`."""
    schema = context.org.schema
    if segments[0].inside is None:
        _refuse_startswith(context)
        return collection(
            context, [table_item(schema, table) for table in visible_tables(context)], "EntityDefinitions"
        )
    table = find_table(context, segments[0].inside)
    if len(segments) == 1:
        return single(context, table_item(schema, table), "EntityDefinitions")
    return _read_part(context, table, segments[1:])


def _refuse_startswith(context: Context) -> None:
    """The metadata queries know no text functions (dataverse-api 2)."""
    if any(f"{name}(" in context.query.get("$filter", "") for name in ("startswith", "contains", "endswith")):
        raise ServiceError(501, "0x80060888", "The function is not supported in queries of EntityDefinitions.")


def _read_part(context: Context, table: Table, segments: list[Segment]) -> Answer:
    makers: dict[str, Callable[[], list[Item]]] = {
        "Attributes": lambda: attribute_items(table),
        "Keys": lambda: _polled_keys(context, table),
        "ManyToOneRelationships": lambda: [
            relationship_item(context.org.schema, r) for r in context.org.schema.parents_of(table.name)
        ],
        "OneToManyRelationships": lambda: [
            relationship_item(context.org.schema, r) for r in context.org.schema.children_of(table.name)
        ],
        "ManyToManyRelationships": lambda: many_items(context.org.schema, table),
    }
    head, rest = segments[0], segments[1:]
    if head.name not in makers:
        return _property(context, table_item(context.org.schema, table), head.name)
    items = makers[head.name]()
    if head.inside is None:
        return collection(context, _cast(items, rest), f"EntityDefinitions('{table.name}')/{head.name}", bool(rest))
    item = find_item(context, items, head.inside)
    return _read_item(context, item, rest, f"EntityDefinitions('{table.name}')/{head.name}")


def _polled_keys(context: Context, table: Table) -> list[Item]:
    current = poll_keys(context.org, table)
    return [key_item(current, key) for key in current.keys.values()]


def _read_item(context: Context, item: Item, rest: list[Segment], name: str) -> Answer:
    cast = bool(rest) and rest[0].name.startswith("Microsoft.Dynamics.CRM.")
    if cast:
        if item.type != rest[0].bare_name:
            raise ServiceError(404, "0x80060888", f"The component is not of type '{rest[0].name}'.")
        rest = rest[1:]
    if rest and rest[0].name in item.expansions:
        found = item.expansions[rest[0].name]()
        if found is None:
            return Answer(204)
        return single(context, found, name)
    if rest:
        return _property(context, item, rest[0].name)
    return single(context, item, name, cast)


def _cast(items: list[Item], rest: list[Segment]) -> list[Item]:
    if not rest:
        return items
    wanted = rest[0].bare_name
    if not wanted.endswith(_CASTS) or len(rest) > 1:
        raise unknown_segment(rest[0].name)
    return [item for item in items if item.type == wanted]


def _property(context: Context, item: Item, name: str) -> Answer:
    values = {**item.base, **item.derived}
    if name not in values:
        raise unknown_segment(name)
    return json_answer({"@odata.context": f"{context.root}$metadata#{name}", "value": values[name]})


def read_relationships(context: Context, segments: list[Segment]) -> Answer:
    """`RelationshipDefinitions…`."""
    schema = context.org.schema
    items = [relationship_item(schema, relation) for relation in schema.relationships.values()]
    items += [many_to_many_item(relation) for relation in schema.many_to_many.values()]
    head, rest = segments[0], segments[1:]
    if head.inside is None:
        wanted = rest[0].bare_name if rest else ""
        items = [item for item in items if not rest or item.type == wanted]
        return collection(context, items, "RelationshipDefinitions", bool(rest))
    return _read_item(context, find_item(context, items, head.inside), rest, "RelationshipDefinitions")


def read_choices(context: Context, segments: list[Segment]) -> Answer:
    """`GlobalOptionSetDefinitions…`."""
    items = [choice_item(choice) for choice in context.org.schema.choices.values()]
    head, rest = segments[0], segments[1:]
    if head.inside is None:
        if "$filter" in context.query:
            raise ServiceError(501, "0x80060888", "$filter is not supported for GlobalOptionSetDefinitions.")
        return collection(context, items, "GlobalOptionSetDefinitions")
    return _read_item(context, find_item(context, items, head.inside), rest, "GlobalOptionSetDefinitions")


def collection(context: Context, items: list[Item], name: str, cast: bool = False) -> Answer:
    """A whole collection; definitions are never paged."""
    text = context.query.get("$filter")
    if text:
        tree = parse(text, context.aliases)
        items = [item for item in items if holds(tree, item)]
    if "$top" in context.query or "$orderby" in context.query:
        raise ServiceError(400, "0x80060888", "$top and $orderby are not supported in metadata queries.")
    body: Json = {"@odata.context": f"{context.root}$metadata#{name}"}
    if context.query.get("$count") == "true":
        body["@odata.count"] = len(items)
    return json_answer({**body, "value": [project(item, context.query, cast) for item in items]})


def single(context: Context, item: Item, name: str, cast: bool = False) -> Answer:
    """One metadata object."""
    found = project(item, context.query, cast)
    return json_answer({"@odata.context": f"{context.root}$metadata#{name}/$entity", **found})


def project(item: Item, options: Mapping[str, str], cast: bool = False) -> Json:
    """The wanted properties of an object. Properties of a derived type need the cast when selected."""
    found: Json = {"@odata.type": f"#Microsoft.Dynamics.CRM.{item.type}"}
    known = {**item.base, **item.derived}
    names = [name.strip() for name in options.get("$select", "").split(",") if name.strip()]
    allowed = item.base if item.type.endswith(_CASTS) and not cast else known
    for name in names:
        if name not in allowed and name not in item.expansions:
            raise malformed(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{item.type}'.")
    found.update({name: known[name] for name in names if name in known} if names else known)
    if names and "MetadataId" in known:
        found["MetadataId"] = known["MetadataId"]
    for expand in parse_expand(options.get("$expand", "")):
        found[expand.navigation] = _expanded(item, expand.navigation, expand.options)
    return found


def _expanded(item: Item, name: str, options: Mapping[str, str]) -> Any:
    if name not in item.expansions:
        if item.type.endswith(_CASTS) and name in ("OptionSet", "GlobalOptionSet"):
            return None
        raise malformed(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{item.type}'.")
    inner = item.expansions[name]()
    if isinstance(inner, list):
        tree = parse(options["$filter"]) if options.get("$filter") else None
        return [project(one, options) for one in inner if tree is None or holds(tree, one)]
    return project(inner, options, cast=True) if inner is not None else None


def holds(tree: Node, item: Item) -> bool:
    """Whether a metadata object satisfies a filter."""
    match tree:
        case Both(True, left, right):
            return holds(left, item) and holds(right, item)
        case Both(False, left, right):
            return holds(left, item) or holds(right, item)
        case Not(inner):
            return not holds(inner, item)
        case Compare(operator, left, right):
            return _compare(operator, _value(left, item), _value(right, item))
        case Call("in", (left, Items(items))):
            return _value(left, item) in [_value(one, item) for one in items]
        case Path():
            return _value(tree, item) is True
        case Literal():
            return tree.value is True
    raise ServiceError(501, "0x80060888", "This function is not supported in metadata queries.")


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator not in ("eq", "ne") and type(left) is not type(right):
        raise bad_query("A binary operator with incompatible types was detected.")
    return _COMPARE[operator](left, right)


def _value(node: Node, item: Item) -> Any:
    if isinstance(node, Literal):
        return node.value.lower() if node.kind == "guid" else node.value
    if isinstance(node, Call):
        return node.arguments[0].value if node.arguments and isinstance(node.arguments[0], Literal) else node.name
    if not isinstance(node, Path):
        raise bad_query("Only properties and values can be compared.")
    found: Any = {**item.base, **item.derived}
    for at, name in enumerate(node.segments):
        if not isinstance(found, dict) or name not in found:
            if at == 0 and name.startswith("Microsoft"):
                continue
            raise malformed(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{item.type}'.")
        found = found[name]
    return found


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left is not None and left > right,
    "ge": lambda left, right: left is not None and left >= right,
    "lt": lambda left, right: left is not None and left < right,
    "le": lambda left, right: left is not None and left <= right,
}
