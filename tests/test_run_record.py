from dataclasses import replace
from pathlib import Path

import pytest

from cio2d365 import artefacts, run
from cio2d365.errors import InputError
from cio2d365.run.record import save


def record(folder: Path, *notebooks: run.NotebookRun) -> run.RunRecord:
    return run.RunRecord(folder, "r1", "acme", "sandbox", "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00",
                         {"cio2d365": "1"}, notebooks)  # fmt: skip


def kept(folder: Path, name: str, text: str) -> run.NotebookRun:
    path = artefacts.write_text(folder / f"{name}.html", text)
    return run.NotebookRun(name, "T", "done", files={"html": {"name": path.name, "sha256": artefacts.sha256(path)}})


def test_a_record_comes_back_from_its_manifest(tmp_path: Path) -> None:
    written = record(tmp_path, replace(kept(tmp_path, "00_a", "x"), findings={"rows": 2}, exit_code=1))
    save(written)
    assert run.load(tmp_path) == written
    assert artefacts.read_json(tmp_path / "manifest.json")["exit_code"] == 1


def test_a_folder_without_a_manifest_holds_no_run(tmp_path: Path) -> None:
    assert run.load(tmp_path) is None
    with pytest.raises(InputError, match="no manifest"):
        run.verify(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"notebooks": [{"colour": 1}]}', '{"notebooks": 5}'])
def test_a_manifest_that_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        run.load(tmp_path)


def test_the_worst_end_is_the_run_s() -> None:
    done = run.NotebookRun("a", "A", "done")
    assert record(Path(), done, replace(done, exit_code=1), replace(done, exit_code=3)).exit_code == 3
    assert record(Path()).exit_code == 0


def test_a_second_try_replaces_the_first_and_order_is_by_name(tmp_path: Path) -> None:
    first = record(tmp_path, run.NotebookRun("05_x", "X", "failed"))
    second = first.with_notebook(run.NotebookRun("00_a", "A", "done")).with_notebook(
        run.NotebookRun("05_x", "X", "done")
    )
    assert [(n.name, n.state) for n in second.notebooks] == [("00_a", "done"), ("05_x", "done")]


def test_verify_names_what_was_changed_or_is_missing(tmp_path: Path) -> None:
    save(record(tmp_path, kept(tmp_path, "00_a", "x"), kept(tmp_path, "01_b", "y"), kept(tmp_path, "02_c", "z")))
    assert run.verify(tmp_path) == []
    (tmp_path / "01_b.html").write_text("other")
    (tmp_path / "02_c.html").unlink()
    assert run.verify(tmp_path) == ["01_b.html was changed after the run", "02_c.html is missing"]


def test_verify_does_not_leave_its_folder(tmp_path: Path) -> None:
    outside = artefacts.write_text(tmp_path / "secret.html", "x")
    folder = tmp_path / "run"
    one = run.NotebookRun(
        "a", "A", "done", files={"html": {"name": "../secret.html", "sha256": artefacts.sha256(outside)}}
    )
    save(record(folder, one))
    assert run.verify(folder) == ["'../secret.html' is not a file of this folder"]
