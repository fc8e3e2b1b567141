"""People who sign in: device codes, the authorization code flow with PKCE, refresh tokens, identity tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .oauth import TokenError, encoded, encoded_json
from .organization import Organization

DEVICE_SECONDS = 900
CODE_SECONDS = 600
_KEY_ID = "simulator"


_MANNERS = {"device": ("approve", "wait", "decline"), "browser": ("approve", "decline")}


@dataclass
class Manners:
    """What the person `user` (empty = Ada) does; `refresh` is the error that refuses refresh tokens, if any."""

    user: str = ""
    device: str = "approve"
    browser: str = "approve"
    refresh: str = ""


@dataclass(frozen=True)
class Consent:
    """What a person agreed to, redeemable until `expires` (seconds of the server's clock)."""

    user: str
    scope: str
    expires: float = float("inf")
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""


class People:
    """Hands out codes and refresh tokens, and takes them back."""

    def __init__(self, org: Organization, client_id: str) -> None:
        self.org = org
        self.client_id = client_id
        self.forget()

    def forget(self) -> None:
        """No codes, no refresh tokens, the ordinary manners."""
        self.manners = Manners()
        self._device: dict[str, Consent] = {}
        self._codes: dict[str, Consent] = {}
        self._refresh: dict[str, Consent] = {}

    def behave(self, changes: Mapping[str, str]) -> dict[str, str]:
        """Change manners by name; raises KeyError for an unknown one, ValueError for what nobody does."""
        known = {field.name for field in fields(Manners)}
        for name, value in changes.items():
            if name not in known:
                raise KeyError(name)
            if value not in _MANNERS.get(name, (value,)):
                raise ValueError(f"{name} is one of {', '.join(_MANNERS[name])}")
            setattr(self.manners, name, str(value))
        return dict(vars(self.manners))

    def start_device(self, form: Mapping[str, str], origin: str) -> dict[str, Any]:
        """The first half of the device code flow."""
        self._require_client(form)
        require_resource(form.get("scope", ""), origin, "user_impersonation")
        code = secrets.token_urlsafe(16)
        self._device[code] = Consent(self._person(), form["scope"], self.org.clock.elapsed() + DEVICE_SECONDS)
        user_code = secrets.token_hex(4).upper()
        return {
            "device_code": code,
            "user_code": user_code,
            "verification_uri": f"{origin}/devicelogin",
            "expires_in": DEVICE_SECONDS,
            "interval": 1,
            "message": f"To sign in, open {origin}/devicelogin and enter the code {user_code}.",
        }

    def by_device_code(self, form: Mapping[str, str]) -> Consent:
        """Who has approved a device code."""
        self._require_client(form)
        code = form.get("device_code", "")
        consent = self._device.get(code)
        if consent is None:
            raise TokenError(400, "invalid_grant", "70002", "The device code is unknown or used.")
        if consent.expires <= self.org.clock.elapsed():
            raise TokenError(400, "expired_token", "70019", "Verification code expired.")
        if self.manners.device == "wait":
            raise TokenError(400, "authorization_pending", "70016", "The authorization is pending.")
        del self._device[code]
        if self.manners.device == "decline":
            raise TokenError(400, "authorization_declined", "70018", "The user declined the request.")
        return consent

    def authorize(self, query: Mapping[str, str], origin: str) -> dict[str, str]:
        """What the browser carries back to the application; raises TokenError for a request no page is shown for."""
        self._require_client(query)
        _require_loopback(query.get("redirect_uri", ""))
        require_resource(query.get("scope", ""), origin, "user_impersonation")
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            raise TokenError(400, "invalid_request", "900144", "The request body must contain a code challenge (S256).")
        back = {"state": query.get("state", "")}
        if self.manners.browser != "approve":
            return back | {"error": "access_denied", "error_description": "AADSTS65004: User declined to consent."}
        code = secrets.token_urlsafe(24)
        self._codes[code] = Consent(
            self._person(),
            query["scope"],
            self.org.clock.elapsed() + CODE_SECONDS,
            query["redirect_uri"],
            query["code_challenge"],
            query.get("nonce", ""),
        )
        return back | {"code": code}

    def by_code(self, form: Mapping[str, str]) -> Consent:
        """Who stands behind an authorization code; it can be used once, with the verifier of its challenge."""
        self._require_client(form)
        consent = self._codes.pop(form.get("code", ""), None)
        if consent is None or consent.expires <= self.org.clock.elapsed():
            raise TokenError(400, "invalid_grant", "70008", "The authorization code is unknown, used or expired.")
        if form.get("redirect_uri") != consent.redirect_uri:
            raise TokenError(400, "invalid_grant", "50011", "The reply address does not match.")
        proof = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if not secrets.compare_digest(proof, consent.challenge):
            raise TokenError(400, "invalid_grant", "501481", "The Code_Verifier does not match the code_challenge.")
        return consent

    def by_refresh_token(self, form: Mapping[str, str], origin: str) -> Consent:
        """Who a refresh token was given to; the scope may be another one of this environment."""
        self._require_client(form)
        consent = self._refresh.get(form.get("refresh_token", ""))
        if consent is None:
            raise TokenError(400, "invalid_grant", "700082", "The refresh token has expired due to inactivity.")
        if self.manners.refresh:
            raise TokenError(400, self.manners.refresh, "50076", "The user must use multi-factor authentication.")
        scope = form.get("scope", consent.scope)
        require_resource(scope, origin, "user_impersonation")
        return Consent(consent.user, scope)

    def extras(self, consent: Consent, tenant: str, origin: str) -> dict[str, Any]:
        """What a person's answer holds besides the access token."""
        asked = consent.scope.split()
        found: dict[str, Any] = {
            "scope": " ".join(name for name in asked if "://" in name),
            "client_info": encoded_json({"uid": consent.user, "utid": tenant}),
        }
        if "offline_access" in asked:
            found["refresh_token"] = f"sim-refresh.{secrets.token_urlsafe(32)}"
            self._refresh[found["refresh_token"]] = Consent(consent.user, consent.scope)
        if "openid" in asked:
            found["id_token"] = self._id_token(consent, tenant, origin)
        return found

    def keys(self) -> dict[str, Any]:
        """The public key of identity tokens, as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        key = {name: encoded(n.to_bytes((n.bit_length() + 7) // 8)) for name, n in (("n", numbers.n), ("e", numbers.e))}
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID, **key}]}

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _id_token(self, consent: Consent, tenant: str, origin: str) -> str:
        now = int(self.org.clock.now().timestamp())
        name = self.org.store.query(
            "SELECT internalemailaddress FROM systemuser WHERE systemuserid = ?", (consent.user,)
        )
        claims = {
            "iss": f"{origin}/{tenant}/v2.0",
            "aud": self.client_id,
            "sub": consent.user,
            "oid": consent.user,
            "tid": tenant,
            "preferred_username": str(name[0][0]),
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        }
        nonce = {"nonce": consent.nonce} if consent.nonce else {}
        header = {"typ": "JWT", "alg": "RS256", "kid": _KEY_ID}
        signed = f"{encoded_json(header)}.{encoded_json(claims | nonce)}"
        return f"{signed}.{encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def _person(self) -> str:
        if self.manners.user:
            return self.manners.user
        rows = self.org.store.query("SELECT systemuserid FROM systemuser WHERE firstname = 'Ada'")
        return str(rows[0][0])

    def _require_client(self, form: Mapping[str, str]) -> None:
        if form.get("client_id") != self.client_id:
            raise unknown_client(form.get("client_id"))


def unknown_client(client_id: str | None) -> TokenError:
    """The refusal for an application that nobody registered."""
    text = f"Application with identifier '{client_id}' was not found in the directory."
    return TokenError(400, "unauthorized_client", "700016", text)


def require_resource(scope: str, origin: str, *rights: str) -> None:
    """The scope must name this environment. It has several ports (plain and TLS), but one host."""
    named = [part.rpartition("/") for part in scope.split() if "://" in part]
    wanted = {urlsplit(origin).hostname, "localhost", "127.0.0.1"}
    allowed = {".default", *rights}
    if not named or any(right not in allowed or urlsplit(host).hostname not in wanted for host, _, right in named):
        text = f"The resource principal of scope '{scope}' was not found in the tenant."
        raise TokenError(400, "invalid_resource", "500011", text)


def _require_loopback(redirect_uri: str) -> None:
    """A public client is registered with `http://localhost`: any port of it will do (RFC 8252 7.3)."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in ("localhost", "127.0.0.1"):
        text = f"The redirect URI '{redirect_uri}' specified in the request does not match those configured."
        raise TokenError(400, "invalid_request", "50011", text)


def form_page(redirect_uri: str, values: Mapping[str, str]) -> str:
    """The page that posts itself to the application (`response_mode=form_post`)."""
    hidden = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in values.items())
    return (
        f'<!doctype html><title>Signing in</title><body onload="document.forms[0].submit()">'
        f'<form method="post" action="{escape(redirect_uri)}">{hidden}<button>Continue</button></form>'
    )


def redirect_target(redirect_uri: str, values: Mapping[str, str]) -> str:
    """The address that carries the answer in its query (`response_mode=query`)."""
    return f"{redirect_uri}{'&' if urlsplit(redirect_uri).query else '?'}{urlencode(values)}"
