"""One request as the handlers see it, and the answer they give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

from .errors import ServiceError, bad_query
from .organization import Organization

API_ROOT = "/api/data/v9.2/"
# Every 9.x version answers alike; links in an answer carry the version of the request.
ANY_ROOT = re.compile(r"/api/data/v9\.[0-2]/")
_PREFERENCE = re.compile(r'\s*([\w.\-]+)\s*(?:=\s*(?:"([^"]*)"|([^,;]*)))?\s*(?:[,;]|$)')
_ERROR_TYPE = {"Content-Type": "application/json; odata.metadata=minimal"}


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An OData JSON answer."""
    kind = {"Content-Type": "application/json; odata.metadata=minimal; odata.streaming=true"}
    return Answer(status, orjson.dumps(value), {**kind, **(headers or {})})


def error_answer(error: ServiceError, annotations: bool = False) -> Answer:
    """The JSON form of an error; details only when annotations are wanted."""
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if annotations:
        body["@Microsoft.PowerApps.CDS.ErrorDetails.ApiExceptionSourceKey"] = "Plugin/Microsoft.Crm"
        body["@Microsoft.PowerApps.CDS.HelpLink"] = "http://go.microsoft.com/fwlink/?LinkID=398563"
        body["@Microsoft.PowerApps.CDS.TraceText"] = ""
        body.update(error.details)
    return Answer(error.status, orjson.dumps({"error": body}), {**_ERROR_TYPE, **error.headers})


@dataclass
class Context:
    """A request under way: `path` is decoded and relative to the API root, header names are lower case."""

    org: Organization
    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    origin: str
    caller: str
    real_caller: str
    known_rows: set[tuple[str, str]] = field(default_factory=set)
    owners: dict[str, str | None] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    nested: dict[str, list[Any]] = field(default_factory=dict)
    rows_touched: int = 0
    only_parts: int | None = None
    api_root: str = API_ROOT
    _wanted: dict[str, bool] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Absolute URL of the API root, with the slash."""
        return self.origin + self.api_root

    def below_root(self, url: str) -> str:
        """An absolute, rooted or relative URL relative to the API root; another host's stays as it is."""
        path = url.removeprefix(self.origin)
        found = ANY_ROOT.match(path)
        return path[found.end() :] if found else path

    @cached_property
    def now(self) -> str:
        """The moment of the request, the same for every row it writes."""
        return self.org.clock.now_text()

    @cached_property
    def query(self) -> dict[str, str]:
        """Query options; a plus is a space, as for every HTTP form. Raises 400 for a system option given twice."""
        pairs = parse_qsl(self.raw_query, keep_blank_values=True)
        names = [name for name, _ in pairs if name.startswith("$")]
        for name in names:
            if names.count(name) > 1:
                raise bad_query(f"Query option '{name}' was specified more than once, but it must be unique.")
        return dict(pairs)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Parameter aliases (`@p1=…`) of the query string."""
        return {key: value for key, value in self.query.items() if key.startswith("@")}

    @cached_property
    def preferences(self) -> dict[str, str]:
        """The `Prefer` header as name → value."""
        text = self.headers.get("prefer", "")
        return {name.lower(): (quoted or bare).strip() for name, quoted, bare in _PREFERENCE.findall(text)}

    @property
    def strong(self) -> bool:
        """Whether definitions are wanted as they are now, not as the cache has them."""
        return self.headers.get("consistency", "").lower() == "strong"

    @property
    def annotations(self) -> bool:
        """Whether any annotations are wanted."""
        return "odata.include-annotations" in self.preferences

    def wants(self, annotation: str) -> bool:
        """Whether one annotation is wanted: a list of names, `*` as a wildcard, `-` in front for all but these."""
        if annotation not in self._wanted:
            self._wanted[annotation] = self._matches(annotation)
        return self._wanted[annotation]

    def _matches(self, annotation: str) -> bool:
        found = False
        for pattern in self.preferences.get("odata.include-annotations", "").split(","):
            bare = pattern.strip().lstrip("-+")
            if bare and fnmatchcase(annotation, bare):
                found = not pattern.strip().startswith("-")
        return found

    @property
    def representation(self) -> bool:
        """Whether a write shall answer with the row."""
        return self.preferences.get("return") == "representation"
