"""What the notebooks share: from a migration's files to the values that the stages take, and back. No rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from cio2d365 import artefacts, connect, decisions, raw
from cio2d365 import migration as migrations
from cio2d365.customerio.source import Source
from cio2d365.dataverse import audit as audits
from cio2d365.dataverse.audit import Audit
from cio2d365.dataverse.client import Dataverse
from cio2d365.dataverse.findings import Finding, findings
from cio2d365.dataverse.metadata import read_tables
from cio2d365.dataverse.owners import owners as read_owners
from cio2d365.decide import events, field_maps, mapping, split, traits, values
from cio2d365.decide.event_profile import EventProfile, profile_events
from cio2d365.decide.events import EventDecision
from cio2d365.decide.field_maps import Mapping as FieldMapping
from cio2d365.decide.split import SplitRule
from cio2d365.errors import DecisionError, InputError
from cio2d365.migrate import extract, load, ownership, provision, reconcile, removal, rollback, schema, signoff, stage
from cio2d365.migrate import ledger as ledgers
from cio2d365.migration import Migration, Snapshot
from cio2d365.settings import Environment
from cio2d365.tables import Table, to_document

Progress = Callable[[int, int, str], None]
PARTS = ("kept", "merged", "excluded", "rejected")
ENDS = ("created", "updated", "unchanged", "quarantined")
EDITS = dict.fromkeys(("table", "source_key", "column", "loaded", "target", "source", "kind", "decision"), pl.String)
BALANCE = {"table": pl.String, **dict.fromkeys(("staged", *ENDS, "open"), pl.Int64)}


def open_migration(root: str, name: str) -> Migration:
    """A migration by name; `root` is the folder that holds migrations/ and reports/."""
    return migrations.load(root, name)


def raw_tables(migration: Migration) -> dict[str, pl.DataFrame]:
    """Every raw table of the current snapshot."""
    snapshot = migration.snapshot()
    return {name: snapshot.frame(name) for name in raw.TABLES}


def company_type(migration: Migration) -> str:
    """Object type that becomes Account, as fixed in the snapshot; empty when no type is."""
    return str(migration.snapshot().manifest["company_type"])


# --- 00: the source as found ------------------------------------------------------------------------------------------


def take_snapshot(
    migration: Migration, source: Source, plan: extract.ExtractPlan, *, apply: bool, progress: Progress
) -> Snapshot:
    """Read the source now, or, without `apply`, take the newest snapshot there is."""
    if not apply:
        return migration.snapshot()
    return extract.apply(plan, migration, source, at=connect.now(), progress=progress)


def tallies(snapshot: Snapshot) -> pl.DataFrame:
    """Where the rows of each object went: object, read, kept, merged, excluded, rejected, note."""
    rows = [{"object": name, **tally} for name, tally in sorted(snapshot.manifest["tallies"].items())]
    return pl.DataFrame(rows).select("object", "read", *PARTS, "note")


def parts(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, int]:
    """Column sums by name, for a closing balance."""
    return {name: int(frame[name].sum()) for name in names}


def months(snapshot: Snapshot) -> pl.DataFrame:
    """Events per month and source, up to the day on which the snapshot was taken."""
    month = pl.from_epoch("at", "ms").dt.truncate("1mo").alias("month")
    return _until_taken(snapshot).group_by(month, "source").agg(events=pl.len()).sort("month", "source")


def _until_taken(snapshot: Snapshot) -> pl.DataFrame:
    taken = int(datetime.fromisoformat(snapshot.manifest["taken_at"]).timestamp() * 1000)
    return snapshot.frame("events").filter(pl.col("at") <= taken)


def coverage(snapshot: Snapshot) -> pl.DataFrame:
    """Per source of events: rows, first and last event, and how many are dated after the reading (B-036)."""
    past = (
        _until_taken(snapshot)
        .group_by("source")
        .agg(
            events=pl.len(), first=pl.from_epoch(pl.col("at").min(), "ms"), last=pl.from_epoch(pl.col("at").max(), "ms")
        )
    )
    every = snapshot.frame("events").group_by("source").agg(rows=pl.len())
    both = every.join(past, on="source", how="left").with_columns(dated_later=pl.col("rows") - pl.col("events"))
    return both.select("source", "rows", "first", "last", "dated_later").sort("source")


def object_counts(snapshot: Snapshot) -> pl.DataFrame:
    """Per object type: name, type id, enabled, objects, becomes (Account or a table of its own)."""
    counts = snapshot.frame("objects").group_by("object_type_id").agg(objects=pl.len())
    types = snapshot.frame("object_types").join(counts, on="object_type_id", how="left")
    becomes = pl.when(pl.col("object_type_id") == snapshot.manifest["company_type"]).then(pl.lit("Account"))
    return types.select(
        "name",
        "object_type_id",
        "enabled",
        pl.col("objects").fill_null(0),
        becomes=becomes.otherwise(pl.lit("own table")),
    )


# --- 00: the target as found ------------------------------------------------------------------------------------------


def audit_target(migration: Migration, environment: Environment, client: Dataverse) -> Audit:
    """Read and keep what the environment is and what its standard tables look like."""
    audit = audits.read_audit(client)
    known = [*schema.STANDARD, *(t for t in audit.custom_tables if t.startswith((f"{schema.PREFIX}_", "new_")))]
    migration.save_target(environment, read_tables(client, known))
    artefacts.write_json(migration.environment(environment) / "audit.json", audits.to_document(audit))
    return audit


def target_findings(migration: Migration, environment: Environment, audit: Audit) -> list[Finding]:
    """What the audit means for this migration; the tables that it will add count against the licence (SR-105)."""
    wanted = {*schema.OWN_TABLES, *object_tables(migration).values()}
    return findings(audit, environment, own_tables=len(wanted - set(audit.custom_tables)))


def serious(found: Iterable[Finding]) -> int:
    """How many findings somebody has to decide on or repair."""
    return sum(finding.severity != "note" for finding in found)


def object_tables(migration: Migration) -> dict[str, str]:
    """Object type id → table, with the prefix that the sandbox allows: both environments get the same names."""
    path = migration.environment("sandbox") / "audit.json"
    if not path.exists():
        raise InputError("the sandbox was never audited; run 00_audit with environment = sandbox first")
    prefix = schema.object_prefix(artefacts.read_json(path)["publisher_prefixes"])
    types = migration.snapshot().frame("object_types").to_dicts()
    return schema.object_tables(types, company_type(migration), prefix)


# --- 01 to 03: profiles and decisions ---------------------------------------------------------------------------------


def event_profile(migration: Migration) -> EventProfile:
    """Profile the events of the snapshot and keep the profile."""
    snapshot = migration.snapshot()
    profile = profile_events(snapshot.frame("events").lazy())
    migration.save_profile(snapshot, "event_names", profile.names)
    migration.save_profile(snapshot, "event_properties", profile.properties)
    return profile


def event_names(profile: EventProfile) -> pl.DataFrame:
    """Events by name, with times instead of milliseconds."""
    times = (pl.from_epoch(pl.col(c), "ms").alias(c) for c in ("first_at", "last_at"))
    return profile.names.with_columns(*times).rename({"first_at": "first", "last_at": "last"})


def trait_profile(migration: Migration) -> pl.DataFrame:
    """Profile the traits of all people, and apart of each class, and keep the profile."""
    snapshot = migration.snapshot()
    profile = traits.profile_traits(
        snapshot.frame("people"), key="person_key", classes=classes(migration, open_rule(migration))
    )
    migration.save_profile(snapshot, "traits", profile)
    return profile


def object_profiles(migration: Migration) -> dict[str, pl.DataFrame]:
    """Profile the attributes of each object type."""
    parts = migration.snapshot().frame("objects").partition_by("object_type_id", as_dict=True)
    return {str(key[0]): traits.profile_traits(rows, key="object_key") for key, rows in sorted(parts.items())}


def split_facts(migration: Migration, rule: SplitRule) -> pl.DataFrame:
    """What the split rule looks at, one row per person."""
    snapshot = migration.snapshot()
    people, relations = snapshot.frame("people"), snapshot.frame("relationships")
    return split.facts(people, relations, rule, company_type=company_type(migration) or None)


def classes(migration: Migration, rule: SplitRule) -> pl.DataFrame:
    """person_key, cls, reason."""
    return split.classify(split_facts(migration, rule), rule)


def propose_mapping(migration: Migration, profile: pl.DataFrame) -> FieldMapping:
    """A map for all fields, from the profiles and the sandbox's schema."""
    return mapping.propose_mapping(
        profile,
        object_profiles(migration),
        existing=migration.load_target("sandbox"),
        company_type=company_type(migration) or None,
        object_tables=object_tables(migration),
    )


