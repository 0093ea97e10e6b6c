"""Kill the bot at random moments while applications send usage, more often than the tests do.

    python benchmarks/ingest_kills.py [--kills 200] [--seed 1000] [--quick]

Runs on SQLite, and on PostgreSQL if CLAUDE_COST_TEST_POSTGRES names a server. Unacknowledged records are sent again,
together with larger states of old responses. Exit code 1 if an acknowledged response is lost or anything counts twice.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, emit
from bot.clock import system_clock
from tests import postgres_server
from tests.databases import postgres_database
from tests.scenario.conftest import world_at
from tests.scenario.ingest_kills import Outcome, kill_while_ingesting


async def measure(folder: Path, database_url: str, kills: int, seed: int) -> Outcome:
    """One run on one database."""
    async with world_at(system_clock, folder) as world:
        return await kill_while_ingesting({**world.environ, "CLAUDE_COST_DATABASE_URL": database_url}, kills, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="few, to see that everything runs")
    parser.add_argument("--seed", type=int, default=1000)
    words = parser.parse_args()
    if words.quick:
        words.kills = 5
    logging.basicConfig(level=logging.ERROR)
    well = True
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"SQLite": f"sqlite:///{folder / 'claude-cost.db'}"}
        if postgres_server.GIVEN:
            urls["PostgreSQL"] = stack.enter_context(postgres_database())
        for name, url in urls.items():
            found = asyncio.run(measure(folder, url, words.kills, words.seed))
            title = f"{name}, {found.kills} kills, {found.acknowledged} acknowledged"
            emit(Figure(f"lost | {title}", found.lost, "responses", goal=0))
            emit(Figure(f"doubled | {title}", found.doubled, "responses", goal=0))
            well &= not found.lost and not found.doubled
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
