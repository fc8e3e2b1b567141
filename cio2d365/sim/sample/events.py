"""25,000 events over two years, page views, screens and the rest of the activity log."""

import random
from collections.abc import Iterator
from dataclasses import replace

from cio2d365.sim.customerio.workspace import Activity, Delivery, Departed, Json, Person, Workspace
from cio2d365.sim.sample.draw import DAY, NOW, growing, hexes, in_order_of_sign_up, present, stream, ulid
from cio2d365.sim.sample.properties import EVENT_NAMES, PROPERTIES
from cio2d365.sim.sample.words import PLANS

EVENT_COUNT, PAGE_COUNT, SCREEN_COUNT = 25_000, 1_500, 300
ANONYMOUS_COUNT, LATER_KNOWN_COUNT, DEPARTED_COUNT = 600, 400, 150
MONTHS = 24
DELIVERY_LOG_DAYS = 45


def add_events(workspace: Workspace, seed: int) -> None:
    """Ordinary events, the awkward ones, pages and screens; the awkward ones are part of the 25,000."""
    rng = stream(seed, "events")
    people = in_order_of_sign_up(workspace.people.values())
    _add_departed(workspace, stream(seed, "departed"))
    special = list(_special(workspace, stream(seed, "special events"), people))
    ordinary = EVENT_COUNT - len(special)
    for number in range(ordinary):
        workspace.record(_ordinary(rng, number, people, list(workspace.departed.values())))
    for activity in special:
        workspace.record(activity)
    _add_views(workspace, stream(seed, "views"), people)


def _add_departed(workspace: Workspace, rng: random.Random) -> None:
    """Twenty deleted people, five of them suppressed, whose calls are still in the files."""
    for number in range(20):
        gone = Departed(
            cio_id=f"de{0xE10000 + number:06x}",
            id=f"gone-{number + 1}",
            email=f"gone.person.{number + 1}@departed.example",
            deleted_at=NOW - rng.randrange(20, 300) * DAY,
            suppressed=number < 5,
        )
        workspace.departed[gone.cio_id] = gone
        if gone.suppressed:
            workspace.suppressed.add(str(gone.id))


def _event(rng: random.Random, moment: int, name: str, cio_id: str | None) -> Activity:
    return Activity(
        id=ulid(rng, moment),
        type="event",
        timestamp=moment,
        cio_id=cio_id,
        name=name,
        data=PROPERTIES[name](rng),
        message_id=_call_id(rng),
    )


