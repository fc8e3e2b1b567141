"""Threads over several identities: every job once, errors where they are taken back, a halt that does not hang."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.crew import Crew, shares
from cio2d365.errors import Transient
from cio2d365.transport import Transport

Work = Callable[[Dataverse, int], int]


@contextmanager
def clients(count: int) -> Iterator[list[Dataverse]]:
    silent = httpx.MockTransport(lambda _: httpx.Response(204))
    with ExitStack() as stack:
        links = [Transport(f"https://org{n}.example", lambda _: "Bearer t", client=silent) for n in range(count)]
        yield [Dataverse(stack.enter_context(link)) for link in links]


def all_ends(crew: Crew[int, int], jobs: Iterator[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    while True:
        while crew.idle and (job := next(jobs, None)) is not None:
            crew.give(job)
        if not crew.busy:
            return found
        job, end = crew.take()
        found[job] = end


@pytest.mark.parametrize(
    ("total", "count", "expected"), [(4, 1, [4]), (4, 3, [2, 1, 1]), (2, 3, [1, 1, 1]), (16, 4, [4] * 4)]
)
def test_threads_are_shared_evenly(total: int, count: int, expected: list[int]) -> None:
    assert shares(total, count) == expected


def test_every_job_is_done_once_and_every_identity_works() -> None:
    used: set[str] = set()
    both = threading.Barrier(2)

    def work(client: Dataverse, job: int) -> int:
        if job < 2:
            both.wait(10)
        used.add(client.transport.origin)
        return job * job

    with clients(2) as found, Crew(found, [1, 1], work) as crew:
        assert all_ends(crew, iter(range(200))) == {n: n * n for n in range(200)}
    assert used == {"https://org0.example", "https://org1.example"}


def test_what_a_job_raised_is_raised_where_it_is_taken_back() -> None:
    def work(_: Dataverse, job: int) -> int:
        raise ValueError(job)

    with clients(1) as found, Crew(found, [2], work) as crew:
        crew.give(7)
        with pytest.raises(ValueError, match="7"):
            crew.take()
        assert not crew.busy


def test_a_halt_gives_what_still_ends_and_does_not_wait_for_what_hangs() -> None:
    hanging = threading.Event()

    def work(_: Dataverse, job: int) -> int:
        if job == 0:
            hanging.wait(60)
        if job == 1:
            raise Transient("no")
        return job

    with clients(1) as found, Crew(found, [4], work) as crew:
        for job in range(4):
            crew.give(job)
        assert sorted(crew.halt(grace=0.5)) == [(2, 2), (3, 3)]
        with pytest.raises(Transient, match="sending was stopped"):
            found[0].who_am_i()
        hanging.set()
