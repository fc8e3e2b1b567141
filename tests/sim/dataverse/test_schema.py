from __future__ import annotations

from typing import Any

import httpx
import pytest

from .build import CRM, bulk, code, column, contact, key, label, message, new_id, person_lookup, publisher, table

EVENT = "EntityDefinitions(LogicalName='cio_event')"


def test_a_new_table_has_the_columns_of_the_platform(api: httpx.Client) -> None:
    table(api, HasNotes=True)
    found = api.get(f"{EVENT}?$select=LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,IsCustomEntity").json()
    assert (found["EntitySetName"], found["PrimaryIdAttribute"]) == ("cio_events", "cio_eventid")
    names = {row["LogicalName"] for row in api.get(f"{EVENT}/Attributes?$select=LogicalName").json()["value"]}
    assert {"cio_eventid", "ownerid", "statecode", "importsequencenumber", "overriddencreatedon"} <= names
    event = new_id(api.post("cio_events", json={"cio_name": "n"}))
    note = {"subject": "s", "objectid_cio_event@odata.bind": f"/cio_events({event})"}
    assert api.post("annotations", json=note).status_code == 204
    api.delete(f"cio_events({event})")
    assert api.get("annotations").json()["value"] == []


def test_names_need_the_prefix_of_a_publisher(api: httpx.Client) -> None:
    publisher(api)
    response = api.post("EntityDefinitions", json={"SchemaName": "zzz_event", "Attributes": []})
    assert (response.status_code, code(response)) == (400, "0x80044366")
    table(api)
    assert code(column(api, "String", "other_name")) == "0x80044366"
    assert code(column(api, "String", "name")) == "0x80044366"
    assert column(api, "String", "cio_user_id__c").status_code == 204


def test_what_exists_already_is_said_to_exist(api: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_a")
    body = {"SchemaName": "cio_Event", "Attributes": []}
    assert code(api.post("EntityDefinitions", json=body)) == "0x8004700b"
    assert code(column(api, "Integer", "CIO_A")) == "0x80047013"


@pytest.mark.parametrize(
    ("kind", "settings", "good", "bad"),
    [
        ("String", {"MaxLength": 3}, "abc", "abcd"),
        ("Memo", {"MaxLength": 3}, "a\nb", "abcd"),
        ("Integer", {"MinValue": 1, "MaxValue": 5}, 5, 6),
        ("BigInt", {}, 2**40, 1.5),
        ("Decimal", {"Precision": 4, "MaxValue": 10}, 9.1234, 10.1),
        ("Double", {"Precision": 5}, 1.12345, "1"),
        ("Money", {"PrecisionSource": 0}, 5.25, True),
        ("Boolean", {}, True, 1),
        (
            "DateTime",
            {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}},
            "2026-01-31T08:00:00Z",
            "2026-01-31",
        ),
        (
            "DateTime",
            {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}},
            "2026-01-31",
            "2026-01-31T08:00:00Z",
        ),
        ("Picklist", {"OptionSet": {"Options": [{"Value": 7, "Label": label("seven")}]}}, 7, 8),
        (
            "MultiSelectPicklist",
            {"OptionSet": {"Options": [{"Value": n, "Label": label("x")} for n in (1, 9)]}},
            "1,9",
            "1,2",
        ),
    ],
)
def test_every_type_of_column_takes_what_fits(
    api: httpx.Client, kind: str, settings: dict[str, Any], good: Any, bad: Any
) -> None:
    table(api)
    response = column(api, kind, "cio_Value", DisplayName=label("Value"), **settings)
    assert response.status_code == 204, response.text
    row = new_id(api.post("cio_events", json={"cio_value": good}))
    assert api.get(f"cio_events({row})").json()["cio_value"] == good
    assert api.post("cio_events", json={"cio_value": bad}).status_code == 400
    cast = f"{EVENT}/Attributes/{CRM}{kind}AttributeMetadata?$select=LogicalName"
    assert "cio_value" in [item["LogicalName"] for item in api.get(cast).json()["value"]]


