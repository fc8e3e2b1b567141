"""One customer's migration: its settings, and where each artefact lives (design 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import polars as pl

from cio2d365 import artefacts, settings, tables
from cio2d365.errors import InputError, SettingsError
from cio2d365.settings import Environment, Settings


@dataclass(frozen=True)
class Snapshot:
    """What was read from the source at one time; never edited. `id` is its day and its content's digest."""

    id: str
    folder: Path
    manifest: Mapping[str, Any]

    def frame(self, table: str) -> pl.DataFrame:
        """A raw table (`raw.TABLES`); InputError when the file is not the one that the manifest knows."""
        path = self.folder / f"{table}.parquet"
        self._check(path)
        return pl.read_parquet(path)

    def document(self, name: str) -> list[dict[str, Any]]:
        """A raw document list (`raw.DOCUMENTS`)."""
        path = self.folder / f"{name}.json"
        self._check(path)
        return cast(list[dict[str, Any]], orjson.loads(path.read_bytes()))

    def _check(self, path: Path) -> None:
        known = self.manifest["files"].get(path.name)
        if known is None or not path.exists():
            raise InputError(f"snapshot {self.id} has no {path.name}; read the source again (00_audit)")
        if artefacts.sha256(path) != known["sha256"]:
            raise InputError(f"{path.name} of snapshot {self.id} was changed after it was read; run 00_audit again")


@dataclass(frozen=True)
class Migration:
    """A migration's settings and folders; no customer's value can reach another customer's folder."""

    root: Path
    settings: Settings

    @property
    def name(self) -> str:
        """Name of the migration, one safe folder name."""
        return self.settings.migration.name

    @property
    def id(self) -> str:
        """Seeds every row id."""
        return self.settings.migration.id

    @property
    def folder(self) -> Path:
        """`migrations/<name>`."""
        return self.root / "migrations" / self.name

    @property
    def reports(self) -> Path:
        """`reports/<name>`."""
        return self.root / "reports" / self.name

    @property
    def decisions(self) -> Path:
        """Folder of the decision files, meant to be reviewed in git."""
        return self.folder / "decisions"

    def profile(self, snapshot: Snapshot) -> Path:
        """Folder of the profiles made on one snapshot."""
        return self.folder / "profile" / snapshot.id

    def staged(self, plan: str) -> Path:
        """Folder of the staged rows of one plan."""
        return self.folder / "staged" / plan

    def environment(self, environment: Environment) -> Path:
        """Folder that holds an environment's ledger and what is known of its schema."""
        return self.folder / environment

    def ledger(self, environment: Environment) -> Path:
        """The ledger of one environment."""
        return self.environment(environment) / "ledger.sqlite"

    def dataverse_url(self, environment: Environment) -> str:
        """Origin of an environment; SettingsError when it has none."""
        url: str = getattr(self.settings.dataverse, environment).url
        if not url:
            raise SettingsError(f"[dataverse.{environment}] url is empty in {self.folder / 'migration.toml'}")
        return url

    @property
    def was_read(self) -> bool:
        """Whether the source was ever read."""
        return (self.folder / "raw" / "current").exists()

    def snapshot(self) -> Snapshot:
        """The newest snapshot; InputError when the source was never read."""
        pointer = self.folder / "raw" / "current"
        if not pointer.exists():
            raise InputError(f"{self.name} has no snapshot yet; run 00_audit first, with apply = True")
        folder = self.folder / "raw" / pointer.read_text(encoding="utf-8").strip()
        return Snapshot(folder.name, folder, artefacts.read_json(folder / "manifest.json"))

    def save_profile(self, snapshot: Snapshot, name: str, frame: pl.DataFrame) -> Path:
        """Keep a profile frame beside its snapshot's others."""
        return artefacts.write_frame(self.profile(snapshot) / f"{name}.parquet", frame)

    def load_profile(self, snapshot: Snapshot, name: str) -> pl.DataFrame:
        """A kept profile frame; InputError names the notebook that makes it."""
        path = self.profile(snapshot) / f"{name}.parquet"
        if not path.exists():
            raise InputError(
                f"the profile {name} of snapshot {snapshot.id} is missing; run 01_event_schema to 03_split_rule"
            )
        return pl.read_parquet(path)

    def save_target(self, environment: Environment, existing: Mapping[str, tables.Table]) -> Path:
        """Keep what the target's schema looks like, so that decisions can be made without a connection."""
        document = {name: tables.to_document(table) for name, table in existing.items()}
        return artefacts.write_json(self.environment(environment) / "target.json", document)

    def load_target(self, environment: Environment) -> dict[str, tables.Table]:
        """The target's schema as last read; InputError when 00_audit has not run."""
        path = self.environment(environment) / "target.json"
        if not path.exists():
            raise InputError(f"the schema of {environment} was never read; run 00_audit first")
        return {name: tables.from_document(doc) for name, doc in artefacts.read_json(path).items()}


