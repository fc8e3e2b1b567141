"""What speaks against a schema is said at once, before anything is sent: the number needed and the one allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from cio2d365.migrate import schema
from cio2d365.migrate.schema_checks import COLUMNS_PER_TABLE, Problem, problems
from cio2d365.tables import Column, Environment, Key, Lookup, Option, Publisher, Table, View

NAME = Column("cio_name", "string", "Name", 100)
OURS = Publisher("cio2d365", "cio", 72700)
AROUND = Environment((OURS,), tables=frozenset({"account", "contact", "lead"}))


def boat(*columns: Column, **more: object) -> Table:
    """A new table of ours."""
    table = Table("cio_boat", "cio_boats", "cio_boatid", "cio_name", (NAME, *columns), label="Boat", custom=True)
    return replace(table, **more)  # type: ignore[arg-type]


def choice(*options: tuple[int, str], shared: str = "") -> Column:
    return Column("cio_sail", "choice", "Sail", options=tuple(Option(*o) for o in options), choice=shared)


def lookup(*targets: str, name: str = "cio_of", customer: bool = False) -> Lookup:
    several = len(targets) > 1
    return Lookup(name, tuple((t, f"{name}_{t}" if several else name) for t in targets), "Of", customer=customer)


def check(table: Table, existing: Table | None = None, around: Environment | None = AROUND) -> tuple[Problem, ...]:
    return problems([table], {table.name: existing} if existing else {}, around)


def said(found: Iterable[Problem]) -> list[tuple[str, str, str, str]]:
    return [(p.name, p.rule, p.needed, p.allowed) for p in found]


def test_the_schema_of_a_migration_has_no_problems() -> None:
    promoted = [Column(f"cio_p{n}", "decimal", "P", minimum=-5.0, maximum=5.0, precision=3) for n in range(30)]
    types = {"2": ("new_boat", "Boat"), "3": ("cio_car", "Car")}
    tables = schema.wanted({}, promoted, types, campaign_members=True)
    around = replace(AROUND, publishers=(OURS, Publisher("Default", "new", 10000)), tables=AROUND.tables | {"campaign"})
    assert problems(tables, {}, around) == ()


COLUMNS: dict[str, tuple[Column, str, str, str]] = {
    "text too long": (Column("cio_a", "string", "A", 4001), "length of text", "4,001 characters", "1 to 4,000"),
    "no room for text": (Column("cio_a", "memo", "A", 0), "length of text", "0 characters", "1 to 1,048,576"),
    "whole number too big": (
        Column("cio_a", "integer", "A", minimum=0, maximum=3e9), "range of numbers", "0 to 3,000,000,000",
        "-2,147,483,647 to 2,147,483,647",
    ),
    "range backwards": (
        Column("cio_a", "decimal", "A", minimum=5, maximum=1), "range of numbers", "5 to 1",
        "-100,000,000,000 to 100,000,000,000",
    ),
    "money too big": (
        Column("cio_a", "money", "A", minimum=0, maximum=1e15), "range of numbers", "0 to 1e+15",
        "-922,337,203,685,477 to 922,337,203,685,477",
    ),
    "decimal too fine": (Column("cio_a", "decimal", "A", precision=11), "precision", "11 places", "0 to 10"),
    "float too fine": (Column("cio_a", "double", "A", precision=6), "precision", "6 places", "0 to 5"),
    "money too fine": (Column("cio_a", "money", "A", precision=5), "precision", "5 places", "0 to 4"),
    "type": (Column("cio_a", "other", "A"), "type of a new column", "other", "a type that can be made"),
    "date behaviour": (
        Column("cio_a", "datetime", "A", behavior="Local"), "date behaviour", "Local",
        "DateOnly, TimeZoneIndependent, UserLocal",
    ),
    "no prefix": (
        Column("name", "string", "A"), "form of a schema name", "name",
        "prefix, underscore, lower-case letters, digits and underscores",
    ),
    "upper case": (
        Column("cio_Name2", "string", "A"), "form of a schema name", "cio_Name2",
        "prefix, underscore, lower-case letters, digits and underscores",
    ),
    "long name": (
        Column("cio_" + "a" * 47, "string", "A"), "length of a schema name", "51 characters", "50 characters",
    ),
    "no options": (choice(), "options of a choice", "0", "at least 1"),
    "value of another publisher": (choice((1, "Gaff")), "option value", "1", "727000000 to 727009999"),
    "value past the range": (choice((727010000, "Gaff")), "option value", "727010000", "727000000 to 727009999"),
    "no label": (choice((727000000, " ")), "label of option 727000000", "none", "at least one character"),
}  # fmt: skip


@pytest.mark.parametrize(("column", "rule", "needed", "allowed"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_that_cannot_be_made(column: Column, rule: str, needed: str, allowed: str) -> None:
    assert said(check(boat(column))) == [(column.name, rule, needed, allowed)]


@pytest.mark.parametrize(
    "column",
    [
        Column("cio_a", "string", "A", 4000), Column("cio_a", "memo", "A", 1_048_576),
        Column("cio_a", "decimal", "A", precision=10), Column("cio_a", "double", "A", precision=5),
        Column("cio_a", "money", "A", precision=4), Column("cio_" + "a" * 46, "string", "A"),
        Column("cio_user_id__c", "string", "A"), choice((727009999, "Gaff")),
        Column("cio_a", "datetime", "A", behavior="TimeZoneIndependent"),
    ],
    ids=lambda c: f"{c.kind} {c.length or c.precision or len(c.name)}",
)  # fmt: skip
def test_a_column_at_the_limit_can_be_made(column: Column) -> None:
    assert check(boat(column)) == ()


def test_two_options_share_neither_value_nor_label() -> None:
    column = choice((727000000, "Gaff"), (727000000, "Bermuda"), (727000001, "gaff "))
    assert {p.rule for p in check(boat(column))} == {"options with value 727000000", "options labelled “gaff”"}


def test_columns_that_share_a_global_choice_have_its_options() -> None:
    one, two = choice((727000000, "Gaff"), shared="cio_sails"), choice((727000001, "Lug"), shared="cio_sails")
    other = replace(boat(two), name="cio_ship", set_name="cio_ships", primary_id="cio_shipid")
    [found] = problems([boat(one), other], {}, AROUND)
    assert (found.table, found.rule) == ("cio_ship", "options of the global choice cio_sails")


@pytest.mark.parametrize(
    ("columns", "lookups", "name", "allowed"),
    [
        ((Column("cio_boatid", "string", "A"),), (), "cio_boatid", "not the key of the table"),
        ((Column("cio_of", "string", "A"),), (lookup("contact"),), "cio_of", "1"),
        ((Column("CIO_NAME", "string", "A"),), (), "cio_name", "1"),
        (
            (Column("cio_of_lead", "string", "A"),), (lookup("contact", "lead"),), "cio_of_lead",
            "not a navigation property of cio_of",
        ),
        ((Column("cio_ofname", "string", "A"),), (lookup("contact"),), "cio_ofname", "not a companion of cio_of"),
        (
            (choice((727000000, "Gaff")), Column("cio_sailname", "string", "A")), (), "cio_sailname",
            "not a companion of cio_sail",
        ),
        (
            (Column("cio_price", "money", "A"), Column("cio_price_base", "decimal", "A")), (), "cio_price_base",
            "not a companion of cio_price",
        ),
    ],
    ids=["key", "lookup and column", "case", "navigation property", "name of a lookup", "name of a choice", "base"],
)  # fmt: skip
def test_a_name_that_means_two_things(
    columns: tuple[Column, ...], lookups: tuple[Lookup, ...], name: str, allowed: str
) -> None:
    found = [p for p in check(boat(*columns, lookups=lookups)) if "form of" not in p.rule]
    assert [(p.name, p.allowed) for p in found] == [(name, allowed)]


def test_a_column_where_a_lookup_exists_and_the_other_way_round() -> None:
    existing = boat(Column("cio_b", "string"), lookups=(lookup("contact", name="cio_a"),))
    wanted = boat(Column("cio_a", "string", "A"), lookups=(lookup("contact", name="cio_b"),))
    assert [(p.name, p.allowed) for p in check(wanted, existing)] == [
        ("cio_a", "not a lookup that exists"), ("cio_b", "not a column that exists")
    ]  # fmt: skip


def key(*columns: str) -> Key:
    return Key("cio_key", columns, "Key")


def test_a_key_counts_bytes() -> None:
    """450 characters are 900 bytes; one more column is too much."""
    fits, number = Column("cio_a", "string", "A", 450), Column("cio_b", "integer", "B")
    assert check(boat(fits, number, keys=(key("cio_a"),))) == ()
    [found] = check(boat(fits, number, keys=(key("cio_a", "cio_b"),)))
    assert (found.needed, found.allowed, found.source) == ("904 bytes", "900 bytes", "0x80060895")
    assert str(found) == "cio_boat.cio_key: size of a key: needs 904 bytes, allowed 900 bytes (0x80060895)"


def test_a_key_over_an_existing_longer_column_counts_what_is_there() -> None:
    existing = boat(Column("cio_a", "string", "A", 1000))
    [found] = check(boat(Column("cio_a", "string", "A", 100), keys=(key("cio_a"),)), existing)
    assert found.needed == "2,000 bytes"


@pytest.mark.parametrize("kind", ["memo", "boolean", "double", "money", "multichoice"])
def test_a_key_takes_only_some_types(kind: str) -> None:
    options = (Option(727000000, "A"),) if kind == "multichoice" else ()
    column = Column("cio_a", kind, "A", options=options)  # type: ignore[arg-type]
    assert [p.rule for p in check(boat(column, keys=(key("cio_a"),)))] == ["column of a key"]


def test_a_key_has_columns_of_the_table_and_not_too_many() -> None:
    numbers = [Column(f"cio_n{n}", "integer", "N") for n in range(17)]
    assert [p.needed for p in check(boat(*numbers, keys=(key(*(c.name for c in numbers)),)))] == ["17"]
    assert [p.needed for p in check(boat(keys=(key("cio_none"),)))] == ["cio_none"]
    assert check(boat(lookups=(lookup("contact"),), keys=(key("cio_of"),))) == ()


def test_a_table_has_ten_keys() -> None:
    numbers = [Column(f"cio_n{n}", "integer", "N") for n in range(11)]
    keys = tuple(Key(f"cio_k{n}", (f"cio_n{n}",)) for n in range(11))
    assert said(check(boat(*numbers, keys=keys))) == [("cio_boat", "keys of a table", "11", "10")]
    assert said(check(boat(*numbers, keys=keys[5:]), boat(*numbers, keys=keys[:5]))) == said(
        check(boat(*numbers, keys=keys))
    )
    assert check(boat(*numbers, keys=keys[:10])) == ()


def test_columns_of_a_table_are_counted_with_what_is_there() -> None:
    many = [Column(f"cio_n{n}", "integer", "N") for n in range(COLUMNS_PER_TABLE - 2)]
    existing, more = boat(*many), Column("cio_more", "integer", "N")
    assert check(boat(more), existing) == ()
    [found] = check(boat(more, Column("cio_price", "money", "P")), existing)
    assert (found.rule, found.needed, found.allowed) == ("columns of a table", "1,002", "1,000")


def test_a_table_that_takes_no_columns() -> None:
    closed = boat(customizable=False)
    assert check(boat(), closed) == ()
    [found] = check(boat(Column("cio_a", "integer", "A")), closed)
    assert (found.rule, found.needed) == ("columns added", "1")


def test_an_elastic_table_has_neither_keys_nor_customers_nor_money() -> None:
    price, customer = Column("cio_a", "money", "A"), lookup("account", "contact", name="cio_c", customer=True)
    number = Column("cio_n", "integer", "N")
    table = boat(price, number, kind="elastic", lookups=(customer, lookup("contact")), keys=(key("cio_n"),))
    assert [p.name for p in check(table)] == ["cio_key", "cio_c", "cio_a"]
    assert check(replace(table, kind="standard")) == ()


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (Lookup("cio_of", (), "Of"), "targets of a lookup"),
        (lookup("contact", "contact"), "targets of a lookup"),
        (lookup("contact", "lead", customer=True), "targets of a customer lookup"),
        (Lookup("cio_of", (("contact", "cio_Of"),), "Of"), "navigation property to contact"),
        (Lookup("cio_of", (("contact", "cio_of"), ("lead", "cio_of_lead")), "Of"), "navigation property to contact"),
        (lookup("campaign"), "target of a lookup"),
    ],
    ids=["none", "twice", "customer", "case", "several", "absent"],
)
def test_a_lookup_that_cannot_be_made_or_bound(wrong: Lookup, rule: str) -> None:
    assert [p.rule for p in check(boat(lookups=(wrong,)))] == [rule]


def test_a_new_table_has_a_name_a_label_and_a_kind() -> None:
    found = check(boat(label=" ", primary_name="cio_absent", kind="activity"))
    assert [p.rule for p in found] == ["kind of a new table", "primary name column", "label"]
    assert check(boat(label=" "), boat()) == ()


def test_a_view_shows_columns_of_the_table() -> None:
    view = View("Boats", "cio_boat", ("cio_name", "cio_none"), "")
    assert said(check(boat(views=(view,)))) == [("Boats", "column of a view", "cio_none", "a column of the table")]


def test_the_prefix_is_that_of_the_publisher() -> None:
    other = replace(AROUND, publishers=(replace(OURS, prefix="cx"),))
    [found] = check(boat(), around=other)
    assert (found.rule, found.needed, found.allowed) == (
        "prefixes of the existing publisher", "cio and 72700", "cx and 72700"
    )  # fmt: skip


def test_a_table_with_a_prefix_that_nobody_has() -> None:
    new = replace(boat(), name="new_boat", primary_id="new_boatid")
    assert [(p.rule, p.needed) for p in check(new)] == [("prefix of a table", "new")]
    assert check(new, around=replace(AROUND, publishers=(OURS, Publisher("Default", "new", 10000)))) == ()


def many(count: int) -> Environment:
    return replace(AROUND, custom_tables=tuple(f"new_t{n}" for n in range(count)))


@pytest.mark.parametrize(
    ("present", "limit", "expected"),
    [(14, 15, []), (15, 15, [("16", "15", True)]), (15, None, [("16", "15", False)]), (20, 30, [])],
    ids=["fits", "one too many", "a warning without a limit", "another limit"],
)
def test_custom_tables_are_counted_against_the_licence(
    present: int, limit: int | None, expected: list[tuple[str, str, bool]]
) -> None:
    """SR-105: a right, not a technical limit, so that it refuses only when the customer's licence is known."""
    found = problems([boat()], {}, many(present), table_limit=limit)
    assert [(p.needed, p.allowed, p.refuses) for p in found] == expected


def test_a_table_that_exists_takes_no_more_room() -> None:
    around = replace(many(14), custom_tables=(*many(14).custom_tables, "cio_boat"))
    assert problems([boat()], {"cio_boat": boat()}, around, table_limit=15) == ()


def test_the_limit_of_the_environment_itself() -> None:
    found = problems([boat()], {}, replace(many(20), most_tables=20), table_limit=100)
    assert [(p.rule, p.needed, p.allowed) for p in found] == [("custom tables of the environment", "21", "20")]


def test_without_the_environment_nothing_is_said_about_it() -> None:
    assert check(boat(lookups=(lookup("campaign"),)), around=None) == ()


def test_a_table_of_the_product_that_is_not_installed_cannot_be_made() -> None:
    lead = Table("lead", "leads", "leadid", "", (schema.SOURCE_KEY,), label="Lead")
    [found] = check(lead, around=replace(AROUND, tables=frozenset({"contact"})))
    assert (found.rule, found.needed) == ("table of the product", "lead")
