"""The map as a value: which source field goes to which columns; its checks and its document (SR-001, SR-008)."""

from __future__ import annotations

from collections import Counter, abc
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from cio2d365.decide import documents
from cio2d365.decide.dates import UNITS
from cio2d365.decide.names import LONGEST, is_legal
from cio2d365.decide.standard import OWN_COLUMNS
from cio2d365.errors import DecisionError
from cio2d365.tables import DECIMAL_RANGE, MEMO_LENGTH, STRING_LENGTH, Column, Table

Action = Literal["column", "json", "skip"]
ACTIONS: tuple[str, ...] = get_args(Action)
STANDARD_TABLES = ("account", "contact", "lead")


@dataclass(frozen=True)
class FieldMap:
    """One source field and where it goes.

    `source` is `person.<attribute>` or `object.<type id>.<attribute>`. With action `column`, `targets` are (table,
    column) pairs that all have the definition `column` (existing or wanted); a source that needs two definitions has
    two rows. `json` means the table's JSON column, `skip` that the system carries the field itself or nobody wants
    it; `evidence` says why. `unit` is how the source writes times, `rounding` allows decimals to be rounded to the
    column's places. `flagged` marks a field that waits for a person's word, `note` what that person should know.
    """

    source: str
    action: Action
    targets: tuple[tuple[str, str], ...] = ()
    column: Column | None = None
    unit: str = ""
    rounding: bool = False
    confidence: float = 1.0
    evidence: str = ""
    flagged: bool = False
    note: str = ""


@dataclass(frozen=True)
class Mapping:
    """All fields, and the parameters they were proposed with; `company_type` is empty if no type holds companies."""

    fields: tuple[FieldMap, ...]
    prefix: str = "cio"
    company_type: str = ""


def custom_columns(mapping: Mapping) -> dict[str, tuple[Column, ...]]:
    """Table → the columns that the map wants there beside the standard ones, in the map's order."""
    found: dict[str, list[Column]] = {}
    for table, _, column in _placed(mapping):
        if column is not None and column.custom:
            found.setdefault(table, []).append(column)
    return {table: tuple(columns) for table, columns in found.items()}


def validate(mapping: Mapping, existing: abc.Mapping[str, Table]) -> list[str]:
    """What is wrong with a map, as sentences; empty if it can be used (B-101).

    Finds: two sources for one column; a table or column that neither exists nor is defined; a type, length or range
    that does not fit the existing column; read-only columns; names that Dataverse refuses or the migration uses
    itself.
    """
    return [*_collisions(mapping), *(m for f in mapping.fields for m in _field_faults(f, existing))]


def to_document(mapping: Mapping) -> dict[str, Any]:
    """The map as plain values, one table per field."""
    return {
        "prefix": mapping.prefix,
        "company_type": mapping.company_type,
        "fields": [_field_document(f) for f in mapping.fields],
    }


def from_document(document: abc.Mapping[str, Any]) -> Mapping:
    """Inverse of `to_document`. DecisionError on unknown keys, wrong types and values out of range."""
    where = "mapping"
    documents.known(document, ("prefix", "company_type", "fields"), where)
    return Mapping(
        fields=tuple(_field_from(f) for f in documents.tables(document, "fields", where)),
        prefix=documents.text(document, "prefix", where, "cio"),
        company_type=documents.text(document, "company_type", where, ""),
    )


def _field_document(field: FieldMap) -> dict[str, Any]:
    optional = {
        "targets": [f"{table}.{column}" for table, column in field.targets],
        "unit": field.unit,
        "rounding": field.rounding,
        "flagged": field.flagged,
        "note": field.note,
        "evidence": field.evidence,
        "column": documents.column_document(field.column) if field.column else None,
    }
    head = {"source": field.source, "action": field.action, "confidence": field.confidence}
    return head | {k: v for k, v in optional.items() if v}


_FIELD_KEYS = (
    "source", "action", "confidence", "targets", "unit", "rounding", "flagged", "note", "evidence", "column",
)  # fmt: skip


