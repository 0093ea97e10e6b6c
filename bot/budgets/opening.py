"""The post that opens a period: what the last one came to, and what the new one allows. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, time

from bot.budgets.budget import LIMITS, Budget, Level, ScopeKind
from bot.budgets.decide import NO_LIMIT, Incident, Reason, Status, Step
from bot.budgets.period import Period, PeriodKind
from bot.budgets.spend import is_settled
from bot.clock import DAY

OPENED_KINDS = (PeriodKind.WEEK, PeriodKind.MONTH)
"""A post for every day would be one that nobody reads."""

TOLD_WITHIN = 2 * DAY
"""A bot that was away for longer lets it be."""


MOST_POSTS = 3
"""As many budgets that begin at one moment have a post each; more of them share one."""


def may_open(budget: Budget, period: Period, now: datetime, as_of: datetime) -> bool:
    """Whether this is the time for the post: the data has reached the period, and its beginning is not long ago."""
    return may_still_open(budget, period, now) and period.starts_at <= as_of


def may_still_open(budget: Budget, period: Period, now: datetime) -> bool:
    """Whether the time for the post is not over yet."""
    return budget.period in OPENED_KINDS and now - period.starts_at < TOLD_WITHIN


def opening(before: Sequence[Incident], present: Sequence[Incident]) -> Step | None:
    """The post, once, where the budget was watched in the period before. Both: all incidents of their period.

    It is told and done with: nothing about it stands open.
    """
    watched = any(incident.level in LIMITS for incident in before)
    told = any(incident.level is Level.PERIOD for incident in present)
    return Step(Level.PERIOD, NO_LIMIT, Status.CLOSED, Reason.BEGUN, post=True) if watched and not told else None


def unbilled_days(budget: Budget, period: Period, report_read_at: datetime | None) -> int:
    """How many UTC days of the period may still change when they are billed; budgets of keys and models never are."""
    if budget.scope.kind in (ScopeKind.KEY, ScopeKind.MODEL):
        return 0
    first = period.starts_at.astimezone(UTC).date()
    days = (first + index * DAY for index in range((period.ends_at - period.starts_at) // DAY + 2))
    begun = (day for day in days if period.starts_at <= datetime.combine(day, time(), UTC) < period.ends_at)
    return sum(1 for day in begun if not is_settled(day, report_read_at))
