"""Snapshot + confirmed decisions → one frame per target table. Pure; every source row ends in exactly one place (L1).

A staged frame has the columns as the API takes them: the primary key, plain columns by logical name, and lookups as the
navigation property that binds them, holding the GUID; the owner, who may be a user or a team, as the path itself.
Rows that are not staged stand in `review`, `excluded` or `rejected`, each with object, source key and reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import polars as pl

from cio2d365 import identity
from cio2d365.decide import json_scan, split
from cio2d365.decide.events import EventDecision, promote
from cio2d365.decide.field_maps import FieldMap
from cio2d365.decide.field_maps import Mapping as FieldMapping
from cio2d365.decide.split import SplitRule
from cio2d365.errors import ConservationError
from cio2d365.migrate import fields, ownership, schema
from cio2d365.migrate.ownership import NOBODY, Ownership
from cio2d365.tables import MEMO_LENGTH, Column, Table

APART = {"object": pl.String, "source_key": pl.String, "reason": pl.String, "detail": pl.String}
NOTES = {"object": pl.String, **fields.NOTES}
PLACES = ("staged", "review", "excluded", "rejected")
REASONS = {
    "person-in-review": "The person waits for a decision.",
    "person-excluded": "The person is excluded or was rejected.",
    "person-not-in-source": "The person is not in the snapshot.",
    "person-not-migrated": "The person is not loaded.",
    "object-not-in-source": "The object is not in the snapshot.",
    "company-not-loaded": "The company is not in the snapshot.",
    "name-from-address": "No last name: the e-mail address, else the id, stands for it.",
    "name-from-id": "No name: the domain, else the id, stands for it.",
    "unknown-consent": "Consent could not be read and counts as opted out.",
}
PRIMARY_SIGNALS = ("primary", "is_primary", "main")
CREATED_AT = Column("overriddencreatedon", "datetime")


@dataclass(frozen=True)
class Given:
    """What staging reads: raw tables, confirmed rules, the target's tables, and the id that seeds GUIDs."""

    raw: Mapping[str, pl.DataFrame]
    rule: SplitRule
    mapping: FieldMapping
    events: EventDecision
    tables: Mapping[str, Table]
    object_tables: Mapping[str, str]
    company_type: str
    migration_id: str
    owners: Ownership = NOBODY


@dataclass
class Staged:
    """Frames per target table in order of loading, and everything that is not in them."""

    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    apart: dict[str, list[pl.DataFrame]] = field(default_factory=lambda: {p: [] for p in PLACES[1:]})
    noted: list[pl.DataFrame] = field(default_factory=list)
    links: list[pl.DataFrame] = field(default_factory=list)
    owned: list[pl.DataFrame] = field(default_factory=list)

    def put_apart(self, place: str, name: str, rows: pl.DataFrame) -> None:
        """Rows (source_key, reason, optional detail) of object `name` that are not staged."""
        detail = pl.col("detail") if "detail" in rows.columns else pl.lit(None)
        frame = rows.select(object=pl.lit(name), source_key="source_key", reason="reason", detail=detail)
        self.apart[place].append(frame.cast(cast(Any, APART)))

    def note(self, name: str, notes: pl.DataFrame) -> None:
        """Changed and kept values of object `name`."""
        self.noted.append(
            notes.select(pl.lit(name).alias("object"), *(pl.col(n).cast(t) for n, t in fields.NOTES.items()))
        )

    def place(self, name: str) -> pl.DataFrame:
        """All rows of `review`, `excluded` or `rejected`: object, source_key, reason, detail."""
        return pl.concat([pl.DataFrame(schema=APART), *self.apart[name]])

    def notes(self) -> pl.DataFrame:
        """Every value that was changed or kept elsewhere (L4): object, source_key, field, column, note, detail."""
        return pl.concat([pl.DataFrame(schema=NOTES), *self.noted])

    def missing_links(self) -> pl.DataFrame:
        """Rows that load without a link because its target does not: object, source_key, reason, detail (B-083)."""
        return pl.concat([pl.DataFrame(schema=APART), *(f.cast(cast(Any, APART)) for f in self.links)])

    def owners(self) -> pl.DataFrame:
        """Every row of a table whose owners are mapped: table, source_key, field, value, obstacle, owner (who has it).

        All of the last three are null where nobody is named, and the obstacle where the named one owns the row.
        """
        return pl.concat([pl.DataFrame(schema=ownership.OWNED), *self.owned])


