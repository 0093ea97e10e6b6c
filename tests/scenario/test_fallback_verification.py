"""After a change of the mode, usage shows whether it took effect, and the announcement's thread says so."""

from datetime import timedelta

from sqlalchemy import select

from bot.db.engine import open_database
from bot.db.schema import audit
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Message
from tests.scenario.conftest import OPUS, World
from tests.scenario.http_port import type_in_slack

MINUTE = timedelta(minutes=1)
SONNET = "claude-sonnet-5-5"


def announcement(world: World) -> Message:
    """The newest one."""
    return [post for post in world.posts() if post.text.startswith("Fallback mode")][-1]


def verifications(world: World) -> list[Message]:
    return [reply for reply in world.replies(announcement(world)) if "share" in reply.text]


def used_before(world: World, clock: HandClock) -> None:
    """An hour of Opus, a tenth of a dollar a minute."""
    for minute in range(1, 61):
        world.spend("0.1", clock() - minute * MINUTE, OPUS)


async def goes_on(world: World, bot: Bot, clock: HandClock, minutes: int, model: str, every: int = 5) -> None:
    """Use tokens in each minute, and poll every `every` minutes."""
    for minute in range(1, minutes + 1):
        world.spend("0.1", model=model)
        clock.advance(MINUTE)
        if minute % every == 0:
            await bot.cycle()


async def test_a_change_that_is_followed_is_proved_once_and_status_says_switched(
    simulated: World, clock: HandClock
) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on")
        await goes_on(simulated, bot, clock, 5, OPUS)
        await goes_on(simulated, bot, clock, 5, SONNET)
        assert verifications(simulated) == []
        status = await type_in_slack(simulated, "fallback status")
        assert "Written, not switched: usage does not show it yet." in status
        assert ", written" in await type_in_slack(simulated, "status")
        await goes_on(simulated, bot, clock, 30, SONNET)
        (report,) = verifications(simulated)
        assert report.text.startswith("Opus share 100% → 0% in 5 min, $5.00 → $2.00 a million tokens.")
        assert "Fallback mode degraded has taken effect" in report.text
        status = await type_in_slack(simulated, "fallback status")
        assert "Switched: Opus share 100% → 0% in 5 min, $5.00 → $2.00 a million tokens." in status
        assert ", switched" in await type_in_slack(simulated, "status")


async def test_who_has_not_followed_is_named_with_workspace_model_and_key(simulated: World, clock: HandClock) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on")
        await goes_on(simulated, bot, clock, 40, OPUS)
        (wrong,) = verifications(simulated)
        assert wrong.text.startswith("No effect: workspace Search still calls Opus 4.8 with key ingest ($6.00 an")
        status = await type_in_slack(simulated, "fallback status")
        assert "Written, not switched. No effect: workspace Search still calls Opus 4.8" in status
        await goes_on(simulated, bot, clock, 20, SONNET)
        _, right = verifications(simulated)
        assert right.text.startswith("Opus share 100% → 0% in 40 min")


async def test_whoever_dismisses_it_hears_no_more_of_this_change(simulated: World, clock: HandClock) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on")
        await goes_on(simulated, bot, clock, 35, OPUS)
        (wrong,) = verifications(simulated)
        click = await simulated.slack.click(wrong, "proof_dismiss", DEVELOPER)
        await click.first_reply()
        assert wrong.text.startswith("No effect: workspace Search")
        assert "Dismissed by <@U0DEV>: nothing more is reported about this change." in wrong.text
        assert not [block for block in wrong.blocks if block["type"] == "actions"]
        await goes_on(simulated, bot, clock, 90, OPUS, every=15)
        await goes_on(simulated, bot, clock, 20, SONNET)
        assert len(verifications(simulated)) == 1
        assert "proof degraded: no effect, dismissed" in await type_in_slack(simulated, "fallback history")
    engine = open_database(simulated.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.connect() as connection:
        entries = connection.execute(select(audit.c.actor, audit.c.detail).where(audit.c.action == "proof")).all()
    engine.dispose()
    assert [tuple(entry) for entry in entries] == [(DEVELOPER, "degraded: no effect, dismissed")]


async def test_a_button_of_a_change_that_is_over_dismisses_nothing(simulated: World, clock: HandClock) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on")
        await goes_on(simulated, bot, clock, 35, OPUS)
        (wrong,) = verifications(simulated)
        await type_in_slack(simulated, "fallback off")
        click = await simulated.slack.click(wrong, "proof_dismiss", DEVELOPER)
        assert (await click.first_reply()).text == (
            "Nothing was changed: this change of the fallback mode is not watched any more."
        )


async def test_a_restart_loses_nothing_and_repeats_nothing(simulated: World, clock: HandClock) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on")
        await goes_on(simulated, bot, clock, 35, OPUS)
        assert len(verifications(simulated)) == 1
    async with simulated.bot() as bot:
        await goes_on(simulated, bot, clock, 10, OPUS)
        assert len(verifications(simulated)) == 1
    async with simulated.bot() as bot:
        await goes_on(simulated, bot, clock, 20, SONNET)
    async with simulated.bot() as bot:
        await goes_on(simulated, bot, clock, 20, SONNET)
    wrong, right = verifications(simulated)
    assert wrong.text.startswith("No effect")
    assert right.text.startswith("Opus share 100% → 0%")


async def test_more_time_for_a_mode_is_no_new_change_to_prove(simulated: World, clock: HandClock) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on for 1h")
        await goes_on(simulated, bot, clock, 20, SONNET)
        assert len(verifications(simulated)) == 1
        await type_in_slack(simulated, "fallback on for 3h")
        await goes_on(simulated, bot, clock, 30, SONNET)
        assert announcement(simulated).text.startswith("Fallback mode degraded stays on")
        assert verifications(simulated) == []
        assert "Switched: Opus share" in await type_in_slack(simulated, "fallback status")


async def test_the_way_back_to_normal_is_proved_by_nothing(simulated: World, clock: HandClock) -> None:
    used_before(simulated, clock)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on")
        await goes_on(simulated, bot, clock, 5, SONNET)
        await type_in_slack(simulated, "fallback off")
        await goes_on(simulated, bot, clock, 60, OPUS, every=15)
        assert simulated.replies(announcement(simulated)) == []
        assert "not switched" not in await type_in_slack(simulated, "fallback status")
