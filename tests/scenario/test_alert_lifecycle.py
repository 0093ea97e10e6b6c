"""The lifecycle of an alert: acknowledged, escalated if nobody does, and always one message."""

from datetime import timedelta

import pytest
import responses
from sqlalchemy import select

from bot.alerts.incident import level_of
from bot.alerts.notice_contents import level_in
from bot.app import bot_from
from bot.clock import DAY, HOUR
from bot.config.settings import Need, load_settings
from bot.db.engine import connect
from bot.db.schema import alerts
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_usage import UsageEvent
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, Message
from handlers.render.asking import ASK_ACTION
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION, SNOOZE_ACTION
from handlers.render.spend import NOTHING_STOPPED, SWITCH_ACTION
from tests.databases import migrate_by_copy
from tests.scenario.conftest import OPUS, World

MINUTE = timedelta(minutes=1)
WEBHOOK = "http://hooks.example.com/alerts"


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def thread(world: World, alert: Message) -> list[tuple[str, bool]]:
    """First line of each reply, and whether the channel shows it too."""
    return [(first_line(reply), reply.broadcast) for reply in world.replies(alert)]


async def clicked(world: World, bot: Bot, alert: Message, action: str, user: str = DEVELOPER) -> str:
    """The answer to the person, once the alert has been edited."""
    answer = await (await world.slack.click(alert, action, user)).first_reply()
    await bot.deliver()
    return answer.text


async def passes(bot: Bot, clock: HandClock, time: timedelta, step: timedelta = 10 * MINUTE) -> None:
    """Let time go by, with a cycle after each step."""
    for _ in range(time // step):
        clock.advance(step)
        await bot.cycle()


def configured(world: World, text: str) -> dict[str, str]:
    config = world.folder / "claude-cost.toml"
    config.write_text(text, encoding="utf-8")
    return {"CLAUDE_COST_CONFIG": str(config)}


def statuses(world: World, level: str) -> list[str]:
    engine = connect(world.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.connect() as connection:
        found = list(connection.execute(select(alerts.c.status).where(level_in([level_of(level)]))).scalars())
    engine.dispose()
    return found


async def test_from_opening_to_resolution_an_alert_is_one_message_with_its_thread(
    simulated: World, clock: HandClock
) -> None:
    runaway = simulated.spend(90)
    simulated.spend(60)
    async with simulated.connected_bot(**configured(simulated, "[forecast]\nenabled = false\n")) as bot:
        await bot.cycle()
        (alert,) = simulated.posts()
        assert await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION) == (
            "Acknowledged: the alert and its thread say so, and nothing is escalated any more."
        )
        assert alert.text.splitlines()[1] == "Acknowledged by <@U0DEV> at 16 Nov 09:00 UTC"
        clock.advance(5 * MINUTE)
        assert await clicked(simulated, bot, alert, f"{SNOOZE_ACTION}:60") == (
            "Snoozed until 16 Nov 10:05 UTC: the channel is notified then if it is still open."
        )
        assert alert.text.splitlines()[2] == "Snoozed until 16 Nov 10:05 UTC by <@U0DEV>"
        await passes(bot, clock, HOUR)
        assert alert.text.splitlines()[1].startswith("Reported again at 16 Nov 10:05 UTC")
        simulated.anthropic.history.correct(runaway, clock.now)
        await passes(bot, clock, 2 * HOUR)
    assert thread(simulated, alert) == [
        ("Acknowledged by <@U0DEV>.", False),
        ("Snoozed by <@U0DEV> until 16 Nov 10:05 UTC.", False),
        ("The snooze is over, and this still stands.", True),
        ("Resolved: $60.00 is spent, below $100.00 again.", False),
    ]
    assert first_line(alert).startswith("$60.00 of $100.00 (60%): soft limit resolved")
    assert simulated.posts() == [alert]
    assert simulated.slack.unknown_calls == []


async def test_a_second_person_hears_who_was_first_and_what_is_over_cannot_be_taken(
    simulated: World, clock: HandClock
) -> None:
    runaway = simulated.spend(150)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (alert,) = simulated.posts()
        seen = Message(alert.channel, alert.ts, alert.posted_at, alert.user, alert.text, alert.blocks)
        await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION)
        simulated.slack.workspace.edit(alert, seen.text, seen.blocks)
        assert await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION, ADMIN) == (
            "Nothing was changed: <@U0DEV> has acknowledged it at 16 Nov 09:00 UTC."
        )
        simulated.anthropic.history.correct(runaway, clock.now)
        await passes(bot, clock, HOUR)
        simulated.slack.workspace.edit(alert, seen.text, seen.blocks)
        assert await clicked(simulated, bot, alert, f"{SNOOZE_ACTION}:480", ADMIN) == (
            "Nothing was changed: this alert is not open any more."
        )


