"""App API: campaigns, newsletters, broadcasts and transactional messages with their contents (customerio-api 11-14)."""

from collections.abc import Callable
from typing import Any

from cio2d365.sim.customerio.call import Call, Endpoint, Handler
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.messages import MONTH, SIX_MONTHS, source_messages
from cio2d365.sim.customerio.metrics import journey_metrics, link_metrics, metrics
from cio2d365.sim.customerio.paging import Paging, listed, page
from cio2d365.sim.customerio.workspace import Delivery, Json

ACTIONS = Paging("actions", default=10, maximum=10)
NEWSLETTERS = Paging("newsletters", default=100, maximum=100)
MESSAGES = Paging("source-messages", default=50, maximum=1000)


def rows_of(call: Call, name: str) -> list[Json]:
    """The stored rows of one kind of content."""
    return call.workspace.content.get(name, [])


def one_of(call: Call, name: str, parameter: str) -> Json:
    """The row that the path names by its id; ids are compared as text, because actions write theirs as text."""
    wanted = call.path[parameter]
    for row in rows_of(call, name):
        if str(row["id"]) == wanted:
            return row
    raise ApiError(404, f"{parameter.removesuffix('_id')} not found")


def listing(name: str, key: str) -> Handler:
    """All rows of a kind under a root key; not paged."""
    return lambda call: {key: listed(call, rows_of(call, name))}


def single(name: str, parameter: str, key: str) -> Handler:
    """One row under a root key."""
    return lambda call: {key: one_of(call, name, parameter)}


def _children(name: str, parent: str, parameter: str, call: Call) -> list[Json]:
    """Rows that belong to the parent in the path; `_parent` names it where the vendor's shape does not."""
    owner = one_of(call, parent, parameter)["id"]
    rows = [row for row in rows_of(call, name) if row.get(parameter, row.get("_parent")) == owner]
    return [{key: value for key, value in row.items() if key != "_parent"} for row in rows]


def _newsletters(call: Call) -> Json:
    newest_first = call.query.get("sort", "desc") != "asc"
    ordered = sorted(rows_of(call, "newsletters"), key=lambda row: row["id"], reverse=newest_first)
    rows, following = page(call, ordered, NEWSLETTERS)
    return {"newsletters": listed(call, rows), "next": following}


def _action_pages(name: str, parent: str, parameter: str) -> Handler:
    """Ten a page, whatever the query says; every language is an action of its own."""

    def handler(call: Call) -> Json:
        rows, following = page(call, _children(name, parent, parameter, call), ACTIONS)
        return {"actions": listed(call, rows), "next": following}

    return handler


def _child(name: str, parent: str, parameter: str, child: str, key: str) -> Handler:
    """One action or content of a parent; with `language` in the path its translation."""

    def handler(call: Call) -> Json:
        rows = _children(name, parent, parameter, call)
        original = next((row for row in rows if str(row["id"]) == call.path[child]), None)
        if original is None:
            raise ApiError(404, f"{child.removesuffix('_id')} not found")
        return {key: _translation(call, rows, original)}

    return handler


def _translation(call: Call, rows: list[Json], original: Json) -> Json:
    language = call.path.get("language")
    if language is None or original["language"] == language:
        return original
    branch = original.get("multi_language_branch_action_id")
    for row in rows:
        if branch and row["language"] == language and row.get("multi_language_branch_action_id") == branch:
            return row
    raise ApiError(404, "translation not found")


def _contents(name: str, parent: str, parameter: str) -> Handler:
    return lambda call: {"contents": listed(call, _children(name, parent, parameter, call))}


def _content_in_language(name: str, parent: str, parameter: str, *, as_list: bool) -> Handler:
    """The transactional answer has a list under `content`, the newsletter's has one object."""

    def handler(call: Call) -> Json:
        rows = _children(name, parent, parameter, call)
        found = [row for row in rows if row["language"] == call.path["language"]]
        if not found:
            raise ApiError(404, "translation not found")
        return {"content": found if as_list else found[0]}

    return handler


def _test_groups(call: Call) -> Json:
    contents = _children("newsletter_contents", "newsletters", "newsletter_id", call)
    group = {"id": 0, "name": "A", "label": "all", "winner": False, "content_ids": [row["id"] for row in contents]}
    return {"test_groups": [group]}


def _triggers(call: Call) -> Json:
    return {"triggers": listed(call, _children("triggers", "broadcasts", "broadcast_id", call))}


