"""The audit of an environment: what it reads, what it makes of refusals, and that it only reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cio2d365.dataverse.audit import WRITTEN, Audit, read_audit, to_document
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.owners import owners
from cio2d365.errors import AuthorityError, PrivilegeError
from cio2d365.migrate import provision, schema
from cio2d365.sim.dataverse.service import Service
from tests.migrate.world import TOKEN, dataverse, nothing, serving

CRM = "Microsoft.Dynamics.CRM."


class Place:
    """A new organisation, its control API, and a Web API client of the application user."""

    def __init__(self, origin: str, client: Dataverse, control: httpx.Client, api: httpx.Client) -> None:
        self.origin, self.client, self.control, self.api = origin, client, control, api

    def audit(self, **more: Any) -> Audit:
        return read_audit(self.client, **more)

    def post(self, path: str, body: dict[str, Any]) -> str:
        answer = self.api.post(path, json=body)
        assert answer.status_code == 204, answer.text
        return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")

    def one(self, path: str, column: str, where: str) -> str:
        rows = self.api.get(path, params={"$select": column, "$filter": where}).json()["value"]
        return str(rows[0][column])

    def take_away(self, *privileges: str, depths: dict[str, str] | None = None) -> None:
        """The load user gets one role, with all of an administrator's privileges but these."""
        user = self.api.get("WhoAmI").json()["UserId"]
        rows = self.api.get(f"systemusers({user})/{CRM}RetrieveUserPrivileges()").json()["RolePrivileges"]
        grants = {row["PrivilegeName"]: row["Depth"] for row in rows if row["PrivilegeName"] not in privileges}
        role = {"name": "Migration", "privileges": grants | (depths or {}), "users": [user]}
        self.control.post("roles", json=role).raise_for_status()

    def fault(self, action: dict[str, Any], **match: Any) -> None:
        self.control.post("faults", json=[{"match": match, "action": action}]).raise_for_status()

    def table(self, name: str) -> None:
        prefix = name.partition("_")[0]
        publisher = {"uniquename": f"{prefix}pub", "friendlyname": prefix, "customizationprefix": prefix}
        self.post("publishers", publisher | {"customizationoptionvalueprefix": 72700})
        text = {"LocalizedLabels": [{"Label": name, "LanguageCode": 1033}]}
        column = {"@odata.type": f"{CRM}StringAttributeMetadata", "SchemaName": f"{prefix}_name", "IsPrimaryName": True,
                  "MaxLength": 100}  # fmt: skip
        body = {"SchemaName": name, "OwnershipType": "UserOwned", "DisplayName": text, "Attributes": [column]}
        self.post("EntityDefinitions", body)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Service]]:
    with serving(seed=21) as found:
        yield found


@pytest.fixture
def place(served: tuple[str, Service]) -> Iterator[Place]:
    origin, _ = served
    headers = {"Authorization": TOKEN}
    with (
        httpx.Client(base_url=f"{origin}/_control/", timeout=30) as control,
        httpx.Client(base_url=f"{origin}/api/data/v9.2/", headers=headers, timeout=30) as api,
    ):
        control.post("reset").raise_for_status()
        with dataverse(origin) as client:
            yield Place(origin, client, control, api)


def test_a_fresh_organisation_is_read_whole_and_only_read(place: Place) -> None:
    audit = place.audit()
    assert audit.unread == ()
    assert audit.missing == ()
    # the server's -1 and 0 stand for no limit and for a figure that is not kept
    assert (audit.holdings.storage, audit.holdings.most_storage) == (None, None)
    assert {entry["method"] for entry in place.control.get("journal").json()} == {"GET"}


def test_the_organisation_says_what_it_is(place: Place) -> None:
    place.control.post("switches", json={"organization_type": "Customer", "dop_hint": 12})
    found = place.audit().organization
    assert (found.kind, found.is_production, found.parallel_hint) == ("production", True, 12)
    assert (found.name, found.language, found.currency) == ("contoso", 1033, "EUR")
    assert found.time_zone == "W. Europe Standard Time"
    assert (found.attachment_bytes, found.audited, found.recycle_bin) == (5_242_880, False, False)
    assert found.version.startswith("9.2")


def test_the_difference_of_the_clocks_is_measured(place: Place) -> None:
    place.control.post("clock", json={"skew": -600})
    ahead = place.audit().organization.ahead
    assert ahead == pytest.approx(600, abs=5)


def test_latency_is_what_the_first_request_took(place: Place) -> None:
    moments = iter(range(1000, 2000))
    assert place.audit(clock=lambda: float(next(moments))).organization.latency == 1.0


def test_the_recycle_bin_counts_when_the_organisation_has_it_on(place: Place) -> None:
    place.post("recyclebinconfigs", {"name": "organization", "cleanupintervalindays": 30, "statecode": 0})
    found = place.audit().organization
    assert (found.recycle_bin, found.recycle_days) == (True, 30)


