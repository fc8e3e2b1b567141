"""Calls from CDP storage files: every line ends as a call or is put apart; equal events stay two, repeated ids one."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from cio2d365.customerio import cdp
from cio2d365.errors import InputError


def line(**values: Any) -> bytes:
    return orjson.dumps({"received_at": 1_700_000_000, "sent_at": 1_700_000_000} | values) + b"\n"


def write(folder: Path, files: Mapping[str, bytes]) -> cdp.Calls:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return cdp.read_calls(cdp.call_files(folder))


def track(folder: Path, data: bytes, name: str = "1.1.1.track.json") -> cdp.Calls:
    return write(folder, {name: data})


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_are_found_by_name_and_told_apart_by_type(tmp_path: Path) -> None:
    good = ["9.1.1.identify.json", "9.1.2.TRACK.json.gz", "9.1.3.page.json"]
    for name in [*good, "notes.json", "x.track.csv", "track.json.bak"]:
        (tmp_path / name).write_bytes(line(id=name))
    found = cdp.call_files(tmp_path)
    assert [p.name for p in found] == good
    assert [c.kind for c in cdp.read_calls(found).calls] == ["identify", "track", "page"]


@pytest.mark.parametrize("name", ["1.1.1.track.json", "1.1.1.track.json.gz"])
@pytest.mark.parametrize("packed", [True, False])
def test_content_decides_what_is_gzip(tmp_path: Path, name: str, packed: bool) -> None:
    data = line(id="a") + line(id="b")
    found = track(tmp_path, gzip.compress(data) if packed else data, name)
    assert [c.values["id"] for c in found.calls] == ["a", "b"]


def test_a_cut_gzip_file_stops_and_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(line(id=str(n)) for n in range(5000)))
    with pytest.raises(InputError, match=r"1\.1\.1\.track\.json\.gz: the gzip file is damaged or cut"):
        track(tmp_path, whole[: len(whole) * 7 // 10], "1.1.1.track.json.gz")


def test_a_damaged_gzip_file_stops_too(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b"".join(line(id=str(n)) for n in range(5000))))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(InputError, match="damaged or cut"):
        track(tmp_path, bytes(whole))


@pytest.mark.parametrize("layout", ["lines", "array", "array on one line"])
def test_a_call_a_line_or_an_array_of_calls(tmp_path: Path, layout: str) -> None:
    calls = [line(id=str(n)).strip() for n in range(3)]
    data = {
        "lines": b"\n".join(calls),
        "array": b"[\n" + b",\n".join(calls) + b"\n]\n",
        "array on one line": b"[" + b",".join(calls) + b"]",
    }
    found = track(tmp_path, data[layout])
    assert found.rejected == []
    assert [(c.values["id"], c.row) for c in found.calls] == [("0", 1), ("1", 2), ("2", 3)]


# --- lines that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damaged", "code", "words"),
    [
        (b'{"id": "x", }\n', "E-JSON", "not JSON at byte"),
        (b"42\n", "E-JSON", "a call is a JSON object"),
        (b'{"id": "\xff"}\n', "E-UTF8", "is not UTF-8"),
        (line(id="x", sent_at="soon"), "E-TIME", "no times"),
        (line(id="x", sent_at=None, received_at=None), "E-TIME", "no times"),
        (b'{"id": "x", "received_at": 1e400}\n', "E-JSON", "not JSON"),
        (line(id="x", properties="{broken"), "E-JSON", "properties is no JSON object"),
        (line(id="x", properties=[1]), "E-JSON", "properties is no JSON object"),
        (line(id="x", traits="[]  1"), "E-JSON", "traits is no JSON object"),
        (b'{"id": "x", "properties": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}\n", "E-JSON", "not JSON"),
    ],
    ids=lambda v: v[:20] if isinstance(v, bytes | str) else None,
)
def test_a_damaged_line_is_put_apart_and_the_others_stay(tmp_path: Path, damaged: bytes, code: str, words: str) -> None:
    found = track(tmp_path, line(id="a") + b"\n" + damaged + line(id="b"))
    assert [c.values["id"] for c in found.calls] == ["a", "b"]
    [row] = found.rejected
    assert (row["object"], row["file"], row["row"], row["line"]) == ("events", "1.1.1.track.json", 2, 3)
    assert row["code"] == code
    assert words in row["message"]
    assert row["message"].startswith("1.1.1.track.json row 2 (line 3)")


def test_the_byte_of_the_damage_is_named(tmp_path: Path) -> None:
    first = line(id="a")
    found = track(tmp_path, first + b'{"id": "\xff"}\n')
    assert f"byte {len(first) + 8} is not UTF-8" in found.rejected[0]["message"]


def test_a_last_line_without_its_end_is_read_and_half_a_line_is_called_cut(tmp_path: Path) -> None:
    assert len(track(tmp_path, line(id="a") + line(id="b").strip()).calls) == 2
    found = track(tmp_path, line(id="a") + line(id="b")[:20])
    assert [c.values["id"] for c in found.calls] == ["a"]
    assert "the file ends here, it may be cut" in found.rejected[0]["message"]


# --- events -----------------------------------------------------------------------------------------------------------


def test_the_same_id_is_one_event_wherever_it_stands(tmp_path: Path) -> None:
    found = write(
        tmp_path,
        {"1.track.json": line(id="a", event_text="x") + line(id="b"), "2.track.json": line(id="a", event_text="x")},
    )
    rows, merged, commands = cdp.events(found.calls)
    assert ([r["event_key"] for r in rows], merged, commands) == (["cdp:a", "cdp:b"], 1, 0)


def test_equal_events_without_an_id_both_survive_and_keep_their_keys(tmp_path: Path) -> None:
    same = line(event_text="view", user_id="1", properties={"a": 1})
    found = track(tmp_path, same + same + line(event_text="view", user_id="2", properties={"a": 1}))
    rows, merged, _ = cdp.events(found.calls)
    keys = [r["event_key"] for r in rows]
    assert (len(set(keys)), merged) == (3, 0)
    again = cdp.events(cdp.read_calls(cdp.call_files(tmp_path)).calls)[0]
    assert [r["event_key"] for r in again] == keys


@pytest.mark.parametrize("command", sorted(cdp.COMMANDS))
def test_commands_are_not_the_customers_events(tmp_path: Path, command: str) -> None:
    rows, _, commands = cdp.events(track(tmp_path, line(id="a", event_text=command) + line(id="b")).calls)
    assert ([r["event_key"] for r in rows], commands) == (["cdp:b"], 1)


def test_an_event_keeps_its_name_time_person_and_properties(tmp_path: Path) -> None:
    properties = '{"total": 12.5, "n": 9007199254740993}'
    call = line(id="a", event="order_done", event_text="Order Done", user_id=7, anonymous_id="an",
                sent_at=1_700_000_000.25, properties=properties)  # fmt: skip
    [row] = cdp.events(track(tmp_path, call).calls)[0]
    assert (row["name"], row["at"], row["person_id"], row["anonymous_id"]) == (
        "Order Done",
        1_700_000_000_250,
        "7",
        "an",
    )
    assert orjson.loads(row["properties"]) == {"total": 12.5, "n": 9007199254740993}


def test_long_numbers_keep_every_digit(tmp_path: Path) -> None:
    long = b"123456789012345678901234"
    data = line(id="a", user_id="U", properties={"n": "N"}).replace(b'"U"', long).replace(b'"N"', long)
    [row] = cdp.events(track(tmp_path, data).calls)[0]
    assert row["person_id"] == long.decode()
    assert row["properties"] == f'{{"n":{long.decode()}}}'


def test_a_number_and_its_text_are_one_id_and_a_fraction_is_another(tmp_path: Path) -> None:
    found = track(tmp_path, line(user_id=7) + line(user_id="7") + line(user_id=7.0) + line(user_id=""))
    assert [c.text("user_id") for c in found.calls] == ["7", "7", "7.0", None]


# --- people and objects -----------------------------------------------------------------------------------------------


def test_traits_are_merged_in_the_order_of_time_not_of_files(tmp_path: Path) -> None:
    found = write(
        tmp_path,
        {
            "1.identify.json": line(user_id="1", sent_at=20, traits={"plan": "new", "a": 1}),
            "2.identify.json": line(user_id="1", sent_at=10, traits={"plan": "old", "b": 2})
            + line(user_id="2", sent_at=5, traits='{"email": "Ann@Example.com"}'),
        },
    )
    first, second = cdp.people(found.calls)
    assert orjson.loads(first["attributes"]) == {"id": "1", "plan": "new", "a": 1, "b": 2}
    assert (first["file"], first["row"]) == ("1.identify.json", 1)
    assert (second["person_key"], second["email"]) == ("id:2", "Ann@Example.com")


@pytest.mark.parametrize(
    ("traits", "out"),
    [({"unsubscribed": True}, True), ({"unsubscribed": "1"}, True), ({"unsubscribed": False}, False), ({}, None),
     ({"unsubscribed": None}, None), ({"unsubscribed": "perhaps"}, None)],
)  # fmt: skip
def test_an_opt_out_is_never_lost(tmp_path: Path, traits: dict[str, Any], out: bool | None) -> None:
    [row] = cdp.people(write(tmp_path, {"1.identify.json": line(user_id="1", traits=traits)}).calls)
    assert row["unsubscribed"] is out


def test_objects_and_relationships_come_from_group_calls(tmp_path: Path) -> None:
    data = (
        line(
            user_id="1", group_id="acme", sent_at=1, traits={"name": "Acme", "relationshipAttributes": {"role": "boss"}}
        )
        + line(user_id="2", group_id="acme", objectTypeId="1", sent_at=2, traits={"size": 5})
        + line(group_id="boat", objectTypeId="2", sent_at=3, traits={})
    )
    found = write(tmp_path, {"1.group.json": data})
    rows, relations = cdp.objects(found.calls, "1")
    assert [(r["object_key"], orjson.loads(r["attributes"])) for r in rows] == [
        ("1:acme", {"name": "Acme", "size": 5}), ("2:boat", {})
    ]  # fmt: skip
    assert [(r["person_id"], r["object_key"], orjson.loads(r["attributes"])) for r in relations] == [
        ("1", "1:acme", {"role": "boss"}), ("2", "1:acme", {})
    ]  # fmt: skip
    assert cdp.objects(found.calls, "1") == (rows, relations)
