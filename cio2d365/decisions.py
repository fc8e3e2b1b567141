"""Decision files: a body that a person reviews, and a stamp that says on what it was made and who confirmed it.

A decision is valid for one snapshot and one profile. After a new snapshot it is stale; after an edit it is unconfirmed
(SR-008). Later stages ask `confirmed` and get the body or a DecisionError that says what to do.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tomlkit

from cio2d365 import artefacts
from cio2d365.errors import DecisionError
from cio2d365.migration import Migration, Snapshot

Name = Literal["events", "mapping", "split"]
NOTEBOOK: dict[Name, str] = {
    "events": "01_event_schema",
    "mapping": "02_trait_review",
    "split": "03_split_rule",
}


@dataclass(frozen=True)
class Stamp:
    """On what a decision was made, and who confirmed it when; `content` is the digest of the confirmed body."""

    snapshot: str
    profile: str
    confirmed_by: str = ""
    confirmed_at: str = ""
    unattended: bool = False
    content: str = ""


@dataclass(frozen=True)
class Decision:
    """A decision file as read: `body` is the document that `decide` understands."""

    name: Name
    stamp: Stamp
    body: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the body, the version of this decision."""
        return artefacts.digest(self.body)

    @property
    def state(self) -> Literal["proposed", "confirmed", "changed"]:
        """`changed` = edited after it was confirmed."""
        if not self.stamp.confirmed_by:
            return "proposed"
        return "confirmed" if self.stamp.content == self.digest else "changed"


def path(migration: Migration, name: Name) -> Path:
    """Where a decision lives."""
    return migration.decisions / f"{name}.toml"


def read(migration: Migration, name: Name) -> Decision | None:
    """The decision as it stands, or None; DecisionError when the file cannot be read."""
    file = path(migration, name)
    if not file.exists():
        return None
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        stamp = Stamp(**document.pop("stamp"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DecisionError(f"{file} cannot be read: {error}. Delete it and run {NOTEBOOK[name]} again") from None
    return Decision(name, stamp, document)


def propose(migration: Migration, name: Name, body: Mapping[str, Any], snapshot: Snapshot, profile: str) -> Decision:
    """Write a proposal, unless the file already holds a decision made on the same snapshot and profile: that one stays.

    A decision made on something else is kept under `decisions/history/` before it is replaced.
    """
    old = read(migration, name)
    if old and (old.stamp.snapshot, old.stamp.profile) == (snapshot.id, profile):
        return old
    if old:
        artefacts.write_text(_history(migration, old), _text(old))
    new = Decision(name, Stamp(snapshot.id, profile), _plain(body))
    _write(migration, new)
    return new


def save(migration: Migration, name: Name, body: Mapping[str, Any]) -> Decision:
    """Replace the body of an existing decision (an analyst's edit); it has to be confirmed again if it differs."""
    old = read(migration, name)
    if old is None:
        raise DecisionError(f"there is no {name} decision yet; run {NOTEBOOK[name]}")
    new = replace(old, body=_plain(body))
    _write(migration, new)
    return new


def confirm(migration: Migration, name: Name, *, by: str, at: str, unattended: bool) -> Decision:
    """Confirm a decision as it stands; `at` is ISO 8601 UTC. DecisionError when there is none or it is stale."""
    decision = _current(migration, name)
    if not by.strip():
        raise DecisionError("a confirmation needs a name: --by WHO")
    if decision.state == "confirmed":
        return decision
    stamp = replace(decision.stamp, confirmed_by=by, confirmed_at=at, unattended=unattended, content=decision.digest)
    confirmed = replace(decision, stamp=stamp)
    _write(migration, confirmed)
    return confirmed


def confirmed(migration: Migration, name: Name) -> Decision:
    """The confirmed decision for the current snapshot; DecisionError says what is open and how to close it."""
    decision = _current(migration, name)
    if decision.state == "confirmed":
        return decision
    what = "was edited after it was confirmed" if decision.state == "changed" else "is not confirmed"
    how = f"review {path(migration, name)}, then run the confirm cell of {NOTEBOOK[name]}"
    raise DecisionError(f"{name} {what}: {how} or `cio2d365 confirm {migration.name} --only {name} --by WHO`")


def open_decisions(migration: Migration) -> dict[Name, str]:
    """Name → why it is open, for decisions that a later stage would refuse."""
    found: dict[Name, str] = {}
    for name in NOTEBOOK:
        try:
            confirmed(migration, name)
        except DecisionError as error:
            found[name] = str(error)
    return found


def _current(migration: Migration, name: Name) -> Decision:
    decision = read(migration, name)
    if decision is None:
        raise DecisionError(f"there is no {name} decision yet; run {NOTEBOOK[name]}")
    snapshot = migration.snapshot()
    if decision.stamp.snapshot != snapshot.id:
        raise DecisionError(
            f"{name} was decided on snapshot {decision.stamp.snapshot}, but the source was read again ({snapshot.id}); "
            f"run {NOTEBOOK[name]} and confirm it"
        )
    return decision


def _history(migration: Migration, decision: Decision) -> Path:
    return migration.decisions / "history" / f"{decision.name}-{decision.stamp.snapshot}-{decision.digest[:8]}.toml"


def _write(migration: Migration, decision: Decision) -> None:
    artefacts.write_text(path(migration, decision.name), _text(decision))


def _text(decision: Decision) -> str:
    document = tomlkit.document()
    document.add(
        tomlkit.comment(f"Decision '{decision.name}' of {NOTEBOOK[decision.name]}. Edit below the stamp, then confirm.")
    )
    document.add("stamp", tomlkit.item(asdict(decision.stamp)))
    for key, value in decision.body.items():
        document.add(key, tomlkit.item(value))
    return tomlkit.dumps(document)


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as TOML gives it back, so that its digest is the same before and after writing."""
    return tomllib.loads(tomlkit.dumps(dict(body)))
