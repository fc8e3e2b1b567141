from __future__ import annotations

import uuid
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from .build import CLIENT, SECRET, TENANT, bulk, code, column, contact, key, message, table
from .serving import NO_TLS
from .test_batch import part, send


def plan(control: httpx.Client, action: dict[str, Any], **match: Any) -> None:
    response = control.post("faults", json={"seed": 3, "rules": [{"match": match, "action": action}]})
    assert response.status_code == 200, response.text


def upsert(api: httpx.Client, number: int = 3, **more: Any) -> httpx.Response:
    rows = [{"contactid": str(uuid.uuid4()), "lastname": f"n{at}", **more} for at in range(number)]
    return bulk(api, "contacts", "contact", "UpsertMultiple", rows)


def stored(control: httpx.Client) -> int:
    return len(control.get("rows/contact").json())


def test_a_status_answers_without_touching_the_store(api: httpx.Client, control: httpx.Client) -> None:
    action = {
        "verb": "status",
        "code": 429,
        "headers": {"Retry-After": "37"},
        "error_code": "0x80072322",
        "message": "m",
    }
    plan(control, action, message="UpsertMultiple", every=2)
    assert [upsert(api).status_code for _ in range(4)] == [204, 429, 204, 429]
    refused = upsert(api), upsert(api)
    assert (refused[1].headers["Retry-After"], code(refused[1])) == ("37", "0x80072322")
    assert stored(control) == 9


def test_an_html_page_as_a_gateway_sends_it(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "status", "code": 502, "body": "<html>Bad Gateway</html>"}, nth=1)
    response = upsert(api)
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html")


def test_commit_then_drop_commits_and_says_nothing(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "commit_then_drop"}, message="UpsertMultiple", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        upsert(api)
    assert stored(control) == 3
    entry = control.get("journal").json()[-1]
    assert (entry["status"], entry["fault"], entry["committed"]) == (0, "commit_then_drop", {"contact": {"created": 3}})
    assert upsert(api).status_code == 204


def test_drop_before_commit_commits_nothing(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "drop_before_commit"}, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        upsert(api)
    assert stored(control) == 0


def test_commit_then_delay_outlasts_the_client(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "commit_then_delay", "seconds": 0.5})
    with pytest.raises(httpx.ReadTimeout):
        api.post("contacts", json={"lastname": "n"}, timeout=0.2)
    assert stored(control) == 1


def test_commit_then_status(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "commit_then_status", "code": 504})
    assert (upsert(api).status_code, stored(control)) == (504, 3)


def test_a_batch_can_break_in_the_middle(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "commit_then_status", "code": 504, "parts": 2}, message="Batch")
    parts = [part("POST", "contacts", {"lastname": f"n{number}"}) for number in range(5)]
    assert send(api, *parts).status_code == 504
    assert stored(control) == 2


@pytest.mark.parametrize(
    ("verb", "error"), [("reset_after", httpx.TransportError), ("truncate_after", httpx.RemoteProtocolError)]
)
def test_answers_are_cut(api: httpx.Client, control: httpx.Client, verb: str, error: type[Exception]) -> None:
    upsert(api, 20)
    plan(control, {"verb": verb, "bytes": 64}, message="Read")
    with pytest.raises(error):
        api.get("contacts")


def test_bodies_are_replaced_corrupted_and_dripped(api: httpx.Client, control: httpx.Client) -> None:
    contact(api)
    plan(control, {"verb": "body", "content": "<html>", "content_type": "application/json"})
    assert api.get("contacts").text == "<html>"
    plan(control, {"verb": "corrupt_gzip"})
    with pytest.raises(httpx.DecodingError):
        api.get("contacts")
    plan(control, {"verb": "slow", "bytes_per_s": 20_000})
    assert len(api.get("contacts").json()["value"]) == 1


