"""Sending an answer over ASGI, whole or broken in the ways a fault asks for."""

import asyncio
import os
import socket
import struct
from typing import Any

from starlette.types import Receive, Send

from cio2d365.sim.customerio.call import Answer

SLICE = 1024
SETTLE_SECONDS = 0.05
# struct linger: two ints, on Windows two shorts.
NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


async def body_of(receive: Receive) -> bytes:
    """The whole request body."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def deliver(send: Send, answer: Answer, action: dict[str, Any] | None) -> None:
    """Send the answer under the rules of a fault (None: plainly)."""
    verb = action["verb"] if action else ""
    if action and verb in ("reset_after", "truncate_after"):
        await _start(send, answer)
        await _part(send, answer.body[: int(action["bytes"])])
        await hang_up(send, reset=verb == "reset_after")
    elif action and verb == "slow":
        await _drip(send, answer, float(action["bytes_per_second"]))
    else:
        await _start(send, answer)
        await send({"type": "http.response.body", "body": answer.body})


async def hang_up(send: Send, *, reset: bool) -> None:
    """Close the connection under the request: with a reset, or cleanly after what was written.

    The server's own `send` knows the transport (uvicorn keeps it on the request cycle); another server gets the
    exception and ends the request in its own way.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("simulated loss of the connection")
    if reset:
        await asyncio.sleep(SETTLE_SECONDS)  # a reset overtakes bytes that the other side has not read yet
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        transport.abort()
    else:
        transport.close()
    await asyncio.sleep(SETTLE_SECONDS)  # until the server has noticed, or it logs an unfinished answer


async def _start(send: Send, answer: Answer) -> None:
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})


async def _part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _drip(send: Send, answer: Answer, rate: float) -> None:
    await _start(send, answer)
    for start in range(0, len(answer.body), SLICE):
        piece = answer.body[start : start + SLICE]
        await asyncio.sleep(len(piece) / rate)
        await _part(send, piece)
    await send({"type": "http.response.body", "body": b""})
