"""The certificate of an application: read from a file, checked, and turned into signed assertions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from jwt.utils import base64url_encode

from cio2d365.errors import SettingsError

ASSERTION_SECONDS = 600
SMALLEST_KEY = 2048


@dataclass(frozen=True)
class Certificate:
    """A certificate with its private key, and the name of the variable that led to it."""

    public: x509.Certificate
    key: rsa.RSAPrivateKey
    variable: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"Certificate(variable={self.variable!r})"

    def assertion(self, client_id: str, audience: str, now: float) -> str:
        """Proof that `client_id` holds the key: a JWT for the token endpoint `audience`, good for ten minutes."""
        claims = {"aud": audience, "iss": client_id, "sub": client_id, "jti": str(uuid.uuid4())}
        times = {"nbf": int(now), "iat": int(now), "exp": int(now) + ASSERTION_SECONDS}
        thumbprint = base64url_encode(self.public.fingerprint(hashes.SHA256())).decode()
        return jwt.encode(claims | times, self.key, algorithm="PS256", headers={"x5t#S256": thumbprint})


def read(path: Path, password: str, variable: str, *, now: datetime | None = None) -> Certificate:
    """Certificate and private key from one PEM or PFX file; an empty password is none.

    Raises SettingsError, which names the variable, for a file that is missing, locked, incomplete, expired or not yet
    valid, or whose key is no RSA key of at least 2,048 bits.
    """
    where = f"the certificate that {variable} leads to ({path.name})"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{where} cannot be read: {error.strerror or 'no such file'}") from None
    key, certificates = _opened(data, password.encode() or None, where)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < SMALLEST_KEY:
        raise SettingsError(f"{where} needs an RSA key of at least {SMALLEST_KEY} bits")
    public = next((c for c in certificates if c.public_key() == key.public_key()), None)
    if public is None:
        raise SettingsError(f"{where} holds no certificate for its private key")
    _require_current(public, now or datetime.now(UTC), where)
    return Certificate(public, key, variable)


def _opened(data: bytes, password: bytes | None, where: str) -> tuple[object, Sequence[x509.Certificate]]:
    try:
        if b"-----BEGIN" in data:
            return load_pem_private_key(data, password), x509.load_pem_x509_certificates(data)
        key, first, others = pkcs12.load_key_and_certificates(data, password)
    except (ValueError, TypeError):
        hint = "a private key and its certificate, and that the password is right"
        raise SettingsError(f"{where} cannot be opened: check that it is a PEM or PFX file with {hint}") from None
    return key, [*([first] if first else []), *others]


def _require_current(certificate: x509.Certificate, now: datetime, where: str) -> None:
    if certificate.not_valid_after_utc <= now:
        raise SettingsError(f"{where} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; register a new one")
    if certificate.not_valid_before_utc > now:
        raise SettingsError(f"{where} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only")