def test_a_request_with_a_poisoned_record_fails_as_a_whole(api: httpx.Client, control: httpx.Client) -> None:
    action = {"verb": "reject", "code": "0x80040265", "message": "plug-in says no"}
    plan(control, action, record={"column": "lastname", "matches": "^bad"})
    refused = bulk(
        api,
        "contacts",
        "contact",
        "UpsertMultiple",
        [{"contactid": str(uuid.uuid4()), "lastname": name} for name in ("good", "bad one")],
    )
    assert (refused.status_code, code(refused), message(refused)) == (400, "0x80040265", "plug-in says no")
    assert stored(control) == 0
    assert upsert(api).status_code == 204


def test_large_chunks_time_out(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "status", "code": 500, "error_code": "0x80044151"}, rows_over=250)
    assert [upsert(api, number).status_code for number in (250, 251)] == [204, 500]


def test_a_window_in_virtual_time(api: httpx.Client, control: httpx.Client) -> None:
    control.post("clock", json={"virtual": True})
    plan(control, {"verb": "status", "code": 503}, window=[10, 20])
    seen = []
    for _ in range(3):
        seen.append(api.get("WhoAmI").status_code)
        control.post("clock", json={"advance": 10})
    assert seen == [200, 503, 200]


def test_the_same_seed_gives_the_same_faults(api: httpx.Client, control: httpx.Client) -> None:
    def run() -> list[int]:
        plan(control, {"verb": "status", "code": 503}, probability=0.5)
        return [api.get("WhoAmI").status_code for _ in range(30)]

    first = run()
    assert first == run()
    assert {200, 503} == set(first)


def test_a_revoked_privilege_is_named(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "revoke_privilege", "table": "contact", "right": "Create"}, nth=2)
    assert upsert(api).status_code == 204
    refused = upsert(api)
    assert (refused.status_code, code(refused)) == (403, "0x80040220")
    assert "is missing prvCreateContact privilege" in message(refused)
    assert api.post("leads", json={"lastname": "other tables go on"}).status_code == 204
    assert api.get("contacts").status_code == 200


def test_tokens_expire_in_mid_run(api: httpx.Client, control: httpx.Client) -> None:
    token = control.post("tokens", json={}).json()["token"]
    api.headers["Authorization"] = f"Bearer {token}"
    plan(control, {"verb": "expire_tokens"}, nth=2)
    assert [api.get("WhoAmI").status_code for _ in range(3)] == [200, 401, 401]


