"""A cycle deletes what was kept long enough, and alerts go on."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import create_engine, func, insert, select

from bot.db.schema import audit
from tests.scenario.conftest import World


async def test_a_cycle_deletes_what_is_older_than_the_settings_say(simulated: World, tmp_path: Path) -> None:
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
        with engine.connect() as connection:
            left = connection.execute(select(func.count()).select_from(audit)).scalar_one()
        engine.dispose()
    assert left == 1
    assert len(simulated.alerts("soft")) == 1
