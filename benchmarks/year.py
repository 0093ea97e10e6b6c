"""Simulate years of budgets against the tests' oracle, with other seeds and more polls than the tests.

    python benchmarks/year.py [YEARS]

Prints for each year the alerts, the disturbances and the CPU time per poll. Exits with 1 at the first year in which
outbox and oracle differ.
"""

import asyncio
import logging
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.db.engine import open_database
from tests.scenario.year_world import Year

BETWEEN_POLLS = timedelta(hours=5)
FIRST_SEED = 100


def main(years: int) -> int:
    logging.disable(logging.CRITICAL)
    for seed in range(FIRST_SEED, FIRST_SEED + years):
        if not lived(seed):
            return 1
    return 0


def lived(seed: int) -> bool:
    """Simulate one year; returns whether every alert was posted exactly once."""
    starts_at = datetime(2026, 1, 1, tzinfo=UTC) + seed % 24 * timedelta(days=31)
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'claude-cost.db'}")
        try:
            year = Year(engine, seed, starts_at)
            begun_at = time.process_time()
            asyncio.run(year.live(BETWEEN_POLLS))
            seconds = time.process_time() - begun_at
            posts = year.posts()
        finally:
            engine.dispose()
    wanted = sorted((each.at, each.incident) for each in year.oracle.reported)
    same = sorted((post.at, post.incident) for post in posts) == wanted
    sys.stdout.write(
        f"seed {seed}, from {starts_at:%Y-%m-%d}: {len(posts)} posted, {len(wanted)} expected, "
        f"{'the same' if same else 'NOT THE SAME'}; {year.polls} polls, {year.failed} failed, {year.undecided} ended "
        f"before the decision, {year.edits} limits edited, {year.oracle.late} reported late, "
        f"{year.oracle.again} crossed again; {seconds / year.polls * 1000:.0f} ms a poll\n"
    )
    return same


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
