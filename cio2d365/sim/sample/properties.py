"""What each kind of event carries. The names are written in the three styles that teams mix."""

import random
from collections.abc import Callable

from cio2d365.sim.customerio.workspace import Json
from cio2d365.sim.sample.draw import hexes
from cio2d365.sim.sample.words import FEATURES, PLANS, SOURCES

Draw = Callable[[random.Random], Json]

EVENT_NAMES = (
    "feature_used",
    "session_started",
    "Report Viewed",
    "project_created",
    "invite_sent",
    "invoice_paid",
    "checkout_completed",
    "trial_started",
    "plan_upgraded",
    "support_ticket_opened",
    "demo_requested",
    "subscription_cancelled",
)


def _common(rng: random.Random) -> Json:
    """On every event of the product itself."""
    common: Json = {
        "platform": rng.choice(("web", "web", "ios", "android")),
        "session_id": hexes(rng, 16),
        "plan": rng.choices((*PLANS, None), weights=(40, 25, 15, 10, 5, 5))[0],
    }
    if rng.random() < 0.8:
        common["app_version"] = f"{rng.randrange(3, 6)}.{rng.randrange(12)}.{rng.randrange(4)}"
    return common


def _feature_used(rng: random.Random) -> Json:
    duration = rng.randrange(40, 90_000)
    return {**_common(rng), "feature": rng.choice(FEATURES), "duration_ms": duration}


def _session_started(rng: random.Random) -> Json:
    session = {**_common(rng), "device": rng.choice(("desktop", "phone", "tablet"))}
    if rng.random() < 0.5:
        session["referrer"] = rng.choice(("https://search.example/", "https://social.example/", ""))
    return session


def _report_viewed(rng: random.Random) -> Json:
    return {
        **_common(rng),
        "report_id": rng.randrange(1, 400),
        "project_id": f"prj_{rng.randrange(900)}",
        "duration_ms": rng.randrange(200, 40_000) / 2,
    }


def _project_created(rng: random.Random) -> Json:
    number = rng.randrange(900)
    return {
        **_common(rng),
        "project_id": f"prj_{number}",
        "project_name": rng.choice((f"Projekt Ü {number}", f"Q{number % 4 + 1} plan", "プロジェクト", "🚀 launch")),
        "template": rng.choice(("blank", "sales", "sprint", None)),
    }


def _invite_sent(rng: random.Random) -> Json:
    return {
        **_common(rng),
        "project_id": f"prj_{rng.randrange(900)}",
        "role": rng.choice(("viewer", "editor", "admin")),
        "invitee_email": f"invitee.{rng.randrange(5000)}@guests.example",
    }


def _invoice_paid(rng: random.Random) -> Json:
    amount = rng.randrange(900, 90_000) / 100
    return {
        "plan": rng.choice(PLANS[1:]),
        "amount": amount if rng.random() < 0.95 else f"{amount:.2f}".replace(".", ","),
        "currency": rng.choice(("EUR", "USD", "GBP", "PLN", "JPY")),
        "invoice_id": f"INV-{rng.randrange(10**6):06d}",
        "payment_method": rng.choice(("card", "sepa", "invoice")),
        "vat_rate": rng.choice((0, 0.07, 0.19, 0.23)),
    }


def _checkout_completed(rng: random.Random) -> Json:
    items = [{"sku": f"SKU-{rng.randrange(60)}", "qty": rng.randrange(1, 5)} for _ in range(rng.randrange(1, 4))]
    checkout: Json = {
        "order_id": rng.randrange(10**9),
        "total": rng.randrange(500, 500_000) / 100,
        "currency": rng.choice(("EUR", "USD", "GBP")),
        "items": items,
    }
    if rng.random() < 0.2:
        checkout["coupon"] = rng.choice(("WELCOME10", "BF25", "ŻÓŁĆ"))
    return checkout


def _trial_started(rng: random.Random) -> Json:
    return {"plan": rng.choice(PLANS[1:]), "source": rng.choice(SOURCES), "seats": rng.choice((1, 5, 10, "10+"))}


def _plan_upgraded(rng: random.Random) -> Json:
    old = rng.randrange(len(PLANS) - 1)
    return {"from_plan": PLANS[old], "to_plan": PLANS[old + 1], "mrr_delta": rng.randrange(100, 90_000) / 100}


def _support_ticket_opened(rng: random.Random) -> Json:
    return {
        "ticket_id": rng.randrange(10**5),
        "priority": rng.choice(("low", "normal", "high", "Urgent")),
        "subject": rng.choice(("Cannot log in", "Invoice wrong", "Export fails", "Łączenie kont")),
        "body": rng.choice(("Please help.", "It worked yesterday.\nToday it does not.", "")),
        "channel": rng.choice(("email", "chat", "phone")),
    }


def _demo_requested(rng: random.Random) -> Json:
    return {
        "company_size": rng.choice(("1-10", "11-50", "51-200", 500)),
        "message": rng.choice(("", "Call me", "We need SSO & SCIM")),
        "source": rng.choice(SOURCES),
        "region": rng.choice(("EMEA", "AMER", "APAC")),
    }


def _subscription_cancelled(rng: random.Random) -> Json:
    cancelled: Json = {"reason": rng.choice(("price", "missing feature", "closed business", "other"))}
    if rng.random() < 0.4:
        cancelled["feedback"] = "Would come back for a cheaper plan."
    if rng.random() < 0.3:
        cancelled["refund"] = {"amount": rng.randrange(10, 900), "currency": "EUR"}
    return cancelled


PROPERTIES: dict[str, Draw] = dict(
    zip(
        EVENT_NAMES,
        (
            _feature_used,
            _session_started,
            _report_viewed,
            _project_created,
            _invite_sent,
            _invoice_paid,
            _checkout_completed,
            _trial_started,
            _plan_upgraded,
            _support_ticket_opened,
            _demo_requested,
            _subscription_cancelled,
        ),
        strict=True,
    )
)
