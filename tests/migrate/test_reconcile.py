"""Reconciliation: every difference is found, and nothing that is equal is called a difference (pain 13)."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from cio2d365.migrate import reconcile
from cio2d365.tables import Column, Lookup, Option, Table

ID = [f"aaaaaaaa-0000-5000-8000-00000000000{n}" for n in range(4)]
ACCOUNT = "bbbbbbbb-0000-5000-8000-000000000001"
CONTACT = Table(
    "contact", "contacts", "contactid", "fullname",
    columns=(
        Column("lastname", "string", length=50), Column("cio_score", "decimal", precision=10),
        Column("cio_big", "bigint"), Column("cio_seen", "datetime"), Column("cio_born", "date"),
        Column("cio_tags", "multichoice", options=(Option(1, "a"), Option(2, "b"))), Column("donotemail", "boolean"),
    ),
    lookups=(Lookup("parentcustomerid", tuple((t, f"parentcustomerid_{t}") for t in ("account", "contact"))),),
)  # fmt: skip


def staged(**columns: Any) -> pl.DataFrame:
    size = len(next(iter(columns.values()))) if columns else 2
    keys = [f"id:{n}" for n in range(size)]
    return pl.DataFrame({"contactid": ID[:size], "cio_source_key": keys, **columns})


def found(frame: pl.DataFrame, **columns: Any) -> pl.DataFrame:
    """The target's rows: the staged ones with other values."""
    return pl.DataFrame({"contactid": frame["contactid"], "cio_source_key": frame["cio_source_key"], **columns})


def compare(frame: pl.DataFrame, target: pl.DataFrame, *quarantined: str) -> reconcile.Comparison:
    return reconcile.compare(frame, target, CONTACT, quarantined)


def test_equal_rows_are_clean() -> None:
    frame = staged(lastname=["a", "b"])
    result = compare(frame, found(frame, lastname=["a", "b"]))
    assert result.clean
    assert result.fields.row(0, named=True) == {
        "table": "contact", "column": "lastname", "sent": 2, "equal": 2, "different": 0, "not_sent": 0
    }  # fmt: skip


def test_missing_and_extra_rows_are_listed_by_source_key() -> None:
    frame = staged(lastname=["a", "b", "c"])
    target = pl.concat([found(frame, lastname=["a", "b", "c"])[:2], pl.DataFrame(
        {"contactid": [ID[3]], "cio_source_key": ["id:9"], "lastname": ["z"]}
    )])  # fmt: skip
    result = compare(frame, target)
    assert not result.clean
    assert result.missing["cio_source_key"].to_list() == ["id:2"]
    assert result.extra["cio_source_key"].to_list() == ["id:9"]


@pytest.mark.parametrize(
    ("column", "sent", "there"),
    [
        ("lastname", "Ann", "ann"),
        ("lastname", "Ann", None),
        ("lastname", "josé", "jose"),
        ("cio_score", 1.25, 1.26),
        ("cio_big", 9007199254740993, 9007199254740992),
        ("cio_seen", "2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z"),
        ("cio_born", "1990-09-07", "1990-09-06"),
        ("cio_tags", "1,2", "1"),
        ("donotemail", True, False),
        ("donotemail", False, None),
    ],
)
def test_a_changed_value_is_found_with_both_values(column: str, sent: object, there: object) -> None:
    frame = staged(**{column: [sent, sent]})
    result = compare(frame, found(frame, **{column: pl.Series([sent, there])}))
    assert result.differences.height == 1
    assert result.differences.row(0, named=True)["source_key"] == "id:1"
    assert result.differences["column"].to_list() == [column]


