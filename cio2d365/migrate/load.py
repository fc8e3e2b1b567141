"""Send staged rows in dependency order, exactly once (L1, L2, L3).

A chunk (at most 5,000 rows) is compared with the ledger: rows confirmed with the same content are left alone, new rows
are created with ids that we chose, changed rows are updated after their old values were kept. A row meant but never
confirmed is looked up in the target before it is sent again. The next chunk is opened while the last requests of the
one before are on their way.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from typing import Any

import polars as pl

from cio2d365 import artefacts
from cio2d365.dataverse import bulk
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.crew import Crew, shares
from cio2d365.dataverse.options import Logic, WriteOptions
from cio2d365.errors import ConservationError, PrivilegeError, TableRefused
from cio2d365.migrate import cascades, edits
from cio2d365.migrate.ledger import Action, Intent, Known, Ledger
from cio2d365.outcomes import Outcome, RowOutcome
from cio2d365.settings import Load
from cio2d365.tables import OWNER_BIND, OWNER_READ, Table

Row = dict[str, Any]
Progress = Callable[[int, int, str], None]
# Rows of a table as an earlier plan staged them, or none when they are not kept any more: plan id, table, row ids.
Earlier = Callable[[str, str, Sequence[str]], pl.DataFrame | None]
NOTED = ("throttled", "repeated")


@dataclass(frozen=True)
class LoadPlan:
    """Per table in order of loading: rows staged, and what sending them would do, by the ledger."""

    plan_id: str
    tables: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """Who is loading: run id, plan id, and the number that tags created rows."""

    run_id: str
    plan_id: str
    number: int


def plan(
    plan_id: str, staged: Mapping[str, pl.DataFrame], tables: Mapping[str, Table], ledger: Ledger | None
) -> LoadPlan:
    """What a load would do; sends nothing. `staged` is in order of loading; without a ledger every row is new."""
    rows = [
        {"table": name, "rows": frame.height, **_forecast(frame, name, tables, ledger)}
        for name, frame in staged.items()
    ]
    return LoadPlan(
        plan_id, pl.DataFrame(rows, schema=["table", "rows", "to_create", "to_change", "unchanged"], orient="row")
    )


def _forecast(frame: pl.DataFrame, name: str, tables: Mapping[str, Table], ledger: Ledger | None) -> dict[str, int]:
    counts: Counter[str] = Counter()
    table = tables[name]
    for part in frame.iter_slices(5000):
        rows = payloads(part, name, tables)
        known = ledger.known(table.name, [r[table.primary_id] for r in rows]) if ledger else {}
        for row in rows:
            seen = known.get(row[table.primary_id])
            same = seen is not None and seen.state == "done" and seen.hash == content_hash(row)
            counts["unchanged" if same else "to_change" if seen and seen.state == "done" else "to_create"] += 1
    return {k: counts[k] for k in ("to_create", "to_change", "unchanged")}


def apply(
    run: Run,
    staged: Mapping[str, pl.DataFrame],
    tables: Mapping[str, Table],
    clients: Sequence[Dataverse],
    ledger: Ledger,
    settings: Load,
    *,
    progress: Progress,
    earlier: Earlier = lambda plan, table, ids: None,
) -> pl.DataFrame:
    """Load all tables in the order given; the balance per table comes back. Each client is an application user.

    With `earlier` a value that somebody changed in the target since it was loaded is told from one that we loaded: it
    is kept, or, changed in the source too, treated as the settings say; each is listed in the ledger (F-48).

    A table that is refused as a whole stops, and so do the tables that point to it; the rest is loaded, and then
    TableRefused names them (F-26, F-39). Raises ConservationError when a table's sums are off, AuthorityError.
    """
    threads = _share(clients, settings.parallel)
    report = _Report(progress, sum(frame.height for frame in staged.values()), clients)
    stopped: dict[str, str] = {}
    for name, frame in staged.items():
        if waits_for := [t for t in _parents(frame, tables[name]) if t in stopped]:
            stopped[name] = f"not sent, because it points to {' and '.join(waits_for)}"
            continue
        _refuse_twins(frame, tables[name])
        _go_on(clients)
        loader = _Table(run, tables[name], tables, clients[0], ledger, settings, report, earlier)
        try:
            loader.send(frame, clients, threads)
        except (PrivilegeError, TableRefused) as error:
            stopped[name] = str(error)
    if stopped:
        raise TableRefused("; ".join(f"{name}: {reason}" for name, reason in stopped.items()))
    balance = ledger.balance(run.run_id)
    check(balance, {name: frame.height for name, frame in staged.items() if frame.height})
    return balance


def _share(clients: Sequence[Dataverse], parallel: int) -> list[int]:
    """Threads per client; the server's hint is for the environment, whoever sends (`dataverse-api 7`)."""
    _go_on(clients)
    threads = shares(min(parallel * len(clients), clients[0].who_am_i().parallel_hint), len(clients))
    for each, count in zip(clients, threads, strict=True):
        each.transport.pace.limit(count)
    return threads


