"""The command line. Exit codes: 0 done, 1 done with findings, 2 refused, 3 stopped and resumable, 4 internal error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from cio2d365 import __version__, connect, decisions, migration, preflight, settings, workbench
from cio2d365.errors import AuthorityError, MigrationError, SettingsError
from cio2d365.migrate import signoff
from cio2d365.show.progress import progress

if TYPE_CHECKING:
    from cio2d365.run import RunRecord

# `cio2d365.run` brings papermill, nbconvert and altair, more than a second: only the commands that need it import it.
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
out, err = Console(), Console(stderr=True)

HOME = Path(__file__).resolve().parent
NOTEBOOKS = next(p for p in (HOME / "notebooks", HOME.parent / "notebooks") if p.is_dir())  # in a wheel, in a checkout
Root = Annotated[Path, typer.Option(help="Folder that holds migrations/ and reports/.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the migration.")]
Env = Annotated[str, typer.Option("--env", help="sandbox or production.")]
By = Annotated[str, typer.Option("--by", help="Who says so.")]
HERE = Path(".")
INTERRUPTED = 130


def main() -> None:
    """Entry point: an error of ours is one message and its exit code, never a stack trace."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops a service ends like Ctrl-C (F-53)
    try:
        # without standalone mode a typer.Exit comes back as the value of the call, and Ctrl-C as one with 130
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except MigrationError as error:
        _stop(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _stop("stopped; nothing is half done, run the same command again", 3)
    except Exception as error:  # noqa: BLE001 - click's own usage errors know how to show themselves
        show = getattr(error, "show", None)
        if show is None:
            _stop(f"internal error: {type(error).__name__}: {error}", 4)
        show()
        sys.exit(2)


def _stop(message: str, code: int) -> NoReturn:
    err.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


@app.command()
def new(
    name: Name,
    dataverse: Annotated[str, typer.Option(help="Origin of the Dataverse sandbox.")],
    customerio: Annotated[str, typer.Option(help="Origin of the Customer.io App API.")] = "",
    files: Annotated[Path | None, typer.Option(help="Folder of export files; they give the event history.")] = None,
    root: Root = HERE,
) -> None:
    """Write migrations/NAME/migration.toml with every setting, default and comment."""
    if not customerio and files is None:
        raise SettingsError("say where to read from: --customerio URL, --files DIR or both")
    if files is not None and not files.is_dir():
        raise SettingsError(f"{files} is not a folder")
    folder = str(files.resolve()) if files else ""
    text = settings.new_document(name, str(uuid.uuid4()), sandbox=dataverse, customerio=customerio, files=folder)
    made = migration.create(root, name, text)
    out.print(f"{made.folder / 'migration.toml'}", markup=False, soft_wrap=True)


@app.command("run")
def run_command(
    name: Name,
    env: Env,
    first: Annotated[str, typer.Option("--from", help="First notebook, 00 to 07.")] = "00",
    last: Annotated[str, typer.Option("--to", help="Last notebook, 00 to 07.")] = "07",
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE for a notebook parameter.")] = None,
    root: Root = HERE,
) -> None:
    """Run the notebooks headless and leave a folder of reports; stops where a decision is unconfirmed."""
    raise typer.Exit(_run(root, name, env, first, last, _assignments(set_ or [])))


def _run(
    root: Path, name: str, env: str, first: str, last: str, more: dict[str, Any] | None = None, run_id: str = ""
) -> int:
    from cio2d365 import run

    found = migration.load(root, name)
    environment = _environment(env)
    signoff.require(found, environment)
    chosen = _notebooks(first, last)
    numbers = {path.name[:2] for path in chosen}
    connect.check(found, environment, read_source="00" in numbers, use_target=bool(numbers & {"00", "04", "05", "06"}))
    run_id = run_id or _new_run_id(found, environment)
    parameters = {
        "root": str(found.root),
        "migration": name,
        "environment": environment,
        "run_id": run_id,
        "apply": True,
    }
    folder = found.reports / run_id
    with progress("Notebooks", len(chosen), "notebooks") if err.is_terminal else _Lines() as bar:
        record = run.run_notebooks(chosen, parameters | (more or {}), folder, on_progress=bar)
    _tell(record)
    return int(record.exit_code)


class _Lines:
    """Progress for a log: one line as each notebook starts."""

    def __init__(self) -> None:
        self._last = ""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, done: int, total: int, text: str) -> None:
        name = text.partition(":")[0]
        if name and name not in (self._last, "done"):
            self._last = name
            err.print(f"{name} ({done + 1} of {total})", markup=False, highlight=False)


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _tell(record: RunRecord) -> None:
    failed = next((n for n in record.notebooks if n.state == "failed"), None)
    if failed:
        err.print(f"{failed.name}: {failed.message}", style="red", markup=False, highlight=False, soft_wrap=True)
    findings: dict[str, int] = {}
    for notebook in record.notebooks:
        for what, count in notebook.findings.items():
            findings[what] = findings.get(what, 0) + count
    for what, count in sorted(findings.items()):
        if count:
            out.print(f"{count:>8,}  {what}", markup=False, highlight=False)
    out.print(str(Path(record.folder) / "index.html"), markup=False, highlight=False, soft_wrap=True)


