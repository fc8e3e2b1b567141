"""Addresses: what is usable, what is the same, what is never guessed (B-001 … B-010)."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365.decide.emails import FREEMAIL, REASONS, examine


def judged(text: str | None, **lists: Any) -> dict[str, Any]:
    return examine(pl.Series([text], dtype=pl.String), **lists).row(0, named=True)


@pytest.mark.parametrize(
    ("given_text", "address", "compare"),
    [
        (" ann@example.com\u00a0", "ann@example.com", "ann@example.com"),
        ("\ufeffann@example.com\u200b", "ann@example.com", "ann@example.com"),
        ("Ann Lee <ann@example.com>", "ann@example.com", "ann@example.com"),
        ("mailto:Ann@example.com", "Ann@example.com", "ann@example.com"),
        ("<ann@example.com>", "ann@example.com", "ann@example.com"),
    ],
)
def test_an_address_is_taken_out_and_the_change_recorded(given_text: str, address: str, compare: str) -> None:
    found = judged(given_text)
    assert (found["address"], found["compare"], found["valid"], found["changed"]) == (address, compare, True, True)


@pytest.mark.parametrize(
    ("text", "compare"),
    [
        ("Ann@Example.com", "ann@example.com"),
        ("user@bücher.example", "user@xn--bcher-kva.example"),
        ('"ann lee"@example.com', '"ann lee"@example.com'),
        ("ann+news@example.com", "ann+news@example.com"),
        ("a.nn@example.com", "a.nn@example.com"),
        ("o'neil@x.example", "o'neil@x.example"),
    ],
)
def test_a_valid_address_keeps_its_writing(text: str, compare: str) -> None:
    found = judged(text)
    assert (found["address"], found["valid"], found["changed"], found["compare"]) == (text, True, False, compare)


def test_composed_and_decomposed_letters_are_one_address() -> None:
    composed, decomposed = judged("josé@x.example"), judged("jose\u0301@x.example")
    assert composed["compare"] == decomposed["compare"]


def test_a_hundred_and_one_characters_are_not_cut() -> None:
    text = "a" * 60 + "@" + "b" * 33 + ".example"
    assert len(text) > 100
    assert (judged(text)["address"], judged(text)["valid"]) == (text, True)


@pytest.mark.parametrize("text", ["a@x.example; b@x.example", "a@x.example,b@x.example", "a@x.example b@x.example"])
def test_two_addresses_in_one_field_are_not_guessed(text: str) -> None:
    found = judged(text)
    assert (found["address"], found["valid"], found["reason"]) == (None, False, "several")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        (" \u00a0", "missing"),
        ("none", "placeholder"),
        ("N/A", "placeholder"),
        ("null", "placeholder"),
        ("test@test", "placeholder"),
        ("noreply@acme.example", "role"),
        ("No-Reply+x@acme.example", "role"),
        ("x@mailinator.com", "disposable"),
    ],
)
def test_what_is_no_persons_address_is_named(text: str | None, reason: str) -> None:
    found = judged(text)
    assert (found["valid"], found["reason"]) == (False, reason)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("ann@", "nothing after the @"),
        ("@x", "nothing before the @"),
        ("a..b@x.example", "misplaced dot before the @"),
        (".a@x.example", "misplaced dot before the @"),
        ("a.@x.example", "misplaced dot before the @"),
        ("a@x", "domain without a dot"),
        ("ann", "no @"),
        ("a b@x.example", "character that is not allowed before the @"),
        ("a@-x.example", "not a domain name"),
        ("a@x..example", "not a domain name"),
        ("a@1.2.3.4", "top-level domain is a number"),
        ("a" * 65 + "@x.example", "more than 64 characters before the @"),
        ("a@" + ".".join(["b" * 60] * 5), "longer than 254 characters"),
    ],
)
def test_an_invalid_form_has_a_named_reason(text: str, detail: str) -> None:
    found = judged(text)
    assert (found["address"], found["valid"], found["reason"], found["detail"]) == (None, False, "syntax", detail)


def test_the_list_of_placeholders_is_the_callers() -> None:
    assert judged("unbekannt", placeholders={"unbekannt"})["reason"] == "placeholder"
    assert judged("noreply@acme.example", roles=())["valid"] is True


def test_one_row_per_value_in_order() -> None:
    found = examine(pl.Series(["b@x.example", None, "b@x.example", "a@x.example"]))
    assert found["compare"].to_list() == ["b@x.example", None, "b@x.example", "a@x.example"]


def test_freemail_domains_are_lower_case_and_compared_whole() -> None:
    assert all(d == d.lower() and "@" not in d for d in FREEMAIL)
    assert {"gmail.com", "gmx.de", "qq.com"} <= FREEMAIL


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_has_one_reason_and_examining_the_result_again_changes_nothing(text: str) -> None:
    found = judged(text)
    assert found["reason"] in REASONS
    assert found["valid"] == (found["reason"] == "ok")
    if found["address"] is not None:
        assert found["address"] in text
        assert judged(found["address"]) | {"changed": found["changed"]} == found
