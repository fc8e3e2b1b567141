"""Campaigns of all seven kinds, newsletters, broadcasts, transactional templates and what they are made of."""

import json

from cio2d365.sim.customerio.workspace import Json, Workspace
from cio2d365.sim.sample.draw import DAY, NOW
from cio2d365.sim.sample.templates import NEWSLETTERS, STEPS, TRANSACTIONAL, Letter

SENDER = {"id": 7, "address": "Sample Team <hello@sample.example>"}
NEWSLETTER_SEGMENTS = (3, 10, 4, 5, 8)


def add_content(workspace: Workspace) -> None:
    """Everything that people wrote; nothing in it is random."""
    workspace.content.update(_library())
    workspace.content["campaigns"] = [_campaign(number, kind) for number, kind in enumerate(KINDS, start=1)]
    workspace.content["campaign_actions"] = [
        action for number in range(1, len(KINDS) + 1) for action in _campaign_actions(number)
    ]
    workspace.content["newsletters"] = [_newsletter(number) for number in range(1, len(NEWSLETTERS) + 2)]
    workspace.content["newsletter_contents"] = [
        _newsletter_content(number, language) for number in range(1, len(NEWSLETTERS) + 2) for language in ("", "de")
    ]
    workspace.content["broadcasts"] = [_broadcast(1, "Service notice"), _broadcast(2, "Price change")]
    workspace.content["broadcast_actions"] = [
        _action(
            900 + 10 * number + rank,
            {"broadcast_id": number, "multi_language_branch_action_id": str(900 + 10 * number)},
            letter,
            language,
        )
        for number in (1, 2)
        for rank, (letter, language) in enumerate(((STEPS[0][0], ""), (STEPS[0][1], "de")))
    ]
    workspace.content["triggers"] = [_trigger(number, rank) for number in (1, 2) for rank in range(1, 4)]
    workspace.content["transactional"] = [_transactional(n) for n in range(1, len(TRANSACTIONAL) + 1)]
    workspace.content["transactional_contents"] = [
        _transactional_content(number, language)
        for number in range(1, len(TRANSACTIONAL) + 1)
        for language in ("", "pl")
    ]


OBJECT_TRIGGER = {
    "and": [{"object_attribute": {"type_id": "1", "field": "status", "operator": "eq", "value": "active"}}]
}
AUDIENCE = {
    "type": 1,
    "person_filters": "{}",
    "relationship_filters": json.dumps(
        {"and": [{"relationship_attribute": {"type_id": "1", "field": "role", "operator": "eq", "value": "signer"}}]}
    ),
}

KINDS: tuple[tuple[str, Json], ...] = (
    ("Onboarding", {"type": "segment", "trigger_segment_ids": [11], "msg_templates": [{"type": "email", "id": 1}]}),
    ("Trial follow-up", {"type": "event", "event_name": "trial_started"}),
    ("Contact form", {"type": "form"}),
    (
        "Birthday",
        {
            "type": "date",
            "date_attribute": "birthday",
            "frequency": "yearly",
            "start_hour": 9,
            "start_minutes": 30,
            "timezone": "Europe/Berlin",
            "use_customer_timezone": True,
        },
    ),
    ("Partner webhook", {"type": "webhook", "webhook_id": 3}),
    (
        "Contract renewal",
        {
            "type": "object",
            "object_type_id": 1,
            "object_attribute_triggers": json.dumps(OBJECT_TRIGGER),
            "filter_object_attributes": json.dumps(OBJECT_TRIGGER),
            "filter_relationship_attributes": "",
            "audience": AUDIENCE,
        },
    ),
    (
        "New signer",
        {
            "type": "relationship",
            "object_type_id": 1,
            "relationship_attribute_triggers": {"and": []},
            "filter_object_attributes": "",
            "filter_relationship_attributes": AUDIENCE["relationship_filters"],
            "audience": {**AUDIENCE, "type": 0},
        },
    ),
    ("Win-back (old)", {"type": "segment", "trigger_segment_ids": [6], "filter_segment_ids": [4, 12]}),
)
STOPPED, DRAFT = 8, 3


def _campaign(number: int, kind: tuple[str, Json]) -> Json:
    name, trigger = kind
    created = NOW - (600 - 20 * number) * DAY
    state = "stopped" if number == STOPPED else "draft" if number == DRAFT else "running"
    actions = _campaign_actions(number)
    return {
        "id": number,
        "deduplicate_id": f"{number}:{created + 40 * DAY}",
        "name": name,
        "description": f"{name}: see the hand-over document" if number % 2 else "",
        "state": state,
        "active": state == "running",
        "created": created,
        "updated": created + 40 * DAY,
        "first_started": 0 if state == "draft" else created + DAY,
        "tags": ["lifecycle"] if number % 3 == 1 else None,
        "actions": [{"id": int(action["id"]), "type": action["type"]} for action in actions],
        "filter_segment_ids": [],
        "created_by": "person@sample.example",
        **trigger,
    }


