"""While the database is locked, or does not answer at all, every request of Slack's is acknowledged all the same."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path

from bot.runner.cycle import Bot
from bot.sandbox.slack_dispatch import Interaction
from bot.sandbox.slack_workspace import ADMIN
from bot.threads import COMMANDS
from handlers.commands import SUBCOMMANDS
from handlers.render.budget import SET_ACTION
from handlers.render.fallback import FORM_ACTION
from tests.scenario.conftest import World

ACK_SECONDS = 1.0
OPENS_SECONDS = 1.4
"""Longest wait in seconds, including slack for a busy machine."""

ESTIMATE = {"model": "sonnet-4.6", "requests": "100k", "in": "2000", "out": "500", "ttl": "5m"}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another writer holds the database's lock."""
    with closing(sqlite3.connect(folder / "claude-cost.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@asynccontextmanager
async def silent_store(bot: Bot) -> AsyncIterator[None]:
    """The database answers no command: every thread for them is held by one that waits."""
    release, held = threading.Event(), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def wait() -> None:
        loop.call_soon_threadsafe(held.release)
        release.wait(60)

    waiting = [asyncio.ensure_future(bot.services.threads.commands(wait)) for _ in range(COMMANDS)]
    for _ in waiting:
        await held.acquire()
    try:
        yield
    finally:
        release.set()
        await asyncio.gather(*waiting)


async def opened(world: World, words: str, action: str | None = None) -> None:
    """The form that a command opens, or a button of its answer."""
    typed = await world.slack.command(words)
    if action is not None:
        await world.slack.click(await typed.first_reply(), action)
    await world.slack.until(lambda: bool(world.slack.views.modals.get(ADMIN)))


async def acknowledged(world: World, bot: Bot, act: Callable[[], Awaitable[Interaction]]) -> Interaction:
    """Perform an action while the database is locked; `NotDispatchedError` if it is not acknowledged in time."""
    world.slack.sockets.ack_seconds = ACK_SECONDS
    with locked(world.folder):
        interaction = await act()
        assert interaction.ack is not None
        await asyncio.sleep(0.1)
    assert await bot.in_flight.drain(20)
    return interaction


async def test_a_command_is_acknowledged_and_answered_later(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        for words in (row.name for row in SUBCOMMANDS):
            typed = await acknowledged(simulated, bot, partial(simulated.slack.command, words))
            if words == "estimate":
                await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
            else:
                assert "Something went wrong" not in (await typed.first_reply()).text, words


async def test_the_form_that_changes_the_mode_is_acknowledged_and_answered_by_message(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await opened(simulated, "fallback status", FORM_ACTION)
        values = {"mode": "degraded", "for": "2h", "because": "of a test"}
        await acknowledged(simulated, bot, lambda: simulated.slack.submit_view(values))
        assert simulated.slack.views.modals[ADMIN] == []
        assert bot.services.fallback.state().mode.name == "degraded"


async def test_a_mistake_in_its_words_is_shown_at_the_field_without_the_database(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await opened(simulated, "fallback status", FORM_ACTION)
        values = {"mode": "degraded", "for": "soon", "because": "of a test"}
        submitted = await acknowledged(simulated, bot, lambda: simulated.slack.submit_view(values))
        assert submitted.ack is not None
        assert "for" in (submitted.ack.payload or {})["errors"]


async def test_the_estimates_form_shows_its_result_at_once(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await opened(simulated, "estimate")
        submitted = await acknowledged(simulated, bot, lambda: simulated.slack.submit_view(ESTIMATE))
        assert submitted.ack is not None
        assert "$1,350.00 a month" in str((submitted.ack.payload or {})["view"])
        assert bot.services.estimates.last_words(ADMIN) is not None


async def test_buttons_are_acknowledged(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        simulated.spend(120)
        await bot.cycle()
        (alert,) = simulated.alerts("soft")
        switched = await (await simulated.slack.command("fallback on")).first_reply()
        status = await (await simulated.slack.command("fallback status")).first_reply()
        asked = await (await simulated.slack.command("budget set search hard=10")).first_reply()
        shared = await (await simulated.slack.command("estimate sonnet-4.6 requests=1k in=10 out=5")).first_reply()
        for place, action in (
            (switched, "fallback_switch:normal"),
            (alert, "alert_snooze:60"),
            (alert, "alert_acknowledge"),
            (status, FORM_ACTION),
            (asked, SET_ACTION),
            (shared, "estimate_share"),
        ):
            await acknowledged(simulated, bot, partial(simulated.slack.click, place, action))


async def test_nothing_is_asked_of_the_store_before_an_acknowledgement(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        simulated.spend(120)
        await bot.cycle()
        (alert,) = simulated.alerts("soft")
        switched = await (await simulated.slack.command("fallback on")).first_reply()
        status = await (await simulated.slack.command("fallback status")).first_reply()
        asked = await (await simulated.slack.command("budget set search hard=10")).first_reply()
        shared = await (await simulated.slack.command("estimate sonnet-4.6 requests=1k in=10 out=5")).first_reply()
        simulated.slack.sockets.ack_seconds = ACK_SECONDS
        async with silent_store(bot):
            for row in SUBCOMMANDS:
                if row.name not in ("estimate", "doctor"):
                    assert (await simulated.slack.command(row.name)).ack is not None
            for place, action in (
                (switched, "fallback_switch:normal"),
                (alert, "alert_snooze:60"),
                (alert, "alert_acknowledge"),
                (asked, SET_ACTION),
                (shared, "estimate_share"),
            ):
                assert (await simulated.slack.click(place, action)).ack is not None
            # The forms open and are acknowledged too, with what needs no database.
            assert (await simulated.slack.click(status, FORM_ACTION)).ack is not None
            await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)), OPENS_SECONDS)
            submitted = await simulated.slack.submit_view({"mode": "degraded", "for": "2h", "because": "of a test"})
            assert submitted.ack is not None
            assert (await simulated.slack.command("estimate")).ack is not None
            await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)), OPENS_SECONDS)
            result = await simulated.slack.submit_view(ESTIMATE)
            assert result.ack is not None
            assert "$1,350.00 a month" in str((result.ack.payload or {})["view"])
        assert await bot.in_flight.drain(20)
