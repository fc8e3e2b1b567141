"""Staging: every source row ends in exactly one place, and what is staged is what the rules say."""

import json
from typing import Any

import polars as pl
import pytest

from cio2d365 import raw
from cio2d365.decide.events import EventColumn, EventDecision
from cio2d365.decide.field_maps import FieldMap, Mapping
from cio2d365.decide.split import SplitRule
from cio2d365.errors import ConservationError
from cio2d365.migrate import schema, stage
from cio2d365.tables import Column, Lookup, Table

PLAN = Column("cio_plan", "string", "plan", 100)
SEATS = Column("cio_seats", "integer", "seats")
TARGETS = (("contact", "cio_plan"), ("lead", "cio_plan"))
AT = 1_700_000_000_000


def table(name: str, columns: tuple[Column, ...], lookups: tuple[Lookup, ...] = ()) -> Table:
    """A standard table as far as staging looks at it."""
    own = {t.name: t for t in schema.wanted({}, (), {})}[name].columns
    return Table(name, f"{name}s", f"{name}id", "name", (*columns, *own), lookups)


def text(name: str, length: int) -> Column:
    return Column(name, "string", name, length, custom=False)


PERSON = (text("emailaddress1", 100), text("firstname", 50), text("lastname", 50), PLAN, SEATS)
STANDARD = {
    "account": table("account", (text("name", 160), text("websiteurl", 200))),
    "contact": table("contact", PERSON, (Lookup("parentcustomerid", (("account", "parentcustomerid_account"),)),)),
    "lead": table(
        "lead", (*PERSON, text("subject", 300)), (Lookup("parentaccountid", (("account", "parentaccountid"),)),)
    ),
}
TYPES = {"2": ("new_contract", "Contracts")}
TABLES = STANDARD | {t.name: t for t in schema.wanted({}, (), TYPES) if t.custom}

MAPPING = Mapping((
    FieldMap("person.first_name", "column", (("contact", "firstname"), ("lead", "firstname")), PERSON[1]),
    FieldMap("person.last_name", "column", (("contact", "lastname"), ("lead", "lastname")), PERSON[2]),
    FieldMap("person.plan", "column", TARGETS, PLAN),
    FieldMap("person.seats", "column", (("contact", "cio_seats"), ("lead", "cio_seats")), SEATS),
    FieldMap("person.notes", "json"),
    FieldMap("object.1.name", "column", (("account", "name"),), STANDARD["account"].column("name")),
    FieldMap("object.2.name", "column", (("new_contract", "new_name"),), Column("new_name", "string", "Name", 850)),
), company_type="1")  # fmt: skip


def person(key: str, email: str | None = None, **attributes: Any) -> dict[str, Any]:
    unsubscribed = attributes.pop("unsubscribed", False)
    kind, _, value = key.partition(":")
    ids = {"cio_id": value if kind == "cio" else None, "id": attributes.pop("id", None)}
    return {"person_key": key, "email": email, "unsubscribed": unsubscribed, "attributes": json.dumps(attributes),
            "timestamps": None, "file": "people", "row": 1, **ids}  # fmt: skip


def company(object_id: str, type_id: str = "1", **attributes: Any) -> dict[str, Any]:
    return {"object_key": f"{type_id}:{object_id}", "object_type_id": type_id, "object_id": object_id,
            "attributes": json.dumps(attributes), "file": "objects", "row": 1}  # fmt: skip


def related(who: str | None, object_key: str, **attributes: Any) -> dict[str, Any]:
    type_id, _, object_id = object_key.partition(":")
    return {"person_key": who, "person_id": who or "gone", "object_key": object_key, "object_type_id": type_id,
            "object_id": object_id, "attributes": json.dumps(attributes)}  # fmt: skip


def event(key: str, who: str | None, at: int = AT, name: str = "Order Done", **more: Any) -> dict[str, Any]:
    properties = more.pop("properties", {})
    return {"event_key": key, "source": "cdp", "type": "event", "name": name, "at": at, "person_key": who,
            "person_id": who, "properties": json.dumps(properties), "file": "track", "row": 1, **more}  # fmt: skip


def given(**rows: list[dict[str, Any]]) -> stage.Given:
    """What staging reads, from rows of raw tables; object type 1 is Companies, 2 is Contracts."""
    types = [{"object_type_id": "1", "name": "Companies", "slug": "companies", "enabled": True},
             {"object_type_id": "2", "name": "Contracts", "slug": "contracts", "enabled": True}]  # fmt: skip
    frames = {name: raw.frame(name, rows.get(name, types if name == "object_types" else [])) for name in raw.TABLES}
    decision = EventDecision((EventColumn("total", Column("cio_total", "decimal", "total", precision=2), 0.5),))
    tables = TABLES | {t.name: t for t in schema.wanted({}, [c.column for c in decision.columns], TYPES) if t.custom}
    rule = SplitRule(business_domain=False)
    return stage.Given(frames, rule, MAPPING, decision, tables, {"2": "new_contract"}, "1", "test-0001")


