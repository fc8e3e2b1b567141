"""The full schema, cut after each single write: the next run completes it, and there is one of everything (F-34)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.migrate import provision, schema
from cio2d365.tables import Column, Key, Option, Table
from cio2d365.transport import Pace, Transport

from .world import Instant, World, nothing

PROMOTED = 30
PLAN = Column("cio_plan", "choice", "Plan", options=(Option(727000000, "Gold"), Option(727000001, "Silver")))
TRAITS = {"account": [Column("cio_size", "integer", "Size")], "contact": [PLAN], "lead": [PLAN]}


def wanted(promoted: int) -> tuple[Table, ...]:
    """Columns on standard tables, events, deliveries with a global choice and a view, two object types, a key."""
    columns = [Column(f"cio_property_{n}", "string", f"Property {n}", 100) for n in range(promoted)]
    types = {"2": ("new_boat", "Boat"), "3": ("cio_car", "Car")}
    tables = schema.wanted(TRAITS, columns, types, campaign_members=True)
    key = Key("cio_key", ("cio_source_key",), "Source key")
    return tuple(replace(t, keys=(key,)) if t.name == "contact" else t for t in tables)


@contextmanager
def cut_at(origin: str, write: int, *, committed: bool) -> Iterator[Dataverse]:
    """A client whose process ends at its n-th write: before it leaves, or when it was carried out but not answered."""
    real, seen = httpx.HTTPTransport(), 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal seen
        if request.method == "GET":
            return real.handle_request(request)
        seen += 1
        if seen == write and committed:
            real.handle_request(request).read()
        if seen == write:
            raise KeyboardInterrupt
        return real.handle_request(request)

    clock = Instant()
    pace = Pace(clock=lambda: clock.now, sleep=clock.sleep)
    with Transport(
        origin, lambda _: "Bearer dev-token", headers=HEADERS, pace=pace, client=httpx.MockTransport(answer)
    ) as link:
        yield Dataverse(link)


def apply(target: World, tables: tuple[Table, ...], client: Dataverse) -> None:
    provision.apply(tables, client, progress=nothing, sleep=target.clock.sleep)


def killed(target: World, tables: tuple[Table, ...], write: int, *, committed: bool) -> bool:
    """Whether the run was cut; false when it had fewer writes and came to its end."""
    with cut_at(target.origin, write, committed=committed) as client:
        try:
            apply(target, tables, client)
        except KeyboardInterrupt:
            return True
    return False


def asking(origin: str) -> httpx.Client:
    """A client of nobody's making; the whole schema in one answer takes its time on a busy machine."""
    return httpx.Client(base_url=f"{origin}/api/data/v9.2/", headers={"Authorization": "Bearer dev-token"}, timeout=120)


def made(target: World) -> Counter[str]:
    """How often the organisation holds each thing of ours, as it says itself."""
    with asking(target.origin) as c:
        strong = {"Consistency": "Strong"}
        query = "EntityDefinitions?$select=LogicalName&$expand=Attributes,Keys,ManyToOneRelationships"
        tables = c.get(query, headers=strong).json()["value"]
        choices = c.get("GlobalOptionSetDefinitions", headers=strong).json()["value"]
    found = Counter(t["LogicalName"] for t in tables)
    for t in tables:
        parts = [p["LogicalName"] for p in (*t["Attributes"], *t["Keys"])]
        parts += [f"relationship {r['SchemaName']}" for r in t["ManyToOneRelationships"]]
        found.update(f"{t['LogicalName']}.{part}" for part in parts)
    found.update(f"choice {choice['Name']}" for choice in choices)
    found.update(f"choice {ch['Name']} option {o['Value']}" for ch in choices for o in ch["Options"])
    for kind, column in (("savedquery", "name"), ("solution", "uniquename"), ("publisher", "uniquename")):
        found.update(f"{kind} {row[column]}" for row in target.rows(kind).values())
    found.update(f"member {row['objectid']}" for row in target.rows("solutioncomponent").values())
    return found


def check(target: World, tables: tuple[Table, ...], total: int | None) -> None:
    """One of everything, as many things as an undisturbed run makes if that is known, and nothing left to do."""
    found = made(target)
    assert set(found.values()) == {1}
    assert total in (None, found.total())
    last = provision.compare(tables, target.client)
    assert (last.to_create, last.conflicts, last.left_alone, last.problems) == ((), (), (), ())


def undisturbed(target: World, tables: tuple[Table, ...]) -> tuple[int, int]:
    """How many things an undisturbed run makes, and with how many writes. Leaves a new organisation."""
    apply(target, tables, target.client)
    total, writes = made(target).total(), len(target.writes())
    reset(target)
    return total, writes


def reset(target: World) -> None:
    target.control.post("reset").raise_for_status()


def test_a_run_that_is_killed_again_and_again_gets_to_its_end(bare: World) -> None:
    """Each run is cut at its 25th write, which is carried out but not answered."""
    tables = wanted(PROMOTED)
    kills = 0
    while killed(bare, tables, 25, committed=True):
        kills += 1
        assert kills < 100
    assert kills >= 5
    check(bare, tables, None)


def test_a_run_that_is_killed_once_is_completed_by_the_next(bare: World) -> None:
    """A spread over publisher, solution, tables, columns, keys, membership and publishing."""
    tables = tuple(t for t in wanted(0) if t.name in ("contact", "new_boat", "cio_event"))
    total, writes = undisturbed(bare, tables)
    for write in (1, 3, writes // 2, writes - 1):
        assert killed(bare, tables, write, committed=write % 2 == 0)
        apply(bare, tables, bare.client)
        check(bare, tables, total)
        reset(bare)


@pytest.mark.deep
@pytest.mark.parametrize(("committed", "step"), [(False, 5), (True, 1)], ids=["before the commit", "after it"])
def test_a_run_that_is_killed_at_any_write_is_completed_by_the_next(bare: World, committed: bool, step: int) -> None:
    """Every state that the schema passes through; before a write it is the state after the one before."""
    tables = wanted(PROMOTED)
    total, writes = undisturbed(bare, tables)
    assert writes > 130
    for write in range(1, writes + 1, step):
        assert killed(bare, tables, write, committed=committed)
        apply(bare, tables, bare.client)
        check(bare, tables, total)
        reset(bare)
