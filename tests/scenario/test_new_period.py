"""A period opens with one post: what the last one came to, and what the new one allows."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import Message
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def openings(world: World) -> list[Message]:
    return [post for post in world.posts() if first_line(post).startswith("New ")]


@pytest.fixture
def clock() -> HandClock:
    """The last evening of a month, a Monday."""
    return HandClock(datetime.fromisoformat("2026-11-30T22:00:00+00:00"))


async def test_a_month_opens_with_the_last_ones_total_and_its_own_limits_once(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(70, at=clock.now - 20 * DAY)
    simulated.spend(55)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (soft,) = simulated.posts()
        await (await simulated.slack.command("fallback on for 12h because of the budget")).first_reply()
        clock.advance(2 * HOUR + 3 * MINUTE)
        for _ in range(30):
            clock.advance(MINUTE)
            await bot.cycle()
    (new,) = openings(simulated)
    assert len(new.texts) == 1
    lines = new.text.splitlines()
    assert lines[0] == "New month: November ended at $125.00"
    assert lines[1:6] == [
        "That is 125% of its soft limit, $100.00 and 62% of its hard limit, $200.00.",
        "December, until 1 Jan 00:00 UTC: soft limit $100.00, hard limit $200.00.",
        "Fallback mode degraded is on.",
        "November, organization: $70.00 billed for 1 settled day + $55.00 computed from tokens and list prices, "
        "so far: 1 day is not yet billed.",
        "Incident default/2026-12/period/0 · closed",
    ]
    assert lines[6].startswith("Data as of 1 Dec 00:0")
    assert simulated.alerts("soft") == [soft]


async def test_it_waits_for_data_of_the_new_month(simulated: World, clock: HandClock) -> None:
    simulated.spend(10)
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await bot.cycle()
        clock.now = datetime.fromisoformat("2026-12-01T00:04:00+00:00")
        await bot.cycle()
        assert openings(simulated) == []
        clock.advance(MINUTE)
        await bot.cycle()
        assert len(openings(simulated)) == 1


@pytest.mark.parametrize(("away", "reported"), [(timedelta(days=1, hours=20), 1), (timedelta(days=3), 0)])
async def test_a_bot_that_was_away_reports_it_late_and_not_too_late(
    simulated: World, clock: HandClock, away: timedelta, reported: int
) -> None:
    simulated.spend(10)
    async with simulated.bot() as bot:
        await bot.cycle()
    clock.advance(away)
    async with simulated.bot() as bot:
        for _ in range(3):
            await bot.cycle()
            clock.advance(HOUR)
    assert len(openings(simulated)) == reported


async def test_a_bot_that_was_not_there_before_opens_nothing(simulated: World, clock: HandClock) -> None:
    simulated.spend(10)
    clock.advance(3 * HOUR)
    async with simulated.bot() as bot:
        await bot.cycle()
    assert simulated.posts() == []


async def test_weeks_are_compared_with_the_one_before_and_days_are_not_opened(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text(
        "".join(
            f'[[budget]]\nname = "{name}"\nperiod = "{period}"\nscope = "workspace:wrkspc_1"\nsoft_usd = "50"\n'
            for name, period in (("weekly", "week"), ("daily", "day"))
        )
    )
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        for text, usd in (("15T12:00", 10), ("16T00:30", 0), ("18T12:00", 15), ("20T12:00", 0), ("22T23:00", 0)):
            clock.now = datetime.fromisoformat(f"2026-11-{text}:00+00:00")
            if usd:
                simulated.spend(usd)
            await bot.cycle()
        clock.advance(timedelta(hours=1, minutes=30))
        await bot.cycle()
    first, second = openings(simulated)
    assert first_line(first) == "New week: the week of 9 Nov ended at $10.00, budget weekly"
    assert "The week before, the week of 2 Nov: $0.00." in first.text
    assert first_line(second) == "New week: the week of 16 Nov ended at $15.00, budget weekly"
    assert "The week before, the week of 9 Nov: $10.00, so this is +50%." in second.text


@pytest.mark.parametrize(("count", "posts"), [(3, 3), (12, 2)])
async def test_many_budgets_that_begin_at_one_moment_share_a_post(
    simulated: World, clock: HandClock, count: int, posts: int
) -> None:
    """Another budget, whose month begins elsewhere, is reported by itself."""
    config = simulated.folder / "claude-cost.toml"
    names = [f"team-{index:02}" for index in range(count)]
    zones = dict.fromkeys(names, "UTC") | ({"berlin": "Europe/Berlin"} if count > 3 else {})
    config.write_text(
        "".join(f'[[budget]]\nname = "{name}"\nzone = "{zone}"\nhard_usd = "100"\n' for name, zone in zones.items())
    )
    changes = {"CLAUDE_COST_CONFIG": str(config), "CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": ""}
    simulated.spend(40)
    async with simulated.bot(**changes) as bot:
        await bot.cycle()
        clock.advance(2 * HOUR + 6 * MINUTE)
        await bot.cycle()
        clock.advance(MINUTE)
        await bot.cycle()
    assert len(openings(simulated)) == posts
    if count > 3:
        (shared,) = [post for post in openings(simulated) if "team-00" in first_line(post)]
        assert "It begins for 12 budgets. The other 11:" in shared.text
        for name in names[1:]:
            assert f"• {name} ended at $40.00 so far, 40% of $100.00; now hard $100.00" in shared.text


@pytest.mark.parametrize("jump", [timedelta(minutes=30), timedelta(days=2), -timedelta(hours=3)], ids=str)
async def test_a_clock_that_jumps_over_the_end_of_a_month_and_back_doubles_nothing(
    simulated: World, clock: HandClock, jump: timedelta
) -> None:
    clock.now = datetime.fromisoformat("2026-11-30T23:40:00+00:00")
    simulated.spend(120, clock.now - HOUR)
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await bot.cycle()
        for there in (jump, -jump, timedelta()):
            clock.now += there
            for _ in range(2):
                clock.advance(MINUTE)
                await bot.cycle()
        clock.now = datetime.fromisoformat("2026-12-01T00:30:00+00:00")
        for _ in range(3):
            clock.advance(5 * MINUTE)
            await bot.cycle()
    assert len(simulated.alerts("soft")) == 1
    assert len(openings(simulated)) == 1
