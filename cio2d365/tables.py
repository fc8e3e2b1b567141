"""What a Dataverse table looks like: the same words for what we want and for what exists.

Names are logical names. Everything of ours has an all-lower-case schema name, so that schema name, logical name and
navigation property are the same text: navigation properties are case-sensitive (`dataverse-api 4`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "string", "memo", "integer", "bigint", "decimal", "double", "money", "boolean", "datetime", "date",
    "choice", "multichoice", "uniqueidentifier", "other",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)

WHOLE_RANGE = (-2_147_483_647, 2_147_483_647)
DECIMAL_RANGE = (-100_000_000_000.0, 100_000_000_000.0)
STRING_LENGTH = 4_000
MEMO_LENGTH = 1_048_576


@dataclass(frozen=True)
class Option:
    """One value of a choice column; the API takes the number, never the label (`dataverse-api 4`)."""

    value: int
    label: str


@dataclass(frozen=True)
class Column:
    """One column that holds a plain value. `length` counts UTF-16 units; `required` means SystemRequired only."""

    name: str
    kind: Kind
    label: str = ""
    length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    precision: int | None = None
    options: tuple[Option, ...] = ()
    format: str = ""
    required: bool = False
    creatable: bool = True
    updatable: bool = True
    custom: bool = True
    description: str = ""


@dataclass(frozen=True)
class Lookup:
    """A column that points to a row of one of `targets` (table → navigation property to bind)."""

    name: str
    targets: tuple[tuple[str, str], ...]
    label: str = ""
    custom: bool = True

    def navigation(self, table: str) -> str:
        """Navigation property that binds this lookup to a row of `table`; KeyError when it cannot point there."""
        return dict(self.targets)[table]


@dataclass(frozen=True)
class Key:
    """An alternate key over `columns`; usable only once the status of its index is Active (`dataverse-api 10`)."""

    name: str
    columns: tuple[str, ...]
    label: str = ""
    status: str = "Active"


@dataclass(frozen=True)
class Table:
    """A Dataverse table: names, columns, lookups and keys."""

    name: str
    set_name: str
    primary_id: str
    primary_name: str
    columns: tuple[Column, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    keys: tuple[Key, ...] = ()
    label: str = ""
    label_plural: str = ""
    custom: bool = False
    description: str = ""
    _index: dict[str, Column] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._index.update({c.name: c for c in self.columns})

    def column(self, name: str) -> Column | None:
        """The plain column of that logical name, or None."""
        return self._index.get(name)

    def lookup(self, name: str) -> Lookup | None:
        """The lookup of that logical name, or None."""
        return next((x for x in self.lookups if x.name == name), None)

    @property
    def binds(self) -> dict[str, tuple[Lookup, str]]:
        """Navigation property → (lookup, target table)."""
        return {nav: (lookup, table) for lookup in self.lookups for table, nav in lookup.targets}


def to_document(table: Table) -> dict[str, Any]:
    """The table as plain JSON values; `from_document` is its inverse."""
    document = asdict(table)
    document.pop("_index")
    return document


def from_document(document: Mapping[str, Any]) -> Table:
    """Inverse of `to_document`."""
    plain = {k: v for k, v in document.items() if k not in ("columns", "lookups", "keys")}
    return Table(
        **plain,
        columns=tuple(_column(c) for c in document["columns"]),
        lookups=tuple(Lookup(**{**x, "targets": tuple((t, n) for t, n in x["targets"])}) for x in document["lookups"]),
        keys=tuple(Key(**{**k, "columns": tuple(k["columns"])}) for k in document["keys"]),
    )


def _column(document: Mapping[str, Any]) -> Column:
    return Column(**{**document, "options": tuple(Option(**o) for o in document["options"])})