@pytest.mark.parametrize(
    ("column", "sent", "there"),
    [
        ("cio_score", 0.1 + 0.2, 0.3),
        ("cio_score", 5, 5.0),
        ("cio_big", 9007199254740993, 9007199254740993),
        ("cio_seen", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000Z"),
        ("cio_seen", "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"),
        ("cio_seen", "2024-05-01T10:00:00.250Z", "2024-05-01T10:00:00Z"),
        ("cio_tags", "2,1", "1,2"),
        ("cio_born", "1990-09-07", "1990-09-07"),
    ],
)
def test_the_same_value_in_another_dress_is_no_difference(column: str, sent: object, there: object) -> None:
    frame = staged(**{column: [sent, None]})
    result = compare(frame, found(frame, **{column: pl.Series([there, None], strict=False)}))
    assert result.differences.rows() == []
    assert result.clean


def test_guids_are_compared_without_case_and_lookups_by_what_they_point_to() -> None:
    frame = staged(parentcustomerid_account=[ACCOUNT, None], parentcustomerid_contact=[None, ID[0]])
    there = found(frame, _parentcustomerid_value=[ACCOUNT.upper(), ID[0]])
    upper = there.with_columns(pl.col("contactid").str.to_uppercase())
    assert compare(frame, upper).clean
    assert compare(frame, there.with_columns(_parentcustomerid_value=pl.lit(ID[3]))).differences.height == 2


def test_what_was_not_sent_is_counted_and_not_compared() -> None:
    frame = staged(lastname=["a", None])
    result = compare(frame, found(frame, lastname=["a", "theirs"]))
    assert result.clean
    assert result.fields.row(0, named=True)["not_sent"] == 1


def test_rows_in_quarantine_are_not_expected() -> None:
    frame = staged(lastname=["a", "b"])
    assert compare(frame, found(frame, lastname=["a", "b"])[:1], ID[1]).clean


def test_a_refused_change_of_a_row_that_is_there_is_not_an_extra_row() -> None:
    frame = staged(lastname=["a", "too long"])
    result = compare(frame, found(frame, lastname=["a", "old"]), ID[1])
    assert result.extra.is_empty()
    assert result.clean


def test_an_empty_target_is_all_missing() -> None:
    frame = staged(lastname=["a", "b"], cio_score=[1.5, None])
    target = pl.DataFrame(schema={"contactid": pl.String, "cio_source_key": pl.String, "lastname": pl.String,
                                  "cio_score": pl.String})  # fmt: skip
    result = compare(frame, target)
    assert (result.missing.height, result.target, result.differences.height) == (2, 0, 0)
    assert reconcile.summary([result]).row(0, named=True)["verdict"] == "differs"


def test_links_to_rows_that_are_not_there_are_counted() -> None:
    child = pl.DataFrame({"cio_eventid": ["e1", "e2", "e3"], "_cio_user_id_value": [ID[0].upper(), ID[3], None]})
    people = {"contact": pl.DataFrame({"contactid": ID[:2]}), "lead": pl.DataFrame({"leadid": [ID[2]]})}
    assert reconcile.link_check({"cio_event": child}, people).rows() == [("cio_event", "_cio_user_id_value", 2, 1)]


def test_the_sheet_for_people_draws_the_same_rows_every_time() -> None:
    frame = staged(lastname=["a", "b", "c", "d"])
    raw = pl.DataFrame({"person_key": frame["cio_source_key"], "attributes": ['{"x":1}'] * 4})
    there = found(frame, lastname=["a", "b", "c", "other"])
    first = reconcile.spot_checks(frame, there, CONTACT, raw, rows=2)
    again = reconcile.spot_checks(frame.reverse(), there.reverse(), CONTACT, raw.reverse(), rows=2)
    assert first.equals(again)
    assert first["source_key"].n_unique() == 2
    assert first.columns == ["table", "source_key", "column", "sent", "found", "verdict", "source"]


def test_a_difference_has_the_reason_that_the_load_has_recorded() -> None:
    shape = ["table", "source_key", "column", "staged", "target"]
    rows = [
        ("contact", "id:1", "jobtitle", "new", "by a person"),
        ("contact", "id:2", "jobtitle", "new", "something else"),
        ("contact", "id:3", "_parentcustomerid_value", "a1", None),
        ("contact", "id:4", "_parentcustomerid_value", "a1", "a2"),
    ]
    differences = pl.DataFrame(rows, schema=dict.fromkeys(shape, pl.String), orient="row")
    kept = pl.DataFrame(
        {"table": "contact", "source_key": ["id:1", "id:2"], "column": "jobtitle", "target": "by a person"}
    )
    links = pl.DataFrame({"table": "contact", "source_key": ["id:3", "id:4"], "column": "_parentcustomerid_value"})
    found = reconcile.explained(differences, kept, links)
    assert found["reason"].to_list() == [
        "kept as edited in Dynamics", "", "link left out: its target is in quarantine", "",
    ]  # fmt: skip
    assert found.select(shape).equals(differences)


@pytest.mark.parametrize("kind", [pl.String, pl.Null])
def test_without_records_no_difference_has_a_reason(kind: type[pl.DataType]) -> None:
    """Columns of a ledger that answers with no rows have no type."""
    row = {"table": "contact", "source_key": "id:1", "column": "a", "staged": "x", "target": None}
    differences = pl.DataFrame([row], schema=dict.fromkeys(row, pl.String))
    kept = pl.DataFrame(schema=dict.fromkeys(("table", "source_key", "column", "target"), kind))
    links = pl.DataFrame(schema=dict.fromkeys(("table", "source_key", "column"), kind))
    assert reconcile.explained(differences, kept, links)["reason"].to_list() == [""]
