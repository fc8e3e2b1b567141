"""Run notebooks in child processes and keep what they leave."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import nbformat.sign

from cio2d365 import artefacts, errors, render
from cio2d365.errors import SettingsError
from cio2d365.run.kernel import Ending, Job
from cio2d365.run.parameters import checked, parameters, read, title_of, unknown
from cio2d365.run.process import OnStep, run_child
from cio2d365.run.record import NotebookRun, RunRecord, load, save
from cio2d365.run.scrub import leaked, redacted, scrubbed, shortened
from cio2d365.show.blocks import FINDINGS_MIME, OUTCOME_MIME

TIMEOUT = 6 * 3600
# A value for one of these is no mistake when no notebook of this run declares it.
COMMON = frozenset({"root", "migration", "environment", "run_id", "apply"})
SECRET_FOUND = "SecretFound"
VERSIONS_OF = ("cio2d365", "polars", "altair", "papermill", "nbconvert", "ipykernel")

OnProgress = Callable[[int, int, str], None]


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    folder: Path,
    *,
    timeout: int = TIMEOUT,
    context: render.Context | None = None,
    on_step: OnStep = lambda step: None,
) -> NotebookRun:
    """Run one notebook and leave `<name>.ipynb`, `<name>.html` and `<name>.log` in `folder`.

    A notebook that stops leaves `<name>.failed.ipynb` and a page that says why; that is a value, not an exception.
    The kernel works in the folder that the parameter `root` names and is told `.`, so that no path of this machine
    gets into the outputs. `timeout` is in seconds. Raises SettingsError for parameters that the notebook does not take.
    """
    values = checked(notebook, parameters)
    folder.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cio2d365-") as name:
        work = Path(name)
        job = _job(notebook, values, work, timeout)
        ending = run_child(job, work, folder / f"{notebook.stem}.log", on_step)
        # As far as it got; the notebook as it is when nothing was saved.
        executed = read(Path(job.output) if Path(job.output).exists() else notebook)
    _redact(folder / f"{notebook.stem}.log")
    run = _record(notebook.stem, executed, ending, round(time.monotonic() - clock, 1))
    folders = [folder, notebook.parent, work, Path(job.cwd)]
    run = replace(run, message=shortened(run.message, folders))
    return _leave(run, scrubbed(executed, folders), folder, context or _context(parameters, folder))


def _job(notebook: Path, values: dict[str, object], work: Path, timeout: int) -> Job:
    source = work / "source.ipynb"
    source.write_bytes(notebook.read_bytes())
    cwd = Path(str(values.get("root", "."))).absolute()
    if not cwd.is_dir():
        raise SettingsError(f"parameter root: there is no folder {values['root']}")
    given = values | ({"root": "."} if "root" in values else {})
    return Job(str(source), str(work / "executed.ipynb"), str(work / "ending.json"), given, str(cwd), timeout)


def _redact(log: Path) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    if leaked(text):
        artefacts.write_text(log, redacted(text))


def _record(name: str, executed: Any, ending: Ending, seconds: float) -> NotebookRun:
    findings, figures, changed = _reported(executed)
    run = NotebookRun(
        name,
        title_of(executed) or name,
        "done",
        seconds,
        int(any(findings.values())),
        findings=findings,
        changed=changed,
        figures=figures,
    )
    if not ending.error:
        return run
    code = errors.exit_code_of(ending.error)
    return replace(run, state="failed", exit_code=code, error=ending.error, message=_public(executed, ending))


def _public(executed: Any, ending: Ending) -> str:
    """The text of our own errors is written for people; that of others may hold data and is not shown (L10)."""
    if isinstance(getattr(errors, ending.error, None), type):
        return redacted(ending.message)
    step = _step(executed, ending.cell)
    where = f" under the heading “{step}”" if step else ""
    return f"an error that was not foreseen ({ending.error}){where}; its text is only in the kept notebook"


def _step(executed: Any, cell: int | None) -> str:
    """The heading above the cell where it stopped; papermill put a note of its own in front of that cell."""
    above = executed.cells[: (cell or 0) + 1]
    prose = [c.source for c in above if c.cell_type == "markdown" and not c.metadata.get("tags")]
    lines = [line for source in prose for line in source.splitlines() if line.startswith("#")]
    return str(lines[-1]).lstrip("# ") if lines else ""


def _reported(executed: Any) -> tuple[dict[str, int], dict[str, str], str]:
    """Findings summed by kind, key figures, and the last sentence on what was changed."""
    findings: dict[str, int] = {}
    figures: dict[str, str] = {}
    changed = ""
    for data in _outputs(executed):
        for kind, count in data.get(FINDINGS_MIME, {}).items():
            findings[kind] = findings.get(kind, 0) + int(count)
        outcome = data.get(OUTCOME_MIME, {})
        figures |= outcome.get("figures", {})
        changed = str(outcome.get("changed", changed))
    return findings, figures, changed


def _outputs(executed: Any) -> list[Any]:
    return [o.data for cell in executed.cells for o in cell.get("outputs", []) if "data" in o]


def _leave(run: NotebookRun, executed: Any, folder: Path, context: render.Context) -> NotebookRun:
    """Write the executed notebook and its page; when a secret is in one of them, neither stays."""
    _clear(folder, run.name)
    secret = leaked(nbformat.writes(executed))
    if not secret:
        kept = _keep(run, executed, folder)
        page = _page(run, kept, context)
        secret = leaked(page.read_text(encoding="utf-8"))
    if not secret:
        return replace(run, files=_files(html=page, ipynb=kept))
    _clear(folder, run.name)
    run = _withheld(run, secret)
    return replace(run, files=_files(html=_page(run, folder / f"{run.name}.ipynb", context)))


def _keep(run: NotebookRun, executed: Any, folder: Path) -> Path:
    suffix = ".ipynb" if run.state == "done" else ".failed.ipynb"
    kept = artefacts.write_text(folder / f"{run.name}{suffix}", nbformat.writes(executed))
    _sign(executed)
    return kept


def _page(run: NotebookRun, kept: Path, context: render.Context) -> Path:
    if run.state == "done":
        return render.report(kept, context)
    beside = kept.with_name(f"{run.name}.ipynb")
    return render.failure(beside, context, title=run.title, message=run.message, error=run.error)


def _files(**paths: Path) -> dict[str, dict[str, str]]:
    return {kind: {"name": path.name, "sha256": artefacts.sha256(path)} for kind, path in paths.items()}


def _withheld(run: NotebookRun, secret: str) -> NotebookRun:
    message = f"the value of {secret} appeared in the output, so the executed notebook and its report were not kept"
    return NotebookRun(run.name, run.name, "failed", run.seconds, 4, SECRET_FOUND, message)


def _clear(folder: Path, name: str) -> None:
    """Remove what an earlier try of this notebook left."""
    for suffix in (".ipynb", ".failed.ipynb", ".html"):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


def _sign(executed: Any) -> None:
    """Mark the copy as trusted on this machine, so that JupyterLab shows it as it is; not all homes are writable."""
    try:
        nbformat.sign.NotebookNotary().sign(executed)
    except OSError:
        return


def run_notebooks(
    notebooks: Sequence[Path],
    parameters: Mapping[str, object],
    folder: Path,
    *,
    on_progress: OnProgress | None = None,
    timeout: int = TIMEOUT,
) -> RunRecord:
    """Run the notebooks in order, stop at the first that fails, and leave reports, `manifest.json` and `index.html`.

    Each notebook gets those of the parameters that it declares. In a folder that already holds this run its earlier
    records stay. `on_progress` is called with the number done, the number in all and what is going on. Raises
    SettingsError, before anything runs, for a parameter that no notebook declares, a value of the wrong type, or a
    folder that holds another run.
    """
    tell = on_progress or _silent
    given = {path: _given(path, parameters) for path in notebooks}
    _refuse_unknown(parameters, notebooks)
    record = _opened(notebooks, parameters, folder)
    for done, path in enumerate(notebooks):
        tell(done, len(notebooks), path.stem)
        step = _steps(tell, done, len(notebooks), path.stem)
        context = _context(parameters, folder)
        run = execute(path, given[path], folder, timeout=timeout, context=context, on_step=step)
        record = _published(replace(record.with_notebook(run), ended=_now()))
        if run.state == "failed":
            return record
    tell(len(notebooks), len(notebooks), "done")
    return record


def _silent(done: int, total: int, text: str) -> None:
    """Nobody wants to know."""


def _steps(tell: OnProgress, done: int, total: int, name: str) -> OnStep:
    return lambda step: tell(done, total, f"{name}: {step}")


def _given(notebook: Path, values: Mapping[str, object]) -> dict[str, object]:
    declared = {p.name for p in parameters(notebook)}
    return checked(notebook, {name: value for name, value in values.items() if name in declared})


def _refuse_unknown(values: Mapping[str, object], notebooks: Sequence[Path]) -> None:
    known = COMMON.union(*({p.name for p in parameters(path)} for path in notebooks))
    for name in values:
        if name not in known:
            raise unknown(name, known, "this run")


def _opened(notebooks: Sequence[Path], values: Mapping[str, object], folder: Path) -> RunRecord:
    """The run of this folder with the notebooks ahead marked as not run; a new one if there is none."""
    context = _context(values, folder)
    record = load(folder) or RunRecord(
        folder, context.run_id, context.migration, context.environment, _now(), _now(), versions()
    )
    if (record.run_id, record.environment) != (context.run_id, context.environment):
        raise SettingsError(f"{folder.name} holds the run {record.run_id} of {record.environment}, not this one")
    for path in notebooks:
        _clear(folder, path.stem)
        record = record.with_notebook(NotebookRun(path.stem, title_of(read(path)) or path.stem, "not run"))
    return _published(record)


def _published(record: RunRecord) -> RunRecord:
    save(record)
    render.index(record.folder)
    render.runs_index(record.folder.parent)
    return record


def _context(values: Mapping[str, object], folder: Path) -> render.Context:
    return render.Context(
        migration=str(values.get("migration") or folder.parent.name),
        environment=str(values.get("environment") or ""),
        run_id=str(values.get("run_id") or folder.name),
        at=_now(),
    )


def versions() -> dict[str, str]:
    """Versions of Python, of this program and of what shapes a report."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in VERSIONS_OF}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
