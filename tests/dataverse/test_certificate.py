"""Certificate files: both formats, and every way in which one cannot be used said by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cio2d365.dataverse.certificate import read
from cio2d365.errors import SettingsError
from tests.dataverse.directory import certified, pem_file, pfx_file, rsa_key


@pytest.mark.parametrize("password", ["", "pässword"])
@pytest.mark.parametrize("kind", [pem_file, pfx_file])
def test_both_formats_are_read_with_and_without_a_password(tmp_path: Path, kind: object, password: str) -> None:
    key = rsa_key()
    public = certified(key)
    assert callable(kind)
    found = read(kind(tmp_path / "c", key, public, password=password), password, "V")
    assert (found.public, found.key.private_numbers()) == (public, key.private_numbers())


def test_the_certificate_of_the_key_is_picked_from_a_chain(tmp_path: Path) -> None:
    key = rsa_key()
    public, issuer = certified(key), certified(rsa_key(1))
    assert read(pem_file(tmp_path / "c.pem", key, issuer, public), "", "V").public == public


def test_a_missing_file_and_a_folder_are_named_with_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"that V leads to \(gone\.pem\) cannot be read: No such file"):
        read(tmp_path / "gone.pem", "", "V")
    with pytest.raises(SettingsError, match="cannot be read"):
        read(tmp_path, "", "V")


@pytest.mark.parametrize("kind", [pem_file, pfx_file])
@pytest.mark.parametrize("password", ["", "wrong-canary"])
def test_a_locked_file_is_said_to_be_one_without_the_password(tmp_path: Path, kind: object, password: str) -> None:
    key = rsa_key()
    assert callable(kind)
    path = kind(tmp_path / "c", key, certified(key), password="right")
    with pytest.raises(SettingsError, match=r"cannot be opened: .* password is right") as caught:
        read(path, password, "V")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pem"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be opened"):
        read(path, "", "V")


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no certificate for its private key"):
        read(pem_file(tmp_path / "c.pem", rsa_key(), certified(rsa_key(1))), "", "V")


def test_a_key_that_the_authority_would_not_take_is_refused(tmp_path: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    small = rsa_key(bits=1024)
    for key in (curve, small):
        with pytest.raises(SettingsError, match="RSA key of at least 2048 bits"):
            read(pem_file(tmp_path / "c.pem", key, certified(key)), "", "V")


def test_an_expired_and_an_early_certificate_say_when(tmp_path: Path) -> None:
    key = rsa_key()
    path = pem_file(tmp_path / "c.pem", key, certified(key, last=timedelta(days=10)))
    later, earlier = datetime.now(UTC) + timedelta(days=11), datetime.now(UTC) - timedelta(days=61)
    end = (datetime.now(UTC) + timedelta(days=10)).strftime("%Y-%m")
    with pytest.raises(SettingsError, match=rf"expired on {end}-\d\d; register a new one"):
        read(path, "", "V", now=later)
    with pytest.raises(SettingsError, match=r"is valid from .* UTC only"):
        read(path, "", "V", now=earlier)


def test_a_proof_is_for_one_application_and_endpoint_and_ten_minutes(tmp_path: Path) -> None:
    key = rsa_key()
    found = read(pem_file(tmp_path / "c.pem", key, certified(key)), "", "V")
    token = found.assertion("app", "https://login/t/token", 1_000_000.7)
    claims = jwt.decode(
        token, key.public_key(), ["PS256"], audience="https://login/t/token", options={"verify_exp": False}
    )
    assert (claims["iss"], claims["sub"], claims["nbf"], claims["exp"]) == ("app", "app", 1_000_000, 1_000_600)
    assert set(jwt.get_unverified_header(token)) == {"alg", "typ", "x5t#S256"}
