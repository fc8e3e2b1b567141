"""What a write does to the workspace, whatever the dialect of the call (customerio-api 2.2, 3, 18).

Nothing here refuses a person's data: a value that is too long is dropped and leaves a `failed_attribute_change` in the
log, as the vendor does after its 200.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from cio2d365.sim.customerio.shown import attribute_text
from cio2d365.sim.customerio.workspace import ACTIVITY_DAYS, Activity, Json, Person, Relationship, Thing, Workspace

NAME_BYTES, VALUE_BYTES, ATTRIBUTES = 150, 1000, 300
PREFERENCES = "cio_subscription_preferences"
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
IDENTIFIERS = ("id", "email")
LAST_SECOND = 9_999_999_999
CONTROL = ("_timestamp", "_update", "cio_relationships", "cio_id")


def find(workspace: Workspace, kind: str, value: str) -> Person | None:
    """The person with this id, email or cio_id (with or without its prefix)."""
    if kind == "cio_id":
        return workspace.people.get(value.removeprefix("cio_"))
    if kind == "email":
        return next(iter(workspace.with_email(value)), None)
    return workspace.with_id(value)


def identify(workspace: Workspace, kind: str, value: str, attributes: Json, at: int) -> Person | None:
    """Create or update a person. None when nothing may happen: suppressed, unknown cio_id, or `_update` of nobody."""
    if is_suppressed(workspace, kind, value):
        return None
    person = find(workspace, kind, value) or _by_body(workspace, attributes)
    if person is None:
        if kind == "cio_id" or attributes.get("_update"):
            return None
        person = _create(workspace, at)
    moment = moment_of(attributes.get("_timestamp"), at)
    _set_identifiers(workspace, person, {**_wanted(attributes), kind: value}, moment)
    _set_attributes(workspace, person, attributes, moment)
    return person


def is_suppressed(workspace: Workspace, kind: str, value: str) -> bool:
    """Whether the identifier is blocked."""
    return (value.lower() if kind == "email" else value) in workspace.suppressed


def _by_body(workspace: Workspace, attributes: Json) -> Person | None:
    found = (find(workspace, kind, value) for kind, value in _wanted(attributes).items())
    return next((person for person in found if person is not None), None)


def _wanted(attributes: Json) -> dict[str, str]:
    given = ((kind, text_of(attributes.get(kind))) for kind in IDENTIFIERS)
    return {kind: value for kind, value in given if value}


def text_of(value: Any) -> str:
    """An identifier as text; numbers are taken too, anything else counts as none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def moment_of(value: Any, default: int) -> int:
    """Unix seconds as a sender gave them; what cannot be seconds counts as not given."""
    given = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LAST_SECOND
    return int(value) if given else default


def _create(workspace: Workspace, at: int) -> Person:
    person = Person(f"b1{0xA00000 + workspace.mint():06x}", None, None, {}, at)
    workspace.add_person(person)
    log(workspace, "profile_create", at, person.cio_id)
    return person


def _set_identifiers(workspace: Workspace, person: Person, wanted: Mapping[str, str], at: int) -> None:
    """An identifier that another person has stays with that person, and the log says so."""
    values = {"id": person.id, "email": person.email}
    for kind, value in wanted.items():
        owner = find(workspace, kind, value)
        if kind not in values:
            continue
        if owner is not None and owner is not person:
            log(workspace, "failed_attribute_change", at, person.cio_id, data={kind: {"to": value}})
        elif values[kind] is None or kind == "email":
            values[kind] = value
    if values != {"id": person.id, "email": person.email}:
        workspace.identify(person, id=values["id"], email=values["email"])


def _set_attributes(workspace: Workspace, person: Person, attributes: Json, at: int) -> None:
    changes: Json = {}
    for name, value in attributes.items():
        if name in IDENTIFIERS or name in CONTROL:
            continue
        if name == PREFERENCES or name.startswith(PREFERENCES + "."):
            name, value = PREFERENCES, _preferences(person, name, value)
        if _too_big(person, name, value):
            log(
                workspace, "failed_attribute_change", at, person.cio_id, data={name: {"to": attribute_text(value)[:50]}}
            )
        elif at >= person.changed.get(name, 0):
            changes[name] = _set_one(person.attributes, person.changed, name, value, at)
    changed = {name: change for name, change in changes.items() if change["from"] != change["to"]}
    if changed:
        log(workspace, "attribute_change", at, person.cio_id, data=changed)
    if "anonymous_id" in changed and person.attributes.get("anonymous_id"):
        _merge_anonymous(workspace, person, at)
    workspace.version += 1


