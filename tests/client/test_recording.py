"""Records of the official client's requests: sync and async, whole and streamed, batches, refusals."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from claude_cost_client import UsageSender, usage_labels, with_fallback, with_usage
from tests.client.applications import HAIKU, OPUS, QUICKLY, SONNET, eventually
from tests.client.ingest_server import TOKEN, IngestServer
from tests.client.messages_api import (
    BATCH_ENDED,
    MANNERS,
    PLAIN,
    STREAMING,
    MessagesApi,
    Team,
    dropped,
    error,
    served_messages,
    usage,
)

OVERLOADED = error(529, "overloaded_error")
LIMITED = error(429, "rate_limit_error", headers={"retry-after": "0"})
REFUSED = error(400, "invalid_request_error")

Make = Callable[..., Team]


@pytest.fixture
async def api() -> AsyncIterator[MessagesApi]:
    async with served_messages() as api:
        yield api


@pytest.fixture
def sender(bot: IngestServer, tmp_path: Path) -> Iterator[UsageSender]:
    sender = UsageSender(bot.url, TOKEN, spool=tmp_path / "spool", environ={}, bounds=QUICKLY)
    yield sender
    sender.close(0)


@pytest.fixture
async def make(api: MessagesApi, sender: UsageSender) -> AsyncIterator[Make]:
    teams: list[Team] = []

    def make(**options: Any) -> Team:
        teams.append(Team(api, **{"wrap": with_usage, "sender": sender, **options}))
        return teams[-1]

    yield make
    for team in teams:
        await team.close()


async def sent(sender: UsageSender, bot: IngestServer) -> list[dict[str, Any]]:
    assert await asyncio.to_thread(sender.flush, 30)
    return bot.records


@pytest.mark.parametrize("wrap", [with_usage, with_fallback])
@pytest.mark.parametrize("manner", MANNERS)
async def test_each_manner_of_asking_leaves_one_whole_record(
    make: Make, sender: UsageSender, bot: IngestServer, manner: str, wrap: Callable[..., Any]
) -> None:
    team = make(wrap=wrap, feature="search")
    with usage_labels(feature="support", user_id="u1", tags={"team": "core"}, session="s1"):
        assert (await team.ask(manner))[1] == OPUS
    await team.ask(manner, HAIKU, metadata={"user_id": "u2"})
    first, second = await sent(sender, bot)
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "id": "msg_01",
        "request_id": "req_msg_01",
        "feature": "support",
        "user_id": "u1",
        "session": "s1",
        "tags": {"team": "core"},
        "model": OPUS,
        "outcome": "ok",
        "usage": usage(1),
    }
    assert (second["feature"], second["user_id"], second["model"], second["usage"]) == ("search", "u2", HAIKU, usage(2))


async def test_labels_are_those_of_the_request_though_the_stream_is_read_later(
    make: Make, sender: UsageSender, bot: IngestServer
) -> None:
    team = make()

    @usage_labels(feature="generator")
    def parts() -> Iterator[str]:
        for event in team.sync.messages.create(**PLAIN, stream=True):
            yield event.type

    def ask() -> None:
        with usage_labels(feature="support"):
            stream = team.sync.messages.create(**PLAIN, stream=True)
        with usage_labels(feature="another"):
            assert len(list(stream)) == 7
        assert len(list(parts())) == 7

    await asyncio.to_thread(ask)
    assert [each["feature"] for each in await sent(sender, bot)] == ["support", "generator"]


async def test_tasks_at_once_have_labels_of_their_own(make: Make, sender: UsageSender, bot: IngestServer) -> None:
    team = make()

    @usage_labels(feature="support")
    async def ask(number: int) -> str:
        with usage_labels(user_id=f"u{number}"):
            return (await team.ask(("async_create", "async_stream", "create")[number % 3]))[0]

    await asyncio.gather(*(ask(number) for number in range(30)))
    records = await sent(sender, bot)
    assert sorted(each["user_id"] for each in records) == sorted(f"u{number}" for number in range(30))
    assert {each["feature"] for each in records} == {"support"}


@pytest.mark.parametrize("manner", ["create", "stream", "async_create", "async_stream", "raw_response"])
@pytest.mark.parametrize(
    ("fault", "outcome"), [(LIMITED, "rate_limited"), (OVERLOADED, "error"), (REFUSED, "error"), (dropped, "error")]
)
async def test_a_refused_request_is_a_record_of_its_own_without_tokens(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer, manner: str, fault: Any, outcome: str
) -> None:
    team = make()
    team.sync = team.sync.with_options(max_retries=0)
    team.asynchronous = team.asynchronous.with_options(max_retries=0)
    api.faults = {OPUS: [fault]}
    with usage_labels(feature="support"), pytest.raises(anthropic.APIError):
        await team.ask(manner)
    (record,) = await sent(sender, bot)
    assert (record["outcome"], record["model"], record["feature"]) == (outcome, OPUS, "support")
    assert record["usage"] == {"input_tokens": 0, "output_tokens": 0}


async def test_each_attempt_of_the_chain_is_a_record(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer
) -> None:
    team = make(wrap=with_fallback)
    api.faults = {OPUS: [LIMITED, OVERLOADED]}
    assert [(await team.ask(manner))[1] for manner in ("create", "async_stream")] == [SONNET, OPUS]
    found = [(each["model"], each["outcome"], each.get("preferred_model")) for each in await sent(sender, bot)]
    refused = [(OPUS, "rate_limited", None), (OPUS, "error", None)]
    assert found == [*refused, (SONNET, "ok", OPUS), (OPUS, "ok", None)]


@pytest.mark.parametrize("manner", STREAMING)
@pytest.mark.parametrize(
    ("break_", "outcome"),
    [
        ("content_block_stop:overloaded_error", "error"),
        ("content_block_stop:rate_limit_error", "rate_limited"),
        ("content_block_delta:api_error", "error"),
        ("message_delta:drop", "error"),
    ],
)
async def test_a_stream_that_breaks_is_recorded_with_what_it_reported(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer, manner: str, break_: str, outcome: str
) -> None:
    team = make()
    api.faults = {OPUS: [api.breaking(break_)]}
    with contextlib.suppress(anthropic.APIError, Exception):
        await team.ask(manner)
    (record,) = await sent(sender, bot)
    assert (record["id"], record["outcome"], record["complete"]) == ("msg_01", outcome, False)
    assert (record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == (1001, 1)


@pytest.mark.parametrize("manner", STREAMING)
async def test_a_stream_that_breaks_before_it_begins_is_recorded_as_refused(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer, manner: str
) -> None:
    team = make()
    api.faults = {OPUS: [api.breaking("message_start:overloaded_error")]}
    with pytest.raises(anthropic.APIError):
        await team.ask(manner)
    (record,) = await sent(sender, bot)
    assert (record["outcome"], record["request_id"]) == ("error", "req_broken")
    assert record["usage"] == {"input_tokens": 0, "output_tokens": 0}


async def test_a_stream_that_the_application_leaves_counts_once(
    make: Make, sender: UsageSender, bot: IngestServer
) -> None:
    team = make()
    async with team.asynchronous.messages.stream(**PLAIN) as stream:
        await anext(aiter(stream.text_stream))
    (record,) = await sent(sender, bot)
    assert (record["id"], record["outcome"], record["complete"]) == ("msg_01", "ok", False)


def results(api: MessagesApi, count: int) -> list[dict[str, Any]]:
    """Results of a batch: successes, with an error, an expired and a canceled request among them."""
    messages = [api.message({"model": OPUS}) for _ in range(count)]
    for message in messages:
        message["usage"]["service_tier"] = "batch"
    found: list[dict[str, Any]] = [
        {"custom_id": f"c{number}", "result": {"type": "succeeded", "message": message}}
        for number, message in enumerate(messages)
    ]
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": "usage\nresult"}}
    found.insert(1, {"custom_id": "e", "result": {"type": "errored", "error": refusal}})
    return [
        *found,
        {"custom_id": "x", "result": {"type": "expired"}},
        {"custom_id": "y", "result": {"type": "canceled"}},
    ]


@pytest.mark.parametrize("wrap", [with_usage, with_fallback])
@pytest.mark.parametrize("beta", [False, True])
async def test_results_of_a_batch_are_recorded_as_they_are_read_and_once(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer, wrap: Callable[..., Any], beta: bool
) -> None:
    api.batch_results = results(api, 5)
    team = make(wrap=wrap)
    sync = team.sync.beta.messages.batches if beta else team.sync.messages.batches
    asynchronous = team.asynchronous.beta.messages.batches if beta else team.asynchronous.messages.batches

    def read() -> int:
        with usage_labels(feature="nightly"):
            return len(list(sync.results("msgbatch_01")))

    assert await asyncio.to_thread(read) == 8
    assert len([each async for each in await asynchronous.results("msgbatch_01")]) == 8
    records = await sent(sender, bot)
    assert [each["id"] for each in records] == [f"msg_{number:02}" for number in range(1, 6)]
    assert {each["usage"]["service_tier"] for each in records} == {"batch"}
    assert {(each["feature"], each["time"]) for each in records} == {
        ("nightly", BATCH_ENDED.replace("Z", "+00:00")),
    }
    assert bot.repeats == 5


async def test_results_that_are_left_half_way_are_recorded_half(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer
) -> None:
    api.batch_results = results(api, 200)
    team = make()

    def read() -> None:
        stream = team.sync.messages.batches.results("msgbatch_01")
        next(stream)
        stream.close()

    await asyncio.to_thread(read)
    assert 1 <= len(await sent(sender, bot)) < 200


async def test_what_uses_nothing_leaves_nothing(make: Make, sender: UsageSender, bot: IngestServer) -> None:
    team = make()
    await asyncio.to_thread(team.sync.messages.count_tokens, model=OPUS, messages=PLAIN["messages"])
    assert await sent(sender, bot) == []


@pytest.mark.parametrize("manner", MANNERS)
async def test_a_bot_that_hangs_holds_up_no_request(
    make: Make, sender: UsageSender, bot: IngestServer, manner: str
) -> None:
    bot.answering.clear()
    team = make()
    for _ in range(5):
        assert (await team.ask(manner))[1] == OPUS
    eventually(lambda: bot.requests == 1)
    bot.answering.set()
    assert len(await sent(sender, bot)) == 5


async def test_the_usage_log_has_the_same_records_of_responses(
    api: MessagesApi,
    make: Make,
    sender: UsageSender,
    bot: IngestServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLAUDE_COST_USAGE_LOG", str(tmp_path / "usage.jsonl"))
    team = make()
    api.faults = {OPUS: [OVERLOADED]}
    await team.ask("create")
    refused, answered = await sent(sender, bot)
    assert refused["outcome"] == "error"
    assert [json.loads(line) for line in (tmp_path / "usage.jsonl").read_text().splitlines()] == [answered]


async def test_a_client_that_is_wrapped_again_records_once(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer
) -> None:
    def twice(client: Any, **options: Any) -> Any:
        return with_fallback(with_usage(with_fallback(client, sender=sender), sender=sender), **options)

    team = make(wrap=twice, feature="search")
    api.faults = {OPUS: [OVERLOADED, OVERLOADED]}
    assert [(await team.ask(manner))[1] for manner in ("create", "async_create")] == [SONNET, SONNET]
    found = [(each["model"], each["outcome"], each["feature"]) for each in await sent(sender, bot)]
    assert found == [(OPUS, "error", "search"), (SONNET, "ok", "search")] * 2


@pytest.mark.parametrize("wrap", [with_usage, with_fallback])
async def test_an_answer_out_of_another_middlewares_cache_is_passed_on(
    api: MessagesApi, make: Make, sender: UsageSender, bot: IngestServer, wrap: Callable[..., Any]
) -> None:
    team = make(wrap=wrap)
    message = anthropic.types.Message.model_validate(api.message({"model": HAIKU}))

    def cached(request: anthropic.APIRequest, call_next: anthropic.CallNext) -> Any:
        return message

    async def cached_too(request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext) -> Any:
        return message

    sync = team.sync.with_middleware(cached)
    asynchronous = team.asynchronous.with_middleware(cached_too)
    assert await asyncio.to_thread(lambda: sync.messages.create(**PLAIN)) is message
    assert await asynchronous.messages.create(**PLAIN) is message
    assert await sent(sender, bot) == []
