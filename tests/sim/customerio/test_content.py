from typing import Any

import httpx
import pytest

from cio2d365.sim.customerio import Workspace
from cio2d365.sim.customerio.membership import members

from .test_people import pages


def segments(api: httpx.Client) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in api.get("/v1/segments").json()["segments"]}


def test_most_dynamic_segments_show_their_rules_and_no_manual_one(api: httpx.Client) -> None:
    found = segments(api)
    shown = {number for number, row in found.items() if "conditions" in row}
    assert {number for number, row in found.items() if row["type"] == "manual"} == {1, 2}
    assert shown == set(found) - {1, 2, 13, 14}


def test_rules_can_be_switched_off(api: httpx.Client) -> None:
    api.post("/_control/settings", json={"segments_with_conditions": False})
    try:
        assert not any("conditions" in row for row in segments(api).values())
    finally:
        api.post("/_control/settings", json={"segments_with_conditions": True})


@pytest.mark.parametrize("number", range(1, 17))
def test_membership_and_count_agree_with_the_rules(api: httpx.Client, sample: Workspace, number: int) -> None:
    path = f"/v1/segments/{number}"
    found = [row["cio_id"] for page in pages(api, f"{path}/membership", "identifiers") for row in page]
    assert found == list(members(sample, number))
    assert api.get(f"{path}/customer_count").json() == {"count": len(found)}


def test_a_nested_rule_selects_who_it_says(api: httpx.Client, sample: Workspace) -> None:
    chosen = [sample.people[who] for who in members(sample, 7)]
    assert chosen
    for person in chosen:
        traits = person.attributes
        assert traits["country"] in ("Germany", "Austria", "Switzerland")
        assert "Head" in traits["job_title"] or traits["job_title"] in ("CEO", "Founder")
        assert "gmail.com" not in (person.email or "")


def test_an_event_rule_counts_within_its_time(sample: Workspace) -> None:
    since = sample.clock.now() - 30 * 86_400
    uses = [a.cio_id for a in sample.activities if a.name == "feature_used" and a.timestamp >= since]
    assert set(members(sample, 5)) == {who for who in set(uses) if who in sample.people and uses.count(who) >= 3}


def test_an_empty_segment_has_null_for_its_members(api: httpx.Client) -> None:
    answer = api.get("/v1/segments/15/membership").json()
    assert answer == {"segment_id": 15, "identifiers": None, "ids": None, "next": ""}


def test_a_segment_knows_what_uses_it(api: httpx.Client) -> None:
    uses = api.get("/v1/segments/4/used_by").json()["used_by"]
    assert uses["campaigns"] == [8]
    assert uses["sent_newsletters"]


def test_an_unknown_segment_is_not_found(api: httpx.Client) -> None:
    assert api.get("/v1/segments/99/membership").status_code == 404


def test_the_seven_kinds_of_campaign_are_told_by_their_keys(api: httpx.Client) -> None:
    found = api.get("/v1/campaigns").json()["campaigns"]
    keys = ["trigger_segment_ids", "event_name", "date_attribute", "webhook_id", "object_attribute_triggers"]
    keys.append("relationship_attribute_triggers")
    assert all(any(key in row for row in found) for key in keys)
    assert any(row["type"] == "form" and not set(keys) & set(row) for row in found)


def test_actions_come_ten_a_page_with_ids_as_text(api: httpx.Client) -> None:
    found = pages(api, "/v1/campaigns/1/actions", "actions", limit=100)
    listed = api.get("/v1/campaigns/1").json()["campaign"]["actions"]
    ids = [row["id"] for page in found for row in page]
    assert [len(page) for page in found] == [10, 4]
    assert {type(one) for one in ids} == {str}
    assert [int(one) for one in ids] == [row["id"] for row in listed]


def test_an_action_is_read_in_its_other_language(api: httpx.Client) -> None:
    german = api.get("/v1/campaigns/1/actions/100/language/de").json()["action"]
    assert german["subject"].startswith("Willkommen")
    assert german["id"] == "101"
    assert api.get("/v1/campaigns/1/actions/100/language/xx").status_code == 404


def test_contents_do_not_show_what_the_simulator_keeps_for_itself(api: httpx.Client) -> None:
    rows = api.get("/v1/transactional/2/contents").json()["contents"]
    assert [row["language"] for row in rows] == ["", "pl"]
    assert not any(key.startswith("_") for row in rows for key in row)


def test_a_broadcast_lists_its_triggers_without_payload(api: httpx.Client) -> None:
    rows = api.get("/v1/broadcasts/2/triggers").json()["triggers"]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert set(rows[0]) == {"id", "broadcast_id", "created_at", "processed_at"}


def test_newsletters_come_newest_first_and_a_draft_has_no_time(api: httpx.Client) -> None:
    rows = api.get("/v1/newsletters").json()["newsletters"]
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert [row["id"] for row in rows if row["sent_at"] is None] == [13]


def test_hidden_senders_are_a_list_of_their_own(api: httpx.Client) -> None:
    found = pages(api, "/v1/sender_identities", "sender_identities")
    hidden = pages(api, "/v1/sender_identities", "sender_identities", hidden="true")
    assert [[row["id"] for row in page] for page in found] == [[7, 8], []]
    assert [row["id"] for row in hidden[0]] == [9]


def test_metrics_count_the_deliveries_of_the_source(api: httpx.Client, sample: Workspace) -> None:
    now = sample.clock.now()
    query: dict[str, str | int] = {"version": 2, "res": "months", "start": now - 720 * 86_400, "end": now}
    series = api.get("/v1/campaigns/2/metrics", params=query).json()["metric"]["series"]
    assert sum(series["sent"]) == sum("sent" in d.metrics for d in sample.deliveries if d.campaign_id == 2)


def test_journey_metrics_need_all_three_parameters(api: httpx.Client) -> None:
    window: dict[str, str | int] = {"start": 1_793_000_000, "end": 1_793_400_000}
    assert api.get("/v1/campaigns/2/journey_metrics", params=window).status_code == 400
    for name in ("res", "resolution"):
        answer = api.get("/v1/campaigns/2/journey_metrics", params={**window, name: "days"})
        assert len(answer.json()["journey_metric"]["started"]) == 5


def test_control_totals_of_the_workspace(api: httpx.Client, sample: Workspace) -> None:
    row = api.get("/v1/workspaces").json()["workspaces"][0]
    assert (row["people"], row["objects"], row["object_types"]) == (len(sample.people), len(sample.things), 3)


def test_suppressions_past_the_end_are_null(api: httpx.Client) -> None:
    assert len(api.get("/v1/esp/suppression/bounces").json()["suppressions"]) == 1
    assert api.get("/v1/esp/suppression/bounces", params={"offset": 1}).json() == {"suppressions": None}