def test_the_first_money_column_brings_currency_and_base_value(api: httpx.Client) -> None:
    table(api)
    column(api, "Money", "cio_amount")
    row = api.get(f"cio_events({new_id(api.post('cio_events', json={'cio_amount': 12.5}))})").json()
    assert (row["cio_amount_base"], row["exchangerate"]) == (12.5, 1.0)
    assert row["_transactioncurrencyid_value"]


def test_type_specific_properties_need_a_cast(api: httpx.Client) -> None:
    url = "EntityDefinitions(LogicalName='contact')/Attributes"
    refused = api.get(f"{url}?$select=LogicalName,MaxLength")
    assert (refused.status_code, code(refused)) == (400, "0x0")
    found = api.get(f"{url}(LogicalName='lastname')/{CRM}StringAttributeMetadata?$select=MaxLength")
    assert found.json()["MaxLength"] == 50
    picklists = api.get(f"{url}/{CRM}PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet,GlobalOptionSet")
    options = {row["LogicalName"]: row["OptionSet"]["Options"] for row in picklists.json()["value"]}
    assert [option["Value"] for option in options["gendercode"]] == [1, 2]


def test_the_type_of_a_column_is_told_even_when_not_selected(api: httpx.Client) -> None:
    url = "EntityDefinitions(LogicalName='contact')/Attributes(LogicalName='lastname')?$select=SchemaName"
    assert api.get(url).json()["@odata.type"] == "#Microsoft.Dynamics.CRM.StringAttributeMetadata"


def test_definitions_are_found_by_filter_and_expanded(api: httpx.Client) -> None:
    table(api)
    expand = "Attributes($select=LogicalName),Keys"
    url = f"EntityDefinitions?$select=LogicalName&$filter=IsCustomEntity eq true&$expand={expand}"
    (found,) = api.get(url).json()["value"]
    assert found["LogicalName"] == "cio_event"
    assert "cio_name" in [item["LogicalName"] for item in found["Attributes"]]
    assert found["Keys"] == []


def test_startswith_is_refused_in_metadata_queries(api: httpx.Client) -> None:
    assert api.get("EntityDefinitions?$filter=startswith(LogicalName,'cio')").status_code == 501


def test_a_lookup_is_bound_by_its_schema_name(api: httpx.Client) -> None:
    table(api)
    person = contact(api)
    assert person_lookup(api).status_code == 200
    relations = api.get(f"{EVENT}/ManyToOneRelationships").json()["value"]
    names = {
        r["ReferencedEntity"]: r["ReferencingEntityNavigationPropertyName"]
        for r in relations
        if r["IsCustomRelationship"]
    }
    assert names == {"contact": "cio_PersonId_contact", "lead": "cio_PersonId_lead"}
    right = {"cio_PersonId_contact@odata.bind": f"/contacts({person})"}
    wrong = {"cio_personid_contact@odata.bind": f"/contacts({person})"}
    row = new_id(api.post("cio_events", json=right))
    assert api.get(f"cio_events({row})").json()["_cio_personid_value"] == person
    assert code(api.post("cio_events", json=wrong)) == "0x80048d19"
    lookup = api.get(f"{EVENT}/Attributes/{CRM}LookupAttributeMetadata?$select=LogicalName,Targets").json()["value"]
    assert next(r["Targets"] for r in lookup if r["LogicalName"] == "cio_personid") == ["contact", "lead"]


def test_a_further_target_is_added_to_a_multi_table_lookup_only(api: httpx.Client) -> None:
    table(api)
    person_lookup(api)
    body = {
        "SchemaName": "cio_account_event",
        "ReferencedEntity": "account",
        "ReferencingEntity": "cio_event",
        "Lookup": {"SchemaName": "cio_PersonId", "DisplayName": label("Person")},
    }
    assert api.post("RelationshipDefinitions", json=body).status_code == 204
    account = new_id(api.post("accounts", json={"name": "Acme"}))
    assert api.post("cio_events", json={"cio_PersonId_account@odata.bind": f"/accounts({account})"}).status_code == 204
    plain = {**body, "SchemaName": "cio_one", "Lookup": {"SchemaName": "cio_OtherId"}}
    assert api.post("RelationshipDefinitions", json=plain).status_code == 204
    again = api.post("RelationshipDefinitions", json={**plain, "SchemaName": "cio_two", "ReferencedEntity": "contact"})
    assert code(again) == "0x80047013"


