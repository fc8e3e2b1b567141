"""Settings: what is wrong is said with key, range and the nearest known key, before anything is written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from cio2d365 import settings
from cio2d365.errors import SettingsError

GOOD: dict[str, Any] = {"migration": {"name": "acme", "id": "acme-2026"}}


def parse(**sections: Any) -> settings.Settings:
    return settings.parse(GOOD | sections)


@pytest.mark.parametrize(
    ("section", "key", "near"),
    [
        ("load", "batch_szie", None),
        ("load", "chunk_row", "chunk_rows"),
        ("customerio", "reqests_per_second", "requests_per_second"),
        ("dataverse", "sandboxx", "sandbox"),
        ("load", "paralel", "parallel"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(section: str, key: str, near: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(**{section: {key: 1}})
    assert f"{section}.{key} is not a setting" in str(caught.value)
    assert (f"did you mean {near}?" in str(caught.value)) == (near is not None)


def test_keys_that_would_be_known_are_listed() -> None:
    with pytest.raises(SettingsError, match="Known here: chunk_rows, request_rows, parallel, same_error_limit"):
        parse(load={"batch_szie": 500})


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"lod is not a setting; did you mean load\?"):
        parse(lod={})


@pytest.mark.parametrize(
    ("section", "key", "value", "range_"),
    [
        ("load", "chunk_rows", 0, "greater than or equal to 1"),
        ("load", "chunk_rows", 5001, "less than or equal to 5000"),
        ("load", "request_rows", 1500, "less than or equal to 1000"),
        ("load", "parallel", -1, "greater than or equal to 1"),
        ("load", "parallel", 17, "less than or equal to 16"),
        ("customerio", "requests_per_second", 0, "greater than 0"),
        ("customerio", "relationship_attributes", "some", "'all', 'several' or 'none'"),
        ("load", "chunk_rows", "500", "valid integer"),
        ("load", "parallel", True, "valid integer"),
        ("load", "parallel", 2.5, "valid integer"),
        ("dataverse", "sign_in", "password", "'secret', 'certificate', 'device code' or 'browser'"),
        ("dataverse", "certificate", "/keys/loader.pem", "match pattern"),
        ("dataverse", "authority", "http://login.example.com", "plain http"),
        ("dataverse", "authority", "https://login.example.com/tenant", "only scheme, host and port"),
        ("dataverse", "scope", "user_impersonation", "match pattern"),
        ("dataverse", "scope", "https://org.crm.dynamics.com", "match pattern"),
        ("dataverse", "plain_token_cache", "yes", "valid boolean"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(section: str, key: str, value: object, range_: str) -> None:
    with pytest.raises(SettingsError, match=rf"{section}\.{key}: .*{range_}"):
        parse(**{section: {key: value}})


@pytest.mark.parametrize(
    "url",
    ["http://org.crm.dynamics.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com",
     "https://user:pw@org.crm.dynamics.com", "https://org.crm.dynamics.com/api/data", "https://org.crm.dynamics.com?x=1",
     "https://org.crm.dynamics.com#x", "org.crm.dynamics.com", "ftp://org", "https://", "https://org:99999"],
)  # fmt: skip
def test_an_address_that_is_not_a_safe_origin_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"dataverse\.sandbox\.url"):
        parse(dataverse={"sandbox": {"url": url}})


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://org.crm.dynamics.com/", "https://org.crm.dynamics.com"),
        ("https://ORG.crm.dynamics.com", "https://org.crm.dynamics.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:5", "http://[::1]:5"),
        ("", ""),
    ],
)
def test_good_addresses_become_origins(url: str, origin: str) -> None:
    assert parse(dataverse={"sandbox": {"url": url}}).dataverse.sandbox.url == origin


def test_secrets_are_named_by_variables_not_given() -> None:
    with pytest.raises(SettingsError, match=r"customerio\.app_api_key") as caught:
        parse(customerio={"app_api_key": "s3cr3t-canary"})
    assert "canary" not in str(caught.value)


def user(number: int, **more: str) -> dict[str, str]:
    return {"client_id": f"ID_{number}", "client_secret": f"SECRET_{number}"} | more


def test_application_users_are_a_list_of_names_of_variables() -> None:
    found = parse(dataverse={"application_users": [user(2), user(3)]}).dataverse.application_users
    assert [(u.client_id, u.client_secret) for u in found] == [("ID_2", "SECRET_2"), ("ID_3", "SECRET_3")]
    with pytest.raises(SettingsError, match=r"dataverse\.application_users\.1\.client_secret") as caught:
        parse(dataverse={"application_users": [user(2), user(3, client_secret="s3cr3t-canary")]})
    assert "canary" not in str(caught.value)


def test_a_misspelt_key_of_an_application_user_is_explained() -> None:
    with pytest.raises(
        SettingsError, match=r"users\.0\.client_idd is not a setting; did you mean client_id\?"
    ) as caught:
        parse(dataverse={"application_users": [user(2, client_idd="ID")]})
    assert "Known here: client_id, client_secret, certificate, certificate_password" in str(caught.value)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"sign_in": "device code", "application_users": [user(2)]}, "need sign_in = secret or certificate"),
        ({"sign_in": "certificate", "application_users": [user(2)]}, "needs certificate, as sign_in says"),
        ({"application_users": [{"client_id": "ID_2", "certificate": "CERT_2"}]}, "needs client_secret"),
        ({"application_users": [user(2), user(2)]}, "name a client_id twice"),
        ({"application_users": [user(2, client_id="DATAVERSE_CLIENT_ID")]}, "name a client_id twice"),
    ],
)
def test_application_users_that_cannot_sign_in_are_refused(section: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=f"^settings: dataverse: .*{why}"):
        parse(dataverse=section)


@pytest.mark.parametrize(
    ("way", "personal"), [("secret", False), ("certificate", False), ("device code", True), ("browser", True)]
)
def test_people_and_applications_are_told_apart(way: str, personal: bool) -> None:
    assert parse(dataverse={"sign_in": way}).dataverse.is_personal == personal


def test_a_missing_section_and_key_are_named() -> None:
    with pytest.raises(SettingsError, match=r"migration: Field required"):
        settings.parse({})
    with pytest.raises(SettingsError, match=r"migration\.id: Field required"):
        settings.parse({"migration": {"name": "acme"}})


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(
        SettingsError, match=r"load\.parallel.*; .*load\.chunk_rows|load\.chunk_rows.*; .*load\.parallel"
    ):
        parse(load={"parallel": 0, "chunk_rows": 0})


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse().load.chunk_rows = 1


@pytest.mark.parametrize("text", [b"[migration\n", b"\xff\xfe", b"name = 'x'\nname = 'y'"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "migration.toml").write_bytes(text)
    with pytest.raises(SettingsError, match="not valid TOML"):
        settings.read(tmp_path / "migration.toml")


def test_a_file_that_does_not_exist_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cio2d365 new acme"):
        settings.read(tmp_path / "acme" / "migration.toml")


def test_a_new_file_holds_every_setting_with_its_default() -> None:
    text = settings.new_document("acme", "acme-2026", sandbox="https://org.crm.dynamics.com")
    document = tomllib.loads(text)
    plain = settings.parse(document).model_dump()
    default = settings.parse(
        {"migration": document["migration"], "dataverse": {"sandbox": document["dataverse"]["sandbox"]}}
    )
    assert plain == default.model_dump()
    for section, keys in plain.items():
        assert set(document[section]) == set(keys)


@pytest.mark.parametrize("value", ['a"b', "c:\\data\\new", "ünï", "#x"])
def test_text_is_quoted_for_toml(value: str) -> None:
    text = settings.new_document("acme", "acme-2026", sandbox="", files=value)
    assert tomllib.loads(text)["files"]["folder"] == value


def test_control_characters_cannot_stand_in_a_setting() -> None:
    with pytest.raises(SettingsError, match="control characters"):
        settings.new_document("acme", "acme-2026", sandbox="", files="a\nb")


MANUAL = (Path(__file__).parent.parent / "docs" / "signing-in.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL))
def test_the_settings_in_the_manual_are_accepted(text: str) -> None:
    assert parse(**tomllib.loads(text)).dataverse != parse().dataverse


def test_the_manual_knows_every_way_to_sign_in() -> None:
    ways = get_args(settings.Dataverse.model_fields["sign_in"].annotation)
    assert re.findall(r'^\| `"([a-z ]+)"`', MANUAL, re.MULTILINE) == list(ways)
