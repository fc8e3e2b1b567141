"""How far a long step is: a bar where somebody watches, lines in the log where nobody does.

Bars from other libraries freeze at 0 % in an executed notebook (nteract/papermill#617), so a headless run writes
nothing into the notebook at all: one JSON line per five per cent goes to the runner's log.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol

from cio2d365.show.look import headless, live

LOG_VARIABLE = "CIO2D365_LOG"
STEPS = 20


class View(Protocol):
    """Where progress is seen."""

    def update(self, done: int, total: int, note: str) -> None:
        """Show that `done` of `total` are finished."""

    def close(self) -> None:
        """The step is over."""


class Progress:
    """Progress of one step, as a context manager; also callable as `(done, total, text)` for the effect layers."""

    def __init__(self, label: str, total: int, unit: str, view: View) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._note = ""
        self._view = view

    def advance(self, n: int = 1) -> None:
        """`n` more are finished."""
        self(self.done + n, self.total, self._note)

    def note(self, text: str) -> None:
        """Say what is going on now."""
        self(self.done, self.total, text)

    def __call__(self, done: int, total: int, text: str) -> None:
        """`done` of `total` are finished, and `text` says what is going on."""
        self.done, self.total, self._note = done, total, text
        self._view.update(done, total, text)

    def __enter__(self) -> Progress:
        """Show the start."""
        self._view.update(self.done, self.total, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the end; an error passes through."""
        self._view.close()


def progress(label: str, total: int, unit: str = "rows") -> Progress:
    """Progress of one step: a widget in a live kernel, a bar in a terminal, JSON lines otherwise."""
    return Progress(label, total, unit, _view(label, total, unit))


def _view(label: str, total: int, unit: str) -> View:
    if live():
        return WidgetView(label, unit)
    if not headless() and sys.stderr.isatty():
        return TerminalView(label, total)
    return LogView(label, unit)


class WidgetView:
    """A bar under the cell."""

    def __init__(self, label: str, unit: str) -> None:
        import ipywidgets
        from IPython.display import display

        self._unit = unit
        self._bar = ipywidgets.IntProgress(min=0, max=1, description=label, style={"description_width": "initial"})
        self._text = ipywidgets.Label()
        display(ipywidgets.HBox([self._bar, self._text]))

    def update(self, done: int, total: int, note: str) -> None:
        """Move the bar."""
        self._bar.max, self._bar.value = max(total, 1), done
        self._text.value = f"{done:,} of {total:,} {self._unit} {note}"

    def close(self) -> None:
        """Leave the bar where it is, in the colour of a finished one if it is."""
        self._bar.bar_style = "success" if self._bar.value >= self._bar.max else "warning"


class TerminalView:
    """A bar on stderr."""

    def __init__(self, label: str, total: int) -> None:
        import rich.console
        import rich.markup
        import rich.progress

        self._escape = rich.markup.escape
        self._label = label
        self._bar = rich.progress.Progress(console=rich.console.Console(stderr=True))
        self._task = self._bar.add_task(self._escape(label), total=max(total, 1))
        self._bar.start()

    def update(self, done: int, total: int, note: str) -> None:
        """Move the bar."""
        text = self._escape(f"{self._label} {note}".rstrip())
        self._bar.update(self._task, completed=done, total=max(total, 1), description=text)

    def close(self) -> None:
        """Give the terminal back."""
        self._bar.stop()


class LogView:
    """JSON lines: the start, about every five per cent, each change of the note, and the end."""

    def __init__(self, label: str, unit: str) -> None:
        self._label, self._unit = label, unit
        self._last: tuple[int, str] | None = None
        self._now = (0, 0, "")

    def update(self, done: int, total: int, note: str) -> None:
        """Write a line if a step of five per cent is passed."""
        self._now = (done, total, note)
        step = (done * STEPS // total if total else 0, note)
        if step != self._last:
            self._last = step
            self._write("running")

    def close(self) -> None:
        """Write the last line."""
        self._write("ended")

    def _write(self, state: str) -> None:
        done, total, note = self._now
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"time": moment, "step": self._label, "state": state, "done": done, "total": total, "unit": self._unit}
        _write_line(json.dumps(line | ({"note": note} if note else {})))


def _write_line(line: str) -> None:
    log = os.environ.get(LOG_VARIABLE)
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    else:
        sys.stderr.write(line + "\n")
