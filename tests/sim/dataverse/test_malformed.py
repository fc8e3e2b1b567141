"""Requests that are wrong in every way answer 4xx in the service's form, and the simulator goes on."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .build import CRM, contact, message

JSON = {"Content-Type": "application/json"}
BULK = [f"contacts/{CRM}{verb}" for verb in ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")]


def refused(response: httpx.Response) -> bool:
    """An error of the caller, told in the service's form."""
    assert 400 <= response.status_code < 500 or response.status_code == 501, (response.status_code, response.text[:200])
    error = response.json()["error"]
    return set(error) >= {"code", "message"} and "Traceback" not in response.text


BODIES = {
    "cut": b'{"lastname":',
    "nothing": b"",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"5",
    "null": b"null",
    "a bare NaN": b'{"numberofchildren":NaN}',
    "a bare Infinity": b'{"numberofchildren":-Infinity}',
    "a name twice": b'{"lastname":"a","lastname":"b"}',
    "Latin-1": b'{"lastname":"\xe9"}',
    "UTF-16": '{"lastname":"a"}'.encode("utf-16"),
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep lists": b"[" * 100_000,
    "a long number": b'{"numberofchildren":' + b"9" * 5000 + b"}",
    "a NUL": b'{"lastname":"\\u0000"}',
    "more behind": b'{"lastname":"a"} x',
    "a comma too many": b'{"lastname":"a",}',
    "an empty name": b'{"":1}',
}


@pytest.mark.parametrize("url", ["contacts", "EntityDefinitions", BULK[0], "RelationshipDefinitions", "BulkDelete"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_body(api: httpx.Client, url: str, body: bytes) -> None:
    assert refused(api.post(url, content=body, headers=JSON))
    assert api.get("contacts/$count").text == "0"


def test_a_byte_order_mark_is_no_mistake(api: httpx.Client) -> None:
    assert api.post("contacts", content=b'\xef\xbb\xbf{"lastname":"a"}', headers=JSON).status_code == 204


def test_a_name_that_comes_twice_is_named_however_the_body_is_written(api: httpx.Client) -> None:
    for text in ('{"lastname":"a","lastname":"b"}', '{ "lastname" : "a", "lastname" : "b" }'):
        assert "'lastname'" in message(api.post("contacts", content=text.encode(), headers=JSON))


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "text/json"])
def test_a_body_of_another_content_type_is_415(api: httpx.Client, kind: str) -> None:
    response = api.post("contacts", content=b'{"lastname":"x"}', headers={"Content-Type": kind})
    assert response.status_code == 415
    assert refused(response)


@pytest.mark.parametrize("url", BULK)
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Targets": 5},
        {"Targets": {}},
        {"Targets": []},
        {"Targets": [None]},
        {"Targets": [[]]},
        {"Targets": [{"@odata.type": 5}]},
        {"Targets": [{"@odata.type": f"{CRM}account"}]},
        {"Targets": [{"@odata.type": f"{CRM}contact", "contactid": "zz"}]},
    ],
)
def test_bulk_messages_with_the_wrong_targets(api: httpx.Client, url: str, body: Any) -> None:
    assert refused(api.post(url, json=body))


PATHS = (
    "contacts(zzz) contacts() contacts('x') contacts(firstname='a') contacts( contacts) contacts(a=b=c) x/y/z "
    "contacts(00000000-0000-0000-0000-00000000000) contacts/$count/x $metadata/x WhoAmI/x %00 contacts(%00) "
    "contacts(%ff) contacts%2f..%2fx ..%2f_control EntityDefinitions() EntityDefinitions(5) RelationshipDefinitions(x) "
    "EntityDefinitions(LogicalName='zz') EntityDefinitions(LogicalName='contact')/Nothing "
    "EntityDefinitions(LogicalName='contact')/Attributes(LogicalName='zz') RetrieveTotalRecordCount "
    "RetrieveTotalRecordCount(EntityNames=@p) RetrieveTotalRecordCount(EntityNames=['zz'])"
)


@pytest.mark.parametrize("path", PATHS.split())
def test_paths_that_lead_nowhere(api: httpx.Client, path: str) -> None:
    assert refused(api.get(path))


@pytest.mark.parametrize("part", ["nothing", "firstname/x", "firstname/$value/x", "$ref", "ownerid/$ref/x", "$count"])
def test_parts_of_a_row_that_are_not_there(api: httpx.Client, part: str) -> None:
    assert refused(api.get(f"contacts({contact(api)})/{part}"))


