"""People sign in by code or browser, stay signed in, and are told when they have to do it again."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msal
import pytest

from cio2d365.dataverse import auth
from cio2d365.dataverse.authority import Directory
from cio2d365.dataverse.receiver import LONGEST_BODY, Receiver
from cio2d365.dataverse.sign_in import by_browser, by_device_code
from cio2d365.errors import AuthorityError, SettingsError
from tests.dataverse.browser import address_in, visit
from tests.dataverse.directory import CLIENT, TENANT, Simulated, connected
from tests.migrate.world import Instant

AGAIN = "run the command again"
DENIED = {"verb": "status", "code": 400}


@pytest.fixture
def cache() -> msal.TokenCache:
    return msal.SerializableTokenCache()


def by_code(simulated: Simulated, cache: msal.TokenCache, told: list[str], time: Instant | None = None) -> str:
    clock = time or Instant()
    return by_device_code(simulated.directory, CLIENT, cache, told.append, again=AGAIN, sleep=clock.sleep)


def in_browser(simulated: Simulated, cache: msal.TokenCache, browse: Callable[[str], object], **more: Any) -> str:
    told: list[str] = more.pop("told", [])
    return by_browser(simulated.directory, CLIENT, cache, told.append, again=AGAIN, browse=browse, **more)


def full_name(simulated: Simulated, cache: msal.TokenCache) -> str:
    with connected(simulated.origin, auth.person(simulated.directory, CLIENT, cache, AGAIN)) as client:
        return str(client.value(f"systemusers({client.who_am_i().user_id})")["fullname"])


# --- by code ----------------------------------------------------------------------------------------------------------


def test_a_code_signs_a_person_in_who_then_needs_no_other(simulated: Simulated, cache: msal.TokenCache) -> None:
    told: list[str] = []
    assert by_code(simulated, cache, told).startswith("ada.")
    (text,) = told
    assert text.startswith(f"To sign in to {simulated.origin}, open {simulated.origin}/devicelogin and enter ")
    assert text.endswith("within 15 minutes.")
    assert full_name(simulated, cache) == "Ada Analyst"
    assert simulated.seen("/devicecode") == 1


def test_the_code_is_waited_for(simulated: Simulated, cache: msal.TokenCache) -> None:
    simulated.set("sign_in", device="wait")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            simulated.set("sign_in", device="approve")

    assert by_device_code(simulated.directory, CLIENT, cache, lambda _: None, sleep=sleep)
    assert slept == [1, 1, 1]


def test_a_name_cannot_play_with_the_terminal(simulated: Simulated, cache: msal.TokenCache) -> None:
    mail = "\x1b[2Jeve\r\n@contoso.com"
    eve = simulated.set("users", lastname="Eve", internalemailaddress=mail)["systemuserid"]
    simulated.set("sign_in", user=eve)
    assert by_code(simulated, cache, []) == "[2Jeve@contoso.com"


def test_a_declined_code_is_said_to_be_declined(simulated: Simulated, cache: msal.TokenCache) -> None:
    simulated.set("sign_in", device="decline")
    with pytest.raises(AuthorityError, match=r"the sign-in was declined \(authorization_declined"):
        by_code(simulated, cache, [])


def test_a_code_that_nobody_enters_ends_the_waiting(simulated: Simulated, cache: msal.TokenCache) -> None:
    simulated.set("sign_in", device="wait")
    simulated.set("clock", virtual=True)
    with pytest.raises(AuthorityError, match=f"not entered in time; {AGAIN}"):
        by_device_code(
            simulated.directory,
            CLIENT,
            cache,
            lambda _: None,
            again=AGAIN,
            sleep=lambda _: simulated.set("clock", advance=400),
        )


def test_the_waiting_ends_also_when_the_authority_never_says_so(simulated: Simulated, cache: msal.TokenCache) -> None:
    time = Instant()
    simulated.fault({**DENIED, "body": {"error": "slow_down"}}, message="Token")
    with pytest.raises(AuthorityError, match="not entered in time"):
        by_code(simulated, cache, [], time)
    assert time.slept[:3] == [6, 11, 16]
    assert 900 <= sum(time.slept) < 1000


def test_an_application_closed_to_people_is_named(simulated: Simulated, cache: msal.TokenCache) -> None:
    simulated.fault({**DENIED, "code": 401, "body": {"error": "invalid_client"}}, message="Token")
    with pytest.raises(AuthorityError, match="allow public client flows"):
        by_code(simulated, cache, [])


def test_an_unknown_application_gets_no_code(simulated: Simulated, cache: msal.TokenCache) -> None:
    told: list[str] = []
    with pytest.raises(AuthorityError, match="application other is not known in tenant t"):
        by_device_code(simulated.directory, "other", cache, told.append)
    assert told == []


# --- in a browser -----------------------------------------------------------------------------------------------------


def test_the_page_in_the_browser_signs_a_person_in(simulated: Simulated, cache: msal.TokenCache) -> None:
    pages: list[str] = []

    def browse(page: str) -> None:
        pages.append(page)
        assert "You can close this page" in visit(page).text

    told: list[str] = []
    assert in_browser(simulated, cache, browse, told=told).startswith("ada.")
    assert address_in(told[0]) == pages[0]
    query = parse_qs(urlsplit(pages[0]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert urlsplit(query["redirect_uri"][0]).hostname == "localhost"
    assert full_name(simulated, cache) == "Ada Analyst"


def test_without_a_browser_the_told_address_is_enough(simulated: Simulated, cache: msal.TokenCache) -> None:
    told: list[str] = []

    def browse(_: str) -> None:
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(visit, address_in(told[0])).result()
        raise webbrowser.Error("no browser here")

    assert in_browser(simulated, cache, browse, told=told)


def test_an_answer_of_somebody_else_is_turned_away_and_waited_past(
    simulated: Simulated, cache: msal.TokenCache
) -> None:
    def browse(page: str) -> None:
        for wrong in ({"state": "guessed"}, {"state": ""}, {"state": "é"}):
            assert visit(page, **wrong).status_code == 400
        visit(page)

    assert in_browser(simulated, cache, browse).startswith("ada.")


def test_a_caught_code_of_another_sign_in_is_not_accepted(simulated: Simulated, cache: msal.TokenCache) -> None:
    with pytest.raises(AuthorityError, match=f"has expired or was withdrawn; {AGAIN}"):
        in_browser(simulated, cache, lambda page: visit(page, code="stolen"))


def test_a_person_may_decline(simulated: Simulated, cache: msal.TokenCache) -> None:
    simulated.set("sign_in", browser="decline")
    with pytest.raises(AuthorityError, match=r"declined \(access_denied\)"):
        in_browser(simulated, cache, visit)


def test_nobody_in_the_browser_ends_the_waiting(simulated: Simulated, cache: msal.TokenCache) -> None:
    with pytest.raises(AuthorityError, match=f"nobody signed in to .* within 0 seconds; {AGAIN}"):
        in_browser(simulated, cache, lambda _: None, seconds=0.01)


def test_the_receiver_takes_one_kind_of_request_of_modest_size() -> None:
    with Receiver() as receiver:
        receiver.expect("right")
        address = receiver.address
        assert httpx.get(address).status_code == 501
        assert httpx.post(address, data={"state": "right", "x": "x" * LONGEST_BODY}).status_code == 400
        assert receiver.wait(0.01) is None
        assert httpx.post(address, data={"state": "right", "code": "1"}).status_code == 200
        assert receiver.wait(5) == {"state": "right", "code": "1"}


def test_before_a_sign_in_has_begun_nothing_is_taken() -> None:
    with Receiver() as receiver:
        assert httpx.post(receiver.address, data={"state": "", "code": "1"}).status_code == 400


# --- staying signed in ------------------------------------------------------------------------------------------------


def test_nobody_signed_in_names_what_to_do(simulated: Simulated, cache: msal.TokenCache) -> None:
    with pytest.raises(SettingsError, match=f"nobody is signed in to {simulated.origin}; {AGAIN}"):
        auth.person(simulated.directory, CLIENT, cache, AGAIN)("")
    assert simulated.seen("/token") == 0


def test_one_refusal_of_many_workers_brings_one_refresh(simulated: Simulated, cache: msal.TokenCache) -> None:
    by_code(simulated, cache, [])
    with (
        connected(simulated.origin, auth.person(simulated.directory, CLIENT, cache, AGAIN)) as client,
        ThreadPoolExecutor(8) as workers,
    ):
        who = client.who_am_i()
        before = simulated.seen("/token")
        simulated.fault({"verb": "expire_tokens"}, method="GET", nth=1)
        assert set(workers.map(lambda _: client.who_am_i(), range(24))) == {who}
    assert simulated.seen("/token") == before + 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("invalid_grant", "has expired or was withdrawn"),
        ("interaction_required", "a rule of the tenant asks for a new sign-in"),
        ("consent_required", "an administrator has to let application c"),
    ],
)
def test_a_refused_refresh_says_what_to_do(
    simulated: Simulated, cache: msal.TokenCache, error: str, words: str
) -> None:
    by_code(simulated, cache, [])
    authorize = auth.person(simulated.directory, CLIENT, cache, AGAIN)
    header = authorize("")
    simulated.set("sign_in", refresh=error)
    with pytest.raises(AuthorityError, match=words) as caught:
        authorize(header)
    assert f"({error}, AADSTS50076)" in str(caught.value)
    assert (AGAIN in str(caught.value)) == (error != "consent_required")


def test_neither_codes_nor_tokens_reach_a_log(
    simulated: Simulated, cache: msal.TokenCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told: list[str] = []
    by_code(simulated, cache, told)
    in_browser(simulated, cache, visit, told=told)
    user_code = told[0].split("enter ")[1].split()[0]
    secrets = [user_code, "sim.", "sim-refresh.", "device_code"]
    ours = [r.getMessage() for r in caplog.records if "/authorize?" not in r.getMessage()]
    assert [s for s in secrets if any(s in message for message in ours)] == []


def test_another_scope_can_be_asked_for(simulated: Simulated, cache: msal.TokenCache) -> None:
    directory = Directory(simulated.origin, TENANT, simulated.origin, scope=f"{simulated.origin}/.default")
    assert by_device_code(directory, CLIENT, cache, lambda _: None)
    assert auth.person(directory, CLIENT, cache, AGAIN)("").startswith("Bearer ")
