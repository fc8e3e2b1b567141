"""A slow, plain reading of JSON objects and value types to hold the fast one against; shares no code with it."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any


class Number(str):
    """A number as the source wrote it."""


def members(text: str) -> list[tuple[str, Any]]:
    """Members of a JSON object, numbers as written, in order, repeated keys included."""
    found = json.loads(text, object_pairs_hook=list, parse_int=Number, parse_float=Number)
    return [(k, v) for k, v in found]


def value_type(value: Any) -> str:
    """One of the thirteen words, by rules written out a second time."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Number):
        return "decimal" if any(c in value for c in ".eE") else "int"
    if isinstance(value, str):
        return _text_type(value.strip())
    return "object" if isinstance(value, dict) else "array"


def _text_type(text: str) -> str:
    if not text:
        return "empty"
    if text.lower() in ("true", "false", "yes", "no"):
        return "text-bool"
    if re.fullmatch("-?(0|[1-9][0-9]{0,18})", text):
        return "text-int"
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", text):
        return "text-decimal" if abs(float(text)) != float("inf") else "text"
    return _date_type(text)


def _date_type(text: str) -> str:
    shape = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
        r"([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?"
        r" ?([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?)?",
        text,
    )
    if not shape:
        return "text"
    try:
        date.fromisoformat(shape[1])
    except ValueError:
        return "text"
    return "text-datetime" if shape[2] else "text-date"
