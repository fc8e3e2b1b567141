"""People from the CSV export: a column per attribute, lists as JSON text, empty = missing (`customerio-api 5`)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from itertools import dropwhile
from pathlib import Path
from typing import Any

import orjson

from cio2d365 import raw
from cio2d365.customerio.lines import Line, lines
from cio2d365.errors import InputError, Place

Row = dict[str, Any]
SEPARATORS = (",", ";", "\t")
IDENTIFIERS = ("id", "email", "cio_id")
TRUE, FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no", ""})


def read_people(path: Path) -> tuple[list[Row], list[Row]]:
    """Rows of `raw.PEOPLE` and of `raw.REJECTED`; InputError when the file as a whole cannot be read."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    source = _Remembering(lines(path))
    records = _records(path, source)
    header = _header(path, next(records, []), source.take())
    people: list[Row] = []
    rejected: list[Row] = []
    for row, cells in enumerate(records, 1):
        taken = source.take()
        problem = _problem(taken, cells, header)
        if problem:
            rejected.append(_rejected(path.name, row, taken, cells, header, *problem))
        else:
            people.append(_person(path.name, row, dict(zip(header, cells, strict=True))))
    return people, rejected


class _Remembering:
    """Feeds the csv reader and keeps the physical lines of the record being read."""

    def __init__(self, source: Iterator[Line]) -> None:
        self._source = source
        self.taken: list[Line] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._source:
            self.taken.append(line)
            yield line.text()

    def take(self) -> list[Line]:
        """The lines of the record that was read last, without blank lines before it."""
        taken, self.taken = self.taken, []
        return list(dropwhile(lambda line: not line.data.strip(), taken))


def _records(path: Path, source: _Remembering) -> Iterator[list[str]]:
    """Records that are not blank; the separator is the one that the first line has most of."""
    texts = iter(source)
    first = next((text for text in texts if text.strip()), None)
    if first is None:
        return
    separator = max(SEPARATORS, key=first.count)

    def all_lines() -> Iterator[str]:
        yield first
        yield from texts

    reader = csv.reader(all_lines(), delimiter=separator, strict=True)
    try:
        yield from (cells for cells in reader if cells)
    except csv.Error as error:
        start = source.taken[0].number if source.taken else 1
        raise InputError(f"{path.name} line {start}: the CSV record cannot be read ({error})") from None


def _header(path: Path, cells: list[str], taken: list[Line]) -> list[str]:
    if not cells:
        return []
    bad = _bad_byte(taken)
    if bad is not None:
        raise InputError(f"{path.name} byte {bad}: the header is not UTF-8; export the file as UTF-8")
    twice = sorted({name for name in cells if cells.count(name) > 1})
    if twice:
        raise InputError(f"{path.name} line 1: the column {twice[0]!r} stands twice")
    if not set(IDENTIFIERS) & set(cells):
        raise InputError(
            f"{path.name} line 1: none of the columns id, email, cio_id is there; is this a people export?"
        )
    return cells


def _problem(taken: list[Line], cells: list[str], header: list[str]) -> tuple[str, str] | None:
    bad = _bad_byte(taken)
    if bad is not None:
        return "E-UTF8", f"byte {bad} is not UTF-8"
    if len(cells) != len(header):
        return "E-FIELDS", f"{len(cells)} fields, the header has {len(header)}"
    values = dict(zip(header, cells, strict=True))
    if not raw.person_key(values.get("cio_id"), values.get("id"), values.get("email")):
        return "E-ID", "no cio_id, no id and no e-mail: nothing says who this is"
    return None


def _bad_byte(taken: list[Line]) -> int | None:
    return next((b for line in taken if (b := line.bad_byte()) is not None), None)


def _rejected(
    file: str, row: int, taken: list[Line], cells: list[str], header: list[str], code: str, message: str
) -> Row:
    line = taken[0].number if taken else None
    original = b"".join(t.data for t in taken).decode("utf-8", "replace")
    values = dict(zip(header, (_printable(c) for c in cells), strict=False))
    source_id = next((values[name] for name in IDENTIFIERS if values.get(name)), None)
    text = f"{Place(file, row, line, source_id=source_id)}: {code} {message}"
    return {"object": "people", "file": file, "row": row, "line": line, "source_id": source_id, "field": None,
            "code": code, "message": text, "original": original}  # fmt: skip


def _printable(cell: str) -> str:
    """Bytes that were not UTF-8 cannot stand in any output."""
    return cell.encode("utf-8", "replace").decode()


def _person(file: str, row: int, values: Mapping[str, str]) -> Row:
    attributes = {name: value for name, value in values.items() if value != ""}
    cio_id, id_, email = (values.get(name) or None for name in ("cio_id", "id", "email"))
    return {
        "person_key": raw.person_key(cio_id, id_, email), "cio_id": cio_id, "id": id_, "email": email,
        "unsubscribed": opt_out(values.get("unsubscribed")), "attributes": orjson.dumps(attributes).decode(),
        "timestamps": None, "file": file, "row": row,
    }  # fmt: skip


def opt_out(value: str | None) -> bool | None:
    """True = unsubscribed from everything; None when it cannot be read, which counts as opted out (L15)."""
    text = None if value is None else value.strip().lower()
    return True if text in TRUE else False if text in FALSE else None
