"""Before a migration: who the systems say we are, what we may do there, and what stands in the way. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cio2d365 import connect
from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.endpoints import EVERYBODY
from cio2d365.customerio.source import Source
from cio2d365.dataverse.audit import Audit, read_audit
from cio2d365.dataverse.findings import WORDS, Finding, findings, is_wrong_environment
from cio2d365.dataverse.privileges import REACH
from cio2d365.errors import AuthorityError, RequestRejected
from cio2d365.migration import Migration
from cio2d365.settings import Environment

# Rights of an App API key that a reading needs, by the endpoint that shows it; people and objects are asked apart.
SCOPES = ("object_types", "segments", "campaigns", "newsletters", "broadcasts", "transactional", "activities")
FINE, WITH_FINDINGS, REFUSED = 0, 1, 2
WIDTH = 14


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what it is, what was seen, and whether that is in order."""

    what: str
    seen: str
    ok: bool = True

    def __str__(self) -> str:
        """`ok` or `look here`, then the rest, as one line."""
        return f"{'ok' if self.ok else 'look here':<10} {self.what}: {self.seen}"


@dataclass(frozen=True)
class Preflight:
    """What both systems answered."""

    audit: Audit
    findings: list[Finding]
    source: list[Check]
    environment: Environment

    @property
    def exit_code(self) -> int:
        """0 in order, 1 with findings that somebody should look at, 2 for the wrong kind of environment (B-098)."""
        if is_wrong_environment(self.audit, self.environment):
            return REFUSED
        serious = any(finding.severity != "note" for finding in self.findings)
        return WITH_FINDINGS if serious or not all(check.ok for check in self.source) else FINE


def look(migration: Migration, environment: Environment) -> Preflight:
    """Audit the target and try the source; raises what their connections raise."""
    with connect.target(migration, environment) as client:
        audit = read_audit(client)
    with connect.source(migration) as source:
        checks = list(source_checks(source))
    return Preflight(audit, findings(audit, environment), checks, environment)


def source_checks(source: Source) -> Iterator[Check]:
    """Which workspaces the key opens, what it may read, and the export files; an unusable key raises."""
    if source.api:
        yield from _workspaces(source.api)
        yield _readable(source.api, "people", {"filter": EVERYBODY})
        yield from (_readable(source.api, name) for name in SCOPES)
    if source.folder:
        counted = f"{len(source.people_files):,} people files and {len(source.call_files):,} files of calls"
        yield Check(
            "export files", f"{counted} in {source.folder.name}", bool(source.people_files or source.call_files)
        )


def _workspaces(api: AppApi) -> Iterator[Check]:
    """A key belongs to one workspace but lists all of the account: several are worth a look (`customerio-api 3.1`)."""
    for row in api.workspaces():
        people = row.get("people")
        yield Check("workspace", f"{row.get('name')}" + (f", {people:,} people" if isinstance(people, int) else ""))


def _readable(api: AppApi, name: str, body: object = None) -> Check:
    query = {"type": "event"} if name == "activities" else None
    try:
        next(iter(api.rows(name, body=body, query=query)), None)
    except (AuthorityError, RequestRejected) as error:
        return Check(name.replace("_", " "), f"could not be read: {error}", ok=False)
    return Check(name.replace("_", " "), "can be read")


def lines(found: Preflight) -> Iterator[str]:
    """The whole answer for a terminal."""
    yield from _target_lines(found.audit)
    yield ""
    yield from _privilege_lines(found.audit)
    yield ""
    yield from _finding_lines(found.findings)
    yield ""
    yield "Source:"
    yield from (f"  {check}" for check in found.source)


def _target_lines(audit: Audit) -> Iterator[str]:
    place, user = audit.organization, audit.load_user
    yield f"Target: {place.name}, {place.kind or 'type unknown'}, version {place.version or 'unknown'}"
    yield f"  {'organisation':<{WIDTH}}{place.id}"
    yield f"  {'user':<{WIDTH}}{user.name} ({user.kind}), {user.login}"
    yield f"  {'roles':<{WIDTH}}{', '.join(user.every_role) or 'none'}"


def _privilege_lines(audit: Audit) -> Iterator[str]:
    missing, needed = audit.missing, [p for p in audit.privileges if p.lack != "note"]
    if not audit.privileges:
        yield "Privileges: could not be read"
    elif not missing:
        yield f"Privileges: all {len(needed):,} that a migration needs are held"
    else:
        yield f"Privileges: {len(missing):,} of {len(needed):,} are missing"
    for privilege in missing:
        reach = f" (now: {REACH[privilege.depth]})" if privilege.depth else ""
        yield f"  {privilege.name}{reach}, to {privilege.needed_for}"


def _finding_lines(found: Iterable[Finding]) -> Iterator[str]:
    rows = list(found)
    yield "Findings:" if rows else "Findings: none"
    for row in rows:
        yield f"  {WORDS[row.severity]:<{WIDTH}}{row.about}: {row.found}"
        yield f"  {'':<{WIDTH}}{row.means}"
        yield f"  {'':<{WIDTH}}→ {row.do}"
