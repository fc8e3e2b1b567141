"""Attributes that are not the customer's data: identifiers and what Customer.io keeps (customerio-api 3.4)."""

from __future__ import annotations

CARRIED = {
    "id": "carried by cio_user_id__c",
    "email": "carried by emailaddress1",
    "cio_id": "carried by the record's identity",
    "created_at": "carried by overriddencreatedon",
    "unsubscribed": "carried by donotbulkemail",
    "cio_subscription_preferences": "carried by the consent rule",
    "anonymous_id": "used to link anonymous events",
}
"""Reserved attribute → what becomes of it."""

KEPT_BY_SOURCE = "kept by Customer.io, not the customer's data"


def is_system(name: str) -> bool:
    """Whether an attribute is reserved or kept by Customer.io (leading `_`); names are case-sensitive."""
    return name.startswith("_") or name in CARRIED


def carried_by(name: str) -> str:
    """What becomes of a system attribute; empty for one of the customer's own."""
    return CARRIED.get(name, KEPT_BY_SOURCE if name.startswith("_") else "")


def object_carried_by(name: str) -> str:
    """What becomes of an object's own identifier or a key kept by Customer.io; empty for a customer's attribute."""
    if name in ("object_id", "cio_object_id", "object_type_id"):
        return "carried by the record's identity"
    return KEPT_BY_SOURCE if name.startswith("_") else ""
