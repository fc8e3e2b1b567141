"""Tokens of applications: one for all workers, by secret or certificate, and refusals that say what to do."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cio2d365.dataverse import auth, certificate
from cio2d365.dataverse.auth import Authorize, Secret
from cio2d365.dataverse.authority import Directory, MsalHttp
from cio2d365.dataverse.token_errors import APPLICATION, PERSON, Caller, refusal
from cio2d365.errors import AuthorityError, SettingsError, Terminal, Transient
from tests.dataverse.directory import CLIENT, SECRET, TENANT, Simulated, certified, connected, pem, pem_file, rsa_key
from tests.migrate.world import Instant

CANARY = "s3cr3t-canary"
VARIABLE = "ACME_SECRET"


def by_secret(simulated: Simulated, value: str = SECRET, **more: Any) -> Authorize:
    return auth.application(simulated.directory, CLIENT, Secret(value, VARIABLE), **more)


# --- one token for all ------------------------------------------------------------------------------------------------


def test_one_refusal_of_many_workers_brings_one_new_token(simulated: Simulated) -> None:
    with connected(simulated.origin, by_secret(simulated)) as client, ThreadPoolExecutor(8) as workers:
        who = client.who_am_i()
        simulated.fault({"verb": "expire_tokens"}, method="GET", nth=1)
        found = list(workers.map(lambda _: client.who_am_i(), range(24)))
    assert set(found) == {who}
    assert simulated.seen("/token") == 2
    assert any(e["status"] == 401 for e in simulated.control.get("journal").json())


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    time_, asked = Instant(), []

    def fresh(stale: bool) -> tuple[str, float]:
        asked.append(stale)
        return f"t{len(asked)}", 3600.0

    authorize = auth.shared(fresh, lambda: time_.now)
    assert authorize("") == authorize("") == "Bearer t1"
    time_.now = 3299
    assert authorize("") == "Bearer t1"
    time_.now = 3300
    assert authorize("") == "Bearer t2"
    assert authorize("Bearer t1") == "Bearer t2"
    assert authorize("Bearer t2") == "Bearer t3"
    assert asked == [False, False, True]


def test_a_token_that_is_short_lived_is_asked_for_each_time() -> None:
    tokens = iter([("t1", 60.0), ("t2", 60.0)])
    authorize = auth.shared(lambda _: next(tokens), lambda: 0.0)
    assert [authorize(""), authorize("")] == ["Bearer t1", "Bearer t2"]


def test_a_token_that_is_never_accepted_ends_within_three_tries(simulated: Simulated) -> None:
    simulated.fault({"verb": "expire_tokens"}, message="WhoAmI")
    with (
        connected(simulated.origin, by_secret(simulated)) as client,
        pytest.raises(AuthorityError, match="also with a fresh token"),
    ):
        client.who_am_i()
    assert simulated.seen("WhoAmI") <= 3
    assert simulated.seen("/token") <= 3


def test_a_new_secret_lets_the_next_run_in(simulated: Simulated) -> None:
    simulated.set("secret", secret="next")
    with pytest.raises(AuthorityError, match="client secret of application c is wrong or expired"):
        by_secret(simulated)("")
    assert by_secret(simulated, "next")("").startswith("Bearer ")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "number"), [({"secret": "next"}, 7000215), ({"expired": True}, 7000222)])
def test_a_wrong_and_an_expired_secret_name_the_variable_and_not_the_value(
    simulated: Simulated, change: dict[str, Any], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.set("secret", secret=CANARY)
    simulated.set("secret", **change)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AuthorityError) as caught:
        by_secret(simulated, CANARY)("")
    assert f"read from the environment variable {VARIABLE} (invalid_client, AADSTS{number})" in str(caught.value)
    assert CANARY not in f"{caught.value!r} {caught.value.__context__!r} {caplog.text}"


def test_no_credential_is_in_what_python_shows_of_it(tmp_path: Path) -> None:
    assert CANARY not in repr(Secret(CANARY, VARIABLE))
    key = rsa_key()
    read = certificate.read(pem_file(tmp_path / "c.pem", key, certified(key)), "", "V")
    assert repr(read) == "Certificate(variable='V')"


def test_an_unknown_application_and_a_foreign_environment_are_told_apart(simulated: Simulated) -> None:
    with pytest.raises(AuthorityError, match="application other is not known in tenant t"):
        auth.application(simulated.directory, "other", Secret(SECRET, VARIABLE))("")
    foreign = Directory("https://acme.crm.dynamics.com", TENANT, simulated.origin)
    with pytest.raises(AuthorityError, match=r"https://acme\.crm\.dynamics\.com is not known in tenant t"):
        auth.application(foreign, CLIENT, Secret(SECRET, VARIABLE))("")


def test_an_unknown_tenant_is_refused(simulated: Simulated) -> None:
    elsewhere = Directory(simulated.origin, "nowhere", simulated.origin)
    with pytest.raises(SettingsError, match="does not know tenant nowhere"):
        auth.application(elsewhere, CLIENT, Secret(SECRET, VARIABLE))("")


@pytest.mark.parametrize("error", [*APPLICATION, *PERSON])
def test_every_known_refusal_is_a_sentence_of_its_own(error: str) -> None:
    person = refusal({"error": error}, Caller("c", "t", "https://o", again="run it again"))
    application = refusal({"error": error}, Caller("c", "t", "https://o", "certificate", "V"))
    assert isinstance(person, AuthorityError)
    known = person if error in PERSON else application
    assert "gets no token" not in str(known)
    assert f"({error})" in str(known)


@pytest.mark.parametrize("error", ["temporarily_unavailable", "server_error"])
def test_a_busy_authority_may_be_asked_again(error: str) -> None:
    assert isinstance(refusal({"error": error}, Caller("c", "t", "https://o")), Transient)


@pytest.mark.parametrize(
    "answer", [None, {}, {"error": "<b>\x1b[2Jada@contoso.com"}, {"error": ["x"], "error_codes": 7}]
)
def test_a_refusal_without_a_known_word_shows_nothing_of_the_server_s_text(answer: dict[str, Any] | None) -> None:
    found = refusal(answer, Caller("c", "t", "https://o"))
    assert str(found) == "application c gets no token for https://o (unknown error)"


def test_the_field_decides_and_not_the_text() -> None:
    answer = {"error": "unauthorized_client", "error_description": "AADSTS7000215: invalid_client secret expired"}
    assert "is not known in tenant" in str(refusal(answer, Caller("c", "t", "https://o", "client secret", "V")))


# --- an authority that is away, busy or strange -----------------------------------------------------------------------


def test_an_authority_that_fails_for_a_moment_is_asked_again(simulated: Simulated) -> None:
    time_ = Instant()
    simulated.fault({"verb": "status", "code": 503}, message="Token", nth=[1, 2])
    assert by_secret(simulated, sleep=time_.sleep)("").startswith("Bearer ")
    assert time_.slept == [1.0, 2.0]


def test_the_authority_s_own_wait_is_obeyed_within_bounds(simulated: Simulated) -> None:
    time_ = Instant()
    asked = [{"verb": "status", "code": 429, "headers": {"Retry-After": wait}} for wait in ("17", "100000")]
    rules = [{"match": {"message": "Token", "nth": n}, "action": action} for n, action in enumerate(asked, 1)]
    simulated.set("faults", rules=rules)
    assert by_secret(simulated, sleep=time_.sleep)("").startswith("Bearer ")
    assert time_.slept == [17.0, 60.0]


@pytest.mark.parametrize(
    "action",
    [
        {"verb": "status", "code": 503},
        {"verb": "status", "code": 429},
        {"verb": "status", "code": 200, "body": "<html>proxy</html>"},
        {"verb": "status", "code": 200, "body": "[]"},
        {"verb": "status", "code": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    ],
)
def test_an_authority_that_stays_unusable_is_a_passing_failure(simulated: Simulated, action: dict[str, Any]) -> None:
    time_ = Instant()
    simulated.fault(action, message="Token")
    with pytest.raises(Transient, match="without a usable body"):
        by_secret(simulated, sleep=time_.sleep)("")
    assert len(time_.slept) == 3


def test_an_authority_that_nobody_answers_for_is_named() -> None:
    time_ = Instant()
    away = Directory("http://127.0.0.1:1", TENANT, "http://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1:1 cannot be reached"):
        auth.application(away, CLIENT, Secret(SECRET, VARIABLE), sleep=time_.sleep)("")


def test_plain_http_to_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match="must be https"):
        auth.application(Directory("https://o", TENANT, "http://login.example.com"), CLIENT, Secret(SECRET, VARIABLE))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/t/token", "https://login.evil.example/t/token"])
def test_no_credential_leaves_for_another_host(simulated: Simulated, url: str) -> None:
    with pytest.raises(Terminal, match="no credential was sent"):
        MsalHttp(simulated.origin).post(url, data={"client_secret": CANARY})


def test_one_microsoft_authority_may_lead_to_another() -> None:
    http = MsalHttp("https://login.microsoftonline.com")
    http._require_authority("login.microsoftonline.us")
    with pytest.raises(Terminal, match=r"leads to login\.example\.com"):
        http._require_authority("login.example.com")


# --- clouds and scopes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "authority"),
    [
        ("https://acme.crm4.dynamics.com", "https://login.microsoftonline.com"),
        ("https://acme.crm9.dynamics.com", "https://login.microsoftonline.com"),
        ("https://acme.crm.microsoftdynamics.us", "https://login.microsoftonline.us"),
        ("https://acme.crm.appsplatform.us", "https://login.microsoftonline.us"),
        ("https://acme.crm.dynamics.cn", "https://login.partner.microsoftonline.cn"),
        ("https://crm.dynamics.cn.example.com", "https://login.microsoftonline.com"),
    ],
)
def test_the_authority_follows_from_the_cloud(environment: str, authority: str) -> None:
    assert Directory(environment, TENANT).base == authority
    assert Directory(environment, TENANT, "https://login.own.example/").base == "https://login.own.example"


def test_the_scope_is_the_environment_unless_it_is_given() -> None:
    assert Directory("https://o", TENANT).scope_for(".default") == "https://o/.default"
    assert Directory("https://o", TENANT, scope="https://x/y").scope_for(".default") == "https://x/y"


# --- certificates -----------------------------------------------------------------------------------------------------


def test_a_certificate_opens_the_door(simulated: Simulated, tmp_path: Path) -> None:
    read = registered(simulated, tmp_path)
    with connected(simulated.origin, auth.application(simulated.directory, CLIENT, read)) as client:
        assert client.who_am_i().user_id


def registered(simulated: Simulated, folder: Path) -> certificate.Certificate:
    key = rsa_key()
    public = certified(key)
    simulated.set("applications", certificate=pem(public))
    return certificate.read(pem_file(folder / "loader.pem", key, public), "", "ACME_CERTIFICATE")


def test_a_certificate_that_nobody_registered_names_its_variable(simulated: Simulated, tmp_path: Path) -> None:
    key = rsa_key(1)
    read = certificate.read(pem_file(tmp_path / "c.pem", key, certified(key)), "", "ACME_CERTIFICATE")
    with pytest.raises(AuthorityError, match=r"certificate of application c is wrong or expired; .*ACME_CERTIFICATE"):
        auth.application(simulated.directory, CLIENT, read)("")


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_wrong_clock_does_not_spoil_the_proof(simulated: Simulated, tmp_path: Path, minutes: int) -> None:
    read = registered(simulated, tmp_path)
    wrong = timedelta(minutes=minutes).total_seconds()
    authorize = auth.application(simulated.directory, CLIENT, read, clock=lambda: time.time() + wrong)
    assert authorize("").startswith("Bearer ")


def test_each_proof_is_used_once(simulated: Simulated, tmp_path: Path) -> None:
    read = registered(simulated, tmp_path)
    assert read.assertion("c", "https://a", 1e9) != read.assertion("c", "https://a", 1e9)
