"""Security roles: what a user holds is told and enforced alike, and the fault verb takes privileges away."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .build import code, column, contact, message, table, values

FUNCTION = "Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"


def me(api: httpx.Client) -> str:
    return str(api.get("WhoAmI").json()["UserId"])


def held(api: httpx.Client, user: str) -> dict[str, str]:
    rows = api.get(f"systemusers({user})/{FUNCTION}").json()["RolePrivileges"]
    return {row["PrivilegeName"]: row["Depth"] for row in rows}


def limited(api: httpx.Client, control: httpx.Client, *missing: str) -> str:
    """The application user gets one role of its own, with everything that it held but `missing`."""
    user = me(api)
    grants = {name: depth for name, depth in held(api, user).items() if name not in missing}
    control.post("roles", json={"name": "Migration", "privileges": grants, "users": [user]}).raise_for_status()
    return user


def signed_in(api: httpx.Client, control: httpx.Client, role: str | None) -> tuple[str, dict[str, str]]:
    made = control.post("users", json={"lastname": "Other", "role": role, "token": True}).json()
    return made["systemuserid"], {"Authorization": f"Bearer {made['token']}"}


def test_an_administrator_holds_everything_that_definitions_name(api: httpx.Client) -> None:
    table(api)
    named = {
        privilege["Name"]
        for row in api.get("EntityDefinitions?$select=LogicalName,Privileges").json()["value"]
        for privilege in row["Privileges"]
    }
    found = held(api, me(api))
    assert {"prvCreateContact", "prvReadUser", "prvCreatecio_event"} <= named
    assert named <= set(found)
    assert {"prvCreateEntity", "prvBulkDelete", "prvOverrideCreatedOnCreatedBy"} <= set(found)
    assert set(found.values()) == {"Global"}


def test_privileges_can_be_asked_for_by_name(api: httpx.Client) -> None:
    function = "RetrieveUserSetOfPrivilegesByNames(PrivilegeNames=@p)"
    asked = f'systemusers({me(api)})/Microsoft.Dynamics.CRM.{function}?@p=["prvReadLead","prvNo"]'
    assert [row["PrivilegeName"] for row in api.get(asked).json()["RolePrivileges"]] == ["prvReadLead"]
    assert api.get(asked.replace('["prvReadLead","prvNo"]', "7")).status_code == 400


@pytest.mark.parametrize(
    ("privilege", "request_"),
    [
        ("prvCreateContact", ("POST", "contacts", {"lastname": "Bell"})),
        ("prvReadContact", ("GET", "contacts", None)),
        ("prvWriteContact", ("PATCH", "contacts({id})", {"lastname": "Bell"})),
        ("prvDeleteContact", ("DELETE", "contacts({id})", None)),
        ("prvOverrideCreatedOnCreatedBy",
         ("POST", "contacts", {"lastname": "B", "overriddencreatedon": "2020-01-01T00:00:00Z"})),
        ("prvCreateAttribute", ("POST", "EntityDefinitions(LogicalName='contact')/Attributes", {})),
        ("prvCreateEntity", ("POST", "EntityDefinitions", {})),
        ("prvDeleteRelationship", ("DELETE", "RelationshipDefinitions(SchemaName='x')", None)),
        ("prvPublishCustomization", ("POST", "PublishAllXml", {})),
        ("prvBulkDelete", ("POST", "BulkDelete", {})),
    ],
)  # fmt: skip
def test_what_is_missing_is_refused_by_name(
    api: httpx.Client, control: httpx.Client, privilege: str, request_: tuple[str, str, Any]
) -> None:
    verb, path, body = request_
    there = contact(api)
    user = limited(api, control, privilege)
    assert privilege not in held(api, user)
    answer = api.request(verb, path.format(id=there), json=body)
    assert (answer.status_code, code(answer)) == (403, "0x80040220")
    assert f"missing {privilege} privilege" in message(answer)


def test_the_fault_verb_changes_what_is_told_and_what_is_enforced(api: httpx.Client, control: httpx.Client) -> None:
    rules = [{"match": {"nth": 1}, "action": {"verb": "revoke_privilege", "table": "contact", "right": "*"}}]
    control.post("faults", json={"rules": rules})
    api.get("WhoAmI")
    found = held(api, me(api))
    assert not {"prvCreateContact", "prvReadContact", "prvDeleteContact"} & set(found)
    assert "prvCreateLead" in found
    assert api.get("contacts").status_code == 403
    control.delete("faults")
    assert "prvCreateContact" in held(api, me(api))


def test_a_seller_may_not_change_the_schema_nor_see_new_tables(api: httpx.Client, control: httpx.Client) -> None:
    table(api)
    _, token = signed_in(api, control, "Salesperson")
    assert api.post("contacts", json={"lastname": "Bell"}, headers=token).status_code == 204
    assert api.get("cio_events", headers=token).status_code == 403
    assert api.post("EntityDefinitions", json={}, headers=token).status_code == 403


def test_a_customizer_gets_new_tables_without_being_asked(api: httpx.Client, control: httpx.Client) -> None:
    user, token = signed_in(api, control, "System Customizer")
    table(api)
    assert held(api, user)["prvCreatecio_event"] == "Global"
    assert api.post("cio_events", json={"cio_name": "x"}, headers=token).status_code == 204
    assert column(api, "Integer", "cio_count").status_code == 204


def test_roles_of_teams_count(api: httpx.Client, control: httpx.Client) -> None:
    user, token = signed_in(api, control, None)
    assert held(api, user) == {}
    team = values(api.get("teams?$select=teamid&$filter=name eq 'Sales Europe'"), "teamid")[0]
    reference = {"@odata.id": f"{api.base_url}systemusers({user})"}
    assert api.post(f"teams({team})/teammembership_association/$ref", json=reference).status_code == 204
    assert held(api, user)["prvCreateContact"] == "Local"
    assert api.post("contacts", json={"lastname": "Bell"}, headers=token).status_code == 204


def test_a_role_with_an_unknown_depth_is_refused(control: httpx.Client) -> None:
    answer = control.post("roles", json={"name": "Odd", "privileges": {"prvReadLead": "Everywhere"}})
    assert answer.status_code == 400
    assert "Everywhere" in answer.json()["error"]


def test_the_platform_brings_steps_rules_an_app_and_time_zones(api: httpx.Client) -> None:
    query = "$select=name,mode&$expand=sdkmessageid($select=name),sdkmessagefilterid($select=primaryobjecttypecode)"
    steps = api.get(f"sdkmessageprocessingsteps?{query}&$filter=statecode eq 0").json()["value"]
    assert {(s["sdkmessageid"]["name"], s["sdkmessagefilterid"]["primaryobjecttypecode"]) for s in steps} == {
        ("Create", "lead"), ("Update", "contact"),
    }  # fmt: skip
    assert set(values(api.get("duplicaterules?$filter=statecode eq 1"), "baseentityname")) == {
        "account", "contact", "lead",
    }  # fmt: skip
    assert values(api.get("appmodules"), "uniquename") == ["msdynce_saleshub"]
    zone = api.get(f"usersettingscollection({me(api)})?$select=timezonecode").json()["timezonecode"]
    assert len(values(api.get(f"timezonedefinitions?$filter=timezonecode eq {zone}"), "standardname")) == 1