def stage(given: Given) -> Staged:
    """All tables. ConservationError when a source row is in no place or in two.

    With owners mapped: SettingsError when nobody in the source has the attribute, or when a named owner cannot own rows
    and there is no fallback; DecisionError when the map uses the column that keeps the name.
    """
    staged = Staged()
    companies = given.raw["objects"].filter(pl.col("object_type_id") == given.company_type)
    ownership.require_names(given.owners, given.mapping, given.raw["people"], companies)
    accounts = _objects(staged, given, given.company_type, "account")
    classes = _classes(given)
    _put_classes_apart(staged, classes)
    primary = _primary_companies(staged, given, accounts)
    people = {cls: _people(staged, given, classes, cls, primary) for cls in ("contact", "lead")}
    ownership.require_fallback(staged.owners())
    objects = {given.company_type: accounts} | {
        t: _objects(staged, given, t, name) for t, name in sorted(given.object_tables.items(), key=lambda x: x[1])
    }
    _relationships(staged, given, people, objects)
    _events(staged, given, people, classes)
    _check(staged, given)
    return staged


def balance(staged: Staged, given: Given) -> pl.DataFrame:
    """Per source object: read, staged, review, excluded, rejected; they add up, or ConservationError was raised."""
    rows = []
    for name, read in _read_counts(given).items():
        counts = {p: staged.place(p).filter(pl.col("object") == name).height for p in PLACES[1:]}
        rows.append({"object": name, "read": read, "staged": _staged_count(staged, given, name), **counts})
    return pl.DataFrame(rows)


def _check(staged: Staged, given: Given) -> None:
    for row in balance(staged, given).iter_rows(named=True):
        if row["read"] != sum(row[p] for p in PLACES):
            raise ConservationError(f"staging {row['object']}: " + ", ".join(f"{k} {v}" for k, v in row.items()))
    for name, frame in staged.frames.items():
        if frame[given.tables[name].primary_id].n_unique() != frame.height:
            raise ConservationError(f"staging {name}: two rows got one id")


def _read_counts(given: Given) -> dict[str, int]:
    objects = given.raw["objects"].group_by("object_type_id").len().sort("object_type_id")
    per_type = {_label(given, t): n for t, n in objects.iter_rows()}
    rest = {n: given.raw[n].height for n in ("relationships", "events")}
    return {"people": given.raw["people"].height, **per_type, **rest}


def _staged_count(staged: Staged, given: Given, name: str) -> int:
    tables = {"people": ["contact", "lead"], "relationships": ["cio_relationship"]}
    tables |= {"events": ["cio_event", "cio_anonymous_event"], _label(given, given.company_type): ["account"]}
    tables |= {_label(given, t): [table] for t, table in given.object_tables.items()}
    return sum(staged.frames[t].height for t in tables.get(name, []) if t in staged.frames)


# --- people -----------------------------------------------------------------------------------------------------------


def _classes(given: Given) -> pl.DataFrame:
    """person_key, cls, reason, address: one row per person."""
    facts = split.facts(
        given.raw["people"], given.raw["relationships"], given.rule, company_type=given.company_type or None
    )
    return split.classify(facts, given.rule).join(facts.select("person_key", "address"), on="person_key")


def _put_classes_apart(staged: Staged, classes: pl.DataFrame) -> None:
    for place in ("review", "excluded"):
        rows = classes.filter(pl.col("cls") == place)
        staged.put_apart(place, "people", rows.select(source_key="person_key", reason="reason"))


