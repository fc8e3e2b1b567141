"""The simulator over real HTTP on loopback, because dropped connections and raw paths do not exist in-process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from cio2d365.sim.customerio import Workspace, create_app
from cio2d365.sim.serve import Listener, bind, running

APP_KEY, SITE, TRACK_KEY = "app-key", "site", "track-key"


@contextmanager
def serving(workspace: Workspace, *, limited: bool = False) -> Iterator[httpx.Client]:
    """A client with the App API key; without the limit of ten requests a second unless `limited`."""
    app = create_app(workspace=workspace, app_api_key=APP_KEY, site_id=SITE, track_api_key=TRACK_KEY)
    listener = Listener(app, bind(0))
    headers = {"authorization": f"Bearer {APP_KEY}"}
    with (
        running([[listener]], threading.Event()),
        httpx.Client(base_url=listener.url, headers=headers, timeout=60) as client,
    ):
        if not limited:
            client.post("/_control/settings", json={"requests_per_second": 0})
        yield client


def fresh(client: httpx.Client) -> httpx.Client:
    """The same simulator as it was at the start."""
    client.post("/_control/reset")
    client.post("/_control/settings", json={"requests_per_second": 0})
    return client


@pytest.fixture(scope="module")
def api(sample: Workspace) -> Iterator[httpx.Client]:
    """The App API of the sample."""
    with serving(sample) as client:
        yield client
