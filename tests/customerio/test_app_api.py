"""The App API client: shapes that the vendor documents and shapes that live workspaces show, and the real paging."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from cio2d365.customerio.app_api import AppApi
from cio2d365.errors import AuthorityError, RequestRejected, Transient
from cio2d365.sim.customerio import Workspace, create_app
from cio2d365.sim.sample import sample_workspace
from cio2d365.sim.serve import Listener, bind, running
from cio2d365.transport import Pace, Patience, Transport

KEY = "app-key"


class Answers:
    """Answers in turn, and what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def starts(self) -> list[str]:
        return [parse_qs(r.url.query.decode()).get("start", [""])[0] for r in self.asked]


def instant_pace() -> Pace:
    now = [0.0]
    return Pace(clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))


def api(answers: Callable[[httpx.Request], httpx.Response]) -> AppApi:
    link = Transport(
        "https://api.example", lambda _: f"Bearer {KEY}", pace=instant_pace(), client=httpx.MockTransport(answers)
    )
    return AppApi(link)


def page(rows: Sequence[Any] | None, next_: str | None = "") -> dict[str, Any]:
    return {"identifiers": rows, "next": next_}


def person(n: int) -> dict[str, str]:
    return {"id": str(n), "email": f"{n}@example.com", "cio_id": f"a{n}"}


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_are_followed_to_the_end() -> None:
    answers = Answers(page([person(1)], "A=="), page([person(2)], "b+/"), page([person(3)], None))
    assert [p["cio_id"] for p in api(answers).people()] == ["a1", "a2", "a3"]
    assert answers.starts() == ["", "A==", "b+/"]


def test_an_empty_page_with_a_next_token_is_not_the_end() -> None:
    answers = Answers(page([person(1)], "x"), page([], "y"), page(None, "z"), page([person(2)], ""))
    assert [p["cio_id"] for p in api(answers).people()] == ["a1", "a2"]


def test_three_empty_pages_are_the_end() -> None:
    answers = Answers(page([person(1)], "x"), page([], "y"), page([], "z"), page([], "w"), page([person(2)]))
    assert [p["cio_id"] for p in api(answers).people()] == ["a1"]
    assert len(answers.asked) == 4


def test_a_token_that_comes_twice_is_the_end() -> None:
    answers = Answers(page([person(1)], "x"), page([person(2)], "x"), page([person(3)]))
    assert [p["cio_id"] for p in api(answers).people()] == ["a1", "a2"]


def test_somebody_who_stands_on_two_pages_is_one_person() -> None:
    answers = Answers(page([person(1), person(2)], "x"), page([person(2), person(3)]))
    assert [p["cio_id"] for p in api(answers).people()] == ["a1", "a2", "a3"]


def test_ids_that_come_as_numbers_are_told_apart_too() -> None:
    rows = [{"id": 1}, {"id": 1}, {"id": 2}]
    assert len(list(api(Answers({"activities": rows})).activities("event"))) == 2


def test_a_page_that_is_not_json_is_asked_for_again_and_never_ends_a_list() -> None:
    broken = httpx.Response(200, content=b'{"identifiers": [{"id"')
    answers = Answers(page([person(1)], "x"), broken, page([person(2)]))
    assert [p["cio_id"] for p in api(answers).people()] == ["a1", "a2"]
    with pytest.raises(Transient, match="three times"):
        list(api(Answers(page([person(1)], "x"), *[httpx.Response(200, content=b"<html>")] * 3)).people())


def test_a_page_that_fails_for_good_is_an_error_not_an_end() -> None:
    refused = httpx.Response(400, json={"errors": [{"detail": "bad start", "status": "400"}]})
    with pytest.raises(RequestRejected, match=r"POST /v1/customers: status 400 .*bad start"):
        list(api(Answers(page([person(1)], "x"), refused)).people())


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [True, False])
def test_people_come_wrapped_or_not(wrapped: bool) -> None:
    rows = [{"id": "a1", "attributes": {"plan": "x"}}]
    answers = Answers({"customers": [{"customer": r} for r in rows] if wrapped else rows})
    assert list(api(answers).attributes(["a1"])) == rows


def test_people_are_asked_for_by_the_hundred_and_by_cio_id() -> None:
    answers = Answers(*[{"customers": []}] * 3)
    assert list(api(answers).attributes(f"a{n}" for n in range(250))) == []
    assert [len(json.loads(r.content)["ids"]) for r in answers.asked] == [100, 100, 50]
    assert {r.url.query for r in answers.asked} == {b"id_type=cio_id"}


