"""A proposal for the map: standard columns where they exist, else one custom column per field (SR-065, I-33).

Rules and statistics only, no model: names, types and lengths of all values decide, and each row says why. A person
confirms it.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from cio2d365.decide.field_maps import Action, FieldMap, Mapping, custom_columns, from_document, to_document, validate
from cio2d365.decide.names import column_names, slug
from cio2d365.decide.standard import ACCOUNT, LIFECYCLE, OBJECT_NAME, OWN_COLUMNS, PERSON, PERSON_TABLES, Standard
from cio2d365.decide.system_traits import carried_by, object_carried_by
from cio2d365.tables import Column, Option, Table

__all__ = [
    "Action",
    "FieldMap",
    "Mapping",
    "custom_columns",
    "from_document",
    "propose_mapping",
    "to_document",
    "validate",
]

COLUMN_BUDGET = 300
"""Custom columns proposed per table; fields beyond go to the JSON column. Dataverse stops near 1,000 in all."""

OPTION_BASE = 727_000_000
"""First option value: the publisher's prefix 72700 times 10,000 (dataverse-api 9.1)."""

# (table, column): the system writes these itself, so no other field may claim them
SYSTEM_TARGETS = {
    "email": "emailaddress1",
    "id": "cio_user_id__c",
    "cio_id": "cio_cio_id",
    "unsubscribed": "donotbulkemail",
    "created_at": "overriddencreatedon",
}
_COMPATIBLE = {
    "string": ("string", "integer", "decimal", "boolean", "date", "datetime", "memo"),
    "memo": ("string", "memo", "integer", "decimal", "boolean", "date", "datetime"),
    "date": ("date", "datetime"),
    "datetime": ("datetime", "date"),
    "integer": ("integer",),
    "decimal": ("decimal", "integer"),
    "double": ("decimal", "integer"),
    "money": ("decimal", "integer"),
    "boolean": ("boolean",),
    "choice": ("string",),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class _Target:
    """What is known about the target, and the limits of the proposal."""

    existing: abc.Mapping[str, Table]
    company_type: str | None
    object_tables: abc.Mapping[str, str]
    prefix: str
    budget: int


@dataclass(frozen=True)
class _Group:
    """Fields that share their target tables: those of all people, or of the objects of one type."""

    source: str
    rows: tuple[Row, ...]
    tables: tuple[Table, ...]
    standards: tuple[Standard, ...]
    target: _Target


def propose_mapping(
    traits: pl.DataFrame,
    objects: abc.Mapping[str, pl.DataFrame],
    *,
    existing: abc.Mapping[str, Table],
    company_type: str | None,
    object_tables: abc.Mapping[str, str],
    prefix: str = "cio",
    budget: int = COLUMN_BUDGET,
) -> Mapping:
    """The map for all fields of all people and objects, in a stable order.

    `traits` and the frames of `objects` (by type id) come from `profile_traits`; `existing` are the target's tables;
    `object_tables` names the table of each type that is not the company's. People's fields go to contact and lead
    alike: to the standard column where a table has it and all values fit its kind, else to one custom column of the
    same name on each table; beyond `budget` custom columns to its JSON column. Fields that are mostly empty are
    proposed and flagged; nothing is dropped.
    """
    target = _Target(existing, company_type, object_tables, prefix, budget)
    people = _Group("person", _rows(traits), tuple(_table(t, existing) for t in PERSON_TABLES), PERSON, target)
    fields = [*_system_fields(people, carried_by), *_fields(people, carried_by)]
    for type_id in sorted(objects):
        fields += _object_fields(type_id, _rows(objects[type_id]), target)
    return Mapping(tuple(fields), prefix, company_type or "")


def _object_fields(type_id: str, rows: tuple[Row, ...], target: _Target) -> list[FieldMap]:
    source = f"object.{type_id}"
    if type_id == target.company_type:
        group = _Group(source, rows, (_table("account", target.existing),), ACCOUNT, target)
    elif type_id in target.object_tables:
        table = _table(target.object_tables[type_id], target.existing)
        named = Standard(table.primary_name, (table.name,), OBJECT_NAME)
        group = _Group(source, rows, (table,), (named,), target)
    else:
        return [FieldMap(f"{source}.{r['trait']}", "skip", evidence="no table for objects of this type") for r in rows]
    return [*_system_fields(group, object_carried_by), *_fields(group, object_carried_by)]


def _rows(profile: pl.DataFrame) -> tuple[Row, ...]:
    return tuple(sorted(profile.iter_rows(named=True), key=lambda r: str(r["trait"])))


def _table(name: str, existing: abc.Mapping[str, Table]) -> Table:
    """The existing table; for one that is still to be made, its primary name column alone."""
    if name in existing:
        return existing[name]
    primary = f"{name.split('_')[0]}_name"
    return Table(name, f"{name}s", f"{name}id", primary, (Column(primary, "string", "Name", 850),))


def _system_fields(group: _Group, carried: abc.Callable[[str], str]) -> list[FieldMap]:
    return [_system_field(group, r["trait"], carried(r["trait"])) for r in group.rows if carried(r["trait"])]


def _system_field(group: _Group, name: str, evidence: str) -> FieldMap:
    column = SYSTEM_TARGETS.get(name) if group.source == "person" else None
    targets = tuple((t.name, column) for t in group.tables) if column else ()
    return FieldMap(f"{group.source}.{name}", "skip", targets, evidence=evidence)


def _fields(group: _Group, carried: abc.Callable[[str], str]) -> list[FieldMap]:
    own = [r for r in group.rows if not carried(r["trait"])]
    claims = _claims(group, own)
    names = _custom_names(group, [r for r in own if _open_tables(group, claims, r)])
    allowed = _within_budget(own, names, group.target.budget)
    return [field for row in own for field in _row_fields(group, row, claims, names, allowed)]


def _claims(group: _Group, rows: list[Row]) -> dict[tuple[str, str], Column]:
    """(trait, table) → the standard column it gets; each column goes to one trait only (B-057)."""
    found: dict[tuple[str, str], Column] = {}
    for standard in group.standards:
        for table in group.tables:
            column = table.column(standard.column) if table.name in standard.tables else None
            best = _best(standard, column, rows) if column else None
            if column and best:
                found[best["trait"], table.name] = column
    return found


def _best(standard: Standard, column: Column, rows: list[Row]) -> Row | None:
    fitting = [r for r in rows if slug(r["trait"]) in standard.names and _fits(r, column)]
    return min(fitting, key=lambda r: _rank(standard, r), default=None)


def _rank(standard: Standard, row: Row) -> tuple[int, int, bool, str]:
    trait = str(row["trait"])
    return standard.names.index(slug(trait)), -int(row["present"]), trait not in standard.names, trait


def _fits(row: Row, column: Column) -> bool:
    writable = column.creatable and column.updatable
    if not writable or row["kind"] not in _COMPATIBLE.get(column.kind, ()) or row["array"] or row["object"]:
        return False
    if column.kind == "choice":
        return _labels_fit(row, column)
    return column.kind not in ("integer", "decimal", "double", "money") or _range_fits(row, column)


def _range_fits(row: Row, column: Column) -> bool:
    low = float("-inf") if column.minimum is None else column.minimum
    high = float("inf") if column.maximum is None else column.maximum
    return row["low"] is None or (low <= float(row["low"]) and float(row["high"]) <= high)


def _labels_fit(row: Row, column: Column) -> bool:
    labels = {o.label.strip().casefold() for o in column.options}
    return _all_values_known(row) and {v.strip().casefold() for v in _values(row)} <= labels


def _values(row: Row) -> list[str]:
    return [entry["value"] for entry in row["top"] or []]


def _all_values_known(row: Row) -> bool:
    known = sum(int(entry["count"]) for entry in row["top"] or [])
    return known == int(row["present"])


def _open_tables(group: _Group, claims: abc.Mapping[tuple[str, str], Column], row: Row) -> list[Table]:
    return [t for t in group.tables if (row["trait"], t.name) not in claims]


def _custom_names(group: _Group, rows: list[Row]) -> dict[str, str]:
    """A column name for each row that is free, or already has the wanted kind, on all tables of the group."""
    taken = OWN_COLUMNS | {x.name for t in group.tables for x in t.lookups} | {t.primary_name for t in group.tables}
    wanted = {r["trait"]: _wanted_kind(r) for r in rows}
    lifecycle = _lifecycle(rows, f"{group.target.prefix}_lifecyclestage")
    while True:
        free = [trait for trait in wanted if trait not in lifecycle]
        names = column_names(free, prefix=group.target.prefix, taken={*taken, *lifecycle.values()}) | lifecycle
        clashing = {n for trait, n in names.items() if _clashes(group, n, wanted[trait]) and trait not in lifecycle}
        if not clashing:
            return names
        taken |= clashing


def _lifecycle(rows: list[Row], name: str) -> dict[str, str]:
    found = sorted(r["trait"] for r in rows if slug(r["trait"]) in LIFECYCLE)
    return {found[0]: name} if found else {}


def _clashes(group: _Group, name: str, kind: str) -> bool:
    columns = [c for t in group.tables if (c := t.column(name)) is not None]
    return any(not c.custom or c.kind != kind for c in columns)


def _wanted_kind(row: Row) -> str:
    return "choice" if _is_choice(row) else str(row["kind"])


def _is_choice(row: Row) -> bool:
    """A proposed Option Set, unless two values would be one label without case, or values are not all known."""
    if row["option_set"] != "proposed" or not _all_values_known(row) or slug(row["trait"]) in LIFECYCLE:
        return False
    labels = [v.strip().casefold() for v in _values(row)]
    return len(set(labels)) == len(labels) and all(v.isprintable() for v in labels)


def _within_budget(rows: list[Row], names: abc.Mapping[str, str], budget: int) -> frozenset[str]:
    """Traits that still get a custom column when the budget is spent on the fullest ones first."""
    custom = sorted((r for r in rows if r["trait"] in names), key=lambda r: (-int(r["present"]), str(r["trait"])))
    return frozenset(str(r["trait"]) for r in custom[:budget])


def _row_fields(
    group: _Group,
    row: Row,
    claims: abc.Mapping[tuple[str, str], Column],
    names: abc.Mapping[str, str],
    allowed: abc.Set[str],
) -> list[FieldMap]:
    claimed = [(t.name, claims[row["trait"], t.name]) for t in group.tables if (row["trait"], t.name) in claims]
    fields = [_standard_field(group, row, column, tables) for column, tables in _by_definition(claimed)]
    remaining = _open_tables(group, claims, row)
    if not remaining:
        return fields
    if row["trait"] not in allowed:
        return [*fields, _json_field(group, row)]
    column = _definition(row, names[row["trait"]])
    placed = [(t.name, t.column(column.name) or column) for t in remaining]
    return [*fields, *(_custom_field(group, row, c, tables) for c, tables in _by_definition(placed))]


def _by_definition(placed: Iterable[tuple[str, Column]]) -> list[tuple[Column, list[str]]]:
    """Tables grouped by what matters for a value: a length of 50 on one and 20 on the other are two rows of the map."""
    groups: dict[Column, list[str]] = {}
    first: dict[Column, Column] = {}
    for table, column in placed:
        essence = replace(column, label="", description="", required=False)
        groups.setdefault(essence, []).append(table)
        first.setdefault(essence, column)
    return [(first[essence], tables) for essence, tables in groups.items()]


def _definition(row: Row, name: str) -> Column:
    label, description = str(row["trait"])[:100], f"Attribute {row['trait']} in Customer.io"[:300]
    if _is_choice(row):
        values = sorted(v.strip() for v in _values(row))
        options = tuple(Option(OPTION_BASE + n, v) for n, v in enumerate(values))
        return Column(name, "choice", label, options=options, description=description)
    return Column(name, row["kind"], label, length=row["length"], precision=row["precision"], description=description)


def _standard_field(group: _Group, row: Row, column: Column, tables: list[str]) -> FieldMap:
    exact = slug(row["trait"]).replace("_", "") == column.name.removeprefix("address1_").replace("_", "")
    too_long = _overlong(row, column)
    confidence = (0.95 if exact else 0.85) - (0.25 if too_long else 0.0)
    reason = f"usual name of the standard column {column.label or column.name}"
    return _field(group, row, column, tables, confidence, f"{reason}; {_count(row)}", too_long)


def _custom_field(group: _Group, row: Row, column: Column, tables: list[str]) -> FieldMap:
    confidence = 0.5 if row["breaks"] or row["flagged"] or column.kind == "choice" else 0.75
    kind = f"{column.kind} by all values" if row["present"] else "no values to tell the type from"
    breaks = f"{row['breaks']:,} values are not {row['majority']}" if row["breaks"] else ""
    evidence = "; ".join(x for x in (kind, _count(row), row["note"], breaks) if x)
    return _field(group, row, column, tables, round(confidence, 2), evidence, _option_note(row))


def _field(
    group: _Group, row: Row, column: Column, tables: list[str], confidence: float, evidence: str, note: str
) -> FieldMap:
    timed = column.kind in ("date", "datetime")
    flag = f"{row['null_rate']:.0%} of the rows have no value" if row["flagged"] else ""
    return FieldMap(
        source=f"{group.source}.{row['trait']}",
        action="column",
        targets=tuple((table, column.name) for table in tables),
        column=column,
        unit=row["unit"] if timed else "",
        rounding=bool(row["rounding"]) and column.kind == "decimal",
        confidence=round(confidence, 2),
        evidence=evidence,
        flagged=bool(row["flagged"]),
        note="; ".join(x for x in (flag, note) if x),
    )


def _json_field(group: _Group, row: Row) -> FieldMap:
    reason = f"more than {group.target.budget} custom columns; {_count(row)}"
    return FieldMap(f"{group.source}.{row['trait']}", "json", evidence=reason, flagged=bool(row["flagged"]))


def _overlong(row: Row, column: Column) -> str:
    longest = int(row["max_length"] or 0)
    if column.kind not in ("string", "memo") or not column.length or longest <= column.length:
        return ""
    return (
        f"values of up to {longest:,} characters, the column holds {column.length:,}: longer ones go to the JSON column"
    )


def _option_note(row: Row) -> str:
    if _is_choice(row):
        return f"choice of {row['distinct']} values; new values later go to the JSON column until they are options"
    if row["option_set"]:
        return f"{row['distinct']} distinct values: could be a choice"
    return ""


def _count(row: Row) -> str:
    return f"{row['present']:,} of {row['rows']:,} rows"
