"""Budgets: whose spend counts, over which periods, against which limits."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from bot.amounts import day_name, in_skeleton
from bot.language import ENGLISH, language, tr, tr_noop
from bot.secret_shapes import SCOPE, quoted


class PeriodKind(StrEnum):
    """How often a budget starts afresh."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Weekday(StrEnum):
    """The days of a week in ISO 8601's order."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


@dataclass(frozen=True, slots=True)
class Period:
    """A period, aware UTC, `ends_at` exclusive. `key` identifies it in the store and in ids: `2026-11`; `period_name`
    is its display name.

    A week that begins on Monday has its ISO number, `2026-W47`; any other has its first day, `week-2026-11-15`, so that
    the two cannot be confused.
    """

    key: str
    starts_at: datetime
    ends_at: datetime

    def left(self, now: datetime) -> timedelta:
        """Time left of the period at `now`: all of it before it begins, zero once it is over."""
        return max(self.ends_at - max(now, self.starts_at), timedelta())

    def is_over(self, now: datetime) -> bool:
        """Whether the period has ended by `now`."""
        return self.ends_at <= now


def period_at(kind: PeriodKind, zone: ZoneInfo, now: datetime, week_starts: Weekday = Weekday.MONDAY) -> Period:
    """The period that contains `now` (aware). Boundaries are midnights of the zone's wall clock.

    Usage is counted in UTC hours, so in a zone that is half an hour off, the hour around midnight counts
    for the period in which it starts.
    """
    today = now.astimezone(zone).date()
    if kind is PeriodKind.DAY:
        first, following, key = today, today + timedelta(days=1), today.isoformat()
    elif kind is PeriodKind.WEEK:
        first = today - timedelta(days=(today.weekday() - list(Weekday).index(week_starts)) % 7)
        following, key = first + timedelta(days=7), _week_key(first)
    else:
        first = today.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
        key = f"{first:%Y-%m}"
    return Period(key, _midnight(first, zone), _midnight(following, zone))


def period_name(key: str, now: datetime) -> str:
    """Display name: `November`, `the week of 9 Nov`, `14 Nov` or `10 Nov to 15 Nov`; with the year if it is not the one
    of `now`.

    A key of another form is its own name.
    """
    first, is_range, last = key.partition("..")
    try:
        if is_range:
            return tr(
                "{first_day} to {last_day}",
                first_day=day_name(date.fromisoformat(first), now),
                last_day=day_name(date.fromisoformat(last), now),
            )
        if key.count("-") == 1 and "W" not in key:
            return _month_name(date.fromisoformat(f"{key}-01"), now)
        if _is_week(key):
            return tr("the week of {day}", day=day_name(date.fromisoformat(key.removeprefix("week-")), now))
        return day_name(date.fromisoformat(key), now)
    except ValueError:
        return key


def in_period(key: str, now: datetime) -> str:
    """Display name with preposition: `in November`, `in the week of 9 Nov`, `on 14 Nov`, `in the days 10 Nov to 15
    Nov`.
    """
    name = period_name(key, now)
    if ".." in key:
        return tr("in the days {days}", days=name)
    is_day = key.count("-") == 2 and not _is_week(key)
    return tr("on {day}", day=name) if is_day else tr("in {period}", period=name)


def _month_name(month: date, now: datetime) -> str:
    if language() != ENGLISH:
        return in_skeleton(month, "MMMM" if month.year == now.year else "yMMMM")
    return f"{month:%B}" if month.year == now.year else f"{month:%B %Y}"


def _is_week(key: str) -> bool:
    return "W" in key or key.startswith("week-")


def period_before(kind: PeriodKind, zone: ZoneInfo, period: Period, week_starts: Weekday = Weekday.MONDAY) -> Period:
    """The period that ends where `period` begins."""
    return period_at(kind, zone, period.starts_at - timedelta.resolution, week_starts)


def periods_since(
    kind: PeriodKind, zone: ZoneInfo, since: datetime, now: datetime, week_starts: Weekday = Weekday.MONDAY
) -> list[Period]:
    """The periods that ended after `since`, and the one that contains `now`; oldest first."""
    periods = [period_at(kind, zone, now, week_starts)]
    while periods[0].starts_at > since:
        periods.insert(0, period_before(kind, zone, periods[0], week_starts))
    return periods


def _week_key(first: date) -> str:
    year, week, day = first.isocalendar()
    return f"{year}-W{week:02d}" if day == 1 else f"week-{first.isoformat()}"


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


class ScopeKind(StrEnum):
    """Whose spend a budget counts."""

    ORGANIZATION = "organization"
    WORKSPACE = "workspace"
    KEY = "key"
    MODEL = "model"
    FEATURE = "feature"
    USER = "user"
    TAG = "tag"
    TEAM = "team"
    PRODUCT = "product"
    GROUP = "group"
    AGENT = "agent"
    ACTOR = "actor"


BILLED = frozenset({ScopeKind.ORGANIZATION, ScopeKind.WORKSPACE})
"""Kinds that the cost report has rows for. Spend of others is computed from tokens alone."""

ATTRIBUTED = frozenset({ScopeKind.PRODUCT, ScopeKind.GROUP, ScopeKind.AGENT, ScopeKind.ACTOR})
"""Kinds that only Anthropic's own attribution has: budgets of these count its USD by UTC day."""

