"""The decision: which limits are reported, and that none is reported twice."""

from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.decide import LimitReason, as_watched, decide, track_limits
from bot.alerts.incident import AlertKind, Incident, Level, Status, Step
from bot.budgets.budget import LIMITS, ORGANIZATION, Budget, LimitKind, PeriodKind
from tests.databases import limit_incident, limit_step

SOFT, HARD = Decimal(400), Decimal(600)
BUDGET = Budget("default", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), SOFT, HARD, "environment")


def after(steps: tuple[Step, ...], incidents: list[Incident]) -> list[Incident]:
    """The incidents as the store would hold them after these steps."""
    known = {(incident.limit_kind, incident.limit_usd): incident for incident in incidents}
    for step in steps:
        known[step.limit_kind, step.limit_usd] = Incident(AlertKind.LIMIT, step.limit, step.status)
    return list(known.values())


def play(budget: Budget, spends: list[Decimal]) -> tuple[list[Step], list[Incident]]:
    """All posts over a series of spends, and the incidents at its end."""
    return play_edited([(budget, spent) for spent in spends])


def play_edited(course: list[tuple[Budget, Decimal]]) -> tuple[list[Step], list[Incident]]:
    """`play` with edited limits. Like the store, it posts nothing that already has its message."""
    incidents: list[Incident] = []
    posts: dict[tuple[LimitKind | None, Decimal | None], Step] = {}
    for budget, spent in course:
        steps = decide(budget, spent, incidents)
        for step in steps:
            if step.post:
                posts.setdefault((step.limit_kind, step.limit_usd), step)
        incidents = after(steps, incidents)
    return list(posts.values()), incidents


def test_below_both_limits_nothing_happens() -> None:
    assert decide(BUDGET, Decimal("399.99"), []) == ()


def test_spend_at_the_limit_counts_as_crossed() -> None:
    assert decide(BUDGET, SOFT, []) == (limit_step(LimitKind.SOFT, SOFT, Status.OPEN, LimitReason.CROSSED, post=True),)


def test_soft_then_hard_are_two_posts_and_the_soft_one_is_superseded() -> None:
    posts, incidents = play(BUDGET, [Decimal(450), Decimal(500), Decimal(650), Decimal(700)])
    assert [(post.limit_kind, post.reason) for post in posts] == [
        (LimitKind.SOFT, LimitReason.CROSSED),
        (LimitKind.HARD, LimitReason.CROSSED),
    ]
    assert {incident.limit_kind: incident.status for incident in incidents} == {
        LimitKind.SOFT: Status.SUPERSEDED,
        LimitKind.HARD: Status.OPEN,
    }


def test_both_first_seen_together_are_one_hard_post_that_knows_of_the_soft_limit() -> None:
    posts, incidents = play(BUDGET, [Decimal(650)])
    assert [(post.limit_kind, post.reason) for post in posts] == [(LimitKind.HARD, LimitReason.CROSSED_WITH_SOFT)]
    assert limit_incident(LimitKind.SOFT, SOFT, Status.SUPERSEDED) in incidents


def test_a_soft_limit_reported_with_the_hard_one_is_reported_once_when_spend_falls_between_them() -> None:
    posts, incidents = play(BUDGET, [Decimal(650), Decimal(500), Decimal(650), Decimal(500)])
    assert [(post.limit_kind, post.reason) for post in posts] == [
        (LimitKind.HARD, LimitReason.CROSSED_WITH_SOFT),
        (LimitKind.SOFT, LimitReason.FELL_BELOW_HARD),
    ]
    assert limit_incident(LimitKind.SOFT, SOFT, Status.OPEN) in incidents


def test_a_soft_limit_reported_with_the_hard_one_is_reported_when_the_hard_one_is_raised() -> None:
    raised = replace(BUDGET, hard_usd=Decimal(900))
    posts, incidents = play_edited([(BUDGET, Decimal(650)), (raised, Decimal(650)), (raised, Decimal(650))])
    assert [post.limit_kind for post in posts] == [LimitKind.HARD, LimitKind.SOFT]
    assert incidents == [
        limit_incident(LimitKind.HARD, HARD, Status.WITHDRAWN),
        limit_incident(LimitKind.SOFT, SOFT, Status.OPEN),
    ]


def test_a_soft_limit_reported_with_the_hard_one_is_reported_when_it_alone_is_crossed_again() -> None:
    posts, incidents = play(BUDGET, [Decimal(650), Decimal(50), Decimal(450)])
    assert [(post.limit_kind, post.reason) for post in posts] == [
        (LimitKind.HARD, LimitReason.CROSSED_WITH_SOFT),
        (LimitKind.SOFT, LimitReason.CROSSED_AGAIN),
    ]
    assert incidents == [
        limit_incident(LimitKind.HARD, HARD, Status.RESOLVED),
        limit_incident(LimitKind.SOFT, SOFT, Status.OPEN),
    ]


