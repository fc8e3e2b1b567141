"""A load or a rollback that is killed at a random moment ends, after going on, as if nothing had happened (F-52, F-61).

What the target held before stays: rows of nobody's and rows of an earlier run with their old values.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import pytest

from cio2d365.dataverse import requests
from cio2d365.migrate.schema import SOURCE_KEY

from . import loader
from .world import World, companies, people, sums

KNOWN, NEW = 400, 1400
STAMPS = ("modifiedon", "versionnumber")
Rows = dict[str, dict[str, Any]]

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.migrate.loader"])


def rows(target: World) -> dict[str, Rows]:
    """Everything in the target without the stamps that any write leaves."""
    return {
        table: {i: {k: v for k, v in row.items() if k not in STAMPS} for i, row in target.rows(table).items()}
        for table in ("account", "contact")
    }


def strangers(target: World) -> None:
    """Rows that were there before us, one of them under an id that we will want."""
    for n in range(20):
        target.client.send(requests.post("contacts", {"lastname": f"stranger {n}"}))
    ours = people(KNOWN + NEW)["contactid"][-1]
    target.client.send(requests.post("contacts", {"contactid": ours, "lastname": "was here", "jobtitle": "before"}))


def staged() -> dict[str, pl.DataFrame]:
    accounts = companies(150)
    frame = people(KNOWN + NEW, jobtitle="new")
    links = [accounts["accountid"][n % 150] for n in range(frame.height)]
    return {"account": accounts, "contact": frame.with_columns(parentcustomerid_account=pl.Series(links))}


def killed_after(seconds: float, work: Callable[..., None], *args: object) -> bool:
    """Run it in a process, kill it so long after it began; whether it was still at work."""
    started = context.Event()
    process = context.Process(target=work, args=(started, *args))
    process.start()
    assert started.wait(60)
    process.join(seconds)
    working = process.exitcode is None
    process.kill()
    process.join()
    return working


def kill_and_go_on(target: World, seed: int, longest: float) -> bool:
    """One round: prepare, kill a load, resume it, compare, undo, compare. Whether the kill came in time."""
    chance = random.Random(seed)
    strangers(target)
    target.load({"contact": people(KNOWN, jobtitle="old")}, "r0", at="2025-06-01T00:00:00+00:00")
    before, frames = rows(target), staged()
    args = (target.origin, target.folder, target.tables, target.organization)
    in_time = killed_after(chance.uniform(0, longest), loader.run, *args, frames, "r1")
    later = "r1" if seed % 2 else "r2"
    balance = target.load(frames, later, at="2026-02-01T00:00:00+00:00", request_rows=500)
    arrived(target, frames, before)
    counted(target, balance, frames, later)
    for run_id in sorted({"r1", later}, reverse=True):
        if undone(target, run_id):
            target.roll_back(run_id)
    assert rows(target) == before
    return in_time


def arrived(target: World, frames: Mapping[str, pl.DataFrame], before: Mapping[str, Rows]) -> None:
    """All staged rows with their values, nothing twice, nobody else's row touched."""
    now = rows(target)
    for table, frame in frames.items():
        wanted = set(frame[f"{table}id"])
        assert set(now[table]) == wanted | set(before[table])
        for row in frame.rows(named=True):
            there = now[table][row[f"{table}id"]]
            assert there[SOURCE_KEY.name] == row[SOURCE_KEY.name]
            assert there.get("parentcustomerid") == row.get("parentcustomerid_account")
        foreign = set(before[table]) - wanted
        assert {i: now[table][i] for i in foreign} == {i: before[table][i] for i in foreign}


def counted(target: World, balance: pl.DataFrame, frames: Mapping[str, pl.DataFrame], later: str) -> None:
    """The ledger's story is true: rows created by the runs together are the rows that were not there before."""
    with target.ledger() as ledger:
        runs = {r["run_id"]: r for r in ledger.runs().to_dicts()}
        made = {run: set(ledger.created_by(run, "contact")) for run in ("r1", later) if run in runs}
    assert sum(sums(balance).values()) == frames["contact"].height
    own = [runs[run] for run in made]
    assert sum(len(ids) for ids in made.values()) == len(set().union(*made.values())) == NEW - 1
    assert sum(r["created"] for r in own) == NEW - 1 + frames["account"].height
    assert len(own) > 1 or own[0]["updated"] == KNOWN + 1


def undone(target: World, run_id: str) -> bool:
    """False for a run that was killed before the ledger heard of it."""
    with target.ledger() as ledger:
        return ledger.has_run(run_id)


@pytest.mark.parametrize("seed", range(10))
def test_a_load_killed_at_a_random_moment_goes_on_to_the_same_end(target: World, seed: int) -> None:
    kill_and_go_on(target, seed, longest=0.7)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(10, 210))
def test_a_load_killed_at_two_hundred_random_moments(target: World, seed: int) -> None:
    kill_and_go_on(target, seed, longest=1.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_rollback_killed_at_a_random_moment_goes_on_to_the_same_end(target: World, seed: int) -> None:
    strangers(target)
    target.load({"contact": people(100, jobtitle="old")}, "r0", at="2025-06-01T00:00:00+00:00")
    before = rows(target)
    target.load({"account": companies(50), "contact": people(600, jobtitle="new")})
    args = (target.origin, target.folder, target.tables, target.organization)
    killed_after(random.Random(seed).uniform(0, 0.8), loader.undo, *args, "r1")
    target.roll_back()
    assert rows(target) == before
