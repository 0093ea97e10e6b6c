"""The demo's ledger: what the pretended applications log, and the budget of a feature that only their log knows."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from bot.clock import HOUR
from bot.notify.slack_connection import SocketMode
from bot.pricing.tokens import TokenCounts
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import APP_TOKEN
from bot.sandbox.slack_workspace import ADMIN
from bot.sandbox.stage import CURTAIN, Stage, set_stage
from bot.sandbox.team import Feature, Logged, UsageLog
from tests.databases import migrate_by_copy
from tests.scenario.http_port import client_of

SUPPORT = Feature("support", 1, "care", ("u1", "u2"))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = HandClock(CURTAIN)
    migrate_by_copy(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    async with set_stage(clock, tmp_path, poll_seconds=3600) as stage:
        socket = SocketMode(stage.bot.slack, APP_TOKEN)
        await socket.connect_async()  # type: ignore[no-untyped-call]
        clock.advance(HOUR)
        await stage.work()
        await stage.bot.cycle()
        yield stage
        await socket.close_async()  # type: ignore[no-untyped-call]


async def ask(stage: Stage, words: str) -> str:
    interaction = await stage.slack.command(words, ADMIN)
    return (await interaction.first_reply()).text


def usd(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


async def test_the_log_names_features_and_users_of_most_of_what_anthropic_counted(stage: Stage) -> None:
    report = await ask(stage, "report month by feature")
    assert "INCOMPLETE" not in report
    assert re.findall(r"^• ([\w-]+): ", report, re.MULTILINE) == ["support", "code-review", "search"]
    counted = re.search(r"Applications logged (\d+)% of the \$([\d,.]+) that Anthropic counted", report)
    assert counted is not None, report
    logged = re.match(r"\$([\d,.]+) in ", report)
    assert logged is not None
    assert usd(logged[1]) < usd(counted[2])
    assert 75 <= int(counted[1]) < 100
    assert "• agent-ida: " in await ask(stage, "report month by user")
    assert "• care: " in await ask(stage, "report today by tag:team")


async def test_a_feature_that_retries_without_end_alerts_before_any_poll(stage: Stage) -> None:
    before = len(stage.slack.messages)
    stage.team.retry_support(stage.clock())
    await stage.work()
    assert stage.bot.logged.is_set()
    await stage.bot.react()
    [alert] = stage.slack.messages[before:]
    assert "soft limit crossed, 10 Nov, budget support" in alert.text


async def test_a_runaway_job_is_reported_as_a_new_key_and_feature_before_any_limit_is_crossed(stage: Stage) -> None:
    assert isinstance(stage.clock, HandClock)
    before = len(stage.slack.messages)
    for _ in range(2):
        stage.clock.advance(10 * HOUR)
        await stage.work()
        await stage.bot.cycle()
    reported = [message.text.partition("\n")[0] for message in stage.slack.messages[before:]]
    assert [line.partition(" has spent")[0] for line in reported if line.startswith("New ")] == [
        "New key: ingest-2",
        "New feature: batch-summaries",
    ]
    assert not [line for line in reported if "limit crossed" in line]


async def test_what_the_bot_does_not_take_is_sent_again_and_nothing_twice() -> None:
    taken: list[str] = []
    answers = iter((200, 503, 200, 200))

    async def take(request: web.Request) -> web.Response:
        status = next(answers)
        if status == 200:
            taken.extend(line for line in (await request.text()).splitlines() if line)
        return web.Response(status=status)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/usage", take)
    async with client_of(app) as client:
        log = UsageLog(client)
        many = Logged(CURTAIN, timedelta(minutes=1), SUPPORT, "claude-opus-5-5", TokenCounts(10), 6_000)
        await log.send([many])
        assert len(taken) == 5_000
        await log.send([])
    assert len(taken) == len(set(taken)) == 6_000


async def test_a_log_that_the_bot_refuses_is_a_fault_of_the_demo() -> None:
    async def refuse(_: Any) -> web.Response:
        return web.Response(status=400)

    app = web.Application()
    app.router.add_post("/v1/usage", refuse)
    async with client_of(app) as client:
        with pytest.raises(httpx.HTTPStatusError):
            await UsageLog(client).send([Logged(CURTAIN, HOUR, SUPPORT, "claude-opus-5-5", TokenCounts(10), 1)])
