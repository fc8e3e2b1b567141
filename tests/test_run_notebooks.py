"""Real child processes and kernels; each takes some seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cio2d365 import run
from cio2d365.errors import SettingsError

pytestmark = pytest.mark.notebook

PARAMETERS = 'root: str = "."  # where\nmigration: str = ""\nenvironment: str = "sandbox"\nrows: int = 1\n'
SECRET = "canary-secret-4711"


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell; a cell that begins with `#` is prose."""
    made = new_notebook(cells=[new_code_cell(parameters, metadata={"tags": ["parameters"]})])
    made.cells += [new_markdown_cell(c) if c.startswith("#") else new_code_cell(c) for c in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, str(path))
    return path


@dataclass(frozen=True)
class Stopped:
    """A run of three notebooks whose second one stops."""

    root: Path
    folder: Path
    record: run.RunRecord
    told: list[tuple[int, int, str]]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """One run for many questions; the folder's name has braces, which papermill would fill in."""
    root = tmp_path_factory.mktemp("work{rows}")
    notebooks = [
        write(
            root / "nb" / "10_good.ipynb",
            "# The first one",
            "from pathlib import Path\nfrom cio2d365 import show\nshow.setup()",
            "with show.progress('Counting', 2) as bar:\n    bar.advance(2)",
            "print(Path(root).resolve().name, rows)",
            "show.findings({'to review': rows})",
            "show.findings({'to review': 1, 'rejected': 0})",
            "show.outcome('Nothing was changed.', {'Rows': rows})",
        ),
        write(
            root / "nb" / "20_stops.ipynb",
            "# The second one\n\n## Loading",
            "import os\nfrom cio2d365 import errors",
            "raise errors.Transient(f'the host did not answer <b> {os.getcwd()}/x')",
            parameters=PARAMETERS.replace("rows: int = 1\n", ""),
        ),
        write(root / "nb" / "30_never.ipynb", "# The third one", "1 / 0"),
    ]
    told: list[tuple[int, int, str]] = []
    parameters = {"root": str(root), "migration": "acme", "environment": "sandbox", "run_id": "r{x}", "rows": 41}
    folder = root / "reports" / "acme" / "r{x}"
    record = run.run_notebooks(notebooks, parameters, folder, on_progress=lambda *now: told.append(now))
    return Stopped(root, folder, record, told)


def test_a_run_stops_at_the_first_notebook_that_fails(stopped: Stopped) -> None:
    states = [(n.name, n.title, n.state, n.exit_code) for n in stopped.record.notebooks]
    assert states == [
        ("10_good", "The first one", "done", 1),
        ("20_stops", "The second one", "failed", 3),
        ("30_never", "The third one", "not run", 0),
    ]
    assert stopped.record.exit_code == 3


def test_findings_are_summed_and_key_figures_kept(stopped: Stopped) -> None:
    good = stopped.record.notebooks[0]
    assert good.findings == {"to review": 42, "rejected": 0}
    assert (good.changed, good.figures) == ("Nothing was changed.", {"Rows": "41"})


def test_our_own_error_is_told_in_its_words(stopped: Stopped) -> None:
    failed = stopped.record.notebooks[1]
    assert (failed.error, failed.message) == ("Transient", "the host did not answer <b> …/x")
    assert "did not answer &lt;b&gt; …/x" in (stopped.folder / "20_stops.html").read_text(encoding="utf-8")


def test_the_folder_holds_whole_files_that_verify(stopped: Stopped) -> None:
    names = {path.name for path in stopped.folder.iterdir()}
    assert names == {
        "10_good.ipynb", "10_good.html", "10_good.log", "20_stops.failed.ipynb", "20_stops.html", "20_stops.log",
        "index.html", "manifest.json",
    }  # fmt: skip
    assert run.verify(stopped.folder) == []
    assert run.load(stopped.folder) == stopped.record
    assert (stopped.folder.parent / "index.html").exists()


def test_the_kernel_works_in_the_root_and_no_path_of_this_machine_is_kept(stopped: Stopped) -> None:
    executed = nbformat.read(str(stopped.folder / "10_good.ipynb"), as_version=4)
    printed = [o.text for c in executed.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "stream"]
    assert printed == [f"{stopped.root.name} 41\n"]
    for kept in ("10_good.ipynb", "20_stops.failed.ipynb"):
        text = (stopped.folder / kept).read_text()
        assert str(stopped.root) not in text
        assert "papermill" not in nbformat.reads(text, as_version=4).metadata