def _trigger(call: Call) -> Json:
    for row in _children("triggers", "broadcasts", "broadcast_id", call):
        if str(row["id"]) == call.path["trigger_id"]:
            return row
    raise ApiError(404, "trigger not found")


def _trigger_errors(call: Call) -> Json:
    _trigger(call)
    return {"errors": listed(call, []), "next": ""}


Begin = Callable[[Call, list[Delivery]], tuple[int, int] | None]


def _messages(parent: str, parameter: str, field: str, begin: Begin) -> Handler:
    def handler(call: Call) -> Json:
        number = one_of(call, parent, parameter)["id"]
        own = [d for d in call.workspace.deliveries if getattr(d, field) == number]
        return source_messages(call, MESSAGES, lambda d: getattr(d, field) == number, begin(call, own))

    return handler


def _six_months_to_now(call: Call, own: list[Delivery]) -> tuple[int, int] | None:
    return None


def _six_months_from_first_delivery(call: Call, own: list[Delivery]) -> tuple[int, int] | None:
    first = min((d.created for d in own), default=0)
    return first, first + SIX_MONTHS


def _month_from_first_trigger(call: Call, own: list[Delivery]) -> tuple[int, int] | None:
    triggers = _children("triggers", "broadcasts", "broadcast_id", call)
    first = min((row["created_at"] for row in triggers), default=0)
    return first, first + MONTH


def _transactional_messages(call: Call) -> Json:
    """Here the block of identifiers has another name (customerio-api 22)."""
    answer: Json = _messages(*TRANSACTIONAL, "transactional_message_id", _six_months_to_now)(call)
    rows: list[Json] = answer["messages"] or []
    renamed = [{"identifiers" if k == "customer_identifiers" else k: v for k, v in row.items()} for row in rows]
    return {**answer, "messages": listed(call, renamed)}


def _metrics(parent: str, parameter: str, field: str, of: Callable[[Call, Any], Json]) -> Handler:
    def handler(call: Call) -> Json:
        number = one_of(call, parent, parameter)["id"]
        return of(call, [d for d in call.workspace.deliveries if getattr(d, field) == number])

    return handler


def _child_metrics(child: Handler, key: str, field: str, of: Callable[[Call, Any], Json]) -> Handler:
    """Metrics of one action or content."""

    def handler(call: Call) -> Json:
        number = int(child(call)[key]["id"])
        return of(call, [d for d in call.workspace.deliveries if getattr(d, field) == number])

    return handler


def _both_metrics(path: str, child: Handler, key: str, field: str) -> tuple[Endpoint, Endpoint]:
    return (
        Endpoint("GET", f"{path}/metrics", _child_metrics(child, key, field, metrics)),
        Endpoint("GET", f"{path}/metrics/links", _child_metrics(child, key, field, link_metrics)),
    )


CAMPAIGNS, CAMPAIGN = ("campaigns", "campaign_id"), "/v1/campaigns/{campaign_id}"
NEWSLETTER_KEY, NEWSLETTER = ("newsletters", "newsletter_id"), "/v1/newsletters/{newsletter_id}"
BROADCASTS, BROADCAST = ("broadcasts", "broadcast_id"), "/v1/broadcasts/{broadcast_id}"
TRANSACTIONAL, TEMPLATE = ("transactional", "transactional_id"), "/v1/transactional/{transactional_id}"
TRIGGER = "/v1/campaigns/{broadcast_id}/triggers/{trigger_id}"
_campaign_action = _child("campaign_actions", *CAMPAIGNS, "action_id", "action")
_broadcast_action = _child("broadcast_actions", *BROADCASTS, "action_id", "action")
_newsletter_content = _child("newsletter_contents", *NEWSLETTER_KEY, "content_id", "content")
_newsletter_language = _content_in_language("newsletter_contents", *NEWSLETTER_KEY, as_list=False)

