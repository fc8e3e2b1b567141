"""Writes by the Track API, seen through the App API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cio2d365.sim.customerio import create_app
from cio2d365.sim.customerio.control import totals
from cio2d365.sim.customerio.workspace import Delivery, Segment
from cio2d365.sim.sample import empty_workspace

from .conftest import APP_KEY, SITE, TRACK_KEY, fresh, serving

ULID = "01K8Z3V7Q5W2X4Y6Z8A0B1C2D3"


class Two:
    """Both APIs of one simulator."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.client.request(method, f"/api/{path}", json=body or {}, auth=(SITE, TRACK_KEY))

    def entity(self, **operation: Any) -> httpx.Response:
        return self.send("POST", "v2/entity", operation)

    def person(self, id: str, kind: str = "id") -> dict[str, Any]:
        answer = self.client.get(f"/v1/customers/{id}/attributes", params={"id_type": kind})
        found: dict[str, Any] = answer.json().get("customer", {})
        return found

    def log(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.client.get("/v1/activities", params={"limit": 100, **query})
        return list(answer.json()["activities"] or [])


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    workspace = empty_workspace()
    now = workspace.clock.now()
    workspace.deliveries.append(Delivery("d-1", "email", None, "x@b.example", "Hi", now, {"sent": now}))
    workspace.segments[1] = Segment(1, "Manual", "manual", 1, 1)
    with serving(workspace) as client:
        yield client


@pytest.fixture
def two(server: httpx.Client) -> Two:
    return Two(fresh(server))


def test_identify_creates_then_updates_and_the_log_shows_the_change(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"email": "a@b.example", "plan": "free", "n": 1, "on": True, "l": [1]})
    two.send("PUT", "v1/customers/42", {"plan": "pro"})
    person = two.person("42")
    assert person["identifiers"]["email"] == "a@b.example"
    wanted = {"plan": "pro", "n": "1", "on": "true", "l": "[1]"}
    assert {name: person["attributes"][name] for name in wanted} == wanted
    changes = [row["data"].get("plan") for row in two.log(type="attribute_change")]
    assert {"from": "free", "to": "pro"} in changes


def test_null_and_empty_text_remove_an_attribute(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"a": 1, "b": 2, "c": 3})
    two.send("PUT", "v1/customers/42", {"a": None, "b": ""})
    assert set("abc") & set(two.person("42")["attributes"]) == {"c"}


def test_a_known_address_with_a_new_id_is_the_same_person(two: Two) -> None:
    two.send("PUT", "v1/customers/who%40b.example", {"plan": "free"})
    two.send("PUT", "v1/customers/42", {"email": "WHO@b.example"})
    assert two.client.get("/_control/totals").json()["people"] == 1
    assert two.person("42")["attributes"]["plan"] == "free"


def test_an_identifier_of_somebody_else_is_not_taken(two: Two) -> None:
    two.send("PUT", "v1/customers/1", {"email": "one@b.example"})
    two.send("PUT", "v1/customers/2", {"email": "two@b.example"})
    two.send("PUT", "v1/customers/2", {"email": "one@b.example"})
    assert two.person("2")["identifiers"]["email"] == "two@b.example"
    assert two.log(type="failed_attribute_change")


def test_update_only_does_not_create(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"_update": True, "a": 1})
    assert two.client.get("/_control/totals").json()["people"] == 0


def test_a_value_over_a_thousand_bytes_is_dropped_with_a_trace(two: Two) -> None:
    assert two.send("PUT", "v1/customers/42", {"long": "x" * 1001, "short": "y"}).status_code == 200
    assert "long" not in two.person("42")["attributes"]
    assert two.log(type="failed_attribute_change")


def test_one_topic_changes_and_the_others_stay(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"cio_subscription_preferences": {"topics": {"topic_1": True}}})
    two.send("PUT", "v1/customers/42", {"cio_subscription_preferences.topics.topic_7": False})
    text = two.person("42")["attributes"]["cio_subscription_preferences"]
    assert text == '{"topics":{"topic_1":true,"topic_7":false}}'


