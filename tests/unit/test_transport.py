"""One GET to Anthropic, over real HTTP: what is sent, what is tried again, and what every failure says."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.sandbox.anthropic_server import ADMIN_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import UsageHistory
from bot.sandbox.clock import HandClock
from bot.usage.anthropic.client import (
    ATTEMPTS,
    LONGEST_RETRY_AFTER,
    TIMEOUT,
    BadRequestError,
    ExpiredCursorError,
    NotServedError,
    Transport,
)
from bot.usage.model import MalformedError, RefusedError, SourceError, UnavailableError
from tests.anthropic_reports import (
    NOW,
    WORKSPACES,
    Answering,
    Wire,
    drops,
    fails,
    never_answers,
    says,
)

DATE = "Fri, 20 Nov 2026 12:30:00 GMT"
YEAR_TOO_FAR = "Fri, 20 Nov 99999999999999999999 12:30:00 GMT"
TEN_SECONDS_LATER = "Fri, 20 Nov 2026 12:30:10 GMT"


class Line:
    """A transport, the local Anthropic at its end, and the waits between its attempts in seconds."""

    def __init__(self, http: httpx.AsyncClient, wire: Wire) -> None:
        self.http = http
        self.wire = wire
        self.slept: list[float] = []
        self.timeout = TIMEOUT

    def transport(self, key: str | None = ADMIN_KEY, most_waiting: timedelta | None = None) -> Transport:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

        secret = SecretStr(key) if key else None
        return Transport(self.http, secret, most_waiting=most_waiting, sleep=sleep, timeout=self.timeout)

    async def get(self, *answers: Answering) -> dict[str, Any]:
        self.wire.script(WORKSPACES, *answers)
        return await self.transport().get(WORKSPACES, [("limit", "20")])

    async def failure(self, *answers: Answering) -> SourceError:
        with pytest.raises(SourceError) as caught:
            await self.get(*answers)
        return caught.value


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    server = AnthropicSandbox(HandClock(NOW), UsageHistory(), workspaces={"wrkspc_1": "Search"})
    wire = Wire()
    wire.through(server.app)
    async with server, httpx.AsyncClient(base_url=server.origin) as http:
        yield Line(http, wire)


def texts_of(error: BaseException | None) -> str:
    """All text of an error and its causes."""
    if error is None:
        return ""
    return f"{error} {error!r} {error.args} {texts_of(error.__cause__)} {texts_of(error.__context__)}"


async def test_a_request_says_who_asks_with_which_version_and_with_the_key_in_one_header_only(line: Line) -> None:
    await line.transport().get(WORKSPACES, [("limit", "20")], ["one-2026-01-01", "two-2026-01-01"])
    (call,) = line.wire.calls
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert call.headers["anthropic-beta"] == "one-2026-01-01,two-2026-01-01"
    assert call.headers["User-Agent"].startswith("claude-cost-bot/")
    holders = [name for name, value in call.headers.items() if ADMIN_KEY in value]
    assert holders == ["x-api-key"]
    assert ADMIN_KEY not in call.path + call.query


async def test_a_beta_that_is_not_asked_for_is_not_mentioned(line: Line) -> None:
    await line.get()
    assert "anthropic-beta" not in line.wire.calls[0].headers


async def test_lists_go_over_the_wire_as_repeated_bracketed_names(line: Line) -> None:
    query = [("starting_at", "2026-11-20T10:00:00Z"), ("group_by[]", "model"), ("group_by[]", "speed"), ("ids[]", "")]
    line.wire.script(WORKSPACES, says({}))
    await line.transport().get(WORKSPACES, query)
    assert line.wire.calls[0].query == (
        "starting_at=2026-11-20T10%3A00%3A00Z&group_by%5B%5D=model&group_by%5B%5D=speed&ids%5B%5D="
    )


async def test_an_address_with_a_path_of_its_own_is_kept(line: Line) -> None:
    line.http.base_url = httpx.URL(f"{line.http.base_url}/proxy")
    with pytest.raises(NotServedError):
        await line.get()
    assert line.wire.calls[0].path == f"/proxy{WORKSPACES}"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_what_passes_by_itself_is_asked_again_until_it_works(line: Line, status: int) -> None:
    body = await line.get(*[fails(status)] * (ATTEMPTS - 1))
    assert body["data"][0]["id"] == "wrkspc_1"
    assert len(line.wire.calls) == ATTEMPTS


@pytest.mark.parametrize("status", [429, 500, 529])
async def test_what_does_not_pass_is_given_up_after_four_attempts(line: Line, status: int) -> None:
    error = await line.failure(*[fails(status)] * (ATTEMPTS + 1))
    assert isinstance(error, UnavailableError)
    assert f"HTTP {status}" in str(error)
    assert WORKSPACES in str(error)
    assert len(line.wire.calls) == ATTEMPTS


async def test_a_dropped_connection_is_asked_again(line: Line) -> None:
    assert "data" in await line.get(drops, drops)
    assert len(line.wire.calls) == 3


async def test_a_server_that_is_not_there_is_named_as_such(line: Line) -> None:
    line.http.base_url = httpx.URL("http://127.0.0.1:9")
    error = await line.failure()
    assert isinstance(error, UnavailableError)
    assert str(error) == "Anthropic cannot be reached (ConnectError)."
    assert len(line.slept) == ATTEMPTS - 1


async def test_a_server_that_does_not_answer_in_time_is_asked_again(line: Line) -> None:
    line.timeout = httpx.Timeout(5, read=0.05)
    error = await line.failure(*[never_answers] * ATTEMPTS)
    assert isinstance(error, UnavailableError)
    assert str(error) == "Anthropic cannot be reached (ReadTimeout)."
    assert len(line.wire.calls) == ATTEMPTS


async def test_the_waits_between_attempts_grow_and_differ(line: Line) -> None:
    for _ in range(50):
        await line.failure(*[fails(529)] * ATTEMPTS)
    firsts, seconds, thirds = (line.slept[index::3] for index in range(3))
    for waits, longest in ((firsts, 0.5), (seconds, 1), (thirds, 2)):
        assert all(0 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 40
    assert sum(firsts) < sum(seconds) < sum(thirds)


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": TEN_SECONDS_LATER, "Date": DATE}, 10),
        ({"Retry-After": DATE, "Date": TEN_SECONDS_LATER}, 0),
        ({"Retry-After": "Sat, 21 Nov 2026 12:30:00 GMT", "Date": DATE}, 60),
        ({"Retry-After": "86400"}, 60),
        ({"Retry-After": "9" * 400}, 60),
    ],
)
async def test_anthropic_says_how_long_to_wait_and_is_obeyed_up_to_a_minute(
    line: Line, status: int, headers: dict[str, str], wait: float
) -> None:
    await line.get(fails(status, headers))
    assert line.slept == [wait]


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "1e3", "²", "٣", "0x10", "Fri, 99 Nov 2026 12:30:10 GMT", YEAR_TOO_FAR]
)
async def test_a_wait_that_cannot_be_read_falls_back_on_our_own(line: Line, text: str) -> None:
    answer = httpx.Response(429, headers=[(b"retry-after", text.encode()), (b"date", DATE.encode())])
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as http:
        line.http = http
        with pytest.raises(UnavailableError):
            await line.transport().get("http://anthropic/", [])
    assert len(line.slept) == ATTEMPTS - 1
    assert all(0 <= wait <= 2 for wait in line.slept)


@given(st.binary(max_size=40), st.binary(max_size=40) | st.just(DATE.encode()))
def test_no_header_makes_a_wait_that_is_negative_or_too_long(retry_after: bytes, date: bytes) -> None:
    async def ask() -> list[float]:
        answer = httpx.Response(429, headers=[(b"retry-after", retry_after), (b"date", date)])
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as http:
            line = Line(http, Wire())
            with pytest.raises(UnavailableError):
                await line.transport().get("http://anthropic/", [])
            return line.slept

    waits = asyncio.run(ask())
    assert len(waits) == ATTEMPTS - 1
    assert all(0 <= wait <= LONGEST_RETRY_AFTER.total_seconds() for wait in waits)


async def test_a_short_run_waits_no_longer_than_it_may_in_all(line: Line) -> None:
    transport = line.transport(most_waiting=timedelta(seconds=10))
    line.wire.script(WORKSPACES, fails(429, {"Retry-After": "4"}), times=2)
    await transport.get(WORKSPACES, [])
    assert line.slept == [4, 4]
    line.wire.script(WORKSPACES, fails(429, {"Retry-After": "4"}))
    with pytest.raises(UnavailableError, match="asks to wait"):
        await transport.get(WORKSPACES, [])
    assert line.slept == [4, 4]
    await transport.get(WORKSPACES, [])


async def test_a_short_run_does_not_begin_a_wait_that_is_too_long(line: Line) -> None:
    transport = line.transport(most_waiting=timedelta(seconds=10))
    line.wire.script(WORKSPACES, fails(429, {"Retry-After": "11"}))
    with pytest.raises(UnavailableError, match="asks to wait"):
        await transport.get(WORKSPACES, [])
    assert line.slept == []
    assert len(line.wire.calls) == 1


@pytest.mark.parametrize(
    ("status", "kind", "remedy"),
    [
        (401, RefusedError, "use an Admin key"),
        (403, RefusedError, "use an Admin key"),
        (404, NotServedError, "correct that address"),
        (400, BadRequestError, "update this bot"),
        (413, BadRequestError, "update this bot"),
        (410, ExpiredCursorError, "starts again"),
    ],
)
async def test_what_asking_again_does_not_help_is_named_with_its_remedy_and_not_asked_again(
    line: Line, status: int, kind: type[SourceError], remedy: str
) -> None:
    error = await line.failure(fails(status))
    assert type(error) is kind
    assert remedy in str(error)
    assert f"HTTP {status}" in str(error) or status == 410
    assert WORKSPACES in str(error)
    assert (len(line.wire.calls), line.slept) == (1, [])


async def test_a_wrong_key_is_refused_by_name(line: Line) -> None:
    with pytest.raises(RefusedError, match="ANTHROPIC_ADMIN_KEY"):
        await line.transport("sk-ant-wrong").get(WORKSPACES, [])
    with pytest.raises(RefusedError, match="ANTHROPIC_ADMIN_KEY"):
        await line.transport(None).get(WORKSPACES, [])


async def test_a_redirect_is_not_followed_with_the_key_in_hand(line: Line) -> None:
    error = await line.failure(says("", 301, {"Location": f"{line.http.base_url}/elsewhere"}))
    assert isinstance(error, NotServedError)
    assert "correct that address" in str(error)
    assert len(line.wire.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        fails(402, message="Your credit balance is too low."),
        fails(400, message="You have reached your specified API usage limits. You will regain access on 2026-12-01."),
        fails(400, message="You have reached your specified workspace API usage limits."),
        fails(429, message="Limit", details={"error_code": "enforced_spend_limit_reached"}),
        fails(429, message="Limit", details={"error_code": "contract_spend_limit_reached"}),
    ],
)
async def test_a_spend_limit_at_anthropic_is_distinguished_from_haste_and_from_faults(
    line: Line, answer: Answering
) -> None:
    error = await line.failure(answer)
    assert isinstance(error, UnavailableError)
    assert "spend limit" in str(error)
    assert "in the Console" in str(error)
    assert (len(line.wire.calls), line.slept) == (1, [])


@pytest.mark.parametrize("body", ["", "nonsense", "[1]", {"error": "text"}, {"error": {"details": "text"}}, {}])
@pytest.mark.parametrize(("status", "kind"), [(400, BadRequestError), (429, UnavailableError)])
async def test_an_error_without_the_documented_body_is_judged_by_its_status(
    line: Line, body: Any, status: int, kind: type[SourceError]
) -> None:
    assert type(await line.failure(*[says(body, status)] * ATTEMPTS)).__mro__.count(kind) == 1


@pytest.mark.parametrize(
    "answer",
    [
        says(""),
        says("{"),
        says("<html>Welcome to the hotel's network</html>"),
        says(b"\xff\xfe\x00\xd8"),
        says("[" * 100_000),
        says("1" * 10_000),
        says([]),
        says("null"),
        says("{}", headers={"Content-Encoding": "gzip"}),
    ],
)
async def test_a_body_that_is_no_json_object_is_an_error_and_not_asked_again(line: Line, answer: Answering) -> None:
    error = await line.failure(answer)
    assert isinstance(error, MalformedError)
    assert "nothing was counted" in str(error)
    assert (len(line.wire.calls), line.slept) == (1, [])


@pytest.mark.parametrize("key", ["sk-ant-“quoted”", "sk-ant-\u200bpasted", "sk-ant-two\nlines", "sk-ant-\x00"])
async def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(line: Line, key: str) -> None:
    with pytest.raises(RefusedError, match="ANTHROPIC_ADMIN_KEY") as caught:
        await line.transport(key).get(WORKSPACES, [])
    assert key not in texts_of(caught.value)
    assert line.wire.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        fails(401, message=f"invalid x-api-key {ADMIN_KEY}"),
        fails(400, message=f"You have reached your specified limit, {ADMIN_KEY}"),
        fails(404),
        fails(429),
        fails(500, message=ADMIN_KEY),
        says(f"<p>{ADMIN_KEY}</p>"),
        drops,
    ],
)
async def test_the_key_is_in_no_error_and_in_no_log(
    line: Line, answer: Answering, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        error = await line.failure(*[answer] * ATTEMPTS)
    logged = "".join(record.getMessage() + str(record.args) for record in caplog.records if record.name != "asyncio")
    assert ADMIN_KEY not in texts_of(error)
    assert ADMIN_KEY not in logged
