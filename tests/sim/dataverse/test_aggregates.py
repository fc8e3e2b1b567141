from __future__ import annotations

from typing import Any

import httpx
import pytest

from .build import bulk, code, message, new_id


@pytest.fixture
def people(api: httpx.Client) -> httpx.Client:
    account = new_id(api.post("accounts", json={"name": "Acme", "revenue": 100}))
    rows: list[dict[str, Any]] = [
        {"lastname": "Bell", "numberofchildren": 2, "parentcustomerid_account@odata.bind": f"/accounts({account})"},
        {"lastname": "BELL", "numberofchildren": 4, "donotemail": True},
        {"lastname": "Cole", "numberofchildren": 1, "gendercode": 2},
    ]
    assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 200
    return api


@pytest.mark.parametrize(
    ("apply", "expected"),
    [
        ("aggregate($count as n)", [{"n": 3}]),
        ("aggregate(numberofchildren with sum as s,numberofchildren with max as m)", [{"s": 7, "m": 4}]),
        ("aggregate(numberofchildren with min as m,lastname with countdistinct as d)", [{"m": 1, "d": 2}]),
        ("filter(lastname eq 'bell')/aggregate(numberofchildren with average as a)", [{"a": 3.0}]),
        ("filter(lastname eq 'bell')/filter(donotemail eq true)/aggregate($count as n)", [{"n": 1}]),
        ("groupby((gendercode))", [{}, {"gendercode": 2}]),
        ("groupby((donotemail),aggregate($count as n))", [{"donotemail": False, "n": 2}, {"donotemail": True, "n": 1}]),
        ("filter(numberofchildren eq 2)/groupby((parentcustomerid_account/name))", [{"account_name": "Acme"}]),
    ],
)
def test_aggregates(people: httpx.Client, apply: str, expected: list[dict[str, Any]]) -> None:
    rows = people.get("contacts", params={"$apply": apply}).json()["value"]
    assert sorted(rows, key=str) == sorted(expected, key=str)


def test_texts_that_are_equal_for_the_server_make_one_group(people: httpx.Client) -> None:
    apply = "groupby((lastname),aggregate($count as n))"
    rows = people.get("contacts", params={"$apply": apply, "$orderby": "lastname desc", "$top": "5"}).json()["value"]
    assert [(row["lastname"].lower(), row["n"]) for row in rows] == [("cole", 1), ("bell", 2)]


def test_groups_are_shown_with_their_labels(people: httpx.Client) -> None:
    prefer = {"Prefer": 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"'}
    apply = "filter(gendercode eq 2)/groupby((gendercode),aggregate($count as n))"
    (row,) = people.get("contacts", params={"$apply": apply}, headers=prefer).json()["value"]
    formatted = {name.partition("@")[0]: value for name, value in row.items() if "@" in name}
    assert formatted == {"gendercode": "Female", "n": "1"}


@pytest.mark.parametrize(
    "apply",
    [
        "groupby((createdon))",
        "groupby(lastname)",
        "groupby((nothing))",
        "groupby((lastname),groupby((firstname)))",
        "aggregate(lastname with sum as s)",
        "aggregate(numberofchildren with median as m)",
        "aggregate(numberofchildren)",
        "aggregate($count as n)/filter(n gt 1)",
        "topcount(2,numberofchildren)",
        "filter(lastname eq 'bell')",
        "identity",
        "",
    ],
)
def test_what_the_service_does_not_aggregate_is_refused(people: httpx.Client, apply: str) -> None:
    response = people.get("contacts", params={"$apply": apply})
    assert response.status_code == 400
    assert message(response)


def test_an_aggregate_cannot_be_ordered_by(people: httpx.Client) -> None:
    options = {"$apply": "groupby((lastname),aggregate($count as n))", "$orderby": "n desc"}
    assert "SingleValueOpenPropertyAccess" in message(people.get("contacts", params=options))


@pytest.mark.deep
def test_an_aggregate_over_more_than_50000_rows_is_refused(api: httpx.Client) -> None:
    for _ in range(11):
        rows: list[dict[str, Any]] = [{"lastname": "n"}] * 4546
        assert bulk(api, "contacts", "contact", "CreateMultiple", rows).status_code == 200
    response = api.get("contacts?$apply=aggregate($count as n)")
    assert (response.status_code, code(response)) == (400, "0x8004e023")
