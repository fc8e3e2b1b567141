"""When the next request of one identity may leave (L5).

Three rules bind all workers of an identity together: a steady rate where the server publishes one, pauses that an
answer asked for, and a window of requests on their way at once that grows while they succeed and halves when the
server says that it is too much (F-03, F-04; `dataverse-api 8.1`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cio2d365.errors import Transient

FIRST_WIDTH = 2
SUCCESSES_PER_STEP = 10  # after the first halving the window grows by one after so many successes per request in it


@dataclass
class Window:
    """How many requests may be on their way at once, at most `cap`.

    It doubles until the server first says too much; after that it climbs slowly. Requests that left before the window
    was halved say nothing new about it.
    """

    cap: int
    width: int = 0
    halvings: int = 0
    _successes: int = 0
    _halved_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.width = min(FIRST_WIDTH, self.cap)

    def went_well(self) -> None:
        """One more success."""
        self._successes += 1
        if self._successes < self.width * (SUCCESSES_PER_STEP if self.halvings else 1):
            return
        self._successes = 0
        self.width = min(self.cap, self.width + (1 if self.halvings else self.width))

    def too_much(self, left: float, now: float) -> None:
        """A request that left at `left` was throttled or timed out."""
        if left <= self._halved_at:
            return
        self.width = max(1, self.width // 2)
        self.halvings += 1
        self._successes = 0
        self._halved_at = now


class Pace:
    """The turns of one identity; `clock` and `sleep` are seams for tests."""

    def __init__(
        self,
        per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.clock = clock
        self.waited = 0.0
        self.window: Window | None = None
        self._gap = 1 / per_second if per_second else 0.0
        self._sleep = sleep
        self._gate = threading.Condition()
        self._next = 0.0
        self._running = 0
        self._stopped = False

    @property
    def width(self) -> int | None:
        """How many requests may be on their way at once now; None without a limit."""
        return self.window.width if self.window else None

    def limit(self, parallel: int) -> None:
        """From now on at most so many requests at once, fewer to begin with."""
        with self._gate:
            self.window = Window(parallel)

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait until this caller may send; gives the moment of leaving. Transient when the pace was stopped."""
        left = self._enter()
        try:
            yield left
        finally:
            with self._gate:
                self._running -= 1
                self._gate.notify_all()

    def pause(self, seconds: float) -> None:
        """No request of this identity leaves for so long."""
        with self._gate:
            self._next = max(self._next, self.clock() + seconds)

    def went_well(self) -> None:
        """A request succeeded."""
        with self._gate:
            if self.window:
                self.window.went_well()

    def too_much(self, left: float) -> None:
        """The server could not take what left at `left`."""
        with self._gate:
            if self.window:
                self.window.too_much(left, self.clock())

    def stop(self) -> None:
        """Nothing leaves any more; who waits for a turn gets Transient (F-53)."""
        with self._gate:
            self._stopped = True
            self._gate.notify_all()

    def go_on(self) -> None:
        """Let requests leave again after a stop."""
        with self._gate:
            self._stopped = False

    def _enter(self) -> float:
        with self._gate:
            while True:
                if self._stopped:
                    raise Transient("sending was stopped")
                now = self.clock()
                if now < self._next:
                    self._rest(self._next - now)
                elif self.window and self._running >= self.window.width:
                    self._gate.wait()
                else:
                    self._next = now + self._gap
                    self._running += 1
                    return now

    def _rest(self, seconds: float) -> None:
        self.waited += seconds
        if self._sleep is None:
            self._gate.wait(seconds)
            return
        self._gate.release()
        try:
            self._sleep(seconds)
        finally:
            self._gate.acquire()
