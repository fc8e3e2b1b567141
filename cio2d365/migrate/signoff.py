"""The gate before production: who accepted which snapshot, rules, schema and reconciliation (SR-149, SR-150, L14)."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from cio2d365 import artefacts, decisions
from cio2d365.errors import DecisionError, GateError, InputError
from cio2d365.migration import Migration
from cio2d365.settings import Environment

Role = Literal["reconciler", "owner"]
Verdict = Literal["accept", "reject"]
ROLES: tuple[Role, ...] = get_args(Role)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Record:
    """One person's word on one state of the sandbox; `digest` covers everything else in it."""

    role: Role
    by: str
    verdict: Verdict
    at: str
    hashes: dict[str, str]
    digest: str = ""

    def sealed(self) -> str:
        """Digest over role, name, verdict, time and hashes."""
        return artefacts.digest({k: v for k, v in asdict(self).items() if k != "digest"})


def hashes(migration: Migration) -> dict[str, str]:
    """What a signature covers. GateError names what is missing in the sandbox."""
    try:
        rules: dict[str, str] = {name: decisions.confirmed(migration, name).digest for name in decisions.NOTEBOOK}
        snapshot = migration.snapshot().id
    except (DecisionError, InputError) as error:
        raise GateError(f"the sandbox is not ready: {error}") from None
    folder = migration.environment("sandbox")
    files = {name: folder / f"{name}.json" for name in ("schema", "reconciliation")}
    missing = [name for name, path in files.items() if not path.exists()]
    if missing:
        raise GateError(f"the sandbox is not ready: it has no {' and no '.join(missing)}; run it to 06")
    owners = migration.settings.owners
    named = {"owners": artefacts.digest(owners.model_dump())} if owners.are_mapped else {}
    return {"snapshot": snapshot, **rules, **named, **{name: artefacts.sha256(path) for name, path in files.items()}}


def sign(migration: Migration, *, role: Role, by: str, verdict: Verdict, at: str) -> Record:
    """Record one person's verdict on the sandbox as it stands."""
    if role not in ROLES:
        raise GateError(f"role is {' or '.join(ROLES)}, not {role!r}")
    if verdict not in VERDICTS:
        raise GateError(f"verdict is {' or '.join(VERDICTS)}, not {verdict!r}")
    if not by.strip():
        raise GateError("a signature needs a name: --by WHO")
    record = Record(role, by.strip(), verdict, at, hashes(migration))
    sealed = Record(**{**asdict(record), "digest": record.sealed()})
    artefacts.write_json(_path(migration, role), asdict(sealed))
    return sealed


def require(migration: Migration, environment: Environment) -> None:
    """Pass for the sandbox; for production only with two valid acceptances by two people for exactly this state."""
    if environment == "sandbox":
        return
    records = {role: _read(migration, role) for role in ROLES}
    missing = [role for role, record in records.items() if record is None]
    if missing:
        raise GateError(
            f"production is closed: there is no sandbox sign-off by {' and '.join(missing)}. "
            f"After the sandbox was reconciled: `cio2d365 sign {migration.name} --role {missing[0]} --by WHO "
            "--verdict accept`"
        )
    try:
        now = hashes(migration)
    except GateError as error:
        raise GateError(f"production is closed: {error}") from None
    signed = [record for record in records.values() if record]
    for record in signed:
        _check(record, now)
    if len({_person(record.by) for record in signed}) < len(ROLES):
        raise GateError("production is closed: reconciler and owner are the same person; two people have to sign")


def _person(name: str) -> str:
    """A name without what does not tell people apart: case, width of letters, spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _check(record: Record, now: dict[str, str]) -> None:
    if record.digest != record.sealed():
        raise GateError(f"production is closed: the sign-off of {record.role} was edited after it was made")
    if record.verdict != "accept":
        raise GateError(f"production is closed: {record.by} ({record.role}) rejected the sandbox on {record.at}")
    changed = sorted(name for name in now.keys() | record.hashes if record.hashes.get(name) != now.get(name))
    if changed:
        raise GateError(f"production is closed: changed since {record.role} signed: {', '.join(changed)}")


def _path(migration: Migration, role: Role) -> Path:
    return migration.decisions / f"signoff-{role}.json"


def _read(migration: Migration, role: Role) -> Record | None:
    path = _path(migration, role)
    if not path.exists():
        return None
    try:
        record = Record(**artefacts.read_json(path))
    except (TypeError, ValueError) as error:
        raise GateError(f"production is closed: {path.name} cannot be read ({error})") from None
    if record.role != role:
        raise GateError(f"production is closed: {path.name} was signed as {record.role}, not as {role}")
    return record
