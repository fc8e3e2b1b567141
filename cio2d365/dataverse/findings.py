"""What an audit means for the migration, in sentences: what was found, what it means, what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from itertools import groupby

from cio2d365.dataverse.audit import Audit
from cio2d365.dataverse.automation import ALL_TABLES, Automation
from cio2d365.dataverse.load_user import SYSTEM_ADMINISTRATOR
from cio2d365.dataverse.owners import NO_ROLE
from cio2d365.dataverse.privileges import REACH, Privilege, Weight
from cio2d365.settings import Environment

CLOCK_SECONDS = 60.0  # tokens and Retry-After dates tolerate less than a few minutes (F-28)
SLOW_SECONDS = 1.0
PROFESSIONAL_TABLES = 15  # a right of use in the licensing guide; nothing stops the 16th (dataverse-api 14)
STORAGE_LEFT = 0.15  # below this share the administrators are warned (dataverse-api 8.3)
OUR_PREFIX, OUR_PUBLISHER = "cio", "cio2d365"
ORDER: tuple[Weight, ...] = ("block", "warn", "note")
WORDS = {"block": "blocking", "warn": "to decide", "note": "good to know"}


@dataclass(frozen=True)
class Finding:
    """One thing to know: `severity` is block (the migration cannot go on), warn (decide or repair) or note."""

    severity: Weight
    about: str
    found: str
    means: str
    do: str


def findings(audit: Audit, environment: Environment, *, own_tables: int = 0) -> list[Finding]:
    """Everything worth saying about an environment, the most serious first.

    `own_tables` is how many custom tables the migration will add, 0 while nobody knows.
    """
    found = [finding for rule in RULES for finding in rule(audit)]
    found += [*_environment(audit, environment), *_licence(audit, own_tables)]
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def is_wrong_environment(audit: Audit, environment: Environment) -> bool:
    """Whether a production organisation stands where a sandbox was expected; decided by the server's word (B-098)."""
    return environment == "sandbox" and audit.organization.is_production


def _environment(audit: Audit, environment: Environment) -> Iterator[Finding]:
    name, kind = audit.organization.name, audit.organization.kind
    if is_wrong_environment(audit, environment):
        yield Finding(
            "block",
            "environment",
            f"{name} is set as the sandbox, but the server says that it is a {kind} organisation",
            "trial loads and their undoing would happen where people work",
            "set dataverse.sandbox.url in migration.toml to a sandbox",
        )
    if environment == "production" and kind and not audit.organization.is_production:
        yield Finding(
            "warn",
            "environment",
            f"{name} is set as production, but the server says that it is a {kind} organisation",
            "the final load would go to a place that nobody works in",
            "check dataverse.production.url in migration.toml",
        )


def _trial(audit: Audit) -> Iterator[Finding]:
    if audit.organization.kind == "trial":
        yield Finding(
            "note",
            "environment",
            "this is a trial organisation",
            "it has one web server, so speed measured here says little, and it is deleted when the trial ends",
            "rehearse here, measure in a sandbox",
        )


def _clock(audit: Audit) -> Iterator[Finding]:
    ahead = audit.organization.ahead
    if ahead is not None and abs(ahead) >= CLOCK_SECONDS:
        direction = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            "warn",
            "clock",
            f"this machine's clock is {abs(ahead):,.0f} seconds {direction} the server's",
            "times in reports and run names are off by that much; sign-in can fail",
            "let this machine synchronise its time",
        )


def _latency(audit: Audit) -> Iterator[Finding]:
    latency = audit.organization.latency
    if latency is not None and latency >= SLOW_SECONDS:
        yield Finding(
            "note",
            "speed",
            f"the smallest request took {latency:.1f} seconds",
            "every request waits that long, so the load takes longer than estimated",
            "run from a machine near the environment's region, without a proxy in between",
        )


def _auditing(audit: Audit) -> Iterator[Finding]:
    if audit.organization.audited:
        yield Finding(
            "warn",
            "storage",
            "auditing is on",
            "where it is on for a table, every loaded row is written to the log as well, which fills the log capacity",
            "ask whether auditing can be off for the tables of the load while it runs",
        )


def _recycle_bin(audit: Audit) -> Iterator[Finding]:
    if audit.organization.recycle_bin:
        days = audit.organization.recycle_days
        yield Finding(
            "note",
            "undo",
            f"deleted rows are kept in the recycle bin{f' for {days} days' if days else ''}",
            "undoing a run fills it; a row of the same id cannot be restored once the run was repeated",
            "nothing, or clear the bin after a rehearsal",
        )


def _load_user(audit: Audit) -> Iterator[Finding]:
    user = audit.load_user
    if user.disabled:
        yield Finding(
            "block", "load user", f"{user.name} is disabled", "every request will be refused", "enable the user"
        )
    if user.kind == "person":
        yield Finding(
            "warn",
            "load user",
            f"{user.name} is a person",
            "rows will carry this name as their creator, and the person's own work shares the limits of the load",
            "use an application user for the load (docs/permissions.md)",
        )
    if SYSTEM_ADMINISTRATOR in user.every_role:
        yield Finding(
            "note",
            "load user",
            f"{user.name} is {SYSTEM_ADMINISTRATOR}",
            "that is enough for everything, and more than a migration needs",
            "take the role away when the migration has ended, or use a role of its own (docs/permissions.md)",
        )


