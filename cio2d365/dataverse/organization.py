"""What an environment is: name, type, version, language, currency, limits, clock (SR-119)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cio2d365.dataverse.client import Identity
from cio2d365.dataverse.reads import Reads, Row

# Names of OrganizationType (Web API reference) → what people call it. `Secondary` is how production instances beside
# the first one are marked.
KINDS: Mapping[str, str] = {
    "Customer": "production", "Secondary": "production", "Default": "default environment",
    "CustomerTest": "sandbox", "CustomerFreeTest": "sandbox", "CustomerPreview": "preview", "Developer": "developer",
    "Trial": "trial", "EmailTrial": "trial", "TestDrive": "trial", "Teams": "Dataverse for Teams",
}  # fmt: skip
NUMBERS = ("Customer", "Monitoring", "Support", "BackEnd", "Secondary", "CustomerTest", "CustomerFreeTest",
           "CustomerPreview", "Placeholder", "TestDrive", "MsftInvestigation", "EmailTrial", "Default", "Developer",
           "Trial", "Teams", "Platform")  # fmt: skip
RECYCLE_BIN = "recycle bin"
PRODUCTION = ("production", "default environment")


@dataclass(frozen=True)
class Organization:
    """One environment. What could not be read is None or empty.

    `kind` is one of the words of KINDS, or the server's own name for the type. `ahead` is by how many seconds this
    machine's clock is ahead of the server's, `latency` the seconds that WhoAmI took.
    """

    id: str
    name: str = ""
    unique_name: str = ""
    version: str = ""
    kind: str = ""
    region: str = ""
    language: int | None = None
    currency: str = ""
    time_zone: str = ""
    attachment_bytes: int | None = None
    audited: bool | None = None
    recycle_days: int | None = None
    recycle_bin: bool | None = None
    parallel_hint: int = 4
    ahead: float | None = None
    latency: float | None = None

    @property
    def is_production(self) -> bool:
        """Whether the server says that people work here (B-098); a tenant's default environment counts."""
        return self.kind in PRODUCTION


def read_organization(
    reads: Reads, who: Identity, *, ahead: float | None = None, latency: float | None = None
) -> Organization:
    """Ask the environment what it is."""
    detail = _detail(reads)
    settings = _settings(reads)
    bin_ = _recycle_bin(reads)
    return Organization(
        id=who.organization_id,
        name=str(detail.get("FriendlyName") or settings.get("name") or ""),
        unique_name=str(detail.get("UniqueName") or ""),
        version=str(reads.value("version", "RetrieveVersion()").get("Version") or ""),
        kind=_kind(detail.get("OrganizationType")),
        region=str(detail.get("Geo") or ""),
        language=settings.get("languagecode"),
        currency=str((settings.get("basecurrencyid") or {}).get("isocurrencycode") or ""),
        time_zone=_time_zone(reads, who.user_id),
        attachment_bytes=settings.get("maxuploadfilesize"),
        audited=settings.get("isauditenabled"),
        recycle_days=bin_.get("cleanupintervalindays"),
        recycle_bin=bool(bin_) if reads.could_read(RECYCLE_BIN) else None,
        parallel_hint=who.parallel_hint,
        ahead=ahead,
        latency=latency,
    )


def people_work_here(reads: Reads) -> bool:
    """Whether the server says that this is a production organisation (B-098); False when it does not tell."""
    return _kind(_detail(reads).get("OrganizationType")) in PRODUCTION


def _detail(reads: Reads) -> Row:
    default = {"@p": "Microsoft.Dynamics.CRM.EndpointAccessType'Default'"}
    answer = reads.value("type of the organisation", "RetrieveCurrentOrganization(AccessType=@p)", default)
    return answer.get("Detail") or {}


def _kind(value: object) -> str:
    """The Web API shows enumerations by name; some versions of this one by number."""
    known = isinstance(value, int) and 0 <= value < len(NUMBERS)
    name = NUMBERS[value] if known and isinstance(value, int) else str(value or "")
    return KINDS.get(name, name)


def _settings(reads: Reads) -> Row:
    names = "name,languagecode,maxuploadfilesize,isauditenabled"
    query = {"$select": names, "$expand": "basecurrencyid($select=isocurrencycode)"}
    rows = reads.rows("settings of the organisation", "organizations", query)
    return rows[0] if rows else {}


def _recycle_bin(reads: Reads) -> Row:
    """The configuration row of the whole organisation, when it is on (`dataverse-api 16`)."""
    query = {"$select": "cleanupintervalindays", "$filter": "name eq 'organization' and statecode eq 0"}
    rows = reads.rows(RECYCLE_BIN, "recyclebinconfigs", query)
    return rows[0] if rows else {}


def _time_zone(reads: Reads, user_id: str) -> str:
    code = reads.value("time zone", f"usersettingscollection({user_id})", {"$select": "timezonecode"})
    if "timezonecode" not in code:
        return ""
    query = {"$select": "standardname", "$filter": f"timezonecode eq {code['timezonecode']}"}
    zones = reads.rows("names of time zones", "timezonedefinitions", query)
    return str(zones[0]["standardname"]) if zones else f"time zone {code['timezonecode']}"
