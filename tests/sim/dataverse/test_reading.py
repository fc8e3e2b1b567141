from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from .build import bulk, code, contact, message, new_id, values


@pytest.fixture
def people(api: httpx.Client) -> httpx.Client:
    rows: list[dict[str, Any]] = [
        {"lastname": "Ångström", "firstname": "Anders", "numberofchildren": 2, "donotemail": True},
        {"lastname": "Bell", "firstname": "Ann", "numberofchildren": 0, "birthdate": "1990-01-02"},
        {"lastname": "O'Neil", "emailaddress1": "x_y%z@a.b", "lastonholdtime": "2026-01-31T08:00:00Z"},
    ]
    assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 200
    return api


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("lastname eq 'ANGSTROM'", ["Ångström"]),
        ("firstname eq 'ann' and numberofchildren eq 0", ["Bell"]),
        ("firstname eq 'ann' or numberofchildren gt 1", ["Bell", "Ångström"]),
        ("not (firstname eq 'ann') and firstname ne null", ["Ångström"]),
        ("firstname eq null", ["O'Neil"]),
        ("firstname ne 'ann'", ["O'Neil", "Ångström"]),
        ("lastname eq 'O''Neil'", ["O'Neil"]),
        ("contains(emailaddress1,'_y%')", ["O'Neil"]),
        ("contains(emailaddress1,'xy')", []),
        ("startswith(lastname,'be')", ["Bell"]),
        ("endswith(lastname,'LL') eq true", ["Bell"]),
        ("donotemail eq true", ["Ångström"]),
        ("birthdate lt 1990-01-03", ["Bell"]),
        ("lastonholdtime ge 2026-01-31T08:00:00Z", ["O'Neil"]),
        ("lastonholdtime lt 2026-01-31T10:00:00+02:00", []),
        ("Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=['bell','nobody'])", ["Bell"]),
        ("Microsoft.Dynamics.CRM.In(PropertyName='numberofchildren',PropertyValues=['0','2'])", ["Bell", "Ångström"]),
        ("Microsoft.Dynamics.CRM.Between(PropertyName='numberofchildren',PropertyValues=['1','5'])", ["Ångström"]),
        ("Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=1) and firstname eq 'ann'", ["Bell"]),
        ("Microsoft.Dynamics.CRM.OlderThanXDays(PropertyName='createdon',PropertyValue=1)", []),
        ("Microsoft.Dynamics.CRM.EqualUserId(PropertyName='ownerid') and firstname eq 'ann'", ["Bell"]),
        ("Microsoft.Dynamics.CRM.Frobnicate(PropertyName='lastname')", None),
        ("numberofchildren eq '2'", None),
        ("lastname in ('bell','ångström')", ["Bell", "Ångström"]),
        (
            'Microsoft.Dynamics.CRM.In(PropertyName=\'lastname\',PropertyValues=["bell","o\\u0027neil"])',
            ["Bell", "O'Neil"],
        ),
        ('lastname eq "bell"', None),
        ("statecode eq 0 and (numberofchildren eq 2 or numberofchildren eq 0)", ["Bell", "Ångström"]),
        ("owninguser/isdisabled eq false and firstname eq 'ann'", ["Bell"]),
        ("x' or 1 eq 1 or 'a' eq 'a", None),
        ("lastname eq 5", None),
        ("nothing eq 5", None),
        ("lastname frob 'x'", None),
    ],
)
def test_filters(people: httpx.Client, condition: str, expected: list[str] | None) -> None:
    response = people.get("contacts", params={"$filter": condition, "$orderby": "lastname desc"})
    if expected is None:
        assert response.status_code == 400
    else:
        assert sorted(values(response, "lastname")) == sorted(expected)


def test_an_unknown_column_in_a_query_is_named(api: httpx.Client) -> None:
    response = api.get("contacts?$select=cio_late")
    assert (response.status_code, code(response)) == (400, "0x0")
    assert message(response).startswith("Could not find a property named 'cio_late' on type")


def test_a_selected_column_comes_with_the_primary_key_and_an_etag(people: httpx.Client) -> None:
    row = people.get("contacts?$select=lastname&$top=1").json()["value"][0]
    assert set(row) == {"@odata.etag", "lastname", "contactid"}


def test_order_is_by_text_without_case_and_empty_first(people: httpx.Client) -> None:
    assert values(people.get("contacts?$orderby=lastname"), "lastname") == ["Ångström", "Bell", "O'Neil"]
    assert values(people.get("contacts?$orderby=firstname desc,lastname"), "firstname") == ["Ann", "Anders", None]


