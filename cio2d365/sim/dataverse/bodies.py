"""The JSON body of a request: its content type, its encoding, its syntax."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from .context import Context
from .errors import ServiceError, malformed, payload_error
from .shapes import check_shape


def read_json(context: Context) -> Any:
    """The body as JSON. Broken text, NaN and names given twice are refused; lone surrogates pass to their own check.

    A body that is as long as its canonical form holds no name twice; any other is read again with a look at the names.
    """
    _check_type(context)
    try:
        found = orjson.loads(context.body)
    except orjson.JSONDecodeError:
        return _read_slowly(context)
    return found if len(orjson.dumps(found)) == len(context.body) else _read_slowly(context)


def _check_type(context: Context) -> None:
    kind = context.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ServiceError(
            415,
            "0x0",
            "A supported MIME type could not be found that matches the content type of the request. None of the "
            f"supported type(s) 'application/json' matches the content type '{kind}'.",
        )


def _read_slowly(context: Context) -> Any:
    try:
        text = context.body.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise payload_error(context.path.partition("(")[0], f"The JSON of the body cannot be read: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Multiple properties with the name '{twice}' were detected in a resource value.")
    return found


def read_definition(context: Context) -> Any:
    """The body of a schema call, its known parts of the right JSON types; None without a body."""
    body = read_json(context) if context.body else None
    check_shape(body)
    return body


def read_object(context: Context) -> Mapping[str, Any]:
    """The body as an object, empty without a body. Raises 400 for any other JSON."""
    if not context.body:
        return {}
    body = read_json(context)
    if not isinstance(body, Mapping):
        raise malformed("The body must be an object.")
    return body
