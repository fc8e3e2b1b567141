"""One simulator over real HTTP for the whole run; every test begins with a new organisation."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from cio2d365.sim.dataverse import UVICORN_OPTIONS, create_app

from .build import CLIENT, SECRET, TENANT


# Loading the system's certificates for every client would take longer than the tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    app = create_app(state_dir=None, tenant_id=TENANT, client_id=CLIENT, client_secret=SECRET, seed=7)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", **UVICORN_OPTIONS)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def control(origin: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{origin}/_control/", timeout=20, verify=NO_TLS) as client:
        client.post("reset").raise_for_status()
        yield client


@pytest.fixture
def api(origin: str, control: httpx.Client) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer dev-token", "OData-Version": "4.0", "Accept": "application/json"}
    with httpx.Client(base_url=f"{origin}/api/data/v9.2/", headers=headers, timeout=20, verify=NO_TLS) as client:
        yield client
