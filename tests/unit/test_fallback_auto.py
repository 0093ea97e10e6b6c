"""The chain that steps down by itself: once per incident, never against a person, and it cannot flap."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import LEVELS, AlertKind
from bot.budgets.budget import LimitKind
from bot.db.state import BOT
from bot.fallback.auto import (
    DWELL,
    HOLD,
    SETTLING,
    AutoStep,
    Change,
    FallbackRules,
    SpendRates,
    Trigger,
    auto_step,
)
from bot.language import spoken
from bot.mode import DEGRADED, MINIMAL, NORMAL

MODES = (NORMAL, DEGRADED, MINIMAL)
RULES = FallbackRules(auto=True)
CROSSED = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENDS = datetime(2026, 12, 1, tzinfo=UTC)
HARD = Trigger("default", LimitKind.HARD, Decimal(600), CROSSED, None, ENDS)
SAVINGS = {DEGRADED: Decimal(120), MINIMAL: Decimal(200)}
HARDLY_LESS = SpendRates(before=Decimal(41), since=Decimal(30))
ADMIN = "U0ADMIN"
MINUTE = timedelta(minutes=1)


def step(
    now: datetime,
    changes: Sequence[Change] = (),
    triggers: Sequence[Trigger] = (HARD,),
    *,
    auto: bool = True,
    rules: FallbackRules = RULES,
    modes: Sequence[str] = MODES,
    rates: SpendRates | None = HARDLY_LESS,
    savings: dict[str, Decimal] = SAVINGS,
) -> AutoStep | None:
    """The step with its reason in English."""
    found = auto_step(rules, auto, modes, changes, triggers, rates, savings, now)
    return None if found is None else replace(found, reason=spoken(found.reason))


def by_itself(mode: str, at: datetime = CROSSED) -> Change:
    return Change(mode, at, BOT)


# ---- down


def test_at_the_hard_limit_the_chain_steps_down_by_one_and_says_why() -> None:
    assert step(CROSSED) == AutoStep(DEGRADED, NORMAL, "the hard limit of $600.00 of budget default is crossed", HARD)


def test_while_it_is_off_nothing_happens_by_itself() -> None:
    assert step(CROSSED, auto=False) is None
    assert step(CROSSED + 2 * HOLD, [by_itself(DEGRADED)], [], auto=False) is None


def test_only_the_levels_that_the_rules_name_count() -> None:
    forecast = replace(HARD, level=AlertKind.FORECAST)
    assert step(CROSSED, triggers=[forecast, replace(HARD, level=LimitKind.SOFT)]) is None
    found = step(CROSSED, triggers=[forecast], rules=replace(RULES, auto_levels=frozenset({AlertKind.FORECAST})))
    assert found is not None
    assert found.reason == "budget default is going to end above its limit of $600.00"


def test_every_level_has_a_reason_in_words() -> None:
    for level in LEVELS:
        found = step(CROSSED, triggers=[replace(HARD, level=level)], rules=FallbackRules(auto_levels=frozenset(LEVELS)))
        assert found is not None
        assert "budget default" in found.reason


def test_a_mode_that_would_save_nothing_is_skipped_and_an_unknown_saving_is_trusted() -> None:
    skipped = step(CROSSED, savings={DEGRADED: Decimal(0), MINIMAL: Decimal(5)})
    assert skipped is not None
    assert skipped.mode == MINIMAL
    assert step(CROSSED, savings={DEGRADED: Decimal(-3), MINIMAL: Decimal(0)}) is None
    unknown = step(CROSSED, savings={})
    assert unknown is not None
    assert unknown.mode == DEGRADED


def test_to_the_next_mode_it_goes_only_after_settling_and_only_while_spend_goes_on() -> None:
    changes = [by_itself(DEGRADED)]
    assert step(CROSSED + SETTLING - MINUTE, changes) is None
    found = step(CROSSED + SETTLING, changes)
    assert found is not None
    assert found.mode == MINIMAL
    assert found.reason.endswith("spend goes on at $30.00 an hour ($41.00 before degraded)")
    assert step(CROSSED + SETTLING, changes, rates=SpendRates(Decimal(41), Decimal(20))) is None
    assert step(CROSSED + SETTLING, changes, rates=SpendRates(Decimal(0), Decimal(0))) is None
    assert step(CROSSED + SETTLING, changes, rates=None) is None


def test_a_rate_that_adds_next_to_nothing_to_the_period_is_worth_no_second_step() -> None:
    changes = [by_itself(DEGRADED)]
    last_hours = replace(HARD, ends_at=CROSSED + SETTLING + timedelta(hours=2))
    assert step(CROSSED + SETTLING, changes, [last_hours], rates=SpendRates(Decimal(3), Decimal("2.99"))) is None
    assert step(CROSSED + SETTLING, changes, [last_hours], rates=SpendRates(Decimal(3), Decimal(3))) is not None


def test_below_the_last_mode_there_is_nothing() -> None:
    changes = [by_itself(DEGRADED), by_itself(MINIMAL, CROSSED + SETTLING)]
    assert step(CROSSED + 3 * SETTLING, changes) is None


# ---- people


def test_what_a_person_has_undone_stays_undone_for_this_incident_also_when_it_opens_again() -> None:
    undone = [by_itself(DEGRADED), Change(NORMAL, CROSSED + 5 * MINUTE, ADMIN)]
    for later in (HOLD, 5 * HOLD, timedelta(days=5)):
        assert step(CROSSED + later, undone) is None
        assert step(CROSSED + later, undone, [replace(HARD, closed_at=CROSSED + later)]) is None


def test_a_further_incident_after_a_persons_change_is_answered() -> None:
    undone = [by_itself(DEGRADED), Change(NORMAL, CROSSED + HOLD, ADMIN)]
    raised = replace(HARD, bound_usd=Decimal(900), opened_at=CROSSED + 2 * HOLD)
    found = step(CROSSED + 2 * HOLD, undone, [HARD, raised])
    assert found is not None
    assert (found.mode, found.trigger) == (DEGRADED, raised)


def test_whoever_switches_at_an_open_alert_has_answered_it() -> None:
    for mode in MODES:
        assert step(CROSSED + HOLD, [Change(mode, CROSSED + MINUTE, ADMIN)]) is None


def test_a_mode_that_a_person_set_before_is_stepped_down_from_and_returned_to() -> None:
    before = Change(DEGRADED, CROSSED - 5 * HOLD, ADMIN)
    down = step(CROSSED, [before])
    assert down is not None
    assert down.mode == MINIMAL
    resolved = replace(HARD, closed_at=CROSSED + HOLD)
    back = step(CROSSED + 2 * HOLD, [before, by_itself(MINIMAL)], [resolved])
    assert back is not None
    assert (back.mode, back.previous) == (DEGRADED, MINIMAL)


def test_a_mode_that_a_person_set_just_before_is_given_time_to_settle() -> None:
    before = Change(DEGRADED, CROSSED - MINUTE, ADMIN)
    assert step(CROSSED, [before]) is None
    assert step(CROSSED + SETTLING, [before]) is not None


def test_a_mode_outside_of_the_order_of_prices_is_left_alone() -> None:
    assert step(CROSSED, [Change("night", CROSSED - 5 * HOLD, ADMIN)]) is None


def test_the_end_of_the_time_that_a_person_gave_a_mode_is_no_return_of_the_automatism() -> None:
    ended = [Change(DEGRADED, CROSSED - HOLD, ADMIN), by_itself(NORMAL, CROSSED + MINUTE)]
    assert step(CROSSED + MINUTE + DWELL - MINUTE, ended) is None
    found = step(CROSSED + MINUTE + DWELL, ended)
    assert found is not None
    assert found.mode == DEGRADED


# ---- back


def test_it_goes_back_in_one_go_once_no_incident_has_counted_for_the_hold_time() -> None:
    changes = [by_itself(DEGRADED), by_itself(MINIMAL, CROSSED + SETTLING)]
    closed = CROSSED + 2 * SETTLING
    resolved = [replace(HARD, closed_at=closed)]
    assert step(closed + HOLD - MINUTE, changes, resolved) is None
    assert step(closed + HOLD, changes, resolved) == AutoStep(
        NORMAL, MINIMAL, "no alert that counts has been open for 30 minutes", None
    )


def test_while_another_incident_counts_the_mode_stays() -> None:
    other = replace(HARD, budget="search", opened_at=CROSSED + MINUTE)
    resolved = replace(HARD, closed_at=CROSSED + MINUTE)
    quiet = SpendRates(Decimal(41), Decimal(9))
    assert step(CROSSED + 5 * HOLD, [by_itself(DEGRADED)], [resolved, other], rates=quiet) is None


def test_the_start_of_a_new_period_is_not_waited_for() -> None:
    day = replace(HARD, ends_at=CROSSED + SETTLING)
    quiet = SpendRates(Decimal(41), Decimal(9))
    assert step(day.ends_at - MINUTE, [by_itself(DEGRADED)], [day], rates=quiet) is None
    assert step(day.ends_at, [by_itself(DEGRADED)], [day]) == AutoStep(NORMAL, DEGRADED, "the period is over", None)


def test_an_incident_of_which_nothing_is_known_any_more_holds_nothing_back() -> None:
    found = step(CROSSED + DWELL, [by_itself(DEGRADED)], [])
    assert found is not None
    assert found.mode == NORMAL


def test_an_incident_that_opens_again_after_the_return_has_had_its_turn() -> None:
    returned = [by_itself(DEGRADED), by_itself(NORMAL, CROSSED + 2 * HOLD)]
    assert step(CROSSED + 10 * HOLD, returned) is None
    new = replace(HARD, opened_at=CROSSED + 9 * HOLD)
    assert step(CROSSED + 10 * HOLD, returned, [new]) is not None


def test_between_two_automatic_changes_lies_the_dwell_time() -> None:
    day = replace(HARD, ends_at=CROSSED + MINUTE)
    assert step(CROSSED + DWELL - MINUTE, [by_itself(DEGRADED)], [day]) is None
    assert step(CROSSED + DWELL, [by_itself(DEGRADED)], [day]) is not None


# ---- whatever happens

TICK = timedelta(minutes=5)


@dataclass(frozen=True)
class Event:
    """An event, and the time that passes after it. `toggle`: this incident opens or closes; `person`: switches to
    it.
    """

    ticks: int
    toggle: int | None
    person: str | None
    auto: bool
    rates: SpendRates | None
    savings: dict[str, Decimal]


events = st.builds(
    Event,
    ticks=st.integers(1, 20),
    toggle=st.sampled_from([None, 0, 0, 0, 1]),
    person=st.sampled_from([*[None] * 20, *MODES, "night"]),
    auto=st.sampled_from([True] * 7 + [False]),
    rates=st.one_of(st.none(), st.builds(SpendRates, st.integers(0, 50).map(Decimal), st.integers(0, 50).map(Decimal))),
    savings=st.dictionaries(st.sampled_from([DEGRADED, MINIMAL]), st.integers(-1, 9).map(Decimal)),
)
ends = st.one_of(st.integers(1, 20), st.integers(100, 1000))
"""Ticks until the period of an incident is over."""


@given(st.lists(events, min_size=10, max_size=60), st.lists(ends, min_size=2, max_size=2))
def test_it_never_flaps_and_never_acts_against_a_person_whatever_the_course(
    course: list[Event], periods: list[int]
) -> None:
    now = CROSSED
    changes: list[Change] = []
    triggers: dict[int, Trigger] = {}
    for event in course:
        if event.toggle is not None:
            triggers[event.toggle] = toggled(
                triggers.get(event.toggle), event.toggle, CROSSED + periods[event.toggle] * TICK, now
            )
        if event.person is not None and event.person != mode_of(changes):
            changes.append(Change(event.person, now, ADMIN))
        for _ in range(event.ticks):
            now += TICK
            found = step(
                now, changes, list(triggers.values()), auto=event.auto, rates=event.rates, savings=event.savings
            )
            if found is not None:
                check_step(found, changes, list(triggers.values()), event, now)
                changes.append(by_itself(found.mode, now))
    automatic = [change.at for change in changes if change.automatic]
    assert all(later - earlier >= DWELL for earlier, later in pairwise(automatic))
    assert len(automatic) <= len(MODES) * len(triggers)


def toggled(known: Trigger | None, number: int, ends_at: datetime, now: datetime) -> Trigger:
    if known is None:
        return Trigger(f"budget-{number}", LimitKind.HARD, Decimal(600), now, None, ends_at)
    return replace(known, closed_at=now if known.closed_at is None else None)


def mode_of(changes: Sequence[Change]) -> str:
    return changes[-1].mode if changes else NORMAL


def check_step(
    found: AutoStep, changes: Sequence[Change], triggers: Sequence[Trigger], event: Event, now: datetime
) -> None:
    assert event.auto
    assert found.previous == mode_of(changes) != found.mode
    by_people = [change for change in changes if not change.automatic]
    if MODES.index(found.mode) > MODES.index(found.previous):
        assert event.savings.get(found.mode, Decimal(1)) > 0
        assert found.trigger in [trigger for trigger in triggers if trigger.counts(now)]
        assert found.trigger is not None
        assert found.trigger.opened_at > last_turn(changes)
    else:
        assert not any(trigger.counts(now) and trigger.opened_at > last_turn(changes) for trigger in triggers)
        assert changes[-1].automatic
        chosen = by_people[-1].mode if by_people else NORMAL
        assert found.mode == chosen


def last_turn(changes: Sequence[Change]) -> datetime:
    """When a person last switched or the automatic steps were taken back, derived from the modes alone."""
    turns = [CROSSED - DWELL]
    for before, change in zip([Change(NORMAL, CROSSED - DWELL, ADMIN), *changes], changes, strict=False):
        if not change.automatic or MODES.index(change.mode) < MODES.index(before.mode):
            turns.append(change.at)
    return turns[-1]


@pytest.mark.parametrize("minutes", [5, 10, 25, 40])
def test_an_incident_that_opens_and_closes_for_two_days_moves_the_mode_down_once_and_back_once(minutes: int) -> None:
    changes: list[Change] = []
    trigger = HARD
    for tick in range(2 * 24 * 12):
        now = CROSSED + tick * TICK
        if tick and tick * TICK % (minutes * MINUTE) == timedelta():
            trigger = toggled(trigger, 0, ENDS, now)
        found = step(now, changes, [trigger], rates=SpendRates(Decimal(41), Decimal(9)))
        if found is not None:
            changes.append(by_itself(found.mode, now))
    for tick in range(12):
        now = CROSSED + timedelta(days=2) + tick * TICK
        found = step(now, changes, [replace(trigger, closed_at=CROSSED + timedelta(days=2))])
        if found is not None:
            changes.append(by_itself(found.mode, now))
    assert [change.mode for change in changes] == [DEGRADED, NORMAL]
