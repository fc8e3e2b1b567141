"""Tokens for one Dataverse origin by client credentials, through MSAL (`dataverse-api 1`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import msal

from cio2d365.errors import AuthorityError, SettingsError, Transient
from cio2d365.settings import is_loopback

PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
WAITS = (1.0, 2.0, 4.0)


def client_credentials(
    origin: str,
    tenant_id: str,
    client_id: str,
    client_secret: str,
    authority: str = "",
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[str], str]:
    """`authorize` for a Transport: the bearer header; one new token for all workers whose header was refused (F-23).

    The returned function raises AuthorityError when the secret is refused (decided on the `error` field, F-25) and
    Transient when the authority cannot be reached.
    """
    http = _MsalHttp(authority, sleep)
    lock = threading.Lock()
    applications: list[msal.ConfidentialClientApplication] = []
    current = ""

    def authorize(refused: str) -> str:
        nonlocal current
        with lock:
            if not applications:
                applications.append(_application(http, tenant_id, client_id, client_secret, authority))
            if refused and refused == current:
                applications[0].remove_tokens_for_client()
            current = f"Bearer {_token(applications[0], origin, client_id)}"
            return current

    return authorize


def _application(
    http: _MsalHttp, tenant_id: str, client_id: str, secret: str, authority: str
) -> msal.ConfidentialClientApplication:
    # MSAL accepts https authorities only; for a simulator on this machine the client below speaks plain http instead.
    base = (authority or PUBLIC_AUTHORITY).rstrip("/").replace("http://", "https://", 1)
    try:
        return msal.ConfidentialClientApplication(
            client_id,
            client_credential=secret,
            authority=f"{base}/{tenant_id}",
            http_client=http,
            instance_discovery=False,
        )
    except ValueError as error:
        raise SettingsError(f"the token authority {base} does not know tenant {tenant_id}: {error}") from None


def _token(application: msal.ConfidentialClientApplication, origin: str, client_id: str) -> str:
    answer = application.acquire_token_for_client([f"{origin}/.default"])
    if "access_token" in answer:
        return str(answer["access_token"])
    if answer.get("error") == "invalid_client":
        raise AuthorityError(f"the client secret of application {client_id} is wrong or expired")
    raise AuthorityError(f"no token for application {client_id}: {answer.get('error')}")


@dataclass(frozen=True)
class _Answer:
    """What MSAL reads of an answer."""

    status_code: int
    text: str
    headers: dict[str, str]

    def raise_for_status(self) -> None:
        """As MSAL expects it of an HTTP client; it calls this for answers from 500 on."""
        if self.status_code >= 400:
            raise Transient(f"the token authority answered {self.status_code}")


class _MsalHttp:
    """The HTTP client that MSAL calls, on httpx; an authority on this machine is spoken to in plain http."""

    def __init__(self, authority: str, sleep: Callable[[float], None]) -> None:
        parts = urlsplit(authority)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise SettingsError("DATAVERSE_AUTHORITY must be https; plain http is accepted for this machine only")
        self._plain = parts.netloc if parts.scheme == "http" else ""
        self._client = httpx.Client(timeout=30.0)
        self._sleep = sleep

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> _Answer:
        """GET as MSAL calls it."""
        return self._send("GET", url, params=params, headers=headers)

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> _Answer:
        """POST as MSAL calls it."""
        return self._send("POST", url, params=params, data=data, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, method: str, url: str, **kwargs: Any) -> _Answer:
        parts = urlsplit(url)
        if self._plain and parts.netloc == self._plain:
            url = parts._replace(scheme="http").geturl()
        answer = self._patiently(method, url, **kwargs)
        secure = f"https://{self._plain}"
        text = answer.text.replace(f"http://{self._plain}", secure) if self._plain else answer.text
        return _Answer(answer.status_code, text, dict(answer.headers))

    def _patiently(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        """The first answer below 500, else the last one; Transient when the authority cannot be reached."""
        for wait in (*WAITS, 0.0):
            answer = self._once(method, url, **kwargs)
            if isinstance(answer, httpx.Response) and answer.status_code < 500:
                return answer
            self._sleep(wait)
        if isinstance(answer, httpx.Response):
            return answer
        raise Transient(f"the token authority {urlsplit(url).netloc} cannot be reached: {answer}")

    def _once(self, method: str, url: str, **kwargs: Any) -> httpx.Response | httpx.HTTPError:
        try:
            return self._client.request(method, url, **kwargs)
        except httpx.HTTPError as error:
            return error