def _go_on(clients: Sequence[Dataverse]) -> None:
    """An earlier table, or a load before this one, may have ended with a stop."""
    for each in clients:
        each.transport.pace.go_on()


def options(settings: Load) -> WriteOptions:
    """What a load sets off in the target besides its rows (`dataverse-api 2`)."""
    bypass: tuple[Logic, ...] = () if settings.run_custom_logic else ("CustomSync", "CustomAsync")
    flows, duplicates = not settings.start_flows, settings.detect_duplicates
    return WriteOptions(bypass=bypass, suppress_flows=flows, detect_duplicates=duplicates)


def traffic(clients: Sequence[Dataverse]) -> pl.DataFrame:
    """Per application user: requests sent, answers that asked to wait, requests repeated, seconds waited, at once."""
    schema = {"user": pl.String, "requests": pl.Int64, "throttled": pl.Int64, "repeated": pl.Int64,
              "seconds_waited": pl.Float64, "at_once": pl.Int64}  # fmt: skip
    links = [(f"application user {n}", c.transport) for n, c in enumerate(clients, 1)]
    rows = [(name, *astuple(t.traffic), t.pace.waited, t.pace.width) for name, t in links]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _parents(frame: pl.DataFrame, table: Table) -> list[str]:
    """The other tables that staged rows point to."""
    return sorted({target for nav, (_, target) in table.binds.items() if nav in frame.columns} - {table.name})


def _refuse_twins(frame: pl.DataFrame, table: Table) -> None:
    ids = frame[table.primary_id].n_unique()
    if ids != frame.height:
        raise ConservationError(f"{table.name}: {frame.height} staged rows have {ids} ids")


def check(balance: pl.DataFrame, staged: Mapping[str, int]) -> None:
    """Every staged row ended in exactly one place, else ConservationError (L1)."""
    ends = balance.select("table", "staged", total=pl.sum_horizontal("created", "updated", "unchanged", "quarantined"))
    found = {row["table"]: row for row in ends.to_dicts()}
    for name, rows in staged.items():
        row = found.get(name, {"staged": 0, "total": 0})
        if not rows == row["staged"] == row["total"]:
            raise ConservationError(f"{name}: {rows} rows staged, {row['staged']} seen, {row['total']} accounted for")


@dataclass
class _Report:
    """How many rows of all tables have come to an end, and what the server made us wait for (F-02)."""

    progress: Progress
    total: int
    clients: Sequence[Dataverse]
    done: int = 0

    def add(self, rows: int, label: str) -> None:
        self.done += rows
        counts = {name: sum(getattr(c.transport.traffic, name) for c in self.clients) for name in NOTED}
        notes = [f"{count:,} {name}" for name, count in counts.items() if count]
        self.progress(self.done, self.total, ", ".join([label, *notes]))


@dataclass
class _Chunk:
    """A chunk under way: its rows by id, the requests that are out, and the ids that turned out to be taken."""

    n: int
    rows: dict[str, Row]
    keys: Mapping[str, str]
    out: int = 0
    fed: bool = False
    taken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """One request: rows of a chunk to create, or to update."""

    chunk: _Chunk
    action: Action
    rows: Sequence[bulk.Row]