def _people(staged: Staged, given: Given, classes: pl.DataFrame, cls: str, companies: pl.DataFrame) -> pl.DataFrame:
    """Stage one class; (person_key, id) of those staged comes back."""
    table = given.tables[cls]
    chosen = classes.filter(pl.col("cls") == cls)
    people = given.raw["people"].join(chosen, on="person_key").sort("person_key")
    people = _without_illegal(staged, "people", people, {"id": schema.USER_ID, "cio_id": schema.CIO_ID}, "person_key")
    keys = people["person_key"].alias("source_key")
    done = fields.mapped(people["attributes"], keys, _of(given, "person."), table)
    email = fields.convert(people["address"], cast(Column, table.column("emailaddress1")))
    created = fields.convert(_attribute(people, "created_at"), CREATED_AT, unit="mixed")
    kept = {
        "email": fields.original(people["email"], email),
        "created_at": fields.original(_attribute(people, "created_at"), created),
    }
    frame = done.columns if done.columns.width else pl.DataFrame({"row": keys}).drop("row")
    frame = frame.with_columns(
        identity.row_ids(given.migration_id, cls, keys).alias(table.primary_id),
        email["value"].alias("emailaddress1"),
        created["value"].alias("overriddencreatedon"),
        people["id"].alias("cio_user_id__c"),
        people["cio_id"].alias("cio_cio_id"),
        keys.alias("cio_source_key"),
        # Unknown consent counts as opted out (L15, B-092).
        people["unsubscribed"].fill_null(True).alias("donotbulkemail"),
        fields.with_rest(done.rest, kept),
    )
    staged.note("people", fields.concat([
        done.notes, fields.note(keys, "email", "emailaddress1", email), _cleaned(people, keys),
        fields.note(keys, "created_at", "overriddencreatedon", created), _unknown_consent(people, keys),
    ]))  # fmt: skip
    frame = _named(staged, frame, people, cls)
    frame = _linked(frame, keys, companies, table, "parentcustomerid" if cls == "contact" else "parentaccountid")
    frame = _owned(staged, given, "people", frame, people, table)
    staged.frames[cls] = _ordered(frame, table)
    return frame.select(person_key="cio_source_key", id=table.primary_id)


def _of(given: Given, prefix: str) -> list[FieldMap]:
    return [m for m in given.mapping.fields if m.source.startswith(prefix)]


def _attribute(rows: pl.DataFrame, name: str) -> pl.Series:
    return json_scan.pick(rows["attributes"], [name])[name]


def _cleaned(people: pl.DataFrame, keys: pl.Series) -> pl.DataFrame:
    """E-mails that were taken out of blanks, brackets or `mailto:` (B-001, B-010)."""
    frame = people.select("email", "address").with_columns(source_key=keys)
    told = frame.filter(pl.col("address").is_not_null() & (pl.col("email") != pl.col("address")))
    texts = {"field": pl.lit("email"), "column": pl.lit("emailaddress1"), "note": pl.lit("address")}
    return told.select("source_key", **texts, detail=pl.lit(None, pl.String))


def _unknown_consent(people: pl.DataFrame, keys: pl.Series) -> pl.DataFrame:
    told = people.select("unsubscribed").with_columns(source_key=keys).filter(pl.col("unsubscribed").is_null())
    texts = {"field": pl.lit("unsubscribed"), "column": pl.lit("donotbulkemail"), "note": pl.lit("unknown-consent")}
    return told.select("source_key", **texts, detail=pl.lit("counts as opted out"))


def _named(staged: Staged, frame: pl.DataFrame, people: pl.DataFrame, cls: str) -> pl.DataFrame:
    """Forms want a last name, and a lead a topic: people without one go by e-mail, else by id; each case is noted."""
    given = pl.col("lastname") if "lastname" in frame.columns else pl.lit(None, pl.String)
    known = pl.coalesce("emailaddress1", "cio_user_id__c", "cio_cio_id")
    short = pl.when(known.str.len_chars() <= 50).then(known).otherwise(pl.col("cio_cio_id"))
    filled = frame.with_columns(lastname=pl.coalesce(given, short), _none=given.is_null())
    texts = {"field": pl.lit("last_name"), "column": pl.lit("lastname"), "note": pl.lit("name-from-address")}
    told = filled.filter("_none").select(source_key="cio_source_key", **texts, detail=pl.lit(None, pl.String))
    staged.note("people", told)
    if cls == "lead":
        filled = filled.with_columns(subject=pl.format("Customer.io: {}", pl.coalesce("emailaddress1", "lastname")))
    return filled.drop("_none")


