"""A decision holds for what it was made on and as it was confirmed; anything else is refused with the way out."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cio2d365 import decisions, settings
from cio2d365 import migration as migrations
from cio2d365.errors import DecisionError
from cio2d365.migration import Migration, Snapshot

BODY = {"traits_over": 2, "freemail": ["example.com"], "rules": {"no_email": "review"}, "text": 'a "b"\nc', "on": True}
AT = "2026-01-01T10:00:00+00:00"


@pytest.fixture
def acme(tmp_path: Path) -> Migration:
    text = settings.new_document("acme", "acme-2026", sandbox="https://org.crm.dynamics.com")
    found = migrations.create(tmp_path, "acme", text)
    read_source(found)
    return found


def read_source(acme: Migration, people: int = 1) -> Snapshot:
    return migrations.save_snapshot(acme, {"people": pl.DataFrame({"n": range(people)})}, {}, {"taken_at": AT})


def confirm(acme: Migration, **body: object) -> decisions.Decision:
    decisions.propose(acme, "split", BODY | body, acme.snapshot(), "profile-1")
    return decisions.confirm(acme, "split", by="Ann", at=AT, unattended=False)


def edit(acme: Migration, old: str, new: str) -> None:
    path = decisions.path(acme, "split")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_proposal_is_not_a_decision(acme: Migration) -> None:
    found = decisions.propose(acme, "split", BODY, acme.snapshot(), "profile-1")
    assert found.state == "proposed"
    with pytest.raises(DecisionError, match=r"split is not confirmed: .*03_split_rule.*confirm acme --only split"):
        decisions.confirmed(acme, "split")


def test_a_confirmed_decision_comes_back_as_it_was_made(acme: Migration) -> None:
    made = confirm(acme)
    found = decisions.confirmed(acme, "split")
    assert found == made
    assert found.body == BODY
    assert (found.state, found.stamp.confirmed_by, found.stamp.confirmed_at) == ("confirmed", "Ann", AT)


def test_an_edit_after_confirmation_is_noticed_and_refused(acme: Migration) -> None:
    confirm(acme)
    edit(acme, "traits_over = 2", "traits_over = 3")
    found = decisions.read(acme, "split")
    assert found is not None
    assert found.state == "changed"
    with pytest.raises(DecisionError, match="was edited after it was confirmed"):
        decisions.confirmed(acme, "split")


def test_an_edited_decision_can_be_confirmed_again(acme: Migration) -> None:
    confirm(acme)
    edit(acme, "traits_over = 2", "traits_over = 3")
    decisions.confirm(acme, "split", by="Bob", at=AT, unattended=True)
    found = decisions.confirmed(acme, "split")
    assert (found.body["traits_over"], found.stamp.confirmed_by, found.stamp.unattended) == (3, "Bob", True)


def test_an_edit_that_changes_only_the_form_changes_nothing(acme: Migration) -> None:
    confirm(acme)
    edit(acme, "traits_over = 2", "traits_over    =   2  # as agreed with the client")
    assert decisions.confirmed(acme, "split").body == BODY


def test_a_new_snapshot_makes_a_decision_stale(acme: Migration) -> None:
    confirm(acme)
    read_source(acme, people=2)
    for attempt in (decisions.confirmed, lambda m, n: decisions.confirm(m, n, by="Ann", at=AT, unattended=False)):
        with pytest.raises(DecisionError, match=r"the source was read again .*run 03_split_rule"):
            attempt(acme, "split")


def test_reading_the_same_source_again_keeps_decisions(acme: Migration) -> None:
    confirm(acme)
    read_source(acme)
    assert decisions.confirmed(acme, "split").state == "confirmed"


def test_proposing_again_on_the_same_profile_keeps_what_a_person_edited(acme: Migration) -> None:
    decisions.propose(acme, "split", BODY, acme.snapshot(), "profile-1")
    edit(acme, "traits_over = 2", "traits_over = 9")
    found = decisions.propose(acme, "split", BODY, acme.snapshot(), "profile-1")
    assert found.body["traits_over"] == 9


def test_an_older_decision_is_kept_in_the_history_before_it_is_replaced(acme: Migration) -> None:
    confirm(acme, traits_over=7)
    decisions.propose(acme, "split", BODY, read_source(acme, people=2), "profile-2")
    [kept] = (acme.decisions / "history").iterdir()
    assert "traits_over = 7" in kept.read_text(encoding="utf-8")
    assert 'confirmed_by = "Ann"' in kept.read_text(encoding="utf-8")


def test_saving_another_body_opens_a_confirmed_decision_and_the_same_body_does_not(acme: Migration) -> None:
    confirm(acme)
    assert decisions.save(acme, "split", BODY).state == "confirmed"
    assert decisions.save(acme, "split", BODY | {"traits_over": 5}).state == "changed"


@pytest.mark.parametrize("by", ["", "  "])
def test_a_confirmation_needs_a_name(acme: Migration, by: str) -> None:
    decisions.propose(acme, "split", BODY, acme.snapshot(), "profile-1")
    with pytest.raises(DecisionError, match="needs a name"):
        decisions.confirm(acme, "split", by=by, at=AT, unattended=False)


@pytest.mark.parametrize("text", ["", "[stamp]\n", "[stamp]\nsnapshot = 1\nprofile = 2\nextra = 3", "a = ", "\x00"])
def test_a_file_that_cannot_be_read_says_so(acme: Migration, text: str) -> None:
    path = decisions.path(acme, "split")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(DecisionError, match=r"split\.toml cannot be read.*03_split_rule"):
        decisions.confirmed(acme, "split")


def test_open_decisions_are_listed_with_their_reasons(acme: Migration) -> None:
    confirm(acme)
    found = decisions.open_decisions(acme)
    assert set(found) == {"events", "mapping"}
    assert "run 01_event_schema" in found["events"]


def test_nothing_decided_yet_is_not_an_error_to_read(acme: Migration) -> None:
    assert decisions.read(acme, "events") is None
    with pytest.raises(DecisionError, match="there is no events decision yet"):
        decisions.save(acme, "events", {})
