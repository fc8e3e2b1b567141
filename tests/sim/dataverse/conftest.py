"""One simulator over real HTTP for the whole run; every test begins with a new organisation."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .serving import NO_TLS, api_client, simulator


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    with simulator(seed=7) as url:
        yield url


@pytest.fixture
def control(origin: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{origin}/_control/", timeout=20, verify=NO_TLS) as client:
        client.post("reset").raise_for_status()
        yield client


@pytest.fixture
def api(origin: str, control: httpx.Client) -> Iterator[httpx.Client]:
    with api_client(origin) as client:
        yield client
