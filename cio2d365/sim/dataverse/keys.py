"""Alternate keys: the job that builds their index, seen from outside as Pending → InProgress → Active or Failed."""

from __future__ import annotations

from dataclasses import replace

from .organization import KeyProgress, Organization
from .schema import Key, Table


def start_key(org: Organization, table: Table, key: Key) -> None:
    """Queue the index job of a new key."""
    org.key_jobs[table.name, key.name] = KeyProgress(0, org.clock.elapsed())


def poll_keys(org: Organization, table: Table) -> Table:
    """The table after its keys were looked at once more: every look moves the jobs one step."""
    for key in table.keys.values():
        if (table.name, key.name) in org.key_jobs:
            progress = org.key_jobs[table.name, key.name]
            progress.polls += 1
            _step(org, table.name, key, min(progress.polls - 1, len(org.switches.key_path) - 1))
    return org.schema.tables[table.name]


def finish_due_keys(org: Organization) -> None:
    """Bring jobs to their end whose time is up."""
    for (table, name), progress in list(org.key_jobs.items()):
        if table not in org.schema.tables or name not in org.schema.tables[table].keys:
            del org.key_jobs[table, name]
        elif org.clock.elapsed() - progress.since >= org.switches.key_seconds:
            _step(org, table, org.schema.tables[table].keys[name], len(org.switches.key_path) - 1)


def resume_keys(org: Organization) -> None:
    """Queue again what was unfinished when the server stopped."""
    for table in org.schema.tables.values():
        for key in table.keys.values():
            if key.status in ("Pending", "InProgress"):
                start_key(org, table, key)


def _step(org: Organization, table_name: str, key: Key, step: int) -> None:
    status = org.switches.key_path[step]
    table = org.schema.tables[table_name]
    if status == "Active" and not org.store.create_key_index(table, key):
        status = "Failed"
    if status in ("Active", "Failed"):
        del org.key_jobs[table_name, key.name]
    org.save_table(table.with_key(replace(key, status=status)))


def reactivate(org: Organization, table: Table, key: Key) -> None:
    """Queue a failed key again."""
    org.save_table(table.with_key(replace(key, status="Pending")))
    start_key(org, table, key)
