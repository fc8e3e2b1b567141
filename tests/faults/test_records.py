"""Records that poison a chunk, F-37 to F-51: the bad one is set aside with its reason, every good one lands."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio2d365.dataverse import batch, requests
from cio2d365.errors import ConservationError, SettingsError, Terminal, WorldError
from cio2d365.migrate import stage
from cio2d365.settings import new_document, parse, read
from tests.end_to_end.test_demo import command
from tests.migrate.test_stage import given, person
from tests.migrate.world import World, companies, only, people, sums

from .conftest import Undisturbed
from .story import CREATE, UPSERT, State, committed, content, gaps, odata_error, sent


def refusing(code: str, message: str = "m", status: int = 400, **record: str) -> dict[str, Any]:
    """A rule: the transaction fails as long as a record is in it whose column is (`lastname="n7"`) that."""
    [(column, value)] = record.items()
    action = {"verb": "reject", "code": code, "message": message, "status": status}
    return {"match": {"record": {"column": column, "equals": value}}, "action": action}


def set_aside(target: World) -> dict[str, tuple[int | None, str]]:
    """Source key → code and message of every row in quarantine."""
    with target.ledger() as ledger:
        return {row["source_key"]: (row["code"], row["message"]) for row in ledger.quarantine().rows(named=True)}


def without(frame: pl.DataFrame, *numbers: int) -> dict[str, pl.DataFrame]:
    return {"contact": frame.filter(~frame["lastname"].is_in([f"n{n}" for n in numbers]))}


def lacking(state: State, *numbers: int) -> State:
    """The state without these contacts."""
    names = {f"n{n}" for n in numbers}
    return state | {"contact": {i: row for i, row in state["contact"].items() if row["lastname"] not in names}}


# --- F-37 to F-39: one, a few, all ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 618, 999])
def test_one_bad_record_of_a_thousand_is_found_with_21_requests(
    target: World, undisturbed: Undisturbed, n: int
) -> None:
    """F-37: SPLIT. 999 land."""
    frame = people(1000)
    target.faults([refusing("0x80060892", "Entity Key Source key violated.", 412, lastname=f"n{n}")])
    balance = target.load({"contact": frame}, request_rows=1000, parallel=1)
    assert sums(balance) == only(created=999, quarantined=1)
    assert len(sent(target, CREATE)) <= 1 + 2 * math.ceil(math.log2(1000))
    assert set_aside(target) == {f"id:{n}": (0x80060892, "Entity Key Source key violated.")}
    assert content(target) == lacking(undisturbed({"contact": frame}), n)


BAD = {
    5: ("0x80060892", "Entity Key violated."),
    77: ("0x80040265", "The plug-in refuses."),
    78: ("0x80044331", "The length of the 'lastname' attribute of the 'contact' entity exceeded it."),
    300: ("0x8004431a", "The value of 'gendercode' is outside the valid range."),
    301: ("0x80040239", "The date-time format is invalid."),
    640: ("0x80040278", "Invalid character in field 'lastname'."),
    999: ("0x80048d19", "Error identified in Payload provided by the user for Entity :'contacts'."),
}


def test_seven_bad_records_of_a_thousand_have_seven_reasons(target: World, undisturbed: Undisturbed) -> None:
    """F-38: SPLIT. 993 land, each of the others is set aside with its own reason."""
    frame = people(1000)
    target.faults([refusing(code, text, lastname=f"n{n}") for n, (code, text) in BAD.items()])
    balance = target.load({"contact": frame}, request_rows=1000, parallel=1)
    assert sums(balance) == only(created=993, quarantined=7)
    assert set_aside(target) == {f"id:{n}": (int(code, 16), text) for n, (code, text) in BAD.items()}
    assert len(sent(target, CREATE)) <= 1 + 2 * 7 * math.ceil(math.log2(1000))
    assert content(target) == lacking(undisturbed({"contact": frame}), *BAD)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_table_of_which_everything_is_refused_alike_is_stopped(target: World, parallel: int) -> None:
    """F-39: STOP after a threshold, and the message says what it looks like."""
    target.fault({"verb": "reject", "code": "0x80060892", "message": "Entity Key violated."}, message=CREATE)
    with pytest.raises(WorldError, match="looks like schema or mapping") as stop:
        target.load({"contact": people(5000)}, request_rows=500, parallel=parallel, chunk_rows=5000)
    assert stop.value.exit_code == 3
    for words in ("contact", "0x80060892", "Entity Key violated."):
        assert words in str(stop.value)
    assert len(set_aside(target)) < 100
    assert len(sent(target, CREATE)) < 200
    assert target.rows() == {}


# --- F-40: the same key twice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_rows", [10, 5], ids=["in one chunk", "in two chunks"])
def test_the_same_key_twice_is_found_before_anything_is_sent(target: World, chunk_rows: int) -> None:
    """F-40: no server error is needed to notice."""
    frame = pl.concat([people(9), people(1, jobtitle="the other").select(people(1).columns)])
    with pytest.raises(ConservationError, match="contact: 10 staged rows have 9 ids"):
        target.load({"contact": frame}, chunk_rows=chunk_rows, request_rows=2, parallel=4)
    assert target.writes() == []


# --- F-41, F-42: values that a column cannot take ---------------------------------------------------------------------


def test_a_text_that_is_too_long_for_its_column_is_kept_whole_and_told() -> None:
    """F-41: KEEP by rule, before anything is sent: field, length and limit are told, the person loads."""
    plan = "p" * 131
    staged = stage.stage(given(people=[person("cio:a1", "ann@acme.example", plan=plan, first_name="Ann", seats="3")]))
    [row] = (staged.frames["contact"].rows(named=True) + staged.frames["lead"].rows(named=True))[:1]
    assert row["cio_plan"] is None
    assert json.loads(row["cio_attributes"])["plan"] == plan
    [note] = staged.notes().filter(pl.col("note") == "E-LEN").rows(named=True)
    assert (note["source_key"], note["field"], note["column"]) == ("cio:a1", "plan", "cio_plan")
    assert note["detail"] == "131 characters, limit 100"


def test_a_text_that_the_server_finds_too_long_is_set_aside_with_field_and_limit(
    target: World, undisturbed: Undisturbed
) -> None:
    """F-41: QUARANTINE, when the target's column is shorter than it was."""
    frame = people(40, jobtitle=["j" * 101 if n == 7 else "j" for n in range(40)])
    assert sums(target.load({"contact": frame}, request_rows=40)) == only(created=39, quarantined=1)
    [(key, (code, message))] = set_aside(target).items()
    assert (key, code) == ("id:7", 0x80044331)
    assert "jobtitle" in message
    assert "100" in message
    assert content(target) == undisturbed(without(frame, 7))


