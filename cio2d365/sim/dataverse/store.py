"""Rows in SQLite: one SQL table per Dataverse table, real columns, all-or-nothing transactions.

Text compares as on a default organisation: without case, accents and trailing spaces (faults 3.2.5). The function
`fold` does that; unique indexes over `fold(column)` are the alternate keys.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from .errors import ServiceError
from .schema import TEXT_TYPES, Column, Key, Table

SQL_TYPES = {
    "Integer": "INTEGER",
    "BigInt": "INTEGER",
    "Boolean": "INTEGER",
    "Picklist": "INTEGER",
    "State": "INTEGER",
    "Status": "INTEGER",
    "Decimal": "REAL",
    "Double": "REAL",
    "Money": "REAL",
}


def fold(text: Any) -> Any:
    """What two texts have in common that the server takes for equal; other values pass unchanged."""
    if type(text) is not str:
        return text
    if text.isascii():
        return text.rstrip(" ").lower()
    decomposed = unicodedata.normalize("NFKD", text.rstrip(" ").casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


_TOO_COMPLEX = ("parser stack overflow", "Expression tree is too large", "too many SQL variables")


def _collate(left: str, right: str) -> int:
    first, second = fold(left), fold(right)
    return int(first > second) - int(first < second)


def like_text(text: str | None, pattern: str) -> bool | None:
    """SQL Server's LIKE with `%`, `_`, `[a-f]` and `[^…]` on folded text."""
    return None if text is None else _like_expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _like_expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(%|_|\[\^?[^\]]+\])", pattern)
    return re.compile("".join(_LIKE.get(part, part if part[:1] == "[" else re.escape(part)) for part in parts), re.S)


_LIKE = {"%": ".*", "_": "."}


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def type_column(column: Column) -> str | None:
    """Name of the hidden column with the target table of a lookup that has several targets."""
    return f"{column.name}__type" if column.is_lookup and len(column.targets) > 1 else None


def sql_columns(column: Column) -> list[tuple[str, str]]:
    """The SQL columns (name, type) that hold one Dataverse column."""
    kind = "TEXT COLLATE dataverse" if column.type in TEXT_TYPES else SQL_TYPES.get(column.type, "TEXT")
    found = [(column.name, kind)]
    hidden = type_column(column)
    return [*found, (hidden, "TEXT")] if hidden else found


def key_expression(column: Column) -> str:
    """How a column takes part in a unique index or an equality."""
    return f"fold({quoted(column.name)})" if column.type in TEXT_TYPES else quoted(column.name)