def _environment(text: str) -> settings.Environment:
    if text == "sandbox":
        return "sandbox"
    if text == "production":
        return "production"
    raise SettingsError(f"--env is sandbox or production, not {text!r}")


def _notebooks(first: str, last: str) -> list[Path]:
    every = {p.name[:2]: p for p in sorted(NOTEBOOKS.glob("0[0-7]_*.ipynb"))}
    wrong = [n for n in (first, last) if n not in every]
    if wrong:
        raise SettingsError(f"there is no notebook {wrong[0]!r}; choose from {', '.join(every)}")
    chosen = [path for number, path in every.items() if first <= number <= last]
    if not chosen:
        raise SettingsError(f"--from {first} comes after --to {last}")
    return chosen


def _new_run_id(found: migration.Migration, environment: str) -> str:
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{environment}"
    taken = {p.name for p in found.reports.glob(f"{stem}*")}
    return next(i for i in (stem, *(f"{stem}-{n}" for n in range(2, 1000))) if i not in taken)


def _assignments(texts: list[str]) -> dict[str, Any]:
    wrong = [t for t in texts if "=" not in t]
    if wrong:
        raise SettingsError(f"--set takes NAME=VALUE, not {wrong[0]!r}")
    return {k: _literal(v) for k, _, v in (t.partition("=") for t in texts)}


def _literal(text: str) -> Any:
    """Numbers, true and false as such; every other text stays text (007 included)."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


@app.command("connect")
def connect_command(name: Name, env: Env = "sandbox", root: Root = HERE) -> None:
    """Sign in; say who we are, what we may do and what stands in the way, in both systems. Only reads."""
    found, environment = migration.load(root, name), _environment(env)
    try:
        connect.sign_in(found, environment, tell=_say)
        seen = preflight.look(found, environment)
    except AuthorityError as error:
        _stop(str(error), preflight.REFUSED)
    for line in preflight.lines(seen):
        _say(line)
    raise typer.Exit(seen.exit_code)


@app.command("doctor")
def doctor_command(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A migration whose systems are asked too.")] = "",
    root: Root = HERE,
) -> None:
    """Whether this machine is ready; with NAME also that migration's settings, variables and systems."""
    from cio2d365 import doctor  # brings Jupyter's client, half a second

    checks = [*doctor.local_checks(root, NOTEBOOKS), *(doctor.migration_checks(root, name) if name else ())]
    for check in checks:
        _say(str(check))
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def confirm(
    name: Name,
    by: By,
    every: Annotated[bool, typer.Option("--all", help="All three decisions.")] = False,
    only: Annotated[str, typer.Option(help="mapping, split or events.")] = "",
    root: Root = HERE,
) -> None:
    """Confirm proposals as they stand; recorded as unattended."""
    found = migration.load(root, name)
    if every == bool(only):
        raise SettingsError("say --all, or --only mapping, split or events")
    if only and only not in decisions.NOTEBOOK:
        raise SettingsError(f"--only is mapping, split or events, not {only!r}")
    for decision in decisions.NOTEBOOK:
        if every or decision == only:
            done = decisions.confirm(found, decision, by=by, at=connect.now(), unattended=True)
            out.print(f"{decision}: {done.state}, version {done.digest[:12]}", markup=False, highlight=False)


