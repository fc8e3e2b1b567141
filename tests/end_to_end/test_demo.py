"""`cio2d365 demo` as a new user meets it: a migration, checked in the target over plain HTTP, and then a second one."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import polars as pl
import pytest

from tests.end_to_end import check_target

CLI = [sys.executable, "-c", "from cio2d365.cli import main; main()"]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    output: str
    printed: str = ""


def command(*arguments: str, **environment: str) -> Ended:
    """Run the command line as a user does; no terminal, so no colours."""
    variables = {**os.environ, "COLUMNS": "200", **environment}
    done = subprocess.run([*CLI, *arguments], capture_output=True, text=True, env=variables, timeout=900, check=False)
    return Ended(done.returncode, done.stdout + done.stderr, done.stdout)


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The command line at work, both of its outputs in one pipe."""
    variables = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.Popen(
        [*CLI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
    )


@contextmanager
def target(root: Path) -> Iterator[httpx.Client]:
    """The simulators of a demo, started again on the state that it left."""
    from cio2d365 import demo

    with demo.simulators(root / "migrations" / ".simulators") as ready:
        headers = {"Authorization": "Bearer dev-token"}
        with httpx.Client(base_url=ready["dataverse"]["url"], headers=headers, timeout=60) as client:
            yield client


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(root: Path) -> Ended:
    return command("demo", "--root", str(root))


def runs(root: Path) -> list[Path]:
    return sorted(p.parent for p in (root / "reports" / "sample").glob("*/manifest.json"))


@pytest.mark.notebook
class TestFirstDemo:
    def test_it_ends_well_and_names_the_index_page(self, first: Ended, root: Path) -> None:
        assert first.code == 0, first.output
        index = runs(root)[0] / "index.html"
        assert first.printed.rstrip().endswith(str(index))
        assert index.exists()

    def test_every_notebook_was_run_and_rendered(self, first: Ended, root: Path) -> None:
        manifest = json.loads((runs(root)[0] / "manifest.json").read_bytes())
        assert [n["name"][:2] for n in manifest["notebooks"]] == ["00", "01", "02", "03", "04", "05", "06", "07"]
        assert {n["state"] for n in manifest["notebooks"]} == {"done"}
        for notebook in manifest["notebooks"]:
            page = (runs(root)[0] / f"{notebook['name']}.html").read_text(encoding="utf-8")
            assert "Traceback" not in page
            assert not re.search(r"""(src|href)=["']?https?:""", page)

    def test_no_secret_and_no_path_of_this_machine_is_in_a_report(self, first: Ended, root: Path) -> None:
        kept = json.loads((root / "migrations" / ".simulators" / "state" / "secrets.json").read_bytes())
        for path in runs(root)[0].iterdir():
            content = path.read_bytes()
            for name in ("client_secret", "app_api_key"):
                assert kept[name].encode() not in content, path.name
            if path.suffix in (".html", ".ipynb", ".json"):
                assert str(root).encode() not in content, path.name

    def test_the_target_holds_what_was_staged_and_every_link_is_right(self, first: Ended, root: Path) -> None:
        with target(root) as client:
            results = list(check_target.checks(client, root / "migrations" / "sample"))
        assert [(what, complaints[:5]) for what, _, complaints in results if complaints] == []
        checked = {what.partition(":")[0]: count for what, count, _ in results}
        assert min(checked[t] for t in ("account", "contact", "lead", "cio_event", "cio_anonymous_event")) > 0

    def test_every_source_row_ended_in_one_place(self, first: Ended, root: Path) -> None:
        folder = root / "migrations" / "sample"
        raw = folder / "raw" / (folder / "raw" / "current").read_text().strip()
        staged = next((folder / "staged").iterdir())
        apart = [pl.read_parquet(staged / f"{p}.parquet") for p in ("review", "excluded", "rejected")]
        people = pl.concat([pl.read_parquet(staged / f"{t}.parquet")["cio_source_key"] for t in ("contact", "lead")])
        others = pl.concat([f.filter(pl.col("object") == "people")["source_key"] for f in apart])
        assert sorted([*people, *others]) == sorted(pl.read_parquet(raw / "people.parquet")["person_key"])


@pytest.mark.notebook
def test_a_second_demo_changes_no_row_and_says_so(first: Ended, root: Path) -> None:
    staged = next((root / "migrations" / "sample" / "staged").iterdir())
    with target(root) as client:
        before = check_target.versions(client, staged)
    second = command("demo", "--root", str(root))
    with target(root) as client:
        after = check_target.versions(client, staged)
    assert second.code == 0, second.output
    assert "No row in the target was changed" in second.output
    assert after == before
    assert len(runs(root)) == 2
