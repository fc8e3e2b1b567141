"""Who owns a row: the value that names an owner in the source → a user or team of the target (SR-011, SR-109). Pure.

Customer.io knows no owners; an attribute of people, and one of companies, can name them. Who is named and cannot own
rows is replaced by the fallback owner, and each case can be listed; without a fallback such a plan is refused (F-44).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from cio2d365 import settings
from cio2d365.dataverse.owners import Owner
from cio2d365.decide import json_scan
from cio2d365.decide.field_maps import Mapping as FieldMapping
from cio2d365.errors import DecisionError, SettingsError
from cio2d365.migrate import fields
from cio2d365.migrate.schema import OWNER
from cio2d365.tables import OWNER_BIND, Table

UNKNOWN, SEVERAL = "not found", "several of this name"
ASSIGNED = {"value": pl.String, OWNER_BIND: pl.String, "owner": pl.String, "obstacle": pl.String}
OWNED = dict.fromkeys(("table", "source_key", "field", "value", "obstacle", "owner"), pl.String)
TOLD, LONGEST = 10, 80  # how many values a refusal names, and how much of each

Names = Mapping[str, list[Owner]]


@dataclass(frozen=True)
class Found:
    """Who a value names; `obstacle` says why nobody, or why not somebody who can own rows."""

    owner: Owner | None
    obstacle: str


@dataclass(frozen=True)
class Given:
    """Staged rows with owners, who has which row (`OWNED`), and what became of the names that were kept."""

    frame: pl.DataFrame
    owned: pl.DataFrame
    notes: pl.DataFrame


@dataclass(frozen=True)
class Ownership:
    """Which attributes name owners, who there is in the target, and who owns what the named one cannot."""

    person: str = ""
    company: str = ""
    directory: tuple[Owner, ...] = ()
    fallback: Owner | None = None

    def attribute(self, table: str) -> str:
        """The attribute that names the owners of a table's rows; empty when none does."""
        return {"account": self.company, "contact": self.person, "lead": self.person}.get(table, "")

    @property
    def tables(self) -> tuple[str, ...]:
        """The standard tables whose rows get an owner."""
        return tuple(name for name in ("account", "contact", "lead") if self.attribute(name))

    @cached_property
    def _names(self) -> tuple[Names, ...]:
        users, teams = _split(self.directory)
        ways = ([(o.email, o) for o in users], [(o.login, o) for o in users], [(o.name, o) for o in teams])
        return tuple(_grouped(pairs) for pairs in ways)

    def find(self, value: str) -> Found:
        """By e-mail, then sign-in name, then team name, without case and outer blanks; several of a name are nobody."""
        key = _plain(value)
        for names in self._names:
            if found := names.get(key):
                return Found(found[0], found[0].obstacle) if len(found) == 1 else Found(None, SEVERAL)
        return Found(None, UNKNOWN)


NOBODY = Ownership()


def _split(directory: Iterable[Owner]) -> tuple[list[Owner], list[Owner]]:
    everybody = list(directory)
    return [o for o in everybody if o.kind != "team"], [o for o in everybody if o.kind == "team"]


def _grouped(pairs: Iterable[tuple[str, Owner]]) -> Names:
    found: dict[str, list[Owner]] = {}
    for name, owner in pairs:
        if key := _plain(name):
            found.setdefault(key, []).append(owner)
    return found


def _plain(text: str) -> str:
    return text.strip().casefold()


def attributes(wanted: settings.Owners) -> Ownership:
    """Which attributes name owners, before anybody is looked up in a target."""
    return Ownership(wanted.trait, wanted.company_trait)


def ownership(wanted: settings.Owners, directory: Iterable[Owner]) -> Ownership:
    """The settings with the users and teams of a target. SettingsError when the fallback cannot own rows itself."""
    found = Ownership(wanted.trait, wanted.company_trait, tuple(directory))
    if not wanted.are_mapped or not wanted.fallback.strip():
        return found
    named = found.find(wanted.fallback)
    if named.obstacle:
        raise SettingsError(
            f"owners.fallback: {_short(wanted.fallback)} cannot own rows ({named.obstacle}); give the e-mail "
            "address of an active user with a security role, or the name of a team"
        )
    return Ownership(wanted.trait, wanted.company_trait, found.directory, named.owner)


def assign(values: pl.Series, owners: Ownership) -> pl.DataFrame:
    """Per value, in order: itself without outer blanks, what to bind, who owns the row then, and the obstacle if any.

    A blank value names nobody: all four are null, and the server's default stands, which is the load user.
    """
    named = values.cast(pl.String).str.strip_chars().replace("", None)
    rows = [_assigned(value, owners) for value in named.drop_nulls().unique(maintain_order=True)]
    known = pl.DataFrame(rows, schema=ASSIGNED, orient="row")
    return pl.DataFrame({"value": named}).join(known, on="value", how="left", maintain_order="left")


