"""What people changed in Dynamics between two loads, F-48: never overwritten in silence."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from cio2d365.dataverse import requests
from cio2d365.errors import WorldError
from tests.migrate.world import World, companies, only, people, sums

from .story import sent

FIRST = people(10, jobtitle="old", donotbulkemail=False)
ROW, KEY = FIRST["contactid"][4], "id:4"


def edit(target: World, **values: Any) -> None:
    target.client.send(requests.update_row(target.tables["contact"], ROW, values))


def found(target: World, run_id: str = "r2") -> list[tuple[str, ...]]:
    with target.ledger() as ledger:
        frame = ledger.edits(run_id)
    assert set(frame["source_key"]) <= {KEY}
    return frame.select("column", "loaded", "target", "source", "kind", "decision").rows()


def loaded_twice(target: World, second: pl.DataFrame, **settings: Any) -> dict[str, int]:
    """The second load; the first has left the rows of FIRST."""
    return sums(target.load({"contact": second}, "r2", plan="p2", **settings))


@pytest.fixture
def first(target: World) -> World:
    target.load({"contact": FIRST}, "r1", plan="p1")
    return target


def test_a_value_changed_in_both_places_is_kept_and_listed_with_all_three(first: World) -> None:
    """F-48: the source does not win in silence."""
    edit(first, jobtitle="by a person")
    assert loaded_twice(first, people(10, jobtitle="new", donotbulkemail=False)) == only(updated=9, unchanged=1)
    assert first.rows()[ROW]["jobtitle"] == "by a person"
    assert {row["jobtitle"] for i, row in first.rows().items() if i != ROW} == {"new"}
    assert found(first) == [("jobtitle", "old", "by a person", "new", "edited in both", "kept")]


def test_by_setting_the_source_wins_and_it_is_listed(first: World) -> None:
    """F-48: rule decides."""
    edit(first, jobtitle="by a person")
    second = people(10, jobtitle="new", donotbulkemail=False)
    assert loaded_twice(first, second, edited_in_both="overwrite") == only(updated=10)
    assert first.rows()[ROW]["jobtitle"] == "new"
    assert found(first) == [("jobtitle", "old", "by a person", "new", "edited in both", "overwritten")]


def test_a_value_changed_in_dynamics_only_is_kept_while_others_of_its_row_are_loaded(first: World) -> None:
    """F-48: an opt-out that a salesperson has noted stays (L15)."""
    edit(first, donotbulkemail=True)
    assert loaded_twice(first, people(10, jobtitle="new", donotbulkemail=False)) == only(updated=10)
    row = first.rows()[ROW]
    assert (row["jobtitle"], row["donotbulkemail"]) == ("new", True)
    assert found(first) == [("donotbulkemail", "false", "true", "false", "edited in Dynamics", "kept")]


def test_a_value_that_a_person_filled_in_before_the_source_had_one_is_kept(first: World) -> None:
    """F-48: nothing was loaded into the column, so what stands there is somebody's."""
    edit(first, department="Sales")
    loaded_twice(first, people(10, jobtitle="old", donotbulkemail=False, department="Support"))
    assert first.rows()[ROW]["department"] == "Sales"
    assert {row["department"] for i, row in first.rows().items() if i != ROW} == {"Support"}


def test_a_default_of_the_platform_is_not_taken_for_a_persons_edit(first: World) -> None:
    """F-48: a choice or switch that was never loaded holds the platform's default."""
    loaded_twice(first, people(10, jobtitle="old", donotbulkemail=False, donotphone=True))
    assert {row["donotphone"] for row in first.rows().values()} == {True}
    assert found(first) == []


def test_the_same_change_in_both_places_is_no_conflict_and_no_write(first: World) -> None:
    """F-48: both agree."""
    for row in FIRST["contactid"]:
        first.client.send(requests.update_row(first.tables["contact"], row, {"jobtitle": "new"}))
    before = first.mark()
    assert loaded_twice(first, people(10, jobtitle="new", donotbulkemail=False)) == only(unchanged=10)
    assert sent(first, "Multiple", before) == []
    assert found(first) == []


def test_a_third_load_does_not_forget_the_edit(first: World) -> None:
    """F-48: a value that was kept is still somebody's; the source changes on."""
    edit(first, jobtitle="by a person")
    loaded_twice(first, people(10, jobtitle="new", donotbulkemail=False, department="A"))
    third = people(10, jobtitle="newer", donotbulkemail=False, department="B")
    first.load({"contact": third}, "r3", plan="p3")
    row = first.rows()[ROW]
    assert (row["jobtitle"], row["department"]) == ("by a person", "B")
    assert found(first, "r3") == [("jobtitle", "new", "by a person", "newer", "edited in both", "kept")]


def test_an_edited_lookup_is_kept(target: World) -> None:
    """F-48: the company of a contact was changed by hand."""
    accounts = companies(3)["accountid"]
    frame = people(10, parentcustomerid_account=[accounts[0]] * 10)
    target.load({"account": companies(3), "contact": frame}, "r1", plan="p1")
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({accounts[2]})"}
    edit(target, **bind)
    moved = people(10, parentcustomerid_account=[accounts[1]] * 10)
    target.load({"account": companies(3), "contact": moved}, "r2", plan="p2")
    assert target.rows()[ROW]["parentcustomerid"] == accounts[2]
    assert [row[0] for row in found(target)] == ["_parentcustomerid_value"]


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_load_that_was_cut_does_not_take_its_own_values_for_edits(first: World, cuts: int) -> None:
    """F-48, F-52: some of the rows hold the new value already, by us; one was edited before."""
    edit(first, jobtitle="by a person")
    second = people(10, jobtitle="new", donotbulkemail=False, department="Support")
    refusal = {"verb": "status", "code": 403, "error_code": "0x80040220", "message": "no"}
    for _ in range(cuts):
        first.fault(refusal, message="UpsertMultiple", nth=2)
        with pytest.raises(WorldError):
            loaded_twice(first, second, request_rows=2, parallel=1)
    first.control.delete("faults")
    loaded_twice(first, second)
    assert first.rows()[ROW]["jobtitle"] == "by a person"
    assert {row["jobtitle"] for i, row in first.rows().items() if i != ROW} == {"new"}
    assert {row["department"] for row in first.rows().values()} == {"Support"}
    assert [row[0] for row in found(first)] == ["jobtitle"]


def test_without_the_files_of_the_earlier_plan_old_values_are_kept_in_the_ledger(first: World) -> None:
    """F-48: nobody can tell any more who changed it; the update can be undone."""
    edit(first, jobtitle="by a person")
    first.plans.clear()
    assert loaded_twice(first, people(10, jobtitle="new", donotbulkemail=False)) == only(updated=10)
    with first.ledger() as ledger:
        assert dict(ledger.preimages("r2", "contact"))[ROW]["jobtitle"] == "by a person"
