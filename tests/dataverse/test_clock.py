"""The difference between two clocks is measured, not guessed."""

from __future__ import annotations

import time

import httpx
import pytest

from cio2d365.dataverse import clock
from cio2d365.dataverse.client import Dataverse
from cio2d365.transport import Transport
from tests.dataverse.directory import Simulated, connected
from tests.migrate.world import TOKEN


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
def test_a_wrong_clock_is_measured_with_its_sign(simulated: Simulated, ahead: float) -> None:
    with connected(simulated.origin, lambda _: TOKEN) as client:
        found = clock.skew(client, clock=lambda: time.time() + ahead)
    assert found is not None
    assert abs(found - ahead) < 5


def test_the_server_s_clock_counts_and_the_middle_of_the_request() -> None:
    times = iter([1000.0, 1010.0])
    answer = httpx.Response(200, headers={"Date": "Thu, 01 Jan 1970 00:16:00 GMT"}, json={})
    client = Dataverse(Transport("https://o", lambda _: TOKEN, client=httpx.MockTransport(lambda _: answer)))
    assert clock.skew(client, clock=lambda: next(times)) == 1005 - 960.5


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_a_server_that_tells_no_time_gives_no_figure(headers: dict[str, str]) -> None:
    answer = httpx.Response(200, headers=headers, json={})
    client = Dataverse(Transport("https://o", lambda _: TOKEN, client=httpx.MockTransport(lambda _: answer)))
    assert clock.skew(client) is None
