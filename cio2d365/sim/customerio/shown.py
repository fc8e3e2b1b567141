"""How people, objects and activities look in answers."""

import json
from typing import Any

from cio2d365.sim.customerio.workspace import Activity, Delivery, Json, Person, Thing, Workspace

DAY = 86_400


def attribute_text(value: Any) -> str:
    """An attribute value as the API writes it: always text, JSON inside for lists and objects (customerio-api 3.3)."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def person_attributes(person: Person) -> Json:
    """Attributes as sent plus the identifiers and the one that Customer.io sets itself."""
    own = {name: value for name, value in (("id", person.id), ("email", person.email)) if value is not None}
    return {
        **person.attributes,
        **own,
        "cio_id": person.cio_id,
        "_created_in_customerio_at": person.created_in_cio_at,
    }


def thing_attributes(thing: Thing) -> Json:
    """Attributes as sent plus the identifiers."""
    return {**thing.attributes, **thing.identifiers()}


def topics_chosen(person: Person) -> dict[str, bool]:
    """Explicit topic choices: `topic_<id>` → subscribed."""
    text = person.attributes.get("cio_subscription_preferences")
    if not isinstance(text, str):
        return {}
    try:
        topics = json.loads(text).get("topics", {})
    except (ValueError, AttributeError):
        return {}
    return {name: bool(value) for name, value in topics.items()}


def person_json(workspace: Workspace, person: Person, asked_by: str) -> Json:
    """The inside of `customer`; `id` echoes the identifier of the request."""
    attributes = person_attributes(person)
    if "cio_subscription_preferences" in attributes:
        computed = {
            f"topic_{topic['id']}": topics_chosen(person).get(f"topic_{topic['id']}", topic["subscribed_by_default"])
            for topic in workspace.content.get("topics", [])
        }
        attributes["_cio_subscription_preferences_computed"] = {"topics": computed}
    return {
        "id": asked_by,
        "identifiers": person.identifiers(),
        "attributes": {name: attribute_text(value) for name, value in attributes.items()},
        "timestamps": {
            name: 0 if name.endswith("_computed") else person.changed.get(name, person.created_in_cio_at)
            for name in attributes
        },
        "unsubscribed": person.unsubscribed,
        "devices": person.devices,
    }


def thing_json(thing: Thing) -> Json:
    """The inside of `object`."""
    attributes = thing_attributes(thing)
    return {
        "object_type_id": thing.type_id,
        "identifiers": thing.identifiers(),
        "attributes": {name: attribute_text(value) for name, value in attributes.items()},
        "timestamps": {name: thing.changed.get(name, thing.created_at) for name in attributes},
    }


def identifiers_of(workspace: Workspace, cio_id: str | None) -> dict[str, str | None]:
    """`customer_identifiers`: of a deleted person only the cio_id is left (customerio-api 15)."""
    person = workspace.people.get(cio_id or "")
    return {"cio_id": cio_id, "email": None, "id": None} if person is None else person.identifiers()


def activity_json(workspace: Workspace, activity: Activity) -> Json:
    """One row of `activities`; `name`, `url` and the delivery keys appear only where they mean something."""
    who = identifiers_of(workspace, activity.cio_id)
    optional = {
        "name": activity.name,
        "url": activity.url,
        "delivery_id": activity.delivery_id,
        "delivery_type": activity.delivery_type,
    }
    return {
        "id": activity.id,
        "type": activity.type,
        "timestamp": activity.timestamp,
        "customer_id": who["id"],
        "customer_identifiers": who,
        "data": activity.data,
        **{name: value for name, value in optional.items() if value is not None},
    }


def is_anonymised(workspace: Workspace, delivery: Delivery) -> bool:
    """Whether a delivery no longer says to whom it went."""
    left = workspace.departed.get(delivery.cio_id or "")
    return delivery.cio_id is None or delivery.forgotten or (left is not None and left.suppressed)


def delivery_json(workspace: Workspace, delivery: Delivery) -> Json:
    """One row of `messages`, with the two keys that the list schema lacks but live answers have.

    Of a deleted person's only the cio_id is left, a suppressed person's name nobody (customerio-api 15).
    """
    gone = is_anonymised(workspace, delivery)
    who = identifiers_of(workspace, None if gone else delivery.cio_id)
    newest = max([delivery.created, *(v for v in delivery.metrics.values() if v > DAY)])
    return {
        "id": delivery.id,
        "deduplicate_id": f"{delivery.id}:{newest}",
        "type": delivery.type,
        "customer_id": who["id"],
        "customer_identifiers": who,
        "recipient": None if gone else delivery.recipient,
        "subject": None if gone else delivery.subject,
        "created": delivery.created,
        "failure_message": delivery.failure_message,
        "metrics": delivery.metrics,
        "campaign_id": delivery.campaign_id,
        "action_id": delivery.action_id,
        "parent_action_id": None,
        "newsletter_id": delivery.newsletter_id,
        "content_id": delivery.content_id,
        "broadcast_id": delivery.broadcast_id,
        "transactional_message_id": delivery.transactional_message_id,
        "trigger_event_id": delivery.trigger_event_id,
        "msg_template_id": delivery.content_id or delivery.action_id or delivery.transactional_message_id,
        "forgotten": delivery.forgotten,
    }