LOGGED = frozenset({ScopeKind.FEATURE, ScopeKind.USER, ScopeKind.TAG})
"""Kinds that only the applications' own usage log has: budgets of these count the ledger."""


class LimitKind(StrEnum):
    """Limits of a budget. `threshold`: a share of the highest limit, reported on the way to it."""

    SOFT = "soft"
    HARD = "hard"
    THRESHOLD = "threshold"


LIMITS = (LimitKind.SOFT, LimitKind.HARD)
"""A budget's two limits, the lower one first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One of a budget's limits, in USD."""

    kind: LimitKind
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Scope:
    """`value`: a workspace id, a key id, a model id or family, a feature, a user id, a tag as NAME=VALUE, a team, or a
    product, group, agent or actor as Anthropic names it.

    None for the organization. `parts`: the scopes that a team's budget counts, each response once; all of one source,
    Anthropic's usage or the applications' log. Empty for every other kind, and for an unknown team.
    """

    kind: ScopeKind
    value: str | None = None
    parts: "tuple[Scope, ...]" = ()

    @property
    def is_logged(self) -> bool:
        """Whether the scope counts the applications' own usage log."""
        return self.kind in LOGGED or any(part.kind in LOGGED for part in self.parts)

    @property
    def is_billed(self) -> bool:
        """Whether the cost report may have rows of it."""
        return self.kind in BILLED or any(part.kind in BILLED for part in self.parts)

    @property
    def is_in_dollars(self) -> bool:
        """Whether its sum may change although no tokens do."""
        return self.is_billed or self.kind in ATTRIBUTED

    def __str__(self) -> str:
        return self.kind.value if self.value is None else f"{self.kind.value}:{self.value}"


ORGANIZATION = Scope(ScopeKind.ORGANIZATION)

AN_ID = tr_noop("{kind} needs an id after a colon, as in {kind}:ID")
A_NAME = tr_noop("{kind} needs a NAME after a colon, as in {kind}:NAME")
WRITTEN = {
    **dict.fromkeys((ScopeKind.WORKSPACE, ScopeKind.KEY, ScopeKind.MODEL, ScopeKind.USER), AN_ID),
    **dict.fromkeys((ScopeKind.GROUP, ScopeKind.AGENT, ScopeKind.ACTOR), AN_ID),
    **dict.fromkeys((ScopeKind.FEATURE, ScopeKind.PRODUCT, ScopeKind.TEAM), A_NAME),
    ScopeKind.TAG: tr_noop("{kind} needs a NAME=VALUE after a colon, as in {kind}:NAME=VALUE"),
}
"""What a scope needs after the colon, for error messages."""

CHAT = "chat"
"""Origin of budgets that were set in chat."""


