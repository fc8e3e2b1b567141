"""Taking the schema away again: everything of ours, nothing of anybody else's, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import polars as pl
import pytest

from cio2d365.dataverse import definitions
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS, post
from cio2d365.errors import DecisionError, SchemaConflict, Terminal
from cio2d365.migrate import provision, removal, schema
from cio2d365.migrate.schema import SOURCE_KEY, USER_ID
from cio2d365.migrate.schema_removal import Removal, RemovalPlan, Usage, plan_removal
from cio2d365.tables import Choice, Column, Environment, Key, Lookup, Option, Publisher, Relationship, Table, View
from cio2d365.transport import Pace, Transport

from .world import Instant, World, nothing, only, people, sums

KEY = Key("cio_key", ("cio_source_key",), "Source key")


STATUS = Column("cio_status", "choice", "Status", choice="cio_status", options=(Option(727000000, "Sent"),))


def wanted() -> tuple[Table, ...]:
    """Columns and a key on a standard table, an object table under another prefix, events with a global choice."""
    contact = Table("contact", "contacts", "contactid", "", (SOURCE_KEY, USER_ID), keys=(KEY,), label="Contact")
    targets = tuple((t, f"cio_of_{t}") for t in ("contact", "new_boat"))
    event = replace(schema.event_table(()), columns=(Column("cio_event_name", "string", "Name", 100), STATUS), views=())
    boat = schema.object_table("new_boat", "Boat", ())
    return contact, boat, replace(event, lookups=(Lookup("cio_of", targets, "Of"),))


def provisioned(target: World) -> World:
    provision.apply(wanted(), target.client, progress=nothing, sleep=target.clock.sleep)
    return target


def remove(target: World, client: Dataverse | None = None, *, allow_rows: bool = False) -> RemovalPlan:
    return removal.apply_removal(client or target.client, progress=nothing, allow_rows=allow_rows)


def asking(origin: str) -> httpx.Client:
    """A client of nobody's making; the whole schema in one answer takes its time on a busy machine."""
    return httpx.Client(base_url=f"{origin}/api/data/v9.2/", headers={"Authorization": "Bearer dev-token"}, timeout=120)


def left(target: World) -> list[str]:
    """Everything with our prefix that the organisation still holds, as it says itself."""
    with asking(target.origin) as c:
        strong = {"Consistency": "Strong"}
        tables = c.get("EntityDefinitions?$select=LogicalName&$expand=Attributes,Keys", headers=strong).json()["value"]
        choices = c.get("GlobalOptionSetDefinitions", headers=strong).json()["value"]
    names = [t["LogicalName"] for t in tables] + [ch["Name"] for ch in choices]
    names += [part["LogicalName"] for t in tables for part in (*t["Attributes"], *t["Keys"])]
    names += [str(row.get("uniquename")) for kind in ("solution", "publisher") for row in target.rows(kind).values()]
    return sorted(n for n in names if n.startswith(("cio", "new_")))


def test_everything_that_was_created_goes(bare: World) -> None:
    provisioned(bare)
    assert "new_boat" in left(bare)
    gone = remove(bare)
    assert left(bare) == []
    kinds = {r.kind for r in gone.to_remove}
    assert kinds == {"key", "relationship", "column", "table", "choice", "solution", "publisher"}
    assert removal.look(bare.client).removals == ()


def test_after_a_removal_the_schema_can_be_made_again(bare: World) -> None:
    provisioned(bare)
    remove(bare)
    provisioned(bare)
    assert provision.compare(wanted(), bare.client).to_create == ()


def test_a_second_removal_sends_nothing(bare: World) -> None:
    provisioned(bare)
    remove(bare)
    before = bare.mark()
    remove(bare)
    assert bare.writes(before) == []


def test_what_is_not_ours_stays(bare: World) -> None:
    """A table of the customer, also in our solution; a column with our prefix that was made outside of it."""
    provisioned(bare)
    name = Column("new_name", "string", "Name", 100)
    project = Table("new_project", "new_projects", "new_projectid", "new_name", (name,), label="Project", custom=True)
    bare.client.send(definitions.create_table(project, "cio_migration"))
    bare.client.send(definitions.create_column("account", Column("cio_theirs", "integer", "Theirs"), ""))
    gone = remove(bare)
    assert left(bare) == ["cio_theirs", "new_name", "new_project", "new_projectid"]
    assert [(r.name, r.reason) for r in gone.left_alone] == [("cio_theirs", "not in the solution cio_migration")]


