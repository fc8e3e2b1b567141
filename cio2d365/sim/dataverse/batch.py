"""`$batch`: several requests in one multipart body, change sets as transactions (dataverse-api 6)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote

from .context import Answer, Context, error_answer
from .errors import ServiceError, malformed

Runner = Callable[[Context], Answer]
_BOUNDARY = re.compile(r"multipart/mixed\s*;.*?boundary=\"?([^\";]+)\"?", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(rb'"/?\$(\w+)((?:/[^"]*)?)"')
_MOST_OPERATIONS = 1000
_LONGEST_URL = 65_536
_REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified"}


@dataclass(frozen=True)
class Part:
    """One request of a batch."""

    content_id: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Group:
    """A change set, or a single request outside of one."""

    parts: list[Part]
    changeset: bool


@dataclass(frozen=True)
class Result:
    """The answers of one group and whether it failed."""

    answers: list[tuple[str, Answer]]
    failed: bool
    changeset: bool


def run_batch(context: Context, run: Runner) -> Answer:
    """Execute a batch one group after another; without continue-on-error the first failure ends it."""
    groups = list(_groups(context.headers.get("content-type", ""), context.body))
    number = sum(len(group.parts) for group in groups)
    if not number:
        raise malformed("The batch holds no request.")
    if number > _MOST_OPERATIONS:
        raise ServiceError(
            400, "0x80040315", f"The number of requests in the batch exceeds the maximum of {_MOST_OPERATIONS}."
        )
    go_on = "odata.continue-on-error" in context.preferences
    results: list[Result] = []
    for group in groups[: context.only_parts]:
        results.append(_run_changeset(context, group, run) if group.changeset else _run_single(context, group, run))
        if results[-1].failed and not go_on:
            break
    failed = any(result.failed for result in results)
    return _multipart(results, 400 if failed and not go_on else 200)


def _groups(content_type: str, body: bytes) -> Iterator[Group]:
    for headers, content in _split(content_type, body):
        kind = headers.get("content-type", "")
        if kind.lower().startswith("multipart/mixed"):
            parts = [_part(inner, text) for inner, text in _split(kind, content)]
            yield Group(parts, changeset=True)
        else:
            yield Group([_part(headers, content)], changeset=False)


def _split(content_type: str, body: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """(headers, content) of every part. Only CRLF separates lines, and the closing boundary must be there."""
    found = _BOUNDARY.search(content_type)
    if not found:
        raise malformed("The content type of a batch must be multipart/mixed with a boundary.")
    mark = b"--" + found[1].strip().encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise malformed("The batch body has no closing boundary, or its lines do not end with CRLF.")
    for piece in pieces[1:-1]:
        if not piece.startswith(b"\r\n"):
            raise malformed("The lines of a batch must end with CRLF.")
        yield _headers_and_rest(piece[2:])


def _headers_and_rest(text: bytes) -> tuple[dict[str, str], bytes]:
    head, separator, rest = text.partition(b"\r\n\r\n")
    if not separator and b"\n\n" in text:
        raise malformed("The lines of a batch must end with CRLF.")
    return _read_headers(head), rest


def _read_headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _part(headers: dict[str, str], content: bytes) -> Part:
    if not headers.get("content-type", "").lower().startswith("application/http"):
        raise malformed("A part of a batch must have the content type application/http.")
    line, _, rest = content.partition(b"\r\n")
    request = line.decode("utf-8").strip()
    method, _, remainder = request.partition(" ")
    url, _, version = remainder.rpartition(" ")
    if not version.startswith("HTTP/") or not url:
        raise malformed(f"'{request[:80]}' is not a request line.")
    head, _, body = rest.partition(b"\r\n\r\n")
    if rest.startswith(b"\r\n"):
        head, body = b"", rest[2:]
    inner = _read_headers(head)
    return Part(headers.get("content-id", inner.get("content-id", "")), method, url.strip(), inner, body)


def _run_single(context: Context, group: Group, run: Runner) -> Result:
    part = group.parts[0]
    answer, failed = _attempt(context, part, {}, run)
    return Result([(part.content_id, answer)], failed, changeset=False)


def _attempt(context: Context, part: Part, known: dict[str, str], run: Runner) -> tuple[Answer, bool]:
    try:
        return run(_inner_context(context, part, known)), False
    except ServiceError as error:
        return error_answer(error, context.annotations), True


class _RolledBack(Exception):
    """Leaves the transaction of a change set."""


def _run_changeset(context: Context, group: Group, run: Runner) -> Result:
    """All parts or none; a failure leaves one error for the whole set."""
    known: dict[str, str] = {}
    answers: list[tuple[str, Answer]] = []
    try:
        with context.org.store.transaction():
            for part in group.parts:
                answer, failed = _write_part(context, part, known, run)
                if failed:
                    answers = [(part.content_id, answer)]
                    raise _RolledBack
                answers.append((part.content_id, answer))
                known[part.content_id] = answer.headers.get("OData-EntityId", "")
    except _RolledBack:
        return Result(answers, failed=True, changeset=True)
    return Result(answers, failed=False, changeset=True)


def _write_part(context: Context, part: Part, known: dict[str, str], run: Runner) -> tuple[Answer, bool]:
    if part.method == "GET" or not part.content_id:
        raise malformed("A change set holds only writes, each with a Content-ID.")
    return _attempt(context, part, known, run)


def _inner_context(context: Context, part: Part, known: dict[str, str]) -> Context:
    if len(part.url) > _LONGEST_URL:
        raise malformed("The URL of a batch part is too long.")
    path, _, query = _resolve(context, part.url, known).partition("?")
    if path.strip("/") == "$batch":
        raise malformed("A batch request cannot hold another batch.")
    body = _REFERENCE.sub(lambda found: _referenced(found, known), part.body.removesuffix(b"\r\n"))
    inner = replace(
        context,
        method=part.method,
        path=unquote(path),
        raw_query=query,
        headers=part.headers,
        body=body,
        known_rows=set(),
    )
    return inner


def _resolve(context: Context, url: str, known: dict[str, str]) -> str:
    """The URL of a part relative to the API root: absolute, rooted, relative, or `$1` for an earlier part."""
    if url.startswith("$") and not url.startswith("$batch"):
        name, slash, rest = url[1:].partition("/")
        if name not in known:
            raise malformed(f"The content id '{name}' is not known in this change set.")
        url = known[name] + slash + rest
    url = context.below_root(url)
    if "://" in url:
        raise malformed("The URL of a batch part must belong to this service.")
    return url.lstrip("/")


def _referenced(found: re.Match[bytes], known: dict[str, str]) -> bytes:
    address = known.get(found[1].decode())
    return b'"' + address.encode() + found[2] + b'"' if address else found[0]


def _multipart(results: list[Result], status: int) -> Answer:
    boundary = f"batchresponse_{uuid.uuid4()}"
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + _written(result) for result in results)
    body += b"--" + boundary.encode() + b"--\r\n"
    return Answer(status, body, {"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _written(result: Result) -> bytes:
    if not result.changeset or result.failed:
        return _http(*result.answers[0])
    inner = f"changesetresponse_{uuid.uuid4()}"
    body = b"".join(
        b"--" + inner.encode() + b"\r\n" + _http(content_id, answer) for content_id, answer in result.answers
    )
    head = f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode()
    return head + body + b"--" + inner.encode() + b"--\r\n"


def _http(content_id: str, answer: Answer) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Error')}"]
    lines += [f"{name}: {value}" for name, value in {"OData-Version": "4.0", **answer.headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body + b"\r\n"
