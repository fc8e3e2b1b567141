"""Definitions as the Web API wants them: bodies, headers and names (dataverse-api 9)."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio2d365.dataverse import definitions, deletions
from cio2d365.dataverse.definitions import relationship_name
from cio2d365.tables import Choice, Column, Key, Lookup, Option, Publisher, Table, View
from cio2d365.transport import Request

NAME = Column("cio_name", "string", "Name", 100)
OPTIONS = (Option(727000000, "Gaff"),)
EVENT = Table(
    "cio_event", "cio_events", "cio_eventid", "cio_name", (NAME,), label="Event", custom=True, type_code=10101
)


def body(request: Request) -> Any:
    assert request.body is not None
    return orjson.loads(request.body)


def column(kind: str, **more: Any) -> Any:
    return body(definitions.create_column("contact", Column("cio_a", kind, "A", **more), "s"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(definitions.CREATABLE))
def test_every_kind_of_column_names_its_type_its_label_and_asks_for_nothing(kind: str) -> None:
    made = column(kind, length=100 if kind in ("string", "memo") else None, options=OPTIONS)
    assert made["@odata.type"].endswith("AttributeMetadata")
    assert (made["SchemaName"], made["RequiredLevel"]) == ("cio_a", {"Value": "None"})
    assert made["DisplayName"]["LocalizedLabels"][0]["Label"] == "A"


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("decimal", {"precision": 0}, {"Precision": 0}),
        ("decimal", {}, {"Precision": 10}),
        ("money", {}, {"Precision": 4, "PrecisionSource": 0}),
        ("date", {}, {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}}),
        ("datetime", {}, {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}}),
        ("datetime", {"behavior": "TimeZoneIndependent"}, {"DateTimeBehavior": {"Value": "TimeZoneIndependent"}}),
        ("string", {"format": "Email"}, {"FormatName": {"Value": "Email"}}),
        ("integer", {"minimum": 0, "maximum": 9}, {"MinValue": 0, "MaxValue": 9}),
    ],
)
def test_what_a_type_needs(kind: str, more: dict[str, Any], expected: dict[str, Any]) -> None:
    assert column(kind, **more).items() >= expected.items()


def test_a_column_of_a_global_choice_refers_to_it_and_brings_no_options() -> None:
    shared = Column("cio_a", "choice", "A", options=OPTIONS, choice="cio_rigs")
    made = body(definitions.create_column("contact", shared, "s", "c1"))
    assert made["GlobalOptionSet@odata.bind"] == "/GlobalOptionSetDefinitions(c1)"
    assert "OptionSet" not in made


def test_a_global_choice_is_global() -> None:
    made = body(definitions.create_choice(Choice("cio_rigs", "Rigs", OPTIONS), "s"))
    assert (made["Name"], made["IsGlobal"], made["Options"][0]["Value"]) == ("cio_rigs", True, 727000000)


def test_an_option_goes_to_a_global_choice_or_to_the_choice_of_a_column() -> None:
    shared = body(definitions.insert_option(OPTIONS[0], "s", choice="cio_rigs"))
    local = body(definitions.insert_option(OPTIONS[0], "s", table="contact", column="cio_a"))
    assert shared["OptionSetName"] == "cio_rigs"
    assert (local["EntityLogicalName"], local["AttributeLogicalName"]) == ("contact", "cio_a")
    assert shared["Value"] == local["Value"] == 727000000
    assert "OptionSetName" not in local


@pytest.mark.parametrize(
    ("targets", "customer", "path"),
    [
        (("contact",), False, "RelationshipDefinitions"),
        (("contact", "lead"), False, "CreatePolymorphicLookupAttribute"),
        (("account", "contact"), True, "CreateCustomerRelationships"),
    ],
    ids=["one table", "several", "customer"],
)
def test_a_lookup_is_made_by_what_it_points_to(targets: tuple[str, ...], customer: bool, path: str) -> None:
    lookup = Lookup("cio_of", tuple((t, f"cio_of_{t}") for t in targets), "Of", customer=customer)
    request = definitions.create_lookup("cio_event", lookup, "s")
    made = body(request)
    relations = made.get("OneToManyRelationships") or [made]
    assert request.path.endswith(f"/{path}")
    assert [r["ReferencedEntity"] for r in relations] == list(targets)
    assert {r["CascadeConfiguration"]["Delete"] for r in relations} == {"RemoveLink"}


def test_what_is_made_names_our_solution_and_is_not_repeated_blindly() -> None:
    made = (
        definitions.create_table(EVENT, "s"),
        definitions.create_column("contact", NAME, "s"),
        definitions.create_key("contact", Key("cio_key", ("cio_a",)), "s"),
        definitions.create_choice(Choice("cio_rigs", "Rigs", OPTIONS), "s"),
        definitions.add_target("cio_event", Lookup("cio_of", ()), "lead", "s"),
    )
    assert {request.headers.get("MSCRM.SolutionUniqueName") for request in made} == {"s"}
    assert not any(request.repeatable for request in made)


def test_a_table_without_its_name_column_cannot_be_made() -> None:
    with pytest.raises(KeyError, match="cio_name"):
        definitions.create_table(Table("cio_event", "cio_events", "cio_eventid", "cio_name"), "s")


def test_a_view_shows_its_columns_and_names_the_table_by_its_number() -> None:
    view = View('Events "new" & <old>', "cio_event", ("cio_name", "createdon"), "<fetch/>")
    made = body(definitions.create_view(view, EVENT, "v1", "s"))
    grid = ElementTree.fromstring(made["layoutxml"])
    assert (grid.get("object"), grid.get("jump")) == ("10101", "cio_name")
    assert [cell.get("name") for cell in grid.iter("cell")] == ["cio_name", "createdon"]
    assert (made["savedqueryid"], made["name"], made["querytype"]) == ("v1", view.name, 0)


def test_publishing_names_tables_and_choices() -> None:
    xml = ElementTree.fromstring(body(definitions.publish(["contact"], ["cio_rigs"]))["ParameterXml"])
    assert [e.text for e in xml.iter("entity")] == ["contact"]
    assert [e.text for e in xml.iter("optionset")] == ["cio_rigs"]
    assert "optionset" not in body(definitions.publish(["contact"]))["ParameterXml"]


def test_a_publisher_has_both_prefixes() -> None:
    made = body(definitions.create_publisher(Publisher("cio2d365", "cio", 72700)))
    assert (made["customizationprefix"], made["customizationoptionvalueprefix"]) == ("cio", 72700)


# --- names ------------------------------------------------------------------------------------------------------------

WORD = st.text("abz09_", min_size=1, max_size=46)


@given(WORD, WORD, WORD)
def test_a_relationship_has_a_legal_name_of_at_most_fifty_characters(table: str, lookup: str, target: str) -> None:
    name = relationship_name(f"new_{table}", f"cio_{lookup}", target)
    assert re.fullmatch(r"new_[a-z0-9_]+", name)
    assert len(name) <= 50
    assert name == relationship_name(f"new_{table}", f"cio_{lookup}", target)


def test_long_names_of_relationships_stay_apart() -> None:
    table = "new_" + "a" * 46
    names = {relationship_name(table, "cio_person_id", target) for target in ("contact", "lead")}
    assert len(names) == 2
    assert relationship_name("cio_event", "cio_user_id", "contact") == "cio_event_user_id_contact"


def test_a_relationship_of_a_table_without_prefix_gets_the_lookups() -> None:
    assert relationship_name("contact", "cio_plan_id", "cio_plan") == "cio_contact_plan_id_cio_plan"


def test_names_in_addresses_are_quoted() -> None:
    assert deletions.delete_column("a'b", "c").path.endswith("(LogicalName='a''b')/Attributes(LogicalName='c')")
