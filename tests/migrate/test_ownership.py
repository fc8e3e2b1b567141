"""Who owns a row: how a value of the source becomes a user or team, and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import polars as pl
import pytest
import tomlkit

from cio2d365 import artefacts, raw, workbench
from cio2d365 import migration as migrations
from cio2d365.dataverse.owners import Owner
from cio2d365.decide.events import EventDecision
from cio2d365.decide.field_maps import FieldMap, Mapping
from cio2d365.decide.split import SplitRule
from cio2d365.errors import DecisionError, GateError, SettingsError
from cio2d365.migrate import ownership, schema, signoff, stage
from cio2d365.migrate.ownership import SEVERAL, UNKNOWN, Ownership
from cio2d365.migration import Migration
from cio2d365.settings import Owners
from cio2d365.tables import OWNER_BIND, Column, Kind
from tests.migrate.test_signoff import acme as acme
from tests.migrate.test_signoff import both
from tests.migrate.test_stage import company, given, person

ADA = Owner("a1", "person", "Ada Analyst", "ada@contoso.com", "ada.analyst@contoso.com")
BEN = Owner("b1", "person", "Ben Consultant", "ben@contoso.com", "ada@contoso.com")
TWIN, OTHER_TWIN = (Owner(i, "person", f"Twin {i}", "twin@contoso.com", f"{i}@contoso.com") for i in ("t1", "t2"))
DORA = Owner("d1", "person", "Dora", "dora@contoso.com", disabled=True, obstacle="disabled")
BOT = Owner("x1", "application", "# loader", "", "loader@contoso.com")
SALES = Owner("s1", "team", "Sales Europe", "sales@contoso.com")
DEALS = Owner("s2", "team", "Deal room", obstacle="access team")
CALLED_LIKE_ADA = Owner("s3", "team", "ada@contoso.com")
DIRECTORY = (ADA, BEN, TWIN, OTHER_TWIN, DORA, BOT, SALES, DEALS, CALLED_LIKE_ADA)


def owners(**wanted: str) -> Ownership:
    return ownership.ownership(Owners(**{"trait": "manager", **wanted}), DIRECTORY)


@pytest.mark.parametrize(
    ("value", "owner", "obstacle"),
    [
        ("ada@contoso.com", ADA, ""),
        ("  Ada@CONTOSO.com\n", ADA, ""),
        ("ada.analyst@contoso.com", ADA, ""),
        ("loader@contoso.com", BOT, ""),
        ("t1@contoso.com", TWIN, ""),
        ("SALES europe", SALES, ""),
        ("sales@contoso.com", None, UNKNOWN),
        ("Ada Analyst", None, UNKNOWN),
        ("twin@contoso.com", None, SEVERAL),
        ("dora@contoso.com", DORA, "disabled"),
        ("Deal room", DEALS, "access team"),
        ("", None, UNKNOWN),
    ],
)
def test_a_user_is_found_by_address_then_by_sign_in_name_and_a_team_by_its_name(
    value: str, owner: Owner | None, obstacle: str
) -> None:
    assert owners().find(value) == ownership.Found(owner, obstacle)


def test_what_is_bound_says_whether_it_is_a_user_or_a_team() -> None:
    found = ownership.assign(pl.Series(["ada@contoso.com", "sales europe", " ", None]), owners())
    assert found[OWNER_BIND].to_list() == ["/systemusers(a1)", "/teams(s1)", None, None]
    assert found["owner"].to_list() == ["Ada Analyst", "team Sales Europe", None, None]
    assert found["value"].to_list() == ["ada@contoso.com", "sales europe", None, None]


@pytest.mark.parametrize(("fallback", "obstacle"), [("dora@contoso.com", "disabled"), ("nobody", UNKNOWN)])
def test_a_fallback_that_cannot_own_rows_is_refused(fallback: str, obstacle: str) -> None:
    with pytest.raises(SettingsError, match=rf"owners\.fallback: '{fallback}' cannot own rows \({obstacle}\)"):
        owners(fallback=fallback)


def test_a_fallback_is_not_looked_for_when_no_owners_are_mapped() -> None:
    assert ownership.ownership(Owners(fallback="nobody"), DIRECTORY).fallback is None


# --- staging ----------------------------------------------------------------------------------------------------------


def managed(key: str, manager: object, **more: Any) -> dict[str, Any]:
    return person(f"cio:{key}", f"{key}@acme.example", manager=manager, company="Acme", **more)


PEOPLE = [managed("p1", "ada@contoso.com"), managed("p2", " Dora@contoso.com"), managed("p3", "gone"),
          managed("p4", "gone"), managed("p5", None), managed("p6", "Sales Europe")]  # fmt: skip


def staged(found: Ownership, people: list[dict[str, Any]] = PEOPLE, **other: Any) -> stage.Staged:
    companies = [company("acme", name="Acme", keeper="Sales Europe"), company("beta", name="Beta")]
    return stage.stage(replace(given(people=people, objects=companies), owners=found, **other))


def column(frames: stage.Staged, name: str, table: str = "contact") -> list[Any]:
    return frames.frames[table].sort("cio_source_key")[name].to_list()


def test_rows_get_their_owner_or_the_fallback_and_keep_the_name_that_the_source_gives() -> None:
    found = staged(owners(company_trait="keeper", fallback="ben@contoso.com"))
    ada, ben, team = "/systemusers(a1)", "/systemusers(b1)", "/teams(s1)"
    assert column(found, OWNER_BIND) == [ada, ben, ben, ben, None, team]
    named = ["ada@contoso.com", " Dora@contoso.com", "gone", "gone", None, "Sales Europe"]
    assert column(found, "cio_owner") == named
    assert (column(found, OWNER_BIND, "account"), column(found, "cio_owner", "account")) == (
        [team, None],
        ["Sales Europe", None],
    )


def test_every_replaced_owner_is_listed_and_all_values_are_counted() -> None:
    found = staged(owners(fallback="ben@contoso.com")).owners()
    assert ownership.replaced(found).rows() == [
        ("contact", "cio:p2", "manager", "Dora@contoso.com", "disabled", "Ben Consultant"),
        ("contact", "cio:p3", "manager", "gone", UNKNOWN, "Ben Consultant"),
        ("contact", "cio:p4", "manager", "gone", UNKNOWN, "Ben Consultant"),
    ]
    assert ownership.by_value(found).drop("table", "field").rows() == [
        ("gone", 2, "Ben Consultant", UNKNOWN),
        ("Dora@contoso.com", 1, "Ben Consultant", "disabled"),
        (None, 1, None, None),
        ("Sales Europe", 1, "team Sales Europe", None),
        ("ada@contoso.com", 1, "Ada Analyst", None),
    ]


def test_without_a_fallback_such_a_plan_is_refused_with_values_and_numbers() -> None:
    with pytest.raises(SettingsError) as caught:
        staged(owners())
    assert "3 rows name an owner who cannot own them" in str(caught.value)
    assert "contact.manager 'gone' (not found, 2 rows), contact.manager 'Dora@contoso.com' (disabled, 1 rows)" in str(
        caught.value
    )


def test_a_refusal_names_ten_values_and_says_how_many_more_there_are() -> None:
    with pytest.raises(SettingsError, match=r"14 rows .*, and 4 values more\. Nothing was sent") as caught:
        staged(owners(), [managed(f"q{n}", f"\x1b[31m{n}" + "x" * 500) for n in range(14)])
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_without_a_fallback_a_plan_in_which_everybody_can_own_is_staged() -> None:
    assert column(staged(owners(), [PEOPLE[0], PEOPLE[4]]), OWNER_BIND) == ["/systemusers(a1)", None]


def test_a_name_too_long_for_the_column_is_kept_as_json_and_noted() -> None:
    long = "x" * 201
    found = staged(owners(fallback="ben@contoso.com"), [managed("p1", long)])
    assert column(found, "cio_owner") == [None]
    assert orjson.loads(column(found, "cio_attributes")[0]) == {"cio_owner": long}
    assert ("manager", "cio_owner", "E-LEN") in found.notes().select("field", "column", "note").rows()


def test_nothing_is_added_when_no_owners_are_mapped() -> None:
    plain, mapped = staged(ownership.NOBODY), staged(owners(fallback="ben@contoso.com"))
    for name, frame in plain.frames.items():
        assert mapped.frames[name].select(frame.columns).equals(frame)
    assert set(mapped.frames["contact"].columns) - set(plain.frames["contact"].columns) == {OWNER_BIND, "cio_owner"}
    assert mapped.frames["account"].columns == plain.frames["account"].columns
    assert plain.owners().height == 0


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"trait": "manger"}, r"owners\.trait: .* 'manger'; did you mean 'manager'\?"),
        (
            {"trait": "", "company_trait": "zzz"},
            r"owners\.company_trait: nothing in the snapshot has an attribute 'zzz'$",
        ),
    ],
)
def test_an_attribute_that_nothing_has_is_refused(wanted: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        staged(owners(**wanted))


def owner_field(source: str, kind: Kind = "string") -> Mapping:
    definition = Column("cio_owner", kind, "owner", 100)
    targets = (("contact", "cio_owner"), ("lead", "cio_owner"))
    return Mapping((FieldMap(source, "column", targets, definition),), company_type="1")


@pytest.mark.parametrize(("source", "kind"), [("person.plan", "string"), ("person.manager", "integer")])
def test_a_map_that_fills_the_owners_column_with_something_else_is_refused(source: str, kind: Kind) -> None:
    with pytest.raises(DecisionError, match=rf"{source} → contact\.cio_owner, {source} → lead\.cio_owner"):
        staged(owners(fallback="ben@contoso.com"), mapping=owner_field(source, kind))


def test_a_map_that_keeps_the_name_there_itself_is_used_as_it_is() -> None:
    found = staged(owners(fallback="ben@contoso.com"), mapping=owner_field("person.manager"))
    assert column(found, "cio_owner")[2:4] == ["gone", "gone"]
    columns = {"contact": (Column("cio_owner", "string", "owner", 100),)}
    contact = schema.wanted(columns, (), {}, owned=("contact",))[1]
    assert [c.length for c in contact.columns if c.name == "cio_owner"] == [100]


def test_the_column_for_the_name_is_wanted_only_where_owners_are_mapped() -> None:
    def tables(found: Ownership) -> set[str]:
        return {t.name for t in schema.wanted({}, (), {}, owned=found.tables) if t.column("cio_owner")}

    assert tables(ownership.NOBODY) == set()
    assert tables(owners()) == {"contact", "lead"}
    assert tables(owners(trait="", company_trait="keeper")) == {"account"}
    assert schema.wanted({}, (), {}, owned=()) == schema.wanted({}, (), {})


def test_the_schema_is_planned_before_anybody_is_looked_up(acme: Migration) -> None:
    frames = {"object_types": raw.frame("object_types", [])}
    migrations.save_snapshot(acme, frames, {}, {"taken_at": "2026-01-01T00:00:00Z", "company_type": ""})
    artefacts.write_json(acme.environment("sandbox") / "audit.json", {"publisher_prefixes": []})
    rules = workbench.Rules(EventDecision(()), Mapping(()), SplitRule())
    plain = workbench.wanted_schema(acme, rules)
    mapped = workbench.wanted_schema(with_owners(acme, trait="manager", fallback="Sales Europe"), rules)
    more = {t.name for t, other in zip(mapped, plain, strict=True) if t != other}
    assert more == {"contact", "lead"}
    with pytest.raises(DecisionError, match="the map cannot be used with"):
        workbench.wanted_schema(with_owners(acme, trait="manager"), replace(rules, mapping=owner_field("person.plan")))


# --- what a plan and a signature cover --------------------------------------------------------------------------------


def with_owners(found: Migration, **wanted: str) -> Migration:
    path = found.folder / "migration.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document["owners"].update({"trait": "", "company_trait": "", "fallback": "", **wanted})
    artefacts.write_text(path, tomlkit.dumps(document))
    return migrations.load(found.root, found.name)


def test_a_plan_is_named_by_its_owners_and_their_environment_only_when_they_are_mapped(acme: Migration) -> None:
    plain = workbench.plan_id(acme, "sandbox")
    assert workbench.plan_id(acme, "production") == plain
    assert workbench.plan_id(with_owners(acme, fallback="ben@contoso.com"), "sandbox") == plain
    mapped = with_owners(acme, trait="manager")
    ids = {workbench.plan_id(mapped, "sandbox"), workbench.plan_id(mapped, "production"), plain}
    ids.add(workbench.plan_id(with_owners(acme, trait="manager", fallback="ben@contoso.com"), "sandbox"))
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("signed", "now"),
    [({}, {"trait": "manager"}), ({"trait": "manager"}, {}), ({"trait": "manager"}, {"trait": "boss"})],
)
def test_a_signature_does_not_cover_other_owners(acme: Migration, signed: dict[str, str], now: dict[str, str]) -> None:
    both(with_owners(acme, **signed))
    signoff.require(with_owners(acme, **signed), "production")
    with pytest.raises(GateError, match="changed since reconciler signed: owners"):
        signoff.require(with_owners(acme, **now), "production")
