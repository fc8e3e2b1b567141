"""The life of one API request: faults, identity, limits, execution under the lock, answer, journal."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from .auth import Authority
from .batch import run_batch
from .context import Answer, Context, error_answer
from .errors import ServiceError
from .faults import Facts, Plan, Rule, classify
from .journal import Entry, Journal
from .keys import resume_keys
from .limits import Limits
from .organization import Organization
from .routes import handle

# A mistake of the simulator's own: told in the service's form, with the trace in the log only.
_BROKEN = ServiceError(500, "0x80040216", "An unexpected error occurred.")


class Service:
    """An organisation together with its doorkeepers."""

    def __init__(self, state_dir: Path | None, tenant_id: str, client_id: str, client_secret: str, seed: int) -> None:
        self.org = Organization(state_dir, tenant_id, client_id, seed)
        self.authority = Authority(self.org, tenant_id, client_id, client_secret)
        self.journal = Journal(int(self.org.store.get_meta("journal") or 1), self._reserve_journal)
        self.limits = Limits(self.org.clock)
        self.plan = Plan()
        self.customizing = False
        self.customized_until = 0.0
        resume_keys(self.org)

    def _reserve_journal(self, until: int) -> None:
        with self.org.store.lock:
            self.org.store.set_meta("journal", str(until))

    def reset(self) -> None:
        """A new organisation: no rows, no custom schema, no faults, no usage, real time."""
        with self.org.store.lock:
            self.org.clock.release()
            self.org.reset()
            self.journal.clear()
            self.limits.reset()
            self.plan = Plan()
            self.authority.reset()
            self.customized_until = 0.0

    def arrive(self, method: str, path: str) -> Entry:
        """Open the journal entry of a request."""
        self.org.requests_seen += 1
        return self.journal.open(time.time(), self.org.clock.elapsed(), self.org.clock.now_text(), method, path)

    def choose_fault(self, facts: Facts, entry: Entry) -> Rule | None:
        """The rule that acts on a request; changes of authority, metadata and clock happen here and now."""
        rule = self.plan.pick(facts, self.org.clock.elapsed())
        if rule is None:
            return None
        entry.fault = rule.verb
        change = _CHANGES.get(rule.verb)
        if change is None:
            return rule
        change(self, rule.action)
        return None

    def identity(self, headers: Mapping[str, str]) -> str:
        """The user behind a token, empty when there is none."""
        try:
            return self.authority.bearer(headers.get("authorization", ""))
        except ServiceError:
            return ""

    def facts(self, method: str, path: str, body: bytes) -> Facts:
        """What fault matchers can know about a request."""
        return classify(self.org, method, path, body)

    def enter(
        self, facts: Facts, path: str, query: str, headers: Mapping[str, str], body: bytes, origin: str
    ) -> Context:
        """The request as handlers see it. Raises 401 or 429 for callers who may not enter.

        Nothing here waits for the store: requests that wait for it must count as running at once.
        """
        caller = self.authority.bearer(headers.get("authorization", ""))
        if facts.message == "Metadata":
            self._lock_customization()
        try:
            self.limits.admit(caller)
        except ServiceError:
            self.customizing = self.customizing and facts.message != "Metadata"
            raise
        return Context(self.org, facts.method, path, query, headers, body, origin, caller, caller)

    def _lock_customization(self) -> None:
        """Only one schema change runs at a time (dataverse-api 9.2, faults F-09)."""
        if self.customizing or self.org.clock.elapsed() < self.customized_until:
            raise ServiceError(
                429,
                "0x80071151",
                "Cannot start the requested operation [EntityCustomization] because there is another "
                "[EntityCustomization] running at this moment. Use Solution History for more details.",
            )
        self.customizing = True

    def leave(self, context: Context, facts: Facts) -> None:
        """The request has ended, however it ended."""
        self.limits.release(context.real_caller, context.rows_touched)
        if facts.message == "Metadata":
            self.customizing = False
            self.customized_until = self.org.clock.elapsed() + self.org.switches.customization_seconds

    def execute(self, context: Context, entry: Entry) -> Answer:
        """Run a request to its answer; errors become answers too."""
        with self.org.store.lock:
            try:
                context.caller = self.authority.effective(context.real_caller, context.headers)
                answer = self._run(context)
            except ServiceError as error:
                answer = error_answer(error, context.annotations)
                entry.code = error.code
            except Exception:
                logging.exception("%s %s", context.method, context.path)
                answer = error_answer(_BROKEN)
                entry.code = _BROKEN.code
            entry.committed = self.org.store.take_committed()
        return answer

    def _run(self, context: Context) -> Answer:
        if context.path.strip("/") == "$batch" and context.method == "POST":
            return run_batch(context, self._run_one)
        return self._run_one(context)

    def _run_one(self, context: Context) -> Answer:
        if self.plan.rules:
            self._reject(context)
        return handle(context)

    def _reject(self, context: Context) -> None:
        facts = self.facts(context.method, context.path, context.body)
        rule = self.plan.rejection(facts, self.org.clock.elapsed())
        if rule is not None:
            action = rule.action
            raise ServiceError(
                int(action.get("status", 400)),
                str(action.get("code", "0x80040265")),
                str(action.get("message", "ISV code aborted the operation.")),
            )

    def decorate(self, answer: Answer, caller: str | None = None) -> Answer:
        """The headers that every answer of the service carries."""
        common = {
            "OData-Version": "4.0",
            "Date": format_datetime(self.org.clock.now(), usegmt=True),
            "x-ms-service-request-id": str(uuid.uuid4()),
            "x-ms-dop-hint": str(self.org.switches.dop_hint),
            "Cache-Control": "no-cache",
        }
        remaining = self.limits.remaining(caller) if caller else {}
        return replace(answer, headers={**common, **remaining, **answer.headers})


Action = Mapping[str, Any]


def _expire_tokens(service: Service, action: Action) -> None:
    service.authority.expire_all(include_dev_token=bool(action.get("dev_token", False)))


def _rotate_secret(service: Service, action: Action) -> None:
    service.authority.rotate(action.get("secret"), expired=bool(action.get("expired", False)))


def _revoke(service: Service, action: Action) -> None:
    service.org.switches.revoked.add((str(action.get("table", "*")), str(action.get("right", "*"))))


def _grant(service: Service, action: Action) -> None:
    service.org.switches.revoked.discard((str(action.get("table", "*")), str(action.get("right", "*"))))


def _lag(service: Service, action: Action) -> None:
    service.org.switches.metadata_lag_requests = int(action.get("requests", 0))
    service.org.switches.metadata_lag_seconds = float(action.get("seconds", 0.0))


def _key_status(service: Service, action: Action) -> None:
    service.org.switches.key_path = tuple(action.get("path", ("Pending", "InProgress", "Active")))
    service.org.switches.key_seconds = float(action.get("seconds", 1e9))


def move_clock(service: Service, action: Action) -> None:
    """Change the server clock: `skew`, `jump`, `advance` (seconds), `virtual`, `release`."""
    clock = service.org.clock
    if action.get("release"):
        clock.release()
    if action.get("virtual"):
        clock.freeze()
    clock.shift(float(action.get("skew", 0.0)) + float(action.get("jump", 0.0)))
    if action.get("advance"):
        clock.advance(float(action["advance"]))


_CHANGES = {
    "expire_tokens": _expire_tokens,
    "rotate_secret": _rotate_secret,
    "revoke_privilege": _revoke,
    "grant_privilege": _grant,
    "metadata_lag": _lag,
    "key_status": _key_status,
    "clock": move_clock,
}
