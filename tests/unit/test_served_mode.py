"""One thread reads the mode for however many readers, none gets an older one than it asked for, streams are bounded."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest
from aiohttp import web
from sqlalchemy.exc import OperationalError

from bot.fallback.modes import Mode, modes_from_chain
from bot.fallback.service import ModeState
from bot.web.access import BearerAccess
from bot.web.fallback import (
    CurrentMode,
    ModeUnreadableError,
    Streams,
    fallback_routes,
    served,
)
from bot.web.ofrep import ofrep_routes
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
    store: Store, most: int, keep_alive: float
) -> AsyncIterator[tuple[httpx.AsyncClient, Streams]]:
    current = CurrentMode(store.state)
    streams = Streams(current, most, keep_alive)
    access = BearerAccess(None, "CLAUDE_COST_READ_TOKEN")
    app = web.Application()
    app.add_routes([*fallback_routes(current, streams, access), *ofrep_routes(current, access)])
    app.on_shutdown.append(streams.end)
    async with client_of(app) as client:
        yield client, streams


def test_times_are_told_in_utc() -> None:
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


async def test_whoever_is_content_with_a_moment_ago_shares_the_last_read(store: Store) -> None:
    current = CurrentMode(store.state)
    await current.now()
    for _ in range(50):
        await current.lately()
    assert store.reads == 1


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
        served_streams(store, 2, keep_alive=0) as (client, streams),
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
