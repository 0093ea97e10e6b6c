"""An alert of a period that has ended offers no way out of it."""

from datetime import timedelta

from bot.clock import DAY, HOUR, floor_day
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import OPUS, World
from tests.scenario.test_budget_in_chat import buttons


async def test_once_its_day_is_over_an_alert_offers_no_way_out(simulated: World, clock: HandClock) -> None:
    config = simulated.folder / "daily.toml"
    config.write_text('[[budget]]\nname = "daily"\nscope = "organization"\nperiod = "day"\nhard_usd = "50"\n')
    for hours in range(9, 0, -1):
        simulated.spend(8, model=OPUS, at=clock.now - hours * HOUR)
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await bot.cycle()
        (alert,) = [post for post in simulated.posts() if "budget daily" in post.text]
        assert "Ways out" in str(alert.blocks)
        assert any(action.startswith("fallback_switch") for action in buttons(alert))
        clock.now = floor_day(clock.now) + DAY + timedelta(minutes=10)
        await bot.cycle()
        assert "which is over" in alert.text
        assert "Ways out" not in str(alert.blocks)
        assert not any(action.startswith("fallback_switch") for action in buttons(alert))
        edits = len(alert.texts)
        clock.advance(HOUR)
        await bot.cycle()
        assert len(alert.texts) == edits
