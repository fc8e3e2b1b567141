"""The schema that a migration needs in Dataverse, from its decisions. Pure; `provision` compares and creates it.

Names follow the source document to the letter where Dataverse allows (design 3): `cio_user_id__c` on contact and lead,
`cio_company_id__c` on account, `cio_event` with `cio_event_name`, `cio_event_timestamp`, `cio_user_id` and
`cio_properties`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from cio2d365.tables import MEMO_LENGTH, Choice, Column, Lookup, Option, Table, View

PREFIX = "cio"
PUBLISHER = "cio2d365"
SOLUTION = "cio_migration"
OPTION_VALUE_PREFIX = 72700
STANDARD = ("account", "contact", "lead")
OWN_TABLES = ("cio_event", "cio_anonymous_event", "cio_relationship")
CAMPAIGN_MEMBER = "cio_campaignmember"
NAME_LENGTH = 50
MADE_BY = "Made by the Customer.io migration"  # description of every table of ours, whatever its prefix

# A source key is a kind, a colon and at most 150 bytes (customerio-api 2.2); event keys may be sums of them.
SOURCE_KEY = Column("cio_source_key", "string", "Customer.io source key", 400, description="Identity in the source")
JSON_REST = Column(
    "cio_attributes", "memo", "Customer.io attributes (JSON)", MEMO_LENGTH, description="What has no column of its own"
)
USER_ID = Column("cio_user_id__c", "string", "Customer.io user id", 400)
CIO_ID = Column("cio_cio_id", "string", "Customer.io cio_id", 100)
OWNER = Column("cio_owner", "string", "Customer.io owner", 200, description="Who owns it, as the source says it")
COMPANY_ID = Column("cio_company_id__c", "string", "Customer.io company id", 400)
PERSON = (("contact", "cio_user_id_contact"), ("lead", "cio_user_id_lead"))

EVENT_COLUMNS = (
    Column("cio_event_name", "string", "Event name", 1000),
    Column("cio_event_timestamp", "datetime", "Event time"),
    Column("cio_event_type", "string", "Event type", 20, description="event, page or screen"),
    Column("cio_source_id", "string", "Person in the source", 400, description="As the source named the person"),
    Column("cio_origin", "string", "Read from", 20, description="activities (App API) or cdp (storage files)"),
    Column(
        "cio_properties", "memo", "Properties (JSON)", MEMO_LENGTH, description="Properties without their own column"
    ),
    SOURCE_KEY,
)
EVENT_VIEW = ("cio_event_name", "cio_user_id", "cio_event_timestamp", "cio_event_type")
MEMBER_STATUS = "cio_member_status"  # a global choice, named like its column
MEMBER_STATES = ("Sent", "Delivered", "Responder", "Bounced", "Undeliverable")
# What happened to a delivery, each with the time of it; the four splits of opens and clicks are counts
# (customerio-api 12). Metrics that are not listed there occur and stay in the JSON column.
DELIVERY_METRICS = (
    "created", "drafted", "attempted", "sent", "delivered", "opened", "clicked", "converted", "unsubscribed", "bounced",
    "dropped", "failed", "undeliverable", "spammed",
)  # fmt: skip
DELIVERY_COUNTS = ("human_opened", "human_clicked", "prefetch_opened", "prefetch_clicked")
MEMBER_COLUMNS = (
    Column("cio_name", "string", "Name", 850, description="Message and recipient"),
    Column(
        MEMBER_STATUS, "choice", "Member Status", choice=MEMBER_STATUS,
        options=tuple(Option(OPTION_VALUE_PREFIX * 10_000 + n, name) for n, name in enumerate(MEMBER_STATES)),
    ),
    Column("cio_delivery_status__c", "string", "Delivery status", 100, description="The full state in Customer.io"),
    Column("cio_delivery_id", "string", "Customer.io delivery id", 200),
    Column("cio_channel", "string", "Channel", 50, description="email, push, sms, in_app, webhook …"),
    Column("cio_recipient", "string", "Recipient", 400),
    Column("cio_subject", "string", "Subject", 1000),
    Column("cio_source_type", "string", "Message of", 50, description="campaign, newsletter, broadcast, transactional"),
    Column("cio_source_id", "string", "Message id in Customer.io", 100),
    Column("cio_source_name", "string", "Message in Customer.io", 1000),
    Column("cio_failure_message", "string", "Failure", 4000),
    *(Column(f"cio_{metric}_at", "datetime", f"{metric.title()} at") for metric in DELIVERY_METRICS),
    *(Column(f"cio_{n}", "integer", n.replace("_", " ").capitalize(), minimum=0) for n in DELIVERY_COUNTS),
    Column("cio_metrics", "memo", "Other metrics (JSON)", MEMO_LENGTH),
    SOURCE_KEY,
)  # fmt: skip
OBJECT_COLUMNS = (
    Column("cio_object_id", "string", "Customer.io object id", 400),
    Column("cio_object_type", "string", "Customer.io object type", 200, description="The type's own name (SR-093)"),
    SOURCE_KEY,
    JSON_REST,
)


def object_prefix(prefixes: Iterable[str]) -> str:
    """Prefix of custom object tables: `new` when the target has a publisher with it, as the source document says."""
    return "new" if "new" in set(prefixes) else PREFIX


def object_table_name(slug: str, prefix: str) -> str:
    """A legal table name for an object type: letters, digits and underscores, at most 50 characters."""
    ascii_text = unicodedata.normalize("NFKD", slug).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", ascii_text).strip("_") or "object"
    return f"{prefix}_{words}"[:NAME_LENGTH].rstrip("_")


def object_tables(types: Iterable[Mapping[str, object]], company_type: str, prefix: str) -> dict[str, str]:
    """Object type id → table name, for every type but the company's.

    A name that is taken, by an older type or by a table of ours, is followed by the type's id. Types are numbered as
    they are made, so that a new one never changes the name of an older one (L3).
    """
    names: dict[str, str] = {}
    taken = {*OWN_TABLES, CAMPAIGN_MEMBER}
    for row in sorted(types, key=lambda r: _natural(str(r["object_type_id"]))):
        type_id = str(row["object_type_id"])
        if type_id != company_type:
            name = object_table_name(str(row["singular_name"] or row["slug"] or row["name"]), prefix)
            names[type_id] = name if name not in taken else _followed_by(name, type_id, taken)
            taken.add(names[type_id])
    return names


def _natural(type_id: str) -> tuple[int, str]:
    return len(type_id), type_id


def _followed_by(name: str, type_id: str, taken: set[str]) -> str:
    suffix = f"_{type_id}"
    while (found := f"{name[: NAME_LENGTH - len(suffix)]}{suffix}") in taken:
        suffix += "_"
    return found


def wanted(
    columns: Mapping[str, Iterable[Column]],
    event_columns: Iterable[Column],
    tables_of_types: Mapping[str, tuple[str, str]],
    *,
    campaign_members: bool = False,
    owned: Collection[str] = (),
) -> tuple[Table, ...]:
    """Everything that has to exist, in an order in which it can be created.

    `columns` are the confirmed map's custom columns per table, `event_columns` the promoted properties, and
    `tables_of_types` gives (table name, type name) per object type. `campaign_members` adds the table of deliveries;
    `owned` names the standard tables whose rows keep the owner that the source names (F-44).
    """
    own = [object_table(name, label, columns.get(name, ())) for name, label in tables_of_types.values()]
    standard = [_extended(name, columns.get(name, ()), owned=name in owned) for name in STANDARD]
    promoted = tuple(event_columns)
    return (
        *standard,
        *own,
        relationship_table([t.name for t in own]),
        event_table(promoted),
        anonymous_table(promoted),
        *((campaign_member_table(),) if campaign_members else ()),
    )


def choices_of(tables: Iterable[Table]) -> tuple[Choice, ...]:
    """The global choices that columns of the tables refer to, each as the first such column has it."""
    found: dict[str, Choice] = {}
    for column in (c for table in tables for c in table.columns if c.choice):
        found.setdefault(column.choice, Choice(column.choice, column.label or column.choice, column.options))
    return tuple(found.values())


def _extended(name: str, columns: Iterable[Column], *, owned: bool) -> Table:
    ids = {"account": (COMPANY_ID,), "contact": (USER_ID, CIO_ID), "lead": (USER_ID, CIO_ID)}[name]
    custom = [c for c in columns if c.custom]
    owner = (OWNER,) if owned and OWNER.name not in {c.name for c in custom} else ()
    return Table(name, f"{name}s", f"{name}id", "", (*ids, SOURCE_KEY, JSON_REST, *owner, *custom), label=name.title())


def object_table(name: str, label: str, columns: Iterable[Column]) -> Table:
    """The table of one custom object type."""
    primary = Column(f"{name.split('_')[0]}_name", "string", "Name", 850)
    plain = tuple(c for c in columns if c.name != primary.name)
    return _own(name, f"{name}_rows", primary.name, (primary, *OBJECT_COLUMNS, *plain), (), label, label)


def event_table(promoted: tuple[Column, ...]) -> Table:
    """`cio_event`: one row per event of a person who migrated."""
    lookup = Lookup("cio_user_id", PERSON, "Person")
    columns = (*EVENT_COLUMNS, *promoted)
    table = _own(
        "cio_event", "cio_events", "cio_event_name", columns, (lookup,), "Customer.io event", "Customer.io events"
    )
    return replace(table, views=(newest_first(table, EVENT_VIEW, "cio_event_timestamp"),))


def newest_first(table: Table, columns: tuple[str, ...], by: str) -> View:
    """A public view called like the table's rows, the latest of them on top."""
    shown = "".join(f'<attribute name="{name}"/>' for name in (table.primary_id, *columns))
    order = f'<order attribute="{by}" descending="true"/>'
    fetch = f'<fetch version="1.0" mapping="logical"><entity name="{table.name}">{shown}{order}</entity></fetch>'
    return View(table.label_plural, table.name, columns, fetch)


