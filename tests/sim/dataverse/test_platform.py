"""Owners, cascades, elastic tables, jobs, the recycle bin, lists and responses, survival of a restart."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from .build import CRM, bulk, code, column, contact, key, new_id, table, values
from .serving import api_client, simulator


def user(api: httpx.Client, first: str) -> str:
    return str(values(api.get(f"systemusers?$filter=firstname eq '{first}'"), "systemuserid")[0])


def owned_by(kind: str, identity: str) -> dict[str, str]:
    return {"lastname": "n", "ownerid@odata.bind": f"/{kind}({identity})"}


def test_owners_are_checked(api: httpx.Client) -> None:
    assert api.post("contacts", json=owned_by("systemusers", user(api, "Ada"))).status_code == 204
    assert code(api.post("contacts", json=owned_by("systemusers", user(api, "Dora")))) == "0x8004022b"
    assert code(api.post("contacts", json=owned_by("systemusers", user(api, "Rolf")))) == "0x80040231"
    teams = {row["name"]: row["teamid"] for row in api.get("teams").json()["value"]}
    assert api.post("contacts", json=owned_by("teams", teams["Sales Europe"])).status_code == 204
    assert code(api.post("contacts", json=owned_by("teams", teams["Deal room"]))) == "0x80040229"


def test_a_disabled_owner_fails_the_whole_bulk_message(api: httpx.Client) -> None:
    rows = [{"lastname": "fine"}, owned_by("systemusers", user(api, "Dora"))]
    assert code(bulk(api, "contacts", "contact", "CreateMultiple", rows)) == "0x8004022b"
    assert api.get("contacts").json()["value"] == []


def test_a_user_can_be_disabled_in_mid_run(api: httpx.Client, control: httpx.Client) -> None:
    row = contact(api, **{"ownerid@odata.bind": f"/systemusers({user(api, 'Ada')})"})
    control.patch(f"users/{user(api, 'Ada')}", json={"isdisabled": True})
    assert code(api.post("contacts", json=owned_by("systemusers", user(api, "Ada")))) == "0x8004022b"
    assert api.patch(f"contacts({row})", json={"firstname": "rows keep their owner"}).status_code == 204


def test_an_account_takes_its_contacts_along(api: httpx.Client) -> None:
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    row = contact(api, **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    api.patch(f"accounts({account})", json={"ownerid@odata.bind": f"/systemusers({user(api, 'Ada')})"})
    assert api.get(f"contacts({row})").json()["_ownerid_value"] == user(api, "Ada")
    assert api.delete(f"accounts({account})").status_code == 204
    assert api.get(f"contacts({row})").status_code == 404


@pytest.fixture
def elastic(api: httpx.Client) -> httpx.Client:
    table(api, TableType="Elastic")
    for name in ("cio_a", "cio_b"):
        assert column(api, "String", name, MaxLength=5).status_code == 204
    return api


def test_on_an_elastic_table_good_rows_stay_when_others_fail(elastic: httpx.Client) -> None:
    elastic.headers["Prefer"] = 'odata.include-annotations="*"'
    ids = [str(uuid.uuid4()) for _ in range(3)]
    rows = [{"cio_eventid": row, "cio_a": text} for row, text in zip(ids, ("ok", "too long", "ok"), strict=True)]
    response = bulk(elastic, "cio_events", "cio_event", "CreateMultiple", rows)
    assert response.status_code == 400
    details = response.json()["error"]["@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"]
    assert json.loads(details) == [{"RequestIndex": 1, "Id": ids[1], "StatusCode": 400}]
    assert sorted(values(elastic.get("cio_events"), "cio_eventid")) == sorted([ids[0], ids[2]])


def test_an_elastic_upsert_replaces_the_row(elastic: httpx.Client) -> None:
    row = str(uuid.uuid4())
    for sent in ({"cio_a": "a", "cio_b": "b"}, {"cio_a": "c"}):
        assert (
            bulk(elastic, "cio_events", "cio_event", "UpsertMultiple", [{"cio_eventid": row, **sent}]).status_code
            == 204
        )
    found = elastic.get(f"cio_events({row})").json()
    assert (found["cio_a"], found["cio_b"]) == ("c", None)


def test_elastic_tables_have_limits_of_their_own(elastic: httpx.Client) -> None:
    assert bulk(elastic, "cio_events", "cio_event", "CreateMultiple", [{}] * 101).status_code == 400
    assert code(key(elastic, "cio_a", active=False)) == "0x8006088f"
    link = '<link-entity name="cio_event" from="cio_eventid" to="contactid"/>'
    xml = f'<fetch><entity name="contact">{link}</entity></fetch>'
    assert code(elastic.get("contacts", params={"fetchXml": xml})) == "0x80048d0b"
    rows = [{"cio_eventid": str(uuid.uuid4())} for _ in range(2)]
    bulk(elastic, "cio_events", "cio_event", "CreateMultiple", rows)
    assert bulk(elastic, "cio_events", "cio_event", "DeleteMultiple", rows[:1]).status_code == 204
    assert len(elastic.get("cio_events").json()["value"]) == 1
    shown = elastic.get("EntityDefinitions(LogicalName='cio_event')?$select=TableType").json()
    assert shown["TableType"] == "Elastic"


def delete_job(api: httpx.Client, number: int) -> str:
    query = {
        "@odata.type": f"{CRM}QueryExpression",
        "EntityName": "contact",
        "Criteria": {
            "FilterOperator": "And",
            "Conditions": [
                {
                    "AttributeName": "importsequencenumber",
                    "Operator": "Equal",
                    "Values": [{"Value": str(number), "Type": "System.Int32"}],
                }
            ],
        },
    }
    response = api.post("BulkDelete", json={"QuerySet": [query], "JobName": "undo", "SendEmailNotification": False})
    assert response.status_code == 200, response.text
    return str(response.json()["JobId"])


def test_bulk_delete_is_a_job_that_takes_its_time(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"bulk_delete_rows": 2})
    rows = [{"lastname": "n", "importsequencenumber": 40 + at % 2} for at in range(6)]
    bulk(api, "contacts", "contact", "CreateMultiple", rows)
    job = delete_job(api, 40)
    contact(api, importsequencenumber=40)
    states, left = [], []
    for _ in range(5):
        found = api.get(f"asyncoperations({job})?$select=statecode,statuscode").json()
        states.append((found["statecode"], found["statuscode"]))
        left.append(len(control.get("rows/contact").json()))
    assert states == [(2, 20), (3, 30), (3, 30), (3, 30), (3, 30)]
    assert left == [5, 4, 4, 4, 4]
    (operation,) = api.get(f"bulkdeleteoperations?$filter=_asyncoperationid_value eq {job}").json()["value"]
    assert (operation["successcount"], operation["failurecount"]) == (3, 0)


def restore(api: httpx.Client, row: str) -> httpx.Response:
    return api.post("Restore", json={"Target": {"@odata.type": f"{CRM}contact", "contactid": row}})


def test_deleted_rows_come_back_from_the_bin(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"recycle_bin": True})
    row = contact(api, firstname="Ann")
    api.delete(f"contacts({row})")
    assert restore(api, row).status_code == 200
    assert api.get(f"contacts({row})").json()["fullname"] == "Ann Bell"
    assert restore(api, row).status_code == 404


def test_a_used_primary_key_blocks_a_restore(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"recycle_bin": True})
    row = contact(api)
    api.delete(f"contacts({row})")
    contact(api, contactid=row)
    assert code(restore(api, row)) == "0x80049939"


def test_a_used_alternate_key_blocks_a_restore(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"recycle_bin": True})
    table(api)
    column(api, "String", "cio_id", owner="contact")
    key(api, "cio_id", owner="contact")
    row = contact(api, cio_id="a")
    api.delete(f"contacts({row})")
    contact(api, cio_id="A")
    assert code(restore(api, row)) == "0x80049929"


def test_without_the_bin_a_deletion_is_final(api: httpx.Client) -> None:
    row = contact(api)
    api.delete(f"contacts({row})")
    assert restore(api, row).status_code == 404


def test_a_campaign_response_needs_its_campaign(api: httpx.Client) -> None:
    refused = api.post("campaignresponses", json={"subject": "s"})
    assert (refused.status_code, code(refused)) == (400, "0x8004030a")
    campaign = new_id(api.post("campaigns", json={"name": "Spring"}))
    body: dict[str, Any] = {
        "subject": "s",
        "regardingobjectid_campaign_campaignresponse@odata.bind": f"/campaigns({campaign})",
        "campaignresponse_activity_parties": [
            {"partyid_contact@odata.bind": f"/contacts({contact(api)})", "participationtypemask": 11}
        ],
    }
    response = api.post("campaignresponses", json=body)
    assert response.status_code == 204, response.text
    assert values(api.get("activityparties"), "participationtypemask") == [11]
    template = new_id(api.post("campaigns", json={"name": "T", "istemplate": True}))
    body["regardingobjectid_campaign_campaignresponse@odata.bind"] = f"/campaigns({template})"
    assert code(api.post("campaignresponses", json=body)) == "0x80040312"


def test_a_list_takes_members_of_its_own_type_only(api: httpx.Client) -> None:
    members = new_id(api.post("lists", json={"listname": "L", "createdfromcode": 2, "type": False}))
    person, lead = contact(api), new_id(api.post("leads", json={"lastname": "l", "subject": "s"}))

    def add(kind: str, row: str) -> httpx.Response:
        target = {"@odata.type": f"{CRM}list", "listid": members}
        member = {"@odata.type": f"{CRM}{kind}", f"{kind}id": row}
        return api.post("AddListMembersList", json={"List": target, "Members": [member]})

    assert add("contact", person).status_code == 204
    assert add("contact", person).status_code == 204
    assert code(add("lead", lead)) == "0x80040301"
    assert len(api.get("listmembers").json()["value"]) == 1
    removal = api.post(f"lists({members})/{CRM}RemoveMemberList", json={"EntityId": person})
    assert removal.status_code == 204
    again = api.post(f"lists({members})/{CRM}RemoveMemberList", json={"EntityId": person})
    assert code(again) == "0x80048458"


def test_attachments_are_measured_and_bad_ones_refused(api: httpx.Client) -> None:
    def note(name: str, body: str) -> httpx.Response:
        return api.post("annotations", json={"filename": name, "documentbody": body, "isdocument": True})

    row = new_id(note("a.txt", "aGVsbG8="))
    assert api.get(f"annotations({row})").json()["filesize"] == 5
    assert code(note("a.exe", "aGVsbG8=")) == "0x80043e09"
    assert code(note("a.txt", "QUJD" * 1_800_000)) == "0x80043e09"


def test_create_entities_makes_tables_as_the_vendors_client_does(api: httpx.Client) -> None:
    table(api)
    attribute = {
        "@odata.type": f"{CRM}ComplexStringAttributeMetadata",
        "SchemaName": "cio_title",
        "IsPrimaryName": True,
    }
    entity = {
        "@odata.type": f"{CRM}ComplexEntityMetadata",
        "SchemaName": "cio_Order",
        "OwnershipType": "UserOwned",
        "Attributes": [attribute],
    }
    assert api.post("CreateEntities", json={"Entities": [entity]}).status_code == 200
    assert api.post("cio_orders", json={"cio_title": "first"}).status_code == 204


def test_the_organisation_tells_who_it_is(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"organization_type": "Customer"})
    access = "Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
    detail = api.get(f"RetrieveCurrentOrganization(AccessType={access})").json()["Detail"]
    assert detail["OrganizationType"] == "Customer"
    assert detail["OrganizationId"] == api.get("WhoAmI").json()["OrganizationId"]


def test_the_control_api_shows_what_is_stored(api: httpx.Client, control: httpx.Client) -> None:
    contact(api, firstname="Ann")
    (row,) = control.get("rows/contact").json()
    assert (row["firstname"], row["statecode"]) == ("Ann", 0)
    assert control.get("counts").json()["contact"] == 1
    assert control.get("rows/nothing").status_code == 400
    assert control.post("switches", json={"nothing": 1}).status_code == 400


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    with simulator(tmp_path) as origin, api_client(origin) as api:
        table(api)
        column(api, "String", "cio_id")
        key(api, "cio_id")
        row = contact(api)
        before = api.get("WhoAmI").json()["OrganizationId"]
        version = api.get(f"contacts({row})").json()["versionnumber"]
        seen = httpx.get(f"{origin}/_control/journal").json()[-1]["seq"]
    with simulator(tmp_path) as origin, api_client(origin) as api:
        assert api.get("WhoAmI").json()["OrganizationId"] == before
        assert api.get(f"contacts({row})").json()["lastname"] == "Bell"
        assert api.patch("cio_events(cio_id='a')", json={"cio_name": "n"}).status_code == 204
        assert api.get(f"contacts({contact(api)})").json()["versionnumber"] > version
        later = httpx.get(f"{origin}/_control/journal?since={seen}").json()
        assert [entry["method"] for entry in later] == ["GET", "GET", "PATCH", "POST", "GET"]


def organisation(seed: int) -> str:
    with simulator(seed=seed) as origin, api_client(origin) as api:
        return str(api.get("WhoAmI").json()["OrganizationId"])


def test_a_seed_repeats_the_ids_of_an_organisation() -> None:
    assert organisation(5) == organisation(5) != organisation(6)
    assert organisation(0) != organisation(0)
