"""What an answer does not show is not computed, however many budgets there are."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from bot.budgets.account import Account, Detail
from bot.budgets.budget import Budget
from bot.budgets.live import LiveSpend
from bot.budgets.recent import RecentSpend
from bot.budgets.savings import InForce
from bot.budgets.snapshot import Snapshot
from bot.budgets.usage_table import Table
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import World
from tests.scenario.test_statements import quiet

BUDGETS = 50


class CountedTables(Mapping[datetime, Table]):
    """The rows of hours; counts how often those of an hour are taken."""

    def __init__(self, tables: Mapping[datetime, Table]) -> None:
        self._tables = tables
        self.taken = 0

    def __getitem__(self, hour: datetime) -> Table:
        self.taken += 1
        return self._tables[hour]

    def __iter__(self) -> Iterator[datetime]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def worked_out(bot: Bot) -> Counter[str]:
    """Results cached by the present snapshot, counted by kind; `shares`: scopes whose mix was summed up."""
    snapshot = bot.services.snapshots.current()
    found = Counter(str(key[0]) for key in snapshot.memo if isinstance(key, tuple))
    recent = [each for each in snapshot.memo.values() if isinstance(each, RecentSpend)]
    found["shares"] = sum(len(each._by_rate) for each in recent)
    return found


async def asked(world: World, bot: Bot, words: str) -> tuple[str, Counter[str]]:
    """The answer, and what was worked out for it alone."""
    bot.services.snapshots.current().memo.clear()
    said = await (await world.slack.command(words)).first_reply()
    assert await bot.in_flight.drain(20)
    return said.text, worked_out(bot)


async def test_status_works_out_the_expected_ends_of_the_budgets_that_it_shows_in_full(
    simulated: World, clock: HandClock
) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"], BUDGETS) as bot:
        text, done = await asked(simulated, bot, "status")
        in_full = text.count("Expected end: ")
        assert 3 < in_full < BUDGETS
        assert text.count("budget team-") == BUDGETS - 1
        assert done["forecast"] == in_full
        # Only the first budget has its ways out shown.
        assert done["shares"] == 1


COMPUTED = [
    # Command, computed expected ends (None: as many as are shown), computed mixes of the last 24 hours at most.
    ("budget list", 0, 0),
    ("report month by key", 0, 0),
    ("forecast team-7", 1, 0),
    # The mix is that of the budget whose saving is shown.
    ("fallback status", 1, 1),
    # Of the organization's budget and of Opus: Haiku touches one alone.
    ("estimate haiku requests=100k in=2000 out=500", 1, 0),
    ("budget set team-x hard=100", 0, 0),
    ("status", None, 1),
]


async def test_a_command_works_out_what_it_shows(simulated: World, clock: HandClock) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"], BUDGETS) as bot:
        for words, ends, shares in COMPUTED:
            text, done = await asked(simulated, bot, words)
            assert done["forecast"] == (text.count("Expected end: ") if ends is None else ends), words
            assert done["shares"] <= shares, words


async def test_a_change_of_the_mode_works_out_the_budgets_whose_alerts_it_redraws(
    simulated: World, clock: HandClock
) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"], BUDGETS) as bot:
        (alert,) = simulated.alerts("soft")
        _, done = await asked(simulated, bot, "fallback on")
        await bot.deliver()
        assert "degraded" in alert.text
        # The organization's budget, as the mode was before and as it is after.
        assert done["forecast"] <= 2
        assert done["shares"] <= 2


async def test_sums_and_expected_ends_are_shown_without_a_look_at_the_rows_of_hours(
    simulated: World, clock: HandClock
) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"], 10) as bot:
        snapshot, budgets, now = bot.services.snapshots.current(), bot.services.review.budgets, clock()

        def taken(detail: Detail) -> int:
            tables = CountedTables(snapshot.tables)
            counted = replace(snapshot, tables=tables, by_minute=frozenset(), memo={})
            reported(counted, budgets, detail, now)
            return tables.taken

        assert taken(Detail.NONE) == taken(Detail.ENDS) == 0
        # Each hour once or twice, however many budgets ask.
        assert 0 < taken(Detail.WHY) <= 5 * len(snapshot.tables)
        assert 0 < taken(Detail.SHARES) <= 5 * len(snapshot.tables)


def reported(snapshot: Snapshot, budgets: tuple[Budget, ...], detail: Detail, now: datetime) -> None:
    assert snapshot.as_of is not None
    account = Account(LiveSpend(snapshot), snapshot.as_of, {}, InForce, stale=False)
    account.facts([(budget, budget.period_at(now)) for budget in budgets], now, detail)