def test_an_option_that_the_server_does_not_know_is_set_aside_and_none_is_invented(
    target: World, undisturbed: Undisturbed
) -> None:
    """F-42: the message has the field and the value; the list of options stays as it was."""
    frame = people(40, gendercode=[99 if n == 7 else 1 for n in range(40)])
    assert sums(target.load({"contact": frame}, request_rows=40)) == only(created=39, quarantined=1)
    [(key, (code, message))] = set_aside(target).items()
    assert (key, code) == ("id:7", 0x8004431A)
    assert "99" in message
    assert all(e["method"] == "POST" and CREATE in e["path"] for e in target.writes())
    assert content(target) == undisturbed(without(frame, 7))


# --- F-45: plug-ins ---------------------------------------------------------------------------------------------------


def test_records_that_a_plug_in_refuses_are_set_aside_with_its_text(target: World, undisturbed: Undisturbed) -> None:
    """F-45: QUARANTINE, the rest lands."""
    frame = people(100)
    target.faults([refusing("0x80040265", f"Row {n} breaks a rule of Contoso.", lastname=f"n{n}") for n in (3, 50)])
    assert sums(target.load({"contact": frame}, request_rows=100)) == only(created=98, quarantined=2)
    assert set_aside(target) == {f"id:{n}": (0x80040265, f"Row {n} breaks a rule of Contoso.") for n in (3, 50)}
    assert content(target) == undisturbed(without(frame, 3, 50))


def test_the_text_of_a_plug_in_is_shortened_and_made_safe(target: World) -> None:
    """F-45: no control characters, no change of direction, no novel."""
    text = "Contoso: <script>alert(1)</script>\x1b[31m\u202e\r\n" + "y" * 3000
    target.faults([refusing("0x80040265", text, lastname="n3")])
    assert sums(target.load({"contact": people(10)}, request_rows=10)) == only(created=9, quarantined=1)
    [(code, message)] = set_aside(target).values()
    assert code == 0x80040265
    assert message.startswith("Contoso: ")
    assert message.isprintable()
    assert len(message) <= 300


