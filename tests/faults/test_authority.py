"""Authority, F-11 and F-23 to F-28: one new token for all, and a stop that says who may not do what."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cio2d365.dataverse.auth import Secret, application
from cio2d365.dataverse.authority import Directory
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.errors import AuthorityError, SettingsError, TableRefused, Transient
from cio2d365.settings import new_document
from cio2d365.transport import Pace, Patience, Transport
from tests.end_to_end.test_demo import command
from tests.migrate.world import Instant, World, companies, only, people, plain, sums

from .conftest import Undisturbed
from .story import CREATE, Wire, content, gaps, odata_error, sent

TENANT, CLIENT, SECRET, NEXT_SECRET = "t", "c", "s", "s3cr3t-canary-2"  # the first three are those of `serving`
VARIABLE = "DATAVERSE_CLIENT_SECRET"
FRAMES = {"contact": people(120)}


@contextmanager
def signed_in(
    target: World, secret: str = SECRET, wire: httpx.BaseTransport | None = None, authority: str = ""
) -> Iterator[World]:
    """The organisation, entered with tokens of its own authority, or of another one."""
    clock = Instant()
    directory = Directory(target.origin, TENANT, authority=authority or target.origin)
    authorize = application(directory, CLIENT, Secret(secret, VARIABLE), sleep=clock.sleep)
    pace = Pace(clock=lambda: clock.now, sleep=clock.sleep)
    with Transport(
        target.origin, authorize, headers=HEADERS, pace=pace, patience=Patience(), client=wire or plain()
    ) as link:
        yield replace(target, client=Dataverse(link), clock=clock)


@pytest.fixture
def guarded(target: World) -> Iterator[World]:
    """The organisation with its first secret, also afterwards."""
    yield target
    target.control.post("secret", json={"secret": SECRET}).raise_for_status()


def tokens(target: World) -> int:
    return len(sent(target, "oauth2/v2.0/token"))


# --- F-23, F-24: tokens that are not accepted any more ----------------------------------------------------------------


def test_eight_workers_with_one_expired_token_ask_for_one_new_one(guarded: World) -> None:
    """F-23: eight 401 at once, one refresh, then RETRY on all."""
    together = threading.Barrier(8)

    def leave_together(n: int, _: httpx.Request) -> None:
        if 2 <= n <= 9:
            together.wait(30)

    with signed_in(guarded, wire=Wire(leave_together)) as found, ThreadPoolExecutor(8) as workers:
        who = found.client.who_am_i()
        guarded.fault({"verb": "expire_tokens"}, message="WhoAmI", nth=1)
        assert set(workers.map(lambda _: found.client.who_am_i(), range(8))) == {who}
    assert [entry["status"] for entry in sent(guarded, "WhoAmI")].count(401) == 8
    assert tokens(guarded) == 2


def test_tokens_that_expire_in_mid_run_cost_one_refresh(guarded: World, undisturbed: Undisturbed) -> None:
    """F-23: a load whose tokens expire ends like any other."""
    guarded.fault({"verb": "expire_tokens"}, message=CREATE, nth=2)
    with signed_in(guarded) as found:
        assert sums(found.load(FRAMES, "r0", request_rows=10, parallel=4)) == only(created=120)
    assert tokens(guarded) == 2
    assert content(guarded) == undisturbed(FRAMES)


@pytest.mark.parametrize(
    "action", [{"verb": "expire_tokens"}, {"verb": "status", "code": 401}], ids=lambda a: a["verb"]
)
def test_a_401_after_the_refresh_stops_within_three_tries(
    guarded: World, undisturbed: Undisturbed, action: dict[str, Any]
) -> None:
    """F-24: STOP, resumable."""
    guarded.fault(action, message=CREATE, nth=list(range(2, 100)))
    with signed_in(guarded) as found, pytest.raises(AuthorityError, match="401") as caught:
        found.load(FRAMES, "r0", request_rows=60, parallel=1)
    assert caught.value.exit_code == 3
    assert 2 <= len([e for e in sent(guarded, CREATE) if e["status"] == 401]) <= 3
    guarded.faults([])
    with signed_in(guarded) as found:
        assert sums(found.load(FRAMES, "r0")) == only(created=120)
    assert content(guarded) == undisturbed(FRAMES)


# --- F-11: an authority that has no name or is away -------------------------------------------------------------------


def test_an_authority_that_never_answered_is_refused_within_half_a_minute(target: World) -> None:
    """F-11, at the start: REFUSE, and the host is named."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    with signed_in(target, authority=f"http://{address}") as found, pytest.raises(SettingsError) as caught:
        found.client.who_am_i()
    assert address in str(caught.value)
    assert caught.value.exit_code == 2
    assert sum(found.clock.slept) < 30


