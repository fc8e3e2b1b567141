"""Compare the schema that is wanted with the one that is there. Pure; `provision` carries it out.

What exists and is equal stays; what exists and differs is a conflict that shows both definitions (F-33); what is ours
and not wanted is listed and never touched. A component is ours by its prefix, or by being in our solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from cio2d365.migrate import schema_checks
from cio2d365.migrate.schema import PREFIX, choices_of
from cio2d365.migrate.schema_checks import Problem
from cio2d365.migrate.schema_words import describe, describe_choice, describe_lookup, in_full
from cio2d365.tables import Choice, Column, Environment, Key, Lookup, Option, Table, View

Part = Literal["choice", "option", "table", "column", "lookup", "target", "key", "view"]
State = Literal["create", "equal", "conflict", "left_alone"]
SHARED = "(global choices)"  # stands in the column `table` for what belongs to no table


@dataclass(frozen=True)
class NewOption:
    """An option that an existing choice of ours lacks: a global choice, or the choice of one column."""

    option: Option
    choice: str = ""
    table: str = ""
    column: str = ""


@dataclass(frozen=True)
class NewTarget:
    """A table that an existing multi-table lookup of ours does not point to yet."""

    lookup: Lookup
    target: str


Component = Choice | NewOption | Table | Column | Lookup | NewTarget | Key | View


@dataclass(frozen=True)
class Change:
    """One component: what is wanted, what is there, and what follows from it."""

    kind: Part
    table: str
    name: str
    state: State
    wanted: str
    existing: str
    component: Component


@dataclass(frozen=True)
class SchemaPlan:
    """All components of the wanted schema, compared, and what speaks against it."""

    changes: tuple[Change, ...]
    problems: tuple[Problem, ...] = ()

    def _of(self, state: State) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.state == state)

    @property
    def to_create(self) -> tuple[Change, ...]:
        """What is missing."""
        return self._of("create")

    @property
    def equal(self) -> tuple[Change, ...]:
        """What is there already."""
        return self._of("equal")

    @property
    def conflicts(self) -> tuple[Change, ...]:
        """What exists and differs."""
        return self._of("conflict")

    @property
    def left_alone(self) -> tuple[Change, ...]:
        """What is ours and not wanted: an earlier plan made it, or somebody with our prefix."""
        return self._of("left_alone")

    def frame(self) -> pl.DataFrame:
        """One row per component: table, kind, name, state, wanted, existing (Utf8)."""
        names = ("table", "kind", "name", "state", "wanted", "existing")
        return pl.DataFrame(
            {n: [getattr(c, n) for c in self.changes] for n in names}, schema=dict.fromkeys(names, pl.String)
        )

    def summary(self) -> pl.DataFrame:
        """Per table: how many components are to create, equal, in conflict and left alone."""
        frame = self.frame().group_by("table", maintain_order=True)
        states = {"to_create": "create", "equal": "equal", "conflict": "conflict", "left_alone": "left_alone"}
        return frame.agg(**{name: (pl.col("state") == state).sum() for name, state in states.items()})

    def problem_frame(self) -> pl.DataFrame:
        """One row per problem: table, name, rule, needed, allowed, source, and whether it refuses the plan."""
        names = ("table", "name", "rule", "needed", "allowed", "source")
        rows = {n: [getattr(p, n) for p in self.problems] for n in names}
        effect = {"effect": ["refuses" if p.refuses else "warns" for p in self.problems]}
        return pl.DataFrame(rows | effect, schema=dict.fromkeys((*names, "effect"), pl.String))


def plan(
    wanted: Iterable[Table],
    existing: Mapping[str, Table],
    environment: Environment | None = None,
    *,
    table_limit: int | None = None,
) -> SchemaPlan:
    """Compare; sends nothing.

    Without `environment` nothing is said about what lies around the tables: other tables of ours, free choices, the
    publisher. `table_limit` is how many custom tables the customer's licence allows; more refuses the plan, and
    without it more than a Professional licence allows is only a warning (SR-105).
    """
    tables = tuple(wanted)
    around = environment or Environment(choices=_seen_choices(existing))
    changes = [
        *_choice_changes(tables, around),
        *(c for table in tables for c in _table_changes(table, existing.get(table.name), around)),
        *_unwanted(tables, around),
    ]
    problems = schema_checks.problems(tables, existing, environment, table_limit=table_limit)
    return SchemaPlan(tuple(changes), problems)


def is_ours(name: str) -> bool:
    """Whether the name has the prefix of our publisher."""
    return name.lower().startswith(f"{PREFIX}_")


def _seen_choices(existing: Mapping[str, Table]) -> tuple[Choice, ...]:
    """Global choices as far as existing columns refer to them."""
    columns = (c for table in existing.values() for c in table.columns if c.choice)
    return tuple({c.choice: Choice(c.choice, c.label, c.options) for c in columns}.values())


def _choice_changes(tables: Sequence[Table], around: Environment) -> Iterator[Change]:
    for choice in choices_of(tables):
        there = around.choice(choice.name)
        if there is None:
            yield Change("choice", SHARED, choice.name, "create", describe_choice(choice), "", choice)
            continue
        yield _compared_choice(choice, there)
        missing = missing_options(choice.options, there.options) or ()
        yield from _new_options(SHARED, choice.name, (NewOption(o, choice=choice.name) for o in missing))


def _compared_choice(wanted: Choice, there: Choice) -> Change:
    fits = missing_options(wanted.options, there.options) is not None
    state: State = "equal" if fits else "conflict"
    return Change("choice", SHARED, wanted.name, state, describe_choice(wanted), describe_choice(there), wanted)


def _new_options(table: str, name: str, options: Iterable[NewOption]) -> Iterator[Change]:
    for new in options:
        text = f"option {new.option.value} {new.option.label}"
        yield Change("option", table, f"{name} {new.option.value}", "create", text, "", new)


def missing_options(wanted: Iterable[Option], there: Iterable[Option]) -> list[Option] | None:
    """Options to insert so that every wanted value keeps its meaning; None when a value or a label is taken."""
    labels = {o.value: o.label.strip() for o in there}
    values = {label.lower(): value for value, label in labels.items()}
    missing = []
    for option in wanted:
        label = option.label.strip()
        if labels.get(option.value, label) != label or values.get(label.lower(), option.value) != option.value:
            return None
        if option.value not in labels:
            missing.append(option)
    return missing


def _table_changes(wanted: Table, existing: Table | None, around: Environment) -> Iterator[Change]:
    """A primary name column is made with its table, and counts as part of it."""
    if wanted.custom and existing is None:
        yield Change("table", wanted.name, wanted.name, "create", _table_words(wanted), "", wanted)
    elif wanted.custom and existing is not None:
        yield _compared_table(wanted, existing)
    for column in wanted.columns:
        there = existing.column(column.name) if existing else None
        if column.name != wanted.primary_name or (there is not None and not fits(column, there)):
            yield from _column_changes(wanted.name, column, there)
    for lookup in wanted.lookups:
        yield from _lookup_changes(wanted.name, lookup, existing.lookup(lookup.name) if existing else None)
    yield from (_key_change(wanted.name, key, existing.keys if existing else ()) for key in wanted.keys)
    yield from (_view_change(view, existing.views if existing else ()) for view in wanted.views)
    if existing is not None:
        yield from _left_alone(wanted, existing, around)


def _compared_table(wanted: Table, existing: Table) -> Change:
    same = (wanted.kind, wanted.primary_name) == (existing.kind, existing.primary_name)
    state: State = "equal" if same else "conflict"
    return Change("table", wanted.name, wanted.name, state, _table_words(wanted), _table_words(existing), wanted)


def _table_words(table: Table) -> str:
    kind = "table" if table.kind == "standard" else f"{table.kind} table"
    return f"{kind} “{table.label}”, named by {table.primary_name}"


def _column_changes(table: str, wanted: Column, existing: Column | None) -> Iterator[Change]:
    if existing is None:
        yield Change("column", table, wanted.name, "create", describe(wanted), "", wanted)
    elif fits(wanted, existing):
        yield Change("column", table, wanted.name, "equal", describe(wanted), describe(existing), wanted)
        missing = () if wanted.choice else missing_options(wanted.options, existing.options) or ()
        yield from _new_options(table, wanted.name, (NewOption(o, table=table, column=wanted.name) for o in missing))
    else:
        yield Change("column", table, wanted.name, "conflict", in_full(wanted), in_full(existing), wanted)


def fits(wanted: Column, existing: Column) -> bool:
    """Every value that the wanted column can hold, the existing one can hold too, with the same meaning.

    Options that a choice of ours lacks can be inserted and are no reason against it.
    """
    return (
        wanted.kind == existing.kind
        and (wanted.choice or existing.choice) == existing.choice
        and (wanted.kind == "date" or (wanted.behavior or "UserLocal") == (existing.behavior or "UserLocal"))
        and _is_long(wanted, existing)
        and _is_wide(wanted, existing)
        and _has_meanings(wanted, existing)
    )


def _is_long(wanted: Column, existing: Column) -> bool:
    longer = wanted.length is None or existing.length is None or existing.length >= wanted.length
    return longer and (wanted.precision is None or existing.precision is None or existing.precision >= wanted.precision)


def _is_wide(wanted: Column, existing: Column) -> bool:
    low = None in (wanted.minimum, existing.minimum) or (existing.minimum or 0) <= (wanted.minimum or 0)
    high = None in (wanted.maximum, existing.maximum) or (existing.maximum or 0) >= (wanted.maximum or 0)
    return low and high


def _has_meanings(wanted: Column, existing: Column) -> bool:
    missing = missing_options(wanted.options, existing.options)
    return missing is not None and (not missing or (is_ours(existing.name) and existing.custom))


def _lookup_changes(table: str, wanted: Lookup, existing: Lookup | None) -> Iterator[Change]:
    text = describe_lookup(wanted)
    if existing is None:
        yield Change("lookup", table, wanted.name, "create", text, "", wanted)
        return
    missing = [t for t, _ in wanted.targets if t not in dict(existing.targets)]
    state: State = "equal" if not missing or _takes_targets(existing) else "conflict"
    yield Change("lookup", table, wanted.name, state, text, describe_lookup(existing), wanted)
    for target in missing if state == "equal" else ():
        words = f"further target {target}"
        yield Change("target", table, f"{wanted.name} {target}", "create", words, "", NewTarget(wanted, target))


def _takes_targets(lookup: Lookup) -> bool:
    """Only a lookup of ours that was made as multi-table does: its navigation properties end in the target's name."""
    several = all(nav == f"{lookup.name}_{target}" for target, nav in lookup.targets)
    return several and lookup.custom and not lookup.customer and is_ours(lookup.name)