# --- F-46, F-49: sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [(odata_error(500, "0x80044151", "SQL timeout expired."), UPSERT), ({"verb": "status", "code": 413}, CREATE)],
    ids=["F-46 SQL timeout", "F-49 413"],
)
def test_requests_that_are_too_large_get_smaller_and_stay_small(
    target: World, undisturbed: Undisturbed, answer: dict[str, Any], message: str
) -> None:
    """F-46, F-49: the size goes down for that table, for all chunks that follow; the result is complete."""
    before, frames = {"contact": people(600, jobtitle="old")}, {"contact": people(600, jobtitle="new")}
    loads = [before, frames] if message == UPSERT else [frames]
    for n, earlier in enumerate(loads[:-1]):
        target.load(earlier, f"r{n}")
    target.fault(answer, message=message, rows_over=100)
    balance = target.load(frames, f"r{len(loads) - 1}", chunk_rows=200, request_rows=200, parallel=1)
    assert sums(balance) == (only(updated=600) if message == UPSERT else only(created=600))
    refused = [n for n, entry in enumerate(sent(target, message)) if entry["fault"] == "status"]
    assert len(refused) == 1
    assert committed(target, "created") == 600
    assert content(target) == undisturbed(*loads)


def test_a_single_record_that_is_too_large_is_set_aside(target: World, undisturbed: Undisturbed) -> None:
    """F-49: the smallest chunk is one row."""
    target.control.post("switches", json={"max_body_bytes": 20_000}).raise_for_status()
    frame = people(60, description=["z" * 50_000 if n == 11 else "z" for n in range(60)])
    assert sums(target.load({"contact": frame}, request_rows=60, parallel=1)) == only(created=59, quarantined=1)
    assert list(set_aside(target)) == ["id:11"]
    assert content(target) == undisturbed(without(frame, 11))


# --- F-47, F-48: others at work ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [CREATE, UPSERT])
def test_a_deadlock_is_tried_again_after_a_wait(timed: World, undisturbed: Undisturbed, message: str) -> None:
    """F-47: 0x80044150 with SQL number 1205: RETRY."""
    before, frames = {"contact": people(60, jobtitle="old")}, {"contact": people(60, jobtitle="new")}
    loads = [before, frames] if message == UPSERT else [frames]
    for n, earlier in enumerate(loads[:-1]):
        timed.load(earlier, f"r{n}")
    since = timed.mark()
    timed.fault(
        odata_error(500, "0x80044150", "Generic SQL error. SQL error 1205: deadlock"), message=message, nth=[1, 2]
    )
    balance = timed.load(frames, f"r{len(loads) - 1}", request_rows=60, parallel=1)
    assert sums(balance) == (only(updated=60) if message == UPSERT else only(created=60))
    assert all(wait > 0 for wait in gaps(sent(timed, message, since))[:2])
    assert content(timed) == undisturbed(*loads)


def test_those_who_met_in_a_deadlock_do_not_come_back_together(timed: World) -> None:
    """F-47: the second look of many workers is spread over half of the wait, differently each time."""
    timed.load({"contact": people(20, jobtitle="old")}, "r0")
    timed.fault(odata_error(500, "0x80044150", "SQL error 1205: deadlock"), message=UPSERT, nth=list(range(1, 16, 2)))
    since = timed.mark()
    for n in range(1, 9):
        timed.load({"contact": people(20, jobtitle=f"new {n}")}, f"r{n}", parallel=1)
    waits = gaps(sent(timed, UPSERT, since))[::2]
    assert len(waits) == 8
    assert all(1 <= wait <= 1.5 for wait in waits)
    assert len({round(wait, 3) for wait in waits}) > 4


def test_an_sql_error_that_is_no_deadlock_gets_few_tries_and_is_isolated(
    target: World, undisturbed: Undisturbed
) -> None:
    """F-47, F-08: 0x80044150 without 1205 does not pass by itself; nobody else's rows wait for it."""
    frame = people(64)
    target.faults([refusing("0x80044150", "Generic SQL error: division by zero", 500, lastname="n3")])
    assert sums(target.load({"contact": frame}, request_rows=64, parallel=1)) == only(created=63, quarantined=1)
    assert set_aside(target) == {"id:3": (0x80044150, "Generic SQL error: division by zero")}
    assert len([e for e in sent(target, CREATE) if e["status"] == 500]) <= 3 * 7
    assert content(target) == undisturbed(without(frame, 3))


