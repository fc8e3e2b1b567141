"""The transport without a network: answers are given by a function, time by a clock that only sleeping moves."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from cio2d365.errors import AuthorityError, OutcomeUnknown, Refused, SettingsError, Terminal, Transient
from cio2d365.transport import Pace, Patience, Request, Transport, json_body, retry_after

ORIGIN = "https://org.example"
READ = Request("GET", "/rows?$filter=email%20eq%20'ann@example.com'")
BLIND = Request("POST", "/rows", b"{}", repeatable=False)
SAFE = Request("POST", "/rows", b"{}", repeatable=True)
Answers = Callable[[httpx.Request], httpx.Response]


@dataclass
class Time:
    """Seconds that pass only when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self, per_second: float | None = None) -> Pace:
        return Pace(per_second, clock=lambda: self.now, sleep=self.sleep)


@dataclass
class Server:
    """Plays answers in turn and remembers when each request came; an exception is raised instead of answered."""

    time: Time
    script: Iterator[httpx.Response | Exception]
    seen: list[httpx.Request] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        self.arrived.append(self.time.now)
        answer = next(self.script)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> Time:
    return Time()


def transport(
    answers: Answers,
    clock: Time,
    authorize: Callable[[str], str] = lambda _: "Bearer token",
    patience: Patience | None = None,
    jitter: float = 1.0,
) -> Transport:
    return Transport(
        ORIGIN,
        authorize,
        pace=clock.pace(),
        patience=patience,
        client=httpx.MockTransport(answers),
        jitter=lambda: jitter,
    )


def server(clock: Time, *script: httpx.Response | Exception) -> Server:
    return Server(clock, iter(script))


def ok(body: bytes = b"{}") -> httpx.Response:
    return httpx.Response(200, content=body)


# --- waits ------------------------------------------------------------------------------------------------------------


def test_retry_after_in_seconds_is_waited_for(clock: Time) -> None:
    found = server(clock, httpx.Response(429, headers={"Retry-After": "37"}), ok())
    assert transport(found, clock).send(READ).status == 200
    assert found.arrived == [1000.0, 1037.0]


def test_retry_after_as_a_date_is_measured_against_the_clock_of_the_server(clock: Time) -> None:
    there = datetime.now(UTC) + timedelta(minutes=10)
    headers = {"Date": format_datetime(there), "Retry-After": format_datetime(there + timedelta(seconds=90))}
    found = server(clock, httpx.Response(429, headers=headers), ok())
    transport(found, clock).send(READ)
    assert found.arrived[1] - found.arrived[0] == pytest.approx(90, abs=1)


def test_a_named_wait_holds_all_workers_of_the_identity(clock: Time) -> None:
    until = 0.0
    lock = threading.Lock()
    early: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal until
        with lock:
            if request.url.path == "/throttle" and not until:
                until = clock.now + 37
                return httpx.Response(429, headers={"Retry-After": "37"})
            if until and clock.now < until:
                early.append(clock.now)
            return ok()

    link = transport(answer, clock)
    link.send(Request("GET", "/throttle"))
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda n: link.send(Request("GET", f"/{n}")), range(40)))
    assert early == []
    assert clock.now >= until > 0


def test_a_pause_announced_while_others_sleep_makes_them_sleep_on(clock: Time) -> None:
    pace = clock.pace()
    pace.pause(10)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            pace.pause(30)
        clock.now += seconds

    pace._sleep = sleep
    with pace.turn():
        pass
    assert slept == [10, 20]


def test_named_waits_do_not_count_as_failures(clock: Time) -> None:
    script = [httpx.Response(429, headers={"Retry-After": "5"})] * 20
    found = server(clock, *script, ok())
    assert transport(found, clock, patience=Patience(attempts=2)).send(READ).status == 200


def test_named_waits_end_with_the_total_and_say_so(clock: Time) -> None:
    found = server(clock, *[httpx.Response(503, headers={"Retry-After": "60"})] * 50)
    with pytest.raises(Transient, match="gave up after 120 s: status 503"):
        transport(found, clock, patience=Patience(total=150)).send(READ)
    assert len(found.seen) == 3


def test_a_named_wait_of_nothing_is_not_an_endless_loop(clock: Time) -> None:
    found = server(clock, *[httpx.Response(429, headers={"Retry-After": "0"})] * 50)
    with pytest.raises(Transient):
        transport(found, clock, patience=Patience(attempts=4)).send(READ)
    assert len(found.seen) == 4


def test_waits_without_a_name_grow_and_are_jittered(clock: Time) -> None:
    def gaps(jitter: float) -> list[float]:
        found = server(time := Time(), *[httpx.Response(503)] * 4, ok())
        transport(found, time, jitter=jitter).send(READ)
        return [b - a for a, b in zip(found.arrived, found.arrived[1:], strict=False)]

    assert gaps(1.0) == [0.5, 1.0, 2.0, 4.0]
    assert gaps(0.0) == [0.25, 0.5, 1.0, 2.0]


