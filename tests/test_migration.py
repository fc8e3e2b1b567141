"""A migration's folder: settings that fit it, snapshots that are never edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio2d365 import migration as migrations
from cio2d365 import settings
from cio2d365.errors import InputError, SettingsError
from cio2d365.migration import Migration, Snapshot
from cio2d365.tables import Column, Key, Lookup, Option, Table


def text(name: str = "acme") -> str:
    return settings.new_document(name, f"{name}-2026", sandbox="https://org.crm.dynamics.com")


@pytest.fixture
def acme(tmp_path: Path) -> Migration:
    return migrations.create(tmp_path, "acme", text())


def snapshot(acme: Migration, day: str = "2026-01-01", people: int = 3, **facts: Any) -> Snapshot:
    frames = {"people": pl.DataFrame({"person_key": [f"id:{n}" for n in range(people)]})}
    return migrations.save_snapshot(
        acme, frames, {"segments": [{"id": 1}]}, {"taken_at": f"{day}T10:00:00+00:00", **facts}
    )


# --- names and settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "CON", "a/b", "", ".", "a b", "Acme"])
def test_a_name_that_is_no_safe_folder_is_refused_and_makes_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name a migration"):
        migrations.create(tmp_path, name, text())
    with pytest.raises(SettingsError, match="cannot name a migration"):
        migrations.load(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_migration_is_not_overwritten(tmp_path: Path, acme: Migration) -> None:
    before = (acme.folder / "migration.toml").read_bytes()
    with pytest.raises(SettingsError, match="exists already"):
        migrations.create(tmp_path, "acme", text().replace("chunk_rows = 5000", "chunk_rows = 1"))
    assert (acme.folder / "migration.toml").read_bytes() == before


def test_a_copied_folder_that_keeps_the_old_name_is_refused(tmp_path: Path, acme: Migration) -> None:
    other = tmp_path / "migrations" / "other"
    other.mkdir()
    (other / "migration.toml").write_text(text("acme"))
    with pytest.raises(SettingsError, match="says name = 'acme'"):
        migrations.load(tmp_path, "other")


def test_every_folder_of_a_migration_is_its_own(acme: Migration, tmp_path: Path) -> None:
    shot = snapshot(acme)
    folders = [acme.folder, acme.decisions, acme.profile(shot), acme.staged("p"), acme.ledger("sandbox")]
    assert all(f.is_relative_to(tmp_path / "migrations" / "acme") for f in folders)
    assert acme.ledger("sandbox") != acme.ledger("production")
    assert acme.reports == tmp_path / "reports" / "acme"


def test_an_environment_without_an_address_is_named(acme: Migration) -> None:
    assert acme.dataverse_url("sandbox") == "https://org.crm.dynamics.com"
    with pytest.raises(SettingsError, match=r"\[dataverse\.production\] url is empty"):
        acme.dataverse_url("production")


# --- snapshots --------------------------------------------------------------------------------------------------------


def test_without_a_snapshot_the_notebook_that_takes_one_is_named(acme: Migration) -> None:
    with pytest.raises(InputError, match="run 00_audit first"):
        acme.snapshot()


def test_a_snapshot_gives_back_what_was_saved(acme: Migration) -> None:
    saved = snapshot(acme, coverage=["x"])
    found = acme.snapshot()
    assert found == saved
    assert found.frame("people")["person_key"].to_list() == ["id:0", "id:1", "id:2"]
    assert found.document("segments") == [{"id": 1}]
    assert found.manifest["coverage"] == ["x"]
    assert found.manifest["files"]["people.parquet"]["rows"] == 3


def test_the_same_content_read_on_another_day_is_the_same_snapshot(acme: Migration) -> None:
    first = snapshot(acme, "2026-01-01")
    again = snapshot(acme, "2026-02-02", requests=17)
    assert again.id == first.id
    assert snapshot(acme, "2026-02-02", people=4).id != first.id


def test_the_newest_snapshot_is_the_current_one(acme: Migration) -> None:
    first = snapshot(acme)
    second = snapshot(acme, people=4)
    assert acme.snapshot() == second
    assert snapshot(acme) == first
    assert acme.snapshot() == first


@pytest.mark.parametrize("name", ["people.parquet", "segments.json"])
def test_a_raw_file_that_was_changed_is_noticed(acme: Migration, name: str) -> None:
    found = snapshot(acme)
    path = found.folder / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match=f"{name} of snapshot {found.id} was changed after it was read"):
        found.frame("people") if name == "people.parquet" else found.document("segments")


def test_reading_the_source_again_mends_a_damaged_snapshot(acme: Migration) -> None:
    first = snapshot(acme)
    (first.folder / "people.parquet").write_bytes(b"broken")
    again = snapshot(acme, "2026-02-02")
    assert again.id == first.id
    assert again.frame("people").height == 3


def test_a_raw_table_that_is_not_there_is_named(acme: Migration) -> None:
    with pytest.raises(InputError, match=r"has no events\.parquet"):
        snapshot(acme).frame("events")


def test_leftovers_of_a_killed_reading_do_not_get_into_the_next_snapshot(acme: Migration) -> None:
    incoming = acme.folder / "raw" / ".incoming"
    incoming.mkdir(parents=True)
    (incoming / "events.parquet").write_bytes(b"half")
    found = snapshot(acme)
    assert sorted(p.name for p in found.folder.iterdir()) == ["manifest.json", "people.parquet", "segments.json"]


# --- profiles and the target's schema ---------------------------------------------------------------------------------


def test_a_profile_belongs_to_its_snapshot(acme: Migration) -> None:
    first = snapshot(acme)
    acme.save_profile(first, "traits", pl.DataFrame({"a": [1]}))
    assert acme.load_profile(first, "traits")["a"].to_list() == [1]
    with pytest.raises(InputError, match="01_event_schema"):
        acme.load_profile(snapshot(acme, people=4), "traits")


def test_the_schema_of_the_target_survives_being_written(acme: Migration) -> None:
    table = Table(
        "contact", "contacts", "contactid", "fullname",
        (Column("a", "choice", options=(Option(1, "x"),)), Column("b", "decimal", minimum=-1.5, precision=3)),
        (Lookup("parentcustomerid", (("account", "parentcustomerid_account"),)),), (Key("k", ("a", "b")),),
    )  # fmt: skip
    acme.save_target("sandbox", {"contact": table})
    assert acme.load_target("sandbox") == {"contact": table}
    assert acme.load_target("sandbox")["contact"].column("b") == table.columns[1]
    with pytest.raises(InputError, match="run 00_audit first"):
        acme.load_target("production")
