"""Where a migration reads from: an App API, a folder of export files, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.cdp import call_files
from cio2d365.errors import SettingsError


@dataclass(frozen=True)
class Source:
    """An API, files, or both; files then give the event history."""

    api: AppApi | None
    folder: Path | None
    people_files: tuple[Path, ...] = ()
    call_files: tuple[Path, ...] = ()

    @property
    def label(self) -> str:
        """For messages and the manifest."""
        parts = [self.api.transport.origin] if self.api else []
        return " and ".join(parts + ([self.folder.name] if self.folder else []))


def open_source(api: AppApi | None, folder: Path | None) -> Source:
    """The source that settings describe; SettingsError when the folder is missing or there is neither."""
    if api is None and folder is None:
        raise SettingsError("there is nothing to read from: set [customerio] url or [files] folder in migration.toml")
    if folder is None:
        return Source(api, None)
    if not folder.is_dir():
        raise SettingsError(f"[files] folder {folder} does not exist")
    csv_files = sorted(p for p in folder.rglob("*.csv") if not p.name.startswith("."))
    return Source(api, folder, tuple(csv_files), tuple(call_files(folder)))
