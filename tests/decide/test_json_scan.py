"""Reading JSON objects: verbatim values, the fast reader against a slow one, and every way to be broken."""

from __future__ import annotations

import json
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365.decide.json_members import ordinary_members
from cio2d365.decide.json_scan import explode, pick, read_object, scan
from cio2d365.decide.value_types import TYPES
from tests.decide import reference


def texts(*values: str | None) -> pl.Series:
    return pl.Series("texts", values, dtype=pl.String)


def problem(text: str) -> tuple[str, str | None]:
    row = scan(texts(text)).problems.row(0, named=True)
    return row["code"], row["key"]


NUMBERS = st.sampled_from(
    ["0", "-0", "7", "250.00", "1e5", "-1.5E-3", "9007199254740993", "12345678901234567890123", "0.1", "1e22"]
)
STRINGS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", " ", "true", "YES", "007", "12", "-3.5", "1e400", "2024-02-29", "2023-02-29", "NaN", "1e5"]),
    st.sampled_from(
        ["2024-05-01T10:00:00Z", "2024-05-01 10:00", "2024-05-01T24:00:00Z", "ä😀", "a\tb\n", 'q"\\', "x,y}"]
    ),
)
KEYS = st.one_of(st.sampled_from(["a", "b", "plan.tier", "$set", "a@odata.bind", "x'y", "名前"]), st.text(max_size=5))
SPACE = st.sampled_from(["", " ", "\n ", "\t"])


@st.composite
def json_values(draw: st.DrawFn, depth: int = 0) -> str:
    """JSON source of one value, in varied writing."""
    kinds = ["string", "number", "word", "array", "object"] if depth < 5 else ["string", "number", "word"]
    kind = draw(st.sampled_from(kinds))
    if kind == "string":
        return json.dumps(draw(STRINGS), ensure_ascii=draw(st.booleans()))
    if kind == "number":
        return draw(NUMBERS)
    if kind == "word":
        return draw(st.sampled_from(["true", "false", "null"]))
    if kind == "array":
        inner = draw(st.lists(json_values(depth + 1), max_size=3))
        return "[" + draw(SPACE) + f",{draw(SPACE)}".join(inner) + "]"
    return draw(json_objects(depth + 1))


@st.composite
def json_objects(draw: st.DrawFn, depth: int = 0) -> str:
    """JSON source of one object; top-level keys may repeat."""
    keys = draw(st.lists(KEYS, max_size=5, unique=depth > 0))
    gap = draw(SPACE)
    found = [
        f"{json.dumps(k, ensure_ascii=draw(st.booleans()))}{gap}:{draw(SPACE)}{draw(json_values(depth + 1))}"
        for k in keys
    ]
    return gap + "{" + draw(SPACE) + f"{draw(SPACE)},{gap}".join(found) + gap + "}" + draw(SPACE)


def same(value: Any, source: str) -> bool:
    """Whether JSON source means the value that the reference read."""
    return bool(
        json.loads(source, object_pairs_hook=list, parse_int=reference.Number, parse_float=reference.Number) == value
    )


