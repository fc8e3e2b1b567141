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
TableKind = Literal["standard", "elastic", "activity"]

WHOLE_RANGE = (-2_147_483_647, 2_147_483_647)
DECIMAL_RANGE = (-100_000_000_000.0, 100_000_000_000.0)
MONEY_RANGE = (-922_337_203_685_477.0, 922_337_203_685_477.0)
STRING_LENGTH = 4_000
MEMO_LENGTH = 1_048_576
# A row's owner is a user or a team, bound by one navigation property whichever it is (`dataverse-api 4`).
OWNER_SETS = {"systemuser": "systemusers", "team": "teams"}
OWNER, OWNER_BIND, OWNER_READ = "ownerid", "ownerid@odata.bind", "_ownerid_value"


@dataclass(frozen=True)
class Option:
    """One value of a choice column; the API takes the number, never the label (`dataverse-api 4`)."""

    value: int
    label: str


@dataclass(frozen=True)
class Choice:
    """A global choice: a list of options that columns of several tables share."""

    name: str
    label: str = ""
    options: tuple[Option, ...] = ()
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Column:
    """One column that holds a plain value. `length` counts UTF-16 units; `required` means SystemRequired only.

    `choice` names the global choice that `options` come from; empty when the options are the column's own.
    `behavior` of a datetime: UserLocal, TimeZoneIndependent or DateOnly; empty means UserLocal. `id` is the
    environment's own id of the definition, empty for what is only wanted; it is no part of what a column means.
    """

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
    choice: str = ""
    behavior: str = ""
    managed: bool = False
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Relationship:
    """What stands behind one target of an existing lookup; `on_delete` is what deleting the target's row does."""

    name: str
    target: str
    on_delete: str = "RemoveLink"
    custom: bool = True
    id: str = ""


@dataclass(frozen=True)
class Lookup:
    """A column that points to a row of one of `targets` (table → navigation property to bind).

    `customer` is the type that Dataverse makes for account or contact only. `relationships` are known for existing
    lookups only.
    """

    name: str
    targets: tuple[tuple[str, str], ...]
    label: str = ""
    custom: bool = True
    customer: bool = False
    managed: bool = False
    relationships: tuple[Relationship, ...] = field(default=(), compare=False)
    id: str = field(default="", compare=False)

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
    managed: bool = False
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class View:
    """A public view of a table: the columns that it shows, in order, and its query as FetchXML."""

    name: str
    table: str
    columns: tuple[str, ...]
    fetch: str
    managed: bool = False
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Table:
    """A Dataverse table: names, columns, lookups, keys and views.

    `kind` activity is read only: such tables are never made. `type_code` is the number by which views name the table;
    it differs per environment. `customizable` is false where the table's owner allows no further columns.
    """

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
    views: tuple[View, ...] = ()
    kind: TableKind = "standard"
    managed: bool = False
    customizable: bool = True
    type_code: int | None = field(default=None, compare=False)
    id: str = field(default="", compare=False)
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
        """Navigation property → (lookup, target table). The owner is none of them: its one property binds to two."""
        links = (lookup for lookup in self.lookups if lookup.name != OWNER)
        return {nav: (lookup, table) for lookup in links for table, nav in lookup.targets}


@dataclass(frozen=True)
class Publisher:
    """Who components belong to: its prefix starts their names, its option prefix their option values."""

    name: str
    prefix: str
    option_prefix: int
    id: str = ""


@dataclass(frozen=True)
class Environment:
    """What an environment holds around its tables, as far as making or removing a schema has to know.

    `tables` are the names of all tables, `custom_tables` those that the customer made (unmanaged, no intersect
    tables), `members` the ids of the components in our solution, `whole` the ids of the tables that are in it with
    everything they have. `most_tables` is the environment's own limit, None when it names none.
    """

    publishers: tuple[Publisher, ...] = ()
    solution_id: str = ""
    solution_managed: bool = False
    members: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    choices: tuple[Choice, ...] = ()
    tables: frozenset[str] = frozenset()
    custom_tables: tuple[str, ...] = ()
    most_tables: int | None = None

    def choice(self, name: str) -> Choice | None:
        """The global choice of that name, or None."""
        return next((c for c in self.choices if c.name.lower() == name.lower()), None)

    def publisher(self, name: str) -> Publisher | None:
        """The publisher of that unique name, or None."""
        return next((p for p in self.publishers if p.name.lower() == name.lower()), None)


def to_document(table: Table) -> dict[str, Any]:
    """The table as plain JSON values; `from_document` is its inverse."""
    document = asdict(table)
    document.pop("_index")
    return document


def from_document(document: Mapping[str, Any]) -> Table:
    """Inverse of `to_document`; what an older document does not say has its default."""
    plain = {k: v for k, v in document.items() if k not in ("columns", "lookups", "keys", "views")}
    return Table(
        **plain,
        columns=tuple(_column(c) for c in document["columns"]),
        lookups=tuple(_lookup(x) for x in document["lookups"]),
        keys=tuple(Key(**{**k, "columns": tuple(k["columns"])}) for k in document["keys"]),
        views=tuple(View(**{**v, "columns": tuple(v["columns"])}) for v in document.get("views", ())),
    )


def _column(document: Mapping[str, Any]) -> Column:
    return Column(**{**document, "options": tuple(Option(**o) for o in document["options"])})


def _lookup(document: Mapping[str, Any]) -> Lookup:
    targets = tuple((table, navigation) for table, navigation in document["targets"])
    relationships = tuple(Relationship(**r) for r in document.get("relationships", ()))
    return Lookup(**{**document, "targets": targets, "relationships": relationships})