def test_an_authority_that_is_gone_in_mid_run_stops_it_and_it_can_be_resumed(
    guarded: World, undisturbed: Undisturbed
) -> None:
    """F-11, in mid-run: what answered before is no wrong setting; STOP, resumable."""
    guarded.faults(
        [
            {"match": {"message": CREATE, "nth": 3}, "action": {"verb": "expire_tokens"}},
            {"match": {"message": "Token", "nth": list(range(2, 100))}, "action": {"verb": "drop_before_commit"}},
        ]
    )
    with signed_in(guarded) as found, pytest.raises(Transient, match="token authority") as caught:
        found.load(FRAMES, "r0", request_rows=20, parallel=1)
    assert caught.value.exit_code == 3
    assert 0 < len(guarded.rows()) < 120
    guarded.faults([])
    with signed_in(guarded) as found:
        assert sums(found.load(FRAMES, "r0")) == only(created=120)
    assert content(guarded) == undisturbed(FRAMES)


# --- F-25: the secret -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"secret": NEXT_SECRET}, {"expired": True}], ids=["wrong", "expired"])
def test_a_secret_that_is_refused_in_mid_run_stops_it_and_the_next_secret_resumes_it(
    guarded: World, undisturbed: Undisturbed, change: dict[str, Any]
) -> None:
    """F-25: AADSTS7000215 and AADSTS7000222; the message says what is wrong and shows no secret."""
    guarded.faults(
        [
            {"match": {"message": CREATE, "nth": 3}, "action": {"verb": "rotate_secret", **change}},
            {"match": {"message": CREATE, "nth": 4}, "action": {"verb": "expire_tokens"}},
        ]
    )
    with signed_in(guarded) as found, pytest.raises(AuthorityError) as caught:
        found.load(FRAMES, "r0", request_rows=20, parallel=1)
    assert caught.value.exit_code == 3
    assert f"secret of application {CLIENT} is wrong or expired" in str(caught.value)
    assert VARIABLE in str(caught.value)
    assert 0 < len(guarded.rows()) < 120
    guarded.faults([])
    guarded.control.post("secret", json={"secret": NEXT_SECRET}).raise_for_status()
    with signed_in(guarded, NEXT_SECRET) as found:
        assert sums(found.load(FRAMES, "r0")) == only(created=120)
    assert content(guarded) == undisturbed(FRAMES)


@pytest.mark.parametrize(
    ("error", "text", "secret_is_blamed"),
    [
        ("invalid_client", "something nobody has read before", True),
        ("invalid_request", "AADSTS7000215: Invalid client secret provided.", False),
    ],
)
def test_what_is_wrong_is_decided_by_the_error_field(
    guarded: World, error: str, text: str, secret_is_blamed: bool
) -> None:
    """F-25: not by the text, which is translated and changes."""
    answer = {"verb": "status", "code": 401, "body": {"error": error, "error_description": text}}
    guarded.fault(answer, message="Token")
    with signed_in(guarded) as found, pytest.raises(AuthorityError) as caught:
        found.client.who_am_i()
    assert ("wrong or expired" in str(caught.value)) is secret_is_blamed
    assert error in str(caught.value) or secret_is_blamed


