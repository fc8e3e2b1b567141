"""Loading over real HTTP against the simulator; what is claimed is compared with what the simulator really holds."""

from __future__ import annotations

import math
from typing import Any

import httpx
import polars as pl
import pytest

from cio2d365.dataverse import requests
from cio2d365.errors import ConservationError, OutcomeUnknown, Refused, TableRefused, Terminal
from cio2d365.migrate import load
from cio2d365.migrate.ledger import Intent
from tests.faults.story import Wire, over

from .world import AT, World, companies, dataverse, only, people, sums

CREATE = "CreateMultiple"
UPSERT = "UpsertMultiple"


def names(target: World) -> dict[str, str]:
    return {row_id: row["lastname"] for row_id, row in target.rows().items()}


def staged_names(frame: pl.DataFrame) -> dict[str, str]:
    return dict(zip(frame["contactid"], frame["lastname"], strict=True))


def bad(frame: pl.DataFrame, *at: int, text: str = "x" * 51) -> pl.DataFrame:
    """The same rows, some with a last name that is too long for the column."""
    wrong = pl.int_range(pl.len()).is_in(list(at))
    return frame.with_columns(pl.when(wrong).then(pl.lit(text)).otherwise("lastname").alias("lastname"))


# --- the plain way ----------------------------------------------------------------------------------------------------


def test_every_row_lands_once_with_its_own_id(target: World) -> None:
    frame = people(730)
    assert sums(target.load({"contact": frame})) == only(created=730)
    assert names(target) == staged_names(frame)


def test_a_second_load_of_the_same_rows_sends_no_write_at_all(target: World) -> None:
    staged = {"account": companies(3), "contact": people(50)}
    target.load(staged)
    before = target.mark()
    balance = target.load(staged, "r2")
    assert target.writes(before) == []
    assert sums(balance) == only(unchanged=50)
    assert sums(balance, "account") == only(unchanged=3)


def test_the_forecast_says_what_the_load_then_does(target: World) -> None:
    target.load({"contact": people(10)})
    changed = people(15).with_columns(
        lastname=pl.when(pl.int_range(pl.len()) < 4).then(pl.lit("new")).otherwise("lastname")
    )
    with target.ledger() as ledger:
        planned = load.plan("p", {"contact": changed}, target.tables, ledger).tables.row(0, named=True)
    assert planned == {"table": "contact", "rows": 15, "to_create": 5, "to_change": 4, "unchanged": 6}
    assert sums(target.load({"contact": changed}, "r2")) == only(created=5, updated=4, unchanged=6)


def test_two_staged_rows_with_one_id_are_noticed_before_anything_is_sent(target: World) -> None:
    before = target.mark()
    with pytest.raises(ConservationError, match="4 staged rows have 3 ids"):
        target.load({"contact": pl.concat([people(3), people(1)])}, chunk_rows=2)
    assert target.writes(before) == []


def test_a_run_cannot_go_on_with_other_rules(target: World) -> None:
    target.load({"contact": people(1)}, plan="before")
    with pytest.raises(Refused, match=r"r1 was begun for plan before.*now after.*new run"):
        target.load({"contact": people(1)}, plan="after")


def test_sums_that_do_not_agree_are_an_error() -> None:
    row = {"table": "contact", "staged": 3, "created": 1, "updated": 0, "unchanged": 1, "quarantined": 0, "open": 0}
    with pytest.raises(ConservationError, match="3 rows staged, 3 seen, 2 accounted for"):
        load.check(pl.DataFrame([row]), {"contact": 3})
    load.check(pl.DataFrame([row | {"quarantined": 1}]), {"contact": 3})


def test_dependencies_come_first() -> None:
    names = ["cio_event", "lead", "new_boat", "cio_relationship", "contact", "account", "cio_anonymous_event"]
    assert load.order(names) == [
        "account", "contact", "lead", "new_boat", "cio_relationship", "cio_event", "cio_anonymous_event"
    ]  # fmt: skip


