"""The snapshot against the plain recomputation, over whatever polls, corrections and restarts bring."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from bot.alerts.decide import Quiet, unquiet
from bot.budgets.budget import (
    ORGANIZATION,
    Budget,
    Period,
    PeriodKind,
    Scope,
    ScopeKind,
    parse_scope,
    period_at,
    period_before,
)
from bot.budgets.recent import recent_spend
from bot.budgets.report import LOGGED_BY, SCOPES, GroupBy, report_of
from bot.budgets.snapshot import ROWS_HELD, Snapshot
from bot.budgets.snapshots import DAYS_HELD, Snapshots
from bot.budgets.usage_table import Day
from bot.clock import DAY, HOUR, MINUTE, floor_day, floor_hour
from bot.db.engine import open_database
from bot.db.schema import billed, state, usage, usage_days, usage_hours
from bot.pricing.card import RateCard, load_rate_card, packaged
from bot.pricing.tokens import STANDARD, UNKNOWN_TERM, Terms, TokenCounts
from bot.usage.model import BilledRow, DataState, OddUsage, Read, SourceName, UsageReading, UsageRow, Width
from bot.usage.store import Bill, UsageStore
from tests.databases import open_migrated, postgres_database
from tests.examples import one_in
from tests.plain_spend import PlainGroup, PlainSpend, plain_spend
from tests.snapshots import snapshot_of

CARD = load_rate_card()


def other_card() -> RateCard:
    """Dearer, and with a price of more decimal places than money has elsewhere."""
    table = deepcopy(packaged("rate_card.toml"))
    for model in table["model"]:
        for price in model["price"]:
            price["output"] = str(Decimal(price["output"]) * 2)
            price["input"] = str(Decimal(price["input"]) + Decimal("0.00000001"))
    return RateCard(table)


OTHER_CARD = other_card()

STARTS = (
    datetime(2026, 10, 31, 23, 39, tzinfo=UTC),
    datetime(2026, 11, 1, 7, 21, tzinfo=UTC),  # New York sets its clocks back that day
    datetime(2026, 11, 30, 18, 51, tzinfo=UTC),  # In Kolkata and in Kathmandu December has just begun.
    datetime(2026, 12, 31, 23, 9, tzinfo=UTC),
)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu")
SCOPES_ASKED = (
    *(
        parse_scope(text)
        for text in (
            "organization",
            "workspace:default",
            "workspace:wrkspc_1",
            "key:apikey_1",
            "key:apikey_9",
            "model:claude-opus-5-5",
            "model:haiku",
            "model:opus",
            "model:experiment-7",
        )
    ),
    Scope(ScopeKind.TEAM, "a", (parse_scope("workspace:wrkspc_1"), parse_scope("key:apikey_1"))),
    Scope(ScopeKind.TEAM, "b", (parse_scope("key:apikey_1"), parse_scope("key:apikey_9"))),
)
MODELS = ("claude-opus-5-5", "claude-haiku-5-5", "claude-opus-4-8", "us.anthropic.claude-opus-4-8", "experiment-7")

small = st.sampled_from([0, 0, 1, 999, 123_457])
# One row in thirty costs more than 64 bits hold.
output = st.integers(0, 29).map(lambda number: 40_000_000_000 if number == 23 else (1, 20, 3_000_000)[number % 3])
counts = st.builds(TokenCounts, small, small, small, small, output, small)
dimensions = st.tuples(
    st.sampled_from(MODELS),
    st.sampled_from(["default", "wrkspc_1"]),
    st.sampled_from(["apikey_1", "apikey_2", None]),
    st.sampled_from([STANDARD, STANDARD, Terms("batch"), Terms(UNKNOWN_TERM, UNKNOWN_TERM, UNKNOWN_TERM)]),
)
traffic = st.lists(st.tuples(st.integers(0, 10**6), dimensions, counts), max_size=5)
"""Position in a stretch, dimensions, and counts."""


@dataclass(frozen=True)
class Poll:
    """One poll. `ahead`: time since the one before. `again`: hours that are read once more, from this far back."""

    ahead: timedelta
    minutes: list[Any]
    settled: list[Any]
    again: tuple[timedelta, int, list[Any]] | None = None
    source: SourceName = "admin"
    only_changed: bool = False
    odd: bool = False
    complete: bool = True
    elsewhere: bool = False
    bill: list[tuple[int, str, str, int]] | None = None
    late_bill: bool = False


@dataclass(frozen=True)
class Restart:
    """A restart, with the other rate card or with the same one."""

    other_card: bool


polls = st.builds(
    Poll,
    st.sampled_from([MINUTE, 3 * MINUTE, 21 * MINUTE, HOUR, 3 * HOUR, 27 * HOUR, 9 * DAY, -2 * HOUR]),
    traffic,
    traffic,
    st.none()
    | st.tuples(
        st.sampled_from([3 * HOUR, 26 * HOUR, 30 * HOUR, 50 * HOUR, 3 * DAY, 31 * DAY, 33 * DAY, 34 * DAY, 45 * DAY]),
        st.integers(1, 4),
        traffic,
    ),
    st.sampled_from(["admin", "admin", "admin", "analytics"]),
    st.booleans(),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, True]),
    st.none()
    | st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["default", "wrkspc_1"]),
            st.sampled_from(["tokens", "code_execution"]),
            st.integers(-50, 9999),
        ),
        max_size=4,
    ),
    st.booleans(),
)
steps = st.lists(st.one_of(polls, polls, polls, st.builds(Restart, st.booleans())), min_size=1, max_size=5)


@dataclass
class World:
    """A database, everything polled into it, and the snapshots of one copy of the bot."""

    engine: Engine
    now: datetime
    card: RateCard = CARD
    settled_until: datetime = field(init=False)

    def __post_init__(self) -> None:
        with self.engine.begin() as connection:
            for table in (usage, usage_hours, usage_days, billed, state):
                connection.execute(delete(table))
        self.settled_until = floor_hour(self.now) - 27 * HOUR
        self.restart(self.card)

    def restart(self, card: RateCard) -> None:
        self.card = card
        self.store = UsageStore(self.engine)
        self.snapshots = Snapshots(self.store, card)

    def poll(self, poll: Poll) -> None:
        self.now += poll.ahead
        unsettled = floor_hour(self.now) - 2 * HOUR
        readings = [self._reading("1m", unsettled, unsettled + 3 * HOUR, poll.minutes, poll)]
        if self.settled_until < unsettled:
            # Distant hours are not all read, so that some are unknown.
            begin = max(self.settled_until, unsettled - 50 * HOUR)
            readings.append(self._reading("1h", begin, unsettled, poll.settled, poll))
        if poll.again is not None:
            back, count, rows = poll.again
            begin = floor_hour(self.now) - back
            readings.append(self._reading("1h", begin, min(begin + count * HOUR, unsettled), rows, poll))
        self.settled_until = min(unsettled, max(self.settled_until, unsettled))
        store = UsageStore(self.engine) if poll.elsewhere else self.store
        before = store.data_state()
        after = replace(before, as_of=self.now - 3 * MINUTE, source=poll.source, polled_at=self.now)
        bill = None
        if poll.bill is not None:
            last = self.now.date()
            billed_rows = tuple(
                BilledRow(last - back * DAY, workspace, kind, Decimal(cents) / 100, None)
                for back, workspace, kind, cents in poll.bill
            )
            bill = Bill(last - 4 * DAY, last, billed_rows)
            after = replace(after, billed_at=self.now, billed_read_at=self.now + (2 * DAY if poll.late_bill else -DAY))
        store.save(readings, poll.source, self.now, after if poll.complete else None, bill if poll.complete else None)
        if poll.elsewhere:
            # Skip the half second in which changes of other copies go unnoticed.
            self.store.save_state(self.store.data_state())

    def _reading(self, width: Width, begin: datetime, end: datetime, traffic: list[Any], poll: Poll) -> UsageReading:
        step = MINUTE if width == "1m" else HOUR
        buckets = max(0, (end - begin) // step)
        rows = tuple(
            UsageRow(begin + place % buckets * step, model, workspace, key, terms, tokens)
            for place, (model, workspace, key, terms), tokens in traffic
            if buckets
        )
        unchanged = frozenset[datetime]()
        if poll.only_changed and width == "1m":
            unchanged = frozenset(begin + index * step for index in range(buckets)) - {row.starts_at for row in rows}
        odd = OddUsage({begin: 1}, "a sentence") if poll.odd else OddUsage()
        return UsageReading(Read(width, begin, max(begin, end)), rows, None, odd, unchanged)


@pytest.fixture(scope="module")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path_factory.mktemp('snapshot') / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgres_engine() -> Iterator[Engine]:
    with postgres_database() as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def periods(zone: str, moment: datetime) -> list[Period]:
    """Periods of each kind that contain the moment, and those before."""
    found = [period_at(kind, ZoneInfo(zone), moment) for kind in PeriodKind]
    before = [period_before(kind, ZoneInfo(zone), period) for kind, period in zip(PeriodKind, found, strict=True)]
    return [*found, *before]


def played(engine: Engine, start: datetime, zone: str, history: list[Poll | Restart]) -> None:
    """Play a history and hold the snapshot against the rows after each step."""
    world = World(engine, start)
    seen: list[tuple[int, Mapping[Any, object]]] = []
    quiet = QuietBudgets()
    for step in history:
        if isinstance(step, Restart):
            world.restart(OTHER_CARD if step.other_card else CARD)
            seen, quiet = [], QuietBudgets()
        else:
            world.poll(step)
        assert world.store.wrong_days() == []
        snapshot = world.snapshots.current()
        if snapshot.as_of is None:
            assert snapshot.spend(ORGANIZATION, periods(zone, start)[0]).total_usd == 0
            continue
        plain = plain_spend(engine, world.card)
        spends_agree(snapshot, plain, zone)
        stretches_agree(snapshot, plain)
        recent_agrees(snapshot, plain)
        reports_agree(snapshot, plain)
        of_restarted = Snapshots(UsageStore(engine), world.card).current()
        assert contents(snapshot) == contents(of_restarted)
        assert recent_spend(of_restarted, snapshot.as_of).causes(
            ORGANIZATION, floor_hour(snapshot.as_of - DAY)
        ) == plain.causes(ORGANIZATION, snapshot.as_of)
        asked = [(scope, period) for scope in SCOPES_ASKED for period in periods(zone, start)]
        spends = {pair: plain.spend(*pair) for pair in asked}
        touched_agree(snapshot, seen, spends)
        quiet.agree(snapshot, {pair: spend.total_usd for pair, spend in spends.items()})


@dataclass
class QuietBudgets:
    """Budgets whose limits lie close around what was spent when they were looked at last."""

    known: dict[tuple[str, str], Quiet] = field(default_factory=dict)
    reviewed: dict[tuple[Scope, Period], Budget] = field(default_factory=dict)
    serial: int | None = None
    scopes: int = 0

    def agree(self, snapshot: Snapshot, totals: dict[tuple[Scope, Period], Decimal]) -> None:
        """Assert that no budget that has passed a limit is quiet. A new scope makes all of them non-quiet."""
        numbers = None if self.serial is None else snapshot.touched_since(self.serial)
        since = None if self.serial is None or numbers is None else snapshot.changed_from(self.serial)
        if self.scopes != snapshot.index.scopes:
            self.known, self.reviewed = {}, {}
        due = []
        for (scope, period), total_usd in totals.items():
            budget = self.reviewed.get((scope, period)) or self._around(scope, period, total_usd)
            touched = numbers is None or not numbers.isdisjoint(snapshot.index.of(scope).tolist())
            if touched and (since is None or period.ends_at > since):
                due.append((budget, period))
        loud = unquiet(due, self.known, dict.fromkeys(self.known, ()), snapshot, since)
        for (scope, period), total_usd in totals.items():
            budget = self.reviewed[scope, period]
            quiet = self.known.get((budget.name, period.key))
            if quiet is None or (budget, period) in loud:
                budget = self._around(scope, period, total_usd)
                self.known[budget.name, period.key] = Quiet.at(budget, period, (), total_usd, snapshot)
            else:
                assert quiet.holds(budget, (), total_usd), (scope, period)
        self.serial, self.scopes = snapshot.serial, snapshot.index.scopes

    def _around(self, scope: Scope, period: Period, total_usd: Decimal) -> Budget:
        above, most = total_usd + Decimal("0.000001"), total_usd + 10**6
        name = f"{scope} in {period.key} from {period.starts_at}"
        budget = Budget(name, scope, PeriodKind.DAY, ZoneInfo("UTC"), above, most, "test")
        self.reviewed[scope, period] = budget
        return budget


def spends_agree(snapshot: Snapshot, plain: PlainSpend, zone: str) -> None:
    assert snapshot.as_of is not None
    for scope in SCOPES_ASKED:
        for period in periods(zone, snapshot.as_of):
            assert snapshot.spend(scope, period) == plain.spend(scope, period), (scope, period)
            assert snapshot.known_hours(period.starts_at, period.ends_at) == plain.known(
                period.starts_at, period.ends_at
            )
        first = min((row.usage.day for _, row in plain.priced if plain.counts(scope, row)), default=None)
        if first is not None:
            assert snapshot.is_used(scope) or scope.kind is ScopeKind.MODEL


def stretches_agree(snapshot: Snapshot, plain: PlainSpend) -> None:
    assert snapshot.as_of is not None
    as_of = snapshot.as_of
    borders = [
        as_of - 46 * DAY,
        as_of - 33 * DAY,
        as_of - 26 * HOUR,
        floor_hour(as_of) - HOUR + 17 * MINUTE,
        floor_hour(as_of) - 30 * MINUTE,
        as_of,
    ]
    for scope in SCOPES_ASKED:
        for starts_at in borders:
            for ends_at in borders:
                if starts_at < ends_at:
                    assert snapshot.usd(scope, starts_at, ends_at) == plain.usd(scope, starts_at, ends_at)
    for since, until in (
        (floor_hour(as_of) - 50 * HOUR, floor_hour(as_of) + 2 * HOUR),
        (floor_day(as_of) - 34 * DAY, floor_day(as_of) - 32 * DAY),
    ):
        hours = [since + index * HOUR for index in range((until - since) // HOUR)]
        units = snapshot.hourly(SCOPES_ASKED, since, until)
        assert snapshot.known(since, until).tolist() == [hour in plain.hours for hour in hours]
        for scope, row in zip(SCOPES_ASKED, units, strict=True):
            assert [snapshot.prices.usd(one) for one in row] == [plain.usd(scope, hour, hour + HOUR) for hour in hours]
    minute = floor_hour(as_of) + (as_of - floor_hour(as_of)) // MINUTE * MINUTE
    by_minute = snapshot.minutes(SCOPES_ASKED, minute - 65 * MINUTE, minute)
    for index, scope in enumerate(SCOPES_ASKED):
        expected = plain.minutes(scope, minute - 65 * MINUTE, 65)
        assert (by_minute is None) == (expected is None)
        if by_minute is not None:
            assert [snapshot.prices.usd(one) for one in by_minute[index]] == expected


def recent_agrees(snapshot: Snapshot, plain: PlainSpend) -> None:
    assert snapshot.as_of is not None
    for until in (snapshot.as_of, snapshot.as_of - 21 * MINUTE, snapshot.as_of - 4 * DAY):
        recent = recent_spend(snapshot, until)
        rows = plain.recent(until).last
        assert recent.covered == plain.covered(until)
        for scope in SCOPES_ASKED:
            assert recent.movers(scope) == plain.movers(scope, until)
            assert recent.usd(scope) == sum(row.usd for row in rows if plain.counts(scope, row.priced))
            assert sum(row.usd for row in recent.of_scope(scope).last) == recent.usd(scope)


def reports_agree(snapshot: Snapshot, plain: PlainSpend) -> None:
    assert snapshot.as_of is not None
    now, _, _, before, *_ = periods("UTC", snapshot.as_of)
    for by in set(GroupBy) - LOGGED_BY:
        report = report_of(snapshot, now, before, by)
        expected = plain.groups(SCOPES[by], now.starts_at, now.ends_at)
        if report is None:
            assert not expected
            continue
        found = {
            (group.id, group.workspace_id): PlainGroup(group.usd, group.counts, group.hidden, group.assumed)
            for group in report.groups
            if group.counts != TokenCounts()
        }
        assert found == expected
        assert report.computed_usd == plain.usd(ORGANIZATION, now.starts_at, now.ends_at)
        until = min(before.starts_at + (snapshot.as_of - now.starts_at), before.ends_at)
        every = [before.starts_at + index * HOUR for index in range(-((before.starts_at - until) // HOUR))]
        if not report.known.complete or any(hour not in plain.hours for hour in every):
            assert report.before is None
            continue
        border = floor_hour(until)
        share = Decimal((until - border) // timedelta(seconds=1)) / 3600
        last = plain.usd(ORGANIZATION, border, border + HOUR) * share if share else 0
        assert report.before is not None
        assert report.before.usd == plain.usd(ORGANIZATION, before.starts_at, border) + last


def touched_agree(
    snapshot: Snapshot, seen: list[tuple[int, Mapping[Any, object]]], spends: Mapping[Any, object]
) -> None:
    """Assert that only touched scopes have changed spend since earlier snapshots."""
    for serial, earlier in seen:
        touched = snapshot.touched_since(serial)
        if touched is not None:
            for (scope, period), spend in earlier.items():
                if touched.isdisjoint(snapshot.index.of(scope).tolist()):
                    assert spends[scope, period] == spend, (scope, period)
    assert snapshot.touched_since(snapshot.serial) == frozenset()
    seen.append((snapshot.serial, spends))


def contents(snapshot: Snapshot) -> dict[str, object]:
    """Everything in a snapshot, by names instead of numbers."""
    assert snapshot.as_of is not None
    held_from = snapshot.as_of.date() - DAYS_HELD * DAY
    rows_from = floor_hour(snapshot.as_of) - ROWS_HELD
    index = snapshot.index
    names = {number: (kind, value, workspace) for kind in ScopeKind for value, workspace, number in index.ids(kind)}

    def of_day(day: Day) -> object:
        assert day.hours is not None
        assert day.hidden_hours is not None
        sums = {
            names[number]: (
                snapshot.prices.usd(day.units[number]),
                day.counts[number].tolist(),
                int(day.hidden[number]),
                [snapshot.prices.usd(units) for units in day.hours[number]],
                day.hidden_hours[number].tolist(),
            )
            for number in range(len(day.units))
            if day.counts[number].any() or day.units[number] or day.hidden[number]
        }
        rates = {index.rates[number]: each.tolist() for number, each in enumerate(day.rates) if each.any()}
        assumed = [{(names[number], model) for number, model in each} for each in day.assumed]
        return sums, rates, assumed, day.used, day.known, day.odd

    def of_hour(hour: datetime) -> object:
        table = snapshot.tables[hour]
        return sorted(
            (
                int(minute),
                str(index.callers[int(index.caller_of_group.values[group])]),
                str(index.rates[int(index.rate_of_group.values[group])]),
                tokens.tolist(),
                snapshot.prices.usd(units),
            )
            for minute, group, tokens, units in zip(table.minute, table.group, table.counts, table.units, strict=True)
        )

    return {
        "days": {day: of_day(snapshot.days[day]) for day in snapshot.days if day >= held_from},
        "rows": {hour: of_hour(hour) for hour in snapshot.tables if hour >= rows_from},
        "by_minute": {hour for hour in snapshot.by_minute if hour >= rows_from},
        "bills": {day: list(rows) for day, rows in snapshot.bills.items()},
        "head": snapshot.head,
    }


# Shrinking a history takes minutes, and helps little.
AS_FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=one_in(2), phases=AS_FOUND, suppress_health_check=SLOW)
@given(st.sampled_from(STARTS), st.sampled_from(ZONES), steps)
def test_whatever_happens_the_snapshot_says_what_the_rows_say(
    sqlite_engine: Engine, start: datetime, zone: str, history: list[Poll | Restart]
) -> None:
    played(sqlite_engine, start, zone, history)


@settings(max_examples=one_in(6), phases=AS_FOUND, suppress_health_check=SLOW)
@given(st.sampled_from(STARTS), st.sampled_from(ZONES), steps)
def test_it_does_so_on_postgresql_as_well(
    postgres_engine: Engine, start: datetime, zone: str, history: list[Poll | Restart]
) -> None:
    played(postgres_engine, start, zone, history)


@given(st.lists(st.tuples(st.integers(0, 47), dimensions, st.builds(TokenCounts, *[small] * 6)), max_size=12))
def test_integers_of_any_size_say_the_same_as_64_bits(traffic: list[Any]) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    as_of = midnight + 2 * DAY
    rows = [
        UsageRow(midnight + hour * HOUR, model, workspace, key, terms, tokens)
        for hour, (model, workspace, key, terms), tokens in traffic
    ]
    narrow, wide = (snapshot_of(rows, DataState(as_of=as_of), wide=wide) for wide in (False, True))
    assert contents(narrow) == contents(wide)
    for scope in SCOPES_ASKED:
        for period in periods("Asia/Kolkata", as_of):
            assert narrow.spend(scope, period) == wide.spend(scope, period)
        assert narrow.usd(scope, midnight, as_of) == wide.usd(scope, midnight, as_of)
        assert recent_spend(narrow, as_of).movers(scope) == recent_spend(wide, as_of).movers(scope)
        assert recent_spend(narrow, as_of).risen(scope) == recent_spend(wide, as_of).risen(scope)
    hourly = [snapshot.hourly(SCOPES_ASKED, midnight, as_of).tolist() for snapshot in (narrow, wide)]
    assert hourly[0] == hourly[1]
