"""The ledger with its responses in ClickHouse: each still counts once, and sums are those of the responses."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event as Signal
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, update

from bot.addresses import clickhouse_address
from bot.cli.import_files import import_files
from bot.clock import DAY, HOUR, MINUTE
from bot.db.retention import Retention, prune_hours
from bot.db.schema import ledger_days, ledger_dimensions, ledger_events, ledger_hours, ledger_minutes, state
from bot.db.state import versions_of
from bot.ledger import clickhouse_ledger
from bot.ledger.clickhouse import (
    REBUILD_SECONDS,
    Cell,
    ClickHouseError,
    ClickHouseEvents,
    Client,
    Kept,
    connect_clickhouse,
)
from bot.ledger.clickhouse_ledger import ClickHouseLedger, ledger_from
from bot.ledger.model import Appended, Dimensions, Event, LedgerRules, Outcome, tags_of
from bot.ledger.store import Change, SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.files import find_files
from tests.clickhouse_server import ClickHouseServer, clickhouse_server
from tests.databases import open_migrated, postgres_database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SEARCH = Dimensions("claude-opus-5-5", "search", "zoé", tags_of({"team": "core"}))
RETRY = Dimensions("claude-haiku-5-5", None, None, (), "wrkspc_1")
RULES = LedgerRules(timedelta(days=35))
TABLES = (ledger_events, ledger_hours, ledger_minutes, ledger_days, ledger_dimensions, state)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'claude-cost.db'}"
        else:
            url = stack.enter_context(postgres_database())
        engine = open_migrated(url)
        stack.callback(engine.dispose)
        yield engine


@pytest.fixture
def engine(database: Engine) -> Engine:
    with database.begin() as connection:
        for table in TABLES:
            connection.execute(delete(table))
    versions_of(database).changed()
    return database


@pytest.fixture
def clickhouse() -> Iterator[ClickHouseServer]:
    with clickhouse_server() as server:
        yield server


@pytest.fixture
def ledger(engine: Engine, clickhouse: ClickHouseServer) -> ClickHouseLedger:
    return opened(engine, clickhouse)


def opened(engine: Engine, clickhouse: ClickHouseServer, rules: LedgerRules = RULES) -> ClickHouseLedger:
    ledger = ledger_from(engine, clickhouse.url, rules)
    assert isinstance(ledger, ClickHouseLedger)
    ledger.roll_up(NOON)
    return ledger


def response(name: object, at: datetime = NOON, output: int = 10, dimensions: Dimensions = SEARCH) -> Event:
    return Event(f"msg_{name}", at, dimensions, TokenCounts(output_tokens=output))


class Overtaking:
    """A look-up after which something happens, once."""

    def __init__(self, events: ClickHouseEvents, happens: Callable[[], object]) -> None:
        self._events = events
        self._happens: list[Callable[[], object]] = [happens]
        self.store, self.hour, self.identity = events.store, events.hour, events.identity

    def find(self, ids: Iterable[str]) -> dict[str, Kept]:
        found = self._events.find(ids)
        if self._happens:
            self._happens.pop()()
        return found


def held(engine: Engine) -> set[str]:
    """Ids of the responses in the bot's own database."""
    with engine.connect() as connection:
        return set(connection.execute(select(ledger_events.c.id)).scalars())


def sums(engine: Engine) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Sums of the hours, the days and the minutes, without zeros."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    with engine.connect() as connection:
        for table in (ledger_minutes, ledger_hours, ledger_days):
            start, number, *numbers = table.columns
            named = table.join(ledger_dimensions, ledger_dimensions.c.id == number)
            query = select(start, ledger_dimensions.c.digest, *numbers).select_from(named)
            for at, digest, *its in connection.execute(query):
                found[table.name, at, digest] = tuple(its)
    return {key: its for key, its in found.items() if any(its)}


def total(ledger: SqlLedger) -> int:
    """Output tokens in all sums."""
    return sum(one.counts.output_tokens for one in ledger.totals(NOON - 40 * DAY, NOON + 2 * DAY).values())


