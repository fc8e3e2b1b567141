"""A load in a process of its own, so that it can be killed; imported by a fork server, therefore light."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from cio2d365.tables import Table

from .world import Instant, World, dataverse

INTERRUPTED = 3


def run(
    started: Event,
    origin: str,
    folder: Path,
    tables: Mapping[str, Table],
    organization: str,
    staged: Mapping[str, pl.DataFrame],
    run_id: str,
) -> None:
    """Say that it starts, and load in small requests."""
    with httpx.Client(base_url=f"{origin}/_control/") as control, dataverse(origin) as client:
        world = World(origin, control, client, tables, folder, organization, Instant())
        started.set()
        world.load(staged, run_id, chunk_rows=600, request_rows=50, parallel=3)


def interruptible(started: Event, *args: Any) -> None:
    """As `run`; ends with INTERRUPTED when the user or the system asks it to stop."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(started, *args)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def undo(
    started: Event, origin: str, folder: Path, tables: Mapping[str, Table], organization: str, run_id: str
) -> None:
    """Say that it starts, and roll back."""
    with httpx.Client(base_url=f"{origin}/_control/") as control, dataverse(origin) as client:
        world = World(origin, control, client, tables, folder, organization, Instant())
        started.set()
        world.roll_back(run_id)