def _campaign_actions(number: int) -> list[Json]:
    """Three steps in English and German, a webhook and an attribute update; campaign 1 needs a second page."""
    rounds = 2 if number == 1 else 1
    actions = []
    for rank in range(3 * rounds):
        english, german = STEPS[rank % len(STEPS)]
        first = 100 * number + 10 * rank
        owner = {"campaign_id": number, "parent_action_id": None, "multi_language_branch_action_id": str(first)}
        actions += [_action(first, owner, english, ""), _action(first + 1, owner, german, "de")]
    return [*actions, _webhook_action(number), _attribute_update(number)]


def _action(number: int, owner: Json, letter: Letter, language: str) -> Json:
    """An action of a live workspace: its ids are text."""
    created = NOW - 550 * DAY + number * 60
    return {
        "id": str(number),
        **owner,
        "deduplicate_id": f"{number}:{created}",
        "name": letter.name,
        "layout": "<html><body>{{ content }}</body></html>",
        "created": created,
        "updated": created + 5 * DAY,
        "type": "email",
        "sending_state": "automatic",
        **_letter(letter, language),
        "from_id": str(SENDER["id"]),
        "reply_to_id": str(SENDER["id"]),
        "editor": "html",
    }


def _letter(letter: Letter, language: str) -> Json:
    return {
        "language": language,
        "from": SENDER["address"],
        "from_id": SENDER["id"],
        "reply_to": SENDER["address"],
        "reply_to_id": SENDER["id"],
        "preprocessor": "premailer",
        "recipient": "{{customer.email}}",
        "subject": letter.subject,
        "body": letter.body,
        "body_amp": "",
        "bcc": "",
        "fake_bcc": False,
        "preheader_text": letter.preheader,
        "headers": "[]",
    }


def _webhook_action(number: int) -> Json:
    created = NOW - 540 * DAY
    return {
        "id": str(100 * number + 90),
        "campaign_id": number,
        "parent_action_id": None,
        "deduplicate_id": f"{100 * number + 90}:{created}",
        "name": "Tell the CRM",
        "layout": "",
        "created": created,
        "updated": created,
        "type": "webhook",
        "sending_state": "automatic",
        "language": "",
        "url": "https://hooks.sample.example/crm?token=secret-in-a-url",
        "method": "POST",
        "headers": '[{"name":"Content-Type","value":"application/json"}]',
        "body": '{"id":"{{customer.id}}","plan":"{{customer.plan}}","event":"{{event.name}}"}',
    }


def _attribute_update(number: int) -> Json:
    created = NOW - 530 * DAY
    return {
        "id": str(100 * number + 95),
        "campaign_id": number,
        "deduplicate_id": f"{100 * number + 95}:{created}",
        "name": "Mark as welcomed",
        "layout": "",
        "body": "",
        "created": created,
        "updated": created,
        "type": "attribute_update",
        "language": "",
        "editor": "",
        "recipient": "",
        "recipient_environment_id": 144601,
    }


def sent_at(newsletter: int) -> int:
    """One newsletter every eight weeks, the last a few days ago."""
    return NOW - (4 + 56 * (len(NEWSLETTERS) - newsletter)) * DAY + 9 * 3600


def _newsletter(number: int) -> Json:
    """The one after the last is a draft."""
    draft = number > len(NEWSLETTERS)
    created = NOW - 2 * DAY if draft else sent_at(number) - 3 * DAY
    return {
        "id": number,
        "deduplicate_id": f"{number}:{created}",
        "type": "email",
        "name": "Draft" if draft else NEWSLETTERS[number - 1].name,
        "content_ids": [1000 + 2 * number, 1001 + 2 * number],
        "sent_at": None if draft else sent_at(number),
        "created": created,
        "updated": created + DAY,
        "tags": ["news"] if number % 2 else None,
        "recipient_segment_ids": [NEWSLETTER_SEGMENTS[number % len(NEWSLETTER_SEGMENTS)]],
        "subscription_topic_id": 1 if number % 3 else None,
    }


def _newsletter_content(number: int, language: str) -> Json:
    letter = NEWSLETTERS[(number - 1) % len(NEWSLETTERS)]
    content_id, created = 1000 + 2 * number + (language != ""), _newsletter(number)["created"]
    return {
        "id": content_id,
        "newsletter_id": number,
        "deduplicate_id": f"{content_id}:{created}",
        "name": letter.name,
        "layout": "<html><body>{{ content }}</body></html>",
        "type": "email",
        "created": created,
        "updated": created,
        **_letter(letter, language),
    }


