"""Seeded draws: one random stream per subject, so that a change in one part leaves the rest alone.

Only integer arithmetic and `random()` are used, because logarithms and cosines differ in the last bit between
platforms.
"""

import csv
import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cio2d365.sim.customerio.workspace import Person

NOW = 1_793_491_200  # 2026-11-01T00:00:00Z, the clock of the sample workspace
DAY = 86_400
YEAR = 365 * DAY
SEED = 20261101
ULID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Place:
    """A real city, from GeoNames (see data/README.md)."""

    city: str
    country_code: str
    country: str
    timezone: str
    calling_code: str
    currency: str
    population: int


def stream(seed: int, subject: str) -> random.Random:
    """The random stream of a subject."""
    return random.Random(f"{seed}/{subject}")


@cache
def places() -> tuple[Place, ...]:
    """The cities of data/places.csv."""
    path = Path(__file__).parent / "data" / "places.csv"
    with path.open(newline="", encoding="utf-8") as table:
        return tuple(
            Place(
                row["city"],
                row["country_code"],
                row["country"],
                row["timezone"],
                row["calling_code"],
                row["currency"],
                int(row["population"]),
            )
            for row in csv.DictReader(table)
        )


def ulid(rng: random.Random, seconds: int) -> str:
    """26 characters, the first ten encode the millisecond."""
    number = seconds * 1000 + rng.randrange(1000)
    head = [ULID_LETTERS[(number >> (5 * i)) & 31] for i in range(9, -1, -1)]
    tail = [ULID_LETTERS[rng.randrange(32)] for _ in range(16)]
    return "".join(head + tail)


def hexes(rng: random.Random, digits: int) -> str:
    """Lower-case hexadecimal digits."""
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def growing(rng: random.Random, months: int, before: int = NOW) -> int:
    """A moment in the last `months` 30-day months; month k is drawn k times as often as the first."""
    month = rng.choices(range(months), weights=range(1, months + 1))[0]
    return before - (months - month) * 30 * DAY + rng.randrange(30 * DAY)


def present(people: Sequence[Person], moment: int) -> int:
    """How many of the people, who are in the order of sign-up, had signed up by then; at least one."""
    return max(1, bisect_right(people, moment, key=lambda person: person.created_in_cio_at))


def in_order_of_sign_up(people: Iterable[Person]) -> list[Person]:
    """The people as `present` wants them."""
    return sorted(people, key=lambda person: (person.created_in_cio_at, person.cio_id))


def iso(seconds: int) -> str:
    """`2026-11-01T00:00:00Z`, computed without the platform's calendar functions."""
    day, second = divmod(seconds, DAY)
    return f"{date(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


def date(day: int) -> str:
    """`2026-11-01` for a count of days since 1970 (proleptic Gregorian calendar)."""
    shifted = day + 719_468
    era, of_era = divmod(shifted, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * of_year + 2) // 153
    number = of_year - (153 * month_index + 2) // 5 + 1
    month = month_index + 3 if month_index < 10 else month_index - 9
    return f"{year_of_era + era * 400 + (month <= 2):04d}-{month:02d}-{number:02d}"