# --- unclear ends: F-14, F-15, F-17 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        {"verb": "commit_then_drop"},
        {"verb": "commit_then_delay", "seconds": 1.0},
        {"verb": "reset_after", "bytes": 64},
        {"verb": "commit_then_status", "code": 504},
        {"verb": "drop_before_commit"},
        {"verb": "truncate_after", "bytes": 64},
    ],
    ids=lambda a: a["verb"],
)
@pytest.mark.parametrize("message", [CREATE, UPSERT])
def test_an_unclear_end_neither_doubles_nor_loses_a_row(target: World, action: dict[str, Any], message: str) -> None:
    if message == UPSERT:
        target.load({"contact": people(90, jobtitle="before")}, "r0")
    frame = people(90, jobtitle="after")
    target.fault(action, message=message, nth=[1, 3])
    with dataverse(target.origin, timeout=0.6) as impatient:
        target.client = impatient
        balance = target.load({"contact": frame}, request_rows=30, parallel=2)
    assert sums(balance) == (only(created=90) if message == CREATE else only(updated=90))
    assert names(target) == staged_names(frame)
    assert {row["jobtitle"] for row in target.rows().values()} == {"after"}
    committed = sum((e["committed"] or {}).get("contact", {}).get("created", 0) for e in target.journal())
    assert committed == 90


def test_ends_that_stay_unclear_stop_the_run_and_the_next_one_finds_out(target: World) -> None:
    frame = people(20)
    target.fault({"verb": "drop_before_commit"}, message=CREATE)
    with pytest.raises(OutcomeUnknown):
        target.load({"contact": frame})
    target.fault({"verb": "commit_then_drop"}, message=CREATE, times=1)
    assert sums(target.load({"contact": frame}, "r2")) == only(created=20)
    assert sums(target.load({"contact": frame}, "r3")) == only(unchanged=20)


# --- poisoned chunks: F-37, F-38, F-39, F-41 --------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [[417], [0], [999], [3, 77, 250, 251, 500, 738, 999]], ids=str)
def test_k_bad_rows_of_n_are_isolated_within_the_bound(target: World, wrong: list[int]) -> None:
    frame = bad(people(1000), *wrong)
    before = target.mark()
    balance = target.load({"contact": frame}, request_rows=1000, parallel=1)
    assert sums(balance) == only(created=1000 - len(wrong), quarantined=len(wrong))
    sent = [e for e in target.writes(before) if CREATE in e["path"]]
    assert len(sent) <= 1 + 2 * len(wrong) * math.ceil(math.log2(1000))
    good = frame.filter(~pl.int_range(pl.len()).is_in(wrong))
    assert names(target) == staged_names(good)


def test_each_row_in_quarantine_has_its_own_reason(target: World) -> None:
    frame = bad(people(40), 5).with_columns(
        emailaddress1=pl.when(pl.int_range(pl.len()) == 30).then(pl.lit("y" * 101 + "@example.com"))
    )
    target.load({"contact": frame}, request_rows=40)
    with target.ledger() as ledger:
        found = ledger.quarantine().rows(named=True)
    assert [(r["source_key"], r["code"]) for r in found] == [("id:30", 0x80044331), ("id:5", 0x80044331)]
    assert "emailaddress1" in found[0]["message"]
    assert "lastname" in found[1]["message"]


def test_rows_in_quarantine_land_once_they_are_mended(target: World) -> None:
    target.load({"contact": bad(people(10), 4)})
    assert sums(target.load({"contact": people(10)}, "r2")) == only(created=1, unchanged=9)
    with target.ledger() as ledger:
        assert ledger.quarantine().is_empty()


def test_a_table_refused_row_by_row_for_one_reason_is_stopped(target: World) -> None:
    before = target.mark()
    with pytest.raises(Terminal, match="20 rows of contact in a row were refused alike"):
        target.load({"contact": people(400, lastname="x" * 51)}, request_rows=400, same_error_limit=20)
    assert len(target.writes(before)) < 80
    assert target.rows() == {}


def test_small_chunks_do_not_hide_that_a_whole_table_is_refused(target: World) -> None:
    with pytest.raises(Terminal, match="20 rows of contact in a row"):
        target.load({"contact": people(60, lastname="x" * 51)}, chunk_rows=5, same_error_limit=20)


def test_a_few_alike_refusals_among_good_rows_do_not_stop_a_table(target: World) -> None:
    frame = bad(people(200), *range(0, 200, 4))
    assert sums(target.load({"contact": frame}, same_error_limit=10)) == only(created=150, quarantined=50)