OPTIONS = [
    ("$filter", ""),
    ("$filter", "("),
    ("$filter", "lastname"),
    ("$filter", "lastname eq"),
    ("$filter", "lastname eq 'x"),
    ("$filter", "lastname eq 'a' eq 'b'"),
    ("$filter", "1 eq 1"),
    ("$filter", "null"),
    ("$filter", "lastname eq ['a']"),
    ("$filter", "length(lastname) eq 5"),
    ("$filter", "year(createdon) eq 2024"),
    ("$filter", "(" * 3000 + "lastname eq 'x'" + ")" * 3000),
    ("$filter", "not " * 4000 + "(lastname eq 'x')"),
    ("$filter", "numberofchildren eq 99999999999999999999999"),
    ("$filter", "numberofchildren eq 1e400"),
    ("$filter", "createdon eq 2024-02-30"),
    ("$filter", "contactid eq 'zz'"),
    ("$filter", "@p"),
    ("$filter", f"{CRM}In(PropertyName='lastname')"),
    ("$filter", f"{CRM}In(PropertyName=5,PropertyValues=5)"),
    ("$filter", f"{CRM}LastXDays(PropertyName='createdon',PropertyValue=-5)"),
    ("$filter", f"{CRM}LastXDays(PropertyName='createdon',PropertyValue=99999999)"),
    ("$filter", "contact_customer_contacts/any("),
    ("$filter", "contact_customer_contacts/any(x:x/y/z eq 1)"),
    ("$select", "zz"),
    ("$top", "-1"),
    ("$top", "99999999999999999999"),
    ("$orderby", "lastname sideways"),
    ("$count", "maybe"),
    ("$expand", "nothing"),
    ("$expand", "ownerid("),
    ("$expand", "contact_customer_contacts($top=x)"),
    ("$format", "xml"),
    ("$search", "x"),
    ("$compute", "x"),
    ("$skiptoken", "x"),
    ("$deltatoken", "9" * 30),
    ("fetchXml", ""),
    ("fetchXml", "<fetch/>"),
    ("savedQuery", "x"),
    ("sql", "DROP TABLE contact"),
]


@pytest.mark.parametrize(("name", "value"), OPTIONS, ids=[f"{name}={value[:40]}" for name, value in OPTIONS])
def test_options_that_cannot_be_meant(api: httpx.Client, name: str, value: str) -> None:
    assert refused(api.get("contacts", params={name: value}))


def test_an_option_given_twice_is_refused(api: httpx.Client) -> None:
    assert "'$top'" in message(api.get("contacts?$top=5&$top=6"))


def test_an_alias_that_means_itself_ends(api: httpx.Client) -> None:
    assert refused(api.get("contacts?$filter=@p&@p=@q&@q=@p"))


@pytest.mark.parametrize("option", ["$filter=zz eq 5", "$filter=(", "$select=zz", "$expand=zz", "$top=5"])
def test_options_on_definitions_that_cannot_be_meant(api: httpx.Client, option: str) -> None:
    assert refused(api.get(f"EntityDefinitions?{option}"))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["contacts", "$metadata", "WhoAmI", "EntityDefinitions", "PublishAllXml", "$batch"])
def test_methods_that_do_not_belong_there(api: httpx.Client, method: str, path: str) -> None:
    assert refused(api.request(method, path))


def test_a_url_beyond_the_limit_is_414_and_beyond_the_body_413(api: httpx.Client, control: httpx.Client) -> None:
    assert api.get("contacts", params={"$filter": "x" * 33_000}).status_code == 414
    control.post("switches", json={"max_body_bytes": 1000})
    assert api.post("contacts", json={"lastname": "x" * 2000}).status_code == 413


def test_an_empty_batch_is_refused(api: httpx.Client) -> None:
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    for body in (b"", b"--b--", b"nonsense", b"--b\r\n\r\n--b--"):
        assert refused(api.post("$batch", content=body, headers=kind))
    assert refused(api.post("$batch", content=b"--b--\r\n", headers=JSON))


@pytest.mark.parametrize("name", ["createdon", "lastname", "contactid", "versionnumber"])
def test_prefer_headers_that_say_nothing_are_ignored(api: httpx.Client, name: str) -> None:
    for prefer in ("", ",,,", "=", 'odata.include-annotations="', "odata.maxpagesize", f"x={name};y"):
        assert api.get(f"contacts?$select={name}", headers={"Prefer": prefer}).status_code in (200, 400)


FUZZ = settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VOCABULARY = (
    "lastname createdon numberofchildren ownerid _ownerid_value contactid statecode eq ne gt in and or not null true "
    "5 -1 1e9 'x' '' '''' 2024-01-01 2024-01-01T00:00:00Z ( ) , / @p contains( startswith( any( all( [ ] : "
    "Microsoft.Dynamics.CRM.In( PropertyName='lastname' PropertyValues=['a'] contact_customer_contacts/any( x:x/"
    "lastname aggregate( groupby(( $count with sum as n filter( $select= $filter= $expand= ; desc asc %"
)
WORDS = st.sampled_from(VOCABULARY.split())
TEXTS = st.lists(WORDS | st.text(max_size=4), min_size=1, max_size=9).map(" ".join)


def answered(response: httpx.Response) -> None:
    if response.status_code != 200:
        assert response.status_code in (204, 405) or refused(response)


@pytest.mark.deep
@FUZZ
@given(option=st.sampled_from(["$filter", "$orderby", "$select", "$expand", "$apply", "$top", "fetchXml"]), text=TEXTS)
def test_any_option_is_answered(api: httpx.Client, option: str, text: str) -> None:
    answered(api.get("contacts", params={option: text, "@p": "1"}))
    answered(api.get("EntityDefinitions", params={"$select": "LogicalName", option: text}))


@pytest.mark.deep
@FUZZ
@given(path=TEXTS, method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE"]))
def test_any_path_is_answered(api: httpx.Client, path: str, method: str) -> None:
    for head in ("", "contacts(", "contacts/", "EntityDefinitions(", "EntityDefinitions(LogicalName='contact')/"):
        answered(api.request(method, head + quote(path, safe="()/='$,"), json={} if method != "GET" else None))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | WORDS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.deep
@FUZZ
@given(body=JSON_VALUES, url=st.sampled_from(["contacts", "EntityDefinitions", "RelationshipDefinitions", *BULK]))
def test_any_body_is_answered(api: httpx.Client, body: Any, url: str) -> None:
    answered(api.post(url, json=body))