def _call_id(rng: random.Random) -> str:
    digits = hexes(rng, 32)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _name(rng: random.Random) -> str:
    weights = [2520 // rank for rank in range(1, len(EVENT_NAMES) + 1)]
    return rng.choices(EVENT_NAMES, weights=weights)[0]


def _someone(rng: random.Random, people: list[Person], moment: int) -> Person:
    """Somebody who had signed up by then; few people send most of the events."""
    share = rng.random()
    return people[int(share * share * present(people, moment))]


def _ordinary(rng: random.Random, number: int, people: list[Person], gone: list[Departed]) -> Activity:
    moment = growing(rng, MONTHS)
    name = _name(rng)
    if number < ANONYMOUS_COUNT:
        return replace(_event(rng, moment, name, None), anonymous_id=f"anon-{rng.randrange(180):04d}")
    if number < ANONYMOUS_COUNT + LATER_KNOWN_COUNT:
        return _before_sign_up(rng, people, name)
    if number < ANONYMOUS_COUNT + LATER_KNOWN_COUNT + DEPARTED_COUNT:
        who = rng.choice(gone)
        return _event(rng, min(moment, who.deleted_at - rng.randrange(DAY)), name, who.cio_id)
    return _event(rng, moment, name, _someone(rng, people, moment).cio_id)


def _before_sign_up(rng: random.Random, people: list[Person], name: str) -> Activity:
    """An event of the days before somebody signed up; the call names only the anonymous id."""
    recent = [p for p in people if p.created_in_cio_at > NOW - MONTHS * 30 * DAY + 10 * DAY]
    person = recent[rng.randrange(len(recent))]
    anonymous_id = person.attributes.setdefault("anonymous_id", f"known-{person.cio_id}")
    moment = person.created_in_cio_at - rng.randrange(60, 9 * DAY)
    return replace(_event(rng, moment, name, person.cio_id), anonymous_id=anonymous_id, names_person=False)


def _special(workspace: Workspace, rng: random.Random, people: list[Person]) -> Iterator[Activity]:
    """The events that README.md lists as awkward."""
    hostile = workspace.with_id("xss-1") or people[0]
    who = workspace.with_id("007") or people[0]

    def at(days: float, name: str, **data: object) -> Activity:
        event = _event(rng, NOW - int(days * DAY), name, who.cio_id)
        return replace(event, data={**event.data, **data})

    yield replace(at(40, "invoice_paid", note="delivered three times"), redelivered=2)
    twin = replace(at(20, "feature_used", feature="export"), message_id=None)
    yield twin
    yield replace(twin, id=ulid(rng, twin.timestamp))
    yield replace(at(400, "project_created", note="backdated"), received_at=NOW - 15 * DAY)
    yield at(18, "support_ticket_opened", body="All work and no play. " * 230)
    yield at(17, "support_ticket_opened", subject="</script><img src=x onerror=alert(1)>", body="=1+1")
    yield replace(at(16, "demo_requested", message="<script>alert(1)</script>"), cio_id=hostile.cio_id)
    yield at(14, "checkout_completed", total="1,234.56", items=[{"sku": "é-1", "qty": 2}, {"sku": "b", "qty": 1}])
    yield at(13, "invoice_paid", amount=9_007_199_254_740_993, card_number="4242 4242 4242 4242")
    yield at(12.5, "feature_used", feature=None, duration_ms="n/a")
    yield replace(at(-3 * 365, "trial_started", note="three years in the future"), received_at=NOW - 14 * DAY)
    yield at(25, "Report Viewed", **{"Plan": "TEAM", "$set": {"x": 1}, "a@odata.bind": "/contacts(1)"})
    yield at(10, "feature_used", duration_ms=12.5, api_token="tok_" + "0" * 24)
    yield replace(at(18.5, "feature_used"), name="<script>alert(1)</script>")


def _add_views(workspace: Workspace, rng: random.Random, people: list[Person]) -> None:
    paths = ("/", "/pricing", "/features", "/blog/why-crm", "/login", "/docs?page=1#top")
    for number in range(PAGE_COUNT + SCREEN_COUNT):
        moment = growing(rng, MONTHS)
        anonymous = number < PAGE_COUNT // 3
        who = None if anonymous else _someone(rng, people, moment).cio_id
        page = number < PAGE_COUNT
        address = f"https://www.sample.example{rng.choice(paths)}"
        workspace.record(
            Activity(
                id=ulid(rng, moment),
                type="page" if page else "screen",
                timestamp=moment,
                cio_id=who,
                name=None if page else rng.choice(("Home", "Checkout", "Settings")),
                url=address if page else None,
                data={"referrer": "https://search.example/"} if rng.random() < 0.4 else {},
                anonymous_id=f"anon-{rng.randrange(180):04d}" if anonymous else None,
                message_id=_call_id(rng),
            )
        )


def add_log(workspace: Workspace, seed: int) -> None:
    """Attribute changes, sign-ups and what happened to messages, as far back as the API could ever show them."""
    rng = stream(seed, "log")
    oldest = NOW - DELIVERY_LOG_DAYS * DAY
    for person in list(workspace.people.values()):
        if person.created_in_cio_at >= oldest:
            moment = person.created_in_cio_at
            workspace.record(Activity(ulid(rng, moment), "profile_create", moment, person.cio_id))
        moment = person.changed.get("plan", 0)
        if moment >= oldest:
            change: Json = {"plan": {"from": rng.choice(PLANS), "to": person.attributes["plan"]}}
            workspace.record(Activity(ulid(rng, moment), "attribute_change", moment, person.cio_id, data=change))
    for delivery in workspace.deliveries:
        if delivery.created >= oldest and delivery.cio_id is not None:
            for activity in _log_of(rng, delivery):
                workspace.record(activity)


def _log_of(rng: random.Random, delivery: Delivery) -> Iterator[Activity]:
    for metric in ("sent", "delivered", "opened", "clicked", "bounced", "unsubscribed"):
        moment = delivery.metrics.get(metric)
        if moment is not None:
            data: Json = {"delivery_id": delivery.id, metric: moment}
            yield Activity(
                id=ulid(rng, moment),
                type=f"{metric}_{delivery.type}",
                timestamp=moment,
                cio_id=delivery.cio_id,
                data=data,
                delivery_id=delivery.id,
                delivery_type=delivery.type,
            )
