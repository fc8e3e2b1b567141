"""What a run leaves behind: one record per notebook, and the manifest of the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cio2d365 import artefacts
from cio2d365.errors import InputError

MANIFEST = "manifest.json"

State = Literal["done", "failed", "not run"]


@dataclass(frozen=True)
class NotebookRun:
    """How one notebook ended.

    `error` is the class name of what stopped it and `message` its public text; `step` is the heading above the cell
    where it stopped. `findings` counts what is open by kind, `figures` are key figures as text, `files` holds the
    SHA-256 of each file by name.
    """

    name: str
    state: State
    seconds: float = 0.0
    exit_code: int = 0
    error: str = ""
    message: str = ""
    title: str = ""
    step: str = ""
    changed: str = ""
    started: str = ""
    findings: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def open_findings(self) -> int:
        """Findings of all kinds together."""
        return sum(self.findings.values())


@dataclass(frozen=True)
class RunRecord:
    """One run: who, when, with what, and how each notebook ended. Times are ISO in UTC."""

    run_id: str
    migration: str
    environment: str
    started: str
    ended: str
    versions: Mapping[str, str]
    notebooks: tuple[NotebookRun, ...]

    @property
    def exit_code(self) -> int:
        """The worst end: 0 nothing open, 1 findings, 2 to 4 as the notebook that stopped (design 7)."""
        stopped = max((n.exit_code for n in self.notebooks), default=0)
        return stopped or int(any(n.open_findings for n in self.notebooks))

    def with_notebook(self, one: NotebookRun) -> RunRecord:
        """The same run with this record in place of the one of that name, or at the end."""
        names = [n.name for n in self.notebooks]
        if one.name not in names:
            return replace(self, notebooks=(*self.notebooks, one))
        return replace(self, notebooks=tuple(one if n.name == one.name else n for n in self.notebooks))


def load(folder: Path) -> RunRecord | None:
    """The record in the folder's manifest, or None if it has none. Raises InputError for one that cannot be read."""
    try:
        fields: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        notebooks = tuple(NotebookRun(**one) for one in fields.pop("notebooks"))
        return RunRecord(**fields, notebooks=notebooks)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as problem:
        raise InputError(f"{folder.name}/{MANIFEST} cannot be read: {type(problem).__name__}") from None


def save(record: RunRecord, folder: Path) -> None:
    """Write the manifest."""
    artefacts.write_text(folder / MANIFEST, json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n")


def verify(folder: Path) -> list[str]:
    """What does not agree with the manifest, one sentence each; empty when every file is as it was written.

    Raises InputError when the folder has no manifest.
    """
    record = load(folder)
    if record is None:
        raise InputError(f"{folder.name} has no {MANIFEST}")
    return [
        problem
        for notebook in record.notebooks
        for name, expected in notebook.files.items()
        if (problem := _difference(folder, name, expected))
    ]


def _difference(folder: Path, name: str, expected: str) -> str | None:
    if Path(name).name != name:
        return f"{name!r} is not a file of this folder"
    path = folder / name
    if not path.is_file():
        return f"{name} is missing"
    return None if artefacts.sha256(path) == expected else f"{name} was changed after the run"