def parse_scope(text: str) -> Scope:
    """Parse `organization`, or a kind and a value: `workspace:ID`, `model:ID-or-family`, `feature:NAME`,
    `tag:NAME=VALUE`, `team:NAME`, `product:NAME`.

    Raises ValueError with one clause.
    """
    kind_text, colon, value = text.strip().partition(":")
    try:
        kind = ScopeKind(kind_text)
    except ValueError:
        raise ValueError(
            tr(
                "{text} is no scope: use organization, workspace:ID, key:ID, model:ID, feature:NAME, user:ID, "
                "tag:NAME=VALUE or team:NAME, or product:NAME, group:ID, agent:ID or actor:ID of Anthropic's own "
                "attribution",
                text=quoted(text, SCOPE),
            )
        ) from None
    if kind is ScopeKind.ORGANIZATION:
        if colon:
            raise ValueError(tr("organization takes no id"))
        return ORGANIZATION
    if not value.strip():
        raise ValueError(tr(WRITTEN[kind], kind=kind))
    if kind is not ScopeKind.TAG:
        return Scope(kind, value.strip())
    name, _, label = (part.strip() for part in value.partition("="))
    if not name or not label:
        raise ValueError(tr("tag needs a name and a value, as in tag:team=search"))
    return Scope(kind, f"{name}={label}")


@dataclass(frozen=True, slots=True)
class RaisedLimit:
    """A limit raised from `base_usd` to `usd` from `starts_at` until `until`, at most until its period ends."""

    kind: LimitKind
    base_usd: Decimal
    usd: Decimal
    starts_at: datetime
    until: datetime

    def holds(self, moment: datetime) -> bool:
        """Whether it is in force at `moment`."""
        return self.starts_at <= moment < self.until


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits are USD above zero without trailing zeros; at least one is set, and soft is below hard.

    `origin`: where the budget is configured, for whoever wants to change it. `thresholds`: per cents (1 to 99, rising)
    of the hard limit, or of the soft one if there is no hard one.

    `channel`: id of the Slack channel for its alerts; None for the main one. `owners`: ids of Slack users (`U…`) and
    user groups (`S…`). `mention`: levels at which they are mentioned; None if not set. `team`: provides channel, owners
    and mentions that the budget does not set. `raises`: recent raises of its limits; one in force is already in
    `soft_usd` or `hard_usd` (`bot.budgets.raises`).
    """

    name: str
    scope: Scope
    period: PeriodKind
    zone: ZoneInfo
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    origin: str
    week_starts: Weekday = Weekday.MONDAY
    thresholds: tuple[int, ...] = ()
    channel: str | None = None
    owners: tuple[str, ...] = ()
    mention: tuple[str, ...] | None = None
    team: str | None = None
    raises: tuple[RaisedLimit, ...] = ()

    @property
    def raised(self) -> tuple[RaisedLimit, ...]:
        """The raises that its limits include now."""
        shown = {each.kind: each for each in self.raises if each.base_usd < each.usd == self.limit(each.kind)}
        return tuple(shown[kind] for kind in LIMITS if kind in shown)

    @property
    def highest_usd(self) -> Decimal | None:
        """The limit that shares refer to: the hard one, else the soft one."""
        return self.hard_usd or self.soft_usd

    def period_at(self, now: datetime) -> Period:
        """The budget's period that contains `now`."""
        return period_at(self.period, self.zone, now, self.week_starts)

    def period_before(self, period: Period) -> Period:
        """The budget's period that ends where `period` begins."""
        return period_before(self.period, self.zone, period, self.week_starts)

    def periods_since(self, since: datetime, now: datetime) -> list[Period]:
        """The budget's periods that ended after `since`, and the one that contains `now`; oldest first."""
        return periods_since(self.period, self.zone, since, now, self.week_starts)

    def limit(self, kind: LimitKind) -> Decimal | None:
        """The soft or hard limit in USD; None if the budget has none."""
        return self.soft_usd if kind is LimitKind.SOFT else self.hard_usd

    def limits(self) -> list[Limit]:
        """The soft and the hard limit, if set."""
        return [Limit(kind, usd) for kind in LIMITS if (usd := self.limit(kind)) is not None]

    def marks(self) -> dict[Decimal, int]:
        """Thresholds in USD, rising, with their per cents; without those that equal a limit."""
        if self.highest_usd is None:
            return {}
        marks = {(self.highest_usd * percent / 100).normalize(): percent for percent in self.thresholds}
        return {usd: percent for usd, percent in marks.items() if usd != self.soft_usd}
