"""Budgets and reports of what applications log: a feature's budget, alerts within seconds, the budgets over HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from bot.budgets.budget import Budget, PeriodKind, parse_scope
from bot.clock import HOUR, MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER
from handlers.commands import answer
from tests.scenario.conftest import OPUS, TOKENS_FOR_ONE_USD, World, member
from tests.scenario.http_port import PATIENCE, free_port, served


def record(number: int, usd: str, feature: str = "support", **more: Any) -> dict[str, Any]:
    tokens = int(Decimal(usd) * TOKENS_FOR_ONE_USD)
    return {
        "id": f"msg_{number}",
        "feature": feature,
        "model": OPUS,
        "input_tokens": tokens,
        "output_tokens": 0,
        **more,
    }


def budget(name: str, scope: str, soft: str | None, hard: str | None) -> Budget:
    soft_usd, hard_usd = (None if usd is None else Decimal(usd) for usd in (soft, hard))
    return Budget(name, parse_scope(scope), PeriodKind.MONTH, ZoneInfo("UTC"), soft_usd, hard_usd, "chat")


async def send(client: httpx.AsyncClient, *records: dict[str, Any]) -> None:
    taken = await client.post("/v1/usage", json=list(records))
    assert (taken.status_code, taken.json()["rejected"]) == (200, []), taken.text


async def ask(bot: Bot, words: str) -> str:
    return (await answer(bot.services, member(DEVELOPER), words)).text


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.05)


async def ready(client: httpx.AsyncClient) -> bool:
    try:
        return "no usage data" not in (await client.get("/readyz")).text
    except httpx.TransportError:
        return False


async def posted(world: World) -> bool:
    return bool(world.posts())


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot(**simulated.naming_users()) as bot:
        yield bot


def set_budget(bot: Bot, wanted: Budget) -> None:
    assert bot.services.budgets.set(wanted, bot.services.budgets.version(wanted.name), "U0ADMIN")


async def test_a_features_budget_fires_on_what_is_logged(simulated: World, bot: Bot, clock: HandClock) -> None:
    set_budget(bot, budget("support", "feature:support", "5", "10"))
    async with served(bot) as client:
        await send(client, record(1, "4.99", user_id="u1", tags={"team": "care"}), record(2, "50", "search"))
        await bot.cycle()
        assert simulated.posts() == []
        clock.advance(MINUTE)
        await send(client, record(3, "0.01"))
        await bot.react()
        [alert] = simulated.posts()
        assert all(part in alert.text for part in ("soft limit", "$5.00", "Opus 4.8 · support · u1, team=care: $4.99"))
        assert "key" not in alert.text
        await send(client, record(3, "0.01"))
        await bot.react()
        await bot.cycle()
        assert [post.ts for post in simulated.posts()] == [alert.ts]
        await send(client, record(4, "5"))
        await bot.react()
        assert len(simulated.alerts("hard")) == 1


async def test_the_alert_of_a_runaway_names_it_and_counts_its_minute_in_every_figure(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    """$0.10 an hour since two days, then $20.00 in the minute that is running."""
    daily = replace(budget("support", "feature:support", "10", None), period=PeriodKind.DAY)
    set_budget(bot, daily)
    usual = [
        record(hour, "0.1", user_id="usual", time=(clock() - hour * HOUR + 30 * MINUTE).isoformat())
        for hour in range(1, 49)
    ]
    async with served(bot) as client:
        await send(client, *usual)
        await bot.cycle()
        assert simulated.posts() == []
        runaway = [record(100 + each, "2", user_id="runaway", time=clock().isoformat()) for each in range(10)]
        await send(client, *runaway)
        await bot.react()
        [alert] = simulated.posts()
        # Nine hours of the day, and the minute.
        assert "$20.90 of $10.00 (209%)" in alert.text
        assert "Opus 4.8 · support · runaway: $20.00 in 24 h, new" in alert.text
        assert "Opus 4.8 · support · usual: $2.40 in 24 h, the 24 h before $2.40" in alert.text
        end, low, high, saved = figures(alert.text)
        # $1.50 of usual hours are left, a third of the burst fades into them, and the range has it once more.
        assert Decimal("20.90") <= low <= end <= high
        assert Decimal("22.40") + 20 / Decimal(4) <= end <= Decimal("22.40") + 20 / Decimal(2)
        assert Decimal("22.40") + 20 / Decimal(2) <= high <= Decimal("22.40") + 2 * 20
        assert Decimal(0) < saved <= end - Decimal("20.90")
        shown = await ask(bot, "status")
        assert figures(shown)[:3] == (end, low, high)
        assert "runaway: $20.00 in 24 h, new" in shown
        by_feature = await ask(bot, "report today by feature")
        assert "support: $20.90" in by_feature
    async with served(bot, "secret") as client:
        client.headers["Authorization"] = "Bearer secret"
        budgets = (await client.get("/v1/budgets")).json()["budgets"]
    [found] = [each for each in budgets if each["name"] == "support"]
    assert (found["spent_usd"], found["expected_usd"]) == ("20.90", str(end))


def figures(text: str) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """The expected end and its range, and what the cheapest mode saves; -1 where no mode is named."""
    of_support = text[text.index("budget support") :]
    end = re.search(r"Expected end: \$(\S+) \(range \$(\S+) to \$(\S+)\)", of_support)
    assert end is not None, text
    saved = re.findall(r"saves about \$(\S+) by", of_support)
    low, expected, high = (Decimal(end[group]) for group in (2, 1, 3))
    return expected, low, high, Decimal(saved[-1] if saved else -1)


async def test_a_features_alert_is_withdrawn_once_with_its_budget_and_by_nothing_else(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    support = budget("support", "feature:support", None, "1")
    set_budget(bot, support)
    async with served(bot) as client:
        await send(client, record(1, "2"))
        await bot.react()
    simulated.spend("1")
    for _ in range(2):
        clock.advance(MINUTE)
        await bot.cycle()
    [alert] = simulated.posts()
    assert "hard limit crossed" in alert.text
    assert bot.services.budgets.remove("support", bot.services.budgets.version("support"), "U0ADMIN")
    for _ in range(2):
        clock.advance(MINUTE)
        await bot.cycle()
    [alert] = simulated.posts()
    assert "not in force any more" in alert.text
    assert len(simulated.replies(alert)) == 1


async def test_an_alert_at_once_knows_the_mode_that_was_changed_since_the_last_poll(simulated: World, bot: Bot) -> None:
    set_budget(bot, budget("support", "feature:support", None, "1"))
    bot.services.fallback.switch(bot.services.fallback.modes["degraded"], "U0ADMIN", "a test", (), None)
    await bot.cycle()
    bot.services.fallback.switch(bot.services.fallback.modes["normal"], "U0ADMIN", "a test", (), None)
    before = len(simulated.posts())
    async with served(bot) as client:
        await send(client, record(1, "2"))
    await bot.react()
    alert = simulated.posts()[-1]
    assert len(simulated.posts()) > before
    assert "hard limit crossed" in alert.text
    assert "degraded is on" not in alert.text


async def test_an_event_over_the_limit_alerts_before_the_next_poll(simulated: World) -> None:
    port = free_port()
    path = simulated.folder / "claude-cost.toml"
    path.write_text('[[budget]]\nname = "support"\nscope = "feature:support"\nhard_usd = "1"\n')
    async with (
        simulated.running(
            CLAUDE_COST_HTTP_PORT=str(port), CLAUDE_COST_CONFIG=str(path), CLAUDE_COST_POLL_SECONDS="3600"
        ),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await until(lambda: ready(client))
        await send(client, record(1, "1"))
        await until(lambda: posted(simulated))
    [alert] = simulated.posts()
    assert all(part in alert.text for part in ("hard limit", "support"))


async def test_reports_by_feature_user_and_tag(simulated: World, bot: Bot, clock: HandClock) -> None:
    async with served(bot) as client:
        await send(
            client,
            record(1, "3", user_id="u1", tags={"team": "care"}),
            record(2, "2", "search", user_id="u2", tags={"team": "find"}),
            record(3, "1", "search", user_id="u1"),
        )
    clock.advance(MINUTE)
    await bot.cycle()
    by_feature = await ask(bot, "report by feature")
    assert all(part in by_feature for part in ("support: $3.00 (50%)", "search: $3.00 (50%)"))
    by_user = await ask(bot, "report today by user")
    assert all(part in by_user for part in ("u1: $4.00", "u2: $2.00"))
    by_tag = await ask(bot, "report by tag:team")
    assert all(part in by_tag for part in ("care: $3.00", "find: $2.00", "no tag: $1.00"))
    assert "needs the name of a tag" in await ask(bot, "report by tag")


async def test_a_report_by_feature_says_that_nothing_is_logged(simulated: World, bot: Bot) -> None:
    await bot.cycle()
    assert "No application has logged usage" in await ask(bot, "report by feature")


async def test_the_budgets_over_http(simulated: World, bot: Bot) -> None:
    set_budget(bot, budget("support", "feature:support", "5", "10"))
    set_budget(bot, budget("unused", "feature:nobody", None, "7"))
    simulated.spend("12.5")
    await bot.cycle()
    async with served(bot, "secret") as client:
        assert (await client.get("/v1/budgets")).status_code == 401
        client.headers["Authorization"] = "Bearer secret"
        async with served(bot) as sender:
            await send(sender, record(1, "6"))
        shown = (await client.get("/v1/budgets")).json()
    found = {each["name"]: each for each in shown["budgets"]}
    assert shown["as_of"] is not None
    assert (found["default"]["spent_usd"], found["default"]["provisional_usd"]) == ("18.50", "6.00")
    support = found["support"]
    assert {name: support[name] for name in ("scope", "spent_usd", "soft_usd", "hard_usd", "left_usd", "status")} == {
        "scope": "feature:support",
        "spent_usd": "6.00",
        "soft_usd": "5.00",
        "hard_usd": "10.00",
        "left_usd": "4.00",
        "status": "soft",
    }
    unused = found["unused"]
    assert (unused["spent_usd"], unused["left_usd"], unused["status"]) == (None, None, "unknown")
