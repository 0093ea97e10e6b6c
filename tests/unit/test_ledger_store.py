"""The ledger: each response counts once, and sums always are those of the events."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import add
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, func, select

from bot.budgets.budget import ORGANIZATION, PeriodKind, period_at
from bot.budgets.report import cache_uses
from bot.budgets.snapshots import Snapshots
from bot.budgets.usage_index import LedgerIndex
from bot.clock import DAY, HOUR, MINUTE
from bot.db.schema import (
    ledger_days,
    ledger_dimensions,
    ledger_events,
    ledger_hours,
    ledger_known_hours,
    ledger_minutes,
    state,
)
from bot.db.state import versions_of
from bot.ledger.model import Appended, Dimensions, Event, Outcome, Row, Sums, tags_of
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from tests.databases import open_migrated, postgres_database

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
NOON = MIDNIGHT + 12 * HOUR
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
SEARCH = Dimensions(OPUS, "search", "zoe", tags_of({"team": "core", "pr": "7"}))
FAST = Dimensions(HAIKU, None, None, (), "wrkspc_1", "apikey_1", Terms("batch", "us", "fast"), 200_000)
TABLES = (ledger_events, ledger_hours, ledger_minutes, ledger_days, ledger_dimensions, ledger_known_hours, state)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One of each kind for all tests here, which empty it."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'claude-cost.db'}"
        else:
            url = stack.enter_context(postgres_database())
        engine = open_migrated(url)
        stack.callback(engine.dispose)
        yield engine


def emptied(engine: Engine) -> Engine:
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(delete(table))
    versions_of(engine).changed()
    return engine


@pytest.fixture
def engine(database: Engine) -> Engine:
    return emptied(database)


@pytest.fixture
def ledger(engine: Engine) -> SqlLedger:
    return SqlLedger(engine)


def counts(fresh: int, output: int = 1) -> TokenCounts:
    return TokenCounts(uncached_input_tokens=fresh, output_tokens=output)


def response(
    number: int | str,
    at: datetime = NOON,
    dimensions: Dimensions = SEARCH,
    tokens: TokenCounts = counts(10),  # noqa: B008
    outcome: Outcome = Outcome.OK,
    requests: int = 1,
) -> Event:
    return Event(f"msg_{number}", at, dimensions, tokens, outcome, requests)


def by_start(rows: Sequence[Row]) -> dict[tuple[datetime, Dimensions], Sums]:
    found = {(row.starts_at, row.dimensions): row.sums for row in rows}
    assert len(found) == len(rows)
    return found


def total(rows: Sequence[Row]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*((*row.sums.counts, *row.sums[1:]) for row in rows), strict=True))) or (0,) * 9


def test_an_empty_ledger_says_so(ledger: SqlLedger) -> None:
    assert (ledger.read(MIDNIGHT, MIDNIGHT + DAY), ledger.version(), ledger.prune(NOON)) == ([], 0, 0)
    assert ledger.append([], NOON) == Appended(0, 0)


def test_sums_keep_every_dimension_apart(ledger: SqlLedger) -> None:
    events = [response(1), response(2, tokens=counts(5)), response(3, dimensions=FAST, outcome=Outcome.RATE_LIMITED)]
    assert ledger.append(events, NOON) == Appended(3, 0)
    assert by_start(ledger.read(MIDNIGHT, NOON + HOUR)) == {
        (NOON, SEARCH): Sums(counts(15, 2), 2, 0, 0),
        (NOON, FAST): Sums(counts(10, 1), 1, 0, 1),
    }


def test_a_response_that_is_sent_again_counts_once(ledger: SqlLedger) -> None:
    assert ledger.append([response(1), response(1), response(2)], NOON) == Appended(2, 1)
    before = ledger.version()
    assert ledger.append([response(1), response(2)], NOON + HOUR) == Appended(0, 2)
    assert total(ledger.read(MIDNIGHT, MIDNIGHT + DAY))[0] == 20
    assert ledger.version() == before


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
def test_of_several_states_of_a_response_the_largest_of_each_count_is_kept(ledger: SqlLedger, together: bool) -> None:
    first = response(1, NOON, tokens=TokenCounts(10, 1, 0, 7, 2, 0))
    grown = response(1, NOON + DAY, FAST, TokenCounts(4, 3, 0, 7, 20, 1), Outcome.ERROR)
    if together:
        ledger.append([first, grown], NOON)
    else:
        ledger.append([first], NOON)
        before = ledger.version()
        ledger.append([grown], NOON)
        assert ledger.version() > before
    kept = Sums(TokenCounts(10, 3, 0, 7, 20, 1), 1)
    assert by_start(ledger.read(MIDNIGHT, MIDNIGHT + 2 * DAY)) == {(MIDNIGHT, SEARCH): kept}
    assert by_start(ledger.read(NOON, NOON + HOUR)) == {(NOON, SEARCH): kept}


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
@pytest.mark.parametrize("split_first", [True, False], ids=["lifetimes first", "sum first"])
@pytest.mark.parametrize(
    ("written", "lifetimes", "kept"),
    [
        (100, (0, 100), (0, 100)),
        (100, (30, 70), (30, 70)),
        (100, (100, 0), (100, 0)),
        (90, (30, 70), (30, 70)),
        (110, (30, 70), (40, 70)),
        (0, (30, 70), (30, 70)),
    ],
)
def test_cache_writes_without_a_lifetime_are_those_of_which_another_report_has_it(
    ledger: SqlLedger,
    written: int,
    lifetimes: tuple[int, int],
    kept: tuple[int, int],
    split_first: bool,
    together: bool,
) -> None:
    states = [
        replace(response(1, tokens=TokenCounts(1, written, 0, 0, 1)), unsplit=written),
        response(1, tokens=TokenCounts(1, *lifetimes, 0, 1)),
    ]
    if split_first:
        states.reverse()
    for some in [states] if together else [[each] for each in (*states, *states)]:
        ledger.append(some, NOON)
    assert total(ledger.read(MIDNIGHT, MIDNIGHT + DAY)) == (1, *kept, 0, 1, 0, 1, 0, 0)


def test_a_further_part_of_a_response_is_no_response_of_its_own(ledger: SqlLedger) -> None:
    part = Event("msg_1#1", NOON, FAST, counts(3), requests=0)
    assert ledger.append([response(1), part], NOON) == Appended(1, 0)
    assert ledger.append([response(1), part], NOON) == Appended(0, 1)
    assert total(ledger.read(MIDNIGHT, MIDNIGHT + DAY))[6] == 1


def test_whole_days_are_read_as_days_and_the_rest_by_hour(ledger: SqlLedger) -> None:
    ledger.append([response(hour, MIDNIGHT + hour * HOUR) for hour in range(72)], NOON)
    found = Counter(row.starts_at for row in ledger.read(MIDNIGHT - HOUR, MIDNIGHT + 2 * DAY + 2 * HOUR))
    assert sorted(found) == [MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY, MIDNIGHT + 2 * DAY + HOUR]
    assert len(ledger.read(MIDNIGHT + HOUR, MIDNIGHT + DAY)) == 23
    assert [row.starts_at for row in ledger.read(NOON - MINUTE, NOON + MINUTE)] == [NOON]
    assert ledger.read(NOON + MINUTE, NOON + 2 * MINUTE) == ledger.read(NOON + HOUR, NOON) == []


def test_totals_are_whole_numbers_from_which_cache_use_is_worked_out(ledger: SqlLedger) -> None:
    cached = TokenCounts(10, cache_creation_5m_input_tokens=100, cache_read_input_tokens=1_000, output_tokens=1)
    ledger.append([Event("msg_1", NOON, SEARCH, cached)], NOON)
    totals = ledger.totals(MIDNIGHT, MIDNIGHT + DAY)
    assert {type(number) for number in totals[SEARCH].counts} == {int}
    (use,) = cache_uses([("search", OPUS, STANDARD, None, totals[SEARCH].counts)], load_rate_card(), NOON.date())
    assert use.break_even is not None


def test_events_go_by_when_they_came_and_their_sums_stay(ledger: SqlLedger) -> None:
    old = [response(number, MIDNIGHT - 90 * DAY) for number in range(5)]
    ledger.append([response("new", MIDNIGHT)], MIDNIGHT - DAY)
    ledger.append(old, NOON)
    assert ledger.prune(NOON) == 1
    assert ledger.append(old, NOON + HOUR) == Appended(0, 5)
    assert [ledger.prune(NOON + MINUTE, at_once=2, most=4) for _ in range(3)] == [4, 1, 0]
    assert total(ledger.read(MIDNIGHT - 100 * DAY, MIDNIGHT + DAY))[0] == 60
    assert ledger.prune(NOON + 100 * DAY) == 0


def test_no_text_keeps_others_from_being_stored(ledger: SqlLedger) -> None:
    for number, hostile in enumerate(["a\0b", "a\nb", "\ud800", "\u202e", "x" * 10_000, " ", ""]):
        names = Dimensions(hostile, hostile, hostile, ((hostile, hostile),), hostile, hostile, Terms(hostile, hostile))
        odd = Event(hostile, NOON, names, counts(1), request_id=hostile, session=hostile)
        others = [replace(odd, id=f"{number}"), response(number)]
        assert ledger.append([odd, *others], NOON) == Appended(3, 0)
        assert ledger.append([odd], NOON) == Appended(0, 1)
    rows = ledger.read(NOON, NOON + HOUR)
    assert total(rows)[0] == 7 * 12
    names_read = [row.dimensions.feature or "" for row in rows]
    assert all(name.isprintable() and len(name) <= 200 for name in names_read)


def test_a_key_that_was_logged_instead_of_its_name_is_not_stored(ledger: SqlLedger, engine: Engine) -> None:
    secret = "sk-ant-api03-abcdefghijklmnop"
    names = Dimensions(OPUS, secret, secret, tags_of({"auth": f"Bearer {secret}"}), secret, secret)
    ledger.append([response(1, dimensions=names)], NOON)
    with engine.connect() as connection:
        assert secret not in repr(connection.execute(select(ledger_dimensions)).all())


def test_a_restarted_bot_knows_dimensions_again(engine: Engine) -> None:
    SqlLedger(engine).append([response(1), response(2, dimensions=FAST)], NOON)
    again = SqlLedger(engine)
    again.append([response(3), response(4, dimensions=FAST), response(5, dimensions=FAST._replace(key=None))], NOON)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(ledger_dimensions)).scalar_one() == 3
    assert {row.dimensions for row in SqlLedger(engine).read(NOON, NOON + HOUR)} == {
        SEARCH,
        FAST,
        FAST._replace(key=None),
    }


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(" ".join(statement.split()[:3]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_batch_takes_few_statements_however_large_it_is(ledger: SqlLedger, engine: Engine) -> None:
    def batch(first: int, last: int, fresh: int = 1) -> list[Event]:
        dimensions = [SEARCH._replace(user_id=str(number)) for number in range(50)]
        return [
            response(number, NOON + number * MINUTE, dimensions[number % 50], counts(fresh))
            for number in range(first, last)
        ]

    ledger.append(batch(0, 1), NOON)
    for events in (batch(1, 2_000), batch(2_000, 2_001), batch(0, 2_100, 2), batch(0, 2_100, 2)):
        with statements(engine) as found:
            ledger.append(events, NOON)
        assert len(found) <= 12, found


def test_a_failure_leaves_nothing_behind_not_even_in_memory(engine: Engine, ledger: SqlLedger) -> None:
    too_large = replace(response(2), counts=TokenCounts(2**63 - 1))
    ledger.append([replace(too_large, id="msg_0")], NOON)
    with pytest.raises(Exception, match=r"(?i)integer|range|constraint"):
        ledger.append([response(1, dimensions=FAST), replace(too_large, counts=TokenCounts(2**64))], NOON)
    ledger.append([response(3, dimensions=FAST._replace(feature="other"))], NOON)
    ledger.append([response(4, dimensions=FAST)], NOON)
    features = {row.dimensions: row.sums.requests for row in ledger.read(NOON, NOON + HOUR)}
    assert features == {SEARCH: 1, FAST._replace(feature="other"): 1, FAST: 1}


DIMENSIONS = (SEARCH, FAST, Dimensions(OPUS), Dimensions(OPUS, "search"))
a_response = st.builds(
    response,
    st.integers(0, 5),
    st.sampled_from([MIDNIGHT - timedelta(microseconds=1), MIDNIGHT, NOON, NOON + 59 * MINUTE, MIDNIGHT + DAY]),
    st.sampled_from(DIMENSIONS),
    st.builds(TokenCounts, *[st.integers(0, 3)] * 6),
    st.sampled_from(Outcome),
    st.integers(0, 2),
)
a_batch = st.lists(a_response, max_size=6)
a_step = st.one_of(a_batch, a_batch, st.integers(0, 4))
"""A batch to append, or before which step's time events are pruned."""