def _too_big(person: Person, name: str, value: Any) -> bool:
    new = name not in person.attributes and len(person.attributes) >= ATTRIBUTES
    size = VALUE_BYTES if name != PREFERENCES else 100 * VALUE_BYTES
    return new or len(name.encode()) > NAME_BYTES or len(attribute_text(value).encode("utf-8", "replace")) > size


def _set_one(attributes: Json, changed: dict[str, int], name: str, value: Any, at: int) -> Json:
    """Null and empty text remove an attribute."""
    before = attribute_text(attributes.get(name, ""))
    if value is None or value == "":
        attributes.pop(name, None)
    else:
        attributes[name] = value
    changed[name] = at
    return {"from": before, "to": attribute_text(value)}


def _preferences(person: Person, name: str, value: Any) -> Any:
    """`cio_subscription_preferences.topics.topic_7` changes one topic; an object replaces the whole."""
    steps = name.split(".")[1:]
    if not steps:
        return value if isinstance(value, str) or value is None else attribute_text(value)
    kept = _object(person.attributes.get(PREFERENCES))
    inner = kept
    for step in steps[:-1]:
        inner[step] = inner = _object(inner.get(step))
    inner[steps[-1]] = value
    return attribute_text(kept)


def _object(value: Any) -> Json:
    """A JSON object, given as such or as text; anything else counts as an empty one."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    return dict(found) if isinstance(found, dict) else {}


def _merge_anonymous(workspace: Workspace, person: Person, at: int) -> None:
    """Anonymous events of the last 30 days become the person's."""
    anonymous, oldest = person.attributes["anonymous_id"], at - ACTIVITY_DAYS * 86_400
    mine = 0
    for position, activity in enumerate(workspace.activities):
        if activity.cio_id is None and activity.anonymous_id == anonymous and activity.timestamp >= oldest:
            workspace.activities[position] = replace(activity, cio_id=person.cio_id, names_person=False)
            mine += 1
    if mine:
        log(workspace, "anon_merge", at, person.cio_id, data={"anonymous_id": anonymous, "events": mine})


def delete(workspace: Workspace, person: Person, at: int) -> None:
    """Delete for good; the same id later makes another person."""
    log(workspace, "profile_delete", at, person.cio_id)
    workspace.remove_person(person, at=at)


def suppress(workspace: Workspace, kind: str, value: str, at: int) -> None:
    """Delete the person and block the identifiers."""
    person = find(workspace, kind, value)
    blocked = [value, *(_identifiers(person) if person else ())]
    workspace.suppressed.update(one.lower() if "@" in one else one for one in blocked)
    if person is not None:
        workspace.remove_person(person, at=at, suppressed=True)
    workspace.version += 1


def _identifiers(person: Person) -> list[str]:
    return [one for one in (person.id, person.email) if one]


def unsuppress(workspace: Workspace, kind: str, value: str) -> None:
    """Lift the block; what was deleted stays lost."""
    workspace.suppressed.discard(value.lower() if kind == "email" else value)
    workspace.version += 1


def merge(workspace: Workspace, primary: Person, secondary: Person, at: int) -> None:
    """The primary keeps its values and gets what it lacks, 30 days of events included; the secondary is deleted."""
    for name, value in secondary.attributes.items():
        primary.attributes.setdefault(name, value)
    for tie in list(workspace.ties_of_person(secondary.cio_id)):
        if workspace.tie_between(primary.cio_id, tie.cio_object_id) is None:
            workspace.tie(replace(tie, cio_id=primary.cio_id))
    for segment in workspace.segments.values():
        if segment.type == "manual" and secondary.cio_id in segment.members:
            segment.members[primary.cio_id] = None
    _hand_over_history(workspace, primary.cio_id, secondary.cio_id, at - ACTIVITY_DAYS * 86_400)
    given = {"id": primary.id or secondary.id, "email": primary.email or secondary.email}
    workspace.remove_person(secondary, at=at)
    workspace.identify(primary, **given)
    log(workspace, "profile_merge", at, primary.cio_id, data={"secondary": secondary.identifiers()})


def _hand_over_history(workspace: Workspace, primary: str, secondary: str, oldest: int) -> None:
    workspace.activities[:] = [
        replace(a, cio_id=primary) if a.cio_id == secondary and a.timestamp >= oldest else a
        for a in workspace.activities
    ]
    workspace.deliveries[:] = [replace(d, cio_id=primary) if d.cio_id == secondary else d for d in workspace.deliveries]