def test_a_persistent_unknown_error_of_one_row_is_isolated_and_a_passing_one_is_not(target: World) -> None:
    def action(code: str) -> dict[str, Any]:
        return {"verb": "reject", "status": 500, "code": code, "message": "An unexpected error occurred."}

    target.faults(
        [
            {"match": {"record": {"column": "lastname", "equals": "n3"}}, "action": action("0x80040216")},
            {"match": {"record": {"column": "lastname", "equals": "n40"}, "times": 1}, "action": action("0x80040216")},
        ]
    )
    assert sums(target.load({"contact": people(64)}, request_rows=32, parallel=1)) == only(created=63, quarantined=1)


# --- authority, size, storage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["0x80040220", "0x80048306", "0x80042F09"])
def test_a_missing_privilege_stops_at_the_first_answer(target: World, code: str) -> None:
    target.fault({"verb": "status", "code": 403, "error_code": code, "message": "no privilege"}, message=CREATE)
    before = target.mark()
    with pytest.raises(TableRefused, match="no privilege"):
        target.load({"contact": people(500)}, request_rows=100, parallel=1)
    assert len(target.writes(before)) == 1


def test_a_full_storage_stops_at_once_and_can_be_resumed(target: World) -> None:
    target.fault({"verb": "status", "code": 400, "error_code": "0x80072325", "message": "full"}, message=CREATE, nth=2)
    with pytest.raises(Terminal, match="free storage"):
        target.load({"contact": people(100)}, request_rows=50, parallel=1)
    assert len(target.rows()) == 50
    assert sums(target.load({"contact": people(100)})) == only(created=100)


@pytest.mark.parametrize(
    "answer", [{"code": 500, "error_code": "0x80044151", "message": "SQL timeout expired."}, {"code": 413}], ids=str
)
def test_requests_that_are_too_large_get_smaller_and_stay_small(target: World, answer: dict[str, Any]) -> None:
    target.fault({"verb": "status", **answer}, rows_over=25)
    assert sums(target.load({"contact": people(400)}, request_rows=100, parallel=1)) == only(created=400)
    refused = [e for e in target.writes() if CREATE in e["path"] and e["status"] >= 400]
    assert len(refused) == 3
    assert len(target.rows()) == 400


def test_a_single_row_that_is_too_large_goes_to_quarantine(target: World) -> None:
    target.control.post("switches", json={"max_body_bytes": 20_000}).raise_for_status()
    frame = people(30, description=["z" * 50_000 if n == 11 else "z" for n in range(30)])
    assert sums(target.load({"contact": frame})) == only(created=29, quarantined=1)


def test_throttling_slows_a_load_down_and_loses_nothing(target: World) -> None:
    headers = {"Retry-After": "37"}
    action = {"verb": "status", "code": 429, "headers": headers, "error_code": "0x80072322", "message": "slow down"}
    target.fault(action, message=CREATE, every=3)
    assert sums(target.load({"contact": people(300)}, request_rows=20)) == only(created=300)
    assert max(target.clock.slept) > 30


# --- updates and rows that are not ours -------------------------------------------------------------------------------


def test_a_row_that_was_there_before_is_updated_with_its_old_values_kept_and_never_counted_as_created(
    target: World,
) -> None:
    frame = people(20, jobtitle="new")
    theirs = {"contactid": frame["contactid"][7], "lastname": "Theirs", "jobtitle": "old"}
    target.client.send(requests.post("contacts", theirs))
    assert sums(target.load({"contact": frame})) == only(created=19, updated=1)
    with target.ledger() as ledger:
        [(row_id, picture)] = ledger.preimages("r1", "contact")
        assert row_id not in ledger.created_by("r1", "contact")
    assert (row_id, picture["lastname"], picture["jobtitle"]) == (frame["contactid"][7], "Theirs", "old")
    target.roll_back()
    [left] = target.rows().values()
    assert (left["lastname"], left["jobtitle"]) == ("Theirs", "old")