@app.command()
def status(
    name: Name, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False, root: Root = HERE
) -> None:
    """Where the migration stands: snapshot, decisions, runs with their ids."""
    facts = _status(migration.load(root, name))
    if as_json:
        sys.stdout.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    out.print(f"{name}: snapshot {facts['snapshot'] or 'none yet'}", markup=False, highlight=False)
    for decision, state in facts["decisions"].items():
        out.print(f"  {decision}: {state}", markup=False, highlight=False, soft_wrap=True)
    for environment, runs in facts["environments"].items():
        out.print(_run_table(environment, runs))


def _status(found: migration.Migration) -> dict[str, Any]:
    open_ = decisions.open_decisions(found) if found.was_read else dict.fromkeys(decisions.NOTEBOOK, "no snapshot yet")
    return {
        "migration": found.name,
        "snapshot": found.snapshot().id if found.was_read else None,
        "decisions": {n: open_.get(n, "confirmed") for n in decisions.NOTEBOOK},
        "environments": {e: workbench.runs(found, _environment(e)) for e in ("sandbox", "production")},
    }


def _run_table(environment: str, runs: list[dict[str, Any]]) -> Table | str:
    if not runs:
        return f"  {environment}: no run yet"
    table = Table(title=environment, title_justify="left")
    columns = ("run_id", "state", "created", "updated", "unchanged", "quarantined", "started")
    for name in columns:
        table.add_column(name, justify="right" if name in workbench.ENDS else "left", no_wrap=name == "run_id")
    for row in runs:
        table.add_row(*(f"{row[c]:,}" if isinstance(row[c], int) else str(row[c]) for c in columns))
    return table


@app.command()
def sign(
    name: Name,
    role: Annotated[str, typer.Option(help="reconciler or owner.")],
    by: By,
    verdict: Annotated[str, typer.Option(help="accept or reject.")],
    root: Root = HERE,
) -> None:
    """Record who accepts or rejects the sandbox as it stands; production needs both roles, by two people."""
    if role not in ("reconciler", "owner") or verdict not in ("accept", "reject"):
        raise SettingsError("--role is reconciler or owner, --verdict is accept or reject")
    found = migration.load(root, name)
    record = signoff.sign(found, role=role, by=by, verdict=verdict, at=connect.now())  # type: ignore[arg-type]
    out.print(f"{record.role} {record.by}: {record.verdict}, {record.digest[:12]}", markup=False, highlight=False)


@app.command()
def rollback(
    name: Name,
    env: Env,
    run_id: Annotated[str, typer.Option("--run", help="The run to undo; `status` lists them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it the plan is shown.")] = False,
    root: Root = HERE,
) -> None:
    """Undo one run: delete the rows that it created, restore the rows that it changed."""
    found = migration.load(root, name)
    with progress("Undoing", 0, "rows") as bar:
        done = workbench.undo(found, _environment(env), run_id, apply=yes, progress=bar)
    with pl.Config(tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True, tbl_rows=100):
        out.print(str(done), markup=False, highlight=False)
    if not yes:
        out.print("Nothing was changed; --yes does it.")
    protected = int(done["protected"].sum())
    raise typer.Exit(1 if protected else 0)


