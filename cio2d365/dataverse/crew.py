"""Threads that send for one or several identities; the caller gives jobs and takes their ends, one at a time.

The threads are daemons: an interrupt waits a few seconds for what is on its way, and never for a server that hangs
(F-53). What did not end by then has an unknown end, which is what a ledger's intents are for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from cio2d365.dataverse.client import Dataverse

Job = TypeVar("Job")
End = TypeVar("End")
CREW = "crew"
GRACE = 8.0
# A wait without an end cannot be interrupted on Windows.
LOOK_UP = 0.5


class Crew(Generic[Job, End]):
    """`work(client, job)` on so many threads per client; whoever is free takes the next job."""

    def __init__(
        self, clients: Sequence[Dataverse], threads: Sequence[int], work: Callable[[Dataverse, Job], End]
    ) -> None:
        self._clients = clients
        self._work = work
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._ends: SimpleQueue[tuple[Job, End | BaseException]] = SimpleQueue()
        self._size = sum(threads)
        self._busy = 0
        for client, count in zip(clients, threads, strict=True):
            for _ in range(count):
                Thread(target=self._serve, args=(client,), name=CREW, daemon=True).start()

    def __enter__(self) -> Crew[Job, End]:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in range(self._size):
            self._jobs.put(None)

    @property
    def idle(self) -> bool:
        """True when a thread has nothing to do."""
        return self._busy < self._size

    @property
    def busy(self) -> bool:
        """True when a job has not been taken back yet."""
        return self._busy > 0

    def give(self, job: Job) -> None:
        """Let a thread do this."""
        self._busy += 1
        self._jobs.put(job)

    def take(self) -> tuple[Job, End]:
        """The next job that has ended, with its end; raises what the job raised."""
        while True:
            try:
                job, end = self._ends.get(timeout=LOOK_UP)
            except Empty:
                continue
            self._busy -= 1
            if isinstance(end, BaseException):
                raise end
            return job, end

    def halt(self, grace: float = GRACE) -> Iterator[tuple[Job, End]]:
        """Let nothing more leave; the jobs that still end well within `grace` seconds."""
        for client in self._clients:
            client.transport.pace.stop()
        until = time.monotonic() + grace
        while self._busy and (left := until - time.monotonic()) > 0:
            try:
                job, end = self._ends.get(timeout=left)
            except Empty:
                return
            self._busy -= 1
            if not isinstance(end, BaseException):
                yield job, end

    def _serve(self, client: Dataverse) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._ends.put((job, self._work(client, job)))
            except BaseException as error:  # noqa: BLE001 - raised where the job is taken back
                self._ends.put((job, error))


def shares(total: int, count: int) -> list[int]:
    """`total` threads over `count` identities, as evenly as can be, at least one each."""
    each, more = divmod(max(total, count), count)
    return [each + (n < more) for n in range(count)]
