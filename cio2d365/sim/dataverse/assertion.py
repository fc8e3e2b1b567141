"""Client assertions: a JWT signed with the key of a certificate that is registered with the application (RFC 7523)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .oauth import TokenError, decoded, encoded

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# The identity platform forgives clocks five minutes.
TOLERANCE = 300
_PADDINGS = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH),
}


def check(
    assertion: str,
    certificates: Iterable[x509.Certificate],
    *,
    client_id: str,
    audiences: Collection[str],
    now: datetime,
) -> None:
    """Raises TokenError `invalid_client` unless the assertion is signed, current, and meant for us."""
    try:
        head, body, signature = assertion.split(".")
        header, claims = json.loads(decoded(head)), json.loads(decoded(body))
        proof = decoded(signature)
    except ValueError:
        raise _refused("50027", "JWT token is invalid or malformed.") from None
    certificate = _named(header, certificates)
    if certificate.not_valid_after_utc < now or certificate.not_valid_before_utc > now:
        raise _refused("700027", "The key used to sign the client assertion is expired or not valid yet.")
    _verify(certificate, header.get("alg", ""), f"{head}.{body}".encode(), proof)
    _check_claims(claims, client_id, audiences, now.timestamp())


def thumbprints(certificate: x509.Certificate) -> dict[str, str]:
    """What the header of an assertion may name the certificate by."""
    return {
        "x5t": encoded(certificate.fingerprint(hashes.SHA1())),
        "x5t#S256": encoded(certificate.fingerprint(hashes.SHA256())),
    }


def _named(header: Any, certificates: Iterable[x509.Certificate]) -> x509.Certificate:
    for certificate in certificates:
        known = thumbprints(certificate)
        # Microsoft's own library pads the thumbprint with "=", which RFC 7515 does not.
        named = {name: str(header[name]).rstrip("=") for name in known if name in header}
        if named and all(known[name] == value for name, value in named.items()):
            return certificate
    raise _refused("700027", "The certificate used to sign the client assertion is not registered on application.")


def _verify(certificate: x509.Certificate, algorithm: str, signed: bytes, proof: bytes) -> None:
    key = certificate.public_key()
    if algorithm not in _PADDINGS or not isinstance(key, rsa.RSAPublicKey):
        raise _refused("5002738", "Invalid JWT token. The algorithm is not supported.")
    try:
        key.verify(proof, signed, _PADDINGS[algorithm], hashes.SHA256())
    except InvalidSignature:
        raise _refused("700027", "Client assertion failed signature validation.") from None


def _check_claims(claims: Any, client_id: str, audiences: Collection[str], now: float) -> None:
    if claims.get("aud") not in audiences:
        raise _refused("700023", "Client assertion audience claim does not match Realm issuer.")
    if claims.get("iss") != client_id or claims.get("sub") != client_id or not claims.get("jti"):
        raise _refused("700021", "Client assertion application identifier doesn't match 'client_id' parameter.")
    if not float(claims.get("nbf", 0)) - TOLERANCE <= now <= float(claims.get("exp", 0)) + TOLERANCE:
        raise _refused("700024", "Client assertion is not within its valid time range.")


def _refused(number: str, text: str) -> TokenError:
    return TokenError(401, "invalid_client", number, text)
