"""From settings and the environment to live connections. The only reader of environment variables (design 4)."""

from __future__ import annotations

import os
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msal
import platformdirs

from cio2d365.artefacts import digest
from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.source import Source, open_source
from cio2d365.dataverse import auth, certificate, token_cache
from cio2d365.dataverse import sign_in as people
from cio2d365.dataverse.auth import Authorize
from cio2d365.dataverse.authority import Directory
from cio2d365.dataverse.client import Dataverse, Identity
from cio2d365.dataverse.organization import people_work_here
from cio2d365.dataverse.reads import Reads
from cio2d365.dataverse.requests import HEADERS
from cio2d365.errors import GateError, SettingsError
from cio2d365.migrate import ledger
from cio2d365.migration import Migration
from cio2d365.settings import ApplicationUser, Environment
from cio2d365.transport import Pace, Transport

PLACEHOLDERS = frozenset({"changeme", "secret", "password", "xxx", "todo"})
AUTHORITY = "DATAVERSE_AUTHORITY"


def now() -> str:
    """The time, ISO 8601 UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def secret(name: str) -> str:
    """A secret from the environment; SettingsError names the variable, never the value (B-097)."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"the environment variable {name} is not set")
    if value.lower() in PLACEHOLDERS:
        raise SettingsError(f"the environment variable {name} still holds a placeholder")
    return value


@contextmanager
def source(migration: Migration) -> Iterator[Source]:
    """Where the migration reads from; the App API key is needed only when there is an API."""
    chosen = migration.settings.customerio
    folder = _folder(migration)
    if not chosen.url:
        yield open_source(None, folder)
        return
    key = secret(chosen.app_api_key)
    with Transport(chosen.url, lambda _: f"Bearer {key}", pace=Pace(chosen.requests_per_second)) as transport:
        yield open_source(AppApi(transport), folder)


def _folder(migration: Migration) -> Path | None:
    text = migration.settings.files.folder
    return (migration.root / text).resolve() if text else None


@contextmanager
def target(migration: Migration, environment: Environment) -> Iterator[Dataverse]:
    """The Dataverse environment of a migration. Nobody is asked anything: a person signs in by `sign_in` before."""
    with _client(migration, environment, _authorize(migration, environment, _first_user(migration))) as client:
        yield client


@contextmanager
def lanes(migration: Migration, environment: Environment) -> Iterator[list[Dataverse]]:
    """One client per application user, each with a pace and request limits of its own; the first is `target`'s.

    Raises SettingsError when two of them are the same application.
    """
    users = [_first_user(migration), *migration.settings.dataverse.application_users]
    _require_different(users)
    with ExitStack() as stack:
        entered = [_client(migration, environment, _authorize(migration, environment, user)) for user in users]
        yield [stack.enter_context(client) for client in entered]


def sign_in(
    migration: Migration,
    environment: Environment,
    *,
    tell: Callable[[str], None],
    browse: Callable[[str], object] = webbrowser.open,
    sleep: Callable[[float], None] = time.sleep,
) -> Identity:
    """Who the server says we are, after a person has signed in if the settings want one; `tell` shows what to do.

    A sign-in is kept for later commands when it has worked, and replaces the one before. An application has nothing to
    keep: its credentials are tried. Raises SettingsError, AuthorityError, Transient.
    """
    chosen = migration.settings.dataverse
    if chosen.is_personal:
        place, cache = _store(migration, environment), msal.SerializableTokenCache()
        directory, client_id = _directory(migration, environment), secret(chosen.client_id)
        again = _again(migration, environment)
        if chosen.sign_in == "device code":
            name = people.by_device_code(directory, client_id, cache, tell, again=again, sleep=sleep)
        else:
            name = people.by_browser(directory, client_id, cache, tell, again=again, browse=browse, sleep=sleep)
        place.save(cache.serialize())
        tell(f"Signed in as {name}.")
    with target(migration, environment) as client:
        return client.who_am_i()


def sign_out(migration: Migration, environment: Environment) -> None:
    """Forget the person's sign-in; nothing happens for an application."""
    if migration.settings.dataverse.is_personal:
        _store(migration, environment).save("{}")