def test_spend_that_falls_back_resolves_and_crossing_again_reopens_the_same_incident() -> None:
    fell = decide(BUDGET, Decimal(399), [limit_incident(LimitKind.SOFT, SOFT, Status.OPEN)])
    assert fell == (limit_step(LimitKind.SOFT, SOFT, Status.RESOLVED, LimitReason.FELL_BELOW),)
    again = decide(BUDGET, Decimal(401), [limit_incident(LimitKind.SOFT, SOFT, Status.RESOLVED)])
    assert again == (limit_step(LimitKind.SOFT, SOFT, Status.OPEN, LimitReason.CROSSED_AGAIN, post=True),)
    posts, _ = play(BUDGET, [Decimal(450), Decimal(399), Decimal(401)])
    assert [post.reason for post in posts] == [LimitReason.CROSSED]


def test_an_edited_limit_is_a_new_incident_and_the_old_one_is_withdrawn() -> None:
    edited = replace(BUDGET, soft_usd=Decimal(500))
    steps = decide(edited, Decimal(550), [limit_incident(LimitKind.SOFT, SOFT, Status.OPEN)])
    assert steps == (
        limit_step(LimitKind.SOFT, SOFT, Status.WITHDRAWN, LimitReason.LIMIT_CHANGED),
        limit_step(LimitKind.SOFT, Decimal(500), Status.OPEN, LimitReason.CROSSED, post=True),
    )


def test_a_limit_that_was_reported_before_is_not_posted_again_when_it_comes_back() -> None:
    edited = replace(BUDGET, soft_usd=Decimal(500))
    spent = Decimal(550)
    posts, incidents = play_edited([(BUDGET, spent), (edited, spent), (BUDGET, spent)])
    assert [post.limit_usd for post in posts] == [SOFT, Decimal(500)]
    assert limit_incident(LimitKind.SOFT, SOFT, Status.OPEN) in incidents


@pytest.mark.parametrize(
    ("budget", "level"),
    [(replace(BUDGET, soft_usd=None), LimitKind.HARD), (replace(BUDGET, hard_usd=None), LimitKind.SOFT)],
)
def test_a_budget_with_one_limit_shows_only_that_one(budget: Budget, level: Level) -> None:
    posts, _ = play(budget, [Decimal(450), Decimal(650)])
    assert [post.limit_kind for post in posts] == [level]


amounts = st.decimals(min_value=0, max_value=1000, places=2)
limits = st.sampled_from([(100, 200), (100, 500), (300, 500), (None, 200), (100, None), (300, None)])
budgets = limits.map(lambda pair: replace(BUDGET, soft_usd=_usd(pair[0]), hard_usd=_usd(pair[1])))


def _usd(amount: int | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)


@given(st.lists(st.tuples(budgets, amounts), min_size=1, max_size=30))
def test_while_a_limit_is_crossed_an_alert_that_was_posted_stands_open_and_else_none(
    course: list[tuple[Budget, Decimal]],
) -> None:
    posts, incidents = play_edited(course)
    budget, spent = course[-1]
    crossed = [level for level in LIMITS if _is_crossed(budget.limit(level), spent)]
    posted = {(post.limit_kind, post.limit_usd) for post in posts}
    standing = [incident for incident in incidents if incident.status is Status.OPEN]
    assert [incident.limit_kind for incident in standing] == crossed[-1:]
    assert all((incident.limit_kind, incident.limit_usd) in posted for incident in standing)


def _is_crossed(limit_usd: Decimal | None, spent_usd: Decimal) -> bool:
    return limit_usd is not None and spent_usd >= limit_usd


@given(st.lists(amounts, max_size=30))
def test_whatever_spend_does_each_limit_is_posted_at_most_once(spends: list[Decimal]) -> None:
    posts, _ = play(BUDGET, spends)
    assert len({post.limit_kind for post in posts}) == len(posts)


@given(st.lists(amounts, min_size=1, max_size=30))
def test_every_limit_that_was_ever_reached_was_reported(spends: list[Decimal]) -> None:
    posts, _ = play(BUDGET, spends)
    reported = {post.limit_kind for post in posts}
    assert (LimitKind.HARD in reported) == (max(spends) >= HARD)
    if max(spends) >= SOFT:
        assert reported, "a crossed soft limit is reported by itself or with the hard one"


@given(st.lists(amounts, min_size=1, max_size=30))
def test_a_second_look_at_the_same_spend_changes_nothing(spends: list[Decimal]) -> None:
    _, incidents = play(BUDGET, spends)
    assert decide(BUDGET, spends[-1], incidents) == ()


# ---- thresholds

MARKED = replace(BUDGET, thresholds=(25, 50, 90))
"""$150 and $300 below the soft limit of $400, and $540 between it and the hard one of $600."""


def mark(usd: int, status: Status, reason: LimitReason, *, post: bool = False) -> Step:
    return limit_step(LimitKind.THRESHOLD, Decimal(usd), status, reason, post=post)


