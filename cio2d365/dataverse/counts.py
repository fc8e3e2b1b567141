"""How many rows a table has: at once and up to a day old, or exactly (`dataverse-api 2, 15`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cio2d365.dataverse import fetch, requests
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.codes import AGGREGATE_LIMIT
from cio2d365.dataverse.conditions import Condition
from cio2d365.errors import RequestRejected, Terminal
from cio2d365.tables import Table
from cio2d365.transport import Request

NAMES_PER_QUERY = 200


def up_to_a_day_old_request(names: Sequence[str]) -> Request:
    """`RetrieveTotalRecordCount` for tables by logical name."""
    listed = ",".join(requests.text(name) for name in names)
    return requests.get("RetrieveTotalRecordCount(EntityNames=@names)", {"@names": f"[{listed}]"})


def up_to_a_day_old(client: Dataverse, tables: Iterable[str]) -> dict[str, int]:
    """Rows per table as the server last counted them. Terminal when it leaves a table out."""
    names = list(dict.fromkeys(tables))
    found: dict[str, int] = {}
    for start in range(0, len(names), NAMES_PER_QUERY):
        asked = names[start : start + NAMES_PER_QUERY]
        found |= _counted(client.read(up_to_a_day_old_request(asked)), asked)
    return found


def exact(client: Dataverse, table: Table, conditions: Sequence[Condition] = ()) -> int:
    """Rows that are there now. The service counts up to 50,000; beyond, the ids are read page by page."""
    try:
        return _single(list(fetch.rows(client, table, fetch.count(table, conditions))), table)
    except RequestRejected as error:
        if error.code != AGGREGATE_LIMIT:
            raise
    ids = fetch.select(table, [table.primary_id], conditions)
    return sum(len(page) for page in fetch.pages(client, table, ids))


def _counted(body: object, names: Sequence[str]) -> dict[str, int]:
    found = body.get("EntityRecordCountCollection") if isinstance(body, dict) else None
    keys, values = (found.get("Keys"), found.get("Values")) if isinstance(found, dict) else (None, None)
    if not isinstance(keys, list) or not isinstance(values, list) or len(keys) != len(values):
        raise Terminal("RetrieveTotalRecordCount: the answer is not a list of counts")
    counts = dict(zip(map(str, keys), map(int, values), strict=True))
    missing = [name for name in names if name not in counts]
    if missing:
        raise Terminal(f"RetrieveTotalRecordCount gave no figure for {', '.join(missing)}")
    return {name: counts[name] for name in names}


def _single(rows: Sequence[dict[str, object]], table: Table) -> int:
    value = rows[0].get("rows") if len(rows) == 1 else None
    if not isinstance(value, int):
        raise Terminal(f"the count of {table.name} came without a figure")
    return value
