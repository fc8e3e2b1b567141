"""Track API v2: `/entity` with one operation, `/batch` with many.

A bad item of a batch does not stop the others: the answer is 207 and names its position.
"""

import json
from collections.abc import Callable
from typing import Any

from cio2d365.sim.customerio import writes
from cio2d365.sim.customerio.call import Answer, Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError, TrackError
from cio2d365.sim.customerio.track_v1 import event_of, object_key, related, relationships
from cio2d365.sim.customerio.workspace import Json, Person

ENTITY_BYTES, BATCH_BYTES = 32_768, 512_000
PERSON_KINDS = ("id", "email", "cio_id")

Operation = Callable[[Call, Json], None]


def _invalid(field: str, message: str, reason: str = "invalid") -> TrackError:
    return TrackError(400, reason, field, message)


def _entity(call: Call) -> Json:
    if len(call.content) > ENTITY_BYTES:
        raise _invalid("body", f"must not have more than {ENTITY_BYTES} bytes", "too_large")
    _apply(call, _json(call))
    return {}


def _json(call: Call) -> Any:
    try:
        return call.json()
    except ApiError as error:
        raise _invalid("body", error.detail, "parse_error") from error


def _batch(call: Call) -> Answer:
    if len(call.content) > BATCH_BYTES:
        raise _invalid("batch", f"must not have more than {BATCH_BYTES} bytes", "too_large")
    body = _json(call)
    items = body.get("batch") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        raise _invalid("batch", "must be a non-empty list", "required")
    errors = [error for index, item in enumerate(items) for error in _item_errors(call, index, item)]
    return Answer.of_json({"errors": errors}, 207) if errors else Answer.of_json({})


def _item_errors(call: Call, index: int, item: Any) -> list[Json]:
    try:
        if len(json.dumps(item).encode()) > ENTITY_BYTES:
            raise _invalid("batch", f"an item must not have more than {ENTITY_BYTES} bytes", "too_large")
        _apply(call, item)
    except TrackError as error:
        return [{"batch_index": index, **error.as_json()}]
    return []


