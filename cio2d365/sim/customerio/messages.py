"""App API: deliveries, in windows of time (customerio-api 15)."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from cio2d365.sim.customerio.call import Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.shown import delivery_json
from cio2d365.sim.customerio.workspace import Delivery, Json, Workspace

MONTH = 30 * 86_400
SIX_MONTHS, TWELVE_MONTHS = 183 * 86_400, 366 * 86_400
WORKSPACE = Paging("messages", default=50, maximum=1000)
PERSON = Paging("person-messages", default=50, maximum=1000)

Test = Callable[[Delivery], bool]


def in_order(workspace: Workspace) -> list[Delivery]:
    """All deliveries, oldest first."""
    cached = workspace.cache.get("deliveries")
    if cached is None or cached[0] != workspace.version:
        rows = sorted(workspace.deliveries, key=lambda d: (d.created, d.id))
        workspace.cache["deliveries"] = cached = (workspace.version, rows)
    found: list[Delivery] = cached[1]
    return found


def window(call: Call, longest: int) -> tuple[int, int]:
    """`start_ts` and `end_ts`, both inclusive; with `start_ts` alone it is the time before now that counts."""
    start, end = call.number("start_ts"), call.number("end_ts")
    if start is None or end is None:
        end = call.workspace.clock.now() if end is None else end
        return end - SIX_MONTHS, end
    if end < start:
        raise ApiError(400, "end_ts must not be before start_ts")
    if end - start > longest:
        raise ApiError(400, f"start_ts and end_ts must not be more than {longest // MONTH} months apart")
    return start, end


def message_page(call: Call, paging: Paging, belongs: Test, longest: int = SIX_MONTHS) -> Json:
    """Newest first; drafts only with `drafts=true`."""
    start, end = window(call, longest)
    return _page(call, paging, belongs, start, end)


def _page(call: Call, paging: Paging, belongs: Test, start: int, end: int) -> Json:
    everything = in_order(call.workspace)
    first = bisect_left(everything, start, key=lambda d: d.created)
    last = bisect_right(everything, end, key=lambda d: d.created)
    wanted = _query_test(call)
    rows = [d for d in reversed(everything[first:last]) if belongs(d) and wanted(d)]
    shown, following = page(call, rows, paging)
    return {"messages": listed(call, [delivery_json(call.workspace, d) for d in shown]), "next": following}


def _query_test(call: Call) -> Test:
    kind, metric, drafts = call.query.get("type"), call.query.get("metric"), call.flag("drafts")
    owners = {name: call.number(name) for name in ("campaign_id", "newsletter_id", "action_id")}
    owners = {name: value for name, value in owners.items() if value is not None}
    return lambda d: (
        (drafts or not d.draft)
        and (kind is None or d.type == kind)
        and (metric is None or metric in d.metrics)
        and all(getattr(d, name) == value for name, value in owners.items())
    )


def source_messages(call: Call, paging: Paging, belongs: Test, untimed: tuple[int, int] | None) -> Json:
    """Deliveries of one source, at most 12 months a request; without times the span `untimed` or 6 months to now."""
    if call.number("start_ts") is None and call.number("end_ts") is None and untimed is not None:
        return _page(call, paging, belongs, *untimed)
    return message_page(call, paging, belongs, TWELVE_MONTHS)


def _all(call: Call) -> Json:
    return message_page(call, WORKSPACE, lambda delivery: True)


def _one(call: Call) -> Delivery:
    wanted = call.path["message_id"]
    for delivery in call.workspace.deliveries:
        if delivery.id == wanted:
            return delivery
    raise ApiError(404, "message not found")


def _message(call: Call) -> Json:
    return {"message": delivery_json(call.workspace, _one(call))}


def _archived(call: Call) -> Json:
    """A rendered body; 100 a day, and the refusal of a daily quota carries no Retry-After."""
    delivery = _one(call)
    day = call.workspace.clock.now() // 86_400
    used_on, used = call.workspace.cache.get("archived", (day, 0))
    used = used if used_on == day else 0
    if used >= call.settings.archived_per_day:
        raise ApiError(429, f"rate limited to {call.settings.archived_per_day} requests per day")
    call.workspace.cache["archived"] = (day, used + 1)
    shown = "" if delivery.forgotten else f"<html><body><h1>{delivery.subject}</h1></body></html>"
    return {
        "archived_message": {
            "id": delivery.id,
            "body": shown,
            "from": "hello@sample.example",
            "reply_to": "",
            "recipient": delivery.recipient,
            "subject": delivery.subject,
            "bcc": "",
            "fake_bcc": False,
            "preheader_text": "",
            "url": "",
            "request_method": "",
            "headers": {},
            "forgotten": delivery.forgotten,
        }
    }


ENDPOINTS = (
    Endpoint("GET", "/v1/messages", _all),
    Endpoint("GET", "/v1/messages/{message_id}", _message),
    Endpoint("GET", "/v1/messages/{message_id}/archived_message", _archived),
)
