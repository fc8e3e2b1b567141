from typing import Any

import httpx

from cio2d365.sim.customerio import Workspace

from .test_people import pages

DAY = 86_400
HALF_YEAR = 183 * DAY


def everything(api: httpx.Client, now: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    end = now
    while end > now - 800 * DAY:
        window = {"start_ts": end - 180 * DAY + 1, "end_ts": end, "limit": 1000, "drafts": "true"}
        found += [row for page in pages(api, "/v1/messages", "messages", **window) for row in page]
        end -= 180 * DAY
    return found


def test_windows_of_half_a_year_hold_every_delivery_once(api: httpx.Client, sample: Workspace) -> None:
    ids = [row["id"] for row in everything(api, sample.clock.now())]
    assert sorted(ids) == sorted(delivery.id for delivery in sample.deliveries)


def test_a_longer_window_is_refused(api: httpx.Client, sample: Workspace) -> None:
    now = sample.clock.now()
    answer = api.get("/v1/messages", params={"start_ts": now - HALF_YEAR - 1, "end_ts": now})
    assert answer.status_code == 400


def test_start_alone_is_ignored_in_effect(api: httpx.Client, sample: Workspace) -> None:
    first = min(delivery.created for delivery in sample.deliveries)
    rows = api.get("/v1/messages", params={"start_ts": first, "limit": 1000}).json()["messages"]
    assert min(row["created"] for row in rows) >= sample.clock.now() - HALF_YEAR


def test_both_ends_of_a_window_are_inclusive(api: httpx.Client, sample: Workspace) -> None:
    moment = sample.deliveries[0].created
    rows = api.get("/v1/messages", params={"start_ts": moment, "end_ts": moment, "drafts": "true"}).json()["messages"]
    assert sample.deliveries[0].id in [row["id"] for row in rows]


def test_drafts_are_left_out_unless_asked_for(api: httpx.Client, sample: Workspace) -> None:
    now = sample.clock.now()
    window = {"start_ts": now - HALF_YEAR, "end_ts": now, "limit": 1000}
    shown = [row for page in pages(api, "/v1/messages", "messages", **window) for row in page]
    assert all("drafted" not in row["metrics"] for row in shown)
    asked = [row for page in pages(api, "/v1/messages", "messages", **window, drafts="true") for row in page]
    assert len(asked) > len(shown)


def test_a_forgotten_delivery_names_nobody(api: httpx.Client, sample: Workspace) -> None:
    gone = next(delivery for delivery in sample.deliveries if delivery.forgotten)
    row = api.get(f"/v1/messages/{gone.id.replace('=', '%3D')}").json()["message"]
    assert (row["recipient"], row["customer_id"], row["customer_identifiers"]["cio_id"]) == (None, None, None)


def test_a_deleted_persons_delivery_keeps_the_cio_id_and_a_suppressed_persons_does_not(
    api: httpx.Client, sample: Workspace
) -> None:
    for suppressed in (False, True):
        gone = [one.cio_id for one in sample.departed.values() if one.suppressed is suppressed]
        delivery = next(d for d in sample.deliveries if d.cio_id in gone and not d.forgotten)
        row = api.get(f"/v1/messages/{delivery.id.replace('=', '%3D')}").json()["message"]
        who = None if suppressed else delivery.cio_id
        assert row["customer_identifiers"] == {"cio_id": who, "email": None, "id": None}


def test_a_campaign_takes_a_year_and_a_broadcast_one_month_when_not_told(api: httpx.Client, sample: Workspace) -> None:
    now = sample.clock.now()
    year = {"start_ts": now - 366 * DAY, "end_ts": now, "limit": 1000}
    rows = api.get("/v1/campaigns/1/messages", params=year).json()["messages"]
    assert {row["campaign_id"] for row in rows} == {1}
    assert api.get("/v1/campaigns/1/messages", params={**year, "start_ts": now - 367 * DAY}).status_code == 400
    untimed = api.get("/v1/broadcasts/1/messages", params={"limit": 1000}).json()["messages"]
    mine = [d for d in sample.deliveries if d.broadcast_id == 1 and not d.draft]
    assert 0 < len(untimed) < len(mine)


def test_transactional_deliveries_call_the_identifiers_otherwise(api: httpx.Client) -> None:
    row = api.get("/v1/transactional/1/messages").json()["messages"][0]
    assert "identifiers" in row
    assert "customer_identifiers" not in row


def test_the_daily_quota_of_archived_bodies_has_no_retry_after(api: httpx.Client, sample: Workspace) -> None:
    path = f"/v1/messages/{sample.deliveries[0].id.replace('=', '%3D')}/archived_message"
    try:
        api.post("/_control/settings", json={"archived_per_day": 1000})
        assert api.get(path).status_code == 200
        api.post("/_control/settings", json={"archived_per_day": 1})
        refused = api.get(path)
    finally:
        api.post("/_control/settings", json={"archived_per_day": 100})
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
