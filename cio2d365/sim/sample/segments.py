"""Fifteen segments: manual ones, and rules from a single attribute to nested groups with events."""

from cio2d365.sim.customerio.workspace import Json, Segment, Workspace
from cio2d365.sim.sample.draw import DAY, NOW, stream

HIDDEN_RULES = (13, 14)  # rules of kinds that the API does not show


def _is(field: str, value: object) -> Json:
    return {"attribute": {"field": field, "operator": "eq", "value": value}}


def _test(field: str, operator: str, value: object = None, **more: object) -> Json:
    rule = {"field": field, "operator": operator, **({} if value is None else {"value": value}), **more}
    return {"attribute": rule}


def _in(segment: int, *, inverse: bool = False) -> Json:
    return {"segment": {"id": segment}, "inverse": inverse} if inverse else {"segment": {"id": segment}}


def _did(name: str, *, times: int = 1, within: int = 0, inverse: bool = False, **filters: object) -> Json:
    rules = [{"field": f, "operator": "eq", "value": v, "inverse": False} for f, v in filters.items()]
    event = {"type": "event", "name": name, "filters": {"and": rules} if rules else {}}
    return {"event": event, "times": times, "within": within, "inverse": inverse}


def _changed(field: str, to: str, *, inverse: bool) -> Json:
    rules = [{"field": "to", "operator": "eq", "value": to, "inverse": False}]
    event = {"type": "attribute_change", "name": field, "filters": {"and": rules}}
    return {"event": event, "times": 1, "within": 0, "inverse": inverse}


RULES: tuple[tuple[int, str, str, Json | None], ...] = (
    (1, "VIP customers", "Chosen by the sales team", None),
    (2, "Trade fair 2025", "Badge scans", None),
    (3, "Everybody with an address", "", {"and": [_test("email", "exists")]}),
    (4, "Paying customers", "Plan above free", {"or": [_is("plan", p) for p in ("starter", "team", "business")]}),
    (
        5,
        "Active last 30 days",
        "Used a feature at least three times",
        {"and": [_did("feature_used", times=3, within=30 * DAY)]},
    ),
    (
        6,
        "Dormant payers",
        "Pay but do not use the product",
        {"and": [_in(4), _did("feature_used", within=60 * DAY, inverse=True)]},
    ),
    (
        7,
        "DACH decision makers",
        "Nested groups",
        {
            "and": [
                {"or": [_is("country", "Germany"), _is("country", "Austria"), _is("country", "Switzerland")]},
                {
                    "or": [
                        _test("job_title", "contains", "Head"),
                        _is("job_title", "CEO"),
                        {"and": [_is("job_title", "Founder"), _test("seats", "gt", 5)]},
                    ]
                },
                _test("email", "!contains", "gmail.com"),
            ]
        },
    ),
    (8, "High score", "", {"and": [_test("marketing_score", "gt", 75), _in(1, inverse=True)]}),
    (9, "Medium score", "", {"and": [_test("marketing_score", "bw", 40, value2=75)]}),
    (10, "Newsletter readers", "", {"and": [_is("newsletter_optin", "true"), _test("unsubscribed", "!eq", "true")]}),
    (11, "Signed up in the last quarter", "", {"and": [_test("created_at", "timestamp_gt", 90 * DAY)]}),
    (12, "Never went to team", "", {"and": [_changed("plan", "team", inverse=True)]}),
    (13, "Cart over 1000", "", {"and": [_did("checkout_completed", currency="EUR")]}),
    (14, "Old sign-ups", "", {"and": [_test("created_at", "timestamp_lta", NOW - 700 * DAY)]}),
    (15, "Nobody", "Matches no one", {"and": [_is("plan", "platinum")]}),
    (16, "Being built", "", {"and": [_test("phone", "exists"), _test("fax", "!exists")]}),
)


def add_segments(workspace: Workspace, seed: int) -> None:
    """Ids 1 and 2 are manual; 13 and 14 do not show their rules; 16 is not finished."""
    rng = stream(seed, "segments")
    people = list(workspace.people)
    for number, name, description, rules in RULES:
        workspace.segments[number] = Segment(
            id=number,
            name=name,
            type="dynamic" if rules else "manual",
            created_at=NOW - (500 - number) * DAY,
            updated_at=NOW - (300 - number) * DAY,
            description=description,
            conditions=rules,
            shows_conditions=number not in HIDDEN_RULES,
            members={} if rules else dict.fromkeys(sorted(rng.sample(people, 30 * number))),
            tags=["sales"] if number in (1, 7) else None,
            state="build" if number == 16 else "finished",
        )
    workspace.version += 1
