"""Whatever is sent, the simulator answers with a status of the service and never breaks down. Seeded."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest

from .build import CRM, table

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    1.5,
    1e300,
    "",
    "x",
    "x" * 5000,
    "2020-01-01",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00Z",
    "contacts(",
    "/accounts(name='x')",
    "$1",
    [],
    [1],
    {},
    {"a": 1},
    "1,a",
    "\u0000",
    "cio_x",
    "contact",
    "cio_event",
    f"{CRM}PicklistAttributeMetadata",
    f"{CRM}StringAttributeMetadata",
]
SCHEMA_NAMES = [
    "SchemaName",
    "@odata.type",
    "Attributes",
    "DisplayName",
    "KeyAttributes",
    "Lookup",
    "ReferencedEntity",
    "Options",
    "ReferencingEntity",
    "CascadeConfiguration",
    "Name",
    "OptionSet",
    "MaxLength",
    "MinValue",
    "RequiredLevel",
    "Entities",
    "OneToManyRelationships",
    "OptionSetName",
    "Value",
    "Label",
    "SolutionUniqueName",
    "List",
    "Members",
    "QuerySet",
    "Target",
]
SCHEMA_CALLS = [
    "EntityDefinitions",
    "EntityDefinitions(LogicalName='cio_event')/Attributes",
    "RelationshipDefinitions",
    "EntityDefinitions(LogicalName='cio_event')/Keys",
    "GlobalOptionSetDefinitions",
    "CreateEntities",
    "InsertOptionValue",
    "CreatePolymorphicLookupAttribute",
    "AddSolutionComponent",
    "BulkDelete",
    "Restore",
    "AddListMembersList",
]
WORDS = [
    "lastname",
    "eq",
    "ne",
    "and",
    "or",
    "not",
    "(",
    ")",
    "'a'",
    "5",
    "null",
    "contains(lastname,'a')",
    "in",
    "('a','b')",
    "statecode",
    "/",
    "createdon",
    "2020-01-01",
    "gt",
    "contact_customer_contacts/any(x:x/lastname eq 'a')",
    "'",
    "[",
    "@p",
    f"{CRM}In(PropertyName='lastname',PropertyValues=['a'])",
    f"{CRM}LastXDays(PropertyName='createdon',PropertyValue=0)",
]
OPERATORS = [
    "eq",
    "like",
    "in",
    "between",
    "on",
    "last-x-days",
    "olderthan-x-months",
    "contain-values",
    "null",
    "under",
]


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 10))]


def body(rng: random.Random, names: list[str], depth: int = 0) -> Any:
    if depth < 3 and rng.random() < 0.6:
        return {rng.choice(names): body(rng, names, depth + 1) for _ in range(rng.randint(0, 5))}
    if depth < 3 and rng.random() < 0.2:
        return [body(rng, names, depth + 1) for _ in range(rng.randint(0, 3))]
    return rng.choice(VALUES)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows(api: httpx.Client, seed: int) -> None:
    rng = random.Random(seed)
    names = [row["LogicalName"] for row in api.get("EntityDefinitions(LogicalName='lead')/Attributes").json()["value"]]
    names += ["parentaccountid@odata.bind", "ownerid@odata.bind", "_ownerid_value", "@odata.id", "leadid"]
    for _ in range(150):
        row = {"@odata.type": f"{CRM}lead", **{rng.choice(names): rng.choice(VALUES) for _ in range(3)}}
        verb = rng.choice(["CreateMultiple", "UpsertMultiple", "UpdateMultiple"])
        for response in (api.post("leads", json=row), api.post(f"leads/{CRM}{verb}", json={"Targets": [row]})):
            assert response.status_code < 500, (row, response.text)


@pytest.mark.parametrize("seed", SEEDS)
def test_schema_calls(api: httpx.Client, seed: int) -> None:
    rng = random.Random(seed)
    table(api)
    for _ in range(200):
        sent = {
            "SchemaName": f"cio_{rng.randint(0, 999)}",
            **{n: body(rng, SCHEMA_NAMES) for n in rng.sample(SCHEMA_NAMES, 6)},
        }
        call = rng.choice(SCHEMA_CALLS)
        response = api.post(call, json=sent)
        assert response.status_code < 500, (call, sent, response.text)


@pytest.mark.parametrize("seed", SEEDS)
def test_queries(api: httpx.Client, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 6)))
        assert api.get("contacts", params={"$filter": text}).status_code in (200, 400), text
        name, operator = (
            rng.choice(["lastname", "createdon", "statecode", "ownerid", "donotemail"]),
            rng.choice(OPERATORS),
        )
        inner = "".join(
            f"<value>{rng.choice(['', '5', 'x', '-1', '9999999', '2020-01-01'])}</value>"
            for _ in range(rng.randint(0, 3))
        )
        test = f'<condition attribute="{name}" operator="{operator}">{inner}</condition>'
        xml = f'<fetch><entity name="contact"><filter>{test}</filter></entity></fetch>'
        assert api.get("contacts", params={"fetchXml": xml}).status_code in (200, 400), xml
