"""Production opens for two people who accepted exactly this state of the sandbox, and for nothing else (L14, F-66)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from cio2d365 import artefacts, decisions, settings
from cio2d365 import migration as migrations
from cio2d365.errors import GateError
from cio2d365.migrate import signoff
from cio2d365.migration import Migration

AT = "2026-01-01T10:00:00+00:00"


def read_source(acme: Migration, people: int = 1) -> None:
    migrations.save_snapshot(acme, {"people": pl.DataFrame({"n": range(people)})}, {}, {"taken_at": AT})


def decide(acme: Migration, value: int = 1) -> None:
    for name in decisions.NOTEBOOK:
        decisions.propose(acme, name, {"value": value}, acme.snapshot(), "p")
        decisions.confirm(acme, name, by="Ann", at=AT, unattended=False)


@pytest.fixture
def acme(tmp_path: Path) -> Migration:
    text = settings.new_document("acme", "acme-2026", sandbox="https://org.crm.dynamics.com")
    found = migrations.create(tmp_path, "acme", text)
    read_source(found)
    decide(found)
    artefacts.write_json(found.environment("sandbox") / "schema.json", {"tables": 1})
    artefacts.write_json(found.environment("sandbox") / "reconciliation.json", {"tables": "equal"})
    return found


def sign(acme: Migration, role: signoff.Role, by: str, verdict: signoff.Verdict = "accept") -> None:
    signoff.sign(acme, role=role, by=by, verdict=verdict, at=AT)


def both(acme: Migration) -> None:
    sign(acme, "reconciler", "Ann")
    sign(acme, "owner", "Bob")


def test_two_people_open_production(acme: Migration) -> None:
    both(acme)
    signoff.require(acme, "production")


def test_the_sandbox_is_always_open(acme: Migration) -> None:
    signoff.require(acme, "sandbox")


def test_without_a_record_production_is_closed_and_the_command_is_named(acme: Migration) -> None:
    with pytest.raises(GateError, match=r"no sandbox sign-off by reconciler and owner.*cio2d365 sign acme --role"):
        signoff.require(acme, "production")


def test_one_signature_is_not_enough(acme: Migration) -> None:
    sign(acme, "reconciler", "Ann")
    with pytest.raises(GateError, match=r"no sandbox sign-off by owner\."):
        signoff.require(acme, "production")


@pytest.mark.parametrize("again", ["Ann", "ann", " ANN ", "Ａnn"])
def test_one_person_cannot_sign_twice(acme: Migration, again: str) -> None:
    sign(acme, "reconciler", "Ann")
    sign(acme, "owner", again)
    with pytest.raises(GateError, match="same person"):
        signoff.require(acme, "production")


def test_spaces_inside_a_name_do_not_make_another_person(acme: Migration) -> None:
    sign(acme, "reconciler", "Ann Lee")
    sign(acme, "owner", "ann\u00a0 lee")
    with pytest.raises(GateError, match="same person"):
        signoff.require(acme, "production")


def test_a_rejection_closes_production(acme: Migration) -> None:
    both(acme)
    sign(acme, "owner", "Bob", "reject")
    with pytest.raises(GateError, match=r"Bob \(owner\) rejected the sandbox"):
        signoff.require(acme, "production")


@pytest.mark.parametrize(
    ("old", "new"), [('"accept"', '"accept "'), ('"Bob"', '"Eve"'), ("2026-01-01", "2026-02-02"), ('"p', '"q')]
)
def test_an_edited_record_is_refused(acme: Migration, old: str, new: str) -> None:
    sign(acme, "reconciler", "Ann")
    sign(acme, "owner", "Bob", "accept")
    path = acme.decisions / "signoff-owner.json"
    text = path.read_text()
    path.write_text(text.replace(old, new, 1) if old in text else text.replace("snapshot", "snapshut", 1))
    with pytest.raises(GateError, match="edited after it was made"):
        signoff.require(acme, "production")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"role": "owner"}'])
def test_a_record_that_cannot_be_read_keeps_production_closed(acme: Migration, text: str) -> None:
    both(acme)
    (acme.decisions / "signoff-owner.json").write_text(text)
    with pytest.raises(GateError, match=r"signoff-owner\.json cannot be read"):
        signoff.require(acme, "production")


def test_a_record_copied_for_the_other_role_is_refused(acme: Migration) -> None:
    sign(acme, "reconciler", "Ann")
    record = (acme.decisions / "signoff-reconciler.json").read_bytes()
    sign(acme, "reconciler", "Bob")
    (acme.decisions / "signoff-owner.json").write_bytes(record)
    with pytest.raises(GateError, match="was signed as reconciler, not as owner"):
        signoff.require(acme, "production")


def _rule(acme: Migration) -> None:
    decisions.save(acme, "split", {"value": 2})
    decisions.confirm(acme, "split", by="Ann", at=AT, unattended=False)


def _edit(acme: Migration) -> None:
    path = decisions.path(acme, "mapping")
    path.write_text(path.read_text().replace("value = 1", "value = 2"))


def _source(acme: Migration) -> None:
    read_source(acme, 2)
    decide(acme)


def _schema(acme: Migration) -> None:
    artefacts.write_json(acme.environment("sandbox") / "schema.json", {"tables": 2})


def _reconciliation(acme: Migration) -> None:
    artefacts.write_json(acme.environment("sandbox") / "reconciliation.json", {"tables": "differs"})


def _gone(acme: Migration) -> None:
    (acme.environment("sandbox") / "reconciliation.json").unlink()


@pytest.mark.parametrize("change", [_rule, _edit, _source, _schema, _reconciliation, _gone])
def test_whatever_was_signed_for_may_not_change(acme: Migration, change: Callable[[Migration], None]) -> None:
    both(acme)
    change(acme)
    with pytest.raises(GateError, match="production is closed"):
        signoff.require(acme, "production")


def test_what_changed_is_named(acme: Migration) -> None:
    both(acme)
    _rule(acme)
    _schema(acme)
    with pytest.raises(GateError, match="changed since reconciler signed: schema, split"):
        signoff.require(acme, "production")


def test_nothing_can_be_signed_before_the_sandbox_was_reconciled(acme: Migration) -> None:
    _gone(acme)
    with pytest.raises(GateError, match="not ready: it has no reconciliation"):
        sign(acme, "owner", "Bob")


def test_nothing_can_be_signed_while_a_decision_is_open(acme: Migration) -> None:
    _edit(acme)
    with pytest.raises(GateError, match="not ready: mapping was edited"):
        sign(acme, "owner", "Bob")


def test_a_signature_needs_a_name_and_a_known_role(acme: Migration) -> None:
    with pytest.raises(GateError, match="needs a name"):
        sign(acme, "owner", "  ")
    with pytest.raises(GateError, match="role is reconciler or owner"):
        signoff.sign(acme, role="boss", by="Ann", verdict="accept", at=AT)  # type: ignore[arg-type]
    with pytest.raises(GateError, match="verdict is accept or reject"):
        signoff.sign(acme, role="owner", by="Ann", verdict="maybe", at=AT)  # type: ignore[arg-type]