def open_rule(migration: Migration) -> SplitRule:
    """The split rule as it stands, confirmed or not; the default when there is none."""
    found = decisions.read(migration, "split")
    return split.from_document(found.body) if found else SplitRule()


def propose(
    migration: Migration, name: decisions.Name, body: Mapping[str, Any], *profiles: pl.DataFrame
) -> decisions.Decision:
    """Write a proposal with its fingerprint: the snapshot, and a digest of the profiles that it was made on."""
    digest = artefacts.digest([profile.to_dicts() for profile in profiles] or "none")
    return decisions.propose(migration, name, body, migration.snapshot(), digest)


def state_of(decision: decisions.Decision) -> dict[str, str]:
    """Facts about a decision for a report."""
    stamp = decision.stamp
    who = f"{stamp.confirmed_by}, {stamp.confirmed_at}" if stamp.confirmed_by else "nobody yet"
    return {"state": decision.state, "confirmed by": f"{who}{' (unattended)' if stamp.unattended else ''}",
            "made on snapshot": stamp.snapshot, "version": decision.digest[:12]}  # fmt: skip


def decide(
    migration: Migration, name: decisions.Name, body: Mapping[str, Any], *profiles: pl.DataFrame, save: bool, by: str
) -> decisions.Decision:
    """Propose; with `save` replace what stands there; with a name in `by` confirm it. The decision as it stands."""
    decision = propose(migration, name, body, *profiles)
    if save:
        decision = decisions.save(migration, name, body)
    return decisions.confirm(migration, name, by=by, at=connect.now(), unattended=False) if by else decision


