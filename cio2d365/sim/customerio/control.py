"""The control API under `/_control/`: JSON, no key, for tests and demos on loopback.

`GET journal?since=SEQ`, `GET counts`, `GET totals` (what the workspace holds), `GET|POST|DELETE faults`,
`GET|POST settings`, `GET|POST clock` (`{"now": unix}`, `{"advance": seconds}` or `{"real": true}`), `POST reset`
(workspace, settings, faults and journal as at the start).
"""

import json
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

from cio2d365.sim.customerio.call import Answer
from cio2d365.sim.customerio.faults import Plan
from cio2d365.sim.customerio.journal import Journal
from cio2d365.sim.customerio.settings import Settings
from cio2d365.sim.customerio.simulator import Request, State
from cio2d365.sim.customerio.workspace import Clock, Workspace

Verb = Callable[[State, Request], Any]


def control(state: State, request: Request) -> Answer:
    """Answer a control request; 400 with `error` when its body makes no sense."""
    verb = VERBS.get((request.method, request.raw_path.removeprefix("/_control/")))
    if verb is None:
        return Answer.of_json({"error": "unknown control path"}, 404)
    try:
        return Answer.of_json(verb(state, request))
    except (ValueError, TypeError, KeyError) as error:
        return Answer.of_json({"error": str(error)}, 400)


def _body(request: Request) -> Any:
    return json.loads(request.content or b"{}")


def _journal(state: State, request: Request) -> Any:
    return state.journal.since(int(parse_qs(request.query).get("since", ["0"])[0]))


def _counts(state: State, request: Request) -> Any:
    return {"total": state.journal.total, "endpoints": state.journal.counts()}


def totals(workspace: Workspace) -> dict[str, Any]:
    """What a workspace holds, for control totals."""
    things = Counter(thing.type_id for thing in workspace.things.values())
    return {
        "now": workspace.clock.now(),
        "people": len(workspace.people),
        "unsubscribed": sum(person.unsubscribed for person in workspace.people.values()),
        "departed": len(workspace.departed),
        "objects": dict(sorted(things.items())),
        "relationships": sum(1 for _ in workspace.ties()),
        "activities": dict(sorted(Counter(a.type for a in workspace.activities).items())),
        "deliveries": len(workspace.deliveries),
        "segments": len(workspace.segments),
        "content": {name: len(rows) for name, rows in sorted(workspace.content.items())},
    }


def _totals(state: State, request: Request) -> Any:
    return totals(state.workspace)


def _faults(state: State, request: Request) -> Any:
    return {"rules": [asdict(rule) for rule in state.plan.rules]}


def _set_faults(state: State, request: Request) -> Any:
    state.plan = Plan.of_json(_body(request))
    return _faults(state, request)


def _clear_faults(state: State, request: Request) -> Any:
    state.plan = Plan()
    return _faults(state, request)


def _settings(state: State, request: Request) -> Any:
    return asdict(state.settings)


def _set_settings(state: State, request: Request) -> Any:
    state.settings = state.settings.changed(_body(request))
    return asdict(state.settings)


def _clock(state: State, request: Request) -> Any:
    return {"now": state.workspace.clock.now(), "fixed": state.workspace.clock.fixed is not None}


def _set_clock(state: State, request: Request) -> Any:
    body, clock = _body(request), state.workspace.clock
    if body.get("real"):
        state.workspace.clock = Clock()
    else:
        state.workspace.clock = Clock(int(body["now"]) if "now" in body else clock.now() + int(body["advance"]))
    return _clock(state, request)


def _reset(state: State, request: Request) -> Any:
    if state.original is not None:
        state.workspace, state.original = pickle.loads(state.original), None
    state.workspace.clock = state.start_clock
    state.workspace.cache.clear()
    state.writes.clear()
    state.settings, state.plan, state.journal = Settings(), Plan(), Journal()
    return totals(state.workspace)


VERBS: dict[tuple[str, str], Verb] = {
    ("GET", "journal"): _journal,
    ("GET", "counts"): _counts,
    ("GET", "totals"): _totals,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _set_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _set_settings,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _set_clock,
    ("POST", "reset"): _reset,
}
