"""The ASGI application: routes a request, checks key and pace, applies faults, keeps the journal."""

import asyncio
import base64
import binascii
import hmac
import pickle
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from cio2d365.sim.customerio import faults, wire
from cio2d365.sim.customerio.call import Answer, Call, Endpoint, decoded
from cio2d365.sim.customerio.errors import ApiError, EmptyResult, TrackError
from cio2d365.sim.customerio.journal import Journal
from cio2d365.sim.customerio.pace import Window
from cio2d365.sim.customerio.settings import Settings
from cio2d365.sim.customerio.workspace import Clock, Workspace
from cio2d365.sim.customerio.writelog import Write, WriteLog

TRACK_PER_SECOND = 1000


@dataclass(frozen=True)
class Keys:
    """What a client must present: a bearer key for the App API, site id and key for the Track API."""

    app_api_key: str
    site_id: str
    track_api_key: str


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    content: bytes
    scheme: str
    arrived: float
    monotonic: float

    @property
    def api(self) -> str:
        """Which of the APIs on this origin it is for."""
        return "track" if self.raw_path.startswith("/api/") else "app"


@dataclass
class State:
    """Everything that changes while the simulator runs."""

    workspace: Workspace
    settings: Settings = field(default_factory=Settings)
    plan: faults.Plan = field(default_factory=faults.Plan)
    journal: Journal = field(default_factory=Journal)
    app_window: Window = field(default_factory=lambda: Window(10))
    track_window: Window = field(default_factory=lambda: Window(TRACK_PER_SECOND))
    writes: WriteLog = field(default_factory=lambda: WriteLog(None))
    original: bytes | None = None
    start_clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.start_clock = self.workspace.clock

    def before_write(self) -> None:
        """Keep the workspace as it was before its first change, for a reset."""
        if self.original is None:
            self.original = pickle.dumps(self.workspace)


