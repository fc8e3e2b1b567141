from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import httpx
import pytest

from .build import bulk, code, column, person_lookup, table


def fetch(api: httpx.Client, xml: str, set_name: str = "contacts", **headers: str) -> httpx.Response:
    return api.get(set_name, params={"fetchXml": xml}, headers=headers)


def found(response: httpx.Response, name: str = "lastname") -> list[Any]:
    assert response.status_code == 200, response.text
    return [row.get(name) for row in response.json()["value"]]


def people(condition: str) -> str:
    return (
        '<fetch><entity name="contact"><attribute name="lastname"/><order attribute="lastname"/>'
        f"<filter>{condition}</filter></entity></fetch>"
    )


PEOPLE = {name: str(uuid.uuid4()) for name in ("Ada", "Bob", "Cyd")}


@pytest.fixture
def shop(api: httpx.Client, control: httpx.Client) -> httpx.Client:
    """Ada bought twice and viewed once, Bob viewed once, Cyd did nothing."""
    control.post("clock", json={"virtual": True})
    table(api)
    for kind, name in (("String", "cio_kind"), ("Integer", "cio_amount")):
        assert column(api, kind, name).status_code == 204
    column(api, "DateTime", "cio_at", Format="DateAndTime", DateTimeBehavior={"Value": "UserLocal"})
    person_lookup(api)
    rows = [
        {"contactid": row, "lastname": name, "numberofchildren": at, "donotemail": at == 1}
        for at, (name, row) in enumerate(PEOPLE.items())
    ]
    rows[0]["birthdate"] = "1990-05-06"
    assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 200
    events = [("Ada", "buy", 10, 1), ("Ada", "buy", 20, 40), ("Ada", "view", 1, 2), ("Bob", "view", 2, 3)]
    now = int(control.get("journal").json()[-1]["arrived"])
    from datetime import UTC, datetime, timedelta

    moment = datetime.fromtimestamp(now, UTC)
    made = [
        {
            "cio_name": kind,
            "cio_kind": kind,
            "cio_amount": amount,
            "cio_at": (moment - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cio_PersonId_contact@odata.bind": f"/contacts({PEOPLE[name]})",
        }
        for name, kind, amount, days in events
    ]
    assert bulk(api, "cio_events", "cio_event", "CreateMultiple", made).status_code == 200
    return api


def link(kind: str, event: str, extra: str = "") -> str:
    return (
        f'<link-entity name="cio_event" from="cio_personid" to="contactid" link-type="{kind}"><filter>'
        f'<condition attribute="cio_kind" operator="eq" value="{event}"/>{extra}</filter></link-entity>'
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('<condition attribute="lastname" operator="eq" value="ADA"/>', ["Ada"]),
        ('<condition attribute="lastname" operator="ne" value="ada"/>', ["Bob", "Cyd"]),
        ('<condition attribute="lastname" operator="like" value="%b%"/>', ["Bob"]),
        ('<condition attribute="lastname" operator="like" value="[a-b]%"/>', ["Ada", "Bob"]),
        ('<condition attribute="lastname" operator="not-like" value="a%"/>', ["Bob", "Cyd"]),
        ('<condition attribute="lastname" operator="begins-with" value="c"/>', ["Cyd"]),
        (
            '<condition attribute="lastname" operator="in"><value>ada</value><value>cyd</value></condition>',
            ["Ada", "Cyd"],
        ),
        (
            '<condition attribute="numberofchildren" operator="between"><value>1</value><value>2</value></condition>',
            ["Bob", "Cyd"],
        ),
        ('<condition attribute="donotemail" operator="eq" value="1"/>', ["Bob"]),
        ('<condition attribute="birthdate" operator="null"/>', ["Bob", "Cyd"]),
        ('<condition attribute="birthdate" operator="on" value="1990-05-06"/>', ["Ada"]),
        ('<condition attribute="createdon" operator="today"/>', ["Ada", "Bob", "Cyd"]),
        ('<condition attribute="createdon" operator="yesterday"/>', []),
        ('<condition attribute="ownerid" operator="eq-userid"/>', ["Ada", "Bob", "Cyd"]),
        (link("any", "buy"), ["Ada"]),
        (link("not any", "buy"), ["Bob", "Cyd"]),
        (link("not all", "view"), ["Ada", "Bob"]),
        (link("all", "buy"), ["Bob"]),
        (link("any", "view", '<condition attribute="cio_at" operator="last-x-days" value="2"/>'), ["Ada"]),
        (link("any", "buy", '<condition attribute="cio_at" operator="olderthan-x-days" value="30"/>'), ["Ada"]),
    ],
)
def test_conditions(shop: httpx.Client, condition: str, expected: list[str]) -> None:
    assert found(fetch(shop, people(condition))) == expected


