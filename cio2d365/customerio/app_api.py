"""The App API client: pages, people in batches, objects, documents. Read-only by construction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast
from urllib.parse import quote, urlencode

from cio2d365.customerio.endpoints import ENDPOINTS, EVERYBODY, IDS_PER_ATTRIBUTES_CALL, Endpoint, all_objects
from cio2d365.errors import AuthorityError, RequestRejected, Transient
from cio2d365.transport import Request, Response, Transport, json_body

Row = dict[str, Any]
EMPTY_PAGES_AT_THE_END = 3


class AppApi:
    """What a workspace's App API gives. Every read is complete or an error."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def workspaces(self) -> list[Row]:
        """All workspaces of the account, with control totals up to two hours old; the key is checked by it."""
        return list(self.rows("workspaces"))

    def people(self) -> Iterator[Row]:
        """`{id, email, cio_id}` of everybody, each cio_id once (`customerio-api 3.2`)."""
        return _once_each(self.rows("people", body={"filter": EVERYBODY}), "cio_id")

    def attributes(self, cio_ids: Iterable[str]) -> Iterator[Row]:
        """Attributes, timestamps, unsubscribed and devices, 100 people a call; the server leaves out absent people."""
        ids = iter(cio_ids)
        while batch := list(islice(ids, IDS_PER_ATTRIBUTES_CALL)):
            answer = self._read(ENDPOINTS["attributes"], {"id_type": "cio_id"}, {"ids": batch}, {})
            # The published shape wraps each row once more in `customer`; live rows are not (customerio-api 3.3).
            yield from (cast(Row, row.get("customer", row)) for row in answer.get("customers") or [])

    def objects(self, type_id: str) -> Iterator[Row]:
        """`{object_id, cio_object_id}` of every object of a type, each once although pages may repeat them."""
        body = {"object_type_id": type_id, "filter": all_objects(type_id)}
        return _once_each(self.rows("objects", body=body), "cio_object_id")

    def object_attributes(self, type_id: str, object_id: str) -> Row | None:
        """Identifiers and attributes of one object; None when it is gone meanwhile."""
        answer = self._read(ENDPOINTS["object"], {}, None, {"type": type_id, "id": object_id}, missing_ok=True)
        return cast(Row | None, answer.get("object"))

    def people_of(self, type_id: str, object_id: str) -> Iterator[Row]:
        """People related to an object, without the relationship's attributes."""
        return self.rows("object_relationships", missing_ok=True, type=type_id, id=object_id)

    def relationships_of(self, cio_id: str) -> Iterator[Row]:
        """Objects related to a person, with the relationship's attributes."""
        return self.rows("person_relationships", query={"id_type": "cio_id"}, missing_ok=True, id=cio_id)

    def activities(self, type_: str) -> Iterator[Row]:
        """Activities of one type that the server still has (30 days), each id once (`customerio-api 7.1`)."""
        return _once_each(self.rows("activities", query={"type": type_, "deleted": "true"}), "id")

    def rows(
        self,
        name: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        missing_ok: bool = False,
        **path: str,
    ) -> Iterator[Row]:
        """All rows of an endpoint. An empty page is not the end; a repeated token or three empty pages are."""
        endpoint, start, seen, empty = ENDPOINTS[name], "", {""}, 0
        while True:
            answer = self._read(endpoint, _page(endpoint, query, start), body, path, missing_ok=missing_ok)
            rows = answer.get(endpoint.rows) or []
            yield from rows
            start, empty = answer.get("next") or "", 0 if rows else empty + 1
            if start in seen or empty == EMPTY_PAGES_AT_THE_END:
                return
            seen.add(start)

    def value(self, name: str, **path: str) -> Any:
        """The root value of an endpoint that is not a list."""
        endpoint = ENDPOINTS[name]
        return self._read(endpoint, {}, None, path).get(endpoint.rows)

    def _read(
        self,
        endpoint: Endpoint,
        query: Mapping[str, str],
        body: object,
        path: Mapping[str, str],
        *,
        missing_ok: bool = False,
    ) -> Row:
        request = _request(endpoint, query, body, path)
        for _ in range(3):
            answer = self.transport.send(request)
            if answer.status == 404 and missing_ok:
                return {}
            _check(answer, request)
            try:
                return _object(answer)
            except ValueError:
                continue
        raise Transient(f"{request.label} answered three times with something that is not JSON: {answer.excerpt()}")


def _request(endpoint: Endpoint, query: Mapping[str, str], body: object, path: Mapping[str, str]) -> Request:
    # A raw + or @ in a path gives 200 with an empty result, not an error (customerio-api 2.3): everything is encoded.
    filled = endpoint.path.format(**{key: quote(value, safe="") for key, value in path.items()})
    url = f"{filled}?{urlencode(query)}" if query else filled
    if body is None:
        return Request(endpoint.method, url)
    return Request(endpoint.method, url, json_body(body), {"Content-Type": "application/json"})


def _page(endpoint: Endpoint, query: Mapping[str, str] | None, start: str) -> dict[str, str]:
    limit = {"limit": str(endpoint.limit)} if endpoint.limit else {}
    return {**(query or {}), **limit, **({"start": start} if start else {})}


def _check(answer: Response, request: Request) -> None:
    if answer.status < 300:
        return
    if answer.status == 403:
        raise AuthorityError(f"{request.label}: the App API key lacks the scope, or the address is not allowed (403)")
    raise RequestRejected(
        f"{request.label}: status {answer.status} {answer.excerpt()}", status=answer.status, text=answer.excerpt()
    )


def _object(answer: Response) -> Row:
    value = answer.json()
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _once_each(rows: Iterable[Row], key: str) -> Iterator[Row]:
    seen: set[str] = set()
    for row in rows:
        if (value := str(row.get(key))) not in seen:
            seen.add(value)
            yield row
