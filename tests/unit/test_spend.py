"""Spend of a period: billed where the cost report has settled, computed elsewhere, and no dollar twice."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, Period, PeriodKind, Scope, ScopeKind, parse_scope, period_at
from bot.budgets.spend import Spend, in_scope
from bot.clock import DAY, HOUR
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.model import BilledRow, DataState, DayUsage, UsageRow
from tests.snapshots import snapshot_of

CARD = load_rate_card()
UTC_ZONE, TOKYO = ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")
OPUS, SONNET, HAIKU = "claude-opus-4-8", "claude-sonnet-5-5", "claude-haiku-5-5"
NOVEMBER = period_at(PeriodKind.MONTH, UTC_ZONE, datetime(2026, 11, 15, tzinfo=UTC))
SEARCH = Scope(ScopeKind.WORKSPACE, "wrkspc_search")


def nov(day: int) -> date:
    return date(2026, 11, day)


def settled(day: date) -> datetime:
    """The moment from which on a day's bill is final: 24 hours after its end."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + 2 * DAY


def used(
    day: date,
    usd: Decimal | int | str = 1,
    model: str = OPUS,
    workspace: str = "wrkspc_search",
    key: str | None = "apikey_1",
    terms: Terms = STANDARD,
    hour: int = 12,
) -> UsageRow:
    """Uncached input that costs this much on Opus 4.8, at $5 per million tokens."""
    counts = TokenCounts(uncached_input_tokens=int(Decimal(usd) * 200_000))
    return UsageRow(datetime.combine(day, time(hour), UTC), model, workspace, key, terms, counts)


def billed(
    day: date, usd: Decimal | int | str, cost_type: str = "tokens", workspace: str = "wrkspc_search"
) -> BilledRow:
    return BilledRow(day, workspace, cost_type, Decimal(usd), None)


def spend(
    usage: list[UsageRow],
    report: list[BilledRow],
    read_at: datetime | None,
    scope: Scope = ORGANIZATION,
    period: Period = NOVEMBER,
) -> Spend:
    return snapshot_of(usage, DataState(as_of=period.ends_at, billed_read_at=read_at), report).spend(scope, period)


def parts(known: Spend) -> dict[str, Decimal]:
    """Parts of the total, without zeros."""
    every = {"billed": known.billed_usd, "computed": known.computed_usd, "report_only": known.report_only_usd}
    assert known.total_usd == sum(every.values())
    return {name: usd for name, usd in every.items() if usd}


def dollars(**amounts: int | str) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in amounts.items()}


def test_a_day_is_computed_until_its_bill_is_final_and_billed_from_then_on() -> None:
    usage, report = [used(nov(3), 10)], [billed(nov(3), "8.40")]
    before = spend(usage, report, settled(nov(3)) - timedelta(microseconds=1))
    assert parts(before) == dollars(computed=10)
    assert before.billed_days == 0
    after = spend(usage, report, settled(nov(3)))
    assert parts(after) == dollars(billed="8.40")
    assert after.billed_days == 1


def test_a_bill_that_was_read_before_it_was_final_does_not_become_final_by_waiting() -> None:
    half_a_day = [billed(nov(3), 4)]
    for read_at in (datetime(2026, 11, 3, 12, tzinfo=UTC), None):
        assert parts(spend([used(nov(3), 10)], half_a_day, read_at)) == dollars(computed=10)


def test_a_settled_day_that_the_report_does_not_have_is_computed() -> None:
    known = spend([used(nov(3), 10), used(nov(4), 5)], [billed(nov(4), 6)], settled(nov(20)))
    assert parts(known) == dollars(computed=10, billed=6)


def test_a_settled_day_without_usage_still_counts_its_bill() -> None:
    known = spend([], [billed(nov(3), "0.50", "session_usage")], settled(nov(3)))
    assert parts(known) == dollars(billed="0.50")


def test_what_only_the_report_knows_is_added_to_computed_days_and_nothing_else_of_it() -> None:
    report = [
        billed(nov(20), 9),
        billed(nov(20), 2, "web_search"),
        billed(nov(20), "0.75", "code_execution"),
        billed(nov(20), "0.08", "session_usage"),
        billed(nov(20), "0.01", "a_type_of_next_year"),
    ]
    known = spend([used(nov(20), 10)], report, settled(nov(20)) - HOUR)
    assert parts(known) == dollars(computed=10, report_only="0.84")