def test_a_key_can_be_made_to_fail(api: httpx.Client, control: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_id")
    plan(control, {"verb": "key_status", "path": ["Pending", "Pending", "Failed"]}, path="Keys", method="POST")
    key(api, "cio_id", active=False)
    url = "EntityDefinitions(LogicalName='cio_event')/Keys?$select=EntityKeyIndexStatus"
    found = [api.get(url).json()["value"][0]["EntityKeyIndexStatus"] for _ in range(4)]
    assert found == ["Pending", "Pending", "Failed", "Failed"]


def test_the_server_clock_can_be_wrong(api: httpx.Client, control: httpx.Client) -> None:
    control.post("clock", json={"skew": 600})
    moment = parsedate_to_datetime(api.get("WhoAmI").headers["Date"]).timestamp()
    assert moment - control.get("journal").json()[-1]["arrived"] > 590


@pytest.mark.parametrize(
    "rules",
    [[{"match": {"tabel": "x"}, "action": {"verb": "status"}}], [{"match": {}, "action": {"verb": "explode"}}], 5],
)
def test_a_plan_that_cannot_be_meant_is_refused(control: httpx.Client, rules: Any) -> None:
    assert control.post("faults", json=rules).status_code == 400


def test_faults_are_counted_and_cleared(api: httpx.Client, control: httpx.Client) -> None:
    plan(control, {"verb": "status", "code": 503}, nth=[2, 3])
    assert [api.get("WhoAmI").status_code for _ in range(4)] == [200, 503, 503, 200]
    assert [(rule["seen"], rule["fired"]) for rule in control.get("faults").json()] == [(4, 2)]
    control.delete("faults")
    assert control.get("faults").json() == []


def test_new_components_are_late_from_a_moment_of_the_run_on(api: httpx.Client, control: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_early")
    for _ in range(3):
        api.get("WhoAmI")
    plan(control, {"verb": "metadata_lag", "requests": 3}, path="Attributes", method="POST", nth=1)
    column(api, "String", "cio_late")
    assert api.post("cio_events", json={"cio_early": "x"}).status_code == 204
    assert [api.post("cio_events", json={"cio_late": "x"}).status_code for _ in range(4)] == [400, 400, 204, 204]


def test_a_secret_is_rotated_when_it_is_next_used(origin: str, control: httpx.Client) -> None:
    url = f"{origin}/{TENANT}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "client_id": CLIENT, "scope": f"{origin}/.default"}
    plan(control, {"verb": "rotate_secret", "secret": "second"}, message="Token", nth=2)

    def sign_in(secret: str) -> int:
        return httpx.post(url, data={**form, "client_secret": secret}, timeout=20, verify=NO_TLS).status_code

    assert [sign_in(SECRET), sign_in(SECRET), sign_in(SECRET), sign_in("second")] == [200, 401, 401, 200]


def test_the_clock_jumps_in_mid_run(api: httpx.Client, control: httpx.Client) -> None:
    def shown() -> float:
        return parsedate_to_datetime(api.get("WhoAmI").headers["Date"]).timestamp()

    control.post("clock", json={"virtual": True})
    plan(control, {"verb": "clock", "skew": 100, "jump": 3500}, message="WhoAmI", nth=2)
    first, second, third = shown(), shown(), shown()
    assert (second - first, third - second) == (3600, 0)


def test_a_dripped_answer_comes_in_pieces_and_a_broken_one_says_gzip(api: httpx.Client, control: httpx.Client) -> None:
    contact(api)
    plan(control, {"verb": "slow", "bytes_per_s": 10_000}, message="Read")
    with api.stream("GET", "contacts") as response:
        pieces = list(response.iter_raw())
    assert len(pieces) > 1
    plan(control, {"verb": "corrupt_gzip"}, message="Read")
    with api.stream("GET", "contacts") as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["Content-Encoding"] == "gzip"
    assert raw.startswith(b"\x1f\x8b")


def test_a_cut_answer_announces_its_whole_length(api: httpx.Client, control: httpx.Client) -> None:
    contact(api)
    whole = len(api.get("contacts").content)
    for verb, error in (("truncate_after", httpx.RemoteProtocolError), ("reset_after", httpx.ReadError)):
        plan(control, {"verb": verb, "bytes": 40}, message="Read")
        got = b""
        with api.stream("GET", "contacts") as response, pytest.raises(error):  # noqa: PT012
            for piece in response.iter_raw():
                got += piece
        assert (int(response.headers["Content-Length"]), len(got)) == (whole, 40)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"message": ["Read", "Create"]}, [503, 503, 200]),
        ({"method": "POST"}, [200, 503, 200]),
        ({"table": "contact"}, [503, 503, 200]),
        ({"table": "lead"}, [200, 204, 200]),
        ({"path": "^Who"}, [200, 204, 503]),
        ({"record": {"column": "lastname", "equals": "Bell"}}, [200, 503, 200]),
        ({"record": {"column": "lastname", "equals": "Cole"}}, [200, 204, 200]),
        ({"rows_over": 0}, [200, 503, 200]),
        ({"nth": [1, 3]}, [503, 204, 503]),
        ({"every": 2}, [200, 503, 200]),
        ({"times": 1}, [503, 204, 200]),
        ({"probability": 1.0}, [503, 503, 503]),
        ({"probability": 0.0}, [200, 204, 200]),
        ({"message": "Create", "table": "contact", "nth": 1}, [200, 503, 200]),
    ],
)
def test_what_a_rule_can_ask_of_a_request(
    api: httpx.Client, control: httpx.Client, match: dict[str, Any], expected: list[int]
) -> None:
    plan(control, {"verb": "status", "code": 503}, **match)
    answers = [api.get("contacts"), api.post("contacts", json={"lastname": "Bell"}), api.get("WhoAmI")]
    assert [answer.status_code for answer in answers] == expected
