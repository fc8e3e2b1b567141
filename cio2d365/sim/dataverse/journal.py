"""The simulator's own record of every request: what arrived when, what was answered, what was really committed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Entry:
    """One request. `status` is 0 when the connection was cut without an answer."""

    seq: int
    arrived: float
    time: str
    method: str
    path: str
    identity: str
    status: int = 0
    code: str = ""
    committed: dict[str, dict[str, int]] | None = None
    fault: str = ""


class Journal:
    """Entries in the order of arrival."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def open(self, arrived: float, time: str, method: str, path: str) -> Entry:
        """A new entry for a request that has just arrived."""
        entry = Entry(len(self.entries) + 1, arrived, time, method, path, "")
        self.entries.append(entry)
        return entry

    def since(self, seq: int) -> list[dict[str, Any]]:
        """Entries after `seq` as JSON."""
        return [asdict(entry) for entry in self.entries[seq:]]

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