def test_deletion_of_the_parent_follows_the_relationship(api: httpx.Client) -> None:
    table(api)
    for name, action in (("Keep", "RemoveLink"), ("Die", "Cascade"), ("Block", "Restrict")):
        body = {
            "SchemaName": f"cio_{name}",
            "ReferencedEntity": "contact",
            "ReferencingEntity": "cio_event",
            "CascadeConfiguration": {"Delete": action},
            "Lookup": {"SchemaName": f"cio_{name}Id"},
        }
        assert api.post("RelationshipDefinitions", json=body).status_code == 204
    people = {name: contact(api) for name in ("Keep", "Die", "Block")}
    rows = [{"cio_name": name, f"cio_{name}Id@odata.bind": f"/contacts({row})"} for name, row in people.items()]
    bulk(api, "cio_events", "cio_event", "CreateMultiple", rows)
    codes = [api.delete(f"contacts({row})").status_code for row in people.values()]
    assert codes == [204, 204, 400]
    left = {row["cio_name"]: row["_cio_keepid_value"] for row in api.get("cio_events").json()["value"]}
    assert left == {"Keep": None, "Block": None}


def test_deleting_definitions_takes_the_data_along(api: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_a")
    person_lookup(api)
    assert api.delete(f"{EVENT}/Attributes(LogicalName='cio_a')").status_code == 204
    assert code(api.get("cio_events?$select=cio_a")) == "0x0"
    assert api.delete("RelationshipDefinitions(SchemaName='cio_contact_cio_event')").status_code == 204
    assert api.delete("RelationshipDefinitions(SchemaName='cio_lead_cio_event')").status_code == 204
    assert code(api.get("cio_events?$select=_cio_personid_value")) == "0x0"
    assert code(api.delete(f"{EVENT}/Attributes(LogicalName='cio_name')")) == "0x80047002"
    assert api.delete(EVENT).status_code == 204
    assert code(api.get("cio_events")) == "0x8006088a"


def test_standard_components_are_not_deleted(api: httpx.Client) -> None:
    assert api.delete("EntityDefinitions(LogicalName='contact')").status_code == 400
    response = api.delete("EntityDefinitions(LogicalName='contact')/Attributes(LogicalName='lastname')")
    assert code(response) == "0x80047009"


def test_a_global_choice_is_shared_and_extended(api: httpx.Client) -> None:
    table(api)
    body = {
        "Name": "cio_status",
        "IsGlobal": True,
        "OptionSetType": "Picklist",
        "Options": [{"Value": 1, "Label": label("Sent")}],
        "DisplayName": label("Status"),
    }
    choice = new_id(api.post("GlobalOptionSetDefinitions", json=body))
    bind = {"GlobalOptionSet@odata.bind": f"/GlobalOptionSetDefinitions({choice})"}
    assert column(api, "Picklist", "cio_state", **bind).status_code == 204
    assert code(api.post("cio_events", json={"cio_state": 2})) == "0x8004431a"
    added = {"OptionSetName": "cio_status", "Value": 2, "Label": label("Bounced")}
    assert api.post("InsertOptionValue", json=added).json()["NewOptionValue"] == 2
    assert api.post("cio_events", json={"cio_state": 2}).status_code == 204
    assert code(api.post("InsertOptionValue", json=added)) == "0x80044310"
    assert code(api.delete(f"GlobalOptionSetDefinitions({choice})")) == "0x80048417"


def solution(api: httpx.Client) -> str:
    owner = api.get("publishers?$filter=customizationprefix eq 'cio'").json()["value"][0]["publisherid"]
    body = {"uniquename": "cio_s", "friendlyname": "s", "version": "1.0"}
    return new_id(api.post("solutions", json={**body, "publisherid@odata.bind": f"/publishers({owner})"}))


def test_option_values_left_out_get_the_publishers_prefix(api: httpx.Client) -> None:
    table(api)
    solution(api)
    api.headers["MSCRM.SolutionUniqueName"] = "cio_s"
    column(api, "Picklist", "cio_p", OptionSet={"Options": [{"Label": label("a")}, {"Label": label("b")}]})
    url = f"{EVENT}/Attributes(LogicalName='cio_p')/{CRM}PicklistAttributeMetadata/OptionSet"
    assert [option["Value"] for option in api.get(url).json()["Options"]] == [727000000, 727000001]


def test_components_go_into_the_solution_that_is_named(api: httpx.Client) -> None:
    publisher(api)
    wanted = solution(api)
    api.headers["MSCRM.SolutionUniqueName"] = "cio_s"
    made = table(api)
    column(api, "String", "cio_id")
    key(api, "cio_id")
    person_lookup(api)
    found = api.get(f"solutioncomponents?$filter=_solutionid_value eq {wanted}").json()["value"]
    assert sorted(row["componenttype"] for row in found) == [1, 2, 10, 10, 14]
    assert made in [row["objectid"] for row in found]
    contact_table = api.get("EntityDefinitions(LogicalName='contact')?$select=MetadataId").json()["MetadataId"]
    body = {"ComponentId": contact_table, "ComponentType": 1, "SolutionUniqueName": "cio_s"}
    assert api.post("AddSolutionComponent", json=body).status_code == 200
    api.headers["MSCRM.SolutionUniqueName"] = "cio_none"
    assert column(api, "String", "cio_other").status_code == 404
    assert api.get(f"{EVENT}/Attributes(LogicalName='cio_other')").status_code == 404


def test_a_definition_is_changed_by_put_of_the_whole_and_never_its_type(api: httpx.Client) -> None:
    table(api)
    column(api, "String", "cio_a", MaxLength=10)
    url = f"{EVENT}/Attributes(LogicalName='cio_a')"
    whole = api.get(f"{url}/{CRM}StringAttributeMetadata").json()
    whole["MaxLength"] = 20
    target = f"{EVENT}/Attributes({whole['MetadataId']})"
    assert api.put(target, json=whole, headers={"MSCRM.MergeLabels": "true"}).status_code == 204
    assert api.post("cio_events", json={"cio_a": "x" * 20}).status_code == 204
    other = {"@odata.type": f"{CRM}IntegerAttributeMetadata", "SchemaName": "cio_a"}
    assert api.put(target, json=other).status_code == 400
    assert api.patch(target, json=whole).status_code == 405


def test_publishers_are_checked(api: httpx.Client) -> None:
    base = {"uniquename": "p", "friendlyname": "p", "customizationoptionvalueprefix": 20000}
    for prefix in ("x", "mscrmx", "1ab", "toolongpre"):
        assert api.post("publishers", json={**base, "customizationprefix": prefix}).status_code == 400
    low = {**base, "customizationprefix": "abc", "customizationoptionvalueprefix": 5}
    assert api.post("publishers", json=low).status_code == 400


def test_schema_calls_exclude_each_other(api: httpx.Client, control: httpx.Client) -> None:
    control.post("clock", json={"virtual": True})
    control.post("switches", json={"customization_seconds": 240.0})
    table(api)
    busy = column(api, "String", "cio_a")
    assert (busy.status_code, code(busy)) == (429, "0x80071151")
    assert "[EntityCustomization]" in message(busy)
    assert api.post("contacts", json={"lastname": "rows are not concerned"}).status_code == 204
    control.post("clock", json={"advance": 241})
    assert column(api, "String", "cio_a").status_code == 204


def test_new_components_become_visible_late(api: httpx.Client, control: httpx.Client) -> None:
    control.post("clock", json={"virtual": True})
    table(api)
    control.post("clock", json={"advance": 100})
    control.post("switches", json={"metadata_lag_seconds": 25.0})
    column(api, "String", "cio_a")
    late = api.post("cio_events", json={"cio_a": "x"})
    assert (late.status_code, code(late)) == (400, "0x80048d19")
    url = f"{EVENT}/Attributes?$select=LogicalName"
    assert "cio_a" not in api.get(url).text
    assert "cio_a" in api.get(url, headers={"Consistency": "Strong"}).text
    table(api, "cio_other")
    assert code(api.get("cio_others")) == "0x8006088a"
    control.post("clock", json={"advance": 26})
    assert api.post("cio_events", json={"cio_a": "x"}).status_code == 204
    assert api.get("cio_others").status_code == 200


def test_limits_of_the_organisation_are_reported(api: httpx.Client, control: httpx.Client) -> None:
    control.post("switches", json={"max_tables": 1})
    table(api)
    body = {"SchemaName": "cio_two", "Attributes": []}
    assert code(api.post("EntityDefinitions", json=body)) == "0x8004b042"
    found = api.get("RetrieveOrganizationResources()").json()["OrganizationResources"]
    assert (found["CurrentNumberOfCustomEntities"], found["MaxNumberOfCustomEntities"]) == (1, 1)


def many_to_many(api: httpx.Client) -> str:
    table(api)
    body = {
        "@odata.type": f"{CRM}ManyToManyRelationshipMetadata",
        "SchemaName": "cio_contact_events",
        "Entity1LogicalName": "contact",
        "Entity2LogicalName": "cio_event",
        "IntersectEntityName": "cio_contact_event",
    }
    return new_id(api.post("RelationshipDefinitions", json=body))


def test_rows_are_linked_many_to_many(api: httpx.Client) -> None:
    many_to_many(api)
    person, event = contact(api), new_id(api.post("cio_events", json={"cio_name": "n"}))
    url = f"contacts({person})/cio_contact_events"
    target = {"@odata.id": f"{api.base_url}cio_events({event})"}
    assert api.post(f"{url}/$ref", json=target).status_code == 204
    assert code(api.post(f"{url}/$ref", json=target)) == "0x80040237"
    assert [row["cio_name"] for row in api.get(url).json()["value"]] == ["n"]
    back = api.get(f"cio_events({event})?$expand=cio_contact_events($select=lastname)").json()
    assert [row["lastname"] for row in back["cio_contact_events"]] == ["Bell"]
    any_event = "contacts?$filter=cio_contact_events/any(e:e/cio_name eq 'N')"
    assert len(api.get(any_event).json()["value"]) == 1
    xml = (
        '<fetch><entity name="contact"><link-entity name="cio_contact_event" from="contactid" to="contactid" '
        'intersect="true"><link-entity name="cio_event" from="cio_eventid" to="cio_eventid" alias="e">'
        '<attribute name="cio_name"/></link-entity></link-entity></entity></fetch>'
    )
    assert api.get("contacts", params={"fetchXml": xml}).json()["value"][0]["e.cio_name"] == "n"
    assert api.delete(f"{url}({event})/$ref").status_code == 204
    assert api.get(url).json()["value"] == []
    api.post(f"{url}/$ref", json=target)
    assert api.delete(f"cio_events({event})").status_code == 204
    assert api.get(url).json()["value"] == []


def test_a_many_to_many_relationship_is_described_and_deleted(api: httpx.Client) -> None:
    identity = many_to_many(api)
    (found,) = api.get(f"{EVENT}/ManyToManyRelationships").json()["value"]
    assert (found["MetadataId"], found["IntersectEntityName"]) == (identity, "cio_contact_event")
    assert api.delete(f"RelationshipDefinitions({identity})").status_code == 204
    assert api.get(f"{EVENT}/ManyToManyRelationships").json()["value"] == []
    many = {"SchemaName": "cio_again", "Entity1LogicalName": "contact", "Entity2LogicalName": "cio_event"}
    assert (
        api.post(
            "RelationshipDefinitions", json={"@odata.type": f"{CRM}ManyToManyRelationshipMetadata", **many}
        ).status_code
        == 204
    )
    assert api.delete(EVENT).status_code == 204
    assert "cio_again" not in api.get("EntityDefinitions?$select=LogicalName").text


def test_the_roles_of_a_user_are_expanded(api: httpx.Client) -> None:
    users = api.get("systemusers?$select=firstname&$expand=systemuserroles_association($select=name)").json()["value"]
    roles = {row["firstname"]: [role["name"] for role in row["systemuserroles_association"]] for row in users}
    assert (roles["Ada"], roles["Rolf"], roles["#"]) == (["Salesperson"], [], ["System Administrator"])