def _broadcast(number: int, name: str) -> Json:
    created = NOW - (420 - number) * DAY
    return {
        "id": number,
        "deduplicate_id": f"{number}:{created}",
        "name": name,
        "type": "triggered_broadcast",
        "state": "running",
        "active": True,
        "actions": [{"id": 900 + 10 * number, "type": "email"}, {"id": 901 + 10 * number}],
        "first_started": created,
        "tags": "nil" if number == 1 else None,
        "created": created,
        "updated": created + DAY,
        "created_by": "person@sample.example",
    }


def triggered_at(broadcast: int, trigger: int) -> int:
    """Three triggers each, four months apart."""
    return NOW - (400 - 120 * trigger + broadcast) * DAY


def _trigger(broadcast: int, trigger: int) -> Json:
    moment = triggered_at(broadcast, trigger)
    return {"id": trigger, "broadcast_id": broadcast, "created_at": moment, "processed_at": moment + 40}


def _transactional(number: int) -> Json:
    letter, created = TRANSACTIONAL[number - 1], NOW - (700 - number) * DAY
    return {
        "id": number,
        "name": letter.name,
        "trigger_name": letter.name.lower().replace(" ", "_"),
        "description": f"Sent by the product: {letter.name.lower()}",
        "send_to_unsubscribed": number != 5,
        "link_tracking": number % 2 == 0,
        "open_tracking": True,
        "hide_message_body": number == 1,
        "queue_drafts": False,
        "created_at": created,
        "updated_at": created + 90 * DAY,
    }


def _transactional_content(number: int, language: str) -> Json:
    letter, created = TRANSACTIONAL[number - 1], NOW - (700 - number) * DAY
    return {
        "_parent": number,
        "id": 500 + 2 * number + (language != ""),
        "name": letter.name,
        "type": "email",
        "created": created,
        "updated": created + 90 * DAY,
        **_letter(letter, language),
    }


OLD = NOW - 800 * DAY
TOPICS = (("Product news", "New features", True), ("Offers", "Discounts", False), ("Events", "", True))
SNIPPETS = (
    ("footer", "<p>Sample Ltd · {{customer.city}} · {% unsubscribe_url %}</p>"),
    ("greeting", "{% if customer.first_name %}Hi {{customer.first_name}}{% endif %}"),
    ("signature", "<b>Team Sample</b> {{snippets.footer}}"),
)
UPCOMING = [{"eventName": "Expo", "eventDate": "2026-12-01"}, {"eventName": "Café", "seats": 40}]
WEBHOOK: Json = {
    "id": 4,
    "type": "webhook",
    "name": "Warehouse",
    "endpoint": "https://user:password@hooks.sample.example/cio",
    "disabled": False,
    "full_resolution": True,
    "with_content": False,
    "events": ["email_sent", "email_failed", "customer_unsubscribed"],
}


def _library() -> dict[str, list[Json]]:
    collection = {"id": 1, "name": "upcoming_events", "created_at": OLD, "updated_at": OLD + DAY, "content": UPCOMING}
    return {
        "topics": [_topic(number, *topic) for number, topic in enumerate(TOPICS, start=1)],
        "snippets": [{"name": name, "value": value, "updated_at": OLD} for name, value in SNIPPETS],
        "senders": [
            _sender(7, "Sample Team", "hello", hidden=False),
            _sender(8, "Billing", "billing", hidden=False),
            _sender(9, "Old", "old", hidden=True),
        ],
        "collections": [collection],
        "webhooks": [WEBHOOK],
        "suppressions": [_suppression(kind) for kind in ("bounces", "spam_reports")],
    }


def _topic(number: int, name: str, description: str, subscribed: bool) -> Json:
    return {
        "id": number,
        "identifier": f"topic_{number}",
        "name": name,
        "description": description,
        "subscribed_by_default": subscribed,
    }


def _suppression(kind: str) -> Json:
    address = f"{kind}@bounce.example"
    return {"category": kind, "created": OLD + 9, "email": address, "reason": "5.1.1", "status": "550"}


def _sender(number: int, name: str, box: str, *, hidden: bool) -> Json:
    address = f"{box}@sample.example"
    return {
        "id": number,
        "deduplicate_id": f"{number}:{OLD}",
        "name": name,
        "email": address,
        "address": f"{name} <{address}>",
        "template_type": "email",
        "auto_generated": False,
        "hidden": hidden,
    }
