"""Files that a reader never sees half-written: a temporary name in the same folder, flushed, then renamed (L17)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import orjson
import polars as pl


def write(path: Path, fill: Callable[[Path], object]) -> Path:
    """Let `fill` write a temporary file beside `path`, then put it in place; on an error the old file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        fill(temporary)
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """UTF-8 text with `\\n` line ends on every platform."""
    return write(path, lambda p: p.write_bytes(text.encode()))


def write_json(path: Path, value: object) -> Path:
    """Indented JSON with sorted keys, so that two runs can be compared."""
    return write(path, lambda p: p.write_bytes(as_json(value, indent=True)))


def write_frame(path: Path, frame: pl.DataFrame) -> Path:
    """A frame as zstd parquet; the same frame gives the same bytes."""
    return write(path, lambda p: frame.write_parquet(p, compression="zstd"))


def as_json(value: object, *, indent: bool = False) -> bytes:
    """Canonical JSON: sorted keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | (orjson.OPT_INDENT_2 if indent else 0))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    return cast(dict[str, Any], orjson.loads(path.read_bytes()))


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: object) -> str:
    """Hex digest of a plain value's canonical JSON."""
    return hashlib.sha256(as_json(value)).hexdigest()


def digest_of_files(files: Mapping[str, Path]) -> str:
    """One hex digest over named files."""
    return digest({name: sha256(path) for name, path in files.items()})


def is_safe_name(name: str) -> bool:
    """True for a name that is one folder or file on every platform: no separators, dots first, or device names."""
    devices = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)", name)
    return bool(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name)) and not devices
