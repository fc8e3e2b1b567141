"""Ask the target over plain HTTP whether a migration arrived: no code of the package is used here.

    python tests/end_to_end/check_target.py URL MIGRATION_FOLDER [TOKEN]

Prints one line per check and ends with code 1 when one fails. What is expected is worked out anew from the snapshot.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl

Row = dict[str, Any]
SETS = {
    "account": "accounts", "contact": "contacts", "lead": "leads", "cio_relationship": "cio_relationships",
    "cio_event": "cio_events", "cio_anonymous_event": "cio_anonymous_events",
}  # fmt: skip


def rows(client: httpx.Client, set_name: str, select: str) -> Iterator[Row]:
    """All rows that carry a source key, page by page."""
    url: str | None = f"/api/data/v9.2/{set_name}?$select={select}&$filter=cio_source_key ne null"
    while url:
        answer = client.get(url, headers={"Prefer": "odata.maxpagesize=5000"})
        answer.raise_for_status()
        body = answer.json()
        yield from body["value"]
        url = body.get("@odata.nextLink")


def set_names(client: httpx.Client, staged: Path) -> dict[str, str]:
    """Entity set of each staged table, custom object tables included."""
    tables = json.loads((staged / "plan.json").read_bytes())["tables"]
    found = dict(SETS)
    for table in (t for t in tables if t not in found):
        answer = client.get(f"/api/data/v9.2/EntityDefinitions(LogicalName='{table}')?$select=EntitySetName")
        found[table] = answer.json()["EntitySetName"]
    return {table: found[table] for table in tables}


def checks(client: httpx.Client, folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """(what was checked, how many, complaints)."""
    raw = folder / "raw" / (folder / "raw" / "current").read_text().strip()
    staged = max((folder / "staged").iterdir(), key=lambda p: p.stat().st_mtime)
    yield from counts(client, staged)
    yield from companies(client, raw)
    yield from events(client, raw)
    yield from opt_outs(client, raw)


def counts(client: httpx.Client, staged: Path) -> Iterator[tuple[str, int, list[str]]]:
    for table, set_name in set_names(client, staged).items():
        wanted = pl.read_parquet(staged / f"{table}.parquet").height
        found = sum(1 for _ in rows(client, set_name, "cio_source_key"))
        yield f"{table}: rows = staged rows", found, [] if found == wanted else [f"{found} rows, {wanted} staged"]


def companies(client: httpx.Client, raw: Path) -> Iterator[tuple[str, int, list[str]]]:
    manifest = json.loads((raw / "manifest.json").read_bytes())
    relations = pl.read_parquet(raw / "relationships.parquet").filter(
        pl.col("object_type_id") == manifest["company_type"]
    )
    known = set(pl.read_parquet(raw / "objects.parquet")["object_key"])
    expected: dict[str, set[str]] = defaultdict(set)
    for person, company, key in relations.select("person_key", "object_id", "object_key").iter_rows():
        if person and key in known:
            expected[person].add(company)
    accounts = {r["accountid"]: r["cio_company_id__c"] for r in rows(client, "accounts", "accountid,cio_company_id__c")}
    for table, set_name, lookup in (("contact", "contacts", "parentcustomerid"), ("lead", "leads", "parentaccountid")):
        complaints, checked = [], 0
        for row in rows(client, set_name, f"cio_source_key,_{lookup}_value"):
            person, account = row["cio_source_key"], row[f"_{lookup}_value"]
            checked += 1
            if bool(account) != bool(expected.get(person)):
                complaints.append(f"{person}: account {account}, companies {expected.get(person)}")
            elif account and accounts.get(account) not in expected[person]:
                complaints.append(f"{person} points to {accounts.get(account)}, not to one of {expected[person]}")
        yield f"{table}: every company points to the right account", checked, complaints


def events(client: httpx.Client, raw: Path) -> Iterator[tuple[str, int, list[str]]]:
    source = pl.read_parquet(raw / "events.parquet")
    whose = dict(source.select("event_key", "person_key").iter_rows())
    names = dict(source.select("event_key", "name").iter_rows())
    times = dict(source.select("event_key", "at").iter_rows())
    people = {r["contactid"]: r["cio_source_key"] for r in rows(client, "contacts", "contactid,cio_source_key")}
    people |= {r["leadid"]: r["cio_source_key"] for r in rows(client, "leads", "leadid,cio_source_key")}
    complaints, checked = [], 0
    for row in rows(client, "cio_events", "cio_source_key,_cio_user_id_value,cio_event_name,cio_event_timestamp"):
        key = row["cio_source_key"]
        checked += 1
        if people.get(row["_cio_user_id_value"]) != whose[key]:
            complaints.append(f"{key} points to {people.get(row['_cio_user_id_value'])}, not to {whose[key]}")
        at = pl.Series([times[key]]).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")[0]
        if (row["cio_event_name"], row["cio_event_timestamp"]) != (names[key], at):
            complaints.append(f"{key} has another name or time: {row}")
    yield "cio_event: every event points to the right contact or lead, with its name and time", checked, complaints


def opt_outs(client: httpx.Client, raw: Path) -> Iterator[tuple[str, int, list[str]]]:
    people = pl.read_parquet(raw / "people.parquet")
    out = {k for k, flag in people.select("person_key", "unsubscribed").iter_rows() if flag is None or flag}
    complaints, checked = [], 0
    for set_name in ("contacts", "leads"):
        for row in rows(client, set_name, "cio_source_key,donotbulkemail"):
            checked += 1
            if row["donotbulkemail"] is not (row["cio_source_key"] in out):
                complaints.append(f"{row['cio_source_key']}: donotbulkemail is {row['donotbulkemail']}")
    yield "consent: nobody who opted out can be mailed", checked, complaints


def versions(client: httpx.Client, staged: Path) -> dict[str, int]:
    """Highest row version per table: any changing write raises it."""
    return {
        table: max((int(r["versionnumber"]) for r in rows(client, set_name, "versionnumber")), default=0)
        for table, set_name in set_names(client, staged).items()
    }


def main(url: str, folder: str, token: str = "dev-token") -> int:
    failed = 0
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for what, count, complaints in checks(client, Path(folder)):
            failed += bool(complaints)
            print(f"{'FAIL' if complaints else 'ok  '} {count:>7,}  {what}")
            for complaint in complaints[:5]:
                print("              ", complaint)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
