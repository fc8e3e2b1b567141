"""A person signs in, with a code on any device or in a browser on this machine; the tokens go into a cache."""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import msal

from cio2d365.dataverse.auth import AS_THE_USER, Sleep, public
from cio2d365.dataverse.authority import Directory, MsalHttp
from cio2d365.dataverse.receiver import Receiver
from cio2d365.dataverse.token_errors import Caller, refusal
from cio2d365.errors import AuthorityError

Tell = Callable[[str], None]
BROWSER_SECONDS = 300.0


def by_device_code(
    directory: Directory,
    client_id: str,
    cache: msal.TokenCache,
    tell: Tell,
    *,
    again: str = "sign in again",
    sleep: Sleep = time.sleep,
) -> str:
    """The name of the person who entered the code that `tell` is given with its address.

    Raises AuthorityError when the code is declined or not entered in time, Transient when the authority is away.
    """
    caller = Caller(client_id, directory.tenant_id, directory.origin, again=again)
    with closing(MsalHttp(directory.base, sleep=sleep)) as http:
        app = public(http, directory, client_id, cache)
        flow = app.initiate_device_flow([directory.scope_for(AS_THE_USER)])
        if "user_code" not in flow:
            raise refusal(flow, caller)
        minutes = int(flow["expires_in"]) // 60
        address, code = _shown(http.spoken(flow["verification_uri"])), _shown(flow["user_code"])
        tell(f"To sign in to {directory.origin}, open {address} and enter {code} within {minutes} minutes.")
        return _name(_polled(app, flow, sleep), caller)


def by_browser(
    directory: Directory,
    client_id: str,
    cache: msal.TokenCache,
    tell: Tell,
    *,
    again: str = "sign in again",
    browse: Callable[[str], object] = webbrowser.open,
    seconds: float = BROWSER_SECONDS,
    sleep: Sleep = time.sleep,
) -> str:
    """The name of the person who signed in on the page that `browse` is asked to open; `tell` is given its address too.

    Raises AuthorityError when the sign-in is declined or does not happen within `seconds`.
    """
    caller = Caller(client_id, directory.tenant_id, directory.origin, again=again)
    with closing(MsalHttp(directory.base, sleep=sleep)) as http, Receiver() as receiver:
        app = public(http, directory, client_id, cache)
        flow = app.initiate_auth_code_flow(
            [directory.scope_for(AS_THE_USER)],
            redirect_uri=receiver.address,
            prompt="select_account",
            response_mode="form_post",
        )
        page = http.spoken(flow["auth_uri"])
        tell(f"Sign in to {directory.origin} in the browser. If none opens, open this address on this machine: {page}")
        receiver.expect(flow["state"])
        _open(browse, page)
        answer = receiver.wait(seconds)
        if answer is None:
            raise AuthorityError(f"nobody signed in to {directory.origin} within {seconds:.0f} seconds; {again}")
        return _name(_redeemed(app, flow, answer, caller), caller)


def _polled(app: Any, flow: dict[str, Any], sleep: Sleep) -> Mapping[str, Any]:
    """Ask until the person has decided; MSAL lengthens the interval when it is told to slow down (RFC 8628 3.5)."""
    waited = 0
    flow["interval"] = max(1, flow["interval"])
    while True:
        flow["latest_attempt_at"] = 0  # the waits below are ours; MSAL would measure them by the wall clock
        answer: dict[str, Any] = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
        if answer.get("error") not in ("authorization_pending", "slow_down"):
            return answer
        if waited >= flow["expires_in"]:
            return {"error": "expired_token"}
        sleep(flow["interval"])
        waited += flow["interval"]


def _redeemed(app: Any, flow: dict[str, Any], answer: dict[str, str], caller: Caller) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = app.acquire_token_by_auth_code_flow(flow, answer)
    except (ValueError, RuntimeError):  # how MSAL says that state or nonce are not those it sent
        raise AuthorityError(f"what the browser brought does not belong to this sign-in; {caller.again}") from None
    return found


def _open(browse: Callable[[str], object], page: str) -> None:
    try:
        browse(page)
    except webbrowser.Error:
        return  # the person has been given the address


def _name(answer: Mapping[str, Any], caller: Caller) -> str:
    if "access_token" not in answer:
        raise refusal(answer, caller)
    claims = answer.get("id_token_claims") or {}
    return _shown(claims.get("preferred_username") or claims.get("name") or "somebody")


def _shown(text: object) -> str:
    """Text of the server, safe for a terminal (L11)."""
    return "".join(c for c in str(text) if c.isprintable())[:300]
