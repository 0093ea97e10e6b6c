"""Timed steps of an open alert: a snooze ends, and an unacknowledged alert is escalated once."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import LEVELS, AlertKind, Level
from bot.alerts.lifecycle import Life, LifecycleStep, SeenAlert, due_step
from bot.alerts.rules import AlertRules
from bot.budgets.budget import LimitKind
from tests.databases import NOW

MINUTE = timedelta(minutes=1)
RULES = AlertRules()


def living(level: Level = LimitKind.HARD, life: Life | None = None, seen_since: datetime = NOW) -> SeenAlert:
    return SeenAlert(1, level, seen_since, life or Life())


@pytest.mark.parametrize("level", LEVELS)
def test_only_what_the_rules_name_is_escalated(level: Level) -> None:
    step = due_step(living(level), RULES, NOW + timedelta(days=9))
    assert step == (LifecycleStep.ESCALATED if level in (LimitKind.HARD, AlertKind.SPIKE) else None)


def test_it_is_escalated_after_half_an_hour_and_not_a_second_before() -> None:
    assert due_step(living(), RULES, NOW + 30 * MINUTE - timedelta(seconds=1)) is None
    assert due_step(living(), RULES, NOW + 30 * MINUTE) is LifecycleStep.ESCALATED


def test_without_a_time_nothing_is_ever_escalated() -> None:
    assert due_step(living(), replace(RULES, escalate_after=None), NOW + timedelta(days=365)) is None


def test_what_somebody_has_acknowledged_or_the_channel_has_heard_again_stays_quiet() -> None:
    later = NOW + timedelta(days=9)
    assert due_step(living(life=Life(acknowledged_by="U1", acknowledged_at=NOW)), RULES, later) is None
    assert due_step(living(life=Life(escalated_at=NOW)), RULES, later) is None


@pytest.mark.parametrize("level", [LimitKind.HARD, LimitKind.SOFT])
def test_a_snooze_is_over_at_its_end_whatever_the_level_and_until_then_nothing_is_due(level: Level) -> None:
    snoozed = living(level, Life(snoozed_by="U1", snoozed_until=NOW + 60 * MINUTE))
    assert due_step(snoozed, RULES, NOW + 59 * MINUTE) is None
    assert due_step(snoozed, RULES, NOW + 60 * MINUTE) is LifecycleStep.SNOOZE_OVER


def taken(step: LifecycleStep, life: Life, now: datetime) -> Life:
    """The life as the store would hold it after a step that time has brought."""
    return Life(escalated_at=now) if step is LifecycleStep.SNOOZE_OVER else replace(life, escalated_at=now)


waits = st.integers(0, 200).map(lambda minutes: minutes * MINUTE)


@given(st.lists(st.tuples(waits, st.sampled_from(["look", "acknowledge", "snooze"])), max_size=40))
def test_an_alert_is_escalated_at_most_once_and_never_while_somebody_has_it(
    course: list[tuple[timedelta, str]],
) -> None:
    now, life, steps = NOW, Life(), []
    for wait, deed in course:
        now += wait
        if deed == "acknowledge":
            life = replace(life, acknowledged_by="U1", acknowledged_at=now, snoozed_by=None, snoozed_until=None)
        elif deed == "snooze":
            life = replace(life, snoozed_by="U1", snoozed_until=now + 60 * MINUTE)
        elif (step := due_step(living(life=life), RULES, now)) is not None:
            assert life.acknowledged_at is None or step is LifecycleStep.SNOOZE_OVER
            life = taken(step, life, now)
            steps.append(step)
            assert due_step(living(life=life), RULES, now) is None, "a step that is taken is not due again"
    assert steps.count(LifecycleStep.ESCALATED) <= 1
    assert steps.count(LifecycleStep.SNOOZE_OVER) <= [deed for _, deed in course].count("snooze")


@pytest.mark.parametrize("back", [timedelta(hours=2), timedelta(days=40)])
def test_a_clock_that_was_set_back_far_keeps_nothing_quiet_for_longer_than_was_asked(back: timedelta) -> None:
    assert due_step(living(), RULES, NOW - back) is LifecycleStep.ESCALATED
    snoozed = living(life=Life(snoozed_by="U1", snoozed_until=NOW + 60 * MINUTE))
    assert (due_step(snoozed, RULES, NOW - back) is LifecycleStep.SNOOZE_OVER) == (back > timedelta(days=1))


def test_a_clock_that_was_set_back_a_little_escalates_nothing_before_its_time() -> None:
    assert due_step(living(), RULES, NOW - MINUTE) is None