def _assigned(value: str, owners: Ownership) -> tuple[str, str | None, str | None, str | None]:
    found = owners.find(value)
    owner = owners.fallback if found.obstacle else found.owner
    path, label = (owner.path, owner.label) if owner else (None, None)
    return value, path, label, found.obstacle or None


def give(frame: pl.DataFrame, names: pl.Series, table: Table, owners: Ownership) -> Given:
    """Staged rows with their owners; `names` has the source's text for each. What the column cannot hold goes to JSON.

    Where the map itself fills `cio_owner`, it is left as it is.
    """
    keys, name = frame["cio_source_key"].alias("source_key"), owners.attribute(table.name)
    found = assign(names, owners)
    owned = found.select(pl.lit(table.name).alias("table"), keys, pl.lit(name).alias("field"), *list(OWNED)[3:])
    frame = frame.with_columns(found[OWNER_BIND])
    if OWNER.name in frame.columns:
        return Given(frame, owned, fields.concat([]))
    kept = fields.convert(names, table.column(OWNER.name) or OWNER)
    rest = fields.with_rest(frame[fields.REST], {OWNER.name: fields.original(names, kept)})
    frame = frame.with_columns(kept["value"].alias(OWNER.name), rest)
    return Given(frame, owned, fields.note(keys, name, OWNER.name, kept))


def by_value(owned: pl.DataFrame) -> pl.DataFrame:
    """Table, field, value, rows, owner, obstacle: first those that were replaced, then the others by number."""
    groups = owned.group_by("table", "field", "value", "owner", "obstacle").agg(rows=pl.len())
    ordered = groups.sort("table", pl.col("obstacle").is_null(), -pl.col("rows").cast(pl.Int64), "value")
    return ordered.select("table", "field", "value", "rows", "owner", "obstacle")


def replaced(owned: pl.DataFrame) -> pl.DataFrame:
    """The rows whose named owner cannot own them: table, source_key, field, value, obstacle, owner (who does)."""
    return owned.drop_nulls("obstacle")


def require_fallback(owned: pl.DataFrame) -> None:
    """SettingsError with values and numbers of rows when somebody is named who cannot own and nobody stands in."""
    cases = by_value(owned.filter(pl.col("obstacle").is_not_null() & pl.col("owner").is_null()))
    if cases.height:
        rows = [f"{r['table']}.{r['field']} {_short(r['value'])} ({r['obstacle']}, {r['rows']:,} rows)"
                for r in cases.head(TOLD).to_dicts()]  # fmt: skip
        more = f", and {cases.height - TOLD:,} values more" if cases.height > TOLD else ""
        raise SettingsError(
            f"{cases['rows'].sum():,} rows name an owner who cannot own them: {', '.join(rows)}{more}. Nothing was "
            "sent. Set owners.fallback in migration.toml to the e-mail address of an active user or the name of a team"
        )


def require_names(owners: Ownership, chosen: FieldMapping, people: pl.DataFrame, companies: pl.DataFrame) -> None:
    """What has to hold before anything is staged: the attributes that name owners exist, their column is free.

    Takes the raw people and companies. SettingsError offers the nearest attribute; DecisionError as `require_column`.
    """
    require_column(chosen, owners)
    for setting, name, rows in (("trait", owners.person, people), ("company_trait", owners.company, companies)):
        present = json_scan.scan(rows["attributes"]).pairs["key"].unique().to_list() if name else []
        if name and rows.height and name not in present:
            near = difflib.get_close_matches(name, sorted(present), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"owners.{setting}: nothing in the snapshot has an attribute {name!r}{hint}")


def require_column(chosen: FieldMapping, owners: Ownership) -> None:
    """DecisionError when the map fills `cio_owner`, where the named owner is kept, with something else.

    The attribute that names the owner may itself be mapped to it, as text: then that is where it is kept.
    """
    sources = Counter(
        f"{f.source} → {table}.{OWNER.name}"
        for f in chosen.fields
        for table, column in f.targets
        if f.action == "column" and column == OWNER.name and table in owners.tables
        and not (f.source == _source(table, owners, chosen) and f.column and f.column.kind in ("string", "memo"))
    )  # fmt: skip
    if sources:
        raise DecisionError(f"the map cannot be used with [owners]: {', '.join(sources)}, but that column keeps the "
                            "owner that the source names, as text; give the field another column")  # fmt: skip


def _source(table: str, owners: Ownership, chosen: FieldMapping) -> str:
    name = owners.attribute(table)
    return f"object.{chosen.company_type}.{name}" if table == "account" else f"person.{name}"


def _short(value: str) -> str:
    return repr(value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…")
