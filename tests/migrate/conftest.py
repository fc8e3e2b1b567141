"""Simulated organisations over real HTTP: one with a schema that tests only fill, one that tests may reset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cio2d365.migrate import provision
from cio2d365.sim.dataverse.service import Service
from cio2d365.tables import Table

from .world import NO_AUTHORITIES, World, dataverse, nothing, serving, small_schema, wipe, world

Provisioned = tuple[str, Service, dict[str, Table]]


@pytest.fixture(scope="session")
def provisioned() -> Iterator[Provisioned]:
    with serving(seed=11) as (origin, service), dataverse(origin) as client:
        yield origin, service, provision.apply(small_schema(), client, progress=nothing, sleep=lambda _: None)


@pytest.fixture
def target(provisioned: Provisioned, tmp_path: Path) -> Iterator[World]:
    """The provisioned organisation without rows, faults and journal."""
    origin, service, tables = provisioned
    wipe(service, "contact", "account", "annotation", "task")
    with world(origin, tmp_path, tables, service.org.id) as found:
        yield found


@pytest.fixture(scope="session")
def second() -> Iterator[tuple[str, Service]]:
    with serving(seed=12) as found:
        yield found


@pytest.fixture
def bare(second: tuple[str, Service], tmp_path: Path) -> Iterator[World]:
    """A new organisation as Microsoft delivers it."""
    origin, service = second
    httpx.post(f"{origin}/_control/reset", verify=NO_AUTHORITIES).raise_for_status()
    with world(origin, tmp_path, {}, service.org.id) as found:
        yield found
