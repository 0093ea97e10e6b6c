"""When a key, model or feature that was never used before is reported: once, and never below the floor."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.first_seen import (
    NEW_FOR,
    Baseline,
    FirstSeenAlert,
    FirstSeenReason,
    FirstSeenRules,
    decide_first_seen,
    models_set,
    new_of,
)
from bot.alerts.incident import LONGEST_SUBJECT, Status, Step, subject_of
from bot.alerts.model import at_step
from bot.budgets.savings import InForce
from bot.mode import Mode
from bot.pricing.card import load_rate_card
from handlers.rendering import incident_message

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULES = FirstSeenRules(floor_usd=Decimal(20))
TODAY = NOW.date()
CARD = load_rate_card()


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_it_fires_at_the_floor_and_is_known_a_week_later() -> None:
    assert decide_first_seen(Decimal("19.99"), None, None, RULES, NOW) is None
    opened = decide_first_seen(Decimal(20), None, None, RULES, NOW)
    assert opened is not None
    assert (opened.status, opened.reason, opened.post) == (Status.OPEN, FirstSeenReason.FIRST_USED, True)
    assert decide_first_seen(Decimal(900), Status.OPEN, NOW - NEW_FOR + timedelta(seconds=1), RULES, NOW) is None
    closed = decide_first_seen(Decimal(900), Status.OPEN, NOW - NEW_FOR, RULES, NOW)
    assert closed is not None
    assert (closed.status, closed.post) == (Status.CLOSED, False)


def test_switched_off_it_reports_nothing_and_still_ends_what_is_open() -> None:
    off = FirstSeenRules(enabled=False)
    assert decide_first_seen(Decimal(900), None, None, off, NOW) is None
    assert decide_first_seen(Decimal(900), Status.OPEN, NOW - NEW_FOR, off, NOW) is not None


@given(
    st.lists(st.tuples(st.decimals(0, 100, places=2), st.integers(0, 72)), max_size=30),
    st.decimals("0.01", 60, places=2),
)
def test_it_is_posted_once_at_most_and_never_below_the_floor(
    looks: list[tuple[Decimal, int]], floor_usd: Decimal
) -> None:
    rules = FirstSeenRules(floor_usd=floor_usd)
    now, status, opened_at = NOW, None, None
    posted = []
    for usd, hours in looks:
        now += timedelta(hours=hours)
        step = decide_first_seen(usd, status, opened_at, rules, now)
        if step is None:
            continue
        status = step.status
        if step.post:
            opened_at = now
            posted.append(usd)
    assert len(posted) <= 1
    assert all(usd >= floor_usd for usd in posted)
    assert bool(posted) is any(usd >= floor_usd for usd, _ in looks)


def test_what_was_there_at_the_first_look_is_not_new() -> None:
    baseline = Baseline(days_ago(2), frozenset({"young"}))
    firsts = {
        "old": days_ago(30),
        "day before the first look": days_ago(3),
        "young": days_ago(2),
        "later on that day": days_ago(2),
        "today": TODAY,
    }
    assert {*new_of(firsts, baseline, TODAY)} == {"later on that day", "today"}


def test_it_is_new_for_a_week() -> None:
    baseline = Baseline(days_ago(60), frozenset())
    assert {*new_of({"six": days_ago(6), "seven": days_ago(7)}, baseline, TODAY)} == {"six"}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(-40, 0)), st.integers(-40, 0), st.integers(0, 40))
def test_whatever_the_baseline_knew_is_never_new(firsts: dict[str, int], began: int, later: int) -> None:
    first_days = {id_: TODAY + timedelta(days=day) for id_, day in firsts.items()}
    day = TODAY + timedelta(days=began)
    baseline = Baseline(day, frozenset(id_ for id_, first in first_days.items() if first == day))
    found = new_of(first_days, baseline, TODAY + timedelta(days=later))
    assert all(first_days[id_] > day for id_ in found)


MODES = {
    "normal": Mode("normal", {"CLAUDE_FALLBACK_MODE": "normal"}),
    "degraded": Mode("degraded", {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5"}),
    "minimal": Mode("minimal", {"CLAUDE_MODEL": "haiku", "CLAUDE_FALLBACK_CHAIN": "claude-haiku-4-5-20251001, opus"}),
}


@pytest.mark.parametrize(
    ("changes", "models"),
    [
        ([], set()),
        ([(-1, "degraded")], {"claude-sonnet-5-5"}),
        ([(-9, "degraded"), (-8, "normal")], set()),
        ([(-9, "degraded"), (-1, "normal")], {"claude-sonnet-5-5"}),
        ([(-9, "degraded"), (-8, "gone"), (-1, "normal")], set()),
    ],
    ids=["never", "now", "over before", "over since", "not configured any more"],
)
def test_the_models_of_modes_in_force_since_then(changes: list[tuple[int, str]], models: set[str]) -> None:
    in_force = InForce(changes=tuple((NOW + timedelta(days=days), mode) for days, mode in changes))
    assert models_set(in_force, MODES, NOW - timedelta(days=7), CARD) == models


def test_every_model_that_a_mode_names_counts_in_any_spelling() -> None:
    found = models_set(InForce(changes=((NOW, "minimal"),)), MODES, NOW, CARD)
    assert "claude-haiku-4-5" in found
    assert len(found) == 3


@given(st.text(max_size=400))
def test_a_subject_fits_its_column(text: str) -> None:
    assert len(subject_of(text)) <= LONGEST_SUBJECT
    assert subject_of(text) == text or len(text) > LONGEST_SUBJECT


def test_two_long_texts_stay_two_subjects() -> None:
    assert subject_of("x" * 200 + "a") != subject_of("x" * 200 + "b")


@pytest.mark.parametrize("status", [Status.OPEN, Status.CLOSED])
def test_a_name_from_outside_calls_nobody(status: Status) -> None:
    alert = FirstSeenAlert(
        **at_step(Step(None, status, ""), "normal", NOW),
        what="feature",
        id="<!channel> & *co*",
        name="<!channel> & *co*",
        first_day=TODAY,
        usd=Decimal(25),
        floor_usd=Decimal(20),
        callers=(),
        models=("<@U1>",),
        as_of=NOW,
    )
    message = incident_message(alert)
    assert "<!channel>" not in message.text
    assert "<@U1>" not in message.text
    assert "New feature: &lt;!channel&gt; &amp; *co*" in message.text
    assert "<!channel>" not in str([block for block in message.blocks if block["type"] != "header"])
