"""One test for each point of the checklist for a Dataverse server, in plain HTTP.

The details of a point are tested beside it (`test_bulk`, `test_keys` …); here each point is told once as a whole.
docs/simulators-dataverse.md lists the points with their tests.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import httpx
import pytest

from .build import (
    CRM,
    bulk,
    code,
    column,
    contact,
    key,
    message,
    new_id,
    person_lookup,
    table,
    values,
)
from .test_batch import GO_ON, changeset, inner_statuses, part, send
from .test_platform import delete_job, owned_by, restore, user

REPRESENTATION = {"Prefer": "return=representation"}
ANNOTATIONS = {"Prefer": 'odata.include-annotations="*"'}


def test_writes_answer_204_with_the_address_or_the_row_when_asked(api: httpx.Client) -> None:
    """dataverse-api 20.1."""
    made = api.post("contacts", json={"lastname": "Bell"})
    address = made.headers["OData-EntityId"]
    assert (made.status_code, made.content) == (204, b"")
    assert re.fullmatch(re.escape(str(api.base_url)) + r"contacts\([0-9a-f-]{36}\)", address)
    changed = api.patch(address, json={"firstname": "Ann"})
    assert (changed.status_code, changed.headers["OData-EntityId"]) == (204, address)
    shown = [
        api.post("contacts?$select=lastname", json={"lastname": "Cole"}, headers=REPRESENTATION),
        api.patch(f"{address}?$select=lastname", json={"lastname": "Dale"}, headers=REPRESENTATION),
        api.patch(f"contacts({uuid.uuid4()})?$select=lastname", json={"lastname": "Ede"}, headers=REPRESENTATION),
    ]
    assert [(r.status_code, r.json()["lastname"]) for r in shown] == [(201, "Cole"), (200, "Dale"), (201, "Ede")]
    assert all(r.headers["Preference-Applied"] == "return=representation" for r in shown)


def test_patch_is_an_upsert_that_conditions_narrow(api: httpx.Client) -> None:
    """dataverse-api 20.2."""
    row = f"contacts({uuid.uuid4()})"
    body = {"lastname": "Bell"}
    assert api.patch(row, json=body, headers={"If-Match": "*"}).status_code == 404
    assert api.patch(row, json=body).status_code == 204
    assert api.patch(row, json=body, headers={"If-None-Match": "*"}).status_code == 412
    etag = api.get(row).headers["ETag"]
    assert re.fullmatch(r'W/"\d+"', etag)
    assert api.patch(row, json=body, headers={"If-Match": etag}).status_code == 204
    stale = api.delete(row, headers={"If-Match": etag})
    assert (stale.status_code, code(stale)) == (412, "0x80060882")
    assert int(api.get(row).headers["ETag"][3:-1]) > int(etag[3:-1])


def test_unknown_properties_fail_read_only_ones_are_ignored_required_ones_missed(api: httpx.Client) -> None:
    """dataverse-api 20.3."""
    unknown = api.post("contacts", json={"lastname": "Bell", "nickname2": "x"})
    assert (unknown.status_code, code(unknown)) == (400, "0x80048d19")
    row = contact(api, fullname="Somebody Else", createdon="2001-01-01T00:00:00Z")
    found = api.get(f"contacts({row})").json()
    assert found["fullname"] == "Bell"
    assert not found["createdon"].startswith("2001")
    assert api.post("campaigns", json={"codename": "no name"}).status_code == 400
    assert api.post("contacts", json={"firstname": "only recommended columns are missing"}).status_code == 204


@pytest.mark.parametrize(
    ("sent", "expected", "said"),
    [
        ({"firstname": "x" * 51}, "0x80044331", "exceeded the maximum allowed length of '50'"),
        ({"numberofchildren": 1_000_000_001}, "0x8004432f", "outside the valid range"),
        ({"address1_latitude": 90.5}, "0x80044330", "outside the valid range"),
        ({"gendercode": 3}, "0x8004431a", "'3' of 'gendercode'"),
        ({"firstname": "a\x07"}, "0x80040278", "invalid character"),
        ({"numberofchildren": 2**31}, "0x80048d19", "Edm.Int32"),
    ],
)
def test_values_that_do_not_fit_are_refused_not_cut(
    api: httpx.Client, sent: dict[str, Any], expected: str, said: str
) -> None:
    """dataverse-api 20.4."""
    response = api.post("contacts", json={"lastname": "Bell", **sent})
    assert (response.status_code, code(response)) == (400, expected)
    assert said in message(response)
    assert api.get("contacts/$count").text == "0"


def test_names_of_binds_are_case_sensitive_and_their_targets_must_exist(api: httpx.Client) -> None:
    """dataverse-api 20.5, faults 3.2.4."""
    table(api)
    assert person_lookup(api).status_code == 200
    row = contact(api)

    def bound(name: str, target: str) -> httpx.Response:
        return api.post("cio_events", json={f"{name}@odata.bind": target})

    assert bound("cio_PersonId_contact", f"/contacts({row})").status_code == 204
    assert code(bound("cio_personid_contact", f"/contacts({row})")) == "0x80048d19"
    assert code(bound("cio_PersonId_Contact", f"/contacts({row})")) == "0x80048d19"
    gone = bound("cio_PersonId_contact", f"/contacts({uuid.UUID(int=5)})")
    assert (gone.status_code, code(gone)) == (404, "0x80040217")
    assert str(uuid.UUID(int=5)) in message(gone)
    assert bound("cio_PersonId_contact", f"/nothings({row})").status_code == 404


def test_bulk_messages_are_one_transaction_and_say_little(api: httpx.Client) -> None:
    """dataverse-api 20.6, faults 3.2.1."""
    made = bulk(api, "contacts", "contact", "CreateMultiple", [{"lastname": "a"}, {"lastname": "b"}])
    ids = made.json()["Ids"]
    assert [api.get(f"contacts({row})").json()["lastname"] for row in ids] == ["a", "b"]
    for verb in ("UpdateMultiple", "UpsertMultiple"):
        silent = bulk(api, "contacts", "contact", verb, [{"contactid": ids[0], "lastname": "c"}])
        assert (silent.status_code, silent.content) == (204, b"")
    for verb in ("CreateMultiple", "UpsertMultiple"):
        rows = [{"contactid": str(uuid.uuid4()), "lastname": text} for text in ("fine", "x" * 51)]
        assert code(bulk(api, "contacts", "contact", verb, rows)) == "0x80044331"
    changes = [{"contactid": ids[0], "lastname": "d"}, {"contactid": ids[1], "lastname": "x" * 51}]
    assert code(bulk(api, "contacts", "contact", "UpdateMultiple", changes)) == "0x80044331"
    assert values(api.get("contacts?$orderby=lastname"), "lastname") == ["b", "c"]
    assert api.post(f"contacts/{CRM}CreateMultiple", json={"Targets": [{"lastname": "no type"}]}).status_code == 400
    assert bulk(api, "annotations", "annotation", "CreateMultiple", [{"subject": "s"}]).status_code == 400
    assert bulk(api, "listmembers", "listmember", "UpdateMultiple", [{}]).status_code == 400


def test_a_row_twice_in_one_request_fails_an_upsert_and_is_ignored_by_an_update(api: httpx.Client) -> None:
    """faults 3.2.2."""
    row = contact(api)
    twice = [{"contactid": row, "lastname": "first"}, {"contactid": row, "lastname": "second"}]
    assert bulk(api, "contacts", "contact", "UpsertMultiple", twice).status_code in (400, 412)
    assert api.get(f"contacts({row})").json()["lastname"] == "Bell"
    assert bulk(api, "contacts", "contact", "UpdateMultiple", twice).status_code == 204
    assert api.get(f"contacts({row})").json()["lastname"] == "first"


@pytest.fixture
def keyed(api: httpx.Client) -> httpx.Client:
    table(api)
    assert column(api, "String", "cio_id", MaxLength=450).status_code == 204
    key(api, "cio_id")
    return api


def test_the_key_of_the_body_is_used_on_create_and_dropped_on_update(keyed: httpx.Client) -> None:
    """faults 3.2.3."""
    assert keyed.patch("cio_events(cio_id='url')", json={"cio_id": "body"}).status_code == 204
    assert values(keyed.get("cio_events"), "cio_id") == ["body"]
    assert keyed.patch("cio_events(cio_id='body')", json={"cio_id": "other", "cio_name": "n"}).status_code == 204
    assert values(keyed.get("cio_events"), "cio_id") == ["body"]
    target = {"@odata.id": "cio_events(cio_id='new')", "cio_id": "new"}
    refused = bulk(keyed, "cio_events", "cio_event", "UpsertMultiple", [target])
    assert (refused.status_code, code(refused)) == (400, "0x80040216")
    del target["cio_id"]
    assert bulk(keyed, "cio_events", "cio_event", "UpsertMultiple", [target]).status_code == 204
    assert sorted(values(keyed.get("cio_events"), "cio_id")) == ["body", "new"]


@pytest.mark.parametrize(("stored", "same"), [("A1", "a1"), ("josé", "JOSE"), ("x", "x  ")])
def test_texts_are_equal_without_case_accents_and_trailing_spaces(keyed: httpx.Client, stored: str, same: str) -> None:
    """faults 3.2.5."""
    assert keyed.post("cio_events", json={"cio_id": stored}).status_code == 204
    assert code(keyed.post("cio_events", json={"cio_id": same})) == "0x80060892"
    assert values(keyed.get("cio_events", params={"$filter": f"cio_id eq '{same}'"}), "cio_id") == [stored]
    assert keyed.patch(f"cio_events(cio_id='{same}')", json={"cio_name": "met"}).status_code == 204
    assert values(keyed.get("cio_events"), "cio_name") == ["met"]


def test_a_key_works_when_it_is_active_and_not_for_every_value(api: httpx.Client) -> None:
    """dataverse-api 20.7, faults 3.2.6."""
    table(api)
    column(api, "String", "cio_id", MaxLength=450)
    api.post("cio_events", json={"cio_id": "a&b"})
    key(api, "cio_id", active=False)
    early = api.get("cio_events(cio_id='x')")
    assert (early.status_code, code(early)) == (400, "0x80060890")
    url = "EntityDefinitions(LogicalName='cio_event')/Keys?$select=EntityKeyIndexStatus"
    seen = [values(api.get(url), "EntityKeyIndexStatus")[0] for _ in range(3)]
    assert seen[-1] == "Active"
    assert api.get("cio_events(cio_id='x')").status_code == 404
    assert api.get("cio_events(cio_id='a%26b')").status_code == 400
    column(api, "String", "cio_long", MaxLength=451)
    too_long = {"SchemaName": "cio_k2", "KeyAttributes": ["cio_long"]}
    assert code(api.post("EntityDefinitions(LogicalName='cio_event')/Keys", json=too_long)) == "0x80060895"
    too_many = {"SchemaName": "cio_k3", "KeyAttributes": [f"cio_c{at}" for at in range(17)]}
    for name in too_many["KeyAttributes"]:
        column(api, "Integer", name)
    assert api.post("EntityDefinitions(LogicalName='cio_event')/Keys", json=too_many).status_code == 400


def test_pages_and_counts_end_at_5000(api: httpx.Client) -> None:
    """dataverse-api 20.8, faults 3.2.8."""
    rows: list[dict[str, Any]] = [{"lastname": "n"}] * 5001
    assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 200
    first = api.get("contacts?$select=contactid&$count=true", headers={"Prefer": "odata.maxpagesize=20000"}).json()
    assert (len(first["value"]), first["@odata.count"]) == (5000, 5000)
    last = api.get(first["@odata.nextLink"]).json()
    assert (len(last["value"]), "@odata.nextLink" in last) == (1, False)
    assert api.get("contacts/$count").text == "5000"


def test_service_protection_refuses_per_user_with_three_codes(api: httpx.Client, control: httpx.Client) -> None:
    """dataverse-api 20.9, faults 3.2.9."""
    control.post("clock", json={"virtual": True})
    default = control.post("limits", json={}).json()
    limits = (default["requests"], default["execution_seconds"], default["window_seconds"], default["concurrent"])
    assert limits == (6000, 1200.0, 300.0, 52)
    control.post("limits", json={"requests": 1})
    api.get("WhoAmI")
    control.post("clock", json={"advance": 50})
    waits = [api.get("WhoAmI") for _ in range(3)]
    assert {(r.status_code, code(r)) for r in waits} == {(429, "0x80072322")}
    seconds = [int(r.headers["Retry-After"]) for r in waits]
    assert seconds == [250, 251, 252]
    token = control.post("users", json={"lastname": "Other", "token": True}).json()["token"]
    assert api.get("WhoAmI", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    control.post("clock", json={"advance": seconds[-1] + 1})
    control.post("limits", json={"requests": 6000, "execution_seconds": 0.001})
    api.get("WhoAmI")
    assert code(api.get("WhoAmI")) == "0x80072321"


def test_too_many_requests_at_once_and_503_and_late_commits(api: httpx.Client, control: httpx.Client) -> None:
    """dataverse-api 20.9."""
    control.post("limits", json={"concurrent": 1})
    late = {"match": {"message": "Create"}, "action": {"verb": "commit_then_delay", "seconds": 0.5}}
    down = {"match": {"path": "leads"}, "action": {"verb": "status", "code": 503}}
    control.post("faults", json={"rules": [late, down]})
    with pytest.raises(httpx.ReadTimeout):
        api.post("contacts", json={"lastname": "late"}, timeout=0.2)
    assert code(api.get("WhoAmI")) == "0x80072326"
    assert [row["lastname"] for row in control.get("rows/contact").json()] == ["late"]
    control.post("limits", json={"concurrent": 52})
    assert api.get("leads").status_code == 503


def test_a_batch_ends_at_its_first_error_or_goes_on_and_change_sets_are_whole(api: httpx.Client) -> None:
    """dataverse-api 20.10, faults 3.2.7."""
    good, bad = {"lastname": "good"}, {"lastname": "x" * 51}
    parts = [part("POST", "contacts", body) for body in (good, bad, good)]
    ended = send(api, *parts)
    assert (ended.status_code, inner_statuses(ended)) == (400, [204, 400])
    went_on = send(api, *parts, **GO_ON)
    assert (went_on.status_code, inner_statuses(went_on)) == (200, [204, 400, 204])
    before = api.get("contacts/$count").text
    writes = [part("POST", "contacts", body, str(at)) for at, body in enumerate((good, bad), 1)]
    assert inner_statuses(send(api, changeset(*writes), **GO_ON)) == [400]
    assert api.get("contacts/$count").text == before == "3"
    assert send(api, *[part("GET", "WhoAmI")] * 1001).status_code == 400
    unix = "--b\nContent-Type: application/http\n\nGET WhoAmI HTTP/1.1\n\n--b--\n"
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    assert api.post("$batch", content=unix.encode(), headers=kind).status_code == 400


def test_schema_calls_are_serial_late_and_checked(api: httpx.Client, control: httpx.Client) -> None:
    """dataverse-api 20.11, faults 3.2.11."""
    control.post("clock", json={"virtual": True})
    table(api)
    control.post("clock", json={"advance": 60})
    control.post("switches", json={"customization_seconds": 5.0, "metadata_lag_seconds": 30.0})
    assert column(api, "String", "cio_a").status_code == 204
    busy = column(api, "String", "cio_b")
    assert (busy.status_code, code(busy)) == (429, "0x80071151")
    url = "EntityDefinitions(LogicalName='cio_event')/Attributes?$select=LogicalName"
    assert "cio_a" not in api.get(url).text
    assert "cio_a" in api.get(url, headers={"Consistency": "Strong"}).text
    control.post("clock", json={"advance": 31})
    assert "cio_a" in api.get(url).text
    assert code(column(api, "String", "cio_a")) == "0x80047013"
    control.post("clock", json={"advance": 6})
    assert code(column(api, "String", "abc_a")) == "0x80044366"


def test_owners_must_be_able_to_own(api: httpx.Client) -> None:
    """dataverse-api 20.12."""
    disabled = api.post("contacts", json=owned_by("systemusers", user(api, "Dora")))
    assert (disabled.status_code, code(disabled)) == (403, "0x8004022b")
    without_role = api.post("contacts", json=owned_by("systemusers", user(api, "Rolf")))
    assert (without_role.status_code, code(without_role)) == (403, "0x80040231")
    assert api.post("contacts", json=owned_by("systemusers", user(api, "Ada"))).status_code == 204


def test_elastic_tables_store_row_by_row_and_as_a_whole(api: httpx.Client) -> None:
    """dataverse-api 20.13."""
    table(api, TableType="Elastic")
    for name in ("cio_a", "cio_b"):
        column(api, "String", name, MaxLength=5)
    ids = [str(uuid.uuid4()) for _ in range(2)]
    api.headers.update(ANNOTATIONS)
    rows = [{"cio_eventid": ids[0], "cio_a": "a", "cio_b": "b"}, {"cio_eventid": ids[1], "cio_a": "too long"}]
    refused = bulk(api, "cio_events", "cio_event", "UpsertMultiple", rows).json()["error"]
    failures = json.loads(refused["@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"])
    assert [(failure["RequestIndex"], failure["Id"]) for failure in failures] == [(1, ids[1])]
    assert bulk(api, "cio_events", "cio_event", "UpsertMultiple", [{"cio_eventid": ids[0]}]).status_code == 204
    assert (values(api.get("cio_events"), "cio_eventid"), values(api.get("cio_events"), "cio_a")) == ([ids[0]], [None])
    assert key(api, "cio_a", active=False).status_code == 400
    assert bulk(api, "cio_events", "cio_event", "CreateMultiple", [{}] * 101).status_code == 400
    link = '<link-entity name="cio_event" from="cio_eventid" to="contactid"/>'
    joined = {"fetchXml": f'<fetch><entity name="contact">{link}</entity></fetch>'}
    assert code(api.get("contacts", params=joined)) == "0x80048d0b"


def test_deleted_rows_wait_in_the_bin_and_parents_take_their_children(api: httpx.Client, control: httpx.Client) -> None:
    """dataverse-api 20.14."""
    control.post("switches", json={"recycle_bin": True})
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    row = contact(api, **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    ada = user(api, "Ada")
    api.patch(f"accounts({account})", json={"ownerid@odata.bind": f"/systemusers({ada})"})
    assert api.get(f"contacts({row})").json()["_ownerid_value"] == ada
    assert api.delete(f"accounts({account})").status_code == 204
    assert api.get(f"contacts({row})").status_code == 404
    contact(api, contactid=row)
    assert restore(api, row).status_code >= 400
    api.delete(f"contacts({row})")
    assert restore(api, row).status_code == 200


def test_bulk_delete_is_a_job_with_progress(api: httpx.Client, control: httpx.Client) -> None:
    """dataverse-api 20.15."""
    control.post("switches", json={"bulk_delete_rows": 3})
    rows = [{"lastname": "n", "importsequencenumber": 7}] * 5
    bulk(api, "contacts", "contact", "CreateMultiple", rows)
    job = delete_job(api, 7)
    seen: list[tuple[int, int]] = []
    while not seen or seen[-1][0] != 3:
        found = api.get(f"asyncoperations({job})?$select=statecode,statuscode").json()
        seen.append((found["statecode"], len(control.get("rows/contact").json())))
    assert seen == [(2, 5), (2, 2), (3, 0)]


def test_responses_need_a_campaign_and_lists_their_own_members(api: httpx.Client) -> None:
    """dataverse-api 20.16."""
    assert code(api.post("campaignresponses", json={"subject": "s"})) == "0x8004030a"
    campaign = new_id(api.post("campaigns", json={"name": "Spring"}))
    bind = {"regardingobjectid_campaign_campaignresponse@odata.bind": f"/campaigns({campaign})"}
    assert api.post("campaignresponses", json={"subject": "s", **bind}).status_code == 204
    members = new_id(api.post("lists", json={"listname": "L", "createdfromcode": 2, "type": False}))
    lead = new_id(api.post("leads", json={"lastname": "l", "subject": "s"}))
    target = {"@odata.type": f"{CRM}list", "listid": members}
    wrong = {"List": target, "Members": [{"@odata.type": f"{CRM}lead", "leadid": lead}]}
    assert code(api.post("AddListMembersList", json=wrong)) == "0x80040301"


def test_every_answer_carries_the_headers_that_help(api: httpx.Client) -> None:
    """dataverse-api 20.17."""
    answers = [api.get("WhoAmI"), api.get("nothings"), api.post("contacts", json={"lastname": "Bell"})]
    for answer in answers:
        assert int(answer.headers["x-ms-dop-hint"]) > 0
        assert uuid.UUID(answer.headers["x-ms-service-request-id"])
    left = [int(answer.headers["x-ms-ratelimit-burst-remaining-xrm-requests"]) for answer in answers]
    assert left[0] - left[-1] == 2
    assert float(answers[0].headers["x-ms-ratelimit-time-remaining-xrm-requests"]) <= 1200


@pytest.mark.parametrize("wanted", ["0x80044331", "", "0x0"])
def test_errors_have_one_form_and_codes_may_be_empty(api: httpx.Client, control: httpx.Client, wanted: str) -> None:
    """faults 3.2.10."""
    action = {"verb": "status", "code": 400, "error_code": wanted, "message": "m"}
    control.post("faults", json=[{"match": {"message": "Create"}, "action": action}])
    assert api.post("contacts", json={"lastname": "Bell"}).json() == {"error": {"code": wanted, "message": "m"}}
    control.delete("faults")
    body = api.post("contacts", json={"lastname": "x" * 51}, headers=ANNOTATIONS).json()["error"]
    assert body["code"] == "0x80044331"
    assert any(name.startswith("@Microsoft.PowerApps.CDS.") for name in body)


@pytest.mark.parametrize(
    ("kind", "fits", "beyond"),
    [
        ("DateTime", "1753-01-01T00:00:00Z", "1752-12-31T23:59:59Z"),
        ("Integer", 2_147_483_647, 2_147_483_648),
        ("Integer", -2_147_483_648, -2_147_483_649),
        ("Decimal", 100_000_000_000, 100_000_000_001),
        ("String", "x" * 4000, "x" * 4001),
        ("Memo", "x" * 1_048_576, "x" * 1_048_577),
    ],
)
def test_the_ranges_of_the_types(api: httpx.Client, kind: str, fits: Any, beyond: Any) -> None:
    """faults 3.2.12."""
    table(api)
    sizes: dict[str, dict[str, Any]] = {"String": {"MaxLength": 4000}, "Memo": {"MaxLength": 1_048_576}}
    assert column(api, kind, "cio_value", **sizes.get(kind, {})).status_code == 204
    assert api.post("cio_events", json={"cio_value": fits}).status_code == 204
    assert api.post("cio_events", json={"cio_value": beyond}).status_code == 400
    assert values(api.get("cio_events"), "cio_value") == [fits]


def test_the_lengths_of_the_standard_columns(api: httpx.Client) -> None:
    """faults 3.2.12."""
    for name, length in (("emailaddress1", 100), ("firstname", 50), ("lastname", 50)):
        assert api.post("contacts", json={name: "x" * length}).status_code == 204
        assert code(api.post("contacts", json={name: "x" * (length + 1)})) == "0x80044331"
