"""The Usage and Cost Analytics API, over real HTTP: what is asked, what is understood, and what is not believed."""

import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.clock import DAY, HOUR
from bot.pricing.tokens import Terms, TokenCounts
from bot.sandbox.anthropic_server import Extra
from bot.sandbox.anthropic_usage import UsageEvent
from bot.usage.directory import UNKNOWN_WORKSPACE
from bot.usage.model import BilledRow, MalformedError, Read, RefusedError, UnavailableError, UsageRow
from tests.anthropic_reports import (
    ANALYTICS_COST,
    ANALYTICS_USAGE,
    ANSWERS,
    INGEST,
    MINUTE,
    MONTH,
    NOW,
    OPUS,
    REVIEW,
    SEARCH,
    SUPPORT,
    Answering,
    Reports,
    altered,
    by_place,
    fails,
    output_of,
    passes,
    reports_in,
    says,
)

LAST_HOURS = Read("1m", NOW.replace(hour=10, minute=0), NOW.replace(hour=13, minute=0))
A_WEEK = Read("1h", LAST_HOURS.starts_at - 168 * HOUR, LAST_HOURS.starts_at)
NOTHING = {"data": [], "has_more": False, "next_page": None, "data_refreshed_at": None}


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


@pytest.fixture
def small_pages(reports: Reports) -> None:
    """Ten rows fill a page."""
    reports.server.page_most = 10


def alter_first_row(**changes: Any) -> Answering:
    """Fields of the first row, or of its `group`, `usage` or `cost`, are changed."""

    def change(body: Any) -> None:
        row = body["data"][0]
        for name, value in changes.items():
            (next((part for part in row.values() if isinstance(part, dict) and name in part), row))[name] = value

    return altered(change)


async def test_usage_is_asked_for_by_five_groups_and_in_order_of_time(reports: Reports) -> None:
    reports.use(1)
    await reports.analytics().usage(LAST_HOURS)
    (call,) = reports.wire.to(ANALYTICS_USAGE)
    assert call.query == (
        "starting_at=2026-11-20T10%3A00%3A00Z&ending_at=2026-11-20T13%3A00%3A00Z&time_bucket_width=1m&order_by=time"
        "&limit=1000&group_by%5B%5D=model&group_by%5B%5D=api_key_id&group_by%5B%5D=service_tier"
        "&group_by%5B%5D=inference_geo&group_by%5B%5D=speed"
    )
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert call.headers["anthropic-beta"] == "analytics-usage-cost-2026-08-24"


async def test_traffic_without_a_key_is_asked_for_apart_and_by_five_groups_too(reports: Reports) -> None:
    reports.use(1)
    reports.use(2, key=None, workspace=SEARCH)
    await reports.analytics().usage(LAST_HOURS)
    whole, apart = reports.wire.to(ANALYTICS_USAGE)
    assert "api_key_ids" not in whole.query
    assert "&limit=1000&api_key_ids%5B%5D=&group_by%5B%5D=model&group_by%5B%5D=workspace_id&" in apart.query
    assert [len(call.values("group_by[]")) for call in (whole, apart)] == [5, 5]


async def test_ranges_stay_within_what_analytics_accepts(reports: Reports) -> None:
    await reports.analytics().usage(A_WEEK)
    await reports.analytics().billed(date(2026, 10, 31), date(2026, 11, 30))
    for call, longest in zip(reports.wire.to(ANALYTICS_USAGE) + reports.wire.to(ANALYTICS_COST), (7, 31), strict=True):
        (begins,), (ends,) = call.values("starting_at"), call.values("ending_at")
        assert datetime.fromisoformat(ends) - datetime.fromisoformat(begins) == longest * DAY


