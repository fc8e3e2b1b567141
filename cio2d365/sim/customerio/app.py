"""The simulated Customer.io as a Starlette application."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from cio2d365.sim.customerio import (
    account,
    activities,
    content,
    exports,
    library,
    messages,
    objects,
    people,
    segments,
    track_v1,
    track_v2,
)
from cio2d365.sim.customerio.control import control
from cio2d365.sim.customerio.simulator import Keys, Simulator, State
from cio2d365.sim.customerio.workspace import Workspace
from cio2d365.sim.customerio.writelog import WriteLog

APP_ENDPOINTS = [
    *account.ENDPOINTS,
    *people.ENDPOINTS,
    *objects.ENDPOINTS,
    *activities.ENDPOINTS,
    *messages.ENDPOINTS,
    *segments.ENDPOINTS,
    *content.ENDPOINTS,
    *library.ENDPOINTS,
    *exports.ENDPOINTS,
]
TRACK_ENDPOINTS = [*track_v1.ENDPOINTS, *track_v2.ENDPOINTS]


class _Application(Starlette):
    """Starlette around the simulator without its middleware: a fault needs the server's own `send`."""

    simulator: Simulator

    def build_middleware_stack(self) -> ASGIApp:
        """Lifespan goes to the router, everything else to the simulator."""

        async def stack(scope: Scope, receive: Receive, send: Send) -> None:
            await (self.router if scope["type"] == "lifespan" else self.simulator)(scope, receive, send)

        return stack


def create_app(
    *,
    workspace: Workspace,
    app_api_key: str,
    site_id: str,
    track_api_key: str,
    state_dir: Path | None = None,
) -> Starlette:
    """App API under `/v1/…`, Track API under `/api/v1/…` and `/api/v2/…`, control API under `/_control/…`.

    With `state_dir` the writes of the Track API are kept in a file there and replayed on the next start.
    """
    if state_dir is not None:
        state_dir.mkdir(parents=True, exist_ok=True)
    kept = None if state_dir is None else state_dir / "customerio-writes.jsonl"
    keys = Keys(app_api_key, site_id, track_api_key)
    state = State(workspace, writes=WriteLog(kept))
    simulator = Simulator(state, keys, APP_ENDPOINTS, TRACK_ENDPOINTS, control)
    simulator.replay()
    application = _Application()
    application.simulator = simulator
    return application
