"""The trait profile: presence, types by all values, flags and option sets."""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl
import pytest

from cio2d365.decide.traits import TraitRules, profile_traits
from cio2d365.errors import DecisionError

COLUMNS = ("person_key", "attributes")


def people(*attributes: Any) -> pl.DataFrame:
    texts = [a if a is None or isinstance(a, str) else orjson.dumps(a).decode() for a in attributes]
    keys = [f"p{n}" for n in range(len(texts))]

    return pl.DataFrame({"person_key": keys, "attributes": texts}, schema=dict.fromkeys(COLUMNS, pl.String))


def profiled(*attributes: Any) -> dict[str, dict[str, Any]]:
    rows = profile_traits(people(*attributes), key="person_key")
    return {row["trait"]: row for row in rows.iter_rows(named=True)}


def trait(values: list[Any], name: str = "x") -> dict[str, Any]:
    return profiled(*({name: v} for v in values))[name]


def test_missing_null_empty_and_blank_are_all_absent() -> None:
    row = profiled({"x": "a"}, {"x": None}, {"x": ""}, {"x": " \t"}, {}, None)["x"]
    assert (row["rows"], row["present"], row["null"], row["empty"]) == (6, 1, 1, 2)
    assert row["null_rate"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(("filled", "flagged"), [(19, True), (20, False)])
def test_a_trait_is_flagged_when_strictly_more_than_eighty_percent_are_missing(filled: int, flagged: bool) -> None:
    assert trait(["a"] * filled + [None] * (100 - filled))["flagged"] is flagged


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["12", "-7", "0"], "integer"),
        (["12", "2147483648"], "decimal"),
        (["1.50", "2"], "decimal"),
        (["true", "FALSE", "yes"], "boolean"),
        (["true", "1", "0"], "boolean"),
        (["1", "0"], "integer"),
        (["true", "0.5"], "string"),
        (["true", "2"], "string"),
        (["2024-01-31"], "date"),
        (["2024-01-31T10:00:00Z"], "datetime"),
        (['["a","b"]', "[]"], "memo"),
        (['{"a":1}'], "memo"),
        (['["a"]', "plain"], "memo"),
        (["12", "many"], "string"),
        (["2024-01-31", "12"], "string"),
        (["007"], "string"),
        (["12345678901234567890"], "string"),
        (["2024-02-30"], "string"),
        (["x" * 4_001], "memo"),
    ],
)
def test_string_values_are_typed_by_all_of_them(values: list[str], kind: str) -> None:
    assert trait(values)["kind"] == kind


def test_one_word_among_a_thousand_numbers_makes_text_and_is_counted() -> None:
    row = trait([str(n) for n in range(1_000)] + ["n/a"])
    assert (row["kind"], row["majority"], row["breaks"]) == ("string", "integer", 1)
    assert row["note"] == "mixed: 1000 text-int, 1 text"


@pytest.mark.parametrize("name", ["zip", "phone", "order_id", "Account Number Code", "sku"])
def test_digits_that_name_something_stay_text(name: str) -> None:
    assert trait(["12345", "54321"], name)["kind"] == "string"


@pytest.mark.parametrize(
    ("name", "values", "kind", "unit"),
    [
        ("signed_up_at", ["1700000000"], "datetime", "s"),
        ("signed_up_at", ["1700000000123"], "datetime", "ms"),
        ("signed_up_at", ["1700000000", "1700000000123"], "datetime", "mixed"),
        ("signed_up_at", ["1700000000", "2024-01-31T10:00:00Z"], "datetime", "mixed"),
        ("signed_up_at", ["0", "1700000000"], "datetime", "s"),
        ("signed_up_at", ["0", "1700000000123"], "datetime", "ms"),
        ("birthday", ["652665600"], "date", "s"),
        ("birthday", ["652665600", "1990-09-07"], "date", "mixed"),
        ("birthday", ["1990-09-07T00:00:00Z", "1990-09-07"], "date", "iso"),
        ("birthday", ["-315619200", "-86400"], "date", "s"),
        ("signed_up_at", ["-99999999999", "1700000000"], "decimal", ""),
        ("total", ["1700000000"], "integer", ""),
        ("signed_up_at", ["12"], "integer", ""),
    ],
)
def test_the_unit_of_times_holds_for_the_whole_column(name: str, values: list[str], kind: str, unit: str) -> None:
    row = trait(values, name)
    assert (row["kind"], row["unit"]) == (kind, unit)


