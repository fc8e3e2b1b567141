"""2,000 people: 1,940 ordinary ones with their traits, then the awkward ones of `awkward.py`."""

import random
import unicodedata
from collections.abc import Iterator

from cio2d365.sim.customerio.workspace import Json, Person, Relationship, Thing, Workspace
from cio2d365.sim.sample.awkward import AWKWARD_PEOPLE
from cio2d365.sim.sample.companies import companies_of
from cio2d365.sim.sample.draw import DAY, NOW, YEAR, Place, date, growing, hexes, iso, places, stream
from cio2d365.sim.sample.words import (
    FIRST,
    FREEMAIL,
    INDUSTRIES,
    JOBS,
    LAST,
    OWNERS,
    PLANS,
    SOURCES,
    STAGES,
    TAGS,
    TONGUE,
)

PEOPLE_COUNT = 2000
FIRM_SHARE, THIN_SHARE = 0.58, 0.75
THIN_TRAITS = ("first_name", "language", "signup_source", "newsletter_optin", "country", "timezone")
PREFIXES = ("a3", "03", "30", "c0", "5e")


def cio_id(number: int) -> str:
    """Eight hexadecimal digits; some read like a number with an exponent (`30e00003`)."""
    return f"{PREFIXES[number % len(PREFIXES)]}{0xE00000 + number:06x}"


def add_people(workspace: Workspace, seed: int) -> None:
    """Everybody, in the order of sign-up within each group."""
    rng = stream(seed, "people")
    firms = list(companies_of(workspace))
    joined = sorted(growing(rng, 36, NOW - DAY) for _ in range(PEOPLE_COUNT - len(AWKWARD_PEOPLE)))
    for number, moment in enumerate(joined):
        firm = rng.choice(firms) if rng.random() < FIRM_SHARE else None
        _add_ordinary(workspace, rng, number, moment, firm)
    for number, (identifier, email, overrides) in enumerate(AWKWARD_PEOPLE, start=len(joined)):
        traits = _traits(rng, number, growing(rng, 30), rng.choice(places()), None)
        merged = {name: value for name, value in {**traits, **overrides}.items() if value is not None}
        created = NOW - YEAR + number
        workspace.add_person(Person(cio_id(number), identifier, email, merged, created))


def _add_ordinary(workspace: Workspace, rng: random.Random, number: int, moment: int, firm: Thing | None) -> None:
    place = _place(rng, firm)
    traits = _traits(rng, number, moment, place, firm)
    email = _email(rng, number, traits, firm)
    if firm is None and email and rng.random() < THIN_SHARE:
        traits = _thin(rng, traits)
    person = Person(
        cio_id=cio_id(number),
        id=None if rng.random() < 0.03 and email else str(100_000 + number),
        email=email,
        attributes=traits,
        created_in_cio_at=moment + rng.randrange(60),
        changed=dict(_changes(rng, traits, moment)),
        devices=_devices(rng, moment),
    )
    workspace.add_person(person)
    if firm is not None:
        _relate(workspace, rng, person, firm, moment)


def _thin(rng: random.Random, traits: Json) -> Json:
    """Somebody who only left an address: at most five traits besides the date and the consent."""
    kept = rng.sample(THIN_TRAITS, rng.choices(range(6), weights=(25, 25, 20, 15, 10, 5))[0])
    always = ("created_at", "unsubscribed", "cio_subscription_preferences")
    return {name: value for name, value in traits.items() if name in kept or name in always}


def _place(rng: random.Random, firm: Thing | None) -> Place:
    here = firm.attributes.get("country_code") if firm else None
    near = [place for place in places() if place.country_code == here]
    return rng.choice(near or places())


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(str.maketrans("łŁøØßİı", "lLoOsIi")))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum()).lower()


def _email(rng: random.Random, number: int, traits: Json, firm: Thing | None) -> str | None:
    kind = rng.random()
    if kind < 0.04:
        return None
    name = f"{_ascii(traits['first_name'])}.{_ascii(traits['last_name'])}".strip(".") or "person"
    domain = firm.attributes.get("domain") if firm else None
    if domain and kind < 0.85:
        return f"{name}.{number}@{domain}"
    if kind < 0.95:
        return f"sample.person.{number}@{rng.choice(FREEMAIL)}"
    return f"{name}{number}@mail{number % 7}.example"


def _changes(rng: random.Random, traits: Json, moment: int) -> Iterator[tuple[str, int]]:
    for name in ("plan", "last_login_at", "lifecycle_stage", "marketing_score"):
        if name in traits and rng.random() < 0.5:
            yield name, moment + rng.randrange(max(1, NOW - moment))


def _devices(rng: random.Random, moment: int) -> list[Json]:
    if rng.random() > 0.12:
        return []
    system = rng.choice(("ios", "android"))
    attributes = {"device_os": f"{rng.randrange(12, 18)}.{rng.randrange(5)}", "push_enabled": "true"}
    return [{"id": hexes(rng, 32), "platform": system, "last_used": moment + DAY, "attributes": attributes}]


def _traits(rng: random.Random, number: int, moment: int, place: Place, firm: Thing | None) -> Json:
    tongue = TONGUE.get(place.country_code, "en")
    traits: Json = {
        "first_name": rng.choice(FIRST[tongue]),
        "last_name": rng.choice(LAST[tongue]),
        "created_at": moment,
        "country": place.country if rng.random() < 0.9 else place.country_code,
        "timezone": place.timezone,
        "language": tongue if rng.random() < 0.8 else "en",
        "plan": rng.choices(PLANS, weights=(45, 25, 15, 10, 5))[0],
        "lifecycle_stage": rng.choices(STAGES, weights=(25, 22, 12, 8, 8, 20, 5))[0],
        "signup_source": rng.choices(SOURCES, weights=range(len(SOURCES), 0, -1))[0],
    }
    traits.update(_work(rng, firm))
    traits.update(_sometimes(rng, _usual(rng, moment, place), 0.55))
    traits.update(_sometimes(rng, _rare(rng, number, moment), 0.07))
    traits.update(_consent(rng))
    return traits


