"""Who is in a segment. Rules are the undocumented tree of `conditions` (customerio-api 10)."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cio2d365.sim.customerio.shown import attribute_text, person_attributes
from cio2d365.sim.customerio.workspace import Activity, Json, Person, Segment, Workspace

Test = Callable[[Person], bool]
Members = dict[str, None]


@dataclass
class _Evaluation:
    """Everything that holds for one state of the workspace."""

    workspace: Workspace
    now: int
    log: dict[str, list[Activity]] = field(default_factory=dict)
    members: dict[int, Members] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)


def members(workspace: Workspace, segment_id: int) -> Members:
    """cio_ids of a segment's members, in the order of the people; evaluated once per state of the workspace."""
    return _members(_evaluation(workspace), segment_id)


def segments_of(workspace: Workspace, person: Person) -> list[Segment]:
    """The segments that a person is in."""
    return [segment for number, segment in workspace.segments.items() if person.cio_id in members(workspace, number)]


def _evaluation(workspace: Workspace) -> _Evaluation:
    state = (workspace.version, workspace.clock.now())
    cached = workspace.cache.get("segments")
    if cached is None or cached[0] != state:
        evaluation = _Evaluation(workspace, state[1], _log(workspace))
        workspace.cache["segments"] = cached = (state, evaluation)
    found: _Evaluation = cached[1]
    return found


def _log(workspace: Workspace) -> dict[str, list[Activity]]:
    log: dict[str, list[Activity]] = defaultdict(list)
    for activity in workspace.activities:
        if activity.cio_id is not None:
            log[activity.cio_id].append(activity)
    return log


def _members(evaluation: _Evaluation, segment_id: int) -> Members:
    segment = evaluation.workspace.segments.get(segment_id)
    if segment is None or segment_id in evaluation.running:
        return {}
    if segment.type == "manual":
        return segment.members
    if segment_id not in evaluation.members:
        evaluation.running.add(segment_id)
        test = _node(evaluation, segment.conditions or {"or": []})
        people = evaluation.workspace.people
        evaluation.members[segment_id] = {cio_id: None for cio_id, person in people.items() if test(person)}
        evaluation.running.discard(segment_id)
    return evaluation.members[segment_id]


def _node(evaluation: _Evaluation, node: Json) -> Test:
    test = _positive(evaluation, node)
    return (lambda person: not test(person)) if node.get("inverse") else test


def _positive(evaluation: _Evaluation, node: Json) -> Test:
    if "and" in node or "or" in node:
        tests = [_node(evaluation, part) for part in node.get("and") or node.get("or") or ()]
        joined = all if "and" in node else any
        return lambda person: joined(test(person) for test in tests)
    if "segment" in node:
        inside = _members(evaluation, node["segment"]["id"])
        return lambda person: person.cio_id in inside
    if "event" in node:
        return _event(evaluation, node)
    rule = node["attribute"]
    return lambda person: _holds(evaluation.now, rule, person_attributes(person).get(rule["field"]))


def _event(evaluation: _Evaluation, node: Json) -> Test:
    event, times = node["event"], int(node.get("times", 1))
    since = evaluation.now - node["within"] if node.get("within") else 0

    def test(person: Person) -> bool:
        return sum(_is_event(evaluation, a, event, since) for a in evaluation.log.get(person.cio_id, ())) >= times

    return test


def _is_event(evaluation: _Evaluation, activity: Activity, event: Json, since: int) -> bool:
    if activity.type != event["type"] or activity.timestamp < since:
        return False
    if activity.type == "attribute_change":
        change = activity.data.get(event["name"])
        return isinstance(change, dict) and _filtered(evaluation, change, event)
    name = activity.url if activity.type == "page" else activity.name
    return name == event["name"] and _filtered(evaluation, activity.data, event)


def _filtered(evaluation: _Evaluation, data: Json, event: Json) -> bool:
    rules = (event.get("filters") or {}).get("and", [])
    return all(_holds(evaluation.now, rule, data.get(rule["field"])) != bool(rule.get("inverse")) for rule in rules)


def _number(value: Any) -> float | None:
    try:
        return float(attribute_text(value))
    except ValueError:
        return None


def _holds(now: int, rule: Json, value: Any) -> bool:
    operator: str = rule["operator"]
    if operator.startswith("!"):
        return not _holds(now, {**rule, "operator": operator[1:]}, value)
    text, wanted = attribute_text(value), attribute_text(rule.get("value"))
    if operator == "exists":
        return text != ""
    if operator == "eq":
        return value is not None and text.lower() == wanted.lower()
    if operator == "contains":
        return wanted.lower() in text.lower()
    return _compares(now, operator, _number(value), _number(rule.get("value")), _number(rule.get("value2")))


def _compares(now: int, operator: str, value: float | None, low: float | None, high: float | None) -> bool:
    if value is None or low is None:
        return False
    if operator in ("bw", "timestamp_bw"):
        return high is not None and low <= value <= high
    limits = {
        "gt": value > low,
        "lt": value < low,
        "timestamp_gt": value > now - low,
        "timestamp_lt": value < now - low,
        "timestamp_gta": value > low,
        "timestamp_lta": value < low,
    }
    return limits[operator]
