"""A cycle deletes what was kept long enough, and alerts go on."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, create_engine, func, insert, select

from bot.db.schema import audit
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import World
from tests.scenario.test_outages import DOWN


def count_of_audit(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(audit)).scalar_one()


async def test_a_cycle_deletes_what_is_older_than_the_settings_say_and_a_wrong_clock_nothing(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text("[retention]\nchange_days = 200\n", encoding="utf-8")
    simulated.spend(120)
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        engine = create_engine(simulated.environ["CLAUDE_COST_DATABASE_URL"])
        entry = {"actor": "U1", "action": "test", "outcome": "done", "detail": ""}
        now = simulated.clock()
        ages = [timedelta(days=days) for days in (199, 201)]
        with engine.begin() as connection:
            connection.execute(insert(audit), [{**entry, "at": now - age} for age in ages])
        await bot.cycle()
        left = count_of_audit(engine)
        # A machine that wakes up with a wrong clock and without a network.
        simulated.anthropic.faults.outage = DOWN
        clock.advance(timedelta(days=3000))
        bot._pruned_at = None
        await bot.cycle()
        assert (left, count_of_audit(engine)) == (1, 1)
        engine.dispose()
    assert len(simulated.alerts("soft")) == 1
