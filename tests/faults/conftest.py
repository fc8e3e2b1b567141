"""The simulated organisations of the migration tests, and what a run without a fault leaves in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest

from tests.migrate.conftest import Provisioned
from tests.migrate.conftest import bare as bare
from tests.migrate.conftest import provisioned as provisioned
from tests.migrate.conftest import second as second
from tests.migrate.conftest import target as target
from tests.migrate.world import World, wipe, world

from .story import State, content, on_one_clock

Undisturbed = Callable[..., State]


@pytest.fixture(scope="session")
def ends(provisioned: Provisioned) -> dict[str, State]:
    """What `undisturbed` has found already, by a digest of the frames: the same loads leave the same."""
    return {}


@pytest.fixture
def undisturbed(provisioned: Provisioned, tmp_path: Path, ends: dict[str, State]) -> Undisturbed:
    """What loads of these frames, one after the other, leave in an empty organisation. It may end what is there now."""
    origin, service, tables = provisioned

    def found(*loads: Mapping[str, pl.DataFrame]) -> State:
        wipe(service, "contact", "account", "annotation", "task")
        with world(origin, tmp_path, tables, service.org.id) as clean:
            for n, frames in enumerate(loads):
                clean.load(frames, f"r{n}", ledger="undisturbed")
            return content(clean)

    def known(*loads: Mapping[str, pl.DataFrame]) -> State:
        key = digest(*loads)
        if key not in ends:
            ends[key] = found(*loads)
        return ends[key]

    return known


def digest(*loads: Mapping[str, pl.DataFrame]) -> str:
    """Of all rows of all loads in their order."""
    text = json.dumps([{name: frame.write_ndjson() for name, frame in frames.items()} for frames in loads])
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def timed(target: World) -> Iterator[World]:
    """The provisioned organisation on the client's clock."""
    with on_one_clock(target) as found:
        yield found
