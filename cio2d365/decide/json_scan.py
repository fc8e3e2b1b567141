"""JSON objects as rows: one row per top-level key, each value as the source wrote it.

`250.00` stays `250.00` and 20 digits stay 20 digits: no number is parsed here. `scan` lets `json_members` read what is
ordinary; `read_object` reads anything else, one text at a time, and says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from cio2d365.decide.json_members import ordinary_members
from cio2d365.decide.value_types import value_type

MAX_DEPTH = 512
"""Deepest nesting that is read; deeper texts are reported, never walked (B-047)."""

PROBLEMS = {
    "malformed": "The text is not valid JSON.",
    "not-object": "The text is JSON but not an object.",
    "too-deep": f"Nested deeper than {MAX_DEPTH} levels.",
    "duplicate": "The key stands twice in one object; the last value counts.",
    "surrogate": "Half of a surrogate pair: the text has no Unicode form.",
    "non-finite": "NaN or an infinity, which JSON and Dataverse do not have; kept as text.",
}
FATAL = ("malformed", "not-object", "too-deep")
"""Problems that leave nothing of the object to read."""

PAIRS_SCHEMA = {
    "row": pl.UInt32,
    "key": pl.String,
    "json": pl.String,
    "text": pl.String,
    "source": pl.String,
    "flag": pl.String,
}
PROBLEMS_SCHEMA = {
    "row": pl.UInt32,
    "key": pl.String,
    "code": pl.String,
    "position": pl.Int64,
    "detail": pl.String,
}

_WS = "[ \t\n\r]*"
_KEY = re.compile(rf"{_WS}(?=\")")
_COLON = re.compile(rf"{_WS}:{_WS}")
_END = re.compile(rf"{_WS}([,}}])")
_OPEN = re.compile(rf"{_WS}\{{")
_EMPTY = re.compile(rf"{_WS}\}}")
_REST = re.compile(rf"{_WS}\Z")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|-?Infinity|NaN|[\[{]|[\]}]', re.DOTALL)


class Pair(NamedTuple):
    """One member of an object: `text` is the value as text (None for null), `raw` its JSON source.

    `head` is the source before the value: key, colon and the blanks between.
    """

    key: str
    json: str
    text: str | None
    head: str
    raw: str
    flag: str | None = None

    @property
    def source(self) -> str:
        """The member as JSON source."""
        return self.head + self.raw


class Problem(NamedTuple):
    """Why (part of) one text could not be read; `position` counts characters from 0."""

    code: str
    key: str | None
    position: int | None
    detail: str


class Scan(NamedTuple):
    """`pairs`: row, key, json, text, source, flag; `problems`: row, key, code, position, detail."""

    pairs: pl.DataFrame
    problems: pl.DataFrame


class _Unreadable(ValueError):
    def __init__(self, code: str, position: int, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(code, None, position, detail)


def read_object(text: str | None) -> tuple[list[Pair], list[Problem]]:
    """Members of one JSON object in source order, and what was wrong with it.

    Null, empty and JSON `null` texts are an empty object. A key that stands twice keeps its last value and place; every
    lost value is a problem's detail (B-048). A text with a problem of `FATAL` has no members. Never raises.
    """
    if text is None or not text.strip() or text.strip() == "null":
        return [], []
    try:
        pairs = list(_members(text))
    except _Unreadable as error:
        return [], [error.problem]
    problems = [Problem(p.flag, p.key, None, p.raw) for p in pairs if p.flag]
    names = {p.key for p in pairs}
    return (pairs, problems) if len(names) == len(pairs) else _last_wins(pairs, problems)


def scan(texts: pl.Series) -> Scan:
    """All members of all texts, with the JSON type of each value.

    `pairs.row` is the text's position; `json` is one of null, bool, int, decimal, text, array, object; `text` is the
    string's content, or the source text of any other value (nested values as JSON text); `flag` repeats a problem's
    code. Linear in the input; about 1 µs a member.
    """
    texts = texts.cast(pl.String)
    plain, read = ordinary_members(texts)
    rows: list[int] = []
    pairs: list[Pair] = []
    problems: list[tuple[int, Problem]] = []
    for row in (~read).arg_true():
        members, trouble = read_object(texts[row])
        pairs += members
        rows += [row] * len(members)
        problems += [(row, p) for p in trouble]
    flagless = plain.with_columns(flag=pl.lit(None, pl.String))
    both = pl.concat([flagless, _pairs_frame(rows, pairs)]).sort("row", maintain_order=True) if rows else flagless
    return Scan(both, _problems_frame(problems))


def explode(texts: pl.Series) -> pl.DataFrame:
    """Members of all texts as (row, key, type, text, flag); `type` is a word of `value_types.TYPES`.

    Values stay verbatim. Texts that are no object have no rows here; `scan(texts).problems` names them.
    """
    return scan(texts).pairs.select("row", "key", value_type().alias("type"), "text", "flag")


def objects(members: pl.DataFrame, height: int, name: str) -> pl.Series:
    """JSON objects from some members (row, source), one per row of `height`, members sorted; null for a row without."""
    joined = members.group_by("row").agg(pl.col("source").sort().str.join(",").alias(name))
    everyone = pl.DataFrame({"row": pl.int_range(height, dtype=pl.UInt32, eager=True)})
    found = everyone.join(joined, on="row", how="left", maintain_order="left")
    return found.select((pl.lit("{") + pl.col(name) + pl.lit("}")).alias(name)).to_series()


def pick(texts: pl.Series, keys: Sequence[str], pairs: pl.DataFrame | None = None) -> pl.DataFrame:
    """One text column per key of `keys` (null where the key is absent or null), one row per text, values verbatim.

    `pairs` are the texts' own from `scan`, if they are known already.
    """
    pairs = scan(texts).pairs if pairs is None else pairs
    everyone = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)})
    return everyone.select(
        everyone.join(pairs.filter(pl.col("key") == key), on="row", how="left", maintain_order="left")["text"].alias(
            key
        )
        for key in keys
    )


def _pairs_frame(rows: list[int], pairs: list[Pair]) -> pl.DataFrame:
    columns = {
        "row": rows,
        "key": [p.key for p in pairs],
        "json": [p.json for p in pairs],
        "text": [p.text for p in pairs],
        "source": [p.source for p in pairs],
        "flag": [p.flag for p in pairs],
    }
    return pl.DataFrame(columns, schema=PAIRS_SCHEMA)


def _problems_frame(problems: list[tuple[int, Problem]]) -> pl.DataFrame:
    columns = {
        "row": [row for row, _ in problems],
        "key": [p.key for _, p in problems],
        "code": [p.code for _, p in problems],
        "position": [p.position for _, p in problems],
        "detail": [p.detail for _, p in problems],
    }
    return pl.DataFrame(columns, schema=PROBLEMS_SCHEMA)


def _last_wins(pairs: list[Pair], problems: list[Problem]) -> tuple[list[Pair], list[Problem]]:
    kept = {p.key: p for p in pairs}
    lost = [p for p in pairs if kept[p.key] is not p]
    doubled = {p.key for p in lost}
    winners = [p._replace(flag=p.flag or "duplicate") if p.key in doubled else p for p in kept.values()]
    return winners, problems + [Problem("duplicate", p.key, None, p.raw) for p in lost]


def _members(text: str) -> Iterator[Pair]:
    opened = _OPEN.match(text)
    if not opened:
        raise _not_an_object(text)
    at = opened.end()
    empty = _EMPTY.match(text, at)
    if empty:
        return _finish(text, empty.end())
    more = True
    while more:
        pair, at, more = _member(text, at)
        yield pair
    return _finish(text, at)


def _decimal(key: str, head: str, number: str) -> Pair:
    # 1e400 is legal JSON, but every common reader makes an infinity of it (B-038)
    if float(number) in (float("inf"), float("-inf")):
        return Pair(key, "text", number, head, f'"{number}"', "non-finite")
    return Pair(key, "decimal", number, head, number)


def _member(text: str, at: int) -> tuple[Pair, int, bool]:
    start = _expect(_KEY, text, at, "a key")
    key, end = _decode(text, start)
    value_at = _expect(_COLON, text, end, "a colon")
    value, value_end = _decode(text, value_at)
    pair = _pair(str(key), text[start:value_at], value, text[value_at:value_end])
    if not _encodable(str(key)):
        pair = pair._replace(key=text[start + 1 : end - 1], flag="surrogate")
    closing = _END.match(text, value_end)
    if not closing:
        raise _Unreadable("malformed", value_end, "expected a comma or a closing brace")
    return pair, closing.end(), closing[1] == ","


def _pair(key: str, head: str, value: object, raw: str) -> Pair:
    if raw in ("NaN", "Infinity", "-Infinity"):
        return Pair(key, "text", raw, head, f'"{raw}"', "non-finite")
    if raw[0] in "[{":
        return _nested(key, head, raw)
    if raw[0] == '"':
        text = str(value)
        fine = _encodable(text)
        return Pair(key, "text", text if fine else raw[1:-1], head, raw, None if fine else "surrogate")
    return _scalar(key, head, raw)


def _scalar(key: str, head: str, raw: str) -> Pair:
    if raw == "null":
        return Pair(key, "null", None, head, raw)
    if raw in ("true", "false"):
        return Pair(key, "bool", raw, head, raw)
    whole = not set(raw) & set(".eE")
    return Pair(key, "int", raw, head, raw) if whole else _decimal(key, head, raw)


def _nested(key: str, head: str, raw: str) -> Pair:
    quoted = _TOKEN.sub(_quote_constant, raw) if "N" in raw or "I" in raw else raw
    kind = "array" if raw[0] == "[" else "object"
    return Pair(key, kind, quoted, head, quoted, None if quoted == raw else "non-finite")


def _quote_constant(token: re.Match[str]) -> str:
    return f'"{token[0]}"' if token[0][-1] in "yN" else token[0]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# numbers inside nested values are only checked, never used: keeping them as text makes that cheap and exact
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_decode_at: Callable[[str, int], tuple[Any, int]] = _DECODER.raw_decode


def _decode(text: str, at: int) -> tuple[object, int]:
    if text[at : at + 1] in ("[", "{") and _too_deep(text, at):
        raise _Unreadable("too-deep", at, PROBLEMS["too-deep"])
    try:
        return _decode_at(text, at)
    except json.JSONDecodeError as error:
        raise _Unreadable("malformed", error.pos, error.msg) from None
    except RecursionError:
        raise _Unreadable("too-deep", at, PROBLEMS["too-deep"]) from None


def _too_deep(text: str, at: int) -> bool:
    if text.count("[", at) + text.count("{", at) <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKEN.finditer(text, at):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            return True
        if depth <= 0:
            return False
    return False


def _not_an_object(text: str) -> _Unreadable:
    start = len(text) - len(text.lstrip())
    try:
        _, end = _decode(text, start)
    except _Unreadable as error:
        return error
    whole = _REST.match(text, end)
    return _Unreadable("not-object" if whole else "malformed", start, PROBLEMS["not-object"])


def _expect(pattern: re.Pattern[str], text: str, at: int, what: str) -> int:
    found = pattern.match(text, at)
    if not found:
        raise _Unreadable("malformed", at, f"expected {what}")
    return found.end()


def _finish(text: str, at: int) -> None:
    if not _REST.match(text, at):
        raise _Unreadable("malformed", at, "text after the object")
