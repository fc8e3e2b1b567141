"""People from a CSV export: what cannot be read is put apart with file, row and line; nothing else is lost with it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from cio2d365 import raw
from cio2d365.customerio.csv_people import opt_out, read_people
from cio2d365.errors import InputError

Rows = list[dict[str, Any]]


def read(folder: Path, data: bytes | str) -> tuple[Rows, Rows]:
    path = folder / "people.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    people, rejected = read_people(path)
    for table, rows in (("people", people), ("rejected", rejected)):
        raw.frame(table, rows)
    return people, rejected


def attributes(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(row["attributes"])
    return found


def test_a_plain_file(tmp_path: Path) -> None:
    people, rejected = read(tmp_path, "id,email,plan\n1,ann@example.com,gold\n2,,\n")
    assert rejected == []
    assert [(p["person_key"], p["email"], p["file"], p["row"]) for p in people] == [
        ("id:1", "ann@example.com", "people.csv", 1), ("id:2", None, "people.csv", 2)
    ]  # fmt: skip
    assert [attributes(p) for p in people] == [{"id": "1", "email": "ann@example.com", "plan": "gold"}, {"id": "2"}]


def test_ids_stay_text(tmp_path: Path) -> None:
    ids = ["007", "7", "NA", "null", "None", "nan", "true", "12345678901234567890123", "{ABC}", "a/b"]
    people, _ = read(tmp_path, "id\n" + "\n".join(ids) + "\n")
    assert [p["id"] for p in people] == ids


def test_a_byte_order_mark_does_not_stick_to_the_first_column(tmp_path: Path) -> None:
    people, _ = read(tmp_path, b"\xef\xbb\xbfid,email\n1,ann@example.com\n")
    assert attributes(people[0]) == {"id": "1", "email": "ann@example.com"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    people, rejected = read(tmp_path, f"id{separator}name{separator}x\n1{separator}Ann{separator}y\n")
    assert (attributes(people[0]), rejected) == ({"id": "1", "name": "Ann", "x": "y"}, [])


def test_quotes_hold_separators_doubled_quotes_and_line_breaks(tmp_path: Path) -> None:
    people, _ = read(tmp_path, 'id,note\r\n1,"a, ""b""\r\nc"\r\n2,d\r\n')
    assert [attributes(p).get("note") for p in people] == ['a, "b"\r\nc', "d"]


@pytest.mark.parametrize(("cells", "count"), [("2,b", 2), ("2,b,c,d", 4), ("2", 1)])
def test_too_few_or_too_many_fields_put_one_row_apart(tmp_path: Path, cells: str, count: int) -> None:
    people, rejected = read(tmp_path, f'id,a,b\n1,"x\ny",z\n\n{cells}\n3,x,y\n')
    assert [p["id"] for p in people] == ["1", "3"]
    [row] = rejected
    assert (row["file"], row["row"], row["line"], row["code"]) == ("people.csv", 2, 5, "E-FIELDS")
    assert row["message"] == f"people.csv row 2 (line 5) id=2: E-FIELDS {count} fields, the header has 3"
    assert row["original"] == f"{cells}\n"
    assert row["source_id"] == "2"


def test_the_first_row_has_the_right_line_and_only_its_own_text(tmp_path: Path) -> None:
    _, [row] = read(tmp_path, "id,a\n1\n")
    assert (row["row"], row["line"], row["original"]) == (1, 2, "1\n")


@pytest.mark.parametrize("place", ["id", "name"])
def test_bytes_that_are_not_utf8_put_one_row_apart_with_their_offset(tmp_path: Path, place: str) -> None:
    cells = {"id": b"J\xf6rg,x", "name": b"2,J\xf6rg"}[place]
    data = b"id,name\n1,a\n" + cells + b"\n3,c\n"
    people, [row] = read(tmp_path, data)
    assert [p["id"] for p in people] == ["1", "3"]
    assert (row["row"], row["line"], row["code"]) == (2, 3, "E-UTF8")
    assert f"byte {data.index(0xF6)} is not UTF-8" in row["message"]
    assert row["message"].isprintable()


def test_a_header_that_is_not_utf8_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 4: the header is not UTF-8"):
        read(tmp_path, b"id,J\xf6rg\n1,a\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError):
        read(tmp_path, "id,name\n1,a\n".encode(encoding))


def test_utf16_with_its_mark_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"people\.csv byte 0: the file is UTF-16"):
        read(tmp_path, "id,name\n1,a\n".encode("utf-16"))


@pytest.mark.parametrize("text", ["", "\n", "id,email\n", "\n\nid,email\n\n"])
def test_a_file_without_rows_has_no_rows(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ([], [])


def test_blank_lines_before_the_header_do_not_hide_it(tmp_path: Path) -> None:
    people, rejected = read(tmp_path, "\n\nid,a\n1,x\n")
    assert ([p["row"] for p in people], rejected) == ([1], [])


def test_a_column_that_stands_twice_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column 'a' stands twice"):
        read(tmp_path, "id,a,a\n1,x,y\n")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the columns id, email, cio_id"):
        read(tmp_path, "order,total\n1,2\n")


def test_a_quote_that_is_never_closed_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"people\.csv line 3: the CSV record cannot be read"):
        read(tmp_path, 'id,a\n1,x\n2,"y\n3,z\n')


def test_nobody_without_an_identifier_is_made_up(tmp_path: Path) -> None:
    people, [row] = read(tmp_path, "id,email,a\n,,x\n,Ann@Example.com,y\n")
    assert [p["person_key"] for p in people] == ["email:ann@example.com"]
    assert (row["code"], row["row"]) == ("E-ID", 1)


def test_a_cell_of_two_hundred_thousand_characters_is_read(tmp_path: Path) -> None:
    people, _ = read(tmp_path, f"id,a\n1,{'x' * 200_000}\n")
    assert len(attributes(people[0])["a"]) == 200_000


def test_a_gzip_file_is_recognised_whatever_it_is_called(tmp_path: Path) -> None:
    people, _ = read(tmp_path, gzip.compress(b"id\n1\n"))
    assert [p["id"] for p in people] == ["1"]


def test_a_cut_gzip_file_gives_nothing(tmp_path: Path) -> None:
    whole = gzip.compress(b"id\n" + b"".join(b"%d\n" % n for n in range(100_000)))
    with pytest.raises(InputError, match="damaged or cut"):
        read(tmp_path, whole[: len(whole) * 7 // 10])


@pytest.mark.parametrize(
    ("text", "out"),
    [("true", True), ("TRUE ", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("", False),
     ("maybe", None), (None, None), ("null", None)],
)  # fmt: skip
def test_consent_that_cannot_be_read_is_not_consent(text: str | None, out: bool | None) -> None:
    assert opt_out(text) is out


def test_the_rows_fit_the_snapshot(tmp_path: Path) -> None:
    people, rejected = read(tmp_path, b"id,a\n1,x\n\xff,y\n2\n")
    assert raw.frame("people", people).schema == pl.Schema(raw.PEOPLE)
    assert raw.frame("rejected", rejected).height == 2