class Store:
    """The database of one organisation. Every method expects the caller to hold `lock`."""

    def __init__(self, path: Path | None) -> None:
        self.lock = threading.RLock()
        self.connection = sqlite3.connect(
            str(path) if path else ":memory:", check_same_thread=False, isolation_level=None
        )
        self.connection.create_function("fold", 1, fold, deterministic=True)
        self.connection.create_collation("dataverse", _collate)
        self.connection.create_function("like_text", 2, like_text, deterministic=True)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "temp_store=MEMORY", "cache_size=-200000"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.committed: Counter[tuple[str, str]] = Counter()
        self.on_begin: Callable[[], None] = lambda: None
        self.on_rollback: Callable[[], None] = lambda: None
        self._depth = 0
        self._version: int | None = None
        self._create_bookkeeping()

    def _create_bookkeeping(self) -> None:
        self.connection.executescript(
            "CREATE TABLE IF NOT EXISTS _meta (name TEXT PRIMARY KEY, value TEXT);"
            "CREATE TABLE IF NOT EXISTS _schema (kind TEXT, name TEXT, value TEXT, PRIMARY KEY (kind, name));"
            "CREATE TABLE IF NOT EXISTS _bin (tbl TEXT, id TEXT, deleted_on TEXT, row TEXT, PRIMARY KEY (tbl, id));"
            "CREATE TABLE IF NOT EXISTS _deleted (tbl TEXT, version INTEGER, id TEXT, PRIMARY KEY (tbl, version));"
        )

    def close(self) -> None:
        """Release the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a nested use joins the outer one."""
        if self._depth:
            yield
            return
        before = self.committed.copy()
        self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        self.on_begin()
        try:
            yield
            self._save_version()
        except BaseException:
            self.connection.execute("ROLLBACK")
            self.committed = before
            self._version = None
            self.on_rollback()
            raise
        else:
            self.connection.execute("COMMIT")
        finally:
            self._depth = 0

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a SELECT as tuples. Raises 400 for a query that is nested beyond the database's parser."""
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if any(sign in str(error) for sign in _TOO_COMPLEX):
                raise ServiceError(400, "0x80041101", "The query is too complex.") from None
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; returns the number of rows it touched."""
        return self.connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        self.connection.executemany(sql, rows)

    def count_change(self, table: str, kind: str, number: int = 1) -> None:
        """Note rows created, updated or deleted by the running transaction."""
        if number:
            self.committed[table, kind] += number

    def take_committed(self) -> dict[str, dict[str, int]]:
        """What was committed since the last call, as {table: {kind: rows}}."""
        taken: dict[str, dict[str, int]] = {}
        for (table, kind), number in self.committed.items():
            taken.setdefault(table, {})[kind] = number
        self.committed.clear()
        return taken

    def reserve_versions(self, number: int = 1) -> int:
        """The first of `number` fresh row versions; they rise through the whole organisation."""
        if self._version is None:
            self._version = int(self.get_meta("version") or 1_000_000)
        first = self._version + 1
        self._version += number
        return first

    def last_version(self) -> int:
        """The newest row version that was given out."""
        return self.reserve_versions(0) - 1

    def note_deleted(self, table: str, row_id: str) -> None:
        """Remember a deletion for change tracking."""
        self.execute("INSERT INTO _deleted VALUES (?, ?, ?)", (table, self.reserve_versions(), row_id))

    def deleted_since(self, table: Table, version: int) -> list[str]:
        """Ids of rows that were deleted after a version and are still gone, in the order of their deletion."""
        present = f"SELECT 1 FROM {quoted(table.name)} t WHERE t.{quoted(table.primary_id)} = d.id"
        sql = f"SELECT DISTINCT id FROM _deleted d WHERE tbl = ? AND version > ? AND NOT EXISTS ({present})"
        return [row[0] for row in self.query(f"{sql} ORDER BY version", (table.name, version))]

    def _save_version(self) -> None:
        if self._version is not None:
            self.set_meta("version", str(self._version))

    def get_meta(self, name: str) -> str | None:
        """One remembered fact about the organisation."""
        rows = self.query("SELECT value FROM _meta WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def set_meta(self, name: str, value: str) -> None:
        """Remember one fact about the organisation."""
        self.execute("INSERT OR REPLACE INTO _meta VALUES (?, ?)", (name, value))

    def save_definition(self, kind: str, name: str, value: bytes) -> None:
        """Persist a table, relationship or choice."""
        self.execute("INSERT OR REPLACE INTO _schema VALUES (?, ?, ?)", (kind, name, value.decode()))

    def save_definitions(self, kind: str, values: Iterable[tuple[str, bytes]]) -> None:
        """Persist many definitions of one kind at once."""
        rows = ((kind, name, value.decode()) for name, value in values)
        self.execute_many("INSERT OR REPLACE INTO _schema VALUES (?, ?, ?)", rows)

    def forget_definition(self, kind: str, name: str) -> None:
        """Drop a persisted definition."""
        self.execute("DELETE FROM _schema WHERE kind = ? AND name = ?", (kind, name))

    def definitions(self, kind: str) -> list[Any]:
        """All persisted definitions of a kind."""
        rows = self.query("SELECT value FROM _schema WHERE kind = ? ORDER BY rowid", (kind,))
        return [orjson.loads(row[0]) for row in rows]

    def create_table(self, table: Table) -> None:
        """Make the SQL table of a Dataverse table, the primary key unique."""
        parts = [pair for column in table.columns.values() if column.stored for pair in sql_columns(column)]
        if "versionnumber" not in dict(parts):
            parts.append(("versionnumber", "INTEGER"))
        body = ", ".join(
            f"{quoted(name)} {kind}{' PRIMARY KEY NOT NULL' if name == table.primary_id else ''}"
            for name, kind in parts
        )
        self.execute(f"CREATE TABLE {quoted(table.name)} ({body})")

    def drop_table(self, name: str) -> None:
        """Remove a table with its rows."""
        self.execute(f"DROP TABLE {quoted(name)}")
        self.execute("DELETE FROM _bin WHERE tbl = ?", (name,))
        self.execute("DELETE FROM _deleted WHERE tbl = ?", (name,))

    def add_column(self, table: str, column: Column) -> None:
        """Add the SQL columns of one Dataverse column; lookups get an index for cascades."""
        for name, kind in sql_columns(column):
            self.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
        if column.is_lookup:
            self.index_lookup(table, column.name)

    def add_hidden_type(self, table: str, column: Column, target: str) -> None:
        """Turn a lookup with one target into one with several."""
        hidden = f"{column.name}__type"
        self.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(hidden)} TEXT")
        self.execute(
            f"UPDATE {quoted(table)} SET {quoted(hidden)} = ? WHERE {quoted(column.name)} IS NOT NULL", (target,)
        )

    def index_lookup(self, table: str, column: str) -> None:
        """An index over the filled values of a lookup."""
        name, target = quoted(f"ix_{table}_{column}"), quoted(column)
        self.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {quoted(table)} ({target}) WHERE {target} IS NOT NULL")

    def drop_column(self, table: str, column: Column) -> None:
        """Remove a column with its values."""
        self.execute(f"DROP INDEX IF EXISTS {quoted(f'ix_{table}_{column.name}')}")
        for name, _ in sql_columns(column):
            self.execute(f"ALTER TABLE {quoted(table)} DROP COLUMN {quoted(name)}")

    def create_key_index(self, table: Table, key: Key) -> bool:
        """Build the unique index of a key; False when rows already collide (status Failed)."""
        expressions = ", ".join(key_expression(table.columns[name]) for name in key.columns)
        try:
            self.execute(
                f"CREATE UNIQUE INDEX {quoted(f'key_{table.name}_{key.name}')} ON {quoted(table.name)} ({expressions})"
            )
        except sqlite3.IntegrityError:
            return False
        return True

    def drop_key_index(self, table: str, key: str) -> None:
        """Remove the unique index of a key."""
        self.execute(f"DROP INDEX IF EXISTS {quoted(f'key_{table}_{key}')}")
