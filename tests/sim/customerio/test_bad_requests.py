"""Whatever a client sends, the answer is one of the documented ones and never a crash of the simulator."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cio2d365.sim.customerio.workspace import Segment
from cio2d365.sim.sample import empty_workspace

from .conftest import SITE, TRACK_KEY, serving

KEYS = st.sampled_from(
    [
        *("type", "action", "identifiers", "attributes", "name", "id", "email", "cio_id", "data", "timestamp"),
        *("cio_relationships", "relationships", "relationship_attributes", "object_type_id", "object_id", "device"),
        *("token", "platform", "primary", "secondary", "ids", "batch", "_update", "_timestamp", "anonymous_id"),
        *("cio_subscription_preferences", "cio_subscription_preferences.topics.topic_1", "created_at", "unsubscribed"),
        *("filter", "filters", "and", "or", "not", "segment", "attribute", "field", "operator", "value"),
        *("object_attribute", "campaign_id", "start", "end", "metric"),
    ]
)
ACTIONS = (
    *("identify", "event", "page", "screen", "delete", "suppress", "unsuppress", "merge"),
    *("add_relationships", "delete_relationships", "add_device", "delete_device"),
)
WORDS = st.sampled_from(["person", "object", *ACTIONS, "1", "a@b", "eq", "exists", "cio_id", "", "{"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | WORDS
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
BODIES = st.dictionaries(KEYS, TREES, max_size=6)
OPERATIONS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["person", "object"]),
        "action": st.sampled_from(ACTIONS),
    },
    optional={
        "identifiers": st.fixed_dictionaries({"id": st.sampled_from(["1", "2", 3])}) | TREES,
        "attributes": TREES,
        "name": TREES,
        "cio_relationships": TREES,
        "device": TREES,
        "primary": TREES,
        "secondary": TREES,
        "timestamp": TREES,
    },
)
PATHS = st.sampled_from(
    [
        ("PUT", "/api/v1/customers/1"),
        ("POST", "/api/v1/customers/1/events"),
        ("POST", "/api/v1/events"),
        ("PUT", "/api/v1/customers/1/devices"),
        ("POST", "/api/v1/merge_customers"),
        ("POST", "/api/v1/segments/1/add_customers"),
        ("POST", "/api/v2/batch"),
        ("POST", "/v1/customers"),
        ("POST", "/v1/customers/attributes"),
        ("POST", "/v1/objects"),
        ("POST", "/v1/exports/customers"),
        ("POST", "/v1/exports/deliveries"),
    ]
)
STEADY = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def any_api() -> Iterator[httpx.Client]:
    workspace = empty_workspace()
    workspace.segments[1] = Segment(1, "Manual", "manual", 1, 1)
    with serving(workspace) as client:
        yield client


def send(client: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    auth = (SITE, TRACK_KEY) if path.startswith("/api/") else None
    return client.request(method, path, json=body, auth=auth)


@STEADY
@given(PATHS, BODIES)
def test_any_body_gets_a_documented_answer(any_api: httpx.Client, path: tuple[str, str], body: Any) -> None:
    answer = send(any_api, *path, body)
    assert answer.status_code in (200, 207, 400, 404), (path, body, answer.text)
    assert isinstance(answer.json(), dict)


@STEADY
@given(OPERATIONS)
def test_any_operation_gets_a_documented_answer(any_api: httpx.Client, operation: Any) -> None:
    answer = send(any_api, "POST", "/api/v2/entity", operation)
    assert answer.status_code in (200, 400), (operation, answer.text)
    assert answer.json() == {} or answer.json()["errors"][0]["reason"]


@STEADY
@given(TREES)
def test_any_filter_gets_an_answer_or_a_refusal(any_api: httpx.Client, tree: Any) -> None:
    people = send(any_api, "POST", "/v1/customers", {"filter": tree})
    things = send(any_api, "POST", "/v1/objects", {"object_type_id": "1", "filter": tree})
    assert people.status_code in (200, 400), (tree, people.text)
    assert things.status_code in (200, 400), (tree, things.text)


@pytest.mark.parametrize("content", [b'{"filter": NaN}', b"{", b"[]", b'"x"', b"\xff\xfe", b'{"filter":'])
def test_a_body_that_is_no_object_is_refused(any_api: httpx.Client, content: bytes) -> None:
    answer = any_api.post("/v1/customers", content=content)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["status"] == "400"


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"and": []},
        {"and": {}},
        {"not": []},
        {"attribute": {"operator": "eq"}},
        {"attribute": {"field": "plan", "operator": "gt", "value": 1}},
        {"attribute": {"field": "plan", "operator": "eq"}},
        {"segment": {"id": 99}},
        {"segment": 1},
        {"moon": 1},
        {"and": [], "or": []},
    ],
)
def test_a_filter_outside_of_the_documented_language_is_refused(any_api: httpx.Client, node: Any) -> None:
    assert send(any_api, "POST", "/v1/customers", {"filter": node}).status_code == 400


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": "x"}, {"start": "%%%"}, {"start": "MDAwMDA6Y3Vyc29y"}])
def test_a_query_that_makes_no_sense_is_refused(any_api: httpx.Client, query: dict[str, str | int]) -> None:
    assert any_api.get("/v1/activities", params=query).status_code == 400
