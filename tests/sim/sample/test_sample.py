"""The sample holds what its README promises, and is the same everywhere."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import cio2d365.sim.sample
from cio2d365.sim.customerio import Workspace
from cio2d365.sim.customerio.membership import members
from cio2d365.sim.sample import sample_workspace

DAY = 86_400
README = Path(cio2d365.sim.sample.__file__).parent / "README.md"


def fingerprint(workspace: Workspace) -> str:
    """SHA-256 over everything in the workspace, in its order."""
    everything: list[Any] = [*workspace.people.values(), *workspace.things.values(), *workspace.ties()]
    everything += [*workspace.activities, *workspace.deliveries, *workspace.segments.values()]
    everything += [*workspace.departed.values(), workspace.object_types, workspace.content]
    everything += [workspace.clock.now(), workspace.files_until]
    text = json.dumps(everything, ensure_ascii=False, default=shallow)
    return hashlib.sha256(text.encode()).hexdigest()


def shallow(value: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def totals(sample: Workspace) -> dict[str, int]:
    """The figures of the README's table."""
    people = list(sample.people.values())
    events = [a for a in sample.activities if a.type == "event"]
    now = sample.clock.now()
    things = Counter(thing.type_id for thing in sample.things.values())
    recent = [a for a in events if now - 30 * DAY <= a.timestamp <= now]
    return {
        "people": len(people),
        "people without an id": sum(p.id is None for p in people),
        "people without an e-mail": sum(p.email is None for p in people),
        "people without both": sum(p.id is None and p.email is None for p in people),
        "unsubscribed people": sum(p.unsubscribed for p in people),
        "deleted people who are still in the files": len(sample.departed),
        "of these suppressed": sum(gone.suppressed for gone in sample.departed.values()),
        "traits": len({name for p in people for name in p.attributes}),
        "traits that are null for more than 80 % of people": sum(
            share < 0.2 * len(people) for share in Counter(n for p in people for n in p.attributes).values()
        ),
        "companies (type 2)": things["2"],
        "contracts (type 1)": things["1"],
        "loyalty programs (type 3, switched off)": things["3"],
        "relationships": sum(1 for _ in sample.ties()),
        "people in more than one company": sum(
            sum(sample.things[t.cio_object_id].type_id == "2" for t in sample.ties_of_person(p.cio_id)) > 1
            for p in people
        ),
        "events": len(events),
        "events of the last 30 days": len(recent),
        "anonymous events": sum(a.cio_id is None for a in events),
        "events before their person was known": sum(not a.names_person for a in events),
        "events of deleted people": sum(a.cio_id in sample.departed for a in events),
        "event names": len({a.name for a in events}),
        "property keys": len({key for a in events for key in a.data}),
        "property keys on more than 10 % of events": sum(
            count > len(events) / 10 for count in Counter(key for a in events for key in a.data).values()
        ),
        "page views": sum(a.type == "page" for a in sample.activities),
        "screen views": sum(a.type == "screen" for a in sample.activities),
        "deliveries": len(sample.deliveries),
        "segments": len(sample.segments),
        "campaigns": len(sample.content["campaigns"]),
        "newsletters (one is a draft)": len(sample.content["newsletters"]),
        "broadcasts": len(sample.content["broadcasts"]),
        "transactional templates": len(sample.content["transactional"]),
    }


def test_the_readme_states_the_totals(sample: Workspace) -> None:
    stated = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: int(number.replace(",", "")) for name, number in stated} == totals(sample)


def test_the_readme_states_the_fingerprint(sample: Workspace) -> None:
    assert fingerprint(sample) in README.read_text(encoding="utf-8")


def test_another_process_with_another_hash_seed_makes_the_same_sample(sample: Workspace) -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
    code += "from tests.sim.sample.test_sample import fingerprint, sample_workspace\n"
    code += "print(fingerprint(sample_workspace()))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert told.stdout.decode().strip() == fingerprint(sample)


def test_another_seed_makes_another_sample(sample: Workspace) -> None:
    assert fingerprint(sample_workspace(1)) != fingerprint(sample)


@pytest.mark.parametrize(
    "identifier",
    [
        *("007", "7", "A1", "a1", "NA", "null", "true", "12345678901234567890", "30e00001", "a/b", "a&b", "a+b"),
        *("josé", "jose", "x", "x ", "O'Neil", "🦊-1", "i" * 150, "unsub-1", "owner-gone"),
    ],
)
def test_the_awkward_ids_are_there_as_they_are_written(sample: Workspace, identifier: str) -> None:
    person = sample.with_id(identifier)
    assert person is not None
    assert person.id == identifier


def test_awkward_addresses_are_there(sample: Workspace) -> None:
    addresses = {p.id: p.email or "" for p in sample.people.values()}
    assert addresses["mail-na"] == "n/a"
    assert addresses["mail-space"].strip() != addresses["mail-space"]
    assert "<" in addresses["mail-display"]
    assert len(addresses["mail-long"]) > 100
    assert {addresses[f"dup-{n}"].lower() for n in (1, 2, 3)} == {"dup.person@twins.example"}