def _new_tables(audit: Audit) -> Iterator[Finding]:
    ours = any(table.startswith(f"{OUR_PREFIX}_") for table in audit.written)
    if audit.privileges and not ours and not audit.load_user.gets_new_tables:
        yield Finding(
            "warn",
            "load user",
            "our own tables do not exist yet, and the load user's roles are not given rights on new tables",
            "04_schema will create them, and 05_load will then be refused",
            "add the rights on them to its role after 04_schema, or give it System Customizer as well",
        )


def _privileges(audit: Audit) -> Iterator[Finding]:
    for (severity, about), group in groupby(sorted(audit.missing, key=_place), key=_place):
        lacking = list(group)
        yield Finding(
            severity,
            "load user",
            f"{audit.load_user.name} lacks {', '.join(_lack(p) for p in lacking)}{f' on {about}' if about else ''}",
            f"it cannot {'; '.join(dict.fromkeys(p.needed_for for p in lacking))}",
            "add to its role, for the whole organisation: " + ", ".join(p.name for p in lacking),
        )


def _place(privilege: Privilege) -> tuple[Weight, str]:
    return privilege.lack, privilege.table


def _lack(privilege: Privilege) -> str:
    name = privilege.right or privilege.name
    return f"{name} beyond {REACH[privilege.depth]}" if privilege.depth else name


def _owners(audit: Audit) -> Iterator[Finding]:
    people = audit.people
    disabled = [p for p in people if p.disabled]
    roleless = [p for p in people if p.obstacle == NO_ROLE]
    if disabled:
        yield Finding(
            "note",
            "owners",
            f"of {len(people):,} users, {len(disabled):,} {_are(disabled)} disabled",
            "rows cannot be given to them; they keep what they own",
            "choose a fallback owner if the source's owners are to be kept",
        )
    if roleless:
        yield Finding(
            "note",
            "owners",
            f"of {len(people):,} users, {len(roleless):,} {_are(roleless)} enabled but without a security role",
            "rows cannot be given to them either",
            "give them their roles before the load, or let the fallback owner have the rows",
        )


def _are(group: Sized) -> str:
    return "is" if len(group) == 1 else "are"


def _publishers(audit: Audit) -> Iterator[Finding]:
    others = [p.name for p in audit.holdings.publishers if p.prefix == OUR_PREFIX and p.name != OUR_PUBLISHER]
    if others:
        yield Finding(
            "warn",
            "schema",
            f"the prefix {OUR_PREFIX} is already used by the publisher {', '.join(others)}",
            "names of ours may meet names of theirs",
            "look at 04_schema's plan for conflicts before anything is created",
        )


def _table_limit(audit: Audit) -> Iterator[Finding]:
    counted, most = audit.holdings.counted_tables, audit.holdings.most_tables
    if counted is not None and most is not None and counted >= most:
        yield Finding(
            "block",
            "schema",
            f"the environment holds {counted:,} custom tables, as many as it may",
            "no table of ours can be created",
            "remove tables that nobody uses, or ask Microsoft for a higher limit",
        )


def _licence(audit: Audit, own_tables: int) -> Iterator[Finding]:
    edition, there = audit.holdings.edition, len(audit.custom_tables)
    after = there + own_tables
    if edition == "both":
        yield Finding(
            "warn",
            "licence",
            "apps of Sales Professional and of Sales Enterprise are installed",
            "the two are not meant for one environment, and the edition decides how many custom tables may be used",
            "ask which licences the users have",
        )
    if after > PROFESSIONAL_TABLES and edition != "Enterprise":
        known = edition == "Professional"
        grown = f", {after:,} with ours" if own_tables else ""
        yield Finding(
            "block" if known else "warn",
            "licence",
            f"there are {there:,} custom tables{grown}; Sales Professional allows {PROFESSIONAL_TABLES}",
            "its licence does not cover more, although nothing stops their creation"
            + ("" if known else "; which edition this is cannot be read"),
            "settle the licence, or fold rare object types into one table",
        )


def _storage(audit: Audit) -> Iterator[Finding]:
    used, most = audit.holdings.storage, audit.holdings.most_storage
    if used is not None and most is not None and used >= most * (1 - STORAGE_LEFT):
        yield Finding(
            "warn",
            "storage",
            f"{used / most:.0%} of the storage is used",
            "the load can be refused in the middle when none is left",
            "compare the estimate with the capacity in the Power Platform admin center before loading",
        )


def _own_automation(audit: Audit) -> Iterator[Finding]:
    own = [a for a in audit.automation if not a.managed]
    waiting, later = [a for a in own if a.waits], [a for a in own if not a.waits]
    if waiting:
        yield Finding(
            "warn",
            "automation",
            f"the customer's own logic runs while rows are written: {_named(waiting)}",
            "it runs for every row of the load, slows it down, and can refuse rows or change what they hold",
            "ask what it does; have it switched off for the load, or load past it if that is agreed",
        )
    if later:
        yield Finding(
            "warn",
            "automation",
            f"the customer's own workflows and flows start after rows are written: {_named(later)}",
            "each starts once per loaded row: e-mails to customers and thousands of runs are possible",
            "ask what they do; have them switched off for the load",
        )


