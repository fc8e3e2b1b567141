"""What an environment is and holds, before anything is decided (SR-119 to SR-122)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.metadata import custom_tables
from cio2d365.dataverse.requests import get

# These two prove real-time Customer Insights - Journeys; other DynamicsMKT_* solutions do not (dataverse-api 14).
JOURNEYS = ("DynamicsMKT_AnchorSolution", "DynamicsCij_AnchorSolution")


@dataclass(frozen=True)
class Audit:
    """One environment as found."""

    organization_id: str
    user_id: str
    parallel_hint: int
    custom_tables: tuple[str, ...]
    publisher_prefixes: tuple[str, ...]
    journeys_installed: bool
    users: int
    disabled_users: tuple[str, ...]


def read_audit(client: Dataverse) -> Audit:
    """Ask the environment; reads only."""
    who = client.who_am_i()
    users = list(client.rows(get("systemusers", {"$select": "internalemailaddress,isdisabled"})))
    solutions = {str(r["uniquename"]) for r in client.rows(get("solutions", {"$select": "uniquename"}))}
    prefixes = client.rows(get("publishers", {"$select": "customizationprefix"}))
    return Audit(
        who.organization_id,
        who.user_id,
        who.parallel_hint,
        tuple(custom_tables(client)),
        _sorted(row.get("customizationprefix") for row in prefixes),
        any(name in solutions for name in JOURNEYS),
        len(users),
        _sorted(row.get("internalemailaddress") for row in users if row.get("isdisabled")),
    )


def _sorted(texts: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(text) for text in texts if text}))
