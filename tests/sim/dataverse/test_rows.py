from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from .build import code, contact, message, new_id


def test_a_create_answers_204_with_the_address_of_the_row(api: httpx.Client) -> None:
    response = api.post("contacts", json={"firstname": "Ann", "lastname": "Bell"})
    assert response.status_code == 204
    assert response.content == b""
    assert str(response.headers["OData-EntityId"]).startswith(str(api.base_url) + "contacts(")


def test_return_representation_tells_created_from_updated(api: httpx.Client) -> None:
    row, prefer = str(uuid.uuid4()), {"Prefer": "return=representation"}
    first = api.patch(f"contacts({row})?$select=fullname", json={"lastname": "Bell"}, headers=prefer)
    second = api.patch(f"contacts({row})?$select=fullname", json={"firstname": "Ann"}, headers=prefer)
    assert (first.status_code, first.json()["fullname"]) == (201, "Bell")
    assert (second.status_code, second.json()["fullname"]) == (200, "Ann Bell")


def test_patch_creates_a_missing_row_unless_if_match_forbids_it(api: httpx.Client) -> None:
    row = f"contacts({uuid.uuid4()})"
    assert api.patch(row, json={"lastname": "Bell"}, headers={"If-Match": "*"}).status_code == 404
    assert api.patch(row, json={"lastname": "Bell"}).status_code == 204
    again = api.patch(row, json={"lastname": "Bell"}, headers={"If-None-Match": "*"})
    assert (again.status_code, message(again)) == (412, "A record with matching key values already exists.")


def test_an_outdated_etag_is_refused_and_every_write_raises_it(api: httpx.Client) -> None:
    row = f"contacts({contact(api)})"
    before = api.get(row).json()["@odata.etag"]
    api.patch(row, json={"firstname": "Ann"})
    after = api.get(row).json()["@odata.etag"]
    assert int(after[3:-1]) > int(before[3:-1])
    stale = api.patch(row, json={"firstname": "Eve"}, headers={"If-Match": before})
    assert (stale.status_code, code(stale)) == (412, "0x80060882")
    assert api.delete(row, headers={"If-Match": before}).status_code == 412
    assert api.delete(row, headers={"If-Match": after}).status_code == 204


def test_an_undeclared_property_is_refused(api: httpx.Client) -> None:
    response = api.post("contacts", json={"lastname": "Bell", "cio_nothing": 1})
    assert (response.status_code, code(response)) == (400, "0x80048d19")
    assert "'cio_nothing' does not exist on type" in message(response)


def test_columns_that_are_not_valid_for_create_are_ignored_silently(api: httpx.Client) -> None:
    body = {"lastname": "Bell", "fullname": "Somebody Else", "createdon": "2001-01-01T00:00:00Z"}
    row = api.get(f"contacts({new_id(api.post('contacts', json=body))})").json()
    assert row["fullname"] == "Bell"
    assert not row["createdon"].startswith("2001")


def test_system_required_columns_must_come_with_a_create(api: httpx.Client) -> None:
    response = api.post("campaigns", json={"codename": "x"})
    assert (response.status_code, code(response)) == (400, "0x80040200")
    assert "'name'" in message(response)


def test_application_required_columns_do_not_bind_the_api(api: httpx.Client) -> None:
    assert api.post("contacts", json={"firstname": "only"}).status_code == 204


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("firstname", "x" * 51, "0x80044331"),
        ("firstname", "😀" * 26, "0x80044331"),
        ("firstname", "bell\x07", "0x80040278"),
        ("firstname", "\ufffe", "0x80040278"),
        ("firstname", 5, "0x80048d19"),
        ("gendercode", 99, "0x8004431a"),
        ("gendercode", "Male", "0x80048d19"),
        ("numberofchildren", 1.0, "0x80048d19"),
        ("numberofchildren", 1_000_000_001, "0x8004432f"),
        ("numberofchildren", 2**31, "0x80048d19"),
        ("creditlimit", -1, "0x80044330"),
        ("address1_latitude", 90.5, "0x80044330"),
        ("birthdate", "2001-01-01T00:00:00Z", "0x80048d19"),
        ("birthdate", "1700-01-01", "0x80040239"),
        ("lastonholdtime", "1752-12-31T23:59:59Z", "0x80040239"),
        ("lastonholdtime", "2024-02-30T00:00:00Z", "0x80048d19"),
        ("donotemail", "true", "0x80048d19"),
        ("_ownerid_value", "b27ffb04-376f-44c0-96ab-172eb74b098d", "0x80048d19"),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_refused(
    api: httpx.Client, column: str, value: Any, expected: str
) -> None:
    response = api.post("contacts", json={"lastname": "Bell", column: value})
    assert (response.status_code, code(response)) == (400, expected)
    assert api.get("contacts").json()["value"] == []