def test_a_threshold_is_reported_when_spend_reaches_it() -> None:
    assert decide(MARKED, Decimal("149.99"), []) == ()
    assert decide(MARKED, Decimal(150), []) == (mark(150, Status.OPEN, LimitReason.CROSSED, post=True),)


def test_of_several_thresholds_first_seen_together_only_the_highest_is_reported() -> None:
    assert decide(MARKED, Decimal(320), []) == (
        mark(150, Status.SUPERSEDED, LimitReason.PASSED_BY_HIGHER),
        mark(300, Status.OPEN, LimitReason.CROSSED, post=True),
    )


def test_a_limit_supersedes_the_thresholds_below_it() -> None:
    steps = decide(MARKED, Decimal(450), [limit_incident(LimitKind.THRESHOLD, Decimal(300), Status.OPEN)])
    assert steps == (
        limit_step(LimitKind.SOFT, SOFT, Status.OPEN, LimitReason.CROSSED, post=True),
        mark(150, Status.SUPERSEDED, LimitReason.PASSED_BY_HIGHER),
        mark(300, Status.SUPERSEDED, LimitReason.PASSED_BY_HIGHER),
    )


def test_a_threshold_that_was_passed_on_the_way_stays_silent_when_spend_falls_back_to_it() -> None:
    posts, incidents = play(MARKED, [Decimal(320), Decimal(200), Decimal(320)])
    assert [post.limit_usd for post in posts] == [Decimal(300)]
    assert limit_incident(LimitKind.THRESHOLD, Decimal(300), Status.OPEN) in incidents


def test_a_threshold_resolves_and_opens_again_in_its_message() -> None:
    reported = [limit_incident(LimitKind.THRESHOLD, Decimal(150), Status.OPEN)]
    assert decide(MARKED, Decimal(100), reported) == (mark(150, Status.RESOLVED, LimitReason.FELL_BELOW),)
    again = decide(MARKED, Decimal(160), [limit_incident(LimitKind.THRESHOLD, Decimal(150), Status.RESOLVED)])
    assert again == (mark(150, Status.OPEN, LimitReason.CROSSED_AGAIN),)


def test_an_edited_limit_withdraws_thresholds_that_were_shares_of_it() -> None:
    raised = replace(MARKED, hard_usd=Decimal(1000))
    steps = decide(raised, Decimal(260), [limit_incident(LimitKind.THRESHOLD, Decimal(150), Status.OPEN)])
    assert steps == (
        limit_step(LimitKind.THRESHOLD, Decimal(150), Status.WITHDRAWN, LimitReason.LIMIT_CHANGED),
        mark(250, Status.OPEN, LimitReason.CROSSED, post=True),
    )


def test_a_threshold_at_the_soft_limit_is_that_limit() -> None:
    budget = replace(BUDGET, soft_usd=Decimal(300), thresholds=(50,))
    assert decide(budget, Decimal(310), []) == (
        limit_step(LimitKind.SOFT, Decimal(300), Status.OPEN, LimitReason.CROSSED, post=True),
    )


def test_a_period_that_is_over_is_not_held_to_thresholds_that_came_later() -> None:
    then = replace(BUDGET, thresholds=(25,))
    noted = [Incident(AlertKind.LIMIT, step.limit, step.status) for step in track_limits(then, [])]
    watched = as_watched(MARKED, noted)
    assert watched is not None
    assert (watched.soft_usd, watched.hard_usd, watched.thresholds) == (SOFT, HARD, (25,))
    assert track_limits(then, noted) == ()


marked = st.sampled_from([(), (25,), (25, 50, 90), (10, 66, 67), (99,)])


@given(st.lists(st.tuples(budgets, marked, amounts), min_size=1, max_size=30))
def test_whatever_spend_and_edits_do_each_threshold_is_posted_at_most_once(
    course: list[tuple[Budget, tuple[int, ...], Decimal]],
) -> None:
    edited = [(replace(budget, thresholds=thresholds), spent) for budget, thresholds, spent in course]
    asked: list[tuple[LimitKind | None, Decimal | None]] = []
    incidents: list[Incident] = []
    for budget, spent in edited:
        steps = decide(budget, spent, incidents)
        assert len({(step.limit_kind, step.limit_usd) for step in steps}) == len(steps), (
            "no limit is reported in two ways at once"
        )
        asked += [
            (step.limit_kind, step.limit_usd) for step in steps if step.post and step.limit_kind is LimitKind.THRESHOLD
        ]
        incidents = after(steps, incidents)
        assert decide(budget, spent, incidents) == ()
        open_marks = [i.limit_usd for i in incidents if i.limit_kind is LimitKind.THRESHOLD and i.status is Status.OPEN]
        crossed_marks = [usd for usd in budget.marks() if spent >= usd]
        limits_crossed = [usd for level in LIMITS if (usd := budget.limit(level)) is not None and spent >= usd]
        highest = max([*crossed_marks, *limits_crossed], default=None)
        assert open_marks == [usd for usd in crossed_marks if usd == highest]
    assert len(set(asked)) == len(asked)
