"""The sample workspace, put together, and the empty one."""

from cio2d365.sim.customerio.workspace import Clock, Workspace
from cio2d365.sim.sample import companies, content, deliveries, events, people, segments
from cio2d365.sim.sample.draw import DAY, NOW, SEED

WORKSPACE_ID = 144601
DELIVERY_COUNT = 5_000
FILES_END_BEFORE_NOW = 12 * DAY


def sample_workspace(seed: int = SEED, *, deliveries_count: int = DELIVERY_COUNT) -> Workspace:
    """The same workspace for the same arguments, in every process; see README.md for what is in it."""
    workspace = Workspace(WORKSPACE_ID, "Sample Workspace", Clock(NOW), files_until=NOW - FILES_END_BEFORE_NOW)
    companies.add_object_types(workspace)
    companies.add_companies(workspace, seed)
    companies.add_contracts(workspace, seed)
    companies.add_programs(workspace, seed)
    people.add_people(workspace, seed)
    people.relate_contracts(workspace, seed)
    events.add_events(workspace, seed)
    segments.add_segments(workspace, seed)
    content.add_content(workspace)
    deliveries.add_deliveries(workspace, seed, deliveries_count)
    events.add_log(workspace, seed)
    workspace.cache.clear()
    return workspace


def empty_workspace() -> Workspace:
    """A new workspace as the vendor hands it over, on the real clock: nobody in it, companies as the only type."""
    workspace = Workspace(WORKSPACE_ID + 1, "Empty Workspace")
    companies.add_object_types(workspace)
    workspace.object_types = [{**kind, "id": "1"} for kind in workspace.object_types if kind["name"] == "Companies"]
    return workspace