async def test_a_hard_alert_that_nobody_takes_comes_again_once_after_half_an_hour(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(250)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (alert,) = simulated.alerts("hard")
        await passes(bot, clock, 29 * MINUTE, MINUTE)
        assert thread(simulated, alert) == []
        await passes(bot, clock, 3 * HOUR)
        assert thread(simulated, alert) == [("Nobody has acknowledged this for 39 min.", True)]
        (reply,) = simulated.replies(alert)
        assert first_line(alert) in reply.text
        assert reply.text.endswith(NOTHING_STOPPED)
        assert "Reported again at 16 Nov 09:39 UTC" in alert.text
        assert alert.text.endswith(NOTHING_STOPPED)
        await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION)
    assert "Reported again" not in alert.text
    assert simulated.posts() == [alert]


async def test_where_nobody_can_click_nothing_is_escalated(simulated: World, clock: HandClock) -> None:
    simulated.spend(250)
    settings = load_settings(simulated.environ, Need.RUN_ONCE)
    migrate_by_copy(settings.database_url)
    for _ in range(5):
        async with bot_from(settings, clock, hears_clicks=False) as bot:
            await bot.cycle()
        clock.advance(HOUR)
    (alert,) = simulated.posts()
    assert simulated.replies(alert) == []


async def test_a_deleted_message_is_posted_anew_at_the_next_step_and_its_thread_goes_on_there(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(250)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (lost,) = simulated.posts()
        simulated.slack.delete(lost)
        assert simulated.posts() == []
        await passes(bot, clock, 40 * MINUTE)
        (alert,) = simulated.posts()
        assert alert is not lost
        assert thread(simulated, alert) == [("Nobody has acknowledged this for 30 min.", True)]
        await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION)
    assert alert.text.splitlines()[1].startswith("Acknowledged by <@U0DEV>")
    assert simulated.posts() == [alert]


async def test_of_a_deleted_message_that_is_over_nothing_is_posted_at_all(simulated: World, clock: HandClock) -> None:
    runaway = simulated.spend(150)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        simulated.slack.delete(simulated.posts()[0])
        simulated.anthropic.history.correct(runaway, clock.now)
        await passes(bot, clock, HOUR)
        assert statuses(simulated, "soft") == ["resolved"]
        assert bot.services.alerts.notices.undelivered() == 0
    assert simulated.slack.messages == simulated.greetings()


def works_steadily(world: World, clock: HandClock) -> None:
    """A dollar an hour since the month began, nights and weekends alike."""
    hour = clock.now.replace(day=1, hour=0) - 10 * DAY
    while hour < clock.now:
        world.anthropic.history.add(
            UsageEvent(hour + 30 * MINUTE, OPUS, TokenCounts(uncached_input_tokens=200_000), "wrkspc_1", "apikey_1")
        )
        hour += HOUR


async def test_a_pace_that_passes_a_limit_is_reported_after_an_hour_and_superseded_when_it_comes_true(
    simulated: World, clock: HandClock
) -> None:
    works_steadily(simulated, clock)
    changes = configured(simulated, "[spike]\nenabled = false\n")
    limits = {"CLAUDE_COST_SOFT_USD": "600", "CLAUDE_COST_HARD_USD": "1500"}
    async with simulated.connected_bot(**changes, **limits) as bot:
        await bot.cycle()
        await passes(bot, clock, 50 * MINUTE)
        assert simulated.posts() == []
        await passes(bot, clock, 20 * MINUTE)
        (forecast,) = simulated.posts()
        assert first_line(forecast).startswith("Forecast $69")
        assert "by the end of November, above $600.00 (1" in first_line(forecast)
        simulated.spend(300)
        await passes(bot, clock, 20 * MINUTE)
        (same, soft) = simulated.posts()
    assert same is forecast
    assert "soft limit crossed" in first_line(soft)
    assert first_line(forecast).startswith("Forecast came true: $66")
    assert [broadcast for _, broadcast in thread(simulated, forecast)] == [False]
    assert statuses(simulated, "forecast") == ["superseded"]


async def test_a_threshold_is_reported_on_the_way_to_the_limits(simulated: World, clock: HandClock) -> None:
    changes = configured(
        simulated, '[[budget]]\nname = "team"\nsoft_usd = "100"\nhard_usd = "200"\nthresholds = [10, 25, 75]\n'
    )
    only = {"CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": ""}
    simulated.spend(60)
    async with simulated.connected_bot(**changes, **only) as bot:
        await bot.cycle()
        (mark,) = simulated.posts()
        assert first_line(mark) == "$60.00 of $50.00 (120%): threshold 25% of $200.00 crossed, November, budget team"
        simulated.spend(50)
        await passes(bot, clock, 10 * MINUTE)
        soft = simulated.posts()[-1]
        simulated.spend(45)
        await passes(bot, clock, 10 * MINUTE)
    assert [first_line(post) for post in simulated.posts()] == [
        "$110.00 of $50.00 (220%): threshold 25% of $200.00 crossed, and the next one too, November, budget team",
        "$110.00 of $100.00 (110%): soft limit crossed, November, budget team",
        "$155.00 of $150.00 (103%): threshold 75% of $200.00 crossed, November, budget team",
    ]
    assert soft in simulated.posts()
    assert thread(simulated, mark) == [("Passed: $110.00 is spent, more than the next mark.", False)]