def test_patience_ends_after_so_many_failures(clock: Time) -> None:
    found = server(clock, *[httpx.Response(503)] * 20)
    with pytest.raises(Transient, match=r"GET /rows at https://org\.example gave up"):
        transport(found, clock, patience=Patience(attempts=3)).send(READ)
    assert len(found.seen) == 3


def test_a_steady_rate_is_kept(clock: Time) -> None:
    pace = clock.pace(per_second=4)
    times = []
    for _ in range(5):
        with pace.turn():
            times.append(clock.now)
    assert times == [1000.0, 1000.25, 1000.5, 1000.75, 1001.0]


@pytest.mark.parametrize(
    ("header", "seconds"), [("37", 37.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("", None), ("nan", 0.0)]
)
def test_retry_after_forms(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}) == seconds


# --- credentials ------------------------------------------------------------------------------------------------------


def test_one_fresh_token_serves_all_workers_whose_token_expired(clock: Time) -> None:
    valid, made, lock = "Bearer new", ["Bearer old"], threading.Lock()
    together = threading.Barrier(8)

    def authorize(refused: str) -> str:
        with lock:
            if refused == made[-1]:
                made.append(valid if len(made) == 1 else f"Bearer too-many-{len(made)}")
            return made[-1]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] == "Bearer old":
            together.wait(10)
            return httpx.Response(401)
        return ok() if request.headers["Authorization"] == valid else httpx.Response(401)

    link = transport(answer, clock, authorize)
    with ThreadPoolExecutor(8) as workers:
        assert [r.status for r in workers.map(lambda _: link.send(READ), range(8))] == [200] * 8
    assert made == ["Bearer old", valid]


def test_a_second_401_is_an_authority_error(clock: Time) -> None:
    found = server(clock, *[httpx.Response(401)] * 5)
    with pytest.raises(AuthorityError, match="also with a fresh token"):
        transport(found, clock, lambda refused: "Bearer b" if refused else "Bearer a").send(BLIND)
    assert [r.headers["Authorization"] for r in found.seen] == ["Bearer a", "Bearer b"]


def test_a_repeat_after_a_fresh_token_does_not_fetch_another(clock: Time) -> None:
    asked: list[str] = []

    def authorize(refused: str) -> str:
        asked.append(refused)
        return "Bearer b" if refused == "Bearer a" else "Bearer a"

    found = server(clock, httpx.Response(401), httpx.Response(503), httpx.Response(503), ok())
    assert transport(found, clock, authorize).send(READ).status == 200
    assert set(asked[1:]) == {"Bearer a"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_token_stays_home(clock: Time, status: int) -> None:
    found = server(clock, httpx.Response(status, headers={"Location": "https://elsewhere.example/"}))
    with pytest.raises(Terminal, match="redirect"):
        transport(found, clock).send(READ)
    assert [r.url.host for r in found.seen] == ["org.example"]


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/rows?page=2",
        "http://org.example/rows?page=2",
        "https://org.example:8443/rows",
        "https://org.example@elsewhere.example/rows",
        "//elsewhere.example/rows",
        "@elsewhere.example/rows",
        ".elsewhere.example/rows",
        ":pw@elsewhere.example/rows",
    ],
)
def test_a_link_to_another_origin_is_refused(clock: Time, link: str) -> None:
    with pytest.raises(Refused):
        transport(server(clock), clock).relative(link)


@pytest.mark.parametrize("link", ["https://org.example/a?b=1", "HTTPS://ORG.example:443/a?b=1", "/a?b=1"])
def test_a_link_home_is_followed_however_it_is_spelled(clock: Time, link: str) -> None:
    assert transport(server(clock), clock).relative(link) == "/a?b=1"


def test_a_path_that_would_change_the_host_never_leaves(clock: Time) -> None:
    found = server(clock, ok())
    with pytest.raises(Refused):
        transport(found, clock).send(Request("GET", "@elsewhere.example/"))
    assert found.seen == []


