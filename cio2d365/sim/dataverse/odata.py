"""OData expressions: text to a small syntax tree, used for `$filter`, keys in parentheses and function arguments.

The tree is evaluated twice: as SQL for rows (`sqlfilter`) and in Python for metadata (`metadata_read`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .errors import bad_query

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<string>'(?:[^']|'')*')"
    r'|(?P<json>"(?:[^"\\]|\\.)*")'
    r"|(?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    r"|(?P<date>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[@$]?[A-Za-z_][\w.@]*)"
    r"|(?P<mark>[(),/\[\]=:])"
    r")"
)
COMPARISONS = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})


@dataclass(frozen=True)
class Literal:
    """A constant; `kind` is string, guid, date, number, boolean or null."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Path:
    """A property, possibly through navigation properties (`sdkmessageid/name`)."""

    segments: tuple[str, ...]


@dataclass(frozen=True)
class Compare:
    """`left op right`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Both:
    """`and` (every) or `or` (not every) of two conditions."""

    every: bool
    left: Node
    right: Node


@dataclass(frozen=True)
class Not:
    """Negation."""

    inner: Node


@dataclass(frozen=True)
class Call:
    """A function with positional and named arguments."""

    name: str
    arguments: tuple[Node, ...] = ()
    named: Mapping[str, Node] | None = None


@dataclass(frozen=True)
class Items:
    """A list: `['a','b']` or the right side of `in (…)`."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Lambda:
    """`collection/any(v:condition)`; `condition` is None for a bare `any()`."""

    path: Path
    verb: str
    variable: str
    condition: Node | None


Node = Literal | Path | Compare | Both | Not | Call | Items | Lambda


def parse(text: str, aliases: Mapping[str, str] | None = None) -> Node:
    """The tree of a `$filter` text. Raises a 400 ServiceError that shows the text when it cannot be read."""
    parser = _Parser(text, aliases or {})
    try:
        tree = parser.expression()
    except RecursionError:
        raise bad_query("The expression is nested too deeply.") from None
    parser.expect_end()
    return tree


def parse_arguments(text: str, aliases: Mapping[str, str] | None = None) -> list[tuple[str | None, Node]]:
    """What stands in parentheses behind a segment: `guid`, `a='x',b=5` or function arguments."""
    parser = _Parser(text, aliases or {})
    found: list[tuple[str | None, Node]] = []
    while not parser.at_end():
        found.append(parser.argument())
        parser.skip(",")
    return found


class _Parser:
    def __init__(self, text: str, aliases: Mapping[str, str]) -> None:
        self.text = text
        self.aliases = aliases
        self.tokens = self._split(text)
        self.position = 0

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if not found or found.lastgroup is None:
                raise bad_query(f"Syntax error: character '{text[at]}' is not valid at position {at} in '{text}'.")
            tokens.append((found.lastgroup, found.group(found.lastgroup)))
            at = found.end()
        return tokens

    def at_end(self) -> bool:
        return self.position >= len(self.tokens)

    def expect_end(self) -> None:
        if not self.at_end():
            raise bad_query(f"Syntax error at position {self.position} in '{self.text}'.")

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token[0] == "end":
            raise bad_query(f"Expression expected at the end of '{self.text}'.")
        self.position += 1
        return token

    def skip(self, mark: str) -> bool:
        if self.peek() == ("mark", mark):
            self.position += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.skip(mark):
            raise bad_query(f"'{mark}' expected at token {self.position} in '{self.text}'.")

    def word(self, *words: str) -> str | None:
        kind, text = self.peek()
        if kind == "name" and text in words:
            self.position += 1
            return text
        return None

    def expression(self) -> Node:
        left = self.conjunction()
        while self.word("or"):
            left = Both(False, left, self.conjunction())
        return left

    def conjunction(self) -> Node:
        left = self.negation()
        while self.word("and"):
            left = Both(True, left, self.negation())
        return left

    def negation(self) -> Node:
        return Not(self.negation()) if self.word("not") else self.comparison()

    def comparison(self) -> Node:
        left = self.primary()
        operator = self.word(*COMPARISONS, "in")
        if operator == "in":
            return Call("in", (left, self.items("(", ")")))
        return Compare(operator, left, self.primary()) if operator else left

    def primary(self) -> Node:
        if self.skip("("):
            inner = self.expression()
            self.expect(")")
            return inner
        if self.peek() == ("mark", "["):
            return self.items("[", "]")
        kind, text = self.take()
        return self.named(text) if kind == "name" else _constant(kind, text, self.text)

    def items(self, opening: str, closing: str) -> Items:
        self.expect(opening)
        found: list[Node] = []
        while not self.skip(closing):
            found.append(self.json_text() if opening == "[" and self.peek()[0] == "json" else self.primary())
            self.skip(",")
        return Items(tuple(found))

    def json_text(self) -> Literal:
        """A list may be written as JSON, with double quotes; elsewhere text has single ones."""
        _, text = self.take()
        try:
            return Literal("string", orjson.loads(text))
        except orjson.JSONDecodeError:
            raise bad_query(f"{text} is not a JSON text.") from None

    def named(self, text: str) -> Node:
        if text in ("true", "false"):
            return Literal("boolean", text == "true")
        if text == "null":
            return Literal("null", None)
        if text.startswith("@"):
            return self.alias(text)
        if self.peek() == ("mark", "("):
            return self.call(text)
        return self.path([text])

    def alias(self, name: str) -> Node:
        if name not in self.aliases:
            raise bad_query(f"The parameter alias '{name}' has no value.")
        return parse(self.aliases[name], {key: v for key, v in self.aliases.items() if key != name})

    def path(self, segments: list[str]) -> Node:
        while self.skip("/"):
            _, text = self.take()
            if text in ("any", "all") and self.peek() == ("mark", "("):
                return self.lambda_(Path(tuple(segments)), text)
            segments.append(text)
        return Path(tuple(segments))

    def lambda_(self, path: Path, verb: str) -> Node:
        self.expect("(")
        if self.skip(")"):
            return Lambda(path, verb, "", None)
        _, variable = self.take()
        self.expect(":")
        condition = self.expression()
        self.expect(")")
        return Lambda(path, verb, variable, condition)

    def call(self, name: str) -> Node:
        self.expect("(")
        positional: list[Node] = []
        named: dict[str, Node] = {}
        while not self.skip(")"):
            key, value = self.argument()
            if key is None:
                positional.append(value)
            else:
                named[key] = value
            self.skip(",")
        return Call(name, tuple(positional), named)

    def argument(self) -> tuple[str | None, Node]:
        if self.peek()[0] == "name" and self.peek(1) == ("mark", "="):
            _, key = self.take()
            self.expect("=")
            return key, self.primary()
        return None, self.expression()


def _constant(kind: str, text: str, whole: str) -> Literal:
    if kind in ("mark", "json"):
        raise bad_query(f"Unexpected '{text}' in '{whole}'.")
    return Literal(kind, _READ[kind](text))


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


_READ: dict[str, Callable[[str], Any]] = {
    "string": lambda text: text[1:-1].replace("''", "'"),
    "guid": str.lower,
    "date": str,
    "number": _number,
}
