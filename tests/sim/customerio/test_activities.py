import httpx

from cio2d365.sim.customerio import Workspace

from .test_people import pages

DAY = 86_400


def test_only_the_last_thirty_days_are_shown_newest_first(api: httpx.Client, sample: Workspace) -> None:
    rows = [row for page in pages(api, "/v1/activities", "activities", limit=100) for row in page]
    stamps = [row["timestamp"] for row in rows]
    oldest = sample.clock.now() - 30 * DAY
    assert stamps == sorted(stamps, reverse=True)
    assert min(stamps) >= oldest
    assert {row["id"] for row in rows} == {a.id for a in sample.activities if a.timestamp >= oldest}


def test_the_last_page_is_followed_by_an_empty_one(api: httpx.Client) -> None:
    found = pages(api, "/v1/activities", "activities", limit=100, type="screen")
    assert len(found) > 1
    assert found[-1] == []


def test_a_page_holds_ten_by_default_and_a_hundred_at_most(api: httpx.Client) -> None:
    assert len(api.get("/v1/activities").json()["activities"]) == 10
    assert len(api.get("/v1/activities", params={"limit": 10_000}).json()["activities"]) == 100


def test_type_and_name_narrow_the_log(api: httpx.Client) -> None:
    rows = api.get("/v1/activities", params={"type": "event", "name": "invoice_paid"}).json()["activities"]
    assert rows
    assert {(row["type"], row["name"]) for row in rows} == {("event", "invoice_paid")}


def test_events_carry_their_properties_and_pages_their_address(api: httpx.Client) -> None:
    event = api.get("/v1/activities", params={"type": "event", "name": "feature_used"}).json()["activities"][0]
    view = api.get("/v1/activities", params={"type": "page"}).json()["activities"][0]
    assert "feature" in event["data"]
    assert view["url"].startswith("https://")
    assert "name" not in view


def test_anonymous_events_have_no_customer(api: httpx.Client) -> None:
    rows = [row for page in pages(api, "/v1/activities", "activities", limit=100, type="event") for row in page]
    nobody = [row for row in rows if row["customer_identifiers"]["cio_id"] is None]
    assert nobody
    assert all(row["customer_id"] is None for row in nobody)


def test_deleted_changes_nothing(api: httpx.Client) -> None:
    query = {"limit": 100}
    default = api.get("/v1/activities", params=query).json()
    assert api.get("/v1/activities", params={**query, "deleted": "true"}).json() == default


def test_a_person_is_named_by_id_or_by_cio_id_with_its_prefix(api: httpx.Client, sample: Workspace) -> None:
    person = sample.with_id("007")
    assert person is not None
    by_id = api.get("/v1/activities", params={"customer_id": "007", "limit": 100}).json()
    by_cio = api.get("/v1/activities", params={"customer_id": f"cio_{person.cio_id}", "limit": 100}).json()
    own = api.get("/v1/customers/007/activities", params={"limit": 100}).json()
    assert by_id == by_cio
    assert by_id["activities"] == own["activities"]


def test_a_token_of_another_list_is_refused(api: httpx.Client) -> None:
    token = api.get("/v1/activities").json()["next"]
    assert api.get("/v1/messages", params={"start": token}).status_code == 400
    assert api.get("/v1/activities", params={"start": "not a token"}).status_code == 400