SECRET = "s3cr3t-canary"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, content=f"bad token {SECRET}".encode()),
        httpx.Response(503, content=f"Authorization: Bearer {SECRET}".encode()),
        httpx.Response(307, content=SECRET.encode()),
        httpx.ConnectError("unreachable"),
        httpx.ReadTimeout("slow"),
    ],
)
@pytest.mark.parametrize("request_", [READ, BLIND])
def test_the_token_is_in_no_exception(clock: Time, answer: httpx.Response | Exception, request_: Request) -> None:
    link = transport(server(clock, *[answer] * 9), clock, lambda _: f"Bearer {SECRET}", Patience(attempts=2))
    with pytest.raises((Terminal, Transient)) as caught:
        link.send(request_)
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("token", ["line\nbreak", "zürich", "tab\there"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(clock: Time, token: str) -> None:
    with pytest.raises(SettingsError) as caught:
        transport(server(clock, ok()), clock, lambda _: f"Bearer {token}").send(READ)
    assert token not in str(caught.value)


def test_a_query_with_personal_data_is_in_no_exception(clock: Time) -> None:
    with pytest.raises(Transient) as caught:
        transport(server(clock, *[httpx.Response(503)] * 9), clock).send(READ)
    assert "ann@example.com" not in str(caught.value)


# --- unclear and damaged answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [httpx.ReadError("reset"), httpx.RemoteProtocolError("closed"), httpx.ReadTimeout("slow"),
               httpx.Response(504), httpx.Response(408), httpx.Response(502, content=b"<html>Bad Gateway</html>")]
)  # fmt: skip
def test_an_unclear_end_is_repeated_only_when_that_is_safe(clock: Time, answer: httpx.Response | Exception) -> None:
    repeated = server(clock, answer, ok())
    assert transport(repeated, clock).send(SAFE).status == 200
    blind = server(clock, answer, ok())
    with pytest.raises(OutcomeUnknown):
        transport(blind, clock).send(BLIND)
    assert (len(repeated.seen), len(blind.seen)) == (2, 1)


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.Response(429)])
def test_a_write_that_certainly_did_not_happen_is_sent_again(clock: Time, answer: httpx.Response | Exception) -> None:
    found = server(clock, answer, ok())
    assert transport(found, clock).send(BLIND).status == 200
    assert len(found.seen) == 2


def test_an_html_page_of_a_gateway_is_shown_not_parsed(clock: Time) -> None:
    page = httpx.Response(502, content=b"<html>\x00\x1b[31mBad Gateway</html>" + b"x" * 999)
    with pytest.raises(Transient) as caught:
        transport(server(clock, *[page] * 9), clock, patience=Patience(attempts=2)).send(READ)
    text = str(caught.value)
    assert "status 502" in text
    assert "Bad Gateway" in text
    assert text.isprintable()
    assert len(text) < 400


def test_a_damaged_gzip_is_asked_for_again(clock: Time) -> None:
    damaged = bytearray(gzip.compress(b'{"value": []}' * 50))
    damaged[20] ^= 0xFF
    broken = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(bytes(damaged)))
    found = server(clock, broken, ok(b'{"value": [1]}'))
    assert transport(found, clock).send(READ).json() == {"value": [1]}


def test_json_is_read_whatever_its_content_type_says(clock: Time) -> None:
    answer = httpx.Response(200, headers={"Content-Type": "text/plain"}, content=b'{"a": 1}')
    assert transport(server(clock, answer), clock).send(READ).json() == {"a": 1}


def test_a_host_that_never_answered_is_named_within_half_a_minute(clock: Time) -> None:
    found = server(clock, *[httpx.ConnectError("Name or service not known")] * 9)
    with pytest.raises(SettingsError, match=r"https://org\.example cannot be reached"):
        transport(found, clock).send(READ)
    assert clock.now - 1000.0 < 30


def test_a_host_that_answered_before_is_waited_for_longer(clock: Time) -> None:
    found = server(clock, ok(), *[httpx.ConnectError("Name or service not known")] * 7, ok())
    link = transport(found, clock)
    link.send(READ)
    assert link.send(READ).status == 200


def test_an_answer_that_the_caller_wants_to_judge_comes_back_at_once(clock: Time) -> None:
    found = server(clock, httpx.Response(429, content=b"locked"))
    assert transport(found, clock).send(READ, settled=lambda r: r.body == b"locked").status == 429
    assert clock.slept == []


def test_traffic_is_counted_truly_by_many_workers(clock: Time) -> None:
    answers = iter([httpx.Response(429, headers={"Retry-After": "1"})] * 50 + [ok() for _ in range(200)])
    lock = threading.Lock()

    def answer(_: httpx.Request) -> httpx.Response:
        with lock:
            return next(answers)

    link = transport(answer, clock)
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda _: link.send(READ), range(200)))
    assert (link.traffic.requests, link.traffic.throttled, link.traffic.repeated) == (250, 50, 50)


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know_are_never_sent(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_body({"Targets": [{"a": None, "b": value}]})


def test_large_whole_numbers_are_sent_digit_by_digit() -> None:
    assert json_body({"a": 12345678901234567890123, "b": 9007199254740993, "c": None}) == (
        b'{"a": 12345678901234567890123, "b": 9007199254740993, "c": null}'
    )
