"""A digest of a team or a budget says of it alone what its budget says in `status`, from whichever source it counts."""

import re
from datetime import datetime
from decimal import Decimal

import pytest

from bot.clock import DAY, HOUR
from bot.ledger.model import Dimensions, Event
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_usage import Attribution
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import Message
from tests.scenario.conftest import OPUS, TOKENS_FOR_ONE_USD, World
from tests.scenario.test_attribution import spend as attribute
from tests.scenario.test_digest_settings import typed
from tests.scenario.test_digests import config, digests, spent

TEAMS = """
[[team]]
name = "search"
scopes = ["workspace:Search", "key:apikey_2"]
[[team]]
name = "care"
scopes = ["feature:support", "tag:team=care"]

[[budget]]
name = "search"
scope = "team:search"
hard_usd = "900"
[[budget]]
name = "search-day"
scope = "model:opus"
team = "search"
period = "day"
hard_usd = "901"
[[budget]]
name = "care"
scope = "team:care"
hard_usd = "902"
[[budget]]
name = "code"
scope = "product:claude_code"
hard_usd = "903"
[[budget]]
name = "everything"
hard_usd = "904"
"""
OF_OTHERS = ("apikey_3", "drafts", "$904.00")


@pytest.fixture
def clock() -> HandClock:
    """The evening before a month begins."""
    return HandClock(datetime.fromisoformat("2026-11-30T23:30:00+00:00"))


async def posted(bot: Bot, world: World, clock: HandClock, words: str) -> Message:
    """The digest of November that was asked for by these words."""
    await typed(world, f"digest on month at=00:00 {words}", channel=ALERTS)
    for _ in range(2):
        clock.advance(HOUR / 2)
        await bot.cycle()
    [digest] = digests(world)
    assert problems(digest.blocks, "message") == []
    return digest


def of_budget(text: str, name: str) -> Decimal:
    """Spend in November in a budget's line."""
    found = re.search(rf"{name}: \$([\d,.]+) of \$\d+\.\d\d \(\d+%\), November", text)
    assert found is not None, text
    return Decimal(found[1].replace(",", ""))


def work(world: World, clock: HandClock) -> None:
    for back in range(1, 9):
        world.spend(10, clock() - back * DAY)
        world.spend(3, clock() - back * DAY, key="apikey_2", workspace=None)
        world.spend(40, clock() - back * DAY, key="apikey_3", workspace=None, model="claude-haiku-4-5-20251001")


def log(bot: Bot, clock: HandClock) -> None:
    tokens = TokenCounts(uncached_input_tokens=7 * TOKENS_FOR_ONE_USD)
    dimensions = (
        Dimensions(OPUS, "support"),
        Dimensions(OPUS, "chat", tags=(("team", "care"),)),
        Dimensions(OPUS, "drafts"),
    )
    events = [
        Event(f"msg_{number}_{back}", clock() - back * DAY, each, tokens)
        for number, each in enumerate(dimensions)
        for back in range(1, 4)
    ]
    bot.services.ledger.append(events, clock())


@pytest.mark.parametrize("words", ["for=team:search", "for=search"])
async def test_a_teams_digest_says_what_its_budget_says_and_nothing_of_others(
    simulated: World, clock: HandClock, words: str
) -> None:
    work(simulated, clock)
    async with simulated.connected_bot(**config(simulated, TEAMS)) as bot:
        await bot.cycle()
        log(bot, clock)
        status = await typed(simulated, "status", channel=ALERTS)
        digest = await posted(bot, simulated, clock, words)
    assert spent(digest) == of_budget(digest.text, "search") == Decimal(104)
    assert "$104.00 of $900.00" in status.text
    assert not [other for other in OF_OTHERS if other in digest.text]
    # Retirements and price changes of models that only others use do not count for the team.
    assert "Haiku 4.5 retires" not in digest.text
    if words == "for=team:search":
        assert "This is about team:search alone." in digest.text
        assert "search-day: " in digest.text
    else:
        assert "This is about budget search alone." in digest.text
        assert "search-day: " not in digest.text


async def test_the_digest_of_a_team_that_is_logged_counts_the_log(simulated: World, clock: HandClock) -> None:
    work(simulated, clock)
    async with simulated.connected_bot(**config(simulated, TEAMS)) as bot:
        log(bot, clock)
        await bot.cycle()
        digest = await posted(bot, simulated, clock, "for=team:care")
    assert spent(digest) == of_budget(digest.text, "care") == Decimal(42)
    assert "This is what applications have logged; no bill is split that way." in digest.text
    assert "support: on " in digest.text
    assert not [other for other in OF_OTHERS if other in digest.text]


async def test_the_digest_of_what_anthropic_attributes_says_its_dollars(simulated: World, clock: HandClock) -> None:
    work(simulated, clock)
    for back in (1, 2, 5):
        attribute(simulated, "4.25", Attribution("claude_code"), clock() - back * DAY)
    async with simulated.connected_bot(**config(simulated, TEAMS)) as bot:
        await bot.cycle()
        digest = await posted(bot, simulated, clock, "for=budget:code")
    assert spent(digest) == of_budget(digest.text, "code") == Decimal("12.75")
    assert "This is about budget code alone." in digest.text


async def test_the_digest_of_a_budget_of_everything_is_that_of_everything(simulated: World, clock: HandClock) -> None:
    work(simulated, clock)
    async with simulated.connected_bot(**config(simulated, TEAMS)) as bot:
        await bot.cycle()
        digest = await posted(bot, simulated, clock, "for=budget:everything")
    assert spent(digest) == of_budget(digest.text, "everything") == Decimal(168)
    assert "search: " not in digest.text


async def test_a_digest_of_a_budget_that_is_gone_is_not_posted_and_the_list_and_the_log_say_so(
    simulated: World, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    work(simulated, clock)
    async with simulated.connected_bot(**config(simulated, TEAMS)) as bot:
        await bot.cycle()
        await typed(simulated, "digest on daily at=21:00 for=budget:code", channel=ALERTS)
    without = TEAMS.replace('name = "code"', 'name = "other"')
    async with simulated.connected_bot(**config(simulated, without)) as bot:
        clock.advance(24 * HOUR)
        for _ in range(2):
            await bot.cycle()
        assert digests(simulated) == []
        assert caplog.text.count("is not posted: There is no budget code any more.") == 1
        listed = await typed(simulated, "digest list", channel=ALERTS)
    assert "about budget code" in listed.text
    assert "There is no budget code any more." in listed.text
