"""When a digest is due, and of which days. Pure.

Its days are UTC days, as in reports and bills, named as the calendar of the channel's zone names them: a digest of
Monday's date is about the UTC days before that Monday. It is due at the hour that was chosen, or where that is later
once those UTC days are over.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.budgets.budget import Period, PeriodKind, Scope, Weekday, period_at
from bot.clock import DAY, HOUR

UTC_ZONE = ZoneInfo("UTC")

TOO_OLD = DAY
"""A digest that is later than this is left out."""

WAITS = 3 * HOUR
"""For data of all its hours; after that it says that some are missing."""

NINE = time(9)

MOST_BUDGETS = 10
"""That one digest shows."""


@dataclass(frozen=True, slots=True)
class DigestRule:
    """One scheduled digest. `channel`: None for the alert channel. `at`: by the wall clock of `zone`. `on`: of a week.

    `budgets`: names of those that it shows, all of them where empty. `scope`: whose spend it is about; None for the
    organization.
    """

    every: PeriodKind
    channel: str | None = None
    at: time = NINE
    zone: ZoneInfo = field(default=UTC_ZONE)
    on: Weekday = Weekday.MONDAY
    budgets: tuple[str, ...] = ()
    scope: Scope | None = None

    @property
    def key(self) -> str:
        """By what it is known beside its period: where it goes and what it is about, but not at which hour."""
        about = "" if self.scope is None else str(self.scope)
        return "|".join([self.every.value, self.channel or "", about, ",".join(self.budgets)])


@dataclass(frozen=True, slots=True)
class DueDigest:
    """`at`: since when it is due."""

    rule: DigestRule
    period: Period
    at: datetime


def newest_due(rule: DigestRule, now: datetime) -> DueDigest | None:
    """The last digest whose time has come; None where that is longer ago than a day."""
    # A zone may be a day ahead of UTC.
    day = now.astimezone(rule.zone).date() + DAY
    oldest = day - TOO_OLD - 3 * DAY
    while day >= oldest:
        if _posts_on(rule, day):
            due_at = max(_moment(day, rule), datetime.combine(day, time(), UTC))
            if due_at <= now:
                return None if now - due_at > TOO_OLD else DueDigest(rule, period_until(rule.every, day), due_at)
        day -= DAY
    return None


def is_ready(due: DueDigest, as_of: datetime | None, now: datetime) -> bool:
    """Whether the data has reached the end of its days, or is not waited for any more."""
    return as_of is not None and (as_of >= due.period.ends_at or now - due.at >= WAITS)


def period_until(every: PeriodKind, day: date) -> Period:
    """The UTC days of a digest that is posted on this day: those before it. A month's begin with its first."""
    if every is PeriodKind.WEEK:
        return period_at(every, UTC_ZONE, _midnight(day - DAY), list(Weekday)[day.weekday()])
    return period_at(every, UTC_ZONE, _midnight(day - DAY))


def stretch_before(every: PeriodKind, period: Period) -> Period:
    """The UTC days that a period is held against: the month, the week or the day before."""
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
    """The hour on this day. One that the clocks skip is the one an hour later; of one that they repeat, the first."""
    return datetime.combine(day, rule.at, rule.zone).astimezone(UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
