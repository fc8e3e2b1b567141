"""One simulator per test process; every test that asks for `simulated` begins with a new organisation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataverse.directory import Simulated, controlled
from tests.migrate.world import serving


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    with serving(seed=11) as (url, _):
        yield url


@pytest.fixture
def simulated(origin: str) -> Iterator[Simulated]:
    with controlled(origin) as found:
        yield found
