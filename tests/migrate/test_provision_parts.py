"""Every kind of component against a new organisation: made, read back, compared equal, and part of our solution."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cio2d365.dataverse import deletions
from cio2d365.dataverse.metadata import read_table
from cio2d365.dataverse.requests import get, post
from cio2d365.errors import DecisionError, Terminal
from cio2d365.migrate import provision, schema
from cio2d365.migrate.schema_members import CHOICE, COLUMN, KEY, RELATIONSHIP, TABLE, VIEW
from cio2d365.tables import Column, Key, Lookup, Option, Table

from .world import World, nothing

OPTIONS = (Option(727000000, "Gaff"), Option(727000001, "Lug"))
NAME = Column("cio_name", "string", "Name", 100)
KINDS = (
    Column("cio_text", "string", "Text", 4000),
    Column("cio_email", "string", "Mail", 200, format="Email"),
    Column("cio_memo", "memo", "Memo", 1_048_576),
    Column("cio_whole", "integer", "Whole", minimum=-5, maximum=5),
    Column("cio_big", "bigint", "Big"),
    Column("cio_decimal", "decimal", "Decimal", minimum=-1.5, maximum=1e9, precision=10),
    Column("cio_double", "double", "Double", minimum=0, maximum=1, precision=5),
    Column("cio_money", "money", "Money", minimum=0, maximum=1e6, precision=4),
    Column("cio_yes", "boolean", "Yes"),
    Column("cio_when", "datetime", "When"),
    Column("cio_floating", "datetime", "Floating", behavior="TimeZoneIndependent"),
    Column("cio_day", "date", "Day"),
    Column("cio_choice", "choice", "Choice", options=OPTIONS),
    Column("cio_many", "multichoice", "Many", options=OPTIONS),
    Column("cio_shared", "choice", "Shared", options=OPTIONS, choice="cio_rigs"),
    Column("cio_sharedmany", "multichoice", "Shared many", options=OPTIONS, choice="cio_rigs"),
)


def boat(*columns: Column, **more: object) -> Table:
    table = Table("cio_boat", "cio_boats", "cio_boatid", "cio_name", (NAME, *columns), label="Boat", custom=True)
    return replace(table, **more)  # type: ignore[arg-type]


def apply(target: World, *tables: Table, limit: int | None = None) -> dict[str, Table]:
    return provision.apply(tables, target.client, progress=nothing, sleep=target.clock.sleep, table_limit=limit)


def test_every_type_of_column_is_read_back_as_it_was_wanted(bare: World) -> None:
    wanted = boat(*KINDS)
    live = apply(bare, wanted)["cio_boat"]
    assert {c.state for c in provision.compare([wanted], bare.client).changes} == {"equal"}
    for column in KINDS:
        there = live.column(column.name)
        assert there is not None
        assert (there.kind, there.label, there.choice) == (column.kind, column.label, column.choice)
        assert column.length in (None, there.length)
        assert {o.label for o in there.options} == {o.label for o in column.options}
        assert column.behavior in ("", there.behavior)


def test_an_elastic_table_is_made_as_one(bare: World) -> None:
    live = apply(bare, boat(Column("cio_text", "string", "Text", 100), kind="elastic"))
    assert live["cio_boat"].kind == "elastic"


def test_a_customer_lookup_points_to_accounts_and_contacts(bare: World) -> None:
    targets = (("account", "cio_of_account"), ("contact", "cio_of_contact"))
    wanted = boat(lookups=(Lookup("cio_of", targets, "Of", customer=True),))
    live = apply(bare, wanted)["cio_boat"].lookup("cio_of")
    assert live is not None
    assert live.targets == targets
    assert "CreateCustomerRelationships" in [e["path"] for e in bare.writes()]


def test_an_existing_lookup_and_an_existing_choice_grow(bare: World) -> None:
    """What an object type or a trait gained since the last run."""
    person = Lookup("cio_person", tuple((t, f"cio_person_{t}") for t in ("contact", "lead")), "Person")
    small = boat(Column("cio_choice", "choice", "Choice", options=OPTIONS[:1]), lookups=(person,))
    shared = Column("cio_shared", "choice", "Shared", options=OPTIONS[:1], choice="cio_rigs")
    apply(bare, replace(small, columns=(*small.columns, shared)))
    wider = replace(person, targets=(*person.targets, ("account", "cio_person_account")))
    columns = (NAME, replace(small.columns[1], options=OPTIONS), replace(shared, options=OPTIONS))
    wanted = replace(small, columns=columns, lookups=(wider,))
    before = bare.mark()
    live = apply(bare, wanted)["cio_boat"]
    grown = live.lookup("cio_person")
    assert grown is not None
    assert dict(grown.targets) == dict(wider.targets)
    assert provision.plan([wanted], {"cio_boat": live}).to_create == ()
    assert [e["path"] for e in bare.writes(before) if e["path"] != "PublishXml"] == [
        "InsertOptionValue", "InsertOptionValue", "RelationshipDefinitions"
    ]  # fmt: skip


def test_a_view_is_made_once_and_shows_the_newest_rows_first(bare: World) -> None:
    event = schema.event_table(())
    apply(bare, event)
    apply(bare, event)
    found = [row for row in bare.rows("savedquery").values() if row["returnedtypecode"] == "cio_event"]
    assert [row["name"] for row in found] == ["Customer.io events"]
    for day in (1, 3, 2):
        row = {"cio_event_name": f"e{day}", "cio_event_timestamp": f"2026-01-0{day}T00:00:00Z"}
        bare.client.send(post("cio_events", row))
    rows = bare.client.rows(get("cio_events", {"savedQuery": found[0]["savedqueryid"]}))
    assert [row["cio_event_name"] for row in rows] == ["e3", "e2", "e1"]


def components(target: World) -> list[int]:
    rows = [row for row in target.rows("solutioncomponent").values() if row["solutionid"] == ours(target)]
    return sorted(row["componenttype"] for row in rows)


def ours(target: World) -> str:
    [found] = [key for key, row in target.rows("solution").items() if row["uniquename"] == "cio_migration"]
    return found


def test_everything_is_in_our_solution_wherever_it_was_born(bare: World) -> None:
    """A table under another publisher's prefix and a view are put into it afterwards."""
    boats = schema.object_table(
        "new_boat", "Boat", (Column("cio_shared", "choice", "S", options=OPTIONS, choice="cio_rigs"),)
    )
    contact = Table("contact", "contacts", "contactid", "", (schema.SOURCE_KEY,), label="Contact",
                    keys=(Key("cio_key", ("cio_source_key",), "Key"),))  # fmt: skip
    tables = (contact, boats, schema.event_table(()))
    apply(bare, *tables)
    kinds = components(bare)
    assert (kinds.count(TABLE), kinds.count(CHOICE), kinds.count(VIEW), kinds.count(KEY)) == (2, 1, 1, 1)
    assert kinds.count(RELATIONSHIP) == 2
    assert kinds.count(COLUMN) == sum(len(t.columns) for t in tables) - 2
    before = bare.mark()
    apply(bare, *tables)
    assert [e["path"] for e in bare.writes(before)] == ["PublishXml"]


