"""Metrics of a source as series of counts, computed from its deliveries (customerio-api 11)."""

from collections.abc import Sequence

from cio2d365.sim.customerio.call import Call
from cio2d365.sim.customerio.errors import ApiError
from cio2d365.sim.customerio.workspace import Delivery, Json

HOUR = 3600
# A month of a series is 30 days here; the vendor's calendar months are not reproduced.
LENGTHS = {"hours": HOUR, "days": 24 * HOUR, "weeks": 168 * HOUR, "months": 720 * HOUR}
ALIASES = {"hourly": "hours", "daily": "days", "weekly": "weeks", "monthly": "months"}
MOST_STEPS = {"hours": 24, "days": 45, "weeks": 12, "months": 120}
SERIES = (
    "2xx 3xx 4xx 5xx attempted bounced clicked human_clicked prefetch_clicked converted created deferred delivered "
    "drafted failed opened human_opened prefetch_opened sent spammed suppressed undeliverable topic_unsubscribed "
    "unsubscribed"
)
JOURNEY = "started activated exited_early finished converted never_activated messaged"


def metrics(call: Call, deliveries: Sequence[Delivery]) -> Json:
    """`version=2` takes `start`, `end` and `res`; the older form `period` and `steps` back from now."""
    begin, length, steps = _buckets(call)
    series = {name: [0] * steps for name in SERIES.split()}
    for delivery in deliveries:
        reached = {"created": delivery.created, **delivery.metrics}
        for name, moment in reached.items():
            step = (moment - begin) // length
            if name in series and 0 <= step < steps:
                series[name][step] += 1
    return {"metric": {"series": series}}


def link_metrics(call: Call, deliveries: Sequence[Delivery]) -> Json:
    """All clicks go to one link here, because deliveries do not keep which."""
    series = metrics(call, deliveries)["metric"]["series"]
    link = {"id": 1, "href": "https://www.sample.example/"}
    return {"links": [{"link": link, "metric": {"series": {"clicked": series["clicked"]}}}]}


def journey_metrics(call: Call, deliveries: Sequence[Delivery]) -> Json:
    """`start`, `end` and `res` are all required; the vendor's Node client calls the last one `resolution`."""
    if _unit(call) is None or any(call.query.get(name, "") == "" for name in ("start", "end")):
        raise ApiError(400, "start, end and res are required")
    series = metrics(call, deliveries)["metric"]["series"]
    known = {"started": "created", "messaged": "sent", "converted": "converted"}
    return {
        "journey_metric": {
            name: series[known[name]] if name in known else [0] * len(series["sent"]) for name in JOURNEY.split()
        }
    }


def _unit(call: Call) -> str | None:
    return next((call.query[name] for name in ("res", "resolution", "period") if call.query.get(name)), None)


def _buckets(call: Call) -> tuple[int, int, int]:
    """Begin, length of a step in seconds, number of steps."""
    asked = _unit(call) or "days"
    unit = ALIASES.get(asked, asked)
    if unit not in LENGTHS:
        raise ApiError(400, f"{asked} is not one of {', '.join(LENGTHS)}")
    length = LENGTHS[unit]
    begin, end = call.number("start"), call.number("end")
    if begin is not None and end is not None:
        return begin, length, min(max(1, -(-(end - begin) // length)), 10_000)
    steps = min(call.number("steps") or 12, MOST_STEPS[unit])
    return call.workspace.clock.now() - steps * length, length, max(1, steps)
