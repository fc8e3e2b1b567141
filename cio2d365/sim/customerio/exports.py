"""App API: exports: pending, then done (or failed), then a link that dies (customerio-api 5)."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cio2d365.sim.customerio.call import Answer, Call, Endpoint
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.filters import people_matching
from cio2d365.sim.customerio.messages import SIX_MONTHS, TWELVE_MONTHS, in_order
from cio2d365.sim.customerio.paging import listed
from cio2d365.sim.customerio.shown import attribute_text, identifiers_of, is_anonymised, person_attributes
from cio2d365.sim.customerio.workspace import Delivery, Json, Person, Workspace

LINK_SECONDS = 15 * 60
FIRST_ID = 110
SOURCES = ("newsletter_id", "campaign_id", "transactional_message_id", "action_id")
METRICS = (
    *("created", "drafted", "attempted", "sent", "delivered", "opened", "clicked", "converted"),
    *("bounced", "spammed", "unsubscribed", "dropped", "failed", "undeliverable"),
)


@dataclass
class Export:
    """One export; it is finished when it has been looked at `polls` more times."""

    id: int
    type: str
    description: str
    content: bytes
    rows: int
    created_at: int
    polls: int
    fails: bool
    downloads: int = 0

    @property
    def status(self) -> str:
        """pending, done or failed."""
        if self.polls > 0:
            return "pending"
        return "failed" if self.fails else "done"

    def as_json(self) -> Json:
        """`total` stays 0 until it is done."""
        return {
            "id": self.id,
            "deduplicate_id": f"{self.id}:{self.created_at}",
            "type": self.type,
            "status": self.status,
            "failed": self.status == "failed",
            "total": self.rows if self.status == "done" else 0,
            "description": self.description,
            "downloads": self.downloads,
            "user_id": 0,
            "user_email": "person@sample.example",
            "created_at": self.created_at,
            "updated_at": self.created_at,
        }


def people_csv(people: Iterable[Person], attributes: Sequence[str] = ()) -> bytes:
    """One row a person, one column an attribute; missing and empty are the same, lists are JSON text."""
    rows = [person_attributes(person) for person in people]
    first = ["cio_id", "id", "email"]
    rest = {name for row in rows for name in row} if not attributes else set(attributes)
    return _csv(first + sorted(rest - set(first)), rows)


def _csv(names: list[str], rows: Iterable[Json]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows([attribute_text(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode("utf-8")


def exports_of(workspace: Workspace) -> dict[int, Export]:
    """The exports of a workspace by id; they do not survive a restart."""
    known: dict[int, Export] = workspace.cache.setdefault("exports", {})
    return known


def _start(call: Call, kind: str, description: str, content: bytes, rows: int) -> Json:
    known = exports_of(call.workspace)
    number = FIRST_ID + len(known)
    settings = call.settings
    known[number] = Export(
        number, kind, description, content, rows, call.now, settings.export_polls, settings.exports_fail
    )
    return {"export": known[number].as_json()}


def _people(call: Call) -> Json:
    body = call.object()
    if "filters" not in body:
        raise ApiError(400, "filters is required")
    people = people_matching(call.workspace, body["filters"])
    content = people_csv(people, _names(body))
    return _start(call, "customers", "Customers (created via the api)", content, len(people))


def _names(body: Json) -> list[str]:
    names = body.get("attributes") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ApiError(400, "attributes must be a list of names")
    return names


def _deliveries(call: Call) -> Json:
    body = call.object()
    sources = [name for name in SOURCES if body.get(name) is not None]
    if len(sources) != 1:
        raise ApiError(400, f"exactly one of {', '.join(SOURCES)} is required")
    names = _names(body)
    rows = [_delivery_row(call.workspace, d, names) for d in _wanted(call, body, sources[0])]
    header = ["delivery_id", "type", "cio_id", "customer_id", "email", "recipient", "subject", "failure_message"]
    content = _csv([*header, *METRICS, *(f"customer.{name}" for name in names)], rows)
    return _start(call, "deliveries", "Full deliveries export (created via the api)", content, len(rows))


def _wanted(call: Call, body: Json, source: str) -> list[Delivery]:
    """Without times the last 6 months; more than 12 months is cut to the latest 12."""
    end = _moment(body, "end", call.now)
    start = max(_moment(body, "start", end - SIX_MONTHS), end - TWELVE_MONTHS)
    metric, drafts = body.get("metric"), bool(body.get("drafts"))
    if metric is not None and metric not in METRICS:
        raise ApiError(400, f"metric must be one of {', '.join(METRICS)}")
    return [
        d
        for d in in_order(call.workspace)
        if getattr(d, source) == body[source]
        and start <= d.created <= end
        and (drafts or not d.draft)
        and (metric in (None, "created") or metric in d.metrics)
    ]


def _moment(body: Json, name: str, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApiError(400, f"{name} must be unix seconds")
    return value


def _delivery_row(workspace: Workspace, delivery: Delivery, names: list[str]) -> Json:
    gone = is_anonymised(workspace, delivery)
    who = identifiers_of(workspace, None if gone else delivery.cio_id)
    person = workspace.people.get(who["cio_id"] or "")
    attributes = person_attributes(person) if person else {}
    return {
        "delivery_id": delivery.id,
        "type": delivery.type,
        "cio_id": who["cio_id"],
        "customer_id": who["id"],
        "email": who["email"],
        "recipient": None if gone else delivery.recipient,
        "subject": None if gone else delivery.subject,
        "failure_message": delivery.failure_message,
        "created": delivery.created,
        **delivery.metrics,
        **{f"customer.{name}": attributes.get(name) for name in names},
    }


def _export(call: Call) -> Export:
    found = exports_of(call.workspace).get(call.path_number("export_id"))
    if found is None:
        raise ApiError(404, "export not found")
    return found


def _all(call: Call) -> Json:
    return {"exports": listed(call, [one.as_json() for one in exports_of(call.workspace).values()])}


def _one(call: Call) -> Json:
    export = _export(call)
    answer = {"export": export.as_json()}
    export.polls -= export.polls > 0
    return answer


def _download(call: Call) -> Json:
    """A link without key; before the export is done, and when it failed, there is none."""
    export = _export(call)
    export.polls -= export.polls > 0
    if export.status != "done":
        raise ApiError(404, f"export is {export.status}")
    export.downloads += 1
    expires = call.now + LINK_SECONDS
    return {"url": f"{call.origin}/v1/_files/{export.id}-{export.downloads}.csv?expires={expires}"}


def _file(call: Call) -> Answer:
    """The file behind a link, as a storage service answers: 403 once the link is too old or was never given out."""
    number, _, rest = call.path["file"].removesuffix(".csv").partition("-")
    export = exports_of(call.workspace).get(int(number)) if number.isdecimal() else None
    expires: Any = call.query.get("expires", "")
    known = export is not None and rest.isdecimal() and 1 <= int(rest) <= export.downloads
    if export is None or not known or not expires.isdecimal() or int(expires) < call.now:
        refused = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        return Answer(403, refused, {"content-type": "application/xml"})
    return Answer(200, export.content, {"content-type": "text/csv; charset=utf-8"})


EXPORT = "/v1/exports/{export_id}"
ENDPOINTS = (
    Endpoint("POST", "/v1/exports/customers", _people),
    Endpoint("POST", "/v1/exports/deliveries", _deliveries),
    Endpoint("GET", "/v1/exports", _all),
    Endpoint("GET", EXPORT, _one),
    Endpoint("GET", f"{EXPORT}/download", _download),
    Endpoint("GET", "/v1/_files/{file}", _file),
)
