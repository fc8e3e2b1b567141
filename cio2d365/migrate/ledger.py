"""What was meant and what became of it: one SQLite file per environment (L2, L13).

Intent is written before a request is sent and the outcome after the target has confirmed it; a crash between the two
leaves rows `intended`, which the next run resolves by reading the target. A ledger belongs to one organisation,
environment and migration, and has one holder at a time.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import orjson
import polars as pl
import psutil

from cio2d365.errors import GateError, Refused, Transient
from cio2d365.outcomes import Outcome, RowOutcome

Action = Literal["create", "update"]
BUSY_SECONDS = 4.0
STATES = {
    Outcome.CREATED: "done",
    Outcome.UPDATED: "done",
    Outcome.QUARANTINED: "quarantined",
    Outcome.UNCHANGED: "done",
}
SCHEMA = """
CREATE TABLE IF NOT EXISTS binding (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS holder (
    one INTEGER PRIMARY KEY CHECK (one = 1), host TEXT, pid INTEGER, born REAL, since TEXT);
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, number INTEGER UNIQUE, plan TEXT, started TEXT, ended TEXT, state TEXT);
CREATE TABLE IF NOT EXISTS chunks (
    run_id TEXT, tbl TEXT, n INTEGER, staged INTEGER, created INTEGER DEFAULT 0, updated INTEGER DEFAULT 0,
    unchanged INTEGER DEFAULT 0, quarantined INTEGER DEFAULT 0, state TEXT, PRIMARY KEY (run_id, tbl, n));