def _linked(frame: pl.DataFrame, keys: pl.Series, companies: pl.DataFrame, table: Table, lookup: str) -> pl.DataFrame:
    column = table.lookup(lookup)
    navigation = column.navigation("account") if column else lookup
    found = pl.DataFrame({"person_key": keys}).join(companies, on="person_key", how="left", maintain_order="left")
    return frame.with_columns(found["account_id"].alias(navigation))


def _primary_companies(staged: Staged, given: Given, accounts: pl.DataFrame) -> pl.DataFrame:
    """(person_key, account_id): the company marked as primary, else the one that sorts first (B-084)."""
    relations = given.raw["relationships"].filter(
        (pl.col("object_type_id") == given.company_type) & pl.col("person_key").is_not_null()
    )
    marks = json_scan.pick(relations["attributes"], PRIMARY_SIGNALS)
    marked = pl.any_horizontal(pl.all().str.to_lowercase().is_in(["true", "1", "yes"])).fill_null(False)
    ranked = relations.hstack(marks.select(marked=marked)).sort(["marked", "object_key"], descending=[True, False])
    known = ranked.join(accounts.rename({"id": "account_id"}), on="object_key", how="left", maintain_order="left")
    lost = known.filter(pl.col("account_id").is_null())
    why = {"object": pl.lit("people"), "reason": pl.lit("company-not-loaded")}
    staged.links.append(lost.select(**why, source_key="person_key", detail="object_key").select(APART.keys()))
    first = known.drop_nulls("account_id").unique("person_key", keep="first", maintain_order=True)
    return first.select("person_key", "account_id")


# --- objects and relationships ----------------------------------------------------------------------------------------


def _objects(staged: Staged, given: Given, type_id: str, name: str) -> pl.DataFrame:
    """Stage the objects of one type; (object_key, id) of those staged comes back."""
    label, table = _label(given, type_id), given.tables[name]
    rows = given.raw["objects"].filter(pl.col("object_type_id") == type_id).sort("object_key")
    rows = _without_illegal(staged, label, rows, {"object_id": schema.COMPANY_ID}, "object_key")
    keys = rows["object_key"].alias("source_key")
    done = fields.mapped(rows["attributes"], keys, _of(given, f"object.{type_id}."), table)
    staged.note(label, done.notes)
    own = {"cio_company_id__c": rows["object_id"]} if name == "account" else _object_ids(given, rows, type_id)
    frame = done.columns if done.columns.width else pl.DataFrame({"row": keys}).drop("row")
    frame = frame.with_columns(
        identity.row_ids(given.migration_id, name, keys).alias(table.primary_id),
        keys.alias("cio_source_key"),
        done.rest,
        *(series.alias(column) for column, series in own.items()),
    )
    title = "name" if name == "account" else table.primary_name
    frame = _titled(staged, frame, rows, label, title)
    frame = _owned(staged, given, label, frame, rows, table)
    staged.frames[name] = _ordered(frame, table)
    return frame.select(object_key="cio_source_key", id=table.primary_id)


def _label(given: Given, type_id: str) -> str:
    """How a type is called in balances: its name, and its id because names need not be unique."""
    names = given.raw["object_types"].filter(pl.col("object_type_id") == type_id)["name"]
    return f"{names[0]} (type {type_id})" if len(names) else f"objects of type {type_id}"


def _object_ids(given: Given, rows: pl.DataFrame, type_id: str) -> dict[str, pl.Series]:
    names = given.raw["object_types"].filter(pl.col("object_type_id") == type_id)["name"]
    kind = pl.Series([names[0] if len(names) else type_id]).new_from_index(0, rows.height)
    return {"cio_object_id": rows["object_id"], "cio_object_type": kind}