def test_what_only_the_report_knows_is_part_of_the_bill_of_a_settled_day_and_not_added_again() -> None:
    known = spend([used(nov(3), 10)], [billed(nov(3), 9), billed(nov(3), 1, "code_execution")], settled(nov(3)))
    assert parts(known) == dollars(billed=10)


def test_web_searches_are_computed_once_and_not_added_from_the_report() -> None:
    searched = replace(used(nov(20)), counts=TokenCounts(web_search_requests=100))
    assert spend([searched], [billed(nov(20), 1, "web_search")], None).total_usd == 1


def test_credits_in_the_bill_are_taken_off() -> None:
    assert spend([], [billed(nov(3), 10), billed(nov(3), "-12.5")], settled(nov(3))).total_usd == Decimal("-2.5")


def test_a_workspace_is_billed_by_its_own_rows() -> None:
    usage = [used(nov(3), 10), used(nov(3), 5, workspace="default")]
    report = [billed(nov(3), 9), billed(nov(3), 4, workspace="default")]
    assert spend(usage, report, settled(nov(3)), SEARCH).total_usd == 9
    assert spend(usage, report, settled(nov(3)), Scope(ScopeKind.WORKSPACE, "default")).total_usd == 4
    assert spend(usage, report, settled(nov(3))).total_usd == 13


def test_a_workspace_that_the_report_leaves_out_is_computed_and_not_taken_for_free() -> None:
    known = spend([used(nov(3), 10)], [billed(nov(3), 4, workspace="default")], settled(nov(3)), SEARCH)
    assert parts(known) == dollars(computed=10)


@pytest.mark.parametrize("scope", ["key:apikey_1", "model:opus", f"model:{OPUS}"])
def test_keys_and_models_are_always_computed_because_the_bill_is_not_split_that_way(scope: str) -> None:
    namesake = scope.partition(":")[2]
    report = [billed(nov(3), 1, workspace=namesake), billed(nov(3), 7, "code_execution", namesake)]
    usage = [used(nov(3), 10), used(nov(3), 5, SONNET, key="apikey_2")]
    assert parts(spend(usage, report, settled(nov(3)))) == dollars(billed=8)
    assert parts(spend(usage, report, settled(nov(3)), parse_scope(scope))) == dollars(computed=10)


@pytest.mark.parametrize(
    ("scope", "model", "counts"),
    [
        ("model:claude-opus-4-8", "claude-opus-4-8", True),
        ("model:us.anthropic.claude-opus-4-8", "claude-opus-4-8", True),
        ("model:opus-4.8", "claude-opus-4-8", True),
        ("model:claude-opus-4.8", "claude-opus-4-8", True),
        ("model:Claude Opus 4.8", "claude-opus-4-8", True),
        ("model:claude-4.8-opus", "claude-opus-4-8", True),
        ("model:openrouter/anthropic/claude-opus-4.8", "claude-opus-4-8", True),
        ("model:opus\u20114.8", "claude-opus-4-8-20260528", True),
        ("model:claude-opus-4.8", "claude-opus-4-7", False),
        ("model:claude-opus", "claude-opus-4-8", True),
        ("model:claude-opus-latest", "us.anthropic.claude-opus-4-8", True),
        ("model:claude-opus-9.9", "claude-opus-9-9", True),
        ("model:claude-opus-9.9", "claude-opus-9-8", False),
        ("model:claude-opus-9.9", "claude-opus-4-8", False),
        ("model:claude-opus-5", "claude-opus-5-5", False),
        ("model:opus", "claude-opus-5-5", True),
        ("model:Opus", "claude-opus-4-8", True),
        ("model:opus", "claude-sonnet-5-5", False),
        # an unknown model is priced as the most expensive one, but is not of its family
        ("model:opus", "claude-opus-9", True),
        *((f"model:{family}", "experiment-7", False) for family in CARD.families()),
        ("model:experiment-7", "experiment-7", True),
        ("model:experiment-7", "experiment-8", False),
        ("key:apikey_1", "claude-opus-4-8", True),
        ("key:apikey_2", "claude-opus-4-8", False),
        ("workspace:wrkspc_search", "claude-opus-4-8", True),
        ("workspace:default", "claude-opus-4-8", False),
    ],
)
def test_a_scope_counts_what_its_name_says(scope: str, model: str, counts: bool) -> None:
    usage = [used(nov(3), 1, model)]
    assert (spend(usage, [], None, parse_scope(scope)).total_usd > 0) is counts
    row = DayUsage(nov(3), model, "wrkspc_search", "apikey_1", STANDARD, TokenCounts())
    assert in_scope(parse_scope(scope), row, CARD) is counts


