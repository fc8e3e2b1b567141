"""What sending to a table teaches: the size of requests, and when it is not the rows."""

from __future__ import annotations

import pytest

from cio2d365.dataverse.bulk import Flow
from cio2d365.errors import TableRefused
from cio2d365.outcomes import Refusal

ROWS = [{"n": n} for n in range(5000)]


def sizes(flow: Flow, seconds: float, count: int) -> list[int]:
    """Sizes of the next requests when each takes so long."""
    found = []
    cut = flow.cut(ROWS)
    for _ in range(count):
        part = next(cut)
        found.append(len(part))
        flow.landed(len(part), seconds)
    return found


def test_requests_start_small_and_double_while_they_take_little_time() -> None:
    assert sizes(Flow(1000, 20), 0.3, 5) == [250, 500, 1000, 1000, 1000]


def test_a_small_setting_is_kept() -> None:
    assert sizes(Flow(40, 20), 0.3, 3) == [40, 40, 40]


def test_requests_stay_as_they_are_when_they_take_a_while() -> None:
    assert sizes(Flow(1000, 20), 5.0, 3) == [250, 250, 250]


def test_requests_that_take_long_get_smaller_but_not_tiny() -> None:
    assert sizes(Flow(1000, 20), 15.0, 4) == [250, 125, 100, 100]


def test_after_a_time_out_half_as_many_rows_and_growth_again() -> None:
    flow = Flow(1000, 20)
    flow.took_too_long(250)
    assert sizes(flow, 0.3, 3) == [125, 250, 500]


def test_what_was_too_large_once_is_never_sent_again() -> None:
    flow = Flow(1000, 20)
    flow.too_large(500)
    assert sizes(flow, 0.3, 4) == [250, 250, 250, 250]


def test_a_late_answer_of_a_larger_request_does_not_let_small_ones_grow() -> None:
    flow = Flow(1000, 20)
    flow.landed(100, 0.1)
    assert flow.rows == 250


def test_alike_refusals_in_a_row_stop_a_table_and_a_landing_between_does_not() -> None:
    flow, refusal = Flow(100, 3), Refusal(0x80044331, "too long")
    for _ in range(2):
        flow.refused("contact", refusal)
    flow.landed(1, 0.1)
    for _ in range(2):
        flow.refused("contact", refusal)
    flow.refused("contact", Refusal(0x80040278, "a character"))
    flow.refused("contact", refusal)
    flow.refused("contact", refusal)
    with pytest.raises(TableRefused, match="3 rows of contact in a row were refused alike"):
        flow.refused("contact", refusal)
