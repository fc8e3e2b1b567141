"""Ids are computed from source identity alone: the same in every run, on every machine, in every version (L3)."""

from __future__ import annotations

from uuid import UUID

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from cio2d365 import identity


def ids(*keys: str | None, migration: str = "m", table: str = "contact") -> list[str | None]:
    return identity.row_ids(migration, table, pl.Series("k", list(keys), dtype=pl.String)).to_list()


def test_ids_never_change_between_versions() -> None:
    """These values stand in customers' systems: whoever changes them doubles every row."""
    assert ids("id:007", "id:7", "email:ann@example.com") == [
        "c6751ae8-902b-5438-a877-b39d1a1b0cf2",
        "98712f75-44a0-535a-9a5c-5f41f2c0d43f",
        "ed1e1358-5ffe-5607-939e-1de0dbf86c9d",
    ]
    times = identity.timed_row_ids("acme-2026", "cio_event", pl.Series(["cdp:1"]), pl.Series([1_700_000_000_000]))
    assert times.to_list() == ["b37bd346-4fff-8f32-82a8-018bcfe56800"]


def test_source_keys_are_compared_byte_for_byte() -> None:
    keys = [
        "id:7",
        "id:07",
        "id:007",
        "id:A1",
        "id:a1",
        "id:jose",
        "id:josé",
        "id:jose\u0301",
        "id:x",
        "id:x ",
        "cio:7",
    ]
    assert len(set(ids(*keys))) == len(keys)


def test_nobody_has_no_id() -> None:
    assert ids("id:1", None)[1] is None


def test_migrations_and_tables_do_not_share_ids() -> None:
    found = [ids("id:1", migration=m, table=t)[0] for m in ("m", "n") for t in ("contact", "lead")]
    assert len(set(found)) == 4


@given(st.text(max_size=200).filter(lambda t: t.isprintable()))
def test_ids_are_valid_uuids_of_version_5_in_lower_case(key: str) -> None:
    [found] = ids(key)
    assert found == str(UUID(found))
    assert (UUID(found).version, UUID(found).variant) == (5, "specified in RFC 4122")


@given(st.integers(min_value=0, max_value=253_402_300_799_000))
def test_timed_ids_end_with_the_moment_and_are_version_8(at: int) -> None:
    [found] = identity.timed_row_ids("m", "cio_event", pl.Series(["e"]), pl.Series([at]))
    assert UUID(found).version == 8
    assert UUID(found).variant == "specified in RFC 4122"
    assert int(found[-12:], 16) == at & 0xFFFF_FFFF_FFFF


def test_timed_ids_of_one_moment_differ_by_key_and_keep_the_order_of_time_in_sql_server() -> None:
    keys, at = pl.Series([f"e{n}" for n in range(1000)]), pl.Series([1_700_000_000_000 + n for n in range(1000)])
    found = identity.timed_row_ids("m", "cio_event", keys, at).to_list()
    # SQL Server compares the last six bytes of a uniqueidentifier first.
    assert sorted(found, key=lambda i: i[-12:]) == found
    same = identity.timed_row_ids("m", "cio_event", keys, pl.Series([1] * 1000))
    assert same.n_unique() == 1000
