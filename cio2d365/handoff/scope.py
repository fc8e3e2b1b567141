"""How big the job is and what needs watching, from this workspace's own figures (SR-123 to SR-127). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import polars as pl

ROWS_PER_SECOND = 50  # planning figure for one connection until a load was measured (dataverse-api 7)
REQUESTS_PER_DAY = (
    500_000  # application users of a tenant with any Enterprise or Professional licence (dataverse-api 8.2)
)
INDIVIDUAL = 2_000_000  # above this many records a project is scoped individually (SR-187)
LONG_EMAIL = 100  # length of emailaddress1


class Target(Protocol):
    """What is read of the target's audit."""

    @property
    def disabled_users(self) -> tuple[str, ...]:
        """Addresses of disabled users."""


def estimate(counts: Mapping[str, int]) -> pl.DataFrame:
    """Per object: rows, Power Platform requests, minutes at the planning figure, share of a day's request allowance."""
    rows = [
        {"object": name, "rows": n, "requests": n, "minutes": round(n / ROWS_PER_SECOND / 60, 1),
         "of_daily_allowance": f"{n / REQUESTS_PER_DAY:.1%}"}
        for name, n in counts.items()
    ]  # fmt: skip
    return pl.DataFrame(rows)


def risks(people: pl.DataFrame, events: pl.DataFrame, audit: Target) -> pl.DataFrame:
    """What was found in this workspace that needs watching: finding, count, what follows."""
    found = [
        (
            "people without an e-mail address",
            people["email"].is_null().sum(),
            "go to review, or become Leads by choice",
        ),
        ("people whose consent cannot be read", people["unsubscribed"].is_null().sum(), "count as opted out"),
        ("people who opted out", people["unsubscribed"].fill_null(False).sum(), "bulk e-mail is switched off"),
        ("people without an id of the customer's", people["id"].is_null().sum(), "are recognised by their cio_id"),
        ("e-mail addresses over 100 characters", _long(people["email"]), "stay in the JSON column; the person loads"),
        ("events of nobody in the source", events["person_key"].is_null().sum(), "go to the anonymous event table"),
        ("disabled users in the target", len(audit.disabled_users), "cannot own rows"),
        ("records in all", people.height + events.height, _size(people.height + events.height)),
    ]
    return pl.DataFrame(
        found, schema={"finding": pl.String, "count": pl.Int64, "what follows": pl.String}, orient="row"
    )


def _long(emails: pl.Series) -> int:
    return int((emails.str.len_chars() > LONG_EMAIL).sum())


def _size(records: int) -> str:
    return "to be scoped individually" if records > INDIVIDUAL else "within the range of the standard estimate"
