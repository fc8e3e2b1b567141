"""The settings of one migration (`migration.toml`): every key, default and range. Secrets are named, never held."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cio2d365.errors import SettingsError

Environment = Literal["sandbox", "production"]


def is_loopback(host: str) -> bool:
    """True for an address of this machine, the only place where plain http is accepted (design 7)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address starts with https:// and a host name")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError("only scheme, host and port belong here: no user, path or query")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("plain http is accepted for this machine only; use https")
    _ = parts.port  # ValueError for one that cannot be
    return f"{parts.scheme}://{parts.netloc.lower()}"


Origin = Annotated[str, AfterValidator(_origin)]
EnvName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class _Section(BaseModel):
    # Strict: "500" and true are not numbers, as TOML has types of its own.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Identity(_Section):
    """Who this migration is. `id` seeds every row id: never change it after the first load."""

    name: str
    id: Annotated[str, Field(min_length=8)]


class CustomerIo(_Section):
    """The App API. An empty url means: from files only."""

    url: Origin = ""
    app_api_key: EnvName = "CIO_APP_API_KEY"
    requests_per_second: Annotated[float, Field(gt=0, le=1000)] = 9.0
    relationship_attributes: Literal["all", "several", "none"] = "several"


class Files(_Section):
    """Export files. Their events come before those of the API wherever both reach."""

    folder: str = ""
    company_object_type: str = "1"


class Place(_Section):
    """One Dataverse environment."""

    url: Origin = ""


class ApplicationUser(_Section):
    """One more application that loads beside the first: names of the variables with its id and its credential."""

    client_id: EnvName
    client_secret: EnvName | None = None
    certificate: EnvName | None = None
    certificate_password: EnvName | None = None


class Dataverse(_Section):
    """The target: two environments, how to sign in, and the names of the variables that hold the credentials.

    Applications sign in by `secret` or `certificate`, a person by `device code` or `browser`. The token authority and
    the scope follow from the environment's address unless they are given. `application_users` load side by side, each
    with request limits of its own (`dataverse-api 8.1`).
    """

    sandbox: Place = Place()
    production: Place = Place()
    sign_in: Literal["secret", "certificate", "device code", "browser"] = "secret"
    tenant_id: EnvName = "DATAVERSE_TENANT_ID"
    client_id: EnvName = "DATAVERSE_CLIENT_ID"
    client_secret: EnvName = "DATAVERSE_CLIENT_SECRET"
    certificate: EnvName = "DATAVERSE_CERTIFICATE"
    certificate_password: EnvName = "DATAVERSE_CERTIFICATE_PASSWORD"
    authority: Origin = ""
    scope: Annotated[str, Field(pattern=r"^(https?://[^\s]+/[^\s/]+)?$")] = ""
    plain_token_cache: bool = False
    # TOML has arrays only; strict pydantic would ask for a tuple.
    application_users: Annotated[tuple[ApplicationUser, ...], Field(strict=False)] = ()

    @property
    def is_personal(self) -> bool:
        """True when a person signs in, not an application."""
        return self.sign_in in ("device code", "browser")

    @model_validator(mode="after")
    def _users_fit(self) -> Dataverse:
        if self.application_users and self.is_personal:
            raise ValueError("application_users need sign_in = secret or certificate")
        wanted = "client_secret" if self.sign_in == "secret" else "certificate"
        if any(getattr(user, wanted) is None for user in self.application_users):
            raise ValueError(f"every entry of application_users needs {wanted}, as sign_in says")
        ids = [self.client_id, *(user.client_id for user in self.application_users)]
        if len(set(ids)) < len(ids):
            raise ValueError("application_users name a client_id twice")
        return self


class Companies(_Section):
    """Which Customer.io object type becomes Account; empty = the one whose name says so (SR-038)."""

    object_type_id: str = ""


class Owners(_Section):
    """Which attributes name the owner of a row: of people, and of the company objects; empty = the load user owns all.

    A value is the e-mail address or sign-in name of a user, or the name of a team. `fallback`, given in the same way,
    owns the rows whose owner cannot (SR-109).
    """

    trait: str = ""
    company_trait: str = ""
    fallback: str = ""

    @property
    def are_mapped(self) -> bool:
        """Whether any row gets an owner."""
        return bool(self.trait or self.company_trait)


class Load(_Section):
    """How rows are sent. A chunk is a ledger entry and a report row; a request is what the server sees."""

    chunk_rows: Annotated[int, Field(ge=1, le=5000)] = 5000
    request_rows: Annotated[int, Field(ge=1, le=1000)] = 500
    parallel: Annotated[int, Field(ge=1, le=16)] = 4
    same_error_limit: Annotated[int, Field(ge=1, le=10_000)] = 20
    edited_in_both: Literal["keep", "overwrite"] = "keep"
    run_custom_logic: bool = True
    start_flows: bool = True
    detect_duplicates: bool = False


