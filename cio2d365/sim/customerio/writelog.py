"""Writes that outlive the process: one JSON line for each accepted Track call, replayed on the next start."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Write:
    """A call as it was accepted."""

    method: str
    raw_path: str
    query: str
    content: bytes
    at: int


@dataclass(frozen=True)
class WriteLog:
    """The file in the state folder; None keeps nothing."""

    path: Path | None

    def append(self, write: Write) -> None:
        """Keep one call."""
        if self.path is None:
            return
        line = [write.method, write.raw_path, write.query, write.content.decode("utf-8", "surrogateescape"), write.at]
        with self.path.open("a", encoding="utf-8", errors="surrogateescape") as log:
            log.write(json.dumps(line) + "\n")

    def kept(self) -> Iterator[Write]:
        """All calls, oldest first. Half a line at the end, left by a kill, is passed over."""
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True):
            if line.endswith("\n"):
                method, raw_path, query, content, at = json.loads(line)
                yield Write(method, raw_path, query, content.encode("utf-8", "surrogateescape"), at)

    def clear(self) -> None:
        """Forget everything."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