def test_a_response_counts_at_once_and_moves_an_hour_later(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    assert ledger.append([response(1), response(2)], NOON) == Appended(2, 0)
    assert (total(ledger), clickhouse.ids) == (20, set())
    version = ledger.version()

    ledger.roll_up(NOON + HOUR)
    assert clickhouse.ids == set()
    ledger.roll_up(NOON + HOUR + MINUTE)

    assert (clickhouse.ids, held(engine)) == ({"msg_1", "msg_2"}, set())
    assert (total(ledger), ledger.version()) == (20, version)
    stored = clickhouse.final()["msg_1"]
    assert (stored["at"], stored["model"], stored["user_id"]) == ("2026-11-20 12:00:00.000000", SEARCH.model, "zoé")
    assert stored["size"] == 11


def test_an_insert_waits_until_it_is_durable_and_the_table_is_as_documented(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer
) -> None:
    ledger.append([response(1)], NOON)
    ledger.roll_up(NOON + 2 * HOUR)
    inserts = [
        settings
        for statement, settings in zip(clickhouse.statements, clickhouse.settings, strict=True)
        if statement.startswith("INSERT")
    ]
    assert [(each["async_insert"], each["wait_for_async_insert"], each["database"]) for each in inserts] == [
        ("1", "1", "costs")
    ]
    assert clickhouse.logins == {"ledger:s3cr@t"}
    for part in ("ReplacingMergeTree(size)", "PARTITION BY toYYYYMM(received_at)", "ORDER BY id", "toIntervalDay(35)"):
        assert part in clickhouse.engine


def test_another_time_to_keep_reaches_the_table(engine: Engine, clickhouse: ClickHouseServer) -> None:
    for days in (35, 90, 90):
        ledger = opened(engine, clickhouse, LedgerRules(timedelta(days=days)))
        ledger.append([response(days)], NOON)
    assert "toIntervalDay(90)" in clickhouse.engine
    assert sum("MODIFY TTL" in each for each in clickhouse.statements) == 1


def test_a_repeat_of_a_response_that_was_moved_counts_nothing(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response(1)], NOON)
    before = sums(engine)
    ledger.roll_up(NOON + 5 * HOUR)

    repeat = response(1, NOON + 6 * HOUR, dimensions=RETRY)
    assert ledger.append([repeat, response(2, NOON - DAY, 0)], NOON + 6 * HOUR) == Appended(1, 1)
    assert sums(engine).items() >= before.items()
    assert total(ledger) == 10
    ledger.roll_up(NOON + 9 * HOUR)
    assert (total(ledger), held(engine)) == (10, set())
    assert [row[0] for row in clickhouse.rows] == ["msg_1", "msg_2"]


def test_a_response_that_grows_after_it_was_moved_counts_what_it_has_grown_by(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer
) -> None:
    ledger.append([response(1)], NOON)
    ledger.roll_up(NOON + 5 * HOUR)

    assert ledger.append([response(1, NOON + 6 * HOUR, 25, RETRY)], NOON + 6 * HOUR) == Appended(0, 1)
    assert [
        (row.starts_at, row.dimensions, row.sums.counts.output_tokens) for row in ledger.read(NOON, NOON + DAY)
    ] == [(NOON, SEARCH, 25)]
    ledger.roll_up(NOON + 9 * HOUR)
    state_now = clickhouse.final()["msg_1"]
    assert (state_now["output_tokens"], state_now["at"]) == (25, "2026-11-20 12:00:00.000000")
    assert total(ledger) == 25


def test_an_append_does_without_clickhouse_and_a_repeat_is_taken_off_later(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append([response(1), response(2)], NOON)
    ledger.roll_up(NOON + 5 * HOUR)
    clickhouse.fails_with = "Code: 241. DB::Exception: s3cr@t (MEMORY_LIMIT_EXCEEDED)"
    again = [response(1, NOON + 6 * HOUR, 25, RETRY), response(2, NOON, 10), response(3)]

    assert ledger.append(again, NOON + 6 * HOUR) == Appended(3, 0)
    assert ledger.append(again, NOON + 6 * HOUR) == Appended(0, 3)
    with pytest.raises(ClickHouseError, match="too little memory"):
        ledger.roll_up(NOON + 9 * HOUR)
    assert held(engine) == {"msg_1", "msg_2", "msg_3"}

    clickhouse.fails_with = None
    ledger.roll_up(NOON + 9 * HOUR)
    assert held(engine) == set()
    alone = {(NOON, SEARCH): 25 + 10 + 10}
    assert {
        (row.starts_at, row.dimensions): row.sums.counts.output_tokens for row in ledger.read(NOON, NOON + DAY)
    } == {
        **alone,
        (NOON + 6 * HOUR, RETRY): 0,
    }
    assert [ledger.totals(NOON, NOON + DAY)[SEARCH].requests, clickhouse.final()["msg_1"]["output_tokens"]] == [3, 25]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(":")[0] for text in said] == [
        "responses are stored without a look for older repeats",
        "2 responses were counted a second time while ClickHouse was out of reach; corrected",
    ]
    assert "s3cr" not in caplog.text


