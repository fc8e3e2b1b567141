"""A request as the endpoints see it, an answer as they give it, and the table row that joins the two."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.settings import Settings
from cio2d365.sim.customerio.workspace import Json, Workspace


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of an answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        """A JSON answer; text stays UTF-8."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return cls(status, body, {"content-type": "application/json; charset=utf-8", **(headers or {})})


@dataclass(frozen=True)
class Call:
    """One request. `path` holds the decoded path parameters, `raw` the same as they were sent."""

    workspace: Workspace
    settings: Settings
    method: str
    path: Mapping[str, str]
    raw: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    origin: str
    now: int

    def json(self) -> Any:
        """The body as JSON; an ApiError 400 when it is none."""
        try:
            return json.loads(self.content or b"{}", parse_constant=_no_constant)
        except ValueError as error:
            raise ApiError(400, f"request body is not valid JSON: {error}") from error

    def object(self) -> Json:
        """The body as a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise ApiError(400, "request body must be a JSON object")
        return body

    def number(self, name: str) -> int | None:
        """A query parameter that must be an integer; None when it is absent."""
        value = self.query.get(name)
        if value is None or value == "":
            return None
        try:
            return int(value)
        except ValueError:
            raise ApiError(400, f"{name} must be an integer") from None

    def path_number(self, name: str) -> int:
        """A path parameter that must be an integer; anything else is an unknown parent."""
        try:
            return int(self.path[name])
        except ValueError:
            raise ApiError(404, "not found") from None

    def flag(self, name: str) -> bool:
        """A boolean query parameter, False when absent."""
        return self.query.get(name, "").lower() in ("1", "true")


def _no_constant(word: str) -> Any:
    """NaN and Infinity are words of JavaScript, not of JSON."""
    raise ValueError(f"{word} is not JSON")


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    """One row of a route table. `empty` is the answer for an identifier that was not percent-encoded."""

    method: str
    template: str
    handler: Handler
    empty: Any = None

    def matches(self, method: str, parts: list[str]) -> bool:
        """Whether the raw, split path fits the template."""
        own = self.template.split("/")
        return (
            method == self.method
            and len(own) == len(parts)
            and all(mine.startswith("{") or mine == theirs for mine, theirs in zip(own, parts, strict=True))
        )

    def parameters(self, parts: list[str]) -> dict[str, str]:
        """Path parameters, still encoded."""
        return {
            mine[1:-1]: theirs
            for mine, theirs in zip(self.template.split("/"), parts, strict=True)
            if mine.startswith("{")
        }


def decoded(raw: Mapping[str, str]) -> dict[str, str]:
    """Path parameters with percent-encoding resolved."""
    return {name: unquote(value) for name, value in raw.items()}