def columns_of(decision: EventDecision) -> pl.DataFrame:
    """The promoted properties: key, column, type, share, evidence."""
    rows = [(c.key, c.column.name, provision.describe(c.column), c.share, c.evidence) for c in decision.columns]
    kinds = {"key": pl.String, "column": pl.String, "type": pl.String, "share": pl.Float64, "evidence": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def fields_of(chosen: FieldMapping) -> pl.DataFrame:
    """The map: source, action, targets, type, confidence, flagged, evidence."""
    texts = dict.fromkeys(("source", "action", "targets", "type"), pl.String())
    kinds = {**texts, "confidence": pl.Float64(), "flagged": pl.Boolean(), "evidence": pl.String()}
    return pl.DataFrame([_field_row(f) for f in chosen.fields], schema=kinds, orient="row")


def _field_row(field: field_maps.FieldMap) -> tuple[object, ...]:
    targets = ", ".join(f"{table}.{column}" for table, column in field.targets)
    kind = provision.describe(field.column) if field.column else ""
    evidence = "; ".join(text for text in (field.evidence, field.note) if text)
    return field.source, field.action, targets, kind, field.confidence, field.flagged, evidence


def problems_of(migration: Migration, chosen: FieldMapping) -> list[str]:
    """What is wrong with a map, in sentences (B-101)."""
    return field_maps.validate(chosen, migration.load_target("sandbox"))


# --- 04 and 05: the schema and the rows -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """The three confirmed decisions."""

    events: EventDecision
    mapping: FieldMapping
    split: SplitRule


def rules(migration: Migration) -> Rules:
    """The confirmed decisions. DecisionError when one is open, stale or contradicts itself."""
    body = {name: decisions.confirmed(migration, name).body for name in decisions.NOTEBOOK}
    found = Rules(
        events.from_document(body["events"]),
        field_maps.from_document(body["mapping"]),
        split.from_document(body["split"]),
    )
    problems = field_maps.validate(found.mapping, migration.load_target("sandbox"))
    if problems:
        raise DecisionError("the map cannot be used: " + "; ".join(problems))
    return found


def wanted_schema(migration: Migration, chosen: Rules) -> tuple[Table, ...]:
    """Everything that has to exist in Dataverse for these rules."""
    types = {t["object_type_id"]: t["name"] for t in migration.snapshot().frame("object_types").to_dicts()}
    named = {type_id: (table, str(types[type_id])) for type_id, table in object_tables(migration).items()}
    columns = field_maps.custom_columns(chosen.mapping)
    owned = ownership.attributes(migration.settings.owners)
    ownership.require_column(chosen.mapping, owned)
    return schema.wanted(columns, [c.column for c in chosen.events.columns], named, owned=owned.tables)


def provision_schema(
    migration: Migration,
    environment: Environment,
    wanted: tuple[Table, ...],
    client: Dataverse,
    *,
    apply: bool,
    progress: Progress,
    table_limit: int | None = None,
) -> provision.SchemaPlan:
    """Create what is missing, or, without `apply`, nothing; the plan as it is afterwards. GateError for production.

    `table_limit` is how many custom tables the licence allows; None only warns above what a Professional one allows.
    """
    if not apply:
        return provision.compare(wanted, client, table_limit=table_limit)
    signoff.require(migration, environment)
    live = provision.apply(wanted, client, progress=progress, table_limit=table_limit)
    save_schema(migration, environment, wanted, live)
    return provision.compare(wanted, client, table_limit=table_limit)


def save_schema(
    migration: Migration, environment: Environment, wanted: tuple[Table, ...], live: Mapping[str, Table]
) -> Path:
    """Keep what was provisioned: the wanted schema is what a signature covers, the live one what loading needs."""
    migration.save_target(environment, live)
    return artefacts.write_json(migration.environment(environment) / "schema.json", [to_document(t) for t in wanted])


def given(migration: Migration, environment: Environment, chosen: Rules) -> stage.Given:
    """What staging reads. InputError when the schema was not provisioned.

    With owners mapped the target's users and teams are read now; SettingsError when the fallback cannot own rows.
    """
    tables = migration.load_target(environment)
    wanted = wanted_schema(migration, chosen)
    missing = [t.name for t in wanted if t.name not in tables]
    missing += [f"{t.name}.{schema.OWNER.name}" for t in wanted if t.name in tables and _lacks_owner(t, tables[t.name])]
    if missing:
        raise InputError(f"{environment} has no {', '.join(missing)} yet; run 04_schema")
    return stage.Given(
        raw_tables(migration), chosen.split, chosen.mapping, chosen.events, tables, object_tables(migration),
        company_type(migration), migration.id, _ownership(migration, environment),
    )  # fmt: skip


def _lacks_owner(wanted: Table, live: Table) -> bool:
    return wanted.column(schema.OWNER.name) is not None and live.column(schema.OWNER.name) is None


def _ownership(migration: Migration, environment: Environment) -> ownership.Ownership:
    """Who can own rows in the environment; nobody is asked for when no owners are mapped."""
    if not migration.settings.owners.are_mapped:
        return ownership.NOBODY
    with connect.target(migration, environment) as client:
        return ownership.ownership(migration.settings.owners, read_owners(client))


def plan_id(migration: Migration, environment: Environment) -> str:
    """Names a plan by everything that it was made of: snapshot and the three rules.

    With owners mapped also by their settings and the environment, because users have an id of their own in each.
    """
    versions: dict[str, str] = {name: decisions.confirmed(migration, name).digest for name in decisions.NOTEBOOK}
    owners = migration.settings.owners
    named = {"owners": owners.model_dump(), "environment": environment} if owners.are_mapped else {}
    return artefacts.digest({"snapshot": migration.snapshot().id, **versions, **named})[:12]


def save_staged(migration: Migration, plan: str, staged: stage.Staged) -> dict[str, pl.DataFrame]:
    """Write the staged tables and what was put apart; the tables come back in order of loading."""
    folder = migration.staged(plan)
    frames = {name: staged.frames[name] for name in load.order(staged.frames)}
    for name, frame in frames.items():
        artefacts.write_frame(folder / f"{name}.parquet", frame)
    for name in stage.PLACES[1:]:
        artefacts.write_frame(folder / f"{name}.parquet", staged.place(name))
    artefacts.write_frame(folder / "changes.parquet", staged.notes())
    if staged.owned:
        artefacts.write_frame(folder / "owners.parquet", staged.owners())
    artefacts.write_json(folder / "plan.json", {"plan": plan, "tables": {n: f.height for n, f in frames.items()}})
    return frames


def staged_rows(migration: Migration, plan: str, table: str, ids: Sequence[str]) -> pl.DataFrame | None:
    """Rows as a plan staged them; None when the plan's files are gone."""
    path = migration.staged(plan) / f"{table}.parquet"
    if not path.exists():
        return None
    return pl.scan_parquet(path).filter(pl.col(f"{table}id").is_in(list(ids))).collect()


def staged_frames(migration: Migration, plan: str) -> dict[str, pl.DataFrame]:
    """The staged tables of a plan in order of loading; InputError when 05_load has not staged it."""
    folder = migration.staged(plan)
    if not (folder / "plan.json").exists():
        raise InputError(f"plan {plan} was not staged; run 05_load")
    names = artefacts.read_json(folder / "plan.json")["tables"]
    return {name: pl.read_parquet(folder / f"{name}.parquet") for name in load.order(names)}


def load_plan(
    migration: Migration, environment: Environment, plan: str, frames: Mapping[str, pl.DataFrame]
) -> load.LoadPlan:
    """What loading would do, by the ledger; sends nothing."""
    tables = migration.load_target(environment)
    if not migration.ledger(environment).exists():
        return load.plan(plan, frames, tables, None)
    with ledgers.reading(migration.ledger(environment)) as ledger:
        return load.plan(plan, frames, tables, ledger)


def side_effects(migration: Migration) -> dict[str, str]:
    """What loading sets off in the target besides its rows, in words; the section `load` of the settings decides."""
    chosen = migration.settings.load
    return {
        "plug-ins and workflows of the customer": "run" if chosen.run_custom_logic else "are skipped",
        "Power Automate flows": "start" if chosen.start_flows else "do not start",
        "duplicate detection rules": "refuse rows" if chosen.detect_duplicates else "are not asked",
    }


@dataclass(frozen=True)
class Loaded:
    """The balance per table, the requests per application user, and values edited in the target since they were loaded.

    Edits: table, source_key, column, loaded, target, source, kind, decision.
    """

    balance: pl.DataFrame
    traffic: pl.DataFrame
    edits: pl.DataFrame

    @property
    def conflicts(self) -> int:
        """How many values were changed in both places."""
        return self.edits.filter(pl.col("kind") == "edited in both").height


def load_rows(
    migration: Migration,
    environment: Environment,
    run_id: str,
    planned: load.LoadPlan,
    frames: Mapping[str, pl.DataFrame],
    *,
    apply: bool,
    progress: Progress,
) -> Loaded:
    """Load, or, without `apply`, send nothing. GateError for production."""
    if not apply:
        return Loaded(pl.DataFrame(schema=BALANCE), load.traffic([]), pl.DataFrame(schema=EDITS))
    signoff.require(migration, environment)
    with (
        connect.lanes(migration, environment) as clients,
        connect.open_ledger(migration, environment, clients[0]) as ledger,
    ):
        run = load.Run(run_id, planned.plan_id, ledger.begin_run(run_id, planned.plan_id, connect.now()))
        try:
            tables = migration.load_target(environment)
            balance = load.apply(
                run, frames, tables, clients, ledger, migration.settings.load, progress=progress,
                earlier=partial(staged_rows, migration),
            )  # fmt: skip
        except BaseException:
            ledger.end_run(run_id, "stopped", connect.now())
            raise
        ledger.end_run(run_id, "done", connect.now())
        return Loaded(balance, load.traffic(clients), ledger.edits(run_id))


def quarantine(migration: Migration, environment: Environment) -> pl.DataFrame:
    """Rows that the target refused: table, source_key, row_id, code, message."""
    if not migration.ledger(environment).exists():
        return pl.DataFrame(schema=dict.fromkeys(("table", "source_key", "row_id", "code", "message"), pl.String))
    with ledgers.reading(migration.ledger(environment)) as ledger:
        return ledger.quarantine()


def unlinked(migration: Migration, environment: Environment) -> pl.DataFrame:
    """Rows without a link whose target is in quarantine, by the last load: table, source_key, link, target."""
    if not migration.ledger(environment).exists():
        return pl.DataFrame(schema=dict.fromkeys(("table", "source_key", "link", "target"), pl.String))
    with ledgers.reading(migration.ledger(environment)) as ledger:
        return ledger.unlinked()


def runs(migration: Migration, environment: Environment) -> list[dict[str, Any]]:
    """All runs of an environment's ledger, oldest first, with their counts; none when nothing was loaded."""
    if not migration.ledger(environment).exists():
        return []
    with ledgers.reading(migration.ledger(environment)) as ledger:
        return ledger.runs().to_dicts()


def changed_rows(balance: pl.DataFrame) -> str:
    """What a load changed in the target, in a sentence."""
    created, updated = int(balance["created"].sum()), int(balance["updated"].sum())
    if not created and not updated:
        return "No row in Dataverse was changed."
    return f"Created {created:,} and updated {updated:,} rows in Dataverse."


def apart(staged: stage.Staged) -> pl.DataFrame:
    """Rows that are not loaded: object, place, reason, rows, meaning."""
    rows = pl.concat([staged.place(p).with_columns(place=pl.lit(p)) for p in stage.PLACES[1:]])
    counted = rows.group_by("object", "place", "reason").agg(rows=pl.len()).sort("object", "place", "reason")
    return counted.with_columns(meaning=_meaning("reason"))


def changes(staged: stage.Staged) -> pl.DataFrame:
    """Values that were changed or kept elsewhere: object, field, column, note, values, meaning."""
    counted = staged.notes().group_by("object", "field", "column", "note").agg(values=pl.len())
    return counted.sort(["values", "object", "field"], descending=[True, False, False]).with_columns(
        meaning=_meaning("note")
    )


def _meaning(column: str) -> pl.Expr:
    known = {**values.PROBLEMS, **values.NOTES, **split.REASONS, **stage.REASONS}
    return pl.col(column).replace_strict(known, default="")


def loadable(staged: stage.Staged) -> int:
    """How many rows are staged in all."""
    return sum(frame.height for frame in staged.frames.values())


# --- 06: the target as it is now --------------------------------------------------------------------------------------


def read_target(
    client: Dataverse, frames: Mapping[str, pl.DataFrame], tables: Mapping[str, Table]
) -> dict[str, pl.DataFrame]:
    """For each staged table, all rows of the target that carry a source key."""
    return {
        name: client.read_table(tables[name], reconcile.columns_to_read(frame, tables[name]), "cio_source_key ne null")
        for name, frame in frames.items()
    }


def compare_all(
    frames: Mapping[str, pl.DataFrame],
    target: Mapping[str, pl.DataFrame],
    tables: Mapping[str, Table],
    refused: pl.DataFrame,
) -> list[reconcile.Comparison]:
    """Compare every table; rows in quarantine (`refused`) are not expected in the target."""
    waiting = {name: refused.filter(pl.col("table") == name)["row_id"].to_list() for name in frames}
    return [reconcile.compare(frame, target[name], tables[name], waiting[name]) for name, frame in frames.items()]


def explained_differences(
    migration: Migration,
    environment: Environment,
    comparisons: list[reconcile.Comparison],
    tables: Mapping[str, Table],
) -> pl.DataFrame:
    """Every difference with the reason that the ledger knows: table, source_key, column, staged, target, reason."""
    found = reconcile.differences(comparisons)
    if not migration.ledger(environment).exists():
        return found.with_columns(reason=pl.lit(""))
    with ledgers.reading(migration.ledger(environment)) as ledger:
        kept, links = ledger.kept_edits(), ledger.unlinked()
    reads = {(name, nav): f"_{x.name}_value" for name, table in tables.items() for nav, (x, _) in table.binds.items()}
    columns = [reads.get(pair, pair[1]) for pair in links.select("table", "link").iter_rows()]
    return reconcile.explained(found, kept, links.with_columns(pl.Series("column", columns, dtype=pl.String)))


def save_reconciliation(
    migration: Migration, environment: Environment, comparisons: list[reconcile.Comparison]
) -> Path:
    """Keep the verdict that a signature covers."""
    rows = reconcile.summary(comparisons).to_dicts()
    return artefacts.write_json(migration.environment(environment) / "reconciliation.json", {"tables": rows})


def spot_check_sheet(
    migration: Migration, frames: Mapping[str, pl.DataFrame], target: Mapping[str, pl.DataFrame], *, rows: int
) -> pl.DataFrame:
    """The sheet for people: contacts and leads drawn in proportion, source and target side by side (SR-144)."""
    tables, people = migration.load_target("sandbox"), migration.snapshot().frame("people")
    total = frames["contact"].height + frames["lead"].height
    drawn = {name: -(-rows * frames[name].height // max(total, 1)) for name in ("contact", "lead")}
    sheets = [
        reconcile.spot_checks(frames[name], target[name], tables[name], people, rows=count)
        for name, count in drawn.items()
    ]
    return pl.concat(sheets)


def save_sheet(migration: Migration, run_id: str, name: str, frame: pl.DataFrame) -> Path:
    """A frame as a spreadsheet beside the reports; text stays text, never a formula (B-108)."""
    path = migration.reports / (run_id or "live") / f"{name}.xlsx"
    return artefacts.write(path, lambda p: frame.write_excel(p, worksheet=name[:31], autofit=True))


# --- 90: undo ---------------------------------------------------------------------------------------------------------


def undo(
    migration: Migration, environment: Environment, run_id: str, *, apply: bool, progress: Progress
) -> pl.DataFrame:
    """Roll back one run, or, without `apply`, say what that would do."""
    tables = migration.load_target(environment)
    with (
        connect.target(migration, environment) as client,
        connect.open_ledger(migration, environment, client) as ledger,
    ):
        planned = rollback.plan(run_id, ledger, client, tables)
        if not apply:
            return planned.frame()
        return rollback.apply(planned, ledger, client, tables, at=connect.now(), progress=progress)


def remove_schema(
    migration: Migration, environment: Environment, *, apply: bool, with_rows: bool, progress: Progress
) -> pl.DataFrame:
    """What removing everything that provisioning made would delete, or, with `apply`, what it deleted.

    One row per component: table, kind, name, state, what, rows, reason. SchemaConflict when something else depends on
    it, DecisionError when rows would go along and `with_rows` does not say so; nothing was deleted then.
    """
    with connect.target(migration, environment) as client:
        if not apply:
            return removal.look(client).frame()
        with connect.open_ledger(migration, environment, client) as ledger:
            planned = removal.apply_removal(client, progress=progress, allow_rows=with_rows)
            ledger.schema_removed(r.name for r in planned.to_remove if r.kind == "table")
            return planned.frame()
