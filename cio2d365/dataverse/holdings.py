"""What an environment holds: publishers, solutions, apps, tables with their columns, keys and rows (SR-119, SR-120)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from cio2d365.dataverse.reads import Reads, Row
from cio2d365.dataverse.requests import text

# These two prove real-time Customer Insights - Journeys; other DynamicsMKT_* solutions do not (dataverse-api 14).
JOURNEYS = frozenset({"DynamicsMKT_AnchorSolution", "DynamicsCij_AnchorSolution"})
OUTBOUND_MARKETING = "MicrosoftDynamics_Marketing"  # retired on 30 June 2025
# The app that each edition of Sales brings.
ENTERPRISE_APP, PROFESSIONAL_APP = "msdynce_saleshub", "msdynce_salespro"
Edition = str  # Enterprise, Professional, both or empty


@dataclass(frozen=True)
class Publisher:
    """A publisher and the prefix that it gives to names."""

    name: str
    prefix: str


@dataclass(frozen=True)
class Solution:
    """A solution that makers see."""

    name: str
    version: str
    managed: bool


@dataclass(frozen=True)
class TableState:
    """One table that a migration writes, as it is: `rows` may be a day old and is None when it was not told.

    `custom_columns` counts columns by prefix, `keys` are alternate keys with the state of their index, `secured` are
    columns that only chosen users may read or write.
    """

    name: str
    rows: int | None = None
    custom_columns: tuple[tuple[str, int], ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    secured: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cascade:
    """What deleting or assigning a row of `parent` does to the rows of `child` that point to it with `column`."""

    parent: str
    child: str
    column: str
    delete: str
    assign: str


@dataclass(frozen=True)
class Holdings:
    """What was found; counts of custom tables and storage are the server's own figures, None when it gave none."""

    publishers: tuple[Publisher, ...] = ()
    solutions: tuple[Solution, ...] = ()
    apps: tuple[str, ...] = ()
    custom_tables: tuple[str, ...] = ()
    counted_tables: int | None = None
    most_tables: int | None = None
    storage: float | None = None
    most_storage: float | None = None
    tables: tuple[TableState, ...] = ()
    cascades: tuple[Cascade, ...] = ()

    @property
    def edition(self) -> Edition:
        """The edition of Sales that the apps speak for. A hint: licences cannot be read here."""
        apps = {app.lower() for app in self.apps}
        professional, enterprise = PROFESSIONAL_APP in apps, ENTERPRISE_APP in apps
        if professional and enterprise:
            return "both"
        return "Professional" if professional else "Enterprise" if enterprise else ""

    @property
    def journeys_installed(self) -> bool:
        """Whether real-time Customer Insights - Journeys is installed (SR-122)."""
        return any(solution.name in JOURNEYS for solution in self.solutions)

    @property
    def outbound_marketing_installed(self) -> bool:
        """Whether the retired outbound module is there."""
        return any(solution.name == OUTBOUND_MARKETING for solution in self.solutions)


def read_holdings(reads: Reads, custom_tables: Iterable[str], written: Collection[str]) -> Holdings:
    """Ask for everything that is there; `written` are the existing tables that the migration writes."""
    resources = reads.value("resources in use", "RetrieveOrganizationResources()").get("OrganizationResources") or {}
    return Holdings(
        publishers=_publishers(reads),
        solutions=_solutions(reads),
        apps=tuple(
            sorted(str(row["uniquename"]) for row in reads.rows("apps", "appmodules", {"$select": "uniquename"}))
        ),
        custom_tables=tuple(custom_tables),
        counted_tables=_limit(resources, "CurrentNumberOfCustomEntities"),
        most_tables=_limit(resources, "MaxNumberOfCustomEntities"),
        storage=_limit(resources, "CurrentStorage"),
        most_storage=_limit(resources, "MaxStorage"),
        tables=tuple(_table_states(reads, written)),
        cascades=tuple(_cascades(reads, written)),
    )


def _limit(resources: Row, name: str) -> int | None:
    """-1 and 0 stand for no limit and for a figure that is not kept."""
    value = resources.get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else None


def _publishers(reads: Reads) -> tuple[Publisher, ...]:
    rows = reads.rows("publishers", "publishers", {"$select": "uniquename,customizationprefix"})
    found = [Publisher(str(r["uniquename"]), str(r["customizationprefix"])) for r in rows if r["customizationprefix"]]
    return tuple(sorted(found, key=lambda p: (p.prefix, p.name)))


def _solutions(reads: Reads) -> tuple[Solution, ...]:
    query = {"$select": "uniquename,version,ismanaged", "$filter": "isvisible eq true"}
    rows = reads.rows("solutions", "solutions", query)
    found = [Solution(str(r["uniquename"]), str(r["version"]), bool(r["ismanaged"])) for r in rows]
    return tuple(sorted(found, key=lambda solution: solution.name))


def _table_states(reads: Reads, tables: Collection[str]) -> Iterator[TableState]:
    counts = _counts(reads, tables)
    for table in tables:
        path = f"EntityDefinitions(LogicalName={text(table)})"
        what = f"columns and keys of {table}"
        columns = reads.rows(what, f"{path}/Attributes", {"$select": "LogicalName,IsCustomAttribute,IsSecured"})
        keys = reads.rows(what, f"{path}/Keys", {"$select": "LogicalName,EntityKeyIndexStatus"})
        secured = (str(c["LogicalName"]) for c in columns if c.get("IsSecured"))
        states = (str(k.get("EntityKeyIndexStatus") or "Active").replace(" ", "") for k in keys)
        named = tuple(zip((str(k["LogicalName"]) for k in keys), states, strict=True))
        yield TableState(table, counts.get(table), _custom_columns(columns), named, tuple(sorted(secured)))


def _counts(reads: Reads, tables: Collection[str]) -> dict[str, int]:
    names = ",".join(text(table) for table in tables)
    answer = reads.value("row counts", "RetrieveTotalRecordCount(EntityNames=@p)", {"@p": f"[{names}]"})
    found = answer.get("EntityRecordCountCollection") or {}
    return dict(zip(found.get("Keys") or [], found.get("Values") or [], strict=True))


def _custom_columns(columns: Iterable[Row]) -> tuple[tuple[str, int], ...]:
    prefixes = Counter(str(c["LogicalName"]).partition("_")[0] for c in columns if c.get("IsCustomAttribute"))
    return tuple(sorted(prefixes.items()))


def _cascades(reads: Reads, tables: Collection[str]) -> Iterator[Cascade]:
    """Those between written tables that take rows along; customers can change them, so the live ones count."""
    names = "ReferencingEntity,ReferencingAttribute,CascadeConfiguration"
    for parent in tables:
        path = f"EntityDefinitions(LogicalName={text(parent)})/OneToManyRelationships"
        for row in reads.rows(f"relationships of {parent}", path, {"$select": names}):
            how = row.get("CascadeConfiguration") or {}
            delete, assign = str(how.get("Delete") or ""), str(how.get("Assign") or "")
            child = str(row["ReferencingEntity"])
            if child in tables and "Cascade" in (delete, assign):
                yield Cascade(parent, child, str(row["ReferencingAttribute"]), delete, assign)
