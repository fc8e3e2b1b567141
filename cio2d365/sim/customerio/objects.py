"""App API: object types, objects and their people (customerio-api 6)."""

from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.filters import things_matching
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.shown import identifiers_of, thing_json
from cio2d365.sim.customerio.workspace import Json, Thing

SEARCH = Paging("objects", default=50, maximum=1000, repeats=True)
PEOPLE = Paging("object-people", default=100, maximum=1000, repeats=True)
THING_PATH = "/v1/objects/{object_type_id}/{object_id}"


def _types(call: Call) -> Json:
    return {"types": listed(call, call.workspace.object_types)}


def _known_type(call: Call, type_id: object) -> str:
    known = [kind["id"] for kind in call.workspace.object_types]
    if not isinstance(type_id, str | int) or isinstance(type_id, bool) or str(type_id) not in known:
        raise ApiError(404, "object type not found")
    return str(type_id)


def _search(call: Call) -> Json:
    body = call.object()
    if "object_type_id" not in body or "filter" not in body:
        raise ApiError(400, "object_type_id and filter are required")
    type_id = _known_type(call, body["object_type_id"])
    rows, following = page(call, things_matching(call.workspace, type_id, body["filter"]), SEARCH)
    return {
        "identifiers": listed(call, [thing.identifiers() for thing in rows]),
        "ids": listed(call, [thing.object_id for thing in rows]),
        "next": following,
    }


def _thing(call: Call) -> Thing:
    type_id = _known_type(call, call.path["object_type_id"])
    by_cio = call.query.get("id_type") == "cio_object_id"
    value = call.path["object_id"]
    found = call.workspace.things.get(value) if by_cio else call.workspace.thing(type_id, value)
    if found is None or found.type_id != type_id:
        raise ApiError(404, "object not found")
    return found


def _attributes(call: Call) -> Json:
    return {"object": thing_json(_thing(call))}


def _people(call: Call) -> Json:
    thing = _thing(call)
    ties, following = page(call, list(call.workspace.ties_of_thing(thing.cio_object_id)), PEOPLE)
    off = not call.workspace.type_enabled(thing.type_id)
    rows = [
        {
            "identifiers": identifiers_of(call.workspace, tie.cio_id),
            "object_type_id": thing.type_id,
            "object_type_disabled": off,
        }
        for tie in ties
    ]
    return {"cio_relationships": listed(call, rows), "next": following}


ENDPOINTS = (
    Endpoint("GET", "/v1/object_types", _types),
    Endpoint("POST", "/v1/objects", _search),
    Endpoint("GET", f"{THING_PATH}/attributes", _attributes),
    Endpoint("GET", f"{THING_PATH}/relationships", _people),
)