def test_no_row_is_in_two_requests_that_run_at_once(target: World) -> None:
    """F-47: chunks that touch the same rows do not run at once; every row is written once."""
    target.load({"contact": people(400, jobtitle="old")}, "r0")
    assert sums(target.load({"contact": people(400, jobtitle="new")}, request_rows=20, parallel=4)) == only(updated=400)
    assert committed(target, "updated") == 400


def test_a_row_that_somebody_else_changed_meanwhile_is_not_overwritten_in_silence(target: World) -> None:
    """F-48: 412 with 0x80060882; the row is set aside with the server's words, and theirs stays."""
    target.load({"contact": people(40, jobtitle="old")}, "r0")
    theirs = people(40)["contactid"][9]
    target.client.send(requests.update_row(target.tables["contact"], theirs, {"jobtitle": "a person's"}))
    words = "The version of the existing record doesn't match the RowVersion property provided."
    rule = refusing("0x80060882", words, 412, lastname="n9")
    target.faults([{**rule, "match": {**rule["match"], "message": UPSERT}}])
    balance = target.load({"contact": people(40, jobtitle="new")}, "r1", request_rows=40)
    assert sums(balance) == only(updated=39, quarantined=1)
    assert target.rows()[theirs]["jobtitle"] == "a person's"
    assert set_aside(target) == {"id:9": (0x80060882, words)}


# --- F-50, F-51: sizes and storage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [("request_rows", 1001, "1000"), ("request_rows", 1500, "1000"), ("chunk_rows", 5001, "5000")],
)
def test_sizes_that_the_server_does_not_take_are_refused_with_the_limit(key: str, value: int, limit: str) -> None:
    """F-50: REFUSE, naming the setting and what is allowed."""
    with pytest.raises(SettingsError) as refused:
        parse({"migration": {"name": "acme", "id": "acme-0001"}, "load": {key: value}})
    assert f"load.{key}" in str(refused.value)
    assert limit in str(refused.value)
    assert refused.value.exit_code == 2


def test_the_command_line_refuses_a_size_that_the_server_does_not_take(tmp_path: Path) -> None:
    """F-50: exit code 2, before anything is asked of any server."""
    folder = tmp_path / "migrations" / "acme"
    folder.mkdir(parents=True)
    text = new_document(
        "acme", "acme-0001", sandbox="https://a.crm4.dynamics.com", customerio="https://api.customer.io"
    )
    (folder / "migration.toml").write_text(
        text.replace("request_rows = 500 ", "request_rows = 1500 "), encoding="utf-8"
    )
    with pytest.raises(SettingsError):
        read(folder / "migration.toml")
    ended = command("run", "acme", "--env", "sandbox", "--root", str(tmp_path))
    assert ended.code == 2
    assert "load.request_rows" in ended.output
    assert "1000" in ended.output


def test_a_batch_of_more_than_a_thousand_is_never_built() -> None:
    """F-50: fifteen hundred requests of one batch would be refused by the server as a whole."""
    with pytest.raises(ValueError, match="at most 1000 requests, not 1500"):
        batch.build([requests.get("contacts")] * 1500)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_full_storage_stops_at_once_and_can_be_resumed(
    target: World, undisturbed: Undisturbed, parallel: int
) -> None:
    """F-51: STOP, with what to do; the next run sends only what is not there yet."""
    frames = {"account": companies(20), "contact": people(300)}
    full = odata_error(400, "0x80072325", "The storage limit for the database has been met.")
    target.fault(full, path="contacts/.*CreateMultiple", nth=list(range(3, 1000)))
    with pytest.raises(Terminal, match=r"0x80072325.*free storage, then run again") as stop:
        target.load(frames, "r0", request_rows=20, parallel=parallel)
    assert stop.value.exit_code == 3
    assert len([e for e in sent(target, CREATE) if e["code"] == "0x80072325"]) <= parallel
    with target.ledger() as ledger:
        assert ledger.quarantine().is_empty()
    target.faults([])
    balance = target.load(frames, "r0")
    assert (sums(balance, "account"), sums(balance)) == (only(created=20), only(created=300))
    assert committed(target, "created") == 300
    assert content(target) == undisturbed(frames)
