"""What a run leaves behind: one record per notebook, and the manifest of the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from cio2d365 import artefacts
from cio2d365.errors import InputError

MANIFEST = "manifest.json"

State = Literal["done", "failed", "not run"]


@dataclass(frozen=True)
class NotebookRun:
    """How one notebook ended.

    `exit_code` is 1 when it is done with open findings (design 7). `error` is the class name of what stopped it and
    `message` its public text. `findings` counts what is open by kind, `changed` says what was changed outside,
    `figures` are key figures as text. `files` holds name and SHA-256 of the page and of the executed notebook.
    """

    name: str
    title: str
    state: State
    seconds: float = 0.0
    exit_code: int = 0
    error: str = ""
    message: str = ""
    findings: Mapping[str, int] = field(default_factory=dict)
    changed: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """One run: who, when, with what, and how each notebook ended. Times are ISO in UTC."""

    folder: Path
    run_id: str
    migration: str
    environment: str
    started: str
    ended: str
    versions: Mapping[str, str]
    notebooks: tuple[NotebookRun, ...] = ()

    @property
    def exit_code(self) -> int:
        """The worst of its notebooks'."""
        return max((n.exit_code for n in self.notebooks), default=0)

    def with_notebook(self, one: NotebookRun) -> RunRecord:
        """The same run with this record, in place of an earlier one of that name; notebooks are in order of name."""
        others = [n for n in self.notebooks if n.name != one.name]
        return replace(self, notebooks=tuple(sorted([*others, one], key=lambda n: n.name)))


def load(folder: Path) -> RunRecord | None:
    """The record in the folder's manifest, or None if it has none. Raises InputError for one that cannot be read."""
    try:
        fields = artefacts.read_json(folder / MANIFEST)
        notebooks = tuple(NotebookRun(**one) for one in fields.pop("notebooks"))
        fields.pop("exit_code")
        return RunRecord(folder, notebooks=notebooks, **fields)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise InputError(f"{folder.name}/{MANIFEST} cannot be read: {type(problem).__name__}") from None


def save(record: RunRecord) -> None:
    """Write the manifest into the run's folder, in one piece (L17)."""
    fields = asdict(record) | {"exit_code": record.exit_code}
    fields.pop("folder")
    artefacts.write_json(record.folder / MANIFEST, fields)


def verify(folder: Path) -> list[str]:
    """What does not agree with the manifest, one sentence each; empty when every file is as it was written.

    Raises InputError when the folder has no manifest.
    """
    record = load(folder)
    if record is None:
        raise InputError(f"{folder} has no {MANIFEST}; is it the folder of a run?")
    files = [file for notebook in record.notebooks for file in notebook.files.values()]
    return [problem for file in files if (problem := _difference(folder, file["name"], file["sha256"]))]


def _difference(folder: Path, name: str, expected: str) -> str:
    if Path(name).name != name:
        return f"{name!r} is not a file of this folder"
    path = folder / name
    if not path.is_file():
        return f"{name} is missing"
    return "" if artefacts.sha256(path) == expected else f"{name} was changed after the run"
