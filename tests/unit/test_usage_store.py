"""Usage in the store: every hour has one owner, corrections replace, and sums are exact."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import DAY, HOUR
from bot.db.schema import usage, usage_days, usage_hours
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.model import BilledRow, DataState, Read, SourceName, UsageReading, UsageRow, Width
from bot.usage.plan import HourState
from bot.usage.store import Bill, UsageStore
from bot.usage.store_reads import Name
from tests.plain_spend import billed_rows

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=12, minutes=30)
MINUTE = timedelta(minutes=1)
OPUS = "claude-opus-5-5"
STATE = DataState(as_of=NOW, source="admin", polled_at=NOW)


@pytest.fixture
def store(engine: Engine) -> UsageStore:
    return UsageStore(engine)


def row(starts_at: datetime, output: int, model: str = OPUS, key: str | None = "k1") -> UsageRow:
    return UsageRow(starts_at, model, "default", key, STANDARD, TokenCounts(output_tokens=output))


def reading(width: Width, starts_at: datetime, hours: int, *rows: UsageRow) -> UsageReading:
    return UsageReading(Read(width, starts_at, starts_at + hours * HOUR), rows, None)


def save(
    store: UsageStore,
    *readings: UsageReading,
    source: SourceName = "admin",
    now: datetime = NOW,
    bill: Bill | None = None,
) -> None:
    store.save(readings, source, now, STATE, bill)


def output_of(store: UsageStore, starts_at: datetime = MIDNIGHT, ends_at: datetime = MIDNIGHT + DAY) -> int:
    return sum(found.counts.output_tokens for found in store.buckets(starts_at, ends_at))


def billed(day: date, usd: str, cost_type: str = "tokens", list_usd: str | None = None) -> BilledRow:
    return BilledRow(day, "default", cost_type, Decimal(usd), None if list_usd is None else Decimal(list_usd))


def rolled_up(
    store: UsageStore, first: datetime, last: datetime
) -> list[tuple[date, str, str | None, Terms, TokenCounts]]:
    """Day, workspace, key, terms and counts of every sum of these UTC days, both included."""
    with store.reading() as reader:
        found = reader.day_rows(first.date(), last.date())
    return [
        (day, workspace, key, Terms(*rest[:3]), TokenCounts(*rest[3:]))
        for day, rows in found.items()
        for _, workspace, key, *rest in rows
    ]


def test_before_the_first_poll_nothing_is_known(store: UsageStore) -> None:
    assert store.data_state() == DataState()
    assert store.hours(MIDNIGHT) == {}
    assert store.buckets(MIDNIGHT, MIDNIGHT + DAY) == []
    assert store.names().read_at is None


def test_a_late_correction_replaces_the_hour(store: UsageStore) -> None:
    save(store, reading("1h", MIDNIGHT, 2, row(MIDNIGHT, 100), row(MIDNIGHT + HOUR, 7)))
    save(store, reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 130)))
    assert output_of(store) == 137


def test_tokens_of_a_caller_come_from_whole_days_and_the_hours_around_them(store: UsageStore) -> None:
    hours = [MIDNIGHT + index * HOUR for index in range(48)]
    rows = [row(hour, 1) for hour in hours]
    rows += [replace(row(hour, 100), api_key_id="k2", terms=Terms("batch", None, "fast")) for hour in hours]
    save(store, reading("1h", MIDNIGHT, 48, *rows), now=MIDNIGHT + 3 * DAY)
    since, until = MIDNIGHT - 2 * HOUR, MIDNIGHT + DAY + 5 * HOUR
    everything = {terms: counts.output_tokens for (_, terms), counts in store.tokens_of(None, since, until).items()}
    assert everything == {rows[0].terms: 29, Terms("batch", None, "fast"): 2900}
    [(_, of_key)] = store.tokens_of(("api_key_id", "k2"), since, until).items()
    assert of_key.output_tokens == 2900
    of_all = store.tokens_of(("workspace_id", rows[0].workspace_id), MIDNIGHT + HOUR, MIDNIGHT + 3 * HOUR)
    assert sum(counts.output_tokens for counts in of_all.values()) == 202


def test_a_correction_may_take_usage_away_altogether(store: UsageStore) -> None:
    save(store, reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 100)))
    save(store, reading("1h", MIDNIGHT, 1))
    assert output_of(store) == 0
    assert list(store.hours(MIDNIGHT)) == [MIDNIGHT]


def test_a_settled_hour_takes_the_place_of_its_minutes(store: UsageStore) -> None:
    minutes = [row(MIDNIGHT + index * MINUTE, 2) for index in range(60)]
    save(store, reading("1m", MIDNIGHT, 1, *minutes), now=MIDNIGHT + HOUR)
    assert output_of(store) == 120
    save(store, reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 121)))
    assert output_of(store) == 121
    assert store.hours(MIDNIGHT) == {MIDNIGHT: HourState("admin", "1h", NOW)}


def test_a_change_of_source_leaves_no_row_of_the_one_before(store: UsageStore) -> None:
    hours = [row(MIDNIGHT + index * HOUR, 10) for index in range(12)]
    save(store, reading("1h", MIDNIGHT, 12, *hours), source="analytics")
    save(store, reading("1h", MIDNIGHT, 12, *(replace(each, api_key_id="k2") for each in hours)), source="admin")
    assert output_of(store) == 120
    assert {found.api_key_id for found in store.buckets(MIDNIGHT, MIDNIGHT + DAY)} == {"k2"}
    assert {state.source for state in store.hours(MIDNIGHT).values()} == {"admin"}


def test_an_hour_of_no_traffic_is_known_and_an_hour_to_come_is_not(store: UsageStore) -> None:
    save(store, reading("1m", MIDNIGHT + 11 * HOUR, 3))
    assert list(store.hours(MIDNIGHT)) == [MIDNIGHT + 11 * HOUR, MIDNIGHT + 12 * HOUR]


def test_rows_outside_of_what_was_asked_for_are_not_kept(store: UsageStore) -> None:
    rows = [row(MIDNIGHT, 1), row(MIDNIGHT + HOUR, 2), row(MIDNIGHT + 2 * HOUR, 4)]
    save(store, reading("1h", MIDNIGHT + HOUR, 1, *rows))
    assert output_of(store) == 2


def test_a_poll_that_cannot_be_stored_whole_changes_nothing(store: UsageStore, engine: Engine) -> None:
    day = date(2026, 11, 20)
    bill = Bill(day, day, [billed(day, "5")])
    save(store, reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 100)), bill=bill)
    nameless = replace(row(MIDNIGHT + HOUR, 1), model=None)  # type: ignore[arg-type]  # what the database refuses
    with pytest.raises(SQLAlchemyError):
        store.save(
            [reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 999)), reading("1h", MIDNIGHT + HOUR, 1, nameless)],
            "analytics",
            NOW + HOUR,
            replace(STATE, source="analytics"),
            Bill(bill.first, bill.last, []),
        )
    assert output_of(store) == 100
    assert store.hours(MIDNIGHT) == {MIDNIGHT: HourState("admin", "1h", NOW)}
    assert store.data_state() == STATE
    assert billed_rows(engine, bill.first, bill.last) == list(bill.rows)


def test_usage_is_summed_up_by_utc_day_and_by_everything_that_changes_the_price(store: UsageStore) -> None:
    batch = Terms("batch", "us", "fast")
    readings = reading(
        "1h",
        MIDNIGHT - HOUR,
        2,
        row(MIDNIGHT - HOUR, 1),
        row(MIDNIGHT, 2),
        row(MIDNIGHT, 4),
        row(MIDNIGHT, 8, key=None),
        replace(row(MIDNIGHT, 16), terms=batch),
        replace(row(MIDNIGHT, 32), workspace_id="wrkspc_1"),
    )
    save(store, readings)
    found = rolled_up(store, MIDNIGHT - DAY, MIDNIGHT)
    day = MIDNIGHT.date()
    assert {tuple(dimensions): counts.output_tokens for *dimensions, counts in found} == {
        (day - DAY, "default", "k1", STANDARD): 1,
        (day, "default", "k1", STANDARD): 6,
        (day, "default", None, STANDARD): 8,
        (day, "default", "k1", batch): 16,
        (day, "wrkspc_1", "k1", STANDARD): 32,
    }


def test_a_stretch_that_begins_within_an_hour_counts_its_minutes_from_there(store: UsageStore) -> None:
    minutes = [row(MIDNIGHT + index * MINUTE, 1) for index in range(60)]
    save(store, reading("1m", MIDNIGHT, 1, *minutes), now=MIDNIGHT + HOUR)
    assert output_of(store, MIDNIGHT + 20 * MINUTE, MIDNIGHT + 50 * MINUTE) == 30


def test_buckets_are_as_fine_as_they_are_kept_and_in_order_of_time(store: UsageStore) -> None:
    batch = Terms("batch", "us", "fast")
    minutes = [row(MIDNIGHT + HOUR + index * MINUTE, 1) for index in (40, 2, 2)]
    unlike = [
        replace(minutes[0], terms=batch),
        replace(minutes[0], workspace_id="wrkspc_1"),
        row(minutes[0].starts_at, 8, key=None),
    ]
    save(store, reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 100)), reading("1m", MIDNIGHT + HOUR, 1, *minutes, *unlike))
    found = store.buckets(MIDNIGHT, MIDNIGHT + 2 * HOUR)
    assert [each.starts_at for each in found[:2]] == [MIDNIGHT, MIDNIGHT + HOUR + 2 * MINUTE]
    assert [each.counts.output_tokens for each in found[:2]] == [100, 2]
    assert sorted(map(repr, found[2:])) == sorted(map(repr, [minutes[0], *unlike]))


def test_buckets_that_begin_before_or_after_the_stretch_are_left_out(store: UsageStore) -> None:
    minutes = [row(MIDNIGHT + index * MINUTE, 1) for index in range(60)]
    save(store, reading("1m", MIDNIGHT, 1, *minutes), now=MIDNIGHT + HOUR)
    found = store.buckets(MIDNIGHT + 20 * MINUTE, MIDNIGHT + 23 * MINUTE)
    assert found == minutes[20:23]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 71), st.lists(st.integers(0, 2**53), min_size=6, max_size=6)), min_size=1, max_size=20
    )
)
def test_sums_are_exact_whatever_the_numbers(engine: Engine, traffic: list[tuple[int, list[int]]]) -> None:
    with engine.begin() as connection:
        connection.execute(delete(usage))
        connection.execute(delete(usage_hours))
        connection.execute(delete(usage_days))
    store = UsageStore(engine)
    rows = [replace(row(MIDNIGHT + hour * HOUR, 0), counts=TokenCounts(*counts)) for hour, counts in traffic]
    save(store, reading("1h", MIDNIGHT, 72, *rows), now=MIDNIGHT + 72 * HOUR)
    expected: dict[date, TokenCounts] = {}
    for each in rows:
        day = each.starts_at.date()
        expected[day] = expected.get(day, TokenCounts()) + each.counts
    found = {day: counts for day, *_, counts in rolled_up(store, MIDNIGHT, MIDNIGHT + 3 * DAY)}
    assert found == {day: counts for day, counts in expected.items() if counts != TokenCounts()}
    assert store.wrong_days() == []


def test_days_are_utc_days_whatever_zone_the_database_session_has(store: UsageStore, engine: Engine) -> None:
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET timezone TO 'Asia/Tokyo'")
        engine.dispose()
    save(store, reading("1h", MIDNIGHT - HOUR, 2, row(MIDNIGHT - HOUR, 1), row(MIDNIGHT, 2)))
    found = {day: counts.output_tokens for day, *_, counts in rolled_up(store, MIDNIGHT - DAY, MIDNIGHT)}
    assert found == {MIDNIGHT.date() - DAY: 1, MIDNIGHT.date(): 2}
    assert store.wrong_days() == []
    assert list(store.hours(MIDNIGHT - HOUR)) == [MIDNIGHT - HOUR, MIDNIGHT]


def test_a_failed_poll_stores_its_sentence_and_leaves_every_number(store: UsageStore) -> None:
    save(store, reading("1h", MIDNIGHT, 1, row(MIDNIGHT, 100)))
    store.save_state(replace(STATE, error="Anthropic cannot be reached.", error_since=NOW + HOUR))
    assert output_of(store) == 100
    state = store.data_state()
    assert (state.as_of, state.error, state.error_since) == (NOW, "Anthropic cannot be reached.", NOW + HOUR)


def test_the_bill_is_replaced_day_by_day_and_to_the_last_digit(store: UsageStore, engine: Engine) -> None:
    first, second = date(2026, 11, 18), date(2026, 11, 19)
    exact = "123.456789012345678901234567890123"
    old = [billed(first, exact, list_usd="130.10"), billed(second, "1")]
    save(store, bill=Bill(first, second, old))
    new = [billed(second, "2.5"), billed(second, "0", "code_execution")]
    save(store, bill=Bill(second, second, new))
    assert billed_rows(engine, first, second) == [old[0], *new]
    assert billed_rows(engine, first, first)[0].usd == Decimal(exact)


def test_a_bill_never_brings_rows_of_days_that_were_not_asked_for(store: UsageStore, engine: Engine) -> None:
    day = date(2026, 11, 18)
    save(store, bill=Bill(day, day, [billed(day + DAY, "9")]))
    assert billed_rows(engine, day, day + DAY) == []


def test_names_are_replaced_as_a_whole_and_remember_when_they_were_read(store: UsageStore) -> None:
    key = Name("key", "k1", "ci", "w1")
    store.save_names([Name("workspace", "w1", "Search"), key, Name("key", "k2", "old")], NOW)
    store.save_names([Name("workspace", "w1", "Find"), key, Name("key", "w1", "odd")], NOW + HOUR)
    names = store.names()
    assert names.workspaces == {"w1": "Find"}
    assert names.keys == {"k1": "ci", "w1": "odd"}
    assert names.workspace_of_key == {"k1": "w1"}
    assert names.read_at == NOW + HOUR


def test_lists_without_any_name_count_as_read(store: UsageStore) -> None:
    store.save_names([], NOW)
    assert store.names().read_at == NOW


def test_a_time_without_a_zone_is_refused(store: UsageStore) -> None:
    with pytest.raises(SQLAlchemyError, match="without a zone"):
        store.hours(datetime(2026, 11, 20))  # noqa: DTZ001  # the very mistake


@pytest.mark.parametrize(
    ("since", "until"),
    [(-30, 20), (0, 24), (3, 5), (-24, 24), (6, 6)],
    ids=["a day and edges", "one day", "hours", "two days", "nothing"],
)
def test_totals_by_key_and_model_are_the_sums_of_the_buckets(store: UsageStore, since: int, until: int) -> None:
    rows = [
        row(MIDNIGHT + hour * HOUR, 40 + hour, (OPUS, "claude-haiku-5-5")[hour % 2], ("k1", None, "k2")[hour % 3])
        for hour in range(-36, 24)
    ]
    save(store, reading("1h", MIDNIGHT - 36 * HOUR, 60, *rows))
    expected: dict[tuple[str | None, str], TokenCounts] = {}
    first, last = MIDNIGHT + since * HOUR, MIDNIGHT + until * HOUR
    for found in store.buckets(first, last):
        at = (found.api_key_id, found.model)
        expected[at] = expected.get(at, TokenCounts()) + found.counts
    assert store.totals(first, last) == expected
