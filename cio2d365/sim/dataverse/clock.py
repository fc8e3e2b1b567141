"""The server's clock: real, shifted, or standing still until a test moves it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Wall time with a skew, and an elapsed time that limits and jobs are measured with."""

    def __init__(self) -> None:
        self._skew = timedelta(0)
        self._virtual: datetime | None = None
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Current UTC time as the server sees it."""
        return (self._virtual or datetime.now(UTC)) + self._skew

    def now_text(self) -> str:
        """Current time as it is stored in rows."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def elapsed(self) -> float:
        """Seconds since some fixed moment; never goes back, unaffected by the skew."""
        return self._elapsed if self._virtual else self._elapsed + time.monotonic()

    def shift(self, seconds: float) -> None:
        """Let the wall clock differ from the true time by `seconds` in addition."""
        self._skew += timedelta(seconds=seconds)

    def freeze(self, at: datetime | None = None) -> None:
        """Make the clock virtual: it stands still until `advance`."""
        if self._virtual is None:
            self._elapsed += time.monotonic()
        self._virtual = at or self._virtual or datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Move a virtual clock forward (a real one jumps)."""
        self._elapsed += seconds
        if self._virtual is None:
            self._skew += timedelta(seconds=seconds)
        else:
            self._virtual += timedelta(seconds=seconds)

    def release(self) -> None:
        """Back to real time, without skew."""
        if self._virtual is not None:
            self._elapsed -= time.monotonic()
        self._virtual, self._skew = None, timedelta(0)
