"""Words of OAuth 2 that the token endpoint speaks: refusals, times, encodings."""

from __future__ import annotations

import base64
import json
from typing import Any


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


def encoded(data: bytes) -> str:
    """Base64 for addresses, without padding (RFC 4648 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """What `encoded` made; ValueError for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def encoded_json(value: Any) -> str:
    """An object as one part of a JWT."""
    return encoded(json.dumps(value, separators=(",", ":")).encode())