def report_metric(workspace: Workspace, delivery_id: str, metric: str, at: int) -> None:
    """What happened to a message after sending, in the delivery and in the log; an unknown delivery is passed over."""
    for position, delivery in enumerate(workspace.deliveries):
        if delivery.id == delivery_id:
            reached = {**delivery.metrics, metric: delivery.metrics.get(metric, at)}
            workspace.deliveries[position] = replace(delivery, metrics=reached)
            data: Json = {"delivery_id": delivery_id, metric: at}
            log(workspace, f"{metric}_{delivery.type}", at, delivery.cio_id, data=data, delivery_id=delivery_id)
            return


def log(workspace: Workspace, kind: str, at: int, cio_id: str | None, **more: Any) -> None:
    """Append to the activity log under a new ULID."""
    workspace.record(Activity(new_ulid(workspace, at), kind, at, cio_id, **more))


def new_ulid(workspace: Workspace, at: int) -> str:
    """A ULID that depends on nothing but the workspace and how much was minted in it, so that a replay repeats it."""
    digest = hashlib.sha256(f"{workspace.id}:{workspace.mint()}".encode()).digest()
    head = [LETTERS[(at * 1000 >> (5 * i)) & 31] for i in range(9, -1, -1)]
    return "".join(head) + "".join(LETTERS[byte % 32] for byte in digest[:16])


def is_ulid(text: Any) -> TypeGuard[str]:
    """Whether an event id can serve to drop duplicates."""
    return isinstance(text, str) and len(text) == 26 and set(text.upper()) <= set(LETTERS)


def record_event(workspace: Workspace, kind: str, name: str, who: str | None, call: Json, at: int) -> None:
    """Record an event, page or screen; one with the ULID of an earlier one is dropped."""
    given = call.get("id")
    if is_ulid(given) and workspace.has_activity(given):
        return
    moment = moment_of(call.get("timestamp"), at)
    anonymous = call.get("anonymous_id")
    workspace.record(
        Activity(
            id=given if isinstance(given, str) and is_ulid(given) else new_ulid(workspace, moment),
            type=kind,
            timestamp=moment,
            cio_id=who,
            name=None if kind == "page" else name,
            url=name if kind == "page" else None,
            data=call.get("data") or {},
            anonymous_id=str(anonymous) if anonymous else None,
            message_id=given if isinstance(given, str) else None,
            received_at=at,
        )
    )


def identify_thing(workspace: Workspace, type_id: str, object_id: str, attributes: Json, at: int) -> Thing:
    """Create or update an object."""
    thing = workspace.thing(type_id, object_id)
    if thing is None:
        thing = Thing(type_id, object_id, f"ob{type_id}{0xB00000 + workspace.mint():06x}", {}, at)
        workspace.add_thing(thing)
        log(workspace, f"_o:{type_id}:create", at, None, data={"object_id": object_id})
    for name, value in attributes.items():
        _set_one(thing.attributes, thing.changed, name, value, at)
    workspace.version += 1
    return thing


def relate(workspace: Workspace, person: Person, thing: Thing, attributes: Json, at: int) -> None:
    """Add a relationship or change its attributes; null and empty text remove one."""
    known = workspace.tie_between(person.cio_id, thing.cio_object_id)
    merged = {**(known.attributes if known else {}), **attributes}
    kept = {name: value for name, value in merged.items() if value not in (None, "")}
    workspace.tie(Relationship(person.cio_id, thing.cio_object_id, kept, known.created_at if known else at))
    kind = "relationship_attribute_change" if known else "add_relationship"
    log(workspace, kind, at, person.cio_id, data={"object_type_id": thing.type_id, "object_id": thing.object_id})


def unrelate(workspace: Workspace, person: Person, thing: Thing, at: int) -> None:
    """Remove a relationship."""
    workspace.untie(person.cio_id, thing.cio_object_id)
    data = {"object_type_id": thing.type_id, "object_id": thing.object_id}
    log(workspace, "delete_relationship", at, person.cio_id, data=data)


def add_device(workspace: Workspace, person: Person, device: Json, at: int) -> None:
    """Add or replace a device."""
    remove_device(workspace, person, str(device["id"]))
    person.devices.append({"last_used": at, **device})


def remove_device(workspace: Workspace, person: Person, device_id: str) -> None:
    """Remove a device."""
    person.devices[:] = [device for device in person.devices if device["id"] != device_id]
    workspace.version += 1
