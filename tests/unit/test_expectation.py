"""When a forecast is worth an alert: it has to hold, one limit is reported at a time, and each is posted once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.forecast import ForecastReason, ForecastStep, Since, expect
from bot.alerts.incident import AlertKind, Incident, Status
from bot.alerts.rules import ForecastRules
from bot.budgets.budget import ORGANIZATION, Budget, Limit, LimitKind, PeriodKind
from tests.databases import HARD, NOW, SOFT

RULES = ForecastRules()
BUDGET = Budget("default", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), SOFT, HARD, "environment")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BELOW, ABOVE_SOFT, ABOVE_HARD = Decimal(300), Decimal(450), Decimal(650)


class Course:
    """Look after look at one budget, as the store would remember them."""

    def __init__(self, budget: Budget = BUDGET) -> None:
        self.budget = budget
        self.now = NOW
        self.incidents: dict[Decimal, Incident] = {}
        self.since: Since = {}
        self.posted: list[Decimal] = []

    def look(
        self, expected_usd: Decimal, spent_usd: Decimal = Decimal(0), after: timedelta = HOUR
    ) -> Sequence[ForecastStep]:
        self.now += after
        incidents = list(self.incidents.values())
        found = expect(self.budget, spent_usd, expected_usd, incidents, self.since, RULES, self.now)
        self.since = found.since
        for step in found.steps:
            if step.post and step.limit.usd not in self.posted:
                self.posted.append(step.limit.usd)
            self.incidents[step.limit.usd] = Incident(AlertKind.FORECAST, step.limit, step.status)
        return found.steps

    def status(self, limit_usd: Decimal) -> Status:
        return self.incidents[limit_usd].status


def forecast_step(limit_usd: Decimal, status: Status, reason: ForecastReason, *, post: bool = False) -> ForecastStep:
    kind = LimitKind.HARD if limit_usd == HARD else LimitKind.SOFT
    return ForecastStep(Limit(kind, limit_usd), status, reason, post)


def opened(limit_usd: Decimal, reason: ForecastReason = ForecastReason.EXPECTED) -> ForecastStep:
    return forecast_step(limit_usd, Status.OPEN, reason, post=True)


def test_it_opens_once_the_expected_end_has_been_above_the_limit_for_an_hour() -> None:
    course = Course()
    assert course.look(ABOVE_SOFT) == ()
    assert course.look(ABOVE_SOFT, after=59 * MINUTE) == ()
    assert course.look(ABOVE_SOFT, after=MINUTE) == (opened(SOFT),)
    assert course.look(ABOVE_SOFT) == ()


def test_an_hour_with_a_break_in_it_does_not_count() -> None:
    course = Course()
    for expected in (ABOVE_SOFT, BELOW, ABOVE_SOFT):
        assert course.look(expected, after=40 * MINUTE) == ()
    assert course.look(ABOVE_SOFT, after=59 * MINUTE) == ()


def test_data_that_does_not_grow_newer_confirms_nothing() -> None:
    course = Course()
    course.look(ABOVE_SOFT)
    assert all(course.look(ABOVE_SOFT, after=timedelta(0)) == () for _ in range(20))


def test_an_expected_end_at_the_limit_counts() -> None:
    course = Course()
    course.look(SOFT)
    assert course.look(SOFT) == (opened(SOFT),)


def test_where_both_limits_are_passed_the_higher_one_alone_is_reported() -> None:
    course = Course()
    course.look(ABOVE_HARD)
    assert course.look(ABOVE_HARD) == (opened(HARD),)
    assert course.posted == [HARD]


def test_the_lower_one_is_superseded_when_the_higher_one_is_reported() -> None:
    course = Course()
    course.look(ABOVE_SOFT)
    course.look(ABOVE_SOFT)
    assert course.look(ABOVE_HARD) == ()
    steps = course.look(ABOVE_HARD)
    assert steps == (forecast_step(SOFT, Status.SUPERSEDED, ForecastReason.EXPECTED_HIGHER), opened(HARD))


def test_while_the_higher_one_stands_the_lower_one_is_no_news() -> None:
    course = Course()
    course.look(ABOVE_HARD)
    course.look(ABOVE_HARD)
    for _ in range(5):
        assert course.look(Decimal(590)) == (), "below the hard limit, and not yet well below it"
    assert course.posted == [HARD]


def test_once_the_higher_one_is_resolved_the_lower_one_has_its_turn() -> None:
    course = Course()
    course.look(ABOVE_HARD)
    course.look(ABOVE_HARD)
    steps = course.look(ABOVE_SOFT)
    assert steps == (opened(SOFT), forecast_step(HARD, Status.RESOLVED, ForecastReason.EXPECTED_BELOW))


def test_it_is_superseded_when_the_limit_itself_is_crossed() -> None:
    course = Course()
    course.look(ABOVE_SOFT)
    course.look(ABOVE_SOFT)
    steps = course.look(ABOVE_SOFT, spent_usd=SOFT)
    assert steps == (forecast_step(SOFT, Status.SUPERSEDED, ForecastReason.CROSSED),)
    assert course.look(ABOVE_SOFT, spent_usd=SOFT) == ()


def test_a_limit_that_is_crossed_already_is_never_forecast() -> None:
    course = Course()
    assert all(course.look(ABOVE_SOFT, spent_usd=SOFT) == () for _ in range(5))


def test_it_is_resolved_below_nine_tenths_of_the_limit_and_not_before() -> None:
    course = Course()
    course.look(ABOVE_SOFT)
    course.look(ABOVE_SOFT)
    assert course.look(Decimal(360)) == ()
    assert course.look(Decimal("359.99")) == (forecast_step(SOFT, Status.RESOLVED, ForecastReason.EXPECTED_BELOW),)


def test_what_was_superseded_is_resolved_with_what_superseded_it() -> None:
    course = Course()
    for expected in (ABOVE_SOFT, ABOVE_SOFT, ABOVE_HARD, ABOVE_HARD):
        course.look(expected)
    assert {step.limit.usd: step.status for step in course.look(BELOW)} == {
        SOFT: Status.RESOLVED,
        HARD: Status.RESOLVED,
    }
    assert course.look(BELOW) == ()


def test_it_opens_again_in_its_message_without_a_new_post() -> None:
    course = Course()
    for expected in (ABOVE_SOFT, ABOVE_SOFT, BELOW, ABOVE_SOFT):
        course.look(expected)
    assert course.look(ABOVE_SOFT) == (opened(SOFT, ForecastReason.EXPECTED_AGAIN),)
    assert course.posted == [SOFT]


def test_an_edited_limit_withdraws_the_old_one_and_has_to_hold_by_itself() -> None:
    course = Course()
    course.look(ABOVE_SOFT)
    course.look(ABOVE_SOFT)
    course.budget = replace(BUDGET, soft_usd=Decimal(420))
    assert course.look(ABOVE_SOFT) == (forecast_step(SOFT, Status.WITHDRAWN, ForecastReason.LIMIT_CHANGED),)
    assert course.look(ABOVE_SOFT) == (opened(Decimal(420)),)


looks = st.tuples(
    st.decimals(0, 900, places=2), st.decimals(0, 700, places=2), st.integers(0, 120).map(lambda n: n * MINUTE)
)


@pytest.mark.parametrize("budget", [BUDGET, replace(BUDGET, soft_usd=None), replace(BUDGET, hard_usd=None)])
@given(course=st.lists(looks, max_size=40))
def test_whatever_is_expected_each_limit_is_posted_once_and_one_stands_open_at_most(
    budget: Budget, course: list[tuple[Decimal, Decimal, timedelta]]
) -> None:
    played = Course(budget)
    above_since: dict[Decimal, datetime] = {}
    for expected, spent, after in course:
        # No period ends below its current spend.
        expected = max(expected, spent)
        before = dict(played.incidents)
        steps = played.look(expected, spent, after)
        for limit in (SOFT, HARD):
            if spent < limit <= expected:
                above_since.setdefault(limit, played.now)
            else:
                above_since.pop(limit, None)
        assert len({step.limit.usd for step in steps}) == len(steps), "no limit is reported in two ways at once"
        for step in steps:
            known = before.get(step.limit.usd)
            assert known is None or known.status is not step.status, "no state is reported again"
            if step.status is Status.OPEN:
                assert played.now - above_since[step.limit.usd] >= RULES.holds
        standing = [limit for limit, incident in played.incidents.items() if incident.status is Status.OPEN]
        assert len(standing) <= 1
        assert all(spent < limit for limit in standing)
        assert played.look(expected, spent, timedelta(0)) == (), "a second look at the same changes nothing"
