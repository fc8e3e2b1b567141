"""App API: people (customerio-api 3)."""

from typing import Any

from cio2d365.sim.customerio.activities import PERSON_PAGES, activity_page
from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError, EmptyResult
from cio2d365.sim.customerio.filters import people_matching
from cio2d365.sim.customerio.membership import segments_of
from cio2d365.sim.customerio.messages import PERSON, message_page
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.shown import attribute_text, person_json, topics_chosen
from cio2d365.sim.customerio.workspace import Json, Person, Workspace

SEARCH = Paging("customers", default=50, maximum=1000)
TIES = Paging("relationships", default=100, maximum=1000, repeats=True)
BATCH = 100
ID_TYPES = ("id", "email", "phone", "cio_id")


def id_type(call: Call) -> str:
    """The `id_type` of a call; 400 for one that this workspace does not use."""
    kind = call.query.get("id_type") or "id"
    if kind not in ID_TYPES:
        raise ApiError(400, f"id_type must be one of {', '.join(ID_TYPES)}")
    if kind == "phone" or (kind == "email" and not call.settings.email_identifies):
        raise ApiError(400, f"{kind} is not an identifier of this workspace")
    return kind


def lookup(workspace: Workspace, kind: str, value: str) -> Person | None:
    """The person with this identifier; of several with one address, the oldest."""
    if kind == "cio_id":
        return workspace.people.get(value)
    if kind == "email":
        return next(iter(workspace.with_email(value)), None)
    return workspace.with_id(value)


def person_of(call: Call) -> Person:
    """The person in the path; EmptyResult for a raw `+` or `@`, 404 when there is nobody."""
    if set(call.raw["customer_id"]) & set("+@"):
        raise EmptyResult
    value = call.path["customer_id"]
    kind = id_type(call)
    person = lookup(call.workspace, kind, value)
    if person is None:
        raise ApiError(404, "customer not found")
    return person


def _find_by_email(call: Call) -> Json:
    email = call.query.get("email")
    if not email:
        raise ApiError(400, "email is required")
    return {"results": listed(call, [p.identifiers() for p in call.workspace.with_email(email)])}


def _search(call: Call) -> Json:
    body = call.object()
    if "filter" not in body:
        raise ApiError(400, "filter is required")
    rows, following = page(call, people_matching(call.workspace, body["filter"]), SEARCH)
    return people_page(call, rows, following)


def people_page(call: Call, rows: list[Person], following: str) -> Json:
    """`ids` has "" for people without an id, as live answers do."""
    return {
        "identifiers": listed(call, [person.identifiers() for person in rows]),
        "ids": listed(call, [person.id or "" for person in rows]),
        "next": following,
    }


def _batch(call: Call) -> Json:
    ids = call.object().get("ids")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise ApiError(400, "ids must be a list of strings")
    if len(ids) > BATCH:
        raise ApiError(400, f"ids must not hold more than {BATCH} entries")
    kind = id_type(call)
    found = ((one, lookup(call.workspace, kind, one)) for one in dict.fromkeys(ids))
    rows = [person_json(call.workspace, person, one) for one, person in found if person is not None]
    return {"customers": listed(call, [{"customer": row} for row in rows] if call.settings.batch_wrapped else rows)}


def _attributes(call: Call) -> Json:
    return {"customer": person_json(call.workspace, person_of(call), call.path["customer_id"])}


def _segments(call: Call) -> Json:
    rows = segments_of(call.workspace, person_of(call))
    return {"segments": listed(call, [{"id": s.id, "name": s.name, "description": s.description} for s in rows])}


def _activities(call: Call) -> Json:
    return activity_page(call, PERSON_PAGES, person_of(call).cio_id)


def _messages(call: Call) -> Json:
    who = person_of(call).cio_id
    return message_page(call, PERSON, lambda delivery: delivery.cio_id == who)


def _relationships(call: Call) -> Json:
    ties, following = page(call, list(call.workspace.ties_of_person(person_of(call).cio_id)), TIES)
    things = call.workspace.things
    rows = [
        {
            "object_type_id": things[tie.cio_object_id].type_id,
            "identifiers": things[tie.cio_object_id].identifiers(),
            "attributes": {name: attribute_text(value) for name, value in tie.attributes.items()},
            "timestamps": dict.fromkeys(tie.attributes, tie.created_at),
        }
        for tie in ties
    ]
    return {"cio_relationships": listed(call, rows), "next": following}


def _preferences(call: Call) -> Json:
    person = person_of(call)
    chosen = topics_chosen(person)
    topics = [
        {
            "id": topic["id"],
            "subscribed": chosen.get(f"topic_{topic['id']}", topic["subscribed_by_default"]),
            "name": topic["name"],
            "description": topic["description"],
        }
        for topic in call.workspace.content.get("topics", [])
    ]
    return {
        "customer": {
            "id": call.path["customer_id"],
            "identifiers": person.identifiers(),
            "topics": topics,
            "unsubscribed": person.unsubscribed,
            "header": {"title": "Choose what you hear about", "subtitle": "Tick the topics that you want."},
        }
    }


def _nothing(key: str) -> dict[str, Any]:
    return {key: None, "next": ""}


PERSON_PATH = "/v1/customers/{customer_id}"
ENDPOINTS = (
    Endpoint("GET", "/v1/customers", _find_by_email),
    Endpoint("POST", "/v1/customers", _search),
    Endpoint("POST", "/v1/customers/attributes", _batch),
    Endpoint("GET", f"{PERSON_PATH}/attributes", _attributes, {"customer": {"attributes": {}, "devices": None}}),
    Endpoint("GET", f"{PERSON_PATH}/segments", _segments, {"segments": None}),
    Endpoint("GET", f"{PERSON_PATH}/activities", _activities, _nothing("activities")),
    Endpoint("GET", f"{PERSON_PATH}/messages", _messages, _nothing("messages")),
    Endpoint("GET", f"{PERSON_PATH}/relationships", _relationships, _nothing("cio_relationships")),
    Endpoint("GET", f"{PERSON_PATH}/subscription_preferences", _preferences, {"customer": {"topics": None}}),
)
