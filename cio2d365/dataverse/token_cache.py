"""Where a person's sign-in is kept between commands: encrypted by the platform, or in a file that only its owner reads.

Windows encrypts for the user (DPAPI), macOS has the Keychain, Linux desktops have libsecret. Where there is none,
nothing is kept unless the settings allow a plain file.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msal
from msal_extensions import FilePersistence, PersistedTokenCache, build_encrypted_persistence
from msal_extensions.persistence import PersistenceNotFound

from cio2d365.errors import SettingsError

# libsecret's absence shows as any of these, by what exactly is missing: module, typelib, session bus, keyring.
UNAVAILABLE = (ImportError, AttributeError, ValueError, RuntimeError, OSError)


class PlainFile(FilePersistence):  # type: ignore[misc]
    """A file of mode 0600 that a reader never sees half-written (L17)."""

    def save(self, content: str) -> None:
        """Replace the file."""
        temporary = f"{self._location}.{secrets.token_hex(4)}.part"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._location)
        finally:
            Path(temporary).unlink(missing_ok=True)


def store(
    folder: Path, name: str, *, plain: bool, encrypted: Callable[[str], Any] = build_encrypted_persistence
) -> Any:
    """The place for one sign-in, one of msal-extensions' persistences; `plain` allows a file where nothing encrypts.

    Raises SettingsError when there is no encrypted place and no leave for a plain one, and when others can read or
    change what is there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_private(folder, stat.S_IWGRP | stat.S_IWOTH, "change")
    try:
        return encrypted(str(folder / f"{name}.bin"))
    except UNAVAILABLE as error:
        if not plain:
            raise SettingsError(
                f"this machine has no encrypted place for a sign-in ({type(error).__name__}). Install one (on Linux: "
                "libsecret, its GObject typelib and PyGObject, in a desktop session), or set [dataverse] "
                "plain_token_cache = true to keep it in a file that only you can read"
            ) from None
    path = folder / f"{name}.json"
    if path.is_symlink() or path.exists():
        _require_private(path, stat.S_IRWXG | stat.S_IRWXO, "read")
    return PlainFile(str(path))


def cached(persistence: Any, again: str) -> msal.TokenCache:
    """The tokens in a store, written back whenever one is renewed; SettingsError with `again` for a damaged one."""
    try:
        json.loads(persistence.load())
    except PersistenceNotFound:
        pass
    except (ValueError, OSError):
        raise SettingsError(f"the stored sign-in cannot be read; {again}") from None
    return PersistedTokenCache(persistence)


def _require_private(path: Path, forbidden: int, what: str) -> None:
    """Windows keeps a user's folders private by other means than mode bits."""
    if os.name == "nt":
        return
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & forbidden:
        raise SettingsError(
            f"others could {what} the stored sign-in: {path.name} must be yours alone (no link, chmod go= {path})"
        )