@app.command()
def remove_schema(
    name: Name,
    env: Env,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it the plan is shown.")] = False,
    with_rows: Annotated[bool, typer.Option("--with-rows", help="Also where rows and values go along.")] = False,
    root: Root = HERE,
) -> None:
    """Delete the tables, columns, choices and views that 04_schema has made; nothing of anybody else's."""
    found = migration.load(root, name)
    with progress("Removing", 0, "components") as bar:
        done = workbench.remove_schema(found, _environment(env), apply=yes, with_rows=with_rows, progress=bar)
    columns = ("table", "kind", "name", "state", "rows", "reason")
    table = Table(*columns)
    for row in done.select(columns).rows():
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
    out.print(table)
    if not yes:
        out.print("Nothing was changed; --yes does it.")
    raise typer.Exit(1 if done.filter(pl.col("state") != "remove").height else 0)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(metavar="REPORT_DIR", help="Folder of a run.")]) -> None:
    """Compare the files of a report folder with the fingerprints in its manifest."""
    from cio2d365 import run

    changed = run.verify(folder)
    for name in changed:
        out.print(name, markup=False, highlight=False)
    out.print("Every file is as it was written." if not changed else f"{len(changed)} files differ.")
    raise typer.Exit(1 if changed else 0)


@app.command()
def params(notebook: Annotated[str, typer.Argument(help="Number or name of a notebook.")]) -> None:
    """The parameters of a notebook: name, type, default and meaning."""
    from cio2d365 import run

    found = sorted(p for p in NOTEBOOKS.glob("*.ipynb") if p.name.startswith(notebook) or p.stem == notebook)
    if not found:
        raise SettingsError(f"there is no notebook {notebook!r}")
    table = Table(title=found[0].stem, title_justify="left")
    for heading in ("name", "type", "default", "meaning"):
        table.add_column(heading)
    for row in run.describe(found[0]):
        table.add_row(*(str(cell) for cell in row))
    out.print(table)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the migration.")] = "",
    root: Root = HERE,
) -> None:
    """JupyterLab on the notebooks; with NAME on copies of them for that migration. Other options go to JupyterLab."""
    folder = _lab_folder(migration.load(root, name)) if name else NOTEBOOKS
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", *context.args]
    # Our settings keep the news pop-up from standing in front of a client.
    paths = [str(HOME / "templates" / "lab"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


def _lab_folder(found: migration.Migration) -> Path:
    """`migrations/NAME/notebooks` with the parameters of this migration; notebooks that are there already stay."""
    from cio2d365 import run

    folder = found.folder / "notebooks"
    folder.mkdir(exist_ok=True)
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        target = folder / source.name
        if not target.exists():
            run.with_defaults(source, {"root": str(found.root), "migration": found.name}, target)
    return folder


@app.command()
def simulate(
    ready_file: Annotated[Path, typer.Option(help="JSON with addresses and keys, written when both listen.")],
    customerio_port: Annotated[int, typer.Option(help="0 = any free one.")] = 0,
    dataverse_port: Annotated[int, typer.Option(help="0 = any free one.")] = 0,
    workspace: Annotated[str, typer.Option(help="sample or empty.")] = "sample",
    tls_dir: Annotated[Path | None, typer.Option(help="Also serve both over TLS; ca.pem goes there.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Keep state here between starts.")] = None,
    files_dir: Annotated[Path | None, typer.Option(help="Also write the workspace's export files here.")] = None,
) -> None:
    """Both vendors' APIs on loopback with a sample workspace, until SIGTERM."""
    from cio2d365.sim import serve  # the simulators are an extra: only this command and the demo need them

    if workspace not in ("sample", "empty"):
        raise SettingsError(f"--workspace is sample or empty, not {workspace!r}")
    serve.simulate(
        customerio_port=customerio_port,
        dataverse_port=dataverse_port,
        workspace=workspace,  # type: ignore[arg-type]
        tls_dir=tls_dir,
        state_dir=state_dir,
        files_dir=files_dir,
        ready_file=ready_file,
    )


@app.command()
def demo(root: Root = HERE) -> None:
    """The whole migration of the sample workspace against the simulators; a second one changes nothing."""
    from cio2d365 import demo as demonstration

    raise typer.Exit(demonstration.run(root, _run, _say))


@app.command()
def version() -> None:
    """The version of this program."""
    out.print(__version__)
