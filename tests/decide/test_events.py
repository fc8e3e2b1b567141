"""The event profile, the columns proposed from it, and events cut accordingly."""

from __future__ import annotations

import json
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365 import raw
from cio2d365.decide.event_profile import MALFORMED_SCHEMA
from cio2d365.decide.events import (
    EventColumn,
    EventDecision,
    EventProfile,
    Offer,
    from_document,
    profile_events,
    promote,
    propose_events,
    to_document,
)
from cio2d365.decide.names import is_legal
from cio2d365.decide.standard import OWN_COLUMNS
from cio2d365.decide.value_types import TYPES
from cio2d365.errors import DecisionError
from cio2d365.migrate import schema
from cio2d365.tables import Column, Kind
from tests.decide import reference
from tests.decide.test_json_scan import json_objects


def events(*properties: Any, name: str = "buy", kind: str = "event") -> pl.DataFrame:
    texts = [p if p is None or isinstance(p, str) else orjson.dumps(p).decode() for p in properties]
    rows = [
        {"event_key": f"{name}{n:03}", "type": kind, "name": name, "at": n, "person_key": f"p{n % 3}", "properties": t}
        for n, t in enumerate(texts)
    ]
    return raw.frame("events", rows)


def overall(profile: EventProfile) -> dict[str, dict[str, Any]]:
    rows = profile.properties.filter(pl.col("name").is_null())
    return {row["key"]: row for row in rows.iter_rows(named=True)}


def decided(key: str, kind: Kind, **more: Any) -> EventDecision:
    definition = {k: more.pop(k) for k in ("length", "precision") if k in more}
    return EventDecision((EventColumn(key, Column(f"cio_{key}", kind, **definition), 1.0, **more),))


def test_the_denominator_is_all_track_events_and_a_null_is_absent() -> None:
    track = events({"a": 1}, {"a": None}, None, "broken", {"a": 2, "b": 1})
    views = events({"a": 1}, {"a": 1}, name="/home", kind="page")
    found = overall(profile_events(pl.concat([track, views]).lazy()))
    assert (found["a"]["events"], found["a"]["present"], found["a"]["nulls"], found["a"]["share"]) == (5, 2, 1, 0.4)
    assert found["b"]["share"] == 0.2


def test_page_and_screen_views_are_profiled_apart() -> None:
    views = pl.concat([events({"a": 1}, kind="page"), events({"b": 1}, {}, kind="screen", name="s")])
    found = profile_events(views.lazy())
    assert found.properties.is_empty()
    assert found.views.select("type", "key", "share").rows() == [("page", "a", 1.0), ("screen", "b", 0.5)]


def test_names_count_events_people_and_period() -> None:
    found = profile_events(pl.concat([events({}, {}, {}, {}), events({}, name="view")]).lazy())
    assert found.names.columns == ["name", "type", "events", "people", "first_at", "last_at"]
    assert found.names.rows() == [("buy", "event", 4, 3, 0, 3), ("view", "event", 1, 1, 0, 0)]


def test_shares_within_an_event_name_stand_beside_the_shares_over_all() -> None:
    found = profile_events(pl.concat([events({"a": 1}, {}), events({}, {}, name="view")]).lazy()).properties
    shares = {(r["name"], r["key"]): (r["events"], r["share"]) for r in found.iter_rows(named=True)}
    assert shares == {(None, "a"): (4, 0.25), ("buy", "a"): (2, 0.5)}


def test_what_could_not_be_read_is_listed_with_its_event() -> None:
    found = profile_events(events("{", '{"a":1,"a":2}', "[1]").lazy()).malformed
    assert found.columns == list(MALFORMED_SCHEMA)
    assert found.select("event_key", "key", "code").rows() == [
        ("buy000", None, "malformed"),
        ("buy001", "a", "duplicate"),
        ("buy002", None, "not-object"),
    ]


def test_extremes_are_exact_beyond_what_a_double_tells_apart() -> None:
    row = overall(profile_events(events({"n": 9007199254740993}, {"n": 9007199254740992}, {"n": -1}).lazy()))["n"]
    assert (row["minimum"], row["maximum"]) == ("-1", "9007199254740993")
    assert (row["low"], row["high"]) == (-1.0, 9007199254740992.0)


