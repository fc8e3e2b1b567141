"""Requests that tests make again and again, in plain httpx."""

from __future__ import annotations

from typing import Any

import httpx

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
SECRET = "s3cret"
CRM = "Microsoft.Dynamics.CRM."


def label(text: str) -> dict[str, Any]:
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def code(response: httpx.Response) -> str:
    return str(response.json()["error"]["code"])


def message(response: httpx.Response) -> str:
    return str(response.json()["error"]["message"])


def new_id(response: httpx.Response) -> str:
    assert response.status_code == 204, response.text
    return response.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


def publisher(api: httpx.Client, prefix: str = "cio") -> str:
    body = {
        "uniquename": f"{prefix}pub",
        "friendlyname": prefix,
        "customizationprefix": prefix,
        "customizationoptionvalueprefix": 72700,
    }
    return new_id(api.post("publishers", json=body))


def table(api: httpx.Client, name: str = "cio_event", **more: Any) -> str:
    publisher(api) if not api.get("publishers?$filter=customizationprefix eq 'cio'").json()["value"] else None
    primary = {
        "@odata.type": f"{CRM}StringAttributeMetadata",
        "SchemaName": "cio_name",
        "IsPrimaryName": True,
        "MaxLength": 200,
    }
    body = {
        "SchemaName": name,
        "OwnershipType": "UserOwned",
        "DisplayName": label(name),
        "Attributes": [primary],
        **more,
    }
    return new_id(api.post("EntityDefinitions", json=body))


def column(api: httpx.Client, kind: str, name: str, owner: str = "cio_event", **more: Any) -> httpx.Response:
    body = {"@odata.type": f"{CRM}{kind}AttributeMetadata", "SchemaName": name, **more}
    return api.post(f"EntityDefinitions(LogicalName='{owner}')/Attributes", json=body)


def key(api: httpx.Client, *columns: str, owner: str = "cio_event", active: bool = True) -> httpx.Response:
    body = {"SchemaName": "cio_key", "DisplayName": label("key"), "KeyAttributes": list(columns)}
    response = api.post(f"EntityDefinitions(LogicalName='{owner}')/Keys", json=body)
    while active and "Active" not in (text := api.get(f"EntityDefinitions(LogicalName='{owner}')/Keys").text):
        assert "Failed" not in text
    return response


def person_lookup(api: httpx.Client, owner: str = "cio_event") -> httpx.Response:
    parts = [
        {"SchemaName": f"cio_{target}_{owner}", "ReferencedEntity": target, "ReferencingEntity": owner}
        for target in ("contact", "lead")
    ]
    lookup = {"SchemaName": "cio_PersonId", "DisplayName": label("Person")}
    return api.post("CreatePolymorphicLookupAttribute", json={"OneToManyRelationships": parts, "Lookup": lookup})


def contact(api: httpx.Client, **values: Any) -> str:
    return new_id(api.post("contacts", json={"lastname": "Bell", **values}))


def bulk(api: httpx.Client, set_name: str, kind: str, verb: str, rows: list[dict[str, Any]]) -> httpx.Response:
    targets = [{"@odata.type": CRM + kind, **row} for row in rows]
    return api.post(f"{set_name}/{CRM}{verb}", json={"Targets": targets})


def values(response: httpx.Response, name: str) -> list[Any]:
    assert response.status_code == 200, response.text
    return [row.get(name) for row in response.json()["value"]]
