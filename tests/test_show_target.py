"""The audit as tables: what is missing is said in words, and what could not be read never looks like nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cio2d365 import show
from cio2d365.dataverse.audit import Audit
from cio2d365.dataverse.automation import Automation
from cio2d365.dataverse.findings import Finding
from cio2d365.dataverse.holdings import Cascade, Holdings, Publisher, Solution, TableState
from cio2d365.dataverse.load_user import LoadUser
from cio2d365.dataverse.organization import Organization
from cio2d365.dataverse.owners import DISABLED, Owner
from cio2d365.dataverse.privileges import Privilege
from cio2d365.dataverse.reads import Unread
from cio2d365.show.display import Display

HOLDINGS = Holdings(
    publishers=(Publisher("contoso", "new"),),
    solutions=(Solution("msdyn_SalesCore", "9.0", managed=True), Solution("Own", "1.0", managed=False)),
    apps=("msdynce_saleshub",),
    tables=(TableState("contact", 1234, (("new", 3),), (("new_key", "Failed"),), ("new_salary",)),),
    cascades=(Cascade("account", "contact", "parentcustomerid", "Cascade", "RemoveLink"),),
)
AUDIT = Audit(
    Organization(
        "o", "contoso", kind="sandbox", language=1033, audited=None, recycle_bin=True, latency=0.046, ahead=601
    ),
    LoadUser(
        "u", "# loader", "l@x.example", "application user", roles=("Migration",), team_roles=(("Seller", "East"),)
    ),
    privileges=(
        Privilege("prvReadLead", "lead", "Read", "match rows", "block", "Global", enough=True),
        Privilege("prvCreateLead", "lead", "Create", "load rows", "block", "", enough=False),
        Privilege("prvBulkDelete", "", "", "clear rows", "note", "", enough=False),
    ),
    owners=(
        Owner("1", "person", "Dora", "dora@x.example", disabled=True, obstacle=DISABLED),
        Owner("2", "team", "East"),
        Owner("3", "application", "# loader"),
    ),
    holdings=HOLDINGS,
    automation=(
        Automation("plug-in step", "contact", "Create", "Score", "before", waits=True, managed=False),
        *(Automation("plug-in step", "contact", "Create", f"MS{n}", "before", True, True) for n in range(12)),
    ),
)
EMPTY = Audit(Organization("o"), LoadUser("u"))


def parts(display: Display, *words: str) -> list[str]:
    """The words that are not on it."""
    return [word for word in words if word not in str(display.html)]


def test_the_environment() -> None:
    shown = show.target.environment(AUDIT, "The sandbox")
    assert parts(shown, "contoso", ">1033<", "46 ms", "601 s ahead", "Enterprise, by the apps installed",
                 "not installed", "not known") == []  # fmt: skip
    assert "1,033" not in str(shown.html)


def test_the_load_user_with_the_way_each_role_came() -> None:
    assert parts(show.target.load_user(AUDIT), "Migration, Seller (through East)", "application user") == []


def test_findings_stand_by_weight() -> None:
    found = [Finding("note", "a", "first", "m", "d"), Finding("block", "b", "second", "m", "d")]
    html = str(show.target.found(found).html)
    assert html.index("second") < html.index("first")
    assert parts(show.target.found(found), "! blocking", "1 blocking, 1 good to know") == []


def test_missing_privileges_come_first() -> None:
    html = str(show.target.privileges(AUDIT).html)
    assert html.index("prvCreateLead") < html.index("prvBulkDelete") < html.index("prvReadLead")
    assert "1 missing, 1 not held (optional), 1 held" in html


def test_owners_and_what_keeps_them_from_owning() -> None:
    shown = show.target.owners(AUDIT)
    assert parts(shown, "Dora", "disabled", "East", "can own rows", "Application users besides these: 1.") == []
    assert "# loader" not in str(shown.html)


def test_the_customers_own_logic_is_named_and_that_of_solutions_counted() -> None:
    shown = show.target.automation(AUDIT)
    assert parts(shown, "Score", "the customer", "12 in all", "a solution") == []
    assert "MS3" not in str(shown.html)


def test_tables_cascades_publishers_and_solutions() -> None:
    assert parts(show.target.tables(AUDIT), "1,234", "3 new_", "new_key (Failed)", "new_salary") == []
    assert parts(show.target.cascades(AUDIT), "takes the child along", "empties the lookup") == []
    assert parts(show.target.publishers(AUDIT), "contoso", "new") == []
    assert parts(show.target.solutions(AUDIT), "msdyn_SalesCore", "installed", "Own", "made here") == []


@pytest.mark.parametrize(
    ("what", "view"),
    [
        ("publishers", show.target.publishers),
        ("solutions", show.target.solutions),
        ("teams", show.target.owners),
        ("plug-in steps", show.target.automation),
    ],
)
def test_what_could_not_be_read_does_not_look_like_nothing(what: str, view: Callable[[Audit], Display]) -> None:
    refused = replace(EMPTY, unread=(Unread(what, "403"),))
    assert f"Could not be read: {what}." in str(view(refused).html)
    assert "Could not be read" not in str(view(EMPTY).html)


def test_an_audit_that_saw_nothing_can_be_shown() -> None:
    assert "could not be read" in str(show.target.privileges(EMPTY).html)
    for view in (show.target.tables, show.target.cascades, show.target.load_user):
        assert view(EMPTY).html
    assert show.target.found([]).html
    assert "not known" in str(show.target.environment(EMPTY, "e").html)


def test_text_of_the_customer_is_text() -> None:
    named = replace(AUDIT.automation[0], name="<script>alert(1)</script>")
    html = str(show.target.automation(replace(AUDIT, automation=(named,))).html)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
