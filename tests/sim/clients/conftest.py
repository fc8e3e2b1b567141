"""A simulator for clients that nobody here wrote; each test begins with a new organisation."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from ..dataverse.serving import NO_TLS, api_client, simulator


@pytest.fixture(scope="session")
def running() -> Iterator[str]:
    with simulator(seed=11) as url:
        yield url


@pytest.fixture
def origin(running: str) -> str:
    httpx.post(f"{running}/_control/reset", timeout=20, verify=NO_TLS).raise_for_status()
    return running


@pytest.fixture
def api(origin: str) -> Iterator[httpx.Client]:
    with api_client(origin) as client:
        yield client