def test_sums_of_haiku_are_at_least_since_its_dearer_step_cannot_be_seen_in_them() -> None:
    assert spend([used(nov(20), 1, HAIKU)], [], None).at_least
    assert not spend([used(nov(20), 1)], [], None).at_least
    assert not spend([used(nov(3), 1, HAIKU)], [billed(nov(3), 1)], settled(nov(3))).at_least, "the bill is exact"


def test_unknown_models_are_counted_at_the_dearest_rate_and_named() -> None:
    counts = TokenCounts(output_tokens=1_000_000)
    rows = [replace(used(nov(20), 0, model), counts=counts) for model in ("claude-opus-9", "x-1", OPUS)]
    known = spend(rows, [], None)
    assert known.assumed == ("claude-opus-9", "x-1")
    # Of the models that are still served Opus 5 is the most expensive Opus, and Fable 5 the most expensive of all.
    assert known.total_usd == 25 + 50 + 25


def test_unknown_models_are_named_even_where_the_bill_has_their_price() -> None:
    assert spend([used(nov(3), 1, "x-1")], [billed(nov(3), 1)], settled(nov(3))).assumed == ("x-1",)


def test_usage_outside_the_scope_is_neither_counted_nor_named() -> None:
    known = spend([used(nov(3), 1, "x-1", workspace="default")], [], None, SEARCH)
    assert parts(known) == {}
    assert (known.assumed, known.at_least) == ((), False)


# In Tokyo November begins at 15:00 UTC on 31 October and ends at 15:00 UTC on 30 November.
TOKYO_NOVEMBER = period_at(PeriodKind.MONTH, TOKYO, datetime(2026, 11, 15, tzinfo=UTC))
HALLOWEEN = date(2026, 10, 31)


def test_a_day_that_the_period_cuts_is_computed_because_the_bill_knows_whole_days_only() -> None:
    usage = [
        used(HALLOWEEN, 50, hour=14),
        used(HALLOWEEN, 3, hour=15),
        used(nov(1), 5),
        used(nov(30), 2, hour=14),
        used(nov(30), 50, hour=15),
    ]
    report = [billed(HALLOWEEN, 100), billed(nov(1), 6), billed(nov(30), 100)]
    known = spend(usage, report, settled(date(2026, 12, 20)), period=TOKYO_NOVEMBER)
    assert parts(known) == dollars(computed=5, billed=6)
    assert known.billed_days == 1


def test_what_only_the_report_knows_of_a_cut_day_counts_for_the_period_in_which_the_day_begins() -> None:
    report = [billed(HALLOWEEN, 3, "code_execution"), billed(nov(30), 2, "code_execution")]
    read_at = settled(date(2026, 12, 20))
    tokyo_october = period_at(PeriodKind.MONTH, TOKYO, TOKYO_NOVEMBER.starts_at - HOUR)
    assert spend([], report, read_at, period=tokyo_october).report_only_usd == 3
    assert spend([], report, read_at, period=TOKYO_NOVEMBER).report_only_usd == 2


