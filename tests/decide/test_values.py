"""One value for one column: converted exactly, or refused with a reason (faults 6.3 - 6.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365.decide.values import LOSSY, NOTES, PROBLEMS, convert
from cio2d365.tables import Column, Kind, Option

TEXT = Column("x", "string", length=100)
WHOLE = Column("x", "integer")
DECIMAL = Column("x", "decimal", precision=10)
TIME = Column("x", "datetime")
DAY = Column("x", "date")
TRUTH = Column("x", "boolean")
CHOICE = Column("x", "choice", options=(Option(1, "Male"), Option(2, "Female"), Option(7, "7")))


def one(text: str | None, column: Column, **rules: Any) -> dict[str, Any]:
    return convert(pl.Series([text], dtype=pl.String), column, **rules).row(0, named=True)


def value(text: str | None, column: Column, **rules: Any) -> Any:
    found = one(text, column, **rules)
    assert found["problem"] is None
    return found["value"]


def problem(text: str, column: Column, **rules: Any) -> str:
    found = one(text, column, **rules)
    assert found["value"] is None
    assert found["changed"] is False
    return str(found["problem"])


@pytest.mark.parametrize(
    ("text", "unit", "wanted"),
    [
        ("1700000000", "s", "2023-11-14T22:13:20Z"),
        ("1700000000000", "ms", "2023-11-14T22:13:20Z"),
        ("1700000000000000", "us", "2023-11-14T22:13:20Z"),
        (" 1700000000 ", "s", "2023-11-14T22:13:20Z"),
        ("-86400", "s", "1969-12-31T00:00:00Z"),
        ("0", "s", "1970-01-01T00:00:00Z"),
        ("-6847804800", "s", "1753-01-01T00:00:00Z"),
        ("2024-05-01T10:00:00+05:30", "iso", "2024-05-01T04:30:00Z"),
        ("2024-05-01T10:00:00-0330", "", "2024-05-01T13:30:00Z"),
        ("2024-05-01t10:00z", "", "2024-05-01T10:00:00Z"),
        ("2024-05-01", "", "2024-05-01T00:00:00Z"),
        ("2024-02-29T23:59:59Z", "", "2024-02-29T23:59:59Z"),
        ("9999-12-31T23:59:59Z", "", "9999-12-31T23:59:59Z"),
        ("2024-05-01T10:00:00Z", "s", "2024-05-01T10:00:00Z"),
    ],
)
def test_times_become_utc_text(text: str, unit: str, wanted: str) -> None:
    found = one(text, TIME, unit=unit)
    assert (found["value"], found["problem"], found["changed"]) == (wanted, None, wanted != text)


@pytest.mark.parametrize(
    ("text", "unit", "code"),
    [
        ("1700000000", "", "E-DATE"),
        ("1700000000", "iso", "E-DATE"),
        ("1700000000000", "s", "E-RANGE"),
        ("999999999999999999999", "s", "E-DATE"),
        ("03/04/2024", "", "E-DATE"),
        ("2024-02-30", "", "E-DATE"),
        ("2023-02-29T10:00:00Z", "", "E-DATE"),
        ("2024-01-01T10:00:60Z", "", "E-DATE"),
        ("2024-01-01T24:00:00Z", "", "E-DATE"),
        ("2024-13-01", "", "E-DATE"),
        ("1752-12-31", "", "E-RANGE"),
        ("9999-12-31T23:59:59-01:00", "", "E-RANGE"),
        ("yesterday", "s", "E-DATE"),
    ],
)
def test_dates_are_refused_rather_than_guessed(text: str, unit: str, code: str) -> None:
    assert problem(text, TIME, unit=unit) == code


def test_a_mixed_column_is_read_value_by_value() -> None:
    given_texts = ["1700000000", "1700000000000", "1700000000000000", "2023-11-14T22:13:20Z"]
    found = convert(pl.Series(given_texts), TIME, unit="mixed")
    assert found["value"].unique().to_list() == ["2023-11-14T22:13:20Z"]
    assert found["note"].to_list() == ["unix-s", "unix-ms", "unix-us", None]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("1700000000.25", "fraction-dropped"),
        ("1700000000.00", "unix-s"),
        ("2024-05-01T10:00:00.250Z", "fraction-dropped"),
        ("2024-05-01T10:00:00.000Z", "reformatted"),
        ("2024-05-01T10:00:00", "zone-assumed"),
        ("2024-05-01T10:00:00+02:00", "zone-shifted"),
        ("9999-12-31T23:59:59Z", "never"),
        ("0", "zero"),
    ],
)
def test_what_happened_to_a_time_is_noted(text: str, note: str) -> None:
    assert one(text, TIME, unit="s")["note"] == note


@pytest.mark.parametrize("text", ["null", "0000-00-00", "0000-00-00 00:00:00", "NULL"])
def test_words_for_no_date_become_null_and_are_recorded(text: str) -> None:
    found = one(text, TIME)
    assert (found["value"], found["problem"], found["changed"], found["note"]) == (None, None, True, "no-date")


def test_a_missing_offset_means_the_configured_zone() -> None:
    assert value("2024-07-01T12:00:00", TIME, zone="Europe/Berlin") == "2024-07-01T10:00:00Z"
    assert value("2024-07-01T12:00:00Z", TIME, zone="Europe/Berlin") == "2024-07-01T12:00:00Z"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
@pytest.mark.parametrize(
    "text", ["1990-09-07", "1990-09-07T00:00:00+13:00", "1990-09-07T23:59:59-11:00", "1990-09-07 08:00"]
)
def test_a_day_is_the_same_day_in_every_zone(text: str, zone: str) -> None:
    assert value(text, DAY, zone=zone) == "1990-09-07"


def test_a_day_before_1753_is_refused() -> None:
    assert problem("1752-12-31", DAY) == "E-RANGE"
    assert value("1753-01-01", DAY) == "1753-01-01"


def test_an_unknown_unit_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="'seconds'"):
        convert(pl.Series(["1"]), TIME, unit="seconds")


@given(
    st.datetimes(min_value=datetime(1753, 1, 2), max_value=datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
@settings(max_examples=100, deadline=None)
def test_every_iso_time_is_the_moment_that_the_standard_library_reads(local: datetime, offset: int) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=offset)))
    wanted = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert value(moment.isoformat(), TIME).rjust(20, "0") == wanted.rjust(20, "0")
    assert value(local.date().isoformat(), DAY) == local.date().isoformat()


@pytest.mark.parametrize(
    ("text", "wanted", "note"),
    [
        ("12", 12, None),
        ("-0", 0, "retyped"),
        ("12.0", 12, "retyped"),
        (" 12", 12, "trimmed"),
        ("1e3", 1000, "retyped"),
        ("2147483647", 2147483647, None),
    ],
)
def test_whole_numbers(text: str, wanted: int, note: str | None) -> None:
    found = one(text, WHOLE)
    assert (found["value"], found["note"], found["changed"]) == (wanted, note, note is not None)


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("2147483648", "integer", "E-RANGE"),
        ("-2147483648", "integer", "E-RANGE"),
        ("1.5", "integer", "E-PRECISION"),
        ("007", "integer", "E-NUMBER"),
        ("NaN", "decimal", "E-NUMBER"),
        ("Infinity", "decimal", "E-NUMBER"),
        ("1e400", "decimal", "E-RANGE"),
        ("100000000001", "decimal", "E-RANGE"),
        ("1,234.56", "decimal", "E-NUMBER"),
        ("1.234,56", "decimal", "E-NUMBER"),
        ("€12", "decimal", "E-NUMBER"),
        ("12%", "decimal", "E-NUMBER"),
        ("1_000", "decimal", "E-NUMBER"),
        ("0x10", "integer", "E-NUMBER"),
        ("٣", "integer", "E-NUMBER"),
        ("99999999999.1234567891", "decimal", "E-PRECISION"),
        ("9223372036854775808", "bigint", "E-RANGE"),
    ],
)
def test_numbers_are_refused_rather_than_changed(text: str, kind: Kind, code: str) -> None:
    assert problem(text, Column("x", kind)) == code


def test_a_wide_whole_number_is_exact() -> None:
    assert value("9007199254740993", Column("x", "bigint")) == 9007199254740993


def test_the_columns_own_range_counts() -> None:
    assert problem("-1", Column("x", "integer", minimum=0, maximum=10)) == "E-RANGE"
    assert value("10", Column("x", "integer", minimum=0, maximum=10)) == 10


def test_decimals_are_rounded_only_when_the_rule_says_so() -> None:
    column = Column("x", "decimal", precision=2)
    assert problem("0.125", column) == "E-PRECISION"
    found = one("0.125", column, rounding=True)
    assert (found["value"], found["note"], found["changed"]) == (0.12, "rounded", True)
    assert value("0.135", column, rounding=True) == 0.14


@given(st.decimals(min_value=-(10**11), max_value=10**11, places=12, allow_nan=False), st.integers(0, 10))
@settings(max_examples=150, deadline=None)
def test_a_decimal_is_the_same_number_or_refused(number: Decimal, places: int) -> None:
    found = one(f"{number:f}", Column("x", "decimal", precision=places))
    if found["problem"] is None:
        assert Decimal(repr(found["value"])) == number
    else:
        assert found["problem"] == "E-PRECISION"
        too_many_places = number != round(number, places)
        assert too_many_places or Decimal(repr(float(number))) != number


@pytest.mark.parametrize("text", ["true", "TRUE ", "yes", "1", "Y", "True"])
def test_words_for_yes(text: str) -> None:
    assert value(text, TRUTH) is True


@pytest.mark.parametrize("text", ["false", "No", "0", "n", " FALSE"])
def test_words_for_no(text: str) -> None:
    assert value(text, TRUTH) is False


@pytest.mark.parametrize("text", ["maybe", "2", "on", "1.0", "ja", "t"])
def test_other_words_are_not_false(text: str) -> None:
    assert problem(text, TRUTH) == "E-BOOL"


def test_booleans_and_numbers_that_are_not_text_are_taken_too() -> None:
    assert convert(pl.Series([True, None, False]), TRUTH)["value"].to_list() == [True, None, False]
    assert convert(pl.Series([1, 2]), WHOLE)["value"].to_list() == [1, 2]


@pytest.mark.parametrize(("text", "wanted"), [("Male", 1), ("female ", 2), ("2", 2), ("7", 7)])
def test_choices_by_label_or_number(text: str, wanted: int) -> None:
    assert value(text, CHOICE) == wanted


def test_an_option_is_never_invented() -> None:
    assert problem("diverse", CHOICE) == "E-OPTION"
    twins = Column("x", "choice", options=(Option(1, "Pro"), Option(2, "pro")))
    assert problem("PRO", twins) == "E-OPTION"
    assert value("pro", twins) == 2


def test_multi_select_from_a_json_list_or_a_single_label() -> None:
    column = Column("x", "multichoice", options=(Option(9, "a"), Option(10, "b")))
    assert value('["b", "a", "b"]', column) == "9,10"
    assert value("a", column) == "9"
    assert problem('["a","z"]', column) == "E-OPTION"
    assert problem('["a"', column) == "E-OPTION"


@pytest.mark.parametrize("text", ["a\r\nb\tc", " padded ", "😀 עברית", "12", "\x7f", "\ud7ff\ufffd"])
def test_text_is_kept_as_it_is(text: str) -> None:
    found = one(text, TEXT)
    assert (found["value"], found["changed"], found["note"]) == (text, False, None)


@pytest.mark.parametrize(
    ("text", "detail"),
    [("ab\x00c", "U+0000 at 2"), ("\x1f", "U+001F at 0"), ("line\n\x0b", "U+000B at 5"), ("\ufffe", "U+FFFE at 0")],
)
def test_characters_xml_does_not_allow_are_named_with_their_position(text: str, detail: str) -> None:
    found = one(text, TEXT)
    assert (found["value"], found["problem"], found["detail"]) == (None, "E-CHAR", detail)


def test_lengths_count_utf16_units_and_nothing_is_cut() -> None:
    assert value("x" * 100, TEXT) == "x" * 100
    assert one("x" * 101, TEXT)["detail"] == "101 characters, limit 100"
    assert problem("😀" * 51, TEXT) == "E-LEN"
    assert value("😀" * 50, TEXT) == "😀" * 50
    assert problem("x" * 4_001, Column("x", "string")) == "E-LEN"
    assert problem("x" * 1_048_577, Column("x", "memo")) == "E-LEN"
    assert value("x" * 1_048_576, Column("x", "memo")) == "x" * 1_048_576


@pytest.mark.parametrize("column", [TEXT, WHOLE, DECIMAL, TIME, DAY, TRUTH, CHOICE])
def test_null_stays_null_and_blank_becomes_null_with_a_note(column: Column) -> None:
    nothing, blank = one(None, column), one(" \t", column)
    assert nothing == {"value": None, "problem": None, "changed": False, "note": None, "detail": None}
    assert (blank["value"], blank["problem"], blank["changed"], blank["note"]) == (None, None, True, "empty")


def test_a_domain_becomes_an_address_of_the_web() -> None:
    site = Column("websiteurl", "string", length=200, format="Url")
    assert (value("acme.example", site), one("acme.example", site)["note"]) == ("https://acme.example", "url")
    assert value("http://acme.example/x", site) == "http://acme.example/x"
    assert value("see our page", site) == "see our page"


def test_an_email_column_takes_one_usable_address() -> None:
    mail = Column("emailaddress1", "string", length=100, format="Email")
    assert value(" ann@example.com\u00a0", mail) == "ann@example.com"
    assert problem("a@x.example; b@x.example", mail) == "E-EMAIL"
    assert problem("a" * 60 + "@" + "b" * 33 + ".example", mail) == "E-LEN"


def test_guids_are_lower_case_without_braces() -> None:
    column = Column("x", "uniqueidentifier")
    guid = "6F1C1F5E-6D55-5D0C-9F0E-C10D365C10D3"
    assert value(f"{{{guid}}}", column) == guid.lower()
    assert problem("6F1C1F5E", column) == "E-GUID"


def test_a_column_without_plain_values_takes_none() -> None:
    assert problem("x", Column("x", "other")) == "E-KIND"


def test_every_value_comes_back_in_order_and_every_word_is_documented() -> None:
    texts = pl.Series(["3", "x", None, "3", " ", "1.5"])
    found = convert(texts, WHOLE)
    assert found["value"].to_list() == [3, None, None, 3, None, None]
    assert set(found["problem"].drop_nulls()) <= PROBLEMS.keys()
    assert set(found["note"].drop_nulls()) <= NOTES.keys()
    assert set(LOSSY) <= set(NOTES)


KINDS: tuple[Kind, ...] = ("string", "memo", "integer", "bigint", "decimal", "double", "money", "boolean")


@given(st.text(max_size=12), st.sampled_from((*KINDS, "datetime", "date", "choice", "uniqueidentifier")))
@settings(max_examples=200, deadline=None)
def test_any_text_ends_as_a_value_or_a_named_problem(text: str, kind: Kind) -> None:
    found = one(text, Column("x", kind))
    # Python strips some control characters as blanks; the target takes none of them.
    blank = found["problem"] is None and (not text.strip() or found["note"] == "no-date")
    assert (found["value"] is not None) + (found["problem"] is not None) + blank == 1
    assert found["problem"] is None or found["problem"] in PROBLEMS
    assert found["changed"] == (found["note"] not in (None, "never") and found["problem"] is None)
