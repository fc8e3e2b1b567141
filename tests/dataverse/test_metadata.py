"""Reading tables: everything that the product delivers can be read, and every kind of thing is told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
import pytest

from cio2d365.dataverse import environment
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.metadata import read_table, read_tables, table_names
from cio2d365.dataverse.requests import HEADERS
from cio2d365.errors import RequestRejected
from cio2d365.tables import KINDS, Lookup, from_document, to_document
from cio2d365.transport import Pace, Transport
from tests.migrate.world import Instant, dataverse, serving


@pytest.fixture(scope="module")
def target() -> Iterator[Dataverse]:
    """An organisation as Microsoft delivers it."""
    with serving(seed=21) as (origin, _), dataverse(origin) as client:
        yield client


def test_every_table_of_the_product_can_be_read(target: Dataverse) -> None:
    names, custom = table_names(target)
    found = read_tables(target, names)
    assert custom == []
    assert len(found) >= 34
    assert list(found) == names
    for name, table in found.items():
        assert (table.name, table.set_name != "", table.primary_id != "") == (name, True, True)
        assert {c.kind for c in table.columns} <= set(KINDS)
        assert from_document(orjson.loads(orjson.dumps(to_document(table)))) == table


def test_the_product_in_words(target: Dataverse) -> None:
    found = read_tables(target, ["contact", "email", "campaign", "lead", "nothing"])
    contact, email = found["contact"], found["email"]
    assert "nothing" not in found
    assert (contact.kind, contact.custom, contact.managed, contact.type_code) == ("standard", False, True, 2)
    assert email.kind == "activity"
    birthday, mail = contact.column("birthdate"), contact.column("emailaddress1")
    assert birthday is not None
    assert mail is not None
    assert (birthday.kind, mail.kind, mail.length) == ("date", "string", 100)
    gender, latitude = contact.column("gendercode"), contact.column("address1_latitude")
    assert gender is not None
    assert latitude is not None
    assert [(o.value, o.label) for o in gender.options] == [(1, "Male"), (2, "Female")]
    assert (latitude.minimum, latitude.maximum, latitude.precision) == (-90, 90, 5)
    image = contact.column("entityimage")
    assert image is None or image.kind == "other"


def test_lookups_tell_their_targets_and_what_deleting_one_does(target: Dataverse) -> None:
    contact = read_table(target, "contact")
    assert contact is not None
    parent = contact.lookup("parentcustomerid")
    assert isinstance(parent, Lookup)
    assert dict(parent.targets) == {"account": "parentcustomerid_account", "contact": "parentcustomerid_contact"}
    assert parent.customer
    assert {r.target: r.on_delete for r in parent.relationships}["account"] == "Cascade"
    assert not any(r.custom for r in parent.relationships)
    assert parent.id != ""


def test_a_table_takes_one_request_and_one_for_each_kind_of_choice(target: Dataverse) -> None:
    seen: list[str] = []

    def counted(client: Dataverse) -> Dataverse:
        real = client.transport.send

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(client.transport, name)

            def send(self, request: Any, **more: Any) -> Any:
                seen.append(request.path)
                return real(request, **more)

        return Dataverse(Counting())  # type: ignore[arg-type]

    read_table(counted(target), "lead")
    assert [path.rpartition(".")[2].partition("?")[0] for path in seen[1:]] == ["PicklistAttributeMetadata"]


def answering(answers: Mapping[str, tuple[int, Any]]) -> Dataverse:
    """A client of a server that knows a few addresses, matched by their ends without the query."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        found = next(((s, b) for end, (s, b) in answers.items() if path.endswith(end)), (404, {"error": {"code": ""}}))
        return httpx.Response(found[0], json=found[1])

    clock = Instant()
    pace = Pace(clock=lambda: clock.now, sleep=clock.sleep)
    link = Transport(
        "http://127.0.0.1:9",
        lambda _: "Bearer dev-token",
        headers=HEADERS,
        pace=pace,
        client=httpx.MockTransport(answer),
    )
    return Dataverse(link)


def test_what_the_plain_answer_lacks_is_asked_with_a_cast() -> None:
    """A server that keeps the properties of a type to its cast is read all the same (dataverse-api 9.5)."""
    column = {"LogicalName": "cio_a", "AttributeType": "String", "AttributeTypeName": {"Value": "StringType"}}
    head = {
        "EntitySetName": "cio_boats", "PrimaryIdAttribute": "cio_boatid", "PrimaryNameAttribute": "cio_a",
        "Attributes": [column], "Keys": [], "ManyToOneRelationships": [],
    }  # fmt: skip
    client = answering(
        {
            "StringAttributeMetadata": (200, {"value": [{"LogicalName": "cio_a", "MaxLength": 77}]}),
            "EntityDefinitions(LogicalName='cio_boat')": (200, head),
        }
    )
    found = read_table(client, "cio_boat")
    assert found is not None
    assert [(c.name, c.kind, c.length) for c in found.columns] == [("cio_a", "string", 77)]


def test_only_a_missing_table_reads_as_none() -> None:
    refused = {"error": {"code": "0x80040203", "message": "Invalid argument"}}
    client = answering({"EntityDefinitions(LogicalName='cio_boat')": (400, refused)})
    assert read_table(client, "cio_ship") is None
    with pytest.raises(RequestRejected, match="Invalid argument"):
        read_table(client, "cio_boat")


# --- what lies around the tables --------------------------------------------------------------------------------------


def test_a_new_environment_has_publishers_tables_and_nothing_of_ours(target: Dataverse) -> None:
    found = environment.read_environment(target, "cio_migration", "cio")
    assert {p.prefix for p in found.publishers} >= {"new"}
    assert (found.solution_id, found.members, found.choices, found.custom_tables) == ("", frozenset(), (), ())
    assert {"contact", "lead", "campaign"} <= found.tables
    assert found.most_tables == 10_000
    assert found.publisher("cio2d365") is None


@pytest.mark.parametrize(
    ("status", "body", "most"),
    [
        (200, {"OrganizationResources": {"MaxNumberOfCustomEntities": 300}}, 300),
        (200, {"OrganizationResources": {"MaxNumberOfCustomEntities": -1}}, None),
        (404, {"error": {"code": "0x80060888", "message": "no such function"}}, None),
        (403, {"error": {"code": "0x80040220", "message": "privilege"}}, None),
    ],
    ids=["told", "unlimited", "not known there", "not allowed"],
)
def test_the_limit_on_tables_is_known_or_not(status: int, body: dict[str, Any], most: int | None) -> None:
    solution = {"solutionid": "s1", "ismanaged": True}
    members = [
        {"objectid": "T1", "componenttype": 1, "rootcomponentbehavior": 0},
        {"objectid": "T2", "componenttype": 1, "rootcomponentbehavior": 2},
        {"objectid": "C1", "componenttype": 2, "rootcomponentbehavior": None},
    ]
    client = answering(
        {
            "/publishers": (200, {"value": []}), "/solutions": (200, {"value": [solution]}),
            "/solutioncomponents": (200, {"value": members}), "/EntityDefinitions": (200, {"value": []}),
            "/GlobalOptionSetDefinitions": (200, {"value": [{"Name": "msdyn_other", "MetadataId": "m"}]}),
            "/RetrieveOrganizationResources()": (status, body),
        }
    )  # fmt: skip
    found = environment.read_environment(client, "cio_migration", "cio")
    assert found.most_tables == most
    assert (found.solution_id, found.solution_managed) == ("s1", True)
    assert (found.members, found.whole) == (frozenset({"t1", "t2", "c1"}), frozenset({"t1"}))
    assert found.choices == ()
