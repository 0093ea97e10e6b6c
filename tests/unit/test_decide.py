"""The decision: who is told what, and that nobody is told twice."""

from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, Budget, Level
from bot.budgets.decide import Incident, Reason, Status, Step, decide
from bot.budgets.period import PeriodKind

SOFT, HARD = Decimal(400), Decimal(600)
BUDGET = Budget("default", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), SOFT, HARD, "environment")


def after(steps: tuple[Step, ...], incidents: list[Incident]) -> list[Incident]:
    """The incidents as the store would hold them after these steps."""
    known = {(incident.level, incident.limit_usd): incident for incident in incidents}
    for step in steps:
        known[step.level, step.limit_usd] = Incident(step.level, step.limit_usd, step.status)
    return list(known.values())


def play(budget: Budget, spends: list[Decimal]) -> tuple[list[Step], list[Incident]]:
    """All posts of a course of spends, and the incidents at its end."""
    incidents: list[Incident] = []
    posts: list[Step] = []
    for spent in spends:
        steps = decide(budget, spent, incidents)
        posts += [step for step in steps if step.post]
        incidents = after(steps, incidents)
    return posts, incidents


def test_below_both_limits_nothing_happens() -> None:
    assert decide(BUDGET, Decimal("399.99"), []) == ()


def test_spend_at_the_limit_counts_as_crossed() -> None:
    assert decide(BUDGET, SOFT, []) == (Step(Level.SOFT, SOFT, Status.OPEN, Reason.CROSSED, post=True),)


def test_soft_then_hard_are_two_posts_and_the_soft_one_is_superseded() -> None:
    posts, incidents = play(BUDGET, [Decimal(450), Decimal(500), Decimal(650), Decimal(700)])
    assert [(post.level, post.reason) for post in posts] == [
        (Level.SOFT, Reason.CROSSED),
        (Level.HARD, Reason.CROSSED),
    ]
    assert {incident.level: incident.status for incident in incidents} == {
        Level.SOFT: Status.SUPERSEDED,
        Level.HARD: Status.OPEN,
    }


def test_both_first_seen_together_are_one_hard_post_that_knows_of_the_soft_limit() -> None:
    posts, incidents = play(BUDGET, [Decimal(650)])
    assert [(post.level, post.reason) for post in posts] == [(Level.HARD, Reason.CROSSED_WITH_SOFT)]
    assert Incident(Level.SOFT, SOFT, Status.SUPERSEDED) in incidents


def test_the_soft_limit_told_with_the_hard_one_is_not_told_again_when_spend_falls_between_them() -> None:
    posts, incidents = play(BUDGET, [Decimal(650), Decimal(500), Decimal(650)])
    assert [post.level for post in posts] == [Level.HARD]
    assert Incident(Level.HARD, HARD, Status.OPEN) in incidents


def test_spend_that_falls_back_resolves_and_crossing_again_reopens_without_a_post() -> None:
    fell = decide(BUDGET, Decimal(399), [Incident(Level.SOFT, SOFT, Status.OPEN)])
    assert fell == (Step(Level.SOFT, SOFT, Status.RESOLVED, Reason.FELL_BELOW),)
    again = decide(BUDGET, Decimal(401), [Incident(Level.SOFT, SOFT, Status.RESOLVED)])
    assert again == (Step(Level.SOFT, SOFT, Status.OPEN, Reason.CROSSED_AGAIN),)


def test_an_edited_limit_is_a_new_incident_and_the_old_one_is_withdrawn() -> None:
    edited = replace(BUDGET, soft_usd=Decimal(500))
    steps = decide(edited, Decimal(550), [Incident(Level.SOFT, SOFT, Status.OPEN)])
    assert steps == (
        Step(Level.SOFT, SOFT, Status.WITHDRAWN, Reason.LIMIT_CHANGED),
        Step(Level.SOFT, Decimal(500), Status.OPEN, Reason.CROSSED, post=True),
    )


def test_a_limit_that_was_told_before_is_not_posted_again_when_it_comes_back() -> None:
    incidents = [Incident(Level.SOFT, SOFT, Status.WITHDRAWN), Incident(Level.SOFT, Decimal(500), Status.OPEN)]
    steps = decide(BUDGET, Decimal(550), incidents)
    assert not any(step.post for step in steps)
    assert Step(Level.SOFT, SOFT, Status.OPEN, Reason.CROSSED_AGAIN) in steps


@pytest.mark.parametrize(
    ("budget", "level"), [(replace(BUDGET, soft_usd=None), Level.HARD), (replace(BUDGET, hard_usd=None), Level.SOFT)]
)
def test_a_budget_with_one_limit_tells_only_that_one(budget: Budget, level: Level) -> None:
    posts, _ = play(budget, [Decimal(450), Decimal(650)])
    assert [post.level for post in posts] == [level]


amounts = st.decimals(min_value=0, max_value=1000, places=2)


@given(st.lists(amounts, max_size=30))
def test_whatever_spend_does_each_limit_is_posted_at_most_once(spends: list[Decimal]) -> None:
    posts, _ = play(BUDGET, spends)
    assert len({post.level for post in posts}) == len(posts)


@given(st.lists(amounts, min_size=1, max_size=30))
def test_every_limit_that_was_ever_reached_was_told(spends: list[Decimal]) -> None:
    posts, _ = play(BUDGET, spends)
    told = {post.level for post in posts}
    assert (Level.HARD in told) == (max(spends) >= HARD)
    if max(spends) >= SOFT:
        assert told, "a crossed soft limit is told by itself or with the hard one"


@given(st.lists(amounts, min_size=1, max_size=30))
def test_a_second_look_at_the_same_spend_changes_nothing(spends: list[Decimal]) -> None:
    _, incidents = play(BUDGET, spends)
    assert decide(BUDGET, spends[-1], incidents) == ()
