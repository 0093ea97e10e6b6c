"""Anthropic's attribution as stored: sums of the day table against plain recomputation, and what is due when."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from bot.budgets.account import hours_of
from bot.budgets.budget import ATTRIBUTED, Budget, Period, PeriodKind, Scope, ScopeKind
from bot.budgets.review import needed_attribution
from bot.budgets.scopes import NoMatchError, attributed
from bot.budgets.snapshots import attributed_snapshots
from bot.clock import DAY, HOUR, MINUTE, floor_day
from bot.db.schema import attributed_days
from bot.pricing.card import load_rate_card
from bot.pricing.cost import Hidden
from bot.usage.attributed_days import (
    ALL_DAYS_AGAIN,
    LAST_DAYS_AGAIN,
    NOTHING_READ,
    AttributedDay,
    AttributedReading,
    AttributedState,
    first_due,
    worst_of,
)
from bot.usage.attributed_store import AttributedStore
from bot.usage.model import AttributedBy, Who, is_stale
from bot.usage.store_reads import AttributedNames
from tests.databases import open_migrated
from tests.examples import one_in

CARD = load_rate_card()
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
TODAY = NOW.date()
SINCE = date(2026, 11, 12)
PRODUCT, ACTOR = AttributedBy.PRODUCT, AttributedBy.ACTOR
BY = (PRODUCT, ACTOR)
Rows = dict[tuple[date, str | None], Decimal]
VALUES = ("a", "b", "Ünïcode 'x'", "")


def reading(by: AttributedBy, first: date, rows: Rows, odd: tuple[date, ...] = ()) -> AttributedReading:
    found = tuple(AttributedDay(day, Who(value, None), usd) for (day, value), usd in rows.items() if day >= first)
    return AttributedReading(by, first, TODAY, found, NOW, frozenset(odd))


def state(first: date = SINCE) -> AttributedState:
    return AttributedState(since=first, as_of=NOW, read_at=NOW, all_read_at=NOW)


USD = st.decimals("-5", "1e9", allow_nan=False, places=6)
DAYS = st.integers(0, 8).map(lambda days: SINCE + days * DAY)
ROWS = st.dictionaries(st.tuples(DAYS, st.sampled_from((*VALUES, None))), USD, max_size=12)
LOOKS = st.lists(st.tuples(st.sampled_from(BY), DAYS, ROWS), min_size=1, max_size=3)


@settings(max_examples=one_in(2))
@given(looks=LOOKS, begin=DAYS, length=st.integers(1, 12))
def test_sums_of_any_period_are_those_of_the_last_rows_read(
    engine_of_all: Engine,
    looks: list[tuple[AttributedBy, date, Rows]],
    begin: date,
    length: int,
) -> None:
    store = AttributedStore(engine_of_all)
    store.save([reading(by, SINCE, {}) for by in BY], dict.fromkeys(BY, state()))
    snapshots, known = attributed_snapshots(store, CARD), dict[tuple[AttributedBy, date, str | None], Decimal]()
    for by, first, rows in looks:
        store.save([reading(by, first, rows)], dict.fromkeys(BY, state()))
        known = {key: usd for key, usd in known.items() if key[0] is not by or key[1] < first}
        known |= {(by, day, value): usd for (day, value), usd in rows.items() if day >= first}
        period = Period("p", _midnight(begin), _midnight(begin) + length * DAY)
        days = {begin + index * DAY for index in range(length)}
        for kind in ATTRIBUTED:
            for value in VALUES[:3]:
                plain = sum(
                    (
                        usd
                        for (of, day, who), usd in known.items()
                        if (of.value, who) == (kind.value, value) and day in days
                    ),
                    Decimal(0),
                )
                spend = snapshots.current().spend(Scope(kind, value), period)
                assert (spend.total_usd, spend.attributed) == (plain, True)


@pytest.fixture(scope="module")
def engine_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path_factory.mktemp('db') / 'claude-cost.db'}")
    yield engine
    engine.dispose()


def test_rows_names_and_what_is_known_come_back_from_both_databases(engine: Engine) -> None:
    store = AttributedStore(engine)
    rows = (
        AttributedDay(TODAY, Who("u'1", "Jané"), Decimal("0.000000001")),
        AttributedDay(TODAY, Who(None), Decimal(7)),
    )
    first = AttributedReading(ACTOR, SINCE, TODAY, rows, NOW)
    store.save([first], {ACTOR: state()})
    renamed = replace(first, rows=(AttributedDay(TODAY, Who("u'1", "Jane"), Decimal("12345678901234.000000001")),))
    store.save([renamed], {ACTOR: state()})
    other = AttributedStore(engine)
    assert other.states() == {ACTOR: state()}
    assert other.names() == {"actor": AttributedNames({"u'1": "Jane"}, known=True)}
    assert other.usd(ACTOR, "u'1") == {TODAY: Decimal("12345678901234.000000001")}
    assert other.usd(PRODUCT, "u'1") == {}
    with engine.connect() as connection:
        assert connection.execute(select(attributed_days.c.refreshed_at)).scalars().all() == [NOW]


def test_a_day_of_which_a_row_could_not_be_read_keeps_its_rows_and_is_an_at_least(engine: Engine) -> None:
    store = AttributedStore(engine)
    store.save([reading(PRODUCT, SINCE, {(TODAY, "a"): Decimal(4)})], {PRODUCT: state()})
    odd = reading(
        PRODUCT, TODAY - DAY, {(TODAY, "a"): Decimal(1), (TODAY - DAY, "a"): Decimal(2)}, (TODAY, TODAY - DAY)
    )
    store.save([odd], {PRODUCT: state().after(odd, SINCE, NOW)})
    spend = attributed_snapshots(store, CARD).current().spend(Scope(ScopeKind.PRODUCT, "a"), _november())
    assert (spend.total_usd, spend.hidden) == (Decimal(6), frozenset({Hidden.ROWS}))
    good = reading(PRODUCT, TODAY - DAY, {(TODAY, "a"): Decimal(3)})
    store.save([good], {PRODUCT: store.states()[PRODUCT].after(good, SINCE, NOW)})
    spend = attributed_snapshots(store, CARD).current().spend(Scope(ScopeKind.PRODUCT, "a"), _november())
    assert (spend.total_usd, spend.hidden) == (Decimal(3), frozenset())


def test_nothing_is_asked_of_the_database_while_nothing_changes(engine: Engine) -> None:
    store = AttributedStore(engine)
    store.save([reading(PRODUCT, SINCE, {(TODAY, "a"): Decimal(4)})], {PRODUCT: state()})
    snapshots = attributed_snapshots(store, CARD)
    snapshots.current()
    with statements(engine) as asked:
        snapshots.current()
        store.states()
    assert asked == []


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    found: list[str] = []

    def note(*call: object) -> None:
        found.append(str(call[2]))

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def test_hours_of_whole_days_are_even_and_those_of_today_unknown(engine: Engine) -> None:
    store = AttributedStore(engine)
    rows: Rows = {(TODAY - DAY, "a"): Decimal(24), (TODAY, "a"): Decimal(99)}
    store.save([reading(PRODUCT, SINCE, rows)], {PRODUCT: state()})
    [hours] = hours_of(attributed_snapshots(store, CARD).current(), [Scope(ScopeKind.PRODUCT, "a")], NOW)
    assert np.isnan(hours.usd[-10:]).all()
    assert hours.usd[-34:-10].tolist() == pytest.approx([1.0] * 24)
    days = (floor_day(NOW) - DAY - _midnight(SINCE)) // HOUR
    assert (hours.usd[-34 - days : -34] == 0).all()
    assert np.isnan(hours.usd[: -34 - days]).all()


KNOWN = AttributedState(since=SINCE, as_of=NOW, read_at=NOW, all_read_at=NOW)


@pytest.mark.parametrize(
    ("state", "since", "now", "due"),
    [
        (NOTHING_READ, SINCE, NOW, SINCE),
        (NOTHING_READ.failed("No.", NOW), SINCE, NOW, SINCE),
        (KNOWN, SINCE, NOW + LAST_DAYS_AGAIN - MINUTE, None),
        (KNOWN, SINCE, NOW + LAST_DAYS_AGAIN, TODAY - 2 * DAY),
        (KNOWN, SINCE - DAY, NOW + MINUTE, SINCE - DAY),
        (KNOWN, SINCE + 5 * DAY, NOW + LAST_DAYS_AGAIN, TODAY - 2 * DAY),
        (KNOWN, TODAY, NOW + LAST_DAYS_AGAIN, TODAY),
        (KNOWN, SINCE, NOW + ALL_DAYS_AGAIN, SINCE),
        (replace(KNOWN, as_of=NOW - 6 * DAY), SINCE, NOW + LAST_DAYS_AGAIN, TODAY - 6 * DAY),
        (replace(KNOWN, read_at=NOW + 3 * DAY, all_read_at=NOW + 3 * DAY), SINCE, NOW, SINCE),
    ],
)
def test_which_days_are_read(state: AttributedState, since: date, now: datetime, due: date | None) -> None:
    assert first_due(state, since, now) == due


def test_data_is_stale_by_its_own_cadence() -> None:
    assert not is_stale(KNOWN.data, NOW + 8 * HOUR, 60)
    assert is_stale(KNOWN.data, NOW + 8 * HOUR + MINUTE, 60)
    often = replace(KNOWN, ages_at_refresh=(60.0,) * 5)
    assert not is_stale(often.data, NOW + 2 * HOUR, 60)
    assert is_stale(often.data, NOW + 2 * HOUR + MINUTE, 60)
    seldom = replace(KNOWN, ages_at_refresh=(timedelta(hours=20).total_seconds(),) * 5)
    assert not is_stale(seldom.data, NOW + 40 * HOUR, 60)


def test_the_cadence_is_what_was_seen_while_the_bot_looked() -> None:
    found = KNOWN
    for hour in (3, 6):
        now = NOW + hour * HOUR
        found = replace(found, read_at=now - LAST_DAYS_AGAIN)
        found = found.after(replace(reading(PRODUCT, TODAY, {}), refreshed_at=now - HOUR), SINCE, now)
    assert found.ages_at_refresh == (3 * 3600.0, 4 * 3600.0)
    assert found.error is None


def test_the_dimension_without_data_is_what_is_reported_missing() -> None:
    refused, old = NOTHING_READ.failed("Refused.", NOW), replace(KNOWN, as_of=NOW - DAY)
    assert worst_of({PRODUCT: KNOWN, ACTOR: refused}) == (refused.data, (ACTOR,))
    assert worst_of({PRODUCT: KNOWN, ACTOR: old}) == (old.data, BY)
    assert worst_of({PRODUCT: NOTHING_READ})[0].as_of is None
    assert refused.failed("Again.", NOW + HOUR).error_since == NOW


def test_all_dimensions_are_read_from_the_day_that_the_longest_period_needs() -> None:
    month = Budget("m", Scope(ScopeKind.AGENT, "a"), PeriodKind.MONTH, ZoneInfo("UTC"), Decimal(1), None, "test")
    day = replace(month, name="d", scope=Scope(ScopeKind.PRODUCT, "chat"), period=PeriodKind.DAY)
    first = date(2026, 11, 1)
    assert needed_attribution([month, day], NOW) == {AttributedBy.AGENT: first, PRODUCT: first}
    assert needed_attribution([day], NOW) == {PRODUCT: TODAY - 7 * DAY}
    assert needed_attribution([replace(month, scope=Scope(ScopeKind.USER, "u"))], NOW) == {}
    second = datetime(2026, 12, 2, 23, 59, tzinfo=UTC)
    assert needed_attribution([month], second) == {AttributedBy.AGENT: first}


NAMES = AttributedNames(
    {"user_1": "Jane Smith", "user_2": "Jane Smith", "user_3": "user_1", "claude_code": "claude_code"}, True
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("USER_1", "user_1"),
        ("user_1", "user_1"),
        ("user 3", "user_3"),
        ("Claude-Code", "claude_code"),
        ("claude code", "claude_code"),
    ],
)
def test_an_id_comes_before_a_name_and_letters_and_dashes_do_not_matter(typed: str, meant: str) -> None:
    assert attributed(Scope(ScopeKind.ACTOR, typed), NAMES).value == meant


@pytest.mark.parametrize(
    ("known", "says", "certain"),
    [
        (NAMES, "Several are called jane smith: write actor:user_1 or actor:user_2.", True),
        (AttributedNames({}, True), "Anthropic attributes nothing to the actor jane smith so far.", True),
        (AttributedNames({}, False, "Closed."), "Closed.", False),
        (None, "has not been read yet", False),
    ],
)
def test_what_means_nobody_or_several_says_so(known: AttributedNames | None, says: str, certain: bool) -> None:
    with pytest.raises(NoMatchError, match=says) as found:
        attributed(Scope(ScopeKind.ACTOR, "jane smith"), known)
    assert found.value.certain is certain


def _november() -> Period:
    return Period("2026-11", _midnight(date(2026, 11, 1)), _midnight(date(2026, 12, 1)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
