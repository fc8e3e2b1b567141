"""Faults on demand. A plan is `{"seed": n, "rules": [{"match": {...}, "action": {"verb": ..., ...}}]}`.

`match` (all that are given must hold): `method`; `path` (a prefix of the raw path); `endpoint` (a route
template, as the journal names it); `contains` (text in the request body); `nth` (the nth request that the rest
matches, from 1); `every` (each nth); `probability`; `from` and `until` (unix seconds of the workspace clock);
`times` (stop after so many hits).

Verbs: `status` (code, headers, body), `drop_before_commit`, `commit_then_drop`, `commit_then_delay` (seconds),
`commit_then_status` (code, headers, body), `reset_after` (bytes), `truncate_after` (bytes), `body` (text,
content_type), `corrupt_gzip`, `slow` (bytes_per_second), `delay` (seconds).
"""

import gzip
import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

from cio2d365.sim.customerio.call import Answer

NEEDS: dict[str, tuple[str, ...]] = {
    "status": ("code",),
    "drop_before_commit": (),
    "commit_then_drop": (),
    "commit_then_delay": ("seconds",),
    "commit_then_status": ("code",),
    "reset_after": ("bytes",),
    "truncate_after": ("bytes",),
    "body": ("text",),
    "corrupt_gzip": (),
    "slow": ("bytes_per_second",),
    "delay": ("seconds",),
}
MATCHERS = frozenset(
    ["method", "path", "endpoint", "contains", "nth", "every", "probability", "from", "until", "times"]
)


@dataclass(frozen=True)
class Seen:
    """What a rule can look at."""

    method: str
    path: str
    endpoint: str
    content: bytes
    now: int


@dataclass
class Rule:
    """A matcher, an action and how often each came into play."""

    match: dict[str, Any]
    action: dict[str, Any]
    candidates: int = 0
    hits: int = 0

    def fires(self, seen: Seen, chance: random.Random) -> bool:
        """Whether the action applies to this request; counts it."""
        if not self._fits(seen):
            return False
        self.candidates += 1
        fires = self._turn(chance) and self.hits < self.match.get("times", self.hits + 1)
        self.hits += fires
        return fires

    def _fits(self, seen: Seen) -> bool:
        match = self.match
        return (
            match.get("method", seen.method) == seen.method
            and seen.path.startswith(match.get("path", ""))
            and match.get("endpoint", seen.endpoint) == seen.endpoint
            and match.get("contains", "").encode() in seen.content
            and match.get("from", seen.now) <= seen.now <= match.get("until", seen.now)
        )

    def _turn(self, chance: random.Random) -> bool:
        match = self.match
        return (
            match.get("nth", self.candidates) == self.candidates
            and self.candidates % match.get("every", 1) == 0
            and ("probability" not in match or chance.random() < match["probability"])
        )


@dataclass
class Plan:
    """The faults in force; the first rule that fires wins."""

    rules: list[Rule] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    @classmethod
    def of_json(cls, plan: Any) -> "Plan":
        """A ValueError says what is wrong with the plan."""
        if not isinstance(plan, dict) or not isinstance(plan.get("rules"), list):
            raise ValueError("a fault plan is an object with a list of rules")
        rules = [_rule(rule) for rule in plan["rules"]]
        return cls(rules, random.Random(int(plan.get("seed", 0))))

    def action_for(self, seen: Seen) -> dict[str, Any] | None:
        """The action for a request, if any."""
        return next((rule.action for rule in self.rules if rule.fires(seen, self.chance)), None)


def _rule(rule: Any) -> Rule:
    match, action = rule.get("match", {}), rule.get("action", {})
    unknown = sorted(set(match) - MATCHERS)
    if unknown:
        raise ValueError(f"unknown matcher: {', '.join(unknown)}")
    if action.get("verb") not in NEEDS:
        raise ValueError(f"unknown verb {action.get('verb')!r}; known are {', '.join(NEEDS)}")
    missing = [name for name in NEEDS[action["verb"]] if name not in action]
    if missing:
        raise ValueError(f"{action['verb']} needs {', '.join(missing)}")
    return Rule(dict(match), dict(action))


def canned(action: dict[str, Any]) -> Answer:
    """The answer of `status` and `commit_then_status`."""
    code, body = int(action["code"]), action.get("body")
    default = {"errors": [{"detail": "simulated fault", "status": str(code)}]}
    text = body if isinstance(body, str) else json.dumps(default if body is None else body)
    return Answer(code, text.encode(), {"content-type": "application/json", **action.get("headers", {})})


def reshaped(action: dict[str, Any], answer: Answer) -> Answer:
    """The answer of verbs that change content only."""
    if action["verb"] == "commit_then_status":
        return canned(action)
    if action["verb"] == "body":
        kind = action.get("content_type", "text/html")
        return replace(answer, body=action["text"].encode(), headers={**answer.headers, "content-type": kind})
    if action["verb"] == "corrupt_gzip":
        return replace(answer, body=_damaged(answer.body), headers={**answer.headers, "content-encoding": "gzip"})
    return answer


def _damaged(body: bytes) -> bytes:
    """A gzip stream with a good header, broken in the middle."""
    packed = bytearray(gzip.compress(body, mtime=0))
    middle = max(10, len(packed) // 2)
    packed[middle : middle + 8] = bytes(0xFF ^ byte for byte in packed[middle : middle + 8])
    return bytes(packed)