def campaign_member_table() -> Table:
    """`cio_campaignmember`: one row per delivery (design 3); messages of journeys have no campaign (SR-096, SR-097)."""
    person = Lookup("cio_person_id", tuple((t, f"cio_person_id_{t}") for t, _ in PERSON), "Person")
    campaign = Lookup("cio_campaign_id", (("campaign", "cio_campaign_id"),), "Campaign")
    labels = ("Campaign Member", "Campaign Members")
    table = _own("cio_campaignmember", "cio_campaignmembers", "cio_name", MEMBER_COLUMNS, (campaign, person), *labels)
    shown = ("cio_name", "cio_person_id", "cio_campaign_id", MEMBER_STATUS, "cio_sent_at")
    return replace(table, views=(newest_first(table, shown, "cio_sent_at"),))


def anonymous_table(promoted: tuple[Column, ...]) -> Table:
    """`cio_anonymous_event`: events of nobody, or of a person who is not in the source any more."""
    columns = (*EVENT_COLUMNS, Column("cio_anonymous_id", "string", "Anonymous id", 400), *promoted)
    labels = ("Customer.io anonymous event", "Customer.io anonymous events")
    return _own("cio_anonymous_event", "cio_anonymous_events", "cio_event_name", columns, (), *labels)


def relationship_table(own: list[str]) -> Table:
    """`cio_relationship`: every person–object pair with its attributes (SR-046)."""
    # A lookup to one table is bound by its own name, one to several by a name for each (dataverse-api 4).
    targets = tuple((t, f"cio_object_id_{t}") for t in ("account", *own)) if own else (("account", "cio_object_id"),)
    lookups = (Lookup("cio_person_id", tuple((t, f"cio_person_id_{t}") for t, _ in PERSON), "Person"),
               Lookup("cio_object_id", targets, "Object"))  # fmt: skip
    columns = (Column("cio_name", "string", "Name", 850), SOURCE_KEY, JSON_REST)
    labels = ("Customer.io relationship", "Customer.io relationships")
    return _own("cio_relationship", "cio_relationships", "cio_name", columns, lookups, *labels)


