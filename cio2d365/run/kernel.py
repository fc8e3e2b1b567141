"""The child process: runs one notebook, `python kernel.py JOB.json`, and says how it ended.

One process per notebook, because papermill in threads mixes up working directories without an error, and a forked
process hangs on the kernel's sockets (nteract/papermill#239). The end is taken from the raised exception: after a
time-out or a dead kernel papermill's metadata says "completed" for every cell.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# isort: off
import cio2d365  # noqa: F401 - first, because it spares the imports after it two seconds
import nbclient.exceptions
import papermill
import papermill.exceptions
import traitlets.config
# isort: on

# Both may pass: the run can be resumed (exit code 3 in `errors`).
WORLD_ERROR = "WorldError"


@dataclass(frozen=True)
class Job:
    """What to run, and the kernel's folder. `output` and `ending` are written by the child; `timeout` is in seconds."""

    notebook: str
    output: str
    ending: str
    parameters: dict[str, Any]
    cwd: str
    timeout: int


@dataclass(frozen=True)
class Ending:
    """How it ended: "" or the class name of the error, its text, and the index of the cell where it happened."""

    error: str = ""
    message: str = ""
    cell: int | None = None


def run(job: Job) -> Ending:
    """Execute the notebook; an error in it is a value here."""
    try:
        _execute(job)
    except papermill.exceptions.PapermillExecutionError as failure:
        return Ending(failure.ename, failure.evalue, failure.cell_index)
    except nbclient.exceptions.CellTimeoutError:
        return Ending(WORLD_ERROR, f"a cell took longer than {job.timeout:,} s")
    except nbclient.exceptions.DeadKernelError:
        return Ending(WORLD_ERROR, "the Python process of the notebook ended by itself (often: out of memory)")
    return Ending()


def _execute(job: Job) -> None:
    """papermill formats paths with the parameters, hence the doubled braces; kernel traffic is encrypted."""
    papermill.execute_notebook(
        _literal(job.notebook),
        _literal(job.output),
        parameters=job.parameters,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        log_output=False,
        cwd=job.cwd,
        execution_timeout=job.timeout,
        autosave_cell_every=30,
        config=traitlets.config.Config({"KernelManager": {"transport_encryption": "required"}}),
    )


def _literal(path: str) -> str:
    return path.replace("{", "{{").replace("}", "}}")


def main() -> None:
    """Read the job, run it, write the ending."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    ending = run(job)
    Path(job.ending).write_text(json.dumps(asdict(ending)), encoding="utf-8")


if __name__ == "__main__":
    main()
