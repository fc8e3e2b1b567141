"""Keys that are one key in Dataverse (B-014 … B-017)."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio2d365.decide.collisions import colliding


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A1", "a1"),
        ("josé", "jose"),
        ("caf\u00e9", "cafe\u0301"),
        ("x", "x "),
        ("STRASSE", "straße"),
        ("Ångström", "angstrom"),
    ],
)
def test_keys_that_fold_to_one_text_are_found(one: str, other: str) -> None:
    assert set(colliding(pl.Series([one, other, "quite different"]))["key"]) == {one, other}


@pytest.mark.parametrize(("one", "other"), [("007", "7"), ("a b", "ab"), (" x", "x"), ("a-b", "a_b"), ("1.0", "1")])
def test_keys_that_stay_apart_are_not_found(one: str, other: str) -> None:
    assert colliding(pl.Series([one, other])).is_empty()


def test_the_same_key_twice_is_no_collision() -> None:
    assert colliding(pl.Series(["a", "a", None])).is_empty()


def test_all_members_of_a_group_are_listed_together() -> None:
    found = colliding(pl.Series(["B", "a", "b", "Á", "A"]))
    assert found.rows() == [("A", "a"), ("a", "a"), ("Á", "a"), ("B", "b"), ("b", "b")]


@given(st.lists(st.text(max_size=6), max_size=8))
def test_no_pair_that_differs_only_in_case_is_missed(keys: list[str]) -> None:
    doubled = {k for k in keys if k.upper() != k and k.upper().lower() == k.lower() and k.isascii()}
    series = pl.Series([*keys, *(k.upper() for k in doubled)], dtype=pl.String)
    assert doubled <= set(colliding(series)["key"])
