"""Provisional spend against a plain recomputation, with any order of polls and events."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from bot.alerts.detector import Evaluator
from bot.alerts.incident import AlertKind
from bot.alerts.store import AlertStore
from bot.budgets.budget import Budget, PeriodKind, Scope, ScopeKind, parse_scope, period_at
from bot.budgets.live import LiveSource
from bot.budgets.review import BudgetReview
from bot.budgets.snapshots import Snapshots
from bot.budgets.spend import ZERO, same_model
from bot.budgets.usage_index import LedgerIndex
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.db.schema import metadata
from bot.ledger.model import Dimensions, Event
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import DataState, Read, SourceName, UsageReading, UsageRow
from bot.usage.store import UsageStore
from bot.usage.store_reads import Name
from tests.databases import open_migrated, postgres_database
from tests.detectors import evaluator
from tests.examples import one_in

CARD = load_rate_card()
OPUS, HAIKU = "claude-opus-4-8", "claude-haiku-5-5"
TOKENS_PER_USD = {OPUS: 200_000, HAIKU: 10_000_000}
BEGIN = datetime(2026, 11, 30, 21, 37, 20, tzinfo=UTC)
SCOPES = tuple(
    map(
        parse_scope,
        ("organization", "workspace:w1", "workspace:default", "key:k1", "key:k2", "model:opus", f"model:{HAIKU}"),
    )
)
NAMES = (
    Name("workspace", "w1", "Search"),
    Name("workspace", "default", "Default", "wrkspc_default"),
    Name("key", "k1", "ingest", "w1"),
    Name("key", "k2", "Answers"),
    Name("key", "k3", "twin", "w1"),
    Name("key", "k4", "twin"),
)
CALLS = {
    (None, None): (None, None),
    ("w1", None): ("w1", None),
    ("search", "k1"): ("w1", "k1"),
    (None, "Ingest"): ("w1", "k1"),
    (None, "answers"): ("default", "k2"),
    ("wrkspc_default", "k2"): ("default", "k2"),
    (None, "twin"): (None, None),
    ("Default", "twin"): ("default", "k4"),
    ("w9", "k9"): ("w9", "k9"),
}
"""Names that applications may use for a workspace and a key, and the ids they mean."""


@dataclass(frozen=True)
class Used:
    """Tokens that cost this much, at a moment, of these ids."""

    at: datetime
    usd: int
    model: str
    workspace: str | None
    key: str | None
    poll: int = 0
    """The poll after which it was logged."""

    def counts_for(self, scope: Scope) -> bool:
        if scope.kind is ScopeKind.MODEL:
            return same_model(scope.value or "", self.model, CARD)
        own = {ScopeKind.ORGANIZATION: None, ScopeKind.WORKSPACE: self.workspace, ScopeKind.KEY: self.key}
        return own[scope.kind] == scope.value


@dataclass
class World:
    """An organization with its report and its log, and one copy of the bot that watches both."""

    engine: Engine
    source: SourceName = "admin"
    now: datetime = BEGIN
    as_of: datetime | None = None
    polls: int = 0
    polled_at: datetime = BEGIN
    used: list[Used] = field(default_factory=list)
    reported: list[Used] = field(default_factory=list)
    logged: dict[str, Used] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                if table.name != "ledger_kept":
                    connection.execute(delete(table))
        self.usage, self.ledger = UsageStore(self.engine), SqlLedger(self.engine)
        self.usage.save_names(NAMES, self.now)
        self.snapshots = Snapshots(self.usage, CARD)
        self.logged_snapshots = Snapshots(self.ledger, CARD, LedgerIndex)
        self.live = LiveSource(self.logged_snapshots)
        self.alerts = AlertStore(self.engine)
        self.budgets = [
            Budget(f"{scope} by {kind}", scope, kind, ZoneInfo("UTC"), Decimal(soft), Decimal(soft + 7), "test")
            for scope in SCOPES
            for kind, soft in ((PeriodKind.DAY, 5), (PeriodKind.MONTH, 11))
        ]
        self.detector = self.new_detector()

    def new_detector(self) -> Evaluator:
        review = BudgetReview(self.snapshots, lambda: self.budgets, {}, CARD, live=self.live)
        return evaluator(AlertKind.LIMIT, self.engine, self.snapshots, self.alerts, review)

    def poll(self, age: timedelta, delay: timedelta) -> None:
        """The report as of `age` ago, with everything used until `delay` ago. No two polls are at one moment."""
        self.now += timedelta(seconds=self.now == self.polled_at)
        self.as_of = max(self.now - age, self.as_of or BEGIN - DAY)
        self.reported = [each for each in self.used if each.at <= self.now - delay or each.at < self.as_of]
        self.polls, self.polled_at = self.polls + 1, self.now
        border, end = floor_hour(self.now) - 2 * HOUR, floor_hour(self.now) + HOUR
        reads = (Read("1h", floor_hour(BEGIN - 3 * DAY), border), Read("1m", border, end))
        readings = [UsageReading(read, rows_of(self.reported, read), None) for read in reads]
        state = DataState(as_of=self.as_of, source=self.source, polled_at=self.now)
        self.usage.save(readings, self.source, self.now, state, None)

    def log(self, events: Sequence[tuple[int, int, str, tuple[str | None, str | None], int, bool]]) -> None:
        appended = []
        for number, usd, model, called, ago, at_anthropic in events:
            if (known := self.logged.get(f"msg_{number}")) is None:
                at = self.now - ago * MINUTE
                known = self.logged[f"msg_{number}"] = Used(at, usd, model, *CALLS[called], self.polls)
                if at_anthropic:
                    self.used.append(replace(known, workspace=known.workspace or "default"))
                dimensions = Dimensions(model=model, workspace=called[0], key=called[1])
                appended.append(Event(f"msg_{number}", at, dimensions, tokens(known)))
        self.ledger.append(appended, self.now)

    def since(self) -> datetime:
        """When logged spend starts to count: by the minute if the report is."""
        assert self.as_of is not None
        hour, both = floor_hour(self.as_of), (self.snapshots.current(), self.logged_snapshots.current())
        by_minute = all(hour in each.by_minute or not each.knows(hour) for each in both)
        return self.as_of.replace(second=0, microsecond=0) if by_minute else floor_hour(self.as_of)

    def fresh(self, logged: Sequence[Used]) -> int:
        begin = self.fresh_from()
        return sum(each.usd for each in logged if each.poll == self.polls and each.at >= begin)

    def fresh_from(self) -> datetime:
        """Events logged after the last poll that happened from here on are not in the report."""
        hour, logged = floor_hour(self.polled_at), self.logged_snapshots.current()
        by_minute = hour in logged.by_minute or not logged.knows(hour)
        return self.polled_at.replace(second=0, microsecond=0) if by_minute else hour + HOUR

    def agrees(self) -> None:
        live = self.live.beside(self.snapshots.current())
        since = self.since()
        for budget in self.budgets:
            for moment in (self.now, self.now - DAY):
                period = period_at(budget.period, budget.zone, moment)
                inside: Callable[[Used], bool] = lambda each: period.starts_at <= each.at < period.ends_at  # noqa: B023, E731
                reported = [each for each in self.reported if inside(each) and each.counts_for(budget.scope)]
                logged = [each for each in self.logged.values() if inside(each) and each.counts_for(budget.scope)]
                until = sum(each.usd for each in reported if each.at < since)
                after = sum(each.usd for each in reported if each.at >= since)
                fresh, maybe = self.fresh(logged), sum(each.usd for each in logged if each.at >= since)
                seen = maybe - fresh
                spend = live.spend(budget.scope, period)
                assert spend.total_usd == until + max(after, seen) + fresh, (budget.name, period)
                assert spend.provisional_usd == max(0, seen - after) + fresh, (budget.name, period)
                found = live.provisional([(budget, period)])
                assert found.get((budget.name, period.key), ZERO) == spend.provisional_usd
        self.detector.look(self.now, "normal")
        # A new detector, which knows no quiet budgets, finds nothing more to do.
        assert self.new_detector().look(self.now, "normal") == 0


def tokens(used: Used) -> TokenCounts:
    return TokenCounts(uncached_input_tokens=used.usd * TOKENS_PER_USD[used.model])


def rows_of(used: Sequence[Used], read: Read) -> tuple[UsageRow, ...]:
    step = HOUR if read.width == "1h" else MINUTE
    return tuple(
        UsageRow(
            read.starts_at + (each.at - read.starts_at) // step * step,
            each.model,
            each.workspace or "default",
            each.key,
            STANDARD,
            tokens(each),
        )
        for each in used
        if read.starts_at <= each.at < read.ends_at
    )


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.integers(1, 6),
        st.sampled_from((OPUS, HAIKU)),
        st.sampled_from(tuple(CALLS)),
        st.sampled_from((0, 0, 1, 3, 7, 61, 190)),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
"""Number, USD, model, label, minutes ago, and whether Anthropic knows of it too."""
POLLS = st.tuples(
    st.sampled_from([5 * MINUTE, 5 * MINUTE, 45 * MINUTE, 4 * HOUR, 30 * HOUR]),
    st.sampled_from([timedelta(), 2 * MINUTE, 5 * MINUTE]),
)
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 4, 40, 200, 1500]), st.one_of(EVENTS, EVENTS, POLLS)), min_size=2, max_size=8
)
"""Minutes that pass, and what happens then."""


def play(engine: Engine, steps: list[tuple[int, object]]) -> None:
    world = World(engine)
    for minutes, what in steps:
        world.now += minutes * MINUTE
        if isinstance(what, tuple):
            world.poll(*what)
        elif isinstance(what, list):
            world.log(what)
        if world.as_of is None:
            assert world.detector.look(world.now, "normal") == 0
            continue
        world.agrees()


@pytest.fixture(scope="module")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path_factory.mktemp('live') / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@settings(max_examples=one_in(2), phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_every_sum_is_the_report_and_the_log_after_it(sqlite_engine: Engine, steps: list[tuple[int, object]]) -> None:
    play(sqlite_engine, steps)


@settings(max_examples=one_in(8), phases=(Phase.generate,))
@given(steps=STEPS)
def test_every_sum_is_the_report_and_the_log_after_it_on_postgresql(steps: list[tuple[int, object]]) -> None:
    with postgres_database() as url:
        engine = open_migrated(url)
        try:
            play(engine, steps)
        finally:
            engine.dispose()
