"""dataverse-api: reads definitions, keys, messages and relationships before it touches a row."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ..dataverse.build import column, key, publisher, table

package = pytest.importorskip("dataverse_api.dataverse", reason="dataverse-api")
requests = pytest.importorskip("requests", reason="dataverse-api")


@pytest.fixture
def client(origin: str) -> Any:
    session = requests.Session()
    session.headers["Authorization"] = "Bearer dev-token"
    return package.DataverseClient(session, origin)


def test_it_makes_and_describes_a_table(client: Any, api: httpx.Client) -> None:
    entities = pytest.importorskip("dataverse_api.metadata.entity")
    attributes = pytest.importorskip("dataverse_api.metadata.attributes")
    publisher(api)
    text = attributes.create_label(label="Name", language_code=1033)
    primary = attributes.StringAttributeMetadata(
        schema_name="cio_Name", is_primary_name=True, description=text, display_name=text
    )
    owned = next(one for one in entities.OwnershipType if one.value == "UserOwned")
    client.create_entity(entities.define_entity("cio_Event", [primary], display_name="Event", ownership_type=owned))
    assert client.get_entity_definition("cio_event").schema_name == "cio_Event"
    assert client.get_language_codes() == [1033]
    client.delete_entity("cio_event")


def test_rows_are_written_by_every_route_it_knows(client: Any, api: httpx.Client) -> None:
    table(api)
    column(api, "Integer", "cio_number")
    column(api, "String", "cio_code")
    key(api, "cio_code")
    entity = client.entity("cio_event")
    assert entity.alternate_keys == {"cio_key": ["cio_code"]}
    assert (entity.supports_create_multiple, entity.supports_update_multiple) == (True, True)
    rows = [{"cio_name": f"n{at}", "cio_number": at, "cio_code": f"s{at}"} for at in range(20)]
    assert {answer.status_code for answer in entity.create(rows[:5])} == {204}
    assert {answer.status_code for answer in entity.create(rows[5:], mode="multiple")} == {200}
    read = entity.read(select=["cio_number"], filter="cio_number ge 5", order_by="cio_number desc", page_size=7)
    assert [row["cio_number"] for row in read] == list(range(19, 4, -1))
    changed = [{"cio_code": "s1", "cio_name": "up"}, {"cio_code": "new", "cio_name": "up"}]
    assert {answer.status_code for answer in entity.upsert(changed, altkey_name="cio_key")} == {204}
    assert len(entity.read(select=["cio_name"], filter="cio_name eq 'up'")) == 2
    entity.delete(filter="cio_number ge 3")
    assert len(entity.read(select=["cio_name"])) == 4


def test_its_batches_end_lines_without_cr_and_are_refused(client: Any, api: httpx.Client) -> None:
    table(api)
    (answer,) = client.entity("cio_event").create([{"cio_name": "n"}], mode="batch")
    assert answer.status_code == 400
    assert "CRLF" in answer.json()["error"]["message"]
