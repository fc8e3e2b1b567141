"""Deliveries of newsletters, campaigns, broadcasts and transactional templates, with their metrics."""

import base64
import random
from collections.abc import Iterator

from cio2d365.sim.customerio.membership import members
from cio2d365.sim.customerio.workspace import Delivery, Departed, Person, Workspace
from cio2d365.sim.sample.content import DRAFT, KINDS, sent_at, triggered_at
from cio2d365.sim.sample.draw import DAY, NOW, growing, in_order_of_sign_up, present, stream
from cio2d365.sim.sample.templates import NEWSLETTERS, TRANSACTIONAL

NEWSLETTER_SHARE, CAMPAIGN_SHARE, BROADCAST_SHARE = 0.5, 0.25, 0.06
ARCHIVED_CAMPAIGN, ARCHIVED_COUNT = 77, 12
FAILURES = (("bounced", "550 5.1.1 user unknown"), ("dropped", "address is suppressed"), ("failed", "Liquid error"))


def add_deliveries(workspace: Workspace, seed: int, count: int) -> None:
    """`count` deliveries, only to people who had signed up: newsletters, campaigns, broadcasts, and the product."""
    rng = stream(seed, "deliveries")
    people = in_order_of_sign_up(person for person in workspace.people.values() if person.email)
    workspace.deliveries += _newsletters(workspace, rng, int(count * NEWSLETTER_SHARE))
    workspace.deliveries += (_campaign(rng, people, number) for number in range(int(count * CAMPAIGN_SHARE)))
    workspace.deliveries += (_broadcast(rng, people) for _ in range(int(count * BROADCAST_SHARE)))
    workspace.deliveries += _to_departed(rng, list(workspace.departed.values()))
    workspace.deliveries += (_archived_campaign(rng, people) for _ in range(ARCHIVED_COUNT))
    rest = count - len(workspace.deliveries)
    workspace.deliveries += (_transactional(rng, people) for _ in range(rest))
    _note_last_emailed(workspace)


