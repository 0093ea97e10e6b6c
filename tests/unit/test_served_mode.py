"""One thread reads the mode for however many readers, none gets an older one than it asked for, streams are bounded."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest
from aiohttp import web
from sqlalchemy.exc import OperationalError

from bot.fallback.service import ChangeSignal, ModeState
from bot.mode import Mode, modes_from_chain
from bot.web.access import BearerAccess
from bot.web.fallback import (
    CurrentMode,
    ModeUnreadableError,
    Streams,
    fallback_routes,
    ofrep_routes,
    served,
)
from tests.scenario.http_port import client_of, events, next_mode

PATIENCE = 30
MODES = modes_from_chain(("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"), {})
NOON_IN_TOKYO = datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=9)))


def state(mode: Mode, reason: str | None = None, changed_at: datetime | None = None) -> ModeState:
    return ModeState(mode, changed_at, None, reason, None, None, ())


class Store:
    """A store that counts how often it is read, can be held up, and can be away."""

    def __init__(self) -> None:
        self.mode = MODES["normal"]
        self.reads = 0
        self.away = False
        self.reading = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def state(self) -> ModeState:
        self.reads += 1
        mode = self.mode
        self.reading.set()
        assert self.may_answer.wait(PATIENCE)
        if self.away:
            raise OperationalError("SELECT", {}, Exception("secret-host does not answer"))
        return state(mode)


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.may_answer.set()


@asynccontextmanager
async def served_streams(
    store: Store, most: int, keep_alive: float, changes: ChangeSignal | None = None, look_seconds: float = 10 * PATIENCE
) -> AsyncIterator[tuple[httpx.AsyncClient, Streams]]:
    current = CurrentMode(store.state)
    streams = Streams(current, changes or ChangeSignal(), most, keep_alive, look_seconds)
    access = BearerAccess(None, "CLAUDE_COST_READ_TOKEN")
    app = web.Application()
    app.add_routes([*fallback_routes(current, streams, access), *ofrep_routes(current, access)])
    app.on_shutdown.append(streams.end)
    async with client_of(app) as client:
        yield client, streams


def test_times_are_shown_in_utc() -> None:
    assert json.loads(served(state(MODES["degraded"], "x", NOON_IN_TOKYO)).body)["since"] == "2026-11-20T03:00:00Z"


def test_equal_objects_have_equal_tags_and_any_change_makes_another() -> None:
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    states = [
        state(MODES["normal"]),
        state(MODES["degraded"]),
        state(MODES["degraded"], "too dear"),
        state(MODES["degraded"], "too dear", moment),
        state(Mode("degraded", {"CLAUDE_FALLBACK_MODE": "degraded"}), "too dear", moment),
    ]
    assert len({served(each).tag for each in states}) == len(states)
    assert served(states[3]) == served(state(MODES["degraded"], "too dear", moment))


async def test_many_readers_at_once_cost_two_reads_and_none_gets_what_was_read_before_it_asked(store: Store) -> None:
    current = CurrentMode(store.state)
    store.may_answer.clear()
    first = asyncio.create_task(current.now())
    assert await asyncio.to_thread(store.reading.wait, PATIENCE)
    # The first read has looked at the old mode already, so whoever asks from now on needs another one.
    store.mode = MODES["degraded"]
    later = [asyncio.create_task(current.now()) for _ in range(50)]
    await asyncio.sleep(0)
    store.may_answer.set()
    assert (await first).name == "normal"
    assert {mode.name for mode in await asyncio.gather(*later)} == {"degraded"}
    assert store.reads == 2


async def test_a_reader_that_leaves_during_a_read_leaves_no_older_mode_to_the_next(store: Store) -> None:
    current = CurrentMode(store.state)
    assert (await current.now()).name == "normal"
    store.reading.clear()
    store.may_answer.clear()
    leaving = asyncio.create_task(current.now())
    assert await asyncio.to_thread(store.reading.wait, PATIENCE)
    waiting = asyncio.create_task(current.now())
    await asyncio.sleep(0)
    store.mode = MODES["degraded"]
    leaving.cancel()
    store.may_answer.set()
    assert (await waiting).name == "degraded"


async def test_the_mode_is_read_while_all_threads_for_other_work_are_taken(store: Store) -> None:
    taken = threading.Event()
    work = [asyncio.create_task(asyncio.to_thread(taken.wait, PATIENCE)) for _ in range(100)]
    try:
        async with asyncio.timeout(PATIENCE / 2):
            assert (await CurrentMode(store.state).now()).name == "normal"
    finally:
        taken.set()
        await asyncio.gather(*work)


async def test_a_signal_reaches_every_stream_without_waiting_for_the_next_look(store: Store) -> None:
    changes = ChangeSignal()
    async with served_streams(store, 20, 15, changes) as (client, streams), AsyncExitStack() as stack:
        followers = []
        for _ in range(20):
            answer = await stack.enter_async_context(client.stream("GET", "/v1/fallback/stream"))
            followers.append(events(answer))
        assert {(await next_mode(each))["mode"] for each in followers} == {"normal"}
        for mode in ("degraded", "minimal", "normal"):
            reads = store.reads
            store.mode = MODES[mode]
            await asyncio.to_thread(changes.send)
            assert {(await next_mode(each))["mode"] for each in followers} == {mode}
            assert store.reads == reads + 1
        assert streams.open == 20


async def test_a_signal_during_a_read_leads_to_another_read(store: Store) -> None:
    changes = ChangeSignal()
    async with (
        served_streams(store, 1, 15, changes) as (client, _),
        client.stream("GET", "/v1/fallback/stream") as answer,
    ):
        stream = events(answer)
        assert (await next_mode(stream))["mode"] == "normal"
        store.reading.clear()
        store.may_answer.clear()
        changes.send()
        assert await asyncio.to_thread(store.reading.wait, PATIENCE)
        # That read has seen the old mode, and the change is committed before it answers.
        store.mode = MODES["degraded"]
        changes.send()
        store.may_answer.set()
        assert (await next_mode(stream))["mode"] == "degraded"


async def test_a_change_that_signals_nothing_is_found_by_the_look_for_it(store: Store) -> None:
    async with (
        served_streams(store, 1, 15, look_seconds=0.05) as (client, _),
        client.stream("GET", "/v1/fallback/stream") as answer,
    ):
        stream = events(answer)
        assert (await next_mode(stream))["mode"] == "normal"
        store.mode = MODES["minimal"]
        assert (await next_mode(stream))["mode"] == "minimal"


async def test_a_new_stream_shows_its_newer_mode_to_those_before_it_and_none_goes_back(store: Store) -> None:
    async with served_streams(store, 2, 0) as (client, _), client.stream("GET", "/v1/fallback/stream") as first:
        early = events(first)
        assert (await next_mode(early))["mode"] == "normal"
        store.mode = MODES["degraded"]
        async with client.stream("GET", "/v1/fallback/stream") as second:
            late = events(second)
            assert (await next_mode(late))["mode"] == "degraded"
            assert (await next_mode(early))["mode"] == "degraded"
            assert await anext(late) == {"": "keep-alive"}


async def test_nobody_reads_the_store_while_no_stream_is_open(store: Store) -> None:
    changes = ChangeSignal()
    async with served_streams(store, 1, 15, changes, look_seconds=0.01) as (client, streams):
        async with client.stream("GET", "/v1/fallback/stream") as answer:
            await next_mode(events(answer))
        async with asyncio.timeout(PATIENCE):
            while streams.open:  # noqa: ASYNC110  # the server learns of it from the operating system
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        reads = store.reads
        changes.send()
        await asyncio.sleep(0.1)
        assert store.reads == reads


def test_a_listener_whose_loop_is_closed_keeps_neither_the_others_nor_the_sender() -> None:
    changes, heard = ChangeSignal(), threading.Event()
    loop = asyncio.new_event_loop()
    loop.close()
    with changes.heard_by(lambda: loop.call_soon_threadsafe(lambda: None)), changes.heard_by(heard.set):
        changes.send()
    assert heard.is_set()
    heard.clear()
    changes.send()
    assert not heard.is_set()


async def test_a_database_that_is_away_is_said_once_in_the_log_and_asked_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    current = CurrentMode(store.state)
    store.away = True
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(ModeUnreadableError):
                await current.now()
    assert len(caplog.records) == 1
    assert "secret-host" not in caplog.text
    store.away = False
    assert (await current.now()).name == "normal"


async def test_while_the_database_is_away_readers_get_503_and_open_streams_stay(store: Store) -> None:
    async with (
        served_streams(store, 2, keep_alive=0, look_seconds=0.05) as (client, streams),
        client.stream("GET", "/v1/fallback/stream") as answer,
    ):
        stream = events(answer)
        assert (await next_mode(stream))["mode"] == "normal"
        store.away = True
        for method, path, word in (
            ("GET", "/v1/fallback", "error"),
            ("GET", "/v1/fallback/stream", "error"),
            ("POST", "/ofrep/v1/evaluate/flags", "errorDetails"),
            ("POST", "/ofrep/v1/evaluate/flags/CLAUDE_MODEL", "errorDetails"),
        ):
            refused = await client.request(method, path)
            assert (refused.status_code, "keep the last one" in refused.json()[word]) == (503, True)
            assert "retry-after" in refused.headers
        assert await anext(stream) == {"": "keep-alive"}
        store.away, store.mode = False, MODES["degraded"]
        assert (await next_mode(stream))["mode"] == "degraded"
        assert streams.open == 1


async def test_a_quiet_stream_says_that_it_lives(store: Store) -> None:
    async with (
        served_streams(store, 1, keep_alive=0) as (client, _),
        client.stream("GET", "/v1/fallback/stream") as answer,
    ):
        stream = events(answer)
        assert (await anext(stream))["event"] == "fallback"
        assert await anext(stream) == {"": "keep-alive"}
        assert await anext(stream) == {"": "keep-alive"}


async def test_above_the_bound_a_stream_is_refused_until_a_reader_leaves(store: Store) -> None:
    async with served_streams(store, 1, keep_alive=15) as (client, streams):
        async with client.stream("GET", "/v1/fallback/stream") as answer:
            await next_mode(events(answer))
            refused = await client.get("/v1/fallback/stream")
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            assert "1 open streams" in refused.json()["error"]
        async with asyncio.timeout(PATIENCE):
            while streams.open:  # noqa: ASYNC110  # the server learns of it from the operating system
                await asyncio.sleep(0.05)
        async with client.stream("GET", "/v1/fallback/stream") as answer:
            assert (await next_mode(events(answer)))["mode"] == "normal"
