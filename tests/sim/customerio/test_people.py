from typing import Any

import httpx

from cio2d365.sim.customerio import Workspace

EVERYBODY = {"filter": {"and": [{"attribute": {"field": "cio_id", "operator": "exists"}}]}}


def pages(api: httpx.Client, path: str, key: str, body: Any = None, **query: Any) -> list[list[Any]]:
    found, start = [], ""
    while True:
        params = {**query, "start": start} if start else query
        answer = api.post(path, params=params, json=body) if body else api.get(path, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append(page[key] or [])
        start = page.get("next")
        if not start:
            return found


def test_the_search_lists_everybody_once_in_pages_of_at_most_a_thousand(api: httpx.Client, sample: Workspace) -> None:
    found = pages(api, "/v1/customers", "identifiers", EVERYBODY, limit=5000)
    assert [len(page) for page in found] == [1000, 1000]
    assert [row["cio_id"] for page in found for row in page] == list(sample.people)


def test_ids_are_empty_text_for_people_without_an_id(api: httpx.Client) -> None:
    answer = api.post("/v1/customers", params={"limit": 1000}, json=EVERYBODY).json()
    without = [row for row in answer["identifiers"] if row["id"] is None]
    assert without
    assert answer["ids"].count("") == len(without)


def test_the_default_page_holds_fifty_people(api: httpx.Client) -> None:
    assert len(api.post("/v1/customers", json=EVERYBODY).json()["identifiers"]) == 50


def test_a_filter_combines_and_or_not(api: httpx.Client, sample: Workspace) -> None:
    node = {
        "and": [
            {"attribute": {"field": "plan", "operator": "eq", "value": "team"}},
            {"not": {"attribute": {"field": "city", "operator": "exists"}}},
        ]
    }
    found = pages(api, "/v1/customers", "identifiers", {"filter": node}, limit=1000)
    expected = [
        who for who, p in sample.people.items() if p.attributes.get("plan") == "team" and "city" not in p.attributes
    ]
    assert [row["cio_id"] for page in found for row in page] == expected


def test_every_attribute_value_is_text(api: httpx.Client, sample: Workspace) -> None:
    ids = list(sample.people)[:100]
    answer = api.post("/v1/customers/attributes", params={"id_type": "cio_id"}, json={"ids": ids}).json()
    values = [value for row in answer["customers"] for value in row["attributes"].values()]
    assert len(answer["customers"]) == 100
    assert {type(value) for value in values} == {str}


def test_unknown_and_prefixed_ids_are_missing_without_an_error(api: httpx.Client, sample: Workspace) -> None:
    known = next(iter(sample.people))
    ids = [known, f"cio_{known}", "nobody"]
    answer = api.post("/v1/customers/attributes", params={"id_type": "cio_id"}, json={"ids": ids})
    assert answer.status_code == 200
    assert [row["id"] for row in answer.json()["customers"]] == [known]


def test_more_than_a_hundred_ids_are_refused(api: httpx.Client) -> None:
    answer = api.post("/v1/customers/attributes", json={"ids": ["x"] * 101})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["status"] == "400"


def test_an_id_with_signs_is_found_when_it_is_encoded(api: httpx.Client) -> None:
    answer = api.get("/v1/customers/a%2Fb/attributes")
    assert answer.json()["customer"]["identifiers"]["id"] == "a/b"


def test_a_raw_plus_in_the_path_gives_an_empty_answer(api: httpx.Client) -> None:
    assert api.get("/v1/customers/a+b/attributes").json()["customer"]["attributes"] == {}
    assert api.get("/v1/customers/a%2Bb/attributes").json()["customer"]["identifiers"]["id"] == "a+b"


def test_a_person_without_an_id_is_found_by_cio_id_only(api: httpx.Client, sample: Workspace) -> None:
    who = next(p for p in sample.people.values() if p.id is None and p.email is None)
    path = f"/v1/customers/{who.cio_id}/relationships"
    assert api.get(path).status_code == 404
    assert api.get(path, params={"id_type": "cio_id"}).status_code == 200


def test_addresses_are_compared_without_case(api: httpx.Client) -> None:
    found = api.get("/v1/customers", params={"email": "dup.person@TWINS.example"}).json()["results"]
    assert [row["id"] for row in found] == ["dup-1", "dup-2", "dup-3"]


def test_batch_rows_can_be_wrapped_as_the_specification_shows_them(api: httpx.Client) -> None:
    plain = api.post("/v1/customers/attributes", json={"ids": ["007"]}).json()["customers"]
    api.post("/_control/settings", json={"batch_wrapped": True})
    try:
        wrapped = api.post("/v1/customers/attributes", json={"ids": ["007"]}).json()["customers"]
    finally:
        api.post("/_control/settings", json={"batch_wrapped": False})
    assert wrapped == [{"customer": plain[0]}]


def test_a_topic_that_nobody_chose_has_its_default(api: httpx.Client, sample: Workspace) -> None:
    chooser = next(p for p in sample.people.values() if p.id and "cio_subscription_preferences" in p.attributes)
    silent = next(p for p in sample.people.values() if p.id and "cio_subscription_preferences" not in p.attributes)
    topics = api.get(f"/v1/customers/{silent.id}/subscription_preferences").json()["customer"]["topics"]
    assert [row["subscribed"] for row in topics] == [True, False, True]
    attributes = api.get(f"/v1/customers/{chooser.id}/attributes").json()["customer"]["attributes"]
    assert attributes["_cio_subscription_preferences_computed"].count("topic_") == 3
