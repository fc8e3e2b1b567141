"""What an environment is and holds, before anything is decided (SR-119 to SR-122). Only reads.

What the load user may not see is part of the result (`unread`), not the end of the audit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cio2d365.dataverse.automation import Automation, DuplicateRule, read_automation, read_duplicate_rules
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.clock import skew
from cio2d365.dataverse.holdings import Holdings, read_holdings
from cio2d365.dataverse.load_user import LoadUser, read_load_user
from cio2d365.dataverse.organization import Organization, read_organization
from cio2d365.dataverse.owners import Owner, read_owners
from cio2d365.dataverse.privileges import Privilege, read_privileges
from cio2d365.dataverse.reads import Reads, Unread

WRITTEN = ("account", "contact", "lead", "campaign", "list")
OWN_PREFIXES = ("cio_",)


@dataclass(frozen=True)
class Audit:
    """One environment as found. `written` are the tables there that the migration writes, ours among them."""

    organization: Organization
    load_user: LoadUser
    written: tuple[str, ...] = ()
    privileges: tuple[Privilege, ...] = ()
    owners: tuple[Owner, ...] = ()
    holdings: Holdings = field(default_factory=Holdings)
    automation: tuple[Automation, ...] = ()
    duplicate_rules: tuple[DuplicateRule, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def organization_id(self) -> str:
        """Id of the organisation."""
        return self.organization.id

    @property
    def parallel_hint(self) -> int:
        """How many requests at once the service recommends."""
        return self.organization.parallel_hint

    @property
    def custom_tables(self) -> tuple[str, ...]:
        """Tables that the customer made."""
        return self.holdings.custom_tables

    @property
    def publisher_prefixes(self) -> tuple[str, ...]:
        """Prefixes of the publishers, each once."""
        return tuple(sorted({publisher.prefix for publisher in self.holdings.publishers}))

    @property
    def journeys_installed(self) -> bool:
        """Whether real-time Customer Insights - Journeys is installed."""
        return self.holdings.journeys_installed

    @property
    def people(self) -> tuple[Owner, ...]:
        """Users who are persons."""
        return tuple(owner for owner in self.owners if owner.kind == "person")

    @property
    def users(self) -> int:
        """How many users there are, application users among them."""
        return sum(owner.kind != "team" for owner in self.owners)

    @property
    def disabled_users(self) -> tuple[str, ...]:
        """Addresses of disabled users, or their names where they have none."""
        return tuple(sorted(owner.email or owner.name for owner in self.owners if owner.disabled))

    @property
    def missing(self) -> tuple[Privilege, ...]:
        """Needed privileges that the load user lacks or holds for too few rows; optional ones are no part of them."""
        return tuple(p for p in self.privileges if not p.enough and p.lack != "note")


def read_audit(
    client: Dataverse,
    written: Sequence[str] = WRITTEN,
    own_prefixes: Collection[str] = OWN_PREFIXES,
    *,
    clock: Callable[[], float] = time.time,
) -> Audit:
    """Ask the environment for everything.

    Tables of ours that exist already, known by `own_prefixes`, count as written. Raises what WhoAmI raises: credentials
    that are not accepted and hosts that do not answer end the audit.
    """
    started = clock()
    who = client.who_am_i()
    latency = clock() - started
    reads = Reads(client)
    organization = read_organization(reads, who, ahead=skew(client, clock=clock), latency=latency)
    load_user = read_load_user(reads, who)
    existing, custom = _tables(reads)
    tables = _written(written, existing, custom, own_prefixes)
    return Audit(
        organization=organization,
        load_user=load_user,
        written=tables,
        privileges=read_privileges(reads, who.user_id, tables, in_root_unit=load_user.in_root_unit),
        owners=read_owners(reads),
        holdings=read_holdings(reads, custom, tables),
        automation=read_automation(reads, tables),
        duplicate_rules=read_duplicate_rules(reads, tables),
        unread=tuple(reads.unread),
    )


def _tables(reads: Reads) -> tuple[list[str], list[str]]:
    """Names of all tables, and of those that the customer made (not managed, not intersect; `dataverse-api 14`)."""
    rows = reads.rows("tables", "EntityDefinitions", {"$select": "LogicalName,IsCustomEntity,IsManaged,IsIntersect"})
    own = (r for r in rows if r["IsCustomEntity"] and not r["IsManaged"] and not r["IsIntersect"])
    return [str(r["LogicalName"]) for r in rows], sorted(str(r["LogicalName"]) for r in own)


def _written(
    standard: Sequence[str], existing: Sequence[str], custom: Sequence[str], prefixes: Collection[str]
) -> tuple[str, ...]:
    """Without a list of tables the standard ones are taken to be there."""
    present = [table for table in standard if not existing or table in existing]
    return (*present, *(table for table in custom if table.startswith(tuple(prefixes))))


def to_document(audit: Audit) -> dict[str, Any]:
    """For `audit.json`: everything, and the publishers' prefixes, which decide the names of custom object tables."""
    return {**asdict(audit), "publisher_prefixes": list(audit.publisher_prefixes)}
