"""Plan the removal of what we created: only what is in our solution, ours by name, and not managed. Pure.

A custom table with another publisher's prefix is ours when its description says that we made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from cio2d365.migrate.schema import MADE_BY, PREFIX, PUBLISHER, SOLUTION
from cio2d365.migrate.schema_members import CHOICE, COLUMN, KEY, RELATIONSHIP, TABLE, VIEW
from cio2d365.migrate.schema_words import describe, describe_choice, describe_lookup
from cio2d365.tables import Column, Environment, Key, Lookup, Table, View

Part = Literal["view", "key", "relationship", "column", "table", "choice", "solution", "publisher"]
ORDER: tuple[Part, ...] = ("view", "key", "relationship", "column", "table", "choice", "solution", "publisher")
State = Literal["remove", "left_alone", "blocked"]
COUNTED = 5_000  # counting stops here (dataverse-api 2)


@dataclass(frozen=True)
class Removal:
    """One component: whether it goes, and why not; `rows` hold a value that would go with it.

    `column` is the lookup behind a relationship. `type` is the platform's component type, 0 where it has none.
    """

    kind: Part
    table: str
    name: str
    id: str
    what: str
    state: State
    reason: str = ""
    rows: int = 0
    type: int = 0
    column: str = ""


@dataclass(frozen=True)
class Usage:
    """What was counted and asked: rows by component id, dependents (type, id) by component id, and the other
    solutions of our publisher."""

    rows: Mapping[str, int] = field(default_factory=dict)
    dependents: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    other_solutions: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemovalPlan:
    """What goes, in the order in which it can go, and what stays."""

    removals: tuple[Removal, ...]

    def _of(self, state: State) -> tuple[Removal, ...]:
        return tuple(r for r in self.removals if r.state == state)

    @property
    def to_remove(self) -> tuple[Removal, ...]:
        """What goes."""
        return self._of("remove")

    @property
    def blocked(self) -> tuple[Removal, ...]:
        """What something else depends on."""
        return self._of("blocked")

    @property
    def left_alone(self) -> tuple[Removal, ...]:
        """What has our prefix or is in our solution, and is not ours to remove."""
        return self._of("left_alone")

    @property
    def with_rows(self) -> tuple[Removal, ...]:
        """What would take data along."""
        return tuple(r for r in self.to_remove if r.rows)

    def frame(self) -> pl.DataFrame:
        """One row per component: table, kind, name, state, what it is, rows (counted up to 5,000), reason."""
        names = ("table", "kind", "name", "state", "what", "rows", "reason")
        schema = dict.fromkeys(names, pl.String) | {"rows": pl.Int64}
        return pl.DataFrame({n: [getattr(r, n) for r in self.removals] for n in names}, schema=schema)


def plan_removal(existing: Mapping[str, Table], environment: Environment, usage: Usage | None = None) -> RemovalPlan:
    """What of ours there is to remove. Without `usage` no rows are counted and nothing is known to depend on it."""
    known = usage or Usage()
    doomed = {t.name for t in existing.values() if not _why_not(t, environment)}
    found = [
        *(r for table in existing.values() for r in _of_table(table, environment, doomed)),
        *_of_choices(environment),
        *_of_frame(environment, known),
    ]
    counted = [replace(r, rows=known.rows.get(r.id, 0)) for r in found]
    gone = {r.id.lower() for r in counted if r.state == "remove"} | _parts(existing, doomed)
    checked = [_unless_needed(r, known, gone) for r in counted]
    return RemovalPlan(tuple(sorted(checked, key=lambda r: ORDER.index(r.kind))))


def _why_not(table: Table, environment: Environment) -> str:
    """Why a table stays; empty when it goes."""
    if not table.custom:
        return "belongs to the product"
    if table.managed:
        return "managed"
    if table.id.lower() not in environment.members:
        return f"not in the solution {SOLUTION}"
    return "" if _is_ours(table.name) or table.description == MADE_BY else "made by somebody else"


def _is_ours(name: str) -> bool:
    return name.lower().startswith(f"{PREFIX}_")


def _of_table(table: Table, environment: Environment, doomed: set[str]) -> Iterator[Removal]:
    """A table that goes takes its parts along; only lookups to it have to go before, for they depend on it."""
    if table.name in doomed:
        yield Removal("table", table.name, table.name, table.id, f"table “{table.label}”", "remove", type=TABLE)
    elif table.custom and _is_ours(table.name):
        reason = _why_not(table, environment)
        yield Removal("table", table.name, table.name, table.id, f"table “{table.label}”", "left_alone", reason)
    for lookup in table.lookups:
        yield from _of_lookup(table, lookup, environment, doomed)
    if table.name not in doomed:
        yield from _parts_of_kept(table, environment)


def _of_lookup(table: Table, lookup: Lookup, environment: Environment, doomed: set[str]) -> Iterator[Removal]:
    if not lookup.custom or not _is_ours(lookup.name):
        return
    for relationship in lookup.relationships:
        if table.name in doomed and relationship.target not in doomed:
            continue
        state, reason = _state(relationship.id, table, lookup.managed, environment)
        what = f"{describe_lookup(replace(lookup, targets=((relationship.target, ''),)))}"
        yield Removal(
            "relationship", table.name, relationship.name, relationship.id, what, state, reason,
            type=RELATIONSHIP, column=lookup.name,
        )  # fmt: skip


def _state(component: str, table: Table, managed: bool, environment: Environment) -> tuple[State, str]:
    if managed:
        return "left_alone", "managed"
    inside = component.lower() in environment.members or table.id.lower() in environment.whole
    return ("remove", "") if inside else ("left_alone", f"not in the solution {SOLUTION}")


def _parts_of_kept(table: Table, environment: Environment) -> Iterator[Removal]:
    for column in table.columns:
        if _is_ours(column.name) and column.custom and not _goes_along(column, table):
            state, reason = _state(column.id, table, column.managed, environment)
            yield Removal("column", table.name, column.name, column.id, describe(column), state, reason, type=COLUMN)
    for key in table.keys:
        if _is_ours(key.name):
            state, reason = _state(key.id, table, key.managed, environment)
            what = f"key over {', '.join(key.columns)}"
            yield Removal("key", table.name, key.name, key.id, what, state, reason, type=KEY)
    for view in table.views:
        if view.id.lower() in environment.members and not view.managed:
            what = f"view of {', '.join(view.columns)}"
            yield Removal("view", table.name, view.name, view.id, what, "remove", type=VIEW)


def _goes_along(column: Column, table: Table) -> bool:
    """The base value of an amount of money goes with the amount; the key of a table with the table."""
    amount = table.column(column.name.removesuffix("_base"))
    return column.name == table.primary_id or (amount is not None and amount != column and amount.kind == "money")


def _of_choices(environment: Environment) -> Iterator[Removal]:
    for choice in environment.choices:
        inside = choice.id.lower() in environment.members
        state: State = "remove" if inside else "left_alone"
        reason = "" if inside else f"not in the solution {SOLUTION}"
        yield Removal("choice", "", choice.name, choice.id, describe_choice(choice), state, reason, type=CHOICE)


def _of_frame(environment: Environment, usage: Usage) -> Iterator[Removal]:
    """Our solution, then our publisher: they are what says which components are ours, so they go last."""
    state: State
    if environment.solution_id:
        state = "left_alone" if environment.solution_managed else "remove"
        reason = "managed" if environment.solution_managed else ""
        yield Removal("solution", "", SOLUTION, environment.solution_id, "solution", state, reason)
    publisher = environment.publisher(PUBLISHER)
    if publisher is not None:
        others = [name for name in usage.other_solutions if name.lower() != SOLUTION]
        stays = bool(others) or environment.solution_managed
        reason = f"solutions of it stay: {', '.join(others) or SOLUTION}" if stays else ""
        yield Removal(
            "publisher", "", PUBLISHER, publisher.id, "publisher", "left_alone" if stays else "remove", reason
        )


def _parts(existing: Mapping[str, Table], doomed: set[str]) -> set[str]:
    """Ids of everything that goes with the tables that go."""
    tables = [existing[name] for name in doomed]
    own = [i for t in tables for i in (*_ids(t.columns), *_ids(t.lookups), *_ids(t.keys), *_ids(t.views))]
    links = [r.id for t in tables for lookup in t.lookups for r in lookup.relationships]
    return {identity.lower() for identity in (*own, *links)}


def _ids(parts: Iterable[Column] | Iterable[Lookup] | Iterable[Key] | Iterable[View]) -> list[str]:
    return [part.id for part in parts]


def _unless_needed(removal: Removal, usage: Usage, gone: set[str]) -> Removal:
    """The removal, blocked when something depends on it that does not go itself."""
    needed_by = [(kind, one) for kind, one in usage.dependents.get(removal.id, ()) if one not in gone]
    if removal.state != "remove" or not needed_by:
        return removal
    reason = "needed by " + ", ".join(f"component {one} of type {kind}" for kind, one in needed_by)
    return replace(removal, state="blocked", reason=reason)
