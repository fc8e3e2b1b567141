"""What the server says is classified by code, then status, then text (L6)."""

from __future__ import annotations

import json

import pytest

from cio2d365.dataverse.codes import CODES, Class, ServerError, number, read_error
from cio2d365.transport import Response

# Every code that the catalogues name (faults 4, dataverse-api 10, 12, 13, 15, 16, 18), the status it comes with, what
# to do about it.
CATALOGUE = """
80072322 429 transient   80072326 429 transient   80072321 429 smaller     8005f103 429 transient
80071151 429 lock        80072324 500 transient   80072323 500 transient   80072325 400 storage
80044151 500 smaller     8004418a 400 smaller     80040255 500 transient   80040251 500 transient
80048105 500 transient   80044339 500 transient   8004ed47 500 transient   80044150 500 unknown
80040216 500 unknown     80040216 400 unknown     80060882 412 conflict    80040237 412 exists
80060892 412 record      80040333 412 record      80060891 404 record      80040217 404 record
80044331 400 record      8004432f 400 record      80044330 400 record      8004431a 400 record
80061004 400 record      80061005 400 record      80040239 400 record      80040278 400 record
80048d19 400 record      80040265 400 record      80048408 400 record      8004203e 400 record
80040200 400 record      80040230 400 record      80040225 400 record      80040225 403 authority
8004022b 400 record      80040229 400 record      80040231 400 record      8004030a 400 record
80040301 400 record      80048458 400 record      80040227 400 record      80049929 400 record
80049939 400 record      80049949 400 record      80049959 400 record
80040220 403 authority   80048306 403 authority   80042f09 403 authority   80040204 403 authority
8004a112 403 authority   8004d24b 403 authority   80041d40 403 authority   8004f502 403 authority
8004f504 403 authority   8004f507 403 authority   80040220 400 authority   80048306 500 authority
80060890 400 schema      8006088a 404 schema      8005e009 400 schema      8005e00c 400 schema
80041102 400 schema      80041103 400 schema      80047013 400 defined     8004700b 400 defined
80060893 400 defined     80060894 400 defined     80044363 400 defined     80060895 400 plan
80044366 400 plan        80044367 400 plan        8004841a 400 plan        8004b042 400 plan
8004802a 400 plan        80048402 400 plan        80047007 400 plan        80040315 400 ours
80040800 400 ours        80040219 501 ours        80040303 400 ours        8004430d 400 ours
8004430c 400 ours        8004e023 400 ours        80048d0b 400 ours        8004112a 400 ours
8004430a 400 ours
"""
WORDS = CATALOGUE.split()
LISTED = [(int(WORDS[n], 16), int(WORDS[n + 1]), Class(WORDS[n + 2])) for n in range(0, len(WORDS), 3)]


def said(status: int, code: object, message: str = "m") -> ServerError:
    return read_error(Response(status, {}, json.dumps({"error": {"code": code, "message": message}}).encode()))


@pytest.mark.parametrize(("code", "status", "cause"), LISTED, ids=[f"{c:08x}-{s}" for c, s, _ in LISTED])
def test_every_code_of_the_catalogue_in_each_of_its_spellings(code: int, status: int, cause: Class) -> None:
    spellings = [f"0x{code:08x}", f"0x{code:08X}", f"0X{code:08X}", str(code - 2**32), str(code), code, code - 2**32]
    assert {said(status, s) for s in spellings} == {ServerError(status, code, "m")}
    assert said(status, spellings[0]).cause is cause


def test_the_table_above_holds_every_code_that_is_told_apart() -> None:
    assert {code for code, _, _ in LISTED} >= set(CODES)


@pytest.mark.parametrize(
    "spelling", ["0x80072322", "0X80072322", "-2147015902", "2147951394", " 0x80072322 ", 2147951394]
)
def test_one_code_in_all_its_spellings(spelling: object) -> None:
    assert number(spelling) == 0x80072322