def _named(group: list[Automation]) -> str:
    shown = "; ".join(f"{a.kind} {a.name!r} ({a.table}: {a.message})" for a in group[:5])
    return shown + (f"; and {len(group) - 5:,} more" if len(group) > 5 else "")


def _managed_automation(audit: Audit) -> Iterator[Finding]:
    managed = [a for a in audit.automation if a.managed]
    if managed:
        tables = ", ".join(sorted({a.table for a in managed if a.table != ALL_TABLES})) or ALL_TABLES
        steps, waiting = "step" if len(managed) == 1 else "steps", sum(a.waits for a in managed)
        yield Finding(
            "note",
            "automation",
            f"installed solutions run {len(managed):,} {steps} on {tables}, {waiting:,} of them while rows are written",
            "Microsoft's own are part of the product; those of other vendors count like the customer's",
            "look through the list for vendors other than Microsoft",
        )


def _duplicate_rules(audit: Audit) -> Iterator[Finding]:
    if audit.duplicate_rules:
        tables = sorted({rule.table for rule in audit.duplicate_rules})
        yield Finding(
            "note",
            "duplicates",
            f"duplicate detection rules are published on {', '.join(tables)}: {len(audit.duplicate_rules):,}",
            "the load does not ask for them, so no row is refused; people who edit a loaded row may be warned",
            "expect questions about rows that share an e-mail address",
        )


def _tables(audit: Audit) -> Iterator[Finding]:
    for table in audit.holdings.tables:
        idle = [f"{name} is {state}" for name, state in table.keys if state != "Active"]
        if idle:
            yield Finding(
                "warn",
                "schema",
                f"alternate keys of {table.name} do not work: {', '.join(idle)}",
                "rows cannot be found by them; a failed one usually means that there are duplicates",
                "let the key's system job end, or remove the duplicates and activate the key again",
            )
        if table.secured:
            yield Finding(
                "warn",
                "schema",
                f"columns of {table.name} are secured: {', '.join(table.secured)}",
                "without a column security profile they read as empty and refuse to be written",
                "add the load user to a profile that may read and write them",
            )


def _existing_rows(audit: Audit) -> Iterator[Finding]:
    filled = [f"{t.rows:,} in {t.name}" for t in audit.holdings.tables if t.rows]
    if filled:
        yield Finding(
            "note",
            "rows",
            f"there are rows already: {', '.join(filled)} (the server's figure, up to a day old)",
            "rows are recognised by this migration's ids only: a person who is there under another one comes twice",
            "unless all of them are from earlier loads, compare e-mail addresses and names before this one",
        )


def _cascades(audit: Audit) -> Iterator[Finding]:
    deleted = [
        f"{c.child}.{c.column}" for c in audit.holdings.cascades if c.delete == "Cascade" and c.parent == "account"
    ]
    if deleted:
        yield Finding(
            "note",
            "undo",
            f"deleting or assigning an account takes rows along: {', '.join(deleted)}",
            "contacts and leads follow their account, those of the customer too",
            "nothing: undoing a run protects accounts that somebody else hung rows on",
        )


def _marketing(audit: Audit) -> Iterator[Finding]:
    if not audit.holdings.solutions:
        return
    installed = audit.holdings.journeys_installed
    yield Finding(
        "note",
        "marketing",
        f"Customer Insights - Journeys is {'installed' if installed else 'not installed'}",
        "campaigns and journeys can be rebuilt in it"
        if installed
        else "journeys cannot be rebuilt in this environment",
        "see the rebuild documents of 07_handoff"
        if installed
        else "decide whether to license it, or rebuild with Power Automate or another tool",
    )
    if audit.holdings.outbound_marketing_installed:
        yield Finding(
            "note",
            "marketing",
            "the old outbound marketing module is installed",
            "it was retired on 30 June 2025; nothing should be rebuilt in it",
            "plan its removal with the customer",
        )


def _unread(audit: Audit) -> Iterator[Finding]:
    for what, reason in {unread.what: unread.reason for unread in audit.unread}.items():
        lacking = re.search(r"\bprv\w+", reason)
        yield Finding(
            "warn",
            "audit",
            f"could not be read: {what}",
            "nothing is known about it: " + (f"the load user lacks {lacking[0]}" if lacking else reason),
            f"add {lacking[0]} to its role and audit again, or ask the customer's administrator"
            if lacking
            else "ask the customer's administrator",
        )


RULES: tuple[Callable[[Audit], Iterator[Finding]], ...] = (
    _load_user, _privileges, _new_tables, _table_limit, _own_automation, _tables, _unread, _clock, _auditing, _storage,
    _publishers, _owners, _existing_rows, _managed_automation, _duplicate_rules, _cascades, _recycle_bin, _marketing,
    _latency, _trial,
)  # fmt: skip