def test_a_component_that_does_not_get_into_the_solution_is_not_passed_over(bare: World) -> None:
    bare.fault({"verb": "status", "code": 200, "body": {"id": "x"}}, path="^AddSolutionComponent")
    with pytest.raises(Terminal, match=r"not in the solution cio_migration: new_boat"):
        apply(bare, schema.object_table("new_boat", "Boat", ()))


def test_all_problems_are_told_and_nothing_is_sent(bare: World) -> None:
    wanted = boat(Column("cio_a", "string", "A", 9999), Column("cio_boatid", "string", "B", 10))
    with pytest.raises(
        DecisionError, match=r"cio_boat\.cio_boatid: a name of its own.*cio_boat\.cio_a: length"
    ) as told:
        apply(bare, wanted)
    assert told.value.exit_code == 2
    assert bare.writes() == []


def test_the_licence_refuses_one_table_too_many(bare: World) -> None:
    apply(bare, boat())
    ship = replace(boat(), name="cio_ship", set_name="cio_ships", primary_id="cio_shipid")
    with pytest.raises(DecisionError, match=r"custom tables that the licence allows: needs 2, allowed 1 \(SR-105\)"):
        apply(bare, boat(), ship, limit=1)
    assert {"cio_boat", "cio_ship"} <= apply(bare, boat(), ship).keys()


def test_the_limit_on_tables_is_read_from_the_environment(bare: World) -> None:
    bare.control.post("switches", json={"max_tables": 1}).raise_for_status()
    apply(bare, boat())
    ship = replace(boat(), name="cio_ship", set_name="cio_ships", primary_id="cio_shipid")
    with pytest.raises(DecisionError, match="custom tables of the environment: needs 2, allowed 1"):
        apply(bare, boat(), ship)


def test_a_limit_that_only_the_server_knows_stops_with_the_component(bare: World) -> None:
    """F-35."""
    apply(bare, boat())
    table = read_table(bare.client, "cio_boat", fresh=True)
    assert table is not None
    bare.control.post("switches", json={"max_columns": len(table.columns) + len(table.lookups)}).raise_for_status()
    with pytest.raises(
        Terminal, match=r"cio_boat\.cio_a: one more is needed than .* limit of columns allows .*: .*0x8004841a"
    ):
        apply(bare, boat(Column("cio_a", "integer", "A")))


def test_a_failed_index_is_built_again_once_the_rows_differ(bare: World) -> None:
    contact = Table("contact", "contacts", "contactid", "", (schema.SOURCE_KEY,), label="Contact")
    keyed = replace(contact, keys=(Key("cio_key", ("cio_source_key",), "Key"),))
    apply(bare, contact)
    for _ in range(2):
        bare.client.send(post("contacts", {"lastname": "n", "cio_source_key": "id:1"}))
    with pytest.raises(Terminal, match=r"contact\.cio_key.*provision\.reactivate_keys"):
        apply(bare, keyed)
    twin = next(iter(bare.rows()))
    bare.client.send(deletions.delete_row("contacts", twin))
    assert provision.reactivate_keys([keyed], bare.client) == ["contact.cio_key"]
    assert {k.status for k in apply(bare, keyed)["contact"].keys} == {"Active"}
    assert provision.reactivate_keys([keyed], bare.client) == []


def test_progress_names_each_component(bare: World) -> None:
    told: list[tuple[int, int, str]] = []
    wanted = boat(Column("cio_a", "integer", "A"), Column("cio_b", "integer", "B"))
    provision.apply([wanted], bare.client, progress=lambda *step: told.append(step), sleep=bare.clock.sleep)
    assert told == [(1, 3, "cio_boat.cio_boat"), (2, 3, "cio_boat.cio_a"), (3, 3, "cio_boat.cio_b")]