def _titled(staged: Staged, frame: pl.DataFrame, rows: pl.DataFrame, label: str, title: str) -> pl.DataFrame:
    """An object without a name goes by its domain, else by its id; each case is noted (B-085)."""
    given = pl.col(title) if title in frame.columns else pl.lit(None, pl.String)
    domain = _attribute(rows, "domain").str.slice(0, 160)
    filled = frame.with_columns(domain.alias("_domain"), rows["object_id"].alias("_id"), _none=given.is_null())
    filled = filled.with_columns(pl.coalesce(given, "_domain", "_id").alias(title))
    texts = {"field": pl.lit("name"), "column": pl.lit(title), "note": pl.lit("name-from-id")}
    told = filled.filter("_none").select(source_key="cio_source_key", **texts, detail=pl.col(title))
    staged.note(label, told)
    return filled.drop("_domain", "_id", "_none")


def _relationships(
    staged: Staged, given: Given, people: Mapping[str, pl.DataFrame], objects: Mapping[str, pl.DataFrame]
) -> None:
    table = given.tables["cio_relationship"]
    rows = given.raw["relationships"].with_columns(
        source_key=pl.format("{}|{}", pl.coalesce("person_key", "person_id"), "object_key")
    )
    who = pl.concat([f.select("person_key", person_id_="id", cls=pl.lit(c)) for c, f in people.items()])
    names = {given.company_type: "account", **given.object_tables}
    what = pl.concat([f.select("object_key", object_id_="id", kind=pl.lit(names[t])) for t, f in objects.items()])
    joined = rows.join(who, on="person_key", how="left").join(what, on="object_key", how="left").sort("source_key")
    reason = (
        pl.when(pl.col("person_key").is_null()).then(pl.lit("person-not-in-source"))
        .when(pl.col("person_id_").is_null()).then(pl.lit("person-not-migrated"))
        .when(pl.col("object_id_").is_null()).then(pl.lit("object-not-in-source"))
    )  # fmt: skip
    joined = joined.with_columns(reason=reason)
    staged.put_apart("excluded", "relationships", joined.drop_nulls("reason").select("source_key", "reason"))
    good = joined.filter(pl.col("reason").is_null())
    binds = [_bind("cio_person_id", "cls", c, "person_id_", table) for c in people]
    binds += [_bind("cio_object_id", "kind", names[t], "object_id_", table) for t in objects]
    staged.frames["cio_relationship"] = good.select(
        identity.row_ids(given.migration_id, table.name, good["source_key"]).alias(table.primary_id),
        pl.col("object_id").alias("cio_name"),
        pl.col("source_key").alias("cio_source_key"),
        pl.when(pl.col("attributes") != "{}").then("attributes").alias("cio_attributes"),
        *binds,
    )


def _bind(lookup: str, discriminator: str, value: str, ids: str, table: Table) -> pl.Expr:
    column = table.lookup(lookup)
    navigation = column.navigation(value) if column else f"{lookup}_{value}"
    return pl.when(pl.col(discriminator) == value).then(ids).alias(navigation)


# --- events -----------------------------------------------------------------------------------------------------------


def _events(staged: Staged, given: Given, people: Mapping[str, pl.DataFrame], classes: pl.DataFrame) -> None:
    promoted, problems = promote(given.raw["events"], given.events)
    columns = {c.key: c.column.name for c in given.events.columns}
    where = pl.col("key").replace_strict(columns, default="cio_properties")
    told = problems.select(
        "detail", source_key="event_key", field="key", column=where, note=pl.coalesce("code", "note")
    )
    staged.note("events", told.filter(~pl.col("note").fill_null("").is_in(fields.SAME_VALUE)))
    who = pl.concat([f.select("person_key", person_row="id", target=pl.lit(c)) for c, f in people.items()])
    rows = promoted.join(who, on="person_key", how="left").join(
        classes.select("person_key", "cls"), on="person_key", how="left"
    )
    rows = rows.sort("at", "event_key").with_columns(source_key="event_key")
    rows = _without_illegal(staged, "events", rows, {"name": schema.EVENT_COLUMNS[0], "person_id": schema.USER_ID,
        "anonymous_id": schema.USER_ID}, "event_key")  # fmt: skip
    rows = _within(staged, rows)
    waiting = rows.filter(pl.col("person_key").is_not_null() & pl.col("person_row").is_null())
    for place, reason in (("review", "person-in-review"), ("excluded", "person-excluded")):
        chosen = pl.col("cls") == "review" if place == "review" else pl.col("cls") != "review"
        staged.put_apart(place, "events", waiting.filter(chosen).select("source_key", reason=pl.lit(reason)))
    _event_frame(staged, given, rows.filter(pl.col("person_row").is_not_null()), "cio_event", people)
    _event_frame(staged, given, rows.filter(pl.col("person_key").is_null()), "cio_anonymous_event", {})


