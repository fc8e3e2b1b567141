"""Run notebooks in child processes and keep what they leave."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import nbformat
import nbformat.sign

from cio2d365 import errors, render
from cio2d365.artefacts import sha256, write_text
from cio2d365.run.kernel import KERNEL_DIED, TIMED_OUT, Ending, Job
from cio2d365.run.parameters import checked, parameters, read, unknown
from cio2d365.run.record import NotebookRun, RunRecord, load, save
from cio2d365.run.scrub import leaked, redacted, scrubbed
from cio2d365.show.blocks import FINDINGS_MIME, OUTCOME_MIME
from cio2d365.show.look import HEADLESS_VARIABLE
from cio2d365.show.progress import LOG_VARIABLE

TIMEOUT = 6 * 3600
# Beyond the time-out of a cell the child gets this long to interrupt the kernel and save what there is.
GRACE = 20
# Every notebook may take these; a value for one that no notebook declares is no mistake.
COMMON = frozenset({"root", "migration", "environment", "run_id"})
SECRET_FOUND = "SecretFound"
VERSIONS_OF = ("cio2d365", "polars", "altair", "papermill", "nbconvert", "ipykernel")

OnProgress = Callable[[int, int, str], None]


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    folder: Path,
    *,
    timeout: int = TIMEOUT,
    about: render.About | None = None,
) -> NotebookRun:
    """Run one notebook and leave `<name>.ipynb`, `<name>.html` and `<name>.log` in `folder`.

    A notebook that stops leaves `<name>.failed.ipynb` and a page that says why; that is a value, not an exception.
    `timeout` is in seconds. Raises SettingsError for parameters that the notebook does not take.
    """
    values = checked(notebook, parameters)
    folder.mkdir(parents=True, exist_ok=True)
    began, clock = _now(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cio2d365-") as work:
        ending = _run_child(notebook, values, Path(work), folder / f"{notebook.stem}.log", timeout)
        executed = _executed(notebook, Path(work))
    _redact_log(folder / f"{notebook.stem}.log")
    run = _record(notebook, executed, ending, time.monotonic() - clock, began)
    return _leave(run, scrubbed(executed, [folder, notebook.parent]), folder, about or _about(values, folder))


def _run_child(notebook: Path, values: dict[str, object], work: Path, log: Path, timeout: int) -> Ending:
    source, ending = work / "source.ipynb", work / "ending.json"
    source.write_bytes(notebook.read_bytes())
    job = Job(str(source), str(work / "executed.ipynb"), str(ending), values, timeout)
    (work / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
    log.write_text("", encoding="utf-8")
    with log.open("a", encoding="utf-8") as output:
        in_time = _wait(_start(work / "job.json", log, output), timeout + GRACE)
    if not in_time:
        return Ending(TIMED_OUT, f"the notebook took longer than {timeout:,} s")
    if not ending.exists():
        return Ending(KERNEL_DIED, "the process that ran the notebook ended by itself")
    return Ending(**json.loads(ending.read_text(encoding="utf-8")))


def _start(job: Path, log: Path, output: IO[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {HEADLESS_VARIABLE: "1", LOG_VARIABLE: str(log.absolute()), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "cio2d365.run.kernel", str(job)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _wait(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the child ended in time. If not it is asked to stop (it then stops its kernel), and then made to."""
    try:
        child.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _executed(notebook: Path, work: Path) -> Any:
    """As far as it got; the notebook as it is when nothing was saved."""
    saved = work / "executed.ipynb"
    return read(saved if saved.exists() else notebook)


def _redact_log(log: Path) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    if leaked(text):
        write_text(log, redacted(text))


def _record(notebook: Path, executed: Any, ending: Ending, seconds: float, began: str) -> NotebookRun:
    findings, figures, changed = _reported(executed)
    title = render.title_of(executed) or notebook.stem
    run = NotebookRun(
        notebook.stem,
        "done",
        round(seconds, 1),
        title=title,
        started=began,
        findings=findings,
        figures=figures,
        changed=changed,
    )
    if not ending.error:
        return run
    return replace(
        run,
        state="failed",
        exit_code=_exit_code(ending.error),
        error=ending.error,
        message=_public(ending),
        step=_step(executed, ending.cell),
    )


def _exit_code(error: str) -> int:
    return 3 if error in (KERNEL_DIED, TIMED_OUT) else errors.exit_code_of(error)


