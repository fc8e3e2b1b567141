"""Track API v1: one call, one person or event. An invalid call gets 400 with `meta.errors`."""

from typing import Any

from cio2d365.sim.customerio import writes
from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.workspace import Json, Person

EVENT_NAME_BYTES, EVENT_DATA_BYTES, ID_BYTES = 100, 100_000, 150
METRICS = ("bounced", "clicked", "converted", "deferred", "delivered", "dropped", "opened", "spammed")
KINDS = ("event", "page", "screen")
PERSON = "/api/v1/customers/{identifier}"


def kind_of(identifier: str) -> str:
    """Which identifier a path holds: `cio_…`, an address, else an id."""
    if identifier.startswith("cio_"):
        return "cio_id"
    return "email" if "@" in identifier else "id"


def _target(call: Call) -> tuple[str, str]:
    identifier = call.path["identifier"]
    if not identifier or len(identifier.encode()) > ID_BYTES:
        raise ApiError(400, f"identifier must have 1 to {ID_BYTES} bytes")
    return kind_of(identifier), identifier


def _person(call: Call) -> Person | None:
    return writes.find(call.workspace, *_target(call))


def _region(call: Call) -> Json:
    return {"region": "us", "url": call.origin, "environment_id": call.workspace.id}


def _identify(call: Call) -> Json:
    kind, value = _target(call)
    body, now = call.object(), call.now
    person = writes.identify(call.workspace, kind, value, body, now)
    block = body.get("cio_relationships")
    if person is not None and isinstance(block, dict):
        relationships(call, person, block.get("action"), block.get("relationships"))
    return {}


def relationships(call: Call, person: Person, action: Any, rows: Any) -> None:
    """Add or delete a person's relationships; an object that does not exist yet is created."""
    for identifiers, attributes in related(rows):
        type_id, object_id = object_key(call, identifiers)
        if action == "delete_relationships":
            thing = call.workspace.thing(type_id, object_id)
            if thing is not None:
                writes.unrelate(call.workspace, person, thing, call.now)
        else:
            thing = writes.identify_thing(call.workspace, type_id, object_id, {}, call.now)
            writes.relate(call.workspace, person, thing, attributes, call.now)


