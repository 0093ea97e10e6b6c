"""The poller between the usage APIs and the store: what it asks for, and what the store then holds."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.clock import DAY, HOUR, floor_hour
from bot.db.schema import usage
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.sandbox.anthropic_usage import UsageEvent
from bot.sandbox.clock import HandClock
from bot.usage.model import UsageChoice
from tests.anthropic_reports import (
    ANSWERS,
    COST,
    INGEST,
    KEYS,
    MINUTE,
    MONTH,
    NOW,
    OPUS,
    REVIEW,
    SEARCH,
    SONNET,
    SUPPORT,
    USAGE,
    WORKSPACES,
    Reports,
    fill,
    poll,
    reports_at,
    reports_in,
)
from tests.databases import open_migrated
from tests.examples import one_in

QUIET = 1
"""Requests of a poll between two full hours; asked once more where there is traffic without a key."""


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


@pytest.mark.parametrize(
    ("choice", "key", "requests"),
    [
        ("admin", INGEST, QUIET),
        ("admin", None, QUIET + 1),
        ("analytics", INGEST, QUIET),
        ("analytics", None, QUIET + 1),
    ],
)
async def test_a_quiet_poll_on_day_31_sends_as_many_requests_as_one_on_day_2(
    reports: Reports, choice: UsageChoice, key: str | None, requests: int
) -> None:
    october = datetime(2026, 10, 1, tzinfo=UTC)
    for day in (2, 31):
        poller = reports.poller(choice)
        reports.clock.now = datetime(2026, 10, day, 12, 30, tzinfo=UTC)
        reports.use(7, key=key)
        await poll(reports, poller, october)
        for _ in range(25):
            reports.clock.advance(MINUTE)
            assert await poll(reports, poller, october) == requests
    assert reports.output(october) == 14


async def test_over_a_month_no_poll_sends_more_than_four_requests(reports: Reports) -> None:
    october = datetime(2026, 10, 1, tzinfo=UTC)
    reports.clock.now = october + 30 * MINUTE
    reports.use(1)
    poller = reports.poller("admin")
    names = await poll(reports, poller, october)
    # The minutes and the bill; the names of keys, and of workspaces with and without the default one, once a day.
    assert names == 2 + 3
    by_day: dict[int, int] = {}
    while reports.clock() < october + 31 * DAY - HOUR:
        reports.clock.advance(HOUR if reports.clock().day in (1, 2, 30, 31) else 12 * HOUR)
        await poll(reports, poller, october)
        reading = [call for call in reports.wire.calls if call.path in (USAGE, COST)]
        assert len(reading) <= 4
        by_day[reports.clock().day] = by_day.get(reports.clock().day, 0) + len(reading)
    # Each of 24 polls: minutes, two days, the bill. Late in the month also a slice a day for each older week.
    assert (by_day[2], by_day[31]) == (72, 76)


async def test_the_first_poll_after_an_outage_fills_every_gap_and_the_next_is_quiet_again(reports: Reports) -> None:
    reports.clock.now = MONTH + 3 * DAY
    poller = reports.poller("admin")
    total = fill(reports, 72)
    await poll(reports, poller)
    reports.clock.advance(20 * DAY)
    total += fill(reports, 20 * 24, output=3)
    await poll(reports, poller)
    # Minutes, two days, three weeks before them in slices; the bill; names.
    assert [len(reports.wire.to(path)) for path in (USAGE, COST, WORKSPACES, KEYS)] == [5, 1, 2, 1]
    assert reports.output() == total
    for _ in range(5):
        reports.clock.advance(MINUTE)
        assert await poll(reports, poller) == QUIET
    assert reports.stored() == reports.reported(MONTH)


async def test_a_bot_that_starts_late_in_a_month_knows_the_whole_of_it_after_one_poll(reports: Reports) -> None:
    total = fill(reports, 19 * 24)
    await poll(reports, reports.poller())
    assert reports.output() == total
    assert len(reports.store.hours(MONTH)) == (floor_hour(NOW) - MONTH) // HOUR + 1


async def test_a_month_that_begins_sends_no_more_and_loses_nothing_of_the_one_before(reports: Reports) -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC)
    reports.clock.now = december - 20 * MINUTE
    poller = reports.poller("admin")
    total = fill(reports, 48)
    await poll(reports, poller)
    sent = []
    while reports.clock() < december + 50 * MINUTE:
        reports.clock.advance(MINUTE)
        if reports.clock() == december + MINUTE:
            total += 5
            reports.use(5, december - MINUTE)
        since = MONTH if reports.clock() < december else december - 2 * DAY
        sent.append(await poll(reports, poller, since))
    # Once the hours of two days as an hour settles, and once the bill; every other poll is a quiet one.
    assert sorted(sent) == [1] * 68 + [2] * 2
    assert reports.output(december - 2 * DAY) == total
    assert reports.stored() == reports.reported(MONTH)


async def test_a_budget_whose_period_began_earlier_has_its_days_read_at_once(reports: Reports) -> None:
    poller = reports.poller("admin")
    fill(reports, 19 * 24)
    await poll(reports, poller, NOW.replace(hour=0, minute=0) - 2 * DAY)
    reports.clock.advance(MINUTE)
    assert await poll(reports, poller, MONTH) == QUIET + 3
    assert reports.output() == 19 * 24
    reports.clock.advance(MINUTE)
    assert await poll(reports, poller, MONTH) == QUIET


async def test_minutes_become_an_hour_when_it_settles(reports: Reports) -> None:
    poller = reports.poller("admin")
    for minutes in range(10, 150, 7):
        reports.use(1, NOW - minutes * MINUTE)
    await poll(reports, poller)
    before = reports.output()
    assert {w.width for w in reports.store.hours(NOW - 3 * HOUR).values()} == {"1m"}
    reports.clock.advance(3 * HOUR)
    await poll(reports, poller)
    widths = {hour.hour: known.width for hour, known in reports.store.hours(floor_hour(NOW) - 2 * HOUR).items()}
    assert widths == {10: "1h", 11: "1h", 12: "1h", 13: "1m", 14: "1m", 15: "1m"}
    assert reports.output() == before
    with reports.engine.connect() as connection:
        settled = connection.execute(usage.select().where(usage.c.hour < floor_hour(NOW) + HOUR)).all()
    assert {row.starts_at.minute for row in settled} == {0}


async def test_data_that_comes_late_arrives_at_the_next_poll_within_the_hour_or_within_the_day(
    reports: Reports,
) -> None:
    poller = reports.poller("admin")
    reports.use(1, NOW - HOUR, visible_at=NOW + MINUTE)
    reports.use(10, NOW - 30 * HOUR, visible_at=NOW + MINUTE)
    reports.use(100, NOW - 15 * DAY, visible_at=NOW + MINUTE)
    await poll(reports, poller)
    assert reports.output() == 0
    reports.clock.advance(2 * MINUTE)
    await poll(reports, poller)
    assert reports.output() == 1
    reports.clock.advance(58 * MINUTE)
    await poll(reports, poller)
    assert reports.output() == 11
    reports.clock.now = NOW + DAY
    await poll(reports, poller)
    assert reports.output() == 111


async def test_a_correction_lowers_a_number_as_it_raises_one(reports: Reports) -> None:
    poller = reports.poller("admin")
    recent, settled, old = (reports.use(output, NOW - age) for output, age in [(1, HOUR), (10, DAY), (100, 9 * DAY)])
    await poll(reports, poller)
    assert reports.output() == 111
    for event in (recent, settled, old):
        reports.history.correct(event, NOW + MINUTE)
    reports.use(5, NOW - 9 * DAY, visible_at=NOW + MINUTE)
    reports.clock.advance(2 * MINUTE)
    await poll(reports, poller)
    assert reports.output() == 110
    reports.clock.advance(58 * MINUTE)
    await poll(reports, poller)
    assert reports.output() == 100
    reports.clock.now = NOW + DAY
    for _ in range(3):
        await poll(reports, poller)
        reports.clock.advance(MINUTE)
    assert reports.output() == 5
    assert reports.stored() == reports.reported(MONTH)


KEYS_USED = [INGEST, ANSWERS, REVIEW, None]
TERMS_USED = [STANDARD, Terms("batch", "us", "standard"), Terms("standard", "global", "fast")]
LATE = st.one_of(st.none(), st.integers(0, 5 * 24 * 60))


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[tuple[UsageEvent, int | None]], list[tuple[int, int]]]:
    """Events with the minute of their correction, if any, and polls: minutes since the last, how old analytics is."""
    events = []
    for minute in draw(st.lists(st.integers(0, 6 * 24 * 60), max_size=25)):
        at = MONTH + minute * MINUTE
        key = draw(st.sampled_from(KEYS_USED))
        workspace = {INGEST: SEARCH, ANSWERS: SUPPORT}.get(key or "")
        if key is None:
            workspace = draw(st.sampled_from([None, SEARCH, SUPPORT]))
        late, corrected = draw(LATE), draw(LATE)
        event = UsageEvent(
            at,
            draw(st.sampled_from([OPUS, SONNET])),
            TokenCounts(*draw(st.lists(st.integers(0, 10**9), min_size=6, max_size=6))),
            workspace,
            key,
            draw(st.sampled_from(TERMS_USED)),
            None if late is None else at + (5 + late) * MINUTE,
        )
        events.append((event, corrected))
    gaps = st.sampled_from([1, 1, 7, 30, 60, 60, 60, 180, 24 * 60, 60 * 60])
    polls = draw(st.lists(st.tuples(gaps, st.sampled_from([5, 5, 5, 10, 60])), min_size=1, max_size=12))
    return events, polls


async def play(engine: Engine, events: list[tuple[UsageEvent, int | None]], polls: list[tuple[int, int]]) -> None:
    async with reports_at(HandClock(MONTH), engine) as reports:
        for event, corrected in events:
            reports.history.add(event)
            if corrected is not None:
                reports.history.correct(event, event.at + corrected * MINUTE)
        poller = reports.poller()
        for gap, behind in polls:
            reports.clock.advance(gap * MINUTE)
            reports.server.analytics_behind = behind * MINUTE
            await poll(reports, poller)
            assert reports.stored() == reports.reported(MONTH)
        # Long after the last event and correction, a day passes in which everything is read again.
        reports.clock.now = max(reports.clock(), MONTH + 12 * DAY)
        await poll(reports, poller)
        reports.clock.advance(DAY)
        for _ in range(6):
            reports.clock.advance(MINUTE)
            await poll(reports, poller)
        assert reports.stored() == reports.booked(MONTH, reports.clock())


@settings(max_examples=one_in(3))
@given(stories())
def test_sums_are_what_the_reports_showed_and_in_the_end_what_was_used(
    story: tuple[list[tuple[UsageEvent, int | None]], list[tuple[int, int]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_migrated(f"sqlite:///{folder}/claude-cost.db")
        try:
            asyncio.run(play(engine, *story))
        finally:
            engine.dispose()
