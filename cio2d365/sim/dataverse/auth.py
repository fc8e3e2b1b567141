"""Tokens: client credentials, the static `dev-token`, and who the caller is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .errors import ServiceError
from .organization import Organization

DEV_TOKEN = "dev-token"
_LIFETIME = 3600


@dataclass(frozen=True)
class Grant:
    """An issued token: for whom and until when."""

    user: str
    expires: float


class TokenError(Exception):
    """An answer of the token endpoint that is not a token (OAuth 2: `error`, `error_description`)."""

    def __init__(self, status: int, error: str, number: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.body = {
            "error": error,
            "error_description": f"AADSTS{number}: {text}",
            "error_codes": [int(number)],
        }


class Authority:
    """Issues tokens for the application user and recognises them."""

    def __init__(self, org: Organization, tenant_id: str, client_id: str, client_secret: str) -> None:
        self.org = org
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.client_secret = client_secret
        self._first_secret = client_secret
        self.secret_expired = False
        self.grants: dict[str, Grant] = {}
        self.device_codes: dict[str, str] = {}
        self.dev_token_valid = True

    def token(self, tenant: str, form: Mapping[str, str], origin: str) -> dict[str, Any]:
        """The answer of the token endpoint. Raises TokenError with the AADSTS number of the cause."""
        if tenant not in (self.tenant_id, "organizations", "common"):
            raise TokenError(400, "invalid_request", "90002", f"Tenant '{tenant}' not found.")
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            return self._client_credentials(form, origin)
        if grant == "urn:ietf:params:oauth:grant-type:device_code":
            return self._device(form)
        raise TokenError(400, "unsupported_grant_type", "70003", f"The grant type '{grant}' is not supported.")

    def _client_credentials(self, form: Mapping[str, str], origin: str) -> dict[str, Any]:
        if form.get("client_id") != self.client_id:
            text = f"Application with identifier '{form.get('client_id')}' was not found in the directory."
            raise TokenError(400, "unauthorized_client", "700016", text)
        if self.secret_expired:
            raise TokenError(401, "invalid_client", "7000222", "The provided client secret keys are expired.")
        if form.get("client_secret") != self.client_secret:
            raise TokenError(401, "invalid_client", "7000215", "Invalid client secret provided.")
        self._check_scope(form.get("scope", ""), origin)
        return self._issue(self.org.app_user)

    def _check_scope(self, scope: str, origin: str) -> None:
        """The scope must name this environment. It has several ports (plain and TLS), but one host."""
        named, _, right = scope.rpartition("/")
        wanted = {urlsplit(origin).hostname, "localhost", "127.0.0.1"}
        if right != ".default" or urlsplit(named).hostname not in wanted:
            text = f"The resource principal of scope '{scope}' was not found in the tenant."
            raise TokenError(400, "invalid_resource", "500011", text)

    def _issue(self, user: str) -> dict[str, Any]:
        token = f"sim.{secrets.token_urlsafe(32)}"
        self.grants[token] = Grant(user, self.org.clock.elapsed() + _LIFETIME)
        return {
            "token_type": "Bearer",
            "expires_in": _LIFETIME,
            "ext_expires_in": _LIFETIME,
            "access_token": token,
        }

    def issue_for(self, user: str) -> str:
        """A token for any user, for tests."""
        return str(self._issue(user)["access_token"])

    def start_device(self, user: str) -> dict[str, Any]:
        """The first half of the device code flow; the code is approved at once for `user`."""
        code = secrets.token_urlsafe(16)
        self.device_codes[code] = user
        return {
            "device_code": code,
            "user_code": "SIMULATE1",
            "verification_uri": "http://localhost/devicelogin",
            "expires_in": 900,
            "interval": 1,
            "message": "The simulator approves this sign-in by itself.",
        }

    def _device(self, form: Mapping[str, str]) -> dict[str, Any]:
        user = self.device_codes.pop(form.get("device_code", ""), None)
        if user is None:
            raise TokenError(400, "invalid_grant", "70002", "The device code is unknown or used.")
        return self._issue(user)

    def expire_all(self, include_dev_token: bool = False) -> None:
        """Every token issued so far is worthless from now on; the dev token only if asked."""
        self.grants.clear()
        self.dev_token_valid = self.dev_token_valid and not include_dev_token

    def rotate(self, secret: str | None, expired: bool = False) -> None:
        """The client secret changes, or is refused as expired; tokens stay valid as in reality."""
        self.secret_expired = expired
        if not expired:
            self.client_secret = secret or secrets.token_urlsafe(16)

    def reset(self) -> None:
        """The secret of the start, no tokens."""
        self.client_secret, self.secret_expired, self.dev_token_valid = self._first_secret, False, True
        self.grants.clear()

    def effective(self, real: str, headers: Mapping[str, str]) -> str:
        """For whom a signed-in user acts. Raises 403 when either of the two may not. Needs the store's lock."""
        self._require_enabled(real)
        other = self._impersonated(headers)
        if other is None:
            return real
        self._require_enabled(other)
        return other

    def bearer(self, header: str) -> str:
        """The user a token was issued for. Raises 401 for no, an unknown or an expired token."""
        kind, _, token = header.partition(" ")
        if kind.lower() == "bearer":
            if token == DEV_TOKEN and self.dev_token_valid:
                return self.org.app_user
            grant = self.grants.get(token)
            if grant and grant.expires > self.org.clock.elapsed():
                return grant.user
        raise ServiceError(
            401,
            "0x80072560" if header else "",
            "The user is not a member of the organization or the token is missing or expired.",
            {"WWW-Authenticate": f"Bearer authorization_uri=/{self.tenant_id}/oauth2/authorize, error=invalid_token"},
        )

    def _impersonated(self, headers: Mapping[str, str]) -> str | None:
        for header, column in (
            ("callerobjectid", "azureactivedirectoryobjectid"),
            ("mscrmcallerid", "systemuserid"),
        ):
            if header in headers:
                rows = self.org.store.query(
                    f"SELECT systemuserid FROM systemuser WHERE {column} = ?", (headers[header].lower(),)
                )
                if not rows:
                    raise ServiceError(403, "0x80040204", "Invalid user auth: the user to act for does not exist.")
                return str(rows[0][0])
        return None

    def _require_enabled(self, user: str) -> None:
        rows = self.org.store.query("SELECT isdisabled FROM systemuser WHERE systemuserid = ?", (user,))
        if not rows or rows[0][0]:
            raise ServiceError(
                403,
                "0x80040225",
                f"The user with SystemUserId={user} in OrganizationContext={self.org.id} is disabled",
            )
