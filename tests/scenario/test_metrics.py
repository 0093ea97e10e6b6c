"""Prometheus scrapes what the bot knows, and nothing that it does not know."""

import re
from datetime import timedelta
from decimal import Decimal

from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN
from bot.web.metrics import CONTENT_TYPE, Gauge, exposition, waiting
from tests.scenario.conftest import World
from tests.scenario.http_port import served

SAMPLE = re.compile(r'([a-z_]+)((?:\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})?) (-?[0-9]+(?:\.[0-9]+)?)')


def samples(text: str) -> dict[str, Decimal]:
    """Name with labels → value; fails for a line that Prometheus would not read."""
    found: dict[str, Decimal] = {}
    for line in text.splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1] + match[2] not in found
            found[match[1] + match[2]] = Decimal(match[3])
    return found


async def test_before_the_first_poll_there_are_limits_and_a_mode_but_no_spend(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert samples(answer.text) == {
        'claude_cost_limit_usd{budget="default",level="soft"}': 100,
        'claude_cost_limit_usd{budget="default",level="hard"}': 200,
        'claude_cost_fallback_mode{mode="normal"}': 1,
        'claude_cost_fallback_mode{mode="degraded"}': 0,
        'claude_cost_fallback_mode{mode="minimal"}': 0,
        'claude_cost_notices_waiting{destination="slack"}': 0,
    }


async def test_after_a_poll_the_spend_its_age_and_what_waits_are_there(simulated: World, clock: HandClock) -> None:
    simulated.spend(120, clock() - timedelta(hours=2))
    simulated.slack.faults.add("chat.postMessage", Fault("html", status=502))
    async with simulated.bot() as bot, served(bot) as client:
        await bot.cycle()
        fallback = bot.services.fallback
        fallback.switch(fallback.modes["degraded"], ADMIN, "a test", (), None)
        found = samples((await client.get("/metrics")).text)
        as_of = bot.services.usage.data_state().as_of
    assert as_of is not None
    assert found['claude_cost_spend_usd{budget="default",scope="organization",period="2026-11"}'] == 120
    assert found["claude_cost_data_as_of_timestamp_seconds"] == Decimal(str(as_of.timestamp()))
    assert found['claude_cost_assumed_models{budget="default"}'] == 0
    assert found['claude_cost_fallback_mode{mode="normal"}'] == 0
    assert found['claude_cost_fallback_mode{mode="degraded"}'] == 1
    # The greeting, the alert and the change of the mode.
    assert found['claude_cost_notices_waiting{destination="slack"}'] == 3


def test_a_destination_of_the_name_slack_is_counted_apart_from_the_channel() -> None:
    further = {"slack": 2, "Slack": 3, "pager": 0, "slack (further)": 4}
    found = {labels["destination"]: number for labels, number in waiting(1, further)}
    assert found["slack"] == 1
    assert (found["Slack"], found["pager"], found["slack (further)"]) == (3, 0, 4)
    assert sorted(found.values()) == [0, 1, 2, 3, 4]


async def test_spend_is_for_those_with_the_token(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot, "a-token") as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers={"Authorization": "Bearer a-token"})).status_code == 200


def test_labels_are_escaped_and_small_amounts_keep_their_digits() -> None:
    text = exposition(
        [
            Gauge("claude_cost_spend_usd", "Spend.", [({"scope": 'a "b" \\ c\nd'}, Decimal("1E-7"))]),
            Gauge("claude_cost_pace_usd", "Nothing is known.", []),
        ]
    )
    assert text == (
        "# HELP claude_cost_spend_usd Spend.\n# TYPE claude_cost_spend_usd gauge\n"
        'claude_cost_spend_usd{scope="a \\"b\\" \\\\ c\\nd"} 0.0000001\n'
    )
    assert samples(text)
