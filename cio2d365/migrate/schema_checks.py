"""What speaks against a wanted schema before anything is sent: every rule with the number needed and the one allowed.

Pure. A server would refuse these one by one, some of them after minutes of work (F-35).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cio2d365.decide.names import LONGEST, is_legal
from cio2d365.migrate.schema import OPTION_VALUE_PREFIX, PREFIX, PUBLISHER, choices_of
from cio2d365.tables import (
    DECIMAL_RANGE,
    MEMO_LENGTH,
    MONEY_RANGE,
    STRING_LENGTH,
    WHOLE_RANGE,
    Choice,
    Column,
    Environment,
    Key,
    Kind,
    Lookup,
    Option,
    Table,
)  # fmt: skip

PROFESSIONAL_TABLES = 15  # custom tables that a Sales Professional licence may create (SR-105)
# SQL Server allows 1,024 columns in a table. Dataverse names no figure (dataverse-api 8.4) and keeps some two dozen of
# its own; 1,000 leaves room for those and refuses what cannot work, while a few hundred is what works well.
COLUMNS_PER_TABLE = 1_000
KEYS_PER_TABLE, COLUMNS_PER_KEY, KEY_BYTES = 10, 16, 900  # dataverse-api 10
PREFIX_FORM = re.compile(r"(?!mscrm)[a-z][a-z0-9]{1,7}\Z")
OPTIONS_PER_PREFIX = 10_000
# Bytes of a value in the index of a key; text takes two a character (dataverse-api 10).
KEY_COLUMN_BYTES: Mapping[Kind, int] = {"integer": 4, "choice": 4, "decimal": 17, "datetime": 8, "date": 8}
LOOKUP_BYTES = 16
RANGES: Mapping[Kind, tuple[float, float]] = {
    "integer": WHOLE_RANGE, "decimal": DECIMAL_RANGE, "double": DECIMAL_RANGE, "money": MONEY_RANGE
}  # fmt: skip
PLACES: Mapping[Kind, int] = {"decimal": 10, "double": 5, "money": 4}
LENGTHS: Mapping[Kind, int] = {"string": STRING_LENGTH, "memo": MEMO_LENGTH}
PREFIXES, TABLES, COLUMNS, LOOKUPS = (f"dataverse-api 9.{part}" for part in (1, 2, 3, 4))
KEYS = "dataverse-api 10"
NOT_CREATABLE = ("uniqueidentifier", "other")
BEHAVIORS = ("", "UserLocal", "TimeZoneIndependent", "DateOnly")
COMPANIONS = ("name", "yominame", "type")  # columns that the platform adds to a lookup or a choice


@dataclass(frozen=True)
class Problem:
    """One rule that the wanted schema breaks: where, what it needs and what is allowed, and who says so.

    `refuses` is false for a warning.
    """

    table: str
    name: str
    rule: str
    needed: str
    allowed: str
    source: str
    refuses: bool = True

    def __str__(self) -> str:
        """`cio_event.cio_key: size of a key: needs 1,200 bytes, allowed 900 (dataverse-api 10)`."""
        place = ".".join(dict.fromkeys(part for part in (self.table, self.name) if part))
        return f"{place}: {self.rule}: needs {self.needed}, allowed {self.allowed} ({self.source})"


def problems(
    wanted: Sequence[Table],
    existing: Mapping[str, Table],
    environment: Environment | None,
    *,
    table_limit: int | None = None,
) -> tuple[Problem, ...]:
    """Everything at once, in the order of the tables. `environment` None leaves out what needs to know it."""
    found = [
        *_publisher(wanted, environment),
        *_table_count(wanted, environment, table_limit),
        *(p for choice in choices_of(wanted) for p in _choice(choice)),
        *_choices_agree(wanted),
        *(p for table in wanted for p in _table(table, existing.get(table.name))),
        *(_product(wanted, environment) if environment else ()),
        *(_targets(wanted, environment) if environment else ()),
    ]
    return tuple(found)


def _publisher(wanted: Sequence[Table], environment: Environment | None) -> Iterator[Problem]:
    if not PREFIX_FORM.match(PREFIX):
        yield Problem(
            "", PUBLISHER, "prefix of the publisher", PREFIX, "2 to 8 letters and digits", "dataverse-api 9.1"
        )
    if environment is None:
        return
    ours = environment.publisher(PUBLISHER)
    if ours and (ours.prefix, ours.option_prefix) != (PREFIX, OPTION_VALUE_PREFIX):
        needed, there = f"{PREFIX} and {OPTION_VALUE_PREFIX}", f"{ours.prefix} and {ours.option_prefix}"
        yield Problem("", PUBLISHER, "prefixes of the existing publisher", needed, there, PREFIXES)
    prefixes = {p.prefix for p in environment.publishers} | {PREFIX}
    for table in wanted:
        prefix = table.name.partition("_")[0]
        if table.custom and prefix not in prefixes:
            yield Problem(table.name, table.name, "prefix of a table", prefix, _all(prefixes), PREFIXES)


def _all(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _table_count(wanted: Sequence[Table], around: Environment | None, limit: int | None) -> Iterator[Problem]:
    present = set(around.custom_tables) if around else set()
    new = {t.name for t in wanted if t.custom} - present
    count = len(present | new)
    allowed = PROFESSIONAL_TABLES if limit is None else limit
    if new and count > allowed:
        rule = "custom tables that the licence allows"
        yield Problem("", "", rule, f"{count}", f"{allowed}", "SR-105", refuses=limit is not None)
    most = around.most_tables if around else None
    if new and most is not None and count > most:
        yield Problem("", "", "custom tables of the environment", f"{count}", f"{most}", "0x8004b042")


def _table(table: Table, existing: Table | None) -> Iterator[Problem]:
    if existing is None and table.custom:
        yield from _new_table(table)
    for name in (*(c.name for c in table.columns), *(x.name for x in table.lookups), *(k.name for k in table.keys)):
        yield from _name(table.name, name)
    yield from _room(table, existing)
    yield from _collisions(table, existing)
    for column in table.columns:
        yield from _column(table.name, column)
    for lookup in table.lookups:
        yield from _lookup(table.name, lookup)
    yield from _keys(table, existing)
    yield from _views(table, existing)
    if table.kind == "elastic":
        yield from _elastic(table)


def _new_table(table: Table) -> Iterator[Problem]:
    yield from _name(table.name, table.name)
    if table.kind == "activity":
        yield Problem(
            table.name, table.name, "kind of a new table", "activity", "standard, elastic", "dataverse-api 9.2"
        )
    primary = table.column(table.primary_name)
    if primary is None or primary.kind != "string":
        needed = f"{table.primary_name or 'none'} ({primary.kind if primary else 'not defined'})"
        yield Problem(table.name, table.name, "primary name column", needed, "a text column", TABLES)
    if not table.label.strip():
        yield Problem(table.name, table.name, "label", "none", "at least one character", TABLES)


def _name(table: str, name: str) -> Iterator[Problem]:
    if len(name) > LONGEST:
        rule = "length of a schema name"
        yield Problem(table, name, rule, f"{len(name)} characters", f"{LONGEST} characters", "dataverse-api 8.4")
    elif not is_legal(name):
        allowed = "prefix, underscore, lower-case letters, digits and underscores"
        yield Problem(table, name, "form of a schema name", name, allowed, PREFIXES)


def _room(table: Table, existing: Table | None) -> Iterator[Problem]:
    there = {c.name for c in existing.columns} | {x.name for x in existing.lookups} if existing else set()
    new = {*(c.name for c in table.columns), *(x.name for x in table.lookups)} - there
    count = len(there) + len(new) + sum(c.kind == "money" for c in table.columns if c.name in new)
    if new and count > COLUMNS_PER_TABLE:
        rule = "columns of a table"
        yield Problem(table.name, table.name, rule, f"{count:,}", f"{COLUMNS_PER_TABLE:,}", "SQL Server; 0x8004841a")
    if new and existing and not existing.customizable:
        yield Problem(
            table.name, table.name, "columns added", f"{len(new)}", "0 (not customizable)", "dataverse-api 9.5"
        )


def _collisions(table: Table, existing: Table | None) -> Iterator[Problem]:
    """One name, whatever its case, for two things of a table: the second would be taken for the first."""
    names = [*(c.name.lower() for c in table.columns), *(x.name.lower() for x in table.lookups)]
    for name in sorted(n for n, count in Counter(names).items() if count > 1):
        yield Problem(table.name, name, "columns of one name", f"{names.count(name)}", "1", COLUMNS)
    taken = _taken(table, existing)
    for name in sorted(set(names) & taken.keys()):
        yield Problem(table.name, name, "a name of its own", name, f"not {taken[name]}", COLUMNS)


def _taken(table: Table, existing: Table | None) -> dict[str, str]:
    """Names that the platform gives by itself: the key, navigation properties, companions of lookups and choices."""
    found = {(table.primary_id or f"{table.name}id").lower(): "the key of the table"} if table.custom else {}
    for lookup in table.lookups:
        own = {nav.lower() for _, nav in lookup.targets} - {lookup.name.lower()}
        found |= dict.fromkeys(own, f"a navigation property of {lookup.name}")
        found |= {f"{lookup.name}{end}".lower(): f"a companion of {lookup.name}" for end in COMPANIONS}
    for column in table.columns:
        end = {"choice": "name", "multichoice": "name", "boolean": "name", "money": "_base"}.get(column.kind)
        found |= {f"{column.name}{end}".lower(): f"a companion of {column.name}"} if end else {}
    crossed = {x.name: "a lookup that exists" for x in existing.lookups if table.column(x.name)} if existing else {}
    plain = {c.name: "a column that exists" for c in existing.columns if table.lookup(c.name)} if existing else {}
    return found | crossed | plain


def _column(table: str, column: Column) -> Iterator[Problem]:
    if column.kind in NOT_CREATABLE:
        yield Problem(
            table, column.name, "type of a new column", column.kind, "a type that can be made", "dataverse-api 9.3"
        )
    if column.behavior not in BEHAVIORS:
        yield Problem(table, column.name, "date behaviour", column.behavior, _all(BEHAVIORS[1:]), COLUMNS)
    yield from _length(table, column)
    yield from _range(table, column)
    yield from _precision(table, column)
    if column.kind in ("choice", "multichoice") and not column.choice:
        yield from _options(table, column.name, column.options)


def _length(table: str, column: Column) -> Iterator[Problem]:
    most = LENGTHS.get(column.kind)
    if most and column.length is not None and not 1 <= column.length <= most:
        needed, allowed = f"{column.length:,} characters", f"1 to {most:,}"
        yield Problem(table, column.name, "length of text", needed, allowed, COLUMNS)


def _range(table: str, column: Column) -> Iterator[Problem]:
    if column.kind not in RANGES:
        return
    low, high = RANGES[column.kind]
    first = low if column.minimum is None else column.minimum
    last = high if column.maximum is None else column.maximum
    if not low <= first <= last <= high:
        needed, allowed = f"{first:,.15g} to {last:,.15g}", f"{low:,.15g} to {high:,.15g}"
        yield Problem(table, column.name, "range of numbers", needed, allowed, "dataverse-api 4")


def _precision(table: str, column: Column) -> Iterator[Problem]:
    most = PLACES.get(column.kind)
    if most and column.precision is not None and not 0 <= column.precision <= most:
        needed, allowed = f"{column.precision} places", f"0 to {most}"
        yield Problem(table, column.name, "precision", needed, allowed, COLUMNS)


def _choice(choice: Choice) -> Iterator[Problem]:
    yield from _name("", choice.name)
    yield from _options("", choice.name, choice.options)


def _choices_agree(wanted: Sequence[Table]) -> Iterator[Problem]:
    columns = [(t.name, c) for t in wanted for c in t.columns if c.choice]
    for choice in choices_of(wanted):
        for table, column in columns:
            if column.choice == choice.name and column.options != choice.options:
                rule = f"options of the global choice {choice.name}"
                needed, allowed = f"{len(column.options)} of its own", "the same in every column"
                yield Problem(table, column.name, rule, needed, allowed, COLUMNS)


def _options(table: str, name: str, options: Sequence[Option]) -> Iterator[Problem]:
    if not options:
        yield Problem(table, name, "options of a choice", "0", "at least 1", "0x80048403")
    first = OPTION_VALUE_PREFIX * OPTIONS_PER_PREFIX
    last = first + OPTIONS_PER_PREFIX - 1
    for option in options:
        if not first <= option.value <= last:
            yield Problem(table, name, "option value", f"{option.value}", f"{first} to {last}", PREFIXES)
        if not option.label.strip():
            yield Problem(
                table, name, f"label of option {option.value}", "none", "at least one character", "dataverse-api 9.3"
            )
    for value, count in Counter(o.value for o in options).items():
        if count > 1:
            yield Problem(table, name, f"options with value {value}", f"{count}", "1", "0x80044310")
    for label, count in Counter(o.label.strip().lower() for o in options).items():
        if count > 1:
            yield Problem(table, name, f"options labelled “{label}”", f"{count}", "1", "one meaning a label")


def _lookup(table: str, lookup: Lookup) -> Iterator[Problem]:
    targets = [target for target, _ in lookup.targets]
    if not targets or len(set(targets)) != len(targets):
        needed = _all(targets) or "none"
        yield Problem(table, lookup.name, "targets of a lookup", needed, "at least one, each once", LOOKUPS)
    if lookup.customer and sorted(targets) != ["account", "contact"]:
        yield Problem(
            table, lookup.name, "targets of a customer lookup", _all(targets), "account, contact", "dataverse-api 9.4"
        )
    for target, navigation in lookup.targets:
        made = lookup.name if len(targets) == 1 else f"{lookup.name}_{target}"
        if navigation != made:
            yield Problem(table, lookup.name, f"navigation property to {target}", navigation, made, LOOKUPS)


def _product(wanted: Sequence[Table], environment: Environment) -> Iterator[Problem]:
    """Tables that the product brings cannot be made; `lead` and `campaign` come with Dynamics 365 Sales."""
    for name in (t.name for t in wanted if not t.custom and t.name not in environment.tables):
        yield Problem(name, name, "table of the product", name, "a table that exists; is Sales installed?", TABLES)


def _targets(wanted: Sequence[Table], environment: Environment) -> Iterator[Problem]:
    known = environment.tables | {t.name for t in wanted}
    for table in wanted:
        for lookup in table.lookups:
            for target in (t for t, _ in lookup.targets if t not in known):
                yield Problem(
                    table.name, lookup.name, "target of a lookup", target, "a table that exists", "dataverse-api 9.4"
                )


def _keys(table: Table, existing: Table | None) -> Iterator[Problem]:
    there = {frozenset(k.columns) for k in existing.keys} if existing else set()
    new = [key for key in table.keys if frozenset(key.columns) not in there]
    if new and len(there) + len(new) > KEYS_PER_TABLE:
        rule, count = "keys of a table", len(there) + len(new)
        yield Problem(table.name, table.name, rule, f"{count}", f"{KEYS_PER_TABLE}", KEYS)
    for key in table.keys:
        yield from _key(table, existing, key)


def _key(table: Table, existing: Table | None, key: Key) -> Iterator[Problem]:
    if not 1 <= len(key.columns) <= COLUMNS_PER_KEY:
        needed, allowed = f"{len(key.columns)}", f"1 to {COLUMNS_PER_KEY}"
        yield Problem(table.name, key.name, "columns of a key", needed, allowed, KEYS)
    sizes = {name: _key_bytes(table, existing, name) for name in key.columns}
    for name in (n for n, size in sizes.items() if size is None):
        allowed = "text, numbers, dates, choices and lookups of the table"
        yield Problem(table.name, key.name, "column of a key", name, allowed, KEYS)
    total = sum(size or 0 for size in sizes.values())
    if total > KEY_BYTES:
        yield Problem(table.name, key.name, "size of a key", f"{total:,} bytes", f"{KEY_BYTES} bytes", "0x80060895")


def _key_bytes(table: Table, existing: Table | None, name: str) -> int | None:
    """Bytes that a column takes in a key; None when it cannot be part of one."""
    if table.lookup(name) or (existing and existing.lookup(name)):
        return LOOKUP_BYTES
    column = (existing.column(name) if existing else None) or table.column(name)
    if column is None:
        return None
    return 2 * (column.length or 100) if column.kind == "string" else KEY_COLUMN_BYTES.get(column.kind)


def _views(table: Table, existing: Table | None) -> Iterator[Problem]:
    for view in table.views:
        for name in view.columns:
            if not any(t.column(name) or t.lookup(name) for t in (table, existing) if t):
                yield Problem(
                    table.name, view.name, "column of a view", name, "a column of the table", "dataverse-api 15"
                )


def _elastic(table: Table) -> Iterator[Problem]:
    source = "dataverse-api 11"
    for key in table.keys:
        yield Problem(table.name, key.name, "keys of an elastic table", "1", "0", source)
    for lookup in (x for x in table.lookups if x.customer):
        yield Problem(table.name, lookup.name, "customer lookups of an elastic table", "1", "0", source)
    for column in (c for c in table.columns if c.kind == "money"):
        yield Problem(table.name, column.name, "amounts of money in an elastic table", "1", "0", source)