def test_a_move_that_ended_before_its_last_step_is_repeated(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response(1)], NOON)
    with engine.connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(ledger_events))]
    ledger.roll_up(NOON + 2 * HOUR)
    with engine.begin() as connection:
        connection.execute(ledger_events.insert(), rows)

    ledger.roll_up(NOON + 3 * HOUR)
    assert (total(ledger), held(engine), len(clickhouse.rows)) == (10, set(), 1)


def test_a_response_that_grows_while_it_is_moved_stays_until_the_next_move(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response(1)], NOON)

    def grow() -> None:
        clickhouse.before_insert.clear()
        ledger.append([response(1, output=30)], NOON + 2 * HOUR)

    clickhouse.before_insert.append(grow)
    ledger.roll_up(NOON + 2 * HOUR)
    assert (total(ledger), held(engine)) == (30, {"msg_1"})
    ledger.roll_up(NOON + 3 * HOUR)
    assert (total(ledger), held(engine)) == (30, set())
    assert clickhouse.final()["msg_1"]["output_tokens"] == 30


def test_a_look_up_that_a_move_has_overtaken_is_repeated(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    """The response is not in ClickHouse at the look-up, and no longer in the database at the transaction."""
    ledger.append([response(1)], NOON)
    other = opened(engine, clickhouse)
    overtaking = Overtaking(other._events, lambda: ledger.roll_up(NOON + 2 * HOUR))
    other._events = overtaking  # type: ignore[assignment]
    assert other.append([response(1, output=12)], NOON + 2 * HOUR) == Appended(0, 1)
    assert total(ledger) == 12


def test_closed_hours_are_rebuilt_from_the_responses(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    """Such as after a restore of the bot's database from a backup."""
    events = [response(1), replace(response(2, NOON + MINUTE), outcome=Outcome.ERROR), response(3, dimensions=RETRY)]
    ledger.append(events, NOON + 5 * MINUTE)
    right = sums(engine)
    ledger._move(NOON + 2 * HOUR)
    with engine.begin() as connection:
        for table in (ledger_minutes, ledger_hours, ledger_days):
            connection.execute(delete(table))
    version = ledger.version()

    ledger.roll_up(NOON + 2 * HOUR)
    assert sums(engine) == right
    assert ledger.version() == version + 1
    ledger.roll_up(NOON + 2 * HOUR)
    assert ledger.version() == version + 1


def test_a_rebuilt_hour_counts_what_is_not_moved_and_leaves_a_repeat_to_its_move(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response(1), response(2)], NOON)
    ledger.roll_up(NOON + 90 * MINUTE)
    clickhouse.fails_with = "no"
    ledger.append([response(1)], NOON + 95 * MINUTE)
    ledger.append([response("late")], NOON + 115 * MINUTE)
    clickhouse.fails_with = None
    ledger._retry_at = None
    ledger.append([response(2, output=11)], NOON + 115 * MINUTE)
    assert total(ledger) == 10 + 11 + 10 + 10

    ledger.roll_up(NOON + 2 * HOUR)
    assert (held(engine), total(ledger)) == ({"msg_1", "msg_late"}, 41)
    ledger.roll_up(NOON + 4 * HOUR)
    assert (held(engine), total(ledger)) == (set(), 31)


def test_what_was_logged_before_clickhouse_is_moved_and_its_sums_stay(
    engine: Engine, clickhouse: ClickHouseServer
) -> None:
    before = SqlLedger(engine)
    before.append([response(number, NOON - number * HOUR) for number in range(50)], NOON)
    with engine.begin() as connection:
        connection.execute(delete(ledger_events).where(ledger_events.c.at < NOON - DAY))
    right, left = sums(engine), held(engine)

    ledger = opened(engine, clickhouse)
    ledger.roll_up(NOON + 5 * HOUR)
    assert (sums(engine), clickhouse.ids) == (right, left)


def test_what_files_say_stays_since_it_may_be_withdrawn(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    file_made = [replace(response(1), id=f"{mark}place") for mark in "@~+"]
    ledger.append([*file_made, response(1)], NOON)
    ledger.roll_up(NOON + 3 * HOUR)
    assert (held(engine), clickhouse.ids) == ({"@place", "~place", "+place"}, {"msg_1"})
    ledger.change(lambda _: Change([response(1)], ["@place"]), NOON + 3 * HOUR)
    ledger.roll_up(NOON + 6 * HOUR)
    assert total(ledger) == 30
    assert ledger.prune(NOON + DAY) == 2


ODD_IDS = ["a'b", 'a"b', "a\\b", "a\\'", "a,b", "日本", "a\tb", "😀" * 300, "%s{ids:String}", "' OR 1=1 --"]


def test_any_id_is_moved_and_known_again(ledger: ClickHouseLedger, clickhouse: ClickHouseServer) -> None:
    events = [replace(response(1), id=each) for each in ODD_IDS]
    ledger.append(events, NOON)
    ledger.roll_up(NOON + 3 * HOUR)
    assert len(clickhouse.rows) == len(ODD_IDS)
    assert ledger.append(events, NOON + 3 * HOUR) == Appended(0, len(ODD_IDS))


def test_times_that_clickhouse_cannot_store_stay(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response("old"), response(1)], NOON)
    with engine.begin() as connection:
        of_old = ledger_events.c.id == "msg_old"
        connection.execute(update(ledger_events).where(of_old).values(at=datetime(1, 1, 3, tzinfo=UTC)))
    ledger.roll_up(NOON + 3 * HOUR)
    assert (held(engine), clickhouse.ids) == ({"msg_old"}, {"msg_1"})


def test_hashed_users_are_hashed_once(engine: Engine, clickhouse: ClickHouseServer) -> None:
    ledger = opened(engine, clickhouse, LedgerRules(hash_users=True))
    ledger.append([response(1)], NOON)
    ledger.roll_up(NOON + 3 * HOUR)
    hashed = clickhouse.final()["msg_1"]["user_id"]
    assert hashed == ledger.user("zoé") != "zoé"
    ledger.append([response(1, output=20)], NOON + 3 * HOUR)
    assert [each.user_id for each in ledger.totals(NOON, NOON + DAY)] == [hashed]


def test_many_ids_take_several_queries(ledger: ClickHouseLedger, clickhouse: ClickHouseServer) -> None:
    events = [response(f"{number:0>240}") for number in range(400)]
    ledger.append(events, NOON)
    ledger.roll_up(NOON + 3 * HOUR)
    clickhouse.statements.clear()
    assert ledger.append(events, NOON + 3 * HOUR) == Appended(0, 400)
    assert len(clickhouse.statements) == 2


def test_sums_are_those_of_a_database_alone(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine, tmp_path: Path
) -> None:
    """Repeats, growth, late ones and outages at random."""
    of_alone = open_migrated(f"sqlite:///{tmp_path / 'alone.db'}")
    alone = SqlLedger(of_alone)
    random, now, sent = Random(4), NOON, list[Event]()
    for batch in range(8):
        events = [
            response(
                f"{batch}-{number}",
                now - random.randrange(100) * HOUR,
                random.randrange(99),
                random.choice((SEARCH, RETRY)),
            )
            for number in range(5)
        ]
        again = random.choices(sent or events, k=4)
        grown = [replace(each, at=now, counts=each.counts + TokenCounts(output_tokens=3)) for each in again]
        clickhouse.fails_with = "out of memory" if random.random() < 0.3 else None
        for each in (ledger, alone):
            each.append([*events, *grown], now)
        clickhouse.fails_with = None
        ledger._retry_at = None
        sent += events
        now += random.randrange(30, 400) * MINUTE
        ledger.roll_up(now)
    ledger.roll_up(now + 3 * HOUR)
    assert sums(engine) == sums(of_alone)
    of_alone.dispose()
    assert len(clickhouse.ids) == 40


def test_copies_append_the_same_while_one_moves(engine: Engine, clickhouse: ClickHouseServer) -> None:
    copies = [opened(engine, clickhouse) for _ in range(3)]
    events = [response(number) for number in range(40)]
    copies[0].append(events, NOON)
    with ThreadPoolExecutor(4) as pool:
        moves = [pool.submit(copy.roll_up, NOON + 5 * HOUR) for copy in copies[:2]]
        reported = [pool.submit(copy.append, events, NOON + 5 * HOUR) for copy in copies]
        assert [each.result() for each in reported] == [Appended(0, 40)] * 3
        assert [each.result() for each in moves] == [None, None]
    copies[0].roll_up(NOON + 9 * HOUR)
    assert (total(copies[1]), len(clickhouse.ids), held(engine)) == (400, 40, set())


def test_two_copies_take_a_repeat_off_once(engine: Engine, clickhouse: ClickHouseServer) -> None:
    ledger, other = (opened(engine, clickhouse) for _ in range(2))
    ledger.append([response(1)], NOON)
    ledger.roll_up(NOON + 2 * HOUR)
    clickhouse.fails_with = "no"
    ledger.append([response(1, output=15)], NOON + 3 * HOUR)
    clickhouse.fails_with = None
    other._events = Overtaking(other._events, lambda: ledger.roll_up(NOON + 5 * HOUR, seconds=0))  # type: ignore[assignment]
    assert total(ledger) == 25
    other.roll_up(NOON + 5 * HOUR, seconds=0)
    assert (total(ledger), held(engine)) == (15, {"msg_1"})
    other.roll_up(NOON + 5 * HOUR)
    assert (total(ledger), held(engine)) == (15, set())


def test_no_look_up_waits_for_a_clickhouse_that_has_just_failed(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer
) -> None:
    clickhouse.fails_with = "no"
    ledger.append([response(1)], NOON)
    asked = len(clickhouse.settings)
    ledger.append([response(2)], NOON)
    assert len(clickhouse.settings) == asked
    ledger._retry_at = 0.0
    clickhouse.fails_with = None
    ledger.append([response(3)], NOON)
    assert ledger._retry_at is None


def test_one_call_takes_a_bounded_time_and_the_next_goes_on(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response(number) for number in range(5)], NOON)
    for left in (3, 1, 0):
        ledger.roll_up(NOON + 2 * HOUR, at_once=2, seconds=0)
        assert len(held(engine)) == left
    assert len(clickhouse.rows) == 5


