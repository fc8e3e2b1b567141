"""Microsoft's own Python client, unmodified apart from the address: whole life of a table and of its rows."""

from __future__ import annotations

import asyncio
import time
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ..dataverse.build import publisher

client_module = pytest.importorskip("PowerPlatform.Dataverse.client", reason="PowerPlatform-Dataverse-Client")
filters = pytest.importorskip("PowerPlatform.Dataverse.models.filters")
relationships = pytest.importorskip("PowerPlatform.Dataverse.models.relationship")
upserts = pytest.importorskip("PowerPlatform.Dataverse.models.upsert")
failures = pytest.importorskip("PowerPlatform.Dataverse.core.errors")

COLUMNS = {
    "cio_Number": "int",
    "cio_Amount": "decimal",
    "cio_When": "datetime",
    "cio_Flag": "bool",
    "cio_Code": "string",
}


class Kind(IntEnum):
    One = 1
    Two = 2


class Credential:
    """What azure.identity hands out, without the journey."""

    def get_token(self, *scopes: str, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(token="dev-token", expires_on=int(time.time()) + 3600)


@pytest.fixture
def client(origin: str, api: httpx.Client) -> Any:
    publisher(api)
    made = client_module.DataverseClient("https://placeholder.crm.dynamics.com", Credential())
    # The client takes https addresses only; over plain http on loopback the address is set afterwards.
    made._base_url = origin
    return made


@pytest.fixture
def events(client: Any) -> Any:
    client.tables.create("cio_Event", {**COLUMNS, "cio_Kind": Kind}, primary_column="cio_Name")
    client.tables.create_lookup_field("cio_event", "cio_PersonId", "contact")
    return client


def test_a_table_is_made_looked_at_changed_and_dropped(events: Any) -> None:
    made = events.tables.get("cio_Event")
    assert (made.logical_name, made.entity_set_name) == ("cio_event", "cio_events")
    assert events.tables.add_columns("cio_Event", {"cio_Extra": "string"}) == ["cio_Extra"]
    events.tables.update_column("cio_Event", "cio_Code", {"max_length": 150})
    assert events.tables.get_column("cio_Event", "cio_Code")["MaxLength"] == 150
    events.tables.remove_columns("cio_Event", "cio_Extra")
    listed = {column["LogicalName"] for column in events.tables.list_columns("cio_Event")}
    assert "cio_code" in listed
    assert "cio_extra" not in listed
    events.tables.delete("cio_Event")
    assert events.tables.get("cio_Event") is None


def test_a_key_is_made_and_used(events: Any) -> None:
    events.tables.create_alternate_key("cio_Event", "cio_codekey", ["cio_code"])
    while events.tables.get_alternate_keys("cio_Event")[0].status != "Active":
        continue
    items = [upserts.UpsertItem({"cio_code": f"c{at}"}, {"cio_name": "first"}) for at in range(20)]
    events.records.upsert("cio_event", items)
    events.records.upsert("cio_event", [upserts.UpsertItem({"cio_code": "c7"}, {"cio_name": "second"})])
    names = {row["cio_code"]: row["cio_name"] for row in events.records.list("cio_event")}
    assert (len(names), names["c7"], names["c8"]) == (20, "second", "first")
    events.tables.delete_alternate_key("cio_event", events.tables.get_alternate_keys("cio_event")[0].metadata_id)
    assert events.tables.get_alternate_keys("cio_event") == []


def test_rows_one_by_one_and_many_at_once(events: Any) -> None:
    person = events.records.create("contact", {"lastname": "Bell"})
    row = {"cio_name": "one", "cio_kind": "Two", "cio_flag": True, "cio_amount": 1.5}
    one = events.records.create("cio_event", {**row, "cio_PersonId@odata.bind": f"/contacts({person})"})
    found = events.records.retrieve("cio_event", one, select=["cio_kind", "_cio_personid_value"])
    assert (found["cio_kind"], found["_cio_personid_value"]) == (2, person)
    ids = events.records.create("cio_event", [{"cio_name": f"n{at}", "cio_number": at} for at in range(50)])
    assert len(set(ids)) == 50
    events.records.update("cio_event", ids[:3], {"cio_code": "same"})
    events.records.update("cio_event", ids[3:5], [{"cio_code": "a"}, {"cio_code": "b"}])
    rows = events.records.list("cio_event", filter="cio_code ne null", orderby=["cio_number"])
    assert [row["cio_code"] for row in rows] == ["same", "same", "same", "a", "b"]
    events.records.delete("cio_event", ids[:10], use_bulk_delete=False)
    events.records.delete("cio_event", one)
    assert [len(page) for page in events.records.list_pages("cio_event", page_size=25)] == [25, 15]


def test_a_failure_tells_its_code_and_whether_it_will_pass(events: Any) -> None:
    with pytest.raises(failures.HttpError) as caught:
        events.records.create("cio_event", [{"cio_name": "fine"}, {"cio_name": "x" * 5000}])
    assert (caught.value.status_code, caught.value.is_transient) == (400, False)
    assert events.records.list("cio_event").records == []


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda: filters.col("cio_number").between(3, 5), [3, 4, 5]),
        (lambda: filters.col("cio_name").in_(["n1", "N2"]), [1, 2]),
        (lambda: filters.col("cio_name").like("n1%") & (filters.col("cio_number") > 17), [18, 19]),
        (lambda: ~filters.col("cio_name").like("n1%") & (filters.col("cio_number") < 3), [0, 2]),
        (lambda: filters.col("cio_code").is_not_null(), []),
    ],
)
def test_its_query_builder_is_understood(events: Any, condition: Any, expected: list[int]) -> None:
    events.records.create("cio_event", [{"cio_name": f"n{at}", "cio_number": at} for at in range(20)])
    query = events.query.builder("cio_event").select("cio_number").where(condition()).order_by("cio_number")
    assert [row["cio_number"] for row in query.page_size(2).execute()] == expected


