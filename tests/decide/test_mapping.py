"""The proposed map: standard columns first, legal unique columns else, and what is wrong with a map that was edited."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import orjson
import polars as pl
import pytest
import tomlkit

from cio2d365.decide.mapping import (
    OPTION_BASE,
    FieldMap,
    Mapping,
    custom_columns,
    from_document,
    propose_mapping,
    to_document,
    validate,
)
from cio2d365.decide.names import is_legal
from cio2d365.decide.standard import OWN_COLUMNS
from cio2d365.decide.traits import profile_traits
from cio2d365.errors import DecisionError
from cio2d365.migrate import schema
from cio2d365.tables import Column, Kind, Lookup, Option, Table

GENDER = (Option(1, "Male"), Option(2, "Female"))
DIVERSE = Column("gendercode", "choice", options=(*GENDER, Option(3, "Diverse")), custom=False)


def standard(name: str, kind: Kind = "string", length: int | None = 100, **more: Any) -> Column:
    return Column(name, kind, name, length if kind == "string" else None, custom=False, **more)


SHARED = tuple(
    standard(name, length=length)
    for name, length in {
        "emailaddress1": 100, "firstname": 50, "lastname": 50, "jobtitle": 100, "telephone1": 50, "address1_city": 80,
        "address1_country": 80, "address1_postalcode": 20,
    }.items()
)  # fmt: skip
CONTACT_ONLY = (
    standard("mobilephone", length=50),
    standard("birthdate", "date"),
    standard("gendercode", "choice", options=GENDER),
    standard("createdon", "datetime", creatable=False, updatable=False),
)
INDUSTRIES = (Option(1, "Accounting"), Option(7, "Consulting"))
ACCOUNT_COLUMNS = (
    standard("name", length=160),
    standard("websiteurl", length=200, format="Url"),
    standard("address1_city", length=80),
    standard("address1_country", length=80),
    standard("numberofemployees", "integer", minimum=0, maximum=1_000_000_000),
    standard("industrycode", "choice", options=INDUSTRIES),
)
LEAD_ONLY = (standard("mobilephone", length=20), standard("companyname"))
OWNER = Lookup("cio_owner_trait", (("systemuser", "cio_owner_trait"),))
CONTACT = Table("contact", "contacts", "contactid", "fullname", (*SHARED, *CONTACT_ONLY), (OWNER,))
LEAD = Table("lead", "leads", "leadid", "fullname", (*SHARED, *LEAD_ONLY))
ACCOUNT = Table("account", "accounts", "accountid", "name", ACCOUNT_COLUMNS)
EXISTING = {t.name: t for t in (CONTACT, LEAD, ACCOUNT)}
BOTH = ("contact", "lead")


def traits(*rows: dict[str, Any]) -> pl.DataFrame:
    texts = [orjson.dumps(r).decode() for r in rows]
    frame = pl.DataFrame({"person_key": [f"p{n}" for n in range(len(texts))], "attributes": texts})
    return profile_traits(frame, key="person_key")


def proposed(
    people: pl.DataFrame, objects: dict[str, pl.DataFrame] | None = None, existing: dict[str, Table] | None = None
) -> Mapping:
    return propose_mapping(
        people,
        objects or {},
        existing=existing or EXISTING,
        company_type="1",
        object_tables={"2": "cio_subscription"},
    )


def targets(mapping: Mapping) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for field in mapping.fields:
        found.setdefault(field.source, []).extend(f"{t}.{c}" for t, c in field.targets if field.action == "column")
    return found


@pytest.mark.parametrize(
    ("trait", "value", "columns"),
    [
        ("first_name", "Ann", ["contact.firstname", "lead.firstname"]),
        ("lastName", "Lee", ["contact.lastname", "lead.lastname"]),
        ("Job Title", "CEO", ["contact.jobtitle", "lead.jobtitle"]),
        ("phone", "+49123", ["contact.telephone1", "lead.telephone1"]),
        ("mobile", "+49123", ["contact.mobilephone", "lead.mobilephone"]),
        ("zip", "01234", ["contact.address1_postalcode", "lead.address1_postalcode"]),
        ("company", "Acme", ["lead.companyname", "contact.cio_company"]),
        ("birthday", "1990-09-07", ["contact.birthdate", "lead.cio_birthday"]),
        ("birthday", "7 September", ["contact.cio_birthday", "lead.cio_birthday"]),
        ("gender", "male", ["contact.gendercode", "lead.cio_gender"]),
        ("gender", "diverse", ["contact.cio_gender", "lead.cio_gender"]),
        ("Lifecycle Stage", "MQL", ["contact.cio_lifecyclestage", "lead.cio_lifecyclestage"]),
        ("createdon", "x", ["contact.cio_createdon", "lead.cio_createdon"]),
        ("city", ["Paris"], ["contact.cio_city", "lead.cio_city"]),
    ],
)
def test_where_a_trait_goes(trait: str, value: Any, columns: list[str]) -> None:
    mapping = proposed(traits({trait: value}))
    assert targets(mapping) == {f"person.{trait}": columns}
    assert validate(mapping, EXISTING) == []


def test_reserved_attributes_are_carried_by_the_system_and_say_by_what() -> None:
    mapping = proposed(traits({"id": "1", "email": "a@x.example", "cio_id": "c", "created_at": 1, "_last_visit": 2}))
    assert {f.action for f in mapping.fields} == {"skip"}
    evidence = {f.source: (f.evidence, f.targets) for f in mapping.fields}
    assert evidence["person.id"] == ("carried by cio_user_id__c", tuple((t, "cio_user_id__c") for t in BOTH))
    assert evidence["person.email"][1] == tuple((t, "emailaddress1") for t in BOTH)


def test_one_standard_column_has_one_source_and_no_field_is_lost() -> None:
    mapping = proposed(traits({"first_name": "a", "First Name": "b", "FirstName": "c"}))
    found = targets(mapping)
    assert found["person.first_name"] == ["contact.firstname", "lead.firstname"]
    assert len({c for columns in found.values() for c in columns}) == 6
    assert validate(mapping, EXISTING) == []


def test_the_fuller_of_two_spellings_gets_the_standard_column() -> None:
    found = targets(proposed(traits({"first_name": "a", "First Name": "b"}, {"First Name": "c"})))
    assert found["person.First Name"] == ["contact.firstname", "lead.firstname"]


def test_columns_that_differ_in_length_are_two_rows_of_the_map() -> None:
    mapping = proposed(traits({"mobile": "+4917000000000000000000"}))
    lengths = {f.targets: f.column.length for f in mapping.fields if f.column}
    assert lengths == {(("contact", "mobilephone"),): 50, (("lead", "mobilephone"),): 20}
    assert ["the column holds 20" in f.note for f in mapping.fields] == [False, True]
    assert mapping.fields[1].confidence < mapping.fields[0].confidence


@pytest.mark.parametrize(
    ("value", "kind", "length"),
    [
        ("x" * 100, "string", 100),
        ("x" * 101, "string", 200),
        ("x" * 2_001, "string", 4_000),
        ("x" * 4_001, "memo", 1_048_576),
    ],
)
def test_text_columns_take_the_next_length(value: str, kind: str, length: int) -> None:
    column = proposed(traits({"note": value})).fields[0].column
    assert column is not None
    assert (column.kind, column.length) == (kind, length)


def test_mostly_empty_traits_are_proposed_and_flagged() -> None:
    rows: list[dict[str, Any]] = [{"rare": "x", "full": 1}, *[{"full": 1}] * 9]
    field = next(f for f in proposed(traits(*rows)).fields if f.source == "person.rare")
    assert (field.action, field.flagged, field.note) == ("column", True, "90% of the rows have no value")


def test_a_proposed_option_set_lists_its_values_and_labels_that_meet_stay_text() -> None:
    plans = traits(*({"plan": f"plan {n:02}"} for n in range(12) for _ in range(5)))
    column = proposed(plans).fields[0].column
    assert column is not None
    assert column.kind == "choice"
    assert [(o.value, o.label) for o in column.options][:2] == [(OPTION_BASE, "plan 00"), (OPTION_BASE + 1, "plan 01")]
    twins = traits(*({"plan": p} for p in [*(f"p{n}" for n in range(12)), "P1"] for _ in range(5)))
    assert [f.column.kind for f in proposed(twins).fields if f.column] == ["string"]


def test_few_values_are_offered_as_a_choice_only() -> None:
    field = proposed(traits(*[{"plan": "a"}, {"plan": "b"}] * 5)).fields[0]
    assert field.column is not None
    assert (field.column.kind, field.note) == ("string", "2 distinct values: could be a choice")


def test_units_and_rounding_travel_with_the_field() -> None:
    fields = {f.source: f for f in proposed(traits({"seen_at": "1700000000", "score": "0.123456789012"})).fields}
    assert fields["person.seen_at"].unit == "s"
    assert fields["person.score"].rounding is True


def test_companies_go_to_account() -> None:
    company = traits(
        {
            "name": "Acme",
            "domain": "acme.example",
            "city": "X",
            "country": "Y",
            "employees": "12",
            "industry": "Toys",
            "id": "9",
        }
    )
    assert targets(proposed(traits(), {"1": company})) == {
        "object.1.city": ["account.address1_city"],
        "object.1.country": ["account.address1_country"],
        "object.1.domain": ["account.websiteurl"],
        "object.1.employees": ["account.numberofemployees"],
        "object.1.id": ["account.cio_id"],
        "object.1.industry": ["account.cio_industry"],
        "object.1.name": ["account.name"],
    }


def test_a_choice_column_is_used_only_if_all_values_are_its_options() -> None:
    assert targets(proposed(traits(), {"1": traits({"industry": "consulting "})})) == {
        "object.1.industry": ["account.industrycode"]
    }


def test_values_outside_of_the_range_of_a_standard_column_get_their_own() -> None:
    found = targets(proposed(traits(), {"1": traits({"employees": "-5"})}))
    assert found == {"object.1.employees": ["account.cio_employees"]}


def test_other_objects_go_to_their_own_table_and_its_primary_name() -> None:
    mapping = proposed(traits(), {"2": traits({"name": "Gold", "price": 12.5}), "9": traits({"x": 1})})
    assert targets(mapping) == {
        "object.2.name": ["cio_subscription.cio_name"],
        "object.2.price": ["cio_subscription.cio_price"],
        "object.9.x": [],
    }
    assert mapping.fields[-1].evidence == "no table for objects of this type"
    assert validate(mapping, EXISTING) == []


def test_names_of_the_migration_lookups_and_columns_of_another_kind_are_avoided() -> None:
    existing = EXISTING | {"lead": replace(LEAD, columns=(*LEAD.columns, Column("cio_plan", "integer")))}
    attributes = {n.removeprefix("cio_"): "x" for n in OWN_COLUMNS if not n.startswith("cio_cio")}
    mapping = proposed(traits({"plan": "a", "owner_trait": "b"} | attributes), existing=existing)
    names = [c for f in mapping.fields for _, c in f.targets if f.action == "column"]
    assert not set(names) & (OWN_COLUMNS | {"cio_plan", "cio_owner_trait"})
    assert all(map(is_legal, names))
    assert validate(mapping, existing) == []


def test_every_column_that_the_schema_adds_is_reserved() -> None:
    own = {c.name for t in schema.wanted({}, (), {}) for c in t.columns} | {c.name for c in schema.OBJECT_COLUMNS}
    assert own <= OWN_COLUMNS


def test_proposing_again_after_the_columns_exist_gives_the_same_names() -> None:
    rows = traits({"plan": "a", "First Name": "b", "firstname": "c", "seen_at": "1700000000"})
    first = proposed(rows)
    made = custom_columns(first)
    existing = {n: replace(t, columns=(*t.columns, *made.get(n, ()))) for n, t in EXISTING.items()}
    assert targets(proposed(rows, existing=existing)) == targets(first)


def test_the_proposal_does_not_depend_on_the_order_of_traits() -> None:
    rows = traits({"b": 1, "a": 2, "First Name": "x", "first_name": "y"})
    assert proposed(rows.sample(fraction=1.0, shuffle=True, seed=1)) == proposed(rows)


def test_what_the_source_keeps_about_an_object_is_not_a_field() -> None:
    fields = proposed(traits(), {"1": traits({"cio_object_id": "o1", "_created": 1})}).fields
    assert [(f.source, f.action) for f in fields] == [("object.1._created", "skip"), ("object.1.cio_object_id", "skip")]


def test_beyond_the_column_budget_fields_go_to_the_json_column_emptiest_first() -> None:
    rows = traits({"a": 1, "b": 1, "c": 1}, {"a": 1, "c": 1}, {"c": 1})
    mapping = propose_mapping(rows, {}, existing=EXISTING, company_type=None, object_tables={}, budget=2)
    assert {f.source: f.action for f in mapping.fields} == {
        "person.a": "column",
        "person.b": "json",
        "person.c": "column",
    }
    assert mapping.fields[1].evidence == "more than 2 custom columns; 1 of 3 rows"


def test_custom_columns_lists_what_has_to_be_made_per_table() -> None:
    made = custom_columns(proposed(traits({"plan": "a", "birthday": "1990-01-01", "first_name": "x"})))
    assert {t: [c.name for c in columns] for t, columns in made.items()} == {
        "contact": ["cio_plan"],
        "lead": ["cio_birthday", "cio_plan"],
    }


def edited(**change: Any) -> Mapping:
    field = FieldMap("person.x", "column", (("contact", "cio_x"),), Column("cio_x", "string", length=100))
    return Mapping((replace(field, **change),))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (edited(targets=(("contact", "nickname"),), column=None), "does not exist and the map does not define it"),
        (edited(targets=(("contact", "createdon"),), column=None), "cannot be written"),
        (edited(targets=(("contact", "cio_owner_trait"),)), "the column is a lookup"),
        (edited(targets=(("contact", "firstname"),), column=Column("firstname", "integer")), "the column is string"),
        (edited(targets=(("contact", "firstname"),)), "the column holds 50"),
        (edited(targets=(("contact", "cio_y"),)), "the definition is called cio_x"),
        (edited(targets=(("contact", "X Y"),), column=Column("X Y", "string")), "not a legal column name"),
        (
            edited(targets=(("contact", "cio_source_key"),), column=Column("cio_source_key", "string")),
            "uses that column",
        ),
        (edited(column=Column("cio_x", "string", length=5_000)), "holds 1 to 4,000"),
        (edited(column=Column("cio_x", "decimal", precision=11)), "allowed are 0 to 10"),
        (edited(column=Column("cio_x", "choice")), "without options"),
        (edited(column=Column("cio_x", "string", length=0)), "holds 1 to 4,000"),
        (edited(column=Column("cio_x", "decimal", maximum=1e12)), "maximum beyond"),
        (edited(targets=(("contact", "nick"),), column=standard("nick")), "no standard column of that name"),
        (edited(targets=(("contact", "gendercode"),), column=DIVERSE), "lacks the options 3"),
        (edited(targets=()), "no target is named"),
        (Mapping(edited().fields * 2), "more than one source: person.x, person.x"),
    ],
)
def test_what_is_wrong_with_a_map_is_said(mapping: Mapping, message: str) -> None:
    found = validate(mapping, EXISTING)
    assert any(message in text for text in found), found


def test_a_standard_table_that_is_missing_is_named() -> None:
    assert validate(edited(), {}) == ["person.x → contact.cio_x: the table does not exist in the target"]


def test_a_field_may_not_take_a_column_that_the_system_writes() -> None:
    skip = FieldMap("person.email", "skip", (("contact", "emailaddress1"),))
    other = FieldMap("person.mail", "column", (("contact", "emailaddress1"),))
    assert "contact.emailaddress1 has more than one source" in validate(Mapping((skip, other)), EXISTING)[0]


def test_a_map_survives_its_document_and_toml() -> None:
    same = {"seen_at": "1700000000", "score": "0.123456789012", "gender": "male", "id": "1"}
    rows = [{"plan": f"p{n % 12}"} | same for n in range(60)]
    mapping = proposed(traits(*rows), {"1": traits({"name": "Acme"})})
    document = tomllib.loads(tomlkit.dumps(to_document(mapping)))
    assert from_document(document) == mapping


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acton": "column"}, "did you mean 'action'"),
        ({"action": "colum"}, "did you mean 'column'"),
        ({"confidence": 2.0}, "allowed are 0.0 to 1.0"),
        ({"targets": ["contact"]}, "expected table.column"),
        ({"targets": "contact.x"}, "list of texts"),
        ({"column": "cio_x"}, "has to be a table"),
        ({"column": {"name": "cio_x", "kind": "string", "lenght": 3}}, "did you mean 'length'"),
        ({"column": {"name": "cio_x", "kind": "string", "length": "3"}}, "expected a whole number"),
        ({"column": {"name": "cio_x"}}, "kind is missing"),
        ({"column": {"name": "c", "kind": "choice", "options": [{"value": 1, "label": "a"}] * 2}}, "same value"),
        ({"unit": "sec"}, "unit: 'sec'"),
        ({"flagged": 1}, "expected true or false"),
        ({"source": 3}, "expected a text"),
    ],
)
def test_a_wrong_document_is_refused_with_a_hint(change: dict[str, Any], message: str) -> None:
    field = {"source": "person.x", "action": "json"} | change
    with pytest.raises(DecisionError, match=message):
        from_document({"fields": [field]})
