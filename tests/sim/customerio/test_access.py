"""Keys, scopes, pace, faults and the control API."""

import time
from collections.abc import Iterator

import httpx
import pytest

from cio2d365.sim.customerio.pace import Window
from cio2d365.sim.sample import empty_workspace

from .conftest import SITE, TRACK_KEY, fresh, serving


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with serving(empty_workspace()) as client:
        yield client


@pytest.fixture
def calm(server: httpx.Client) -> httpx.Client:
    return fresh(server)


def test_a_wrong_key_is_refused_with_the_status_as_text(calm: httpx.Client) -> None:
    answer = calm.get("/v1/workspaces", headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["status"] == "401"


def test_the_track_key_does_not_open_the_app_api_and_the_reverse(calm: httpx.Client) -> None:
    assert calm.get("/v1/workspaces", headers={"authorization": f"Bearer {TRACK_KEY}"}).status_code == 401
    assert calm.get("/api/v1/accounts/region").status_code == 401
    assert calm.get("/api/v1/accounts/region", auth=(SITE, TRACK_KEY)).json()["region"] == "us"


def test_a_scope_can_be_taken_away(calm: httpx.Client) -> None:
    calm.post("/_control/settings", json={"denied": ["/v1/messages"]})
    assert calm.get("/v1/messages").status_code == 403
    assert calm.get("/v1/segments").status_code == 200


def test_an_unknown_path_is_not_found(calm: httpx.Client) -> None:
    assert calm.get("/v1/nothing").json() == {"errors": [{"detail": "not found", "status": "404"}]}


def test_the_eleventh_request_of_a_second_is_refused_with_the_documented_answer() -> None:
    with serving(empty_workspace(), limited=True) as client:
        answers = [client.get("/v1/info/ip_addresses") for _ in range(11)]
    assert [answer.status_code for answer in answers[:10]] == [200] * 10
    refused = answers[10]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["errors"][0]["detail"].startswith("rate limited to 10 requests per 1s (reference ")


def test_retry_after_can_be_left_out() -> None:
    with serving(empty_workspace(), limited=True) as client:
        client.post("/_control/settings", json={"retry_after": False, "requests_per_second": 1})
        client.get("/v1/info/ip_addresses")
        refused = client.get("/v1/info/ip_addresses")
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers


def test_a_window_never_refuses_a_client_that_paces_itself() -> None:
    window = Window(10)
    arrivals = [100 + 0.1 * n - (0.04 if n % 3 == 0 else 0.0) for n in range(200)]
    assert all(window.admits(moment) for moment in arrivals)


def test_a_window_admits_ten_in_any_second_and_refusals_do_not_count() -> None:
    window = Window(10)
    admitted = [moment for moment in (100 + 0.01 * n for n in range(300)) if window.admits(moment)]
    assert len(admitted) == 40
    assert all(later - earlier >= 0.94 for earlier, later in zip(admitted, admitted[10:], strict=False))


def fault(client: httpx.Client, action: dict[str, object], **match: object) -> None:
    plan = {"seed": 1, "rules": [{"match": match, "action": action}]}
    assert client.post("/_control/faults", json=plan).status_code == 200


def write(client: httpx.Client, id: str) -> httpx.Response:
    return client.put(f"/api/v1/customers/{id}", json={"plan": "a"}, auth=(SITE, TRACK_KEY))


def people(client: httpx.Client) -> int:
    return int(client.get("/_control/totals").json()["people"])


def test_status_answers_without_touching_the_store(calm: httpx.Client) -> None:
    fault(calm, {"verb": "status", "code": 503, "headers": {"retry-after": "2"}}, nth=1)
    refused = write(calm, "1")
    assert (refused.status_code, refused.headers["retry-after"], people(calm)) == (503, "2", 0)
    assert write(calm, "1").status_code == 200
    assert people(calm) == 1


@pytest.mark.parametrize(("verb", "committed"), [("commit_then_drop", 1), ("drop_before_commit", 0)])
def test_a_dropped_connection_has_no_answer_and_the_journal_says_what_happened(
    calm: httpx.Client, verb: str, committed: int
) -> None:
    fault(calm, {"verb": verb}, method="PUT")
    with pytest.raises(httpx.RemoteProtocolError):
        write(calm, "1")
    assert people(calm) == committed
    entry = calm.get("/_control/journal").json()["entries"][-1]
    assert (entry["status"], entry["fault"], entry["committed"]) == (None, verb, bool(committed))


def test_commit_then_status_commits_and_says_otherwise(calm: httpx.Client) -> None:
    fault(calm, {"verb": "commit_then_status", "code": 500}, method="PUT")
    assert write(calm, "1").status_code == 500
    assert people(calm) == 1


@pytest.mark.parametrize(
    ("verb", "error"), [("truncate_after", httpx.RemoteProtocolError), ("reset_after", httpx.ReadError)]
)
def test_a_body_can_end_early_after_real_headers(
    calm: httpx.Client, verb: str, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    fault(calm, {"verb": verb, "bytes": 5}, path="/v1/")
    with calm.stream("GET", "/v1/info/ip_addresses") as answer:
        assert answer.status_code == 200
        assert int(answer.headers["content-length"]) > 5
        with pytest.raises(error):
            answer.read()
    assert caplog.records == []


def test_a_body_can_be_replaced(calm: httpx.Client) -> None:
    fault(calm, {"verb": "body", "text": "<html>", "content_type": "text/html"}, times=1)
    answer = calm.get("/v1/info/ip_addresses")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "<html>", "text/html")
    assert calm.get("/v1/info/ip_addresses").json()["ip_addresses"]


def test_a_damaged_gzip_cannot_be_decoded(calm: httpx.Client) -> None:
    fault(calm, {"verb": "corrupt_gzip"})
    with pytest.raises(httpx.DecodingError):
        calm.get("/v1/info/ip_addresses")


def test_slow_and_late_answers_take_their_time_and_are_whole(calm: httpx.Client) -> None:
    for action in ({"verb": "slow", "bytes_per_second": 400}, {"verb": "commit_then_delay", "seconds": 0.1}):
        fault(calm, action)
        began = time.monotonic()
        assert calm.get("/v1/info/ip_addresses").json()["ip_addresses"]
        assert time.monotonic() - began >= 0.1


def test_a_delay_outlasts_an_impatient_client(calm: httpx.Client) -> None:
    fault(calm, {"verb": "delay", "seconds": 1})
    with pytest.raises(httpx.ReadTimeout):
        calm.get("/v1/info/ip_addresses", timeout=0.1)


def test_every_third_and_a_seeded_chance_repeat_exactly(calm: httpx.Client) -> None:
    def story(**match: object) -> list[int]:
        fault(calm, {"verb": "status", "code": 500}, **match)
        return [calm.get("/v1/info/ip_addresses").status_code for _ in range(9)]

    assert story(every=3) == [200, 200, 500] * 3
    first = story(probability=0.5)
    assert story(probability=0.5) == first
    assert set(first) == {200, 500}


@pytest.mark.parametrize(
    "plan",
    [
        [],
        {"rules": [{"match": {"moon": "full"}, "action": {"verb": "commit_then_drop"}}]},
        {"rules": [{"match": {}, "action": {"verb": "explode"}}]},
        {"rules": [{"match": {}, "action": {"verb": "status"}}]},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(calm: httpx.Client, plan: object) -> None:
    answer = calm.post("/_control/faults", json=plan)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_journal_keeps_arrivals_in_order_and_counts_by_endpoint(calm: httpx.Client) -> None:
    calm.get("/v1/segments/7/membership")
    calm.get("/v1/segments")
    entries = calm.get("/_control/journal").json()["entries"]
    assert [entry["endpoint"] for entry in entries[-2:]] == ["/v1/segments/{segment_id}/membership", "/v1/segments"]
    assert entries[-2]["arrived"] <= entries[-1]["arrived"]
    assert all(entry["authorized"] for entry in entries[-2:])
    counts = calm.get("/_control/counts").json()["endpoints"]
    assert counts["GET /v1/segments/{segment_id}/membership"] == {"404": 1}
    assert calm.get("/_control/journal", params={"since": entries[-2]["seq"]}).json()["entries"] == [entries[-1]]


def test_an_unknown_setting_is_refused_by_name(calm: httpx.Client) -> None:
    assert "requests_per_minute" in calm.post("/_control/settings", json={"requests_per_minute": 1}).json()["error"]
    assert calm.post("/_control/settings", json={"retry_after": "yes"}).status_code == 400


def test_a_reset_brings_back_the_start(calm: httpx.Client) -> None:
    write(calm, "1")
    calm.post("/_control/clock", json={"now": 5})
    calm.post("/_control/reset")
    assert people(calm) == 0
    assert calm.get("/_control/clock").json()["fixed"] is False
    assert calm.get("/_control/journal").json() == {"total": 0, "forgotten": 0, "entries": []}


def test_an_address_as_id_type_is_refused_where_the_workspace_does_not_use_it(calm: httpx.Client) -> None:
    calm.post("/_control/settings", json={"email_identifies": False})
    path = "/v1/customers/a%40b.example/attributes"
    assert calm.get(path, params={"id_type": "email"}).status_code == 400
    assert calm.get(path, params={"id_type": "phone"}).status_code == 400