def test_sql_fetchxml_and_frames(events: Any) -> None:
    pandas = pytest.importorskip("pandas")
    events.dataframe.create("cio_event", pandas.DataFrame({"cio_name": ["a", "b", "c"], "cio_number": [1, 2, 3]}))
    sql = events.query.sql("SELECT TOP 2 cio_name FROM cio_event WHERE cio_number > 1 ORDER BY cio_number")
    assert [row["cio_name"] for row in sql] == ["b", "c"]
    xml = '<fetch count="2"><entity name="cio_event"><attribute name="cio_name"/></entity></fetch>'
    assert [len(page) for page in events.query.fetchxml(xml).execute_pages()] == [2, 1]
    assert events.dataframe.sql("SELECT cio_name FROM cio_event").shape == (3, 1)


def test_a_batch_with_a_change_set(events: Any) -> None:
    batch = events.batch.new()
    batch.records.create("contact", {"lastname": "alone"})
    with batch.changeset() as whole:
        account = whole.records.create("account", {"name": "Acme"})
        whole.records.create("contact", {"lastname": "y", "parentcustomerid_account@odata.bind": account})
    batch.records.create("cio_event", [{"cio_name": "a"}, {"cio_name": "b"}])
    batch.query.sql("SELECT TOP 1 cio_name FROM cio_event")
    batch.records.update("contact", "00000000-0000-0000-0000-000000000001", {"lastname": "nobody"})
    answers = batch.execute(continue_on_error=True).responses
    assert [answer.status_code for answer in answers] == [204, 204, 204, 200, 200, 404]


def test_relationships_are_made_and_found(events: Any) -> None:
    many = relationships.ManyToManyRelationshipMetadata(
        schema_name="cio_contact_event", entity1_logical_name="contact", entity2_logical_name="cio_event"
    )
    made = events.tables.create_many_to_many_relationship(many)
    assert events.tables.get_relationship("cio_contact_event").relationship_id == made.relationship_id
    events.tables.delete_relationship(made.relationship_id)
    assert events.tables.get_relationship("cio_contact_event") is None


def test_its_asynchronous_twin(origin: str, api: httpx.Client) -> None:
    module = pytest.importorskip("PowerPlatform.Dataverse.aio.async_client", reason="aiohttp")
    publisher(api)

    class AsyncCredential:
        async def get_token(self, *scopes: str, **options: Any) -> SimpleNamespace:
            return Credential().get_token()

    async def story() -> list[int]:
        async with module.AsyncDataverseClient("https://placeholder.crm.dynamics.com", AsyncCredential()) as client:
            client._base_url = origin
            await client.tables.create("cio_Event", {"cio_Number": "int"}, primary_column="cio_Name")
            await client.records.create("cio_event", [{"cio_name": "n", "cio_number": at} for at in range(5)])
            rows = await client.records.list("cio_event", filter="cio_number gt 1", orderby=["cio_number desc"])
            return [row["cio_number"] for row in rows]

    assert asyncio.run(story()) == [4, 3, 2]
