"""The audit of a target as tables, for people who have to decide what to repair before a migration."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from cio2d365.dataverse.audit import Audit
from cio2d365.dataverse.automation import Automation
from cio2d365.dataverse.findings import WORDS, Finding
from cio2d365.dataverse.privileges import REACH
from cio2d365.show.display import Display
from cio2d365.show.tables import facts, stated, table

FINDING_STATES = {
    "block": ("!", WORDS["block"], "problem"),
    "warn": ("~", WORDS["warn"], "warning"),
    "note": ("·", WORDS["note"], "quiet"),
}
PRIVILEGE_STATES = {
    "missing": ("!", "missing", "problem"),
    "reaches too few rows": ("!", "reaches too few rows", "problem"),
    "not held (optional)": ("·", "not held (optional)", "quiet"),
    "held": ("=", "held", "good"),
}
UNKNOWN = "not known"


def environment(audit: Audit, title: str) -> Display:
    """What the environment is."""
    place, holdings = audit.organization, audit.holdings
    values = {
        "organisation": place.name or UNKNOWN,
        "organisation id": place.id,
        "unique name": place.unique_name or UNKNOWN,
        "Type, by the server's own word": place.kind or UNKNOWN,
        "version": place.version or UNKNOWN,
        "region": place.region or UNKNOWN,
        "Base language (Windows code)": place.language,
        "base currency": place.currency or UNKNOWN,
        "time zone of the load user": place.time_zone or UNKNOWN,
        "largest attachment": place.attachment_bytes,
        "auditing": _switch(place.audited),
        "recycle bin": _switch(place.recycle_bin),
        "parallel requests recommended": place.parallel_hint,
        "time of the smallest request": _milliseconds(place.latency),
        "This machine's clock": _difference(place.ahead),
        "Sales edition": f"{holdings.edition}, by the apps installed; licences cannot be read"
        if holdings.edition
        else UNKNOWN,
        "Customer Insights - Journeys": "installed" if audit.journeys_installed else "not installed",
        "custom tables of the customer": len(audit.custom_tables),
        "custom tables at most": holdings.most_tables,
    }
    return facts(values, title, units={"largest attachment": "bytes", "Base language (Windows code)": "id"})


def _milliseconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds * 1000:,.0f} ms"


def _switch(on: bool | None) -> str:
    return UNKNOWN if on is None else "on" if on else "off"


def _difference(ahead: float | None) -> str:
    if ahead is None:
        return UNKNOWN
    return "agrees with the server's" if abs(ahead) < 2 else f"{abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}"


def load_user(audit: Audit) -> Display:
    """Who loads, and with which roles."""
    user = audit.load_user
    teams = ", ".join(f"{role} (through {team})" for role, team in user.team_roles)
    values = {
        "name": user.name or UNKNOWN,
        "kind": user.kind,
        "sign-in name": user.login or UNKNOWN,
        "business unit": f"{user.business_unit or UNKNOWN}{', above all others' if user.in_root_unit else ''}",
        "security roles": ", ".join(filter(None, [*user.roles, teams])) or "none",
    }
    return facts(values, "The user that loads")


def found(findings: Iterable[Finding], title: str = "What was found") -> Display:
    """Findings, the most serious first."""
    rows = [
        {"state": f.severity, "about": f.about, "found": f.found, "what it means": f.means, "what to do": f.do}
        for f in findings
    ]
    return stated(pl.DataFrame(rows), title, states=FINDING_STATES, heading="Weight")


def privileges(audit: Audit) -> Display:
    """What a migration needs against what the load user holds; what is missing first."""
    rows = [
        {
            "state": p.verdict,
            "table": p.table or "–",
            "privilege": p.name,
            "needed to": p.needed_for,
            "has": REACH[p.depth],
        }
        for p in audit.privileges
    ]
    title = "Privileges" if rows else "Privileges (could not be read)"
    return stated(pl.DataFrame(rows), title, states=PRIVILEGE_STATES, heading="Verdict")


def tables(audit: Audit) -> Display:
    """The tables that are written, as they are."""
    kinds = {"table": pl.String, "rows": pl.Int64, "custom_columns": pl.String, "alternate_keys": pl.String,
             "secured_columns": pl.String}  # fmt: skip
    rows = [
        (
            t.name,
            t.rows,
            ", ".join(f"{count:,} {prefix}_" for prefix, count in t.custom_columns) or "none",
            ", ".join(f"{name} ({state})" for name, state in t.keys) or "none",
            ", ".join(t.secured) or "none",
        )
        for t in audit.holdings.tables
    ]
    note = "Rows: the server's own figure, up to a day old. Custom columns are counted by prefix."
    return table(pl.DataFrame(rows, schema=kinds, orient="row"), "Tables that the migration writes", note=note)


def cascades(audit: Audit) -> Display:
    """What deleting or assigning a row takes along."""
    kinds = dict.fromkeys(("parent", "child", "by", "deleting_the_parent", "assigning_the_parent"), pl.String)
    words = {"Cascade": "takes the child along", "RemoveLink": "empties the lookup", "NoCascade": "leaves the child",
             "Restrict": "is refused"}  # fmt: skip
    rows = [
        (c.parent, c.child, c.column, words.get(c.delete, c.delete), words.get(c.assign, c.assign))
        for c in audit.holdings.cascades
    ]
    return table(pl.DataFrame(rows, schema=kinds, orient="row"), "What follows its parent")


def owners(audit: Audit) -> Display:
    """Persons and teams, and why some of them cannot own rows; application users are counted in the note."""
    rows = [
        (o.name, o.kind, o.email or o.login, o.obstacle or "can own rows")
        for o in audit.owners
        if o.kind != "application"
    ]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(("name", "kind", "address", "as_owner"), pl.String), orient="row")
    applications = sum(o.kind == "application" for o in audit.owners)
    note = f"Application users besides these: {applications:,}.{_unread(audit, 'users', 'teams')}"
    return table(frame.sort("kind", "name"), "Users and teams as owners", note=note)


def automation(audit: Audit) -> Display:
    """What writing a row sets off: the customer's own by name, what solutions brought in numbers."""
    kinds = {**dict.fromkeys(("table", "what", "message", "when", "made_by", "name"), pl.String)}
    own = [a for a in audit.automation if not a.managed]
    rows = [(a.table, a.kind, a.message, a.when, "the customer", a.name) for a in own]
    frame = pl.DataFrame([*rows, *_counted(audit.automation)], schema=kinds, orient="row")
    note = _unread(audit, "plug-in steps", "workflows and business rules", "triggers of cloud flows")
    return table(frame.sort("table", "what", "message"), "What writing a row sets off", rows=200, note=note or None)