def _own(
    name: str,
    set_name: str,
    primary: str,
    columns: tuple[Column, ...],
    lookups: tuple[Lookup, ...],
    label: str,
    plural: str,
) -> Table:
    table = Table(name, set_name, f"{name}id", primary, columns, lookups, label=label, label_plural=plural, custom=True)
    return replace(table, description=MADE_BY)


def complete(existing: Mapping[str, Table], wanted_tables: Iterable[Table]) -> dict[str, Table]:
    """The target as it will be: existing tables with what is wanted added. For staging before anything is created."""
    found = dict(existing)
    for table in wanted_tables:
        base = found.get(table.name)
        found[table.name] = table if base is None else _joined(base, table)
    return found


def _joined(base: Table, more: Table) -> Table:
    columns = (*(_with_options(c, more.column(c.name)) for c in base.columns),
               *(c for c in more.columns if base.column(c.name) is None))  # fmt: skip
    lookups = (*(_with_targets(x, more.lookup(x.name)) for x in base.lookups),
               *(x for x in more.lookups if base.lookup(x.name) is None))  # fmt: skip
    return replace(base, columns=columns, lookups=lookups)


def _with_options(there: Column, wanted_column: Column | None) -> Column:
    known = {o.value for o in there.options}
    more = tuple(o for o in wanted_column.options if o.value not in known) if wanted_column else ()
    return replace(there, options=(*there.options, *more)) if more else there


def _with_targets(there: Lookup, wanted_lookup: Lookup | None) -> Lookup:
    more = tuple(t for t in wanted_lookup.targets if t[0] not in dict(there.targets)) if wanted_lookup else ()
    return replace(there, targets=(*there.targets, *more)) if more else there
