from __future__ import annotations

import httpx
import pytest

from .build import CLIENT, SECRET, TENANT, code, new_id


def ask(origin: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": f"{origin}/.default",
        **changes,
    }
    return httpx.post(f"{origin}/{TENANT}/oauth2/v2.0/token", data=form)


def test_a_token_opens_the_door(origin: str, api: httpx.Client) -> None:
    token = ask(origin).json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    found = api.get("WhoAmI", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert found.status_code == 200


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"client_secret": "wrong"}, "invalid_client", 7000215),
        ({"client_id": "wrong"}, "unauthorized_client", 700016),
        ({"scope": "https://elsewhere.crm.dynamics.com/.default"}, "invalid_resource", 500011),
        ({"grant_type": "password"}, "unsupported_grant_type", 70003),
    ],
)
def test_a_refusal_names_its_cause(
    origin: str, api: httpx.Client, changes: dict[str, str], error: str, number: int
) -> None:
    response = ask(origin, **changes)
    assert response.status_code in (400, 401)
    assert response.json()["error"] == error
    assert response.json()["error_codes"] == [number]
    assert f"AADSTS{number}" in response.json()["error_description"]


def test_a_rotated_and_an_expired_secret(origin: str, control: httpx.Client) -> None:
    control.post("secret", json={"secret": "next"})
    assert ask(origin).json()["error_codes"] == [7000215]
    assert ask(origin, client_secret="next").status_code == 200
    control.post("secret", json={"expired": True})
    assert ask(origin, client_secret="next").json()["error_codes"] == [7000222]


def test_the_authority_describes_itself(origin: str, api: httpx.Client) -> None:
    found = httpx.get(f"{origin}/{TENANT}/v2.0/.well-known/openid-configuration").json()
    assert found["token_endpoint"] == f"{origin}/{TENANT}/oauth2/v2.0/token"
    assert httpx.get(f"{origin}/common/discovery/instance").json()["metadata"]


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic abc"])
def test_no_or_wrong_token_is_401(api: httpx.Client, header: str) -> None:
    api.headers.pop("Authorization")
    response = api.get("WhoAmI", headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_tokens_live_for_an_hour(origin: str, api: httpx.Client, control: httpx.Client) -> None:
    control.post("clock", json={"virtual": True})
    bearer = {"Authorization": f"Bearer {ask(origin).json()['access_token']}"}
    control.post("clock", json={"advance": 3590})
    assert api.get("WhoAmI", headers=bearer).status_code == 200
    control.post("clock", json={"advance": 20})
    assert api.get("WhoAmI", headers=bearer).status_code == 401


def test_a_device_code_signs_a_person_in(origin: str, api: httpx.Client) -> None:
    code_answer = httpx.post(f"{origin}/{TENANT}/oauth2/v2.0/devicecode", data={"client_id": CLIENT}).json()
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": code_answer["device_code"]}
    token = httpx.post(f"{origin}/{TENANT}/oauth2/v2.0/token", data=form).json()["access_token"]
    me = api.get("WhoAmI", headers={"Authorization": f"Bearer {token}"}).json()["UserId"]
    assert api.get(f"systemusers({me})").json()["fullname"] == "Ada Analyst"


def test_acting_for_another_user_shows_in_the_row(api: httpx.Client) -> None:
    users = api.get("systemusers?$filter=firstname eq 'ben'").json()["value"]
    row = new_id(
        api.post(
            "contacts",
            json={"lastname": "n"},
            headers={"CallerObjectId": users[0]["azureactivedirectoryobjectid"]},
        )
    )
    found = api.get(f"contacts({row})").json()
    me = api.get("WhoAmI").json()["UserId"]
    assert found["_createdby_value"] == users[0]["systemuserid"]
    assert found["_createdonbehalfby_value"] == me


def test_a_disabled_caller_is_refused(api: httpx.Client) -> None:
    (gone,) = api.get("systemusers?$filter=isdisabled eq true").json()["value"]
    response = api.get("WhoAmI", headers={"MSCRMCallerID": gone["systemuserid"]})
    assert (response.status_code, code(response)) == (403, "0x80040225")
    assert f"The user with SystemUserId={gone['systemuserid']}" in response.text