@pytest.mark.parametrize("nothing", ["", "0x0", "0", None, "E42", "0x", []])
def test_no_code(nothing: object) -> None:
    assert number(nothing) is None


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, Class.RECORD), (401, Class.AUTHORITY), (403, Class.AUTHORITY), (404, Class.SCHEMA),
        (405, Class.UNKNOWN), (408, Class.TRANSIENT), (409, Class.UNKNOWN), (412, Class.CONFLICT),
        (413, Class.SMALLER), (429, Class.TRANSIENT), (500, Class.UNKNOWN), (501, Class.UNKNOWN),
        (502, Class.TRANSIENT), (503, Class.TRANSIENT), (504, Class.TRANSIENT),
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", ["", "0x0", None, "0x12345678", "305419896", "not a code"])
def test_without_a_known_code_the_status_decides(status: int, cause: Class, code: object) -> None:
    assert said(status, code).cause is cause


@pytest.mark.parametrize("body", [b"", b"<html>Bad</html>", b'{"error": {}}', b"[1]", b'"x"', b"null", b"{", b"\xff"])
def test_without_any_code_the_status_decides(body: bytes) -> None:
    assert [read_error(Response(s, {}, body)).cause for s in (503, 500)] == [Class.TRANSIENT, Class.UNKNOWN]


@pytest.mark.parametrize(
    ("status", "code", "text", "cause"),
    [
        (400, "", "Could not find a property named 'x' on type 'y'.", Class.SCHEMA),
        (400, "0x80048d19", "The property 'x' does not exist on type 'y'.", Class.SCHEMA),
        (400, "0x80048d19", "Cannot convert a value to target type 'Edm.Int32'", Class.RECORD),
        (500, "0x80044150", "Generic SQL error. Sql Number: 1205", Class.TRANSIENT),
        (500, "0x80044150", "Transaction was Deadlocked", Class.TRANSIENT),
        (500, "0x80044150", "Generic SQL error. Sql Number: 8152", Class.UNKNOWN),
    ],
)
def test_where_a_code_has_two_meanings_the_text_decides(status: int, code: str, text: str, cause: Class) -> None:
    assert said(status, code, text).cause is cause


def test_an_unknown_column_is_found_behind_a_long_beginning() -> None:
    text = f"Error identified in Payload: {'x' * 700} The property 'a' does not exist on type 'b'."
    assert said(400, "0x80048d19", text).cause is Class.SCHEMA


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b'{"error": {"code": "0x80044331", "message": "too long"}}', 0x80044331, "too long"),
        (b'{"error": {"code": "", "message": "m"}}', None, "m"),
        (b'{"error": {"message": null}}', None, ""),
        (b'{"error": "text"}', None, '{"error": "text"}'),
        (b'{"Message": "no route"}', None, '{"Message": "no route"}'),
        (b"<html>Bad Gateway</html>", None, "Bad Gateway"),
        (b"[1]", None, "[1]"),
        (b"", None, ""),
    ],
)
def test_bodies_of_errors(body: bytes, code: int | None, text: str) -> None:
    assert read_error(Response(400, {}, body)) == ServerError(400, code, text)


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<b\n>bold", "<<b>script>", "a < b > c", "</td",
    "\x1b[31mred\x07", "line\r\nline", "\u202egnp.exe", "\x00", "\ud83d\ude00 <i>ok</i>", "<" * 500, "<a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("code", ["0x80040265", "0x80044331", ""])
def test_no_control_character_and_no_markup_of_a_stranger_survives(code: str, text: str) -> None:
    shown = said(400, code, f"Refused {text} by rule").text
    assert shown.startswith("Refused")
    assert shown.isprintable()
    assert not {"<", ">"} & set(shown)


def test_the_text_of_a_plugin_is_shortened_to_300_characters_and_stays_readable() -> None:
    shown = said(400, "0x80040265", "Credit limit &  budget exceeded. " + "at Contoso.Plugin.Run() " * 400).text
    assert len(shown) == 300
    assert shown.startswith("Credit limit & budget exceeded. at Contoso")
    assert shown.endswith("…")


def test_no_text_is_without_limit() -> None:
    assert len(said(400, "0x80044331", "x" * 10**6).text) == 1000


def test_an_error_shows_status_code_and_text() -> None:
    assert str(ServerError(400, 0x80044331, "too long")) == "status 400 0x80044331 too long"
    assert str(ServerError(502, None, "")) == "status 502"
