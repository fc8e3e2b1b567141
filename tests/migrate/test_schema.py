"""The wanted schema: legal, unique and stable names, and every column under the name that the source document gives."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio2d365.migrate import schema
from cio2d365.tables import Column, Lookup, Option, Table

LEGAL = re.compile(r"(new|cio)_[a-z0-9]([a-z0-9_]*[a-z0-9_])?")


def types(*names: str) -> list[dict[str, object]]:
    return [
        {"object_type_id": str(n), "name": name, "singular_name": name, "slug": name} for n, name in enumerate(names, 2)
    ]


@given(st.lists(st.text(max_size=80), max_size=6), st.sampled_from(["new", "cio"]))
def test_names_of_object_tables_are_legal_and_unique(names: list[str], prefix: str) -> None:
    found = schema.object_tables(types(*names), "1", prefix)
    assert len(set(found.values())) == len(names)
    assert all(LEGAL.fullmatch(name) and len(name) <= 50 for name in found.values())
    assert not set(found.values()) & set(schema.OWN_TABLES)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("Boat", "new_boat"),
        ("Ünïcode Thing", "new_unicode_thing"),
        ("contact", "new_contact"),
        ("船", "new_object"),
        ("2nd", "new_2nd"),
        ("a" * 80, "new_" + "a" * 46),
    ],
)
def test_the_name_of_a_type_becomes_a_table_name(name: str, table: str) -> None:
    assert schema.object_tables(types(name), "1", "new") == {"2": table}


def test_equal_names_are_told_apart_by_the_type() -> None:
    found = schema.object_tables(types("boat", "boat 4", "Boat", "BOAT"), "1", "new")
    assert len(set(found.values())) == 4
    assert found["2"] == "new_boat"


def test_an_object_type_called_event_does_not_land_in_the_table_of_events() -> None:
    assert schema.object_tables(types("Event", "Relationship"), "1", "cio") == {
        "2": "cio_event_2", "3": "cio_relationship_3"
    }  # fmt: skip


def test_a_new_type_never_renames_an_older_one() -> None:
    before = types(*["boat"] * 9)
    found = schema.object_tables(before, "1", "new")
    more = schema.object_tables([{**before[0], "object_type_id": "11"}, *reversed(before)], "1", "new")
    assert {k: more[k] for k in found} == found


def test_companies_have_no_table_of_their_own() -> None:
    assert schema.object_tables(types("company"), "2", "new") == {}


def test_the_prefix_is_new_where_a_publisher_has_it() -> None:
    assert schema.object_prefix(["new", "cr8a3"]) == "new"
    assert schema.object_prefix(["cr8a3"]) == "cio"


def by_name(tables: tuple[Table, ...]) -> dict[str, Table]:
    return {t.name: t for t in tables}


def test_names_are_those_of_the_source_document() -> None:
    found = by_name(schema.wanted({}, [], {}))
    for table in ("contact", "lead"):
        assert found[table].column("cio_user_id__c") is not None
    assert found["account"].column("cio_company_id__c") is not None
    for table in ("cio_event", "cio_anonymous_event"):
        for column in ("cio_event_name", "cio_event_timestamp", "cio_properties"):
            assert found[table].column(column) is not None
    assert found["cio_event"].lookup("cio_user_id") is not None


def test_parents_come_before_children() -> None:
    names = [t.name for t in schema.wanted({}, [], {"2": ("new_boat", "Boat")})]
    assert names.index("new_boat") < names.index("cio_relationship")
    assert names.index("contact") < names.index("cio_event")


def test_only_custom_columns_are_added_to_standard_tables() -> None:
    mine, theirs = Column("cio_plan", "string", length=100), Column("jobtitle", "string", length=100, custom=False)
    found = by_name(schema.wanted({"contact": [mine, theirs]}, [], {}))
    assert found["contact"].column("cio_plan") == mine
    assert found["contact"].column("jobtitle") is None


def test_every_object_table_can_be_the_end_of_a_relationship() -> None:
    found = by_name(schema.wanted({}, [], {"2": ("new_boat", "Boat"), "3": ("new_car", "Car")}))
    lookup = found["cio_relationship"].lookup("cio_object_id")
    assert lookup is not None
    assert [t for t, _ in lookup.targets] == ["account", "new_boat", "new_car"]


def test_the_completed_target_keeps_what_is_there() -> None:
    there = Table("contact", "contacts", "contactid", "fullname", (Column("cio_source_key", "string", length=4000),))
    found = schema.complete({"contact": there}, schema.wanted({}, [], {}))
    key = found["contact"].column("cio_source_key")
    assert key is not None
    assert key.length == 4000
    assert found["contact"].column("cio_user_id__c") is not None
    assert found["cio_event"].custom


def test_deliveries_have_their_table_when_they_are_asked_for() -> None:
    found = by_name(schema.wanted({}, [], {}, campaign_members=True))
    member = found["cio_campaignmember"]
    assert (member.label, member.label_plural) == ("Campaign Member", "Campaign Members")
    assert {x.name: [t for t, _ in x.targets] for x in member.lookups} == {
        "cio_campaign_id": ["campaign"], "cio_person_id": ["contact", "lead"]
    }  # fmt: skip
    status = member.column("cio_member_status")
    assert status is not None
    assert [o.label for o in status.options] == ["Sent", "Delivered", "Responder", "Bounced", "Undeliverable"]
    assert member.column("cio_delivery_status__c") is not None
    assert "cio_campaignmember" not in by_name(schema.wanted({}, [], {}))


def test_every_metric_of_a_delivery_has_a_time() -> None:
    member = schema.campaign_member_table()
    times = {c.name for c in member.columns if c.kind == "datetime"}
    assert times == {f"cio_{metric}_at" for metric in schema.DELIVERY_METRICS}
    assert {"cio_created_at", "cio_sent_at", "cio_opened_at", "cio_spammed_at"} <= times


def test_a_new_event_is_on_top_of_its_view() -> None:
    [view] = schema.event_table(()).views
    assert view.name == "Customer.io events"
    assert '<order attribute="cio_event_timestamp" descending="true"/>' in view.fetch
    assert all(f'<attribute name="{column}"/>' in view.fetch for column in view.columns)


def test_the_completed_target_has_the_options_and_targets_that_are_wanted() -> None:
    plan = Column("cio_plan", "choice", options=(Option(727000000, "Gold"), Option(727000001, "Silver")))
    person = Lookup("cio_user_id", schema.PERSON)
    wanted = Table("contact", "contacts", "contactid", "", (plan,), (person,))
    there = replace(
        wanted,
        columns=(replace(plan, options=plan.options[1:]),),
        lookups=(replace(person, targets=schema.PERSON[:1]),),
    )
    found = schema.complete({"contact": there}, [wanted])["contact"]
    column, lookup = found.column("cio_plan"), found.lookup("cio_user_id")
    assert column is not None
    assert lookup is not None
    assert {o.label for o in column.options} == {"Gold", "Silver"}
    assert dict(lookup.targets) == dict(schema.PERSON)
