"""App API: topics, snippets, senders, collections, reporting webhooks, suppressions (customerio-api 16)."""

import json

from cio2d365.sim.customerio.call import Answer, Call, Endpoint
from cio2d365.sim.customerio.content import listing, one_of, rows_of, single
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.workspace import Json

SENDERS = Paging("senders", default=100, maximum=100, ends_empty=True)
SUPPRESSIONS = ("bounces", "blocks", "spam_reports", "invalid_emails")


def _senders(call: Call) -> Json:
    """`hidden=true` returns only the hidden ones."""
    hidden = call.flag("hidden")
    visible = [row for row in rows_of(call, "senders") if row.get("hidden", False) == hidden]
    rows, following = page(call, visible, SENDERS)
    return {"sender_identities": listed(call, rows), "next": following}


def _sender_uses(call: Call) -> Json:
    number = str(one_of(call, "senders", "sender_id")["id"])
    actions = rows_of(call, "campaign_actions")
    contents = rows_of(call, "newsletter_contents")
    sent = {row["id"] for row in rows_of(call, "newsletters") if row["sent_at"]}
    newsletters = {row["newsletter_id"] for row in contents if str(row["from_id"]) == number}
    return {
        "campaigns": sorted({row["campaign_id"] for row in actions if str(row.get("from_id")) == number}),
        "sent_newsletters": sorted(newsletters & sent),
        "draft_newsletters": sorted(newsletters - sent),
    }


def _collection(row: Json) -> Json:
    """A collection without its rows; the size is that of the rows as JSON."""
    rows = row["content"]
    return {
        **{name: value for name, value in row.items() if name != "content"},
        "rows": len(rows),
        "schema": sorted({key for one in rows for key in one}),
        "bytes": len(json.dumps(rows).encode()),
    }


def _collections(call: Call) -> Json:
    return {"collections": listed(call, [_collection(row) for row in rows_of(call, "collections")])}


def _one_collection(call: Call) -> Json:
    return {"collection": _collection(one_of(call, "collections", "collection_id"))}


def _collection_content(call: Call) -> Answer:
    return Answer.of_json(one_of(call, "collections", "collection_id")["content"])


def _webhook(call: Call) -> Json:
    return one_of(call, "webhooks", "webhook_id")


def _suppressed(call: Call) -> Json:
    kind = call.path["suppression_type"]
    if kind not in SUPPRESSIONS:
        raise ApiError(400, f"suppression type must be one of {', '.join(SUPPRESSIONS)}")
    limit, offset = min(call.number("limit") or 100, 1000), call.number("offset") or 0
    found = [row for row in rows_of(call, "suppressions") if row["category"] == kind][offset : offset + limit]
    return _suppressions(call, kind, found)


def _suppression_of(call: Call) -> Json:
    address = call.path["email_address"].lower()
    found = [row for row in rows_of(call, "suppressions") if row["email"].lower() == address]
    return _suppressions(call, found[0]["category"] if found else None, found)


def _suppressions(call: Call, category: str | None, rows: list[Json]) -> Json:
    shown = [{name: value for name, value in row.items() if name != "category"} for row in rows]
    return {"category": category, "suppressions": shown} if rows else {"suppressions": listed(call, shown)}


def _no_import(call: Call) -> Json:
    raise ApiError(404, "import not found")


SENDER = "/v1/sender_identities/{sender_id}"
COLLECTION = "/v1/collections/{collection_id}"
ENDPOINTS = (
    Endpoint("GET", "/v1/subscription_topics", listing("topics", "topics")),
    Endpoint("GET", "/v1/snippets", listing("snippets", "snippets")),
    Endpoint("GET", "/v1/sender_identities", _senders),
    Endpoint("GET", SENDER, single("senders", "sender_id", "sender_identity")),
    Endpoint("GET", f"{SENDER}/used_by", _sender_uses),
    Endpoint("GET", "/v1/collections", _collections),
    Endpoint("GET", COLLECTION, _one_collection),
    Endpoint("GET", f"{COLLECTION}/content", _collection_content),
    Endpoint("GET", "/v1/reporting_webhooks", listing("webhooks", "reporting_webhooks")),
    Endpoint("GET", "/v1/reporting_webhooks/{webhook_id}", _webhook),
    Endpoint("GET", "/v1/esp/suppression/{suppression_type}", _suppressed),
    Endpoint("GET", "/v1/esp/domains/{domain}/suppression/{suppression_type}", _suppressed),
    Endpoint("GET", "/v1/esp/search_suppression/{email_address}", _suppression_of),
    Endpoint("GET", "/v1/imports/{import_id}", _no_import),
)
