"""Two usage APIs for one store: which of them is read, what a change of source keeps, and the bill."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR
from bot.sandbox.anthropic_server import ANALYTICS_KEY, Extra
from bot.usage.model import BilledRow
from tests.anthropic_reports import (
    ANALYTICS_COST,
    ANALYTICS_USAGE,
    COST,
    INGEST,
    MINUTE,
    MONTH,
    NOW,
    OPUS,
    REVIEW,
    SEARCH,
    SUPPORT,
    USAGE,
    Reports,
    altered,
    fails,
    fill,
    poll,
    reports_in,
    says,
)
from tests.plain_spend import billed_rows


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


async def test_auto_takes_analytics_while_it_is_at_most_a_quarter_of_an_hour_old(reports: Reports) -> None:
    reports.server.analytics_behind = 15 * MINUTE
    assert (await reports.poller().poll(MONTH)).source == "analytics"
    assert reports.store.data_state().as_of == NOW - 15 * MINUTE


async def test_auto_takes_admin_where_analytics_is_further_behind(reports: Reports) -> None:
    reports.server.analytics_behind = 16 * MINUTE
    poller = reports.poller()
    assert (await poller.poll(MONTH)).source == "admin"
    assert reports.store.data_state().as_of == NOW - 5 * MINUTE
    # Its minutes show that analytics is behind: the month is not read for it.
    assert len(reports.wire.to(ANALYTICS_USAGE)) == 1


async def test_a_change_of_source_rewrites_the_period_keeps_the_sums_and_is_reported(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    for hours in range(1, 18 * 24):
        key, workspace = [(INGEST, None), (REVIEW, None), (None, None), (None, SUPPORT)][hours % 4]
        reports.use(hours, NOW - hours * HOUR, key=key, workspace=workspace)
    poller = reports.poller()
    await poll(reports, poller)
    before = reports.stored()
    assert reports.store.data_state().changed_at is None
    reports.server.analytics_behind = HOUR
    reports.clock.advance(MINUTE)
    with caplog.at_level(logging.WARNING):
        await poll(reports, poller)
    assert reports.stored() == before == reports.booked(MONTH, NOW)
    assert {known.source for known in reports.store.hours(MONTH).values()} == {"admin"}
    data = reports.store.data_state()
    assert (data.source, data.changed_from, data.changed_at) == ("admin", "analytics", NOW + MINUTE)
    assert data.as_of == NOW - 4 * MINUTE
    assert "usage is read from admin now, from analytics before" in caplog.text
    assert len(reports.wire.to(COST)) == 1
    reports.clock.advance(MINUTE)
    # Traffic without a key is asked for again, by workspace.
    assert await poll(reports, poller) <= 2


async def test_analytics_is_tried_again_once_an_hour_and_with_one_request(reports: Reports) -> None:
    poller = reports.poller()
    fill(reports, 18 * 24)
    reports.server.analytics_behind = HOUR
    await poll(reports, poller)
    tried = []
    for _ in range(24):
        reports.clock.advance(5 * MINUTE)
        await poll(reports, poller)
        tried.append(len(reports.wire.to(ANALYTICS_USAGE)))
    assert [index for index, count in enumerate(tried, 1) if count] == [12, 24]
    assert sum(tried) == 2
    reports.server.analytics_behind = 5 * MINUTE
    reports.clock.advance(HOUR)
    await poll(reports, poller)
    data = reports.store.data_state()
    assert (data.source, data.changed_from, data.changed_at) == ("analytics", "admin", reports.clock())
    assert {known.source for known in reports.store.hours(MONTH).values()} == {"analytics"}
    assert reports.output() == 18 * 24


async def test_analytics_that_is_not_open_to_an_organization_leaves_admin(reports: Reports) -> None:
    reports.use(5)
    reports.wire.script(ANALYTICS_USAGE, fails(404))
    outcome = await reports.poller().poll(MONTH)
    assert (outcome.ok, outcome.source) == (True, "admin")
    assert reports.output() == 5
    assert reports.store.data_state().error is None


async def test_a_key_that_reads_nothing_but_analytics_keeps_it_however_far_it_is_behind(reports: Reports) -> None:
    reports.use(5, NOW - 3 * HOUR)
    reports.server.analytics_behind = 2 * HOUR
    poller = reports.poller(key=ANALYTICS_KEY)
    await poll(reports, poller)
    assert reports.store.data_state().as_of == NOW - 2 * HOUR
    assert reports.output() == 5
    reports.clock.advance(MINUTE)
    await poll(reports, poller)
    # Its minutes, and whether admin has opened to it meanwhile.
    assert [call.path for call in reports.wire.calls] == [ANALYTICS_USAGE, USAGE]


async def test_a_source_that_is_further_behind_does_not_lower_what_a_better_one_has_reported(reports: Reports) -> None:
    reports.server.analytics_behind = 3 * HOUR
    reports.use(5, NOW - HOUR)
    poller = reports.poller()
    await poll(reports, poller)
    reports.clock.advance(HOUR)
    reports.wire.script(USAGE, fails(500), times=4)
    outcome = await poller.poll(MONTH)
    assert not outcome.ok
    data = reports.store.data_state()
    assert (data.source, data.as_of, reports.output()) == ("admin", NOW - 5 * MINUTE, 5)
    assert "which is too old" in str(data.error)


async def test_a_source_that_is_refused_is_replaced_by_one_that_is_newer_than_what_is_known(reports: Reports) -> None:
    reports.server.analytics_behind = 30 * MINUTE
    reports.use(5, NOW - HOUR)
    poller = reports.poller()
    await poll(reports, poller)
    reports.clock.advance(6 * HOUR)
    reports.wire.script(USAGE, fails(403))
    await poller.poll(MONTH)
    data = reports.store.data_state()
    assert (data.source, data.as_of) == ("analytics", reports.clock() - 30 * MINUTE)
    assert reports.output() == 5


async def test_the_choice_of_one_api_asks_the_other_for_nothing(reports: Reports) -> None:
    await poll(reports, reports.poller("admin"))
    assert not [call for call in reports.wire.calls if "/analytics/" in call.path]
    await poll(reports, reports.poller("analytics"))
    assert not [call for call in reports.wire.calls if call.path in (USAGE, COST)]


async def test_age_is_what_the_source_says_even_when_it_falls_back(reports: Reports) -> None:
    poller = reports.poller("analytics")
    await poll(reports, poller)
    reports.clock.advance(MINUTE)
    reports.server.analytics_behind = 20 * MINUTE
    await poll(reports, poller)
    assert reports.store.data_state().as_of == NOW - 19 * MINUTE


async def test_an_age_from_the_future_is_not_believed(reports: Reports) -> None:
    reports.wire.script(ANALYTICS_USAGE, altered(lambda body: body.update(data_refreshed_at="2027-01-01T00:00:00Z")))
    await reports.poller("analytics").poll(MONTH)
    assert reports.store.data_state().as_of == NOW


async def test_data_without_an_age_is_as_old_as_the_newest_of_it(reports: Reports) -> None:
    ageless = altered(lambda body: body.update(data_refreshed_at=None))
    reports.use(5, NOW - 20 * MINUTE)
    poller = reports.poller("analytics")
    reports.wire.script(ANALYTICS_USAGE, ageless, times=20)
    await poller.poll(MONTH)
    assert reports.store.data_state().as_of == NOW - 20 * MINUTE
    reports.clock.advance(5 * HOUR)
    await poller.poll(MONTH)
    assert reports.store.data_state().as_of == NOW - 20 * MINUTE
    reports.wire.forget()
    reports.wire.script(ANALYTICS_USAGE, ageless)
    assert (await reports.poller("auto").poll(MONTH)).source == "admin"


async def test_the_bill_is_read_once_an_hour_for_the_whole_period(reports: Reports) -> None:
    poller = reports.poller("admin")
    reports.use(1_000_000, NOW - 3 * DAY)
    reports.server.extras.append(Extra(NOW - 2 * DAY, "code_execution", Decimal("12.5")))
    read = []
    for _ in range(61):
        await poll(reports, poller)
        read.append(len(reports.wire.to(COST)))
        reports.clock.advance(MINUTE)
    assert [index for index, count in enumerate(read) if count] == [0, 60]
    assert sum(read) == 2
    assert billed_rows(reports.engine, date(2026, 11, 1), date(2026, 11, 30)) == [
        BilledRow(date(2026, 11, 17), SEARCH, "tokens", Decimal(20), None, OPUS),
        BilledRow(date(2026, 11, 18), "default", "code_execution", Decimal("0.125"), None),
    ]


async def test_a_bill_that_cannot_be_read_is_named_keeps_the_one_before_and_fails_no_poll(reports: Reports) -> None:
    poller = reports.poller("admin")
    reports.use(1_000_000, NOW - 3 * DAY)
    await poll(reports, poller)
    before = billed_rows(reports.engine, date(2026, 11, 1), date(2026, 11, 30))
    assert len(before) == 1
    reports.clock.advance(HOUR)
    reports.use(5)
    reports.wire.script(COST, says({}))
    assert (await poller.poll(MONTH)).ok
    data = reports.store.data_state()
    assert COST in str(data.billed_error)
    assert data.error is None
    assert (data.billed_at, data.billed_read_at) == (NOW + HOUR, NOW)
    assert reports.output() == 1_000_005
    assert billed_rows(reports.engine, date(2026, 11, 1), date(2026, 11, 30)) == before
    reports.clock.advance(HOUR)
    await poll(reports, poller)
    data = reports.store.data_state()
    assert (data.billed_error, data.billed_read_at) == (None, NOW + 2 * HOUR)


async def test_the_bill_of_a_period_of_31_days_fits_into_one_answer(reports: Reports) -> None:
    reports.clock.now = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    # A month in a zone ahead of UTC begins on the day before.
    for choice in ("admin", "analytics"):
        await poll(reports, reports.poller(choice), datetime(2026, 9, 30, 10, tzinfo=UTC))
    for path in (COST, ANALYTICS_COST):
        assert len(reports.wire.to(path)) <= 1
    assert reports.store.data_state().billed_error is None