class Settings(_Section):
    """All of `migration.toml`."""

    migration: Identity
    customerio: CustomerIo = CustomerIo()
    files: Files = Files()
    dataverse: Dataverse = Dataverse()
    companies: Companies = Companies()
    owners: Owners = Owners()
    load: Load = Load()


def read(path: Path) -> Settings:
    """Settings from a file; SettingsError names key, value range and the nearest known key (B-096, B-099)."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist. Make it with `cio2d365 new {path.parent.name} …`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    return parse(document, str(path))


def parse(document: dict[str, Any], where: str = "settings") -> Settings:
    """Settings from a plain document; raises SettingsError with one line per problem."""
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        lines = [_sentence(problem) for problem in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines)) from None


def _sentence(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(Settings), n=1)
    known = ", ".join(_section(problem["loc"][:-1]).model_fields)
    return f"{key} is not a setting; {f'did you mean {near[0]}? ' if near else ''}Known here: {known}"


def _section(path: Iterable[Any]) -> type[BaseModel]:
    model: Any = Settings
    for name in path:
        model = get_args(model)[0] if isinstance(name, int) else model.model_fields[name].annotation
    return cast(type[BaseModel], model)


def _known_keys(model: type[BaseModel]) -> list[str]:
    own = list(model.model_fields)
    inner = [f.annotation for f in model.model_fields.values() if isinstance(f.annotation, type)]
    return own + [k for x in inner if issubclass(x, BaseModel) for k in _known_keys(x)]


TEMPLATE = """\
# Settings of one migration. Secrets are never in this file: it names the environment variables that hold them.

[migration]
name = {name}
id = {id}                    # seeds every row id in Dataverse; never change it after the first load

[customerio]
url = {customerio}           # App API, https://api.customer.io or https://api-eu.customer.io; "" = from files only
app_api_key = "CIO_APP_API_KEY"
requests_per_second = {rate} # the workspace's own traffic shares a limit of 10; lower it while campaigns run
relationship_attributes = "several"  # read relationship attributes of: all people | people in several objects | none

[files]
folder = {files}             # people CSV and CDP storage files; their events come before the API's; "" = none
company_object_type = "1"    # object type of CDP group calls that do not name one

[dataverse]
sign_in = "secret"           # an application: secret | certificate; a person: device code | browser
tenant_id = "DATAVERSE_TENANT_ID"
client_id = "DATAVERSE_CLIENT_ID"
client_secret = "DATAVERSE_CLIENT_SECRET"
certificate = "DATAVERSE_CERTIFICATE"  # path of a PEM or PFX file with certificate and private key
certificate_password = "DATAVERSE_CERTIFICATE_PASSWORD"  # may be unset
authority = ""               # token authority; "" = that of the cloud which the address belongs to
scope = ""                   # "" = the environment's address with /.default, for people with /user_impersonation
plain_token_cache = false    # keep a person's sign-in in a file that only its owner reads if nothing encrypts here
application_users = []       # more that load side by side: [{{client_id = "VARIABLE", client_secret = "VARIABLE"}}]

[dataverse.sandbox]
url = {sandbox}

[dataverse.production]
url = {production}           # closed until the sandbox is signed off

[companies]
object_type_id = {company}   # which Customer.io object type becomes Account; "" = the one whose name says so

[owners]
trait = ""                   # attribute of people that names who owns them: a user's e-mail or a team; "" = load user
company_trait = ""           # the same attribute of companies
fallback = ""                # user (e-mail) or team that owns what a disabled, roleless or unknown owner cannot

[load]
chunk_rows = 5000            # one ledger entry and one report row; at most 5000
request_rows = 500           # rows of one request; at most 1000
parallel = 4                 # requests at once; the server's own hint caps it
same_error_limit = 20        # stop a table when this many rows in a row fail with one code
run_custom_logic = true      # false: plug-ins and workflows of the customer do not run; needs a privilege of its own
start_flows = true           # false: Power Automate flows are not started by loaded rows
detect_duplicates = false    # true: published duplicate rules refuse rows, which go to quarantine
edited_in_both = "keep"      # a value changed in Dynamics and in the source since the last load: keep | overwrite
"""


def new_document(
    name: str,
    id_: str,
    *,
    sandbox: str,
    customerio: str = "",
    files: str = "",
    production: str = "",
    company: str = "",
    rate: float = 9.0,
) -> str:
    """The text of a new `migration.toml`, every setting with its default and comment; raises SettingsError."""
    texts = {"name": name, "id": id_, "customerio": customerio, "files": files, "sandbox": sandbox}
    texts |= {"production": production, "company": company}
    text = TEMPLATE.format(**{key: _quoted(value) for key, value in texts.items()}, rate=rate)
    parse(tomllib.loads(text), "new settings")
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if any(ord(c) < 32 for c in escaped):
        raise SettingsError(f"control characters cannot stand in a setting: {text!r}")
    return f'"{escaped}"'