def test_after_a_lost_ledger_rows_are_updated_not_doubled_and_not_claimed(target: World) -> None:
    frame = people(30)
    target.load({"contact": frame}, ledger="lost", at="2025-12-31T00:00:00+00:00")
    assert sums(target.load({"contact": frame}, "r2")) == only(updated=30)
    target.roll_back("r2")
    assert names(target) == staged_names(frame)


def test_a_row_deleted_in_the_target_meanwhile_is_made_again_when_it_changes(target: World) -> None:
    frame = people(5)
    target.load({"contact": frame})
    target.client.send(requests.delete_row(target.tables["contact"], frame["contactid"][2]))
    balance = target.load({"contact": frame.with_columns(lastname=pl.col("lastname") + "!")}, "r2")
    assert sums(balance) == only(created=1, updated=4)
    assert len(target.rows()) == 5


def test_a_resumed_run_counts_what_it_did_before_as_its_own(target: World) -> None:
    target.load({"contact": people(50, jobtitle="old")}, "r0")
    frame = people(80, jobtitle="new")
    target.fault({"verb": "status", "code": 403, "error_code": "0x80040220", "message": "no"}, message=UPSERT, nth=2)
    with pytest.raises(TableRefused):
        target.load({"contact": frame}, request_rows=20, parallel=1)
    for _ in range(2):
        assert sums(target.load({"contact": frame})) == only(created=30, updated=50)
    with target.ledger() as ledger:
        found = {r["run_id"]: (r["created"], r["updated"]) for r in ledger.runs().to_dicts()}
    assert found == {"r0": (50, 0), "r1": (30, 50)}


def test_a_run_that_goes_on_with_other_chunks_still_adds_up(target: World) -> None:
    frame = people(60)
    target.load({"contact": frame}, chunk_rows=10)
    assert sums(target.load({"contact": frame}, chunk_rows=25)) == only(created=60)


def test_lookups_are_bound_to_rows_loaded_before(target: World) -> None:
    accounts = companies(2)
    frame = people(4).with_columns(parentcustomerid_account=pl.lit(accounts["accountid"][1]))
    target.load({"account": accounts, "contact": frame})
    assert {row["parentcustomerid"] for row in target.rows().values()} == {accounts["accountid"][1]}


def test_a_row_whose_run_died_is_given_to_that_run_even_when_a_later_run_meant_it_otherwise(target: World) -> None:
    frame = people(1)
    with target.ledger() as ledger:
        number = ledger.begin_run("r1", "p", AT)
        later = ledger.begin_run("r2", "p", AT)
        assert later > number
        intent = Intent(frame["contactid"][0], "id:0", "hash of other content", "create")
        ledger.open_chunk("r1", "contact", 0, 1, {}, [intent])
        ledger.open_chunk("r2", "contact", 0, 1, {}, [intent])
    row = {"contactid": frame["contactid"][0], "lastname": "sent by r1", "importsequencenumber": number}
    target.client.send(requests.post("contacts", row))
    assert sums(target.load({"contact": frame}, "r3")) == only(updated=1)
    with target.ledger() as ledger:
        assert ledger.created_by("r1", "contact") == frame["contactid"].to_list()
        assert ledger.runs().select("run_id", "created").rows() == [("r1", 1), ("r2", 0), ("r3", 0)]
    assert names(target) == staged_names(frame)


# --- what a load sets off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "headers"),
    [
        ({}, {}),
        ({"run_custom_logic": False}, {"mscrm.bypassbusinesslogicexecution": "CustomSync,CustomAsync"}),
        ({"start_flows": False}, {"mscrm.suppresscallbackregistrationexpanderjob": "true"}),
        ({"detect_duplicates": True}, {"mscrm.suppressduplicatedetection": "false"}),
    ],
)
def test_side_effects_are_what_the_settings_say(target: World, chosen: dict[str, Any], headers: dict[str, str]) -> None:
    seen: list[dict[str, str]] = []

    def look(_: int, request: httpx.Request) -> None:
        if "Multiple" in request.url.path:
            seen.append({k: v for k, v in request.headers.items() if k.startswith("mscrm.")})

    with over(Wire(look), target) as watched:
        watched.load({"contact": people(5, jobtitle="a")}, "r1", **chosen)
        watched.load({"contact": people(5, jobtitle="b")}, "r2", **chosen)
    assert seen == [headers, headers]
