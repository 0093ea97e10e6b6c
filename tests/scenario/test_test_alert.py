"""`test-alert`: an admin sees one message come the way of every alert, and nothing else is touched by it."""

from datetime import timedelta

from bot.db.engine import connect
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import DEVELOPER, Message
from tests.scenario.conftest import World

FIRST_LINE = "Test alert: nothing was spent and no limit is crossed."


async def asked(world: World, user: str = "U0ADMIN") -> str:
    return (await (await world.slack.command("test-alert", user)).first_reply()).text


def delivered_tests(world: World) -> list[Message]:
    return [post for post in world.posts() if post.text.startswith(FIRST_LINE)]


def audited(world: World) -> list[tuple[str, str, str]]:
    engine = connect(world.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT actor, action, outcome FROM audit ORDER BY id").all()
    engine.dispose()
    return [(row[0], row[1], row[2]) for row in rows]


async def test_an_admins_test_alert_reaches_the_channel_once(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        reply = await asked(simulated)
        assert "`test/2026-11-16T09:00:00Z` is on its way to the alert channel" in reply
        assert "No data yet" in reply
        assert simulated.posts() == []
        for _ in range(3):
            await bot.deliver()
    (post,) = simulated.posts()
    assert post.text.splitlines()[0] == FIRST_LINE
    assert "<@U0ADMIN> asked for it" in post.text
    assert "Incident test/2026-11-16T09:00:00Z" in post.text
    assert problems(post.blocks, "message") == []
    assert "actions" not in {block["type"] for block in post.blocks}
    assert audited(simulated) == [("U0ADMIN", "test-alert", "done")]


async def test_every_request_is_a_message_of_its_own(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await asked(simulated)
        await asked(simulated)
        await bot.deliver()
    assert len(delivered_tests(simulated)) == 2


async def test_only_admins_may_and_the_refusal_is_kept(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        reply = await asked(simulated, DEVELOPER)
        await bot.deliver()
    assert reply.startswith(
        "Nothing was changed: only the people named in CLAUDE_COST_ADMINS may send a test alert (<@U0ADMIN>)."
    )
    assert simulated.posts() == []
    assert audited(simulated) == [(DEVELOPER, "test-alert", "refused")]


async def test_where_nobody_is_an_admin_the_refusal_names_the_variable(simulated: World) -> None:
    async with simulated.connected_bot(CLAUDE_COST_ADMINS="") as bot:
        reply = await asked(simulated)
        await bot.deliver()
    assert "nobody may send a test alert yet" in reply
    assert "CLAUDE_COST_ADMINS" in reply
    assert simulated.posts() == []


async def test_real_incidents_are_neither_reported_nor_changed_by_it(simulated: World) -> None:
    simulated.spend(150)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        (alert,) = simulated.alerts("soft")
        incidents = bot.services.alerts.incidents("default", "2026-11")
        await asked(simulated)
        await bot.cycle()
        assert bot.services.alerts.incidents("default", "2026-11") == incidents
        assert simulated.alerts("soft") == [alert]
        assert alert.earlier == []
        assert len(delivered_tests(simulated)) == 1
        simulated.spend(100)
        await bot.cycle()
        assert len(simulated.alerts("hard")) == 1


async def test_it_waits_its_turn_behind_what_cannot_be_delivered(simulated: World, clock: HandClock) -> None:
    simulated.spend(150)
    simulated.slack.faults.add("chat.postMessage", Fault("status", status=503))
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        reply = await asked(simulated)
        # The alert and the greeting.
        assert "once the 2 messages before it" in reply
        assert "Slack has an internal error" in reply
        await bot.deliver()
        assert simulated.posts() == []
        clock.advance(timedelta(minutes=1))
        await bot.deliver()
    first, second = simulated.posts()
    assert "soft limit" in first.text.splitlines()[0]
    assert second.text.startswith(FIRST_LINE)


async def test_after_a_broken_connection_it_is_found_and_not_posted_again(simulated: World, clock: HandClock) -> None:
    simulated.slack.workspace.scopes.add("channels:history")
    simulated.slack.faults.add("chat.postMessage", Fault("drop_after"))
    async with simulated.connected_bot() as bot:
        await asked(simulated)
        await bot.deliver()
        clock.advance(timedelta(minutes=1))
        await bot.deliver()
        assert bot.services.alerts.notices.undelivered() == 0
    assert len(delivered_tests(simulated)) == 1


async def test_it_is_kept_over_a_restart(simulated: World) -> None:
    simulated.slack.workspace.channels[ALERTS].is_archived = True
    async with simulated.connected_bot() as bot:
        await asked(simulated)
        await bot.deliver()
    assert simulated.posts() == []
    simulated.slack.workspace.channels[ALERTS].is_archived = False
    async with simulated.bot() as bot:
        await bot.deliver()
    assert len(delivered_tests(simulated)) == 1
