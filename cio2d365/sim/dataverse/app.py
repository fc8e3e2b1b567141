"""The ASGI application: API, token endpoint, control API."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from .context import ANY_ROOT, Context, error_answer
from .control import control_routes
from .errors import ServiceError, unknown_segment
from .faults import ANSWER_VERBS, Facts, Rule
from .journal import Entry
from .oauth import TokenError
from .people import form_page, redirect_target
from .service import Service
from .wire import Drop, given_answer, response_for

_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE"]
_LONGEST_URL = 32_768
Endpoint = Callable[[Request], Awaitable[Response]]


class _Application(Starlette):
    """Remembers the connection of each request, so that a fault can cut it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn hands out `send` as a method of the object that holds the transport; other servers do not.
        scope["sim.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


def create_app(
    *, state_dir: Path | None, tenant_id: str, client_id: str, client_secret: str, seed: int = 0
) -> Starlette:
    """The Dataverse simulator as an ASGI application.

    With `state_dir` everything lives in one SQLite file there and survives a restart; without it in memory.
    `seed` makes ids of a fresh organisation repeatable (0 = random).
    """
    service = Service(state_dir, tenant_id, client_id, client_secret, seed)
    app = _Application(routes=_routes(service), exception_handlers={404: _no_such_address})
    app.state.service = service
    return app


async def _no_such_address(request: Request, error: Exception) -> Response:
    return response_for(error_answer(unknown_segment(request.url.path)), None)


def _routes(service: Service) -> list[BaseRoute]:
    return [
        Route("/api/data/v{version}/{rest:path}", _api(service), methods=_METHODS),
        Route("/api/data/v{version}", _api(service), methods=_METHODS),
        *control_routes(service),
        Route("/{tenant}/oauth2/v2.0/token", _token(service), methods=["POST"]),
        Route("/{tenant}/oauth2/token", _token(service), methods=["POST"]),
        Route("/{tenant}/oauth2/v2.0/devicecode", _device(service), methods=["POST"]),
        Route("/{tenant}/oauth2/v2.0/authorize", _authorize(service)),
        Route("/{tenant}/discovery/v2.0/keys", _keys(service)),
        Route("/{tenant}/v2.0/.well-known/openid-configuration", _openid(service)),
        Route("/common/discovery/instance", _discovery),
    ]


def origin_of(request: Request) -> str:
    """Scheme, host and port under which the client reached us."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def _split_root(request: Request) -> tuple[str, str]:
    """The API root with the version that was asked for, and the decoded path below it."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = raw.decode("latin-1").partition("?")[0]
    found = ANY_ROOT.match(path if path.count("/") > 3 else path + "/")
    return (found.group(), unquote(path[found.end() :])) if found else ("", unquote(path))


def _api(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        (root, path), query = _split_root(request), request.scope["query_string"].decode("latin-1")
        entry = service.arrive(request.method, path + ("?" + query if query else ""))
        entry.identity = service.identity(request.headers)
        if len(entry.path) > _LONGEST_URL:
            entry.status = 414
            return Response(status_code=414)
        if not root:
            return _refused(service, unknown_segment(path), entry)
        body = await request.body()
        if len(body) > service.org.switches.max_body_bytes:
            entry.status = 413
            return Response(status_code=413)
        facts = service.facts(request.method, path, body)
        rule = service.choose_fault(facts, entry)
        if rule is not None and rule.verb in ANSWER_VERBS:
            return _without_commit(service, rule, entry)
        try:
            context = service.enter(facts, path, query, dict(request.headers), body, origin_of(request))
        except ServiceError as error:
            return _refused(service, error, entry)
        context.api_root = root
        return await _executed(service, context, facts, entry, rule)

    return endpoint


def _refused(service: Service, error: ServiceError, entry: Entry) -> Response:
    entry.status, entry.code = error.status, error.code
    return response_for(service.decorate(error_answer(error)), None)


def _without_commit(service: Service, rule: Rule, entry: Entry) -> Response:
    if rule.verb == "drop_before_commit":
        return Drop()
    answer = service.decorate(given_answer(rule.action))
    entry.status, entry.code = answer.status, str(rule.action.get("error_code", ""))
    return response_for(answer, None)


async def _executed(service: Service, context: Context, facts: Facts, entry: Entry, rule: Rule | None) -> Response:
    action = rule.action if rule else None
    context.only_parts = action.get("parts") if action else None
    try:
        answer = await to_thread.run_sync(service.execute, context, entry)
        if rule is not None and rule.verb == "commit_then_delay":
            await asyncio.sleep(float(rule.action.get("seconds", 1.0)))
    finally:
        service.leave(context, facts)
    entry.status = answer.status
    if rule is not None and rule.verb == "commit_then_drop":
        entry.status = 0
    return response_for(service.decorate(answer, context.real_caller), action)


def _dated(service: Service, body: object, status: int = 200) -> Response:
    """JSON with the server's own time, which a client with a wrong clock needs."""
    return JSONResponse(body, status, {"Date": format_datetime(service.org.clock.now(), usegmt=True)})


def basic_credentials(header: str) -> dict[str, str]:
    """Client id and secret of a Basic header, which the authority takes in place of form fields (RFC 6749, 2.3.1)."""
    scheme, _, packed = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        name, _, secret = base64.b64decode(packed, validate=True).decode().partition(":")
    except ValueError:
        return {}
    return {"client_id": unquote(name), "client_secret": unquote(secret)}


def _token(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        entry = service.arrive("POST", request.url.path)
        named = basic_credentials(request.headers.get("authorization", ""))
        form = named | dict(parse_qsl((await request.body()).decode()))
        entry.identity = form.get("client_id", "")
        rule = service.choose_fault(Facts("POST", request.url.path, "Token", "", b""), entry)
        if rule is not None and rule.verb in ANSWER_VERBS:
            return _without_commit(service, rule, entry)
        try:
            answer = service.authority.token(request.path_params["tenant"], form, origin_of(request))
        except TokenError as error:
            entry.status, entry.code = error.status, str(error.body["error"])
            return _dated(service, error.body, error.status)
        entry.status = 200
        return _dated(service, answer)

    return endpoint


def _device(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        entry = service.arrive("POST", request.url.path)
        form = dict(parse_qsl((await request.body()).decode()))
        try:
            service.authority.require_tenant(request.path_params["tenant"])
            answer = service.authority.people.start_device(form, origin_of(request))
        except TokenError as error:
            entry.status, entry.code = error.status, str(error.body["error"])
            return _dated(service, error.body, error.status)
        entry.status = 200
        return _dated(service, answer)

    return endpoint


def _authorize(service: Service) -> Endpoint:
    """The page where a person signs in; it does not ask, it answers at once."""

    async def endpoint(request: Request) -> Response:
        query = dict(request.query_params)
        try:
            service.authority.require_tenant(request.path_params["tenant"])
            back = service.authority.people.authorize(query, origin_of(request))
        except TokenError as error:
            return JSONResponse(error.body, error.status)
        if query.get("response_mode") == "form_post":
            return HTMLResponse(form_page(query["redirect_uri"], back))
        return RedirectResponse(redirect_target(query["redirect_uri"], back), 302)

    return endpoint


def _keys(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(service.authority.people.keys())

    return endpoint


def _openid(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            service.authority.require_tenant(request.path_params["tenant"])
        except TokenError as error:
            return _dated(service, error.body, error.status)
        base = f"{origin_of(request)}/{request.path_params['tenant']}"
        return _dated(
            service,
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_modes_supported": ["query", "form_post"],
                "code_challenge_methods_supported": ["S256"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
        )

    return endpoint


async def _discovery(request: Request) -> Response:
    host = request.headers.get("host", "")
    return JSONResponse(
        {
            "tenant_discovery_endpoint": f"{origin_of(request)}/common/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }
    )
