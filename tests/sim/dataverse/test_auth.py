from __future__ import annotations

import base64
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

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


def test_a_tenant_that_is_not_there_is_refused_everywhere(origin: str, control: httpx.Client) -> None:
    base = f"{origin}/nowhere"
    answers = [
        httpx.get(f"{base}/v2.0/.well-known/openid-configuration"),
        httpx.get(f"{base}/oauth2/v2.0/authorize"),
        httpx.post(f"{base}/oauth2/v2.0/devicecode"),
        httpx.post(f"{base}/oauth2/v2.0/token"),
    ]
    assert [(a.status_code, a.json()["error"]) for a in answers] == [(400, "invalid_tenant")] * 4


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


# --- certificates -----------------------------------------------------------------------------------------------------

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    return certified(key)


def certified(key: rsa.RSAPrivateKey, days: int = 30) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loader")])
    now = datetime.now(UTC)
    build = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    build = build.serial_number(7).not_valid_before(now - timedelta(60)).not_valid_after(now + timedelta(days))
    return build.sign(key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def asserted(
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    audience: str,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A client assertion; `header` and `claims` change what is right."""
    now = time.time()
    head = {"alg": "PS256", "x5t#S256": b64(certificate.fingerprint(hashes.SHA256())), **(header or {})}
    body = {"aud": audience, "iss": CLIENT, "sub": CLIENT, "jti": "1", "nbf": now, "exp": now + 600, **claims}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (head, body))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    way = padding.PKCS1v15() if head["alg"] == "RS256" else pss
    return f"{signed}.{b64(key.sign(signed.encode(), way, hashes.SHA256()))}"


def ask_with(origin: str, assertion: str) -> httpx.Response:
    return ask(origin, client_secret="", client_assertion_type=JWT_BEARER, client_assertion=assertion)


@pytest.mark.parametrize(("algorithm", "padding_"), [("PS256", ""), ("RS256", "=")])
def test_a_registered_certificate_is_as_good_as_the_secret(
    origin: str,
    control: httpx.Client,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    algorithm: str,
    padding_: str,
) -> None:
    endpoint = f"{origin}/{TENANT}/oauth2/v2.0/token"
    assert ask_with(origin, asserted(key, certificate, endpoint)).json()["error_codes"] == [700027]
    control.post("applications", json={"certificate": pem(certificate)}).raise_for_status()
    header = {"alg": algorithm, "x5t": b64(certificate.fingerprint(hashes.SHA1())) + padding_}
    assert ask_with(origin, asserted(key, certificate, endpoint, header)).status_code == 200


@pytest.mark.parametrize(
    ("header", "claims", "number"),
    [
        ({}, {"aud": "https://login.example.com/t/oauth2/v2.0/token"}, 700023),
        ({}, {"exp": 1.0}, 700024),
        ({}, {"nbf": 4e9}, 700024),
        ({}, {"iss": "another"}, 700021),
        ({}, {"sub": "another"}, 700021),
        ({}, {"jti": ""}, 700021),
        ({"x5t#S256": "AAAA"}, {}, 700027),
        ({"x5t": "AAAA"}, {}, 700027),
        ({"alg": "none"}, {}, 5002738),
    ],
)
def test_an_assertion_that_is_not_quite_right_is_refused(
    origin: str,
    control: httpx.Client,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    header: dict[str, Any],
    claims: dict[str, Any],
    number: int,
) -> None:
    control.post("applications", json={"certificate": pem(certificate)}).raise_for_status()
    assertion = asserted(key, certificate, f"{origin}/{TENANT}/oauth2/v2.0/token", header, **claims)
    answer = ask_with(origin, assertion)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_codes"] == [number]


def test_another_key_an_expired_certificate_and_nonsense_are_refused(
    origin: str, control: httpx.Client, key: rsa.RSAPrivateKey, certificate: x509.Certificate
) -> None:
    endpoint = f"{origin}/{TENANT}/oauth2/v2.0/token"
    old = certified(key, days=-1)
    for each in (certificate, old):
        control.post("applications", json={"certificate": pem(each)}).raise_for_status()
    stranger = rsa.generate_private_key(65537, 2048)
    assert ask_with(origin, asserted(stranger, certificate, endpoint)).json()["error_codes"] == [700027]
    assert ask_with(origin, asserted(key, old, endpoint)).json()["error_codes"] == [700027]
    for text in ("", "a.b", "a.b.c", "é.é.é"):
        assert ask_with(origin, text).json()["error_codes"] == [50027]


def test_a_second_application_is_a_second_user(origin: str, api: httpx.Client, control: httpx.Client) -> None:
    user = control.post("users", json={"lastname": "Loader 2"}).json()["systemuserid"]
    control.post("applications", json={"client_id": "second", "client_secret": "s2", "user": user}).raise_for_status()
    token = ask(origin, client_id="second", client_secret="s2").json()["access_token"]
    assert api.get("WhoAmI", headers={"Authorization": f"Bearer {token}"}).json()["UserId"] == user
    assert ask(origin, client_id="second").json()["error"] == "invalid_client"
    control.post("reset")
    assert ask(origin, client_id="second", client_secret="s2").json()["error"] == "unauthorized_client"


# --- people -----------------------------------------------------------------------------------------------------------

REDIRECT = "http://localhost:54321"


def personal(origin: str) -> str:
    return f"{origin}/user_impersonation openid profile offline_access"


def name_of(api: httpx.Client, token: str) -> str:
    me = api.get("WhoAmI", headers={"Authorization": f"Bearer {token}"}).json()["UserId"]
    return str(api.get(f"systemusers({me})").json()["fullname"])


def start_device(origin: str, **changes: str) -> httpx.Response:
    form = {"client_id": CLIENT, "scope": personal(origin), **changes}
    return httpx.post(f"{origin}/{TENANT}/oauth2/v2.0/devicecode", data=form)


def redeem(origin: str, **form: str) -> httpx.Response:
    return httpx.post(f"{origin}/{TENANT}/oauth2/v2.0/token", data={"client_id": CLIENT, **form})


def redeem_device(origin: str, code: str) -> httpx.Response:
    return redeem(origin, grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=code)


def test_a_device_code_signs_a_person_in_once(origin: str, api: httpx.Client) -> None:
    found = start_device(origin).json()
    assert found["user_code"] in found["message"]
    answer = redeem_device(origin, found["device_code"]).json()
    assert name_of(api, answer["access_token"]) == "Ada Analyst"
    assert answer["scope"] == f"{origin}/user_impersonation"
    assert redeem_device(origin, found["device_code"]).json()["error"] == "invalid_grant"


def test_a_device_code_waits_for_the_person_who_may_decline(origin: str, control: httpx.Client) -> None:
    control.post("sign_in", json={"device": "wait"}).raise_for_status()
    code = start_device(origin).json()["device_code"]
    assert redeem_device(origin, code).json()["error"] == "authorization_pending"
    assert redeem_device(origin, code).json()["error_codes"] == [70016]
    control.post("sign_in", json={"device": "decline"})
    assert redeem_device(origin, code).json()["error"] == "authorization_declined"


def test_a_device_code_is_good_for_a_quarter_of_an_hour(origin: str, control: httpx.Client) -> None:
    control.post("clock", json={"virtual": True})
    code = start_device(origin).json()["device_code"]
    control.post("clock", json={"advance": 901})
    assert redeem_device(origin, code).json()["error"] == "expired_token"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "other"}, "unauthorized_client"),
        ({"scope": ""}, "invalid_resource"),
        ({"scope": "https://elsewhere.crm.dynamics.com/user_impersonation"}, "invalid_resource"),
    ],
)
def test_a_device_code_for_nothing_is_refused(
    origin: str, control: httpx.Client, changes: dict[str, str], error: str
) -> None:
    assert start_device(origin, **changes).json()["error"] == error


def challenge(verifier: str) -> str:
    return b64(hashlib.sha256(verifier.encode()).digest())


def visit(origin: str, **changes: str) -> httpx.Response:
    query = {
        "client_id": CLIENT,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": personal(origin),
        "state": "s<1>",
        "nonce": "n1",
        "code_challenge": challenge("v" * 43),
        "code_challenge_method": "S256",
        **changes,
    }
    return httpx.get(f"{origin}/{TENANT}/oauth2/v2.0/authorize", params=query)


def code_of(answer: httpx.Response) -> str:
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def redeem_code(origin: str, code: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": "v" * 43}
    return redeem(origin, **{**form, **changes})


def test_the_sign_in_page_sends_a_code_that_signs_in_once(origin: str, api: httpx.Client) -> None:
    answer = visit(origin)
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["state"] == ["s<1>"]
    code = code_of(answer)
    tokens = redeem_code(origin, code).json()
    assert name_of(api, tokens["access_token"]) == "Ada Analyst"
    assert redeem_code(origin, code).json()["error"] == "invalid_grant"


def test_the_sign_in_page_can_post_itself(origin: str, control: httpx.Client) -> None:
    page = visit(origin, response_mode="form_post").text
    assert f'action="{REDIRECT}"' in page
    assert 'name="state" value="s&lt;1&gt;"' in page
    code = page.split('name="code" value="')[1].split('"')[0]
    assert redeem_code(origin, code).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "w" * 43}, {"code_verifier": ""}, {"redirect_uri": "http://localhost:1"}]
)
def test_a_code_is_worthless_to_whoever_caught_it(origin: str, control: httpx.Client, changes: dict[str, str]) -> None:
    code = code_of(visit(origin))
    assert redeem_code(origin, code, **changes).json()["error"] == "invalid_grant"
    assert redeem_code(origin, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example.com"},
        {"redirect_uri": "http://localhost.example.com"},
        {"client_id": "other"},
        {"code_challenge_method": "plain"},
        {"response_type": "token"},
        {"scope": "openid"},
    ],
)
def test_the_sign_in_page_sends_nobody_away_with_a_wrong_request(
    origin: str, control: httpx.Client, changes: dict[str, str]
) -> None:
    answer = visit(origin, **changes)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_person_may_decline_in_the_browser(origin: str, control: httpx.Client) -> None:
    control.post("sign_in", json={"browser": "decline"}).raise_for_status()
    assert "error=access_denied" in visit(origin).headers["Location"]


def test_a_refresh_token_brings_new_tokens_until_it_is_refused(
    origin: str, api: httpx.Client, control: httpx.Client
) -> None:
    first = redeem_code(origin, code_of(visit(origin))).json()["refresh_token"]
    again = redeem(origin, grant_type="refresh_token", refresh_token=first, scope=personal(origin)).json()
    assert name_of(api, again["access_token"]) == "Ada Analyst"
    assert again["refresh_token"] != first
    control.post("sign_in", json={"refresh": "interaction_required"})
    refused = redeem(origin, grant_type="refresh_token", refresh_token=first)
    assert refused.json()["error"] == "interaction_required"
    unknown = redeem(origin, grant_type="refresh_token", refresh_token="sim-refresh.nothing")
    assert unknown.json()["error"] == "invalid_grant"


def test_without_offline_access_there_is_no_refresh_token(origin: str, control: httpx.Client) -> None:
    answer = redeem_code(origin, code_of(visit(origin, scope=f"{origin}/.default"))).json()
    assert {"refresh_token", "id_token"} & set(answer) == set()


def test_the_identity_token_is_signed_by_the_published_key(origin: str, control: httpx.Client) -> None:
    token = redeem_code(origin, code_of(visit(origin))).json()["id_token"]
    (key,) = httpx.get(f"{origin}/{TENANT}/discovery/v2.0/keys").json()["keys"]
    claims = jwt.decode(token, jwt.PyJWK(key).key, algorithms=["RS256"], audience=CLIENT)
    assert (claims["nonce"], claims["tid"], claims["iss"]) == ("n1", TENANT, f"{origin}/{TENANT}/v2.0")


@pytest.mark.parametrize("body", [{"divice": "wait"}, {"device": "maybe"}, {"browser": "wait"}])
def test_a_misspelt_manner_is_an_error(control: httpx.Client, body: dict[str, str]) -> None:
    assert control.post("sign_in", json=body).status_code == 400


def test_the_authority_tells_its_time(origin: str, control: httpx.Client) -> None:
    control.post("clock", json={"skew": 600})
    found = parsedate_to_datetime(ask(origin).headers["Date"])
    assert 590 < (found - datetime.now(UTC)).total_seconds() < 610


# --- who the caller is ------------------------------------------------------------------------------------------------


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