async def test_each_level_goes_where_it_is_configured_to_go(
    simulated: World, clock: HandClock, no_call_through_requests: responses.RequestsMock
) -> None:
    changes = configured(
        simulated,
        '[alerts]\nchannel_levels = ["hard"]\n\n'
        '[[destination]]\nurl = "json://hooks.example.com/alerts"\nname = "hook"\nlevels = ["soft"]\n',
    )
    with responses.RequestsMock() as hook:
        hook.post(WEBHOOK)
        simulated.spend(150)
        async with simulated.connected_bot(**changes) as bot:
            await bot.cycle()
            await bot.destinations.settled()
            assert simulated.posts() == []
            assert len(hook.calls) == 1
            simulated.spend(100)
            await passes(bot, clock, 10 * MINUTE)
            await bot.destinations.settled()
        assert len(hook.calls) == 1
    (hard,) = simulated.posts()
    assert "hard limit crossed" in first_line(hard)


async def test_an_alert_whose_period_is_over_is_closed_once_its_figures_are_final(
    simulated: World, clock: HandClock
) -> None:
    clock.now = clock.now.replace(day=30, hour=20)
    simulated.spend(150)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (alert,) = simulated.posts()
        await passes(bot, clock, 2 * DAY, 6 * HOUR)
        assert statuses(simulated, "soft") == ["open", "watched"]
        await passes(bot, clock, 6 * HOUR, 6 * HOUR)
        assert statuses(simulated, "soft") == ["closed", "watched"]
        assert "soft limit crossed, period closed" in first_line(alert)
        assert thread(simulated, alert) == [
            ("Period closed: November is over. What was known last is $150.00.", False),
        ]
        with pytest.raises(ValueError, match="alert_acknowledge"):
            await simulated.slack.click(alert, ACKNOWLEDGE_ACTION)


async def test_status_says_what_stands_open_and_who_has_it(simulated: World, clock: HandClock) -> None:
    simulated.spend(150)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (alert,) = simulated.posts()
        before = await (await simulated.slack.command("status", DEVELOPER)).first_reply()
        await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION)
        after = await (await simulated.slack.command("status", DEVELOPER)).first_reply()
    what = "• soft limit $100.00 of budget default in November: since 16 Nov 09:00 UTC"
    assert f"{what}, nobody has acknowledged it." in before.text
    assert f"{what}, acknowledged by <@U0DEV> at 16 Nov 09:00 UTC." in after.text


async def test_a_sum_is_shown_in_the_money_of_the_readers(simulated: World) -> None:
    changes = configured(simulated, '[display]\ncurrency = "JPY"\nrate = "150"\n')
    simulated.spend(150)
    async with simulated.connected_bot(**changes) as bot:
        await bot.cycle()
    (alert,) = simulated.posts()
    assert "That is ¥22,500 (at 150 JPY for 1 USD)." in alert.text.splitlines()


# ---- buttons of those who may not


async def test_whoever_may_not_switch_reads_so_and_may_ask_the_admins_once_in_the_alerts_thread(
    simulated: World,
) -> None:
    simulated.spend(250)
    async with simulated.connected_bot(**configured(simulated, "[forecast]\nenabled = false\n")) as bot:
        await bot.cycle()
        (alert,) = simulated.posts()
        switch = f"{SWITCH_ACTION}:minimal"
        refused = await (await simulated.slack.click(alert, switch, DEVELOPER)).first_reply()
        assert "only the people named in CLAUDE_COST_ADMINS may change the fallback mode" in refused.text
        for answer in ("Asked: the admins are mentioned in the alert's thread.", "You have asked already"):
            notice = await (await simulated.slack.click(refused, ASK_ACTION, DEVELOPER)).first_reply()
            assert notice.text.startswith(answer)
        await bot.deliver()
        (asked,) = simulated.replies(alert)
        assert asked.text.startswith("<@U0DEV> asks for fallback mode minimal. <@U0ADMIN>: please decide.")
        # The admin clicks where the question stands, and there too somebody else may not.
        assert "may change" in (await (await simulated.slack.click(asked, switch, DEVELOPER)).first_reply()).text
        done = await (await simulated.slack.click(asked, switch, ADMIN)).first_reply()
        assert "Fallback mode normal → minimal." in done.text


async def test_where_slack_refuses_to_fold_the_details_stand_in_the_thread_once(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(150)
    async with simulated.connected_bot(**configured(simulated, "[forecast]\nenabled = false\n")) as bot:
        simulated.slack.workspace.unknown_blocks.add("container")
        await bot.cycle()
        (alert,) = simulated.posts()
        (details,) = simulated.replies(alert)
        await clicked(simulated, bot, alert, ACKNOWLEDGE_ACTION)
        assert [reply.text.partition("\n")[0] for reply in simulated.replies(alert)[1:]] == [
            "Acknowledged by <@U0DEV>."
        ]
        status = await (await simulated.slack.command("status")).first_reply()
    assert len(alert.texts) == 2
    assert "container" not in str(alert.blocks)
    assert "Incident default/2026-11/soft/100 · open" in details.text
    assert "Incident default/2026-11/soft/100 · open" in str(details.blocks)
    # What only one person sees has no thread: nothing is folded there.
    assert "computed from tokens and list prices" in str(status.blocks)
