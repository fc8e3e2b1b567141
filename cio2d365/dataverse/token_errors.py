"""What the token authority's refusals mean and what to do about them, decided on the `error` field (F-25)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cio2d365.errors import AuthorityError, Transient, WorldError


@dataclass(frozen=True)
class Caller:
    """Who asks for a token, in words: `proof` and `source` are what an application shows and where it is read from."""

    client_id: str
    tenant_id: str
    origin: str
    proof: str = ""
    source: str = ""
    again: str = ""


_SECRET_REFUSED = "the {proof} of application {client_id} is wrong or expired; it is read from {source}"
_NOT_PUBLIC = "application {client_id} does not let people sign in: allow public client flows in its registration"
_SIGN_IN_AGAIN = "the sign-in to {origin} has expired or was withdrawn; {again}"
_TENANT = "tenant {tenant_id} is not known to the token authority"

APPLICATION: Mapping[str, str] = {
    "invalid_client": _SECRET_REFUSED,
    "invalid_grant": _SECRET_REFUSED,
}
PERSON: Mapping[str, str] = {
    "invalid_client": _NOT_PUBLIC,
    "invalid_grant": _SIGN_IN_AGAIN,
    "interaction_required": "a rule of the tenant asks for a new sign-in to {origin}; {again}",
    "login_required": _SIGN_IN_AGAIN,
    "consent_required": "an administrator has to let application {client_id} use Dynamics 365 as the user",
    "authorization_pending": "nobody has approved the sign-in in time; {again}",
    "expired_token": "the code was not entered in time; {again}",
    "code_expired": "the code was not entered in time; {again}",
    "bad_verification_code": "the token authority does not know its own code; {again}",
    "authorization_declined": "the sign-in was declined",
    "access_denied": "the sign-in was declined",
}
ANYBODY: Mapping[str, str] = {
    "unauthorized_client": "application {client_id} is not known in tenant {tenant_id}, or may not sign in this way",
    "invalid_resource": "{origin} is not known in tenant {tenant_id}: is it the address of the environment?",
    "invalid_scope": "{origin} is not known in tenant {tenant_id}: is it the address of the environment?",
    "invalid_tenant": _TENANT,
    "invalid_request": "the token authority refuses the request: are tenant {tenant_id} and its application right?",
    "unsupported_grant_type": "the token authority does not offer this way to sign in",
}
PASSING = frozenset({"temporarily_unavailable", "server_error"})


def refusal(answer: Mapping[str, Any] | None, caller: Caller) -> WorldError:
    """The error to raise for an answer without a token: AuthorityError, or Transient if it may pass by itself.

    Server text is not repeated, as it can hold account names; its numbers are, because administrators look them up.
    """
    found = answer or {}
    error = str(found.get("error", ""))
    special = APPLICATION if caller.proof else PERSON
    reason = special.get(error) or ANYBODY.get(error) or "application {client_id} gets no token for {origin}"
    text = f"{reason.format_map(vars(caller))} ({', '.join([_word(error), *_numbers(found)])})"
    return Transient(text) if error in PASSING else AuthorityError(text)


def _word(error: str) -> str:
    return error if re.fullmatch(r"[a-z_]{1,40}", error) else "unknown error"


def _numbers(answer: Mapping[str, Any]) -> list[str]:
    codes = answer.get("error_codes")
    return [f"AADSTS{code}" for code in codes if isinstance(code, int)] if isinstance(codes, list) else []