def _public(ending: Ending) -> str:
    """The text of our own errors is written for people; that of others may hold data and is not shown (L10)."""
    ours = ending.error in (KERNEL_DIED, TIMED_OUT) or isinstance(getattr(errors, ending.error, None), type)
    if ours:
        return redacted(ending.message)
    return f"An error that was not foreseen ({ending.error}). Its text is only in the kept copy of the notebook."


def _step(executed: Any, cell: int | None) -> str:
    """The heading above the cell where it stopped; after a dead kernel or a time-out, above the last that began."""
    if cell is None:
        began = [i for i, c in enumerate(executed.cells) if c.get("execution_count")]
        cell = began[-1] if began else 0
    # papermill puts a cell with its own note in front of the one that failed.
    return render.heading_above(executed, cell + 1)


def _reported(executed: Any) -> tuple[dict[str, int], dict[str, str], str]:
    findings: dict[str, int] = {}
    figures: dict[str, str] = {}
    changed = ""
    for data in _outputs(executed):
        for name, count in data.get(FINDINGS_MIME, {}).items():
            findings[name] = findings.get(name, 0) + count
        outcome = data.get(OUTCOME_MIME, {})
        figures |= outcome.get("figures", {})
        changed = outcome.get("changed", changed)
    return findings, figures, changed


def _outputs(executed: Any) -> list[Any]:
    return [o.data for cell in executed.cells for o in cell.get("outputs", []) if "data" in o]


def _leave(run: NotebookRun, executed: Any, folder: Path, about: render.About) -> NotebookRun:
    """Write the executed notebook and its page, unless a secret is in them."""
    name = f"{run.name}.ipynb" if run.state == "done" else f"{run.name}.failed.ipynb"
    copy = nbformat.writes(executed)
    page = render.report(executed, run, about) if run.state == "done" else render.failure(run, about)
    secret = leaked(copy) or leaked(page)
    if secret:
        run = _withheld(run, secret)
        page, copy = render.failure(run, about), ""
    _clear(folder, run.name)
    if copy:
        write_text(folder / name, copy)
        _sign(executed)
    write_text(folder / f"{run.name}.html", page)
    kept = [path for path in (folder / name, folder / f"{run.name}.html") if path.exists()]
    return replace(run, files={path.name: sha256(path) for path in kept})


def _withheld(run: NotebookRun, secret: str) -> NotebookRun:
    message = f"The value of {secret} appeared in the output, so the executed notebook and its report were not kept."
    return replace(
        run, state="failed", exit_code=4, error=SECRET_FOUND, message=message, findings={}, figures={}, changed=""
    )


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

    Each notebook gets those of the parameters that it declares. In a folder that already holds a run its earlier
    records stay. `on_progress` is called with the number done, the number in all and the notebook's name. Raises
    SettingsError, before anything runs, for a parameter that no notebook declares or a value of the wrong type.
    """
    given = {path: _given(path, parameters) for path in notebooks}
    _refuse_unknown(parameters, notebooks)
    record = _opened(notebooks, parameters, folder)
    _publish(record, folder)
    for done, path in enumerate(notebooks):
        _tell(on_progress, done, len(notebooks), path.stem)
        run = execute(path, given[path], folder, timeout=timeout, about=_about_record(record))
        record = replace(record.with_notebook(run), ended=_now())
        _publish(record, folder)
        if run.state == "failed":
            return record
    _tell(on_progress, len(notebooks), len(notebooks), "")
    return record


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
    about = _about(values, folder)
    earlier = load(folder)
    record = earlier or RunRecord(about.run_id, about.migration, about.environment, _now(), _now(), versions(), ())
    for path in notebooks:
        record = record.with_notebook(NotebookRun(path.stem, "not run", title=render.title_of(read(path)) or path.stem))
    return record


def _publish(record: RunRecord, folder: Path) -> None:
    save(record, folder)
    render.index(folder)
    render.history(folder.parent)


def _tell(on_progress: OnProgress | None, done: int, total: int, name: str) -> None:
    if on_progress:
        on_progress(done, total, name)


def _about(values: Mapping[str, object], folder: Path) -> render.About:
    return render.About(
        migration=str(values.get("migration") or folder.parent.name),
        environment=str(values.get("environment") or ""),
        run_id=str(values.get("run_id") or folder.name),
        versions=versions(),
    )


def _about_record(record: RunRecord) -> render.About:
    return render.About(record.migration, record.environment, record.run_id, record.versions)


def versions() -> dict[str, str]:
    """Versions of this program, of Python and of what shapes a report."""
    found = {name: importlib.metadata.version(name) for name in VERSIONS_OF}
    return {"python": platform.python_version(), **found}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
