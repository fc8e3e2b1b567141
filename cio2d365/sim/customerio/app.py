"""The simulated Customer.io as a Starlette application."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from cio2d365.sim.customerio import account, activities, content, library, messages, objects, people, segments
from cio2d365.sim.customerio.control import control
from cio2d365.sim.customerio.simulator import Keys, Simulator, State
from cio2d365.sim.customerio.workspace import Workspace

APP_ENDPOINTS = [
    *account.ENDPOINTS,
    *people.ENDPOINTS,
    *objects.ENDPOINTS,
    *activities.ENDPOINTS,
    *messages.ENDPOINTS,
    *segments.ENDPOINTS,
    *content.ENDPOINTS,
    *library.ENDPOINTS,
]


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

    With `state_dir` the writes of the Track API are kept there and replayed on the next start.
    """
    state = State(workspace)
    application = _Application()
    application.simulator = Simulator(state, Keys(app_api_key, site_id, track_api_key), APP_ENDPOINTS, [], control)
    return application
