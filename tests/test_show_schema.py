"""The plan of a schema as people see it."""

from __future__ import annotations

import re

import polars as pl
import pytest

from cio2d365.show.schema import by_table

ROWS = [
    ("contact", "column", "cio_a", "equal", "text", "text"),
    ("cio_event", "column", "cio_b", "create", "date", ""),
    ("cio_event", "column", "cio_c", "left_alone", "", "date"),
    ("lead", "column", "cio_d", "equal", "text", "text"),
    ("lead", "column", "cio_e", "conflict", "text", "<b>yes or no</b>"),
]
NAMES = ("table", "kind", "name", "state", "wanted", "existing")


def frame(*rows: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=list(NAMES), orient="row")


def shown(*rows: tuple[str, ...]) -> str:
    return str(by_table(frame(*rows), "A plan").html)


def test_what_needs_attention_comes_first_table_by_table() -> None:
    html = shown(*ROWS)
    groups = re.findall(r'colspan="5">(\S+) <span>([^<]*)', html)
    assert groups == [
        ("lead", "1 conflict, 1 equal"), ("cio_event", "1 to create, 1 left alone"), ("contact", "1 equal")
    ]  # fmt: skip
    assert html.index("cio_e<") < html.index("cio_d<")


def test_every_component_is_shown_with_its_state_in_words() -> None:
    many = [("cio_event", "column", f"cio_p{n}", "create", "text", "") for n in range(900)]
    html = shown(*many)
    assert html.count("+ to create") == 900
    assert "900 to create" in html
    assert "cio-tall" in html


def test_names_from_the_target_are_text() -> None:
    html = shown(*ROWS)
    assert "<b>yes" not in html
    assert "&lt;b&gt;yes or no" in html


def test_an_empty_plan_says_so() -> None:
    assert "Nothing to compare." in shown()


@pytest.mark.parametrize("state", ["create", "equal", "conflict", "left_alone"])
def test_every_state_of_a_plan_can_be_shown(state: str) -> None:
    assert "cio_a" in shown(("contact", "column", "cio_a", state, "text", "text"))
