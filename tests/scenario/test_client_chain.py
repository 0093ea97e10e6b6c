"""The fallback chain around the real `anthropic` client, against a local Messages API that refuses and breaks."""

import ast
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from aiohttp import web
from anthropic import Anthropic

from bot.__main__ import main
from bot.clock import system_clock
from bot.fallback.targets.env_file import EnvFile
from bot.mode import modes_from_chain
from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, TokenCounts
from claude_cost_client import current_model, with_fallback
from tests.client.applications import HAIKU, OPUS, SONNET, environ, following_here
from tests.client.ingest_server import TOKEN, IngestServer
from tests.client.messages_api import (
    HELLO,
    MANNERS,
    PLAIN,
    STREAMING,
    WHOLE,
    MessagesApi,
    Team,
    dropped,
    empty_stream,
    error,
    events,
    half_an_answer,
    served_messages,
    silent,
    usage,
)
from tests.scenario.conftest import ADMIN, World
from tests.scenario.http_port import served

CHAIN = OPUS, SONNET, HAIKU
PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"

OVERLOADED = error(529, "overloaded_error")
LIMITED = error(429, "rate_limit_error", headers={"retry-after": "0"})
LIMITED_FOR_LONG = error(429, "rate_limit_error", headers={"retry-after": "3600"})

UNAVAILABLE = {
    "overloaded": OVERLOADED,
    "internal error": error(500, "api_error"),
    "bad gateway": error(502, "api_error"),
    "unavailable": error(503, "api_error"),
    "gateway timeout": error(504, "timeout_error"),
    "dropped connection": dropped,
}

SPENT = {
    "tier cap": error(429, "rate_limit_error", "You have reached your monthly limit", "enforced_spend_limit_reached"),
    "contract cap": error(
        429, "rate_limit_error", "Contract", "contract_spend_limit_reached", headers={"retry-after": "1"}
    ),
    "without retry-after": error(429, "rate_limit_error"),
    "own limit": error(400, "invalid_request_error", "You have reached your specified API usage limits."),
    "workspace limit": error(400, "invalid_request_error", "You have reached your workspace API usage limits."),
    "no credit": error(402, "billing_error", "Limit", "linked_organization_spend_limit_reached"),
}

BROKEN_EARLY = {
    "error before anything": "message_start:overloaded_error",
    "error before the first token": "content_block_delta:overloaded_error",
    "drop before the first token": "content_block_delta:drop",
}


@pytest.fixture
async def api() -> AsyncIterator[MessagesApi]:
    async with served_messages() as api:
        yield api


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EnvFile]:
    """The team's env file, in a mode of its own for each test."""
    target = EnvFile(tmp_path / "claude-cost.env")
    monkeypatch.setenv("CLAUDE_COST_FALLBACK_FILE", str(target.path))
    with following_here():
        yield target


@pytest.fixture
def usage_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "usage.jsonl"
    monkeypatch.setenv("CLAUDE_COST_USAGE_LOG", str(path))
    return path


@pytest.fixture
async def team(api: MessagesApi) -> AsyncIterator[Team]:
    team = Team(api)
    yield team
    await team.close()


@pytest.mark.parametrize("manner", MANNERS)
async def test_without_fault_the_preferred_model_answers(api: MessagesApi, team: Team, manner: str) -> None:
    assert await team.ask(manner) == (f"I am {OPUS}", OPUS)
    assert api.asked == [OPUS]


@pytest.mark.parametrize("manner", MANNERS)
async def test_every_request_obeys_the_teams_mode(api: MessagesApi, team: Team, target: EnvFile, manner: str) -> None:
    target.write(modes_from_chain(CHAIN, {})["degraded"].variables)
    assert await team.ask(manner) == (f"I am {SONNET}", SONNET)
    assert await team.ask(manner, HAIKU) == (f"I am {HAIKU}", HAIKU)
    assert api.asked == [SONNET, HAIKU]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("fault", UNAVAILABLE)
async def test_an_unavailable_model_is_followed_by_the_next_of_the_chain(
    api: MessagesApi, team: Team, manner: str, fault: str
) -> None:
    api.faults = {OPUS: [UNAVAILABLE[fault]], SONNET: [UNAVAILABLE[fault]]}
    assert await team.ask(manner) == (f"I am {HAIKU}", HAIKU)
    assert api.asked == [OPUS, SONNET, HAIKU]


