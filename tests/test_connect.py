"""From settings and variables to connections: every way to sign in, several users, and what is missing said by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio2d365 import connect, settings
from cio2d365 import migration as migrations
from cio2d365.errors import AuthorityError, Refused, SettingsError
from cio2d365.migration import Migration
from tests.dataverse.browser import visit
from tests.dataverse.directory import CLIENT, SECRET, TENANT, Simulated, certified, controlled, pem, pem_file, rsa_key
from tests.migrate.world import serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the private folder is moved by XDG_CONFIG_HOME")


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving(seed=12) as (url, _):
        yield url


@pytest.fixture
def simulated(origin: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulated]:
    variables = {
        "DATAVERSE_TENANT_ID": TENANT,
        "DATAVERSE_CLIENT_ID": CLIENT,
        "DATAVERSE_CLIENT_SECRET": SECRET,
        "DATAVERSE_AUTHORITY": origin,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",  # no test may reach the keyring of whoever runs it
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with controlled(origin) as found:
        yield found


def migration(root: Path, origin: str, **changes: str) -> Migration:
    """A migration whose settings say `key = value` in [dataverse], values in TOML."""
    text = settings.new_document("acme", "acme-2026", sandbox=origin, production=origin)
    for key, value in changes.items():
        lines = text.splitlines()
        (at,) = [n for n, line in enumerate(lines) if line.startswith(f"{key} = ")]
        lines[at] = f"{key} = {value}"
        text = "\n".join(lines)
    return migrations.create(root, "acme", text)


def person(root: Path, origin: str, how: str = "device code") -> Migration:
    return migration(root, origin, sign_in=f'"{how}"', plain_token_cache="true")


def name_behind(acme: Migration) -> str:
    with connect.target(acme, "sandbox") as client:
        return str(client.value(f"systemusers({client.who_am_i().user_id})")["fullname"])


# --- applications -----------------------------------------------------------------------------------------------------


def test_an_application_signs_in_by_secret_and_nothing_is_told(simulated: Simulated, tmp_path: Path) -> None:
    told: list[str] = []
    acme = migration(tmp_path, simulated.origin)
    who = connect.sign_in(acme, "sandbox", tell=told.append)
    with connect.target(acme, "sandbox") as client:
        assert client.who_am_i() == who
    assert told == []
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("password", ["", "pässword"])
def test_an_application_signs_in_by_certificate(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    key = rsa_key()
    public = certified(key)
    simulated.set("applications", certificate=pem(public))
    monkeypatch.setenv("ACME_CERT", str(pem_file(tmp_path / "c.pem", key, public, password=password)))
    monkeypatch.setenv("ACME_WORD", password)
    monkeypatch.delenv("DATAVERSE_CLIENT_SECRET")
    names = {"certificate": '"ACME_CERT"', "certificate_password": '"ACME_WORD"'}
    acme = migration(tmp_path, simulated.origin, sign_in='"certificate"', **names)
    assert connect.sign_in(acme, "sandbox", tell=print).user_id


@pytest.mark.parametrize(
    ("sign_in", "variable"),
    [
        ("secret", "DATAVERSE_CLIENT_SECRET"),
        ("secret", "DATAVERSE_TENANT_ID"),
        ("certificate", "DATAVERSE_CERTIFICATE"),
        ("device code", "DATAVERSE_CLIENT_ID"),
    ],
)
def test_a_variable_that_is_not_set_is_named(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign_in: str, variable: str
) -> None:
    acme = migration(tmp_path, simulated.origin, sign_in=f'"{sign_in}"', plain_token_cache="true")
    monkeypatch.delenv(variable, raising=False)
    with (
        pytest.raises(SettingsError, match=f"environment variable {variable} is not set"),
        connect.target(acme, "sandbox"),
    ):
        pass


def test_a_wrong_secret_names_its_own_variable(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_SECRET", "wr0ng-canary")
    acme = migration(tmp_path, simulated.origin, client_secret='"ACME_SECRET"')
    with pytest.raises(AuthorityError, match="read from the environment variable ACME_SECRET") as caught:
        connect.check(acme, "sandbox", read_source=False, use_target=True)
    assert "canary" not in str(caught.value)


def test_the_authority_comes_from_the_variable_then_the_settings(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = migration(tmp_path, simulated.origin, authority=f'"{simulated.origin}"')
    monkeypatch.delenv("DATAVERSE_AUTHORITY")
    assert connect.sign_in(acme, "sandbox", tell=print)
    monkeypatch.setenv("DATAVERSE_AUTHORITY", "http://login.example.com")
    with pytest.raises(SettingsError, match="must be https"):
        connect.sign_in(acme, "sandbox", tell=print)


def test_every_application_user_has_a_lane_of_its_own(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = []
    for n in (2, 3):
        user = simulated.set("users", lastname=f"Loader {n}")["systemuserid"]
        simulated.set("applications", client_id=f"c{n}", client_secret=f"secret{n}", user=user)
        monkeypatch.setenv(f"ID_{n}", f"c{n}")
        monkeypatch.setenv(f"SECRET_{n}", f"secret{n}")
        entries.append(f'{{client_id = "ID_{n}", client_secret = "SECRET_{n}"}}')
    acme = migration(tmp_path, simulated.origin, application_users=f"[{', '.join(entries)}]")
    with connect.lanes(acme, "sandbox") as clients, connect.target(acme, "sandbox") as first:
        found = [client.who_am_i() for client in clients]
        assert found[0] == first.who_am_i()
        assert len({who.user_id for who in found}) == 3
        assert len({who.organization_id for who in found}) == 1
        assert len({id(client.transport.pace) for client in clients}) == 3


def test_two_lanes_of_one_application_are_refused(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ID_2", CLIENT.upper())
    monkeypatch.setenv("SECRET_2", SECRET)
    users = '[{client_id = "ID_2", client_secret = "SECRET_2"}]'
    acme = migration(tmp_path, simulated.origin, application_users=users)
    with (
        pytest.raises(SettingsError, match="ID_2 holds the id of another application user"),
        connect.lanes(acme, "sandbox"),
    ):
        pass


def test_without_application_users_there_is_one_lane(simulated: Simulated, tmp_path: Path) -> None:
    with connect.lanes(migration(tmp_path, simulated.origin), "sandbox") as clients:
        assert len(clients) == 1


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["device code", "browser"])
def test_a_person_signs_in_once_and_later_commands_ask_nobody(simulated: Simulated, tmp_path: Path, how: str) -> None:
    acme = person(tmp_path, simulated.origin, how)
    told: list[str] = []
    who = connect.sign_in(acme, "sandbox", tell=told.append, browse=visit)
    assert told[0].startswith(("To sign in to", "Sign in to"))
    assert told[1:] == [f"Signed in as {told[1].split()[-1]}"]
    assert name_behind(acme) == "Ada Analyst"
    connect.check(acme, "sandbox", read_source=False, use_target=True)
    with connect.lanes(acme, "production") as clients:
        assert [client.who_am_i() for client in clients] == [who]


def test_without_a_sign_in_a_headless_run_names_the_command(simulated: Simulated, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="run `cio2d365 connect acme --env sandbox`") as caught:
        connect.check(person(tmp_path, simulated.origin), "sandbox", read_source=False, use_target=True)
    assert caught.value.exit_code == 2


def test_a_sign_in_that_has_ended_names_the_command(simulated: Simulated, tmp_path: Path) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    simulated.set("sign_in", refresh="invalid_grant")
    with connect.target(acme, "sandbox") as client:
        client.who_am_i()
        simulated.fault({"verb": "expire_tokens"}, method="GET", nth=1)
        with pytest.raises(AuthorityError, match="run `cio2d365 connect acme --env sandbox`"):
            client.who_am_i()


def test_a_machine_that_encrypts_nothing_asks_for_leave_before_anybody_signs_in(
    simulated: Simulated, tmp_path: Path
) -> None:
    acme, told = migration(tmp_path, simulated.origin, sign_in='"device code"'), list[str]()
    with pytest.raises(SettingsError, match="plain_token_cache = true"):
        connect.sign_in(acme, "sandbox", tell=told.append)
    assert told == []


def test_a_failed_sign_in_leaves_the_one_before(simulated: Simulated, tmp_path: Path) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    simulated.set("sign_in", device="decline")
    with pytest.raises(AuthorityError, match="declined"):
        connect.sign_in(acme, "sandbox", tell=lambda _: None)
    assert name_behind(acme) == "Ada Analyst"


def test_another_person_replaces_the_one_before(simulated: Simulated, tmp_path: Path) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    bea = simulated.set("users", firstname="Bea", lastname="Boss")["systemuserid"]
    simulated.set("sign_in", user=bea)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    assert name_behind(acme) == "Bea Boss"


def test_who_signs_out_is_asked_again(simulated: Simulated, tmp_path: Path) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    connect.sign_out(acme, "sandbox")
    with pytest.raises(SettingsError, match="nobody is signed in"):
        name_behind(acme)
    assert "sim-refresh" not in "".join(p.read_text() for p in (tmp_path / "config").rglob("*") if p.is_file())


def test_a_damaged_sign_in_can_be_made_anew(simulated: Simulated, tmp_path: Path) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    (kept,) = (tmp_path / "config").rglob("*.json")
    kept.write_text("{")
    with pytest.raises(SettingsError, match="cannot be read; run `cio2d365 connect"):
        name_behind(acme)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    assert name_behind(acme) == "Ada Analyst"


def test_no_token_comes_near_the_migration(simulated: Simulated, tmp_path: Path) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    files = {p: p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert [p.parts[-3:-1] for p, text in files.items() if "sim-refresh" in text] == [("cio2d365", "sign-in")]


def test_a_private_folder_inside_the_migration_is_refused(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = person(tmp_path, simulated.origin)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(acme.folder / "config"))
    with pytest.raises(SettingsError, match="never kept in a migration's folder"):
        connect.sign_in(acme, "sandbox", tell=lambda _: None)
    assert not (acme.folder / "config").exists()


def test_two_customers_do_not_share_a_sign_in(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = person(tmp_path, simulated.origin)
    connect.sign_in(acme, "sandbox", tell=lambda _: None)
    monkeypatch.setenv("DATAVERSE_TENANT_ID", "common")
    with pytest.raises(Refused, match="nobody is signed in"):
        name_behind(acme)
