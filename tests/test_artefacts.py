"""Files are whole or not there, the same content is the same bytes, and names stay inside their folder."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cio2d365 import artefacts


class Broken(Exception):
    """What a writer raises half-way."""


def half_way(path: Path) -> None:
    path.write_text("half")
    raise Broken


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = artefacts.write_text(tmp_path / "report.html", "old")
    with pytest.raises(Broken):
        artefacts.write(path, half_way)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("report.html", "old")]


def test_an_interrupted_first_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Broken):
        artefacts.write(tmp_path / "deep" / "report.html", half_way)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_reader_never_sees_the_new_file_before_it_is_whole(tmp_path: Path) -> None:
    path = artefacts.write_text(tmp_path / "a.txt", "old")
    seen: list[str] = []

    def fill(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(path.read_text())
        assert temporary.parent == path.parent

    artefacts.write(path, fill)
    assert (seen, path.read_text()) == (["old"], "new")


def test_text_has_the_same_line_ends_everywhere(tmp_path: Path) -> None:
    assert artefacts.write_text(tmp_path / "a.txt", "ä\nb\n").read_bytes() == "ä\nb\n".encode()


def test_json_is_the_same_whatever_the_order_of_keys(tmp_path: Path) -> None:
    first = artefacts.write_json(tmp_path / "a.json", {"b": 1, "a": [1, {"d": 2, "c": 3}]})
    second = artefacts.write_json(tmp_path / "b.json", {"a": [1, {"c": 3, "d": 2}], "b": 1})
    assert first.read_bytes() == second.read_bytes()
    assert artefacts.read_json(first) == {"a": [1, {"c": 3, "d": 2}], "b": 1}
    assert artefacts.digest({"a": 1, "b": 2}) == artefacts.digest({"b": 2, "a": 1})
    assert artefacts.digest({"a": 1}) != artefacts.digest({"a": "1"})


def test_the_same_frame_gives_the_same_file(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [f"x{n}" for n in range(10_000)], "b": range(10_000)})
    one, two = (artefacts.write_frame(tmp_path / f"{n}.parquet", frame.clone()) for n in (1, 2))
    assert artefacts.sha256(one) == artefacts.sha256(two)
    assert artefacts.digest_of_files({"a": one}) == artefacts.digest_of_files({"a": two})
    assert artefacts.digest_of_files({"a": one}) != artefacts.digest_of_files({"b": one})


@pytest.mark.parametrize("name", ["acme", "a", "acme-2026", "a_b", "0", "x" * 63, "console", "com", "nullable"])
def test_safe_names(name: str) -> None:
    assert artefacts.is_safe_name(name)


@pytest.mark.parametrize(
    "name",
    ["../x", "..", ".", ".hidden", "a/b", "a\\b", "con", "CON", "nul", "com1", "LPT9", "a b", "a.b", "", "x" * 64,
     "-x", "_x", "acme\n", "ünï", "a:b", "~", "C:", "Acme"],
)  # fmt: skip
def test_unsafe_names(name: str) -> None:
    assert not artefacts.is_safe_name(name)