class Simulator:
    """Both APIs and the control API of one workspace on one origin."""

    def __init__(self, state: State, keys: Keys, app: list[Endpoint], track: list[Endpoint], control: Any) -> None:
        self.state = state
        self.keys = keys
        self.app = app
        self.track = track
        self.control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived, monotonic = time.time(), time.monotonic()
        request = _request(scope, await wire.body_of(receive), arrived, monotonic)
        if request.raw_path.startswith("/_control/"):
            await wire.deliver(send, self.control(self.state, request), None)
            return
        endpoint, raw = self._route(request)
        await self._serve(request, endpoint, raw, send)

    def _route(self, request: Request) -> tuple[Endpoint | None, dict[str, str]]:
        parts = request.raw_path.split("/")
        for endpoint in self.track if request.api == "track" else self.app:
            if endpoint.matches(request.method, parts):
                return endpoint, endpoint.parameters(parts)
        return None, {}

    async def _serve(self, request: Request, endpoint: Endpoint | None, raw: dict[str, str], send: Send) -> None:
        template = endpoint.template if endpoint else "(unknown)"
        now = self.state.workspace.clock.now()
        seen = faults.Seen(request.method, request.raw_path, template, request.content, now)
        action = self.state.plan.action_for(seen)
        verb = action["verb"] if action else None
        if action and verb == "delay":
            await asyncio.sleep(float(action["seconds"]))
        if action and verb in ("status", "drop_before_commit"):
            answer, committed = faults.canned({"code": 503, **action}), False
        else:
            version = self.state.workspace.version
            answer = self._answer(request, endpoint, raw)
            committed = self.state.workspace.version != version
        dropped = verb in ("drop_before_commit", "commit_then_drop")
        self._note(request, template, None if dropped else answer, verb, committed)
        if action and verb == "commit_then_delay":
            await asyncio.sleep(float(action["seconds"]))
        if dropped:
            await wire.hang_up(send, reset=False)
            return
        await wire.deliver(send, faults.reshaped(action, answer) if action else answer, action)

    def _note(self, request: Request, template: str, answer: Answer | None, verb: str | None, committed: bool) -> None:
        self.state.journal.add(
            arrived=request.arrived,
            monotonic=request.monotonic,
            api=request.api,
            method=request.method,
            path=request.raw_path,
            query=request.query,
            endpoint=template,
            status=answer.status if answer else None,
            fault=verb,
            committed=committed,
            bytes_in=len(request.content),
            bytes_out=len(answer.body) if answer else 0,
            retry_count=request.headers.get("x-retry-count"),
            authorized="authorization" in request.headers,
        )

    def _answer(self, request: Request, endpoint: Endpoint | None, raw: dict[str, str]) -> Answer:
        try:
            self._admit(request)
            if endpoint is None:
                raise ApiError(404, "not found")
            return self._handled(request, endpoint, raw)
        except EmptyResult:
            return Answer.of_json(endpoint.empty if endpoint else {})
        except TrackError as error:
            return Answer.of_json({"errors": [error.as_json()]}, error.status)
        except ApiError as error:
            return refusal(request.api, error)

    def _handled(self, request: Request, endpoint: Endpoint, raw: dict[str, str]) -> Answer:
        """Run the handler; a call that changed the workspace, even in part, is kept for the next start."""
        now, version = self.state.workspace.clock.now(), self.state.workspace.version
        if request.api == "track" and request.method != "GET":
            self.state.before_write()
        try:
            result = endpoint.handler(self._call(request, raw, now))
        finally:
            if self.state.workspace.version != version:
                write = Write(request.method, request.raw_path, request.query, request.content, now)
                self.state.writes.append(write)
        return result if isinstance(result, Answer) else Answer.of_json(result)

    def replay(self) -> None:
        """Apply the kept writes to the workspace, at the times they had."""
        for write in self.state.writes.kept():
            self.state.before_write()
            request = Request(write.method, write.raw_path, write.query, {}, write.content, "http", 0.0, 0.0)
            endpoint, raw = self._route(request)
            if endpoint is not None:
                with suppress(ApiError, TrackError):
                    endpoint.handler(self._call(request, raw, write.at))

    def _call(self, request: Request, raw: dict[str, str], now: int) -> Call:
        return Call(
            now=now,
            workspace=self.state.workspace,
            settings=self.state.settings,
            method=request.method,
            path=decoded(raw),
            raw=raw,
            query=dict(parse_qsl(request.query, keep_blank_values=True)),
            headers=request.headers,
            content=request.content,
            origin=f"{request.scheme}://{request.headers.get('host', '127.0.0.1')}",
        )

    def _admit(self, request: Request) -> None:
        if request.raw_path.startswith("/v1/_files/"):
            return
        if request.api == "track":
            self._admit_track(request)
        else:
            self._admit_app(request)

    def _admit_track(self, request: Request) -> None:
        expected = f"{self.keys.site_id}:{self.keys.track_api_key}"
        if not _same(_basic(request.headers.get("authorization", "")), expected):
            raise ApiError(401, "Unauthorized request")
        if not self.state.track_window.admits(request.monotonic):
            raise ApiError(429, "too many requests", {"retry-after": "1"})

    def _admit_app(self, request: Request) -> None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not _same(key.strip(), self.keys.app_api_key):
            raise ApiError(401, "unauthorized")
        if request.raw_path.startswith(self.state.settings.denied or ("\0",)):
            raise ApiError(403, "the scope of this key does not cover the endpoint")
        self._pace(request)

    def _pace(self, request: Request) -> None:
        settings, window = self.state.settings, self.state.app_window
        self.state.app_window = window = replace(window, limit=settings.requests_per_second)
        if not window.admits(request.monotonic):
            reference = f"{self.state.journal.total + 1:06x}"
            detail = f"rate limited to {window.limit} requests per 1s (reference {reference})"
            raise ApiError(429, detail, {"retry-after": "1"} if settings.retry_after else {})


def refusal(api: str, error: ApiError) -> Answer:
    """An error answer in the shape of its API: `errors` for the App API, `meta` for Track v1."""
    if api == "track":
        meta = {"errors": [error.detail]} if error.status == 400 else {"error": error.detail}
        return Answer.of_json({"meta": meta}, error.status, error.headers)
    body = {"errors": [{"detail": error.detail, "status": str(error.status)}]}
    return Answer.of_json(body, error.status, error.headers)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _basic(header: str) -> str:
    kind, _, encoded = header.partition(" ")
    try:
        return base64.b64decode(encoded).decode() if kind.lower() == "basic" else ""
    except (binascii.Error, UnicodeError):
        return ""


def _request(scope: Scope, content: bytes, arrived: float, monotonic: float) -> Request:
    raw_path = scope.get("raw_path") or scope["path"].encode()
    return Request(
        method=scope["method"],
        raw_path=raw_path.split(b"?")[0].decode("latin-1"),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        content=content,
        scheme=scope.get("scheme", "http"),
        arrived=arrived,
        monotonic=monotonic,
    )