@pytest.mark.parametrize(
    ("object_id", "path"),
    [("a+b@c.example", b"a%2Bb%40c.example"), ("a/b", b"a%2Fb"), ("50%", b"50%25"), ("a b?c#d", b"a%20b%3Fc%23d"),
     ("../x", b"..%2Fx"), ("é", b"%C3%A9")],
)  # fmt: skip
def test_ids_in_paths_are_encoded_whole(object_id: str, path: bytes) -> None:
    answers = Answers({"object": {"attributes": {}}})
    api(answers).object_attributes("1", object_id)
    assert answers.asked[0].url.raw_path == b"/v1/objects/1/" + path + b"/attributes"


def test_an_object_that_is_gone_meanwhile_is_none_and_its_people_are_nobody() -> None:
    gone = httpx.Response(404, json={"errors": [{"detail": "not found", "status": "404"}]})
    assert api(Answers(gone)).object_attributes("1", "x") is None
    assert list(api(Answers(gone)).people_of("1", "x")) == []
    with pytest.raises(RequestRejected, match="404"):
        api(Answers(gone)).value("segment_count", id="1")


def test_a_key_without_the_scope_is_said_to_be_one() -> None:
    with pytest.raises(AuthorityError, match="lacks the scope"):
        api(Answers(httpx.Response(403, json={"errors": []}))).workspaces()


def test_a_wrong_key_is_an_authority_error_without_the_key() -> None:
    with pytest.raises(AuthorityError) as caught:
        api(Answers(*[httpx.Response(401, json={"errors": []})] * 2)).workspaces()
    assert KEY not in str(caught.value)


# --- a workspace over HTTP --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return sample_workspace()


@pytest.fixture(scope="module")
def origin(workspace: Workspace) -> Iterator[str]:
    app = create_app(workspace=workspace, app_api_key=KEY, site_id="s", track_api_key="t")
    listener = Listener(app, bind(0))
    with running([[listener]], threading.Event()):
        yield listener.url


@pytest.fixture
def live(origin: str) -> Iterator[AppApi]:
    httpx.delete(f"{origin}/_control/faults")
    httpx.post(f"{origin}/_control/settings", json={"requests_per_second": 0}).raise_for_status()
    with Transport(origin, lambda _: f"Bearer {KEY}", pace=instant_pace(), patience=Patience(), timeout=5) as link:
        yield AppApi(link)


def fault(origin: str, action: dict[str, Any], **match: Any) -> None:
    body = {"seed": 1, "rules": [{"match": match, "action": action}]}
    httpx.post(f"{origin}/_control/faults", json=body).raise_for_status()


def test_everybody_is_found_and_everybody_has_attributes(live: AppApi, workspace: Workspace) -> None:
    people = list(live.people())
    assert len(people) == len(workspace.people)
    first = [p["cio_id"] for p in people[:250]]
    rows = list(live.attributes(first))
    assert {r["identifiers"]["cio_id"] for r in rows} == set(first)


@pytest.mark.parametrize(
    "action",
    [
        {"verb": "status", "code": 429, "headers": {"Retry-After": "3"}, "body": "{}"},
        {"verb": "status", "code": 502, "body": "<html>Bad Gateway</html>"},
        {"verb": "truncate_after", "bytes": 40},
        {"verb": "reset_after", "bytes": 40},
        {"verb": "corrupt_gzip"},
        {"verb": "body", "text": '{"identifiers": [{"id"', "content_type": "application/json"},
        {"verb": "commit_then_drop"},
    ],
    ids=lambda a: f"{a['verb']} {a.get('code', '')}".strip(),
)
def test_disturbed_pages_give_the_same_people(
    live: AppApi, origin: str, workspace: Workspace, action: dict[str, Any]
) -> None:
    fault(origin, action, path="/v1/customers", every=2)
    assert len({p["cio_id"] for p in live.people()}) == len(workspace.people)


def test_the_limit_of_the_workspace_is_kept_by_waiting(origin: str, live: AppApi) -> None:
    httpx.post(f"{origin}/_control/settings", json={"requests_per_second": 10}).raise_for_status()
    with Transport(origin, lambda _: f"Bearer {KEY}", pace=Pace(200)) as link:
        for _ in range(15):
            assert AppApi(link).workspaces()
    assert link.traffic.throttled > 0
    assert link.traffic.requests == 15 + link.traffic.throttled