def test_only_reserved_domains_are_used_besides_freemail(sample: Workspace) -> None:
    freemail = {"gmail.com", "outlook.com", "yahoo.com", "gmx.de", "web.de", "icloud.com", "wp.pl", "qq.com"}
    for person in sample.people.values():
        local, at, domain = (person.email or "").strip().strip(">").rpartition("@")
        domain = domain.lower()
        assert not at or domain == "localhost" or domain.endswith(".example") or domain in freemail
        assert domain not in freemail or local.startswith("sample.person.")


def test_traits_are_mixed_the_way_real_ones_are(sample: Workspace) -> None:
    kinds: dict[str, set[type]] = {}
    for person in sample.people.values():
        for name, value in person.attributes.items():
            kinds.setdefault(name, set()).add(type(value))
    assert kinds["seats"] == {int, str}
    assert kinds["newsletter_optin"] == {bool, int, str}
    assert kinds["preferences"] == {dict}
    assert kinds["tags"] == {list}
    logins = [p.attributes["last_login_at"] for p in sample.people.values() if "last_login_at" in p.attributes]
    assert 0.01 < sum(value > 10**12 for value in logins) / len(logins) < 0.2
    assert {"Plan", "plan", "First Name", "first_name"} <= set(kinds)


def test_some_people_left_little_more_than_an_address(sample: Workspace) -> None:
    system = {"_last_emailed", "created_at", "unsubscribed", "cio_subscription_preferences", "anonymous_id"}
    thin = [p for p in sample.people.values() if len(set(p.attributes) - system) <= 2]
    assert 0.15 < len(thin) / len(sample.people) < 0.35
    assert all(p.email for p in thin)


def test_nobody_gets_a_message_before_signing_up(sample: Workspace) -> None:
    for delivery in sample.deliveries:
        if delivery.cio_id in sample.people:
            assert sample.people[delivery.cio_id].created_in_cio_at <= delivery.created


def test_nobody_gets_a_newsletter_twice(sample: Workspace) -> None:
    received = Counter((d.newsletter_id, d.cio_id) for d in sample.deliveries if d.newsletter_id and d.cio_id)
    assert set(received.values()) == {1}


def test_companies_are_awkward(sample: Workspace) -> None:
    nameless, first, second = (sample.thing("2", one) for one in ("noname", "twin-1", "twin-2"))
    assert nameless is not None
    assert first is not None
    assert second is not None
    assert "name" not in nameless.attributes
    assert first.attributes["domain"] == second.attributes["domain"]
    known = {thing.object_id for thing in sample.things.values() if thing.type_id == "2"}
    orphans = [t for t in sample.things.values() if t.type_id == "1" and t.attributes["company_id"] not in known]
    assert len(orphans) == 8


def test_awkward_events_are_there(sample: Workspace) -> None:
    events = [a for a in sample.activities if a.type == "event"]
    assert [a.redelivered for a in events if a.redelivered] == [2]
    twins = [a for a in events if a.message_id is None]
    assert len(twins) == 2
    assert twins[0].data == twins[1].data
    assert twins[0].timestamp == twins[1].timestamp
    assert max(len(str(value)) for a in events for value in a.data.values()) > 4000
    assert any(a.received_at and a.received_at - a.timestamp > 300 * DAY for a in events)
    assert any(a.timestamp > sample.clock.now() for a in events)
    assert "<script>alert(1)</script>" in {a.name for a in events}
    assert "</script><img src=x onerror=alert(1)>" in {value for a in events for value in map(str, a.data.values())}


def test_event_names_fall_off_as_in_real_workspaces(sample: Workspace) -> None:
    counts = [n for _, n in Counter(a.name for a in sample.activities if a.type == "event").most_common(12)]
    assert counts[0] > 1.8 * counts[1] > 2.5 * counts[2]
    assert counts[11] > 500


def test_the_activity_log_covers_what_the_api_can_show(sample: Workspace) -> None:
    kinds = {a.type for a in sample.activities if a.timestamp >= sample.clock.now() - 30 * DAY}
    assert {"event", "page", "screen", "attribute_change", "profile_create", "sent_email", "opened_email"} <= kinds


def test_deliveries_have_a_source_and_consistent_times(sample: Workspace) -> None:
    for delivery in sample.deliveries:
        sources = [delivery.campaign_id, delivery.newsletter_id, delivery.broadcast_id]
        sources.append(delivery.transactional_message_id)
        assert sum(source is not None for source in sources) == 1
        if "delivered" in delivery.metrics:
            assert delivery.created <= delivery.metrics["sent"] < delivery.metrics["delivered"]
    states = Counter(name for d in sample.deliveries for name in d.metrics)
    assert {"sent", "delivered", "opened", "clicked", "bounced", "failed", "dropped", "spammed"} <= set(states)


def test_some_deliveries_went_to_people_and_by_campaigns_that_are_gone(sample: Workspace) -> None:
    assert sum(d.cio_id in sample.departed for d in sample.deliveries) >= 15
    known = {row["id"] for row in sample.content["campaigns"]}
    assert {d.campaign_id for d in sample.deliveries if d.campaign_id} - known == {77}


def test_every_segment_but_the_empty_one_has_members(sample: Workspace) -> None:
    assert [number for number in sample.segments if not members(sample, number)] == [15]
