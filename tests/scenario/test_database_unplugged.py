"""PostgreSQL falls silent: every action is acknowledged, and whoever waits gets a sentence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import make_url

from benchmarks.tcp_proxy import Mode, TcpProxy
from bot.runner.cycle import Bot
from bot.sandbox.slack_dispatch import Interaction
from bot.sandbox.slack_workspace import ADMIN
from handlers.commands import SUBCOMMANDS
from handlers.render.budget import SET_ACTION
from handlers.render.fallback import FORM_ACTION
from handlers.render.home import REFRESH_ACTION
from tests.databases import postgres_database
from tests.scenario.conftest import World
from tests.scenario.test_acknowledged_first import ESTIMATE

WITHOUT_DATABASE = ("help", "plan", "rates")
PATIENCE = 20
CHANGE = {"mode": "degraded", "for": "2h", "because": "of a test"}
RAISE = {"to": "125"}
BUDGET = {"name": "walk", "soft": "80", "hard": "100"}


@pytest.fixture
async def server() -> AsyncIterator[tuple[TcpProxy, str]]:
    """PostgreSQL behind a network that can fall silent, and its address there."""
    with postgres_database() as address:
        parsed = make_url(address)
        async with TcpProxy(parsed.port or 5432) as proxy:
            yield proxy, parsed.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)


@asynccontextmanager
async def silent(proxy: TcpProxy, bot: Bot) -> AsyncIterator[None]:
    """The server answers nothing; at the end every connection to it breaks, and it comes back."""
    proxy.mode = Mode.BLACK_HOLE
    yield
    proxy.cut()
    proxy.mode = Mode.REFUSE
    assert await bot.in_flight.drain(PATIENCE)
    proxy.mode = Mode.PASS


async def every_sentence(interactions: list[Interaction]) -> list[str]:
    return [(await interaction.first_reply(PATIENCE)).text for interaction in interactions]


async def test_every_command_is_acknowledged_and_answered(simulated: World, server: tuple[TcpProxy, str]) -> None:
    proxy, address = server
    async with simulated.connected_bot(CLAUDE_COST_DATABASE_URL=address) as bot:
        simulated.spend(120)
        await bot.cycle()
        async with silent(proxy, bot):
            names = [row.name for row in SUBCOMMANDS if row.name != "estimate"]
            typed = await asyncio.gather(*(simulated.slack.command(name) for name in names))
            await simulated.slack.command("estimate")
            await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        said = dict(zip(names, await every_sentence(typed), strict=True))
        needing = {name: text for name, text in said.items() if name not in WITHOUT_DATABASE}
        assert {name for name, text in needing.items() if "database" not in text.lower()} == set()
        assert not any("Something went wrong" in text for text in said.values())
        assert "soft" in (await (await simulated.slack.command("status")).first_reply()).text


async def test_every_button_and_form_is_acknowledged_and_answered(
    simulated: World, server: tuple[TcpProxy, str]
) -> None:
    proxy, address = server
    slack = simulated.slack
    async with simulated.connected_bot(CLAUDE_COST_DATABASE_URL=address) as bot:
        simulated.spend(120)
        await bot.cycle()
        (alert,) = simulated.alerts("soft")
        status = await slack.command("fallback status")
        asked = await (await slack.command("budget set search hard=10")).first_reply()
        shared = await (await slack.command("estimate sonnet-4.6 requests=1k in=10 out=5")).first_reply()
        await slack.open_home()
        await slack.until(lambda: ADMIN in slack.views.homes)
        set_by_form = await slack.command("budget set")
        await slack.until(lambda: len(slack.views.modals.get(ADMIN, [])) == 1)
        raised_by_form = await slack.click(alert, "raise_open")
        await slack.until(lambda: len(slack.views.modals[ADMIN]) == 2)
        switched_by_form = await slack.click(await status.first_reply(), FORM_ACTION)
        await slack.until(lambda: len(slack.views.modals[ADMIN]) == 3)
        clicks: list[Callable[[], Awaitable[Interaction]]] = [
            lambda: slack.click(alert, "alert_acknowledge"),
            lambda: slack.click(alert, "alert_snooze:60"),
            lambda: slack.click(alert, "fallback_switch:degraded"),
            lambda: slack.click(asked, SET_ACTION),
        ]
        async with silent(proxy, bot):
            waiting = [await click() for click in clicks]
            await slack.click(shared, "estimate_share")
            await slack.click(slack.views.homes[ADMIN], REFRESH_ACTION)
            for values in (CHANGE, RAISE, BUDGET):
                await slack.submit_view(values)
            await slack.command("estimate")
            await slack.until(lambda: bool(slack.views.modals[ADMIN]))
            result = await slack.submit_view(ESTIMATE)
            assert result.ack is not None
            assert "$1,350.00 a month" in str((result.ack.payload or {})["view"])
        waiting += [set_by_form, raised_by_form, switched_by_form]
        assert {text for text in await every_sentence(waiting) if "database" not in text.lower()} == set()
