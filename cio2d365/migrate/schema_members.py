"""Which components of the wanted schema belong into our solution. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cio2d365.migrate.schema import PREFIX, choices_of
from cio2d365.tables import Environment, Table

# Component types as the platform numbers them (dataverse-api 9.5).
TABLE, COLUMN, CHOICE, RELATIONSHIP, KEY, VIEW = 1, 2, 9, 10, 14, 26


@dataclass(frozen=True)
class Member:
    """An existing component: its type and id for the platform, its name for people, and the table that it is part of.

    `table_id` is empty for tables and for what belongs to no table.
    """

    kind: int
    id: str
    name: str
    table_id: str = ""

    def is_in(self, environment: Environment) -> bool:
        """Whether it is in our solution, itself or with its whole table."""
        return self.id.lower() in environment.members or self.table_id.lower() in environment.whole


def members_of(wanted: Iterable[Table], tables: Mapping[str, Table], environment: Environment) -> Iterator[Member]:
    """The components of the wanted schema that exist and that we make: custom tables, and our parts of others."""
    tables_wanted = tuple(wanted)
    for choice in choices_of(tables_wanted):
        there = environment.choice(choice.name)
        if there is not None:
            yield Member(CHOICE, there.id, choice.name)
    for table in tables_wanted:
        if table.name in tables:
            yield from _members(table, tables[table.name])


def _members(wanted: Table, there: Table) -> Iterator[Member]:
    if wanted.custom:
        yield Member(TABLE, there.id, there.name)
    for column in there.columns:
        if column.custom and wanted.column(column.name) and column.name != there.primary_name:
            yield Member(COLUMN, column.id, f"{there.name}.{column.name}", there.id)
    for lookup in there.lookups:
        if lookup.custom and wanted.lookup(lookup.name):
            for relationship in lookup.relationships:
                yield Member(RELATIONSHIP, relationship.id, relationship.name, there.id)
    serving = {frozenset(key.columns) for key in wanted.keys}
    for key in there.keys:
        if frozenset(key.columns) in serving and key.name.lower().startswith(f"{PREFIX}_"):
            yield Member(KEY, key.id, f"{there.name}.{key.name}", there.id)
    named = {view.name.strip().lower() for view in wanted.views}
    for view in there.views:
        if view.name.strip().lower() in named and not view.managed:
            yield Member(VIEW, view.id, f"{there.name}.{view.name}", there.id)
