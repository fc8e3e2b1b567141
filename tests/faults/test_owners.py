"""Owners of rows, F-44: who cannot own is replaced or refused before the load, and set aside when it comes too late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio2d365.dataverse import requests
from cio2d365.dataverse.owners import Owner
from cio2d365.dataverse.owners import owners as read_owners
from cio2d365.decide.field_maps import Mapping
from cio2d365.errors import SettingsError
from cio2d365.migrate import ownership, provision, reconcile, schema, stage
from cio2d365.settings import Owners
from cio2d365.sim.dataverse.service import Service
from cio2d365.tables import OWNER_BIND, OWNER_READ, Table
from tests.migrate.conftest import Provisioned
from tests.migrate.test_stage import company, given, person, related
from tests.migrate.world import World, dataverse, nothing, only, serving, sums, wipe, world

from .test_records import set_aside

ADA, BEN, DORA, ROLF = (f"{n}@contoso.com" for n in ("ada.analyst", "ben.consultant", "dora.departed", "rolf.roleless"))
TEAM, ACCESS_TEAM = "Sales Europe", "Deal room"
USERS = Table("systemuser", "systemusers", "systemuserid", "")
TABLES = ("account", "contact", "lead")


@pytest.fixture(scope="module")
def with_owners() -> Iterator[Provisioned]:
    """An organisation whose accounts, contacts and leads keep the owner that the source names."""
    wanted = [t for t in schema.wanted({}, (), {}, owned=TABLES) if t.name in TABLES]
    with serving(seed=14) as (origin, service), dataverse(origin) as client:
        yield origin, service, provision.apply(wanted, client, progress=nothing, sleep=lambda _: None)


@pytest.fixture
def target(with_owners: tuple[str, Service, dict[str, Table]], tmp_path: Path) -> Iterator[World]:
    origin, service, tables = with_owners
    wipe(service, *TABLES)
    with world(origin, tmp_path, tables, service.org.id) as found:
        yield found


def someone(target: World, name: str) -> Owner:
    [found] = (o for o in read_owners(target.client) if name in (o.email, o.name))
    return found


@contextmanager
def disabled(target: World, name: str) -> Iterator[None]:
    """The user has left while this lasts."""
    row_id = someone(target, name).id
    target.client.send(requests.update_row(USERS, row_id, {"isdisabled": True}))
    try:
        yield
    finally:
        target.client.send(requests.update_row(USERS, row_id, {"isdisabled": False}))


def staged(
    target: World, managers: Sequence[str | None], *, keeper: str | None = None, fallback: str = TEAM
) -> stage.Staged:
    """Contacts `cio:p0` … of these managers, all of one company that `keeper` owns."""
    people = [person(f"cio:p{n}", f"p{n}@acme.example", manager=m) for n, m in enumerate(managers)]
    links = [related(f"cio:p{n}", "1:acme") for n in range(len(managers))]
    wanted = Owners(trait="manager", company_trait="keeper" if keeper else "", fallback=fallback)
    found = given(people=people, objects=[company("acme", name="Acme", keeper=keeper)], relationships=links)
    owners = ownership.ownership(wanted, read_owners(target.client))
    tables = {**found.tables, **target.tables}
    return stage.stage(replace(found, owners=owners, tables=tables, mapping=Mapping((), company_type="1")))


def frames(found: stage.Staged) -> dict[str, pl.DataFrame]:
    return {name: found.frames[name] for name in TABLES}


def who_has(target: World, table: str = "contact") -> list[str]:
    """Names of the owners of all rows, by source key."""
    names = {o.id: o.email if o.kind == "person" else o.name for o in read_owners(target.client)}
    rows = sorted(target.rows(table).values(), key=lambda row: row["cio_source_key"])
    return [names[row["ownerid"]] for row in rows]


def differences(target: World, found: stage.Staged) -> list[tuple[Any, ...]]:
    """What reconciling every table finds."""
    done = []
    for name, frame in frames(found).items():
        columns = reconcile.columns_to_read(frame, target.tables[name])
        there = target.client.read_table(target.tables[name], columns, "cio_source_key ne null")
        done.append(reconcile.compare(frame, there, target.tables[name]))
    assert all(not c.missing.height and not c.extra.height for c in done)
    return reconcile.differences(done).rows()


def test_rows_of_an_owner_who_cannot_own_go_to_the_fallback_and_are_counted(target: World) -> None:
    """F-44: the owners that are named own the rest, and every row keeps the name that the source gives."""
    managers = [f" {ADA.upper()}", TEAM, DORA, ROLF, ACCESS_TEAM, "gone@contoso.com", None, DORA]
    found = staged(target, managers, keeper=BEN)
    balance = target.load(frames(found))
    assert (sums(balance), sums(balance, "account")) == (only(created=8), only(created=1))
    loader = "# cio2d365"
    assert who_has(target)[:6] == [ADA, TEAM, TEAM, TEAM, TEAM, TEAM]
    assert who_has(target)[6:] == [loader, TEAM]
    assert who_has(target, "account") == [BEN]
    kept = sorted((row["cio_source_key"], row.get("cio_owner")) for row in target.rows().values())
    assert [name for _, name in kept] == managers
    assert ownership.replaced(found.owners()).select("source_key", "value", "obstacle", "owner").rows() == [
        ("cio:p2", DORA, "disabled", "team Sales Europe"),
        ("cio:p3", ROLF, "no security role", "team Sales Europe"),
        ("cio:p4", ACCESS_TEAM, "access team", "team Sales Europe"),
        ("cio:p5", "gone@contoso.com", "not found", "team Sales Europe"),
        ("cio:p7", DORA, "disabled", "team Sales Europe"),
    ]
    assert differences(target, found) == []


def test_without_a_fallback_nothing_is_sent(target: World) -> None:
    """F-44: refused before the load, with the value and the number of rows."""
    since = target.mark()
    with pytest.raises(SettingsError, match=rf"2 rows name .*'{DORA}' \(disabled, 2 rows\)"):
        target.load(frames(staged(target, [ADA, DORA, DORA], fallback="")))
    assert target.writes(since) == []
    assert not (target.folder / "ledger.sqlite").exists()


def test_a_user_who_is_disabled_between_plan_and_load_keeps_nobody_else_back(target: World) -> None:
    """F-44: those rows are set aside with the server's words; the next plan gives them to the fallback."""
    found = staged(target, [ADA, BEN, ADA, BEN, None])
    with disabled(target, BEN):
        balance = target.load(frames(found), "r1", plan="p1")
        assert sums(balance) == only(created=3, quarantined=2)
        reason = (0x8004022B, "The specified owner has been disabled.")
        assert set_aside(target) == {"cio:p1": reason, "cio:p3": reason}
        again = staged(target, [ADA, BEN, ADA, BEN, None])
        assert ownership.replaced(again.owners())["value"].to_list() == [BEN, BEN]
        assert sums(target.load(frames(again), "r2", plan="p2")) == only(created=2, unchanged=3)
        assert who_has(target)[:4] == [ADA, TEAM, ADA, TEAM]
        assert (set_aside(target), differences(target, again)) == ({}, [])


