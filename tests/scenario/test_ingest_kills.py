"""The bot is killed while applications send usage: what it acknowledged is there, and once."""

from tests.databases import database_url
from tests.scenario.conftest import World
from tests.scenario.ingest_kills import kill_while_ingesting

__all__ = ["database_url"]

KILLS = 3


async def test_killed_while_it_takes_usage_the_bot_loses_and_doubles_nothing(world: World, database_url: str) -> None:
    environ = {**world.environ, "CLAUDE_COST_DATABASE_URL": database_url}
    outcome = await kill_while_ingesting(environ, KILLS, seed=1)
    assert (outcome.kills, outcome.lost, outcome.doubled) == (KILLS, 0, 0)
    assert outcome.acknowledged > 0
