"""The control API under `/_control`: what really happened, and the switches of a test.

JSON, without authentication, for clients on this machine only. `docs/simulators-dataverse.md` is its manual.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .faults import read_plan
from .limits import configure
from .privileges import define_role
from .seeds import role_row, user_row
from .service import Service, move_clock
from .store import quoted

Action = Callable[[Service, Request, Any], Any]
_ROLE = "Salesperson"


def control_routes(service: Service) -> list[BaseRoute]:
    """All control endpoints."""
    return [Route(f"/_control/{path}", _endpoint(service, run), methods=[verb]) for verb, path, run in _ENDPOINTS]


def _endpoint(service: Service, run: Action) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not _is_local(request):
            return JSONResponse({"error": "the control API answers this machine only"}, 403)
        try:
            body = orjson.loads(await request.body() or b"{}")
            return JSONResponse(run(service, request, body))
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)

    return endpoint


def _is_local(request: Request) -> bool:
    host = request.client.host if request.client else "127.0.0.1"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("testclient", "localhost")


def _journal(service: Service, request: Request, body: Any) -> Any:
    return service.journal.since(int(request.query_params.get("since", "0")))


def _rows(service: Service, request: Request, body: Any) -> Any:
    return stored_rows(service, request.path_params["table"])


def stored_rows(service: Service, table: str) -> list[dict[str, object]]:
    """All rows of a table as they are stored (empty columns left out). Raises KeyError for an unknown table."""
    with service.org.store.lock:
        name = service.org.schema.tables[table].name
        cursor = service.org.store.connection.execute(f"SELECT * FROM {quoted(name)}")
        names = [item[0] for item in cursor.description]
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in cursor]


def _counts(service: Service, request: Request, body: Any) -> Any:
    return row_counts(service)


def row_counts(service: Service) -> dict[str, int]:
    """Rows per table, empty tables left out."""
    with service.org.store.lock:
        counts = {
            name: int(service.org.store.query(f"SELECT count(*) FROM {quoted(name)}")[0][0])
            for name in service.org.schema.tables
        }
    return {name: number for name, number in counts.items() if number}


def _set_faults(service: Service, request: Request, body: Any) -> Any:
    service.plan = read_plan(body, service.org.clock.elapsed())
    return {"rules": len(service.plan.rules)}


def _get_faults(service: Service, request: Request, body: Any) -> Any:
    return [
        {"match": rule.match, "action": rule.action, "seen": rule.seen, "fired": rule.fired}
        for rule in service.plan.rules
    ]


def _clear_faults(service: Service, request: Request, body: Any) -> Any:
    service.plan = read_plan([], service.org.clock.elapsed())
    service.org.switches.revoked.clear()
    service.authority.dev_token_valid = True
    return {"rules": 0}


def _clock(service: Service, request: Request, body: Any) -> Any:
    move_clock(service, body)
    return {"now": service.org.clock.now_text(), "elapsed": service.org.clock.elapsed()}


def _limits(service: Service, request: Request, body: Any) -> Any:
    configure(service.limits.settings, body)
    return vars(service.limits.settings)


def _switches(service: Service, request: Request, body: Any) -> Any:
    """Set switches of the organisation by name. Raises KeyError for an unknown one."""
    switches = service.org.switches
    for name, value in body.items():
        if name not in vars(switches) or name == "revoked":
            raise KeyError(name)
        setattr(switches, name, type(getattr(switches, name))(value))
    return {name: value for name, value in vars(switches).items() if name != "revoked"}


def _reset(service: Service, request: Request, body: Any) -> Any:
    service.reset()
    return {"organization_id": service.org.id}


def _add_user(service: Service, request: Request, body: Any) -> Any:
    """A new user; `role: null` leaves the user without one, `token: true` also signs in."""
    org = service.org
    mail = body.get("internalemailaddress", f"{body.get('lastname', 'user').lower()}@contoso.com")
    more = {name: value for name, value in body.items() if name not in ("role", "token")}
    names = more.pop("firstname", "New"), more.pop("lastname", "User")
    more.pop("internalemailaddress", None)
    row = user_row(org, org.business_unit, *names, mail, **_stored(more))
    with org.store.lock, org.store.transaction():
        _insert(service, "systemuser", row)
        if body.get("role", _ROLE):
            _insert(service, *role_row(org, row["systemuserid"], _role_id(service, body.get("role", _ROLE))))
    token = service.authority.issue_for(row["systemuserid"]) if body.get("token") else None
    return {"systemuserid": row["systemuserid"], "token": token}


def _add_role(service: Service, request: Request, body: Any) -> Any:
    """A role by `name` with its `privileges` {name: depth}; `users` have this role and no other afterwards."""
    org, name = service.org, str(body["name"])
    with org.store.lock, org.store.transaction():
        define_role(org, name, body.get("privileges", {}))
        if not org.store.query("SELECT 1 FROM role WHERE name = ?", (name,)):
            _insert(service, "role", {"roleid": org.new_id(), "name": name, "businessunitid": org.business_unit})
        role = _role_id(service, name)
        for user in body.get("users", ()):
            org.store.execute("DELETE FROM systemuserroles WHERE systemuserid = ?", (user,))
            _insert(service, *role_row(org, user, role))
    return {"roleid": role}


def _change_user(service: Service, request: Request, body: Any) -> Any:
    user_id = request.path_params["id"]
    changes = _stored(body)
    with service.org.store.lock:
        known = service.org.schema.tables["systemuser"].columns
        listed = ", ".join(f"{quoted(known[name].name)} = ?" for name in changes)
        sql = f"UPDATE systemuser SET {listed} WHERE systemuserid = ?"
        touched = service.org.store.execute(sql, [*changes.values(), user_id])
    return {"changed": touched}


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}


def _role_id(service: Service, name: str) -> str:
    rows = service.org.store.query("SELECT roleid FROM role WHERE fold(name) = fold(?)", (name,))
    if not rows:
        raise KeyError(name)
    return str(rows[0][0])


def _insert(service: Service, table: str, row: dict[str, Any]) -> None:
    known = service.org.schema.tables[table].columns
    stamped = {**row, "versionnumber": service.org.store.reserve_versions()}
    for name in stamped:
        known[name]
    listed, marks = ", ".join(map(quoted, stamped)), ", ".join("?" * len(stamped))
    service.org.store.execute(f"INSERT INTO {quoted(table)} ({listed}) VALUES ({marks})", list(stamped.values()))


def _token(service: Service, request: Request, body: Any) -> Any:
    return {"token": service.authority.issue_for(body.get("user") or service.org.app_user)}


def _secret(service: Service, request: Request, body: Any) -> Any:
    service.authority.rotate(body.get("secret"), expired=bool(body.get("expired", False)))
    return {"rotated": True}


def _applications(service: Service, request: Request, body: Any) -> Any:
    found = service.authority.register(body)
    return {"client_id": found.client_id, "certificates": len(found.certificates)}


def _sign_in(service: Service, request: Request, body: Any) -> Any:
    return service.authority.people.behave(body)


_ENDPOINTS: list[tuple[str, str, Action]] = [
    ("GET", "journal", _journal),
    ("GET", "rows/{table}", _rows),
    ("GET", "counts", _counts),
    ("GET", "faults", _get_faults),
    ("POST", "faults", _set_faults),
    ("DELETE", "faults", _clear_faults),
    ("POST", "clock", _clock),
    ("POST", "limits", _limits),
    ("POST", "switches", _switches),
    ("POST", "reset", _reset),
    ("POST", "users", _add_user),
    ("PATCH", "users/{id}", _change_user),
    ("POST", "roles", _add_role),
    ("POST", "tokens", _token),
    ("POST", "secret", _secret),
    ("POST", "applications", _applications),
    ("POST", "sign_in", _sign_in),
]
