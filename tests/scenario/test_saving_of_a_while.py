"""The saving of a mode that is on for a while is less than until the end of the period."""

import re
from datetime import timedelta
from decimal import Decimal

from bot.sandbox.clock import HandClock
from tests.scenario.conftest import World

SAVING = re.compile(r"saves about \$([0-9.,]+) (by the end of the period|until it ends)")


def saving_in(text: str) -> tuple[Decimal, str]:
    match = SAVING.search(text)
    assert match is not None, text
    return Decimal(match[1].replace(",", "")), match[2]


async def test_two_hours_save_what_two_hours_cost(simulated: World, clock: HandClock) -> None:
    for hour in range(24):
        simulated.spend(2, at=clock() - timedelta(hours=hour, minutes=10))
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        whole = await (await simulated.slack.command("fallback status")).first_reply()
        switched = await (await simulated.slack.command("fallback on for 2h because test")).first_reply()
        longer = await (await simulated.slack.command("fallback on degraded for 5h because longer")).first_reply()
    of_the_period, end = saving_in(whole.text)
    assert end == "by the end of the period"
    of_two_hours, until = saving_in(switched.text)
    assert until == "until it ends"
    # $2 an hour on Opus 4.8, of which Sonnet 5.5 saves 60% of the input's price; quieter days are expected too.
    assert Decimal(1) < of_two_hours < Decimal("2.6") < of_the_period
    assert "stays on" in longer.text
    assert "saves" not in longer.text
