"""Source key → GUID. Computed, never looked up, so that lookups resolve offline and a repeat is harmless (L3).

People, companies and objects get UUIDv5 of (migration id, table, source key). Events and deliveries get UUIDv8
whose last six bytes are the millisecond timestamp: SQL Server orders GUIDs by those bytes first, so rows that arrive
in time order land side by side in the index. The other bits come from the same hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast
from uuid import UUID, uuid5

import polars as pl
import uuid_utils

ROOT = UUID("6f1c1f5e-6d55-5d0c-9f0e-c10d365c10d3")


def namespace(migration_id: str, table: str) -> UUID:
    """Namespace of one table's rows in one migration."""
    return uuid5(uuid5(ROOT, migration_id), table)


def row_ids(migration_id: str, table: str, keys: pl.Series) -> pl.Series:
    """UUIDv5 text for each source key; null stays null. 0.6 µs a key."""
    space = uuid_utils.UUID(str(namespace(migration_id, table)))
    texts = (None if k is None else str(uuid_utils.uuid5(space, k)) for k in cast(Iterable[str | None], keys))
    return pl.Series(keys.name, list(texts), dtype=pl.String)


def timed_row_ids(migration_id: str, table: str, keys: pl.Series, at_ms: pl.Series) -> pl.Series:
    """UUIDv8 text for each (source key, unix milliseconds); times wrap at 48 bits."""
    space = uuid_utils.UUID(str(namespace(migration_id, table)))
    pairs = zip(cast(Iterable[str], keys), cast(Iterable[int], at_ms), strict=True)
    texts = [_timed(str(uuid_utils.uuid5(space, key)), ms) for key, ms in pairs]
    return pl.Series(keys.name, texts, dtype=pl.String)


def _timed(hashed: str, ms: int) -> str:
    return f"{hashed[:14]}8{hashed[15:24]}{ms & 0xFFFF_FFFF_FFFF:012x}"
