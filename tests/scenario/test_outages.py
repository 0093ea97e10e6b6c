"""An hour without Slack, and one without Anthropic: everything is reported afterwards, in order, once."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import responses

from bot.app import bot_from
from bot.clock import MINUTE
from bot.config.settings import Need, load_settings
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import TEAM_ID, Message
from handlers.commands import answer
from tests.databases import migrate_by_copy
from tests.scenario.conftest import ADMIN, World, member

DOWN = Fault("status", status=503)
WEBHOOK = "https://hooks.example.com/services/claude-cost"
BETWEEN_CYCLES = 5 * MINUTE


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """A fake internet; unexpected calls are refused as everywhere."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield web


@asynccontextmanager
async def bot_in(world: World) -> AsyncIterator[Bot]:
    """The bot, which does not wait in real time where Anthropic does not answer."""
    migrate_by_copy(world.environ["CLAUDE_COST_DATABASE_URL"])
    async with bot_from(load_settings(world.environ, Need.RUN), world.clock, most_waiting=timedelta(0)) as bot:
        bot.workspace.team = TEAM_ID
        yield bot


async def cycles(bot: Bot, clock: HandClock, count: int) -> None:
    for _ in range(count):
        clock.advance(BETWEEN_CYCLES)
        await bot.cycle()
        await bot.destinations.settled()


def tell_a_webhook(world: World, web: responses.RequestsMock) -> None:
    web.post(WEBHOOK)
    config = world.folder / "claude-cost.toml"
    url = WEBHOOK.replace("https", "jsons")
    config.write_text(f'[[destination]]\nname = "hook"\nurl = "{url}"\n', encoding="utf-8")
    world.environ["CLAUDE_COST_CONFIG"] = str(config)


def titles(web: responses.RequestsMock) -> list[str]:
    bodies = (call.request.body for call in web.calls)
    return [json.loads(body)["title"] for body in bodies if isinstance(body, str | bytes)]


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def late_line(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("Late by")]
    return line


async def test_after_an_hour_without_slack_everything_is_shown_in_order_once_and_says_that_it_is_late(
    simulated: World, clock: HandClock, web: responses.RequestsMock
) -> None:
    tell_a_webhook(simulated, web)
    slack = simulated.slack
    async with bot_in(simulated) as bot:
        await cycles(bot, clock, 1)
        slack.faults.outage = DOWN
        simulated.spend(120)
        await cycles(bot, clock, 4)
        simulated.spend(100)
        await cycles(bot, clock, 4)
        await answer(bot.services, member(ADMIN), "fallback on because of the spend")
        await cycles(bot, clock, 4)
        assert simulated.posts() == []
        slack.faults.outage = None
        await cycles(bot, clock, 3)
    soft, hard, mode = simulated.posts()
    assert [first_line(post) for post in (soft, hard, mode)] == [
        "$220.00 of $100.00 (220%): soft limit crossed, and the next one too, November",
        "$220.00 of $200.00 (110%): hard limit crossed, November",
        "Fallback mode normal → degraded, by <@U0ADMIN>: of the spend",
    ]
    (step,) = simulated.replies(soft)
    assert first_line(step) == "Passed: $220.00 is spent, so the next limit, $200.00, is crossed too."
    assert [late_line(post.texts[0]) for post in (soft, hard, mode, step)] == [
        "Late by 60 min: this is how it stood at 16 Nov 09:10 UTC.",
        "Late by 40 min: this is how it stood at 16 Nov 09:30 UTC.",
        "Late by 25 min: this is how it stood at 16 Nov 09:45 UTC.",
        "Late by 40 min: this is how it stood at 16 Nov 09:30 UTC.",
    ]
    assert titles(web) == [
        "$120.00 of $100.00 (120%): soft limit crossed, November",
        "No alerts reach Slack: 1 waiting",
        "$220.00 of $200.00 (110%): hard limit crossed, November",
        "Alerts reach Slack again",
    ]


async def test_an_hour_without_anthropic_lowers_no_number_and_what_was_crossed_in_it_is_reported_once(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(60)
    async with bot_in(simulated) as bot:
        await cycles(bot, clock, 2)
        simulated.anthropic.faults.outage = DOWN
        simulated.spend(60, clock.now + 20 * MINUTE)
        seen = []
        for _ in range(12):
            await cycles(bot, clock, 1)
            status = await answer(bot.services, member(ADMIN), "status")
            seen.append(status.text)
        simulated.anthropic.faults.outage = None
        await cycles(bot, clock, 3)
    # Once it is stale, that is said first.
    assert all("$60.00 of $200.00 (30%), November" in text for text in seen)
    assert "Data as of 16 Nov 09:10 UTC (60 min old)" in seen[-1]
    stale, soft = (post for post in simulated.posts() if "/forecast/" not in post.text)
    assert [text[:16] for text in stale.texts] == ["No data for 20 m", "Data again after"]
    assert "Spend is now: $120.00 of $200.00 (60%) in November, budget default." in stale.text
    assert len(simulated.replies(stale)) == 1
    assert soft.texts[0].startswith("$120.00 of $100.00 (120%): soft limit crossed, November")
    assert (len(soft.texts), simulated.replies(soft)) == (1, [])