def test_lengths_distinct_values_examples_and_conflicts() -> None:
    rows = [{"a": "x"}, {"a": "😀"}, {"a": "x"}, {"a": 3}]
    row = overall(profile_events(events(*rows).lazy()))["a"]
    assert (row["max_length"], row["distinct"], row["estimated"], row["conflict"]) == (2, 3, False, True)
    assert row["examples"] == ["buy000", "buy001", "buy002"]


def test_many_distinct_values_are_estimated_and_say_so() -> None:
    row = overall(profile_events(events(*({"a": f"value {n}"} for n in range(5_000))).lazy()))["a"]
    assert row["estimated"] is True
    assert row["distinct"] == pytest.approx(5_000, rel=0.12)


def test_the_profile_does_not_depend_on_the_size_of_batches() -> None:
    rows = [{"a": n % 7, "b": f"x{n}"} if n % 3 else {"a": None} for n in range(90)]
    frame = pl.concat([events(*rows), events(*rows[:30], name="view")])
    small, large = (profile_events(frame.lazy(), batch=size) for size in (2, 1_000))
    assert small.properties.equals(large.properties)
    assert small.names.equals(large.names)


def test_an_empty_history_has_an_empty_profile() -> None:
    found = profile_events(raw.frame("events", []).lazy())
    assert found.names.is_empty()
    assert found.properties.is_empty()
    assert propose_events(found).columns == ()


