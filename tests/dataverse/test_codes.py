"""What the server says is classified by code, then status, then text (L6)."""

from __future__ import annotations

import pytest

from cio2d365.dataverse.codes import Class, ServerError, number, read_error
from cio2d365.transport import Response


@pytest.mark.parametrize(
    "spelling", ["0x80072322", "0X80072322", "-2147015902", "2147951394", " 0x80072322 ", 2147951394]
)
def test_one_code_in_all_its_spellings(spelling: object) -> None:
    assert number(spelling) == 0x80072322


@pytest.mark.parametrize("nothing", ["", "0x0", "0", None, "E42", "0x", []])
def test_no_code(nothing: object) -> None:
    assert number(nothing) is None


@pytest.mark.parametrize(
    ("status", "code", "text", "cause"),
    [
        (429, 0x80071151, "", Class.LOCK),
        (500, 0x80044150, "", Class.TRANSIENT),
        (500, 0x80044151, "", Class.SMALLER),
        (413, None, "", Class.SMALLER),
        (400, 0x80072325, "", Class.STORAGE),
        (412, 0x80040237, "", Class.EXISTS),
        (412, 0x80060892, "", Class.RECORD),
        (412, 0x80060882, "", Class.CONFLICT),
        (412, None, "", Class.CONFLICT),
        (403, 0x80048306, "", Class.AUTHORITY),
        (403, None, "", Class.AUTHORITY),
        (400, 0x80040220, "", Class.AUTHORITY),
        (404, 0x8006088A, "", Class.SCHEMA),
        (404, None, "", Class.SCHEMA),
        (400, None, "Could not find a property named 'x' on type 'y'.", Class.SCHEMA),
        (400, 0x80048D19, "The property 'x' does not exist on type 'y'.", Class.SCHEMA),
        (400, 0x80048D19, "Cannot convert a value to target type 'Edm.Int32'", Class.RECORD),
        (400, 0x80040265, "plug-in", Class.RECORD),
        (400, 0x12345678, "new", Class.RECORD),
        (400, None, "", Class.RECORD),
        (500, 0x80040216, "", Class.UNKNOWN),
        (500, 0x12345678, "new", Class.UNKNOWN),
        (500, None, "<html>", Class.UNKNOWN),
    ],
)
def test_classes(status: int, code: int | None, text: str, cause: Class) -> None:
    assert ServerError(status, code, text).cause is cause


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b'{"error": {"code": "0x80044331", "message": "too long"}}', 0x80044331, "too long"),
        (b'{"error": {"code": "", "message": "m"}}', None, "m"),
        (b'{"error": {"message": null}}', None, ""),
        (b'{"error": "text"}', None, '{"error": "text"}'),
        (b'{"Message": "no route"}', None, '{"Message": "no route"}'),
        (b"<html>Bad Gateway</html>", None, "<html>Bad Gateway</html>"),
        (b"[1]", None, "[1]"),
        (b"", None, ""),
    ],
)
def test_bodies_of_errors(body: bytes, code: int | None, text: str) -> None:
    assert read_error(Response(400, {}, body)) == ServerError(400, code, text)


def test_an_error_shows_status_code_and_text() -> None:
    assert str(ServerError(400, 0x80044331, "too long")) == "status 400 0x80044331 too long"
    assert str(ServerError(502, None, "")) == "status 502"
