"""Many single requests in one: `$batch` with continue-on-error, each part with its own end (`dataverse-api 6`).

One batch counts as one request against the burst limit. Parts stand alone (`send`, `send_all`), or all of them happen
or none (`send_change_set`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import islice

from cio2d365.dataverse.client import TRIES, Dataverse, refusal, wait_before
from cio2d365.dataverse.codes import TRANSIENT_STATUS, Class, read_error
from cio2d365.dataverse.requests import API, HEADERS
from cio2d365.errors import OutcomeUnknown, Refused, Terminal
from cio2d365.transport import Request, Response, retry_after

LIMIT = 1000
LONGEST_ADDRESS = 32_768  # of a request of its own (dataverse-api 2)
LONGEST_INNER_ADDRESS = 65_536  # of a part of a batch
HTTP_PART = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
NOT_EXECUTED = frozenset({401, 429})  # the part was turned away at the door: sending it again is safe
REFERENCE = re.compile(r"\$\d+(/|$)")
AGAIN_TRIES = 5
UNCLEAR = Response(504, {}, b"")


def build(requests: Sequence[Request]) -> Request:
    """One request that holds others, at most 1,000; repeatable when all of them are."""
    _check_size(requests)
    return _multipart([_http(HTTP_PART, request) for request in requests], requests)


def build_change_set(requests: Sequence[Request]) -> Request:
    """One request whose writes all happen or none; repeatable when all of them are. Not for elastic tables.

    The parts are numbered from 1: a later one may have the path `$1`, or `$1/navigation/$ref`, and its body may bind to
    `"$1"`, the row that the first one made. ValueError for a read: a change set holds writes only.
    """
    _check_size(requests)
    if any(request.method == "GET" for request in requests):
        raise ValueError("a change set holds writes only")
    parts = [_http(f"{HTTP_PART}Content-ID: {n}\r\n", request) for n, request in enumerate(requests, 1)]
    mark, inner = _joined("changeset", parts)
    head = f'Content-Type: multipart/mixed; boundary="{mark}"\r\n\r\n'.encode()
    return _multipart([head + inner], requests)


def send(client: Dataverse, requests: Sequence[Request]) -> list[Response]:
    """Send parts that stand alone; one answer per request, each a success or a refusal of its own.

    Parts that were throttled, refused for a stale token or failed for a moment go again without the others. A part that
    may not be repeated keeps its answer, and then `is_unclear` tells that its end is not known. Raises OutcomeUnknown
    with the parts when nothing is known about any of them (F-16), Terminal when the answer cannot be read.
    """
    if not requests:
        return []
    answers = _counted(_parts(client, build(requests), requests), len(requests))
    for attempt in range(1, AGAIN_TRIES):
        again = [n for n, answer in enumerate(answers) if _goes_again(requests[n], answer)]
        if not again:
            break
        client.transport.pace.pause(max(_wait(answers[n], attempt) for n in again))
        answers = _replaced(answers, again, _once_more(client, [requests[n] for n in again]))
    return answers


def send_all(client: Dataverse, requests: Iterable[Request], size: int = LIMIT) -> Iterator[tuple[Request, Response]]:
    """Any number of parts that stand alone, `size` in a batch: each with its answer, batch by batch.

    What was yielded before an error is known. ValueError for a size over 1,000.
    """
    rest = iter(requests)
    while some := list(islice(rest, size)):
        yield from zip(some, send(client, some), strict=True)


def send_change_set(client: Dataverse, requests: Sequence[Request]) -> list[Response]:
    """All writes or none: the answer of each. A refusal is raised as that of a single request; nothing was written.

    Raises OutcomeUnknown with the parts when it is not known whether they happened.
    """
    if not requests:
        return []
    request = build_change_set(requests)
    attempt = 0
    while True:
        attempt += 1
        answers = _parts(client, request, requests)
        failed = next((a for a in answers if a.status >= 400), None)
        if failed is None:
            return _counted(answers, len(requests))
        error = read_error(failed)
        may_pass = failed.status in NOT_EXECUTED or wait_before(error.cause, attempt) is not None
        if attempt == AGAIN_TRIES or not may_pass:
            raise refusal(replace(request, path=f"{request.path} (change set)"), error)
        client.transport.pace.pause(_wait(failed, attempt))


def read(client: Dataverse, request: Request) -> Response:
    """A read whose address may be too long for a request of its own: up to 64 KB of it fit into a batch.

    Raises Refused with the figures beyond that.
    """
    longest = len(f"{client.transport.origin}{request.path}")
    if longest <= LONGEST_ADDRESS:
        return client.send(request)
    if longest > LONGEST_INNER_ADDRESS:
        raise Refused(
            f"{request.label}: the address of the query has {longest:,} characters; Dataverse takes "
            f"{LONGEST_ADDRESS:,}, and {LONGEST_INNER_ADDRESS:,} inside of a batch. Ask with fewer conditions"
        )
    answer = send(client, [request])[0]
    if answer.status >= 400:
        raise refusal(request, read_error(answer))
    return answer


def is_unclear(request: Request, answer: Response) -> bool:
    """Whether the answer leaves open if the write happened (L2): it failed for a moment and must not be repeated."""
    return not request.repeatable and answer.status in TRANSIENT_STATUS - NOT_EXECUTED


def _check_size(requests: Sequence[Request]) -> None:
    if len(requests) > LIMIT:
        raise ValueError(f"a batch holds at most {LIMIT} requests, not {len(requests)}")


def _multipart(parts: Sequence[bytes], requests: Sequence[Request]) -> Request:
    mark, body = _joined("batch", parts)
    headers = {"Content-Type": f'multipart/mixed; boundary="{mark}"', "Prefer": "odata.continue-on-error"}
    return Request("POST", f"{API}/$batch", body, headers, all(r.repeatable for r in requests))


def _joined(kind: str, parts: Sequence[bytes]) -> tuple[str, bytes]:
    """A boundary that occurs in no part, and the parts between it."""
    content = b"".join(parts)
    mark = _unused(f"{kind}_{sha256(content).hexdigest()[:32]}", content)
    line = f"--{mark}".encode()
    return mark, b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n"


def _unused(mark: str, content: bytes) -> str:
    """The mark, made longer until it occurs nowhere."""
    while mark.encode() in content:
        mark += "_"
    return mark


def _http(head: str, request: Request) -> bytes:
    path = request.path
    if (
        not (path.startswith("/") or REFERENCE.match(path))
        or not path.isascii()
        or not path.isprintable()
        or " " in path
    ):
        raise ValueError(f"{path[:60]!r} is not an encoded path")
    headers = {**HEADERS, **request.headers}
    if not all(value.isprintable() for value in headers.values()):
        raise ValueError(f"{request.label}: a header holds characters that would end it")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{head}\r\n{request.method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + (request.body or b"") + b"\r\n"


def _once_more(client: Dataverse, requests: Sequence[Request]) -> list[Response]:
    """The parts again. What the others became is known already, so an unclear end here is an answer, not an error."""
    try:
        return _counted(_parts(client, build(requests), requests), len(requests))
    except OutcomeUnknown:
        return [UNCLEAR] * len(requests)


def _replaced(answers: Sequence[Response], places: Sequence[int], newer: Sequence[Response]) -> list[Response]:
    changed = dict(zip(places, newer, strict=True))
    return [changed.get(n, answer) for n, answer in enumerate(answers)]


def _counted(answers: list[Response], expected: int) -> list[Response]:
    if len(answers) != expected:
        raise Terminal(f"$batch: {expected} requests sent, {len(answers)} answers came back")
    return answers


def _parts(client: Dataverse, batch: Request, requests: Sequence[Request]) -> list[Response]:
    """Send a batch and read its answer; a damaged answer to writes that must not be repeated leaves them unclear."""
    for _ in range(TRIES):
        try:
            answer = client.send(batch)
            return _read(answer)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(str(error), requests) from None
        except _Damaged as error:
            if not batch.repeatable:
                raise OutcomeUnknown(str(error), requests) from None
    return parse(answer)


def parse(answer: Response) -> list[Response]:
    """The parts' own answers, in order. Terminal when the answer is not a whole multipart one."""
    try:
        return _read(answer)
    except _Damaged as error:
        raise Terminal(f"{error}; run again") from None