def test_the_command_line_stops_at_a_wrong_secret_and_says_for_which_application(
    guarded: World, tmp_path: Path
) -> None:
    """F-25: exit code 3, one message, no secret, nothing written."""
    folder = tmp_path / "migrations" / "acme"
    folder.mkdir(parents=True)
    text = new_document("acme", "acme-0001", sandbox=guarded.origin, files=str(tmp_path))
    (folder / "migration.toml").write_text(text, encoding="utf-8")
    variables = {
        "DATAVERSE_TENANT_ID": TENANT,
        "DATAVERSE_CLIENT_ID": CLIENT,
        VARIABLE: NEXT_SECRET,
        "DATAVERSE_AUTHORITY": guarded.origin,
    }
    ended = command(
        "run", "acme", "--env", "sandbox", "--from", "04", "--to", "04", "--root", str(tmp_path), **variables
    )
    assert ended.code == 3, ended.output
    assert "wrong or expired" in ended.output
    assert f"application {CLIENT}" in ended.output
    assert VARIABLE in ended.output
    assert NEXT_SECRET not in ended.output
    assert not (tmp_path / "reports").exists()


# --- F-26, F-27: rights -----------------------------------------------------------------------------------------------


def test_a_missing_create_right_stops_the_table_at_the_first_hit(target: World, undisturbed: Undisturbed) -> None:
    """F-26: one refused request, no row in quarantine; what was loaded before stays and is resumed from."""
    frames = {"account": companies(20), "contact": people(300)}
    target.fault({"verb": "revoke_privilege", "table": "contact", "right": "Create"}, message=CREATE, nth=1)
    with pytest.raises(TableRefused) as caught:
        target.load(frames, "r0", request_rows=50, parallel=1)
    assert caught.value.exit_code == 3
    assert "prvCreateContact" in str(caught.value)
    assert [e["status"] for e in sent(target, "contacts/Microsoft")] == [403]
    with target.ledger() as ledger:
        assert ledger.quarantine().is_empty()
    assert (len(target.rows("account")), len(target.rows())) == (20, 0)
    target.control.delete("faults").raise_for_status()
    balance = target.load(frames, "r0")
    assert (sums(balance, "account"), sums(balance)) == (only(created=20), only(created=300))
    assert content(target) == undisturbed(frames)


def test_an_access_that_is_denied_is_no_transient_error(target: World) -> None:
    """F-27: STOP at the first answer, no retry, no wait."""
    target.fault(odata_error(403, "0x80048306", "Not enough privilege to access the object."), message=CREATE)
    with pytest.raises(TableRefused, match="0x80048306 Not enough privilege"):
        target.load(FRAMES, request_rows=120, parallel=1)
    assert len(sent(target, CREATE)) == 1
    assert sum(target.clock.slept) == 0


# --- F-28: clocks that differ -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [600, -600])
def test_waits_that_are_given_as_a_date_work_with_clocks_that_differ(timed: World, skew: int) -> None:
    """F-28: the date is measured against the server's own, in both directions."""
    now = timed.control.post("clock", json={"skew": skew}).raise_for_status().json()["now"]
    until = format_datetime(datetime.fromisoformat(now) + timedelta(seconds=45), usegmt=True)
    action = odata_error(429, "0x80072322", "slow down", Retry_After=until)
    timed.fault(action, message=CREATE, nth=1)
    assert sums(timed.load(FRAMES, request_rows=120, parallel=1)) == only(created=120)
    assert gaps(sent(timed, CREATE))[0] == 45


@pytest.mark.parametrize("skew", [600, -600])
def test_tokens_work_with_clocks_that_differ(guarded: World, undisturbed: Undisturbed, skew: int) -> None:
    """F-28: ten minutes are no reason to ask for tokens again and again."""
    guarded.control.post("clock", json={"skew": skew}).raise_for_status()
    with signed_in(guarded) as found:
        assert sums(found.load(FRAMES, "r0", request_rows=20)) == only(created=120)
    assert tokens(guarded) == 1
    guarded.control.post("clock", json={"release": True}).raise_for_status()
    assert content(guarded) == undisturbed(FRAMES)
