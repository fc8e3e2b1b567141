"""App API: segments, their members and what uses them (customerio-api 10)."""

from collections.abc import Iterable

from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.membership import members
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.people import people_page
from cio2d365.sim.customerio.workspace import Json, Segment

MEMBERS = Paging("membership", default=1000, maximum=30_000)
PATH = "/v1/segments/{segment_id}"


def segment_json(call: Call, segment: Segment) -> Json:
    """A segment; `conditions` is undocumented and not there for every rule."""
    shown = {
        "id": segment.id,
        "deduplicate_id": f"{segment.id}:{segment.updated_at}",
        "name": segment.name,
        "description": segment.description,
        "state": segment.state,
        "progress": None,
        "type": segment.type,
        "tags": segment.tags,
        "created_at": segment.created_at,
        "updated_at": segment.updated_at,
    }
    visible = call.settings.segments_with_conditions and segment.shows_conditions
    return {**shown, "conditions": segment.conditions} if visible and segment.conditions else shown


def _segment(call: Call) -> Segment:
    found = call.workspace.segments.get(call.path_number("segment_id"))
    if found is None:
        raise ApiError(404, "segment not found")
    return found


def _all(call: Call) -> Json:
    return {"segments": listed(call, [segment_json(call, s) for s in call.workspace.segments.values()])}


def _one(call: Call) -> Json:
    return {"segment": segment_json(call, _segment(call))}


def _membership(call: Call) -> Json:
    segment = _segment(call)
    inside = members(call.workspace, segment.id)
    rows, following = page(call, [call.workspace.people[cio_id] for cio_id in inside], MEMBERS)
    return {"segment_id": segment.id, **people_page(call, rows, following)}


def _count(call: Call) -> Json:
    return {"count": len(members(call.workspace, _segment(call).id))}


def _used_by(call: Call) -> Json:
    number, content = _segment(call).id, call.workspace.content
    newsletters = _users(content.get("newsletters", ()), number, "recipient_segment_ids")
    uses = {
        "segment_id": number,
        "campaigns": [
            c["id"] for c in _users(content.get("campaigns", ()), number, "trigger_segment_ids", "filter_segment_ids")
        ],
        "sent_newsletters": [n["id"] for n in newsletters if n["sent_at"]],
        "draft_newsletters": [n["id"] for n in newsletters if not n["sent_at"]],
    }
    return {"used_by": uses}


def _users(rows: Iterable[Json], number: int, *keys: str) -> list[Json]:
    return [row for row in rows if any(number in (row.get(key) or ()) for key in keys)]


ENDPOINTS = (
    Endpoint("GET", "/v1/segments", _all),
    Endpoint("GET", PATH, _one),
    Endpoint("GET", f"{PATH}/membership", _membership),
    Endpoint("GET", f"{PATH}/customer_count", _count),
    Endpoint("GET", f"{PATH}/used_by", _used_by),
)
