"""Comparing a wanted schema with an existing one, without any network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cio2d365.migrate import schema
from cio2d365.migrate.schema_plan import Change, SchemaPlan, missing_options, plan
from cio2d365.migrate.schema_words import describe, in_full
from cio2d365.tables import Choice, Column, Environment, Key, Lookup, Option, Table, View

GAFF, LUG, SPRIT = Option(727000000, "Gaff"), Option(727000001, "Lug"), Option(727000002, "Sprit")
NAME = Column("cio_name", "string", "Name", 100)


def sail(*options: Option, **more: object) -> Column:
    return replace(Column("cio_sail", "choice", "Sail", options=options), **more)  # type: ignore[arg-type]


def boat(*columns: Column, **more: object) -> Table:
    table = Table("cio_boat", "cio_boats", "cio_boatid", "cio_name", (NAME, *columns), label="Boat", custom=True)
    return replace(table, **more)  # type: ignore[arg-type]


def states(found: SchemaPlan, *kinds: str) -> list[tuple[str, str]]:
    return [(c.name, c.state) for c in found.changes if not kinds or c.kind in kinds]


def compared(wanted: Table, existing: Table, around: Environment | None = None) -> SchemaPlan:
    return plan([wanted], {existing.name: existing}, around)


def only(found: tuple[Change, ...]) -> Change:
    [change] = found
    return change


# --- choices ----------------------------------------------------------------------------------------------------------


def test_options_that_our_choice_lacks_are_inserted_one_by_one() -> None:
    found = compared(boat(sail(GAFF, LUG, SPRIT)), boat(sail(LUG, custom=True)))
    assert states(found, "column", "option") == [
        ("cio_sail", "equal"), ("cio_sail 727000000", "create"), ("cio_sail 727000002", "create")
    ]  # fmt: skip


def test_options_are_never_put_into_a_choice_of_somebody_else() -> None:
    theirs = Column("new_sail", "choice", "Sail", options=(LUG,))
    found = compared(boat(replace(theirs, options=(LUG, GAFF))), boat(theirs))
    assert only(found.conflicts).name == "new_sail"
    assert found.to_create == ()


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ((), [GAFF, LUG]),
        ((GAFF,), [LUG]),
        ((LUG, SPRIT, GAFF), []),
        ((Option(727000000, "Sprit"),), None),
        ((Option(1, "Gaff"),), None),
        ((Option(727000000, " Gaff "), LUG), []),
    ],
    ids=["none", "one", "more than wanted", "value means something else", "label has another value", "spaces"],
)
def test_what_a_choice_lacks(there: tuple[Option, ...], missing: list[Option] | None) -> None:
    assert missing_options([GAFF, LUG], there) == missing


def test_a_global_choice_is_made_once_for_all_of_its_columns() -> None:
    shared = sail(GAFF, choice="cio_sails")
    other = replace(boat(shared), name="cio_ship", primary_id="cio_shipid", set_name="cio_ships")
    found = plan([boat(shared), other], {}, Environment())
    assert states(found, "choice") == [("cio_sails", "create")]
    assert found.problems == ()


def test_a_global_choice_that_exists_is_compared_by_its_options() -> None:
    shared = sail(GAFF, LUG, choice="cio_sails")
    around = Environment(choices=(Choice("cio_sails", "Sails", (GAFF,), "id"),))
    found = plan([boat(shared)], {}, around)
    assert states(found, "choice", "option") == [("cio_sails", "equal"), ("cio_sails 727000001", "create")]
    other = Environment(choices=(Choice("cio_sails", "Sails", (Option(727000000, "Sprit"),), "id"),))
    assert only(plan([boat(shared)], {}, other).conflicts).kind == "choice"


def test_a_column_with_its_own_options_does_not_serve_for_a_global_choice() -> None:
    found = compared(boat(sail(GAFF, choice="cio_sails")), boat(sail(GAFF)))
    assert only(found.conflicts).existing == "choice of 1 (727000000 Gaff)"
    assert only(found.conflicts).wanted == "choice of 1 (global choice cio_sails) (727000000 Gaff)"


def test_existing_columns_tell_which_global_choices_there_are() -> None:
    shared = sail(GAFF, choice="cio_sails")
    assert {c.state for c in compared(boat(shared), boat(shared)).changes} == {"equal"}


# --- tables and columns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"kind": "elastic"}, {"primary_name": "cio_other"}], ids=["kind", "primary name"])
def test_a_table_of_another_kind_or_named_by_another_column_is_a_conflict(change: dict[str, str]) -> None:
    assert only(compared(boat(), boat(**change)).conflicts).kind == "table"


def test_a_time_that_is_the_same_everywhere_is_not_the_time_of_the_reader() -> None:
    when = Column("cio_when", "datetime", "When", behavior="UserLocal")
    floating = replace(when, behavior="TimeZoneIndependent")
    found = only(compared(boat(replace(when, behavior="")), boat(floating)).conflicts)
    assert (found.wanted, found.existing) == ("date and time", "date and time, the same in every time zone")
    assert compared(boat(replace(when, behavior="")), boat(when)).conflicts == ()


def test_a_day_is_a_day_however_the_target_names_its_behaviour() -> None:
    day = Column("cio_day", "date", "Day")
    assert compared(boat(day), boat(replace(day, behavior="DateOnly"))).conflicts == ()


def test_a_primary_name_that_is_too_short_is_a_conflict() -> None:
    found = compared(boat(), boat(columns=(replace(NAME, length=50),)))
    assert [(c.kind, c.name) for c in found.conflicts] == [("column", "cio_name")]


# --- lookups ----------------------------------------------------------------------------------------------------------


def of(*targets: str, **more: object) -> Lookup:
    lookup = Lookup("cio_of", tuple((t, f"cio_of_{t}") for t in targets), "Of")
    return replace(lookup, **more)  # type: ignore[arg-type]


def test_a_multi_table_lookup_of_ours_takes_a_further_target() -> None:
    found = compared(boat(lookups=(of("contact", "lead"),)), boat(lookups=(of("contact"),)))
    assert states(found, "lookup", "target") == [("cio_of", "equal"), ("cio_of lead", "create")]


@pytest.mark.parametrize(
    "existing",
    [
        Lookup("cio_of", (("contact", "cio_of"),)),
        of("account", "contact", customer=True),
        of("contact", custom=False),
    ],
    ids=["made for one table", "customer", "of the product"],
)
def test_a_lookup_that_takes_no_further_target_is_a_conflict(existing: Lookup) -> None:
    found = compared(boat(lookups=(of("contact", "lead"),)), boat(lookups=(existing,)))
    assert states(found, "lookup", "target") == [("cio_of", "conflict")]


# --- views ------------------------------------------------------------------------------------------------------------


def view(*columns: str, **more: object) -> View:
    found = View("Boats", "cio_boat", columns, "<fetch/>")
    return replace(found, **more)  # type: ignore[arg-type]


def test_a_view_that_somebody_changed_is_theirs() -> None:
    found = compared(boat(views=(view("cio_name"),)), boat(views=(view("cio_name", "createdon", name="BOATS "),)))
    assert states(found, "view") == [("Boats", "equal")]
    assert states(compared(boat(views=(view("cio_name"),)), boat()), "view") == [("Boats", "create")]


# --- left alone -------------------------------------------------------------------------------------------------------


def test_what_is_ours_and_not_wanted_is_listed_and_not_touched() -> None:
    existing = boat(
        Column("cio_old", "integer"), Column("new_theirs", "integer"), Column("cio_boatid", "uniqueidentifier"),
        lookups=(of("contact"), Lookup("ownerid", (("systemuser", "ownerid"),), custom=False)),
        keys=(Key("cio_oldkey", ("cio_old",)), Key("new_key", ("new_theirs",))),
        views=(view("cio_name", id="V1"), view("cio_name", name="Mine", id="V2")),
    )  # fmt: skip
    around = Environment(
        members=frozenset({"v1"}), custom_tables=("cio_boat", "cio_old_event", "new_project"),
        choices=(Choice("cio_oldchoice", "Old", (GAFF,)),),
    )  # fmt: skip
    found = compared(boat(), existing, around)
    assert [(c.kind, c.name) for c in found.left_alone] == [
        ("column", "cio_old"), ("lookup", "cio_of"), ("key", "cio_oldkey"), ("view", "Boats"),
        ("table", "cio_old_event"), ("choice", "cio_oldchoice"),
    ]  # fmt: skip
    assert found.to_create == ()
    assert found.conflicts == ()


def test_the_base_value_that_comes_with_money_is_not_listed() -> None:
    price, base = Column("cio_price", "money", "Price"), Column("cio_price_base", "money")
    assert compared(boat(price), boat(price, base)).left_alone == ()


# --- the plan as a whole ----------------------------------------------------------------------------------------------


def test_the_plan_is_an_account_of_every_component() -> None:
    wanted = schema.wanted({}, [Column("cio_p", "boolean", "P")], {"2": ("cio_boat", "Boat")}, campaign_members=True)
    parts = sum(len(t.columns) + len(t.lookups) + len(t.views) + t.custom for t in wanted)
    new = sum(t.custom for t in wanted)  # primary name columns are made with their tables
    found = plan(wanted, {}, Environment())
    assert len(found.changes) == parts - new + len(schema.choices_of(wanted))
    assert len(found.to_create) == len(found.changes)


def test_the_same_schema_compared_with_itself_is_equal_throughout() -> None:
    wanted = schema.wanted({}, [Column("cio_p", "boolean", "P")], {"2": ("cio_boat", "Boat")}, campaign_members=True)
    found = plan(wanted, {t.name: t for t in wanted})
    assert {c.state for c in found.changes} == {"equal"}
    assert found.summary()["equal"].sum() == len(found.changes)


def test_the_frame_has_a_row_for_each_component_and_the_summary_one_for_each_table() -> None:
    found = compared(boat(sail(GAFF, LUG)), boat(sail(GAFF), Column("cio_old", "integer")))
    frame = found.frame()
    assert frame.columns == ["table", "kind", "name", "state", "wanted", "existing"]
    assert frame.height == len(found.changes)
    assert found.summary().rows() == [("cio_boat", 1, 2, 0, 1)]


def test_problems_come_as_a_frame_too() -> None:
    found = plan([boat(Column("cio_a", "string", "A", 9999))], {}, Environment(custom_tables=("a",) * 20))
    assert found.problem_frame().rows() == [
        ("cio_boat", "cio_a", "length of text", "9,999 characters", "1 to 4,000", "dataverse-api 9.3", "refuses")
    ]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("a", "string", length=4000), "text, 4,000 characters"),
        (Column("a", "decimal", precision=2), "decimal number, 2 places"),
        (Column("a", "multichoice", options=(GAFF, LUG)), "several choices of 2"),
        (Column("a", "boolean"), "yes or no"),
        (Column("a", "other"), "special type"),
    ],
    ids=lambda x: x.kind if isinstance(x, Column) else "",
)
def test_definitions_in_words(column: Column, words: str) -> None:
    assert describe(column) == words


def test_a_definition_in_full_shows_range_and_options() -> None:
    assert in_full(Column("a", "integer", minimum=0, maximum=1000)) == "whole number (0 to 1,000)"
    assert in_full(sail(LUG, GAFF)) == "choice of 2 (727000000 Gaff, 727000001 Lug)"