def test_the_load_user_has_roles_of_its_own_and_of_teams(place: Place) -> None:
    user, base = place.api.get("WhoAmI").json()["UserId"], str(place.api.base_url)
    team = place.one("teams", "teamid", "name eq 'Sales Europe'")
    reference = {"@odata.id": f"{base}systemusers({user})"}
    assert place.api.post(f"teams({team})/teammembership_association/$ref", json=reference).status_code == 204
    found = place.audit().load_user
    assert (found.name, found.kind, found.business_unit) == ("# cio2d365", "application user", "contoso")
    assert found.in_root_unit
    assert found.roles == ("System Administrator",)
    assert found.team_roles == (("Salesperson", "Sales Europe"),)


def test_a_missing_privilege_is_named_with_what_it_is_for(place: Place) -> None:
    place.take_away("prvCreateContact", "prvBulkDelete", "prvCreateEntityKey")
    audit = place.audit()
    assert {p.name for p in audit.missing} == {"prvCreateContact", "prvCreateEntityKey"}
    contact = next(p for p in audit.missing if p.table == "contact")
    assert (contact.right, contact.needed_for, contact.verdict) == ("Create", "load new rows", "missing")
    optional = next(p for p in audit.privileges if p.name == "prvBulkDelete")
    assert optional.verdict == "not held (optional)"


def test_what_the_fault_takes_away_is_missing(place: Place) -> None:
    place.fault({"verb": "revoke_privilege", "table": "lead", "right": "Write"}, times=1)
    assert [p.name for p in place.audit().missing] == ["prvWriteLead"]


@pytest.mark.parametrize(("depth", "enough"), [("Basic", False), ("Local", False), ("Deep", True), ("Global", True)])
def test_a_privilege_has_to_reach_all_rows(place: Place, depth: str, enough: bool) -> None:
    place.take_away(depths={"prvReadLead": depth})
    found = next(p for p in place.audit().privileges if p.name == "prvReadLead")
    assert (found.depth, found.enough) == (depth, enough)
    assert found.verdict == ("held" if enough else "reaches too few rows")


def test_depth_below_a_unit_is_not_everything_when_there_is_a_unit_above(place: Place) -> None:
    user = place.api.get("WhoAmI").json()
    unit = place.post("businessunits", {"name": "Norway", "parentbusinessunitid@odata.bind":
                                        f"/businessunits({user['BusinessUnitId']})"})  # fmt: skip
    place.control.patch(f"users/{user['UserId']}", json={"businessunitid": unit}).raise_for_status()
    place.take_away(depths={"prvReadLead": "Deep"})
    audit = place.audit()
    assert not audit.load_user.in_root_unit
    assert [p.name for p in audit.missing] == ["prvReadLead"]


def test_our_own_tables_are_checked_once_they_exist(place: Place) -> None:
    place.table("cio_event")
    audit = place.audit()
    assert audit.written == (*WRITTEN, "cio_event")
    assert "prvCreatecio_event" in {p.name for p in audit.privileges}
    assert audit.custom_tables == ("cio_event",)
    assert "cio" in audit.publisher_prefixes


def test_users_and_teams_with_what_keeps_them_from_owning(place: Place) -> None:
    obstacles = {owner.name: owner.obstacle for owner in owners(place.client)}
    assert obstacles == {
        "# cio2d365": "", "Ada Analyst": "", "Ben Consultant": "", "Dora Departed": "disabled",
        "Rolf Roleless": "no security role", "contoso": "", "Sales Europe": "", "Deal room": "access team",
    }  # fmt: skip
    audit = place.audit()
    assert (audit.users, len(audit.people), audit.disabled_users) == (5, 4, ("dora.departed@contoso.com",))


def test_a_user_may_have_its_role_from_a_team(place: Place) -> None:
    base = str(place.api.base_url)
    team = place.one("teams", "teamid", "name eq 'Sales Europe'")
    rolf = place.one("systemusers", "systemuserid", "lastname eq 'Roleless'")
    place.api.post(f"teams({team})/teammembership_association/$ref", json={"@odata.id": f"{base}systemusers({rolf})"})
    assert next(owner for owner in owners(place.client) if owner.name == "Rolf Roleless").can_own


def test_owners_that_may_not_be_read_are_an_error(place: Place) -> None:
    place.take_away("prvReadUser")
    with pytest.raises(PrivilegeError, match=r"users could not be read.*prvReadUser"):
        owners(place.client)