def test_progress_inside_a_notebook_is_passed_on(stopped: Stopped) -> None:
    assert stopped.told[0] == (0, 3, "10_good")
    assert (0, 3, "10_good: Counting 2 of 2") in stopped.told
    assert '"step": "Counting"' in (stopped.folder / "10_good.log").read_text()


def test_the_log_holds_progress_only_so_the_kernel_has_nothing_to_warn_of(stopped: Stopped) -> None:
    """ipykernel warns there when its traffic is not encrypted."""
    lines = (stopped.folder / "10_good.log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["running", "running", "ended"]


def test_a_second_try_goes_on_in_the_same_folder(stopped: Stopped) -> None:
    again = write(stopped.root / "nb2" / "20_stops.ipynb", "# The second one", "1 + 1")
    given = {"root": str(stopped.root), "migration": "acme", "environment": "sandbox", "run_id": "r{x}"}
    record = run.run_notebooks([again], given, stopped.folder)
    assert [(n.name, n.state) for n in record.notebooks] == [
        ("10_good", "done"), ("20_stops", "done"), ("30_never", "not run")
    ]  # fmt: skip
    assert record.started == stopped.record.started
    assert not (stopped.folder / "20_stops.failed.ipynb").exists()
    assert run.verify(stopped.folder) == []


def test_another_run_is_not_written_into_this_folder(stopped: Stopped) -> None:
    notebook = write(stopped.root / "nb2" / "40_x.ipynb", "1")
    with pytest.raises(SettingsError, match="holds the run"):
        run.run_notebooks([notebook], {"run_id": "other", "environment": "sandbox"}, stopped.folder)


def test_a_parameter_that_no_notebook_has_is_refused_before_anything_runs(tmp_path: Path) -> None:
    notebook = write(tmp_path / "10_a.ipynb", "1")
    with pytest.raises(SettingsError, match="did you mean rows"):
        run.run_notebooks([notebook], {"rosw": 1}, tmp_path / "reports" / "r")
    with pytest.raises(SettingsError, match="rows must be int"):
        run.run_notebooks([notebook], {"rows": "many"}, tmp_path / "reports" / "r")
    assert not (tmp_path / "reports").exists()


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder"):
        run.execute(write(tmp_path / "10_a.ipynb", "1"), {"root": str(tmp_path / "absent")}, tmp_path / "r")


def test_the_text_of_a_foreign_error_is_not_shown(tmp_path: Path) -> None:
    notebook = write(tmp_path / "10_a.ipynb", "# T\n\n## Who is it?", "raise KeyError('anna@example.com')")
    ended = run.execute(notebook, {}, tmp_path / "r")
    assert (ended.state, ended.exit_code, ended.error) == ("failed", 4, "KeyError")
    assert "under the heading “Who is it?”" in ended.message
    assert "anna" not in ended.message
    assert "anna" not in (tmp_path / "r" / "10_a.html").read_text()


def test_a_kernel_that_dies_is_a_failure_that_can_be_resumed(tmp_path: Path) -> None:
    ended = run.execute(write(tmp_path / "10_a.ipynb", "import os\nos._exit(9)"), {}, tmp_path / "r")
    assert (ended.state, ended.exit_code) == ("failed", 3)
    assert "ended by itself" in ended.message


def test_a_cell_that_takes_too_long_is_a_failure_that_can_be_resumed(tmp_path: Path) -> None:
    notebook = write(tmp_path / "10_a.ipynb", "import time\ntime.sleep(600)")
    ended = run.execute(notebook, {}, tmp_path / "r", timeout=2)
    assert (ended.state, ended.exit_code) == ("failed", 3)
    assert "longer than 2 s" in ended.message


@pytest.mark.parametrize(
    "cell",
    [
        "print(os.environ['CIO_APP_API_KEY'])",
        pytest.param("raise ValueError(os.environ['CIO_APP_API_KEY'])", marks=pytest.mark.deep),
    ],
)
def test_a_secret_in_the_output_fails_the_run_and_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    monkeypatch.setenv("CIO_APP_API_KEY", SECRET)
    notebook = write(
        tmp_path / "nb" / "10_a.ipynb", f"import os\nos.write(2, os.environ['CIO_APP_API_KEY'].encode())\n{cell}"
    )
    folder = tmp_path / "r"
    ended = run.execute(notebook, {}, folder)
    assert (ended.state, ended.exit_code, ended.error) == ("failed", 4, "SecretFound")
    assert {path.name for path in folder.iterdir()} == {"10_a.html", "10_a.log"}
    assert all(SECRET not in path.read_text() for path in folder.iterdir())
