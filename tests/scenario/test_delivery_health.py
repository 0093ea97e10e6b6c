"""A failing destination is reported at the others, and so is its recovery."""

import json
from collections.abc import Iterator

import pytest
import responses

from bot.clock import MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS
from tests.scenario.conftest import World

HOOK = "https://hooks.example.com/one"
OTHER = "https://hooks.example.com/other"


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """A fake internet; unexpected calls are refused as everywhere."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield web


@pytest.fixture(autouse=True)
def destinations(simulated: World) -> None:
    config = simulated.folder / "claude-cost.toml"
    tables = [
        f'[[destination]]\nname = "{name}"\nurl = "{url.replace("https", "jsons")}"'
        for name, url in (("hook", HOOK), ("other", OTHER))
    ]
    config.write_text("\n".join(tables), encoding="utf-8")
    simulated.environ["CLAUDE_COST_CONFIG"] = str(config)


async def deliver(bot: Bot, clock: HandClock, minutes: int = 1) -> None:
    for _ in range(minutes):
        clock.advance(MINUTE)
        await bot.deliver()
        await bot.destinations.settled()


async def crossed(world: World, bot: Bot) -> None:
    world.spend(120)
    await bot.cycle()
    await bot.destinations.settled()


def titles(web: responses.RequestsMock, url: str) -> list[str]:
    bodies = (call.request.body for call in web.calls if call.request.url == url)
    return [json.loads(body)["title"] for body in bodies if isinstance(body, str | bytes)]


def told_in_slack(world: World) -> list[str]:
    """The first lines of what the channel shows of destinations."""
    lines = [post.text.partition("\n")[0] for post in world.posts()]
    return [line for line in lines if "reach" in line]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_webhook_that_is_gone_is_reported_everywhere_else_at_once(
    simulated: World, clock: HandClock, web: responses.RequestsMock, status: int
) -> None:
    gone = web.post(HOOK, status=status)
    web.post(OTHER)
    async with simulated.bot() as bot:
        await crossed(simulated, bot)
        await deliver(bot, clock, minutes=15)
        first = "No alerts reach hook: 1 waiting"
        assert told_in_slack(simulated) == [first]
        (post,) = [post for post in simulated.posts() if post.text.startswith(first)]
        assert f": it responded with HTTP status {status}." in post.text
        assert titles(web, OTHER)[1:] == [first]
        assert all("reach hook" not in title for title in titles(web, HOOK))
        web.remove(gone)
        web.post(HOOK)
        await deliver(bot, clock, minutes=6)
    (again,) = told_in_slack(simulated)
    assert again.startswith("Alerts reach hook again")
    assert len(titles(web, OTHER)) == 3
    assert all("reach hook" not in title for title in titles(web, HOOK))


async def test_a_webhook_with_a_fault_is_reported_only_once_it_has_lasted(
    simulated: World, clock: HandClock, web: responses.RequestsMock
) -> None:
    web.post(HOOK, status=503)
    web.post(OTHER)
    async with simulated.bot() as bot:
        await crossed(simulated, bot)
        await deliver(bot, clock, minutes=9)
        assert told_in_slack(simulated) == []
        await deliver(bot, clock, minutes=2)
        assert told_in_slack(simulated) == ["No alerts reach hook: 1 waiting"]


@pytest.mark.parametrize("revoked", [True, False], ids=["the token is revoked", "the channel is archived"])
async def test_slack_that_takes_nothing_for_good_is_reported_at_every_destination_at_once(
    simulated: World, clock: HandClock, web: responses.RequestsMock, revoked: bool
) -> None:
    for url in (HOOK, OTHER):
        web.post(url)
    channel = simulated.slack.workspace.channels[ALERTS]
    simulated.slack.faults.outage = Fault("error", error="token_revoked") if revoked else None
    channel.is_archived = not revoked
    async with simulated.bot() as bot:
        await crossed(simulated, bot)
        await deliver(bot, clock)
        # With the greeting of a new database.
        first = "No alerts reach Slack: 2 waiting"
        for url in (HOOK, OTHER):
            assert titles(web, url)[1:] == [first]
        simulated.slack.faults.outage = None
        channel.is_archived = False
        await deliver(bot, clock)
        for url in (HOOK, OTHER):
            assert titles(web, url)[2:] == ["Alerts reach Slack again"]
    (soft,) = simulated.posts()
    assert soft in simulated.alerts("soft")


async def test_a_test_alert_reaches_every_destination_and_its_answer_names_them(
    simulated: World, clock: HandClock, web: responses.RequestsMock
) -> None:
    for url in (HOOK, OTHER):
        web.post(url)
    async with simulated.connected_bot() as bot:
        reply = await (await simulated.slack.command("test-alert")).first_reply()
        assert "is on its way to the alert channel and to hook, other" in reply.text
        await deliver(bot, clock)
    first = "Test alert: nothing was spent and no limit is crossed."
    assert [post.text.partition("\n")[0] for post in simulated.posts()] == [first]
    assert (titles(web, HOOK), titles(web, OTHER)) == ([first], [first])
