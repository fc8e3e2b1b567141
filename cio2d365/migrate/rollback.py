"""Undo one run: delete the rows that it created, give the rows that it changed their old values back (SR-003, I-29).

Reverse order of loading. A row whose deletion would take somebody else's rows along is left alone and listed. Can be
killed and started again: what is gone is gone, and the ledger knows the rest. A row that the server refuses to undo
does not hold up the others of its table (F-22), but the tables that it may hang on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from cio2d365.dataverse import batch, bulk, requests
from cio2d365.dataverse.client import Dataverse
from cio2d365.errors import Refused, RequestRejected, Terminal
from cio2d365.migrate.ledger import Ledger
from cio2d365.tables import OWNER_SETS, Table
from cio2d365.transport import Request

Progress = Callable[[int, int, str], None]
LOOKUP_TABLE = f"@{requests.LOOKUP_TABLE}"
# Deleting a parent deletes these children too (dataverse-api 12, defaults of the standard tables). The first are tables
# that we load; the others hold what people add to a row: set, primary key, lookup.
PARENTAL = (("contact", "parentcustomerid"), ("lead", "customerid"))
ACTIVITIES = ("tasks", "phonecalls", "appointments", "emails", "letters", "faxes", "activitypointers")
ADDED_BY_PEOPLE = (
    *((name, "activityid", "regardingobjectid") for name in ACTIVITIES), ("annotations", "annotationid", "objectid"),
    ("opportunities", "opportunityid", "customerid"), ("incidents", "incidentid", "customerid"),
    ("quotes", "quoteid", "customerid"), ("connections", "connectionid", "record1id"),
)  # fmt: skip
BATCH = 200
REFUSALS = 20  # so many rows of one table that are refused are no exceptions any more
T = TypeVar("T")
Picture = Mapping[str, Any]
Link = tuple[str, str, str]  # child's table (empty: not one of ours), child, parent


@dataclass(frozen=True)
class TablePlan:
    """What undoing a run means for one table."""

    table: str
    delete: tuple[str, ...]
    restore: tuple[str, ...]
    protected: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True)
class RollbackPlan:
    """All tables of a run, in the order in which they are undone."""

    run_id: str
    tables: tuple[TablePlan, ...]

    def frame(self) -> pl.DataFrame:
        """Per table: rows to delete, to restore, protected, and gone already."""
        rows = [
            {"table": t.table, "to_delete": len(t.delete), "to_restore": len(t.restore), "protected": len(t.protected),
             "gone": len(t.gone)}
            for t in self.tables
        ]  # fmt: skip
        kinds = dict.fromkeys(("to_delete", "to_restore", "protected", "gone"), pl.Int64)
        return pl.DataFrame(rows, schema={"table": pl.String, **kinds})


def plan(run_id: str, ledger: Ledger, client: Dataverse, tables: Mapping[str, Table]) -> RollbackPlan:
    """What `apply` will do; reads the ledger and the target. Refused for a run that the ledger does not know."""
    if not ledger.has_run(run_id):
        raise Refused(f"{ledger.path} knows no run {run_id}; `cio2d365 status` lists them")
    names = list(reversed(ledger.tables_of(run_id)))
    created = {name: ledger.created_by(run_id, name) for name in names}
    there = {name: client.existing_ids(tables[name], created[name]) for name in names}
    changed = {name: _still_there(client, tables[name], ledger.preimages(run_id, name)) for name in names}
    doomed = _without_parents(there, _links(client, tables, there, changed))
    return RollbackPlan(run_id, tuple(
        TablePlan(
            name,
            tuple(i for i in created[name] if i in doomed[name]),
            tuple(i for i in changed[name] if i not in there[name]),
            tuple(sorted(there[name] - doomed[name])),
            tuple(i for i in created[name] if i not in there[name]),
        )
        for name in names
    ))  # fmt: skip


def _still_there(client: Dataverse, table: Table, pictures: Sequence[tuple[str, Picture]]) -> dict[str, Picture]:
    present = client.existing_ids(table, (row_id for row_id, _ in pictures))
    return {row_id: picture for row_id, picture in pictures if row_id in present}


def _links(
    client: Dataverse,
    tables: Mapping[str, Table],
    there: Mapping[str, set[str]],
    changed: Mapping[str, Mapping[str, Picture]],
) -> list[Link]:
    """Which child hangs on which parent when all rows that the run changed have their old values back."""
    if not any(there.get(name) for name in ("account", "contact", "lead")):
        return []
    links: list[Link] = []
    for child, lookup in PARENTAL:
        if child in tables:
            restored = changed.get(child, {})
            for row_id, parent in _pairs(client, tables[child].set_name, tables[child].primary_id, lookup):
                old = restored.get(row_id, {}).get(f"_{lookup}_value", parent)
                links += [(child, row_id, str(old).lower())] if old else []
    for set_name, key, lookup in ADDED_BY_PEOPLE:
        links += [("", row_id, parent) for row_id, parent in _pairs(client, set_name, key, lookup)]
    return links


def _pairs(client: Dataverse, set_name: str, key: str, lookup: str) -> Iterator[tuple[str, str]]:
    """(child, parent) of all rows with that lookup; none when the environment has no such table."""
    value = f"_{lookup}_value"
    query = {"$select": f"{key},{value}", "$filter": f"{value} ne null"}
    try:
        for row in client.rows(requests.get(set_name, query, page=requests.PAGE_ROWS)):
            yield str(row[key]).lower(), str(row[value]).lower()
    except RequestRejected as error:
        if error.status != 404:
            raise


def _without_parents(there: Mapping[str, set[str]], links: Sequence[Link]) -> dict[str, set[str]]:
    """The rows that can go without taking along a row that stays: a protected child protects its parents in turn."""
    doomed = {name: set(ids) for name, ids in there.items()}
    while True:
        holding = {parent for child, row_id, parent in links if row_id not in doomed.get(child, ())}
        kept = {name: ids & holding for name, ids in doomed.items()}
        if not any(kept.values()):
            return doomed
        doomed = {name: ids - kept[name] for name, ids in doomed.items()}


def apply(
    planned: RollbackPlan,
    ledger: Ledger,
    client: Dataverse,
    tables: Mapping[str, Table],
    *,
    at: str,
    progress: Progress,
) -> pl.DataFrame:
    """Delete and restore; per table how many were deleted, restored, protected. Safe to run again.

    Raises Terminal after a table of which the server refused rows: what could be undone was, and is recorded.
    """
    total = sum(len(t.delete) + len(t.restore) for t in planned.tables)
    done, rows = 0, []
    for part in planned.tables:
        undo = _Table(planned.run_id, tables[part.table], tables, client, ledger)
        for count in undo.delete(part.delete):
            progress(done := done + count, total, f"deleting {part.table}")
        ledger.forget(part.table, part.gone)
        for count in undo.restore(part.restore):
            progress(done := done + count, total, f"restoring {part.table}")
        undo.stop_at_refusals()
        rows.append({"table": part.table, "deleted": len(part.delete), "restored": len(part.restore),
                     "protected": len(part.protected), "gone": len(part.gone)})  # fmt: skip
    ledger.end_run(planned.run_id, "rolled back", at)
    return pl.DataFrame(rows)


def _slices(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))


@dataclass(frozen=True)
class _Table:
    """One table of a run that is being undone, and the rows that the server refused to undo."""

    run_id: str
    table: Table
    tables: Mapping[str, Table]
    client: Dataverse
    ledger: Ledger
    refused: dict[str, RequestRejected] = field(default_factory=dict)

    def delete(self, row_ids: Sequence[str]) -> Iterator[int]:
        """Delete rows; how many were dealt with, batch by batch."""
        for ids in _slices(row_ids):
            self.ledger.forget(self.table.name, self._send({i: requests.delete_row(self.table, i) for i in ids}))
            self._give_up_when_all_are_refused()
            yield len(ids)

    def restore(self, row_ids: Sequence[str]) -> Iterator[int]:
        """Give rows their old values back; how many were dealt with, batch by batch."""
        wanted = set(row_ids)
        pictures = [(i, p) for i, p in self.ledger.preimages(self.run_id, self.table.name) if i in wanted]
        for some in _slices(pictures):
            updates = {i: requests.update_row(self.table, i, _values(p, self.table, self.tables)) for i, p in some}
            self.ledger.restored(self.run_id, self.table.name, self._send(updates))
            self._give_up_when_all_are_refused()
            yield len(some)

    def stop_at_refusals(self) -> None:
        """Terminal when rows were refused: undoing the tables that they hang on could take them along."""
        if self.refused:
            raise Terminal(
                f"{len(self.refused)} rows of {self.table.name} could not be undone; all that was undone is recorded, "
                f"and the same rollback goes on from there. {'; '.join(map(str, self.refused.values()))}"
            )

    def _give_up_when_all_are_refused(self) -> None:
        if len(self.refused) >= REFUSALS:
            self.stop_at_refusals()

    def _send(self, parts: Mapping[str, Request]) -> list[str]:
        """Send single requests as one batch, and those refused in it once more alone; the ids of those that are done.

        A row that is gone already needs no deleting.
        """
        answers = batch.send(self.client, list(parts.values()))
        for (row_id, request), answer in zip(parts.items(), answers, strict=True):
            if answer.status >= 400 and not _is_gone(request, answer.status):
                self._send_alone(row_id, request)
        return [row_id for row_id in parts if row_id not in self.refused]

    def _send_alone(self, row_id: str, request: Request) -> None:
        try:
            self.client.send(request)
        except RequestRejected as error:
            if not _is_gone(request, error.status):
                self.refused[row_id] = error


def _is_gone(request: Request, status: int) -> bool:
    return request.method == "DELETE" and status == 404


def _values(picture: Mapping[str, Any], table: Table, tables: Mapping[str, Table]) -> dict[str, Any]:
    """An old picture as an update: plain values as they were, lookups bound to what they pointed to, or cleared."""
    values: dict[str, Any] = {}
    for name, value in picture.items():
        column = table.column(name)
        if column is not None and column.updatable and name not in (table.primary_id, bulk.TAG):
            values[name] = value
        lookup = table.lookup(name[1:].removesuffix("_value")) if name.startswith("_") else None
        if lookup is None or name.endswith(LOOKUP_TABLE):
            continue
        kind = str(picture.get(f"{name}{LOOKUP_TABLE}") or lookup.targets[0][0])
        sets = OWNER_SETS | {t.name: t.set_name for t in tables.values()}
        bound = f"/{sets[kind]}({value})" if value and kind in sets else None
        values[f"{lookup.navigation(kind)}@odata.bind"] = bound
    return values
