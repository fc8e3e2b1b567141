"""The token authority of one Dataverse environment, and the HTTP that MSAL speaks to it (`dataverse-api 1`)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from cio2d365.errors import SettingsError, Terminal, Transient
from cio2d365.settings import is_loopback
from cio2d365.transport import TRANSIENT_STATUS, retry_after

PUBLIC = "https://login.microsoftonline.com"
# Environments of sovereign clouds sign in at their own authority; the US community cloud (crm9) uses the public one.
CLOUDS = {
    ".crm.microsoftdynamics.us": "https://login.microsoftonline.us",
    ".crm.appsplatform.us": "https://login.microsoftonline.us",
    ".crm.dynamics.cn": "https://login.partner.microsoftonline.cn",
}
# The authority of one cloud may send a tenant of another one there, in its discovery document.
MICROSOFT = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoft.com",
        "login.windows.net",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    }
)
WAITS = (1.0, 2.0, 4.0)
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Directory:
    """Which tokens are wanted: for the environment `origin`, from a tenant of an authority.

    An empty `authority` is the one of the cloud that `origin` belongs to; an empty `scope` is `origin` with the right
    that applications or people ask for.
    """

    origin: str
    tenant_id: str
    authority: str = ""
    scope: str = ""

    @property
    def base(self) -> str:
        """Address of the authority without the tenant."""
        host = urlsplit(self.origin).hostname or ""
        cloud = next((base for ending, base in CLOUDS.items() if host.endswith(ending)), PUBLIC)
        return (self.authority or cloud).rstrip("/")

    @property
    def secure_address(self) -> str:
        """Authority and tenant as MSAL takes them: https only, also where `MsalHttp` then speaks plain http."""
        return f"{self.base.replace('http://', 'https://', 1)}/{self.tenant_id}"

    def scope_for(self, right: str) -> str:
        """The scope of a token request; every cloud names the environment by its own address."""
        return self.scope or f"{self.origin}/{right}"


@dataclass(frozen=True)
class Answer:
    """What MSAL reads of an answer."""

    status_code: int
    text: str
    headers: dict[str, str]

    def raise_for_status(self) -> None:
        """Part of the shape that MSAL expects; answers it would be called for do not come this far."""
        if self.status_code >= 400:
            raise Terminal(f"the token authority answered {self.status_code}")


class MsalHttp:
    """The HTTP client that MSAL calls; an authority on this machine is spoken to in plain http.

    Requests go to the authority only (L12) and are repeated while it is busy or speaks no JSON. Raises Transient when
    it stays so or cannot be reached any more, SettingsError when it never could (F-11) and for plain http to another
    machine.
    """

    def __init__(
        self,
        base: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise SettingsError("the token authority must be https; plain http is accepted for this machine only")
        self._own = parts.netloc
        self._plain = parts.netloc if parts.scheme == "http" else ""
        # A token is asked for once in an hour: nothing is gained by keeping connections, and nobody could close them.
        self._client = httpx.Client(timeout=30.0, limits=httpx.Limits(max_keepalive_connections=0))
        self._sleep = sleep
        self._clock = clock
        self._ahead = 0.0
        self._answered = False

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> Answer:
        """GET as MSAL calls it, for documents that name endpoints."""
        answer = self._send("GET", url, params=params, headers=headers)
        if not self._plain:
            return answer
        return replace(answer, text=answer.text.replace(f"http://{self._plain}", f"https://{self._plain}"))

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> Answer:
        """POST as MSAL calls it."""
        return self._send("POST", url, params=params, data=data, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def now(self) -> float:
        """Unix time by the clock of the authority, as its last answer told it: ours may be wrong (F-28)."""
        return self._clock() + self._ahead

    def spoken(self, url: str) -> str:
        """The address that is really used for one that MSAL knows."""
        parts = urlsplit(url)
        return parts._replace(scheme="http").geturl() if self._plain and parts.netloc == self._plain else url

    def _send(self, method: str, url: str, **kwargs: Any) -> Answer:
        self._require_authority(urlsplit(url).netloc)
        answer = self._patiently(method, self.spoken(url), **kwargs)
        self._read_clock(answer)
        return Answer(answer.status_code, answer.text, dict(answer.headers))

    def _require_authority(self, host: str) -> None:
        if host != self._own and not {host, self._own} <= MICROSOFT:
            raise Terminal(f"the token authority {self._own} leads to {host}; no credential was sent there")

    def _patiently(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        for wait in (*WAITS, None):
            answer = self._once(method, url, **kwargs)
            self._answered |= isinstance(answer, httpx.Response)
            if isinstance(answer, httpx.Response) and _is_settled(answer):
                return answer
            if wait is not None:
                self._sleep(_asked_wait(answer) or wait)
        host = urlsplit(url).netloc
        if isinstance(answer, httpx.Response):
            raise Transient(f"the token authority {host} answered {answer.status_code} without a usable body")
        if not self._answered and isinstance(answer, httpx.ConnectError):
            raise SettingsError(f"the token authority {host} cannot be reached ({answer}); is the address right?")
        raise Transient(f"the token authority {host} cannot be reached: {answer}")

    def _once(self, method: str, url: str, **kwargs: Any) -> httpx.Response | httpx.HTTPError:
        try:
            return self._client.request(method, url, **kwargs)
        except httpx.HTTPError as error:
            return error

    def _read_clock(self, answer: httpx.Response) -> None:
        try:
            theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return
        self._ahead = theirs - self._clock()


def _is_settled(answer: httpx.Response) -> bool:
    if answer.status_code >= 500 or answer.status_code in TRANSIENT_STATUS:
        return False
    try:
        return isinstance(json.loads(answer.text), dict)
    except ValueError:
        return False


def _asked_wait(answer: httpx.Response | httpx.HTTPError) -> float | None:
    asked = retry_after(answer.headers) if isinstance(answer, httpx.Response) else None
    return None if asked is None else min(asked, LONGEST_WAIT)
