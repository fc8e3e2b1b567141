"""Companies (type 2), contracts (type 1) and the objects of a type that is switched off (type 3)."""

import random
from collections.abc import Iterator

from cio2d365.sim.customerio.workspace import Json, Thing, Workspace
from cio2d365.sim.sample.draw import DAY, NOW, YEAR, Place, date, growing, places, stream
from cio2d365.sim.sample.words import INDUSTRIES, LEGAL, OWNERS, PLANS, STEM_A, STEM_B, TAGS

CONTRACTS, COMPANIES, PROGRAMS = "1", "2", "3"
COMPANY_COUNT, CONTRACT_COUNT, PROGRAM_COUNT = 300, 400, 12
TYPES = (
    (CONTRACTS, "Contracts", "Contract", True, "document"),
    (COMPANIES, "Companies", "Company", True, "building"),
    (PROGRAMS, "Loyalty programs", "Loyalty program", False, "star"),
)


def add_object_types(workspace: Workspace) -> None:
    """The numbers are awkward on purpose: type 1 is not the companies."""
    workspace.object_types = [
        {
            "id": number,
            "name": plural,
            "singular_name": singular,
            "slug": plural.lower().replace(" ", "_"),
            "singular_slug": singular.lower().replace(" ", "_"),
            "enabled": enabled,
            "icon": icon,
        }
        for number, plural, singular, enabled, icon in TYPES
    ]


def add_companies(workspace: Workspace, seed: int) -> None:
    """300 companies, the last ten of them awkward."""
    rng = stream(seed, "companies")
    stems = [f"{a}{b}" for a in STEM_A for b in STEM_B]
    rng.shuffle(stems)
    for number in range(COMPANY_COUNT - len(AWKWARD)):
        place = rng.choices(places(), weights=[8 if p.country_code in ("US", "DE", "GB") else 3 for p in places()])[0]
        object_id = f"acc_{1000 + number}"
        _add(workspace, COMPANIES, object_id, _company(rng, stems[number], place), growing(rng, 36))
    for object_id, overrides in AWKWARD:
        attributes = _company(rng, stems.pop(), rng.choice(places()))
        merged = {name: value for name, value in {**attributes, **overrides}.items() if value is not None}
        _add(workspace, COMPANIES, object_id, merged, growing(rng, 36))


def _company(rng: random.Random, stem: str, place: Place) -> Json:
    employees = rng.choice((3, 8, 15, 40, 75, 120, 260, 600, 1500, 9000)) + rng.randrange(40)
    company: Json = {
        "name": f"{stem} {LEGAL.get(place.country_code, 'Ltd')}",
        "domain": f"{stem.lower()}.example",
        "website": f"https://www.{stem.lower()}.example/",
        "industry": rng.choice(INDUSTRIES),
        "employees": employees if rng.random() < 0.94 else f"{employees // 10 * 10}+",
        "annual_revenue": employees * rng.randrange(20, 180) * 1000,
        "currency": place.currency,
        "city": place.city,
        "country": place.country,
        "country_code": place.country_code,
        "plan": rng.choice(PLANS),
        "account_owner": rng.choices(OWNERS, weights=(40, 35, 20, 5))[0],
        "customer_since": date(growing(rng, 36) // DAY),
    }
    if rng.random() < 0.15:
        company["tags"] = sorted(rng.sample(TAGS, 2))
    if rng.random() < 0.08:
        company["vat_id"] = f"{place.country_code}{rng.randrange(10**8, 10**9)}"
    return company


AWKWARD: tuple[tuple[str, Json], ...] = (
    ("noname", {"name": None, "domain": "noname.example"}),
    ("nameless-nodomain", {"name": "", "domain": None, "website": None}),
    ("twin-1", {"name": "Twin Peaks Trading", "domain": "twin.example", "city": "Leeds"}),
    ("twin-2", {"name": "Twin Peaks Trading Ltd.", "domain": "twin.example", "city": "York"}),
    ("ACME", {"name": "Acme Upper", "domain": "acme-upper.example"}),
    ("acme", {"name": "acme lower", "domain": "acme-lower.example"}),
    ("a/b & co", {"name": "A/B & Co <b>bold</b>", "domain": "ab-co.example"}),
    ("formula", {"name": "=1+1", "domain": "formula.example"}),
    ("loop-a", {"name": "Loop A", "parent_company_id": "loop-b"}),
    ("loop-b", {"name": "Loop B", "parent_company_id": "loop-a"}),
)


def _add(workspace: Workspace, type_id: str, object_id: str, attributes: Json, created: int) -> None:
    cio_object_id = f"ob{type_id}{len(workspace.things) + 1:06x}"
    workspace.add_thing(Thing(type_id, object_id, cio_object_id, attributes, created))


def add_contracts(workspace: Workspace, seed: int) -> None:
    """400 contracts; one in fifty names a company that does not exist."""
    rng = stream(seed, "contracts")
    companies = [thing for thing in workspace.things.values() if thing.type_id == COMPANIES]
    for number in range(CONTRACT_COUNT):
        company = rng.choice(companies)
        start = growing(rng, 36) // DAY
        known = number % 50 != 49
        attributes = {
            "name": f"{company.attributes.get('name') or company.object_id}: agreement {number + 1}",
            "contract_number": f"{2024 + number % 3}-{number:05d}",
            "company_id": company.object_id if known else f"gone_{number}",
            "status": rng.choices(("active", "expired", "pending", "Active"), weights=(60, 25, 12, 3))[0],
            "start_date": date(start),
            "end_date": date(start + rng.choice((365, 730, 1095))),
            "value": rng.randrange(500, 250_000) + rng.choice((0, 0.5, 0.99)),
            "currency": company.attributes["currency"],
            "seats": rng.choice((5, 10, 25, 50, 100, "unlimited")),
            "auto_renew": rng.choice((True, False, "true", "no")),
            "signed_at": start * DAY + rng.randrange(DAY),
        }
        _add(workspace, CONTRACTS, f"CTR-{number + 1:05d}", attributes, start * DAY)


def add_programs(workspace: Workspace, seed: int) -> None:
    """Data of a type that was switched off later."""
    rng = stream(seed, "programs")
    for number in range(PROGRAM_COUNT):
        attributes = {"name": f"Program {number + 1}", "points": rng.randrange(10_000)}
        _add(workspace, PROGRAMS, str(number + 1), attributes, NOW - 2 * YEAR)


def companies_of(workspace: Workspace) -> Iterator[Thing]:
    """All companies of a workspace."""
    return (thing for thing in workspace.things.values() if thing.type_id == COMPANIES)
