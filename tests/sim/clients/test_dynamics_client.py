"""dynamics-client: signs in with a Basic header, reads back what it writes, speaks every query function."""

from __future__ import annotations

from typing import Any

import pytest

from ..dataverse.build import CLIENT, SECRET, TENANT

dynamics = pytest.importorskip("dynamics", reason="dynamics-client")


@pytest.fixture
def client(origin: str) -> Any:
    return dynamics.DynamicsClient(
        f"{origin}/api/data/v9.2",
        f"{origin}/{TENANT}/oauth2/v2.0/token",
        CLIENT,
        SECRET,
        scope=f"{origin}/.default",
        cache_token=False,
    )


def ask(client: Any, **query: Any) -> Any:
    client.reset_query()
    for name, value in query.items():
        setattr(client, name, value)
    return client


def test_a_row_from_its_birth_to_its_death(client: Any) -> None:
    contact = ask(client, table="contacts", select=["lastname", "contactid"]).post(data={"lastname": "Bell"}).data
    account = ask(client, table="accounts", select=["name"]).post(data={"name": "Acme"}).data
    row, company = contact["contactid"], account["accountid"]
    bind = {"firstname": "Ann", "parentcustomerid_account@odata.bind": f"/accounts({company})"}
    ask(client, table="contacts", row_id=row, select=["firstname"]).patch(data=bind)
    expand = {"contact_customer_accounts": {"select": ["firstname"], "filter": ["lastname eq 'bell'"], "top": 2}}
    found = ask(client, table="accounts", select=["name"], expand=expand).get().data
    assert [person["firstname"] for person in found[0]["contact_customer_accounts"]] == ["Ann"]
    through = ask(client, table="accounts", row_id=company, pre_expand="contact_customer_accounts", select=["fullname"])
    assert [person["fullname"] for person in through.get().data] == ["Ann Bell"]
    ask(client, table="contacts", row_id=row).delete()
    with pytest.raises(dynamics.exceptions.NotFound):
        ask(client, table="contacts", row_id=row).get()


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("between", ("numberofchildren", ["1", "3"]), True),
        ("not_between", ("numberofchildren", ["1", "3"]), False),
        ("in_", ("numberofchildren", ["2"]), True),
        ("contains", ("lastname", "EL"), True),
        ("endswith", ("lastname", "x"), False),
        ("today", ("createdon",), True),
        ("last_x_days", ("createdon", 3), True),
        ("older_than_x_hours", ("createdon", 1), False),
        ("equal_user_id", ("ownerid",), True),
        ("equal_user_or_user_teams", ("ownerid",), True),
        ("equal_business_id", ("owningbusinessunit",), True),
        ("this_fiscal_period", ("createdon",), True),
    ],
)
def test_its_query_functions(client: Any, name: str, arguments: tuple[Any, ...], expected: bool) -> None:
    ask(client, table="contacts", select=["lastname"]).post(data={"lastname": "Bell", "numberofchildren": 2})
    condition = getattr(dynamics.ftr, name)(*arguments)
    found = ask(client, table="contacts", select=["lastname"], filter=[condition]).get(not_found_ok=True)
    assert bool(found.data) is expected


def test_its_aggregations(client: Any) -> None:
    for name, children in (("Bell", 2), ("bell", 4), ("Cole", 1)):
        ask(client, table="contacts", select=["lastname"]).post(data={"lastname": name, "numberofchildren": children})
    total = dynamics.apl.aggregate(col_="numberofchildren", with_="sum", as_="total")
    assert ask(client, table="contacts", apply=total).get().data == [{"total": 7}]
    groups = ask(client, table="contacts", apply=dynamics.apl.groupby(["lastname"], total)).get().data
    assert sorted((row["lastname"].lower(), row["total"]) for row in groups) == [("bell", 6), ("cole", 1)]
