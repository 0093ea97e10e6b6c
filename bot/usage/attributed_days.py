"""What budgets need of Anthropic's own attribution: which days to read, and the age of the data. Pure.

Anthropic exports it in batches, hours apart, and may correct a day for weeks: the last days are read again every
quarter of an hour, all days of the open periods once a day. USD by UTC day, after discounts, before credits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from bot.clock import DAY, HOUR, is_over
from bot.usage.model import FEWEST_REFRESHES, AttributedBy, DataState, Who, refreshed

LAST_DAYS_AGAIN = timedelta(minutes=15)
ALL_DAYS_AGAIN = DAY
STILL_GROWING = 2 * DAY
"""Days before today that still change often."""

USUAL_AGE = 4 * HOUR
"""Usual time between exports by Anthropic (Estuary's connector page, 2026), until the bot has measured it."""

LEAST_AGE = HOUR
"""Lower bound of the usual age: a read that fails now and then is not missing data."""

PRODUCTS = (
    *("chat", "chat_cowork_unified", "claude_code", "claude_console", "claude_design", "claude_in_chrome"),
    *("claude_tag", "cowork", "managed_agents_api", "message_batches_api", "messages_api", "office_agent"),
    *("cc_security_autopatch", "other"),
)
"""Products as Anthropic names them in rows and filters (SDK 2.14.0), known even without spend."""


@dataclass(frozen=True, slots=True)
class AttributedDay:
    """Spend that Anthropic attributes to one value of a dimension on a UTC day, USD."""

    day: date
    who: Who
    usd: Decimal


@dataclass(frozen=True, slots=True)
class AttributedReading:
    """Every row of the UTC days `first` to `last`, both included. `refreshed_at`: how far they are complete.

    `odd_days` lack an unreadable row.
    """

    by: AttributedBy
    first: date
    last: date
    rows: Sequence[AttributedDay]
    refreshed_at: datetime
    odd_days: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class AttributedState:
    """State of one dimension.

    `since`: the first day that is kept up to date, None before the first read. `as_of`: how far the data is complete.
    `read_at`, `all_read_at`: when the last days and all days were read. `error`: why the last attempt failed, in
    sentences with the remedy, and `error_since` when that began. `ages_at_refresh`: as in `DataState`.
    """

    since: date | None = None
    as_of: datetime | None = None
    read_at: datetime | None = None
    all_read_at: datetime | None = None
    error: str | None = None
    error_since: datetime | None = None
    ages_at_refresh: tuple[float, ...] = ()
    odd_days: tuple[date, ...] = ()

    @property
    def data(self) -> DataState:
        """The state as a `DataState`: stale if older than twice its usual age."""
        ages = tuple(max(age, LEAST_AGE.total_seconds()) for age in self.ages_at_refresh)
        if len(ages) < FEWEST_REFRESHES:
            ages = (USUAL_AGE.total_seconds(),) * FEWEST_REFRESHES
        return DataState(
            as_of=self.as_of,
            source="analytics",
            polled_at=self.read_at,
            error=self.error,
            error_since=self.error_since,
            # Before the first data there is no usual age to wait for.
            ages_at_refresh=() if self.as_of is None else ages,
        )

    def after(self, reading: AttributedReading, since: date, now: datetime) -> "AttributedState":
        """The state once `reading` is stored."""
        whole = reading.first <= since
        odd = {day for day in self.odd_days if day < reading.first} | reading.odd_days
        seen = replace(self.data, ages_at_refresh=self.ages_at_refresh)
        return AttributedState(
            since=since if whole else self.since,
            as_of=reading.refreshed_at,
            read_at=now,
            all_read_at=now if whole else self.all_read_at,
            ages_at_refresh=refreshed(seen, "analytics", reading.refreshed_at, now),
            odd_days=tuple(sorted(day for day in odd if day >= since)),
        )

    def failed(self, sentence: str, now: datetime) -> "AttributedState":
        """The state after a failed attempt; the data stays."""
        since = self.error_since if self.error is not None else None
        return replace(self, error=sentence, error_since=since or now)


NOTHING_READ = AttributedState()

States = Mapping[AttributedBy, AttributedState]


def first_due(state: AttributedState, since: date, now: datetime) -> date | None:
    """The first day to read, up to today; None if nothing is due. `since`: the first day that budgets need."""
    known, read_at, all_read_at = state.since, state.read_at, state.all_read_at
    if known is None or known > since or read_at is None or all_read_at is None or state.as_of is None:
        return since
    if is_over(ALL_DAYS_AGAIN, all_read_at, now):
        return since
    if not is_over(LAST_DAYS_AGAIN, read_at, now):
        return None
    # Days after the last refresh were incomplete.
    return max(since, min((now - STILL_GROWING).date(), state.as_of.date()))


def data_of(states: Iterable[AttributedState]) -> DataState:
    """State of several dimensions together: as old as the oldest. Dimensions without data are ignored."""
    known = [state.data for state in states if state.as_of is not None]
    return min(known, key=_age, default=DataState())


def worst_of(states: States) -> tuple[DataState, tuple[AttributedBy, ...]]:
    """The dimensions without data because of an error, or else the oldest data and all dimensions."""
    missing = {by: state for by, state in states.items() if state.as_of is None and state.error is not None}
    if missing:
        return next(iter(missing.values())).data, tuple(missing)
    return data_of(states.values()), tuple(states)


def _age(data: DataState) -> datetime:
    assert data.as_of is not None
    return data.as_of
