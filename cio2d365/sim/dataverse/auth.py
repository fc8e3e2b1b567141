"""Tokens for applications and people, the static `dev-token`, and who the caller is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from . import assertion
from .errors import ServiceError
from .oauth import TokenError
from .organization import Organization
from .people import Consent, People, require_resource, unknown_client

DEV_TOKEN = "dev-token"
_LIFETIME = 3600


@dataclass(frozen=True)
class Grant:
    """An issued token: for whom and until when."""

    user: str
    expires: float


@dataclass
class Application:
    """A registered application: what it proves itself with, and its user (empty = the application user)."""

    client_id: str
    secret: str
    user: str = ""
    secret_expired: bool = False
    certificates: list[x509.Certificate] = field(default_factory=list)


class Authority:
    """Issues tokens for applications and people, and recognises them."""

    def __init__(self, org: Organization, tenant_id: str, client_id: str, client_secret: str) -> None:
        self.org = org
        self.tenant_id = tenant_id
        self.people = People(org, client_id)
        self._first = (client_id, client_secret)
        self.reset()

    def reset(self) -> None:
        """The application of the start with its secret, no tokens."""
        self.application = Application(*self._first)
        self.applications = {self.application.client_id: self.application}
        self.grants: dict[str, Grant] = {}
        self.dev_token_valid = True
        self.people.forget()

    def token(self, tenant: str, form: Mapping[str, str], origin: str) -> dict[str, Any]:
        """The answer of the token endpoint. Raises TokenError with the AADSTS number of the cause."""
        self.require_tenant(tenant)
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            return self._client_credentials(form, origin, f"{origin}/{tenant}/oauth2/v2.0/token")
        consent = self._consent(grant, form, origin)
        return self._issue(consent.user) | self.people.extras(consent, self.tenant_id, origin)

    def require_tenant(self, tenant: str) -> None:
        """Raises TokenError for a tenant that is not ours."""
        if tenant not in (self.tenant_id, "organizations", "common"):
            raise TokenError(400, "invalid_tenant", "90002", f"Tenant '{tenant}' not found.")

    def _consent(self, grant: str, form: Mapping[str, str], origin: str) -> Consent:
        if grant == "urn:ietf:params:oauth:grant-type:device_code":
            return self.people.by_device_code(form)
        if grant == "authorization_code":
            return self.people.by_code(form)
        if grant == "refresh_token":
            return self.people.by_refresh_token(form, origin)
        raise TokenError(400, "unsupported_grant_type", "70003", f"The grant type '{grant}' is not supported.")

    def _client_credentials(self, form: Mapping[str, str], origin: str, endpoint: str) -> dict[str, Any]:
        application = self.applications.get(form.get("client_id", ""))
        if application is None:
            raise unknown_client(form.get("client_id"))
        if form.get("client_assertion_type") == assertion.TYPE:
            assertion.check(
                form.get("client_assertion", ""),
                application.certificates,
                client_id=application.client_id,
                audiences={endpoint},
                now=self.org.clock.now(),
            )
        else:
            _require_secret(application, form.get("client_secret"))
        require_resource(form.get("scope", ""), origin)
        return self._issue(application.user or self.org.app_user)

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

    def register(self, body: Mapping[str, Any]) -> Application:
        """Another application (`client_id`, `client_secret`, `user`), or a `certificate` (PEM) for a known one."""
        client_id = str(body.get("client_id") or self.application.client_id)
        found = self.applications.get(client_id) or Application(client_id, secrets.token_urlsafe(16))
        found.secret = str(body.get("client_secret") or found.secret)
        found.user = str(body.get("user") or found.user)
        if body.get("certificate"):
            found.certificates.append(x509.load_pem_x509_certificate(str(body["certificate"]).encode()))
        self.applications[client_id] = found
        return found

    def expire_all(self, include_dev_token: bool = False) -> None:
        """Every access token issued so far is worthless from now on; the dev token only if asked."""
        self.grants.clear()
        self.dev_token_valid = self.dev_token_valid and not include_dev_token

    def rotate(self, secret: str | None, expired: bool = False) -> None:
        """The client secret changes, or is refused as expired; tokens stay valid as in reality."""
        self.application.secret_expired = expired
        if not expired:
            self.application.secret = secret or secrets.token_urlsafe(16)

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


def _require_secret(application: Application, secret: str | None) -> None:
    if application.secret_expired:
        raise TokenError(401, "invalid_client", "7000222", "The provided client secret keys are expired.")
    if secret != application.secret:
        raise TokenError(401, "invalid_client", "7000215", "Invalid client secret provided.")
