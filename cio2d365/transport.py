"""The one HTTP client: retry, origin check, redaction. Edges build a `Request` and read a `Response`.

A request goes to the configured origin only (L12); redirects are not followed. What may be sent twice is marked
`repeatable` by its builder: a write that is not, and whose end is unclear, raises OutcomeUnknown (L7). Waits follow
`Retry-After` in both of its forms, for all workers of the same identity together (L5; see `pace`).
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from cio2d365.errors import AuthorityError, OutcomeUnknown, Refused, SettingsError, Terminal, Transient
from cio2d365.pace import Pace as Pace

TRANSIENT_STATUS = frozenset({408, 429, 502, 503, 504})
TOO_LONG = frozenset({408, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Request:
    """What will be sent: `path` is relative to the origin and already encoded.

    A time-out of a `divisible` request is told to the caller, who can send less at once, instead of being repeated.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    divisible: bool = False

    @property
    def label(self) -> str:
        """Method and path without the query, safe to show: queries can hold personal data (L10)."""
        return f"{self.method} {urlsplit(self.path).path}"


@dataclass(frozen=True)
class Response:
    """What came back, and how many seconds after the request had left."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    def json(self) -> Any:
        """The body as JSON whatever its content type says (F-20); ValueError when it is not JSON."""
        return orjson.loads(self.body)

    def excerpt(self) -> str:
        """First 200 printable characters of the body, for messages (F-07)."""
        text = self.body[:800].decode("utf-8", "replace")
        return "".join(c if c.isprintable() else " " for c in text)[:200]


@dataclass(frozen=True)
class Patience:
    """How long a call keeps trying: attempts after failures, and seconds for one wait and for all waits of one call.

    An answer that names the time to wait is not a failure: only `total` bounds how often it is obeyed. `reach` is for
    a host that has never answered: most likely its name is wrong (F-11).
    """

    attempts: int = 8
    longest_wait: float = 300.0
    total: float = 1800.0
    first_wait: float = 0.5
    reach: float = 15.0


@dataclass
class Traffic:
    """Counts for the run log: requests that left, answers that asked to wait, repeats."""

    requests: int = 0
    throttled: int = 0
    repeated: int = 0


def _never(_: Response) -> bool:
    return False


class Transport:
    """Sends requests to one origin.

    `authorize(refused)` gives the Authorization header; `refused` is the header that the server has just answered with
    401, empty otherwise, so that many workers with one expired token ask for one new token. `client` is the seam for
    tests: any httpx.BaseTransport.
    """

    def __init__(
        self,
        origin: str,
        authorize: Callable[[str], str],
        *,
        pace: Pace | None = None,
        patience: Patience | None = None,
        client: httpx.BaseTransport | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.traffic = Traffic()
        self.pace = pace or Pace()
        self._patience = patience or Patience()
        self._authorize = authorize
        self.jitter = jitter
        self._answered = False
        self._counting = threading.Lock()
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
        self._client = httpx.Client(
            transport=client, headers=dict(headers or {}), timeout=httpx.Timeout(timeout, connect=10.0), limits=limits
        )

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, request: Request, *, settled: Callable[[Response], bool] = _never) -> Response:
        """The first answer that is not transient, or that `settled` wants to see; the caller reads its status.

        Raises Transient when patience is at an end, OutcomeUnknown when an unrepeatable write ended unclearly or a
        divisible request took too long, AuthorityError on 401 after a fresh token, Terminal on a redirect,
        SettingsError when the host never answered.
        """
        spent, failures, refused = 0.0, 0, ""
        while True:
            header = self._authorize(refused)
            answer, left = self._once(request, header)
            if isinstance(answer, Response):
                if answer.status == 401 and not refused:
                    refused = header
                    continue
                if answer.status not in TRANSIENT_STATUS or settled(answer):
                    self.pace.went_well()
                    return _settled(answer, request)
            if isinstance(answer, Response) and answer.status == 429:
                self._count("throttled")
            self.pace.too_much(left)
            # A named wait of nothing, repeated for ever, would be a loop without an end (L16): it counts as a failure.
            asked = retry_after(answer.headers) or None if isinstance(answer, Response) else None
            failures += asked is None
            wait = self._backoff(failures) if asked is None else asked
            self._refuse_blind_repeat(request, answer, wait)
            self._refuse_silence(answer, spent + wait)
            if failures == self._patience.attempts or spent + wait > self._patience.total:
                raise Transient(f"{request.label} at {self.origin} gave up after {spent:.0f} s: {_reason(answer)}")
            spent += wait
            self._count("repeated")
            self.pace.pause(wait)

    def relative(self, url: str) -> str:
        """Path and query of a link that the server handed out; Refused when it leads to another origin (B-114)."""
        parts = urlsplit(url)
        if (parts.scheme or parts.netloc) and _origin(url) != _origin(self.origin):
            raise Refused(f"{self.origin} handed out a link to {parts.scheme}://{parts.netloc}; it was not followed")
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return _rooted(path)

    def _once(self, request: Request, authorization: str) -> tuple[Response | httpx.HTTPError, float]:
        """The answer, or why there is none, and when the request left."""
        if not (authorization.isascii() and authorization.isprintable()):
            raise SettingsError(f"the credential for {self.origin} holds characters that no header can carry")
        with self.pace.turn() as left:
            self._count("requests")
            url = f"{self.origin}{_rooted(request.path)}"
            headers = {"Authorization": authorization, **request.headers}
            try:
                answer = self._client.request(request.method, url, content=request.body, headers=headers)
            except httpx.InvalidURL as error:
                raise SettingsError(f"{self.origin} is not a usable address: {error}") from None
            except httpx.HTTPError as error:
                return error, left
            seconds = self.pace.clock() - left
        self._answered = True
        return Response(answer.status_code, answer.headers, _without(authorization, answer), seconds), left

    def _count(self, what: str) -> None:
        with self._counting:
            setattr(self.traffic, what, getattr(self.traffic, what) + 1)

    def _refuse_silence(self, answer: Response | httpx.HTTPError, waited: float) -> None:
        if isinstance(answer, httpx.ConnectError) and not self._answered and waited > self._patience.reach:
            raise SettingsError(f"{self.origin} cannot be reached ({answer}); is the address right?")

    def _refuse_blind_repeat(self, request: Request, answer: Response | httpx.HTTPError, wait: float) -> None:
        """OutcomeUnknown for what must not go again; the next request, most likely to find out, waits all the same."""
        if request.divisible and _took_too_long(answer):
            self.pace.pause(wait)
            raise OutcomeUnknown(f"{request.label}: no answer in time ({_reason(answer)})")
        if request.repeatable or isinstance(answer, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return
        if isinstance(answer, Response) and answer.status == 429:
            return
        self.pace.pause(wait)
        raise OutcomeUnknown(f"{request.label}: whether the write happened is not known ({_reason(answer)})")

    def _backoff(self, failures: int) -> float:
        longest = min(self._patience.first_wait * 2.0 ** (failures - 1), self._patience.longest_wait)
        return longest * (0.5 + self.jitter() / 2)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _rooted(path: str) -> str:
    # "@elsewhere/x" or ".elsewhere/x" behind an origin would be another host, and the token would go there (L12).
    if not path.startswith("/"):
        raise Refused(f"{path[:60]!r} is not a path from the root of the server; it was not followed")
    return path


def _without(secret: str, answer: httpx.Response) -> bytes:
    """The body; a server that echoes the credential in an error does not bring it into our messages (L10)."""
    body = answer.content
    return body if answer.status_code < 400 else body.replace(secret.rpartition(" ")[2].encode(), b"[hidden]")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds asked for by Retry-After, a number or an HTTP date measured against the server's own Date (F-28)."""
    value = headers.get("Retry-After") or headers.get("retry-after")
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        now = headers.get("Date") or headers.get("date")
        since = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(value) - since).total_seconds())
    except (TypeError, ValueError):
        return None


def _settled(answer: Response, request: Request) -> Response:
    if answer.status in REDIRECTS:
        raise Terminal(f"{request.label} was redirected; redirects are not followed because they carry the token away")
    if answer.status == 401:
        raise AuthorityError(f"{request.label}: the credentials are not accepted (401), also with a fresh token")
    return answer


def _took_too_long(answer: Response | httpx.HTTPError) -> bool:
    if isinstance(answer, Response):
        return answer.status in TOO_LONG
    return isinstance(answer, httpx.ReadTimeout | httpx.WriteTimeout)


def _reason(answer: Response | httpx.HTTPError) -> str:
    if isinstance(answer, Response):
        return f"status {answer.status} {answer.excerpt()}".strip()
    return f"{type(answer).__name__} {answer}".strip()


def json_body(value: object) -> bytes:
    """JSON bytes of a request body; ValueError for NaN and infinities, which are not JSON (B-037)."""
    try:
        body = orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    if b"null" in body:
        json.dumps(value, allow_nan=False, default=str)  # orjson writes null for them without a word
    return body