def _sometimes(rng: random.Random, traits: Json, share: float) -> Json:
    return {name: value for name, value in traits.items() if rng.random() < share}


def _work(rng: random.Random, firm: Thing | None) -> Json:
    work: Json = {"job_title": rng.choice(JOBS)} if rng.random() < (0.85 if firm else 0.3) else {}
    if firm and firm.attributes.get("name"):
        work["company"] = firm.attributes["name"]
        work["industry"] = firm.attributes.get("industry", INDUSTRIES[0])
    if rng.random() < 0.45:
        work["account_owner"] = rng.choices(OWNERS, weights=(45, 33, 18, 4))[0]
    return work


def _usual(rng: random.Random, moment: int, place: Place) -> Json:
    login = moment + rng.randrange(max(1, NOW - moment))
    return {
        "city": place.city,
        "phone": f"+{place.calling_code.split(' and ')[0].strip('+').replace('-', '')} 555 {rng.randrange(10**6):06d}",
        "seats": rng.choice((1, 1, 2, 5, 10, 25, 80)) if rng.random() < 0.96 else "unlimited",
        "mrr": rng.randrange(0, 90_000) / 100,
        "last_login_at": login * 1000 if rng.random() < 0.06 else login,
        "marketing_score": rng.randrange(101) if rng.random() < 0.93 else rng.choice(("n/a", "high", "", "7.5")),
        "trial_ends_at": iso(moment + 14 * DAY),
        "birthday": date(-3650 + rng.randrange(11_000)),
        "tags": sorted(rng.sample(TAGS, rng.randrange(1, 4))),
        "is_admin": rng.random() < 0.2,
        "mfa_enabled": rng.choice((True, False, "true", "1", "yes", "no", "TRUE ")),
        "email_count": rng.randrange(400),
    }


def _rare(rng: random.Random, number: int, moment: int) -> Json:
    return {
        "First Name": "legacy",
        "Plan": rng.choice(PLANS).upper(),
        "plan.tier": rng.randrange(1, 5),
        "nps_score": rng.randrange(11),
        "referral_code": f"REF-{hexes(rng, 6).upper()}",
        "linkedin_url": f"https://social.example/in/person-{number}",
        "fax": f"+49 555 {rng.randrange(10**6)}",
        "utm_campaign": rng.choice(("spring", "summer", "black friday")),
        "legacy_crm_id": f"{rng.randrange(10**9):09d}",
        "preferences": {"theme": rng.choice(("dark", "light")), "digest": {"day": "mon", "hour": rng.randrange(24)}},
        "beta_features": [{"name": "gantt", "on": True}, {"name": "forms", "on": False}],
        "createdon": iso(moment),
        "2fa_enabled": True,
        "last_webinar": f"{moment % 28 + 1:02d}/{moment % 12 + 1:02d}/2025",
        "churn_risk": rng.randrange(1000) / 1000,
    }


def _consent(rng: random.Random) -> Json:
    consent: Json = {}
    kind = rng.random()
    if kind < 0.09:
        consent["unsubscribed"] = True if kind < 0.06 else "true"
    if rng.random() < 0.5:
        consent["newsletter_optin"] = rng.choice((True, False, "true", "false", "1", 1, "yes", "Y", "maybe"))
    if rng.random() < 0.2:
        chosen = {f"topic_{topic}": rng.random() < 0.6 for topic in (1, 2, 3) if rng.random() < 0.6}
        text = ",".join(f'"{name}":{str(on).lower()}' for name, on in chosen.items())
        consent["cio_subscription_preferences"] = f'{{"topics":{{{text}}}}}'
    return consent


def _relate(workspace: Workspace, rng: random.Random, person: Person, firm: Thing, moment: int) -> None:
    roles = ("admin", "member", "billing", "owner")
    ties = [firm]
    if rng.random() < 0.08:
        ties += rng.sample(list(companies_of(workspace)), rng.randrange(1, 3))
    for rank, thing in enumerate(dict.fromkeys(t.cio_object_id for t in ties)):
        attributes = {"role": rng.choice(roles), "primary": rank == 0, "since": date(moment // DAY)}
        workspace.tie(Relationship(person.cio_id, thing, attributes, moment))


def relate_contracts(workspace: Workspace, seed: int) -> None:
    """Each contract has one to three people of its company; a few have nobody."""
    rng = stream(seed, "contract people")
    for thing in [t for t in workspace.things.values() if t.type_id != "2"]:
        company = workspace.thing("2", str(thing.attributes.get("company_id", "")))
        staff = [tie.cio_id for tie in workspace.ties_of_thing(company.cio_object_id)] if company else []
        for who in rng.sample(staff, min(len(staff), rng.randrange(1, 4))):
            attributes = {"role": rng.choice(("signer", "billing", "user"))}
            workspace.tie(Relationship(who, thing.cio_object_id, attributes, thing.created_at))
    programs = [t for t in workspace.things.values() if t.type_id == "3"]
    for who, thing in zip(list(workspace.people)[5:60:5], programs, strict=False):
        workspace.tie(Relationship(who, thing.cio_object_id, {}, thing.created_at))