async def test_a_row_keeps_its_minute_its_counts_and_all_of_its_dimensions(reports: Reports) -> None:
    at, terms, counts = NOW - 20 * MINUTE, Terms("batch", "us", "fast"), TokenCounts(1, 2, 3, 4, 5, 6)
    reports.history.add(UsageEvent(at, OPUS, counts, SEARCH, INGEST, terms))
    reading = await reports.analytics().usage(LAST_HOURS)
    assert reading.rows == (UsageRow(at, OPUS, SEARCH, INGEST, terms, counts),)
    assert reading.refreshed_at == NOW - 5 * MINUTE


async def test_both_sources_report_the_same_traffic_alike(reports: Reports) -> None:
    for index, (key, workspace) in enumerate([(INGEST, None), (REVIEW, None), (None, None), (None, SUPPORT)]):
        for minutes in (7, 8, 90):
            reports.use(10**index, NOW - minutes * MINUTE, key=key, workspace=workspace)
    admin = await reports.admin().usage(LAST_HOURS)
    analytics = await reports.analytics().usage(LAST_HOURS)
    assert set(admin.rows) == set(analytics.rows)
    assert by_place(analytics) == {
        (SEARCH, INGEST): 3,
        ("default", REVIEW): 30,
        ("default", None): 300,
        (SUPPORT, None): 3000,
    }


async def test_a_workspace_comes_from_the_key_and_the_default_one_keeps_one_name(reports: Reports) -> None:
    reports.use(1, key=ANSWERS)
    reports.use(2, key=REVIEW)
    reports.use(4, key=None)
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(SUPPORT, ANSWERS): 1, ("default", REVIEW): 2, ("default", None): 4}


async def test_usage_that_spans_pages_is_read_to_the_last_one(reports: Reports, small_pages: None) -> None:
    for minutes in range(25):
        reports.use(1, NOW - minutes * MINUTE - 5 * MINUTE)
    assert output_of(await reports.analytics().usage(LAST_HOURS)) == 25
    first, second, third = reports.wire.to(ANALYTICS_USAGE)
    for later in (second, third):
        same, _, token = later.query.partition("&page=")
        assert (same, bool(token)) == (first.query, True)


async def test_a_page_in_the_middle_that_fails_makes_the_whole_read_fail(reports: Reports, small_pages: None) -> None:
    for minutes in range(25):
        reports.use(1, NOW - minutes * MINUTE - 5 * MINUTE)
    reports.wire.script(ANALYTICS_USAGE, passes, *[fails(529)] * 4)
    with pytest.raises(UnavailableError):
        await reports.analytics().usage(LAST_HOURS)


async def test_a_page_token_that_has_expired_begins_the_range_anew(reports: Reports, small_pages: None) -> None:
    for minutes in range(25):
        reports.use(1, NOW - minutes * MINUTE - 5 * MINUTE)
    reports.wire.script(ANALYTICS_USAGE, passes, passes, fails(410))
    assert output_of(await reports.analytics().usage(LAST_HOURS)) == 25
    assert len(reports.wire.to(ANALYTICS_USAGE)) == 6


async def test_pages_that_lead_in_a_circle_end_in_an_error(reports: Reports) -> None:
    circle = says({**NOTHING, "has_more": True, "next_page": "page-1"})
    reports.wire.script(ANALYTICS_USAGE, circle, times=5)
    with pytest.raises(MalformedError, match="do not come to an end"):
        await reports.analytics().usage(LAST_HOURS)
    assert len(reports.wire.to(ANALYTICS_USAGE)) == 2


@pytest.mark.parametrize(
    "answer",
    [
        says({}),
        says("<html>Bad gateway</html>"),
        says({**NOTHING, "data": None}),
        says({**NOTHING, "data": [{}]}),
        says({**NOTHING, "data_refreshed_at": "2026-11-20T12:25:00"}),
        says({**NOTHING, "data_refreshed_at": 1795176000}),
        altered(lambda body: {"data": body["data"]}),
        alter_first_row(starting_at="2026-11-20T12:20:00"),
        alter_first_row(starting_at="2026-11-19T12:20:00Z"),
        alter_first_row(starting_at="2026-11-20T10:00:00Z", ending_at="2026-11-20T13:00:00Z"),
        alter_first_row(group=None),
        alter_first_row(usage=None),
    ],
)
async def test_an_answer_that_is_not_as_documented_is_an_error_and_never_zero(
    reports: Reports, answer: Answering
) -> None:
    reports.use(5)
    reports.wire.script(ANALYTICS_USAGE, answer)
    with pytest.raises(MalformedError, match=r"nothing was counted\.$"):
        await reports.analytics().usage(LAST_HOURS)


