"""What `doctor` finds wrong with a machine or a migration, in plain lines and without secrets."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

from cio2d365 import doctor, migration, settings

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def checks(root: Path, notebooks: Path = NOTEBOOKS, now: float = 1.8e9) -> dict[str, tuple[bool, str]]:
    return {c.what: (c.ok, c.seen) for c in doctor.local_checks(root, notebooks, clock=lambda: now)}


def made(root: Path, *changes: tuple[str, str]) -> migration.Migration:
    nowhere = "http://127.0.0.1:9"
    text = settings.new_document("acme", "some-migration", sandbox=nowhere, customerio=nowhere)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return migration.create(root, "acme", text)


def test_this_machine_is_in_order(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert [f"{what}: {seen}" for what, (ok, seen) in found.items() if not ok] == []
    assert {"Python", "packages", "notebooks", "kernel", "charts", "disk", "folder reports", "clock"} <= set(found)


def test_absent_notebooks_are_named(tmp_path: Path) -> None:
    (tmp_path / "00_audit.ipynb").touch()
    ok, seen = checks(tmp_path, notebooks=tmp_path)["notebooks"]
    assert not ok
    assert seen.startswith("no 01, 02, 03, 04, 05, 06, 07, 90 in ")


def test_a_clock_before_the_program_was_written(tmp_path: Path) -> None:
    ok, seen = checks(tmp_path, now=0.0)["clock"]
    assert (ok, seen) == (False, "1970-01-01 00:00 UTC lies before this program was written")


def test_packages_that_are_absent_or_too_old_are_named() -> None:
    version = importlib.metadata.version("polars")
    found = doctor.packages(["no-such-thing>=1", "polars>=999", "httpx", "other; extra == 'demo'"])
    assert not found.ok
    assert found.seen == f"no-such-thing is not installed; polars {version} does not fit >=999"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir(mode=0o500)
    assert not checks(tmp_path)["folder reports"][0]


def test_settings_that_are_not_valid_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "migrations" / "acme" / "migration.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[migration]\nname = 7\n", encoding="utf-8")
    found = list(doctor.migration_checks(tmp_path, "acme"))
    assert [(c.what, c.ok) for c in found] == [("settings", False)]
    assert "migration.name" in found[0].seen


def test_an_unknown_migration_is_one_line(tmp_path: Path) -> None:
    assert [(c.what, c.ok) for c in doctor.migration_checks(tmp_path, "nobody")] == [("settings", False)]


ALWAYS = ["CIO_APP_API_KEY", "DATAVERSE_TENANT_ID", "DATAVERSE_CLIENT_ID"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ((), [*ALWAYS, "DATAVERSE_CLIENT_SECRET"]),
        ((('sign_in = "secret"', 'sign_in = "certificate"'),), [*ALWAYS, "DATAVERSE_CERTIFICATE"]),
        ((('sign_in = "secret"', 'sign_in = "browser"'),), ALWAYS),
        ((('app_api_key = "CIO_APP_API_KEY"', 'app_api_key = "OTHER_KEY"'),),
         ["OTHER_KEY", *ALWAYS[1:], "DATAVERSE_CLIENT_SECRET"]),
    ],
)  # fmt: skip
def test_the_variables_that_the_way_to_sign_in_needs(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], names: list[str]
) -> None:
    assert doctor.names_of_variables(made(tmp_path, *changes)) == names


def test_variables_are_looked_for_and_never_shown(tmp_path: Path) -> None:
    name, value = next((k, v) for k, v in os.environ.items() if k == "PATH")
    absent = "NO_SUCH_VARIABLE_HERE"
    found = made(tmp_path, ('tenant_id = "DATAVERSE_TENANT_ID"', f'tenant_id = "{name}"'),
                 ('client_id = "DATAVERSE_CLIENT_ID"', f'client_id = "{absent}"'))  # fmt: skip
    shown = [str(check) for check in doctor.variables(found)]
    assert f"ok         variable: {name} is set" in shown
    assert f"look here  variable: the environment variable {absent} is not set" in shown
    assert not any(value in line for line in shown)
