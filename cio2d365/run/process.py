"""The parent's side of a notebook's process: start it, follow its log, stop it in time, read how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO

from cio2d365.run import kernel
from cio2d365.run.kernel import WORLD_ERROR, Ending, Job
from cio2d365.show.look import HEADLESS_VARIABLE
from cio2d365.show.progress import LOG_VARIABLE

# Beyond the time-out of a cell the child gets this long to interrupt the kernel and save what there is.
GRACE = 20.0
POLL = 0.2
TAIL = 4_000

OnStep = Callable[[str], None]


def run_child(job: Job, work: Path, log: Path, on_step: OnStep) -> Ending:
    """Run the job in a process of its own; `on_step` gets the last step that the notebook wrote to its log."""
    description = work / "job.json"
    description.write_text(json.dumps(asdict(job)), encoding="utf-8")
    log.write_text("", encoding="utf-8")
    with log.open("a", encoding="utf-8") as output:
        in_time = follow(_start(description, log, output), job.timeout + GRACE, log, on_step)
    if not in_time:
        return Ending(WORLD_ERROR, f"the notebook took longer than {job.timeout:,} s")
    ending = Path(job.ending)
    if not ending.exists():
        return Ending(WORLD_ERROR, f"the process that ran the notebook ended by itself; {log.name} may say why")
    return Ending(**json.loads(ending.read_text(encoding="utf-8")))


def _start(description: Path, log: Path, output: IO[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {HEADLESS_VARIABLE: "1", LOG_VARIABLE: str(log.absolute()), "PYTHONUTF8": "1"}
    # Run as a file, without its folder on the path: as a module it would load the whole surface, a second of work.
    command = [sys.executable, "-P", str(Path(kernel.__file__)), str(description)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def follow(child: subprocess.Popen[bytes], seconds: float, log: Path, on_step: OnStep) -> bool:
    """Whether the child ended within `seconds`; whatever happens here, it does not outlive this call."""
    end, said = time.monotonic() + seconds, ""
    try:
        while child.poll() is None:
            if time.monotonic() > end:
                return False
            time.sleep(POLL)
            step = last_step(log)
            if step != said:
                on_step(step)
                said = step
        return True
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, so that it stops its kernel too; then make it."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def last_step(log: Path) -> str:
    """The step, and how far it is, in the last line of progress near the end of the log; "" if there is none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    return next((text for line in reversed(lines) if (text := _step_text(line))), "")


def _step_text(line: str) -> str:
    try:
        step = json.loads(line)
        return f"{step['step']} {step['done']:,} of {step['total']:,} {step.get('note', '')}".rstrip()
    except (ValueError, KeyError, TypeError):
        return ""
