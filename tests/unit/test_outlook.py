"""The last 24 hours: who moved, and what a cheaper mode would save."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, PeriodKind, parse_scope, period_at
from bot.budgets.recent import RecentSpend, recent_spend
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import price_usage
from bot.budgets.trend import Mover, Recent, RecentUsage, Stretch, recent_window, usd_of, usd_under
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.model import DataState, DayUsage, UsageRow
from tests.examples import one_in
from tests.snapshots import snapshot_of

CARD = load_rate_card()
TODAY = date(2026, 11, 20)
AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOVEMBER = period_at(PeriodKind.MONTH, ZoneInfo("UTC"), AS_OF)
MILLION = 1_000_000
OPUS, SONNET, HAIKU = "claude-opus-4-8", "claude-sonnet-5-5", "claude-haiku-5-5"


def tokens(
    counts: TokenCounts,
    model: str = OPUS,
    workspace: str = "wrkspc_search",
    key: str | None = "apikey_1",
    terms: Terms = STANDARD,
) -> DayUsage:
    return DayUsage(TODAY, model, workspace, key, terms, counts)


def used(usd: Decimal | int | str, workspace: str = "wrkspc_search", key: str | None = "apikey_1") -> DayUsage:
    """Uncached input that costs this much on Opus 4.8, at $5 per million tokens."""
    return tokens(TokenCounts(uncached_input_tokens=int(Decimal(usd) * 200_000)), workspace=workspace, key=key)


def recent(last: Sequence[DayUsage], before: Sequence[DayUsage] = (), covered: timedelta = DAY) -> Recent:
    def whole(rows: Sequence[DayUsage]) -> list[RecentUsage]:
        return [RecentUsage(priced, Decimal(1)) for priced in price_usage(rows, CARD)]

    return Recent(whole(last), whole(before), covered)


def spent(last: Sequence[DayUsage], before: Sequence[DayUsage] = (), as_of: datetime = AS_OF) -> RecentSpend:
    """A snapshot with the usage of an hour of the last 24 hours, and of an hour of those before."""
    hours = {floor_hour(as_of) - 2 * HOUR: last, floor_hour(as_of) - 26 * HOUR: before}
    rows = [
        UsageRow(hour, row.model, row.workspace_id, row.api_key_id, row.terms, row.counts)
        for hour, used in hours.items()
        for row in used
    ]
    return recent_spend(snapshot_of(rows, DataState(as_of=as_of)), as_of)


def saved(ceiling: str, row: DayUsage) -> Decimal:
    """Saving of the ceiling on this row."""
    known = recent([row])
    return usd_of(known, ORGANIZATION, CARD) - usd_under(ceiling, known, ORGANIZATION, CARD)


def test_less_than_six_hours_of_data_are_too_few_to_go_on_from() -> None:
    assert usd_of(recent([used(6)], covered=6 * HOUR - timedelta(microseconds=1)), ORGANIZATION, CARD) == 0
    assert usd_of(recent([used(6)], covered=6 * HOUR), ORGANIZATION, CARD) == 6


cents = st.integers(0, 100_000).map(lambda amount: Decimal(amount) / 100)
minutes = st.integers(0, 60 * 24 * 40).map(lambda count: timedelta(minutes=count))


def in_hours(span: timedelta) -> Fraction:
    return Fraction(span // timedelta.resolution, HOUR // timedelta.resolution)


def weights(stretches: Sequence[Stretch]) -> dict[datetime, Fraction]:
    """Weight of each hour's usage, if usage is spread evenly."""
    hours: dict[datetime, Fraction] = {}
    for stretch in stretches:
        hour = stretch.starts_at
        while hour < stretch.ends_at:
            inside = in_hours(min(hour + HOUR, stretch.ends_at) - hour)
            hours[hour] = hours.get(hour, Fraction(0)) + inside * Fraction(stretch.share)
            hour += HOUR
    return hours


