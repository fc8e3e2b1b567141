"""Provisioning against a new organisation: one of everything, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.metadata import read_tables
from cio2d365.dataverse.requests import HEADERS
from cio2d365.errors import SchemaConflict, Terminal, Transient
from cio2d365.migrate import provision, schema
from cio2d365.migrate.schema import SOURCE_KEY
from cio2d365.tables import Column, Key, Lookup, Option, Table
from cio2d365.transport import Pace, Patience, Transport

from .world import Instant, World, dataverse, nothing, people

PLAN = Column("cio_plan", "choice", "Plan", options=(Option(727000001, "Gold"), Option(727000002, "Silver")))


def wanted() -> tuple[Table, ...]:
    """A standard table with a choice, and a table of our own with a multi-table lookup."""
    contact = Table("contact", "contacts", "contactid", "", (SOURCE_KEY, PLAN), label="Contact")
    score = Column("cio_score", "decimal", "Score", minimum=-5.0, maximum=5.0, precision=3)
    return contact, schema.event_table((score,))


def apply(target: World, tables: tuple[Table, ...], client: Dataverse | None = None) -> dict[str, Table]:
    return provision.apply(tables, client or target.client, progress=nothing, sleep=target.clock.sleep)


def components(target: World) -> list[tuple[str, str]]:
    """Everything custom that the organisation holds, as it says itself; twins would stand here twice."""
    found = []
    for table in ("contact", "cio_event"):
        path = f"EntityDefinitions(LogicalName='{table}')"
        with httpx.Client(
            base_url=f"{target.origin}/api/data/v9.2/", headers={"Authorization": "Bearer dev-token"}
        ) as c:
            answer = c.get(
                f"{path}/Attributes?$select=LogicalName,IsCustomAttribute", headers={"Consistency": "Strong"}
            )
            rows = answer.json().get("value", [])
        found += [(table, row["LogicalName"]) for row in rows if row["IsCustomAttribute"]]
    return sorted(found)


def solutions(target: World) -> tuple[int, int]:
    """How many publishers and solutions of ours there are."""
    rows = [target.rows(t) for t in ("publisher", "solution")]
    return tuple(sum(str(r.get("uniquename")).startswith("cio") for r in x.values()) for x in rows)  # type: ignore[return-value]


def test_from_nothing_to_a_second_plan_that_is_empty(bare: World) -> None:
    tables = wanted()
    before = provision.plan(tables, read_tables(bare.client, [t.name for t in tables]))
    assert {c.name for c in before.to_create} >= {"cio_event", "cio_plan", "cio_score", "cio_user_id", "cio_source_key"}
    live = apply(bare, tables)
    after = provision.plan(tables, live)
    assert (after.to_create, after.conflicts) == ((), ())
    assert {c.state for c in after.changes} == {"equal"}


def test_a_second_apply_creates_nothing(bare: World) -> None:
    apply(bare, wanted())
    before = bare.mark()
    apply(bare, wanted())
    assert [e["path"] for e in bare.writes(before)] == ["PublishXml"]


def test_names_in_the_target_are_the_names_that_loading_will_use(bare: World) -> None:
    tables = wanted()
    live = apply(bare, tables)
    event = tables[1]
    lookup = live["cio_event"].lookup("cio_user_id")
    assert lookup is not None
    assert dict(lookup.targets) == dict(event.lookups[0].targets)
    assert (live["cio_event"].set_name, live["cio_event"].primary_id) == (event.set_name, event.primary_id)
    assert live["cio_event"].primary_name == "cio_event_name"
    assert {c.name for c in event.columns} <= {c.name for c in live["cio_event"].columns}


def test_everything_belongs_to_one_publisher_and_one_solution(bare: World) -> None:
    apply(bare, wanted())
    assert solutions(bare) == (1, 1)


@contextmanager
def breaking_after(origin: str, requests: int) -> Iterator[Dataverse]:
    """A client whose connection ends for good after so many writes, as if the process had been killed."""
    real, left = httpx.HTTPTransport(), requests

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal left
        if request.method != "GET":
            left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real.handle_request(request)

    clock = Instant()
    pace = Pace(clock=lambda: clock.now, sleep=clock.sleep)
    with Transport(
        origin, lambda _: "Bearer dev-token", headers=HEADERS, pace=pace, client=httpx.MockTransport(answer)
    ) as link:
        yield Dataverse(link)


def test_killed_after_each_single_step_and_started_again_there_is_one_of_everything(bare: World) -> None:
    tables = (
        replace(wanted()[0], columns=(SOURCE_KEY,)),
        replace(wanted()[1], columns=wanted()[1].columns[:2], views=()),
    )
    steps = 0
    while True:
        with breaking_after(bare.origin, 1) as client:
            try:
                apply(bare, tables, client)
            except KeyboardInterrupt:
                steps += 1
                continue
        break
    assert steps > 5
    once = components(bare)
    assert len(set(once)) == len(once)
    assert solutions(bare) == (1, 1)
    assert provision.plan(tables, read_tables(bare.client, ["contact", "cio_event"])).to_create == ()


def test_a_schema_that_was_created_but_not_published_is_published_by_the_next_apply(bare: World) -> None:
    created = {"verb": "status", "code": 503}
    bare.fault(created, path="^PublishXml")
    with pytest.raises(Transient):
        apply(bare, wanted()[:1])
    bare.faults([])
    before = bare.mark()
    apply(bare, wanted()[:1])
    assert [(e["path"], e["status"]) for e in bare.writes(before)] == [("PublishXml", 204)]


@pytest.mark.parametrize("verb", ["commit_then_drop", "commit_then_status", "drop_before_commit"])
def test_creates_with_an_unclear_end_are_found_or_made_once(bare: World, verb: str) -> None:
    bare.fault({"verb": verb, "code": 504}, message="Metadata", nth=[1, 2, 4, 7])
    apply(bare, wanted())
    names = components(bare)
    assert len(set(names)) == len(names)
    assert provision.plan(wanted(), read_tables(bare.client, ["contact", "cio_event"])).to_create == ()


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        (Column("cio_a", "string", "A", 200), Column("cio_a", "boolean"), r"cio_a is yes or no, wanted text, 200 c"),
        (Column("cio_a", "string", "A", 200), Column("cio_a", "string", "A", 50), r"text, 50 .*, wanted text, 200"),
        (Column("cio_a", "date", "A"), Column("cio_a", "datetime", "A"), r"is date and time, wanted date"),
        (
            Column("cio_a", "integer", "A", minimum=0, maximum=1000),
            Column("cio_a", "integer", "A", minimum=0, maximum=10),
            r"is whole number \(0 to 10\), wanted whole number \(0 to 1,000\)",
        ),
        (
            Column("cio_a", "choice", "A", options=(Option(727000001, "Gold"),)),
            Column("cio_a", "choice", "A", options=(Option(727000001, "Silver"),)),
            r"727000001 Silver.*727000001 Gold",
        ),
    ],
    ids=["kind", "length", "date", "range", "meaning of an option"],
)  # fmt: skip
def test_a_column_that_means_something_else_is_refused_with_both_definitions(
    bare: World, mine: Column, theirs: Column, words: str
) -> None:
    contact = wanted()[0]
    apply(bare, (replace(contact, columns=(theirs,)),))
    before = bare.mark()
    with pytest.raises(SchemaConflict, match=words):
        apply(bare, (replace(contact, columns=(SOURCE_KEY, mine)), schema.event_table(())))
    assert bare.writes(before) == []


def test_a_lookup_to_other_tables_is_a_conflict() -> None:
    lookup = Lookup("cio_user_id", (("contact", "cio_user_id_contact"), ("lead", "cio_user_id_lead")))
    table = replace(wanted()[1], lookups=(lookup,))
    existing = replace(table, lookups=(Lookup("cio_user_id", (("contact", "cio_user_id"),)),))
    [conflict] = provision.plan([table], {"cio_event": existing}).conflicts
    assert (conflict.wanted, conflict.existing) == ("lookup to contact or lead", "lookup to contact")


def test_a_wider_column_is_good_enough() -> None:
    contact = wanted()[0]
    existing = replace(contact, columns=(replace(SOURCE_KEY, length=4000), PLAN))
    assert {c.state for c in provision.plan([contact], {"contact": existing}).changes} == {"equal"}


def test_definitions_that_become_visible_late_are_waited_for(bare: World) -> None:
    bare.control.post("switches", json={"metadata_lag_requests": 12}).raise_for_status()
    tables = wanted()
    live = apply(bare, tables)
    assert provision.plan(tables, live).to_create == ()


def test_rows_of_a_table_that_the_server_does_not_know_yet_are_sent_again(bare: World) -> None:
    """25 seconds of the server's clock pass while the loader waits (F-29, F-30)."""
    bare.control.post("clock", json={"virtual": True}).raise_for_status()
    bare.control.post("switches", json={"metadata_lag_seconds": 25.0}).raise_for_status()
    live = apply(bare, wanted())

    def sleep(seconds: float) -> None:
        bare.control.post("clock", json={"advance": seconds}).raise_for_status()
        bare.clock.sleep(seconds)

    pace = Pace(clock=lambda: bare.clock.now, sleep=sleep)
    with Transport(bare.origin, lambda _: "Bearer dev-token", headers=HEADERS, pace=pace, patience=Patience()) as link:
        waiting = replace(bare, client=Dataverse(link), tables=live)
        balance = waiting.load({"contact": people(3)})
    assert balance["created"].to_list() == [3]


