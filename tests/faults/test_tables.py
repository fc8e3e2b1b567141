"""A table that is refused as a whole, F-26 and F-39, several application users, and an interrupt, F-53."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace

import polars as pl
import pytest

from cio2d365.dataverse.crew import GRACE
from cio2d365.errors import TableRefused
from tests.migrate import loader
from tests.migrate.world import World, companies, dataverse, only, people, sums

from .conftest import Undisturbed
from .story import content, sent

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.migrate.loader"])


def linked(count: int) -> dict[str, pl.DataFrame]:
    accounts = companies(10)
    links = pl.Series([accounts["accountid"][n % 10] for n in range(count)])
    return {"account": accounts, "contact": people(count).with_columns(parentcustomerid_account=links)}


def test_a_table_without_the_right_stops_alone_and_what_does_not_point_to_it_goes_on(target: World) -> None:
    """F-26: one request is refused, nothing goes to quarantine, another table is loaded."""
    target.fault({"verb": "revoke_privilege", "table": "account", "right": "Create"})
    with pytest.raises(TableRefused, match=r"^account: .*prvCreateAccount") as caught:
        target.load({"account": companies(300), "contact": people(50)})
    assert "contact" not in str(caught.value)
    assert len(sent(target, "accounts/Microsoft.Dynamics.CRM.CreateMultiple")) <= 4
    assert (len(target.rows("account")), len(target.rows())) == (0, 50)
    with target.ledger() as ledger:
        assert ledger.quarantine().is_empty()


def test_rows_that_point_to_a_refused_table_are_not_sent(target: World) -> None:
    """F-26: a contact whose company could not be created would lose its link."""
    target.fault({"verb": "revoke_privilege", "table": "account", "right": "Create"})
    with pytest.raises(TableRefused, match="contact: not sent, because it points to account"):
        target.load(linked(30))
    assert target.rows() == {}


def test_once_the_right_is_given_the_same_run_completes(target: World, undisturbed: Undisturbed) -> None:
    """F-26: STOP is resumable."""
    target.fault({"verb": "revoke_privilege", "table": "account", "right": "Create"})
    with pytest.raises(TableRefused):
        target.load(linked(30))
    target.control.delete("faults")
    assert sums(target.load(linked(30))) == only(created=30)
    found = content(target)
    assert found == undisturbed(linked(30))


def test_a_table_of_bad_rows_stops_alone_too(target: World) -> None:
    """F-39: every account is refused alike; contacts that do not point there are loaded."""
    accounts = companies(100).with_columns(name=pl.lit("x" * 161))
    with pytest.raises(TableRefused, match="account: 20 rows of account in a row were refused alike"):
        target.load({"account": accounts, "contact": people(50)}, same_error_limit=20)
    assert len(target.rows()) == 50


def test_several_application_users_share_the_work(target: World) -> None:
    """Issue of several application users: each has its own pace, all rows land once."""
    target.control.post("switches", json={"dop_hint": 8}).raise_for_status()
    tokens = [target.control.post("users", json=user).raise_for_status().json()["token"] for user in USERS]
    with ExitStack() as stack:
        others = [stack.enter_context(dataverse(target.origin, token=f"Bearer {t}")) for t in tokens]
        both = replace(target, others=others)
        assert sums(both.load({"contact": people(600)}, request_rows=10, parallel=2)) == only(created=600)
    creators = {e["identity"] for e in sent(target, "CreateMultiple")}
    assert len(creators) == 3
    assert len(target.rows()) == 600


USERS = [
    {"firstname": "Loader", "lastname": name, "role": "System Administrator", "isdisabled": False, "token": True}
    for name in ("Two", "Three")
]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_ends_in_seconds_although_the_server_hangs(
    target: World, undisturbed: Undisturbed, number: int
) -> None:
    """F-53: a request that never ends is not waited for; the next run finds out what became of it."""
    target.fault({"verb": "commit_then_delay", "seconds": 40}, message="CreateMultiple", nth=6)
    frames = {"contact": people(1500)}
    started = context.Event()
    args = (started, target.origin, target.folder, target.tables, target.organization, frames, "r1")
    process = context.Process(target=loader.interruptible, args=args)
    process.start()
    assert started.wait(60)
    while len(sent(target, "CreateMultiple")) < 6:
        time.sleep(0.02)
    os.kill(process.pid or 0, number)
    asked = time.monotonic()
    process.join(30)
    assert (process.exitcode, time.monotonic() - asked < GRACE + 2) == (loader.INTERRUPTED, True)
    target.control.delete("faults")
    assert sums(target.load(frames)) == only(created=1500)
    found = content(target)
    assert found == undisturbed(frames)