def _apply(call: Call, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise _invalid("body", "must be an object")
    kind, action = operation.get("type"), operation.get("action")
    if kind not in ("person", "object"):
        raise _invalid("type", "must be person or object")
    found = OPERATIONS.get((str(kind), str(action)))
    if found is None:
        raise _invalid("action", f"{action!r} is not an action of a {kind}")
    try:
        found(call, operation)
    except ApiError as error:
        raise _invalid("attributes", error.detail) from error


def _target(operation: Json, field: str = "identifiers") -> tuple[str, str]:
    identifiers = operation.get(field)
    if not isinstance(identifiers, dict) or not identifiers:
        raise _invalid(field, "is required", "required")
    if len(identifiers) > 1 or next(iter(identifiers)) not in PERSON_KINDS:
        raise _invalid(field, f"must hold exactly one of {', '.join(PERSON_KINDS)}")
    kind, value = next(iter(identifiers.items()))
    if not writes.text_of(value):
        raise _invalid(f"{field}.{kind}", "must be non-empty text")
    return kind, str(value)


def _attributes(operation: Json) -> Json:
    attributes = operation.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise _invalid("attributes", "must be an object")
    stamp = operation.get("timestamp")
    return {**attributes, "_timestamp": stamp} if stamp is not None else dict(attributes)


def _identified(call: Call, operation: Json) -> Person | None:
    return writes.identify(call.workspace, *_target(operation), {}, call.now)


def _identify(call: Call, operation: Json) -> None:
    rows = operation.get("cio_relationships") or []
    related(rows)
    person = writes.identify(call.workspace, *_target(operation), _attributes(operation), call.now)
    if person is not None:
        relationships(call, person, "add_relationships", rows)


def _event(call: Call, operation: Json) -> None:
    """`action` names the kind; properties are under `attributes`."""
    body = {**operation, "type": operation["action"], "data": operation.get("attributes")}
    kind, name, event = event_of(body)
    person = _identified(call, operation)
    if person is not None:
        writes.record_event(call.workspace, kind, name, person.cio_id, event, call.now)


def _delete(call: Call, operation: Json) -> None:
    person = writes.find(call.workspace, *_target(operation))
    if person is not None:
        writes.delete(call.workspace, person, call.now)


def _suppress(call: Call, operation: Json) -> None:
    writes.suppress(call.workspace, *_target(operation), call.now)


def _unsuppress(call: Call, operation: Json) -> None:
    writes.unsuppress(call.workspace, *_target(operation))


def _relate(call: Call, operation: Json) -> None:
    rows = operation.get("cio_relationships")
    related(rows)
    person = _identified(call, operation)
    if person is not None:
        relationships(call, person, operation["action"], rows)


def _add_device(call: Call, operation: Json) -> None:
    device = operation.get("device")
    if not isinstance(device, dict) or not writes.text_of(device.get("token")) or not device.get("platform"):
        raise _invalid("device", "needs a token and a platform", "required")
    person = _identified(call, operation)
    if person is not None:
        shown = {"id": device["token"], **{k: v for k, v in device.items() if k != "token"}}
        writes.add_device(call.workspace, person, shown, call.now)


def _delete_device(call: Call, operation: Json) -> None:
    person, device = writes.find(call.workspace, *_target(operation)), operation.get("device")
    if not isinstance(device, dict):
        raise _invalid("device", "needs a token", "required")
    if person is not None:
        writes.remove_device(call.workspace, person, writes.text_of(device.get("token")))


def _merge(call: Call, operation: Json) -> None:
    people = [writes.find(call.workspace, *_target(operation, role)) for role in ("primary", "secondary")]
    primary, secondary = people
    if primary is not None and secondary is not None and primary is not secondary:
        writes.merge(call.workspace, primary, secondary, call.now)


def _key(call: Call, operation: Json) -> tuple[str, str]:
    try:
        return object_key(call, operation.get("identifiers"))
    except ApiError as error:
        raise _invalid("identifiers", error.detail) from error


def _people(operation: Json) -> list[tuple[tuple[str, str], Json]]:
    """People of an object, with the relationships' attributes."""
    rows = related(operation.get("cio_relationships") or [])
    return [(_target({"identifiers": identifiers}), attributes) for identifiers, attributes in rows]


def _identify_thing(call: Call, operation: Json) -> None:
    key, people, attributes = _key(call, operation), _people(operation), _attributes(operation)
    moment = writes.moment_of(attributes.pop("_timestamp", None), call.now)
    thing = writes.identify_thing(call.workspace, *key, attributes, moment)
    for target, tie in people:
        person = writes.identify(call.workspace, *target, {}, call.now)
        if person is not None:
            writes.relate(call.workspace, person, thing, tie, call.now)


def _unrelate_thing(call: Call, operation: Json) -> None:
    thing = call.workspace.thing(*_key(call, operation))
    for target, _ in _people(operation):
        person = writes.find(call.workspace, *target)
        if person is not None and thing is not None:
            writes.unrelate(call.workspace, person, thing, call.now)


def _delete_thing(call: Call, operation: Json) -> None:
    thing = call.workspace.thing(*_key(call, operation))
    if thing is not None:
        call.workspace.remove_thing(thing)
        writes.log(call.workspace, f"_o:{thing.type_id}:delete", call.now, None, data={"object_id": thing.object_id})


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("person", "identify"): _identify,
    ("person", "event"): _event,
    ("person", "page"): _event,
    ("person", "screen"): _event,
    ("person", "delete"): _delete,
    ("person", "suppress"): _suppress,
    ("person", "unsuppress"): _unsuppress,
    ("person", "add_relationships"): _relate,
    ("person", "delete_relationships"): _relate,
    ("person", "add_device"): _add_device,
    ("person", "delete_device"): _delete_device,
    ("person", "merge"): _merge,
    ("object", "identify"): _identify_thing,
    ("object", "add_relationships"): _identify_thing,
    ("object", "delete_relationships"): _unrelate_thing,
    ("object", "delete"): _delete_thing,
}

ENDPOINTS = (
    Endpoint("POST", "/api/v2/entity", _entity),
    Endpoint("POST", "/api/v2/batch", _batch),
)
