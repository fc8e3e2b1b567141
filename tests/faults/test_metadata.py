"""Metadata and provisioning, F-29 to F-36: one of everything, however late or often the server says so."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import polars as pl
import pytest

from cio2d365 import identity
from cio2d365.dataverse import definitions, requests
from cio2d365.errors import MigrationError, Refused, SchemaConflict, Terminal, Transient
from cio2d365.migrate import provision
from cio2d365.migrate.schema import SOURCE_KEY
from cio2d365.tables import Column, Key, Lookup, Option, Table
from tests.migrate.world import MIGRATION, World, nothing

from .story import CREATE, Wire, gaps, odata_error, on_one_clock, over, sent

NAME = Column("cio_name", "string", "Name", 100)
LENGTH = Column("cio_length", "integer", "Length", minimum=0, maximum=1000)
SAIL = Column("cio_sail", "choice", "Sail", options=(Option(727000001, "Gaff"), Option(727000002, "Bermuda")))
HARBOUR = Lookup("cio_harbour", (("account", "cio_harbour"),), "Harbour")
KEY = Key("cio_key", ("cio_source_key",), "Source key")
TABLES = "EntityDefinitions"


def boats(*columns: Column, lookups: tuple[Lookup, ...] = (), keys: tuple[Key, ...] = ()) -> Table:
    """A table of our own."""
    columns = (NAME, SOURCE_KEY, *columns)
    return Table("cio_boat", "cio_boats", "cio_boatid", "cio_name", columns, lookups, keys, "Boat", "Boats", True)


def contacts(*columns: Column) -> Table:
    return Table("contact", "contacts", "contactid", "", (SOURCE_KEY, *columns), label="Contact")


def apply(target: World, *tables: Table, progress: provision.Progress = nothing) -> dict[str, Table]:
    return provision.apply(tables, target.client, progress=progress, sleep=target.clock.sleep)


def staged(table: Table, **more: Any) -> dict[str, pl.DataFrame]:
    """Three rows."""
    keys = pl.Series("cio_source_key", [f"id:{n}" for n in range(3)])
    ids = identity.row_ids(MIGRATION, table.name, keys).alias(table.primary_id)
    name = {"cio_boat": "cio_name", "contact": "lastname"}[table.name]
    return {table.name: pl.DataFrame([ids, keys, keys.alias(name)]).with_columns(**more)}


def created(target: World, since: int = 0) -> list[tuple[str, int]]:
    """Requests that create definitions: what follows EntityDefinitions, and the status."""
    found = [e for e in sent(target, "Definitions", since) if e["method"] == "POST"]
    return [(re.sub(r".*Definitions", "", e["path"]), e["status"]) for e in found]


# --- F-29, F-30: what was just created is not known everywhere --------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "status", "words"),
    [(boats(), 404, "0x8006088a"), (contacts(LENGTH), 400, "")],
    ids=["F-29 new table", "F-30 new column"],
)
def test_what_is_not_known_yet_is_waited_for(bare: World, table: Table, status: int, words: str) -> None:
    """F-29, F-30: definitions are read as of now, rows are sent again until the server knows what they are."""
    with on_one_clock(bare) as timed:
        timed.control.post("switches", json={"metadata_lag_seconds": 25.0}).raise_for_status()
        live = apply(timed, table)
        assert provision.plan([table], live).to_create == ()
        assert sum(timed.clock.slept) == 0
        timed.tables = live
        more = {"cio_length": pl.lit(7)} if table.name == "contact" else {}
        assert timed.load(staged(table, **more), parallel=1)["created"].to_list() == [3]
        refused, landed = sent(timed, CREATE)[:-1], sent(timed, CREATE)[-1]
        assert {(entry["status"], entry["code"]) for entry in refused} == {(status, words or refused[0]["code"])}
        assert 25 <= landed["elapsed"] - refused[0]["elapsed"] <= 40
        assert len(timed.rows(table.name)) == 3


@pytest.mark.parametrize("table", [boats(), contacts(LENGTH)], ids=["F-29 new table", "F-30 new column"])
def test_what_never_becomes_known_is_a_stop_that_names_the_notebook(bare: World, table: Table) -> None:
    """F-29, F-30: the wait has a limit; no row is set aside for it."""
    with on_one_clock(bare) as timed:
        timed.control.post("switches", json={"metadata_lag_seconds": 1e6}).raise_for_status()
        timed.tables = apply(timed, table)
        more = {"cio_length": pl.lit(7)} if table.name == "contact" else {}
        with pytest.raises(
            Terminal, match=rf"the target does not know what is sent to {table.name}.*04_schema"
        ) as stop:
            timed.load(staged(table, **more), parallel=1)
        assert stop.value.exit_code == 3
        assert 25 <= sum(timed.clock.slept) <= 120
        with timed.ledger() as ledger:
            assert ledger.quarantine().is_empty()


# --- F-31: keys that are being built ----------------------------------------------------------------------------------


def test_a_pending_key_is_waited_for_and_the_waiting_is_shown(bare: World) -> None:
    """F-31: forty looks, then Active; nobody gets the tables before that, so no data is loaded."""
    path = ["Pending"] * 40 + ["Active"]
    bare.control.post("switches", json={"key_path": path, "key_seconds": 1e9}).raise_for_status()
    told: list[str] = []
    live = apply(bare, boats(keys=(KEY,)), progress=lambda done, total, text: told.append(text))
    waiting = [text for text in told if "waiting for the index of cio_boat.cio_key" in text]
    assert len(waiting) >= 39
    assert {key.status for key in live["cio_boat"].keys} == {"Active"}
    assert bare.rows("cio_boat") == {}


@pytest.mark.parametrize(("path", "error"), [(["Pending", "Failed"], Terminal), (["Pending"], Transient)])
def test_a_key_that_does_not_become_active_keeps_data_out(
    bare: World, path: list[str], error: type[MigrationError]
) -> None:
    """F-31: the tables are not handed out, and loading needs them."""
    bare.control.post("switches", json={"key_path": path, "key_seconds": 1e9}).raise_for_status()
    with pytest.raises(error, match=r"cio_boat\.cio_key") as stop:
        apply(bare, boats(keys=(KEY,)))
    assert stop.value.exit_code == 3


# --- F-32, F-33: what is there is compared ----------------------------------------------------------------------------


def test_a_table_whose_creation_was_not_confirmed_is_compared_and_used(bare: World) -> None:
    """F-32: it times out after commit, is not seen at first, and the retry says that it exists."""
    not_found = odata_error(404, "0x80060888", "Could not find an entity with name cio_boat")
    looked_at = r"^EntityDefinitions\(LogicalName='cio_boat'\)$"
    bare.faults(
        [
            {"match": {"method": "POST", "path": f"^{TABLES}$", "nth": 1}, "action": {"verb": "commit_then_drop"}},
            {"match": {"method": "GET", "path": looked_at, "nth": 2}, "action": not_found},
        ]
    )
    live = apply(bare, boats(LENGTH))
    assert [status for path, status in created(bare) if not path] == [0, 400]
    assert provision.plan([boats(LENGTH)], live).to_create == ()
    assert provision.plan([boats(LENGTH)], live).conflicts == ()


def test_another_definition_that_appears_meanwhile_is_refused_with_both(bare: World) -> None:
    """F-32: the retry would say that it exists; it is not what was wanted."""

    def somebody_else(done: int, total: int, text: str) -> None:
        if text == "cio_boat.cio_length":
            theirs = Column("cio_length", "string", "Length", 50)
            bare.client.send(definitions.create_column("cio_boat", theirs, "cio_migration"))

    lost = {"verb": "drop_before_commit"}
    bare.faults([{"match": {"method": "POST", "path": "Attributes$", "nth": 2}, "action": lost}])
    with pytest.raises(
        SchemaConflict, match=r"cio_boat\.cio_length is text, 50 characters, wanted whole number"
    ) as refused:
        apply(bare, boats(LENGTH), progress=somebody_else)
    assert refused.value.exit_code == 2


def test_all_columns_that_mean_something_else_are_refused_at_once(bare: World) -> None:
    """F-33: type, length and date behaviour, each with both definitions; nothing is written."""
    apply(bare, contacts(LENGTH, Column("cio_note", "string", "Note", 50), Column("cio_day", "datetime", "Day")))
    mine = (
        Column("cio_length", "string", "Length", 200),
        Column("cio_note", "string", "Note", 200),
        Column("cio_day", "date", "Day"),
    )
    since = bare.mark()
    with pytest.raises(SchemaConflict) as refused:
        apply(bare, contacts(*mine), boats())
    text = str(refused.value)
    assert re.search(r"contact\.cio_length is whole number.*, wanted text, 200 characters", text)
    assert "contact.cio_note is text, 50 characters, wanted text, 200 characters" in text
    assert "contact.cio_day is date and time, wanted date" in text
    assert refused.value.exit_code == 2
    assert bare.writes(since) == []


# --- F-34: killed between two steps -----------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_after_committing(target: World, step: int) -> Iterator[World]:
    """The answer to so many a write is never read: it is committed, and the process that sent it is gone."""
    writes = itertools.count(1)

    class Cut(Wire):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.method != "GET" and next(writes) == step:
                answer.read()
                raise Killed
            return answer

    with over(Cut(lambda n, request: None), target) as found:
        yield found


def test_killed_after_each_committed_step_and_started_again_there_is_one_of_everything(bare: World) -> None:
    """F-34: publisher, solution, table, columns, lookup, key, publishing."""
    wanted = boats(LENGTH, SAIL, lookups=(HARBOUR,), keys=(KEY,))
    steps = 0
    while True:
        with killed_after_committing(bare, 1) as dying:
            try:
                apply(dying, wanted)
            except Killed:
                steps += 1
                if sent(bare, "PublishXml"):
                    break
    assert steps >= 7
    since = bare.mark()
    live = apply(bare, wanted)
    assert created(bare, since) == []
    assert provision.plan([wanted], live).to_create == ()
    of_boats = f"{TABLES}(LogicalName='cio_boat')"
    columns = names(bare, f"{of_boats}/Attributes", "LogicalName")
    assert [columns.count(name) for name in ("cio_name", "cio_length", "cio_sail", "cio_harbour")] == [1, 1, 1, 1]
    assert names(bare, f"{of_boats}/Keys", "SchemaName") == ["cio_key"]
    assert names(bare, "publishers", "uniquename").count("cio2d365") == 1
    assert names(bare, "solutions", "uniquename").count("cio_migration") == 1
    sail = live["cio_boat"].column("cio_sail")
    assert sail is not None
    assert [option.label for option in sail.options] == ["Gaff", "Bermuda"]


def names(target: World, path: str, column: str) -> list[str]:
    """What the server lists itself."""
    request = requests.get(path, {"$select": column}, fresh=True)
    return [str(row[column]) for row in target.client.rows(request)]


# --- F-35: limits -----------------------------------------------------------------------------------------------------

MORE = Column("cio_more", "string", "More", 100)
WIDE = Key("cio_wide", ("cio_source_key", "cio_more"), "Wide")
MANY = tuple(Column(f"cio_c{n}", "integer", f"C{n}") for n in range(1000))


@pytest.mark.parametrize(
    ("tables", "figures"),
    [
        ([boats(MORE, keys=(WIDE,))], ("cio_boat", "cio_wide", "1,000 bytes", "900 bytes")),
        ([boats(*MANY)], ("cio_boat", "1,000")),
    ],
    ids=["0x80060895 key", "0x8004841A columns"],
)
def test_a_limit_that_the_plan_can_see_is_refused_with_both_numbers(
    bare: World, tables: list[Table], figures: tuple[str, ...]
) -> None:
    """F-35: REFUSE, what is needed and what is allowed, before anything is sent."""
    with pytest.raises(Refused) as refused:
        apply(bare, *tables)
    assert all(figure in str(refused.value) for figure in figures)
    assert bare.writes() == []


def test_a_limit_of_tables_is_refused_by_the_plan(bare: World) -> None:
    """F-35: 0x8004B042, as far as the licence is told."""
    with pytest.raises(Refused) as refused:
        provision.apply([boats()], bare.client, progress=nothing, table_limit=0)
    assert re.search(r"custom tables.*\b1\b.*\b0\b", str(refused.value))
    assert bare.writes() == []


def test_a_limit_of_columns_that_only_the_environment_knows_is_a_stop_with_figures(bare: World) -> None:
    """F-35: STOP, with how many are there and how many more are wanted; the limit itself no service tells."""
    there = apply(bare, boats())["cio_boat"]
    count = len(there.columns) + len(there.lookups)
    bare.control.post("switches", json={"max_columns": count}).raise_for_status()
    since = bare.mark()
    with pytest.raises(Terminal, match=r"cio_boat\.cio_length.*limit of columns.*0x8004841a") as stop:
        apply(bare, boats(LENGTH, MORE, lookups=(HARBOUR,)))
    assert f"(there: {count}, still wanted: 3)" in str(stop.value)
    assert stop.value.exit_code == 3
    assert sent(bare, "PublishXml", since) == []


def test_a_limit_of_tables_that_is_used_up_meanwhile_is_a_stop_with_figures(bare: World) -> None:
    """F-35: the plan saw room for two; somebody else took one of the places."""
    bare.control.post("switches", json={"max_tables": 2}).raise_for_status()

    def somebody_else(done: int, total: int, text: str) -> None:
        if text == "cio_boat.cio_boat":
            bare.client.send(definitions.create_table(renamed(boats(), "cio_theirs"), ""))

    with pytest.raises(Terminal, match=r"cio_ship\.cio_ship.*limit of custom tables.*0x8004b042") as stop:
        apply(bare, boats(), renamed(boats(), "cio_ship"), progress=somebody_else)
    assert "(there: 2, still wanted: 1, allowed: 2)" in str(stop.value)
    assert stop.value.exit_code == 3
    assert sent(bare, "PublishXml") == []


def renamed(table: Table, name: str) -> Table:
    return replace(table, name=name, set_name=f"{name}s", primary_id=f"{name}id", label=name, label_plural=f"{name}s")


def test_a_limit_of_tables_that_nobody_tells_is_a_stop_all_the_same(bare: World) -> None:
    """F-35: the figures that the service keeps to itself are left out."""
    bare.control.post("switches", json={"max_tables": 0}).raise_for_status()
    with pytest.raises(Terminal, match=r"cio_boat\.cio_boat.*limit of custom tables allows \(there: 0, ") as stop:
        apply(bare, boats(LENGTH))
    assert "allowed:" not in str(stop.value)
    assert stop.value.exit_code == 3
    assert sent(bare, "PublishXml") == []


# --- F-36: publishing -------------------------------------------------------------------------------------------------

LOCKED = odata_error(429, "0x80071151", "Cannot start the requested operation [EntityCustomization]")


def test_publishing_is_repeated_when_another_customisation_holds_the_lock(bare: World) -> None:
    """F-36: once refused, then done."""
    with on_one_clock(bare) as timed:
        timed.fault(LOCKED, path="^PublishXml", nth=1)
        apply(timed, boats())
        published = sent(timed, "PublishXml")
        assert [entry["status"] for entry in published] == [429, 204]
        assert gaps(published)[0] >= 10


@pytest.mark.parametrize(
    "answer", [LOCKED, odata_error(400, "0x80048408", "Publishing failed.")], ids=["lock", "error"]
)
def test_a_publish_that_fails_is_never_reported_as_done(bare: World, answer: dict[str, Any]) -> None:
    """F-36: the call ends with an error, and the next one publishes although there is nothing left to create."""
    bare.fault(answer, path="^PublishXml")
    with pytest.raises(MigrationError) as stop:
        apply(bare, boats())
    assert stop.value.exit_code == 3
    bare.faults([])
    since = bare.mark()
    apply(bare, boats())
    assert created(bare, since) == []
    assert [entry["status"] for entry in sent(bare, "PublishXml", since)] == [204]
