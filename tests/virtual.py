"""Time for many threads that passes only while all of them wait, so that hours of waiting take seconds.

Client and simulator share it: when no request is on its way and every thread of the client has waited for a few real
milliseconds, time jumps to the moment at which the next sleeper wakes.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from cio2d365.dataverse.crew import CREW
from cio2d365.pace import Pace

TICK = 0.001
QUIET_TICKS = 3
# Innermost functions of a thread that waits: for time, for a job, for the end of one.
WAITING = {"wait", "_serve", "take"}


@dataclass
class VirtualTime:
    """`now` in seconds; `advance` moves the server's clock along."""

    advance: Callable[[float], None] = field(default=lambda _: None)
    now: float = 0.0
    on_the_way: int = 0
    _events: int = 0
    _sleepers: list[tuple[float, int, threading.Event]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _main: threading.Thread = field(default_factory=threading.current_thread)

    def sleep(self, seconds: float) -> None:
        """Wait in this time."""
        woken = threading.Event()
        with self._lock:
            heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
            self._events += 1
        woken.wait()

    def pace(self) -> Pace:
        """A pace that keeps this time."""
        return Pace(clock=lambda: self.now, sleep=self.sleep)

    @contextmanager
    def request(self) -> Iterator[None]:
        """While a request is on its way, time stands still."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Let time pass until the end of the block."""
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(ended,), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()

    def _count(self, step: int) -> None:
        with self._lock:
            self.on_the_way += step
            self._events += 1

    def _tick(self, ended: threading.Event) -> None:
        seen, quiet = -1, 0
        while not ended.is_set():
            time.sleep(TICK)
            with self._lock:
                still = self._events == seen and not self.on_the_way and not at_work(self._main)
                quiet, seen = quiet + 1 if still else 0, self._events
                if quiet >= QUIET_TICKS and self._sleepers:
                    self._jump()

    def _jump(self) -> None:
        moment = self._sleepers[0][0]
        self.advance(moment - self.now)
        self.now = moment
        while self._sleepers and self._sleepers[0][0] <= moment:
            heapq.heappop(self._sleepers)[2].set()


def at_work(main: threading.Thread) -> bool:
    """Whether the loading thread or one of its crew does something."""
    frames = sys._current_frames()
    ours = [t for t in threading.enumerate() if t is main or t.name == CREW]
    return any(frames[t.ident].f_code.co_name not in WAITING for t in ours if t.ident in frames)


@dataclass
class Latency(httpx.BaseTransport):
    """A real connection whose answers take `seconds(request)`; knows how many requests were under way at once."""

    time: VirtualTime
    seconds: Callable[[httpx.Request], float]
    under_way: int = 0
    history: list[tuple[float, int]] = field(default_factory=list)
    _real: httpx.HTTPTransport = field(default_factory=httpx.HTTPTransport)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._change(1)
        try:
            with self.time.request():
                answer = self._real.handle_request(request)
                answer.read()
            if wait := self.seconds(request):
                self.time.sleep(wait)
            return answer
        finally:
            self._change(-1)

    def close(self) -> None:
        self._real.close()

    def _change(self, step: int) -> None:
        with self._lock:
            self.under_way += step
            self.history.append((self.time.now, self.under_way))
