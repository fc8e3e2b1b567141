"""The export files tell the same story as the API, as far as they reach."""

import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cio2d365.sim.customerio import Workspace
from cio2d365.sim.sample import write_files

DAY = 86_400
COLUMNS = {
    "identify": "id received_at sent_at anonymous_id user_id traits context",
    "track": "id received_at sent_at anonymous_id user_id event event_text properties context",
    "page": "id received_at sent_at anonymous_id user_id properties context",
    "screen": "id received_at sent_at anonymous_id user_id properties context",
    "group": "id received_at sent_at anonymous_id user_id group_id objectTypeId traits",
}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def files(sample: Workspace, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_files(sample, tmp_path_factory.mktemp("files"))


def rows_of(files: list[Path], kind: str) -> Rows:
    return [row for path in files if f".{kind}." in path.name for row in read(path)]


def read(path: Path) -> Rows:
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_columns_are_those_of_the_storage_destination(files: list[Path], kind: str) -> None:
    assert {" ".join(row) for row in rows_of(files, kind)} == {COLUMNS[kind]}


def test_parts_are_numbered_and_in_order_of_time(files: list[Path]) -> None:
    parts = [path for path in files if ".track." in path.name]
    assert [path.name.split(".")[2] for path in parts] == [str(n) for n in range(1, 9)]
    assert {path.suffix for path in parts} == {".json", ".gz"}
    stamps = [row["received_at"] for path in parts for row in read(path)]
    assert stamps == sorted(stamps)


def test_the_files_reach_from_two_years_back_to_the_cut(files: list[Path], sample: Workspace) -> None:
    stamps = [row["received_at"] for row in rows_of(files, "track")]
    assert sample.files_until is not None
    assert max(stamps) <= sample.files_until
    assert sample.files_until - max(stamps) < DAY
    assert min(stamps) >= sample.clock.now() - 730 * DAY


def test_every_event_up_to_the_cut_is_there_and_the_redelivered_one_three_times(
    files: list[Path], sample: Workspace
) -> None:
    rows = [row for row in rows_of(files, "track") if row["event_text"] not in ("User Deleted", "User Suppressed")]
    assert sample.files_until is not None
    received = {a.id: a.received_at or a.timestamp + 2 for a in sample.activities}
    due = [
        a
        for a in sample.activities
        if a.type == "event" and sample.clock.now() - 730 * DAY <= received[a.id] <= sample.files_until
    ]
    assert len(rows) == len(due) + 2
    counts = Counter(row["id"] for row in rows if row["id"])
    assert [n for n in counts.values() if n > 1] == [3]
    assert sum(row["id"] is None for row in rows) == 2


def test_files_and_api_overlap(files: list[Path], sample: Workspace) -> None:
    newest = max(row["sent_at"] for row in rows_of(files, "track") if row["sent_at"] <= sample.clock.now())
    assert newest > sample.clock.now() - 30 * DAY


def test_the_slug_and_the_name_as_sent(files: list[Path]) -> None:
    pairs = {(row["event"], row["event_text"]) for row in rows_of(files, "track")}
    assert ("report_viewed", "Report Viewed") in pairs
    assert ("script_alert_1_script", "<script>alert(1)</script>") in pairs


def test_anonymous_rows_name_nobody_and_some_are_known_later(files: list[Path]) -> None:
    anonymous = [row for row in rows_of(files, "track") if row["user_id"] is None]
    assert all(row["anonymous_id"] for row in anonymous)
    linked = {row["anonymous_id"] for row in rows_of(files, "identify") if row["anonymous_id"]}
    known = {row["anonymous_id"] for row in anonymous} & linked
    assert 0 < len(known) < len({row["anonymous_id"] for row in anonymous})


def test_deletions_are_commands_for_people_who_are_gone(files: list[Path], sample: Workspace) -> None:
    commands = [row for row in rows_of(files, "track") if row["event"].startswith("user_")]
    assert Counter(row["event_text"] for row in commands) == {"User Deleted": 15, "User Suppressed": 5}
    assert not any(sample.with_id(row["user_id"]) for row in commands)


def test_companies_and_contracts_can_be_read_from_the_files_alone(files: list[Path], sample: Workspace) -> None:
    rows = rows_of(files, "group")
    found = {(row["objectTypeId"], row["group_id"]) for row in rows}
    assert sample.files_until is not None
    due = {(t.type_id, t.object_id) for t in sample.things.values() if t.created_at < sample.files_until - 60 * DAY}
    assert len(due - found) < len(due) / 20
    company = next(row for row in rows if row["objectTypeId"] == "2" and row["user_id"])
    assert {"name", "domain", "city", "country", "relationshipAttributes"} <= set(company["traits"])
    assert "role" in company["traits"]["relationshipAttributes"]


def test_traits_keep_their_types_in_the_call_files_and_are_text_in_the_csv(
    files: list[Path], sample: Workspace
) -> None:
    kinds = {type(row["traits"].get("tags")) for row in rows_of(files, "identify")}
    assert list in kinds
    with files[0].open(newline="", encoding="utf-8") as table:
        people = list(csv.DictReader(table))
    assert [row["cio_id"] for row in people] == list(sample.people)
    by_id = {row["id"]: row for row in people}
    assert by_id["text-lines"]["internal_notes"] == "first\r\nsecond\tthird\n"
    assert json.loads(next(row["tags"] for row in people if row["tags"]))
    assert by_id["bool-odd"]["mfa_enabled"] == "TRUE "


def test_writing_twice_gives_the_same_files(sample: Workspace, files: list[Path], tmp_path: Path) -> None:
    again = write_files(sample, tmp_path)
    assert [path.name for path in again] == [path.name for path in files]
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(again, files, strict=True))
