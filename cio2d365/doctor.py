"""Whether this machine is ready: Python, packages, notebooks, kernel, disk, folders, settings, variables, clock.

Everything is local, until a migration is named: then its systems are asked too. Secrets are looked for, never shown.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vl_convert
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from packaging.requirements import Requirement
from packaging.version import Version

from cio2d365 import __version__, connect, migration, preflight
from cio2d365.dataverse.clock import skew
from cio2d365.dataverse.findings import CLOCK_SECONDS
from cio2d365.errors import MigrationError, SettingsError
from cio2d365.migration import Migration
from cio2d365.preflight import Check
from cio2d365.settings import Environment

LEAST_PYTHON = (3, 11)
KERNEL = "python3"
NUMBERS = ("00", "01", "02", "03", "04", "05", "06", "07", "90")
FREE_BYTES = 5_000_000_000  # a raw snapshot, its profile and the staged rows of five million events
WRITTEN_AFTER = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def local_checks(root: Path, notebooks: Path, *, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """What can be said without a network and without a migration."""
    yield Check("program", f"cio2d365 {__version__}")
    yield _python(sys.version_info[:3])
    yield packages(importlib.metadata.requires("cio2d365") or [])
    yield _notebooks(notebooks)
    yield _kernel(KernelSpecManager())
    yield _charts()
    yield _disk(root, shutil.disk_usage(root).free)
    yield from (_writable(root / name) for name in ("migrations", "reports"))
    yield _clock(clock())


def migration_checks(root: Path, name: str) -> Iterator[Check]:
    """The settings and variables of a migration, and whether its systems answer."""
    try:
        found = migration.load(root, name)
    except SettingsError as error:
        yield Check("settings", str(error), ok=False)
        return
    yield Check("settings", f"{found.folder / 'migration.toml'} is valid")
    yield from variables(found)
    yield from _answers(found)


def _python(version: tuple[int, ...]) -> Check:
    shown = ".".join(map(str, version))
    wanted = ".".join(map(str, LEAST_PYTHON))
    ok = version[:2] >= LEAST_PYTHON
    return Check("Python", shown if ok else f"{shown}; {wanted} or newer is needed", ok)


def packages(required: Iterable[str]) -> Check:
    """Whether every required package is there in a version that fits; optional extras are left out."""
    wanted = [r for r in map(Requirement, required) if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [problem for requirement in wanted if (problem := _problem(requirement))]
    return Check("packages", "; ".join(wrong) if wrong else f"all {len(wanted):,} in fitting versions", not wrong)


def _problem(requirement: Requirement) -> str:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    fits = requirement.specifier.contains(Version(version), prereleases=True)
    return "" if fits else f"{requirement.name} {version} does not fit {requirement.specifier}"


def _notebooks(folder: Path) -> Check:
    there = {path.name[:2] for path in folder.glob("*_*.ipynb")}
    absent = [number for number in NUMBERS if number not in there]
    seen = f"{len(NUMBERS)} in {folder}" if not absent else f"no {', '.join(absent)} in {folder}; install again"
    return Check("notebooks", seen, not absent)


def _kernel(manager: Any) -> Check:
    """Runs start the kernel `python3`; in this environment it has to be this Python, or imports differ."""
    try:
        program = manager.get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        return Check("kernel", f"there is no kernel {KERNEL}; install ipykernel", ok=False)
    found = shutil.which(program)
    # A plain `python` is replaced by the running one when the kernel starts (jupyter_client).
    plain = program in ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    if plain or (found and Path(found).resolve() == Path(sys.executable).resolve()):
        return Check("kernel", f"{KERNEL} is this Python")
    return Check("kernel", f"{KERNEL} starts {program}, not {sys.executable}", ok=False)


def _charts() -> Check:
    """Draws one: a missing library of the system shows here, not at the end of a run."""
    chart = {"data": {"values": [{"x": 1}]}, "mark": "bar", "encoding": {"x": {"field": "x", "type": "quantitative"}}}
    try:
        drawn = vl_convert.vegalite_to_svg(chart)
    except Exception as error:  # noqa: BLE001 - the converter documents no error classes
        return Check("charts", f"cannot be drawn: {error}", ok=False)
    ok = drawn.startswith("<svg")
    return Check("charts", "can be drawn, without a browser" if ok else "are not drawn as SVG", ok)


def _disk(root: Path, free: int) -> Check:
    shown = f"{free / 1e9:,.1f} GB free at {root.resolve()}"
    return Check("disk", shown if free >= FREE_BYTES else f"{shown}; a large workspace needs more", free >= FREE_BYTES)


def _writable(folder: Path) -> Check:
    """The folder, or the nearest one above that exists, takes a file."""
    place = next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place):
            return Check(f"folder {folder.name}", f"{place.resolve()} can be written")
    except OSError as error:
        return Check(f"folder {folder.name}", f"{place.resolve()} cannot be written: {error.strerror}", ok=False)


def _clock(now: float) -> Check:
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
    ok = now >= WRITTEN_AFTER
    return Check("clock", shown if ok else f"{shown} lies before this program was written", ok)


def variables(found: Migration) -> Iterator[Check]:
    """The environment variables that the settings name; what they hold is never shown."""
    for name in names_of_variables(found):
        try:
            connect.secret(name)
            yield Check("variable", f"{name} is set")
        except SettingsError as error:
            yield Check("variable", str(error), ok=False)


def names_of_variables(found: Migration) -> list[str]:
    """Those that the chosen way to sign in, further application users and the App API need, each once."""
    chosen, source = found.settings.dataverse, found.settings.customerio
    names: list[str | None] = [source.app_api_key if source.url else None, chosen.tenant_id, chosen.client_id]
    credential = {"secret": "client_secret", "certificate": "certificate"}.get(chosen.sign_in)
    users = (chosen, *chosen.application_users)
    names += [user.client_id for user in chosen.application_users]
    names += [getattr(user, credential) for user in users] if credential else []
    return list(dict.fromkeys(name for name in names if name))


def _answers(found: Migration) -> Iterator[Check]:
    yield _source(found)
    for environment in ("sandbox", "production"):
        if getattr(found.settings.dataverse, environment).url:
            yield _target(found, environment)


def _source(found: Migration) -> Check:
    try:
        with connect.source(found) as source:
            checks = list(preflight.source_checks(source))
    except MigrationError as error:
        return Check("source", str(error), ok=False)
    wrong = [f"{check.what} {check.seen}" for check in checks if not check.ok]
    return Check("source", "; ".join(wrong) if wrong else f"{source.label} can be read", not wrong)


def _target(found: Migration, environment: Environment) -> Check:
    try:
        with connect.target(found, environment) as client:
            ahead = skew(client)
    except MigrationError as error:
        return Check(environment, str(error), ok=False)
    if ahead is None or abs(ahead) < CLOCK_SECONDS:
        return Check(environment, f"{found.dataverse_url(environment)} lets us in")
    return Check(environment, f"this machine's clock differs from the server's by {ahead:+,.0f} seconds", ok=False)