def test_a_user_who_is_gone_is_no_link_to_leave_out(target: World) -> None:
    """F-44: unlike a row of ours that is gone (F-43), an owner is not dropped in silence; the row is set aside."""
    found, gone = staged(target, [ADA, BEN], keeper=ADA), "00000000-0000-4000-8000-00000000dead"
    path = pl.col(OWNER_BIND).str.replace(someone(target, BEN).id, gone)
    plan = frames(found) | {"contact": found.frames["contact"].with_columns(path)}
    assert sums(target.load(plan)) == only(created=1, quarantined=1)
    assert set_aside(target) == {"cio:p1": (0x80040217, f"Entity 'systemuser' With Id = {gone} Does Not Exist")}
    with target.ledger() as ledger:
        assert ledger.unlinked().height == 0


def test_contacts_keep_their_own_owner_under_an_account_of_another(target: World) -> None:
    """F-44: accounts are loaded first, because assigning one assigns its contacts (`dataverse-api 12`)."""
    found = staged(target, [ADA, TEAM], keeper=BEN)
    target.load(frames(found))
    assert (who_has(target), who_has(target, "account")) == ([ADA, TEAM], [BEN])
    since = target.mark()
    assert sums(target.load(frames(found), "r2")) == only(unchanged=2)
    assert target.writes(since) == []


