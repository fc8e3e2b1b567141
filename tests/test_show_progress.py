"""How far a step is: in lines that a log can hold, and in a widget."""

from __future__ import annotations

import json

import pytest

from cio2d365 import show
from cio2d365.show.progress import LogView, Progress, WidgetView


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_long_step_writes_a_line_per_five_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("Loading", 1000, "rows", LogView("Loading", "rows")) as bar:
        for _ in range(1000):
            bar.advance()
    written = lines(capsys)
    assert [line["done"] for line in written] == [*range(0, 1001, 50), 1000]
    assert [line["state"] for line in written] == ["running"] * 21 + ["ended"]
    assert {line["step"] for line in written} == {"Loading"}


def test_a_note_is_written_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("Loading", 10, "rows", LogView("Loading", "rows")) as bar:
        for text in ("contact", "contact", "lead"):
            bar.note(text)
    assert [line.get("note") for line in lines(capsys)] == [None, "contact", "lead", "lead"]


def test_a_step_of_unknown_length_is_written_too(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress("Reading", 0, "pages") as bar:
        bar(3, 0, "people")
    assert [(line["done"], line["unit"]) for line in lines(capsys)] == [(0, "pages"), (3, "pages"), (3, "pages")]


def test_an_error_ends_the_step_and_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        with show.progress("Loading", 4) as bar:
            bar.advance(2)
            raise KeyError("row")

    with pytest.raises(KeyError):
        load()
    last = lines(capsys)[-1]
    assert (last["state"], last["done"], last["total"]) == ("ended", 2, 4)


def test_a_note_with_a_line_break_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress("Loading", 4) as bar:
        bar.note("first\nsecond")
    assert [line.get("note") for line in lines(capsys)] == [None, "first\nsecond", "first\nsecond"]


@pytest.mark.parametrize(("done", "style"), [(4, "success"), (3, "warning")])
def test_the_widget_ends_in_the_colour_of_its_end(done: int, style: str) -> None:
    view = WidgetView("Loading", "rows")
    with Progress("Loading", 4, "rows", view) as bar:
        bar.advance(done)
    assert (view._bar.value, view._bar.max, view._bar.bar_style) == (done, 4, style)
    assert view._text.value.startswith(f"{done} of 4 rows")
