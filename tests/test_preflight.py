"""What `connect` says of two systems, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.source import Source
from cio2d365.dataverse.audit import Audit
from cio2d365.dataverse.findings import findings
from cio2d365.dataverse.load_user import LoadUser
from cio2d365.dataverse.organization import Organization
from cio2d365.dataverse.privileges import Privilege
from cio2d365.errors import AuthorityError
from cio2d365.preflight import Check, Preflight, lines, source_checks
from cio2d365.settings import Environment
from cio2d365.transport import Pace, Transport

USER = LoadUser("u", "# loader", "loader@x.example", "application user", in_root_unit=True, roles=("Migration",))
HELD = Privilege("prvReadContact", "contact", "Read", "match rows", "block", "Global", enough=True)
MISSING = replace(HELD, name="prvWriteContact", right="Write", depth="Local", enough=False)
OPTIONAL = replace(MISSING, name="prvBulkDelete", table="", right="", depth="", lack="note")
QUIET = Audit(Organization("o", "contoso", kind="sandbox"), USER, ("contact", "cio_event"), privileges=(HELD, OPTIONAL))


def preflight(
    audit: Audit = QUIET, source: list[Check] | None = None, environment: Environment = "sandbox"
) -> Preflight:
    return Preflight(audit, findings(audit, environment), source or [], environment)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (preflight(), 0),
        (preflight(replace(QUIET, load_user=replace(USER, roles=("System Administrator",)))), 0),
        (preflight(replace(QUIET, privileges=(MISSING,))), 1),
        (preflight(source=[Check("segments", "could not be read", ok=False)]), 1),
        (preflight(replace(QUIET, organization=Organization("o", "contoso", kind="production"))), 2),
        (
            preflight(replace(QUIET, organization=Organization("o", "c", kind="production")), environment="production"),
            0,
        ),
        (preflight(environment="production"), 1),
    ],
)
def test_how_it_ends(found: Preflight, code: int) -> None:
    assert found.exit_code == code


def test_it_says_who_we_are_and_that_nothing_is_missing() -> None:
    text = "\n".join(lines(preflight()))
    for part in ("Target: contoso, sandbox", "# loader (application user), loader@x.example", "Migration",
                 "Privileges: all 1 that a migration needs are held", "Findings: none"):  # fmt: skip
        assert part in text


def test_a_missing_privilege_is_named_with_its_present_reach() -> None:
    text = "\n".join(lines(preflight(replace(QUIET, privileges=(HELD, MISSING, OPTIONAL)))))
    assert "Privileges: 1 of 2 are missing" in text
    assert "prvWriteContact (now: rows of its business unit), to match rows" in text
    assert "prvBulkDelete" not in text


def test_privileges_that_could_not_be_read_are_not_called_held() -> None:
    assert "Privileges: could not be read" in list(lines(preflight(replace(QUIET, privileges=()))))


def answer(request: httpx.Request) -> httpx.Response:
    """A workspace whose key may not read segments."""
    name = request.url.path.rpartition("/")[2]
    if name == "segments":
        return httpx.Response(403, json={"errors": ["no"]})
    rows = {"workspaces": [{"id": 1, "name": "Acme", "people": 1234}], "customers": []}
    root = {"customers": "identifiers", "transactional": "messages", "object_types": "types"}.get(name, name)
    return httpx.Response(200, json={root: rows.get(name, []), "next": ""})


@pytest.fixture
def api() -> Iterator[AppApi]:
    pace = Pace(clock=lambda: 0.0, sleep=lambda _: None)
    with Transport("https://cio.example", lambda _: "Bearer k", pace=pace, client=httpx.MockTransport(answer)) as link:
        yield AppApi(link)


def test_the_source_says_which_workspace_the_key_opens_and_what_it_may_not_read(api: AppApi) -> None:
    checks = {check.what: check for check in source_checks(Source(api, None))}
    assert checks["workspace"].seen == "Acme, 1,234 people"
    assert [what for what, check in checks.items() if not check.ok] == ["segments"]
    assert {"people", "object types", "activities", "transactional"} <= set(checks)


def test_a_key_that_opens_nothing_raises() -> None:
    pace = Pace(clock=lambda: 0.0, sleep=lambda _: None)
    refuse = httpx.MockTransport(lambda _: httpx.Response(401, json={}))
    with (
        Transport("https://cio.example", lambda _: "Bearer k", pace=pace, client=refuse) as link,
        pytest.raises(AuthorityError),
    ):
        list(source_checks(Source(AppApi(link), None)))


def test_a_folder_without_export_files_is_worth_a_look(tmp_path: Path) -> None:
    assert [check.ok for check in source_checks(Source(None, tmp_path))] == [False]
    assert [check.ok for check in source_checks(Source(None, tmp_path, (tmp_path / "people.csv",)))] == [True]


def test_a_check_is_one_line() -> None:
    assert str(Check("disk", "82 GB free")) == "ok         disk: 82 GB free"
    assert str(Check("disk", "1 GB free", ok=False)) == "look here  disk: 1 GB free"
