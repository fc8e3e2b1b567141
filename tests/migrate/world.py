"""A target, a ledger and staged rows: what the stages of a migration work on."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from cio2d365 import identity
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.migrate import ledger as ledgers
from cio2d365.migrate import load, rollback
from cio2d365.migrate.schema import SOURCE_KEY
from cio2d365.settings import Load
from cio2d365.sim.dataverse import UVICORN_OPTIONS, create_app
from cio2d365.sim.dataverse.service import Service
from cio2d365.sim.serve import Listener, bind, running
from cio2d365.tables import Table
from cio2d365.transport import Pace, Patience, Transport

MIGRATION = "test-migration"
AT = "2026-01-01T00:00:00+00:00"
TOKEN = "Bearer dev-token"
Rows = list[dict[str, Any]]
# Reading the machine's certificate authorities takes longer than a small load, and the simulators speak plain http.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Instant:
    """A clock that jumps instead of sleeping, and remembers for how long."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def plain() -> httpx.HTTPTransport:
    """Connections to this machine."""
    return httpx.HTTPTransport(verify=NO_AUTHORITIES)


@contextmanager
def dataverse(
    origin: str, clock: Instant | None = None, *, timeout: float = 30.0, token: str = TOKEN
) -> Iterator[Dataverse]:
    time = clock or Instant()
    pace = Pace(clock=lambda: time.now, sleep=time.sleep)
    patience = Patience(total=3600)
    with Transport(
        origin, lambda _: token, headers=HEADERS, pace=pace, patience=patience, timeout=timeout, client=plain()
    ) as link:
        yield Dataverse(link)


