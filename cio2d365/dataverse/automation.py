"""What the customer's environment does by itself when rows are written: plug-ins, processes, flows, duplicate rules.

A load runs all of it once per row: it costs time, can refuse rows (F-45), and can send e-mails.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from cio2d365.dataverse.reads import Reads, Row

MESSAGES = frozenset({
    "Create", "Update", "Delete", "Upsert", "Assign", "SetState", "SetStateDynamicEntity", "CreateMultiple",
    "UpdateMultiple", "UpsertMultiple", "DeleteMultiple",
})  # fmt: skip
STAGES: Mapping[int, str] = {10: "before, outside of the transaction", 20: "before", 40: "after"}
WORKFLOW, BUSINESS_RULE = 0, 2
REAL_TIME, DEFINITION, ON_SERVER = 1, 1, 2  # mode, type and processtriggerscope of a process
FLOW_MESSAGES: Mapping[int, str] = {
    1: "Create", 2: "Delete", 3: "Update", 4: "Create, Update", 5: "Create, Delete", 6: "Update, Delete",
    7: "Create, Update, Delete",
}  # fmt: skip
ALL_TABLES = "every table"


@dataclass(frozen=True)
class Automation:
    """One active thing that writing rows of `table` sets off.

    `kind` is plug-in step, real-time workflow, background workflow, business rule or cloud flow. The server `waits`
    for it: it can refuse the row. What is not `managed` was made here, by the customer.
    """

    kind: str
    table: str
    message: str
    name: str
    when: str
    waits: bool
    managed: bool


@dataclass(frozen=True)
class DuplicateRule:
    """A published duplicate detection rule."""

    table: str
    name: str


def read_automation(reads: Reads, tables: Collection[str]) -> tuple[Automation, ...]:
    """Everything active on these tables, in order of table, kind and name."""
    found = [*_steps(reads, tables), *_processes(reads, tables), *_flows(reads, tables)]
    return tuple(sorted(found, key=lambda a: (a.table, a.kind, a.message, a.name)))


def read_duplicate_rules(reads: Reads, tables: Collection[str]) -> tuple[DuplicateRule, ...]:
    """Published rules on these tables."""
    query = {"$select": "name,baseentityname", "$filter": "statecode eq 1"}
    rows = reads.rows("duplicate detection rules", "duplicaterules", query)
    found = [DuplicateRule(str(r["baseentityname"]), str(r["name"])) for r in rows if r["baseentityname"] in tables]
    return tuple(sorted(found, key=lambda rule: (rule.table, rule.name)))


def _steps(reads: Reads, tables: Collection[str]) -> Iterator[Automation]:
    query = {
        "$select": "name,stage,mode,ismanaged",
        "$filter": "statecode eq 0",
        "$expand": "sdkmessageid($select=name),sdkmessagefilterid($select=primaryobjecttypecode)",
    }
    for row in reads.rows("plug-in steps", "sdkmessageprocessingsteps", query):
        table = _table_of_step(row)
        message = str((row.get("sdkmessageid") or {}).get("name") or "")
        if message in MESSAGES and (table in tables or table == ALL_TABLES):
            yield _step(row, table, message)


def _table_of_step(row: Row) -> str:
    """A step without a filter, or with a filter for no table, is registered for all of them."""
    name = str((row.get("sdkmessagefilterid") or {}).get("primaryobjecttypecode") or "none")
    return ALL_TABLES if name == "none" else name


def _step(row: Row, table: str, message: str) -> Automation:
    when = STAGES.get(row.get("stage") or 0, "inside the platform")
    waits = row.get("mode") == 0
    when = when if waits else "later, by a job"
    return Automation("plug-in step", table, message, str(row["name"]), when, waits, bool(row.get("ismanaged")))


def _processes(reads: Reads, tables: Collection[str]) -> Iterator[Automation]:
    names = "name,category,mode,primaryentity,triggeroncreate,triggerondelete,triggeronupdateattributelist"
    kinds = f"(category eq {WORKFLOW} or category eq {BUSINESS_RULE})"
    query = {
        "$select": f"{names},processtriggerscope,ismanaged",
        "$filter": f"type eq {DEFINITION} and statecode eq 1 and {kinds}",
    }
    for row in reads.rows("workflows and business rules", "workflows", query):
        if row["primaryentity"] in tables:
            yield from _process(row)


def _process(row: Row) -> Iterator[Automation]:
    """Nothing for a workflow that people start, nor for a rule that only forms carry out."""
    table, name, managed = str(row["primaryentity"]), str(row["name"]), bool(row.get("ismanaged"))
    if row["category"] == BUSINESS_RULE:
        if row.get("processtriggerscope") == ON_SERVER:
            yield Automation("business rule", table, "Create, Update", name, "before", True, managed)
        return
    real_time, messages = row.get("mode") == REAL_TIME, _messages(row)
    kind, when = ("real-time workflow", "at once") if real_time else ("background workflow", "later, by a job")
    if messages:
        yield Automation(kind, table, messages, name, when, real_time, managed)


def _messages(row: Row) -> str:
    set_off = {
        "Create": row.get("triggeroncreate"),
        "Update": row.get("triggeronupdateattributelist"),
        "Delete": row.get("triggerondelete"),
    }
    return ", ".join(message for message, value in set_off.items() if value)


def _flows(reads: Reads, tables: Collection[str]) -> Iterator[Automation]:
    """A cloud flow does not name its table; the registration of its trigger does, and is there only while it is on."""
    query = {"$select": "name,entityname,message", "$filter": "softdeletestatus eq 0"}
    for row in reads.rows("triggers of cloud flows", "callbackregistrations", query):
        if row["entityname"] in tables:
            messages = FLOW_MESSAGES.get(row.get("message") or 0, "")
            name, table = str(row.get("name") or ""), str(row["entityname"])
            yield Automation("cloud flow", table, messages, name, "later, by a flow", waits=False, managed=False)
