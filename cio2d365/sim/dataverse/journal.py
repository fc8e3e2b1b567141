"""The simulator's own record of every request: what arrived when, what was answered, what was really committed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Entry:
    """One request.

    `elapsed` is the server's clock in seconds from some moment; `status` is 0 when the connection was cut.
    """

    seq: int
    arrived: float
    elapsed: float
    time: str
    method: str
    path: str
    identity: str
    status: int = 0
    code: str = ""
    committed: dict[str, dict[str, int]] | None = None
    fault: str = ""


BLOCK = 1000


class Journal:
    """Entries in the order of arrival. Numbers go on after a restart: they are reserved in blocks beforehand."""

    def __init__(self, first: int, reserve: Callable[[int], None]) -> None:
        self.entries: list[Entry] = []
        self._next = first
        self._reserved = first
        self._reserve = reserve

    def open(self, arrived: float, elapsed: float, time: str, method: str, path: str) -> Entry:
        """A new entry for a request that has just arrived."""
        if self._next >= self._reserved:
            self._reserved = self._next + BLOCK
            self._reserve(self._reserved)
        entry = Entry(self._next, arrived, elapsed, time, method, path, "")
        self._next += 1
        self.entries.append(entry)
        return entry

    def since(self, seq: int) -> list[dict[str, Any]]:
        """Entries after `seq` as JSON."""
        start = bisect_right(self.entries, seq, key=lambda entry: entry.seq)
        return [asdict(entry) for entry in self.entries[start:]]

    def clear(self) -> None:
        """Forget everything and begin at one."""
        self.entries.clear()
        self._next = self._reserved = 1
