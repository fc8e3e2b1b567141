"""Undoing a run: what it created goes, what it changed comes back, what others hang on it stays."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from cio2d365.dataverse import requests
from cio2d365.errors import Refused, Transient
from cio2d365.migrate import rollback

from .world import World, companies, people

OLD = "2025-06-01T00:00:00+00:00"


def post(target: World, set_name: str, **values: Any) -> str:
    answer = target.client.send(requests.post(set_name, values))
    return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")").lower()


def seen(target: World, *columns: str) -> dict[str, tuple[Any, ...]]:
    return {row_id: tuple(row.get(c) for c in columns) for row_id, row in target.rows().items()}


def table(planned: rollback.RollbackPlan, name: str) -> rollback.TablePlan:
    return next(t for t in planned.tables if t.table == name)


def test_exactly_what_the_run_created_is_deleted(target: World) -> None:
    stranger = post(target, "contacts", lastname="stranger")
    target.load({"contact": people(30)}, "r0", at=OLD)
    target.load({"account": companies(5), "contact": people(80)})
    done = target.roll_back()
    assert done.select("table", "deleted").rows() == [("contact", 50), ("account", 5)]
    assert set(target.rows()) == {stranger, *people(30)["contactid"]}
    assert target.rows("account") == {}


def test_changed_rows_get_their_old_values_back_with_lookups_and_nulls(target: World) -> None:
    accounts = companies(3)
    target.load({"account": accounts}, "r0", at=OLD)
    first, second, third = accounts["accountid"]
    ids = people(4)["contactid"]
    post(target, "contacts", contactid=ids[0], lastname="A", jobtitle="x",
         **{"parentcustomerid_account@odata.bind": f"/accounts({first})"})  # fmt: skip
    boss = post(target, "contacts", lastname="boss")
    post(target, "contacts", contactid=ids[1], lastname="B",
         **{"parentcustomerid_contact@odata.bind": f"/contacts({boss})"})  # fmt: skip
    post(target, "contacts", contactid=ids[2], lastname="C", donotemail=True, numberofchildren=7)
    columns = ("lastname", "jobtitle", "parentcustomerid", "donotemail", "numberofchildren", "birthdate")
    before = seen(target, *columns)
    new = people(
        4, jobtitle="new", donotemail=False, numberofchildren=1, birthdate="1990-09-07", parentcustomerid_account=third
    )
    target.load({"contact": new})
    assert {row[2] for row_id, row in seen(target, *columns).items() if row_id != boss} == {third}
    done = target.roll_back()
    assert done.row(0, named=True) == {"table": "contact", "deleted": 1, "restored": 3, "protected": 0, "gone": 0}
    assert seen(target, *columns) == before
    assert before[ids[0]][2] == first
    assert second in target.rows("account")


def test_after_a_rollback_the_same_rows_can_be_loaded_again(target: World) -> None:
    target.load({"contact": people(20)}, "r0", at=OLD)
    frame = people(40, jobtitle="new")
    target.load({"contact": frame})
    target.roll_back()
    balance = target.load({"contact": frame}, "r2", at="2026-03-01T00:00:00+00:00")
    assert balance.select("created", "updated", "unchanged").row(0) == (20, 20, 0)


@pytest.mark.parametrize(
    ("set_name", "values", "bind"),
    [
        ("contacts", {"lastname": "foreign"}, "parentcustomerid_account"),
        ("annotations", {"subject": "a call"}, "objectid_account"),
        ("tasks", {"subject": "call back"}, "regardingobjectid_account_task"),
    ],
)
def test_an_account_on_which_others_hung_something_is_kept_and_listed(
    target: World, set_name: str, values: dict[str, str], bind: str
) -> None:
    accounts = companies(3)
    target.load({"account": accounts})
    busy = accounts["accountid"][1]
    added = post(target, set_name, **values, **{f"{bind}@odata.bind": f"/accounts({busy})"})
    assert table(target.plan_rollback(), "account").protected == (busy,)
    target.roll_back()
    assert set(target.rows("account")) == {busy}
    rows = list(target.client.rows(requests.get(set_name)))
    assert any(added in (str(v).lower() for v in row.values()) for row in rows)


def test_what_protects_a_contact_protects_its_company_too(target: World) -> None:
    accounts = companies(2)
    frame = people(2).with_columns(parentcustomerid_account=pl.Series(accounts["accountid"]))
    target.load({"account": accounts, "contact": frame})
    post(target, "annotations", subject="n", **{"objectid_contact@odata.bind": f"/contacts({frame['contactid'][0]})"})
    planned = target.plan_rollback()
    assert table(planned, "contact").protected == (frame["contactid"][0],)
    assert table(planned, "account").protected == (accounts["accountid"][0],)
    target.roll_back()
    assert (len(target.rows("contact")), len(target.rows("account"))) == (1, 1)


def test_an_older_contact_that_the_run_moved_to_a_new_account_does_not_protect_it(target: World) -> None:
    target.load({"contact": people(1)}, "r0", at=OLD)
    accounts = companies(1)
    target.load({"account": accounts, "contact": people(1, parentcustomerid_account=accounts["accountid"][0])})
    target.roll_back()
    assert target.rows("account") == {}
    assert seen(target, "parentcustomerid") == {people(1)["contactid"][0]: (None,)}


def test_rows_that_somebody_deleted_meanwhile_are_counted_as_gone(target: World) -> None:
    target.load({"contact": people(5)}, "r0", at=OLD)
    target.load({"contact": people(10, jobtitle="new")})
    for n in (1, 7):
        target.client.send(requests.delete_row(target.tables["contact"], people(10)["contactid"][n]))
    [part] = target.plan_rollback().tables
    assert (len(part.delete), len(part.restore), len(part.gone)) == (4, 4, 1)
    target.roll_back()
    assert set(seen(target, "jobtitle").values()) == {(None,)}


def test_a_rollback_that_was_interrupted_goes_on(target: World) -> None:
    target.load({"contact": people(20)}, "r0", at=OLD)
    target.load({"contact": people(900, jobtitle="new")})
    target.fault({"verb": "status", "code": 503}, message="Batch", window=[0, 3600], nth=list(range(3, 30)))
    with pytest.raises(Transient):
        target.roll_back()
    assert 20 < len(target.rows()) < 900
    target.faults([])
    target.roll_back()
    assert seen(target, "jobtitle") == dict.fromkeys(people(20)["contactid"], (None,))


@pytest.mark.parametrize(
    "action",
    [
        {"verb": "commit_then_status", "code": 504, "parts": 50},
        {"verb": "commit_then_drop"},
        {"verb": "drop_before_commit"},
        {"verb": "truncate_after", "bytes": 500},
    ],
    ids=lambda a: a["verb"],
)
def test_batches_with_an_unclear_end_delete_each_row_once(target: World, action: dict[str, Any]) -> None:
    target.load({"contact": people(20)}, "r0", at=OLD)
    target.load({"contact": people(450, jobtitle="new")})
    target.fault(action, message="Batch", nth=[1, 3])
    done = target.roll_back()
    assert done.select("deleted", "restored").row(0) == (430, 20)
    assert seen(target, "jobtitle") == dict.fromkeys(people(20)["contactid"], (None,))


def test_a_second_rollback_finds_nothing_to_do(target: World) -> None:
    target.load({"contact": people(10)})
    target.roll_back()
    before = target.mark()
    target.roll_back()
    assert target.writes(before) == []


def test_an_unknown_run_is_refused(target: World) -> None:
    target.load({"contact": people(1)})
    with pytest.raises(Refused, match="knows no run r9"):
        target.plan_rollback("r9")


def test_the_run_is_marked_as_rolled_back(target: World) -> None:
    target.load({"contact": people(1)})
    target.roll_back()
    with target.ledger() as ledger:
        assert ledger.runs()["state"].to_list() == ["rolled back"]