def test_rows_keep_the_schema_until_somebody_says_otherwise(bare: World) -> None:
    provisioned(bare)
    bare.client.send(post("cio_events", {"cio_event_name": "e"}))
    bare.client.send(post("contacts", {"lastname": "n", "cio_user_id__c": "7"}))
    before = bare.mark()
    with pytest.raises(DecisionError, match=r"contact\.cio_user_id__c 1 rows, cio_event 1 rows") as refused:
        remove(bare)
    assert refused.value.exit_code == 2
    assert bare.writes(before) == []
    remove(bare, allow_rows=True)
    assert left(bare) == []
    assert len(bare.rows("contact")) == 1


@contextmanager
def breaking_after(origin: str, writes: int, *, committed: bool) -> Iterator[Dataverse]:
    """A client whose process ends with a certain write: before it leaves, or before its answer is seen."""
    real, seen = httpx.HTTPTransport(), 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal seen
        seen += request.method != "GET"
        if seen > writes or (seen == writes and request.method != "GET" and not committed):
            raise KeyboardInterrupt
        found = real.handle_request(request)
        if seen == writes and request.method != "GET":
            found.read()
            raise KeyboardInterrupt
        return found

    clock = Instant()
    pace = Pace(clock=lambda: clock.now, sleep=clock.sleep)
    with Transport(
        origin, lambda _: "Bearer dev-token", headers=HEADERS, pace=pace, client=httpx.MockTransport(answer)
    ) as link:
        yield Dataverse(link)


def test_after_a_removal_with_its_rows_everything_is_loaded_again(bare: World) -> None:
    def loaded(run_id: str, at: str) -> pl.DataFrame:
        tables = provision.apply(wanted(), bare.client, progress=nothing, sleep=bare.clock.sleep)
        boats = people(3).rename({"contactid": "new_boatid", "lastname": "new_name"})
        frames = {"contact": people(5), "new_boat": boats}
        return replace(bare, tables=tables).load(frames, run_id, at=at)

    loaded("r1", "2026-01-01T00:00:00+00:00")
    planned = remove(bare, allow_rows=True)
    with bare.ledger() as ledger:
        ledger.schema_removed(r.name for r in planned.to_remove if r.kind == "table")
    balance = loaded("r2", "2026-02-01T00:00:00+00:00")
    assert (sums(balance, "contact"), sums(balance, "new_boat")) == (only(updated=5), only(created=3))
    assert len(bare.rows("new_boat")) == 3
    assert all(row["cio_source_key"] for row in bare.rows().values())


@pytest.mark.parametrize("committed", [False, True], ids=["before the deletion", "after it"])
def test_a_removal_that_was_killed_is_finished_by_the_next(bare: World, committed: bool) -> None:
    """Killed again and again, two deletions at a time, until nothing is left."""
    provisioned(bare)
    kills = 0
    while True:
        with breaking_after(bare.origin, 2, committed=committed) as client:
            try:
                remove(bare, client)
            except KeyboardInterrupt:
                kills += 1
                assert kills < 100
                continue
        break
    assert kills > 3
    assert left(bare) == []


def test_a_deletion_whose_answer_was_lost_finds_the_component_gone(bare: World) -> None:
    provisioned(bare)
    bare.fault({"verb": "commit_then_status", "code": 503}, method="DELETE", nth=[1, 3, 6])
    before = bare.mark()
    remove(bare)
    assert [e["status"] for e in bare.writes(before)].count(404) == 3
    assert left(bare) == []


def test_a_deletion_that_the_server_refuses_stops_and_names_the_component(bare: World) -> None:
    provisioned(bare)
    theirs = Column("new_status", "choice", "Status", choice="cio_status")
    choice = provision.read(bare.client, wanted()).environment.choice("cio_status")
    assert choice is not None
    bare.client.send(definitions.create_column("account", theirs, "", choice.id))
    with pytest.raises(Terminal, match=r"choice cio_status could not be removed.*account references"):
        remove(bare)


# --- the plan alone ---------------------------------------------------------------------------------------------------

OURS = Publisher("cio2d365", "cio", 72700, "p")


def contact(**more: object) -> Table:
    column = Column("cio_plan", "string", "Plan", 100, id="c1")
    return replace(Table("contact", "contacts", "contactid", "fullname", (column,), id="t1"), **more)  # type: ignore[arg-type]


def names(removals: tuple[Removal, ...]) -> list[str]:
    return [r.name for r in removals]


def test_a_key_over_a_column_goes_before_the_column_and_blocks_nothing() -> None:
    table = contact(keys=(Key("cio_key", ("cio_plan",), id="k1"),))
    around = Environment((OURS,), "s", members=frozenset({"c1", "k1"}))
    usage = Usage(dependents={"c1": ((14, "k1"),)})
    assert names(plan_removal({"contact": table}, around, usage).to_remove) == [
        "cio_key", "cio_plan", "cio_migration", "cio2d365"
    ]  # fmt: skip