class Plain:
    """The same, recomputed from all events."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int, Event]] = {}
        self.gone: list[Event] = []

    def append(self, events: Sequence[Event], received: int) -> Appended:
        accepted = sum(1 for each in {one.id: 0 for one in events} if each not in self.kept and self._of(events, each))
        for each in events:
            received_at, first = self.kept.get(each.id, (received, each))
            largest = TokenCounts(*map(max, first.counts, each.counts))
            requests = max(first.requests, each.requests)
            self.kept[each.id] = received_at, replace(first, counts=largest, requests=requests)
        return Appended(accepted, sum(1 for each in events if each.requests) - accepted)

    def _of(self, events: Sequence[Event], event_id: str) -> int:
        return max(one.requests for one in events if one.id == event_id)

    def prune(self, before: int) -> int:
        old = [event_id for event_id, (received, _) in self.kept.items() if received < before]
        self.gone += [self.kept.pop(event_id)[1] for event_id in old]
        return len(old)

    def sums(self, width: timedelta) -> dict[tuple[datetime, Dimensions], Sums]:
        found: dict[tuple[datetime, Dimensions], tuple[int, ...]] = {}
        for each in (*self.gone, *(kept for _, kept in self.kept.values())):
            start = MIDNIGHT + (each.at - MIDNIGHT) // width * width
            errors = each.requests * (each.outcome is Outcome.ERROR)
            limited = each.requests * (each.outcome is Outcome.RATE_LIMITED)
            values = (*each.counts, each.requests, errors, limited)
            before = found.get((start, each.dimensions), (0,) * 9)
            found[start, each.dimensions] = tuple(map(add, before, values))
        return {key: Sums(TokenCounts(*values[:6]), *values[6:]) for key, values in found.items()}


def play(engine: Engine, steps: Sequence[list[Event] | int], copies: int = 2) -> None:
    """Several copies of the bot append in turn; sums are compared after each step."""
    emptied(engine)
    ledgers, plain = [SqlLedger(engine) for _ in range(copies)], Plain()
    for number, step in enumerate(steps):
        ledger, now = ledgers[number % copies], NOON + number * HOUR
        if isinstance(step, int):
            assert ledger.prune(NOON + step * HOUR) == plain.prune(step)
        else:
            assert ledger.append(step, now) == plain.append(step, number)
        assert by_start(ledger.read(MIDNIGHT - DAY, MIDNIGHT + 2 * DAY)) == plain.sums(DAY)
        starts = [MIDNIGHT + number * 8 * HOUR for number in range(-3, 6)]
        hours = [row for start in starts for row in ledger.read(start, start + 8 * HOUR)]
        assert by_start(hours) == plain.sums(HOUR)


@given(steps=st.lists(a_step, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_are_those_of_all_events_whatever_came_in_which_order(
    engine: Engine, steps: list[list[Event] | int]
) -> None:
    play(engine, steps if engine.dialect.name == "sqlite" else steps[:3])


def test_copies_that_append_the_same_at_once_count_it_once(engine: Engine) -> None:
    copies = [SqlLedger(engine) for _ in range(4)]
    users = [SEARCH._replace(user_id=str(number)) for number in range(9)]
    everything = [response(number, NOON, users[number % 9], counts(7)) for number in range(300)]

    def one(seed: int) -> list[Appended]:
        random, found = Random(seed), []
        for _ in range(5):
            some = random.sample(everything, 150)
            grown = [replace(each, counts=counts(7 + random.randrange(3))) for each in some]
            found.append(copies[seed].append(grown, NOON))
        found.append(copies[seed].append([replace(each, counts=counts(10)) for each in everything], NOON))
        return found

    with ThreadPoolExecutor(4) as threads:
        appended = [each for found in threads.map(one, range(4)) for each in found]
    assert sum(each.accepted for each in appended) == 300
    assert sum(each.duplicates for each in appended) == 4 * (5 * 150 + 300) - 300
    assert total(copies[0].read(MIDNIGHT, MIDNIGHT + DAY)) == (3000, 0, 0, 0, 300, 0, 300, 0, 0)


def test_the_cost_of_a_report_does_not_grow_with_the_events(ledger: SqlLedger, engine: Engine) -> None:
    def read_of_a_month() -> tuple[int, list[str]]:
        with statements(engine) as found:
            rows = len(ledger.read(MIDNIGHT, MIDNIGHT + 30 * DAY))
        return rows, found

    ledger.append([response(number, MIDNIGHT + number * HOUR) for number in range(720)], NOON)
    read_of_a_month()
    few = read_of_a_month()
    for part in range(5):
        ledger.append([response(f"{part}-{number}", MIDNIGHT + number * HOUR) for number in range(720)], NOON)
    assert read_of_a_month() == few
    assert few[0] == 30


def test_users_are_stored_as_keyed_hashes_where_the_team_wants_that(engine: Engine) -> None:
    ledger = SqlLedger(engine, hash_users=True)
    named = SEARCH._replace(
        user_id="lovelace",
        tags=tags_of({"team": "core", "user.email": "lovelace@example.com", "enduser_id": "lovelace"}),
    )
    ledger.append([response(1, dimensions=named), response(2, dimensions=named)], NOON)
    SqlLedger(engine, hash_users=True).append([response(3, dimensions=named)], NOON)
    (row,) = ledger.read(NOON, NOON + HOUR)
    assert row.sums.requests == 3
    assert row.dimensions.user_id == ledger.user("lovelace")
    assert re.fullmatch(r"[0-9a-f]{16}", ledger.user("lovelace"))
    assert dict(row.dimensions.tags)["team"] == "core"
    assert dict(row.dimensions.tags)["enduser_id"] == ledger.user("lovelace")
    with engine.connect() as connection:
        for table in TABLES:
            assert "lovelace" not in repr(connection.execute(select(table)).all())


def test_every_database_has_a_key_of_its_own_for_hashes(tmp_path: Any) -> None:
    engines = [open_migrated(f"sqlite:///{tmp_path / name}") for name in ("one.db", "two.db")]
    one, other = (SqlLedger(engine, hash_users=True).user("lovelace") for engine in engines)
    assert one != other
    assert SqlLedger(engines[0]).user("lovelace") == "lovelace"
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize(
    ("since", "until"),
    [(NOON - DAY, NOON + 2 * DAY), (MIDNIGHT, MIDNIGHT + DAY), (NOON, NOON + HOUR), (NOON, NOON)],
    ids=["days and edges", "one day", "one hour", "nothing"],
)
def test_totals_are_the_sums_of_what_is_read(ledger: SqlLedger, since: datetime, until: datetime) -> None:
    at = (NOON - DAY, NOON - 2 * HOUR, NOON, NOON + DAY, NOON + 2 * DAY)
    outcomes = (Outcome.OK, Outcome.RATE_LIMITED, Outcome.ERROR)
    ledger.append(
        [response(i, at[i % 5], (SEARCH, FAST)[i % 2], counts(i + 1), outcomes[i % 3]) for i in range(30)], NOON
    )
    expected: dict[Dimensions, Sums] = {}
    for row in ledger.read(since, until):
        expected[row.dimensions] = expected.get(row.dimensions, Sums()).plus(row.sums)
    assert ledger.totals(since, until) == expected


def test_minutes_of_models_add_up_without_batches(ledger: SqlLedger) -> None:
    other = SEARCH._replace(feature="support")
    ledger.append([response(1), response(2, NOON, other), response(3, NOON, FAST), response(4, NOON + MINUTE)], NOON)
    found = {(at, model): sums.requests for at, model, sums in ledger.minutes_of_models(NOON)}
    assert found == {(NOON, OPUS): 2, (NOON + MINUTE, OPUS): 1}


def test_sums_by_the_minute_go_when_nobody_reads_them_any_more(ledger: SqlLedger, engine: Engine) -> None:
    for days in range(40):
        ledger.append([response(days, NOON - days * DAY)], NOON - days * DAY)
    snapshots, kolkata = Snapshots(ledger, load_rate_card(), LedgerIndex), ZoneInfo("Asia/Kolkata")
    days_before = [period_at(PeriodKind.DAY, kolkata, NOON - days * DAY) for days in range(40)]
    before = [snapshots.current().spend(ORGANIZATION, day).total_usd for day in days_before]
    assert ledger.prune(NOON - 50 * DAY) == 0
    with engine.connect() as connection:
        minutes = connection.execute(select(ledger_minutes.c.minute).order_by(ledger_minutes.c.minute)).scalars().all()
    assert minutes == [NOON - days * DAY for days in (4, 3, 2, 1, 0)]
    again = Snapshots(SqlLedger(engine), load_rate_card(), LedgerIndex).current()
    assert [again.spend(ORGANIZATION, day).total_usd for day in days_before] == before
    assert ledger.prune(NOON - 20 * DAY) == 19
    assert sum(row.sums.requests for row in ledger.read(NOON - 50 * DAY, NOON + DAY)) == 40
