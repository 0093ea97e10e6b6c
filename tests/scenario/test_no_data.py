"""No data is a state of its own: reported with its reason, never shown as no spend, and its end is reported too."""

from datetime import timedelta

from bot.clock import HOUR
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import Message
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)
USAGE = "/v1/organizations/usage_report/messages"


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def no_data_alerts(world: World) -> list[Message]:
    """The posts about data that does not come."""
    return [post for post in world.posts() if "/stale/" in post.text]


async def polls(world: World, bot: Bot, clock: HandClock, minutes: int, *, failing: bool) -> None:
    """One poll a minute."""
    for _ in range(minutes):
        clock.advance(MINUTE)
        if failing:
            world.anthropic.faults.add(USAGE, Fault("status", status=403))
        await bot.cycle()


async def test_missing_data_is_reported_with_its_reason_and_its_end_in_the_same_message(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(60)
    clock.advance(10 * MINUTE)
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await bot.cycle()
        await polls(simulated, bot, clock, 10, failing=True)
        assert no_data_alerts(simulated) == []
        await polls(simulated, bot, clock, 50, failing=True)
        (reported,) = no_data_alerts(simulated)
        assert len(reported.texts) == 1
        assert first_line(reported).startswith("No data for 16 min")
        assert "ANTHROPIC_ADMIN_KEY" in reported.text.splitlines()[1]
        assert "Last known: $60.00 of $200.00 (30%) in November, budget default." in reported.text
        assert "data/2026-11-16T09:05Z/stale/0" in reported.text
        assert "$0.00" not in reported.text
        simulated.spend(10)
        await polls(simulated, bot, clock, 5, failing=False)
        assert len(reported.texts) == 2
        assert first_line(reported) == ("Data again after 66 min")
        assert "Nothing known is missing: the usage of every hour since then has been read." in reported.text
        assert "Spend is now: $70.00 of $200.00 (35%) in November, budget default." in reported.text
    assert no_data_alerts(simulated) == [reported]


async def test_missing_data_that_returns_soon_reopens_the_message_and_a_later_one_has_its_own(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(60)
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await bot.cycle()
        for _ in range(3):
            await polls(simulated, bot, clock, 20, failing=True)
            await polls(simulated, bot, clock, 10, failing=False)
        (first,) = no_data_alerts(simulated)
        assert len(first.texts) == 6
        await polls(simulated, bot, clock, 40, failing=False)
        await polls(simulated, bot, clock, 20, failing=True)
        assert no_data_alerts(simulated)[0] is first
        assert len(no_data_alerts(simulated)) == 2


async def test_data_that_anthropic_does_not_refresh_is_missed_though_every_poll_succeeds(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(60)
    clock.advance(10 * MINUTE)
    async with simulated.bot(CLAUDE_COST_USAGE_API="analytics") as bot:
        await bot.cycle()
        for minutes in range(1, 31):
            clock.advance(MINUTE)
            simulated.anthropic.analytics_behind = minutes * MINUTE
            await bot.cycle()
        (reported,) = no_data_alerts(simulated)
        assert first_line(reported) == ("No data for 16 min")


async def test_before_the_first_poll_that_succeeds_there_is_no_data_yet(simulated: World, clock: HandClock) -> None:
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await polls(simulated, bot, clock, 30, failing=True)
        (reported,) = no_data_alerts(simulated)
        assert first_line(reported).startswith("No data yet, for 16 min")
        assert "Last known" not in reported.text
        simulated.spend(120)
        await polls(simulated, bot, clock, 2, failing=False)
        assert first_line(reported).startswith("Data again after 30 min")
        assert len(simulated.alerts("soft")) == 1


async def test_a_bot_that_was_off_for_hours_asks_first_and_has_nothing_to_report(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(60)
    async with simulated.bot() as bot:
        await bot.cycle()
    clock.advance(7 * HOUR)
    async with simulated.bot() as bot:
        await bot.cycle()
    assert no_data_alerts(simulated) == []
