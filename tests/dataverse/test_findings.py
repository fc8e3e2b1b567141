"""Findings: each rule speaks when it has a reason to, with the right weight, and is silent otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cio2d365.dataverse.audit import Audit
from cio2d365.dataverse.automation import Automation, DuplicateRule
from cio2d365.dataverse.findings import ORDER, Finding, findings, is_wrong_environment
from cio2d365.dataverse.holdings import Cascade, Holdings, Publisher, Solution, TableState
from cio2d365.dataverse.load_user import LoadUser
from cio2d365.dataverse.organization import Organization
from cio2d365.dataverse.owners import DISABLED, NO_ROLE, Owner
from cio2d365.dataverse.privileges import Privilege, Weight
from cio2d365.dataverse.reads import Unread

# A sandbox about which there is nothing to say.
ORGANIZATION = Organization("o", "contoso", kind="sandbox", audited=False, recycle_bin=False, ahead=0.0, latency=0.1)
USER = LoadUser("u", "# loader", kind="application user", in_root_unit=True, roles=("Migration",))
QUIET = Audit(ORGANIZATION, USER, ("contact", "cio_event"), holdings=Holdings(apps=("msdynce_saleshub",)))


def organization(**facts: Any) -> Audit:
    return replace(QUIET, organization=replace(ORGANIZATION, **facts))


def user(**facts: Any) -> Audit:
    return replace(QUIET, load_user=replace(USER, **facts))


def holdings(**facts: Any) -> Audit:
    return replace(QUIET, holdings=replace(QUIET.holdings, **facts))


def privilege(right: str, depth: str = "", lack: Weight = "block", table: str = "contact") -> Privilege:
    return Privilege(f"prv{right}X", table, right if table else "", f"do {right}", lack, depth, depth == "Global")


def automation(name: str = "Score", *, waits: bool = True, managed: bool = False) -> Automation:
    return Automation("plug-in step", "contact", "Create", name, "before", waits, managed)


def only(audit: Audit, **more: Any) -> Finding:
    found = findings(audit, **({"environment": "sandbox"} | more))
    assert len(found) == 1, found
    return found[0]


def test_a_sandbox_in_order_has_no_findings() -> None:
    assert findings(QUIET, "sandbox") == []


PERSON = Owner("1", "person", "Dora", "dora@x.example")


@pytest.mark.parametrize(
    ("audit", "severity", "words"),
    [
        (organization(kind="production"), "block", ["contoso", "sandbox", "production", "migration.toml"]),
        (organization(kind="default environment"), "block", ["default environment"]),
        (organization(kind="trial"), "note", ["trial"]),
        (organization(ahead=600.0), "warn", ["600 seconds ahead of"]),
        (organization(ahead=-90.0), "warn", ["90 seconds behind"]),
        (organization(latency=2.5), "note", ["2.5 seconds"]),
        (organization(audited=True), "warn", ["auditing is on", "log capacity"]),
        (organization(recycle_bin=True, recycle_days=30), "note", ["recycle bin for 30 days"]),
        (user(disabled=True), "block", ["# loader is disabled"]),
        (user(kind="person"), "warn", ["is a person", "docs/permissions.md"]),
        (user(roles=("System Administrator",)), "note", ["more than a migration needs"]),
        (user(team_roles=(("System Administrator", "IT"),)), "note", ["more than a migration needs"]),
        (holdings(publishers=(Publisher("other", "cio"),)), "warn", ["prefix cio", "other"]),
        (holdings(counted_tables=300, most_tables=300), "block", ["300 custom tables"]),
        (holdings(apps=("msdynce_saleshub", "msdynce_salespro")), "warn", ["both", "not meant"][1:]),
        (holdings(storage=90.0, most_storage=100.0), "warn", ["90% of the storage"]),
        (holdings(tables=(TableState("contact", keys=(("a_key", "Failed"),)),)), "warn", ["a_key is Failed"]),
        (holdings(tables=(TableState("contact", secured=("a_salary",)),)), "warn", ["a_salary", "profile"]),
        (holdings(tables=(TableState("contact", rows=1234),)), "note", ["1,234 in contact", "a day old"]),
        (holdings(cascades=(Cascade("account", "contact", "parentcustomerid", "Cascade", "Cascade"),)), "note",
         ["contact.parentcustomerid"]),
        (replace(QUIET, automation=(automation(),)), "warn", ["'Score' (contact: Create)", "refuse rows"]),
        (replace(QUIET, automation=(automation(waits=False),)), "warn", ["'Score'", "once per loaded row"]),
        (replace(QUIET, automation=(automation(managed=True),)), "note", ["1 step on contact", "1 of them"]),
        (replace(QUIET, duplicate_rules=(DuplicateRule("lead", "Same mail"),)), "note", ["published on lead: 1"]),
        (replace(QUIET, owners=(replace(PERSON, disabled=True, obstacle=DISABLED),)), "note", ["1 is disabled"]),
        (replace(QUIET, owners=(replace(PERSON, obstacle=NO_ROLE),)), "note", ["1 is enabled but without"]),
        (replace(QUIET, unread=(Unread("plug-in steps", "404 no"), Unread("plug-in steps", "404 no"))), "warn",
         ["could not be read: plug-in steps", "404 no"]),
        (replace(QUIET, privileges=(privilege("Create"),)), "block",
         ["lacks Create on contact", "do Create", "prvCreateX"]),
        (replace(QUIET, privileges=(privilege("Read", "Local"),)), "block", ["Read beyond rows of its business unit"]),
        (replace(QUIET, privileges=(privilege("Delete", lack="warn"),)), "warn", ["lacks Delete on contact"]),
        (replace(QUIET, privileges=(privilege("Entity", table=""),)), "block", ["lacks prvEntityX"]),
    ],
)  # fmt: skip
def test_a_rule_speaks(audit: Audit, severity: str, words: list[str]) -> None:
    found = only(audit)
    assert found.severity == severity
    text = f"{found.found} {found.means} {found.do}"
    assert [word for word in words if word not in text] == []
    assert all((found.about, found.found, found.means, found.do))


@pytest.mark.parametrize(
    "audit",
    [
        organization(ahead=59.0),
        organization(ahead=None),
        organization(latency=None),
        organization(recycle_bin=None, audited=None),
        holdings(publishers=(Publisher("cio2d365", "cio"),)),
        holdings(counted_tables=299, most_tables=300),
        holdings(counted_tables=300, most_tables=None),
        holdings(storage=84.0, most_storage=100.0),
        holdings(tables=(TableState("contact", rows=0, keys=(("k", "Active"),)),)),
        holdings(cascades=(Cascade("contact", "lead", "customerid", "Cascade", "Cascade"),)),
        replace(QUIET, privileges=(privilege("Create", "Global"), privilege("Bypass", lack="note"))),
        replace(QUIET, owners=(replace(PERSON, kind="application", obstacle=NO_ROLE), PERSON)),
    ],
)
def test_a_rule_is_silent(audit: Audit) -> None:
    assert findings(audit, "sandbox") == []


def test_a_refused_read_names_the_privilege_not_the_servers_sentence() -> None:
    unread = Unread(
        "publishers", "GET /api: 403 0x80040220 Principal user (Id=1) is missing prvReadPublisher privilege"
    )
    found = only(replace(QUIET, unread=(unread,)))
    assert found.means == "nothing is known about it: the load user lacks prvReadPublisher"
    assert found.do.startswith("add prvReadPublisher to its role")


def test_lacks_on_one_table_are_one_finding() -> None:
    lacks = (privilege("Create"), privilege("Write"), privilege("Create", table="lead"))
    found = findings(replace(QUIET, privileges=lacks), "sandbox")
    assert [f.found for f in found] == ["# loader lacks Create, Write on contact", "# loader lacks Create on lead"]


def test_a_role_without_rights_on_new_tables_is_told_before_they_exist() -> None:
    before = replace(QUIET, written=("contact",), privileges=(privilege("Create", "Global"),))
    assert only(before).do.startswith("add the rights on them")
    made_by_customizer = replace(before, load_user=replace(USER, roles=("System Customizer",)))
    assert findings(made_by_customizer, "sandbox") == []


@pytest.mark.parametrize(("kind", "severity"), [("sandbox", "warn"), ("production", None), ("", None)])
def test_production_in_the_wrong_place(kind: str, severity: str | None) -> None:
    found = findings(organization(kind=kind), "production")
    assert [f.severity for f in found] == ([severity] if severity else [])


def test_only_the_servers_word_makes_an_environment_wrong() -> None:
    assert is_wrong_environment(organization(kind="production"), "sandbox")
    assert not is_wrong_environment(organization(kind="production"), "production")
    assert not is_wrong_environment(organization(kind="developer"), "sandbox")


@pytest.mark.parametrize(
    ("app", "there", "ours", "severity"),
    [
        ("msdynce_salespro", 15, 0, None),
        ("msdynce_salespro", 16, 0, "block"),
        ("msdynce_salespro", 12, 4, "block"),
        ("msdynce_saleshub", 40, 4, None),
        ("", 16, 0, "warn"),
    ],
)
def test_the_limit_of_the_professional_licence(app: str, there: int, ours: int, severity: str | None) -> None:
    tables = tuple(f"new_{n}" for n in range(there))
    found = findings(holdings(apps=(app,), custom_tables=tables), "sandbox", own_tables=ours)
    assert [f.severity for f in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("names", "installed"),
    [(("DynamicsMKT_AnchorSolution",), "is installed"), (("DynamicsMKT_Consent",), "is not installed")],
)
def test_journeys_are_told_either_way(names: tuple[str, ...], installed: str) -> None:
    solutions = tuple(Solution(name, "1.0", managed=True) for name in names)
    assert installed in only(holdings(solutions=solutions)).found


def test_the_retired_module_is_told_apart() -> None:
    found = findings(holdings(solutions=(Solution("MicrosoftDynamics_Marketing", "9", managed=True),)), "sandbox")
    assert any("retired on 30 June 2025" in f.means for f in found)


def test_long_lists_are_counted_not_cut_in_silence() -> None:
    found = only(replace(QUIET, automation=tuple(automation(f"S{n}") for n in range(8))))
    assert "and 3 more" in found.found


def test_the_most_serious_comes_first() -> None:
    mixed = replace(organization(kind="production", audited=True, latency=9.0), privileges=(privilege("Create"),))
    severities = [f.severity for f in findings(mixed, "sandbox")]
    assert severities == sorted(severities, key=ORDER.index)
    assert set(severities) == {"block", "warn", "note"}
