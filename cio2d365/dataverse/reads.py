"""Reads of an audit: what the server refuses to show is noted and read as nothing, and the audit goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import PAGE_ROWS, get
from cio2d365.errors import PrivilegeError, RequestRejected

Row = dict[str, Any]
Query = Mapping[str, str]


@dataclass(frozen=True)
class Unread:
    """Something that the server did not show, and its reason."""

    what: str
    reason: str


@dataclass
class Reads:
    """Asks one environment; `unread` gathers what it refused.

    Refusals for a missing privilege and for content (an older version without the table) are noted. Everything else,
    credentials and outages above all, is raised as the client raises it.
    """

    client: Dataverse
    unread: list[Unread] = field(default_factory=list)

    def rows(self, what: str, path: str, query: Query | None = None) -> list[Row]:
        """All rows, or none when the server refuses; `what` names them for people."""
        try:
            return list(self.client.rows(get(path, query, page=PAGE_ROWS)))
        except (PrivilegeError, RequestRejected) as error:
            self._note(what, error)
            return []

    def value(self, what: str, path: str, query: Query | None = None) -> Row:
        """One object, or an empty one when the server refuses."""
        try:
            return self.client.value(path, query)
        except (PrivilegeError, RequestRejected) as error:
            self._note(what, error)
            return {}

    def could_read(self, what: str) -> bool:
        """Whether nothing of that name was refused so far."""
        return all(unread.what != what for unread in self.unread)

    def _note(self, what: str, error: Exception) -> None:
        self.unread.append(Unread(what, str(error)))
