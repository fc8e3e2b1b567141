"""Reading the source: complete or an error, every row accounted for, no period from two sources."""

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from cio2d365 import migration as migrations
from cio2d365 import settings
from cio2d365.customerio.app_api import AppApi
from cio2d365.customerio.source import open_source
from cio2d365.errors import InputError, SettingsError
from cio2d365.migrate import extract
from cio2d365.migration import Migration, Snapshot
from cio2d365.transport import Patience, Transport

NOW = "2026-11-01T00:00:00+00:00"
SECOND = 1_790_000_000  # 2026-09-21
ULID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(seconds: int, tail: str = "0" * 16) -> str:
    number = seconds * 1000
    return "".join(ULID_LETTERS[(number >> (5 * i)) & 31] for i in range(9, -1, -1)) + tail


def call(**values: Any) -> dict[str, Any]:
    at = values.pop("at", SECOND)
    return {"id": "", "received_at": at, "sent_at": at, "anonymous_id": "", "user_id": "", "context": {}} | values


def track(**values: Any) -> dict[str, Any]:
    return call(**{"event": "order", "event_text": "Order", "properties": {}} | values)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "people.csv").write_text("id,email\n1,ann@x.example\n2,bob@x.example\n", encoding="utf-8")
    return folder


def write(folder: Path, name: str, calls: Iterable[dict[str, Any]]) -> None:
    text = "".join(json.dumps(c) + "\n" for c in calls)
    (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def api(routes: dict[str, Any]) -> AppApi:
    """An App API that answers each path with a fixed body; a missing path is an empty list."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = routes.get(request.url.path, {})
        if request.url.path == "/v1/activities":
            found = {"activities": [a for a in found if a["type"] == request.url.params["type"]]}
        return httpx.Response(200, json=found)

    client = Transport(
        "http://127.0.0.1:1", lambda _: "Bearer x", client=httpx.MockTransport(answer), patience=Patience(1)
    )
    return AppApi(client)


def people(*ids: str) -> dict[str, Any]:
    rows = [{"id": i, "email": f"p{i}@x.example", "cio_id": f"c{i}"} for i in ids]
    full = [{"identifiers": r, "attributes": {**r, "plan": "pro"}, "unsubscribed": False} for r in rows]
    return {"/v1/customers": {"identifiers": rows}, "/v1/customers/attributes": {"customers": full}}


def activity(at: int, who: str = "1", **values: Any) -> dict[str, Any]:
    ids = {"id": who, "cio_id": f"c{who}"}
    return {
        "id": ulid(at),
        "type": "event",
        "name": "Order",
        "timestamp": at,
        "customer_identifiers": ids,
        "data": {},
    } | values


def new(root: Path) -> Migration:
    if (root / "migrations" / "acme" / "migration.toml").exists():
        return migrations.load(root, "acme")
    return migrations.create(
        root, "acme", settings.new_document("acme", "acme-0001", sandbox="https://a.crm.dynamics.com")
    )


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Snapshot]:
    def take(folder: Path | None = None, routes: dict[str, Any] | None = None, at: str = NOW) -> Snapshot:
        migration, source = new(tmp_path), open_source(api(routes) if routes is not None else None, folder)
        planned = extract.plan(migration, source)
        return extract.apply(planned, migration, source, at=at, progress=lambda *_: None)

    return take


def keys(snapshot: Snapshot) -> list[str]:
    return snapshot.frame("events")["event_key"].to_list()


def test_ids_stay_text(read: Callable[..., Snapshot], export: Path) -> None:
    (export / "people.csv").write_text("id,email\n007,a@x.example\n7,b@x.example\nNA,c@x.example\n", encoding="utf-8")
    assert sorted(read(export).frame("people")["id"]) == ["007", "7", "NA"]


def test_two_rows_of_one_person_are_one_and_counted(read: Callable[..., Snapshot], export: Path) -> None:
    (export / "people.csv").write_text("id,email\n1,old@x.example\n1,new@x.example\n", encoding="utf-8")
    snapshot = read(export)
    assert snapshot.frame("people")["email"].to_list() == ["new@x.example"]
    assert snapshot.manifest["tallies"]["people"]["merged"] == 1


def test_an_event_that_was_exported_twice_is_one(read: Callable[..., Snapshot], export: Path) -> None:
    write(export, "1.2.1.track.json", [track(id="e1", user_id="1"), track(id="e1", user_id="1")])
    snapshot = read(export)
    assert keys(snapshot) == ["cdp:e1"]
    assert snapshot.manifest["tallies"]["events"]["merged"] == 1


def test_the_same_file_under_two_names_is_read_once(read: Callable[..., Snapshot], export: Path) -> None:
    for n in (1, 2):
        write(export, f"1.2.{n}.track.json", [track(user_id="1"), track(user_id="1")])
    assert len(keys(read(export))) == 2


def test_two_equal_events_without_an_id_both_survive_a_rerun(read: Callable[..., Snapshot], export: Path) -> None:
    write(export, "1.2.1.track.json", [track(user_id="1"), track(user_id="1")])
    first = read(export)
    assert len(set(keys(first))) == 2
    assert keys(read(export)) == keys(first)


def test_the_same_content_is_the_same_snapshot(read: Callable[..., Snapshot], export: Path) -> None:
    assert read(export).id == read(export, at="2026-12-24T00:00:00+00:00").id


def test_an_anonymous_event_belongs_to_the_person_that_a_later_call_names(
    read: Callable[..., Snapshot], export: Path
) -> None:
    write(export, "1.2.1.track.json.gz", [track(id="e1", anonymous_id="a1"), track(id="e2", anonymous_id="a2")])
    write(export, "1.1.1.identify.json", [call(user_id="1", anonymous_id="a1", traits={})])
    events = dict(read(export).frame("events").select("event_key", "person_key").iter_rows())
    assert events == {"cdp:e1": "id:1", "cdp:e2": None}


def test_an_anonymous_id_of_two_people_is_not_guessed(read: Callable[..., Snapshot], export: Path) -> None:
    write(export, "1.2.1.track.json", [track(id="e1", anonymous_id="a1")])
    write(export, "1.1.1.identify.json", [call(user_id=u, anonymous_id="a1", traits={}) for u in ("1", "2")])
    assert read(export).frame("events")["person_key"].to_list() == [None]


def test_suppressed_people_do_not_come_back_and_their_events_are_counted(
    read: Callable[..., Snapshot], tmp_path: Path
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    write(folder, "1.1.1.identify.json", [call(user_id=u, traits={"email": f"{u}@x.example"}) for u in ("1", "2", "3")])
    commands = [track(id=f"k{u}", user_id=u, event_text=f"User {word}", at=SECOND + 9)
                for u, word in (("2", "Suppressed"), ("3", "Deleted"))]  # fmt: skip
    write(folder, "1.2.1.track.json", [track(id="e1", user_id="1"), track(id="e2", user_id="2"), *commands])
    snapshot = read(folder)
    assert snapshot.frame("people")["id"].to_list() == ["1"]
    assert keys(snapshot) == ["cdp:e1"]
    assert snapshot.manifest["tallies"]["people"]["excluded"] == 2
    assert snapshot.manifest["tallies"]["events"]["excluded"] == 3


def test_each_period_of_events_has_one_source(read: Callable[..., Snapshot], export: Path) -> None:
    write(export, "1.2.1.track.json", [track(id="e1", user_id="1"), track(id="e2", user_id="1", at=SECOND + 100)])
    live = [activity(SECOND), activity(SECOND + 100), activity(SECOND + 200)]
    snapshot = read(export, people("1") | {"/v1/activities": live})
    assert keys(snapshot) == ["cdp:e1", "cdp:e2", f"activities:{ulid(SECOND + 200)}"]
    assert set(snapshot.frame("events")["person_key"]) == {"cio:c1"}
    assert snapshot.manifest["tallies"]["events"]["excluded"] == 2


def test_an_event_dated_years_ahead_does_not_end_the_history_and_is_taken_once(
    read: Callable[..., Snapshot], export: Path
) -> None:
    ahead = SECOND + 94_608_000
    write(export, "1.2.1.track.json", [track(id="e1", user_id="1", sent_at=ahead), track(id="e2", user_id="1")])
    live = [activity(ahead), activity(SECOND + 200)]
    snapshot = read(export, people("1") | {"/v1/activities": live})
    assert sorted(keys(snapshot)) == sorted(["cdp:e1", "cdp:e2", f"activities:{ulid(SECOND + 200)}"])


def test_activities_that_the_service_forgot_are_remembered(read: Callable[..., Snapshot]) -> None:
    first, second = activity(SECOND), activity(SECOND + 200)
    read(None, people("1") | {"/v1/activities": [first]})
    assert len(keys(read(None, people("1") | {"/v1/activities": [second]}))) == 2


def test_a_person_who_vanishes_while_reading_is_counted(read: Callable[..., Snapshot]) -> None:
    routes = people("1", "2")
    del routes["/v1/customers/attributes"]["customers"][1]
    snapshot = read(None, routes)
    tally = snapshot.manifest["tallies"]["people"]
    assert (tally["read"], tally["kept"], tally["excluded"]) == (2, 1, 1)
    assert tally["note"] == "excluded: gone while reading"


def test_consent_that_cannot_be_read_is_unknown(read: Callable[..., Snapshot], export: Path) -> None:
    (export / "people.csv").write_text("id,unsubscribed\n1,true\n2,\n3,maybe\n4,0\n", encoding="utf-8")
    flags = dict(read(export).frame("people").select("id", "unsubscribed").iter_rows())
    assert flags == {"1": True, "2": False, "3": None, "4": False}


def test_calls_that_name_nobody_are_counted(read: Callable[..., Snapshot], tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    named = call(user_id="1", traits={"email": "a@x.example"})
    write(folder, "1.1.1.identify.json", [named, named, call(anonymous_id="a1", traits={})])
    write(folder, "1.3.1.group.json", [call(user_id="1", group_id="g", traits={}), call(user_id="1", traits={})])
    tallies = read(folder).manifest["tallies"]
    assert [tallies["people"][k] for k in ("read", "kept", "merged", "excluded")] == [3, 1, 1, 1]
    assert [tallies["objects"][k] for k in ("read", "kept", "merged", "excluded")] == [2, 1, 0, 1]
    assert "name no user" in tallies["people"]["note"]


def test_companies_and_relations_come_from_group_calls(read: Callable[..., Snapshot], export: Path) -> None:
    calls = [call(user_id="1", group_id="acme", objectTypeId="1", traits={"name": "Acme", "city": "Oslo"}),
             call(user_id="2", group_id="acme", objectTypeId="", at=SECOND + 1,
                  traits={"city": "Bergen", "relationshipAttributes": {"role": "admin"}})]  # fmt: skip
    write(export, "1.3.1.group.json", calls)
    snapshot = read(export)
    assert json.loads(snapshot.frame("objects")["attributes"][0]) == {"name": "Acme", "city": "Bergen"}
    relations = dict(snapshot.frame("relationships").select("person_key", "attributes").iter_rows())
    assert relations == {"id:1": "{}", "id:2": '{"role":"admin"}'}


def test_nothing_is_written_when_nobody_was_found(read: Callable[..., Snapshot], export: Path, tmp_path: Path) -> None:
    (export / "people.csv").write_text("id,email\n", encoding="utf-8")
    with pytest.raises(InputError, match="no person was found"):
        read(export)
    assert not (tmp_path / "migrations" / "acme" / "raw").exists()


def test_neither_an_api_nor_files_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing to read from"):
        open_source(None, None)


def test_the_sums_of_every_object_agree(read: Callable[..., Snapshot], export: Path) -> None:
    write(export, "1.2.1.track.json", [track(id="e1", user_id="1")])
    (export / "1.2.1.track.json").write_bytes((export / "1.2.1.track.json").read_bytes() + b'{"cut')
    for tally in read(export).manifest["tallies"].values():
        assert tally["read"] == sum(tally[k] for k in ("kept", "merged", "excluded", "rejected"))
    assert read(export).frame("rejected").select(pl.col("message")).item().startswith("1.2.1.track.json row 2 (line 2)")