class _Table:
    """Loads the rows of one table."""

    def __init__(
        self,
        run: Run,
        table: Table,
        tables: Mapping[str, Table],
        client: Dataverse,
        ledger: Ledger,
        settings: Load,
        report: _Report,
        earlier: Earlier,
    ) -> None:
        self.run, self.table, self.tables = run, table, tables
        self.client, self.ledger, self.report = client, ledger, report
        self.chunk_rows, self.rule, self.earlier = settings.chunk_rows, settings.edited_in_both, earlier
        self.flow = bulk.Flow(settings.request_rows, settings.same_error_limit, options(settings))
        self.refused: Mapping[str, set[str]] = {}
        self.again: deque[_Job] = deque()

    def send(self, frame: pl.DataFrame, clients: Sequence[Dataverse], threads: Sequence[int]) -> None:
        """Send every row; each has its end in the ledger then.

        After an error or an interrupt nothing new is sent. What is on its way is recorded if it ends in a few seconds,
        else the next run resolves it.
        """
        self.ledger.begin_table(self.run.run_id, self.table.name, -(-frame.height // self.chunk_rows))
        self.refused = {target: self.ledger.quarantined(target) for target in _parents(frame, self.table)}
        feed = self._jobs(frame)
        with Crew(clients, threads, self._work) as crew:
            try:
                while True:
                    while crew.idle and (job := self._next(feed)):
                        crew.give(job)
                    if not crew.busy:
                        return
                    self._record(*crew.take())
            except BaseException:
                with suppress(Exception):
                    for job, outcomes in crew.halt():
                        self._conclude(job, outcomes)
                raise

    def _work(self, client: Dataverse, job: _Job) -> list[RowOutcome]:
        send = bulk.create if job.action == "create" else bulk.upsert
        return send(client, self.table, job.rows, self.flow)

    def _next(self, feed: Iterator[_Job]) -> _Job | None:
        """Rows that turned out to be taken go first; the feed, when it ends, may find such rows too."""
        if self.again:
            return self.again.popleft()
        job = next(feed, None)
        return self.again.popleft() if job is None and self.again else job

    def _jobs(self, frame: pl.DataFrame) -> Iterator[_Job]:
        for n, part in enumerate(frame.iter_slices(self.chunk_rows)):
            chunk, create, update = self._open(n, part)
            yield from self._cut(chunk, "create", create)
            yield from self._cut(chunk, "update", update)
            chunk.fed = True
            self._settle(chunk)

    def _cut(self, chunk: _Chunk, action: Action, ids: Iterable[str]) -> Iterator[_Job]:
        tag = {bulk.TAG: self.run.number} if action == "create" else {}
        for rows in self.flow.cut([chunk.rows[i] | tag for i in ids]):
            chunk.out += 1
            yield _Job(chunk, action, rows)

    def _open(self, n: int, part: pl.DataFrame) -> tuple[_Chunk, list[str], list[str]]:
        """A chunk with its intents on record, and the ids to create and to update."""
        part = self._linked(part)
        rows = {row[self.table.primary_id]: row for row in payloads(part, self.table.name, self.tables)}
        keys = dict(zip(part[self.table.primary_id], part["cio_source_key"], strict=True))
        following = cascades.followers(part, self.table, self.ledger)
        create, update, settled = self._sorted(rows, following)
        pictures = self._pictures([rows[i] for i in update])
        create += [i for i in update if i not in pictures]  # deleted in the target since they were loaded
        update = [i for i in update if i in pictures]
        intents = self._intents(create, "create", rows, keys)
        sent, idle = self._spared(part, update, pictures, following)
        update, settled = [i for i in update if i not in idle], settled + Counter(unchanged=len(idle))
        # The hash is of what the source says, also where a value of the target is kept.
        intents += self._intents(update, "update", rows, keys)
        self.ledger.open_chunk(self.run.run_id, self.table.name, n, part.height, settled, intents)
        self.ledger.keep_preimages(self.run.run_id, self.table.name, {i: pictures[i] for i in update})
        return _Chunk(n, rows | sent, keys), create, update

    def _spared(
        self, part: pl.DataFrame, update: list[str], pictures: Mapping[str, Row], following: Mapping[str, str]
    ) -> tuple[dict[str, Row], set[str]]:
        """What is really sent for rows to update: without values kept as the target has them; and ids of idle rows."""
        loaded = self._loaded(update)
        if loaded is None:
            return {}, set()
        wanted = part.filter(pl.col(self.table.primary_id).is_in(update))
        target = pl.DataFrame([pictures[i] for i in update], infer_schema_length=None)
        assigned = cascades.came_along(self.client, self.tables["account"], following, pictures) if following else set()
        edited, idle = edits.compare(wanted, target, loaded, self.table, self.rule, assigned)
        self.ledger.keep_edits(self.run.run_id, self.table.name, edited)
        rest = edits.without_kept(wanted, edited, self.table)
        rows = {row[self.table.primary_id]: row for row in payloads(rest, self.table.name, self.tables)}
        return rows, set(idle)

    def _loaded(self, ids: list[str]) -> pl.DataFrame | None:
        """Rows as they were last confirmed; a row whose earlier content cannot be shown is left out."""
        known, by_run = self.ledger.known(self.table.name, ids), defaultdict(list)
        for row_id, k in known.items():
            by_run[k.base_run].append(row_id)
        frames = [self._as_loaded(run_id, found, known) for run_id, found in by_run.items() if run_id]
        rows = [frame for frame in frames if frame is not None and frame.height]
        return pl.concat(rows, how="diagonal_relaxed") if rows else None

    def _as_loaded(self, run_id: str, ids: list[str], known: Mapping[str, Known]) -> pl.DataFrame | None:
        frame = self.earlier(self.ledger.plan_of(run_id), self.table.name, ids)
        if frame is None:
            return None
        hashes = {
            row[self.table.primary_id]: content_hash(row) for row in payloads(frame, self.table.name, self.tables)
        }
        same = [i for i, digest in hashes.items() if digest == known[i].base_hash]
        return frame.filter(pl.col(self.table.primary_id).is_in(same))

    def _linked(self, part: pl.DataFrame) -> pl.DataFrame:
        """The rows without links to rows in quarantine, which are listed; a later load sets them (F-43)."""
        for nav, (_, target) in self.table.binds.items():
            if nav in part.columns and self.refused.get(target):
                lost = pl.col(nav).is_in(list(self.refused[target]))
                found = part.filter(lost).select(self.table.primary_id, "cio_source_key", pl.lit(nav), nav)
                self.ledger.keep_unlinked(self.table.name, found.rows())
                part = part.with_columns(pl.when(~lost).then(nav).alias(nav))
        return part

    def _record(self, job: _Job, outcomes: list[RowOutcome]) -> None:
        lost = self._unlinked(job, outcomes)
        self._conclude(job, [o for o in outcomes if o.row_id not in lost])
        self._send_unlinked(job, lost)
        job.chunk.taken += [o.row_id for o in outcomes if o.outcome is Outcome.UNKNOWN]
        job.chunk.out -= 1
        self._settle(job.chunk)

    def _unlinked(self, job: _Job, outcomes: list[RowOutcome]) -> dict[str, Row]:
        """Rows refused because one that they point to is not in the target, without those links (F-43)."""
        sent = {str(row[self.table.primary_id]): row for row in job.rows}
        doubtful = [o.row_id for o in outcomes if o.refusal and bulk.lacks_target(sent[o.row_id], o.refusal)]
        if not doubtful:
            return {}
        links = [(i, nav, target, row_id) for i in doubtful for nav, target, row_id in self._links(job.chunk.rows[i])]
        there = {
            target: self.client.existing_ids(self.tables[target], {x[3] for x in links if x[2] == target})
            for target in {x[2] for x in links}
        }
        lost = [(i, nav, row_id) for i, nav, target, row_id in links if row_id not in there[target]]
        self.ledger.keep_unlinked(self.table.name, [(i, job.chunk.keys[i], nav, row_id) for i, nav, row_id in lost])
        gone = {(i, f"{nav}@odata.bind") for i, nav, _ in lost}
        return {i: {k: v for k, v in job.chunk.rows[i].items() if (i, k) not in gone} for i in {i for i, _, _ in lost}}

    def _links(self, row: Row) -> Iterator[tuple[str, str, str]]:
        """Navigation property, table and id of every link of a row."""
        for nav, (_, target) in self.table.binds.items():
            if path := row.get(f"{nav}@odata.bind"):
                yield nav, target, str(path).rpartition("(")[2].rstrip(")")

    def _send_unlinked(self, job: _Job, rows: Mapping[str, Row]) -> None:
        """Let rows go again without the links that lead nowhere, unless that is how they were loaded before."""
        if not rows:
            return
        chunk, known = job.chunk, self.ledger.known(self.table.name, list(rows))
        chunk.rows.update(rows)
        self.ledger.intend(
            self.run.run_id, self.table.name, chunk.n, self._intents(rows, job.action, chunk.rows, chunk.keys)
        )
        same = [i for i, row in rows.items() if known[i].base_hash == content_hash(row)]
        self._conclude(job, [RowOutcome(i, Outcome.UNCHANGED) for i in same])
        self.again.extend(self._cut(chunk, job.action, [i for i in rows if i not in same]))

    def _conclude(self, job: _Job, outcomes: list[RowOutcome]) -> None:
        ends = [o for o in outcomes if o.outcome is not Outcome.UNKNOWN]
        self.ledger.conclude(self.run.run_id, self.table.name, job.chunk.n, ends)

    def _settle(self, chunk: _Chunk) -> None:
        """Close a chunk once every row has its end; rows that turned out to be taken are updated before."""
        if not chunk.fed or chunk.out:
            return
        if chunk.taken:
            self._update_taken(chunk)
            return
        self.ledger.close_chunk(self.run.run_id, self.table.name, chunk.n)
        self.report.add(len(chunk.rows), self.table.label or self.table.name)

    def _update_taken(self, chunk: _Chunk) -> None:
        taken, chunk.taken = chunk.taken, []
        self._resolve(taken)
        self.ledger.intend(
            self.run.run_id, self.table.name, chunk.n, self._intents(taken, "update", chunk.rows, chunk.keys)
        )
        self.ledger.keep_preimages(self.run.run_id, self.table.name, self._pictures([chunk.rows[i] for i in taken]))
        self.again.extend(self._cut(chunk, "update", taken))

    def _sorted(
        self, rows: Mapping[str, Row], following: Mapping[str, str]
    ) -> tuple[list[str], list[str], Counter[str]]:
        """Ids to create, ids to update, and how many rows have come to which end already."""
        known = self.ledger.known(self.table.name, list(rows))
        foreign = self._resolve([i for i, k in known.items() if k.state == "intended" and k.action == "create"])
        known = self.ledger.known(self.table.name, list(rows))
        same = {i for i, k in known.items() if k.state == "done" and k.hash == content_hash(rows[i])} - set(following)
        there = {i for i, k in known.items() if k.state == "done" or k.action == "update"} | foreign
        create = [i for i in rows if i not in there]
        update = [i for i in rows if i in there and i not in same]
        return create, update, Counter(self._end(known[i]) for i in same)

    def _end(self, known: Known) -> str:
        """How a row that needs nothing counts: a run that goes on after a stop keeps what it did before."""
        if known.created_by == self.run.run_id:
            return "created"
        return "updated" if known.run_id == self.run.run_id and known.action == "update" else "unchanged"

    def _resolve(self, doubtful: list[str]) -> set[str]:
        """Give rows that a run of this ledger put there to that run; the ids of those that nobody of us put there."""
        if not doubtful:
            return set()
        runs = self.ledger.runs_by_number()
        tags = bulk.tags(self.client, self.table, doubtful)
        makers = {row_id: runs[tag] for row_id, tag in tags.items() if tag in runs}
        self.ledger.landed(self.run.run_id, self.table.name, makers)
        return set(tags) - set(makers)

    def _intents(
        self, ids: Iterable[str], action: Action, rows: Mapping[str, Row], keys: Mapping[str, str]
    ) -> list[Intent]:
        return [Intent(i, keys[i], content_hash(rows[i]), action) for i in ids]

    def _pictures(self, rows: list[Row]) -> dict[str, Row]:
        """How the rows look now in the columns that will be sent; rows that are not there are left out."""
        columns = sorted({_read_name(self.table, name) for row in rows for name in row})
        ids = [row[self.table.primary_id] for row in rows]
        found = self.client.rows_by_id(self.table, ids, columns, lookup_tables=True)
        return {str(row[self.table.primary_id]).lower(): _picture(row) for row in found}


def payloads(part: pl.DataFrame, name: str, tables: Mapping[str, Table]) -> list[Row]:
    """Staged rows as the API takes them: nulls left out, lookups as bind paths (`dataverse-api 4`)."""
    binds = {nav: target for nav, (_, target) in tables[name].binds.items() if nav in part.columns}
    paths = [
        pl.format("/{}({})", pl.lit(tables[target].set_name), pl.col(nav)).alias(f"{nav}@odata.bind")
        for nav, target in binds.items()
    ]
    frame = part.select(*(c for c in part.columns if c not in binds), *paths)
    return [{k: v for k, v in row.items() if v is not None} for row in frame.iter_rows(named=True)]


def _picture(row: Row) -> Row:
    """Old values, and for lookups the table that they pointed to; the ETag is not a value."""
    return {k: v for k, v in row.items() if not k.endswith("etag")}


def _read_name(table: Table, name: str) -> str:
    """Under which name a written property is read: a bound lookup as `_<column>_value`."""
    if name == OWNER_BIND:
        return OWNER_READ
    nav = name.removesuffix("@odata.bind")
    return f"_{table.binds[nav][0].name}_value" if nav in table.binds and nav != name else name


def content_hash(row: Row) -> str:
    """Digest of what is sent for a row, the same in every version and on every machine."""
    return hashlib.blake2b(artefacts.as_json(row), digest_size=16).hexdigest()


def order(names: Iterable[str]) -> list[str]:
    """Dependency order (design 3): accounts, people, custom objects, relationships, events."""
    first = ["account", "contact", "lead"]
    last = ["cio_relationship", "cio_event", "cio_anonymous_event"]
    middle = sorted(n for n in names if n not in first + last)
    return [n for n in first + middle + last if n in set(names)]
