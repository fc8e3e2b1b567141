"""A notebook is a function: parameters in, an executed copy, a report and a record out."""

from cio2d365.run.notebooks import execute, run_notebooks
from cio2d365.run.parameters import describe, parameters_of, with_defaults
from cio2d365.run.record import NotebookRun, RunRecord, load, verify

__all__ = [
    "NotebookRun",
    "RunRecord",
    "describe",
    "execute",
    "load",
    "parameters_of",
    "run_notebooks",
    "verify",
    "with_defaults",
]
