"""FetchXML: values stay values, pages follow each other to the real end, counts are exact or say how old they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import httpx
import pytest

from cio2d365.dataverse import counts, fetch, requests
from cio2d365.dataverse.conditions import Condition, criteria
from cio2d365.errors import InputError, Refused, RequestRejected, Terminal, Transient
from cio2d365.transport import Request
from tests.dataverse.scripted import ACCOUNT, CONTACT, Organisation, Script, guid, organisation, refused

ALL = fetch.select(CONTACT, ["lastname"])
TWO = fetch.parsed('<fetch count="2"><entity name="contact"><attribute name="lastname"/></entity></fetch>')


def asked(request: httpx.Request | Request) -> Element:
    """The FetchXML that an address holds."""
    address = request.path if isinstance(request, Request) else str(request.url)
    (xml,) = parse_qs(urlsplit(address).query)["fetchXml"]
    return ElementTree.fromstring(xml)


def cookie(number: int, inner: str) -> str:
    return f'<cookie pagenumber="{number}" pagingcookie="{quote(quote(inner, safe=""), safe="")}" istracking="False" />'


def page(
    count: int, number: int | None = None, inner: str = "", said: Mapping[str, object] | None = None
) -> httpx.Response:
    body: dict[str, Any] = {"value": [{"lastname": str(n)} for n in range(count)], **(said or {})}
    if number is not None:
        body |= {fetch.MORE: True, fetch.COOKIE: cookie(number, inner or f'<cookie page="{number - 1}"><x/></cookie>')}
    return httpx.Response(200, json=body)


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ['"/><all-attributes/>', "a&b", "<x>", "O'Neil", "é 漢", "a+b %20", "]]>", "\t"])
def test_a_value_in_a_condition_stays_a_value(value: str) -> None:
    for operator in ("eq", "in"):
        query = fetch.select(CONTACT, ["lastname"], [Condition("lastname", operator, (value,))])
        root = asked(fetch.page(CONTACT, query))
        (condition,) = root.iter("condition")
        assert (condition.get("value") or condition.findtext("value")) == value
        assert root.find(".//all-attributes") is None


def test_every_kind_of_value_has_its_text_and_its_type() -> None:
    moment = datetime(2026, 1, 31, 9, tzinfo=UTC)
    values = (7, 2**40, True, Decimal("1E+2"), UUID(guid(1)), moment, "x")
    found = criteria([Condition("a", "in", values)])["Conditions"][0]["Values"]
    assert [(v["Value"], v["Type"].removeprefix("System.")) for v in found] == [
        ("7", "Int32"), (str(2**40), "Int64"), ("true", "Boolean"), ("100", "Decimal"), (guid(1), "Guid"),
        ("2026-01-31T09:00:00Z", "DateTime"), ("x", "String"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "values"), [("eq", ()), ("eq", ("a", "b")), ("null", ("a",)), ("in", ()), ("like", ("a",)), ("'", ())]
)
def test_a_condition_that_makes_no_sense_is_refused(operator: Any, values: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        Condition("a", operator, values)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        fetch.select(CONTACT, [], [Condition("createdon", "ge", (datetime(2026, 1, 1),))])


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("<fetch>", "cannot be read"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><fetch><entity name="contact"/></fetch>', "DTD"),
        ("<fetch/>", "one named entity"),
        ('<fetch><entity name="a"/><entity name="b"/></fetch>', "one named entity"),
        ("<fetch><entity/></fetch>", "one named entity"),
        ('<fetch top="5" count="5"><entity name="contact"/></fetch>', "cannot be together"),
        ('<fetch top="5001"><entity name="contact"/></fetch>', "from 1 to 5000, not '5001'"),
        ('<fetch count="0"><entity name="contact"/></fetch>', "from 1 to 5000"),
        (f'<fetch><entity name="c">{"<link-entity/>" * 16}</entity></fetch>', "16 link-entity elements; .* takes 15"),
        (f'<fetch><entity name="c">{"<condition/>" * 501}</entity></fetch>', "501 condition elements; .* takes 500"),
    ],
)
def test_what_the_service_would_not_run_is_refused_before_it_is_sent(xml: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        fetch.parsed(xml)


def test_a_query_on_another_table_than_its_address_is_refused() -> None:
    with pytest.raises(Refused, match="asks for contact, not for account"):
        fetch.page(ACCOUNT, ALL)


# --- pages ------------------------------------------------------------------------------------------------------------


def test_the_cookie_of_a_page_goes_back_as_it_was_meant_with_the_next_number() -> None:
    inner = '<cookie page="1"><lastname last="a &amp; &quot;b&quot; 50%25 + é" /><contactid last="{1}" /></cookie>'
    script = Script(page(2, 2, inner), page(1))
    assert len(list(fetch.rows(script.client, CONTACT, TWO))) == 3
    first, second = (asked(r) for r in script.seen)
    assert (first.get("page"), first.get("count"), first.get("paging-cookie")) == ("1", "2", None)
    assert (second.get("page"), second.get("count")) == ("2", "2")
    assert second.get("paging-cookie") == inner


def test_a_query_with_top_is_one_page_and_keeps_it() -> None:
    script = Script(page(3))
    top = fetch.parsed('<fetch top="3"><entity name="contact"/></fetch>')
    assert len(list(fetch.rows(script.client, CONTACT, top))) == 3
    root = asked(script.seen[0])
    assert (root.get("top"), root.get("page"), root.get("count")) == ("3", None, None)


@pytest.mark.parametrize("said", [None, ""])
def test_without_a_cookie_pages_go_by_number(said: str | None) -> None:
    script = Script(page(2, said={fetch.MORE: True, fetch.COOKIE: said}), page(0))
    assert len(list(fetch.rows(script.client, CONTACT, TWO))) == 2
    assert asked(script.seen[1]).get("page") == "2"


def test_a_full_page_without_a_word_about_more_is_not_taken_for_the_end() -> None:
    script = Script(page(2), page(2), page(1))
    assert len(list(fetch.rows(script.client, CONTACT, TWO))) == 5


def test_a_full_page_that_is_said_to_be_the_last_is_the_last() -> None:
    script = Script(page(2, said={fetch.MORE: False}))
    assert len(list(fetch.rows(script.client, CONTACT, TWO))) == 2


def test_more_rows_than_paging_by_number_can_reach_are_an_error_not_an_end() -> None:
    script = Script(*[httpx.Response(200, json={"value": [{}] * 5000, fetch.MORE: True})] * 11)
    with pytest.raises(Terminal, match="no paging cookie, and more than 50,000 rows"):
        list(fetch.rows(script.client, CONTACT, ALL))
    assert len(script.seen) == 10


@pytest.mark.parametrize(
    "second",
    [page(2, 2), page(2, 3, '<cookie page="1"><x/></cookie>'), page(2, 9)],
    ids=["same number", "same cookie", "a page left out"],
)
def test_a_cookie_that_leads_back_is_an_error(second: httpx.Response) -> None:
    script = Script(page(2, 2), second)
    with pytest.raises(Terminal, match="leads back"):
        list(fetch.rows(script.client, CONTACT, TWO))


@pytest.mark.parametrize("text", ["<cookie", "text", "<cookie/>", '<cookie pagingcookie="%253Ccookie"/>'])
def test_a_cookie_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(Terminal, match="cookie cannot be read"):
        list(fetch.rows(Script(page(2, said={fetch.MORE: True, fetch.COOKIE: text})).client, CONTACT, TWO))


def test_a_page_that_does_not_parse_is_asked_for_again_and_then_an_error() -> None:
    cut = httpx.Response(200, content=b'{"value": [{"a"')
    assert len(list(fetch.rows(Script(cut, page(1)).client, CONTACT, TWO))) == 1
    with pytest.raises(Transient, match="not JSON"):
        list(fetch.rows(Script(page(2, 2), cut, cut, cut).client, CONTACT, TWO))
    with pytest.raises(Terminal, match="not a list of rows"):
        list(fetch.rows(Script(httpx.Response(200, json={"x": 1})).client, CONTACT, TWO))


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"EntityRecordCountCollection": None},
        {"EntityRecordCountCollection": {"Keys": ["contact"], "Values": []}},
        {"EntityRecordCountCollection": {"Keys": ["lead"], "Values": [1]}},
    ],
)
def test_a_count_that_is_not_told_is_an_error_not_zero(body: Any) -> None:
    with pytest.raises(Terminal, match="RetrieveTotalRecordCount"):
        counts.up_to_a_day_old(Script(httpx.Response(200, json=body)).client, ["contact"])


def test_above_the_limit_of_the_service_the_ids_are_counted_page_by_page() -> None:
    limit = refused(400, "0x8004E023", "The maximum record limit is exceeded.")
    last = httpx.Response(200, json={"value": [{}] * 7})
    script = Script(limit, page(5000, 2), page(5000, 3), last)
    assert counts.exact(script.client, CONTACT, [Condition("statecode", "eq", (0,))]) == 10_007
    assert [a.get("name") for a in asked(script.seen[1]).iter("attribute")] == ["contactid"]
    assert len(list(asked(script.seen[1]).iter("condition"))) == 1


def test_another_refusal_of_a_count_is_raised() -> None:
    script = Script(refused(400, "0x80041103", "no such attribute"))
    with pytest.raises(RequestRejected, match="no such attribute"):
        counts.exact(script.client, CONTACT)
    assert len(script.seen) == 1


def test_an_aggregate_over_too_many_rows_says_so() -> None:
    script = Script(refused(400, "0x8004E023", "AggregateQueryRecordLimit exceeded."))
    with pytest.raises(RequestRejected, match=r"AggregateQueryRecordLimit exceeded") as caught:
        list(fetch.rows(script.client, CONTACT, fetch.count(CONTACT)))
    assert caught.value.code == 0x8004E023


def test_a_page_that_fails_gives_no_count() -> None:
    limit = refused(400, "0x8004E023")
    with pytest.raises(RequestRejected):
        counts.exact(Script(limit, page(5000, 2), refused(400, "0x80041103")).client, CONTACT)


@pytest.mark.parametrize("value", [[], [{}], [{"rows": None}], [{"rows": 1}, {"rows": 2}]])
def test_a_count_without_a_figure_is_an_error(value: Any) -> None:
    with pytest.raises(Terminal, match="without a figure"):
        counts.exact(Script(httpx.Response(200, json={"value": value})).client, CONTACT)


# --- against the simulated service ------------------------------------------------------------------------------------

PEOPLE = 23


@pytest.fixture(scope="module")
def target() -> Iterator[Organisation]:
    with organisation() as found:
        people = [{"contactid": guid(n), "lastname": f"n{n}", "jobtitle": 'a "b" & <c>'} for n in range(PEOPLE)]
        found.client.send(requests.create_multiple(CONTACT, people))
        yield found


def small(count: int) -> fetch.Fetch:
    return fetch.parsed(ALL.xml.replace("<fetch", f'<fetch count="{count}"'))


@pytest.mark.parametrize("count", [1, 5, 22, 23, 24, 5000])
def test_pages_of_any_size_give_every_row_once(target: Organisation, count: int) -> None:
    names = [r["lastname"] for r in fetch.rows(target.client, CONTACT, small(count))]
    assert sorted(names) == sorted(f"n{n}" for n in range(PEOPLE))


def test_conditions_mean_what_they_say(target: Organisation) -> None:
    for condition, expected in (
        (Condition("jobtitle", "eq", ('a "b" & <c>',)), PEOPLE),
        (Condition("jobtitle", "eq", ('a "b" & <c>"/><all-attributes/>',)), 0),
        (Condition("lastname", "in", ("n1", "n2", "x")), 2),
        (Condition("importsequencenumber", "null"), PEOPLE),
        (Condition("contactid", "ne", (UUID(guid(1)),)), PEOPLE - 1),
    ):
        assert counts.exact(target.client, CONTACT, [condition]) == expected


def test_a_query_too_long_for_an_address_is_answered_all_the_same(target: Organisation) -> None:
    names = (*(f"n{n}" + "é" * 60 for n in range(90)), "n3")
    query = fetch.select(CONTACT, ["lastname"], [Condition("lastname", "in", names)])
    assert 32_768 < len(fetch.page(CONTACT, query).path) < 65_536
    assert [r["lastname"] for r in fetch.rows(target.client, CONTACT, query)] == ["n3"]
    longer = fetch.select(CONTACT, ["lastname"], [Condition("lastname", "in", names * 2)])
    with pytest.raises(Refused, match="65,536 inside of a batch"):
        list(fetch.rows(target.client, CONTACT, longer))


def test_counts_of_several_tables(target: Organisation) -> None:
    assert counts.up_to_a_day_old(target.client, ["contact", "account", "contact"]) == {"contact": PEOPLE, "account": 0}
    assert counts.exact(target.client, ACCOUNT) == 0


@pytest.mark.parametrize("personal", [False, True])
def test_a_view_is_run_to_its_last_page(target: Organisation, personal: bool) -> None:
    row = {"name": "v", "returnedtypecode": "contact", "querytype": 0, "fetchxml": small(4).xml, "layoutxml": "<grid/>"}
    made = target.client.send(requests.post("userqueries" if personal else "savedqueries", row))
    view_id = made.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")
    query = fetch.view(target.client, view_id, personal=personal)
    assert len(list(fetch.rows(target.client, CONTACT, query))) == PEOPLE
