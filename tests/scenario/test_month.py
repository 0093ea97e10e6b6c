"""A month that crosses both limits, reported once each, whatever happens in between."""

from datetime import timedelta

import pytest

from bot.clock import DAY, HOUR
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import Message
from tests.scenario.conftest import World


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


async def test_cron_reports_each_limit_once_and_nothing_more_after_that(world: World) -> None:
    world.spend(60)
    assert (await world.once()).code == 0
    assert world.posts() == []

    world.spend(45)
    assert (await world.once()).code == 0
    (soft,) = world.posts()
    assert first_line(soft) == "$105.00 of $100.00 (105%): soft limit crossed, November"

    for _ in range(2):
        assert (await world.once()).code == 0
    assert world.posts() == [soft]

    corrected = world.spend(100)
    assert (await world.once()).code == 0
    (hard,) = world.alerts("hard")
    assert first_line(hard) == "$205.00 of $200.00 (102%): hard limit crossed, November"
    assert "superseded" in soft.text

    world.anthropic.history.correct(corrected, world.clock())
    world.spend(98)
    for changes in ({}, {"CLAUDE_COST_USAGE_API": "admin"}, {"CLAUDE_COST_USAGE_API": "analytics"}, {}):
        assert await world.once(**changes) == await world.once(**changes)
        assert [*world.alerts("soft"), *world.alerts("hard")] == [soft, hard]
    assert len(world.posts()) == 2
    assert world.slack.unknown_calls == []


async def test_once_prints_nothing_and_opens_no_socket_when_all_is_well(world: World) -> None:
    world.spend(120)
    finished = await world.once()
    assert (finished.code, finished.out, finished.err) == (0, "", "")
    assert world.slack.sockets.count == 0
    assert "apps.connections.open" not in {call.method for call in world.slack.calls}


async def test_both_limits_first_seen_together_are_one_hard_message(world: World) -> None:
    world.spend(250)
    await world.once()
    (hard,) = world.posts()
    assert "hard limit crossed" in first_line(hard)
    assert "The soft limit of $100.00 is passed too" in hard.text


async def test_the_soft_and_the_hard_message_link_to_each_other(world: World) -> None:
    world.spend(120)
    await world.once()
    world.spend(100)
    await world.once()
    soft, hard = world.posts()
    for message, other in ((soft, hard), (hard, soft)):
        assert f"/archives/{other.channel}/p{other.ts.replace('.', '')}|" in message.text


async def test_a_poll_that_fails_leaves_the_numbers_and_says_so(world: World) -> None:
    world.spend(60)
    await world.once(CLAUDE_COST_USAGE_API="admin")
    world.environ["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"
    finished = await world.once(CLAUDE_COST_USAGE_API="admin")
    assert finished.code == 1
    assert finished.err.count("\n") == 1
    assert world.posts() == []


OFTEN = (1, 11, 12, 13, 23, 24)
"""Days of two polls: the first one, and those around the two crossings. Of the others every fifth has one."""


async def restart_and_poll_twice(world: World, api: str) -> None:
    async with world.bot(CLAUDE_COST_USAGE_API=api) as bot:
        for _ in range(2):
            cycle = await bot.cycle()
            assert cycle.poll is not None
            assert cycle.poll.ok, cycle.poll.error


@pytest.mark.parametrize("api", ["admin", "auto"])
async def test_a_whole_month_of_restarts_and_changes_reports_each_limit_once_and_once_ahead(
    simulated: World, clock: HandClock, api: str
) -> None:
    clock.now = clock.now.replace(day=1, hour=0)
    for day in range(30):
        # $9 a day crosses $100 on the 12th and $200 on the 23rd.
        clock.advance(12 * HOUR)
        simulated.spend(9, at=clock.now - timedelta(minutes=30))
        if day + 1 in OFTEN:
            await restart_and_poll_twice(simulated, api if day < 10 else "admin")
        clock.advance(12 * HOUR if day < 29 else 11 * HOUR)
        if day + 1 in OFTEN or (day + 1) % 5 == 0:
            await restart_and_poll_twice(simulated, api if day < 10 else "analytics")
    assert [len(simulated.alerts(level)) for level in ("soft", "hard")] == [1, 1]
    reported = simulated.posts()
    # Each limit has one forecast alert, too.
    assert [post.texts[0].startswith("Forecast ") for post in reported] == [True, True, False, False]
    clock.advance(2 * DAY)
    async with simulated.bot() as bot:
        await bot.cycle()
    opened = simulated.posts()[len(reported) :]
    assert [first_line(post) for post in opened] == ["New month: November ended at $270.00"]


async def test_spend_that_falls_back_resolves_the_message_and_reopens_it_without_a_new_post(
    simulated: World, clock: HandClock
) -> None:
    event = simulated.spend(120)
    clock.advance(HOUR)
    async with simulated.bot() as bot:
        await bot.cycle()
        (soft,) = simulated.posts()
        simulated.anthropic.history.correct(event, clock.now)
        clock.advance(HOUR)
        await bot.cycle()
        assert "resolved" in first_line(soft)
        simulated.spend(130)
        clock.advance(timedelta(minutes=10))
        await bot.cycle()
        assert "crossed again" in first_line(soft)
    assert simulated.posts() == [soft]


async def test_status_shows_a_change_of_source(simulated: World, clock: HandClock) -> None:
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await bot.cycle()
    clock.advance(HOUR)
    async with simulated.connected_bot(CLAUDE_COST_USAGE_API="analytics") as bot:
        await bot.cycle()
        reply = await (await simulated.slack.command("status")).first_reply()
    assert "Read from the admin API until 16 Nov 10:00 UTC, since then from the analytics API." in reply.text