def test_something_of_somebody_else_that_needs_a_column_blocks_it() -> None:
    around = Environment((OURS,), "s", members=frozenset({"c1"}))
    planned = plan_removal({"contact": contact()}, around, Usage(dependents={"c1": ((60, "f1"),)}))
    assert [(r.name, r.reason) for r in planned.blocked] == [("cio_plan", "needed by component f1 of type 60")]


def test_a_blocked_removal_deletes_nothing(bare: World) -> None:
    provisioned(bare)
    needed_by = {"dependentcomponentobjectid": "f1", "dependentcomponenttype": 60}
    told = {"verb": "status", "code": 200, "body": {"value": [needed_by]}}
    bare.fault(told, path="^RetrieveDependenciesForDelete", nth=3)
    before = bare.mark()
    with pytest.raises(SchemaConflict, match="needed by component f1 of type 60"):
        remove(bare)
    assert bare.writes(before) == []


def test_managed_components_stay_with_their_solution() -> None:
    """A production environment got the schema as a managed solution: it goes with that, not with us."""
    column = Column("cio_plan", "string", "Plan", 100, managed=True, id="c1")
    own = Table("cio_event", "cio_events", "cio_eventid", "cio_name", label="Event", custom=True, managed=True, id="t2")
    around = Environment((OURS,), "s", True, frozenset({"c1", "t2"}))
    planned = plan_removal({"contact": contact(columns=(column,)), "cio_event": own}, around)
    assert planned.to_remove == ()
    assert {r.reason for r in planned.left_alone} == {"managed", "solutions of it stay: cio_migration"}


def test_the_publisher_stays_while_another_solution_belongs_to_it() -> None:
    around = Environment((OURS,), "s")
    planned = plan_removal({}, around, Usage(other_solutions=("cio_migration", "cio_dashboards")))
    assert names(planned.to_remove) == ["cio_migration"]
    assert [r.reason for r in planned.left_alone] == ["solutions of it stay: cio_dashboards"]


def test_a_table_that_is_in_the_solution_as_a_whole_brings_its_columns() -> None:
    around = Environment((OURS,), "s", members=frozenset({"t1"}), whole=frozenset({"t1"}))
    assert "cio_plan" in names(plan_removal({"contact": contact()}, around).to_remove)


def test_views_of_ours_on_a_table_that_stays_go_first() -> None:
    view = View("Imported", "contact", ("cio_plan",), "", id="v1")
    theirs = View("Active Contacts", "contact", ("fullname",), "", id="v2")
    around = Environment((OURS,), "s", members=frozenset({"c1", "v1"}))
    found = names(plan_removal({"contact": contact(views=(view, theirs))}, around).to_remove)
    assert found[0] == "Imported"
    assert "Active Contacts" not in found


def test_the_base_value_of_an_amount_goes_along_with_it() -> None:
    columns = (Column("cio_amount", "money", id="c1"), Column("cio_amount_base", "money", id="c2"))
    around = Environment((OURS,), "s", members=frozenset({"c1", "c2"}))
    assert "cio_amount_base" not in names(plan_removal({"contact": contact(columns=columns)}, around).removals)


def test_a_lookup_of_a_table_that_goes_is_removed_only_when_its_target_goes_too() -> None:
    relations = tuple(Relationship(f"cio_r_{t}", t, id=f"r_{t}") for t in ("contact", "cio_boat"))
    lookup = Lookup("cio_of", (("contact", "cio_of_contact"), ("cio_boat", "cio_of_cio_boat")), relationships=relations)
    own = Table("cio_event", "cio_events", "cio_eventid", "cio_n", lookups=(lookup,), label="E", custom=True, id="t2")
    boat = Table("cio_boat", "cio_boats", "cio_boatid", "cio_n", label="Boat", custom=True, id="t3")
    around = Environment((OURS,), "s", members=frozenset({"t2", "t3", "r_contact", "r_cio_boat"}))
    planned = plan_removal({"cio_event": own, "cio_boat": boat}, around)
    assert [r.name for r in planned.to_remove if r.kind == "relationship"] == ["cio_r_cio_boat"]


def test_choices_outside_of_our_solution_stay() -> None:
    choices = (Choice("cio_ours", id="h1"), Choice("cio_theirs", id="h2"))
    planned = plan_removal({}, Environment((OURS,), "s", members=frozenset({"h1"}), choices=choices))
    assert [(r.name, r.state) for r in planned.removals if r.kind == "choice"] == [
        ("cio_ours", "remove"), ("cio_theirs", "left_alone")
    ]  # fmt: skip