class _Damaged(Exception):
    """The answer to a batch is not a whole multipart one."""


def _read(answer: Response) -> list[Response]:
    kind = {k.lower(): v for k, v in answer.headers.items()}.get("content-type", "")
    if "boundary=" not in kind:
        raise _Damaged(f"$batch: the answer is not multipart: {answer.excerpt()}")
    return list(_split(kind, answer.body))


def _split(kind: str, body: bytes) -> Iterator[Response]:
    found = re.search(r'boundary="?([^";\s]+)', kind)
    line = b"\r\n--" + (found[1].encode() if found else b"")
    if not found or not body.rstrip().endswith(line[2:] + b"--"):
        raise _Damaged(f"$batch: the answer was cut after {len(body)} bytes")
    for piece in (b"\r\n" + body).split(line)[1:]:
        if not piece.startswith(b"--"):
            yield from _answer(piece)


def _answer(piece: bytes) -> Iterator[Response]:
    """One answer, or those of a change set."""
    outer, _, inner = piece.partition(b"\r\n\r\n")
    kind = next((line for line in _lines(outer) if line.lower().startswith("content-type: multipart/mixed")), "")
    if kind:
        yield from _split(kind, inner)
        return
    head, _, body = inner.partition(b"\r\n\r\n")
    status, *lines = _lines(head)
    found = re.match(r"HTTP/\d\.\d (\d{3})", status)
    if not found:
        raise _Damaged(f"$batch: a part of the answer has no status line: {status[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    yield Response(int(found[1]), {name.strip(): value.strip() for name, _, value in pairs}, body)


def _lines(head: bytes) -> list[str]:
    return head.decode("utf-8", "replace").strip().split("\r\n")


def _goes_again(request: Request, answer: Response) -> bool:
    if answer.status < 400:
        return False
    if answer.status in NOT_EXECUTED:
        return True
    return read_error(answer).cause in (Class.TRANSIENT, Class.LOCK) and not is_unclear(request, answer)


def _wait(answer: Response, attempt: int) -> float:
    """Seconds before a part goes again: what it asks for, none for a token that only has to be renewed."""
    if answer.status == 401:
        return 0.0
    asked = retry_after(answer.headers)
    return asked if asked is not None else wait_before(read_error(answer).cause, 1) or float(attempt)
