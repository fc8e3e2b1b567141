"""Contacts that went along when their account was given to somebody else (`dataverse-api 12`).

The server assigns them by itself, so the ledger still takes such a row for what was sent. One with an owner of its own
is looked at again, and the owner that it has by then counts as the server's doing, not as somebody's edit (F-44).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from cio2d365.dataverse.client import Dataverse
from cio2d365.migrate.ledger import Ledger
from cio2d365.tables import OWNER_BIND, OWNER_READ, Table

# Of the relationships that assign along, the one that we fill; a lead's is `customerid`.
PARENTAL = {"contact": "parentcustomerid"}


def followers(part: pl.DataFrame, table: Table, ledger: Ledger) -> dict[str, str]:
    """Staged rows with an owner whose account was updated by a later run than sent them: row id → account id."""
    lookup = table.lookup(PARENTAL.get(table.name, ""))
    navigation = dict(lookup.targets).get("account", "") if lookup else ""
    if not {OWNER_BIND, navigation} <= set(part.columns):
        return {}
    pairs = dict(part.drop_nulls([OWNER_BIND, navigation]).select(table.primary_id, navigation).iter_rows())
    numbers = {run_id: number for number, run_id in ledger.runs_by_number().items()}
    accounts = ledger.known("account", sorted(set(pairs.values())))
    updated = {i: numbers[k.run_id] for i, k in accounts.items() if k.state == "done" and k.action == "update"}
    sent = {i: numbers[k.base_run] for i, k in ledger.known(table.name, list(pairs)).items() if k.base_run}
    return {i: account for i, account in pairs.items() if i in sent and updated.get(account, 0) > sent[i]}


def came_along(
    client: Dataverse, accounts: Table, following: Mapping[str, str], pictures: Mapping[str, Mapping[str, Any]]
) -> set[str]:
    """Those of `following` that have the owner of their account now; `pictures` are the rows as the target has them."""
    found = client.rows_by_id(accounts, sorted(set(following.values())), [accounts.primary_id, OWNER_READ])
    owner = {str(row[accounts.primary_id]).lower(): row[OWNER_READ] for row in found}
    return {i for i, account in following.items() if i in pictures and pictures[i][OWNER_READ] == owner.get(account)}