@pytest.mark.parametrize(
    "name",
    [
        "docs_analytics_usage_report.json",
        "docs_analytics_user_usage_report.json",
        "docs_analytics_cost_report.json",
        "docs_analytics_user_cost_report.json",
    ],
)
async def test_the_documented_examples_of_other_reports_are_not_taken_for_a_quiet_day(
    shared: Path, reports: Reports, name: str
) -> None:
    body = json.loads((shared / "data" / "admin-api" / name).read_text(encoding="utf-8"))
    reports.wire.script(ANALYTICS_USAGE, says(body), says(NOTHING))
    reports.wire.script(ANALYTICS_COST, says(body), says(NOTHING))
    with pytest.raises(MalformedError):
        await reports.analytics().usage(LAST_HOURS)
    with pytest.raises(MalformedError):
        await reports.analytics().billed(date(2026, 11, 1), date(2026, 11, 20))


async def test_the_age_of_a_reading_is_that_of_its_oldest_page(reports: Reports, small_pages: None) -> None:
    for minutes in range(15):
        reports.use(1, NOW - minutes * MINUTE - 5 * MINUTE)
    reports.wire.script(
        ANALYTICS_USAGE, passes, altered(lambda body: body.update(data_refreshed_at="2026-11-20T12:01:00Z"))
    )
    assert (await reports.analytics().usage(LAST_HOURS)).refreshed_at == NOW - 29 * MINUTE


async def test_an_age_that_is_not_reported_is_not_made_up(reports: Reports) -> None:
    reports.wire.script(ANALYTICS_USAGE, altered(lambda body: body.update(data_refreshed_at=None)))
    assert (await reports.analytics().usage(LAST_HOURS)).refreshed_at is None


async def test_a_server_that_ignores_the_filter_does_not_double_the_bill(reports: Reports) -> None:
    reports.use(1)
    reports.use(2, key=None, workspace=SEARCH)
    everything = altered(
        lambda body: body.update(
            data=[
                *body["data"],
                {**body["data"][0], "usage": {**body["data"][0]["usage"], "output_tokens": 1}},
            ]
        )
    )
    reports.wire.script(ANALYTICS_USAGE, passes, everything)
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 1, (UNKNOWN_WORKSPACE, None): 2}


async def test_a_server_that_takes_the_filter_for_a_key_without_traffic_loses_nothing(reports: Reports) -> None:
    reports.use(1)
    reports.use(2, key=None, workspace=SEARCH)
    reports.wire.script(ANALYTICS_USAGE, passes, says(NOTHING))
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 1, (UNKNOWN_WORKSPACE, None): 2}


async def test_traffic_that_comes_in_between_the_two_answers_keeps_its_workspace(reports: Reports) -> None:
    reports.use(100)
    reports.use(2, key=None, workspace=SEARCH)

    async def later(request: Any, handler: Any) -> Any:
        reports.use(4, key=None, workspace=SEARCH)
        return await handler(request)

    reports.wire.script(ANALYTICS_USAGE, passes, later)
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 100, (SEARCH, None): 6}


