"""Weeks of budgets in many zones: every crossing is reported exactly once, as an oracle of its own has it.

Whole years, with more polls and other seeds, are played by `benchmarks/year.py`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.databases import open_migrated
from tests.scenario.year_oracle import ReportedIncident
from tests.scenario.year_world import WATCHES, Year

BETWEEN_POLLS = timedelta(hours=18)
"""The mean."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A few weeks of a year."""

    name: str
    seed: int
    starts_at: datetime
    days: int


STRETCHES = (
    # Summer time ends in Berlin and New York and begins on Lord Howe and Chatham; Sonnet's price changes.
    Stretch("autumn", 2, datetime(2026, 9, 25, tzinfo=UTC), 42),
    # A leap day; summer time begins in New York and Berlin and ends on Lord Howe, in Santiago and on Chatham.
    Stretch("leap spring", 2, datetime(2028, 2, 25, tzinfo=UTC), 42),
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


def in_order(reported: list[ReportedIncident]) -> list[tuple[datetime, str]]:
    return sorted((one.at, one.incident) for one in reported)


@pytest.mark.parametrize("stretch", STRETCHES, ids=lambda stretch: stretch.name)
async def test_in_weeks_of_many_budgets_every_crossing_is_reported_once(engine: Engine, stretch: Stretch) -> None:
    year = Year(engine, stretch.seed, stretch.starts_at, stretch.days)
    await year.live(BETWEEN_POLLS)
    posts = year.posts()
    assert not [incident for incident, count in Counter(post.incident for post in posts).items() if count > 1]
    assert in_order(posts) == in_order(year.oracle.reported)

    # These were weeks in which things went wrong.
    assert year.polls > 50
    assert min(year.failed, year.undecided, year.edits, year.oracle.late) >= 1
    crossed = {post.incident.partition("/")[0] for post in posts}
    assert len(crossed) >= len(WATCHES) - 3
    levels = Counter(post.incident.split("/")[2] for post in posts)
    assert min(levels["soft"], levels["hard"]) >= 20
