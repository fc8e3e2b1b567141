"""The split rule: every profile gets one class and one reason, and the slider tells the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365 import raw
from cio2d365.decide.split import (
    CLASSES,
    FACTS_SCHEMA,
    REASONS,
    SplitRule,
    classify,
    duplicates,
    facts,
    from_document,
    histogram,
    sensitivity,
    to_document,
)
from cio2d365.errors import DecisionError

RULE = SplitRule()
NO_RELATIONS = raw.frame("relationships", [])


def people(*rows: Mapping[str, Any]) -> pl.DataFrame:
    found = [
        {
            "person_key": f"id:{n}",
            "email": row.get("email"),
            "attributes": orjson.dumps(row.get("attributes", {})).decode(),
            "timestamps": orjson.dumps(row["timestamps"]).decode() if "timestamps" in row else None,
        }
        for n, row in enumerate(rows)
    ]
    return raw.frame("people", found)


def reasons(*rows: Mapping[str, Any], rule: SplitRule = RULE, relations: pl.DataFrame = NO_RELATIONS) -> list[str]:
    found = facts(people(*rows), relations, rule, company_type="1")
    return list(classify(found, rule)["reason"])


FREE: dict[str, Any] = {"email": "ann@gmail.com"}
TRAITS = {"a": 1, "b": "x", "c": True}


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (FREE, "lead-email-only"),
        ({"email": "ann@acme.example"}, "contact-business-domain"),
        (FREE | {"attributes": {"company": "Acme"}}, "contact-company-trait"),
        (FREE | {"attributes": {"Job Title": "CEO"}}, "contact-company-trait"),
        (FREE | {"attributes": {"jobTitle": " "}}, "lead-email-only"),
        (FREE | {"attributes": TRAITS}, "contact-traits"),
        (FREE | {"attributes": {"a": 1, "b": 2}}, "lead-email-only"),
        (FREE | {"attributes": {"a": 1, "b": 2, "c": None, "d": "", "e": " "}}, "lead-email-only"),
        (FREE | {"attributes": {"id": "7", "email": "x", "cio_id": "1", "created_at": 1, "_x": 1}}, "lead-email-only"),
        ({"attributes": TRAITS}, "review-no-email"),
        ({"email": "n/a", "attributes": TRAITS}, "review-unusable-email"),
        ({"email": "noreply@acme.example"}, "review-unusable-email"),
        ({"email": "a@x.example; b@x.example"}, "review-several-emails"),
    ],
)
def test_reasons_of_the_default_rule(person: Mapping[str, Any], reason: str) -> None:
    assert reasons(person) == [reason]


def test_a_related_company_makes_a_contact_and_other_objects_do_not() -> None:
    relations = raw.frame(
        "relationships",
        [{"person_key": "id:0", "object_type_id": "1"}, {"person_key": "id:1", "object_type_id": "2"}],
    )
    assert reasons(FREE, FREE, relations=relations) == ["contact-related-company", "lead-email-only"]


def test_without_a_company_type_no_relation_counts() -> None:
    relations = raw.frame("relationships", [{"person_key": "id:0", "object_type_id": "1"}])
    assert facts(people(FREE), relations, RULE, company_type=None)["related_company"].to_list() == [False]


@pytest.mark.parametrize(
    ("rule", "person", "reason"),
    [
        (SplitRule(business_domain=False), {"email": "ann@acme.example"}, "lead-email-only"),
        (SplitRule(company_trait=False), FREE | {"attributes": {"company": "A"}}, "lead-email-only"),
        (SplitRule(trait_threshold=3), FREE | {"attributes": TRAITS}, "lead-email-only"),
        (SplitRule(trait_threshold=0), FREE | {"attributes": {"a": 1}}, "contact-traits"),
        (SplitRule(no_email="lead"), {}, "lead-no-email"),
        (SplitRule(freemail_added=("Acme.example",)), {"email": "ann@acme.example"}, "lead-email-only"),
        (SplitRule(freemail_removed=("gmail.com",)), FREE, "contact-business-domain"),
        (SplitRule(placeholders_added=("unbekannt",)), {"email": "Unbekannt"}, "review-unusable-email"),
        (SplitRule(company_traits=("firma",)), FREE | {"attributes": {"Firma": "A"}}, "contact-company-trait"),
    ],
)
def test_every_part_of_the_rule_is_a_parameter(rule: SplitRule, person: Mapping[str, Any], reason: str) -> None:
    assert reasons(person, rule=rule) == [reason]


def test_suppressed_and_deleted_people_are_excluded() -> None:
    rows = people(FREE, FREE, FREE).with_columns(
        suppressed=pl.Series([True, None, False]), deleted=pl.Series([False, True, None])
    )
    found = facts(rows, NO_RELATIONS, RULE, company_type=None)
    assert classify(found, RULE)["reason"].to_list() == ["excluded-suppressed", "excluded-deleted", "lead-email-only"]
    kept = classify(found, SplitRule(exclude_suppressed=False))["cls"].to_list()
    assert kept == ["lead", "excluded", "lead"]


def test_inactive_people_are_counted_back_from_the_newest_activity_or_a_given_day() -> None:
    rows: list[Mapping[str, Any]] = [
        FREE | {"timestamps": {"a": 1_700_000_000, "_cio_subscription_preferences_computed": 0}},
        FREE | {"timestamps": {"a": 1_700_000_000 - 31 * 86_400, "_last_emailed": 1_700_000_000}},
        FREE | {"timestamps": {"a": 1_700_000_000 - 30 * 86_400}},
        FREE,
    ]
    rule = SplitRule(inactive_days=30)
    assert reasons(*rows, rule=rule) == ["lead-email-only", "excluded-inactive", "lead-email-only", "lead-email-only"]
    later = SplitRule(inactive_days=30, as_of="2024-01-01")
    assert reasons(*rows, rule=later)[0] == "excluded-inactive"


def test_people_who_share_an_address_are_listed() -> None:
    found = facts(
        people({"email": "Ann@Example.com"}, {"email": "ann@example.com "}, {"email": "b@x.example"}, {}, {}),
        NO_RELATIONS,
        RULE,
        company_type=None,
    )
    assert duplicates(found).rows() == [
        ("ann@example.com", 2, "id:0", "Ann@Example.com"),
        ("ann@example.com", 2, "id:1", "ann@example.com"),
    ]


def test_nobody_is_split_into_nothing() -> None:
    found = facts(people(), NO_RELATIONS, RULE, company_type="1")
    assert found.schema == FACTS_SCHEMA
    assert classify(found, RULE).is_empty()
    assert sensitivity(found, RULE).select(CLASSES).sum().row(0) == (0, 0, 0, 0)


ANYBODY = st.fixed_dictionaries(
    {
        "email": st.sampled_from([None, "", "n/a", "a@gmail.com", "b@acme.example", "a@x.example,b@x.example"]),
        "attributes": st.dictionaries(
            st.sampled_from(["a", "b", "c", "d", "company", "id", "_x"]), st.sampled_from([1, "", None, "x"])
        ),
    }
)
RULES = st.builds(
    SplitRule,
    trait_threshold=st.integers(0, 5),
    related_company=st.booleans(),
    company_trait=st.booleans(),
    business_domain=st.booleans(),
    no_email=st.sampled_from(["review", "lead"]),
)


@given(st.lists(ANYBODY, max_size=12), RULES)
@settings(max_examples=60, deadline=None)
def test_everybody_has_one_class_and_the_slider_agrees_with_the_classes(
    rows: list[Mapping[str, Any]], rule: SplitRule
) -> None:
    found = facts(people(*rows), NO_RELATIONS, rule, company_type="1")
    classes = classify(found, rule)
    assert classes["person_key"].to_list() == found["person_key"].to_list()
    assert set(classes["cls"]) <= set(CLASSES)
    assert set(classes["reason"]) <= REASONS.keys()
    counted = {c: classes.filter(pl.col("cls") == c).height for c in CLASSES}
    at = sensitivity(found, rule, [rule.trait_threshold]).row(0, named=True)
    assert {c: at[c] for c in CLASSES} == counted
    assert histogram(found, rule)["people"].sum() == len(rows)


@given(st.lists(ANYBODY, max_size=12))
@settings(max_examples=30, deadline=None)
def test_a_higher_threshold_never_makes_more_contacts(rows: list[Mapping[str, Any]]) -> None:
    found = facts(people(*rows), NO_RELATIONS, RULE, company_type="1")
    contacts = sensitivity(found, RULE)["contact"].to_list()
    assert contacts == sorted(contacts, reverse=True)


@given(RULES)
def test_a_rule_survives_its_document(rule: SplitRule) -> None:
    assert from_document(to_document(rule)) == rule


def test_an_empty_document_is_the_default_rule() -> None:
    assert from_document({}) == RULE
    assert to_document(SplitRule(inactive_days=90))["inactive_days"] == 90
    assert "inactive_days" not in to_document(RULE)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"trait_treshold": 2}, "did you mean 'trait_threshold'"),
        ({"trait_threshold": -1}, "allowed are 0 to"),
        ({"trait_threshold": 5_000}, "allowed are 0 to 1000"),
        ({"trait_threshold": "2"}, "expected a whole number"),
        ({"trait_threshold": True}, "expected a whole number"),
        ({"business_domain": "no"}, "expected true or false"),
        ({"no_email": "leads"}, "did you mean 'lead'"),
        ({"inactive_days": 0}, "allowed are 1 to"),
        ({"as_of": "31.01.2026"}, "expected a day like"),
        ({"company_traits": "company"}, "list of texts"),
    ],
)
def test_a_wrong_document_is_refused_with_a_hint(document: dict[str, Any], message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        from_document(document)
