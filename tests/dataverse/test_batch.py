"""Batches: every part has its own end, all parts have one, or it is said that the end is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx
import pytest

from cio2d365.dataverse import batch, requests
from cio2d365.errors import Conflict, OutcomeUnknown, PrivilegeError, Refused, RequestRejected, Terminal, Transient
from cio2d365.transport import Request, Response
from tests.dataverse.scripted import ACCOUNT, CONTACT, Organisation, Script, guid, organisation

KIND = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
PART = b"--batchresponse_1\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 "
GONE = b'{"error":{"code":"0x80040217","message":"gone"}}'
DONE = (204, b"", "")
Part = tuple[int, bytes, str]


def whole(*parts: Part) -> bytes:
    pieces = (PART + f"{s} X\r\n{h}\r\n".encode() + body + b"\r\n" for s, body, h in parts)
    return b"".join(pieces) + b"--batchresponse_1--\r\n"


def answer(*parts: Part) -> httpx.Response:
    return httpx.Response(200, headers=KIND, content=whole(*parts))


def refusal(status: int, code: str = "", **headers: str) -> Part:
    body = f'{{"error":{{"code":"{code}","message":"m"}}}}'.encode()
    return status, body, "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())


def deletes(count: int) -> list[Request]:
    return [requests.delete_row(CONTACT, guid(n)) for n in range(count)]


def creates(count: int, first: int = 0) -> list[Request]:
    return [requests.post("contacts", {"contactid": guid(n), "lastname": "a"}) for n in range(first, first + count)]


def statuses(answers: Sequence[Response]) -> list[int]:
    return [a.status for a in answers]


def parts_sent(request: httpx.Request) -> int:
    return request.content.count(b" HTTP/1.1\r\n")


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_batch_is_repeatable_when_all_its_parts_are_and_holds_a_thousand() -> None:
    one = deletes(1)[0]
    assert batch.build([one]).repeatable
    assert not batch.build([one, *creates(1)]).repeatable
    with pytest.raises(ValueError, match="at most 1000"):
        batch.build([one] * 1001)


def test_a_boundary_occurs_in_no_part_even_when_a_value_holds_the_boundary_that_would_have_been() -> None:
    first = batch.build(creates(1))
    mark = first.headers["Content-Type"].partition('"')[2].rstrip('"')
    stolen = requests.post("contacts", {"lastname": f"\r\n--{mark}--\r\n"})
    second = batch.build([stolen])
    other = second.headers["Content-Type"].partition('"')[2].rstrip('"')
    assert other.encode() not in (stolen.body or b"")
    assert (second.body or b"").count(f"\r\n--{other}".encode()) == 1  # the end; the first line has no line before it
    assert batch._unused("batch_1", b"--batch_1 --batch_1_") == "batch_1__"


def test_nothing_to_send_is_not_sent() -> None:
    script = Script()
    assert (batch.send(script.client, []), batch.send_change_set(script.client, [])) == ([], [])
    assert list(batch.send_all(script.client, [])) == []


@pytest.mark.parametrize(
    "path", ["/api/contacts?$filter=a eq 'b'", "/api/é", "/x\r\nX: y", "contacts", "$batch", "https://elsewhere/x"]
)
def test_a_path_that_is_not_encoded_is_no_part(path: str) -> None:
    with pytest.raises(ValueError, match="not an encoded path"):
        batch.build([Request("GET", path)])


def test_a_header_cannot_become_two() -> None:
    with pytest.raises(ValueError, match="a header holds characters"):
        batch.build([requests.delete_row(CONTACT, guid(1), 'W/"1"\r\nX: y')])


def test_a_change_set_numbers_its_parts_and_holds_no_reads() -> None:
    body = batch.build_change_set(deletes(2)).body or b""
    assert (b"Content-ID: 1\r\n" in body, b"Content-ID: 2\r\n" in body) == (True, True)
    with pytest.raises(ValueError, match="writes only"):
        batch.build_change_set([*deletes(1), requests.get("contacts")])


# --- what comes back --------------------------------------------------------------------------------------------------


def test_each_part_of_a_batch_has_its_own_end() -> None:
    first, second = batch.parse(Response(200, KIND, whole(DONE, (404, GONE, ""))))
    assert (first.status, second.status) == (204, 404)
    assert second.json()["error"]["message"] == "gone"


def test_a_body_may_hold_what_looks_like_a_boundary() -> None:
    odd = b'{"a":"--batchresponse_1 x"}'
    assert batch.parse(Response(200, KIND, whole((200, odd, ""), DONE)))[0].body == odd


MIXED = whole(DONE, (404, GONE, ""))


DAMAGED = [
    Response(200, {"Content-Type": "text/html"}, b"<html>"),
    Response(200, KIND, MIXED.replace(b"HTTP/1.1 404", b"HTTP/1.1 lost")),
    *[Response(200, KIND, MIXED[:n]) for n in range(0, len(MIXED) - 2, 7)],
]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_batch_answer_that_cannot_be_read_is_an_error(damaged: Response) -> None:
    with pytest.raises(Terminal):
        batch.parse(damaged)


def test_a_damaged_answer_to_parts_that_may_be_repeated_is_asked_for_again() -> None:
    script = Script(httpx.Response(200, headers=KIND, content=MIXED[:80]), answer(DONE, DONE))
    assert statuses(batch.send(script.client, deletes(2))) == [204, 204]


def test_a_damaged_answer_that_never_gets_better_is_an_error() -> None:
    script = Script(*[httpx.Response(200, headers=KIND, content=MIXED[:80])] * 4)
    with pytest.raises(Terminal, match="cut after 80 bytes"):
        batch.send(script.client, deletes(2))


def test_fewer_answers_than_requests_are_an_error() -> None:
    script = Script(answer(DONE, DONE))
    with pytest.raises(Terminal, match="3 requests sent, 2 answers"):
        batch.send(script.client, deletes(3))


@pytest.mark.parametrize(
    "unclear", [httpx.Response(504), httpx.Response(200, headers=KIND, content=MIXED[:80])], ids=["504", "cut"]
)
def test_a_batch_whose_end_is_unclear_names_its_parts_and_is_not_sent_again(unclear: httpx.Response) -> None:
    script, parts = Script(unclear), [*deletes(1), *creates(2)]
    with pytest.raises(OutcomeUnknown) as caught:
        batch.send(script.client, parts)
    assert caught.value.parts == tuple(parts)
    assert len(script.seen) == 1


# --- parts that go again ----------------------------------------------------------------------------------------------


def test_throttled_parts_go_again_alone_after_the_longest_wait_that_they_asked_for() -> None:
    slow, slower = refusal(429, "0x80072322", Retry_After="7"), refusal(429, "0x80072322", Retry_After="11")
    script = Script(answer(DONE, slow, (404, GONE, ""), slower), answer(DONE, DONE))
    assert statuses(batch.send(script.client, creates(4))) == [204, 204, 404, 204]
    assert [parts_sent(r) for r in script.seen] == [4, 2]
    assert guid(1).encode() in script.seen[1].content
    assert guid(2).encode() not in script.seen[1].content
    assert sum(script.clock.slept) == 11


def test_a_part_that_failed_for_a_moment_goes_again_when_it_may() -> None:
    script = Script(answer(refusal(503), DONE), answer(DONE))
    assert statuses(batch.send(script.client, deletes(2))) == [204, 204]
    assert [parts_sent(r) for r in script.seen] == [2, 1]


def test_a_part_that_must_not_be_repeated_keeps_its_answer_and_is_unclear() -> None:
    script, parts = Script(answer(refusal(503), DONE)), creates(2)
    answers = batch.send(script.client, parts)
    assert statuses(answers) == [503, 204]
    assert [batch.is_unclear(r, a) for r, a in zip(parts, answers, strict=True)] == [True, False]
    assert len(script.seen) == 1


def test_a_part_that_the_server_rolled_back_goes_again_even_when_it_is_a_create() -> None:
    script = Script(answer(refusal(500, "0x80044339"), DONE), answer(DONE))
    assert statuses(batch.send(script.client, creates(2))) == [204, 204]


def test_a_part_refused_for_its_content_does_not_go_again() -> None:
    script = Script(answer(refusal(400, "0x80044331"), refusal(403, "0x80040220")))
    assert statuses(batch.send(script.client, deletes(2))) == [400, 403]


def test_parts_with_a_stale_token_go_again_at_once() -> None:
    script = Script(answer(DONE, refusal(401)), answer(DONE))
    assert statuses(batch.send(script.client, creates(2))) == [204, 204]
    assert sum(script.clock.slept) == 0


def test_a_part_that_stays_throttled_keeps_its_refusal() -> None:
    script = Script(*[answer(refusal(429, "0x80072322"))] * 5)
    assert statuses(batch.send(script.client, creates(1))) == [429]


def test_an_unclear_end_of_the_second_try_does_not_forget_what_the_first_said() -> None:
    script, parts = Script(answer(DONE, refusal(429, Retry_After="1")), httpx.Response(504)), creates(2)
    first, second = batch.send(script.client, parts)
    assert first.status == 204
    assert batch.is_unclear(parts[1], second)


# --- change sets ------------------------------------------------------------------------------------------------------


def test_a_refused_change_set_is_raised_with_the_words_of_the_server() -> None:
    script = Script(answer(refusal(412, "0x80060882")))
    with pytest.raises(Conflict, match="change set"):
        batch.send_change_set(script.client, deletes(3))


def test_a_change_set_that_was_throttled_goes_again_as_a_whole() -> None:
    script = Script(answer(refusal(429, Retry_After="9")), answer(DONE, DONE))
    assert statuses(batch.send_change_set(script.client, creates(2))) == [204, 204]
    assert sum(script.clock.slept) == 9


def test_a_change_set_that_stays_throttled_is_a_stop_that_can_be_resumed() -> None:
    script = Script(*[answer(refusal(429, "0x80072322"))] * 9)
    with pytest.raises(Transient, match="0x80072322"):
        batch.send_change_set(script.client, creates(2))
    assert len(script.seen) == 5


def test_a_change_set_whose_end_is_unclear_names_its_parts() -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        batch.send_change_set(Script(httpx.Response(504)).client, creates(2))
    assert caught.value.parts == tuple(creates(2))


# --- long addresses ---------------------------------------------------------------------------------------------------


def test_a_read_with_a_long_address_goes_through_a_batch_and_a_longer_one_is_refused_with_figures() -> None:
    rows = (200, b'{"value":[]}', "")
    script = Script(httpx.Response(200, json={"value": []}), answer(rows))
    long = Request("GET", "/api/data/v9.2/contacts?fetchXml=" + "x" * 40_000)
    assert batch.read(script.client, requests.get("contacts")).json() == batch.read(script.client, long).json()
    assert [r.url.path.rpartition("/")[2] for r in script.seen] == ["contacts", "$batch"]
    with pytest.raises(Refused, match=r"characters; Dataverse takes 32,768, and 65,536 inside"):
        batch.read(script.client, Request("GET", "/api/data/v9.2/contacts?fetchXml=" + "x" * 65_536))
    assert len(script.seen) == 2


def test_a_refusal_inside_is_that_of_the_read() -> None:
    long = Request("GET", "/api/data/v9.2/contacts?fetchXml=" + "x" * 40_000)
    with pytest.raises(PrivilegeError):
        batch.read(Script(answer(refusal(403, "0x80040220"))).client, long)


# --- against the simulated service ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target() -> Iterator[Organisation]:
    with organisation() as found:
        yield found


def test_bodies_with_line_ends_boundaries_and_any_letters_arrive_as_they_are(target: Organisation) -> None:
    values = ["a\r\nb", "\r\n--batch_1--\r\n", "HTTP/1.1 200 OK\r\n\r\n", "é 漢 🎈", '"\\']
    parts = [requests.create_row(CONTACT, guid(n), {"lastname": "a", "description": v}) for n, v in enumerate(values)]
    assert statuses(batch.send(target.client, parts)) == [204] * len(values)
    reads = [requests.row(CONTACT, guid(n), ["description"]) for n in range(len(values))]
    assert [a.json()["description"] for a in batch.send(target.client, reads)] == values


def test_more_than_a_thousand_parts_are_several_batches(target: Organisation) -> None:
    before = len([e for e in target.sent() if e["path"].endswith("$batch")])
    parts = [requests.row(CONTACT, guid(n), ["contactid"]) for n in range(90_000, 91_200)]
    found = list(batch.send_all(target.client, parts))
    assert [request for request, _ in found] == parts
    assert {a.status for _, a in found} == {404}
    assert len([e for e in target.sent() if e["path"].endswith("$batch")]) - before == 2


def test_a_later_part_of_a_change_set_may_point_to_the_row_of_an_earlier_one(target: Organisation) -> None:
    person = {"contactid": guid(201), "lastname": "p", "parentcustomerid_account@odata.bind": "$1"}
    parts = [requests.create_row(ACCOUNT, guid(200), {"name": "c"}), requests.post("contacts", person)]
    assert statuses(batch.send_change_set(target.client, parts)) == [204, 204]
    read = requests.row(CONTACT, guid(201), ["_parentcustomerid_value"])
    assert target.client.stored(read).values["_parentcustomerid_value"] == guid(200)


def test_a_change_set_happens_as_a_whole_or_not_at_all(target: Organisation) -> None:
    parts = [
        requests.create_row(CONTACT, guid(210), {"lastname": "a"}),
        requests.update_row(CONTACT, guid(219), {"lastname": "nobody"}),
    ]
    with pytest.raises(RequestRejected, match="0x80040217"):
        batch.send_change_set(target.client, parts)
    assert target.client.existing_ids(CONTACT, [guid(210)]) == set()


def test_of_an_unclear_batch_the_committed_parts_are_there_and_sent_once(target: Organisation) -> None:
    parts = creates(4, first=220)
    target.fault({"verb": "commit_then_status", "code": 504, "parts": 2}, message="Batch", times=1)
    with pytest.raises(OutcomeUnknown) as caught:
        batch.send(target.client, parts)
    there = target.client.existing_ids(CONTACT, [guid(n) for n in range(220, 224)])
    assert there == {guid(220), guid(221)}
    rest = [
        p
        for p in caught.value.parts
        if isinstance(p, Request) and not any(i.encode() in (p.body or b"") for i in there)
    ]
    assert statuses(batch.send(target.client, rest)) == [204, 204]