def nothing(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""


def small_schema() -> list[Table]:
    """Account and contact with a source key: enough to load and to look at lookups."""
    return [
        Table(name, f"{name}s", f"{name}id", "", (SOURCE_KEY,), label=name.title()) for name in ("account", "contact")
    ]


@dataclass
class World:
    """One simulated organisation with a small schema, and a folder for ledgers."""

    origin: str
    control: httpx.Client
    client: Dataverse
    tables: Mapping[str, Table]
    folder: Path
    organization: str
    clock: Instant
    others: Sequence[Dataverse] = ()
    plans: dict[str, Mapping[str, pl.DataFrame]] = field(default_factory=dict)

    def earlier(self, plan: str, table: str, ids: Sequence[str]) -> pl.DataFrame | None:
        """Rows as a plan of this world staged them."""
        frame = self.plans.get(plan, {}).get(table)
        return None if frame is None else frame.filter(pl.col(f"{table}id").is_in(list(ids)))

    def binding(self, **other: str) -> ledgers.Binding:
        facts = {"migration_id": MIGRATION, "environment": "sandbox", "organization_id": self.organization}
        return ledgers.Binding(**(facts | other))

    @contextmanager
    def ledger(self, name: str = "ledger") -> Iterator[ledgers.Ledger]:
        with ledgers.opened(self.folder / f"{name}.sqlite", self.binding(), at=AT) as found:
            yield found

    def load(
        self,
        staged: Mapping[str, pl.DataFrame],
        run_id: str = "r1",
        *,
        ledger: str = "ledger",
        plan: str = "p",
        at: str = AT,
        **settings: Any,
    ) -> pl.DataFrame:
        with self.ledger(ledger) as found:
            run = load.Run(run_id, plan, found.begin_run(run_id, plan, at))
            chosen = Load(**{"chunk_rows": 1000, "request_rows": 200, "parallel": 4, **settings})
            self.plans[plan] = staged
            clients = [self.client, *self.others]
            balance = load.apply(
                run, staged, self.tables, clients, found, chosen, progress=nothing, earlier=self.earlier
            )
            found.end_run(run_id, "done", AT)
            return balance

    def plan_rollback(self, run_id: str = "r1") -> rollback.RollbackPlan:
        with self.ledger() as found:
            return rollback.plan(run_id, found, self.client, self.tables)

    def roll_back(self, run_id: str = "r1") -> pl.DataFrame:
        with self.ledger() as found:
            planned = rollback.plan(run_id, found, self.client, self.tables)
            return rollback.apply(planned, found, self.client, self.tables, at=AT, progress=nothing)

    def rows(self, table: str = "contact") -> dict[str, dict[str, Any]]:
        """What the target really holds, by id."""
        found = self.control.get(f"rows/{table}").raise_for_status().json()
        return {row[f"{table}id"]: row for row in found}

    def fault(self, action: Mapping[str, Any], **match: Any) -> None:
        self.faults([{"match": match, "action": action}])

    def faults(self, rules: Rows) -> None:
        self.control.post("faults", json={"seed": 5, "rules": rules}).raise_for_status()

    def journal(self, since: int = 0) -> Rows:
        found: Rows = self.control.get("journal", params={"since": since}).raise_for_status().json()
        return found

    def mark(self) -> int:
        """Number of the last request so far."""
        entries = self.journal()
        return int(entries[-1]["seq"]) if entries else 0

    def writes(self, since: int = 0) -> Rows:
        """Requests that are no reads."""
        return [entry for entry in self.journal(since) if entry["method"] != "GET"]


@contextmanager
def serving(seed: int) -> Iterator[tuple[str, Service]]:
    """The origin of a simulator in a thread, and its inside, for wiping it between tests."""
    app = create_app(state_dir=None, tenant_id="t", client_id="c", client_secret="s", seed=seed)
    listener = Listener(app, bind(0), options=UVICORN_OPTIONS)
    with running([[listener]], threading.Event()):
        yield listener.url, app.state.service


def wipe(service: Service, *tables: str) -> None:
    """No rows, faults, usage or journal; the schema stays, because making it takes longer than most tests."""
    with service.org.store.lock:
        for table in tables:
            service.org.store.execute(f'DELETE FROM "{table}"')
        service.org.switches = type(service.org.switches)()
        service.plan = type(service.plan)()
        service.limits.reset()
        service.journal.clear()


@contextmanager
def world(origin: str, folder: Path, tables: Mapping[str, Table], organization: str) -> Iterator[World]:
    """A provisioned organisation without rows."""
    clock = Instant()
    control = httpx.Client(base_url=f"{origin}/_control/", timeout=30, transport=plain())
    with control, dataverse(origin, clock) as client:
        yield World(origin, control, client, tables, folder, organization, clock)


def people(count: int, *, first: int = 0, **more: Any) -> pl.DataFrame:
    """Staged contacts `id:0` … with the names `n0` …; `more` gives the same value, or a list, to all of them."""
    keys = pl.Series("k", [f"id:{n}" for n in range(first, first + count)])
    columns = {
        "contactid": identity.row_ids(MIGRATION, "contact", keys),
        "cio_source_key": keys,
        "lastname": [f"n{n}" for n in range(first, first + count)],
    }
    return pl.DataFrame(columns).with_columns(
        pl.lit(v).alias(k) if not isinstance(v, list) else pl.Series(k, v) for k, v in more.items()
    )


def companies(count: int) -> pl.DataFrame:
    """Staged accounts `1:0` …"""
    keys = pl.Series("k", [f"1:{n}" for n in range(count)])
    ids = identity.row_ids(MIGRATION, "account", keys)
    return pl.DataFrame({"accountid": ids, "cio_source_key": keys, "name": [f"c{n}" for n in range(count)]})


def sums(balance: pl.DataFrame, table: str = "contact") -> dict[str, int]:
    """created, updated, unchanged, quarantined of one table."""
    row = balance.filter(pl.col("table") == table).row(0, named=True)
    return {name: row[name] for name in ("created", "updated", "unchanged", "quarantined")}


def only(**counts: int) -> dict[str, int]:
    """Sums where all others are zero."""
    return {"created": 0, "updated": 0, "unchanged": 0, "quarantined": 0} | counts
