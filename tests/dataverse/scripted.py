"""A client over scripted answers, and one over a simulated organisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from cio2d365.dataverse.client import Dataverse
from cio2d365.tables import Key, Lookup, Table
from cio2d365.transport import Pace, Transport
from tests.migrate.world import Instant, dataverse, serving

ORIGIN = "https://org.example"
ROOT = f"{ORIGIN}/api/data/v9.2"

CONTACT = Table(
    "contact",
    "contacts",
    "contactid",
    "fullname",
    lookups=(Lookup("parentcustomerid", (("account", "parentcustomerid_account"),)),),
    keys=(Key("cio_key", ("cio_source_key",)),),
)
ACCOUNT = Table("account", "accounts", "accountid", "name")


def guid(number: int) -> str:
    return f"00000000-0000-5000-8000-{number:012d}"


class Script:
    """Answers one after another, and remembers what was asked and how long was waited."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.seen: list[httpx.Request] = []
        self.clock = Instant()
        self._left = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return self._left.pop(0)

    @property
    def client(self) -> Dataverse:
        pace = Pace(clock=lambda: self.clock.now, sleep=self.clock.sleep)
        return Dataverse(
            Transport(ORIGIN, lambda _: "Bearer secret-token", pace=pace, client=httpx.MockTransport(self))
        )


def refused(status: int, code: str = "", message: str = "m", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}}, headers=headers)


@dataclass(frozen=True)
class Organisation:
    """A simulated organisation: its client, its control API and the time that passes only by waiting."""

    client: Dataverse
    control: httpx.Client
    clock: Instant

    def rows(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control.get(f"rows/{table}").raise_for_status().json()
        return found

    def fault(self, action: Mapping[str, Any], **match: Any) -> None:
        plan = {"seed": 5, "rules": [{"match": match, "action": action}]}
        self.control.post("faults", json=plan).raise_for_status()

    def sent(self) -> list[dict[str, Any]]:
        """Journal of the requests to the API."""
        found: list[dict[str, Any]] = self.control.get("journal").raise_for_status().json()
        return found


@contextmanager
def organisation(seed: int = 11) -> Iterator[Organisation]:
    clock = Instant()
    with (
        serving(seed) as (origin, _),
        httpx.Client(base_url=f"{origin}/_control/", timeout=30) as control,
        dataverse(origin, clock) as client,
    ):
        yield Organisation(client, control, clock)