ENDPOINTS = (
    *_both_metrics(f"{CAMPAIGN}/actions/{{action_id}}", _campaign_action, "action", "action_id"),
    *_both_metrics(f"{BROADCAST}/actions/{{action_id}}", _broadcast_action, "action", "action_id"),
    *_both_metrics(f"{NEWSLETTER}/contents/{{content_id}}", _newsletter_content, "content", "content_id"),
    Endpoint("GET", "/v1/campaigns", listing("campaigns", "campaigns")),
    Endpoint("GET", CAMPAIGN, single(*CAMPAIGNS, "campaign")),
    Endpoint("GET", f"{CAMPAIGN}/actions", _action_pages("campaign_actions", *CAMPAIGNS)),
    Endpoint("GET", f"{CAMPAIGN}/actions/{{action_id}}", _campaign_action),
    Endpoint("GET", f"{CAMPAIGN}/actions/{{action_id}}/language/{{language}}", _campaign_action),
    Endpoint("GET", f"{CAMPAIGN}/messages", _messages(*CAMPAIGNS, "campaign_id", _six_months_to_now)),
    Endpoint("GET", f"{CAMPAIGN}/metrics", _metrics(*CAMPAIGNS, "campaign_id", metrics)),
    Endpoint("GET", f"{CAMPAIGN}/metrics/links", _metrics(*CAMPAIGNS, "campaign_id", link_metrics)),
    Endpoint("GET", f"{CAMPAIGN}/journey_metrics", _metrics(*CAMPAIGNS, "campaign_id", journey_metrics)),
    Endpoint("GET", TRIGGER, _trigger),
    Endpoint("GET", f"{TRIGGER}/errors", _trigger_errors),
    Endpoint("GET", "/v1/newsletters", _newsletters),
    Endpoint("GET", NEWSLETTER, single(*NEWSLETTER_KEY, "newsletter")),
    Endpoint("GET", f"{NEWSLETTER}/contents", _contents("newsletter_contents", *NEWSLETTER_KEY)),
    Endpoint("GET", f"{NEWSLETTER}/contents/{{content_id}}", _newsletter_content),
    Endpoint("GET", f"{NEWSLETTER}/language/{{language}}", _newsletter_language),
    Endpoint("GET", f"{NEWSLETTER}/test_group/{{test_group_id}}/language/{{language}}", _newsletter_language),
    Endpoint("GET", f"{NEWSLETTER}/test_groups", _test_groups),
    Endpoint(
        "GET",
        f"{NEWSLETTER}/messages",
        _messages(*NEWSLETTER_KEY, "newsletter_id", _six_months_from_first_delivery),
    ),
    Endpoint("GET", f"{NEWSLETTER}/metrics", _metrics(*NEWSLETTER_KEY, "newsletter_id", metrics)),
    Endpoint("GET", f"{NEWSLETTER}/metrics/links", _metrics(*NEWSLETTER_KEY, "newsletter_id", link_metrics)),
    Endpoint("GET", "/v1/broadcasts", listing("broadcasts", "broadcasts")),
    Endpoint("GET", BROADCAST, single(*BROADCASTS, "broadcast")),
    Endpoint("GET", f"{BROADCAST}/triggers", _triggers),
    Endpoint("GET", f"{BROADCAST}/actions", _action_pages("broadcast_actions", *BROADCASTS)),
    Endpoint("GET", f"{BROADCAST}/actions/{{action_id}}", _broadcast_action),
    Endpoint("GET", f"{BROADCAST}/actions/{{action_id}}/language/{{language}}", _broadcast_action),
    Endpoint("GET", f"{BROADCAST}/messages", _messages(*BROADCASTS, "broadcast_id", _month_from_first_trigger)),
    Endpoint("GET", f"{BROADCAST}/metrics", _metrics(*BROADCASTS, "broadcast_id", metrics)),
    Endpoint("GET", f"{BROADCAST}/metrics/links", _metrics(*BROADCASTS, "broadcast_id", link_metrics)),
    Endpoint("GET", "/v1/transactional", listing("transactional", "messages")),
    Endpoint("GET", TEMPLATE, single(*TRANSACTIONAL, "message")),
    Endpoint("GET", f"{TEMPLATE}/contents", _contents("transactional_contents", *TRANSACTIONAL)),
    Endpoint(
        "GET",
        f"{TEMPLATE}/language/{{language}}",
        _content_in_language("transactional_contents", *TRANSACTIONAL, as_list=True),
    ),
    Endpoint("GET", f"{TEMPLATE}/messages", _transactional_messages),
    Endpoint("GET", f"{TEMPLATE}/metrics", _metrics(*TRANSACTIONAL, "transactional_message_id", metrics)),
    Endpoint("GET", f"{TEMPLATE}/metrics/links", _metrics(*TRANSACTIONAL, "transactional_message_id", link_metrics)),
)
