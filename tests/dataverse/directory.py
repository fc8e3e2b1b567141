"""A simulated token authority with its environment, and certificates for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from cio2d365.dataverse.authority import Directory
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.transport import Transport

TENANT, CLIENT, SECRET = "t", "c", "s"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Simulated:
    """The origin of a simulator and its control API."""

    origin: str
    control: httpx.Client

    @property
    def directory(self) -> Directory:
        return Directory(self.origin, TENANT, self.origin)

    def set(self, verb: str, **body: Any) -> Any:
        return self.control.post(verb, json=body).raise_for_status().json()

    def fault(self, action: dict[str, Any], **match: Any) -> None:
        self.set("faults", rules=[{"match": match, "action": action}])

    def seen(self, ending: str) -> int:
        """How many requests there were to paths that end so."""
        return sum(e["path"].endswith(ending) for e in self.control.get("journal").json())


@contextmanager
def controlled(origin: str) -> Iterator[Simulated]:
    """A fresh organisation behind a running simulator."""
    with httpx.Client(base_url=f"{origin}/_control/", timeout=20) as control:
        control.post("reset").raise_for_status()
        yield Simulated(origin, control)


@contextmanager
def connected(origin: str, authorize: Any) -> Iterator[Dataverse]:
    with Transport(origin, authorize, headers=HEADERS) as link:
        yield Dataverse(link)


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def certified(key: Key, *, first: timedelta = timedelta(-60), last: timedelta = timedelta(30)) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loader")])
    now = datetime.now(UTC)
    build = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    build = build.serial_number(x509.random_serial_number()).not_valid_before(now + first).not_valid_after(now + last)
    return build.sign(key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def pem_file(path: Path, key: Key, *certificates: x509.Certificate, password: str = "") -> Path:
    sealed = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed).decode(), *map(pem, certificates)]
    path.write_text("".join(parts))
    return path


def pfx_file(path: Path, key: rsa.RSAPrivateKey, certificate: x509.Certificate, password: str = "") -> Path:
    sealed = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"loader", key, certificate, None, sealed))
    return path
