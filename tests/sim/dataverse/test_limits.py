from __future__ import annotations

import threading

import httpx
import pytest

from .build import bulk, code, contact, message


def who(api: httpx.Client) -> httpx.Response:
    return api.get("WhoAmI")


@pytest.fixture
def virtual(control: httpx.Client) -> httpx.Client:
    control.post("clock", json={"virtual": True})
    return control


def test_too_many_requests_in_the_window(api: httpx.Client, virtual: httpx.Client) -> None:
    virtual.post("limits", json={"requests": 5})
    assert [who(api).status_code for _ in range(5)] == [200] * 5
    refused = who(api)
    assert (refused.status_code, code(refused)) == (429, "0x80072322")
    assert message(refused) == "Number of requests exceeded the limit of 5 over time window of 300 seconds."
    assert int(refused.headers["Retry-After"]) == 300


def test_after_the_wait_requests_are_welcome_again(api: httpx.Client, virtual: httpx.Client) -> None:
    virtual.post("limits", json={"requests": 5})
    for _ in range(5):
        who(api)
    wait = int(who(api).headers["Retry-After"])
    virtual.post("clock", json={"advance": wait})
    assert who(api).status_code == 200


def test_pushing_during_the_wait_makes_it_longer(api: httpx.Client, virtual: httpx.Client) -> None:
    virtual.post("limits", json={"requests": 2, "window_seconds": 50.0, "growth_seconds": 10.0})
    waits = [int(r.headers["Retry-After"]) for r in (who(api) for _ in range(5)) if r.status_code == 429]
    assert waits == [50, 60, 70]


def test_execution_time_is_counted_per_request_and_row(api: httpx.Client, virtual: httpx.Client) -> None:
    settings = {"execution_seconds": 1.0, "seconds_per_request": 0.1, "seconds_per_row": 0.01}
    virtual.post("limits", json=settings)
    assert bulk(api, "contacts", "contact", "CreateMultiple", [{"lastname": "n"}] * 90).status_code == 200
    refused = who(api)
    assert (refused.status_code, code(refused)) == (429, "0x80072321")
    assert message(refused).startswith(
        "Combined execution time of incoming requests exceeded limit of 1,000 milliseconds"
    )


def test_too_many_requests_at_once(api: httpx.Client, control: httpx.Client) -> None:
    control.post("limits", json={"concurrent": 2})
    delay = {"match": {"message": "WhoAmI"}, "action": {"verb": "commit_then_delay", "seconds": 0.3}}
    control.post("faults", json=[delay])
    found: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: found.append(who(api))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [response for response in found if response.status_code == 429]
    assert refused
    assert {code(response) for response in refused} == {"0x80072326"}
    assert message(refused[0]) == "Number of concurrent requests exceeded the limit of 2."
    assert sum(response.status_code == 200 for response in found) >= 2


def test_every_user_has_a_budget_of_their_own(api: httpx.Client, virtual: httpx.Client) -> None:
    virtual.post("limits", json={"requests": 1})
    assert [who(api).status_code for _ in range(2)] == [200, 429]
    token = virtual.post("users", json={"lastname": "Other", "token": True}).json()["token"]
    assert api.get("WhoAmI", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_published_values_are_in_force_by_default(control: httpx.Client) -> None:
    settings = control.post("limits", json={}).json()
    assert (settings["requests"], settings["execution_seconds"], settings["concurrent"]) == (6000, 1200.0, 52)
    assert settings["window_seconds"] == 300.0


def test_limits_can_be_switched_off(api: httpx.Client, control: httpx.Client) -> None:
    control.post("limits", json={"requests": 1, "enabled": False})
    assert [who(api).status_code for _ in range(3)] == [200] * 3


def test_a_throttled_write_commits_nothing(api: httpx.Client, virtual: httpx.Client) -> None:
    virtual.post("limits", json={"requests": 1})
    contact(api)
    assert api.post("contacts", json={"lastname": "late"}).status_code == 429
    assert len(virtual.get("rows/contact").json()) == 1


def test_requests_that_wait_for_the_store_count_as_running(api: httpx.Client, control: httpx.Client) -> None:
    control.post("limits", json={"concurrent": 3})
    rows = [{"lastname": "n"}] * 1500
    found: list[int] = []

    def load() -> None:
        found.append(bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 429 in found
    assert len(control.get("rows/contact").json()) == 1500 * found.count(200)


def test_the_journal_says_who_came_when(api: httpx.Client, virtual: httpx.Client) -> None:
    me = who(api).json()["UserId"]
    virtual.post("clock", json={"advance": 37})
    virtual.post("faults", json=[{"match": {}, "action": {"verb": "status", "code": 503}}])
    who(api)
    first, second = virtual.get("journal").json()
    assert (first["identity"], second["identity"]) == (me, me)
    assert second["elapsed"] - first["elapsed"] == pytest.approx(37)
