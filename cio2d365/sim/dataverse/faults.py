"""Fault plans: rules with a matcher and one action each (faults-and-bad-inputs 3.1).

A plan is `{"seed": 7, "rules": [{"match": {…}, "action": {"verb": …, …}}]}`.

`match` (all given keys must hold): `method`, `message` (see `classify`), `table` (logical names; one or a list each),
`path` (regular expression), `nth` (number or list, counted over calls that match otherwise), `every` (every n-th),
`probability`, `window` ([from, to] seconds since the plan was set), `rows_over` (more targets than), `times` (fires at
most so often), `record` ({"column", "equals" | "matches"}: a record of the body has such a value).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from .actions import SCHEMA_ACTIONS
from .address import split_path
from .errors import ServiceError
from .organization import Organization

BEFORE_VERBS = frozenset(
    {"expire_tokens", "rotate_secret", "revoke_privilege", "grant_privilege", "metadata_lag", "key_status", "clock"}
)
ANSWER_VERBS = frozenset({"status", "drop_before_commit", "reject"})
AFTER_VERBS = frozenset(
    {
        "commit_then_drop",
        "commit_then_delay",
        "commit_then_status",
        "reset_after",
        "truncate_after",
        "body",
        "corrupt_gzip",
        "slow",
    }
)
VERBS = BEFORE_VERBS | ANSWER_VERBS | AFTER_VERBS
MATCH_KEYS = frozenset(
    {"method", "message", "table", "path", "nth", "every", "probability", "window", "rows_over", "times", "record"}
)
_SCHEMA_PATHS = ("EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions")
_ROW_MESSAGES = {"GET": "Read", "POST": "Create", "PATCH": "Update", "PUT": "Update", "DELETE": "Delete"}


@dataclass(frozen=True)
class Facts:
    """What a matcher can know about a request."""

    method: str
    path: str
    message: str
    table: str
    body: bytes

    def records(self) -> list[Mapping[str, Any]]:
        """The rows in the body: the targets of a bulk message, or the body itself."""
        try:
            body = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return []
        targets = body.get("Targets", [body]) if isinstance(body, dict) else []
        return [target for target in targets if isinstance(target, dict)]


def classify(org: Organization, method: str, path: str, body: bytes) -> Facts:
    """Message and table of a request: Token, Batch, Metadata (write), MetadataRead, a bulk message, Create, Read,
    Update, Delete, or the name of a function or action."""
    try:
        segments = split_path(path.partition("?")[0])
    except ServiceError:
        return Facts(method, path, "Unknown", "", body)
    if not segments:
        return Facts(method, path, "Read", "", body)
    head = segments[0]
    if head.name in _SCHEMA_PATHS or head.bare_name in SCHEMA_ACTIONS:
        return Facts(method, path, "MetadataRead" if method == "GET" else "Metadata", "", body)
    if head.name == "$batch":
        return Facts(method, path, "Batch", "", body)
    table = org.schema.sets.get(head.name)
    if table is None:
        return Facts(method, path, head.bare_name, "", body)
    last = segments[-1].bare_name
    message = last if last.endswith("Multiple") else _ROW_MESSAGES.get(method, method)
    return Facts(method, path, message, table.name, body)


@dataclass
class Rule:
    """One rule of a plan with its counters."""

    match: Mapping[str, Any]
    action: Mapping[str, Any]
    seen: int = 0
    fired: int = 0

    @property
    def verb(self) -> str:
        """What the rule does."""
        return str(self.action["verb"])


@dataclass
class Plan:
    """The rules in force; the first one that matches acts."""

    rules: list[Rule] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(0))
    since: float = 0.0

    def pick(self, facts: Facts, elapsed: float) -> Rule | None:
        """The rule that acts on this request, counted."""
        return self._first(facts, elapsed, [rule for rule in self.rules if rule.verb != "reject"])

    def rejection(self, facts: Facts, elapsed: float) -> Rule | None:
        """The `reject` rule that a record of this request falls under."""
        return self._first(facts, elapsed, [rule for rule in self.rules if rule.verb == "reject"])

    def _first(self, facts: Facts, elapsed: float, rules: Sequence[Rule]) -> Rule | None:
        chosen = None
        for rule in rules:
            if self._concerns(rule, facts, elapsed):
                rule.seen += 1
                if chosen is None and self._due(rule):
                    rule.fired += 1
                    chosen = rule
        return chosen

    def _concerns(self, rule: Rule, facts: Facts, elapsed: float) -> bool:
        match = rule.match
        window = match.get("window")
        return (
            _among(facts.method, match.get("method"))
            and _among(facts.message, match.get("message"))
            and _among(facts.table, match.get("table"))
            and ("path" not in match or re.search(match["path"], facts.path) is not None)
            and (window is None or window[0] <= elapsed - self.since < window[1])
            and ("rows_over" not in match or len(facts.records()) > match["rows_over"])
            and ("record" not in match or any(_has(record, match["record"]) for record in facts.records()))
        )

    def _due(self, rule: Rule) -> bool:
        match, number = rule.match, rule.seen
        nth = match.get("nth")
        return (
            (nth is None or number in (nth if isinstance(nth, list) else [nth]))
            and ("every" not in match or number % match["every"] == 0)
            and ("times" not in match or rule.fired < match["times"])
            and ("probability" not in match or self.random.random() < match["probability"])
        )


def _among(value: str, wanted: Any) -> bool:
    if wanted is None:
        return True
    return value in wanted if isinstance(wanted, list) else value == wanted


def _has(record: Mapping[str, Any], predicate: Mapping[str, Any]) -> bool:
    column = predicate.get("column")
    values = list(record.values()) if column is None else [record[column]] if column in record else []
    if "matches" in predicate:
        return any(isinstance(value, str) and re.search(predicate["matches"], value) for value in values)
    return predicate.get("equals") in values


def read_plan(data: Any, elapsed: float) -> Plan:
    """A plan from JSON. Raises ValueError that names what is wrong."""
    rules = data if isinstance(data, list) else data.get("rules") if isinstance(data, dict) else None
    if not isinstance(rules, list):
        raise ValueError("a fault plan is a list of rules or an object with 'rules'")
    seed = data.get("seed", 0) if isinstance(data, dict) else 0
    return Plan([_rule(rule) for rule in rules], random.Random(seed), elapsed)


def _rule(data: Any) -> Rule:
    match, action = data.get("match", {}), data.get("action", {})
    unknown = set(match) - MATCH_KEYS
    if unknown:
        raise ValueError(f"unknown match keys: {', '.join(sorted(unknown))}")
    if action.get("verb") not in VERBS:
        raise ValueError(f"unknown verb '{action.get('verb')}'; known are {', '.join(sorted(VERBS))}")
    return Rule(match, action)