def related(rows: Any) -> list[tuple[Json, Json]]:
    """The other ends of relationships and the relationships' attributes."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ApiError(400, "relationships must be a list of objects")
    pairs = [(row.get("identifiers"), row.get("relationship_attributes") or {}) for row in rows]
    if not all(isinstance(one, dict) and isinstance(two, dict) for one, two in pairs):
        raise ApiError(400, "a relationship needs identifiers and takes relationship_attributes")
    return pairs


def object_key(call: Call, identifiers: Any) -> tuple[str, str]:
    """Type and id of an object; the type is "1" when it is not named and must exist."""
    if not isinstance(identifiers, dict):
        raise ApiError(400, "identifiers must be an object")
    type_id = writes.text_of(identifiers.get("object_type_id", "1"))
    object_id = writes.text_of(identifiers.get("object_id"))
    if not any(kind["id"] == type_id for kind in call.workspace.object_types):
        raise ApiError(400, f"object type {type_id} does not exist")
    if not object_id or len(object_id.encode("utf-8", "replace")) > ID_BYTES:
        raise ApiError(400, f"object_id must have 1 to {ID_BYTES} bytes")
    return type_id, object_id


def _delete(call: Call) -> Json:
    person = _person(call)
    if person is not None:
        writes.delete(call.workspace, person, call.now)
    return {}


def _suppress(call: Call) -> Json:
    writes.suppress(call.workspace, *_target(call), call.now)
    return {}


def _unsuppress(call: Call) -> Json:
    writes.unsuppress(call.workspace, *_target(call))
    return {}


def _event(call: Call) -> Json:
    """An event of an unknown person creates the person."""
    kind, name, body = event_of(call.object())
    target = _target(call)
    person = writes.identify(call.workspace, *target, {}, call.now)
    if person is not None:
        writes.record_event(call.workspace, kind, name, person.cio_id, body, call.now)
    return {}


def event_of(body: Json) -> tuple[str, str, Json]:
    """Kind, name and body of an event, within the published sizes."""
    name, kind, data = body.get("name"), body.get("type") or "event", body.get("data")
    if not isinstance(name, str) or not name:
        raise ApiError(400, "name is required")
    if len(name.encode("utf-8", "replace")) > EVENT_NAME_BYTES and kind != "page":
        raise ApiError(400, f"name must not have more than {EVENT_NAME_BYTES} bytes")
    if data is not None and not isinstance(data, dict):
        raise ApiError(400, "data must be an object")
    if len(str(data)) > EVENT_DATA_BYTES:
        raise ApiError(400, f"data must not have more than {EVENT_DATA_BYTES} bytes")
    return kind if kind in KINDS else "event", name, body


def _anonymous_event(call: Call) -> Json:
    """An anonymous event; it goes to the person who already has the anonymous_id."""
    kind, name, body = event_of(call.object())
    anonymous = body.get("anonymous_id")
    known = [p for p in call.workspace.people.values() if p.attributes.get("anonymous_id") == anonymous]
    who = known[0].cio_id if anonymous and known else None
    writes.record_event(call.workspace, kind, name, who, body, call.now)
    return {}


def _add_device(call: Call) -> Json:
    device, target = call.object().get("device"), _target(call)
    if not isinstance(device, dict) or not writes.text_of(device.get("id")) or not device.get("platform"):
        raise ApiError(400, "device needs an id and a platform")
    person = writes.identify(call.workspace, *target, {}, call.now)
    if person is not None:
        writes.add_device(call.workspace, person, device, call.now)
    return {}


def _delete_device(call: Call) -> Json:
    person = _person(call)
    if person is not None:
        writes.remove_device(call.workspace, person, call.path["device_id"])
    return {}


def _merge(call: Call) -> Json:
    body = call.object()
    primary, secondary = (_named(call, body.get(role), role) for role in ("primary", "secondary"))
    if primary is not None and secondary is not None and primary is not secondary:
        writes.merge(call.workspace, primary, secondary, call.now)
    return {}


def _named(call: Call, identifiers: Any, role: str) -> Person | None:
    if not isinstance(identifiers, dict) or len(identifiers) != 1:
        raise ApiError(400, f"{role} must hold exactly one identifier")
    kind, value = next(iter(identifiers.items()))
    if kind not in ("id", "email", "cio_id") or not writes.text_of(value):
        raise ApiError(400, f"{role} must be named by id, email or cio_id")
    return writes.find(call.workspace, kind, str(value))


def _metric(call: Call) -> Json:
    """`/metrics` names the metric under `metric`, the older `/push/events` under `event`."""
    body = call.object()
    delivery_id, metric = body.get("delivery_id"), body.get("metric") or body.get("event")
    if not isinstance(delivery_id, str) or metric not in METRICS:
        raise ApiError(400, f"delivery_id and a metric are required; metrics are {', '.join(METRICS)}")
    writes.report_metric(call.workspace, delivery_id, metric, writes.moment_of(body.get("timestamp"), call.now))
    return {}


def _members(call: Call, *, add: bool) -> Json:
    ids, kind = call.object().get("ids"), call.query.get("id_type") or "id"
    segment = call.workspace.segments.get(call.path_number("segment_id"))
    if segment is None or segment.type != "manual":
        raise ApiError(400, "not a manual segment")
    if not isinstance(ids, list) or not 1 <= len(ids) <= 1000:
        raise ApiError(400, "ids must hold 1 to 1000 entries")
    for person in (writes.find(call.workspace, kind, str(one)) for one in ids):
        if person is not None and add:
            segment.members[person.cio_id] = None
        elif person is not None:
            segment.members.pop(person.cio_id, None)
    call.workspace.version += 1
    return {}


ENDPOINTS = (
    Endpoint("GET", "/api/v1/accounts/region", _region),
    Endpoint("PUT", PERSON, _identify),
    Endpoint("DELETE", PERSON, _delete),
    Endpoint("POST", f"{PERSON}/events", _event),
    Endpoint("POST", f"{PERSON}/suppress", _suppress),
    Endpoint("POST", f"{PERSON}/unsuppress", _unsuppress),
    Endpoint("PUT", f"{PERSON}/devices", _add_device),
    Endpoint("DELETE", f"{PERSON}/devices/{{device_id}}", _delete_device),
    Endpoint("POST", "/api/v1/events", _anonymous_event),
    Endpoint("POST", "/api/v1/merge_customers", _merge),
    Endpoint("POST", "/api/v1/metrics", _metric),
    Endpoint("POST", "/api/v1/push/events", _metric),
    Endpoint("POST", "/api/v1/segments/{segment_id}/add_customers", lambda call: _members(call, add=True)),
    Endpoint("POST", "/api/v1/segments/{segment_id}/remove_customers", lambda call: _members(call, add=False)),
)
