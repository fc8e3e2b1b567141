"""FetchXML queries and views, page by page (`dataverse-api 15`).

The service hands a cookie from page to page. It comes twice URL-encoded inside an XML text and goes back as an XML
attribute inside a URL. A query too long for an address travels in a batch. Rows come without their empty columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote as quoted
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from cio2d365.dataverse import batch, requests
from cio2d365.dataverse.addresses import guid
from cio2d365.dataverse.client import Dataverse, Row, rows_of
from cio2d365.dataverse.conditions import Condition, add_filter
from cio2d365.errors import Refused, Terminal
from cio2d365.tables import Table
from cio2d365.transport import Request

CRM = "@Microsoft.Dynamics.CRM."
MORE, COOKIE = f"{CRM}morerecords", f"{CRM}fetchxmlpagingcookie"
ANNOTATIONS = 'odata.include-annotations="Microsoft.Dynamics.CRM.*"'
MOST_ROWS = 5000
MOST_WITHOUT_COOKIE = 50_000  # what paging by number alone can reach
LIMITS = {"link-entity": 15, "condition": 500}


@dataclass(frozen=True)
class Fetch:
    """A query on one table as FetchXML text, checked: no DTD, one entity, within the limits of the service."""

    table: str
    xml: str

    @property
    def root(self) -> Element:
        """The `fetch` element, a new one each time."""
        return ElementTree.fromstring(self.xml)


def parsed(xml: str) -> Fetch:
    """FetchXML text as a query. Raises Refused with the figure for what the service would not run."""
    if "<!doctype" in xml.lower() or "<!entity" in xml.lower():
        raise Refused("FetchXML must not hold a DTD (B-120)")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise Refused(f"the FetchXML cannot be read: {error}") from None
    entities = root.findall("entity")
    if root.tag != "fetch" or len(entities) != 1 or not entities[0].get("name"):
        raise Refused("FetchXML is one fetch element with one named entity")
    _check_limits(root)
    return Fetch(entities[0].get("name", ""), xml)


def select(table: Table, columns: Sequence[str], conditions: Sequence[Condition] = ()) -> Fetch:
    """Some columns of the rows that fulfil all conditions, ordered by primary key so that no page shifts."""
    root, entity = _blank(table)
    for name in columns:
        SubElement(entity, "attribute", name=name)
    SubElement(entity, "order", attribute=table.primary_id)
    add_filter(entity, conditions)
    return parsed(ElementTree.tostring(root, encoding="unicode"))


def count(table: Table, conditions: Sequence[Condition] = ()) -> Fetch:
    """How many rows fulfil all conditions, as `rows`; the service counts 50,000 at most (0x8004e023 beyond)."""
    root, entity = _blank(table)
    root.set("aggregate", "true")
    SubElement(entity, "attribute", name=table.primary_id, alias="rows", aggregate="count")
    add_filter(entity, conditions)
    return parsed(ElementTree.tostring(root, encoding="unicode"))


def page(table: Table, fetch: Fetch, number: int = 1, cookie: str = "") -> Request:
    """The request for one page. A query with `top` has one page only and keeps it.

    Raises Refused when the query asks another table than the one that its address names.
    """
    if fetch.table != table.name:
        raise Refused(f"the FetchXML asks for {fetch.table}, not for {table.name}")
    root = fetch.root
    if root.get("top") is None:
        root.set("page", str(number))
        root.set("count", str(_page_rows(root)))
    if cookie:
        root.set("paging-cookie", cookie)
    query = urlencode({"fetchXml": ElementTree.tostring(root, encoding="unicode")}, quote_via=quoted)
    return Request("GET", f"{requests.API}/{table.set_name}?{query}", headers={"Prefer": ANNOTATIONS})


def pages(client: Dataverse, table: Table, fetch: Fetch) -> Iterator[list[Row]]:
    """All pages of a query. A page that does not parse, or that leads nowhere, is an error, never an end.

    Raises Terminal when the service gives no cookie and the rows are more than paging by number can reach.
    """
    number, cookie, size = 1, "", _page_rows(fetch.root)
    while True:
        request = page(table, fetch, number, cookie)
        body = client.read(request, lambda r: batch.read(client, r))
        rows = rows_of(body, request.label)
        yield rows
        if fetch.root.get("top") is not None or not _is_more(body, len(rows) >= size):
            return
        cookie = _next_cookie(body, number, cookie, request.label)
        if not cookie and number * size >= MOST_WITHOUT_COOKIE:
            raise Terminal(f"{request.label}: no paging cookie, and more than {MOST_WITHOUT_COOKIE:,} rows")
        number += 1


def rows(client: Dataverse, table: Table, fetch: Fetch) -> Iterator[Row]:
    """All rows of all pages."""
    for some in pages(client, table, fetch):
        yield from some


def view_request(view_id: str, *, personal: bool = False) -> Request:
    """The definition of a public view, or of a personal one."""
    name = "userqueries" if personal else "savedqueries"
    return requests.get(f"{name}({guid(view_id)})", {"$select": "fetchxml,returnedtypecode"})


def view(client: Dataverse, view_id: str, *, personal: bool = False) -> Fetch:
    """The query of a view. `?savedQuery=` would run it too, but only its first page can be asked for."""
    found = client.read(view_request(view_id, personal=personal))
    return parsed(str(found.get("fetchxml") or ""))


def _blank(table: Table) -> tuple[Element, Element]:
    root = Element("fetch")
    return root, SubElement(root, "entity", name=table.name)


def _check_limits(root: Element) -> None:
    for tag, limit in LIMITS.items():
        found = sum(1 for _ in root.iter(tag))
        if found > limit:
            raise Refused(f"the FetchXML has {found} {tag} elements; the service takes {limit}")
    if root.get("top") is not None and (root.get("count") is not None or root.get("page") is not None):
        raise Refused("the FetchXML has top, which cannot be together with count or page")
    for name in ("top", "count"):
        value = root.get(name, "1")
        if not value.isdecimal() or not 1 <= int(value) <= MOST_ROWS:
            raise Refused(f"{name} of the FetchXML must be a number from 1 to {MOST_ROWS}, not {value[:20]!r}")


def _page_rows(root: Element) -> int:
    return int(root.get("count", MOST_ROWS))


def _is_more(body: Row, full: bool) -> bool:
    """Without a word about it a full page may not be the last: asking once more is the only way to know."""
    said = body.get(MORE)
    return full if said is None else said is True or str(said).lower() == "true"


def _next_cookie(body: Row, number: int, before: str, label: str) -> str:
    text = body.get(COOKIE)
    if not text:
        return ""
    try:
        given = ElementTree.fromstring(str(text))
        cookie = unquote(unquote(given.get("pagingcookie", "")))
        ElementTree.fromstring(cookie)
    except ElementTree.ParseError:
        raise Terminal(f"{label}: the paging cookie cannot be read: {str(text)[:80]!r}") from None
    if cookie == before or given.get("pagenumber") not in (None, str(number + 1)):
        raise Terminal(f"{label}: the paging cookie of page {number} leads back")
    return cookie
