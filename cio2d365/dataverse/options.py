"""What a write asks of the server besides writing: explicit values, never defaults in a header (`dataverse-api 2`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from cio2d365.errors import SettingsError

Logic = Literal["CustomSync", "CustomAsync"]


@dataclass(frozen=True)
class WriteOptions:
    """The optional headers of a write; by default none of them is sent.

    `caller`: Entra object id of the user to act for; needs prvActOnBehalfOfAnotherUser. `bypass`: which custom logic
    is skipped; needs prvBypassCustomBusinessLogic, and Microsoft's own logic still runs. `suppress_flows`: Power
    Automate flows do not start. `detect_duplicates`: the duplicate rules, off for the API, are on; a hit is refused
    with 0x80040333. Raises SettingsError for a caller that is no GUID.
    """

    caller: str = ""
    bypass: tuple[Logic, ...] = ()
    suppress_flows: bool = False
    detect_duplicates: bool = False

    def __post_init__(self) -> None:
        if self.caller and not _is_guid(self.caller):
            raise SettingsError(f"caller must be the object id of a user, a GUID, not {self.caller[:60]!r}")

    @property
    def headers(self) -> Mapping[str, str]:
        """Header name → value of what was asked for."""
        chosen = {
            "CallerObjectId": self.caller,
            "MSCRM.BypassBusinessLogicExecution": ",".join(self.bypass),
            "MSCRM.SuppressCallbackRegistrationExpanderJob": "true" if self.suppress_flows else "",
            "MSCRM.SuppressDuplicateDetection": "false" if self.detect_duplicates else "",
        }
        return {name: value for name, value in chosen.items() if value}


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


PLAIN = WriteOptions()