@pytest.mark.parametrize(
    ("distinct", "repeats", "option_set"),
    [
        (1, 9, ""),
        (2, 5, "alternative"),
        (10, 5, "alternative"),
        (11, 4, ""),
        (11, 5, "proposed"),
        (200, 5, "proposed"),
        (201, 5, ""),
    ],
)
def test_option_sets_by_number_and_repetition_of_values(distinct: int, repeats: int, option_set: str) -> None:
    assert trait([f"plan {n}" for n in range(distinct)] * repeats)["option_set"] == option_set


def test_long_values_identifiers_and_numbers_are_no_options() -> None:
    assert trait(["x" * 101 + str(n) for n in range(12)] * 6)["option_set"] == ""
    assert trait([f"k{n}" for n in range(12)] * 6, "order_id")["option_set"] == ""
    assert trait([str(n) for n in range(12)] * 6)["option_set"] == ""


def test_fifty_thousand_values_are_text_not_options() -> None:
    row = trait([f"value {n}" for n in range(50_000)])
    assert (row["option_set"], row["kind"], row["estimated"], len(row["top"])) == ("", "string", True, 10)
    assert row["distinct"] == pytest.approx(50_000, rel=0.12)


def test_top_lists_every_value_of_a_category_with_its_count() -> None:
    row = trait(["b"] * 3 + ["a"] * 5 + ["c"])
    assert row["top"] == [{"value": "a", "count": 5}, {"value": "b", "count": 3}, {"value": "c", "count": 1}]


def test_presence_per_class() -> None:
    classes = pl.DataFrame({"person_key": ["p0", "p1", "p2"], "cls": ["contact", "lead", "lead"]})
    row = profile_traits(people({"x": 1}, {"x": 2}, {}), key="person_key", classes=classes).row(0, named=True)
    assert (row["present_contact"], row["present_lead"]) == (1, 1)
    assert (row["null_rate_contact"], row["null_rate_lead"]) == (0.0, 0.5)


def test_personal_and_system_attributes_are_marked() -> None:
    found = profiled({"first_name": "a", "plan": "b", "_last_visit": 1, "cio_id": "c", "ZipCode": "1"})
    assert {k for k, r in found.items() if r["system"]} == {"_last_visit", "cio_id"}
    assert found["first_name"]["personal"] is True
    assert found["plan"]["personal"] is False


def test_names_are_told_apart_by_case_and_sorted_by_presence() -> None:
    assert list(profiled({"Plan": 1, "plan": 1}, {"plan": 2})) == ["plan", "Plan"]


def test_nobody_has_no_traits() -> None:
    assert profile_traits(people(), key="person_key").is_empty()
    assert profile_traits(people(None, "{}", "broken"), key="person_key").is_empty()


def test_every_threshold_is_a_parameter() -> None:
    rows = people(*({"x": f"v{n % 3}"} for n in range(6)), {}, {})
    strict = TraitRules(null_rate=0.2, few_values=2, many_values=3, repeats=2)
    row = profile_traits(rows, key="person_key", rules=strict).row(0, named=True)
    assert (row["flagged"], row["option_set"]) == (True, "proposed")
    default = profile_traits(rows, key="person_key").row(0, named=True)
    assert (default["flagged"], default["option_set"]) == (False, "")


@pytest.mark.parametrize(
    "wrong", [{"null_rate": 80.0}, {"few_values": 0}, {"few_values": 300}, {"many_values": 5_000}, {"repeats": 0.0}]
)
def test_thresholds_out_of_range_are_refused_with_the_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(DecisionError, match="allowed are"):
        TraitRules(**wrong)