def _event_frame(
    staged: Staged, given: Given, rows: pl.DataFrame, name: str, people: Mapping[str, pl.DataFrame]
) -> None:
    table = given.tables[name]
    extra = [pl.col("anonymous_id").alias("cio_anonymous_id")] if name == "cio_anonymous_event" else []
    staged.frames[name] = rows.select(
        identity.timed_row_ids(given.migration_id, name, rows["event_key"], rows["at"]).alias(table.primary_id),
        pl.col("name").alias("cio_event_name"),
        pl.from_epoch("at", "ms").dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("cio_event_timestamp"),
        pl.col("type").alias("cio_event_type"),
        pl.col("person_id").alias("cio_source_id"),
        pl.col("source").alias("cio_origin"),
        pl.col("event_key").alias("cio_source_key"),
        "cio_properties",
        *(c.column.name for c in given.events.columns),
        *extra,
        *(_bind("cio_user_id", "target", cls, "person_row", table) for cls in people),
    )


def _within(staged: Staged, rows: pl.DataFrame) -> pl.DataFrame:
    """Reject events that no column can hold: times before 1753 or after 9999, JSON beyond the memo's length."""
    reason = (
        pl.when(~pl.col("at").is_between(EARLIEST_MS, LATEST_MS)).then(pl.lit("E-DATE"))
        .when(pl.col("cio_properties").str.len_chars() > MEMO_LENGTH).then(pl.lit("E-LEN"))
    )  # fmt: skip
    marked = rows.with_columns(reason=reason)
    staged.put_apart("rejected", "events", marked.drop_nulls("reason").select("source_key", "reason"))
    return marked.filter(pl.col("reason").is_null()).drop("reason")


EARLIEST_MS = -6_847_804_800_000  # 1753-01-01, the first day of Dataverse
LATEST_MS = 253_402_300_799_000  # 9999-12-31T23:59:59Z


# --- shared -----------------------------------------------------------------------------------------------------------


def _owned(
    staged: Staged, given: Given, label: str, frame: pl.DataFrame, rows: pl.DataFrame, table: Table
) -> pl.DataFrame:
    name = given.owners.attribute(table.name)
    if not name:
        return frame
    done = ownership.give(frame, _attribute(rows, name), table, given.owners)
    staged.owned.append(done.owned)
    staged.note(label, done.notes)
    return done.frame


def _without_illegal(
    staged: Staged, label: str, rows: pl.DataFrame, columns: Mapping[str, Column], key: str
) -> pl.DataFrame:
    """Reject rows whose identifying texts a column cannot hold as they are (B-018, B-022)."""
    marked = rows.with_columns(_reason=pl.lit(None, pl.String), _detail=pl.lit(None, pl.String))
    for name, column in columns.items():
        found = fields.convert(rows[name], column)
        marked = marked.with_columns(
            _reason=pl.coalesce("_reason", found["problem"]),
            _detail=pl.coalesce("_detail", pl.format("{}: {}", pl.lit(name), found["detail"].cast(pl.String))),
        )
    bad = marked.drop_nulls("_reason")
    staged.put_apart("rejected", label, bad.select(source_key=key, reason="_reason", detail="_detail"))
    return marked.filter(pl.col("_reason").is_null()).drop("_reason", "_detail")


def _ordered(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Primary key first, then by name: the same rows give the same file."""
    return frame.select(table.primary_id, *sorted(c for c in frame.columns if c != table.primary_id))
