"""All kinds of faults at once, at a rate of one request in five: the end is that of an undisturbed migration."""

from __future__ import annotations

from typing import Any

import pytest

from cio2d365.errors import WorldError

from .world import World, companies, people

EACH = 0.03
VERBS: list[dict[str, Any]] = [
    {"verb": "commit_then_drop"},
    {"verb": "drop_before_commit"},
    {"verb": "commit_then_status", "code": 504},
    {"verb": "reset_after", "bytes": 64},
    {"verb": "truncate_after", "bytes": 64},
    {"verb": "corrupt_gzip"},
    {"verb": "status", "code": 429, "headers": {"Retry-After": "2"}, "error_code": "0x80072322", "message": "slow"},
    {"verb": "status", "code": 503},
    {"verb": "status", "code": 502, "body": "<html>Bad Gateway</html>"},
    {"verb": "status", "code": 500, "error_code": "0x80044150", "message": "deadlock 1205"},
]


def disturb(target: World, seed: int) -> None:
    rules = [{"match": {"probability": EACH}, "action": action} for action in VERBS]
    target.control.post("faults", json={"seed": seed, "rules": rules}).raise_for_status()


def until_done(target: World, frames: dict[str, Any]) -> None:
    """As an operator would: when a run stops, start it again."""
    for _ in range(10):
        try:
            target.load(frames, request_rows=25, chunk_rows=200)
        except WorldError:
            continue
        return
    raise AssertionError("ten starts were not enough")


def until_undone(target: World) -> None:
    for _ in range(10):
        try:
            target.roll_back()
        except WorldError:
            continue
        return
    raise AssertionError("ten rollbacks were not enough")


def one_round(target: World, seed: int) -> None:
    accounts = companies(40)
    frame = people(400, jobtitle="new", parentcustomerid_account=[accounts["accountid"][n % 40] for n in range(400)])
    target.load({"contact": people(50, jobtitle="old")}, "r0", at="2025-06-01T00:00:00+00:00")
    disturb(target, seed)
    until_done(target, {"account": accounts, "contact": frame})
    there = target.rows()
    assert {i: row["lastname"] for i, row in there.items()} == dict(
        zip(frame["contactid"], frame["lastname"], strict=True)
    )
    assert {row["jobtitle"] for row in there.values()} == {"new"}
    with target.ledger() as ledger:
        assert ledger.runs().select("run_id", "created", "updated", "quarantined").rows() == [
            ("r0", 50, 0, 0), ("r1", 390, 50, 0)
        ]  # fmt: skip
    until_undone(target)
    assert {row["jobtitle"] for row in target.rows().values()} == {"old"}
    assert (len(target.rows()), len(target.rows("account"))) == (50, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_disturbed_migration_ends_like_an_undisturbed_one(target: World, seed: int) -> None:
    one_round(target, seed)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(4, 64))
def test_many_disturbed_migrations_end_like_undisturbed_ones(target: World, seed: int) -> None:
    one_round(target, seed)
