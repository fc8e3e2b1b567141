"""Lists of segments, campaigns, newsletters, broadcasts and templates, with state and counts (SR-026, SR-171). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

Document = Mapping[str, Any]
# Which key tells a campaign's kind; `type` is announced to go away (customerio-api 11).
KIND_KEYS = (
    ("event_name", "event"), ("date_attribute", "date"), ("webhook_id", "webhook"),
    ("relationship_attribute_triggers", "relationship"), ("object_attribute_triggers", "object"),
    ("trigger_segment_ids", "segment"),
)  # fmt: skip
LIQUID_OUTPUT = re.compile(r"\{\{-?\s*([^}|]+?)\s*(?:\|[^}]*)?-?\}\}")
LIQUID_TAG = re.compile(r"\{%-?\s*(\w+)[^%]*-?%\}")
TEXT_PARTS = ("subject", "body", "recipient", "preheader_text", "reply_to", "from")


def segments(documents: Sequence[Document]) -> pl.DataFrame:
    """id, name, type, state, members, rules (whether the API gave the conditions)."""
    rows = [
        {"id": str(s["id"]), "name": str(s.get("name") or ""), "type": str(s.get("type") or ""),
         "state": str(s.get("state") or ""), "members": s.get("members"), "rules": bool(s.get("conditions"))}
        for s in documents
    ]  # fmt: skip
    names = {"id": pl.String, "name": pl.String, "type": pl.String, "state": pl.String, "members": pl.Int64}
    return pl.DataFrame(rows, schema={**names, "rules": pl.Boolean})


def campaigns(documents: Sequence[Document]) -> pl.DataFrame:
    """id, name, kind of trigger, state, active, messages, channels."""
    rows = [
        {"id": str(c["id"]), "name": str(c.get("name") or ""), "trigger": kind(c), "state": str(c.get("state") or ""),
         "active": bool(c.get("active")), "actions": len(c.get("actions") or []), "channels": _channels(c)}
        for c in documents
    ]  # fmt: skip
    names = {"id": pl.String, "name": pl.String, "trigger": pl.String, "state": pl.String, "active": pl.Boolean}
    return pl.DataFrame(rows, schema={**names, "actions": pl.Int64, "channels": pl.String})


def kind(campaign: Document) -> str:
    """The kind of trigger, inferred from the keys that are present."""
    return next((name for key, name in KIND_KEYS if campaign.get(key)), str(campaign.get("type") or "form"))


def _channels(campaign: Document) -> str:
    return ", ".join(sorted({str(a.get("type")) for a in campaign.get("actions") or []}))


def newsletters(documents: Sequence[Document]) -> pl.DataFrame:
    """id, name, channel, state (sent or draft), sent_at (ISO), segments it went to."""
    rows = [
        {"id": str(n["id"]), "name": str(n.get("name") or ""), "channel": str(n.get("type") or ""),
         "state": "sent" if n.get("sent_at") else "draft", "sent_at": _time(n.get("sent_at")),
         "segments": ", ".join(str(i) for i in n.get("recipient_segment_ids") or [])}
        for n in documents
    ]  # fmt: skip
    return pl.DataFrame(
        rows, schema=dict.fromkeys(("id", "name", "channel", "state", "sent_at", "segments"), pl.String)
    )


def broadcasts(documents: Sequence[Document]) -> pl.DataFrame:
    """API-triggered broadcasts: id, name, state, active, messages."""
    rows = [
        {"id": str(b["id"]), "name": str(b.get("name") or ""), "state": str(b.get("state") or ""),
         "active": bool(b.get("active")), "actions": len(b.get("actions") or [])}
        for b in documents
    ]  # fmt: skip
    names = {"id": pl.String, "name": pl.String, "state": pl.String, "active": pl.Boolean, "actions": pl.Int64}
    return pl.DataFrame(rows, schema=names)


def templates(documents: Sequence[Document]) -> pl.DataFrame:
    """Transactional templates: id, name, subject, languages, Liquid variables and tags."""
    rows = [_template(t) for t in documents]
    return pl.DataFrame(
        rows, schema=dict.fromkeys(("id", "name", "subject", "languages", "variables", "tags"), pl.String)
    )


def _template(template: Document) -> dict[str, str]:
    contents = template.get("contents") or []
    texts = [str(c.get(part) or "") for c in contents for part in TEXT_PARTS]
    languages = sorted({str(c.get("language") or "default") for c in contents})
    variables = sorted({v for text in texts for v in LIQUID_OUTPUT.findall(text)})
    tags = sorted({t for text in texts for t in LIQUID_TAG.findall(text)})
    return {
        "id": str(template["id"]), "name": str(template.get("name") or ""),
        "subject": str(contents[0].get("subject") or "") if contents else "", "languages": ", ".join(languages),
        "variables": ", ".join(variables), "tags": ", ".join(tags),
    }  # fmt: skip


def _time(seconds: Any) -> str | None:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M") if seconds else None


NOT_MIGRATED = pl.DataFrame(
    {
        "what": ["Push tokens", "Segments as audiences", "Journeys and campaigns", "Newsletter content", "Templates"],
        "why": [
            "Dynamics 365 Sales has no push channel that could take them",
            "Documented for the administrator; nothing is activated by itself",
            "Documented; rebuilding them is a task of its own",
            "Newsletters are listed; their content is not turned into reusable templates",
            "Documented with their variables; Sales has no transactional channel",
        ],
        "source": ["SR-029", "SR-070", "SR-025, SR-175", "SR-088", "SR-095"],
    }
)

LISTED = ("segments", "campaigns", "newsletters", "broadcasts", "transactional")


def total(document: Callable[[str], Sequence[Document]]) -> int:
    """How many documents a snapshot holds; `document` reads one list of it."""
    return sum(len(document(name)) for name in LISTED)
