"""Many single requests in one: `$batch` with continue-on-error, each part with its own end (`dataverse-api 6`).

One batch counts as one request against the burst limit. Parts stand alone here: no change sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import API, HEADERS
from cio2d365.errors import Terminal
from cio2d365.transport import Request, Response

LIMIT = 1000
BOUNDARY = "batch_cio2d365"
PART = (f"--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n").encode()


def build(requests: Sequence[Request]) -> Request:
    """One request that holds others, at most 1,000; repeatable when all of them are."""
    if len(requests) > LIMIT:
        raise ValueError(f"a batch holds at most {LIMIT} requests, not {len(requests)}")
    body = b"".join(PART + _part(request) for request in requests) + f"--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f'multipart/mixed; boundary="{BOUNDARY}"', "Prefer": "odata.continue-on-error"}
    return Request("POST", f"{API}/$batch", body, headers, all(r.repeatable for r in requests))


def _part(request: Request) -> bytes:
    headers = {**HEADERS, **request.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {request.path} HTTP/1.1\r\n{head}\r\n".encode() + (request.body or b"") + b"\r\n"


def parse(answer: Response) -> list[Response]:
    """The parts' own answers, in order. Terminal when the answer is not a whole multipart one."""
    kind = {k.lower(): v for k, v in answer.headers.items()}.get("content-type", "")
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if not boundary:
        raise Terminal(f"$batch: the answer is not multipart: {answer.excerpt()}")
    delimiter = b"--" + boundary[1].encode()
    if not answer.body.rstrip().endswith(delimiter + b"--"):
        raise Terminal(f"$batch: the answer was cut after {len(answer.body)} bytes; run again")
    pieces = answer.body.split(delimiter)[1:]
    return [_answer(piece) for piece in pieces if not piece.startswith(b"--")]


def _answer(piece: bytes) -> Response:
    _, _, inner = piece.partition(b"\r\n\r\n")
    head, _, body = inner.partition(b"\r\n\r\n")
    status, *lines = head.decode("utf-8", "replace").strip().split("\r\n")
    found = re.match(r"HTTP/\d\.\d (\d{3})", status)
    if not found:
        raise Terminal(f"$batch: a part of the answer has no status line: {status[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return Response(
        int(found[1]), {name.strip(): value.strip() for name, _, value in pairs}, body.removesuffix(b"\r\n")
    )


def send(client: Dataverse, requests: Sequence[Request]) -> list[Response]:
    """Send a batch; one answer per request. Terminal when the numbers do not agree."""
    answers = parse(client.send(build(requests)))
    if len(answers) != len(requests):
        raise Terminal(f"$batch: {len(requests)} requests sent, {len(answers)} answers came back")
    return answers