ANN = person("cio:a1", "ann@acme.example", first_name="Ann", last_name="Lee", plan="pro", id="007")


def test_each_person_is_staged_once_or_put_apart_with_a_reason() -> None:
    people = [ANN, person("cio:a2", "bob@x.example"), person("cio:a3"), person("cio:a4", "n/a")]
    staged = stage.stage(given(people=people, objects=[company("acme")], relationships=[related("cio:a1", "1:acme")]))
    assert staged.frames["contact"]["cio_source_key"].to_list() == ["cio:a1"]
    assert staged.frames["lead"]["cio_source_key"].to_list() == ["cio:a2"]
    review = dict(staged.place("review").select("source_key", "reason").iter_rows())
    assert review == {"cio:a3": "review-no-email", "cio:a4": "review-unusable-email"}


def test_a_contact_carries_names_ids_consent_and_its_company() -> None:
    g = given(people=[ANN], objects=[company("acme", name="Acme Ltd")], relationships=[related("cio:a1", "1:acme")])
    staged = stage.stage(g)
    contact, account = staged.frames["contact"].to_dicts()[0], staged.frames["account"].to_dicts()[0]
    assert (contact["firstname"], contact["lastname"], contact["cio_plan"]) == ("Ann", "Lee", "pro")
    assert (contact["cio_user_id__c"], contact["cio_cio_id"]) == ("007", "a1")
    assert contact["donotbulkemail"] is False
    assert contact["parentcustomerid_account"] == account["accountid"]
    assert (account["name"], account["cio_company_id__c"]) == ("Acme Ltd", "acme")


def test_unknown_consent_counts_as_opted_out_and_is_noted() -> None:
    staged = stage.stage(given(people=[person("cio:a2", "bob@x.example", unsubscribed=None)]))
    assert staged.frames["lead"]["donotbulkemail"].to_list() == [True]
    assert "unknown-consent" in staged.notes()["note"].to_list()


def test_a_value_that_does_not_fit_is_kept_whole_as_json() -> None:
    long = "x" * 101
    staged = stage.stage(given(people=[person("cio:a2", "bob@x.example", plan=long, seats="many", notes={"a": [1]})]))
    contact = staged.frames["contact"].to_dicts()[0]
    assert contact["cio_plan"] is None
    assert json.loads(contact["cio_attributes"]) == {"plan": long, "seats": "many", "notes": {"a": [1]}}
    notes = dict(staged.notes().select("field", "note").iter_rows())
    assert notes == {"plan": "E-LEN", "seats": "E-NUMBER", "last_name": "name-from-address"}


def test_an_address_over_the_limit_stays_in_the_json_column_and_the_person_loads() -> None:
    address = f"{'a' * 60}@{'b' * 50}.example"
    staged = stage.stage(given(people=[person("cio:a2", address)]))
    lead = staged.frames["lead"].to_dicts()[0]
    assert lead["emailaddress1"] is None
    assert json.loads(lead["cio_attributes"]) == {"email": address}


def test_a_person_without_a_name_goes_by_the_address() -> None:
    lead = stage.stage(given(people=[person("cio:a2", " bob@x.example ")])).frames["lead"].to_dicts()[0]
    assert (lead["emailaddress1"], lead["lastname"]) == ("bob@x.example", "bob@x.example")
    assert lead["subject"] == "Customer.io: bob@x.example"


def test_an_id_with_a_control_character_rejects_the_person_and_excludes_their_events() -> None:
    people = [person("cio:a2", "bob@x.example", id="b\x00b")]
    staged = stage.stage(given(people=people, events=[event("e1", "cio:a2")]))
    rejected = staged.place("rejected").to_dicts()
    assert [(r["source_key"], r["reason"]) for r in rejected] == [("cio:a2", "E-CHAR")]
    assert staged.place("excluded").filter(pl.col("object") == "events")["source_key"].to_list() == ["e1"]


def test_the_marked_company_is_the_primary_one_and_all_relations_are_kept() -> None:
    relations = [related("cio:a1", "1:a"), related("cio:a1", "1:b", primary="true"), related("cio:a1", "1:c")]
    staged = stage.stage(given(people=[ANN], objects=[company(i, name=i) for i in "abc"], relationships=relations))
    accounts = dict(staged.frames["account"].select("cio_company_id__c", "accountid").iter_rows())
    assert staged.frames["contact"]["parentcustomerid_account"].to_list() == [accounts["b"]]
    assert staged.frames["cio_relationship"].height == 3


