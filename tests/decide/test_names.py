"""Column names from any source name: legal, unique, stable (B-057 … B-064)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365.decide.names import LONGEST, column_names, is_legal, reads_as_code, reads_as_day, reads_as_time, slug

HARD = [
    "First Name", "first_name", "FirstName", "createdon", "ownerid", "2fa_enabled", "!!!", "😀", "名前", "x" * 50,
    "x" * 51, "x" * 64, "x" * 65, "x" * 128, "x" * 129, "plan.tier", "$set", "a@odata.bind", "x'y", 'a"b', "Plan",
    "plan", "", " ",
]  # fmt: skip


def test_every_hard_name_gets_a_legal_unique_prefixed_name() -> None:
    names = column_names(HARD, prefix="cio")
    assert set(names) == set(HARD)
    assert len(set(names.values())) == len(HARD)
    assert all(is_legal(n) and n.startswith("cio_") and len(n) <= LONGEST for n in names.values())


def test_the_name_that_is_spelled_like_the_column_keeps_it() -> None:
    names = column_names(["First Name", "FirstName", "first_name"], prefix="cio")
    assert names["first_name"] == "cio_first_name"
    assert names["First Name"].startswith("cio_first_name_")


def test_names_do_not_depend_on_the_order_of_sources() -> None:
    assert column_names(HARD, prefix="cio") == column_names(reversed(HARD), prefix="cio")


def test_a_suffixed_name_stays_when_other_fields_come_and_go() -> None:
    long, other = "x" * 60 + "a", "x" * 60 + "b"
    assert column_names([long], prefix="cio")[long] == column_names([other, long], prefix="cio")[long]


def test_a_taken_name_is_left_alone() -> None:
    assert column_names(["name"], prefix="cio", taken={"cio_name"})["name"].startswith("cio_name_")


@pytest.mark.parametrize(
    "name", ["plan", "cio plan", "cio_", "Cio_plan", "cio_plän", "cio_" + "x" * 47, "c_x", "cio_x_"]
)
def test_illegal_names_are_refused(name: str) -> None:
    assert not is_legal(name)


@given(st.lists(st.text(max_size=70), max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_set_of_names_is_legal_and_unique(sources: list[str]) -> None:
    names = column_names(sources, prefix="cio", taken={"cio_a"})
    assert len(set(names.values())) == len(set(sources))
    assert all(is_legal(n) and n != "cio_a" for n in names.values())


def test_slug_splits_words_and_drops_accents() -> None:
    assert [slug(n) for n in ("planTier", "HTTPStatus", "Größe", "a--b")] == [
        "plan_tier",
        "http_status",
        "grosse",
        "a_b",
    ]


def test_what_a_name_promises() -> None:
    assert all(map(reads_as_code, ["zip", "phone_number", "order_id", "orderId", "SKU", "postal_code"]))
    assert not any(map(reads_as_code, ["amount", "visits", "idea", "paid"]))
    assert all(map(reads_as_time, ["created_at", "trial end", "lastLogin", "date_joined", "expires"]))
    assert not any(map(reads_as_time, ["rate", "format", "amount", "weekend_rate"]))
    days = ["birthday", "birthdate", "date_of_birth", "user_dob", "Anniversary"]
    assert all(map(reads_as_day, days))
    assert all(map(reads_as_time, days))
    assert not reads_as_day("day")
