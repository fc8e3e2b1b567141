"""What really happened: every request with its time of arrival and what became of it."""

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 200_000


@dataclass(frozen=True)
class Entry:
    """One request. `status` is None when the connection was dropped.

    `committed` says whether the store changed, `authorized` whether credentials came with the request.
    """

    seq: int
    arrived: float
    monotonic: float
    api: str
    method: str
    path: str
    query: str
    endpoint: str
    status: int | None
    fault: str | None
    committed: bool
    bytes_in: int
    bytes_out: int
    retry_count: str | None
    authorized: bool


@dataclass
class Journal:
    """The last 200,000 requests; `total` goes on counting and the answer says how many are no longer kept."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=KEPT))
    total: int = 0

    def add(self, **facts: Any) -> None:
        """Append one request."""
        self.total += 1
        self.entries.append(Entry(seq=self.total, **facts))

    def since(self, seq: int) -> dict[str, Any]:
        """Entries after `seq`, oldest first."""
        rows = [asdict(entry) for entry in self.entries if entry.seq > seq]
        return {"total": self.total, "forgotten": self.total - len(self.entries), "entries": rows}

    def counts(self) -> dict[str, dict[str, int]]:
        """`METHOD template` → status → requests; a dropped connection counts as `none`."""
        counter = Counter((f"{e.method} {e.endpoint}", str(e.status or "none")) for e in self.entries)
        counts: dict[str, dict[str, int]] = {}
        for (endpoint, status), number in sorted(counter.items()):
            counts.setdefault(endpoint, {})[status] = number
        return counts
