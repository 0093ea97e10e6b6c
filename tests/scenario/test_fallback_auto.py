"""The chain that steps down by itself at an alert, says so, steps back, leaves people their choice, and never flaps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from bot.fallback.targets.env_file import EnvFile
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, Message
from tests.scenario.conftest import OPUS, World
from tests.scenario.http_port import type_in_slack

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@asynccontextmanager
async def auto_bot(world: World, more: str = "", **changes: str) -> AsyncIterator[Bot]:
    """`more`: further lines of the table `[fallback]`."""
    config = world.folder / "claude-cost.toml"
    config.write_text(f"[fallback]\nauto = true\n{more}")
    async with world.connected_bot(CLAUDE_COST_CONFIG=str(config), **changes) as bot:
        yield bot


def announcements(world: World) -> list[Message]:
    return [post for post in world.posts() if post.text.startswith("Fallback mode")]


def hard_alerts(world: World) -> list[Message]:
    """Hard alerts, without announcements and forecasts, whose first lines may name the limit too."""
    return [post for post in world.alerts("hard") if post.text.startswith("$")]


def mode_of(bot: Bot) -> str:
    return bot.services.fallback.state().mode.name


def changes_of(bot: Bot) -> list[str]:
    return [change.mode for change in bot.services.fallback.store.changes(100)]


def day_of_opus(world: World, clock: HandClock) -> None:
    """$120 in the last day, which is above the soft limit and below the hard one."""
    for hour in range(1, 25):
        world.spend(5, clock() - hour * HOUR + 30 * MINUTE, OPUS)


async def polls(bot: Bot, clock: HandClock, minutes: int, every: int = 10) -> None:
    for _ in range(minutes // every):
        clock.advance(every * MINUTE)
        await bot.cycle()


async def test_at_the_hard_limit_it_steps_down_says_why_and_steps_back_when_the_alert_is_over(
    simulated: World, clock: HandClock
) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        await bot.cycle()
        assert mode_of(bot) == "normal"
        mistake = simulated.spend(90)
        clock.advance(MINUTE)
        await bot.cycle()
        assert EnvFile(simulated.fallback_file).holds(bot.services.fallback.modes["degraded"].variables)
        (alert,), (post,) = hard_alerts(simulated), announcements(simulated)
        assert "Fallback mode degraded is on." in alert.text
        assert post.text.splitlines()[0] == (
            "Fallback mode normal → degraded, by claude-cost: the hard limit of $200.00 of budget default is crossed"
        )
        assert "degraded: at most Sonnet 5.5; saves about $" in post.text
        assert "Automatic, since stepping down by itself is on" in post.text
        assert "what a person chooses holds until there is another alert" in post.text
        assert "Undo: back to normal" in str(post.blocks)
        simulated.anthropic.history.correct(mistake, clock())
        await polls(bot, clock, 30)
        assert mode_of(bot) == "degraded"
        await polls(bot, clock, 10)
        assert mode_of(bot) == "normal"
        assert announcements(simulated)[-1].text.splitlines()[0] == (
            "Fallback mode degraded → normal, by claude-cost: no alert that counts has been open for 30 minutes"
        )
        await polls(bot, clock, 60)
        assert changes_of(bot) == ["degraded", "normal"]


async def test_with_the_period_the_mode_ends_and_the_alert_counts_no_more(simulated: World, clock: HandClock) -> None:
    clock.advance(datetime.fromisoformat("2026-11-30T23:00:00+00:00") - clock())
    async with auto_bot(simulated) as bot:
        simulated.spend(250)
        clock.advance(MINUTE)
        await bot.cycle()
        assert mode_of(bot) == "degraded"
        await polls(bot, clock, 120)
        assert changes_of(bot) == ["degraded", "normal"]
        assert announcements(simulated)[-1].text.splitlines()[0].endswith("by claude-cost: a new period has begun")


async def test_where_spend_goes_on_it_takes_the_next_step_after_an_hour(simulated: World, clock: HandClock) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        simulated.spend(80, clock() - 10 * HOUR)
        await bot.cycle()
        assert mode_of(bot) == "degraded"
        for _ in range(5):
            simulated.spend(1)
            await polls(bot, clock, 10)
        assert mode_of(bot) == "degraded"
        simulated.spend(1)
        await polls(bot, clock, 20)
        assert changes_of(bot) == ["degraded", "minimal"]
        assert "and spend goes on at $6.00 an hour ($5.00 before degraded)" in announcements(simulated)[-1].text


async def test_a_person_who_undoes_it_is_not_overruled_whatever_the_alert_does(
    simulated: World, clock: HandClock
) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        excess = simulated.spend(90)
        clock.advance(MINUTE)
        await bot.cycle()
        (post,) = announcements(simulated)
        click = await simulated.slack.click(post, "fallback_switch:normal", ADMIN)
        await click.first_reply()
        await polls(bot, clock, 120, every=20)
        simulated.anthropic.history.correct(excess, clock())
        await polls(bot, clock, 60, every=20)
        simulated.spend(90)
        await polls(bot, clock, 120, every=20)
        assert changes_of(bot) == ["degraded", "normal"]
        (alert,) = hard_alerts(simulated)
        assert "Fallback mode degraded is on." not in alert.text


async def test_while_it_is_off_the_hard_limit_changes_nothing_and_chat_wins_over_the_file(
    simulated: World, clock: HandClock
) -> None:
    async with auto_bot(simulated) as bot:
        await type_in_slack(simulated, "fallback auto off")
        simulated.spend(250)
        clock.advance(MINUTE)
        await bot.cycle()
        await polls(bot, clock, 60, every=20)
        assert changes_of(bot) == []
        assert len(hard_alerts(simulated)) == 1
        await type_in_slack(simulated, "fallback auto on")
        await bot.cycle()
        assert changes_of(bot) == ["degraded"]


async def test_a_limit_that_is_crossed_to_and_fro_at_every_poll_does_not_make_the_mode_flap(
    simulated: World, clock: HandClock
) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        for poll in range(16):
            excess = simulated.spend(90)
            if poll % 2:
                simulated.anthropic.history.correct(excess, clock())
            clock.advance(5 * MINUTE)
            await bot.cycle()
            if not poll % 2:
                simulated.anthropic.history.correct(excess, clock())
        (alert,) = hard_alerts(simulated)
        assert len(alert.texts) > 8
        assert changes_of(bot) in (["degraded"], ["degraded", "minimal"])


async def test_an_alert_that_closes_and_opens_slowly_is_answered_once(simulated: World, clock: HandClock) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        for _ in range(4):
            excess = simulated.spend(90)
            await polls(bot, clock, 45, every=15)
            simulated.anthropic.history.correct(excess, clock())
            await polls(bot, clock, 60, every=15)
        assert changes_of(bot) == ["degraded", "normal"]


async def test_a_restart_loses_nothing_and_announces_nothing_twice(simulated: World, clock: HandClock) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        excess = simulated.spend(90)
        clock.advance(MINUTE)
        await bot.cycle()
    async with auto_bot(simulated) as bot:
        await polls(bot, clock, 30)
        assert changes_of(bot) == ["degraded"]
        simulated.anthropic.history.correct(excess, clock())
        await polls(bot, clock, 10)
    async with auto_bot(simulated) as bot:
        await polls(bot, clock, 40)
        assert changes_of(bot) == ["degraded", "normal"]
    assert len(announcements(simulated)) == 2


async def test_a_mode_with_a_time_that_is_stepped_down_from_keeps_its_end(simulated: World, clock: HandClock) -> None:
    day_of_opus(simulated, clock)
    async with auto_bot(simulated) as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on for 5h")
        until = clock() + 5 * HOUR
        excess = simulated.spend(90)
        clock.advance(MINUTE)
        await bot.cycle()
        await polls(bot, clock, 60)
        assert mode_of(bot) == "minimal"
        simulated.anthropic.history.correct(excess, clock())
        await polls(bot, clock, 50)
        state = bot.services.fallback.state()
        assert (state.mode.name, state.until) == ("degraded", until)


async def test_approvals_are_for_people_the_settings_have_agreed_to_this(simulated: World, clock: HandClock) -> None:
    admins = f"{ADMIN},{DEVELOPER}"
    async with auto_bot(simulated, "approvals = 1\n", CLAUDE_COST_ADMINS=admins) as bot:
        simulated.spend(250)
        clock.advance(MINUTE)
        await bot.cycle()
        assert mode_of(bot) == "degraded"
