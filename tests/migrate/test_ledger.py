"""The ledger belongs to one place, has one holder, and is never taken for another or started afresh by itself."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cio2d365.errors import GateError, Refused, Transient
from cio2d365.migrate import ledger as ledgers
from cio2d365.migrate.ledger import Binding, Intent
from cio2d365.outcomes import Outcome, Refusal, RowOutcome

from .world import AT

HERE = Binding("m-1", "sandbox", "org-1")
INTENTS = [Intent(f"row-{n}", f"id:{n}", "h", "create") for n in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def fill(path: Path) -> None:
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.begin_run("r1", "p", AT)
        ledger.open_chunk("r1", "contact", 0, 3, {}, INTENTS)


# --- one place --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "elsewhere",
    [
        Binding("m-2", "sandbox", "org-1"),
        Binding("m-1", "production", "org-1"),
        Binding("m-1", "sandbox", "x"),
    ],
)
def test_a_ledger_of_another_place_is_refused_with_both_identities(path: Path, elsewhere: Binding) -> None:
    fill(path)
    before = path.read_bytes()
    with pytest.raises(GateError, match=r"another place.*ledger (m-1|sandbox|org-1), now (m-2|production|x)"):
        ledgers.opened(path, elsewhere, at=AT).__enter__()
    assert path.read_bytes() == before
    fill(path)


# --- one holder -------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from cio2d365.migrate import ledger
with ledger.opened(Path(sys.argv[1]), ledger.Binding("m-1", "sandbox", "org-1"), at="2026-05-01T08:00:00+00:00"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_loader_is_refused_within_five_seconds_and_told_who_holds_the_ledger(path: Path) -> None:
    fill(path)
    first = holder(path)
    start = time.monotonic()
    with pytest.raises(GateError, match=rf"held by process {first.pid} on .+ since 2026-05-01T08:00:00"):
        ledgers.opened(path, HERE, at=AT).__enter__()
    assert time.monotonic() - start < 5
    first.communicate("")
    fill(path)


def test_a_ledger_whose_holder_was_killed_is_free(path: Path) -> None:
    fill(path)
    first = holder(path)
    first.kill()
    first.wait()
    fill(path)


def test_a_second_loader_in_the_same_process_is_refused_too(path: Path) -> None:
    with (
        ledgers.opened(path, HERE, at=AT),
        pytest.raises(GateError, match=f"process {os.getpid()}"),
        ledgers.opened(path, HERE, at=AT),
    ):
        pass
    fill(path)


def test_reading_takes_nobodys_place_and_changes_nothing(path: Path) -> None:
    with ledgers.opened(path, HERE, at=AT) as writer:
        writer.begin_run("r1", "p", AT)
        with ledgers.reading(path) as reader:
            assert reader.has_run("r1")
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.begin_run("r2", "p", AT)


# --- damage -----------------------------------------------------------------------------------------------------------


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _scratched(data: bytes) -> bytes:
    return data[:4096] + os.urandom(len(data) - 4096)


def _text(_: bytes) -> bytes:
    return b"this is no database at all" * 100


def _empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_cut, _scratched, _text, _empty])
def test_a_damaged_ledger_is_refused_and_left_as_it_is(path: Path, damage: Callable[[bytes], bytes]) -> None:
    fill(path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    for attempt in (ledgers.opened(path, HERE, at=AT), ledgers.reading(path)):
        with pytest.raises(Refused, match=r"is damaged .*Put a copy from before back"):
            attempt.__enter__()
    assert path.read_bytes() == damaged


def test_a_ledger_that_does_not_exist_cannot_be_read(path: Path) -> None:
    with pytest.raises(Refused, match="nothing was loaded"):
        ledgers.reading(path).__enter__()
    assert not path.exists()


def outgrow_the_disk(path: Path) -> None:
    many = [Intent(f"more-{n}", f"id:{n}", "h", "create") for n in range(5000)]
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger._db.execute("PRAGMA max_page_count = 20")
        ledger.open_chunk("r1", "contact", 1, 5000, {}, many)


def test_a_full_disk_stops_the_run_and_leaves_a_ledger_that_opens_again(path: Path) -> None:
    fill(path)
    with pytest.raises(Transient, match=r"ledger\.sqlite cannot be written \(.*full.*\)"):
        outgrow_the_disk(path)
    fill(path)
    with ledgers.reading(path) as ledger:
        assert ledger.known("contact", ["more-0"]) == {}


def test_a_new_ledger_leaves_nothing_temporary_behind(path: Path) -> None:
    fill(path)
    assert [p.name for p in path.parent.iterdir()] == ["ledger.sqlite"]


# --- what it remembers ------------------------------------------------------------------------------------------------


def test_intent_is_on_disk_before_the_outcome(path: Path) -> None:
    fill(path)
    with ledgers.reading(path) as ledger:
        assert {k.state for k in ledger.known("contact", ["row-0", "row-1", "row-9"]).values()} == {"intended"}
        assert ledger.balance("r1").row(0, named=True) == {
            "table": "contact", "staged": 3, "created": 0, "updated": 0, "unchanged": 0, "quarantined": 0, "open": 1
        }  # fmt: skip


def test_the_ends_of_rows_and_their_sums_are_written_together(path: Path) -> None:
    outcomes = [
        RowOutcome("row-0", Outcome.CREATED),
        RowOutcome("row-1", Outcome.UPDATED),
        RowOutcome("row-2", Outcome.QUARANTINED, Refusal(0x80044331, "too long")),
    ]
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.begin_run("r1", "p", AT)
        ledger.open_chunk("r1", "contact", 0, 4, {"unchanged": 1}, INTENTS)
        ledger.conclude("r1", "contact", 0, outcomes)
        ledger.close_chunk("r1", "contact", 0)
        assert ledger.balance("r1").row(0) == ("contact", 4, 1, 1, 1, 1, 0)
        assert ledger.created_by("r1", "contact") == ["row-0"]
        assert ledger.quarantine().row(0) == ("contact", "id:2", "row-2", 0x80044331, "too long")


def test_numbers_of_runs_never_repeat_even_within_a_second(path: Path) -> None:
    with ledgers.opened(path, HERE, at=AT) as ledger:
        numbers = [ledger.begin_run(f"r{n}", "p", AT) for n in (1, 2, 3)]
        assert len(set(numbers)) == 3
        assert ledger.begin_run("r2", "p", AT) == numbers[1]
        assert ledger.runs_by_number() == {number: f"r{n}" for n, number in enumerate(numbers, 1)}
        assert max(numbers) < 2**31


def test_the_first_picture_of_a_row_in_a_run_stays(path: Path) -> None:
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.keep_preimages("r1", "contact", {"row-0": {"a": 1}})
        ledger.keep_preimages("r1", "contact", {"row-0": {"a": 2}})
        ledger.keep_preimages("r2", "contact", {"row-0": {"a": 3}})
        assert ledger.preimages("r1", "contact") == [("row-0", {"a": 1})]
        assert ledger.preimages("r2", "contact") == [("row-0", {"a": 3})]


def states(path: Path) -> list[str]:
    with ledgers.reading(path) as ledger:
        return ledger.runs()["state"].to_list()


def test_a_run_whose_process_has_died_is_not_shown_as_running(path: Path) -> None:
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.begin_run("r1", "p", AT)
        assert states(path) == ["running"]
    assert states(path) == ["stopped"]
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.begin_run("r2", "p", "2026-01-02T00:00:00+00:00")
        assert states(path) == ["stopped", "running"]
        ledger.end_run("r2", "done", AT)
    assert states(path) == ["stopped", "done"]


def test_a_run_that_goes_on_runs_again(path: Path) -> None:
    fill(path)
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.begin_run("r1", "p", AT)
        assert states(path) == ["running"]


def test_rows_that_a_run_finds_of_its_own_are_not_counted_in_a_chunk_that_is_open(path: Path) -> None:
    with ledgers.opened(path, HERE, at=AT) as ledger:
        ledger.begin_run("r1", "p", AT)
        ledger.open_chunk("r1", "contact", 0, 3, {}, INTENTS)
        ledger.landed("r1", "contact", {"row-0": "r1"})
        assert ledger.balance("r1")["created"].to_list() == [0]
        ledger.begin_run("r2", "p", "2026-01-02T00:00:00+00:00")
        ledger.landed("r2", "contact", {"row-1": "r1"})
        assert ledger.balance("r1")["created"].to_list() == [1]
