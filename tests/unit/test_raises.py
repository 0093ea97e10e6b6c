"""Limits that are raised for a while: which limit is in force when, and the words that ask for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.decide import decide, taken
from bot.alerts.incident import Incident, Status
from bot.budgets.budget import CHAT, ORGANIZATION, Budget, LimitKind, PeriodKind, RaisedLimit
from bot.budgets.parsing import BudgetWordsError
from bot.budgets.raises import (
    amount_of,
    at_end_of,
    at_moment,
    limit_to_raise,
    next_change,
    split_raise_words,
    until_of,
    with_raises,
)
from bot.clock import BEFORE_EVERYTHING, DAY, HOUR

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)  # a Wednesday
TEAM = Budget("team", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), Decimal(400), Decimal(700), CHAT)
HARD = RaisedLimit(LimitKind.HARD, Decimal(700), Decimal(900), NOW, NOW + 2 * DAY)


def test_a_raised_limit_is_in_force_from_its_first_to_before_its_last_moment() -> None:
    for moment, limit in (
        (NOW - timedelta.resolution, 700),
        (NOW, 900),
        (HARD.until - timedelta.resolution, 900),
        (HARD.until, 700),
    ):
        budget = with_raises(TEAM, [HARD], moment)
        assert budget.hard_usd == limit
        assert [each.usd for each in budget.raised] == ([900] if limit == 900 else [])
    assert with_raises(TEAM, [], NOW) is TEAM


def test_the_newest_raise_counts_and_none_lowers_a_limit_that_was_set_higher() -> None:
    newer = RaisedLimit(LimitKind.HARD, Decimal(700), Decimal(800), NOW + HOUR, NOW + DAY)
    assert with_raises(TEAM, [HARD, newer], NOW + 2 * HOUR).hard_usd == 800
    higher = replace(TEAM, hard_usd=Decimal(1000))
    assert with_raises(higher, [HARD], NOW).hard_usd == 1000
    assert with_raises(higher, [HARD], NOW).raised == ()
    assert with_raises(replace(TEAM, hard_usd=None), [HARD], NOW).hard_usd is None


def test_a_raised_soft_limit_waits_below_the_hard_one() -> None:
    soft = RaisedLimit(LimitKind.SOFT, Decimal(400), Decimal(800), NOW, NOW + 3 * DAY)
    assert with_raises(TEAM, [HARD, soft], NOW).soft_usd == 800
    after = with_raises(TEAM, [HARD, soft], HARD.until)
    assert [after.soft_usd, after.hard_usd] == [400, 700]


def test_a_period_that_is_over_is_held_to_the_limit_at_its_end() -> None:
    period = TEAM.period_at(NOW)
    until_end = replace(HARD, until=period.ends_at)
    later = with_raises(TEAM, [until_end], period.ends_at + HOUR)
    assert later.hard_usd == 700
    assert at_end_of(later, period).hard_usd == 900


moments = st.integers(min_value=-2000, max_value=2000).map(lambda minutes: NOW + timedelta(minutes=minutes))
raises = st.lists(
    st.builds(
        lambda kind, usd, start, minutes: RaisedLimit(
            kind, Decimal(1), Decimal(usd), start, start + timedelta(minutes=minutes)
        ),
        st.sampled_from([LimitKind.SOFT, LimitKind.HARD]),
        st.integers(min_value=1, max_value=2000),
        moments,
        st.integers(min_value=1, max_value=3000),
    ),
    max_size=5,
)


@given(raises, moments, moments)
def test_limits_are_never_lower_than_set_stay_in_order_and_change_only_when_a_raise_does(
    found: list[RaisedLimit], one: datetime, other: datetime
) -> None:
    budget = with_raises(TEAM, found, one)
    assert budget.soft_usd is not None
    assert budget.hard_usd is not None
    assert TEAM.soft_usd is not None
    assert TEAM.hard_usd is not None
    assert TEAM.soft_usd <= budget.soft_usd < budget.hard_usd
    assert TEAM.hard_usd <= budget.hard_usd
    for shown in budget.raised:
        assert shown.base_usd < shown.usd == budget.limit(shown.kind)
    assert at_moment(budget, other) == with_raises(TEAM, found, other)
    before = at_moment(budget, BEFORE_EVERYTHING)
    assert [before.soft_usd, before.hard_usd] == [400, 700]
    change = next_change(found, one)
    if one <= other and (change is None or other < change):
        assert at_moment(budget, other) == budget


def crossed(budget: Budget, spent: int, incidents: list[Incident]) -> tuple[list[str], list[Incident]]:
    steps = decide(budget, Decimal(spent), incidents)
    return [f"{step.limit.kind} {step.limit.usd:f} {step.status}" for step in steps], taken(steps, incidents)


def test_each_limit_is_an_incident_of_its_own_and_the_old_one_opens_again_when_the_raise_ends() -> None:
    raised, ended = with_raises(TEAM, [HARD], NOW), with_raises(TEAM, [HARD], HARD.until)
    steps, known = crossed(TEAM, 702, [])
    assert steps == ["hard 700 open", "soft 400 superseded"]
    steps, known = crossed(raised, 702, known)
    assert steps == ["hard 700 withdrawn", "soft 400 open"]
    assert crossed(raised, 702, known)[0] == []
    steps, known = crossed(raised, 905, known)
    assert steps == ["hard 900 open", "soft 400 superseded"]
    [step] = [step for step in decide(ended, Decimal(905), known) if step.limit.usd == 700]
    assert (step.status, step.post) == (Status.OPEN, False)
    assert "hard 900 withdrawn" in crossed(ended, 905, known)[0]


def test_a_mark_below_a_limit_that_was_reported_is_no_news_after_the_raise() -> None:
    marked = replace(TEAM, soft_usd=None, thresholds=(75, 90))
    raised = with_raises(marked, [HARD], NOW)
    _, known = crossed(marked, 702, [])
    steps = decide(raised, Decimal(702), known)
    assert [step for step in steps if step.post] == []
    known = taken(steps, known)
    # Nor once a correction takes some of it back.
    assert [step for step in decide(raised, Decimal(680), known) if step.post] == []
    posted = [step.limit.usd for step in decide(raised, Decimal(815), known) if step.post]
    assert posted == [Decimal(810)]


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2d", "2026-11-20T15:30"),
        ("4h", "2026-11-18T19:30"),
        ("1d12h", "2026-11-20T03:30"),
        ("2 days", "2026-11-20T15:30"),
        ("2日", "2026-11-20T15:30"),
        ("fri", "2026-11-21T00:00"),
        ("Friday", "2026-11-21T00:00"),
        ("wed", "2026-11-19T00:00"),
        ("today", "2026-11-19T00:00"),
        ("明日", "2026-11-20T00:00"),
        ("tomorrow 18:00", "2026-11-19T18:00"),
        ("18:00", "2026-11-18T18:00"),
        ("9:00", "2026-11-19T09:00"),
        ("2026-11-25", "2026-11-26T00:00"),
        ("2026-11-25T18:00", "2026-11-25T18:00"),
        ("25 Nov", "2026-11-26T00:00"),
        ("nov 25", "2026-11-26T00:00"),
        ("11月25日", "2026-11-26T00:00"),
        ("period", "2026-12-01T00:00"),
        ("30d", "2026-12-01T00:00"),
        ("金曜", "2026-11-21T00:00"),
        ("金曜日まで", "2026-11-21T00:00"),
        ("明日まで", "2026-11-20T00:00"),
        ("あさって", "2026-11-21T00:00"),
        ("2日間", "2026-11-20T15:30"),
        ("月末まで", "2026-12-01T00:00"),
        ("2026-12-04", "2026-12-01T00:00"),
    ],
)
def test_when_a_raise_ends(text: str, until: str) -> None:
    found, with_period = until_of(text, TEAM, NOW)
    assert found == datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert with_period == (found == datetime(2026, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-13-01", "2026-02-30", "25:00", "yesterday", "fri day", "31 feb", "1m", "2026-11-17", "0d"],
)
def test_a_time_that_cannot_be_used_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BudgetWordsError) as refused:
        until_of(text, TEAM, NOW)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin"])
def test_a_day_counts_to_its_end_in_the_budgets_zone(zone: str) -> None:
    budget = replace(TEAM, zone=ZoneInfo(zone))
    until, _ = until_of("fri", budget, NOW)
    assert until.astimezone(ZoneInfo(zone)).strftime("%a %H:%M") == "Sat 00:00"


@pytest.mark.parametrize(
    "text",
    [
        "team to=900 until=fri because the batch runs",
        "team to = $900 until = fri because the batch runs",
        "team until fri to 900 because the batch runs",
        "`team` to=900usd, until=fri because the batch runs",
        "“team” -to:900 --until=fri because the batch runs",
    ],
)
def test_the_words_of_a_raise(text: str) -> None:
    words = split_raise_words(text)
    assert (words.budget, words.to, words.until, words.reason) == ("team", "900", "fri", "the batch runs")


@pytest.mark.parametrize("text", ["", "to=900", "team to=900 to=800", "team too=900", "team 900"])
def test_words_that_make_no_raise(text: str) -> None:
    with pytest.raises(BudgetWordsError):
        split_raise_words(text)


def test_a_raise_is_above_the_limit_and_a_soft_one_below_the_hard_one() -> None:
    assert limit_to_raise(TEAM, "") is LimitKind.HARD
    assert limit_to_raise(replace(TEAM, hard_usd=None), "") is LimitKind.SOFT
    assert amount_of("1,000", TEAM, LimitKind.HARD) == 1000
    assert amount_of("800", with_raises(TEAM, [HARD], NOW), LimitKind.HARD) == 800
    for text, kind in (("700", LimitKind.HARD), ("700", LimitKind.SOFT), ("", LimitKind.HARD), ("x", LimitKind.HARD)):
        with pytest.raises(BudgetWordsError):
            amount_of(text, TEAM, kind)
    with pytest.raises(BudgetWordsError):
        limit_to_raise(TEAM, "medium")


@pytest.mark.parametrize(
    ("budget", "kind", "said"),
    [
        (TEAM, LimitKind.HARD, "type budget raise team to=USD until=2d, with more than the hard limit of $700.00."),
        (TEAM, LimitKind.SOFT, "to=USD until=2d limit=soft, with more than the soft limit of $400.00."),
        (replace(TEAM, hard_usd=None), LimitKind.SOFT, "to=USD until=2d, with more than the soft limit of $400.00."),
        (with_raises(TEAM, [HARD], NOW), LimitKind.HARD, "with more than the hard limit of $700.00."),
    ],
)
def test_without_an_amount_the_sentence_has_the_words_and_the_limit(budget: Budget, kind: LimitKind, said: str) -> None:
    with pytest.raises(BudgetWordsError, match="The amount is missing: ") as missing:
        amount_of("", budget, kind)
    assert str(missing.value).endswith(said)
