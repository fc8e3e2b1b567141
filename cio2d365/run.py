"""A notebook is a function: parameters in, an immutable record and a rendered report out, kept on failure (papermill).

Each notebook runs in a process of its own. What became of it is read from the exception that ended it, never from the
notebook: after a time-out or a dead kernel the notebook says that all is well.
"""

from __future__ import annotations

import ast
import difflib
import os
import subprocess
import sys
import tempfile
import time
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import nbformat
import orjson
from pydantic import ConfigDict, ValidationError, create_model

from cio2d365 import artefacts, errors, render
from cio2d365.errors import InputError, SettingsError
from cio2d365.show.blocks import FINDINGS_MIME, OUTCOME_MIME
from cio2d365.show.look import HEADLESS_VARIABLE
from cio2d365.show.progress import LOG_VARIABLE

Progress = Callable[[int, int, str], None]
State = Literal["done", "failed", "not run"]
ANNOTATIONS = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "Literal": Literal, "None": None}
SECRET_WORDS = ("secret", "password", "token", "api_key", "credential")
SECRET_VARIABLES = ("CIO_APP_API_KEY", "DATAVERSE_CLIENT_SECRET")
PACKAGES = ("cio2d365", "polars", "altair", "papermill", "nbconvert")


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: its annotation as written, its default and its comment."""

    name: str
    annotation: str
    default: Any
    comment: str


@dataclass(frozen=True)
class NotebookRun:
    """What became of one notebook; `exit_code` is its own, `findings` counts what is open."""

    name: str
    title: str
    state: State
    seconds: float = 0.0
    exit_code: int = 0
    error: str = ""
    message: str = ""
    findings: dict[str, int] = field(default_factory=dict)
    changed: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run: all its notebooks in order, and the folder of its reports."""

    run_id: str
    folder: str
    exit_code: int
    notebooks: tuple[NotebookRun, ...]


# --- parameters -------------------------------------------------------------------------------------------------------


def parameters_of(notebook: Path) -> list[Parameter]:
    """The declared parameters, read from the tagged cell without running it; InputError when there is no such cell."""
    source = _parameters_cell(nbformat.read(notebook, as_version=4), notebook).source
    comments = _comments(source)
    declared = [node for node in ast.parse(source).body if isinstance(node, ast.AnnAssign) and node.value is not None]
    return [
        Parameter(
            ast.unparse(n.target), ast.unparse(n.annotation), ast.literal_eval(_value(n)), comments.get(n.lineno, "")
        )
        for n in declared
    ]


def _value(node: ast.AnnAssign) -> ast.expr:
    if node.value is None:
        raise InputError(f"parameter {ast.unparse(node.target)} has no default")
    return node.value


def _parameters_cell(notebook: Any, path: Path) -> Any:
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise InputError(f"{path.name} has {len(tagged)} cells tagged `parameters`; it needs exactly one")
    return tagged[0]


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def describe(notebook: Path) -> list[tuple[str, str, str, str]]:
    """(name, type, default, meaning) of each parameter."""
    return [(p.name, p.annotation, repr(p.default), p.comment) for p in parameters_of(notebook)]