days = st.dates(date(2026, 10, 30), date(2026, 12, 2))
cents = st.integers(0, 100_000).map(lambda amount: Decimal(amount) / 100)
usages = st.builds(
    used,
    days,
    cents,
    st.sampled_from([OPUS, SONNET, HAIKU, "claude-opus-9", "x-1"]),
    st.sampled_from(["wrkspc_search", "default"]),
    st.sampled_from(["apikey_1", None]),
    st.sampled_from([STANDARD, Terms(service_tier="batch")]),
    st.integers(0, 23),
)
bills = st.builds(
    billed,
    days,
    cents,
    st.sampled_from(["tokens", "web_search", "code_execution", "session_usage"]),
    st.sampled_from(["wrkspc_search", "default"]),
)
reads = st.one_of(st.none(), days.map(settled))
scopes = st.sampled_from(
    [parse_scope(text) for text in ("organization", "workspace:default", "key:apikey_1", "model:opus")]
)
periods = st.builds(
    lambda kind, zone, day: period_at(kind, ZoneInfo(zone), datetime(day.year, day.month, day.day, 12, tzinfo=UTC)),
    st.sampled_from(PeriodKind),
    st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kolkata"]),
    days,
)


@given(st.lists(usages, max_size=8), st.lists(bills, max_size=8), reads, scopes, periods)
def test_the_total_is_the_sum_of_its_parts_and_no_part_is_below_zero(
    usage: list[UsageRow], report: list[BilledRow], read_at: datetime | None, scope: Scope, period: Period
) -> None:
    known = spend(usage, report, read_at, scope, period)
    assert known.total_usd == known.billed_usd + known.computed_usd + known.report_only_usd
    assert min(known.billed_usd, known.computed_usd, known.report_only_usd) >= 0
    if known.billed_days == 0:
        assert known.billed_usd == 0


@given(st.lists(usages, max_size=8), usages, st.lists(bills, max_size=8), reads, scopes, periods)
def test_more_usage_never_lowers_the_total(
    usage: list[UsageRow],
    more: UsageRow,
    report: list[BilledRow],
    read_at: datetime | None,
    scope: Scope,
    period: Period,
) -> None:
    before = spend(usage, report, read_at, scope, period)
    after = spend([*usage, more], report, read_at, scope, period)
    assert after.total_usd >= before.total_usd
    assert after.billed_usd == before.billed_usd


@given(st.lists(usages, max_size=8), st.lists(bills, max_size=8), reads, scopes)
def test_a_month_is_the_sum_of_its_days(
    usage: list[UsageRow], report: list[BilledRow], read_at: datetime | None, scope: Scope
) -> None:
    in_november = [row for row in usage if row.starts_at.month == 11]
    whole = spend(in_november, report, read_at, scope)
    parts = [
        spend(
            [row for row in in_november if row.starts_at.date() == nov(day)],
            report,
            read_at,
            scope,
            period_at(PeriodKind.DAY, UTC_ZONE, datetime(2026, 11, day, tzinfo=UTC)),
        )
        for day in range(1, 31)
    ]
    assert whole.total_usd == sum(part.total_usd for part in parts)
    assert whole.billed_days == sum(part.billed_days for part in parts)


@given(st.lists(bills, max_size=8), st.sampled_from(PeriodKind), st.sampled_from(["UTC", "Asia/Tokyo", "Asia/Kolkata"]))
def test_what_only_the_report_knows_counts_in_exactly_one_period(
    report: list[BilledRow], kind: PeriodKind, zone: str
) -> None:
    period = period_at(kind, ZoneInfo(zone), datetime(2026, 10, 25, tzinfo=UTC))
    counted = Decimal(0)
    while period.starts_at < datetime(2026, 12, 10, tzinfo=UTC):
        counted += spend([], report, None, period=period).total_usd
        period = period_at(kind, ZoneInfo(zone), period.ends_at)
    assert counted == sum(row.usd for row in report if row.cost_type in ("code_execution", "session_usage"))


@given(st.lists(usages, max_size=8), st.lists(bills, max_size=8), reads)
def test_workspaces_and_the_organization_agree_on_what_is_computed_from_the_same_days(
    usage: list[UsageRow], report: list[BilledRow], read_at: datetime | None
) -> None:
    parts = [spend(usage, report, read_at, Scope(ScopeKind.WORKSPACE, name)) for name in ("wrkspc_search", "default")]
    whole = spend(usage, report, read_at)
    assert sum(part.billed_usd for part in parts) == whole.billed_usd
    assert sum(part.report_only_usd for part in parts) == whole.report_only_usd
    assert sum(part.computed_usd for part in parts) >= whole.computed_usd