def step(place: Place, name: str, message: str, table: str, **more: Any) -> None:
    where = f"primaryobjecttypecode eq '{table}' and sdkmessageid/name eq '{message}'"
    binds = {
        "sdkmessageid@odata.bind": f"/sdkmessages({message_id(place, message)})",
        "sdkmessagefilterid@odata.bind":
            f"/sdkmessagefilters({place.one('sdkmessagefilters', 'sdkmessagefilterid', where)})",
    }  # fmt: skip
    place.post("sdkmessageprocessingsteps", {"name": name, "stage": 20, "mode": 0, **binds, **more})


def message_id(place: Place, name: str) -> str:
    return place.one("sdkmessages", "sdkmessageid", f"name eq '{name}'")


def test_plug_in_steps_are_found_by_table_and_message(place: Place) -> None:
    step(place, "Contoso: check phone", "Create", "contact")
    step(place, "Contoso: sleeping", "Create", "contact", statecode=1, statuscode=2)
    step(place, "Contoso: elsewhere", "Create", "task")
    step(place, "Contoso: later", "Update", "lead", mode=1, stage=40)
    own = [a for a in place.audit().automation if not a.managed]
    assert [(a.kind, a.table, a.message, a.name, a.waits) for a in own] == [
        ("plug-in step", "contact", "Create", "Contoso: check phone", True),
        ("plug-in step", "lead", "Update", "Contoso: later", False),
    ]
    managed = [a for a in place.audit().automation if a.managed]
    assert {a.table for a in managed} == {"contact", "lead"}


def test_a_step_for_every_table_counts(place: Place) -> None:
    bind = {"sdkmessageid@odata.bind": f"/sdkmessages({message_id(place, 'Create')})"}
    place.post("sdkmessageprocessingsteps", {"name": "Contoso: all", "stage": 40, "mode": 0, **bind})
    assert ("every table", "Create") in {(a.table, a.message) for a in place.audit().automation}


def test_processes_and_flows_that_writing_a_row_starts_are_found(place: Place) -> None:
    active = {"type": 1, "statecode": 1, "statuscode": 2, "primaryentity": "contact"}
    place.post("workflows", {**active, "name": "Score", "category": 0, "mode": 1, "triggeroncreate": True})
    place.post("workflows", {**active, "name": "Welcome", "category": 0, "mode": 0, "triggeroncreate": True,
                             "triggeronupdateattributelist": "emailaddress1"})  # fmt: skip
    place.post("workflows", {**active, "name": "By hand", "category": 0, "mode": 0})
    place.post("workflows", {**active, "name": "On forms", "category": 2, "processtriggerscope": 1})
    place.post("workflows", {**active, "name": "On the server", "category": 2, "processtriggerscope": 2})
    place.post("workflows", {**active, "name": "Draft", "category": 0, "mode": 1, "triggeroncreate": True,
                             "statecode": 0, "statuscode": 1})  # fmt: skip
    flow = {"entityname": "contact", "softdeletestatus": 0}
    place.post("callbackregistrations", {**flow, "name": "Mail", "message": 4})
    place.post("callbackregistrations", {**flow, "name": "Gone", "message": 4, "softdeletestatus": 1})
    found = {(a.kind, a.name, a.message) for a in place.audit().automation if not a.managed}
    assert found == {
        ("real-time workflow", "Score", "Create"),
        ("background workflow", "Welcome", "Create, Update"),
        ("business rule", "On the server", "Create, Update"),
        ("cloud flow", "Mail", "Create, Update"),
    }


def test_published_duplicate_rules_are_found(place: Place) -> None:
    place.post("duplicaterules", {"name": "Draft", "baseentityname": "contact", "statecode": 0})
    rules = place.audit().duplicate_rules
    assert [rule.table for rule in rules] == ["account", "contact", "lead"]


def test_tables_with_their_columns_keys_rows_and_cascades(place: Place) -> None:
    place.table("zz_thing")
    code = {"@odata.type": f"{CRM}StringAttributeMetadata", "SchemaName": "zz_code", "MaxLength": 100}
    place.post("EntityDefinitions(LogicalName='contact')/Attributes", code)
    place.control.post("switches", json={"key_path": ["Failed"]})
    key = {"SchemaName": "zz_codekey", "KeyAttributes": ["zz_code"]}
    assert place.api.post("EntityDefinitions(LogicalName='contact')/Keys", json=key).status_code == 204
    place.post("contacts", {"lastname": "Bell"})
    holdings = place.audit().holdings
    contact = next(t for t in holdings.tables if t.name == "contact")
    assert contact.rows == 1
    assert contact.custom_columns == (("zz", 1),)
    assert [name for name, _ in contact.keys] == ["zz_codekey"]
    assert contact.keys[0][1] in ("Failed", "Pending", "InProgress")
    assert ("account", "contact", "parentcustomerid", "Cascade") in {
        (c.parent, c.child, c.column, c.delete) for c in holdings.cascades
    }