def _key_change(table: str, wanted: Key, existing: Iterable[Key]) -> Change:
    """A key over the same columns serves whatever its name is; the same name over others is a conflict."""
    text = f"key over {', '.join(wanted.columns)}"
    for key in existing:
        there = f"key {key.name} over {', '.join(key.columns)}"
        if set(key.columns) == set(wanted.columns):
            return Change("key", table, wanted.name, "equal", text, there, wanted)
        if key.name.lower() == wanted.name.lower():
            return Change("key", table, wanted.name, "conflict", text, there, wanted)
    return Change("key", table, wanted.name, "create", text, "", wanted)


def _view_change(wanted: View, existing: Iterable[View]) -> Change:
    """A view of that name serves: what somebody changed in it since is theirs."""
    text = _view_words(wanted)
    for view in existing:
        if view.name.strip().lower() == wanted.name.strip().lower():
            return Change("view", wanted.table, wanted.name, "equal", text, _view_words(view), wanted)
    return Change("view", wanted.table, wanted.name, "create", text, "", wanted)


def _view_words(view: View) -> str:
    return f"view of {', '.join(view.columns)}"


def _left_alone(wanted: Table, existing: Table, around: Environment) -> Iterator[Change]:
    """Components of ours in a table that is wanted, which this schema does not name."""
    name = wanted.name
    for column in existing.columns:
        if (
            is_ours(column.name)
            and column.custom
            and not wanted.column(column.name)
            and not _goes_with(column, existing)
        ):
            yield Change("column", name, column.name, "left_alone", "", describe(column), column)
    for lookup in existing.lookups:
        if _is_extra(lookup) and not wanted.lookup(lookup.name):
            yield Change("lookup", name, lookup.name, "left_alone", "", describe_lookup(lookup), lookup)
    serving = {frozenset(key.columns) for key in wanted.keys} | {key.name.lower() for key in wanted.keys}
    for key in existing.keys:
        if is_ours(key.name) and not serving & {frozenset(key.columns), key.name.lower()}:
            yield Change("key", name, key.name, "left_alone", "", f"key over {', '.join(key.columns)}", key)
    named = {view.name.strip().lower() for view in wanted.views}
    for view in existing.views:
        if view.id.lower() in around.members and view.name.strip().lower() not in named:
            yield Change("view", name, view.name, "left_alone", "", _view_words(view), view)


def _is_extra(component: Column | Lookup) -> bool:
    return is_ours(component.name) and component.custom


def _goes_with(column: Column, table: Table) -> bool:
    """Whether the platform made this column: the key, or the base value that comes with an amount of money."""
    amount = table.column(column.name.removesuffix("_base"))
    base = column.name.endswith("_base") and amount is not None and amount.kind == "money"
    return base or column.name == table.primary_id


def _unwanted(tables: Sequence[Table], around: Environment) -> Iterator[Change]:
    """Tables and global choices of ours that this schema does not name."""
    named = {table.name for table in tables}
    for name in around.custom_tables:
        if is_ours(name) and name not in named:
            yield Change("table", name, name, "left_alone", "", "table", Table(name, "", "", ""))
    chosen = {choice.name.lower() for choice in choices_of(tables)}
    for choice in around.choices:
        if is_ours(choice.name) and choice.name.lower() not in chosen:
            yield Change("choice", SHARED, choice.name, "left_alone", "", describe_choice(choice), choice)