def test_contacts_keep_their_owner_when_a_later_load_gives_their_account_to_somebody_else(target: World) -> None:
    """F-44: the server assigns them along; who has an owner of their own is sent again, once, and it is no edit."""
    managers = [ADA, TEAM, None, ADA]
    target.load(frames(staged(target, managers, keeper=BEN)), "r1", plan="p1")
    second = staged(target, managers, keeper=ADA)
    balance = target.load(frames(second), "r2", plan="p2")
    assert (sums(balance, "account"), sums(balance)) == (only(updated=1), only(updated=1, unchanged=3))
    assert who_has(target) == [ADA, TEAM, ADA, ADA]
    assert (_edited(target, "r2"), differences(target, second)) == ([], [])
    since = target.mark()
    target.load(frames(second), "r3", plan="p2")
    assert target.writes(since) == []


def test_an_edit_of_a_contact_is_told_from_what_its_account_took_along(target: World) -> None:
    """F-44, F-48: somebody gave the contact to the team after the load; the account goes to another."""
    target.load(frames(staged(target, [ADA, ADA], keeper=ADA)), "r1", plan="p1")
    second = staged(target, [ADA, ADA], keeper=BEN)
    account = second.frames["account"]
    target.load({"account": account}, "r2", plan="p2")
    _give_away(target, 1)
    target.load(frames(second), "r3", plan="p3")
    assert who_has(target) == [ADA, TEAM]
    assert _edited(target, "r3") == [("cio:p1", OWNER_READ, "edited in Dynamics", "kept")]


def test_undoing_a_load_that_gave_rows_to_others_gives_them_back(target: World) -> None:
    """F-44: the old owner is kept before a row is given away, a team like a user."""
    target.load(frames(staged(target, [ADA, TEAM, None])), "r1", plan="p1")
    target.load(frames(staged(target, [TEAM, BEN, BEN])), "r2", plan="p2")
    assert who_has(target) == [TEAM, BEN, BEN]
    target.roll_back("r2")
    assert who_has(target) == [ADA, TEAM, "# cio2d365"]


def test_a_row_that_somebody_gave_away_stays_with_its_new_owner_and_is_listed(target: World) -> None:
    """F-44, F-48: the plan's owner comes back only where the setting says so; the default owner is no edit."""
    target.load(frames(staged(target, [ADA, ADA, None])), "r1", plan="p1")
    _give_away(target, 1)
    second = frames(staged(target, [TEAM, BEN, BEN]))
    target.load(second, "r2", plan="p2")
    assert who_has(target) == [TEAM, TEAM, BEN]
    assert _edited(target, "r2") == [("cio:p1", OWNER_READ, "edited in both", "kept")]
    target.load(frames(staged(target, [TEAM, ADA, BEN])), "r3", plan="p3", edited_in_both="overwrite")
    assert who_has(target) == [TEAM, ADA, BEN]


def _give_away(target: World, n: int) -> None:
    """Somebody assigns contact `cio:p<n>` to the team."""
    row_id = next(i for i, row in target.rows().items() if row["cio_source_key"] == f"cio:p{n}")
    values = {"ownerid@odata.bind": someone(target, TEAM).path}
    target.client.send(requests.update_row(target.tables["contact"], row_id, values))


def _edited(target: World, run_id: str) -> list[tuple[str, ...]]:
    with target.ledger() as ledger:
        return ledger.edits(run_id).select("source_key", "column", "kind", "decision").rows()


def test_reconciling_finds_a_row_that_somebody_gave_away(target: World) -> None:
    """F-44, L8: the owner that arrived is compared like any other value."""
    found = staged(target, [ADA, BEN])
    target.load(frames(found))
    _give_away(target, 1)
    wanted, there = someone(target, BEN).id, someone(target, TEAM).id
    assert differences(target, found) == [("contact", "cio:p1", OWNER_READ, wanted, there)]


def test_an_owner_is_no_link_that_could_lead_nowhere() -> None:
    """F-44: it points to a user or a team, which no load brings."""
    contacts = pl.DataFrame({"contactid": ["c1"], OWNER_READ: ["u1"], "_parentcustomerid_value": ["a1"]})
    found = reconcile.link_check({"contact": contacts}, {"account": pl.DataFrame({"accountid": ["A1"]})})
    assert found.rows() == [("contact", "_parentcustomerid_value", 1, 0)]
