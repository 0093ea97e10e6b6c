"""The admin usage and cost reports, over real HTTP: what is asked, what is understood, and what is not believed."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.clock import DAY, HOUR
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts
from bot.sandbox.anthropic_server import ANALYTICS_KEY, Extra
from bot.sandbox.anthropic_usage import UsageEvent
from bot.usage.anthropic.client import ExpiredCursorError
from bot.usage.anthropic.pages import MOST_EMPTY_PAGES
from bot.usage.model import BilledRow, MalformedError, Read, RefusedError, SourceError, UnavailableError, UsageRow
from tests.anthropic_reports import (
    COST,
    INGEST,
    MINUTE,
    NOW,
    OPUS,
    REVIEW,
    SEARCH,
    SONNET,
    USAGE,
    Answering,
    Reports,
    altered,
    fails,
    output_of,
    passes,
    reports_in,
    says,
)

LAST_HOURS = Read("1m", NOW.replace(hour=10, minute=0), NOW.replace(hour=13, minute=0))
TWO_DAYS = Read("1h", LAST_HOURS.starts_at - 46 * HOUR, LAST_HOURS.starts_at)
ZONES = Terms("standard", "global", "standard")


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


@pytest.fixture
def three_pages(reports: Reports) -> None:
    """Three hours of minutes no longer fit on one page."""
    reports.server.page_most = 60


def alter_first_row(**changes: Any) -> Answering:
    """The first row of the first bucket that has one is changed."""

    def change(body: Any) -> None:
        next(bucket for bucket in body["data"] if bucket["results"])["results"][0].update(changes)

    return altered(change)


def alter_buckets(change: Callable[[dict[str, Any]], Any]) -> Answering:
    def change_all(body: Any) -> None:
        for bucket in body["data"]:
            change(bucket)

    return altered(change_all)


async def test_usage_is_asked_for_in_one_page_by_everything_that_changes_a_price(reports: Reports) -> None:
    await reports.admin().usage(LAST_HOURS)
    (call,) = reports.wire.to(USAGE)
    assert call.query == (
        "starting_at=2026-11-20T10%3A00%3A00Z&ending_at=2026-11-20T13%3A00%3A00Z&bucket_width=1m&limit=1440"
        "&group_by%5B%5D=model&group_by%5B%5D=api_key_id&group_by%5B%5D=service_tier&group_by%5B%5D=inference_geo"
        "&group_by%5B%5D=speed"
    )
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert call.headers["anthropic-beta"] == "fast-mode-2026-02-01"


async def test_hours_are_asked_for_a_week_at_a_time(reports: Reports) -> None:
    await reports.admin().usage(Read("1h", NOW - 30 * MINUTE - 168 * HOUR, NOW - 30 * MINUTE))
    (call,) = reports.wire.to(USAGE)
    assert (call.values("bucket_width"), call.values("limit")) == (["1h"], ["168"])


async def test_the_bill_is_asked_for_by_workspace_and_kind_of_cost(reports: Reports) -> None:
    await reports.admin().billed(date(2026, 10, 31), date(2026, 11, 30))
    (call,) = reports.wire.to(COST)
    assert call.query == (
        "starting_at=2026-10-31T00%3A00%3A00Z&ending_at=2026-12-01T00%3A00%3A00Z&bucket_width=1d&limit=31"
        "&group_by%5B%5D=workspace_id&group_by%5B%5D=description"
    )
    assert "anthropic-beta" not in call.headers


async def test_a_row_keeps_its_minute_its_counts_and_all_of_its_dimensions(reports: Reports) -> None:
    at, terms, counts = NOW - 20 * MINUTE, Terms("batch", "us", "fast"), TokenCounts(1, 2, 3, 4, 5, 6)
    reports.history.add(UsageEvent(at, OPUS, counts, SEARCH, INGEST, terms))
    reading = await reports.admin().usage(LAST_HOURS)
    assert reading.rows == (UsageRow(at, OPUS, SEARCH, INGEST, terms, counts),)
    assert reading.refreshed_at is None


async def test_the_default_workspace_has_one_name_and_traffic_without_a_key_has_none(reports: Reports) -> None:
    reports.use(1, key=REVIEW)
    reports.use(2, key=None)
    reports.use(4, key=None, workspace=SEARCH)
    reading = await reports.admin().usage(LAST_HOURS)
    assert {(row.workspace_id, row.api_key_id): row.counts.output_tokens for row in reading.rows} == {
        ("default", REVIEW): 1,
        ("default", None): 2,
        (SEARCH, None): 4,
    }


async def test_a_quiet_stretch_is_no_usage_and_no_error(reports: Reports) -> None:
    assert (await reports.admin().usage(TWO_DAYS)).rows == ()
    assert (await reports.admin().billed(date(2026, 11, 1), date(2026, 11, 20))).rows == ()


async def test_usage_that_spans_pages_is_read_to_the_last_one(reports: Reports, three_pages: None) -> None:
    for minutes in range(150):
        reports.use(1, NOW - minutes * MINUTE - 5 * MINUTE)
    reading = await reports.admin().usage(LAST_HOURS)
    assert output_of(reading) == 146
    first, second, third = reports.wire.to(USAGE)
    assert "page=" not in first.query
    for later in (second, third):
        same, _, token = later.query.partition("&page=")
        assert same == first.query
        assert token
    assert second.query != third.query
    assert {call.headers["anthropic-beta"] for call in (first, second, third)} == {"fast-mode-2026-02-01"}


async def test_a_page_in_the_middle_that_fails_makes_the_whole_read_fail(reports: Reports, three_pages: None) -> None:
    reports.use(1, NOW - 120 * MINUTE)
    reports.wire.script(USAGE, passes, *[fails(500)] * 4)
    with pytest.raises(UnavailableError):
        await reports.admin().usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == 5


async def test_a_page_token_that_has_expired_begins_the_range_anew(reports: Reports, three_pages: None) -> None:
    reports.use(1, NOW - 120 * MINUTE)
    reports.use(2, NOW - 60 * MINUTE)
    reports.wire.script(USAGE, passes, passes, fails(410))
    assert output_of(await reports.admin().usage(LAST_HOURS)) == 3
    assert ["page=" in call.query for call in reports.wire.to(USAGE)] == [False, True, True, False, True, True]


async def test_page_tokens_that_keep_expiring_are_an_error(reports: Reports, three_pages: None) -> None:
    reports.wire.script(USAGE, passes, fails(410), passes, fails(410))
    with pytest.raises(ExpiredCursorError, match="the next poll starts again"):
        await reports.admin().usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == 4


@pytest.mark.parametrize(
    "tokens", [["one", "one"], ["one", "two", "one"], [None], [""]], ids=["same", "circle", "none", "empty"]
)
async def test_pages_that_lead_in_a_circle_or_nowhere_end_in_an_error(
    reports: Reports, tokens: list[str | None]
) -> None:
    answers = [says({"data": [], "has_more": True, "next_page": token}) for token in tokens]
    reports.wire.script(USAGE, *answers)
    with pytest.raises(MalformedError, match="do not come to an end"):
        await reports.admin().usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == len(tokens)


async def test_pages_without_end_are_given_up(reports: Reports) -> None:
    reports.wire.script(
        USAGE,
        *[says({"data": [], "has_more": True, "next_page": f"page-{index}"}) for index in range(MOST_EMPTY_PAGES + 10)],
    )
    with pytest.raises(MalformedError, match="do not come to an end"):
        await reports.admin().usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == MOST_EMPTY_PAGES + 1


async def test_a_last_page_that_names_a_next_one_all_the_same_is_the_last(reports: Reports) -> None:
    reports.use(1)
    reports.wire.script(USAGE, altered(lambda body: body.update(next_page="page-2")))
    assert output_of(await reports.admin().usage(LAST_HOURS)) == 1
    assert len(reports.wire.to(USAGE)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        says({}),
        says([]),
        says("<html>Bad gateway</html>"),
        says("{"),
        says({"data": None, "has_more": False, "next_page": None}),
        says({"data": [None], "has_more": False, "next_page": None}),
        says({"data": [{}], "has_more": False, "next_page": None}),
        says({"type": "error", "error": {"type": "api_error"}}),
        altered(lambda body: {"data": body["data"], "next_page": None}),
        altered(lambda body: {"has_more": False, "next_page": None}),
        alter_buckets(lambda bucket: bucket.pop("results")),
        alter_buckets(lambda bucket: bucket.update(starting_at="2026-11-20T10:00:00")),
        alter_buckets(lambda bucket: bucket.update(starting_at="2026-11-20T09:59:00Z")),
        alter_buckets(lambda bucket: bucket.update(ending_at="2026-11-21T00:00:00Z")),
        alter_buckets(lambda bucket: bucket.update(results=7)),
    ],
)
async def test_an_answer_that_is_not_as_documented_is_an_error_and_never_zero(
    reports: Reports, answer: Answering
) -> None:
    reports.use(5)
    reports.wire.script(USAGE, answer)
    with pytest.raises(MalformedError, match=r"nothing was counted\.$"):
        await reports.admin().usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == 1


async def test_buckets_after_the_read_are_left_out(reports: Reports) -> None:
    reports.use(5)

    def one_more(body: Any) -> None:
        used = next(bucket for bucket in body["data"] if bucket["results"])
        body["data"].append({**used, "starting_at": "2026-11-20T13:00:00Z", "ending_at": "2026-11-20T13:01:00Z"})

    reports.wire.script(USAGE, altered(one_more))
    assert output_of(await reports.admin().usage(LAST_HOURS)) == 5


@pytest.mark.parametrize(
    ("changes", "output", "field"),
    [
        ({"cache_creation": None}, 5, "cache_creation"),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 0}}, 5, "cache_creation.ephemeral_1h_input_tokens"),
        ({"cache_creation": []}, 5, "cache_creation"),
        ({"server_tool_use": None}, 5, "server_tool_use"),
        ({"server_tool_use": {}}, 5, "server_tool_use.web_search_requests"),
        ({"cache_read_input_tokens": "7"}, 5, "cache_read_input_tokens"),
        ({"uncached_input_tokens": None}, 5, "uncached_input_tokens"),
        ({"output_tokens": "7"}, 0, "output_tokens"),
        ({"output_tokens": -7}, 0, "output_tokens"),
        ({"output_tokens": 7.5}, 0, "output_tokens"),
        ({"output_tokens": 2**60}, 0, "output_tokens"),
        ({"model": 7}, 5, "model"),
        ({"speed": ["fast"]}, 5, "speed"),
    ],
)
async def test_an_odd_field_costs_its_row_at_most_and_is_named(
    reports: Reports, changes: dict[str, Any], output: int, field: str
) -> None:
    at = NOW - 20 * MINUTE
    reports.use(5, at)
    reports.use(70)
    reports.wire.script(USAGE, alter_first_row(**changes))
    reading = await reports.admin().usage(LAST_HOURS)
    assert output_of(reading) == 70 + output
    assert reading.odd.rows_by_hour == {at.replace(minute=0): 1}
    assert f"({field})" in (reading.odd.sentence or "")


async def test_a_row_that_is_no_object_is_left_out_and_counted(reports: Reports) -> None:
    reports.use(5, NOW - 20 * MINUTE)
    reports.use(70)

    def no_object(body: Any) -> None:
        next(bucket for bucket in body["data"] if bucket["results"])["results"][0] = "row"

    reports.wire.script(USAGE, altered(no_object))
    reading = await reports.admin().usage(LAST_HOURS)
    assert (output_of(reading), sum(reading.odd.rows_by_hour.values())) == (70, 1)


async def test_a_cache_time_that_is_new_counts_as_the_dearest_one_and_is_named(reports: Reports) -> None:
    reports.use(5)
    times = {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2, "ephemeral_24h_input_tokens": 40}
    reports.wire.script(USAGE, alter_first_row(cache_creation=times))
    reading = await reports.admin().usage(LAST_HOURS)
    assert [row.counts.cache_creation_1h_input_tokens for row in reading.rows] == [42]
    assert "cache_creation.ephemeral_24h_input_tokens" in (reading.odd.sentence or "")


async def test_an_answer_whose_rows_all_lack_their_counts_is_another_report_and_is_refused(reports: Reports) -> None:
    for minutes in range(12):
        reports.use(1, NOW - minutes * MINUTE - 6 * MINUTE)
    reports.wire.script(
        USAGE, alter_buckets(lambda bucket: [result.pop("output_tokens") for result in bucket["results"]])
    )
    with pytest.raises(MalformedError, match="output_tokens"):
        await reports.admin().usage(LAST_HOURS)


async def test_no_request_has_more_than_five_groups_and_fast_mode_is_still_seen(reports: Reports) -> None:
    reports.use(1, terms=Terms("standard", "global", "fast"))
    reports.use(2, key=None, workspace=SEARCH, terms=Terms("standard", "global", "fast"))
    reading = await reports.admin().usage(LAST_HOURS)
    assert {row.terms.speed for row in reading.rows} == {"fast"}
    assert all(len(call.values("group_by[]")) <= 5 for call in reports.wire.to(USAGE))


async def test_usage_of_known_keys_takes_one_request_and_usage_without_a_key_one_more(reports: Reports) -> None:
    reports.use(1)
    admin = reports.admin()
    await admin.usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == 1
    reports.use(2, key=None, workspace=SEARCH)
    await admin.usage(LAST_HOURS)
    assert len(reports.wire.to(USAGE)) == 3


async def test_keys_that_no_list_has_get_their_workspace_from_a_second_question(reports: Reports) -> None:
    reports.use(3, key="apikey_unlisted", workspace=SEARCH)
    reading = await reports.admin().usage(LAST_HOURS)
    assert [(row.workspace_id, row.api_key_id, row.counts.output_tokens) for row in reading.rows] == [
        (SEARCH, "apikey_unlisted", 3)
    ]


async def test_what_two_questions_do_not_settle_keeps_its_tokens_and_an_unknown_workspace(reports: Reports) -> None:
    reports.use(3, key="apikey_one", workspace=SEARCH)
    reports.use(4, key="apikey_two", workspace=None)
    reading = await reports.admin().usage(LAST_HOURS)
    assert {(row.workspace_id, row.counts.output_tokens) for row in reading.rows} == {("unknown", 3), ("unknown", 4)}


async def test_an_organization_without_the_fast_mode_beta_is_asked_again_every_hour(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    reports.use(5)
    admin = reports.admin()
    reports.wire.script(USAGE, fails(400, message="unknown beta"))
    (row,) = (await admin.usage(LAST_HOURS)).rows
    assert row.terms == Terms("standard", "global", UNKNOWN_TERM)
    assert row.workspace_id == SEARCH
    assert "fast mode" in caplog.text
    await admin.usage(LAST_HOURS)
    reports.clock.advance(HOUR)
    (row,) = (await admin.usage(LAST_HOURS)).rows
    assert row.terms == ZONES
    asked = ["speed" in call.values("group_by[]") for call in reports.wire.to(USAGE)]
    assert asked == [True, False, False, True]
    assert ["anthropic-beta" in call.headers for call in reports.wire.to(USAGE)] == asked


async def test_a_refusal_that_has_nothing_to_do_with_speed_does_not_give_speed_up(reports: Reports) -> None:
    reports.use(5)
    admin = reports.admin()
    reports.wire.script(USAGE, fails(400), fails(400))
    with pytest.raises(SourceError):
        await admin.usage(LAST_HOURS)
    reports.wire.script(USAGE, fails(400, message="You have reached your specified API usage limits."))
    with pytest.raises(UnavailableError, match="spend limit"):
        await admin.usage(LAST_HOURS)
    (row,) = (await admin.usage(LAST_HOURS)).rows
    assert row.terms == ZONES


async def test_a_key_that_may_only_read_analytics_is_refused_by_name(reports: Reports) -> None:
    with pytest.raises(RefusedError, match="ANTHROPIC_ADMIN_KEY"):
        await reports.admin(ANALYTICS_KEY).usage(LAST_HOURS)


async def test_the_bill_is_in_dollars_by_day_workspace_and_kind_of_cost(reports: Reports) -> None:
    # Opus 5.5 output costs $20 per million tokens: 123 of them are 0.246 cents.
    reports.use(123, NOW - 2 * DAY)
    reports.use(1_000_000, NOW - DAY, key=REVIEW)
    reports.server.extras.append(Extra(NOW - DAY, "code_execution", Decimal("10.5")))
    rows = (await reports.admin().billed(date(2026, 11, 1), date(2026, 11, 20))).rows
    assert rows == (
        BilledRow(date(2026, 11, 18), SEARCH, "tokens", Decimal("0.00246"), None, OPUS),
        BilledRow(date(2026, 11, 19), "default", "tokens", Decimal(20), None, OPUS),
        BilledRow(date(2026, 11, 19), "default", "code_execution", Decimal("0.105"), None),
    )


async def test_a_kind_of_cost_that_is_new_keeps_its_name(reports: Reports) -> None:
    reports.use(100, NOW - DAY)
    reports.wire.script(COST, alter_first_row(cost_type="memory_rental"))
    (row,) = (await reports.admin().billed(date(2026, 11, 1), date(2026, 11, 20))).rows
    assert row.cost_type == "memory_rental"


@pytest.mark.parametrize("amount", [None, "a lot", "NaN", "1" * 51, {}])
async def test_a_day_of_which_a_cost_cannot_be_read_is_named_and_its_bill_is_not_believed(
    reports: Reports, amount: object
) -> None:
    reports.use(100, NOW - 2 * DAY)
    reports.use(100, NOW - DAY)
    reports.wire.script(COST, alter_first_row(amount=amount))
    bill = await reports.admin().billed(date(2026, 11, 1), date(2026, 11, 20))
    assert [row.day for row in bill.rows] == [date(2026, 11, 19)]
    assert bill.odd_days == {date(2026, 11, 18)}
    assert "amount" in (bill.odd or "")
    assert "2026-11-18" in (bill.odd or "")


async def test_an_amount_of_very_many_digits_is_exact(reports: Reports) -> None:
    reports.use(100, NOW - DAY)
    reports.wire.script(COST, alter_first_row(amount="123.4567890123456789012345678901234567"))
    (row,) = (await reports.admin().billed(date(2026, 11, 1), date(2026, 11, 20))).rows
    assert row.usd == Decimal("1.234567890123456789012345678901234567")


@pytest.mark.parametrize(
    "answer",
    [
        alter_first_row(currency="EUR"),
        alter_buckets(lambda bucket: bucket.update(starting_at="2026-11-20")),
        says({}),
        says("<html></html>"),
    ],
)
async def test_a_bill_that_is_not_as_documented_is_an_error(reports: Reports, answer: Answering) -> None:
    reports.use(100, NOW - DAY)
    reports.wire.script(COST, answer)
    with pytest.raises(MalformedError, match=r"nothing was counted\.$"):
        await reports.admin().billed(date(2026, 11, 1), date(2026, 11, 20))


def example(shared: Path, name: str) -> Any:
    return json.loads((shared / "data" / "admin-api" / name).read_text(encoding="utf-8"))


async def test_the_documented_usage_is_understood(shared: Path, reports: Reports) -> None:
    body = example(shared, "docs_usage_report_messages.json")
    (bucket,) = body["data"]
    (result,) = bucket["results"]
    begins = datetime.fromisoformat(bucket["starting_at"])
    # The example is a day; the bot asks for hours.
    bucket["ending_at"] = (begins + HOUR).isoformat()
    reports.wire.script(USAGE, says(body), says({**body, "data": [], "has_more": False, "next_page": None}))
    (row,) = (await reports.admin().usage(Read("1h", begins, begins + DAY))).rows
    assert reports.wire.to(USAGE)[1].values("page") == [body["next_page"]]
    assert row == UsageRow(
        starts_at=begins,
        model=result["model"],
        workspace_id=result["workspace_id"],
        api_key_id=result["api_key_id"],
        terms=Terms(result["service_tier"], result["inference_geo"], None),
        counts=TokenCounts(
            uncached_input_tokens=result["uncached_input_tokens"],
            cache_creation_5m_input_tokens=result["cache_creation"]["ephemeral_5m_input_tokens"],
            cache_creation_1h_input_tokens=result["cache_creation"]["ephemeral_1h_input_tokens"],
            cache_read_input_tokens=result["cache_read_input_tokens"],
            output_tokens=result["output_tokens"],
            web_search_requests=result["server_tool_use"]["web_search_requests"],
        ),
    )


async def test_the_documented_bill_is_understood_and_is_in_cents(shared: Path, reports: Reports) -> None:
    body = example(shared, "docs_cost_report.json")
    (result,) = body["data"][0]["results"]
    reports.wire.script(COST, says(body), says({"data": [], "has_more": False, "next_page": None}))
    (row,) = (await reports.admin().billed(date(2025, 8, 1), date(2025, 8, 1))).rows
    assert row == BilledRow(
        date(2025, 8, 1), result["workspace_id"], "tokens", Decimal("1.2378912"), None, result["model"]
    )
    assert row.usd * 100 == Decimal(result["amount"])


@pytest.mark.parametrize("name", ["docs_usage_report_claude_code.json", "docs_analytics_user_usage_report.json"])
async def test_the_documented_examples_of_other_reports_are_not_taken_for_a_quiet_day(
    shared: Path, reports: Reports, name: str
) -> None:
    reports.wire.script(USAGE, says(example(shared, name)), says({"data": [], "has_more": False, "next_page": None}))
    with pytest.raises(MalformedError):
        await reports.admin().usage(LAST_HOURS)


async def test_a_moment_of_another_zone_falls_into_its_utc_minute(reports: Reports) -> None:
    reports.use(5, model=SONNET)

    def in_tokyo(bucket: dict[str, Any]) -> None:
        for name in ("starting_at", "ending_at"):
            moment = datetime.fromisoformat(bucket[name]).astimezone(UTC) + timedelta(hours=9)
            bucket[name] = moment.replace(tzinfo=None).isoformat() + "+09:00"

    reports.wire.script(USAGE, alter_buckets(in_tokyo))
    (row,) = (await reports.admin().usage(LAST_HOURS)).rows
    assert (row.starts_at, row.starts_at.tzinfo) == (NOW - 10 * MINUTE, UTC)


async def test_no_log_of_a_read_holds_the_key(reports: Reports, caplog: pytest.LogCaptureFixture) -> None:
    reports.use(5)
    with caplog.at_level(logging.DEBUG):
        await reports.admin().usage(LAST_HOURS)
        with pytest.raises(RefusedError):
            await reports.admin("sk-ant-another-secret").usage(LAST_HOURS)
    logged = "".join(record.getMessage() for record in caplog.records)
    assert "sk-ant" not in logged
