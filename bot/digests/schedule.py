"""When a digest is due, and for which days. Pure.

Its days are UTC days, as in reports and bills, but named by the calendar of the channel's zone: a digest of Monday's
date covers the UTC days before that Monday. It is due at the chosen hour, or once those UTC days are over if later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.budgets.budget import Period, PeriodKind, Scope, Weekday, period_at
from bot.clock import DAY, HOUR

UTC_ZONE = ZoneInfo("UTC")

TOO_OLD = DAY
"""A digest later than this is skipped."""

WAITS = 3 * HOUR
"""Longest wait for data of all its hours; after that it says that some are missing."""

NINE = time(9)
DEFAULT_EVERY = PeriodKind.WEEK

MOST_BUDGETS = 10
"""Most budgets in one digest."""

OF_BUDGET = "budget:"
"""Prefix of a budget name as a digest's subject."""

LONGEST_AHEAD = 70 * DAY
"""Time within which every digest is due twice."""


@dataclass(frozen=True, slots=True)
class DigestRule:
    """One scheduled digest. `channel`: None for the alert channel. `at`: by the wall clock of `zone`. `on`: day of the
    week.

    `budgets`: names of the budgets to show, empty for all. `scope`: whose spend it covers; None for the organization.
    `budget`: name of the budget that it is about instead. `language`: None for that of the channel.
    """

    every: PeriodKind
    channel: str | None = None
    at: time = NINE
    zone: ZoneInfo = field(default=UTC_ZONE)
    on: Weekday = Weekday.MONDAY
    budgets: tuple[str, ...] = ()
    scope: Scope | None = None
    budget: str | None = None
    language: str | None = None

    @property
    def about(self) -> str:
        """Its subject as typed; empty for the organization."""
        if self.budget is not None:
            return f"{OF_BUDGET}{self.budget}"
        return "" if self.scope is None else str(self.scope)

    @property
    def key(self) -> str:
        """Identifies it together with its period: channel and subject, but not the hour."""
        return "|".join([self.every.value, self.channel or "", self.about, ",".join(self.budgets)])


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A digest in force. `since`: when it was set in chat, and by whom; both None for one of the TOML file."""

    rule: DigestRule
    since: datetime | None = None
    by: str | None = None

    def newest_due(self, now: datetime) -> "DueDigest | None":
        """As the function `newest_due`; digests due before it was set are not made up for."""
        due = newest_due(self.rule, now)
        return None if due is None or (self.since is not None and due.at <= self.since) else due


@dataclass(frozen=True, slots=True)
class DueDigest:
    """A due digest. `at`: when it became due."""

    rule: DigestRule
    period: Period
    at: datetime


def newest_due(rule: DigestRule, now: datetime) -> DueDigest | None:
    """The last digest whose time has come; None if that is more than a day ago."""
    # A zone may be a day ahead of UTC.
    day = now.astimezone(rule.zone).date() + DAY
    oldest = day - TOO_OLD - 3 * DAY
    while day >= oldest:
        if _posts_on(rule, day):
            due = _due_on(rule, day)
            if due.at <= now:
                return None if now - due.at > TOO_OLD else due
        day -= DAY
    return None


def next_due(rule: DigestRule, now: datetime, is_posted: Callable[[str], bool] = lambda key: False) -> datetime:
    """The next due time after `now`. `is_posted`: whether the digest of a period's key was posted."""
    day = now.astimezone(rule.zone).date() - DAY
    last = day + LONGEST_AHEAD
    while day <= last:
        if _posts_on(rule, day):
            due = _due_on(rule, day)
            if due.at > now and not is_posted(due.period.key):
                return due.at
        day += DAY
    raise LookupError("a digest is due within two months")


def _due_on(rule: DigestRule, day: date) -> DueDigest:
    at = max(_moment(day, rule), datetime.combine(day, time(), UTC))
    return DueDigest(rule, period_until(rule.every, day), at)


def is_ready(due: DueDigest, as_of: datetime | None, now: datetime) -> bool:
    """Whether the data has reached the end of its days, or is no longer waited for."""
    return as_of is not None and (as_of >= due.period.ends_at or now - due.at >= WAITS)


def period_until(every: PeriodKind, day: date) -> Period:
    """The UTC days of a digest posted on this day: those before it. A month starts with its first day."""
    if every is PeriodKind.WEEK:
        return period_at(every, UTC_ZONE, _midnight(day - DAY), list(Weekday)[day.weekday()])
    return period_at(every, UTC_ZONE, _midnight(day - DAY))


def stretch_before(every: PeriodKind, period: Period) -> Period:
    """The UTC days to compare a period with: the month, the week or the day before."""
    if every is PeriodKind.MONTH:
        return period_at(every, UTC_ZONE, period.starts_at - timedelta.resolution)
    starts_at = period.starts_at - (period.ends_at - period.starts_at)
    week_starts = list(Weekday)[starts_at.weekday()]
    return period_at(every, UTC_ZONE, starts_at, week_starts)


def _posts_on(rule: DigestRule, day: date) -> bool:
    if rule.every is PeriodKind.MONTH:
        return day.day == 1
    return rule.every is PeriodKind.DAY or list(Weekday)[day.weekday()] is rule.on


def _moment(day: date, rule: DigestRule) -> datetime:
    """The hour on this day. If clocks skip it, one hour later; if they repeat it, the first."""
    return datetime.combine(day, rule.at, rule.zone).astimezone(UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