@given(st.lists(json_objects(), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_explode_agrees_with_a_slow_reading_of_any_object(sources: list[str]) -> None:
    found = explode(texts(*sources))
    for row, source in enumerate(sources):
        wanted = dict(reference.members(source))
        rows = {r["key"]: r for r in found.filter(pl.col("row") == row).iter_rows(named=True)}
        assert rows.keys() == wanted.keys()
        for key, value in wanted.items():
            kind = rows[key]["type"]
            nested = isinstance(value, list) or (isinstance(value, str) and kind in ("array", "object"))
            if nested:
                assert kind in ("array", "object")
                assert isinstance(value, str) or same(value, rows[key]["text"])
            else:
                assert kind == reference.value_type(value)
                assert rows[key]["text"] == (value if not isinstance(value, bool) else str(value).lower())


@given(st.lists(json_objects(), min_size=1, max_size=4), st.integers(0, 60), st.sampled_from(list('{}[]",:\\ N1x')))
@settings(max_examples=100, deadline=None)
def test_the_reader_by_column_and_the_reader_by_text_give_the_same_members(
    sources: list[str], at: int, damage: str
) -> None:
    damaged = [source[: at % (len(source) + 1)] + damage + source[at % (len(source) + 1) :] for source in sources]
    column = texts(*sources, *damaged)
    members, read = ordinary_members(column)
    for row in read.arg_true():
        pairs, problems = read_object(column[row])
        rows = members.filter(pl.col("row") == row).drop("row").rows()
        assert problems == []
        assert rows == [(p.key, p.json, p.text, p.source) for p in pairs]


@given(st.text(max_size=30) | json_objects())
@settings(max_examples=150, deadline=None)
def test_every_text_is_either_read_or_named_with_a_position(text: str) -> None:
    pairs, problems = read_object(text)
    try:
        readable = isinstance(json.loads(text, parse_int=str), dict) or text.strip() == "null"
    except (ValueError, RecursionError):
        readable = not text.strip()
    fatal = [p for p in problems if p.code in ("malformed", "not-object", "too-deep")]
    assert bool(fatal) != readable
    assert not (fatal and pairs)
    assert all(p.position is not None and 0 <= p.position <= len(text) for p in fatal)


def test_numbers_keep_their_writing() -> None:
    found = explode(texts('{"a":250.00,"b":12345678901234567890123,"c":-0,"d":1E5}'))
    assert found["text"].to_list() == ["250.00", "12345678901234567890123", "-0", "1E5"]
    assert found["type"].to_list() == ["decimal", "int", "int", "decimal"]


def test_null_empty_text_and_missing_key_stay_three_things() -> None:
    found = explode(texts('{"a":null,"b":"","c":" "}', "{}", None, "", "null"))
    assert found.select("row", "key", "type").rows() == [(0, "a", "null"), (0, "b", "empty"), (0, "c", "empty")]


def test_the_last_of_two_equal_keys_wins_and_the_lost_value_is_named() -> None:
    found = scan(texts('{"plan":"a","n":1,"plan":"b"}'))
    assert found.pairs.select("key", "text", "flag").rows() == [("plan", "b", "duplicate"), ("n", "1", None)]
    assert found.problems.select("row", "key", "code", "detail").rows() == [(0, "plan", "duplicate", '"a"')]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a":1', "malformed"),
        ('{"a":1}x', "malformed"),
        ('{"a":}', "malformed"),
        ("{a:1}", "malformed"),
        ('{"a":01}', "malformed"),
        ('{"a":1,}', "malformed"),
        ('{"a":"\n"}', "malformed"),
        ("[1]", "not-object"),
        ('"text"', "not-object"),
        ("12", "not-object"),
        ("[1] x", "malformed"),
        ("nonsense", "malformed"),
    ],
)
def test_what_is_no_object_is_named(text: str, code: str) -> None:
    assert problem(text) == (code, None)


def test_ten_thousand_levels_are_refused_without_a_crash() -> None:
    assert problem('{"a":' + "[" * 10_000 + "]" * 10_000 + "}")[0] == "too-deep"
    assert problem('{"a":' * 10_000 + "1" + "}" * 10_000)[0] == "too-deep"


def test_many_shallow_brackets_are_not_deep() -> None:
    found = scan(texts('{"a":[' + ",".join(["[[[[[[]]]]]]"] * 600) + "]}"))
    assert found.problems.is_empty()
    assert found.pairs["json"].to_list() == ["array"]


def test_infinities_and_nan_are_kept_as_text_and_reported() -> None:
    found = scan(texts('{"a":NaN,"b":-Infinity,"c":1e400,"d":[1,NaN,"NaN"]}'))
    assert found.pairs["text"].to_list() == ["NaN", "-Infinity", "1e400", '[1,"NaN","NaN"]']
    assert found.problems["code"].to_list() == ["non-finite"] * 4
    assert all(orjson.loads("{" + source + "}") for source in found.pairs["source"])


def test_half_a_surrogate_pair_is_reported_and_its_source_kept() -> None:
    found = scan(texts('{"a":"x\\ud800","b":"\\ud83d\\ude00"}'))
    assert found.pairs["text"].to_list() == ["x\\ud800", "😀"]
    assert found.pairs["flag"].to_list() == ["surrogate", None]
    assert problem('{"\\ud800":1}') == ("surrogate", "\\ud800")


def test_text_that_holds_json_counts_as_nested() -> None:
    found = explode(texts('{"a":"[1,2]","b":"{\\"x\\":1}","c":"[not json]","d":"{}"}'))
    assert found["type"].to_list() == ["array", "object", "text", "object"]


def test_rows_come_back_in_order_whichever_reader_took_them() -> None:
    found = explode(texts('{"a":1}', '{"a":1,"a":2}', "broken", '{"a":3}'))
    assert found["row"].to_list() == [0, 1, 3]
    assert found["text"].to_list() == ["1", "2", "3"]


def test_pick_gives_one_text_column_per_key() -> None:
    found = pick(texts('{"a":1,"b":"x"}', None, '{"b":null,"a":" "}'), ["b", "a", "missing"])
    assert found.rows() == [("x", "1", None), (None, None, None), (None, " ", None)]


def test_every_type_word_is_reachable() -> None:
    source = (
        '{"a":null,"b":true,"c":1,"d":1.5,"e":"","f":"yes","g":"1","h":"1.5","i":"2024-01-01",'
        '"j":"2024-01-01T00:00Z","k":"x","l":[],"m":{}}'
    )
    assert tuple(explode(texts(source))["type"]) == TYPES
