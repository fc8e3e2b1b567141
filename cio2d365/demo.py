"""The whole migration of the sample workspace against the simulators, as one command.

The simulators keep their state beside the migration, so that a second demo meets the rows of the first and changes
none.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit

from cio2d365 import artefacts, connect, decisions, migration, settings, workbench
from cio2d365.errors import Terminal

NAME = "sample"
BY = "demo"
PACE = 100  # the simulator admits 10 requests a second like the real service; the demo does not wait for that
START_SECONDS = 90

Runner = Callable[[Path, str, str, str, str, dict[str, Any] | None, str], int]


def run(root: Path, runner: Runner, tell: Callable[[str], None]) -> int:
    """Migrate the sample; 0 when the run ended with nothing worse than the findings that the sample is made to have."""
    base = root.resolve() / "migrations" / ".simulators"
    with simulators(base) as ready:
        _environment(ready)
        found = _migration(root, ready)
        run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-sandbox"
        tell("Reading the sample workspace, profiling it and proposing the decisions …")
        code = runner(root, NAME, "sandbox", "00", "03", None, run_id)
        if code <= 1:
            for name in decisions.NOTEBOOK:
                decisions.confirm(found, name, by=BY, at=connect.now(), unattended=True)
            tell("Decisions confirmed as proposed. Provisioning, loading and reconciling …")
            code = runner(root, NAME, "sandbox", "04", "07", None, run_id)
        tell(_balance(found, run_id))
        tell(str(found.reports / run_id / "index.html"))
        return 0 if code <= 1 else code


def _balance(found: migration.Migration, run_id: str) -> str:
    runs = [r for r in workbench.runs(found, "sandbox") if r["run_id"] == run_id]
    if not runs:
        return "Nothing was loaded."
    if not runs[0]["created"] and not runs[0]["updated"]:
        return f"No row in the target was changed: {runs[0]['unchanged']:,} rows were there with the same content."
    return f"Created {runs[0]['created']:,} and updated {runs[0]['updated']:,} rows in the target."


def _environment(ready: dict[str, Any]) -> None:
    """The secrets of the simulators, where the programs of this run look for them."""
    target, source = ready["dataverse"], ready["customerio"]
    os.environ |= {
        "CIO_APP_API_KEY": source["app_api_key"], "DATAVERSE_TENANT_ID": target["tenant_id"],
        "DATAVERSE_CLIENT_ID": target["client_id"], "DATAVERSE_CLIENT_SECRET": target["client_secret"],
        "DATAVERSE_AUTHORITY": target["url"],
    }  # fmt: skip


def _migration(root: Path, ready: dict[str, Any]) -> migration.Migration:
    path = root.resolve() / "migrations" / NAME / "migration.toml"
    urls = {"sandbox": ready["dataverse"]["url"], "customerio": ready["customerio"]["app_url"]}
    if not path.exists():
        files = str(Path(ready["files"]).relative_to(root.resolve()))
        text = settings.new_document(NAME, "sample-workspace", **urls, files=files, rate=float(PACE - 10))
        return migration.create(root, NAME, text)
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document["customerio"]["url"] = urls["customerio"]
    document["dataverse"]["sandbox"]["url"] = urls["sandbox"]
    artefacts.write_text(path, tomlkit.dumps(document))
    return migration.load(root, NAME)


@contextmanager
def simulators(base: Path) -> Iterator[dict[str, Any]]:
    """Both simulators on the ports they had before, if these are free; ended at the end."""
    base.mkdir(parents=True, exist_ok=True)
    ready_file, log = base / "ready.json", base / "simulators.log"
    ready_file.unlink(missing_ok=True)
    ports = _ports(base / "ports.json")
    command = [sys.executable, "-m", "cio2d365.sim.serve", "--ready-file", str(ready_file),
               "--state-dir", str(base / "state"), "--files-dir", str(base / "files"),
               "--customerio-port", str(ports[0]), "--dataverse-port", str(ports[1])]  # fmt: skip
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        ready = _await(process, ready_file, log)
        _post(f"{ready['customerio']['control_url']}/settings", {"requests_per_second": PACE})
        artefacts.write_json(
            base / "ports.json", [_port(ready["customerio"]["app_url"]), _port(ready["dataverse"]["url"])]
        )
        yield ready
    finally:
        process.terminate()
        process.wait(30)


def _await(process: subprocess.Popen[bytes], ready_file: Path, log: Path) -> dict[str, Any]:
    for _ in range(START_SECONDS * 10):
        if ready_file.exists():
            return artefacts.read_json(ready_file)
        if process.poll() is not None:
            raise Terminal(f"the simulators ended with code {process.returncode}; see {log}")
        time.sleep(0.1)
    raise Terminal(f"the simulators did not start within {START_SECONDS} seconds; see {log}")


def _ports(path: Path) -> tuple[int, int]:
    wanted = json.loads(path.read_bytes()) if path.exists() else [0, 0]
    return (wanted[0], wanted[1]) if all(_is_free(port) for port in wanted) else (0, 0)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _post(url: str, value: object) -> None:
    body = json.dumps(value).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=10):
        pass
