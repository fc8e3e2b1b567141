"""Tokens for one Dataverse environment, for applications and for people who are signed in (`dataverse-api 1`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msal
from msal_extensions import LockError

from cio2d365.dataverse.authority import Directory, MsalHttp
from cio2d365.dataverse.certificate import Certificate
from cio2d365.dataverse.token_errors import Caller, refusal
from cio2d365.errors import SettingsError

Authorize = Callable[[str], str]
Sleep = Callable[[float], None]
Token = tuple[str, float]  # and the seconds it is good for
EVERYTHING_GRANTED = ".default"
AS_THE_USER = "user_impersonation"
EARLY = 300.0  # seconds before its end that a token is replaced


@dataclass(frozen=True)
class Secret:
    """A client secret, and the name of the variable that holds it."""

    value: str = field(repr=False)
    variable: str


def application(
    directory: Directory,
    client_id: str,
    credential: Secret | Certificate,
    *,
    sleep: Sleep = time.sleep,
    clock: Callable[[], float] = time.time,
) -> Authorize:
    """`authorize` for a Transport, by client credentials; tokens stay in memory.

    The returned function raises AuthorityError when the authority refuses (decided on its `error` field, F-25),
    Transient when it cannot be reached, SettingsError for a tenant it does not know.
    """
    http = MsalHttp(directory.base, sleep=sleep, clock=clock)
    apps: list[Any] = []
    scopes = [directory.scope_for(EVERYTHING_GRANTED)]
    caller = _caller(directory, client_id, credential)

    def fresh(stale: bool) -> Token:
        if not apps:
            apps.append(_confidential(http, directory, client_id, credential))
        if stale:
            apps[0].remove_tokens_for_client()
        answer = apps[0].acquire_token_for_client(scopes)
        if "access_token" not in answer:
            raise refusal(answer, caller)
        return str(answer["access_token"]), float(answer["expires_in"])

    return shared(fresh)


def person(
    directory: Directory, client_id: str, cache: msal.TokenCache, again: str, *, sleep: Sleep = time.sleep
) -> Authorize:
    """`authorize` for a Transport as the person whose sign-in is in `cache`; nobody is asked anything.

    The returned function raises SettingsError when the cache holds no sign-in, AuthorityError when it is no longer
    accepted; both say `again`, what to do to sign in. Transient when the authority cannot be reached.
    """
    http = MsalHttp(directory.base, sleep=sleep)
    apps: list[Any] = []
    scopes = [directory.scope_for(AS_THE_USER)]
    caller = Caller(client_id, directory.tenant_id, directory.origin, again=again)

    def fresh(stale: bool) -> Token:
        if not apps:
            apps.append(public(http, directory, client_id, cache))
        try:
            accounts = apps[0].get_accounts()
            answer = accounts and apps[0].acquire_token_silent_with_error(scopes, accounts[0], force_refresh=stale)
        except LockError as error:
            raise SettingsError(f"the stored sign-in is in use by another process: {error}") from None
        if not answer:
            raise SettingsError(f"nobody is signed in to {directory.origin}; {again}")
        if "access_token" not in answer:
            raise refusal(answer, caller)
        return str(answer["access_token"]), float(answer["expires_in"])

    return shared(fresh)


def public(http: MsalHttp, directory: Directory, client_id: str, cache: msal.TokenCache) -> Any:
    """MSAL's application for people, with their tokens in `cache`."""
    return _built(directory, msal.PublicClientApplication, client_id, http, token_cache=cache)


def _confidential(http: MsalHttp, directory: Directory, client_id: str, credential: Secret | Certificate) -> Any:
    if isinstance(credential, Secret):
        proof: Any = credential.value
    else:
        # The audience is the endpoint of an application that is being made here, known once it is first asked for.
        proof = {"client_assertion": lambda: credential.assertion(client_id, endpoint(), http.now())}
    made = _built(directory, msal.ConfidentialClientApplication, client_id, http, client_credential=proof)

    def endpoint() -> str:
        return http.spoken(made.authority.token_endpoint)

    return made


def _built(directory: Directory, kind: Callable[..., Any], client_id: str, http: MsalHttp, **more: Any) -> Any:
    try:
        return kind(client_id, authority=directory.secure_address, http_client=http, instance_discovery=False, **more)
    except (ValueError, KeyError):
        text = f"the token authority {directory.base} does not know tenant {directory.tenant_id}"
        raise SettingsError(text) from None


def _caller(directory: Directory, client_id: str, credential: Secret | Certificate) -> Caller:
    proof = "client secret" if isinstance(credential, Secret) else "certificate"
    source = f"the environment variable {credential.variable}"
    return Caller(client_id, directory.tenant_id, directory.origin, proof, source)


def shared(fresh: Callable[[bool], Token], clock: Callable[[], float] = time.monotonic) -> Authorize:
    """One token for all workers: `fresh(refused)` is asked by one at a time, when there is none, at its end, on a 401.

    A header that was refused to many workers is renewed once (F-23).
    """
    lock = threading.Lock()
    current, until = "", 0.0

    def authorize(refused: str) -> str:
        nonlocal current, until
        with lock:
            stale = bool(refused) and refused == current
            if stale or not current or clock() >= until:
                token, seconds = fresh(stale)
                current, until = f"Bearer {token}", clock() + seconds - EARLY
            return current

    return authorize
