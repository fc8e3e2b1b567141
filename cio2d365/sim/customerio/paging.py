"""Pages of a list: `start` and `limit` in the query string, `next` in the answer (customerio-api 2.4)."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cio2d365.sim.customerio.call import Call
from cio2d365.sim.customerio.errors import ApiError

Row = TypeVar("Row")


@dataclass(frozen=True)
class Paging:
    """How one endpoint pages: a limit above `maximum` is cut to it.

    `repeats` starts a page with the last row of the one before; `ends_empty` gives the last full page a `next` that
    leads to an empty one. Both were seen on live workspaces.
    """

    kind: str
    default: int
    maximum: int
    repeats: bool = False
    ends_empty: bool = False


def page(call: Call, rows: Sequence[Row], paging: Paging) -> tuple[list[Row], str]:
    """The rows of the page that the call asks for, and the token of the next one ("" at the end)."""
    limit, first = _limit(call, paging), _position(call, paging)
    last = min(first + limit, len(rows))
    shown = list(rows[first:last])
    if paging.repeats and call.settings.repeat_rows and 0 < first < len(rows) and limit > 1:
        last = min(first + limit - 1, len(rows))
        shown = list(rows[first - 1 : last])
    more = last < len(rows) or (paging.ends_empty and first < len(rows))
    return shown, _token(paging, last) if more else ""


def listed(call: Call, rows: Sequence[Any]) -> list[Any] | None:
    """A list as the live API writes it: null when empty."""
    return list(rows) if rows or not call.settings.empty_as_null else None


def _limit(call: Call, paging: Paging) -> int:
    asked = call.number("limit")
    if asked is None:
        return paging.default
    if asked < 1:
        raise ApiError(400, "limit must be at least 1")
    return min(asked, paging.maximum)


def _token(paging: Paging, position: int) -> str:
    return base64.urlsafe_b64encode(f"{position:05d}:{paging.kind}".encode()).decode()


def _position(call: Call, paging: Paging) -> int:
    token = call.query.get("start", "")
    if not token:
        return 0
    try:
        position, _, kind = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if kind == paging.kind:
            return int(position)
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise ApiError(400, "invalid value for start")