@given(st.lists(st.tuples(st.sampled_from(["buy", "view"]), json_objects()), max_size=8), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_tallies_equal_a_plain_count_in_batches_of_any_size(found: list[tuple[str, str]], size: int) -> None:
    frame = pl.concat([raw.frame("events", []), *(events(text, name=name) for name, text in found)])
    profile = profile_events(frame.lazy(), batch=size)
    counts: dict[tuple[str | None, str, str], int] = {}
    for name, text in found:
        for key, value in dict(reference.members(text)).items():
            kind = "array" if isinstance(value, list) and value == [] else reference.value_type(value)
            for group in (name, None):
                counts[group, key, kind] = counts.get((group, key, kind), 0) + 1
    scalar = [t for t in TYPES if t not in ("array", "object", "text")]
    seen = {(r["name"], r["key"], t): r[t] for r in profile.properties.iter_rows(named=True) for t in scalar if r[t]}
    assert seen == {k: n for k, n in counts.items() if k[2] in scalar}


def test_only_more_than_the_share_becomes_a_column() -> None:
    rows = [{"rare": 1}] + [{"common": 1}] * 2 + [{}] * 7
    decision = propose_events(profile_events(events(*rows).lazy()))
    assert [c.key for c in decision.columns] == ["common"]
    assert [c.key for c in propose_events(profile_events(events(*rows).lazy()), share=0.09).columns] == [
        "common",
        "rare",
    ]


def test_keys_above_the_share_within_one_name_only_are_offered() -> None:
    frame = pl.concat([events(*[{}] * 30), events({"seat": 1}, {}, name="fly")])
    decision = propose_events(profile_events(frame.lazy()))
    assert decision.columns == ()
    assert decision.offered == (Offer("fly", "seat", 0.5, "within this event name only"),)


def test_the_column_budget_stops_fifteen_hundred_keys() -> None:
    profile = profile_events(events(*[{f"k{n}": 1 for n in range(1_500)}] * 2).lazy())
    decision = propose_events(profile, budget=60)
    assert len(decision.columns) == 60
    assert len([o for o in decision.offered if o.reason == "beyond the column budget"]) == 1_440


@pytest.mark.parametrize(
    ("values", "kind", "details"),
    [
        ([1, 2], "integer", {}),
        ([1, "2"], "integer", {}),
        ([1, 2.5, "3"], "decimal", {"precision": 2}),
        ([1, 2_147_483_648], "decimal", {"precision": 0}),
        ([1, 9_007_199_254_740_993], "string", {"length": 100}),
        ([0.123456789012345], "decimal", {"precision": 10}),
        ([1, "many"], "string", {"length": 100}),
        ([True, "false", 1], "boolean", {}),
        (["x" * 101], "string", {"length": 200}),
        (["x" * 4_001], "memo", {"length": 1_048_576}),
        ([[1], {"a": 1}], "memo", {"length": 1_048_576}),
        (["2024-01-01"], "date", {}),
        (["2024-01-01", "2024-01-01T10:00:00Z"], "datetime", {}),
        (["2024-01-01", "01/02/2024"], "string", {"length": 100}),
        (["007", "12"], "string", {"length": 100}),
        (["", " "], "string", {"length": 100}),
    ],
)
def test_a_kind_holds_all_values(values: list[Any], kind: str, details: dict[str, int]) -> None:
    column = propose_events(profile_events(events(*({"v": v} for v in values)).lazy())).columns[0].column
    assert (column.kind, {k: getattr(column, k) for k in details}) == (kind, details)


@pytest.mark.parametrize(
    ("values", "unit"),
    [([1_700_000_000], "s"), ([1_700_000_000_000], "ms"), ([1_700_000_000, 1_700_000_000_000], "mixed"), ([12], "")],
)
def test_unix_times_are_found_by_name_and_range(values: list[int], unit: str) -> None:
    column = propose_events(profile_events(events(*({"paid_at": v} for v in values)).lazy())).columns[0]
    assert (column.unit, column.column.kind) == (unit, "datetime" if unit else "integer")


def test_numbers_in_the_range_of_times_stay_numbers_under_another_name() -> None:
    column = propose_events(profile_events(events({"total": 1_700_000_000}).lazy())).columns[0]
    assert column.column.kind == "integer"
    assert "could be unix time" in column.evidence


def test_columns_never_take_a_name_of_the_event_table() -> None:
    own = {c.name for c in schema.EVENT_COLUMNS} | {x.name for x in schema.event_table(()).lookups}
    assert own | {"cio_anonymous_id"} <= OWN_COLUMNS
    keys = [*(n.removeprefix("cio_") for n in OWN_COLUMNS), "Event Name", "2fa", "$set", "名前"]
    decision = propose_events(profile_events(events(dict.fromkeys(keys, 1)).lazy()))
    names = [c.column.name for c in decision.columns]
    assert len(set(names)) == len(keys)
    assert not set(names) & OWN_COLUMNS
    assert all(is_legal(n) for n in names)


def test_promotion_splits_columns_and_remainder() -> None:
    frame = events({"plan": "a", "n": 1.50, "rest": [1, {"b": 2}]}, '{ "plan" : "b" , "x":250.00 }', {"plan": "c"})
    out, problems = promote(frame, decided("plan", "string", length=100))
    assert out["cio_plan"].to_list() == ["a", "b", "c"]
    assert out["cio_properties"].to_list() == ['{"n":1.5,"rest":[1,{"b":2}]}', '{"x":250.00}', None]
    assert problems.is_empty()
    assert out.columns == [*frame.columns, "cio_plan", "cio_properties"]


@pytest.mark.parametrize(
    ("source", "kind", "code", "remainder"),
    [
        ('{"v":"many"}', "integer", "E-NUMBER", '{"v":"many"}'),
        ('{"v":2147483648}', "integer", "E-RANGE", '{"v":2147483648}'),
        ('{"v":NaN}', "decimal", "E-NUMBER", '{"v":"NaN"}'),
        ('{"v":1e400}', "decimal", "E-RANGE", '{"v":"1e400"}'),
        ('{"v":"03/04/2024"}', "datetime", "E-DATE", '{"v":"03/04/2024"}'),
        ('{"v":"1752-12-31"}', "date", "E-RANGE", '{"v":"1752-12-31"}'),
        ('{"v":"maybe"}', "boolean", "E-BOOL", '{"v":"maybe"}'),
        ('{"v":"a\\u0000b"}', "string", "E-CHAR", '{"v":"a\\u0000b"}'),
    ],
)
def test_a_value_that_does_not_fit_stays_in_the_json_column(source: str, kind: Kind, code: str, remainder: str) -> None:
    out, problems = promote(events(source), decided("v", kind))
    assert out["cio_v"].to_list() == [None]
    assert out["cio_properties"].to_list() == [remainder]
    assert (code, True) in problems.select("code", "kept").rows()


def test_a_value_that_loses_something_stays_in_the_json_column_too() -> None:
    out, problems = promote(events({"v": 0.125}), decided("v", "decimal", precision=2, rounding=True))
    assert (out["cio_v"].item(), out["cio_properties"].item()) == (0.12, '{"v":0.125}')
    assert problems.select("note", "kept").rows() == [("rounded", True)]
    blank, _ = promote(events({"v": ""}), decided("v", "string"))
    assert (blank["cio_v"].item(), blank["cio_properties"].item()) == (None, '{"v":""}')


def test_a_retyped_value_is_recorded_and_not_kept_twice() -> None:
    out, problems = promote(events({"v": 1_700_000_000}), decided("v", "datetime", unit="s"))
    assert (out["cio_v"].item(), out["cio_properties"].item()) == ("2023-11-14T22:13:20Z", None)
    assert problems.rows() == [("buy000", "v", None, "unix-s", None, False)]


def test_a_text_that_is_no_object_is_kept_whole() -> None:
    out, problems = promote(events('{"v":1', None), decided("v", "integer"))
    assert out["cio_properties"].to_list() == [json.dumps({"_unreadable": '{"v":1'}, separators=(",", ":")), None]
    assert problems.select("event_key", "code").rows() == [("buy000", "malformed")]


def test_a_repeated_key_counts_once_and_the_lost_value_is_listed() -> None:
    out, problems = promote(events('{"v":1,"v":2}'), decided("v", "integer"))
    assert out["cio_v"].item() == 2
    assert problems.select("code", "detail", "kept").rows() == [("duplicate", "1", False)]


def test_promoting_nothing_keeps_everything() -> None:
    out, _ = promote(events({"a": 1}), EventDecision(()))
    assert out["cio_properties"].to_list() == ['{"a":1}']
    empty, _ = promote(raw.frame("events", []), decided("v", "integer"))
    assert empty.height == 0


@given(st.lists(json_objects(), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_columns_and_remainder_hold_everything_the_event_held(sources: list[str]) -> None:
    frame = events(*sources)
    decision = propose_events(profile_events(frame.lazy()), share=0.2)
    out, _ = promote(frame, decision)
    columns = {c.key: c for c in decision.columns}
    for row, source in enumerate(sources):
        rest = dict(reference.members(out["cio_properties"][row] or "{}"))
        for key, value in dict(reference.members(source)).items():
            if key in rest:
                assert rest[key] == value
            elif value is not None:
                held = out[columns[key].column.name][row]
                assert held is not None
                assert same_meaning(value, held, columns[key].column.kind)
        assert rest.keys() <= dict(reference.members(source)).keys()


def same_meaning(value: Any, held: Any, kind: str) -> bool:
    """Whether a column value says the same as the source value did."""
    if isinstance(value, bool):
        return bool(str(held).lower() == str(value).lower())
    if kind in ("integer", "decimal"):
        return float(value) == float(held)
    if kind == "boolean":
        return bool(held) == (str(value).strip().lower() in ("true", "yes", "1"))
    if kind in ("date", "datetime"):
        return str(held)[:10] == str(value).strip()[:10]
    if isinstance(value, str):
        return bool(held == value)
    number = reference.Number
    return bool(json.loads(held, object_pairs_hook=list, parse_int=number, parse_float=number) == value)


def test_a_decision_survives_its_document() -> None:
    rows = [{"a": 1, "b": "x", "c": [1], "paid_at": 1_700_000_000, "d": 0.12345678901}] * 3
    frame = pl.concat([events(*rows), events({"z": 1}, name="fly")])
    decision = propose_events(profile_events(frame.lazy()), share=0.3)
    assert decision.offered
    assert from_document(to_document(decision)) == decision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shaer": 0.1}, "did you mean 'share'"),
        ({"share": 10}, r"allowed are 0.0 to 1.0"),
        ({"share": "0.1"}, "expected a number"),
        ({"budget": -1}, "allowed are 0 to 400"),
        ({"budget": True}, "expected a whole number"),
        ({"columns": {}}, "list of tables"),
        ({"columns": [{"key": "a"}]}, "'column' is missing"),
        ({"columns": [{"key": "a", "colum": {}}]}, "did you mean 'column'"),
        ({"columns": [{"key": "a", "unit": "sec", "column": {"name": "cio_a", "kind": "string"}}]}, "unit: 'sec'"),
        ({"columns": [{"key": "a", "column": {"name": "cio_a", "kind": "strng"}}]}, "did you mean 'string'"),
        (
            {"columns": [{"key": "a", "column": {"name": "cio_properties", "kind": "memo"}}]},
            "of the event table itself",
        ),
        ({"columns": [{"key": k, "column": {"name": "cio_a", "kind": "memo"}} for k in "ab"]}, "two properties"),
        ({"columns": [{"key": "a", "column": {"name": f"cio_{k}", "kind": "memo"}} for k in "ab"]}, "two columns"),
    ],
)
def test_a_wrong_document_is_refused_with_a_hint(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        from_document({"share": 0.1, "budget": 60} | change)