@pytest.mark.parametrize("value", [True, "TRUE", 1, "1"])
def test_spellings_of_unsubscribed(two: Two, value: object) -> None:
    two.send("PUT", "v1/customers/42", {"unsubscribed": value})
    assert two.person("42")["unsubscribed"] is True


def test_an_event_with_a_known_ulid_is_dropped(two: Two) -> None:
    for _ in range(3):
        two.send("POST", "v1/customers/42/events", {"name": "order", "id": ULID, "data": {"n": 1}})
    two.send("POST", "v1/customers/42/events", {"name": "order", "data": {"n": 1}})
    assert len(two.log(type="event")) == 2


def test_an_event_may_be_backdated_beyond_what_the_app_api_shows(two: Two) -> None:
    two.send("POST", "v1/customers/42/events", {"name": "old", "timestamp": 1_500_000_000})
    assert two.log(type="event") == []
    assert two.client.get("/_control/totals").json()["activities"]["event"] == 1


def test_anonymous_events_become_a_persons_when_the_link_is_made(two: Two) -> None:
    two.send("POST", "v1/events", {"name": "looked", "anonymous_id": "anon"})
    assert two.log(type="event")[0]["customer_id"] is None
    two.send("PUT", "v1/customers/42", {"anonymous_id": "anon"})
    assert two.log(type="event")[0]["customer_id"] == "42"
    assert two.log(type="anon_merge")


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 101}, {"name": "x", "data": [1]}])
def test_a_malformed_event_is_refused(two: Two, body: dict[str, Any]) -> None:
    answer = two.send("POST", "v1/customers/42/events", body)
    assert answer.status_code == 400
    assert answer.json()["meta"]["errors"]


def test_a_deleted_person_comes_back_as_another(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"a": 1})
    first = two.person("42")["identifiers"]["cio_id"]
    two.send("DELETE", "v1/customers/42")
    assert two.person("42") == {}
    two.send("PUT", "v1/customers/42", {"b": 1})
    assert two.person("42")["identifiers"]["cio_id"] != first
    assert "a" not in two.person("42")["attributes"]


def test_suppression_blocks_until_it_is_lifted(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"email": "s@b.example"})
    two.send("POST", "v1/customers/42/suppress")
    two.send("PUT", "v1/customers/42", {"a": 1})
    two.send("POST", "v1/customers/s%40b.example/events", {"name": "x"})
    assert two.client.get("/_control/totals").json()["people"] == 0
    two.send("POST", "v1/customers/42/unsuppress")
    two.send("PUT", "v1/customers/42", {"a": 1})
    assert two.person("42")


def test_a_merge_fills_what_the_primary_lacks(two: Two) -> None:
    two.send("PUT", "v1/customers/1", {"a": "primary"})
    two.send("PUT", "v1/customers/two%40b.example", {"a": "secondary", "b": "kept"})
    two.send("POST", "v1/customers/two%40b.example/events", {"name": "order"})
    body = {"primary": {"id": "1"}, "secondary": {"email": "two@b.example"}}
    assert two.send("POST", "v1/merge_customers", body).status_code == 200
    person = two.person("1")
    assert (person["attributes"]["a"], person["attributes"]["b"]) == ("primary", "kept")
    assert person["identifiers"]["email"] == "two@b.example"
    assert two.log(type="event")[0]["customer_id"] == "1"


def test_a_manual_segment_takes_and_gives_up_members(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {})
    two.send("POST", "v1/segments/1/add_customers", {"ids": ["42", "nobody"]})
    assert two.client.get("/v1/segments/1/customer_count").json() == {"count": 1}
    two.send("POST", "v1/segments/1/remove_customers", {"ids": ["42"]})
    assert two.client.get("/v1/segments/1/customer_count").json() == {"count": 0}