def test_the_lock_of_another_customisation_is_waited_out(bare: World) -> None:
    bare.control.post("clock", json={"virtual": True}).raise_for_status()
    answer: dict[str, Any] = {"verb": "status", "code": 429, "error_code": "0x80071151", "message": "another one runs"}
    bare.fault(answer, message="Metadata", nth=list(range(1, 17)))
    with dataverse(bare.origin, bare.clock) as client:
        apply(bare, wanted()[:1], client)
    assert sum(bare.clock.slept) >= 16 * 15
    assert provision.plan(wanted()[:1], read_tables(bare.client, ["contact"])).to_create == ()


KEY = Key("cio_key", ("cio_source_key",), "Source key")


def keyed() -> tuple[Table, ...]:
    return (replace(wanted()[0], columns=(SOURCE_KEY,), keys=(KEY,)),)


def test_a_key_is_waited_for_until_its_index_is_active(bare: World) -> None:
    path = ["Pending"] * 30 + ["InProgress"] * 10 + ["Active"]
    bare.control.post("switches", json={"key_path": path, "key_seconds": 1e9}).raise_for_status()
    [table] = apply(bare, keyed()).values()
    assert [(k.name, k.columns, k.status) for k in table.keys] == [("cio_key", ("cio_source_key",), "Active")]
    assert bare.clock.slept.count(provision.KEY_WAIT) >= 30
    assert {c.state for c in provision.plan(keyed(), {"contact": table}).changes} == {"equal"}


def test_a_key_whose_index_fails_stops_before_rows_are_loaded(bare: World) -> None:
    bare.control.post("switches", json={"key_path": ["Pending", "Failed"], "key_seconds": 1e9}).raise_for_status()
    with pytest.raises(Terminal, match=r"an index could not be built: contact\.cio_key"):
        apply(bare, keyed())


def test_a_key_that_never_gets_ready_is_a_stop_that_can_be_resumed(
    bare: World,
) -> None:
    bare.control.post("switches", json={"key_path": ["Pending"], "key_seconds": 1e9}).raise_for_status()
    with pytest.raises(Transient, match=r"contact\.cio_key were not ready after 600 s"):
        apply(bare, keyed())


def test_a_key_over_the_same_columns_serves_under_any_name() -> None:
    def states(*keys: Key) -> list[str]:
        existing = replace(keyed()[0], keys=keys)
        return [c.state for c in provision.plan(keyed(), {"contact": existing}).changes if c.kind == "key"]

    assert states() == ["create"]
    assert states(Key("theirs", ("cio_source_key",))) == ["equal"]
    assert states(Key("CIO_KEY", ("lastname",))) == ["conflict"]