def _newsletters(workspace: Workspace, rng: random.Random, count: int) -> Iterator[Delivery]:
    """The same number for each newsletter, nobody twice, to members of its segment as far as there are enough."""
    by_id = {row["id"]: row for row in workspace.content["newsletters"]}
    for newsletter, letter in enumerate(NEWSLETTERS, start=1):
        moment = sent_at(newsletter)
        inside = members(workspace, by_id[newsletter]["recipient_segment_ids"][0])
        known = [who for who in inside if workspace.people[who].created_in_cio_at < moment]
        for who in rng.sample(known, min(len(known), count // len(NEWSLETTERS))):
            person = workspace.people[who]
            content, sent = 1000 + 2 * newsletter + _german(person), moment + rng.randrange(1800)
            yield _delivery(rng, person, sent, letter.subject, newsletter_id=newsletter, content_id=content)


def _german(person: Person) -> bool:
    return person.attributes.get("language") == "de"


def _campaign(rng: random.Random, people: list[Person], number: int) -> Delivery:
    campaign = rng.choice([n for n in range(1, len(KINDS) + 1) if n != DRAFT])
    step, moment = 10 * rng.randrange(3), growing(rng, 18, NOW - DAY)
    person = people[rng.randrange(present(people, moment))]
    kind = "webhook" if number % 25 == 0 else "email"
    action = 100 * campaign + (90 if kind == "webhook" else step + _german(person))
    subject = None if kind == "webhook" else f"{KINDS[campaign - 1][0]} {step // 10 + 1}"
    return _delivery(rng, person, moment, subject, kind=kind, campaign_id=campaign, action_id=action)


def _broadcast(rng: random.Random, people: list[Person]) -> Delivery:
    broadcast = rng.randrange(1, 3)
    moment = triggered_at(broadcast, rng.randrange(1, 4)) + 60 + rng.randrange(900)
    person, action = people[rng.randrange(present(people, moment))], 900 + 10 * broadcast
    return _delivery(rng, person, moment, "Service notice", broadcast_id=broadcast, action_id=action)


def _transactional(rng: random.Random, people: list[Person]) -> Delivery:
    template = rng.choices(range(1, len(TRANSACTIONAL) + 1), weights=(20, 25, 10, 40, 5))[0]
    moment = growing(rng, 24, NOW - DAY)
    person = people[rng.randrange(present(people, moment))]
    return _delivery(rng, person, moment, TRANSACTIONAL[template - 1].name, transactional_message_id=template)


def _to_departed(rng: random.Random, gone: list[Departed]) -> Iterator[Delivery]:
    """Receipts of people who were deleted later."""
    for who in gone:
        moment = who.deleted_at - rng.randrange(DAY, 90 * DAY)
        person = Person(who.cio_id, who.id, who.email, {}, moment)
        yield _delivery(rng, person, moment, TRANSACTIONAL[1].name, transactional_message_id=2)


def _archived_campaign(rng: random.Random, people: list[Person]) -> Delivery:
    """Messages of a campaign that the API no longer lists."""
    moment = growing(rng, 18, NOW - 200 * DAY)
    person = people[rng.randrange(present(people, moment))]
    return _delivery(rng, person, moment, "From the archive", campaign_id=ARCHIVED_CAMPAIGN, action_id=7701)


def _note_last_emailed(workspace: Workspace) -> None:
    """The attribute that Customer.io keeps itself."""
    for delivery in workspace.deliveries:
        person = workspace.people.get(delivery.cio_id or "")
        sent = delivery.metrics.get("sent", 0)
        if person is not None and delivery.type == "email" and sent:
            person.attributes["_last_emailed"] = max(sent, person.attributes.get("_last_emailed", 0))


def _delivery(
    rng: random.Random, person: Person, moment: int, subject: str | None, kind: str = "email", **source: int
) -> Delivery:
    metrics, failure = _metrics(rng, moment, kind)
    forgotten = rng.random() < 0.004
    return Delivery(
        id=base64.urlsafe_b64encode(rng.getrandbits(152).to_bytes(20, "big")).decode(),
        type=kind,
        cio_id=None if forgotten and rng.random() < 0.5 else person.cio_id,
        recipient=person.email if kind == "email" else "https://hooks.sample.example/crm",
        subject=subject,
        created=moment,
        metrics=metrics,
        failure_message=failure,
        forgotten=forgotten,
        draft="drafted" in metrics,
        **source,  # type: ignore[arg-type]
    )


def _metrics(rng: random.Random, moment: int, kind: str) -> tuple[dict[str, int], str | None]:
    fate = rng.random()
    if fate < 0.01:
        return {"drafted": moment}, None
    if fate < 0.05:
        name, text = rng.choices(FAILURES, weights=(6, 2, 2))[0]
        return ({"sent": moment + 1, name: moment + 9} if name == "bounced" else {name: moment + 1}), text
    metrics = {"sent": moment + 1 + rng.randrange(4)}
    if kind == "webhook":
        return metrics, None
    if rng.random() < 0.02:
        metrics["attempted"] = moment + 1
    metrics["delivered"] = metrics["sent"] + rng.randrange(1, 300)
    metrics.update(_reactions(rng, metrics["delivered"]))
    return {name: min(value, NOW - 1) for name, value in metrics.items()}, None


def _reactions(rng: random.Random, delivered: int) -> Iterator[tuple[str, int]]:
    if rng.random() < 0.03:
        yield "secondary:delivered", delivered + 1
    if rng.random() > 0.42:
        return
    opened = delivered + rng.randrange(60, 5 * DAY)
    yield "opened", opened
    yield "human_opened", rng.randrange(1, 4)
    if rng.random() < 0.25:
        yield "clicked", opened + rng.randrange(5, 600)
        yield "human_clicked", 1
        if rng.random() < 0.2:
            yield "converted", opened + 3600
    if rng.random() < 0.02:
        yield "unsubscribed", opened + 20
    if rng.random() < 0.004:
        yield "spammed", opened + 30
