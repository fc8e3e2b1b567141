"""Physical lines of an export file, plain or gzip, each with its number and byte offset."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from cio2d365.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """One physical line with its line end; `number` counts from 1, `offset` is its first byte in the unpacked file."""

    number: int
    offset: int
    data: bytes

    def text(self) -> str:
        """Decoded; bytes that are not UTF-8 become lone surrogates, which `bad_byte` finds again."""
        return self.data.decode("utf-8", "surrogateescape")

    def bad_byte(self) -> int | None:
        """Offset of the first byte that is not UTF-8, or None."""
        try:
            self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            return self.offset + error.start
        return None


def is_gzip(path: Path) -> bool:
    """By content, not by name (B-070)."""
    with path.open("rb") as handle:
        return handle.read(2) == GZIP_MAGIC


def lines(path: Path) -> Iterator[Line]:
    """All lines of a file; InputError for another encoding or a gzip that is cut (B-067, B-069)."""
    opener = gzip.open if is_gzip(path) else open
    try:
        with opener(path, "rb") as handle:
            yield from _numbered(path, cast(BinaryIO, handle))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path.name}: the gzip file is damaged or cut ({error}); ask for it again") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _numbered(path: Path, handle: BinaryIO) -> Iterator[Line]:
    offset = 0
    for number, data in enumerate(handle, 1):
        if number == 1 and data[:2] in UTF16_MARKS:
            raise InputError(f"{path.name} byte 0: the file is UTF-16; export it as UTF-8")
        yield Line(number, offset, data.removeprefix(UTF8_MARK) if number == 1 else data)
        offset += len(data)
