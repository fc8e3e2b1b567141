"""App API: the activity log, cut to the last 30 days of the workspace clock (customerio-api 7.1)."""

from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.shown import activity_json
from cio2d365.sim.customerio.workspace import ACTIVITY_DAYS, Activity, Json, Workspace

DAY = 86_400
WORKSPACE_PAGES = Paging("activities", default=10, maximum=100, ends_empty=True)
PERSON_PAGES = Paging("person-activities", default=10, maximum=100, ends_empty=True)


def recent(workspace: Workspace) -> list[Activity]:
    """Activities that the API still shows, newest first."""
    state = (workspace.version, workspace.clock.now())
    cached = workspace.cache.get("recent")
    if cached is None or cached[0] != state:
        oldest = state[1] - ACTIVITY_DAYS * DAY
        rows = [a for a in workspace.activities if a.timestamp >= oldest]
        rows.sort(key=lambda a: (a.timestamp, a.id), reverse=True)
        workspace.cache["recent"] = cached = (state, rows)
    found: list[Activity] = cached[1]
    return found


def activity_page(call: Call, paging: Paging, cio_id: str | None) -> Json:
    """One page, filtered by `type` and `name`; `deleted` changes nothing, as seen live."""
    kind, name = call.query.get("type"), call.query.get("name")
    rows = [
        a
        for a in recent(call.workspace)
        if (cio_id is None or a.cio_id == cio_id)
        and (kind is None or a.type == kind)
        and (name is None or a.name == name)
    ]
    shown, following = page(call, rows, paging)
    return {"activities": listed(call, [activity_json(call.workspace, a) for a in shown]), "next": following}


def _customer(call: Call) -> str | None:
    """`customer_id` of the query; a cio_id is taken with and without its `cio_` prefix here."""
    value = call.query.get("customer_id")
    if value is None:
        return None
    kind = call.query.get("id_type") or "id"
    if kind == "cio_id" or value.startswith("cio_"):
        return value.removeprefix("cio_")
    found = call.workspace.with_email(value) if kind == "email" else [call.workspace.with_id(value)]
    if not found or found[0] is None:
        raise ApiError(404, "customer not found")
    return found[0].cio_id


def _activities(call: Call) -> Json:
    return activity_page(call, WORKSPACE_PAGES, _customer(call))


ENDPOINTS = (Endpoint("GET", "/v1/activities", _activities),)
