"""Whether a change of the mode took effect: by usage, against before, and never where there is none."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import HOUR, floor_hour
from bot.modes.consequences import Ceiling
from bot.modes.verification import (
    AGAIN,
    DEADLINE,
    HOLDS,
    MOST_REPORTS,
    RIGHT,
    WATCHED_FOR,
    Caller,
    Calling,
    Report,
    UsageSum,
    Verification,
    VerificationState,
    VerificationTarget,
    needed_since,
    report_due,
    verify,
)
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import UsageRow, Width
from bot.usage.plan import HourState

CARD = load_rate_card()
MINUTE = timedelta(minutes=1)
SINCE = datetime(2026, 11, 20, 12, 20, 30, tzinfo=UTC)
FIRST = datetime(2026, 11, 20, 12, 21, tzinfo=UTC)
"""The first whole minute after the change."""

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
CHAIN = (OPUS, SONNET, HAIKU)
DEGRADED = VerificationTarget("degraded", Ceiling(SONNET, (SONNET, HAIKU), CHAIN), SINCE)

PER_MTOK = {OPUS: 20, SONNET: 10, "claude-opus-4-8": 25, "claude-sonnet-4-6": 15}
"""USD per million output tokens, from the rate card."""


def row(
    at: datetime, model: str, usd: str, workspace: str = "default", key: str | None = "k1", per_mtok: int | None = None
) -> UsageRow:
    """Usage of so many dollars in the bucket that begins at `at`."""
    tokens = Decimal(usd) * 1_000_000 / (per_mtok or PER_MTOK[model])
    return UsageRow(at, model, workspace, key, STANDARD, TokenCounts(output_tokens=int(tokens)))


def minutes(first: datetime, count: int, model: str, usd: str, workspace: str = "default") -> list[UsageRow]:
    """The same usage in each of `count` minutes."""
    return [row(first + index * MINUTE, model, usd, workspace) for index in range(count)]


def by_minute(until: datetime, hourly_before: datetime | None = None) -> dict[datetime, HourState]:
    """Every hour that is needed is known, by the minute from `hourly_before` on."""
    hours: dict[datetime, HourState] = {}
    hour = needed_since(DEGRADED)
    while hour < until:
        width: Width = "1h" if hourly_before is not None and hour < hourly_before else "1m"
        hours[hour] = HourState("admin", width, until)
        hour += HOUR
    return hours


BEFORE = [
    *minutes(needed_since(DEGRADED), 80, OPUS, "0.5"),
    *minutes(needed_since(DEGRADED), 80, SONNET, "0.2"),
]
"""Seventy cents a minute, 71 % of them Opus, up to the minute in which the mode was switched."""


def verified(
    rows: Sequence[UsageRow],
    known_minutes: int,
    watch: VerificationTarget = DEGRADED,
    hours: dict[datetime, HourState] | None = None,
) -> Verification:
    as_of = FIRST + known_minutes * MINUTE
    found = verify(watch, rows, by_minute(as_of) if hours is None else hours, as_of, CARD)
    assert found is not None
    return found


def test_it_took_six_minutes_and_the_share_and_the_dollars_are_held_against_before() -> None:
    after = [
        *minutes(FIRST, 6, OPUS, "0.5"),
        *minutes(FIRST + 6 * MINUTE, 10, SONNET, "0.146"),
        *minutes(FIRST + 6 * MINUTE, 10, OPUS, "0.004"),
    ]
    found = verified([*BEFORE, *after], 16)
    assert found.state is VerificationState.CONFIRMED
    assert found.above == ("Opus",)
    assert found.took == FIRST + 6 * MINUTE - SINCE
    assert found.before == UsageSum(Decimal(56), Decimal(40), 80 * (25_000 + 20_000), 80 * MINUTE)
    assert found.before.usd_per_hour == 42
    assert found.after is not None
    assert (found.after.usd_per_hour, found.after.above_usd_per_hour) == (Decimal(9), Decimal("0.24"))
    assert found.after.usd_per_mtok == Decimal("1.5") * 1_000_000 / (146_000 + 2_000)
    assert found.callers == ()


def test_a_lull_between_two_bursts_confirms_nothing() -> None:
    right = minutes(FIRST, HOLDS, SONNET, "0.1")
    assert verified([*BEFORE, *right], HOLDS - 1).state is VerificationState.WAITING
    assert verified([*BEFORE, *right], HOLDS).state is VerificationState.CONFIRMED
    burst = row(FIRST + 4 * MINUTE, OPUS, "1")
    assert verified([*BEFORE, *right, burst], HOLDS).state is VerificationState.WAITING


def test_who_follows_at_once_is_confirmed() -> None:
    found = verified([*BEFORE, *minutes(FIRST, 12, SONNET, "0.1")], 12)
    assert found.took == FIRST - SINCE


def test_without_any_usage_nothing_is_ever_confirmed() -> None:
    for known in (5, 29, 31, 200, 2000):
        found = verified(BEFORE, known, hours=by_minute(FIRST + known * MINUTE))
        assert found.state is (VerificationState.IDLE if known > 29 else VerificationState.WAITING)
        assert (found.after, found.took) == (None, None)


def test_a_change_that_nobody_follows_has_no_effect_and_the_callers_are_named() -> None:
    after = [
        *(row(FIRST + index * MINUTE, "claude-opus-4-8", "0.2", "billing-prod", "ingest-2") for index in range(35)),
        *minutes(FIRST, 35, OPUS, "0.1"),
        *minutes(FIRST, 35, SONNET, "0.05"),
    ]
    assert verified([*BEFORE, *after], 20).state is VerificationState.WAITING
    found = verified([*BEFORE, *after], 35)
    assert found.state is VerificationState.NO_EFFECT
    assert found.callers == (
        Calling(Caller("claude-opus-4-8", "billing-prod", "ingest-2"), Decimal(12)),
        Calling(Caller(OPUS, "default", "k1"), Decimal(6)),
    )
    assert found.after is not None
    assert found.after.span == HOLDS * MINUTE


def test_where_some_have_followed_the_rest_is_named() -> None:
    after = [*minutes(FIRST, 35, OPUS, "0.1"), *minutes(FIRST, 35, SONNET, "0.3")]
    found = verified([*BEFORE, *after], 35)
    assert found.state is VerificationState.PARTIAL
    assert [calling.caller.model for calling in found.callers] == [OPUS]
    assert found.took is None


def test_who_has_just_become_right_is_not_blamed_any_more() -> None:
    after = [*minutes(FIRST, 28, OPUS, "0.5"), *minutes(FIRST + 28 * MINUTE, 6, SONNET, "0.2")]
    assert verified([*BEFORE, *after], 34).state is VerificationState.WAITING
    assert verified([*BEFORE, *after], 30).state is not VerificationState.WAITING


def test_where_calls_are_rare_the_newest_ones_count() -> None:
    wrong = verified([*BEFORE, row(FIRST + 5 * MINUTE, OPUS, "1")], 50)
    assert wrong.state is VerificationState.NO_EFFECT
    assert wrong.callers == (Calling(Caller(OPUS, "default", "k1"), Decimal("1.2")),)
    assert verified([*BEFORE, row(FIRST + 5 * MINUTE, SONNET, "1")], 50).state is VerificationState.CONFIRMED


def test_a_model_that_the_mode_lets_stay_is_never_wrong() -> None:
    dated = "claude-sonnet-4-5-20250929"
    assert CARD.find(dated) is not None
    watch = replace(DEGRADED, ceiling=Ceiling("claude-sonnet-4-5", ("claude-sonnet-4-5",), CHAIN))
    after = [row(FIRST + index * MINUTE, dated, "1", per_mtok=15) for index in range(12)]
    assert verified(after, 12, watch).state is VerificationState.CONFIRMED


def test_an_unknown_model_counts_as_what_it_is_priced_as() -> None:
    unknown = [row(FIRST + index * MINUTE, "claude-opus-9", "1", per_mtok=75) for index in range(35)]
    found = verified(unknown, 35)
    assert found.state is VerificationState.NO_EFFECT
    assert found.above == ("Opus",)
    cheap = [row(FIRST + index * MINUTE, "claude-haiku-9", "1", per_mtok=5) for index in range(35)]
    assert verified(cheap, 35).state is VerificationState.CONFIRMED


def test_where_a_family_is_right_in_part_its_models_are_named_each() -> None:
    after = [*minutes(FIRST, 35, "claude-sonnet-4-6", "0.5"), *minutes(FIRST, 35, SONNET, "0.5")]
    assert verified([*BEFORE, *after], 35).above == ("Opus", "Sonnet 4.6")


def test_normal_sets_no_ceiling_so_that_nothing_could_be_wrong() -> None:
    watch = VerificationTarget("normal", Ceiling(None, (), CHAIN), SINCE)
    assert verify(watch, BEFORE, by_minute(FIRST + HOUR), FIRST + HOUR, CARD) is None


def test_before_is_unknown_where_the_data_begins_later() -> None:
    hours = by_minute(FIRST + HOUR)
    del hours[floor_hour(SINCE) - HOUR], hours[floor_hour(SINCE)]
    found = verified(minutes(floor_hour(SINCE) + HOUR, 35, OPUS, "1"), 75, hours=hours)
    assert found.before is None
    assert found.state is VerificationState.NO_EFFECT


def test_once_the_hour_of_the_change_is_kept_as_one_the_hour_before_is_what_it_is_held_against() -> None:
    change_hour = floor_hour(SINCE)
    rows = [
        row(change_hour - HOUR, OPUS, "30"),
        row(change_hour - HOUR, SONNET, "12"),
        row(change_hour, OPUS, "11"),
        *minutes(change_hour + HOUR, 60, SONNET, "0.15"),
    ]
    until = change_hour + 2 * HOUR
    found = verified(rows, (until - FIRST) // MINUTE, hours=by_minute(until, hourly_before=change_hour + HOUR))
    assert found.before == UsageSum(Decimal(42), Decimal(30), 1_500_000 + 1_200_000, HOUR)
    assert found.state is VerificationState.CONFIRMED
    assert found.took is None


courses = st.lists(
    st.tuples(st.integers(0, 79), st.sampled_from([OPUS, SONNET, HAIKU]), st.integers(1, 5_000_000)), max_size=60
)


def test_dollars_a_million_tokens_count_tokens_of_all_kinds_and_are_unknown_without_any() -> None:
    counts = TokenCounts(100_000, 200_000, 300_000, 1_000_000, 400_000)
    found = verified([replaced(each, counts) for each in BEFORE[:1]] + minutes(FIRST, 12, SONNET, "0.1"), 12)
    assert found.before is not None
    assert found.after is not None
    assert found.before.tokens == 2_000_000
    assert found.before.usd_per_mtok == found.before.usd / 2
    assert found.after.usd_per_mtok == 10
    searched = verified([replaced(each, TokenCounts(web_search_requests=3)) for each in BEFORE], 12)
    assert searched.before is not None
    assert searched.before.usd > 0
    assert searched.before.usd_per_mtok is None
    idle = verified(BEFORE[:0] + minutes(FIRST, 12, SONNET, "0.1"), 12)
    assert idle.before is not None
    assert idle.before.usd_per_mtok is None


def replaced(row: UsageRow, counts: TokenCounts) -> UsageRow:
    """The same caller and bucket with other counts."""
    return UsageRow(row.starts_at, row.model, row.workspace_id, row.api_key_id, row.terms, counts)


kinds = st.builds(TokenCounts, *[st.integers(0, 5_000_000)] * 5, st.integers(0, 50))


@given(
    st.lists(st.tuples(st.integers(-79, 39), st.sampled_from([OPUS, SONNET, HAIKU]), kinds), max_size=40),
    st.integers(0, 40),
)
def test_twice_the_usage_changes_neither_dollars_a_million_tokens_nor_shares(
    course: list[tuple[int, str, TokenCounts]], known: int
) -> None:
    once = [
        UsageRow(FIRST + minute * MINUTE, model, "default", None, STANDARD, counts)
        for minute, model, counts in course
        if minute < known
    ]
    found = verified(once, known)
    more = (verified([replaced(row, row.counts + row.counts) for row in once], known), verified([*once, *once], known))
    for twice in more:
        assert (twice.state, twice.took, twice.above) == (found.state, found.took, found.above)
        for single, doubled in ((found.before, twice.before), (found.after, twice.after)):
            assert (single is None) == (doubled is None)
            if single is not None and doubled is not None:
                assert doubled.tokens == 2 * single.tokens
                assert doubled.usd_per_mtok == single.usd_per_mtok
                assert doubled.share == single.share
                assert (single.usd_per_mtok is None) == (single.tokens == 0)


@given(courses, st.integers(0, 80))
def test_confirmed_means_that_there_is_usage_and_that_next_to_none_is_above(
    course: list[tuple[int, str, int]], known: int
) -> None:
    rows = [
        UsageRow(FIRST + minute * MINUTE, model, "default", None, STANDARD, TokenCounts(output_tokens=tokens))
        for minute, model, tokens in course
        if minute < known
    ]
    found = verified([*BEFORE, *rows], known)
    newest = [each for each in rows if each.starts_at >= FIRST + (known - HOLDS) * MINUTE]
    if found.state is VerificationState.CONFIRMED:
        assert found.after is not None
        assert found.after.usd > 0
        assert found.after.span >= HOLDS * MINUTE
        assert found.after.above_usd <= 2 * RIGHT * found.after.usd
    if not rows:
        assert found.state in (VerificationState.WAITING, VerificationState.IDLE)
    if newest and known > DEADLINE // MINUTE and all(each.model == OPUS for each in newest):
        assert found.state in (VerificationState.PARTIAL, VerificationState.NO_EFFECT)
    assert bool(found.callers) == (found.state in (VerificationState.PARTIAL, VerificationState.NO_EFFECT))


# ---- when it is reported

INGEST = Caller(OPUS, "billing-prod", "ingest-2")
OTHER = Caller(OPUS, "search", None)


def seen(state: VerificationState, *callers: Caller) -> Verification:
    return Verification(state, ("Opus",), None, None, None, tuple(Calling(each, Decimal(1)) for each in callers), SINCE)


def due(found: Verification, reported: Sequence[Report], after: timedelta, *, dismissed: bool = False) -> Report | None:
    return report_due(found, DEGRADED, reported, dismissed, SINCE + after)


NO_EFFECT = seen(VerificationState.NO_EFFECT, INGEST)
REPORTED = Report(VerificationState.NO_EFFECT, frozenset({INGEST}), SINCE + DEADLINE, last=False)


@pytest.mark.parametrize("state", [VerificationState.WAITING, VerificationState.IDLE])
def test_while_nothing_can_be_said_nothing_is_said(state: VerificationState) -> None:
    assert due(seen(state), [], HOUR) is None


def test_what_is_wrong_is_reported_once_and_again_only_after_an_hour_and_with_something_new() -> None:
    assert due(NO_EFFECT, [], DEADLINE) == REPORTED
    assert due(NO_EFFECT, [REPORTED], DEADLINE + 5 * AGAIN) is None
    further = seen(VerificationState.PARTIAL, INGEST, OTHER)
    assert due(further, [REPORTED], DEADLINE + AGAIN - MINUTE) is None
    found = due(further, [REPORTED], DEADLINE + AGAIN)
    assert found == Report(VerificationState.PARTIAL, frozenset({INGEST, OTHER}), SINCE + DEADLINE + AGAIN, last=False)


def test_what_is_right_is_reported_at_once_and_ends_it() -> None:
    confirmed = due(seen(VerificationState.CONFIRMED), [REPORTED], DEADLINE + MINUTE)
    assert confirmed is not None
    assert confirmed.last
    assert due(NO_EFFECT, [REPORTED, confirmed], 3 * HOUR) is None


def test_what_is_dismissed_is_not_spoken_of_again() -> None:
    for found in (NO_EFFECT, seen(VerificationState.CONFIRMED)):
        assert due(found, [REPORTED], WATCHED_FOR, dismissed=True) is None


def test_after_a_day_one_line_ends_it_whatever_is_known() -> None:
    for state in VerificationState:
        found = due(seen(state), [REPORTED], WATCHED_FOR)
        assert found is not None
        assert found.last


@given(st.lists(st.tuples(st.sampled_from(VerificationState), st.sets(st.sampled_from([INGEST, OTHER]))), max_size=400))
def test_a_change_is_spoken_of_a_handful_of_times_whatever_usage_does(
    course: list[tuple[VerificationState, set[Caller]]],
) -> None:
    reported: list[Report] = []
    for index, (state, callers) in enumerate(course):
        found = due(seen(state, *callers), reported, index * 7 * MINUTE)
        if found is not None:
            reported.append(found)
    assert len(reported) <= MOST_REPORTS
    assert sum(each.last for each in reported) <= 1
