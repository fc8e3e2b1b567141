"""Decisions as plain documents: what may stand in one, and what is said when something else does (B-096, B-099)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from cio2d365.errors import DecisionError
from cio2d365.tables import KINDS, Column, Option


def known(document: Mapping[str, Any], names: Collection[str], where: str) -> None:
    """Raise DecisionError for a key that is not in `names`; the message has the nearest known key."""
    for key in document:
        if key not in names:
            near = difflib.get_close_matches(key, sorted(names), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(names))}"
            raise DecisionError(f"{where}: unknown key {key!r}{hint}")


def text(document: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    """The text under `key`; DecisionError if it is missing without default or of another type."""
    return str(_typed(document, key, str, where, default))


def truth(document: Mapping[str, Any], key: str, where: str, default: bool | None = None) -> bool:
    """The boolean under `key`; DecisionError as in `text`."""
    return bool(_typed(document, key, bool, where, default))


def whole(document: Mapping[str, Any], key: str, where: str, *, low: int, high: int, default: int | None = None) -> int:
    """The whole number under `key`, within `low` and `high`; DecisionError with the allowed range."""
    value = _typed(document, key, int, where, default)
    return int(within(value, low, high, f"{where}: {key}"))


def number(
    document: Mapping[str, Any], key: str, where: str, *, low: float, high: float, default: float | None = None
) -> float:
    """The number under `key`, within `low` and `high`; DecisionError with the allowed range."""
    value = _typed(document, key, (int, float), where, default)
    return float(within(value, low, high, f"{where}: {key}"))


def tables(document: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    """The list of tables under `key`, empty if absent; DecisionError if it is something else."""
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(x, Mapping) for x in found):
        raise DecisionError(f"{where}: {key} has to be a list of tables")
    return list(found)


def texts(document: Mapping[str, Any], key: str, where: str, default: Collection[str] = ()) -> tuple[str, ...]:
    """The list of texts under `key`; DecisionError if it is something else."""
    found = document.get(key, list(default))
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise DecisionError(f"{where}: {key} has to be a list of texts")
    return tuple(str(x) for x in found)


def one_of(value: str, allowed: Collection[str], where: str) -> str:
    """`value` if it is allowed; DecisionError with the nearest word or all of them."""
    if value in allowed:
        return value
    near = difflib.get_close_matches(value, sorted(allowed), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; one of {', '.join(sorted(allowed))}"
    raise DecisionError(f"{where}: {value!r} is not known{hint}")


def within(value: float, low: float, high: float, where: str) -> float:
    """`value` if `low` ≤ value ≤ `high`; DecisionError with the allowed range."""
    if not low <= value <= high:
        raise DecisionError(f"{where} is {value}, allowed are {low} to {high}")
    return value


def column_document(column: Column) -> dict[str, Any]:
    """A column as plain values without nulls and defaults; inverse of `column_from`."""
    plain = {f: getattr(column, f) for f in _COLUMN_FIELDS}
    document = {f: v for f, v in plain.items() if v != _COLUMN_DEFAULTS.get(f, object())}
    if column.options:
        document["options"] = [{"value": o.value, "label": o.label} for o in column.options]
    return document


def column_from(document: Mapping[str, Any], where: str) -> Column:
    """A column from its document; DecisionError on unknown keys, kinds and types."""
    known(document, {*_COLUMN_FIELDS, "options"}, where)
    one_of(text(document, "kind", where), KINDS, f"{where}: kind")
    plain = {f: _typed(document, f, _COLUMN_TYPES[f], where, None) for f in document if f != "options"}
    return Column(**{"name": text(document, "name", where), **plain}, options=_options(document, where))


def _options(document: Mapping[str, Any], where: str) -> tuple[Option, ...]:
    rows = tables(document, "options", where)
    for row in rows:
        known(row, ("value", "label"), f"{where}: option")
    found = tuple(Option(_typed(r, "value", int, where, None), text(r, "label", where)) for r in rows)
    if len({o.value for o in found}) < len(found):
        raise DecisionError(f"{where}: two options have the same value")
    return found


def _typed(document: Mapping[str, Any], key: str, kind: Any, where: str, default: Any) -> Any:
    if key not in document:
        if default is None:
            raise DecisionError(f"{where}: {key} is missing")
        return default
    value = document[key]
    wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    if wrong:
        raise DecisionError(f"{where}: {key} is {value!r}, expected {_name(kind)}")
    return value


def _name(kind: Any) -> str:
    return {str: "a text", bool: "true or false", int: "a whole number"}.get(kind, "a number")


_NUMBER = (int, float)
_COLUMN_TYPES: dict[str, Any] = {
    "name": str,
    "kind": str,
    "label": str,
    "length": int,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "precision": int,
    "format": str,
    "required": bool,
    "creatable": bool,
    "updatable": bool,
    "custom": bool,
    "description": str,
}
_COLUMN_FIELDS = tuple(_COLUMN_TYPES)
_COLUMN_DEFAULTS: dict[str, Any] = {
    f: getattr(Column("", "string"), f) for f in _COLUMN_FIELDS if f not in ("name", "kind")
}