def checked(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given parameters, if the notebook declares them and their types fit; else SettingsError (B-111)."""
    declared = {p.name: p for p in parameters_of(notebook)}
    _refuse_unknown(notebook.stem, given, declared)
    _refuse_secrets(given)
    fields: dict[str, Any] = {p.name: (_annotation(p), p.default) for p in declared.values()}
    model = create_model(notebook.stem, __config__=ConfigDict(extra="forbid", strict=True), **fields)
    try:
        return {name: getattr(model(**given), name) for name in given}
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise SettingsError(
            f"{notebook.stem}: parameter {name} is {declared[name].annotation}, not {given[name]!r}: {first['msg']}"
        ) from None


def _annotation(parameter: Parameter) -> Any:
    # The names that an annotation may use are listed above; nothing else can be reached from here.
    return eval(parameter.annotation, {"__builtins__": {}}, ANNOTATIONS)


def _refuse_unknown(notebook: str, given: Iterable[str], declared: Iterable[str]) -> None:
    known = list(declared)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(known)}"
            raise SettingsError(f"{notebook} has no parameter {name!r}{hint}")


def _refuse_secrets(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if any(word in name.lower() for word in SECRET_WORDS) or _holds_secret(str(value)):
            raise SettingsError(f"parameter {name} looks like a secret; secrets come from the environment only")


def _secrets() -> list[str]:
    return [os.environ[v] for v in SECRET_VARIABLES if len(os.environ.get(v, "")) >= 8]


def _holds_secret(text: str) -> bool:
    return any(secret in text for secret in _secrets())


def with_defaults(notebook: Path, values: Mapping[str, Any], target: Path) -> Path:
    """A copy of a notebook whose parameters have other defaults; for an analyst's own folder."""
    copy = nbformat.read(notebook, as_version=4)
    cell = _parameters_cell(copy, notebook)
    lines = cell.source.splitlines()
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None and ast.unparse(node.target) in values:
            line, value = lines[node.lineno - 1], values[ast.unparse(node.target)]
            lines[node.lineno - 1] = line[: node.value.col_offset] + repr(value) + line[node.value.end_col_offset :]
    cell.source = "\n".join(lines)
    return artefacts.write_text(target, nbformat.writes(copy))


# --- running ----------------------------------------------------------------------------------------------------------


def run_notebooks(
    notebooks: Sequence[Path], parameters: Mapping[str, Any], folder: Path, *, on_progress: Progress
) -> RunRecord:
    """Run notebooks in order until one fails; each gets those of the parameters that it declares.

    A parameter that no notebook declares is refused before anything runs. The folder may hold earlier notebooks of the
    same run: their records stay. `manifest.json` and `index.html` are written after each notebook.
    """
    prepared = _prepared(notebooks, parameters)
    started = _now()
    records = [NotebookRun(path.stem, _title(path), "not run") for path, _ in prepared]
    record = _save(folder, parameters, records, started)
    for n, (path, given) in enumerate(prepared):
        on_progress(n, len(prepared), path.stem)
        step = partial(_on_step, on_progress, n, len(prepared), path.stem)
        records[n] = _run_one(path, given, folder, parameters, step)
        record = _save(folder, parameters, records, started)
        if records[n].state == "failed":
            break
    on_progress(len(prepared), len(prepared), "done")
    return record


def _on_step(on_progress: Progress, n: int, total: int, name: str, text: str) -> None:
    on_progress(n, total, f"{name} {text}".rstrip())


def _prepared(notebooks: Sequence[Path], parameters: Mapping[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    declared = {path: {p.name for p in parameters_of(path)} for path in notebooks}
    _refuse_unknown("this run", parameters, sorted(set().union(*declared.values(), {"run_id", "environment"})))
    chosen = {path: {k: v for k, v in parameters.items() if k in names} for path, names in declared.items()}
    return [(path, checked(path, given)) for path, given in chosen.items()]


def _run_one(
    path: Path,
    given: Mapping[str, Any],
    folder: Path,
    parameters: Mapping[str, Any],
    on_step: Callable[[str], None],
) -> NotebookRun:
    context = render.Context(
        str(parameters.get("migration", "")), str(parameters.get("environment", "")), str(parameters["run_id"]), _now()
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        executed = Path(scratch) / path.name
        error, message = _execute(path, executed, given, folder, on_step)
        record = NotebookRun(path.stem, _title(path), "failed" if error else "done", round(time.monotonic() - began, 1))
        if error:
            return _failed(record, executed, folder, context, error, message)
        return _finished(record, executed, folder, context)


def _finished(record: NotebookRun, executed: Path, folder: Path, context: render.Context) -> NotebookRun:
    notebook = _scrubbed(nbformat.read(executed, as_version=4))
    text = nbformat.writes(notebook)
    if _holds_secret(text):
        return replace(record, state="failed", exit_code=4, error="SecretInOutput",
                       message="an output holds a secret; the notebook was not kept")  # fmt: skip
    kept = artefacts.write_text(folder / f"{record.name}.ipynb", text)
    page = render.report(kept, context)
    findings, outcome = _reported(notebook, FINDINGS_MIME), _reported(notebook, OUTCOME_MIME)
    counts = {str(k): int(v) for k, v in findings.items()}
    return replace(
        record, exit_code=1 if any(counts.values()) else 0, findings=counts, changed=str(outcome.get("changed", "")),
        figures=dict(outcome.get("figures", {})), files=_files(html=page, ipynb=kept),
    )  # fmt: skip


def _failed(
    record: NotebookRun, executed: Path, folder: Path, context: render.Context, error: str, message: str
) -> NotebookRun:
    kept = folder / f"{record.name}.failed.ipynb"
    if executed.exists():
        text = nbformat.writes(_scrubbed(nbformat.read(executed, as_version=4)))
        artefacts.write_text(kept, "{}" if _holds_secret(text) else text)
    page = render.failure(folder / f"{record.name}.ipynb", context, title=record.title, message=message, error=error)
    files = _files(html=page, **({"failed": kept} if kept.exists() else {}))
    return replace(record, exit_code=errors.exit_code_of(error), error=error, message=message, files=files)


def _files(**paths: Path) -> dict[str, dict[str, str]]:
    return {kind: {"name": path.name, "sha256": artefacts.sha256(path)} for kind, path in paths.items()}


def _reported(notebook: Any, mime: str) -> dict[str, Any]:
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return next((dict(o.data[mime]) for o in reversed(outputs) if mime in o.get("data", {})), {})


def _scrubbed(notebook: Any) -> Any:
    """Without papermill's record of parameters and paths, and without widgets' state."""
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    return notebook


def _execute(
    source: Path, target: Path, given: Mapping[str, Any], folder: Path, on_step: Callable[[str], None]
) -> tuple[str, str]:
    """(error class, message) of a run in a process of its own; both empty when it ended well."""
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(str(given.get("root", "."))).resolve()
    # The kernel works in the root folder, so that no path of this machine stands in the notebook.
    job = {
        "source": str(source.resolve()),
        "target": str(target),
        "parameters": {**given, "root": "."},
        "cwd": str(root),
    }
    log, verdict = folder / f"{source.stem}.log", target.with_suffix(".verdict")
    environment = {**os.environ, HEADLESS_VARIABLE: "1", LOG_VARIABLE: str(log.resolve()), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "cio2d365.run", str(verdict)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment)
    try:
        _feed(process, orjson.dumps(job))
        _watch(process, log, on_step)
    except BaseException:
        process.terminate()
        process.wait(10)
        raise
    if not verdict.exists():
        return "DeadKernelError", f"the process of the notebook ended with code {process.returncode}; see {log.name}"
    found = artefacts.read_json(verdict)
    return str(found["error"]), str(found["message"])


def _feed(process: subprocess.Popen[bytes], job: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(job)
        process.stdin.close()


def _watch(process: subprocess.Popen[bytes], log: Path, on_step: Callable[[str], None]) -> None:
    """Wait for the end, and pass on the last step that the notebook wrote to its log."""
    while process.poll() is None:
        time.sleep(0.3)
        on_step(_last_step(log))


def _last_step(log: Path) -> str:
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - 2000))
        lines = handle.read().splitlines()
    try:
        step = orjson.loads(lines[-1])
        return f"{step['step']} {step['done']:,} of {step['total']:,} {step.get('note', '')}".rstrip()
    except (IndexError, orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def _child() -> None:
    """The process of one notebook: a job on standard input, (error, message) in the file named as argument."""
    job = orjson.loads(sys.stdin.buffer.read())
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    verdict = {"error": "", "message": ""}
    try:
        papermill.execute_notebook(
            # papermill fills braces in paths from the parameters; doubled ones stay as they are
            job["source"].replace("{", "{{").replace("}", "}}"),
            job["target"].replace("{", "{{").replace("}", "}}"),
            parameters=job["parameters"], kernel_name="python3", language="python", cwd=job["cwd"],
            progress_bar=False, request_save_on_cell_execute=False, autosave_cell_every=30,
            config=Config({"KernelManager": {"transport_encryption": "required"}}),
        )  # fmt: skip
    except PapermillExecutionError as error:
        verdict = {"error": str(error.ename), "message": str(error.evalue)}
    except (CellTimeoutError, DeadKernelError) as error:
        verdict = {"error": type(error).__name__, "message": "the kernel of the notebook died or did not answer"}
    artefacts.write_json(Path(sys.argv[1]), verdict)


# --- the record -------------------------------------------------------------------------------------------------------


def _save(folder: Path, parameters: Mapping[str, Any], records: Sequence[NotebookRun], started: str) -> RunRecord:
    path = folder / "manifest.json"
    before = artefacts.read_json(path) if path.exists() else {}
    names = {r.name for r in records}
    earlier = [NotebookRun(**n) for n in before.get("notebooks", []) if n["name"] not in names]
    notebooks = tuple(sorted([*earlier, *records], key=lambda r: r.name))
    worst = max((r.exit_code for r in notebooks), default=0)
    artefacts.write_json(path, {
        "run_id": parameters["run_id"], "migration": parameters.get("migration", ""),
        "environment": parameters.get("environment", ""), "started": before.get("started", started), "ended": _now(),
        "exit_code": worst, "versions": {p: version(p) for p in PACKAGES}, "notebooks": [asdict(r) for r in notebooks],
    })  # fmt: skip
    render.index(folder)
    render.runs_index(folder.parent)
    return RunRecord(str(parameters["run_id"]), str(folder), worst, notebooks)


def verify(folder: Path) -> list[str]:
    """Names of report files that are missing or not what the manifest says; InputError without a manifest."""
    path = folder / "manifest.json"
    if not path.exists():
        raise InputError(f"{folder} has no manifest.json; is it the folder of a run?")
    files = [f for n in artefacts.read_json(path)["notebooks"] for f in n["files"].values()]
    return [f["name"] for f in files if not _same(folder / f["name"], f["sha256"])]


def _same(path: Path, digest: str) -> bool:
    return path.exists() and artefacts.sha256(path) == digest


def _title(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    heading = next((c.source for c in cells if c.cell_type == "markdown" and c.source.startswith("# ")), path.stem)
    return str(heading.splitlines()[0].removeprefix("# "))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


if __name__ == "__main__":
    _child()
