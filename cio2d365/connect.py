"""From settings and the environment to live connections. The only reader of environment variables (design 4)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.source import Source, open_source
from cio2d365.dataverse.auth import client_credentials
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.requests import HEADERS
from cio2d365.errors import SettingsError
from cio2d365.migrate import ledger
from cio2d365.migration import Migration
from cio2d365.settings import Environment
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
    """The Dataverse environment of a migration."""
    names, url = migration.settings.dataverse, migration.dataverse_url(environment)
    authorize = client_credentials(
        url,
        secret(names.tenant_id),
        secret(names.client_id),
        secret(names.client_secret),
        os.environ.get(AUTHORITY, "").strip(),
    )
    with Transport(url, authorize, headers=HEADERS) as transport:
        yield Dataverse(transport)


def check(migration: Migration, environment: Environment, *, read_source: bool, use_target: bool) -> None:
    """Ask each system that a run needs for one answer before anything starts.

    Raises SettingsError for what is missing or wrong here, Refused or AuthorityError for a host that cannot be
    reached or does not let us in.
    """
    if read_source:
        with source(migration) as found:
            if found.api:
                found.api.workspaces()
    if use_target:
        with target(migration, environment) as client:
            client.who_am_i()


@contextmanager
def open_ledger(migration: Migration, environment: Environment, client: Dataverse) -> Iterator[ledger.Ledger]:
    """The ledger for writing, bound to what the server says it is (L13)."""
    binding = ledger.Binding(migration.id, environment, client.who_am_i().organization_id)
    with ledger.opened(migration.ledger(environment), binding, at=now()) as found:
        yield found
