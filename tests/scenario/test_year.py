"""A year of budgets in many zones: every crossing is told exactly once, as an oracle of its own has it."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bot.store.engine import open_database
from tests.scenario.year_oracle import Told
from tests.scenario.year_world import WATCHES, Year

BETWEEN_POLLS = timedelta(hours=16)
"""The mean, so that the year is played within a minute or two; the benchmark polls more often, also a leap year."""

SEED, STARTS_AT = 1, datetime(2026, 2, 14, tzinfo=UTC)
"""A year of both changes of the clock, in which prices change too."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


def in_order(told: list[Told]) -> list[tuple[datetime, str]]:
    return sorted((one.at, one.incident) for one in told)


async def test_in_a_year_of_many_budgets_every_crossing_is_told_exactly_once(engine: Engine) -> None:
    year = Year(engine, SEED, STARTS_AT)
    await year.live(BETWEEN_POLLS)
    posts = year.posts()
    assert not [incident for incident, count in Counter(post.incident for post in posts).items() if count > 1]
    assert in_order(posts) == in_order(year.oracle.told)

    # The year was one in which things went wrong.
    assert year.polls > 400
    assert min(year.failed, year.undecided, year.edits, year.oracle.again, year.oracle.late) >= 5
    crossed = Counter(post.incident.partition("/")[0] for post in posts)
    assert set(crossed) == {watch.name for watch in WATCHES}
    levels = Counter(post.incident.split("/")[2] for post in posts)
    assert min(levels["soft"], levels["hard"]) >= 100