def test_another_table_takes_nothing_off_what_was_counted(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.roll_up(NOON - HOUR)
    ledger.append([response(number) for number in range(3)], NOON)
    ledger.roll_up(NOON + HOUR + MINUTE)
    counted = total(ledger)
    clickhouse.rows, clickhouse.uuid = [], "another"
    for hours in (2, 3, 4):
        ledger.roll_up(NOON + hours * HOUR)
        assert total(ledger) == counted
    assert caplog.text.count("is another one than before") == 1
    ledger.append([response(9)], NOON + 4 * HOUR)
    ledger.roll_up(NOON + 7 * HOUR)
    assert (total(ledger), clickhouse.ids) == (counted + 10, {"msg_9"})


def test_a_lifetime_reported_after_the_move_is_no_second_write(ledger: ClickHouseLedger, engine: Engine) -> None:
    named = response(1)
    first = replace(named, counts=TokenCounts(cache_creation_5m_input_tokens=1000), unsplit=1000)
    ledger.append([first], NOON)
    ledger.roll_up(NOON + 2 * HOUR)
    assert held(engine) == set()
    ledger.append([replace(named, counts=TokenCounts(cache_creation_1h_input_tokens=1000))], NOON + 3 * HOUR)
    with engine.connect() as connection:
        written = ledger_hours.c.cache_creation_5m_input_tokens, ledger_hours.c.cache_creation_1h_input_tokens
        sums = select(*(func.sum(each) for each in written))
        assert tuple(connection.execute(sums).one()) == (0, 1000)
    ledger.roll_up(NOON + 6 * HOUR)
    with engine.connect() as connection:
        assert tuple(connection.execute(sums).one()) == (0, 1000)


def test_others_write_while_an_import_looks_ids_up(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine, tmp_path: Path
) -> None:
    ledger.append([response(1)], NOON)
    ledger.roll_up(NOON + 2 * HOUR)
    other = SqlLedger(engine)
    appended: Callable[[], object] = lambda: other.append([response("other")], NOON)  # noqa: E731
    ledger._events = Overtaking(ledger._events, appended)  # type: ignore[assignment]
    log = tmp_path / "app.jsonl"
    record = {"id": "msg_1", "model": SEARCH.model, "input_tokens": 0, "output_tokens": 12, "time": NOON.isoformat()}
    log.write_text(json.dumps(record))
    imported = import_files(engine, ledger, find_files([str(log)]), load_rate_card(), lambda: NOON + 2 * HOUR)
    assert (imported.new, total(ledger)) == (0, 12 + 10)


def test_a_session_whose_calls_were_moved_counts_no_sum(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine, tmp_path: Path
) -> None:
    ledger.append([replace(response(1), session="s1")], NOON)
    ledger.roll_up(NOON + 2 * HOUR)
    usage = {"input_tokens": 0, "output_tokens": 10}
    by_model = {SEARCH.model: {"inputTokens": 0, "outputTokens": 10}}
    result = {"type": "result", "session_id": "s1", "usage": usage, "modelUsage": by_model}
    log = tmp_path / "result.json"
    log.write_text(json.dumps(result))
    other = SqlLedger(engine)
    real, asked = ledger._events.sessions, list[set[str]]()

    def sessions(wanted: Iterable[str]) -> set[str]:
        other.append([response("other")], NOON)
        asked.append(real(wanted))
        return asked[-1]

    ledger._events.sessions = sessions  # type: ignore[method-assign,assignment]
    import_files(engine, ledger, find_files([str(log)]), load_rate_card(), lambda: NOON + 2 * HOUR)
    assert (asked, total(ledger)) == ([{"s1"}], 20)


@pytest.mark.parametrize("before_the_sums", [True, False])
def test_a_rebuild_beside_a_move_of_another_copy_changes_no_sum(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine, before_the_sums: bool
) -> None:
    """The other copy has stored the response and not yet deleted it here."""
    ledger.append([response(1, NOON - 30 * MINUTE)], NOON)
    with engine.connect() as connection:
        rows = clickhouse_ledger._held(connection, ["msg_1"])
    real, stores = ledger._events.hour, ledger._events.store

    def hour(at: datetime) -> list[Cell]:
        if before_the_sums:
            stores(rows)
        found = real(at)
        stores(rows)
        return found

    ledger._events.hour = hour  # type: ignore[method-assign,assignment]
    ledger._rebuild_next(NOON + HOUR)
    assert total(ledger) == 10
    ledger._events.hour = real  # type: ignore[method-assign]
    ledger.roll_up(NOON + 3 * HOUR)
    assert (total(ledger), held(engine)) == (10, set())


def test_a_quiet_cycle_reads_no_response_that_it_has_looked_at(ledger: ClickHouseLedger, engine: Engine) -> None:
    """A response that was put back waits for the next full check."""
    ledger.append([response(1)], NOON)
    for _ in range(2):
        ledger.roll_up(NOON + 2 * HOUR)
    ledger.append([response(1, output=12), replace(response(2), id="@place")], NOON + 2 * HOUR)
    assert held(engine) == {"msg_1", "@place"}
    ledger.roll_up(NOON + 2 * HOUR + MINUTE)
    assert held(engine) == {"msg_1", "@place"}
    ledger.roll_up(NOON + 2 * HOUR + 11 * MINUTE)
    assert (held(engine), total(ledger)) == ({"@place"}, 12 + 10)


def test_no_sender_waits_while_another_client_connects(clickhouse: ClickHouseServer) -> None:
    asked, answered = Signal(), Signal()
    address = clickhouse_address(clickhouse.url)

    def connect(seconds: int) -> Client:
        if seconds == REBUILD_SECONDS:
            asked.set()
            assert answered.wait(30)
        return connect_clickhouse(address, seconds)

    events = ClickHouseEvents(connect, DAY)
    with ThreadPoolExecutor(2) as pool:
        moving = pool.submit(events.hour, NOON)
        assert asked.wait(30)
        try:
            assert pool.submit(events.find, ["msg_1"]).result(20) == {}
        finally:
            answered.set()
        assert moving.result(30) == []


def test_hours_whose_sums_are_gone_are_not_rebuilt_into_their_day_again(
    ledger: ClickHouseLedger, clickhouse: ClickHouseServer, engine: Engine
) -> None:
    ledger.append([response(1), response(2)], NOON)
    later = NOON + 5 * DAY
    ledger.touch(later)
    assert prune_hours(engine, later, Retention(ledger=DAY)) == 1
    ledger.roll_up(later)
    assert clickhouse.ids == {"msg_1", "msg_2"}
    assert total(ledger) == 20
