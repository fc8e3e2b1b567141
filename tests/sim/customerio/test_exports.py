import csv
import io

import httpx
import pytest

from cio2d365.sim.customerio import Workspace

EVERYBODY = {"attribute": {"field": "cio_id", "operator": "exists"}}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def finished(api: httpx.Client, path: str, body: object) -> dict[str, object]:
    number = api.post(path, json=body).json()["export"]["id"]
    seen = [api.get(f"/v1/exports/{number}").json()["export"] for _ in range(3)]
    assert [row["status"] for row in seen[:2]] == ["pending", "pending"]
    assert [row["total"] for row in seen[:2]] == [0, 0]
    return dict(seen[2])


def test_an_export_is_pending_then_done_and_its_link_dies(api: httpx.Client, sample: Workspace) -> None:
    export = finished(api, "/v1/exports/customers", {"filters": EVERYBODY, "attributes": ["plan", "tags"]})
    assert (export["status"], export["total"]) == ("done", len(sample.people))
    url = api.get(f"/v1/exports/{export['id']}/download").json()["url"]
    answer = httpx.get(url)
    rows = rows_of(answer.text)
    assert list(rows[0]) == ["cio_id", "id", "email", "plan", "tags"]
    assert [row["cio_id"] for row in rows] == list(sample.people)
    now = sample.clock.now()
    api.post("/_control/clock", json={"advance": 901})
    try:
        assert httpx.get(url).status_code == 403
    finally:
        api.post("/_control/clock", json={"now": now})


def test_an_invented_link_is_refused(api: httpx.Client) -> None:
    assert api.get("/v1/_files/110-99.csv", params={"expires": 9_999_999_999}).status_code == 403
    assert api.get("/v1/_files/x.csv").status_code == 403


def test_before_it_is_done_there_is_no_download(api: httpx.Client) -> None:
    number = api.post("/v1/exports/customers", json={"filters": EVERYBODY}).json()["export"]["id"]
    assert api.get(f"/v1/exports/{number}/download").json()["errors"][0]["status"] == "404"


def test_an_export_can_fail(api: httpx.Client) -> None:
    api.post("/_control/settings", json={"exports_fail": True})
    try:
        export = finished(api, "/v1/exports/customers", {"filters": EVERYBODY})
    finally:
        api.post("/_control/settings", json={"exports_fail": False})
    assert (export["status"], export["failed"], export["total"]) == ("failed", True, 0)


def test_deliveries_are_exported_for_exactly_one_source(api: httpx.Client, sample: Workspace) -> None:
    now = sample.clock.now()
    body = {"campaign_id": 2, "start": now - 300 * 86_400, "end": now, "metric": "opened", "attributes": ["plan"]}
    export = finished(api, "/v1/exports/deliveries", body)
    expected = [
        d
        for d in sample.deliveries
        if d.campaign_id == 2 and d.created >= now - 300 * 86_400 and "opened" in d.metrics and not d.draft
    ]
    assert export["total"] == len(expected)
    url = api.get(f"/v1/exports/{export['id']}/download").json()["url"]
    rows = rows_of(httpx.get(url).text)
    assert {row["delivery_id"] for row in rows} == {d.id for d in expected}
    assert all(row["opened"] for row in rows)


@pytest.mark.parametrize("body", [{}, {"campaign_id": 1, "action_id": 2}, {"campaign_id": 1, "metric": "moon"}])
def test_a_deliveries_export_without_a_single_source_is_refused(api: httpx.Client, body: object) -> None:
    assert api.post("/v1/exports/deliveries", json=body).status_code == 400


def test_the_search_key_is_not_the_export_key(api: httpx.Client) -> None:
    assert api.post("/v1/exports/customers", json={"filter": EVERYBODY}).status_code == 400
