from __future__ import annotations

import json
import re
import uuid
from typing import Any

import httpx

from .build import code, contact, message, table

GO_ON = {"Prefer": "odata.continue-on-error"}


def part(method: str, url: str, body: Any = None, content_id: str = "") -> str:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id else []
    lines += ["", f"{method} {url} HTTP/1.1"]
    if body is None:
        return "\r\n".join([*lines, "Accept: application/json", "", ""])
    return "\r\n".join([*lines, "Content-Type: application/json; type=entry", "", json.dumps(body), ""])


def changeset(*parts: str) -> str:
    inner = "".join(f"--cs\r\n{text}" for text in parts)
    return f'Content-Type: multipart/mixed; boundary="cs"\r\n\r\n{inner}--cs--\r\n'


def send(api: httpx.Client, *parts: str, **headers: str) -> httpx.Response:
    body = "".join(f"--b\r\n{text}" for text in parts) + "--b--\r\n"
    kind = {"Content-Type": 'multipart/mixed; boundary="b"'}
    return api.post("$batch", content=body.encode(), headers={**kind, **headers})


def inner_statuses(response: httpx.Response) -> list[int]:
    return [int(found) for found in re.findall(r"HTTP/1\.1 (\d+)", response.text)]


def names(api: httpx.Client) -> list[str]:
    return sorted(row["lastname"] for row in api.get("contacts?$select=lastname").json()["value"])


GOOD, BAD = {"lastname": "good"}, {"lastname": "x" * 51}


def test_parts_are_answered_in_order(api: httpx.Client) -> None:
    row = str(uuid.uuid4())
    response = send(
        api,
        part("POST", "/api/data/v9.2/contacts", {"contactid": row, **GOOD}),
        part("GET", f"/api/data/v9.2/contacts({row})?$select=lastname"),
    )
    assert response.status_code == 200
    assert inner_statuses(response) == [204, 200]
    assert '"lastname":"good"' in response.text
    assert response.headers["Content-Type"].startswith("multipart/mixed; boundary=batchresponse_")


def test_without_continue_on_error_the_first_failure_ends_the_batch(api: httpx.Client) -> None:
    parts = [part("POST", "contacts", body) for body in (GOOD, BAD, GOOD)]
    response = send(api, *parts)
    assert (response.status_code, inner_statuses(response)) == (400, [204, 400])
    assert names(api) == ["good"]


def test_with_continue_on_error_errors_are_inside(api: httpx.Client) -> None:
    parts = [part("POST", "contacts", body) for body in (GOOD, BAD, GOOD)]
    response = send(api, *parts, **GO_ON)
    assert (response.status_code, inner_statuses(response)) == (200, [204, 400, 204])
    assert "0x80044331" in response.text
    assert names(api) == ["good", "good"]


def test_a_change_set_is_all_or_nothing(api: httpx.Client) -> None:
    failing = changeset(part("POST", "contacts", GOOD, "1"), part("POST", "contacts", BAD, "2"))
    fine = changeset(part("POST", "contacts", GOOD, "1"), part("POST", "contacts", GOOD, "2"))
    response = send(api, failing, fine, **GO_ON)
    assert inner_statuses(response) == [400, 204, 204]
    assert names(api) == ["good", "good"]


def test_a_later_part_refers_to_an_earlier_one(api: httpx.Client) -> None:
    response = send(
        api,
        changeset(
            part("POST", "accounts", {"name": "Acme"}, "1"),
            part("POST", "contacts", {**GOOD, "parentcustomerid_account@odata.bind": "$1"}, "2"),
            part("PATCH", "$2", {"firstname": "patched"}, "3"),
        ),
    )
    assert inner_statuses(response) == [204, 204, 204]
    (row,) = api.get("contacts?$expand=parentcustomerid_account($select=name)").json()["value"]
    assert (row["firstname"], row["parentcustomerid_account"]["name"]) == ("patched", "Acme")


def test_definitions_of_a_change_set_that_failed_are_gone(api: httpx.Client) -> None:
    table(api)
    url = "EntityDefinitions(LogicalName='cio_event')/Attributes"
    made = {"@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata", "SchemaName": "cio_late"}
    send(api, changeset(part("POST", url, made, "1"), part("POST", "contacts", BAD, "2")))
    assert api.post("cio_events", json={"cio_late": "x"}).status_code == 400
    send(api, changeset(part("POST", url, made, "1")))
    assert api.post("cio_events", json={"cio_late": "x"}).status_code == 204


def test_urls_may_be_absolute_encoded_or_with_raw_spaces(api: httpx.Client) -> None:
    contact(api, lastname="raw space")
    query = "contacts?$select=lastname&$filter=lastname eq 'raw space'"
    response = send(
        api,
        part("GET", f"{api.base_url}{query}"),
        part("GET", query.replace(" ", "%20")),
        part("GET", query.replace(" ", "+")),
    )
    assert inner_statuses(response) == [200, 200, 200]
    assert response.text.count('"lastname":"raw space"') == 3


def test_more_than_1000_requests_are_refused(api: httpx.Client) -> None:
    parts = [part("GET", "WhoAmI")] * 1001
    response = send(api, *parts)
    assert (response.status_code, code(response)) == (400, "0x80040315")
    assert send(api, *parts[1:]).status_code == 200


def test_lines_must_end_with_crlf(api: httpx.Client) -> None:
    body = ("--b\r\n" + part("GET", "WhoAmI") + "--b--\r\n").replace("\r\n", "\n")
    response = api.post("$batch", content=body, headers={"Content-Type": "multipart/mixed; boundary=b"})
    assert response.status_code == 400
    assert "CRLF" in message(response)


def test_a_batch_in_a_batch_and_a_read_in_a_change_set_are_refused(api: httpx.Client) -> None:
    assert send(api, part("POST", "$batch", {})).status_code == 400
    assert send(api, changeset(part("GET", "WhoAmI", content_id="1"))).status_code == 400


def test_long_queries_travel_in_a_batch(api: httpx.Client) -> None:
    contact(api, lastname="one")
    wanted = ",".join(f"'{'n' * 90}{number}'" for number in range(400))
    condition = f"Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=[{wanted},'one'])"
    query = f"contacts?$select=lastname&$filter={condition}"
    assert len(query) > 32_768
    assert api.get(query).status_code in (400, 414)
    assert '"lastname":"one"' in send(api, part("GET", query)).text


def test_annotations_are_written_by_batch(api: httpx.Client) -> None:
    table(api, HasNotes=True)
    row = contact(api)
    note = {"subject": "s", "notetext": "t", "objectid_contact@odata.bind": f"/contacts({row})"}
    assert inner_statuses(send(api, part("POST", "annotations", note), part("POST", "annotations", note))) == [204, 204]