def _counted(every: Iterable[Automation]) -> list[tuple[str, ...]]:
    managed = [(a.table, a.kind, a.message, a.when) for a in every if a.managed]
    return [(*key, "a solution", f"{managed.count(key):,} in all") for key in dict.fromkeys(managed)]


def publishers(audit: Audit) -> Display:
    """Publishers with their prefixes."""
    rows = [(p.prefix, p.name) for p in audit.holdings.publishers]
    frame = pl.DataFrame(rows, schema={"prefix": pl.String, "publisher": pl.String}, orient="row")
    return table(frame, "Publishers", note=_unread(audit, "publishers") or None)


def solutions(audit: Audit) -> Display:
    """Solutions that makers see; unmanaged ones were made here."""
    rows = [(s.name, s.version, "installed" if s.managed else "made here") for s in audit.holdings.solutions]
    kinds = dict.fromkeys(("solution", "version", "origin"), pl.String)
    frame = pl.DataFrame(rows, schema=kinds, orient="row").sort("origin", "solution")
    return table(frame, "Solutions", rows=200, note=_unread(audit, "solutions") or None)


def _unread(audit: Audit, *whats: str) -> str:
    """A sentence for an incomplete table; what could not be read must not look as if there were none."""
    missing = [what for what in whats if any(unread.what == what for unread in audit.unread)]
    return f" Could not be read: {', '.join(missing)}." if missing else ""
