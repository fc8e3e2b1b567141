"""Which privileges a migration needs, and which of them the load user holds, how far (SR-121).

The server names a table's privileges itself (`Privileges` of its definition): some tables share or shorten theirs. What
a user holds through own roles and those of teams comes from RetrieveUserPrivileges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cio2d365.dataverse.reads import Reads, Row
from cio2d365.dataverse.requests import text

Weight = Literal["block", "warn", "note"]
DEPTHS = ("Basic", "Local", "Deep", "Global")
REACH: Mapping[str, str] = {
    "": "–", "Basic": "own rows", "Local": "rows of its business unit", "Deep": "rows of its business unit and below",
    "Global": "all rows",
}  # fmt: skip
PRIVILEGES = "privileges of the load user"

# right → what a migration does with it, and what its lack means
RIGHTS: Mapping[str, tuple[str, Weight]] = {
    "Create": ("load new rows", "block"),
    "Read": ("look rows up before a change, resolve unclear ends, reconcile", "block"),
    "Write": ("update rows, set their state", "block"),
    "Append": ("fill lookups of its rows", "block"),
    "AppendTo": ("let other rows point to its rows", "block"),
    "Assign": ("give rows to their owners", "warn"),
    "Delete": ("undo a run", "warn"),
}
SCHEMA = "create the schema (04_schema)"
OTHERS: Mapping[str, tuple[str, Weight]] = {
    "prvReadPublisher": ("find publishers and their prefixes", "block"),
    "prvReadSolution": ("find our solution", "block"),
    "prvCreatePublisher": ("create our publisher", "block"),
    "prvCreateSolution": ("create our solution", "block"),
    "prvWriteSolution": ("put components into our solution", "block"),
    **dict.fromkeys(
        ("prvCreateEntity", "prvReadEntity", "prvCreateAttribute", "prvReadAttribute", "prvCreateRelationship",
         "prvReadRelationship", "prvCreateEntityKey", "prvReadEntityKey", "prvCreateOptionSet", "prvReadOptionSet"),
        (SCHEMA, "block"),
    ),
    "prvWriteEntity": ("change our own tables later", "warn"),
    "prvWriteAttribute": ("change our own columns later", "warn"),
    "prvReadQuery": ("find views", "block"),
    "prvCreateQuery": ("create views", "block"),
    "prvWriteQuery": ("change our own views later", "warn"),
    "prvPublishCustomization": ("publish the schema", "block"),
    "prvOverrideCreatedOnCreatedBy": ("keep the date on which a person was created", "block"),
    "prvBulkDelete": ("clear many rows by a job of the server, beyond the undo of a run", "note"),
    "prvBypassCustomBusinessLogic": ("load past the customer's own plug-ins and workflows, if that is agreed", "note"),
}  # fmt: skip


@dataclass(frozen=True)
class Privilege:
    """One privilege that the migration wants: `depth` is what the load user has, empty for nothing.

    `lack` is how much its lack matters: block (something cannot be done), warn (a part cannot), note (optional).
    """

    name: str
    table: str
    right: str
    needed_for: str
    lack: Weight
    depth: str
    enough: bool

    @property
    def verdict(self) -> str:
        """held, reaches too few rows, missing, or not held (optional)."""
        if self.enough:
            return "held"
        if self.depth:
            return "reaches too few rows"
        return "missing" if self.lack != "note" else "not held (optional)"


def read_privileges(reads: Reads, user_id: str, tables: Iterable[str], *, in_root_unit: bool) -> tuple[Privilege, ...]:
    """What a migration that writes these tables needs, against what the user holds; empty when that cannot be read.

    A depth of Deep at the business unit above all others reaches every row, as Global does.
    """
    held = _held(reads, user_id)
    if not reads.could_read(PRIVILEGES):
        return ()
    enough = {"Global", "Deep"} if in_root_unit else {"Global"}
    wanted = [*_of_tables(reads, tables), *((n, "", "", *why) for n, why in OTHERS.items())]
    return tuple(
        Privilege(name, table, right, needed_for, lack, held.get(name, ""), held.get(name) in enough)
        for name, table, right, needed_for, lack in wanted
    )


def _held(reads: Reads, user_id: str) -> dict[str, str]:
    """Privilege → greatest depth; a user who has several roles may be shown several depths."""
    path = f"systemusers({user_id})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
    found: dict[str, str] = {}
    for row in reads.value(PRIVILEGES, path).get("RolePrivileges") or []:
        name, depth = str(row.get("PrivilegeName") or ""), str(row["Depth"])
        found[name] = max(depth, found.get(name, "Basic"), key=DEPTHS.index)
    return found


def _of_tables(reads: Reads, tables: Iterable[str]) -> Iterator[tuple[str, str, str, str, Weight]]:
    for table in tables:
        path = f"EntityDefinitions(LogicalName={text(table)})"
        definition = reads.value(f"definition of {table}", path, {"$select": "LogicalName,Privileges"})
        for right, row in _by_right(definition).items():
            needed_for, lack = RIGHTS[right]
            yield str(row["Name"]), table, right, needed_for, lack


def _by_right(definition: Row) -> dict[str, Row]:
    given = {str(row["PrivilegeType"]): row for row in definition.get("Privileges") or []}
    return {right: given[right] for right in RIGHTS if right in given}
