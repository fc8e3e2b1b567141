"""Answers as they go over the wire, whole or damaged: cut, reset, dripped, gzip broken."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .context import Answer

_JSON = "application/json; odata.metadata=minimal"
# Seconds that a cut answer needs to leave the socket before the connection is reset.
_FLUSH = 0.05


class Drop(Response):
    """The connection is closed without a byte of answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close."""
        await _close(scope, receive, reset=False)


class Cut(Response):
    """Status and headers as announced, then `size` bytes, then a clean end or a reset."""

    def __init__(self, answer: Answer, size: int, reset: bool) -> None:
        super().__init__(answer.body, answer.status, dict(answer.headers))
        self.size = size
        self.reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part and end."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": bytes(self.body)[: self.size], "more_body": True})
        await asyncio.sleep(_FLUSH)
        await _close(scope, receive, self.reset)


class Drip(Response):
    """The body comes at `bytes_per_second`."""

    def __init__(self, answer: Answer, bytes_per_second: int) -> None:
        super().__init__(answer.body, answer.status, dict(answer.headers))
        self.pace = max(1, bytes_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send piece by piece."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body, step = bytes(self.body), max(1, self.pace // 10)
        for at in range(0, len(body), step):
            await send({"type": "http.response.body", "body": body[at : at + step], "more_body": True})
            await asyncio.sleep(step / self.pace)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _close(scope: Scope, receive: Receive, reset: bool) -> None:
    transport: Any = scope.get("sim.transport")
    if transport is None:
        raise ConnectionResetError("the simulator closes the connection")
    if reset:
        _linger_zero(transport)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        continue


def _linger_zero(transport: Any) -> None:
    """With a linger of zero seconds the kernel sends RST in place of FIN."""
    found = transport.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def given_answer(action: Mapping[str, Any]) -> Answer:
    """The answer that a `status` or `commit_then_status` rule spells out.

    `body` may be text or JSON; with `error_code` an OData error is made from it and `message`.
    """
    status = int(action.get("code", 503))
    headers = {str(name): str(value) for name, value in (action.get("headers") or {}).items()}
    body = action.get("body")
    if "error_code" in action:
        body = {"error": {"code": action["error_code"], "message": action.get("message", "")}}
    if body is None:
        return Answer(status, b"", headers)
    if isinstance(body, str):
        return Answer(status, body.encode(), {"Content-Type": "text/html", **headers})
    return Answer(status, orjson.dumps(body), {"Content-Type": _JSON, **headers})


def response_for(answer: Answer, action: Mapping[str, Any] | None) -> Response:
    """The response that an after-commit verb makes of an answer."""
    verb = action["verb"] if action else ""
    if action is None or verb == "commit_then_delay":
        return _plain(answer)
    if verb == "commit_then_drop":
        return Drop()
    if verb in ("reset_after", "truncate_after"):
        return Cut(answer, int(action.get("bytes", 64)), verb == "reset_after")
    if verb == "commit_then_status":
        return _plain(given_answer(action))
    if verb == "slow":
        return Drip(answer, int(action.get("bytes_per_s", 1000)))
    return _plain(_changed_body(answer, action))


def _changed_body(answer: Answer, action: Mapping[str, Any]) -> Answer:
    if action["verb"] == "corrupt_gzip":
        packed = gzip.compress(answer.body or b"{}")
        # Ten bytes of header stay, what follows is no deflate block.
        broken = packed[:10] + b"\xff" * 8 + packed[18:]
        return replace(answer, body=broken, headers={**answer.headers, "Content-Encoding": "gzip"})
    content = action.get("content", "")
    body = content.encode() if isinstance(content, str) else orjson.dumps(content)
    kind = str(action.get("content_type", "text/html"))
    return replace(answer, body=body, headers={**answer.headers, "Content-Type": kind})


def _plain(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
