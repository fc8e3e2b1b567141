"""Links to rows that the target refused, F-43: the row lands without the link, is listed, and gets it once it can."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from cio2d365 import identity
from cio2d365.dataverse import requests
from cio2d365.errors import Terminal
from cio2d365.migrate import provision
from cio2d365.migrate.schema import SOURCE_KEY, event_table
from cio2d365.tables import Table
from tests.migrate.world import MIGRATION, World, companies, nothing, only, people, sums

from .conftest import Undisturbed
from .story import committed, content, odata_error, sent
from .test_records import refusing, set_aside

ACCOUNTS = companies(4)
REFUSED = ACCOUNTS["accountid"][2]
PEOPLE = people(40, parentcustomerid_account=[ACCOUNTS["accountid"][n % 4] for n in range(40)])
FRAMES = {"account": ACCOUNTS, "contact": PEOPLE}
LEFT_OUT = sorted(("contact", f"id:{n}", "parentcustomerid_account", REFUSED) for n in range(2, 40, 4))
PLUG_IN = refusing("0x80040265", "A plug-in refuses.", name="c2")


@pytest.fixture
def refused(target: World) -> World:
    """A target that does not take the account `c2`."""
    target.faults([PLUG_IN])
    return target


def links(target: World) -> dict[str, str | None]:
    """Last name → the account of every contact."""
    return {row["lastname"]: row.get("parentcustomerid") for row in target.rows().values()}


def listed(target: World) -> list[tuple[str, ...]]:
    """Table, source key, link and target of every link that was left out."""
    with target.ledger() as ledger:
        return ledger.unlinked().select("table", "source_key", "link", "target").rows()


@pytest.mark.parametrize("chunk_rows", [1000, 7], ids=["one chunk", "six chunks"])
def test_rows_that_point_to_one_in_quarantine_land_without_the_link_and_are_listed(
    refused: World, chunk_rows: int
) -> None:
    """F-43: never dropped; the list names the row, the link and what it would have pointed to."""
    balance = refused.load(FRAMES, "r0", chunk_rows=chunk_rows, request_rows=10)
    assert (sums(balance, "account"), sums(balance)) == (only(created=3, quarantined=1), only(created=40))
    assert set_aside(refused) == {"1:2": (0x80040265, "A plug-in refuses.")}
    ids = ACCOUNTS["accountid"]
    assert links(refused) == {f"n{n}": None if n % 4 == 2 else ids[n % 4] for n in range(40)}
    assert listed(refused) == LEFT_OUT
    assert all(entry["status"] == 200 for entry in sent(refused, "contacts/Microsoft"))


def test_the_next_load_sets_the_links_once_their_target_has_landed(refused: World, undisturbed: Undisturbed) -> None:
    """F-43: the end is that of a run in which nothing was refused, and nothing is listed any more."""
    refused.load(FRAMES, "r0")
    refused.faults([])
    balance = refused.load(FRAMES, "r1")
    assert sums(balance, "account") == only(created=1, unchanged=3)
    assert sums(balance) == only(updated=10, unchanged=30)
    assert listed(refused) == []
    since = refused.mark()
    assert sums(refused.load(FRAMES, "r2")) == only(unchanged=40)
    assert refused.writes(since) == []
    assert committed(refused, "created") == 40
    assert _without_runs(content(refused)) == _without_runs(undisturbed(FRAMES))


def test_a_target_that_stays_in_quarantine_keeps_its_links_listed_and_nobody_is_sent_again(refused: World) -> None:
    """F-43, L3: the second load tries the account, and no contact."""
    refused.load(FRAMES, "r0")
    since = refused.mark()
    balance = refused.load(FRAMES, "r1")
    assert (sums(balance, "account"), sums(balance)) == (only(unchanged=3, quarantined=1), only(unchanged=40))
    assert {entry["path"].partition("/")[0] for entry in refused.writes(since)} == {"accounts"}
    assert listed(refused) == LEFT_OUT


def test_a_link_to_a_row_of_an_earlier_runs_quarantine_is_left_out(refused: World) -> None:
    """F-43: the ledger remembers what was refused, also when the later load holds other tables only."""
    refused.load({"account": ACCOUNTS}, "r0")
    refused.faults([])
    assert sums(refused.load({"contact": PEOPLE}, "r1")) == only(created=40)
    assert listed(refused) == LEFT_OUT
    refused.load(FRAMES, "r2")
    assert listed(refused) == []
    assert set(links(refused).values()) == set(ACCOUNTS["accountid"])


def test_a_stopped_load_that_goes_on_lists_each_link_once_and_sets_it_when_it_can(
    refused: World, undisturbed: Undisturbed
) -> None:
    """F-43, F-51: a run of which a part landed without links, and its second half after the target did."""
    full = odata_error(400, "0x80072325", "The storage limit for the database has been met.")
    refused.faults([PLUG_IN, {"match": {"path": "contacts/.*CreateMultiple", "nth": [3, 4]}, "action": full}])
    for _ in range(2):
        with pytest.raises(Terminal, match="0x80072325"):
            refused.load(FRAMES, "r0", chunk_rows=10, request_rows=10, parallel=1)
        assert listed(refused) == [link for link in LEFT_OUT if int(link[1][3:]) < 30]
    refused.faults([])
    balance = refused.load(FRAMES, "r0", chunk_rows=10, request_rows=10, parallel=1)
    assert sums(balance, "account") == only(created=4)
    assert sum(sums(balance).values()) == 40
    assert listed(refused) == []
    assert content(refused) == undisturbed(FRAMES)


def test_undoing_the_load_that_set_the_links_takes_only_them_away(refused: World) -> None:
    """F-43, F-61: the account of that load goes; its contacts stay, as the load before had left them."""
    refused.load(FRAMES, "r0")
    before = content(refused)
    refused.faults([])
    refused.load(FRAMES, "r1")
    undone = refused.roll_back("r1")
    assert undone.select("table", "deleted", "restored", "protected").rows() == [
        ("contact", 0, 10, 0),
        ("account", 1, 0, 0),
    ]
    assert content(refused) == before


def test_rows_that_are_gone_again_are_listed_no_more(refused: World) -> None:
    """F-43: undoing the load that left the links out takes its rows, and with them what they lacked."""
    refused.load(FRAMES, "r0")
    refused.roll_back("r0")
    assert (content(refused), listed(refused)) == ({"account": {}, "contact": {}}, [])


def test_events_of_a_contact_in_quarantine_land_without_their_person(bare: World) -> None:
    """F-43: an event is kept although nobody can be named for it; the next load names the person."""
    tables = events_and_people()
    bare.tables = provision.apply(tables, bare.client, progress=nothing, sleep=bare.clock.sleep)
    frames = {"contact": people(5), "cio_event": events(people(5)["contactid"].to_list(), 20)}
    bare.faults([refusing("0x80040265", "A plug-in refuses.", lastname="n3")])
    balance = bare.load(frames, "r0")
    assert (sums(balance), sums(balance, "cio_event")) == (only(created=4, quarantined=1), only(created=20))
    lost = frames["contact"]["contactid"][3]
    assert listed(bare) == sorted(("cio_event", f"e:{n}", "cio_user_id_contact", lost) for n in (3, 8, 13, 18))
    assert _of_nobody(bare) == {"e:3", "e:8", "e:13", "e:18"}
    bare.faults([])
    balance = bare.load(frames, "r1")
    assert sums(balance, "cio_event") == only(updated=4, unchanged=16)
    assert (_of_nobody(bare), listed(bare)) == (set(), [])


def events_and_people() -> list[Table]:
    people_ = (Table(n, f"{n}s", f"{n}id", "", (SOURCE_KEY,), label=n.title()) for n in ("contact", "lead"))
    return [*people_, event_table(())]


def events(persons: list[str], count: int) -> pl.DataFrame:
    """Staged events `e:0` …, of each person in turn."""
    keys = pl.Series("cio_source_key", [f"e:{n}" for n in range(count)])
    ids = identity.row_ids(MIGRATION, "cio_event", keys).alias("cio_eventid")
    person = pl.Series("cio_user_id_contact", [persons[n % len(persons)] for n in range(count)])
    return pl.DataFrame([ids, keys, keys.alias("cio_event_name"), person])


def _of_nobody(target: World) -> set[str]:
    return {row["cio_source_key"] for row in target.rows("cio_event").values() if row.get("cio_user_id") is None}


def _without_runs(state: Mapping[str, Mapping[str, Mapping[str, object]]]) -> dict[str, object]:
    """Without the number of the run that created a row."""
    return {
        table: {i: {k: v for k, v in row.items() if k != "importsequencenumber"} for i, row in rows.items()}
        for table, rows in state.items()
    }


def without_account(target: World) -> None:
    """Somebody deletes an account after it was loaded, before the contacts are."""
    target.load({"account": ACCOUNTS}, "r0", plan="p0")
    target.client.send(requests.delete_row(target.tables["account"], REFUSED))


@pytest.mark.parametrize("request_rows", [100, 3])
def test_rows_whose_parent_was_deleted_in_dynamics_land_without_the_link(target: World, request_rows: int) -> None:
    """F-43: the account is neither in the target nor in quarantine; nothing is dropped, and the link is listed."""
    without_account(target)
    balance = target.load(FRAMES, "r1", request_rows=request_rows, same_error_limit=5)
    assert sums(balance) == only(created=40)
    ids = ACCOUNTS["accountid"]
    assert links(target) == {f"n{n}": None if n % 4 == 2 else ids[n % 4] for n in range(40)}
    assert listed(target) == LEFT_OUT
    assert set_aside(target) == {}


def test_while_the_parent_stays_away_a_later_load_changes_nothing(target: World) -> None:
    """F-43, L3: the rows are as they were loaded, and still listed."""
    without_account(target)
    target.load(FRAMES, "r1")
    before = target.rows()
    assert sums(target.load(FRAMES, "r2")) == only(unchanged=40)
    assert target.rows() == before
    assert listed(target) == LEFT_OUT


def test_once_the_parent_is_back_the_next_load_sets_the_links(target: World) -> None:
    """F-43: restored under its id."""
    without_account(target)
    target.load(FRAMES, "r1")
    row = {"accountid": REFUSED, "name": "c2", "cio_source_key": "1:2"}
    target.client.send(requests.post("accounts", row))
    assert sums(target.load(FRAMES, "r2")) == only(updated=10, unchanged=30)
    assert links(target) == {f"n{n}": ACCOUNTS["accountid"][n % 4] for n in range(40)}
    assert listed(target) == []