def test_a_lone_surrogate_is_an_invalid_character(api: httpx.Client) -> None:
    body = b'{"lastname": "\\ud83d"}'
    response = api.post("contacts", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, code(response)) == (400, "0x80040278")


def test_nan_is_not_json(api: httpx.Client) -> None:
    response = api.post("contacts", content=b'{"creditlimit": NaN}', headers={"Content-Type": "application/json"})
    assert (response.status_code, code(response)) == (400, "0x80048d19")


def test_length_is_named_in_the_message_and_nothing_is_cut(api: httpx.Client) -> None:
    response = api.post("contacts", json={"lastname": "x" * 51})
    assert message(response) == (
        "A validation error occurred.  The length of the 'lastname' attribute of the 'contact' entity exceeded the "
        "maximum allowed length of '50'."
    )


def test_moments_are_stored_in_utc_to_the_second(api: httpx.Client) -> None:
    row = contact(api, lastonholdtime="2026-01-31T10:00:00.987+02:00", birthdate="1990-05-06")
    found = api.get(f"contacts({row})").json()
    assert (found["lastonholdtime"], found["birthdate"]) == ("2026-01-31T08:00:00Z", "1990-05-06")


def test_bind_names_are_case_sensitive(api: httpx.Client) -> None:
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    right = api.post("contacts", json={"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    wrong = api.post("contacts", json={"ParentCustomerId_account@odata.bind": f"/accounts({account})"})
    assert right.status_code == 204
    assert (wrong.status_code, code(wrong)) == (400, "0x80048d19")


def test_a_bind_to_a_missing_row_is_404(api: httpx.Client) -> None:
    missing = uuid.uuid4()
    response = api.post("contacts", json={"parentcustomerid_account@odata.bind": f"/accounts({missing})"})
    assert (response.status_code, code(response)) == (404, "0x80040217")
    assert f"With Id = {missing} Does Not Exist" in message(response)


def test_a_bind_to_the_wrong_table_is_refused(api: httpx.Client) -> None:
    other = contact(api)
    response = api.post("contacts", json={"parentcustomerid_account@odata.bind": f"/contacts({other})"})
    assert response.status_code == 400


def test_a_lookup_is_read_by_value_and_cleared_by_null(api: httpx.Client) -> None:
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    row = contact(api, **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    shown = api.get(
        f"contacts({row})?$select=_parentcustomerid_value", headers={"Prefer": 'odata.include-annotations="*"'}
    ).json()
    assert shown["_parentcustomerid_value"] == account
    assert shown["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "account"
    assert shown["_parentcustomerid_value@OData.Community.Display.V1.FormattedValue"] == "Acme"
    assert api.delete(f"contacts({row})/parentcustomerid_account/$ref").status_code == 204
    assert api.get(f"contacts({row})").json()["_parentcustomerid_value"] is None


def test_single_properties_are_set_read_and_cleared(api: httpx.Client) -> None:
    row = f"contacts({contact(api)})"
    assert api.put(f"{row}/firstname", json={"value": "Ann"}).status_code == 204
    assert api.get(f"{row}/firstname").json()["value"] == "Ann"
    assert api.delete(f"{row}/firstname").status_code == 204
    assert api.get(f"{row}/firstname").status_code == 204


def test_a_taken_primary_key_is_a_duplicate(api: httpx.Client) -> None:
    row = contact(api)
    response = api.post("contacts", json={"contactid": row, "lastname": "Bell"})
    assert (response.status_code, code(response)) == (412, "0x80040237")


def test_history_keeps_its_date_through_overriddencreatedon(api: httpx.Client) -> None:
    row = contact(api, overriddencreatedon="2019-03-04T05:06:07Z", importsequencenumber=42)
    found = api.get(f"contacts({row})").json()
    assert (found["createdon"], found["importsequencenumber"]) == ("2019-03-04T05:06:07Z", 42)
    api.patch(f"contacts({row})", json={"overriddencreatedon": "2001-01-01T00:00:00Z", "importsequencenumber": 1})
    assert api.get(f"contacts({row})").json()["importsequencenumber"] == 42


def test_state_and_reason_must_match(api: httpx.Client) -> None:
    row = f"leads({new_id(api.post('leads', json={'subject': 'x', 'lastname': 'y'}))})"
    bad = api.patch(row, json={"statecode": 2, "statuscode": 1})
    assert (bad.status_code, code(bad)) == (400, "0x80048408")
    assert api.patch(row, json={"statecode": 2, "statuscode": 4}).status_code == 204
    assert api.get(row).json()["statecode"] == 2


def test_defaults_of_the_platform_are_filled_in(api: httpx.Client) -> None:
    found = api.get(f"contacts({contact(api)})").json()
    me = api.get("WhoAmI").json()
    assert (found["statecode"], found["statuscode"], found["donotbulkemail"]) == (0, 1, False)
    assert (found["_ownerid_value"], found["_createdby_value"]) == (me["UserId"], me["UserId"])
    assert found["_owningbusinessunit_value"] == me["BusinessUnitId"]


def test_nested_rows_are_created_in_one_transaction(api: httpx.Client) -> None:
    body: dict[str, Any] = {"name": "Acme", "contact_customer_accounts": [{"lastname": "One"}, {"lastname": "x" * 51}]}
    assert api.post("accounts", json=body).status_code == 400
    assert api.get("accounts").json()["value"] == []
    body["contact_customer_accounts"][1] = {"lastname": "Two"}
    account = new_id(api.post("accounts", json=body))
    children = api.get(f"contacts?$filter=_parentcustomerid_value eq {account}&$orderby=lastname").json()["value"]
    assert [row["lastname"] for row in children] == ["One", "Two"]


def test_every_answer_carries_the_headers_of_the_service(api: httpx.Client) -> None:
    response = api.get("WhoAmI")
    assert response.headers["x-ms-dop-hint"] == "4"
    assert response.headers["OData-Version"] == "4.0"
    assert uuid.UUID(response.headers["x-ms-service-request-id"])
    assert int(response.headers["x-ms-ratelimit-burst-remaining-xrm-requests"]) < 6000
    assert float(response.headers["x-ms-ratelimit-time-remaining-xrm-requests"]) <= 1200
    assert len(response.headers.get_list("date")) == 1


def test_a_lookup_is_set_and_cleared_from_the_row_it_points_at(api: httpx.Client) -> None:
    first, second = (new_id(api.post("accounts", json={"name": name})) for name in ("Acme", "Other"))
    row = contact(api)
    collection = f"accounts({first})/contact_customer_accounts"
    address = str(api.base_url) + f"contacts({row})"
    assert api.post(f"{collection}/$ref", json={"@odata.id": address}).status_code == 204
    assert [r["contactid"] for r in api.get(collection).json()["value"]] == [row]
    assert api.delete(f"accounts({second})/contact_customer_accounts({row})/$ref").status_code == 404
    assert api.delete(f"{collection}({row})/$ref").status_code == 204
    assert api.get(collection).json()["value"] == []
    api.post(f"{collection}/$ref", json={"@odata.id": address})
    assert api.delete(f"{collection}/$ref", params={"$id": address}).status_code == 204
    assert api.get(collection).json()["value"] == []


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_single_property_is_put_or_deleted_only(api: httpx.Client, method: str) -> None:
    response = api.request(method, f"contacts({contact(api)})/firstname", json={"value": "Ann"})
    assert response.status_code == 405