CREATE TABLE IF NOT EXISTS rows (
    tbl TEXT, row_id TEXT, source_key TEXT, hash TEXT, action TEXT, state TEXT, run_id TEXT, created_by TEXT,
    code INTEGER, message TEXT, chunk INTEGER, base_run TEXT, base_hash TEXT, PRIMARY KEY (tbl, row_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS preimages (
    tbl TEXT, row_id TEXT, run_id TEXT, document BLOB, PRIMARY KEY (tbl, row_id, run_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unlinked (
    tbl TEXT, row_id TEXT, source_key TEXT, link TEXT, target TEXT, PRIMARY KEY (tbl, row_id, link)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edits (
    run_id TEXT, tbl TEXT, row_id TEXT, source_key TEXT, name TEXT, loaded TEXT, target TEXT, source TEXT, kind TEXT,
    decision TEXT, PRIMARY KEY (run_id, tbl, row_id, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_created_by ON rows (created_by, tbl);
"""


@dataclass(frozen=True)
class Binding:
    """The one place that a ledger belongs to."""

    migration_id: str
    environment: str
    organization_id: str


@dataclass(frozen=True)
class Known:
    """What the ledger knows of a row: the content it was last confirmed or meant with, by which run, and its maker.

    `base_run` and `base_hash` say which content it was last confirmed with, also while another one is only meant.
    """

    hash: str
    state: str
    action: str
    run_id: str
    created_by: str | None
    base_run: str | None
    base_hash: str | None


@dataclass(frozen=True)
class Intent:
    """A row that is about to be sent."""

    row_id: str
    source_key: str
    hash: str
    action: Action


class Ledger:
    """An open ledger; close it, or use it as a context manager, to let another process have it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the holder's place; where that cannot be written, the next one sees that this process is gone."""
        with suppress(sqlite3.OperationalError), self._db:
            self._db.execute("DELETE FROM holder WHERE pid = ? AND host = ?", (os.getpid(), socket.gethostname()))
        self._db.close()

    # --- runs ---------------------------------------------------------------------------------------------------------

    def begin_run(self, run_id: str, plan: str, at: str) -> int:
        """Open a run, or continue it; its number tags the rows it creates (`importsequencenumber`).

        The number is the second of its start (`at` is ISO 8601), so that no other ledger has given it to its rows.
        Refused when the run was begun for another plan (F-60).
        """
        second = int(datetime.fromisoformat(at).timestamp())
        found = self._db.execute("SELECT plan FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if found and found[0] != plan:
            raise Refused(
                f"run {run_id} was begun for plan {found[0]}; the rules or the snapshot changed since (now {plan}). "
                "Start a new run: its plan shows which rows would change"
            )
        with self._db:
            # One may load at a time: whoever is said to be running else has died.
            self._db.execute("UPDATE runs SET state = 'stopped' WHERE state = 'running' AND run_id <> ?", (run_id,))
            self._db.execute(
                "INSERT INTO runs SELECT ?, max(?, coalesce(max(number), 0) + 1), ?, ?, NULL, 'running' FROM runs "
                "WHERE true ON CONFLICT (run_id) DO UPDATE SET state = 'running', ended = NULL",
                (run_id, second, plan, at),
            )
        return self._one("SELECT number FROM runs WHERE run_id = ?", run_id)

    def runs_by_number(self) -> dict[int, str]:
        """Which run gave which number to the rows that it created."""
        return dict(self._db.execute("SELECT number, run_id FROM runs"))

    def end_run(self, run_id: str, state: str, at: str) -> None:
        """Close a run as `done`, `stopped` or `rolled back`."""
        with self._db:
            self._db.execute("UPDATE runs SET state = ?, ended = ? WHERE run_id = ?", (state, at, run_id))

    def runs(self) -> pl.DataFrame:
        """All runs: run_id, number, plan, started, ended, state, created, updated, unchanged, quarantined.

        A run whose process has died is `stopped`, although it could not say so.
        """
        return self._frame(
            "SELECT r.run_id, number, plan, started, ended, iif(r.state = 'running' AND NOT ?, 'stopped', r.state) "
            "AS state, coalesce(sum(created), 0) AS created, "
            "coalesce(sum(updated), 0) AS updated, coalesce(sum(unchanged), 0) AS unchanged, "
            "coalesce(sum(quarantined), 0) AS quarantined "
            "FROM runs r LEFT JOIN chunks c ON c.run_id = r.run_id GROUP BY r.run_id ORDER BY number",
            self._is_held(),
        )

    def _is_held(self) -> bool:
        row = self._db.execute("SELECT host, pid, born FROM holder").fetchone()
        return bool(row) and _alive(*row)

    def has_run(self, run_id: str) -> bool:
        """True for a run that this ledger knows."""
        return bool(self._one("SELECT count(*) FROM runs WHERE run_id = ?", run_id))

    # --- rows ---------------------------------------------------------------------------------------------------------

    def known(self, table: str, ids: Sequence[str]) -> dict[str, Known]:
        """What is known of some rows."""
        marks = orjson.dumps(list(ids)).decode()
        sql = (
            "SELECT row_id, hash, state, action, run_id, created_by, iif(state = 'done', run_id, base_run), "
            "iif(state = 'done', hash, base_hash) FROM rows "
            "WHERE tbl = ? AND row_id IN (SELECT value FROM json_each(?))"
        )
        return {row_id: Known(*rest) for row_id, *rest in self._db.execute(sql, (table, marks))}

    def begin_table(self, run_id: str, table: str, chunks: int) -> None:
        """Forget what an earlier attempt of this run, cut otherwise, had beyond the last chunk, and links left out."""
        with self._db:
            self._db.execute("DELETE FROM unlinked WHERE tbl = ?", (table,))
            self._db.execute("DELETE FROM chunks WHERE run_id = ? AND tbl = ? AND n >= ?", (run_id, table, chunks))

    def open_chunk(
        self, run_id: str, table: str, n: int, staged: int, settled: Mapping[str, int], intents: Iterable[Intent]
    ) -> None:
        """Record what a chunk is about to send, before it is sent (L2), and the ends that are settled already."""
        counts = [settled.get(k, 0) for k in ("created", "updated", "unchanged")]
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO chunks (run_id, tbl, n, staged, created, updated, unchanged, state) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'intended')",
                (run_id, table, n, staged, *counts),
            )
            self._intend(run_id, table, n, intents)

    def intend(self, run_id: str, table: str, n: int, intents: Iterable[Intent]) -> None:
        """Record that rows of an open chunk are about to be sent in another way than was meant at first."""
        with self._db:
            self._intend(run_id, table, n, intents)

    def _intend(self, run_id: str, table: str, n: int, intents: Iterable[Intent]) -> None:
        self._db.executemany(
            "INSERT INTO rows (tbl, row_id, source_key, hash, action, state, run_id, chunk) "
            "VALUES (?, ?, ?, ?, ?, 'intended', ?, ?) "
            "ON CONFLICT (tbl, row_id) DO UPDATE SET base_run = iif(state = 'done', run_id, base_run), "
            "base_hash = iif(state = 'done', hash, base_hash), source_key = excluded.source_key, hash = excluded.hash, "
            "action = excluded.action, state = 'intended', run_id = excluded.run_id, chunk = excluded.chunk, "
            "code = NULL, message = NULL",
            [(table, i.row_id, i.source_key, i.hash, i.action, run_id, n) for i in intents],
        )

    def conclude(self, run_id: str, table: str, n: int, outcomes: Sequence[RowOutcome]) -> None:
        """Record what the target has confirmed: the rows and the sums of their chunk, together."""
        rows = [
            (STATES[o.outcome], o.refusal.code if o.refusal else None, o.refusal.text if o.refusal else None,
             run_id if o.outcome is Outcome.CREATED else None, table, o.row_id)
            for o in outcomes
        ]  # fmt: skip
        counts = Counter(o.outcome for o in outcomes)
        with self._db:
            self._db.executemany(
                "UPDATE rows SET state = ?, code = ?, message = ?, created_by = coalesce(?, created_by) "
                "WHERE tbl = ? AND row_id = ?",
                rows,
            )
            self._db.execute(
                "UPDATE chunks SET created = created + ?, updated = updated + ?, quarantined = quarantined + ?, "
                "unchanged = unchanged + ? WHERE run_id = ? AND tbl = ? AND n = ?",
                (*(counts[o] for o in STATES), run_id, table, n),
            )

    def landed(self, run_id: str, table: str, makers: Mapping[str, str]) -> None:
        """Rows (id → run) whose run died before it could record that it had created them, as the target shows.

        They are counted where they were made: in the chunk that the row was meant in. A row that a later run has meant
        with other content since is known to be there, but neither with which content nor in which chunk of its maker:
        it is counted in the first one that was left open. `run_id` is the run that is going on: its own rows are
        counted when their chunk is opened.
        """
        with self._db:
            for row_id, maker in makers.items():
                if maker != run_id:
                    self._count_late(table, row_id, maker)
                self._db.execute(
                    "UPDATE rows SET state = 'done', created_by = ?1, hash = iif(run_id = ?1, hash, '') "
                    "WHERE tbl = ?2 AND row_id = ?3",
                    (maker, table, row_id),
                )

    def _count_late(self, table: str, row_id: str, maker: str) -> None:
        self._db.execute(
            "UPDATE chunks SET created = created + 1 WHERE run_id = ?1 AND tbl = ?2 AND state = 'intended' "
            "AND n = coalesce((SELECT chunk FROM rows WHERE tbl = ?2 AND row_id = ?3 AND run_id = ?1), "
            "(SELECT min(n) FROM chunks WHERE run_id = ?1 AND tbl = ?2 AND state = 'intended'))",
            (maker, table, row_id),
        )

    def close_chunk(self, run_id: str, table: str, n: int) -> None:
        """Every row of a chunk has its end."""
        with self._db:
            self._db.execute(
                "UPDATE chunks SET state = 'done' WHERE run_id = ? AND tbl = ? AND n = ?", (run_id, table, n)
            )

    def keep_preimages(self, run_id: str, table: str, rows: Mapping[str, Mapping[str, object]]) -> None:
        """Keep how rows looked before this run changed them; the first picture of a run stays."""
        with self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO preimages VALUES (?, ?, ?, ?)",
                [(table, row_id, run_id, orjson.dumps(document)) for row_id, document in rows.items()],
            )

    def keep_unlinked(self, table: str, links: Iterable[tuple[str, str, str, str]]) -> None:
        """Links that were left out: row id, source key, name of the link, id of the row that is in quarantine."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO unlinked VALUES (?, ?, ?, ?, ?)", [(table, *x) for x in links])

    def keep_edits(self, run_id: str, table: str, edits: pl.DataFrame) -> None:
        """Values that a person has changed in the target since they were loaded, with what this run does about them."""
        names = ("id", "cio_source_key", "column", "loaded", "target", "source", "kind", "decision")
        rows = [(run_id, table, *row) for row in edits.select(names).iter_rows()]
        with self._db:
            self._db.executemany(f"INSERT OR REPLACE INTO edits VALUES ({','.join('?' * 10)})", rows)

    def forget(self, table: str, row_ids: Iterable[str]) -> None:
        """Rows that a rollback deleted, and what their links lacked: a later run may create them again."""
        pairs = [(table, i) for i in row_ids]
        with self._db:
            self._db.executemany("DELETE FROM rows WHERE tbl = ? AND row_id = ?", pairs)
            self._db.executemany("DELETE FROM unlinked WHERE tbl = ? AND row_id = ?", pairs)

    def schema_removed(self, tables: Iterable[str]) -> None:
        """Tables that were removed with their rows; what is left of the others has lost its columns of ours.

        A later load creates and updates all of them again.
        """
        with self._db:
            for name in tables:
                self._db.execute("DELETE FROM rows WHERE tbl = ?", (name,))
                self._db.execute("DELETE FROM unlinked WHERE tbl = ?", (name,))
            self._db.execute("UPDATE rows SET hash = '', base_hash = '' WHERE state = 'done'")

    def restored(self, run_id: str, table: str, row_ids: Iterable[str]) -> None:
        """Rows that a rollback gave their old values back: their content is not ours any more."""
        pairs = [(table, i) for i in row_ids]
        with self._db:
            self._db.executemany("UPDATE rows SET hash = '' WHERE tbl = ? AND row_id = ?", pairs)
            self._db.executemany(
                "DELETE FROM preimages WHERE tbl = ? AND row_id = ? AND run_id = ?", [(*p, run_id) for p in pairs]
            )

    # --- reading ------------------------------------------------------------------------------------------------------

    def balance(self, run_id: str) -> pl.DataFrame:
        """Per table of a run: staged, created, updated, unchanged, quarantined, chunks that are not done."""
        return self._frame(
            "SELECT tbl AS 'table', sum(staged) AS staged, sum(created) AS created, sum(updated) AS updated, "
            "sum(unchanged) AS unchanged, sum(quarantined) AS quarantined, sum(state <> 'done') AS open "
            "FROM chunks WHERE run_id = ? GROUP BY tbl ORDER BY min(rowid)",
            run_id,
        )

    def quarantine(self) -> pl.DataFrame:
        """Rows that the target refused: table, source_key, row_id, code, message."""
        return self._frame(
            "SELECT tbl AS 'table', source_key, row_id, code, message FROM rows "
            "WHERE state = 'quarantined' ORDER BY 1, 2"
        )

    def edits(self, run_id: str) -> pl.DataFrame:
        """What a run found edited in the target: table, source_key, column, loaded, target, source, kind, decision."""
        return self._frame(
            "SELECT tbl AS 'table', source_key, name AS 'column', loaded, target, source, kind, decision FROM edits "
            "WHERE run_id = ? ORDER BY kind, 1, 2, 3",
            run_id,
        )

    def kept_edits(self) -> pl.DataFrame:
        """Values of the target that loads have kept: table, source_key, column, target."""
        return self._frame(
            "SELECT DISTINCT tbl AS 'table', source_key, name AS 'column', target FROM edits WHERE decision = 'kept'"
        )

    def plan_of(self, run_id: str) -> str:
        """The plan that a run loaded."""
        return str(self._db.execute("SELECT plan FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0])

    def quarantined(self, table: str) -> set[str]:
        """Ids of the rows of a table that the target refused."""
        sql = "SELECT row_id FROM rows WHERE tbl = ? AND state = 'quarantined'"
        return {row[0] for row in self._db.execute(sql, (table,))}

    def unlinked(self) -> pl.DataFrame:
        """Rows whose link was left out by the last load: table, source_key, link, target."""
        return self._frame("SELECT tbl AS 'table', source_key, link, target FROM unlinked ORDER BY 1, 2, 3")

    def created_by(self, run_id: str, table: str) -> list[str]:
        """Ids of the rows that a run created and that were not rolled back."""
        sql = "SELECT row_id FROM rows WHERE created_by = ? AND tbl = ? ORDER BY row_id"
        return [row[0] for row in self._db.execute(sql, (run_id, table))]

    def preimages(self, run_id: str, table: str) -> list[tuple[str, dict[str, object]]]:
        """Rows that a run changed, as they were before."""
        sql = "SELECT row_id, document FROM preimages WHERE run_id = ? AND tbl = ? ORDER BY row_id"
        return [(row_id, orjson.loads(document)) for row_id, document in self._db.execute(sql, (run_id, table))]

    def tables_of(self, run_id: str) -> list[str]:
        """Tables that a run wrote to, in the order in which it did."""
        sql = "SELECT tbl FROM chunks WHERE run_id = ? GROUP BY tbl ORDER BY min(rowid)"
        return [row[0] for row in self._db.execute(sql, (run_id,))]

    def _one(self, sql: str, *values: object) -> int:
        return int(self._db.execute(sql, values).fetchone()[0])

    def _frame(self, sql: str, *values: object) -> pl.DataFrame:
        cursor = self._db.execute(sql, values)
        names = [d[0] for d in cursor.description]
        return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)


@contextmanager
def opened(path: Path, binding: Binding, *, at: str) -> Iterator[Ledger]:
    """Open a ledger for writing. GateError for another place or when it is held; Refused when the file is damaged.

    Transient when it cannot be written any more, as on a full disk (F-55); nothing is sent after that.
    """
    if not path.exists():
        _make(path, binding)
    _check(path)
    ledger = Ledger(_connect(path), path)
    try:
        _refuse_another_place(ledger._db, binding, path)
        _hold(ledger._db, path, at)
        _upgrade(ledger._db)
    except sqlite3.OperationalError as error:
        ledger._db.close()
        raise GateError(f"{path} is in use by another process ({error}); only one may load at a time") from None
    except BaseException:
        ledger._db.close()
        raise
    try:
        yield ledger
    except sqlite3.OperationalError as error:
        raise Transient(f"{path} cannot be written ({error}). Make room, then run again") from None
    finally:
        ledger.close()


@contextmanager
def reading(path: Path) -> Iterator[Ledger]:
    """A ledger for reading only: no holder's place is taken; Refused when there is none."""
    if not path.exists():
        raise Refused(f"{path} does not exist: nothing was loaded into this environment yet")
    _check(path)
    connection = _read_only(path)
    try:
        yield Ledger(connection, path)
    finally:
        connection.close()


def _make(path: Path, binding: Binding) -> None:
    """A new ledger appears whole and bound, or not at all: an empty file is never taken for one (F-58, L17)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    connection = sqlite3.connect(temporary)
    with connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO binding VALUES (?, ?)", list(asdict(binding).items()))
    connection.close()
    try:
        # A link refuses to replace what another process has put there meanwhile; a rename would not.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _check(path: Path) -> None:
    """Refused when the file is damaged; it is only read, so that it stays as it is."""
    try:
        connection = _read_only(path)
        try:
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("it fails its own check")
            if not connection.execute("SELECT count(*) FROM binding").fetchone()[0]:
                raise sqlite3.DatabaseError("it does not say where it belongs")
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise Refused(
            f"{path} is damaged ({error}). Put a copy from before back in its place; without one, keep the file "
            "and ask for help: starting from an empty ledger would forget what was already loaded"
        ) from None


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    """Ledgers of the first version knew less: neither the chunk of a row nor links left out nor edits in the target."""
    connection.executescript(SCHEMA)
    columns = {row[1] for row in connection.execute("PRAGMA table_info(rows)")}
    added = {"chunk": "INTEGER", "base_run": "TEXT", "base_hash": "TEXT"}
    with connection:
        for name in added.keys() - columns:
            connection.execute(f"ALTER TABLE rows ADD COLUMN {name} {added[name]}")


def _refuse_another_place(db: sqlite3.Connection, binding: Binding, path: Path) -> None:
    wanted, found = asdict(binding), dict(db.execute("SELECT name, value FROM binding"))
    differing = [f"{k}: ledger {found.get(k)}, now {v}" for k, v in wanted.items() if found.get(k) != v]
    if differing:
        raise GateError(f"{path} belongs to another place; nothing was written. " + "; ".join(differing))


def _hold(db: sqlite3.Connection, path: Path, at: str) -> None:
    me = (socket.gethostname(), os.getpid(), psutil.Process().create_time())
    with db:
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("SELECT host, pid, born, since FROM holder").fetchone()
        if row and _alive(*row[:3]):
            raise GateError(
                f"{path} is held by process {row[1]} on {row[0]} since {row[3]}; only one may load at a time. If that "
                f"machine is gone for good, free it with: sqlite3 {path} 'DELETE FROM holder'"
            )
        db.execute("INSERT OR REPLACE INTO holder VALUES (1, ?, ?, ?, ?)", (*me, at))


def _alive(host: str, pid: int, born: float) -> bool:
    if host != socket.gethostname():
        return True
    try:
        return bool(abs(psutil.Process(pid).create_time() - born) < 1.0)
    except psutil.NoSuchProcess:
        return False