def test_a_relation_to_an_object_that_is_not_there_is_listed_and_the_person_loads() -> None:
    """F-43: the row loads without the link, and the link is listed."""
    staged = stage.stage(given(people=[ANN], relationships=[related("cio:a1", "1:gone"), related(None, "1:gone")]))
    assert staged.frames["contact"].height == 1
    assert staged.missing_links()["detail"].to_list() == ["1:gone"]
    reasons = staged.place("excluded")["reason"].to_list()
    assert sorted(reasons) == ["object-not-in-source", "person-not-in-source"]


def test_an_account_without_a_name_goes_by_its_domain_else_its_id() -> None:
    staged = stage.stage(given(objects=[company("a", domain="acme.example"), company("b")]))
    assert staged.frames["account"]["name"].to_list() == ["acme.example", "b"]
    assert staged.notes()["note"].to_list() == ["name-from-id", "name-from-id"]


def test_a_custom_object_gets_its_own_table_and_keeps_its_types_name() -> None:
    contract = stage.stage(given(objects=[company("k1", "2", name="Gold")])).frames["new_contract"].to_dicts()[0]
    assert (contract["new_name"], contract["cio_object_id"], contract["cio_object_type"]) == ("Gold", "k1", "Contracts")


def test_events_go_to_the_person_to_review_or_to_the_anonymous_table() -> None:
    people = [ANN, person("cio:a2", "bob@x.example"), person("cio:a3")]
    rows = [event("e1", "cio:a1"), event("e2", "cio:a2"), event("e3", "cio:a3"), event("e4", None, anonymous_id="x9")]
    g = given(people=people, objects=[company("acme")], relationships=[related("cio:a1", "1:acme")], events=rows)
    staged = stage.stage(g)
    events = {r["cio_source_key"]: r for r in staged.frames["cio_event"].iter_rows(named=True)}
    assert events["e1"]["cio_user_id_contact"] == staged.frames["contact"]["contactid"][0]
    assert events["e2"]["cio_user_id_lead"] == staged.frames["lead"]["leadid"][0]
    assert events["e1"]["cio_user_id_lead"] is None
    assert staged.place("review").filter(pl.col("object") == "events")["source_key"].to_list() == ["e3"]
    assert staged.frames["cio_anonymous_event"].select("cio_source_key", "cio_anonymous_id").rows() == [("e4", "x9")]


def test_promoted_properties_and_the_remainder_hold_what_the_event_held() -> None:
    rows = [event("e1", None, properties={"total": 12.5, "sku": "x"}), event("e2", None, properties={"total": "lots"})]
    found = stage.stage(given(events=rows)).frames["cio_anonymous_event"].sort("cio_source_key").to_dicts()
    assert (found[0]["cio_total"], json.loads(found[0]["cio_properties"])) == (12.5, {"sku": "x"})
    assert (found[1]["cio_total"], json.loads(found[1]["cio_properties"])) == (None, {"total": "lots"})


@pytest.mark.parametrize("at", [-7_000_000_000_000, 300_000_000_000_000])
def test_a_time_that_the_target_cannot_hold_rejects_the_event(at: int) -> None:
    staged = stage.stage(given(events=[event("e1", None, at)]))
    assert staged.place("rejected").select("source_key", "reason").rows() == [("e1", "E-DATE")]


def test_ids_depend_on_migration_table_and_source_key_only() -> None:
    first, second = (stage.stage(given(people=[ANN, person("cio:z", "z@x.example")])) for _ in range(2))
    other = stage.stage(given(people=[ANN]))
    assert first.frames["lead"].equals(second.frames["lead"])
    assert set(other.frames["lead"]["leadid"]) <= set(first.frames["lead"]["leadid"])


def test_event_ids_sort_by_time_in_their_last_six_bytes() -> None:
    rows = [event(f"e{n}", None, AT + n * 1000) for n in range(20)]
    ids = stage.stage(given(events=rows)).frames["cio_anonymous_event"]["cio_anonymous_eventid"].to_list()
    assert [i[-12:] for i in ids] == sorted(i[-12:] for i in ids)
    assert all(i[14] == "8" for i in ids)


def test_sums_that_are_off_stop_the_staging() -> None:
    g = given(people=[ANN])
    staged = stage.stage(g)
    staged.frames["contact"] = staged.frames["contact"].clear()
    staged.frames["lead"] = staged.frames["lead"].clear()
    with pytest.raises(ConservationError, match="staging people"):
        stage._check(staged, g)