@pytest.mark.parametrize("manner", ["create", "stream", "async_create", "async_stream"])
async def test_a_model_that_does_not_answer_in_time_is_followed_by_the_next(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {OPUS: [silent]}
    assert await team.ask(manner, timeout=1) == (f"I am {SONNET}", SONNET)


@pytest.mark.parametrize("manner", MANNERS)
async def test_when_every_model_is_overloaded_each_was_asked_once_and_the_last_ones_error_is_raised(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {model: [OVERLOADED] * 9 for model in CHAIN}
    with pytest.raises(anthropic.OverloadedError):
        await team.ask(manner)
    assert api.asked == list(CHAIN)


@pytest.mark.parametrize("manner", ["create", "async_stream"])
async def test_when_no_connection_is_left_its_error_is_raised(api: MessagesApi, team: Team, manner: str) -> None:
    api.faults = {model: [dropped] for model in CHAIN}
    with pytest.raises(anthropic.APIConnectionError):
        await team.ask(manner)
    assert api.asked == list(CHAIN)


@pytest.mark.parametrize("manner", WHOLE)
async def test_an_answer_that_breaks_off_half_way_is_given_by_the_next_model(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {OPUS: [half_an_answer]}
    assert await team.ask(manner) == (f"I am {SONNET}", SONNET)
    api.faults = {model: [half_an_answer] for model in CHAIN}
    # A reader that bypasses the client gets the connection's own error, as without a chain.
    with pytest.raises(httpx2.TransportError if manner == "streaming_response" else anthropic.APIConnectionError):
        await team.ask(manner)
    assert api.asked == [OPUS, SONNET, *CHAIN]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("fault", SPENT)
async def test_a_spent_budget_is_raised_as_it_is_and_nothing_is_asked_again(
    api: MessagesApi, team: Team, manner: str, fault: str
) -> None:
    api.faults = {model: [SPENT[fault]] * 9 for model in CHAIN}
    with pytest.raises(anthropic.APIStatusError) as raised:
        await team.ask(manner)
    assert api.asked == [OPUS]
    with pytest.raises(anthropic.APIStatusError) as plain:
        # The same fault without the chain around the client.
        await asyncio.to_thread(lambda: team.raw.with_options(max_retries=0).messages.create(**PLAIN))
    assert type(raised.value) is type(plain.value)
    assert (raised.value.status_code, raised.value.body) == (plain.value.status_code, plain.value.body)


@pytest.mark.parametrize("manner", ["create", "stream", "async_create", "async_stream"])
async def test_a_rate_limit_is_waited_for_and_the_same_model_asked_once_more(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {OPUS: [LIMITED]}
    assert await team.ask(manner) == (f"I am {OPUS}", OPUS)
    assert api.asked == [OPUS, OPUS]
    api.faults = {OPUS: [LIMITED, LIMITED]}
    assert await team.ask(manner) == (f"I am {SONNET}", SONNET)
    assert api.asked[2:] == [OPUS, OPUS, SONNET]


@pytest.mark.parametrize(
    ("manner", "headers", "least"),
    [
        ("create", {"retry-after": "1"}, 1.0),
        ("create", {"retry-after": "9", "retry-after-ms": "400"}, 0.4),
        ("async_stream", {"retry-after": "9", "retry-after-ms": "400"}, 0.4),
    ],
)
async def test_the_pause_is_as_long_as_asked_for_and_the_next_model_is_asked_at_once(
    api: MessagesApi, team: Team, caplog: pytest.LogCaptureFixture, manner: str, headers: dict[str, str], least: float
) -> None:
    api.faults = {OPUS: [error(429, "rate_limit_error", headers=headers), OVERLOADED]}
    began = time.monotonic()
    assert await team.ask(manner) == (f"I am {SONNET}", SONNET)
    assert least <= time.monotonic() - began < 9
    (pause,) = re.findall(r"asking .* in ([\d.]+) s", caplog.text)
    assert least <= float(pause) <= least * 1.25


@pytest.mark.parametrize("manner", ["create", "async_stream"])
async def test_a_rate_limit_of_an_hour_is_not_waited_for(api: MessagesApi, team: Team, manner: str) -> None:
    api.faults = {OPUS: [LIMITED_FOR_LONG], SONNET: [LIMITED_FOR_LONG], HAIKU: [LIMITED_FOR_LONG]}
    with pytest.raises(anthropic.RateLimitError) as raised:
        await team.ask(manner)
    assert api.asked == list(CHAIN)
    assert raised.value.response.headers["retry-after"] == "3600"


@pytest.mark.parametrize("manner", STREAMING)
@pytest.mark.parametrize("break_", BROKEN_EARLY)
async def test_a_stream_that_breaks_before_its_first_token_is_begun_anew_by_the_next_model(
    api: MessagesApi, team: Team, manner: str, break_: str
) -> None:
    api.faults = {OPUS: [api.breaking(BROKEN_EARLY[break_])]}
    assert await team.ask(manner) == (f"I am {SONNET}", SONNET)
    assert api.asked == [OPUS, SONNET]


@pytest.mark.parametrize("manner", STREAMING)
async def test_a_stream_without_any_event_is_begun_anew_by_the_next_model(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {OPUS: [empty_stream]}
    assert await team.ask(manner) == (f"I am {SONNET}", SONNET)


@pytest.mark.parametrize("manner", STREAMING)
async def test_when_every_stream_breaks_early_the_application_sees_the_last_one_break(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {model: [api.breaking("content_block_delta:overloaded_error")] for model in CHAIN}
    with pytest.raises(anthropic.APIStatusError) as raised:
        await team.ask(manner)
    assert raised.value.type == "overloaded_error"
    api.faults = {model: [api.breaking("content_block_delta:drop")] for model in CHAIN}
    with pytest.raises(httpx2.TransportError):
        await team.ask(manner)
    assert api.asked == [*CHAIN, *CHAIN]


@pytest.mark.parametrize("manner", STREAMING)
async def test_an_error_in_a_stream_that_is_the_requests_own_is_raised_as_it_is(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {OPUS: [api.breaking("content_block_delta:invalid_request_error")]}
    with pytest.raises(anthropic.APIStatusError) as raised:
        await team.ask(manner)
    assert raised.value.type == "invalid_request_error"
    assert api.asked == [OPUS]


@pytest.mark.parametrize("manner", STREAMING)
async def test_after_the_first_token_a_broken_stream_is_raised_and_no_other_model_is_asked(
    api: MessagesApi, team: Team, manner: str
) -> None:
    api.faults = {OPUS: [api.breaking("content_block_stop:overloaded_error"), api.breaking("message_delta:drop")]}
    with pytest.raises(anthropic.APIStatusError) as raised:
        await team.ask(manner)
    assert raised.value.type == "overloaded_error"
    with pytest.raises(httpx2.TransportError):
        await team.ask(manner)
    assert api.asked == [OPUS, OPUS]


@pytest.mark.parametrize("manner", STREAMING)
async def test_a_compressed_stream_is_read_too(api: MessagesApi, team: Team, manner: str) -> None:
    assert await team.ask(manner, extra_headers={"x-zipped": "1"}) == (f"I am {OPUS}", OPUS)


async def test_a_stream_is_passed_on_token_by_token(api: MessagesApi, team: Team) -> None:
    go_on = asyncio.Event()

    async def hesitating(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for name, event in events(api.message(body)):
            await response.write(f"event: {name}\ndata: {json.dumps(event)}\n\n".encode())
            if name == "content_block_delta":
                await go_on.wait()
        return response

    api.faults = {OPUS: [hesitating]}
    async with team.asynchronous.messages.stream(model=OPUS, max_tokens=9, messages=HELLO) as stream:
        parts = aiter(stream.text_stream)
        assert await anext(parts) == "I am"
        go_on.set()
        assert await anext(parts) == f" {OPUS}"


async def test_a_chain_of_ones_own_stays_below_the_teams_ceiling(api: MessagesApi, target: EnvFile) -> None:
    target.write(modes_from_chain(CHAIN, {})["degraded"].variables)
    team = Team(api, chain=[OPUS, "claude-opus-4-8", "claude-haiku-4-5"])
    api.faults = {SONNET: [OVERLOADED]}
    assert await team.ask("create") == ("I am claude-haiku-4-5", "claude-haiku-4-5")
    await team.close()


async def test_what_is_no_message_passes_untouched(api: MessagesApi, team: Team, target: EnvFile) -> None:
    target.write(modes_from_chain(CHAIN, {})["degraded"].variables)
    api.faults = {OPUS: [OVERLOADED]}
    with pytest.raises(anthropic.OverloadedError):
        await asyncio.to_thread(team.sync.messages.count_tokens, model=OPUS, messages=HELLO)
    assert api.asked == [OPUS]


async def test_the_clients_own_middleware_and_settings_stay(api: MessagesApi) -> None:
    seen: list[str] = []

    def watch(request: anthropic.APIRequest, call_next: anthropic.CallNext) -> anthropic.APIResponse[Any]:
        assert isinstance(request.json, dict)
        seen.append(str(request.json["model"]))
        return call_next(request)

    raw = Anthropic(api_key="key", base_url=api.url, middleware=[watch], max_retries=5)
    wrapped = with_fallback(raw)
    api.faults = {OPUS: [OVERLOADED]}
    message = await asyncio.to_thread(lambda: wrapped.messages.create(**PLAIN))
    assert isinstance(wrapped, Anthropic)
    assert (message.model, seen, api.asked) == (SONNET, [OPUS], [OPUS, SONNET])
    assert (raw.max_retries, wrapped.max_retries) == (5, 0)
    raw.close()


@pytest.mark.parametrize("manner", MANNERS)
async def test_what_is_logged_is_priced_as_what_was_used(
    api: MessagesApi, usage_log: Path, capsys: pytest.CaptureFixture[str], manner: str
) -> None:
    team = Team(api, feature="search")
    api.faults = {OPUS: [OVERLOADED]}
    for user in ("ann", "ben"):
        await team.ask(manner, metadata={"user_id": user})
    await team.ask(manner, HAIKU)
    await team.close()
    lines = lines_of(usage_log)
    assert [line["model"] for line in lines] == [SONNET, OPUS, HAIKU]
    assert [line.get("preferred_model") for line in lines] == [OPUS, None, None]
    assert [line["request_id"] for line in lines] == ["req_msg_01", "req_msg_02", "req_msg_03"]
    assert [line["usage"] for line in lines] == [usage(1), usage(2), usage(3)]
    assert not any("complete" in line for line in lines)

    assert main(["price", str(usage_log), "--json"]) == 0
    priced = json.loads(capsys.readouterr().out)
    assert priced["total_usd"] == str(used(api).quantize(Decimal("0.000001")))
    assert (priced["calls"], priced["duplicates"], priced["skipped"]) == (3, 0, {})
    assert {name: part["calls"] for name, part in priced["by_feature"].items()} == {"search": 3}
    assert {name: part["calls"] for name, part in priced["by_user"].items()} == {"ann": 1, "ben": 1, "unknown": 1}
    assert "unknown" not in priced["by_day"]


@pytest.mark.parametrize("manner", ["create", "stream", "async_create", "async_stream"])
async def test_many_at_once_share_one_client_and_each_has_its_own_chain(
    api: MessagesApi, usage_log: Path, manner: str
) -> None:
    team = Team(api, feature="search")
    api.faults = {OPUS: [OVERLOADED, LIMITED, error(500, "api_error"), OVERLOADED] * 3, SONNET: [OVERLOADED] * 2}
    answers = await asyncio.gather(*(team.ask(manner, metadata={"user_id": f"u{number}"}) for number in range(40)))
    await team.close()
    assert all(text == f"I am {model}" for text, model in answers)
    models = Counter(model for _, model in answers)
    assert models[HAIKU] == 2
    # Nine of the twelve faults led to the next model; a limit leads there too if the second attempt fails.
    assert models.total() == 40
    lines = lines_of(usage_log)
    assert sorted(line["user_id"] for line in lines) == sorted(f"u{number}" for number in range(40))
    assert Counter(line["model"] for line in lines) == models
    assert len({line["id"] for line in lines}) == 40


def used(api: MessagesApi) -> Decimal:
    """What the API reported, priced one by one, web searches included."""
    card, total = load_rate_card(), Decimal(0)
    for model, block in api.sent:
        counts = TokenCounts(
            block["input_tokens"],
            block["cache_creation"]["ephemeral_5m_input_tokens"],
            block["cache_creation"]["ephemeral_1h_input_tokens"],
            block["cache_read_input_tokens"],
            block["output_tokens"],
            block["server_tool_use"]["web_search_requests"],
        )
        today = system_clock().date()
        total += cost_of(card, model, counts, STANDARD, today, prompt_tokens=counts.prompt_tokens).usd
    return total


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("manner", STREAMING)
async def test_a_broken_stream_leaves_a_line_with_what_it_reported(
    api: MessagesApi, team: Team, usage_log: Path, manner: str
) -> None:
    api.faults = {OPUS: [api.breaking("message_delta:drop")]}
    with pytest.raises(httpx2.TransportError):
        await team.ask(manner)
    (line,) = lines_of(usage_log)
    assert (line["model"], line["id"], line["complete"]) == (OPUS, "msg_01", False)
    assert (line["usage"]["input_tokens"], line["usage"]["output_tokens"]) == (1001, 1)


async def test_a_stream_that_the_application_leaves_is_logged_once(
    api: MessagesApi, team: Team, usage_log: Path
) -> None:
    def leave() -> None:
        with team.sync.messages.stream(**PLAIN) as stream:
            next(stream.text_stream)

    async with team.asynchronous.messages.stream(**PLAIN) as stream:
        await anext(aiter(stream.text_stream))
    await asyncio.to_thread(leave)
    left = [(line["id"], line["usage"]["input_tokens"]) for line in lines_of(usage_log)]
    assert left == [("msg_01", 1001), ("msg_02", 1002)]


@pytest.mark.parametrize("manner", MANNERS)
async def test_a_usage_log_that_cannot_be_written_breaks_no_request(
    api: MessagesApi, team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manner: str
) -> None:
    monkeypatch.setenv("CLAUDE_COST_USAGE_LOG", str(tmp_path))
    assert await team.ask(manner) == (f"I am {OPUS}", OPUS)


async def test_the_bots_own_port_is_followed_at_once(
    api: MessagesApi, simulated: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated.bot() as bot, served(bot, "s3cret") as port:
        monkeypatch.setenv("CLAUDE_COST_FALLBACK_URL", str(port.base_url))
        monkeypatch.setenv("CLAUDE_COST_READ_TOKEN", "s3cret")
        with following_here():
            fallback = bot.services.fallback
            for mode, model in (("degraded", SONNET), ("minimal", HAIKU), ("normal", OPUS)):
                await asyncio.to_thread(fallback.switch, fallback.modes[mode], ADMIN, "a test", (), None)
                await asyncio.to_thread(wait_for, model)
    assert current_model(OPUS) == OPUS


def wait_for(model: str) -> None:
    deadline = time.monotonic() + 60
    while current_model(OPUS) != model:
        assert time.monotonic() < deadline
        time.sleep(0.02)


WATCHED = """
import atexit, sys, threading
connecting = set()
def watch(event, args):
    if event == "socket.connect":
        connecting.add((threading.current_thread().name, args[1][1]))
sys.addaudithook(watch)
atexit.register(lambda: print(sorted(connecting)))
"""


async def test_readmes_example_runs_as_it_is_and_its_own_thread_never_connects_to_the_bot(
    api: MessagesApi, target: EnvFile, tmp_path: Path
) -> None:
    target.write(modes_from_chain(CHAIN, {})["degraded"].variables)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    api.faults = {SONNET: [OVERLOADED]}
    bot = IngestServer()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WATCHED + example),
        cwd=tmp_path,
        env=environ(
            ANTHROPIC_BASE_URL=api.url,
            ANTHROPIC_API_KEY="key",
            CLAUDE_COST_URL=bot.url,
            CLAUDE_COST_INGEST_TOKEN=TOKEN,
            CLAUDE_COST_SPOOL=str(tmp_path / "spool"),
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    bot.close()
    answer, connecting = out.decode().splitlines()
    assert answer.split() == [HAIKU, SONNET]
    assert [(each["feature"], each["model"], each["outcome"]) for each in bot.records] == [
        ("search", SONNET, "error"),
        ("search", HAIKU, "ok"),
    ]
    messages = int(api.url.rpartition(":")[2])
    assert ast.literal_eval(connecting) == [("MainThread", messages), ("claude-cost-usage-post", bot.port)]