def test_apps_speak_for_the_edition_of_sales(place: Place) -> None:
    assert place.audit().holdings.edition == "Enterprise"
    place.post("appmodules", {"name": "Sales Professional", "uniquename": "msdynce_salespro"})
    assert place.audit().holdings.edition == "both"


def test_journeys_are_proven_by_an_anchor_solution_only(place: Place) -> None:
    publisher = place.one("publishers", "publisherid", "customizationprefix eq 'new'")

    def install(name: str) -> None:
        place.post("solutions", {"uniquename": name, "friendlyname": name, "version": "1.0",
                                 "publisherid@odata.bind": f"/publishers({publisher})"})  # fmt: skip

    install("DynamicsMKT_Consent")
    assert not place.audit().journeys_installed
    install("DynamicsCij_AnchorSolution")
    assert place.audit().journeys_installed


@pytest.mark.parametrize(
    ("privilege", "what"),
    [
        ("prvReadSdkMessageProcessingStep", "plug-in steps"),
        ("prvReadWorkflow", "workflows and business rules"),
        ("prvReadPublisher", "publishers"),
        ("prvReadUser", "users"),
        ("prvReadDuplicateRule", "duplicate detection rules"),
    ],
)
def test_a_read_that_is_refused_is_told_and_the_rest_goes_on(place: Place, privilege: str, what: str) -> None:
    place.take_away(privilege)
    audit = place.audit()
    assert what in {unread.what for unread in audit.unread}
    assert all(privilege in unread.reason for unread in audit.unread)
    assert audit.organization.kind == "sandbox"


def test_a_function_that_an_older_version_lacks_is_told(place: Place) -> None:
    place.fault({"verb": "status", "code": 404, "error_code": "0x8006088a", "message": "no such function"},
                message="RetrieveOrganizationResources")  # fmt: skip
    audit = place.audit()
    assert [unread.what for unread in audit.unread] == ["resources in use"]
    assert audit.holdings.most_tables is None


def test_privileges_that_cannot_be_read_are_not_called_missing(place: Place) -> None:
    place.fault({"verb": "status", "code": 403, "error_code": "0x80040220", "message": "no"},
                path="RetrieveUserPrivileges")  # fmt: skip
    audit = place.audit()
    assert audit.privileges == ()
    assert [unread.what for unread in audit.unread] == ["privileges of the load user"]


def test_credentials_that_are_refused_end_the_audit(place: Place) -> None:
    place.fault({"verb": "expire_tokens", "dev_token": True}, nth=7)
    with pytest.raises(AuthorityError) as caught:
        place.audit()
    assert not isinstance(caught.value, PrivilegeError)


def test_its_document_holds_everything_and_the_prefixes(place: Place) -> None:
    audit = place.audit()
    document = to_document(audit)
    assert document["publisher_prefixes"] == list(audit.publisher_prefixes)
    assert document["organization"]["id"] == audit.organization_id
    assert len(document["privileges"]) == len(audit.privileges)


def documented() -> tuple[list[str], list[str]]:
    """Rights on tables, and the other privileges, that docs/permissions.md lists, without optional ones."""
    lines = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    others = [row[0].strip("`") for row in cells if row[0].startswith("`prv") and row[2] != "optional"]
    return [row[0].replace(" ", "") for row in cells if len(row) == 2 and row[0][0].isupper()], others


def test_the_documented_role_lacks_nothing(place: Place) -> None:
    rights, others = documented()
    user = place.api.get("WhoAmI").json()["UserId"]
    read = ("User", "Team", "Role", "BusinessUnit", "SdkMessageProcessingStep", "SdkMessage", "SdkMessageFilter",
            "Workflow", "DuplicateRule", "AppModule", "CallbackRegistration", "Organization", "RecycleBinConfig",
            "UserSettings", "TimeZoneDefinition", "TransactionCurrency")  # fmt: skip
    names = [f"prv{right}{table.title()}" for table in WRITTEN for right in rights]
    grants = dict.fromkeys([*names, *others, *(f"prvRead{name}" for name in read)], "Global")
    role = {"name": "Customer.io migration", "privileges": grants, "users": [user]}
    place.control.post("roles", json=role).raise_for_status()
    audit = place.audit()
    assert (audit.unread, audit.missing) == ((), ())
    assert {p.name for p in audit.privileges if not p.enough} == {"prvBulkDelete", "prvBypassCustomBusinessLogic"}


def test_the_documented_role_creates_the_schema(place: Place) -> None:
    _, others = documented()
    user = place.api.get("WhoAmI").json()["UserId"]
    role = {"name": "Customer.io migration", "privileges": dict.fromkeys(others, "Global"), "users": [user]}
    place.control.post("roles", json=role).raise_for_status()
    tables = provision.apply(
        schema.wanted({}, [], {"2": ("cio_course", "Course")}), place.client, progress=nothing, sleep=lambda _: None
    )
    assert "cio_event" in tables
