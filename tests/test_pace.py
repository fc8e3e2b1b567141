"""The window of requests under way: grows while they succeed, halves once per throttle, climbs slowly after."""

from __future__ import annotations

import threading

import pytest

from cio2d365.errors import Transient
from cio2d365.pace import Pace, Window


def after(window: Window, successes: int) -> int:
    for _ in range(successes):
        window.went_well()
    return window.width


def test_a_window_starts_small_and_doubles_up_to_its_cap() -> None:
    window = Window(12)
    assert [window.width, after(window, 2), after(window, 4), after(window, 8), after(window, 100)] == [2, 4, 8, 12, 12]


def test_a_cap_of_one_is_one() -> None:
    window = Window(1)
    assert [window.width, after(window, 50)] == [1, 1]


def test_a_throttle_halves_the_window_and_it_climbs_one_by_one() -> None:
    window = Window(8)
    after(window, 14)
    window.too_much(left=5.0, now=6.0)
    assert [window.width, after(window, 39), after(window, 1), after(window, 50)] == [4, 4, 5, 6]


def test_throttles_of_requests_that_left_before_the_halving_are_one_event() -> None:
    window = Window(8)
    after(window, 14)
    for left in (5.0, 5.1, 6.0):
        window.too_much(left, now=6.0)
    assert (window.width, window.halvings) == (4, 1)
    window.too_much(left=6.1, now=7.0)
    assert window.width == 2


def test_the_window_never_closes() -> None:
    window = Window(4)
    for moment in range(10):
        window.too_much(moment + 0.5, moment + 1.0)
    assert window.width == 1


def test_no_more_requests_are_under_way_than_the_window_is_wide() -> None:
    pace, under_way, most = Pace(), [0], [0]
    pace.limit(4)
    lock = threading.Lock()

    def send() -> None:
        for _ in range(50):
            with pace.turn():
                with lock:
                    under_way[0] += 1
                    most[0] = max(most[0], under_way[0])
                pace.went_well()
                with lock:
                    under_way[0] -= 1

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 4
    assert pace.width == 4


def test_who_waits_for_a_turn_is_told_when_sending_stops() -> None:
    pace, told = Pace(), []
    pace.limit(1)

    def wait() -> None:
        try:
            with pace.turn():
                told.append("sent")
        except Transient as error:
            told.append(str(error))

    with pace.turn():
        waiting = threading.Thread(target=wait)
        waiting.start()
        pace.stop()
        waiting.join(10)
    assert told == ["sending was stopped"]


def test_a_long_pause_ends_at_once_when_sending_stops() -> None:
    pace = Pace()
    pace.pause(3600)
    timer = threading.Timer(0.05, pace.stop)
    timer.start()
    with pytest.raises(Transient), pace.turn():
        pass


def test_a_stop_can_be_lifted() -> None:
    pace = Pace()
    pace.stop()
    pace.go_on()
    with pace.turn() as left:
        assert left > 0