def _field_from(document: abc.Mapping[str, Any]) -> FieldMap:
    source = documents.text(document, "source", "mapping: field")
    where = f"mapping: {source}"
    documents.known(document, _FIELD_KEYS, where)
    definition = document.get("column")
    if definition is not None and not isinstance(definition, abc.Mapping):
        raise DecisionError(f"{where}: column has to be a table")
    return FieldMap(
        source=source,
        action=cast(Action, documents.one_of(documents.text(document, "action", where), ACTIONS, f"{where}: action")),
        targets=tuple(_target(t, where) for t in documents.texts(document, "targets", where)),
        column=documents.column_from(definition, where) if definition is not None else None,
        unit=documents.one_of(documents.text(document, "unit", where, ""), UNITS, f"{where}: unit"),
        rounding=documents.truth(document, "rounding", where, default=False),
        confidence=documents.number(document, "confidence", where, low=0.0, high=1.0, default=1.0),
        evidence=documents.text(document, "evidence", where, ""),
        flagged=documents.truth(document, "flagged", where, default=False),
        note=documents.text(document, "note", where, ""),
    )


def _target(text: str, where: str) -> tuple[str, str]:
    table, dot, column = text.partition(".")
    if not (table and dot and column):
        raise DecisionError(f"{where}: target {text!r}, expected table.column")
    return table, column


def _placed(mapping: Mapping) -> list[tuple[str, str, Column | None]]:
    fields = [f for f in mapping.fields if f.action == "column"]
    return [(table, column, f.column) for f in fields for table, column in f.targets]


def _collisions(mapping: Mapping) -> list[str]:
    pairs = [(target, f.source) for f in mapping.fields for target in f.targets]
    counts = Counter(target for target, _ in pairs)
    twice = sorted(target for target, n in counts.items() if n > 1)
    return [
        f"{table}.{column} has more than one source: {', '.join(s for t, s in pairs if t == (table, column))}"
        for table, column in twice
    ]


def _field_faults(field: FieldMap, existing: abc.Mapping[str, Table]) -> list[str]:
    if field.action != "column":
        return []
    if not field.targets:
        return [f"{field.source}: action is column, but no target is named"]
    return [m for table, column in field.targets for m in _target_faults(field, table, column, existing)]


def _target_faults(field: FieldMap, table: str, name: str, existing: abc.Mapping[str, Table]) -> list[str]:
    where = f"{field.source} → {table}.{name}"
    found = existing[table].column(name) if table in existing else None
    if found is not None:
        return [f"{where}: {m}" for m in (*_read_only(found), *_misfits(field.column, found))]
    if table in existing and existing[table].lookup(name):
        return [f"{where}: the column is a lookup"]
    if table not in existing and table in STANDARD_TABLES:
        return [f"{where}: the table does not exist in the target"]
    is_primary = name == f"{table.split('_')[0]}_name"
    reserved = name in OWN_COLUMNS and not is_primary
    faults = [*_definition_faults(field.column, name), *(["the migration uses that column itself"] if reserved else [])]
    return [f"{where}: {m}" for m in faults]


def _read_only(found: Column) -> list[str]:
    return [] if found.creatable and found.updatable else ["the column cannot be written"]


def _misfits(wanted: Column | None, found: Column) -> list[str]:
    if wanted is None:
        return []
    if wanted.kind != found.kind:
        return [f"the map says {wanted.kind}, the column is {found.kind}"]
    problems = []
    if (wanted.length or 0) > (found.length or wanted.length or 0):
        problems.append(f"the map says {wanted.length} characters, the column holds {found.length}")
    missing = {o.value for o in wanted.options} - {o.value for o in found.options}
    if missing and found.options:
        problems.append(f"the column lacks the options {', '.join(str(v) for v in sorted(missing))}")
    return problems


def _definition_faults(column: Column | None, name: str) -> list[str]:
    if column is None:
        return ["the column does not exist and the map does not define it"]
    if not column.custom:
        return ["there is no standard column of that name"]
    problems = []
    if column.name != name:
        problems.append(f"the definition is called {column.name}")
    if not is_legal(name):
        problems.append(f"not a legal column name: prefix_letters, digits and _, at most {LONGEST} characters")
    return problems + _size_faults(column)


def _size_faults(column: Column) -> list[str]:
    limit = {"string": STRING_LENGTH, "memo": MEMO_LENGTH}.get(column.kind)
    if limit and not 1 <= (limit if column.length is None else column.length) <= limit:
        return [f"{column.length} characters, a {column.kind} column holds 1 to {limit:,}"]
    if column.kind == "decimal" and not 0 <= (column.precision or 0) <= 10:
        return [f"{column.precision} decimal places, allowed are 0 to 10"]
    if column.kind == "decimal" and (column.maximum or 0) > DECIMAL_RANGE[1]:
        return ["maximum beyond 100,000,000,000"]
    if column.kind in ("choice", "multichoice") and not column.options:
        return ["a choice column without options"]
    return []