def test_an_object_comes_with_its_people(two: Two) -> None:
    rows = [{"identifiers": {"id": "42"}, "relationship_attributes": {"role": "admin", "gone": ""}}]
    key = {"object_type_id": "1", "object_id": "acme"}
    two.entity(type="object", action="identify", identifiers=key, attributes={"n": 1}, cio_relationships=rows)
    found = two.client.get("/v1/customers/42/relationships").json()["cio_relationships"]
    assert [(row["identifiers"]["object_id"], row["attributes"]) for row in found] == [("acme", {"role": "admin"})]
    two.entity(type="object", action="delete", identifiers=key)
    assert two.client.get("/v1/customers/42/relationships").json()["cio_relationships"] is None


def test_person_relationships_are_added_and_removed(two: Two) -> None:
    rows = [{"identifiers": {"object_type_id": "1", "object_id": "acme"}}]
    who = {"type": "person", "identifiers": {"id": "42"}, "cio_relationships": rows}
    two.entity(**who, action="add_relationships")
    assert len(two.client.get("/v1/objects/1/acme/relationships").json()["cio_relationships"]) == 1
    two.entity(**who, action="delete_relationships")
    assert two.client.get("/v1/objects/1/acme/relationships").json()["cio_relationships"] is None


def test_a_batch_applies_the_good_and_names_the_bad(two: Two) -> None:
    good = {"type": "person", "action": "identify", "identifiers": {"id": "1"}, "attributes": {"a": 1}}
    both = {**good, "identifiers": {"id": "1", "email": "x@b.example"}}
    bad_type = {"type": "object", "action": "identify", "identifiers": {"object_type_id": "9", "object_id": "x"}}
    event = {"type": "person", "action": "event", "identifiers": {"email": "e@b.example"}, "name": "order"}
    batch = [good, both, "text", bad_type, {**good, "action": "dance"}, event]
    answer = two.send("POST", "v2/batch", {"batch": batch})
    assert answer.status_code == 207
    assert [row["batch_index"] for row in answer.json()["errors"]] == [1, 2, 3, 4]
    assert two.client.get("/_control/totals").json()["people"] == 2


def test_a_clean_batch_answers_200_with_an_empty_object(two: Two) -> None:
    item = {"type": "person", "action": "identify", "identifiers": {"id": "1"}}
    answer = two.send("POST", "v2/batch", {"batch": [item]})
    assert (answer.status_code, answer.json()) == (200, {})


def test_sizes_of_v2_are_enforced(two: Two) -> None:
    big = {"type": "person", "action": "identify", "identifiers": {"id": "1"}, "attributes": {"a": "x" * 33_000}}
    assert two.entity(**big).status_code == 400
    assert two.send("POST", "v2/batch", {"batch": [big]}).status_code == 207
    assert two.send("POST", "v2/batch", {"batch": [big] * 16}).json()["errors"][0]["field"] == "batch"


def test_devices_come_and_go(two: Two) -> None:
    two.send("PUT", "v1/customers/42/devices", {"device": {"id": "t", "platform": "ios"}})
    assert [d["id"] for d in two.person("42")["devices"]] == ["t"]
    two.send("DELETE", "v1/customers/42/devices/t")
    assert two.person("42")["devices"] == []


def test_writes_outlive_the_process(tmp_path: Path) -> None:
    def start() -> Any:
        keys = {"app_api_key": APP_KEY, "site_id": SITE, "track_api_key": TRACK_KEY}
        return create_app(workspace=empty_workspace(), state_dir=tmp_path, **keys)

    (tmp_path / "customerio-writes.jsonl").write_text(
        '["PUT", "/api/v1/customers/42", "", "{\\"plan\\": \\"free\\"}", 1700000000]\n'
        '["POST", "/api/v1/customers/42/events", "", "{\\"name\\": \\"order\\"}", 1700000001]\n'
        '["PUT", "/api/v1/customers/43", "", "{}", 17000',
        encoding="utf-8",
    )
    first, second = (start().simulator.state.workspace for _ in range(2))
    assert first.people == second.people
    assert [a.id for a in first.activities] == [a.id for a in second.activities]
    assert totals(first)["activities"] == {"attribute_change": 1, "event": 1, "profile_create": 1}