def test_or_with_a_link_inside(shop: httpx.Client) -> None:
    inner = link("any", "buy") + '<condition attribute="lastname" operator="eq" value="cyd"/>'
    assert found(fetch(shop, people(f'<filter type="or">{inner}</filter>'))) == ["Ada", "Cyd"]


def test_outer_join_with_null_is_has_none(shop: httpx.Client) -> None:
    xml = """<fetch><entity name="contact"><attribute name="lastname"/>
        <link-entity name="cio_event" from="cio_personid" to="contactid" link-type="outer" alias="e"/>
        <filter><condition entityname="e" attribute="cio_eventid" operator="null"/></filter></entity></fetch>"""
    assert found(fetch(shop, xml)) == ["Cyd"]


def test_an_inner_join_repeats_the_parent_and_shows_the_child(shop: httpx.Client) -> None:
    xml = """<fetch><entity name="contact"><attribute name="lastname"/><order attribute="lastname"/>
        <link-entity name="cio_event" from="cio_personid" to="contactid" alias="e"><attribute name="cio_kind"/>
        <order attribute="cio_amount"/></link-entity></entity></fetch>"""
    response = fetch(shop, xml)
    assert found(response) == ["Ada", "Ada", "Ada", "Bob"]
    assert found(response, "e.cio_kind") == ["view", "buy", "buy", "view"]


def test_empty_values_are_left_out(shop: httpx.Client) -> None:
    xml = '<fetch><entity name="contact"><attribute name="birthdate"/><order attribute="lastname"/></entity></fetch>'
    rows = fetch(shop, xml).json()["value"]
    assert [set(row) for row in rows] == [{"contactid", "birthdate"}, {"contactid"}, {"contactid"}]


def test_aggregates_with_groups(shop: httpx.Client) -> None:
    xml = """<fetch aggregate="true"><entity name="cio_event"><attribute name="cio_kind" groupby="true" alias="kind"/>
        <attribute name="cio_amount" aggregate="sum" alias="total"/>
        <attribute name="cio_eventid" aggregate="count" alias="n"/>
        <order alias="total" descending="true"/></entity></fetch>"""
    assert fetch(shop, xml, "cio_events").json()["value"] == [
        {"kind": "buy", "total": 30, "n": 2},
        {"kind": "view", "total": 3, "n": 2},
    ]


def test_an_aggregate_over_more_than_50000_rows_is_refused(shop: httpx.Client) -> None:
    for _ in range(10):
        rows = [{"cio_name": "n"}] * 5000
        assert bulk(shop, "cio_events", "cio_event", "CreateMultiple", rows).status_code == 200
    count = '<attribute name="cio_eventid" aggregate="count" alias="n"/>'
    xml = f'<fetch aggregate="true"><entity name="cio_event">{count}</entity></fetch>'
    assert code(fetch(shop, xml, "cio_events")) == "0x8004e023"


