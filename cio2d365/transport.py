"""The one HTTP client: pace, retry, origin check, redaction. Edges build a `Request` and read a `Response`.

A request goes to the configured origin only (L12); redirects are not followed. What may be sent twice is marked
`repeatable` by its builder: a write that is not, and whose end is unclear, raises OutcomeUnknown (L7). Waits follow
`Retry-After` in both of its forms, for all workers of the same identity together (L5).
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from cio2d365.errors import AuthorityError, OutcomeUnknown, Refused, SettingsError, Terminal, Transient

TRANSIENT_STATUS = frozenset({408, 429, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Request:
    """What will be sent: `path` is relative to the origin and already encoded."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    @property
    def label(self) -> str:
        """Method and path without the query, safe to show: queries can hold personal data (L10)."""
        return f"{self.method} {urlsplit(self.path).path}"


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON whatever its content type says (F-20); ValueError when it is not JSON."""
        return orjson.loads(self.body)

    def excerpt(self) -> str:
        """First 200 printable characters of the body, for messages (F-07)."""
        text = self.body[:800].decode("utf-8", "replace")
        return "".join(c if c.isprintable() else " " for c in text)[:200]


class Pace:
    """When the next request of one identity may leave: a steady rate, and pauses that bind all workers (L5)."""

    def __init__(
        self,
        per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self.waited = 0.0

    def wait(self) -> None:
        """Block until this caller's turn."""
        while (delay := self._take()) > 0:
            self.waited += delay
            self._sleep(delay)

    def pause(self, seconds: float) -> None:
        """No request of this identity leaves for so long."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

    def _take(self) -> float:
        """0 when the turn was taken, else seconds until it is worth asking again."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                return self._next - now
            self._next = now + self._gap
            return 0.0


@dataclass(frozen=True)
class Patience:
    """How long a call keeps trying: attempts after failures, and seconds for one wait and for all waits of one call.

    An answer that names the time to wait is not a failure: only `total` bounds how often it is obeyed.
    """

    attempts: int = 8
    longest_wait: float = 300.0
    total: float = 1800.0
    first_wait: float = 0.5


@dataclass
class Traffic:
    """Counts for the run log: requests that left, answers that asked to wait, repeats."""

    requests: int = 0
    throttled: int = 0
    repeated: int = 0


class Transport:
    """Sends requests to one origin.

    `authorize(fresh)` gives the Authorization header; `fresh=True` asks for a new token after a 401. `client` is the
    seam for tests: any httpx.BaseTransport.
    """

    def __init__(
        self,
        origin: str,
        authorize: Callable[[bool], str],
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
        self._jitter = jitter
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
        self._client = httpx.Client(
            transport=client, headers=dict(headers or {}), timeout=httpx.Timeout(timeout, connect=20.0), limits=limits
        )

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, request: Request) -> Response:
        """The first answer that is not transient; the caller reads its status.

        Raises Transient when patience is at an end, OutcomeUnknown when an unrepeatable write ended unclearly,
        AuthorityError on 401 after a fresh token, Terminal on a redirect.
        """
        spent, failures, fresh = 0.0, 0, False
        while True:
            answer = self._once(request, fresh)
            if isinstance(answer, Response):
                if answer.status == 401 and not fresh:
                    fresh = True
                    continue
                if answer.status not in TRANSIENT_STATUS:
                    return _settled(answer, request)
            self._refuse_blind_repeat(request, answer)
            asked = retry_after(answer.headers) if isinstance(answer, Response) else None
            failures += asked is None
            wait = self._backoff(failures) if asked is None else asked
            if failures == self._patience.attempts or spent + wait > self._patience.total:
                raise Transient(f"{request.label} at {self.origin} gave up after {spent:.0f} s: {_reason(answer)}")
            spent += wait
            self.traffic.repeated += 1
            self.pace.pause(wait)

    def relative(self, url: str) -> str:
        """Path and query of a link that the server handed out; Refused when it leads to another origin (B-114)."""
        parts = urlsplit(url)
        if parts.netloc and f"{parts.scheme}://{parts.netloc}" != self.origin:
            raise Refused(f"{self.origin} handed out a link to {parts.scheme}://{parts.netloc}; it was not followed")
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def _once(self, request: Request, fresh: bool) -> Response | httpx.HTTPError:
        self.pace.wait()
        headers = {"Authorization": self._authorize(fresh), **request.headers}
        self.traffic.requests += 1
        try:
            # relative() and the builders give paths only, so that a token cannot leave for another host
            answer = self._client.request(
                request.method, f"{self.origin}{request.path}", content=request.body, headers=headers
            )
        except httpx.InvalidURL as error:
            raise SettingsError(f"{self.origin} is not a usable address: {error}") from None
        except httpx.HTTPError as error:
            return error
        if answer.status_code == 429:
            self.traffic.throttled += 1
        return Response(answer.status_code, answer.headers, answer.content)

    def _refuse_blind_repeat(self, request: Request, answer: Response | httpx.HTTPError) -> None:
        if request.repeatable or isinstance(answer, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return
        if isinstance(answer, Response) and answer.status == 429:
            return
        raise OutcomeUnknown(f"{request.label}: whether the write happened is not known ({_reason(answer)})")

    def _backoff(self, failures: int) -> float:
        longest = min(self._patience.first_wait * 2.0 ** (failures - 1), self._patience.longest_wait)
        return longest * (0.5 + self._jitter() / 2)


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


def _reason(answer: Response | httpx.HTTPError) -> str:
    if isinstance(answer, Response):
        return f"status {answer.status} {answer.excerpt()}".strip()
    return f"{type(answer).__name__} {answer}".strip()


def json_body(value: object) -> bytes:
    """JSON bytes of a request body; NaN and infinities are refused because they are not JSON (B-037)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