moments = st.datetimes(datetime(2026, 11, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # the strategy adds the zone


@given(moments)
def test_each_hour_counts_with_what_of_it_lies_in_the_last_24_hours_or_in_those_before(as_of: datetime) -> None:
    window = recent_window(as_of)
    for stretches, until in ((window.last, as_of), (window.before, as_of - DAY)):
        hours = weights(stretches)
        # So a constant stream is as large on both days, at every minute of the hour.
        assert abs(sum(hours.values(), Fraction(0)) - 24) < Fraction(1, 10**20)
        for hour, weight in hours.items():
            overlap = min(hour + HOUR, until) - max(hour, until - DAY)
            assert abs(weight - in_hours(max(overlap, timedelta()))) < Fraction(1, 10**20)


@given(moments, st.sets(st.integers(-30, 2), max_size=33))
def test_what_is_covered_is_the_part_of_the_last_24_hours_that_was_read(as_of: datetime, which: set[int]) -> None:
    def covered(hours: Collection[int]) -> timedelta:
        known = [floor_hour(as_of) + index * HOUR for index in hours]
        return recent_spend(snapshot_of([], DataState(as_of=as_of), known=known), as_of).covered

    assert timedelta() <= covered(which) <= min(DAY, len(which) * HOUR)
    assert covered(which) == sum((covered([one]) for one in which), timedelta())
    assert covered(range(-24, 1)) == DAY


def spent_at(minutes: Mapping[int, int], as_of: datetime) -> Snapshot:
    """Dollars by the minute in which they were spent, counted from that of `as_of`."""
    running = as_of.replace(second=0, microsecond=0)
    rows = [
        UsageRow(running + minute * MINUTE, row.model, row.workspace_id, row.api_key_id, row.terms, row.counts)
        for minute, usd in minutes.items()
        for row in [used(usd)]
    ]
    return snapshot_of(rows, DataState(as_of=as_of))


@given(moments, st.dictionaries(st.integers(-26 * 60, 26 * 60), st.integers(1, 9), max_size=9))
def test_the_last_24_hours_have_all_that_a_day_has_spent(as_of: datetime, minutes: dict[int, int]) -> None:
    snapshot = spent_at(minutes, as_of)
    day = period_at(PeriodKind.DAY, ZoneInfo("UTC"), as_of)
    recent = recent_spend(snapshot)
    # Of the hour in which the 24 hours begin, the share that lies in them counts.
    cut = floor_hour(recent.until - DAY) + HOUR
    if cut <= day.starts_at or not snapshot.tables.get(cut - HOUR):
        assert recent.usd(ORGANIZATION) >= snapshot.spend(ORGANIZATION, day).total_usd
    assert recent.usd(ORGANIZATION) == sum(mover.usd for mover in recent.movers(ORGANIZATION))
    assert as_of <= recent.until <= as_of + 10 * MINUTE


@settings(max_examples=one_in(5))
@given(moments, st.integers(0, 9))
@example(AS_OF, 0)
@example(AS_OF + timedelta(minutes=59, seconds=59), 9)
def test_the_running_minute_counts_and_the_24_hours_are_no_longer_for_it(as_of: datetime, ahead: int) -> None:
    rate, burst = 1, 1000
    minutes = dict.fromkeys(range(-50 * 60, 0), rate) | {ahead: burst}
    recent = recent_spend(spent_at(minutes, as_of))
    [mover] = recent.movers(ORGANIZATION)
    assert mover.before_usd is not None
    day = DAY // MINUTE
    # The minutes up to that of the burst had nothing else in them.
    assert day - ahead - 2 <= mover.usd - burst <= day
    assert abs(mover.before_usd - day) <= 1
    assert recent.until - as_of <= (ahead + 1) * MINUTE


def test_a_clock_that_is_a_day_ahead_moves_no_window() -> None:
    recent = recent_spend(spent_at({-23 * 60: 5, 20 * 60: 7}, AS_OF))
    assert recent.until <= AS_OF + 10 * MINUTE
    assert recent.usd(ORGANIZATION) == 12


def test_stretches_follow_each_other_without_a_gap() -> None:
    window = recent_window(AS_OF + timedelta(minutes=17, seconds=3))
    assert all(first.ends_at == second.starts_at for first, second in pairwise(window.last))
    assert all(first.ends_at == second.starts_at for first, second in pairwise(window.before))
    assert window.last[-1].ends_at == AS_OF + timedelta(minutes=17, seconds=3)
    assert window.last[0].starts_at == floor_hour(AS_OF) - DAY


def test_movers_are_the_three_largest_each_against_the_24_hours_before() -> None:
    last = [
        used(3, key="apikey_3"),
        used(10, key="apikey_1"),
        used(2, key="apikey_4"),
        used(5, key="apikey_2"),
        used(1, key="apikey_1"),
    ]
    before = [used(4, key="apikey_1"), used(99, key="apikey_4"), used(50, key="apikey_5")]
    assert spent(last, before).movers(ORGANIZATION) == (
        Mover(OPUS, "wrkspc_search", "apikey_1", Decimal(11), Decimal(4)),
        Mover(OPUS, "wrkspc_search", "apikey_2", Decimal(5), None),
        Mover(OPUS, "wrkspc_search", "apikey_3", Decimal(3), None),
    )


def test_a_model_a_workspace_and_a_key_make_a_caller_together() -> None:
    last = [
        used(4),
        used(3, workspace="default"),
        used(2, key=None),
        tokens(TokenCounts(uncached_input_tokens=MILLION // 2), SONNET),
    ]
    assert spent(last).movers(ORGANIZATION) == (
        Mover(OPUS, "wrkspc_search", "apikey_1", Decimal(4), None),
        Mover(OPUS, "default", "apikey_1", Decimal(3), None),
        Mover(OPUS, "wrkspc_search", None, Decimal(2), None),
    )


def test_who_spent_nothing_the_day_before_is_new_and_who_spends_nothing_is_no_mover() -> None:
    found = spent([used(1), used(0, key="apikey_2")], [used(0)]).movers(ORGANIZATION)
    assert [(mover.api_key_id, mover.before_usd) for mover in found] == [("apikey_1", None)]


def test_movers_of_a_scope_are_its_own_callers() -> None:
    found = spent([used(9), used(1, workspace="default")]).movers(parse_scope("workspace:default"))
    assert [mover.workspace_id for mover in found] == ["default"]


@given(st.lists(st.tuples(st.integers(1, 6), cents), max_size=12))
def test_no_caller_left_out_is_larger_than_a_mover(usage: list[tuple[int, Decimal]]) -> None:
    totals: dict[str, Decimal] = {}
    for number, usd in usage:
        totals[f"apikey_{number}"] = totals.get(f"apikey_{number}", Decimal(0)) + usd
    found = spent([used(usd, key=f"apikey_{number}") for number, usd in usage]).movers(ORGANIZATION)
    wanted = sorted((usd for usd in totals.values() if usd > 0), reverse=True)[:3]
    assert [mover.usd for mover in found] == wanted


@pytest.mark.parametrize(
    ("ceiling", "model", "counts", "usd"),
    [
        # $5 and $25 against $2 and $10, both of the newer tokenizer
        (SONNET, OPUS, TokenCounts(uncached_input_tokens=MILLION, output_tokens=MILLION), "18"),
        (SONNET, OPUS, TokenCounts(cache_read_input_tokens=MILLION), "0.40"),
        (SONNET, OPUS, TokenCounts(cache_creation_5m_input_tokens=MILLION), "3.75"),
        (SONNET, OPUS, TokenCounts(cache_creation_1h_input_tokens=MILLION), "6"),
        # a cheaper model stays, and so does one of the same price
        (SONNET, HAIKU, TokenCounts(uncached_input_tokens=MILLION), "0"),
        (SONNET, "claude-sonnet-5", TokenCounts(cache_read_input_tokens=MILLION), "0"),
        (OPUS, "claude-opus-5", TokenCounts(uncached_input_tokens=MILLION), "0"),
        # 1.3 times the tokens where the tokenizer becomes the newer one, and the reverse
        (SONNET, "claude-opus-4-6", TokenCounts(uncached_input_tokens=MILLION), "2.4"),
        ("claude-haiku-4-5", OPUS, TokenCounts(uncached_input_tokens=1_300_000), "5.5"),
        # $0.20 for a cache read of Opus 5.5 is less than the $0.30 of Sonnet 4.6, its fewer tokens counted in
        ("claude-sonnet-4-6", "claude-opus-5-5", TokenCounts(cache_read_input_tokens=1_300_000), "-0.04"),
        # searches cost the same everywhere
        (SONNET, OPUS, TokenCounts(web_search_requests=1000), "0"),
        # an unknown model is taken for the most expensive of its family that is still served
        (SONNET, "claude-opus-9", TokenCounts(output_tokens=1_000_000), "15"),
    ],
)
def test_a_ceiling_saves_the_difference_for_what_is_dearer_than_itself(
    ceiling: str, model: str, counts: TokenCounts, usd: str
) -> None:
    assert saved(ceiling, tokens(counts, model)) == Decimal(usd)


def test_terms_stay_as_they_are_under_a_ceiling() -> None:
    counts = TokenCounts(uncached_input_tokens=MILLION)
    assert saved(SONNET, tokens(counts, terms=Terms(service_tier="batch"))) == Decimal("1.5")
    assert saved(SONNET, tokens(counts, terms=Terms(inference_geo="us"))) == Decimal("3.3")
    # Sonnet has no fast mode, so what was fast costs the standard price there.
    assert saved(SONNET, tokens(counts, terms=Terms(speed="fast"))) == 8


def test_what_a_scope_would_have_cost_is_that_of_its_own_usage() -> None:
    known, default = recent([used(5), used(10, workspace="default")]), parse_scope("workspace:default")
    assert (usd_of(known, default, CARD), usd_under(SONNET, known, default, CARD)) == (Decimal(10), Decimal(4))


def test_of_an_hour_that_lies_in_the_last_24_hours_in_part_everything_counts_with_that_part() -> None:
    (half,) = [RecentUsage(priced, Decimal("0.5")) for priced in price_usage([used(10)], CARD)]
    known = Recent([half], [half], DAY)
    assert (usd_of(known, ORGANIZATION, CARD), usd_under(SONNET, known, ORGANIZATION, CARD)) == (Decimal(5), Decimal(2))


def test_a_mover_counts_with_the_half_of_an_hour_that_lies_in_the_last_24_hours() -> None:
    as_of = AS_OF + HOUR / 2
    row = used(10)
    hour = UsageRow(AS_OF - DAY, row.model, row.workspace_id, row.api_key_id, row.terms, row.counts)
    found = recent_spend(snapshot_of([hour], DataState(as_of=as_of)), as_of).movers(ORGANIZATION)
    assert found == (Mover(OPUS, "wrkspc_search", "apikey_1", Decimal(5), Decimal(5)),)


counts = st.builds(TokenCounts, *(st.integers(0, 10**9) for _ in range(5)), st.just(0))
models = st.sampled_from(sorted(CARD.models))


@given(models, counts)
def test_a_model_saves_nothing_under_its_own_ceiling(model: str, used_tokens: TokenCounts) -> None:
    assert saved(model, tokens(used_tokens, model)) == 0


@given(models, models, counts)
def test_a_mode_never_saves_more_than_was_spent(ceiling: str, model: str, used_tokens: TokenCounts) -> None:
    row = tokens(used_tokens, model)
    assert saved(ceiling, row) <= recent([row]).last[0].usd


@given(models, models, counts)
def test_of_two_models_at_most_one_is_a_ceiling_for_the_other(one: str, other: str, used_tokens: TokenCounts) -> None:
    assert 0 in (saved(one, tokens(used_tokens, other)), saved(other, tokens(used_tokens, one)))


@given(models, st.lists(st.tuples(models, counts), max_size=4))
def test_the_saving_of_a_mix_is_the_sum_of_its_parts(ceiling: str, rows: list[tuple[str, TokenCounts]]) -> None:
    usage = [tokens(used_tokens, model) for model, used_tokens in rows]
    known = recent(usage)
    whole = usd_of(known, ORGANIZATION, CARD) - usd_under(ceiling, known, ORGANIZATION, CARD)
    assert abs(whole - sum((saved(ceiling, row) for row in usage), Decimal(0))) < Decimal("1e-9")