@pytest.mark.parametrize("order", ["", "&$orderby=lastname desc"])
def test_pages_follow_each_other_by_an_opaque_link(api: httpx.Client, order: str) -> None:
    rows = [{"contactid": str(uuid.uuid4()), "lastname": f"n{number}"} for number in range(25)]
    bulk(api, "contacts", "contact", "CreateMultiple", rows)
    url, seen, sizes = f"contacts?$select=lastname&$filter=startswith(lastname,'n'){order}", [], []
    while url:
        page = api.get(url, headers={"Prefer": "odata.maxpagesize=10"}).json()
        seen += [row["contactid"] for row in page["value"]]
        sizes.append(len(page["value"]))
        url = page.get("@odata.nextLink")
    assert sizes == [10, 10, 5]
    assert sorted(seen) == sorted(row["contactid"] for row in rows)


def test_a_broken_page_token_is_refused(api: httpx.Client) -> None:
    assert code(api.get("contacts?$skiptoken=abc")) == "0x8004112a"


def test_a_page_has_at_most_5000_rows_and_the_count_stops_there(api: httpx.Client) -> None:
    rows = [{"lastname": "n"} for _ in range(5001)]
    assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 200
    prefer = {"Prefer": 'odata.maxpagesize=9999,odata.include-annotations="*"'}
    page = api.get("contacts?$select=lastname&$count=true", headers=prefer).json()
    assert (len(page["value"]), page["@odata.count"]) == (5000, 5000)
    assert page["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert len(api.get(page["@odata.nextLink"]).json()["value"]) == 1
    assert api.get("contacts/$count").text == "5000"
    total = api.get("RetrieveTotalRecordCount(EntityNames=['contact'])").json()
    assert total["EntityRecordCountCollection"]["Values"] == [5001]


def test_skip_is_not_supported(api: httpx.Client) -> None:
    assert message(api.get("contacts?$skip=5")) == "Skip Clause is not supported in CRM"


def test_lookups_and_collections_are_expanded(api: httpx.Client) -> None:
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    row = contact(api, **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    found = api.get(f"contacts({row})?$select=lastname&$expand=parentcustomerid_account($select=name)").json()
    assert found["parentcustomerid_account"]["name"] == "Acme"
    url = f"accounts({account})?$expand=contact_customer_accounts($select=lastname;$filter=lastname eq 'bell')"
    assert [r["lastname"] for r in api.get(url).json()["contact_customer_accounts"]] == ["Bell"]
    assert api.get(f"contacts({row})/parentcustomerid_account?$select=name").json()["name"] == "Acme"


def test_related_rows_can_be_asked_for_with_any(api: httpx.Client) -> None:
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    api.post("accounts", json={"name": "Empty"})
    contact(api, **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    url = "accounts?$filter=contact_customer_accounts/any(c:c/lastname eq 'bell')"
    assert values(api.get(url), "name") == ["Acme"]


@pytest.mark.parametrize("text", ["lastname in ('bell','none')", "lastname in ('BELL')"])
def test_the_in_operator_compares_as_eq_does(api: httpx.Client, text: str) -> None:
    contact(api, lastname="Bell")
    contact(api, lastname="Other")
    assert values(api.get("contacts", params={"$filter": text}), "lastname") == ["Bell"]


def test_the_in_operator_needs_a_property_and_a_list(api: httpx.Client) -> None:
    for text in ("'a' in ('a','b')", "lastname in 'a'"):
        assert api.get("contacts", params={"$filter": text}).status_code == 400


def test_a_collection_of_a_row_comes_in_pages(api: httpx.Client) -> None:
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
    bulk(api, "contacts", "contact", "CreateMultiple", [{"lastname": f"n{at}", **bind} for at in range(5)])
    contact(api, lastname="other")
    url, sizes = f"accounts({account})/contact_customer_accounts?$select=lastname&$count=true", []
    while url:
        page = api.get(url, headers={"Prefer": "odata.maxpagesize=2"}).json()
        sizes.append(len(page["value"]))
        url = page.get("@odata.nextLink")
    assert sizes == [2, 2, 1]
    assert api.get(f"accounts({account})/contact_customer_accounts/$count").text == "5"
    nested = (
        f"accounts({account})?$expand=contact_customer_accounts($top=2;$expand=parentcustomerid_account($select=name))"
    )
    rows = api.get(nested).json()["contact_customer_accounts"]
    assert [row["parentcustomerid_account"]["name"] for row in rows] == ["Acme", "Acme"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("*", {"Formatted", "lookuplogicalname", "associatednavigationproperty"}),
        ("OData.Community.Display.V1.FormattedValue", {"Formatted"}),
        (
            "OData.Community.Display.V1.FormattedValue,Microsoft.Dynamics.CRM.lookup*",
            {"Formatted", "lookuplogicalname"},
        ),
        ("*,-Microsoft.Dynamics.CRM.*", {"Formatted"}),
    ],
)
def test_annotations_come_as_they_were_asked_for(api: httpx.Client, wanted: str, expected: set[str]) -> None:
    url = f"contacts({contact(api)})?$select=_ownerid_value"
    row = api.get(url, headers={"Prefer": f'odata.include-annotations="{wanted}"'}).json()
    notes = {name.rpartition(".")[2].removesuffix("Value") for name in row if name.startswith("_ownerid_value@")}
    assert notes == expected


@pytest.mark.parametrize("version", ["v9.0", "v9.1", "v9.2"])
def test_links_carry_the_version_of_the_request(api: httpx.Client, origin: str, version: str) -> None:
    answer = api.get(f"{origin}/api/data/{version}/contacts?$top=1").json()
    assert answer["@odata.context"].startswith(f"{origin}/api/data/{version}/$metadata")
    row = contact(api)
    bind = {"primarycontactid@odata.bind": f"{origin}/api/data/{version}/contacts({row})", "name": "Acme"}
    assert api.post("accounts", json=bind).status_code == 204


def test_an_unknown_version_is_no_resource(api: httpx.Client, origin: str) -> None:
    response = api.get(f"{origin}/api/data/v3.0/contacts")
    assert (response.status_code, code(response)) == (404, "0x8006088a")


def test_an_unknown_set_is_a_missing_segment(api: httpx.Client) -> None:
    response = api.get("cio_nothings")
    assert (response.status_code, code(response)) == (404, "0x8006088a")
    assert message(response) == "Resource not found for the segment 'cio_nothings'."


def test_an_unchanged_row_is_304(api: httpx.Client) -> None:
    row = f"contacts({contact(api)})"
    etag = api.get(row).headers["ETag"]
    assert api.get(row, headers={"If-None-Match": etag}).status_code == 304
    assert api.get(row, headers={"If-None-Match": "null"}).status_code == 200


def test_the_metadata_document_declares_sets_properties_and_navigations(api: httpx.Client) -> None:
    text = api.get("$metadata").text
    assert '<EntitySet Name="contacts" EntityType="Microsoft.Dynamics.CRM.contact" />' in text
    assert '<Property Name="birthdate" Type="Edm.Date" />' in text
    assert '<NavigationProperty Name="parentcustomerid_account" Type="mscrm.account"' in text


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT lastname FROM contact WHERE lastname = 'BELL'", ["Bell"]),
        ("SELECT TOP 1 lastname FROM contact ORDER BY lastname DESC", ["O'Neil"]),
        ("SELECT DISTINCT TOP 5 c.lastname FROM contact c WHERE c.firstname IN ('ann','nobody')", ["Bell"]),
        ("SELECT lastname FROM contact WHERE lastname LIKE 'o''%'", ["O'Neil"]),
        ("SELECT lastname FROM contact ORDER BY lastname OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY", ["Bell"]),
        ("SELECT count(*) AS lastname FROM contact", [3]),
        ("SELECT * FROM contact", None),
        ("SELECT lastname FROM contact; DROP TABLE contact", None),
        ("DELETE FROM contact", None),
        ("SELECT value FROM _meta", None),
        ("SELECT lastname FROM contact WHERE contactid IN (SELECT contactid FROM contact)", None),
        ("SELECT load_extension('x') AS lastname FROM contact", None),
    ],
)
def test_the_sql_option_takes_its_subset_only(people: httpx.Client, sql: str, expected: list[Any] | None) -> None:
    response = people.get("contacts", params={"sql": sql})
    if expected is None:
        assert response.status_code == 400
    else:
        assert values(response, "lastname") == expected
    assert len(people.get("contacts").json()["value"]) == 3


def test_a_body_that_is_too_large_is_413(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"max_body_bytes": 2000})
    assert api.post("contacts", json={"lastname": "x" * 2000}).status_code == 413
    assert api.post("contacts", json={"lastname": "x"}).status_code == 204


def test_a_query_holds_at_most_500_conditions(people: httpx.Client) -> None:
    def ask(number: int) -> httpx.Response:
        return people.get("contacts", params={"$filter": " or ".join(["lastname eq 'bell'"] * number)})

    assert values(ask(500), "lastname") == ["Bell"]
    assert code(ask(501)) == "0x8004430c"
    for nested in ("(" * 3000 + "lastname eq 'a'" + ")" * 3000, "not " * 60 + "lastname eq 'a'"):
        assert people.get("contacts", params={"$filter": nested}).status_code == 400