def test_every_person_operation_of_v2_does_what_v1_does(two: Two) -> None:
    who = {"type": "person", "identifiers": {"id": "42"}}
    two.entity(**who, action="identify", attributes={"email": "p@b.example"}, timestamp=1_700_000_000)
    assert two.person("42")["timestamps"]["_created_in_customerio_at"] > 0
    two.entity(**who, action="page", name="/pricing", attributes={"ref": "x"})
    two.entity(**who, action="screen", name="Home")
    assert two.log(type="page")[0]["url"] == "/pricing"
    assert two.log(type="screen")[0]["name"] == "Home"
    two.entity(**who, action="add_device", device={"token": "t", "platform": "ios"})
    assert two.person("42")["devices"][0]["id"] == "t"
    two.entity(**who, action="delete_device", device={"token": "t"})
    assert two.person("42")["devices"] == []
    two.entity(type="person", identifiers={"id": "43"}, action="identify", attributes={"kept": 1})
    two.entity(type="person", action="merge", primary={"id": "42"}, secondary={"id": "43"})
    assert two.person("42")["attributes"]["kept"] == "1"
    assert two.person("43") == {}
    two.entity(**who, action="suppress")
    two.entity(**who, action="identify", attributes={})
    assert two.person("42") == {}
    two.entity(**who, action="unsuppress")
    two.entity(**who, action="identify", attributes={})
    assert two.person("42")
    two.entity(**who, action="delete")
    assert two.person("42") == {}


def test_object_operations_remove_relationships(two: Two) -> None:
    key = {"type": "object", "identifiers": {"object_type_id": "1", "object_id": "acme"}}
    people = [{"identifiers": {"id": one}} for one in ("1", "2")]
    two.entity(**key, action="add_relationships", cio_relationships=people)
    two.entity(**key, action="delete_relationships", cio_relationships=people[:1])
    rows = two.client.get("/v1/objects/1/acme/relationships").json()["cio_relationships"]
    assert [row["identifiers"]["id"] for row in rows] == ["2"]


def test_relationships_of_v1_come_in_a_block_with_an_action(two: Two) -> None:
    row = {"identifiers": {"object_type_id": "1", "object_id": "acme"}, "relationship_attributes": {"role": "x"}}
    block = {"action": "add_relationships", "relationships": [row]}
    two.send("PUT", "v1/customers/42", {"cio_relationships": block})
    assert len(two.client.get("/v1/objects/1/acme/relationships").json()["cio_relationships"]) == 1
    two.send("PUT", "v1/customers/42", {"cio_relationships": {**block, "action": "delete_relationships"}})
    assert two.client.get("/v1/objects/1/acme/relationships").json()["cio_relationships"] is None


def test_an_older_change_does_not_win(two: Two) -> None:
    two.send("PUT", "v1/customers/42", {"plan": "new", "_timestamp": 1_700_000_100})
    two.send("PUT", "v1/customers/42", {"plan": "old", "_timestamp": 1_700_000_000})
    assert two.person("42")["attributes"]["plan"] == "new"


def test_a_metric_that_arrives_late_shows_in_the_delivery_and_in_the_log(two: Two) -> None:
    assert two.send("POST", "v1/metrics", {"delivery_id": "d-1", "metric": "opened"}).status_code == 200
    two.send("POST", "v1/push/events", {"delivery_id": "d-1", "event": "converted"})
    assert set(two.client.get("/v1/messages/d-1").json()["message"]["metrics"]) == {"sent", "opened", "converted"}
    assert two.log(type="opened_email")[0]["delivery_id"] == "d-1"
    assert two.send("POST", "v1/metrics", {"delivery_id": "d-1", "metric": "moved"}).status_code == 400
    assert two.send("POST", "v1/metrics", {"delivery_id": "unknown", "metric": "opened"}).status_code == 200