def load(root: str | Path, name: str) -> Migration:
    """An existing migration; SettingsError when the name is not one or its settings are wrong."""
    migration = Migration(Path(root).resolve(), settings.read(_folder(Path(root), name) / "migration.toml"))
    if migration.name != name:
        raise SettingsError(
            f"migration.toml of {name} says name = {migration.name!r}; a copied file keeps the old name"
        )
    return migration


def create(root: str | Path, name: str, text: str) -> Migration:
    """Write a new migration's settings; refuses to overwrite one."""
    path = _folder(Path(root), name) / "migration.toml"
    if path.exists():
        raise SettingsError(f"{path} exists already; edit it, or choose another name")
    artefacts.write_text(path, text)
    return load(root, name)


def _folder(root: Path, name: str) -> Path:
    if not artefacts.is_safe_name(name):
        raise SettingsError(f"{name!r} cannot name a migration: use a-z, 0-9, '-' and '_', at most 63 characters")
    return root.resolve() / "migrations" / name


def save_snapshot(
    migration: Migration,
    frames: Mapping[str, pl.DataFrame],
    documents: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Snapshot:
    """Write a snapshot and make it the current one.

    A snapshot with the same content as an older one *is* the older one: decisions made on it stay valid. `facts`
    (times, requests, coverage) go into the manifest and do not count as content.
    """
    base = migration.folder / "raw"
    incoming = base / ".incoming"
    _empty(incoming)
    paths = [artefacts.write_frame(incoming / f"{name}.parquet", frame) for name, frame in sorted(frames.items())]
    paths += [artefacts.write_json(incoming / f"{name}.json", value) for name, value in sorted(documents.items())]
    rows = {f"{n}.parquet": f.height for n, f in frames.items()} | {f"{n}.json": len(v) for n, v in documents.items()}
    files = {p.name: {"sha256": artefacts.sha256(p), "rows": rows[p.name], "bytes": p.stat().st_size} for p in paths}
    digest = artefacts.digest({name: file["sha256"] for name, file in files.items()})
    artefacts.write_json(incoming / "manifest.json", {"digest": digest, "files": files, **facts})
    folder = _settle(base, incoming, f"{str(facts['taken_at'])[:10]}-{digest[:10]}")
    artefacts.write_text(base / "current", folder.name)
    return Snapshot(folder.name, folder, artefacts.read_json(folder / "manifest.json"))


def _settle(base: Path, incoming: Path, name: str) -> Path:
    """Put a new snapshot in its place, or take the older one with the same content, mended if it was damaged."""
    same = [p for p in base.glob(f"*-{name.rsplit('-', 1)[1]}") if (p / "manifest.json").exists()]
    if not same:
        return incoming.replace(base / name)
    if not _is_whole(same[0]):
        for path in sorted(incoming.iterdir(), key=lambda p: p.name == "manifest.json"):
            path.replace(same[0] / path.name)
    _empty(incoming)
    return same[0]


def _is_whole(folder: Path) -> bool:
    files = artefacts.read_json(folder / "manifest.json")["files"]
    return all((folder / n).exists() and artefacts.sha256(folder / n) == f["sha256"] for n, f in files.items())


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
