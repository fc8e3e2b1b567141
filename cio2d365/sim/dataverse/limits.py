"""Service protection limits: requests, execution time and concurrency per user (dataverse-api 8.1).

Execution time is modelled, `seconds_per_request` plus `seconds_per_row`, so that a load test hits the same limit
on every machine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .clock import Clock
from .errors import ServiceError, throttled


@dataclass
class LimitSettings:
    """The published values; `enabled=False` switches all three off."""

    enabled: bool = True
    window_seconds: float = 300.0
    requests: int = 6_000
    execution_seconds: float = 1_200.0
    concurrent: int = 52
    seconds_per_request: float = 0.005
    seconds_per_row: float = 0.0005
    concurrency_wait: float = 5.0
    growth_seconds: float = 1.0
    longest_wait: float = 300.0


@dataclass
class _Usage:
    """What one user did in the window: moments of arrival, and (moment, execution seconds) of ends."""

    arrivals: deque[float] = field(default_factory=deque)
    ends: deque[tuple[float, float]] = field(default_factory=deque)
    execution: float = 0.0
    running: int = 0
    blocked_until: float = 0.0
    blocked_by: str = ""


class Limits:
    """Counts per user and says no."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.settings = LimitSettings()
        self._users: dict[str, _Usage] = {}

    def reset(self) -> None:
        """Forget all usage and go back to the published values."""
        self.settings = LimitSettings()
        self._users.clear()

    def admit(self, user: str) -> None:
        """Count a request in. Raises 429 when a limit is passed; pushing during the wait makes it longer."""
        usage, now = self._users.setdefault(user, _Usage()), self.clock.elapsed()
        if self.settings.enabled:
            self._forget_old(usage, now)
            self._refuse_blocked(usage, now)
            self._refuse_over(usage, now)
        usage.arrivals.append(now)
        usage.running += 1

    def release(self, user: str, rows: int) -> None:
        """A request has ended: its modelled execution time counts from now on."""
        usage = self._users[user]
        usage.running -= 1
        cost = self.settings.seconds_per_request + rows * self.settings.seconds_per_row
        usage.execution += cost
        usage.ends.append((self.clock.elapsed(), cost))

    def remaining(self, user: str) -> dict[str, str]:
        """The debugging headers with what is left in the window."""
        usage = self._users.get(user, _Usage())
        left = max(0, self.settings.requests - len(usage.arrivals))
        seconds = max(0.0, self.settings.execution_seconds - usage.execution)
        return {
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(left),
            "x-ms-ratelimit-time-remaining-xrm-requests": f"{seconds:.2f}",
        }

    def _forget_old(self, usage: _Usage, now: float) -> None:
        start = now - self.settings.window_seconds
        while usage.arrivals and usage.arrivals[0] <= start:
            usage.arrivals.popleft()
        while usage.ends and usage.ends[0][0] <= start:
            usage.execution -= usage.ends.popleft()[1]

    def _refuse_blocked(self, usage: _Usage, now: float) -> None:
        if now >= usage.blocked_until:
            return
        longest = now + self.settings.longest_wait
        usage.blocked_until = min(usage.blocked_until + self.settings.growth_seconds, longest)
        raise self._error(usage.blocked_by, usage.blocked_until - now)

    def _refuse_over(self, usage: _Usage, now: float) -> None:
        if usage.running >= self.settings.concurrent:
            raise self._error("concurrent", self.settings.concurrency_wait)
        if len(usage.arrivals) >= self.settings.requests:
            raise self._block(usage, "requests", usage.arrivals[0], now)
        if usage.execution >= self.settings.execution_seconds:
            raise self._block(usage, "execution", usage.ends[0][0], now)

    def _block(self, usage: _Usage, limit: str, oldest: float, now: float) -> ServiceError:
        usage.blocked_by = limit
        usage.blocked_until = max(oldest + self.settings.window_seconds, now + 1)
        return self._error(limit, usage.blocked_until - now)

    def _error(self, limit: str, wait: float) -> ServiceError:
        window = f"{self.settings.window_seconds:.0f}"
        if limit == "requests":
            most = self.settings.requests
            text = f"Number of requests exceeded the limit of {most} over time window of {window} seconds."
            return throttled("0x80072322", text, wait)
        if limit == "execution":
            milliseconds = f"{self.settings.execution_seconds * 1000:,.0f}"
            text = (
                f"Combined execution time of incoming requests exceeded limit of {milliseconds} milliseconds over "
                f"time window of {window} seconds. Decrease number of concurrent requests or reduce the duration "
                "of requests and try again later."
            )
            return throttled("0x80072321", text, wait)
        text = f"Number of concurrent requests exceeded the limit of {self.settings.concurrent}."
        return throttled("0x80072326", text, wait)


def configure(settings: LimitSettings, changes: dict[str, Any]) -> None:
    """Change settings by name. Raises KeyError for an unknown one."""
    for name, value in changes.items():
        if not hasattr(settings, name):
            raise KeyError(name)
        setattr(settings, name, type(getattr(settings, name))(value))
