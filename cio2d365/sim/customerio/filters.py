"""The documented filter language of the searches: and, or, not, segment, attribute eq | exists (customerio-api 3.2)."""

from collections.abc import Callable
from typing import Any, TypeVar

from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.membership import members
from cio2d365.sim.customerio.shown import attribute_text, person_attributes, thing_attributes
from cio2d365.sim.customerio.workspace import Json, Person, Thing, Workspace

Row = TypeVar("Row")
Test = Callable[[Any], bool]


def people_matching(workspace: Workspace, node: Any) -> list[Person]:
    """People who pass the filter, in the order of their creation."""
    test = _compiled(node, lambda leaf: _person_leaf(workspace, leaf))
    return [person for person in workspace.people.values() if test(person)]


def things_matching(workspace: Workspace, type_id: str, node: Any) -> list[Thing]:
    """Objects of a type that pass the filter."""
    test = _compiled(node, lambda leaf: _thing_leaf(type_id, leaf))
    return [thing for thing in workspace.things.values() if thing.type_id == type_id and test(thing)]


def _compiled(node: Any, leaf: Callable[[Json], Test]) -> Test:
    if not isinstance(node, dict) or len(node) != 1:
        raise ApiError(400, "filter must be an object with exactly one of and, or, not, segment, attribute")
    operator, operand = next(iter(node.items()))
    if operator in ("and", "or"):
        tests = [_compiled(part, leaf) for part in _list(operator, operand)]
        joined = all if operator == "and" else any
        return lambda row: joined(test(row) for test in tests)
    if operator == "not":
        inner = _compiled(operand, leaf)
        return lambda row: not inner(row)
    return leaf(node)


def _list(operator: str, operand: Any) -> list[Any]:
    if not isinstance(operand, list) or not operand:
        raise ApiError(400, f"{operator} must be a non-empty list")
    return operand


def _person_leaf(workspace: Workspace, leaf: Json) -> Test:
    if "segment" in leaf:
        inside = members(workspace, _segment_id(workspace, leaf["segment"]))
        return lambda person: person.cio_id in inside
    if "attribute" in leaf:
        return _attribute_test(leaf["attribute"], person_attributes)
    raise ApiError(400, f"unknown filter: {next(iter(leaf))}")


def _thing_leaf(type_id: str, leaf: Json) -> Test:
    rule = leaf.get("object_attribute")
    if not isinstance(rule, dict):
        raise ApiError(400, f"unknown filter: {next(iter(leaf))}")
    if str(rule.get("type_id", type_id)) != type_id:
        raise ApiError(400, "type_id of the filter differs from object_type_id")
    return _attribute_test(rule, thing_attributes)


def _segment_id(workspace: Workspace, rule: Any) -> int:
    number = rule.get("id") if isinstance(rule, dict) else None
    if not isinstance(number, int) or number not in workspace.segments:
        raise ApiError(400, f"segment {number} does not exist")
    return number


def _attribute_test(rule: Any, attributes: Callable[[Any], Json]) -> Test:
    if not isinstance(rule, dict) or not isinstance(rule.get("field"), str):
        raise ApiError(400, "attribute filter needs a field")
    name, operator = rule["field"], rule.get("operator")
    if operator == "exists":
        return lambda row: attribute_text(attributes(row).get(name, "")) != ""
    if operator == "eq" and "value" in rule:
        wanted = attribute_text(rule["value"])
        return lambda row: name in attributes(row) and attribute_text(attributes(row)[name]) == wanted
    raise ApiError(400, f"operator {operator!r} is not one of eq, exists")