async def test_the_bill_is_in_dollars_before_and_after_discounts(reports: Reports) -> None:
    # Opus 5.5 output costs $20 per million tokens: 123 of them are 0.246 cents.
    reports.use(123, NOW - 2 * DAY)
    reports.use(1_000_000, NOW - DAY, key=REVIEW)
    reports.server.extras.append(Extra(NOW - DAY, "code_execution", Decimal("10.5")))
    reports.server.billed_share = Decimal("0.9")
    rows = (await reports.analytics().billed(date(2026, 11, 1), date(2026, 11, 20))).rows
    assert set(rows) == {
        BilledRow(date(2026, 11, 18), SEARCH, "tokens", Decimal("0.002214"), Decimal("0.00246"), OPUS),
        BilledRow(date(2026, 11, 19), "default", "tokens", Decimal(18), Decimal(20), OPUS),
        BilledRow(date(2026, 11, 19), "default", "code_execution", Decimal("0.105"), Decimal("0.105")),
    }
    (call,) = reports.wire.to(ANALYTICS_COST)
    assert call.query == (
        "starting_at=2026-11-01T00%3A00%3A00Z&ending_at=2026-11-21T00%3A00%3A00Z&time_bucket_width=1d&order_by=time"
        "&limit=1000&group_by%5B%5D=workspace_id&group_by%5B%5D=model&group_by%5B%5D=cost_type"
    )


@pytest.mark.parametrize(
    ("changes", "output", "named"),
    [
        ({"output_tokens": "7"}, 0, "usage.output_tokens"),
        ({"output_tokens": -7}, 0, "usage.output_tokens"),
        ({"cache_read_input_tokens": None}, 5, "usage.cache_read_input_tokens"),
        ({"cache_creation": None}, 5, "usage.cache_creation"),
        ({"server_tool_use": None}, 5, "usage.server_tool_use"),
        ({"service_tier": 7}, 5, "group.service_tier"),
    ],
)
async def test_an_odd_field_costs_its_row_at_most_and_is_named(
    reports: Reports, changes: dict[str, Any], output: int, named: str
) -> None:
    reports.use(5)
    reports.wire.script(ANALYTICS_USAGE, alter_first_row(**changes))
    reading = await reports.analytics().usage(LAST_HOURS)
    assert output_of(reading) == output
    assert sum(reading.odd.rows_by_hour.values()) == 1
    assert f"({named})" in (reading.odd.sentence or "")


@pytest.mark.parametrize(
    "changes", [{"currency": None}, {"amount": None}, {"amount": "amount"}, {"list_amount": "NaN"}]
)
async def test_a_day_of_which_a_cost_cannot_be_read_is_named_and_its_bill_is_not_believed(
    reports: Reports, changes: dict[str, Any]
) -> None:
    reports.use(100, NOW - DAY)
    reports.wire.script(ANALYTICS_COST, alter_first_row(**changes))
    bill = await reports.analytics().billed(date(2026, 11, 1), date(2026, 11, 20))
    assert bill.rows == ()
    assert bill.odd_days == {date(2026, 11, 19)}


@pytest.mark.parametrize(
    "answer",
    [
        alter_first_row(currency="EUR"),
        says({}),
        says("<html></html>"),
    ],
)
async def test_a_bill_that_is_not_as_documented_is_an_error(reports: Reports, answer: Answering) -> None:
    reports.use(100, NOW - DAY)
    reports.wire.script(ANALYTICS_COST, answer)
    with pytest.raises(MalformedError, match=r"nothing was counted\.$"):
        await reports.analytics().billed(date(2026, 11, 1), date(2026, 11, 20))


async def test_an_organization_with_hipaa_readiness_hears_what_to_set(reports: Reports) -> None:
    message = "The analytics API is not available to organizations with HIPAA readiness enabled."
    reports.wire.script(ANALYTICS_USAGE, fails(400, message=message), times=2)
    with pytest.raises(RefusedError, match="set CLAUDE_COST_USAGE_API=admin"):
        await reports.analytics().usage(LAST_HOURS)
    # By default the bot reads the admin report.
    reports.use(5)
    assert (await reports.poller("auto").poll(MONTH)).source == "admin"
