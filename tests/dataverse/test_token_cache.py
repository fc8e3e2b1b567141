"""Where a sign-in is kept: encrypted, or in a private file on request, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import msal
import pytest
from msal_extensions.persistence import PersistenceNotFound

from cio2d365.dataverse import auth, token_cache
from cio2d365.dataverse.sign_in import by_device_code
from cio2d365.errors import SettingsError
from tests.dataverse.directory import CLIENT, Simulated

AGAIN = "run the command again"


class Vault:
    """A place that encrypts, as far as anybody can tell."""

    is_encrypted = True

    def __init__(self, location: str) -> None:
        self._location = location
        self.content: str | None = None

    def save(self, content: str) -> None:
        self.content = content

    def load(self) -> str:
        if self.content is None:
            raise PersistenceNotFound()
        return self.content

    def time_last_modified(self) -> float:
        if self.content is None:
            raise PersistenceNotFound()
        return 1.0

    def get_location(self) -> str:
        return self._location


def nothing_encrypts(_: str) -> NoReturn:
    raise ImportError("no module named gi")


def plain(folder: Path) -> Any:
    return token_cache.store(folder, "acme", plain=True, encrypted=nothing_encrypts)


def test_a_machine_that_cannot_encrypt_keeps_nothing_without_leave(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[dataverse\] plain_token_cache = true"):
        token_cache.store(tmp_path / "s", "acme", plain=False, encrypted=nothing_encrypts)
    assert list((tmp_path / "s").iterdir()) == []


def test_encryption_is_used_where_it_is_even_with_leave(tmp_path: Path) -> None:
    found = token_cache.store(tmp_path, "acme", plain=True, encrypted=Vault)
    assert isinstance(found, Vault)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="mode bits")
class TestPrivacy:
    def test_the_file_and_its_folder_are_the_owner_s_alone(self, tmp_path: Path) -> None:
        plain(tmp_path / "s").save("{}")
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "s" / "acme.json").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
    def test_a_file_that_others_can_read_is_refused(self, tmp_path: Path, mode: int) -> None:
        plain(tmp_path).save("{}")
        (tmp_path / "acme.json").chmod(mode)
        with pytest.raises(SettingsError, match=r"others could read the stored sign-in: acme\.json must be yours"):
            plain(tmp_path)

    @pytest.mark.parametrize("mode", [0o720, 0o702])
    def test_a_folder_that_others_can_write_to_is_refused(self, tmp_path: Path, mode: int) -> None:
        (tmp_path / "s").mkdir()
        (tmp_path / "s").chmod(mode)
        with pytest.raises(SettingsError, match="others could change"):
            token_cache.store(tmp_path / "s", "acme", plain=True, encrypted=Vault)

    @pytest.mark.parametrize("exists", [True, False])
    def test_a_link_is_not_followed(self, tmp_path: Path, exists: bool) -> None:
        if exists:
            (tmp_path / "elsewhere").write_text("{}")
        (tmp_path / "acme.json").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(SettingsError, match="no link"):
            plain(tmp_path)


def test_a_write_that_fails_leaves_the_old_sign_in(tmp_path: Path) -> None:
    place = plain(tmp_path)
    place.save('{"old": 1}')
    with pytest.raises(UnicodeEncodeError):
        place.save("\ud800")
    assert place.load() == '{"old": 1}'
    assert [p.name for p in tmp_path.iterdir()] == ["acme.json"]


@pytest.mark.parametrize("content", ["{", "\x00", "nonsense"])
def test_a_damaged_sign_in_says_what_to_do(tmp_path: Path, content: str) -> None:
    place = plain(tmp_path)
    place.save(content)
    with pytest.raises(SettingsError, match=f"cannot be read; {AGAIN}"):
        token_cache.cached(place, AGAIN)


def test_an_empty_place_holds_nobody(tmp_path: Path, simulated: Simulated) -> None:
    cache = token_cache.cached(plain(tmp_path), AGAIN)
    with pytest.raises(SettingsError, match="nobody is signed in"):
        auth.person(simulated.directory, CLIENT, cache, AGAIN)("")


@pytest.mark.parametrize("encrypted", [nothing_encrypts, Vault])
def test_a_sign_in_outlives_the_command_and_is_written_back_when_renewed(
    tmp_path: Path, simulated: Simulated, encrypted: Any
) -> None:
    place = token_cache.store(tmp_path, "acme", plain=True, encrypted=encrypted)
    place.save(signed_in(simulated))
    authorize = auth.person(simulated.directory, CLIENT, token_cache.cached(place, AGAIN), AGAIN)
    first, before = authorize(""), place.load()
    second = authorize(first)
    assert first != second
    assert second.removeprefix("Bearer ") in place.load() != before
    later = auth.person(simulated.directory, CLIENT, token_cache.cached(place, AGAIN), AGAIN)
    assert later("") == second


def signed_in(simulated: Simulated) -> str:
    cache = msal.SerializableTokenCache()
    by_device_code(simulated.directory, CLIENT, cache, lambda _: None)
    return str(cache.serialize())


def test_a_new_sign_in_is_seen_by_a_command_that_already_runs(tmp_path: Path, simulated: Simulated) -> None:
    place = plain(tmp_path)
    authorize = auth.person(simulated.directory, CLIENT, token_cache.cached(place, AGAIN), AGAIN)
    with pytest.raises(SettingsError):
        authorize("")
    place.save(signed_in(simulated))
    assert authorize("").startswith("Bearer ")
