"""Running a simulator in a thread, and clients for it."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from cio2d365.sim.dataverse import UVICORN_OPTIONS, create_app

from .build import CLIENT, SECRET, TENANT

# Loading the system's certificates for every client would take longer than the tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def simulator(state_dir: Path | None = None, seed: int = 0) -> Iterator[str]:
    """The origin of a running simulator."""
    app = create_app(state_dir=state_dir, tenant_id=TENANT, client_id=CLIENT, client_secret=SECRET, seed=seed)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", **UVICORN_OPTIONS)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def api_client(origin: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer dev-token", "OData-Version": "4.0", "Accept": "application/json"}
    with httpx.Client(base_url=f"{origin}/api/data/v9.2/", headers=headers, timeout=20, verify=NO_TLS) as client:
        yield client