@contextmanager
def _client(migration: Migration, environment: Environment, authorize: Authorize) -> Iterator[Dataverse]:
    with Transport(migration.dataverse_url(environment), authorize, headers=HEADERS) as transport:
        yield Dataverse(transport)


def _first_user(migration: Migration) -> ApplicationUser:
    chosen = migration.settings.dataverse
    return ApplicationUser(
        client_id=chosen.client_id,
        client_secret=chosen.client_secret,
        certificate=chosen.certificate,
        certificate_password=chosen.certificate_password,
    )


def _require_different(users: list[ApplicationUser]) -> None:
    """Two lanes of one application would share its limits without knowing of each other's waits (L5)."""
    seen: set[str] = set()
    for user in users:
        client_id = secret(user.client_id).lower()
        if client_id in seen:
            raise SettingsError(f"the environment variable {user.client_id} holds the id of another application user")
        seen.add(client_id)


def _authorize(migration: Migration, environment: Environment, user: ApplicationUser) -> Authorize:
    directory, client_id = _directory(migration, environment), secret(user.client_id)
    if migration.settings.dataverse.is_personal:
        again = _again(migration, environment)
        return auth.person(directory, client_id, token_cache.cached(_store(migration, environment), again), again)
    return auth.application(directory, client_id, _credential(migration, user))


def _directory(migration: Migration, environment: Environment) -> Directory:
    chosen = migration.settings.dataverse
    authority = os.environ.get(AUTHORITY, "").strip() or chosen.authority
    return Directory(migration.dataverse_url(environment), secret(chosen.tenant_id), authority, chosen.scope)


def _credential(migration: Migration, user: ApplicationUser) -> auth.Secret | certificate.Certificate:
    if migration.settings.dataverse.sign_in == "secret":
        variable = user.client_secret or ""
        return auth.Secret(secret(variable), variable)
    variable = user.certificate or ""
    password = os.environ.get(user.certificate_password or "", "")
    return certificate.read(Path(secret(variable)).expanduser(), password, variable)


def _store(migration: Migration, environment: Environment) -> Any:
    """Where a person's sign-in is kept: one place per authority, tenant and application, never in the migration."""
    directory, client_id = _directory(migration, environment), secret(migration.settings.dataverse.client_id)
    folder = platformdirs.user_config_path("cio2d365", appauthor=False) / "sign-in"
    if folder.resolve().is_relative_to(migration.folder.resolve()):
        raise SettingsError("a sign-in is never kept in a migration's folder: the user's configuration folder is there")
    name = digest([directory.base, directory.tenant_id, client_id])[:24]
    return token_cache.store(folder, name, plain=migration.settings.dataverse.plain_token_cache)


def _again(migration: Migration, environment: Environment) -> str:
    return f"run `cio2d365 connect {migration.name} --env {environment}`"


def check(migration: Migration, environment: Environment, *, read_source: bool, use_target: bool) -> None:
    """Ask each system that a run needs for one answer before anything starts.

    Raises SettingsError for what is missing or wrong here, Refused or AuthorityError for a host that cannot be
    reached or does not let us in, GateError when production stands where a sandbox was expected (B-098).
    """
    if read_source:
        with source(migration) as found:
            if found.api:
                found.api.workspaces()
    if use_target:
        with target(migration, environment) as client:
            client.who_am_i()
            if environment == "sandbox" and people_work_here(Reads(client)):
                raise GateError(
                    f"{client.transport.origin} is set as the sandbox, but the server says that it is a production "
                    "organisation; nothing was sent. Set dataverse.sandbox.url in migration.toml to a sandbox"
                )


@contextmanager
def open_ledger(migration: Migration, environment: Environment, client: Dataverse) -> Iterator[ledger.Ledger]:
    """The ledger for writing, bound to what the server says it is (L13)."""
    binding = ledger.Binding(migration.id, environment, client.who_am_i().organization_id)
    with ledger.opened(migration.ledger(environment), binding, at=now()) as found:
        yield found