def test_pages_follow_by_cookie(shop: httpx.Client) -> None:
    names, page, cookie = [], 1, ""
    while page:
        attributes = f'page="{page}" count="2"' + (f" paging-cookie='{cookie}'" if cookie else "")
        shown = '<attribute name="lastname"/><order attribute="lastname"/>'
        xml = f'<fetch {attributes}><entity name="contact">{shown}</entity></fetch>'
        body = fetch(shop, xml, Prefer='odata.include-annotations="*"').json()
        names += [row["lastname"] for row in body["value"]]
        more = body.get("@Microsoft.Dynamics.CRM.morerecords", False)
        page = page + 1 if more else 0
        if more:
            outer = ElementTree.fromstring(body["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"])
            inner = unquote(unquote(outer.attrib["pagingcookie"]))
            cookie = inner.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert names == ["Ada", "Bob", "Cyd"]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<fetch><entity", "0x80040303"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><fetch><entity name="contact"/></fetch>', "0x80040303"),
        ('<fetch><entity name="cio_none"/></fetch>', "0x80041102"),
        ('<fetch><entity name="contact"><attribute name="cio_none"/></entity></fetch>', "0x80041103"),
        (people('<condition attribute="lastname" operator="frob" value="x"/>'), "0x80041120"),
        (people('<condition attribute="numberofchildren" operator="eq" value="many"/>'), "0x80041139"),
        (people('<condition attribute="birthdate" operator="last-x-hours" value="2"/>'), "0x80041120"),
        (people('<condition entityname="z" attribute="lastname" operator="null"/>'), "0x8004110b"),
        ('<fetch><entity name="contact"><filter type="xor"/></entity></fetch>', "0x80041122"),
        (
            '<fetch aggregate="true"><entity name="contact"><attribute name="lastname" alias="a"/></entity></fetch>',
            "0x80041107",
        ),
        (
            '<fetch><entity name="contact">'
            + '<link-entity name="account" from="accountid" to="parentcustomerid"/>' * 16
            + "</entity></fetch>",
            "0x8004430d",
        ),
    ],
)
def test_what_cannot_be_meant_has_a_code(api: httpx.Client, xml: str, expected: str) -> None:
    response = fetch(api, xml)
    assert (response.status_code, code(response)) == (400, expected)


def test_a_value_with_markup_is_only_a_value(api: httpx.Client) -> None:
    hostile = "&quot;/&gt;&lt;all-attributes/&gt;"
    assert found(fetch(api, people(f'<condition attribute="lastname" operator="eq" value="{hostile}"/>'))) == []


def test_a_saved_view_is_run_by_its_id(shop: httpx.Client) -> None:
    view = {
        "name": "Buyers",
        "returnedtypecode": "contact",
        "querytype": 0,
        "fetchxml": people(link("any", "buy")),
        "layoutxml": "<grid name='resultset'/>",
    }
    response = shop.post("savedqueries", json=view)
    assert response.status_code == 204, response.text
    identity = response.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")
    assert found(shop.get(f"contacts?savedQuery={identity}")) == ["Ada"]


def test_a_query_is_validated_without_running(api: httpx.Client) -> None:
    def problems(xml: str) -> int:
        text = xml.replace("'", "''")
        response = api.get("ValidateFetchXmlExpression(FetchXml=@f)", params={"@f": f"'{text}'"})
        return len(response.json()["ValidationResults"]["Messages"])

    assert problems(people('<condition attribute="lastname" operator="null"/>')) == 0
    assert problems("<fetch/>") == 1


@pytest.mark.parametrize(
    ("operator", "numbers", "expected"),
    [
        ("in-fiscal-year", [1990], ["Ada"]),
        ("in-fiscal-year", [1991], []),
        ("in-fiscal-period", [2], ["Ada"]),
        ("in-fiscal-period", [1], []),
        ("in-fiscal-period-and-year", [2, 1990], ["Ada"]),
        ("in-or-before-fiscal-period-and-year", [1, 1990], []),
        ("in-or-before-fiscal-period-and-year", [4, 1990], ["Ada"]),
        ("in-or-after-fiscal-period-and-year", [3, 1990], []),
        ("in-or-after-fiscal-period-and-year", [4, 1989], ["Ada"]),
        ("in-fiscal-period-and-year", [2], None),
    ],
)
def test_fiscal_periods_are_quarters(
    shop: httpx.Client, operator: str, numbers: list[int], expected: list[str] | None
) -> None:
    listed = "".join(f"<value>{number}</value>" for number in numbers)
    response = fetch(shop, people(f'<condition attribute="birthdate" operator="{operator}">{listed}</condition>'))
    if expected is None:
        assert code(response) == "0x80041139"
    else:
        assert found(response) == expected
