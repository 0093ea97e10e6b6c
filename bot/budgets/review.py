"""Compare the budgets in force with the snapshots: reviewed periods, their spend and their expected end."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import is_

from bot.budgets.account import Account, Detail, Spending
from bot.budgets.actuals import Stretch, stretch_in
from bot.budgets.budget import ATTRIBUTED, ORGANIZATION, Budget, Period, Scope, ScopeKind
from bot.budgets.budget_spend import BudgetSpend, NamedMover
from bot.budgets.calendar import Window
from bot.budgets.calendar_store import NOTHING_PLANNED, Plans
from bot.budgets.course import Line
from bot.budgets.forecast import Forecast
from bot.budgets.live import LiveSource, LiveSpend
from bot.budgets.owners import Teams
from bot.budgets.raises import at_end_of
from bot.budgets.recent import recent_spend
from bot.budgets.savings import InForce
from bot.budgets.scopes import NoMatchError, Unmatched, matched, resolved
from bot.budgets.snapshot import Snapshot
from bot.budgets.snapshots import Snapshots
from bot.budgets.spend import Computed
from bot.budgets.trend import Recent
from bot.clock import AFTER_EVERYTHING, DAY, HOUR, floor_hour
from bot.language import ENGLISH, in_language, tr
from bot.mode import Mode
from bot.pricing.card import RateCard
from bot.usage.model import AttributedBy, is_stale

log = logging.getLogger(__name__)

LOOK_BACK = 2 * DAY + 2 * HOUR
"""Movers compare with the day before, at a moment that may be some minutes ago."""

ATTRIBUTED_BACK = 7 * DAY
"""History for a forecast of attributed spend, also for shorter periods."""

STILL_REVIEWED = 2 * DAY
"""How long an ended period is reviewed: usage of its last minutes arrives later and is read again for about this
long.
"""


class Agenda:
    """The reviewed periods of budgets. Valid until one of them begins or ends."""

    def __init__(self, found: Sequence[Budget | Unmatched], snapshot: Snapshot, now: datetime) -> None:
        self.found = found
        self._scopes = snapshot.index.scopes
        self._made_at = now
        self.reviewed = [
            (at_end_of(budget, period) if period.is_over(now) else budget, period)
            for budget in _in_scope(found)
            for period in _reviewed(budget, now)
        ]
        self.present = [(budget, period) for budget, period in self.reviewed if not period.is_over(now)]
        self.periods = frozenset(period.key for _, period in self.reviewed) | {
            budget.period_before(period).key for budget, period in self.reviewed
        }
        self._ends_at = min((_holds_until(period, now) for _, period in self.reviewed), default=AFTER_EVERYTHING)
        self.since = min((period.starts_at for _, period in self.reviewed), default=AFTER_EVERYTHING)
        self._by_number: dict[int, list[tuple[Budget, Period]]] = {}
        for budget, period in self.reviewed:
            for number in snapshot.index.of(budget.scope).tolist():
                self._by_number.setdefault(number, []).append((budget, period))

    def holds(self, found: Sequence[Budget | Unmatched], scopes: int, now: datetime) -> bool:
        """Whether it is still valid."""
        return self.found is found and self._scopes == scopes and self._made_at <= now < self._ends_at

    def touched(self, numbers: AbstractSet[int] | None, since: datetime) -> Sequence[tuple[Budget, Period]]:
        """Pairs that count usage of any of these scopes from that hour on; all pairs if None."""
        if numbers is None:
            return self.reviewed
        smaller, larger = sorted((numbers, self._by_number.keys()), key=len)
        found = {
            id(pair): pair
            for number in smaller
            if number in larger
            for pair in self._by_number[number]
            if pair[1].ends_at > since
        }
        return list(found.values())


class BudgetReview:
    """Synchronous; asynchronous callers use a thread. `in_force`: returns the budgets in force, called each time.

    `counts`: which of them the snapshots cover. `live`: adds provisional spend.

    `poll_seconds`: time between polls, which decides what is stale; None: nothing is.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        in_force: Callable[[], Sequence[Budget]],
        modes: Mapping[str, Mode],
        card: RateCard,
        poll_seconds: int | None = None,
        counts: Callable[[Scope], bool] = lambda scope: not scope.is_logged and scope.kind not in ATTRIBUTED,
        live: LiveSource | None = None,
    ) -> None:
        self.in_force: Callable[[datetime], InForce] = lambda now: InForce()
        """The fallback mode in force; set by the composition root."""
        self.plans: Callable[[], Plans] = lambda: NOTHING_PLANNED
        """Planned and expected spend."""
        self._poll_seconds = poll_seconds
        self._snapshots = snapshots
        self._in_force = in_force
        self._counts = counts
        self.live = live or LiveSource(None)
        self.modes = modes
        self._card = card
        self._reported: dict[str, str] = {}
        self._known: tuple[tuple[object, ...], tuple[Budget | Unmatched, ...]] | None = None
        self._agenda: Agenda | None = None

    def is_stale(self, now: datetime) -> bool:
        """Whether the data is stale."""
        data, poll_seconds = self._snapshots.current().data, self._poll_seconds
        return poll_seconds is not None and data.as_of is not None and is_stale(data, now, poll_seconds)

    @property
    def snapshot(self) -> Snapshot:
        """Current snapshot of what it counts."""
        return self._snapshots.current()

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Budgets in force that match something, each with the ids that usage is stored under."""
        return _in_scope(self._matched())

    def unmatched(self) -> list[Unmatched]:
        """Budgets in force whose scope matches nothing in the organization."""
        return [each for each in self._matched() if isinstance(each, Unmatched)]

    def is_in_force(self, name: str) -> bool:
        """Whether a budget with this name exists, whatever it counts."""
        return any(budget.name == name for budget in self._in_force())

    def scope_of(self, scope: Scope) -> Scope:
        """The scope with the id that usage is stored under. Raises `NoMatchError`."""
        snapshot = self._snapshots.current()
        return resolved(scope, snapshot.names, snapshot.is_used, self._card)

    def _matched(self) -> Sequence[Budget | Unmatched]:
        """The same object while nothing has changed."""
        snapshot, in_force = self._snapshots.current(), self._in_force()
        known = self._known
        # New usage may belong to a budget that matched nothing before.
        about = (in_force, snapshot.names, snapshot.index, snapshot.index.scopes)
        if known is None or not (known[0][-1] == about[-1] and all(map(is_, known[0][:-1], about[:-1]))):
            mine = [budget for budget in in_force if self._counts(budget.scope)]
            found = tuple(matched(mine, snapshot.names, snapshot.is_used, self._card))
            self._report_unmatched(found)
            known = self._known = about, found
        return known[1]

    def _report_unmatched(self, found: Iterable[Budget | Unmatched]) -> None:
        with in_language(ENGLISH):
            unmatched = {
                each.budget.name: (each.sentence, each.unread) for each in found if isinstance(each, Unmatched)
            }
        for name, (sentence, unread) in unmatched.items():
            if self._reported.get(name) == sentence:
                continue
            if unread:
                # The next poll may read what it is about.
                log.info("budget %s has no data yet: %s", name, sentence)
            else:
                log.warning("budget %s counts nothing: %s", name, sentence)
        self._reported = {name: sentence for name, (sentence, _) in unmatched.items()}

    def needed_since(self, now: datetime) -> datetime:
        """Start of the usage that must be known: every reviewed period, and two days for movers."""
        return floor_hour(min(self.agenda(now).since, now - LOOK_BACK))

    def present(self, now: datetime) -> Sequence[tuple[Budget, Period]]:
        """Budgets in force with their running periods; the same object while those are the same."""
        return self.agenda(now).present

    def spend(self, now: datetime, detail: Detail = Detail.ALL) -> list[BudgetSpend]:
        """Every budget's spend and trend; empty before the first poll.

        A period that began after the data ends would look like zero spend, so the one before is shown instead.
        """
        return self.spend_of(self.budgets, now, detail)

    def spend_of(self, budgets: Sequence[Budget], now: datetime, detail: Detail = Detail.NONE) -> list[BudgetSpend]:
        """Spend of these budgets in force."""
        return self._spend_of([(budget, None) for budget in budgets], now, detail)

    def spend_by_name(self, names: Collection[str], now: datetime) -> dict[str, BudgetSpend]:
        """Spend of the budgets in force with these names, if known."""
        found = self.spend_of([budget for budget in self.budgets if budget.name in names], now, Detail.ALL)
        return {spend.budget: spend for spend in found}

    def spending(self, now: datetime) -> Spending:
        """Every budget's sums, for callers that show more of a few of them."""
        snapshot = self._snapshots.current()
        as_of = snapshot.as_of
        if as_of is None:
            return Spending((), now)
        live = self.live.beside(snapshot)
        pairs = [(budget, known_period(budget, live, as_of, now)) for budget in self.budgets]
        return Spending([(self._account(live, as_of, now), pairs)], now)

    def forecasts(self, asked: Sequence[tuple[Budget, Period]], now: datetime) -> list[Forecast | None]:
        """Expected ends of these periods, which the data has reached; None with too little or stale data."""
        snapshot = self._snapshots.current()
        if snapshot.as_of is None:
            return [None for _ in asked]
        return self._account(self.live.beside(snapshot), snapshot.as_of, now).forecasts(asked)

    def line(self, budget: Budget, period: Period, now: datetime) -> Line | None:
        """The line of a period, which the data has reached, to its expected end; None without data or with stale
        data.
        """
        snapshot = self._snapshots.current()
        if snapshot.as_of is None:
            return None
        return self._account(self.live.beside(snapshot), snapshot.as_of, now).line(budget, period)

    def spend_against(self, budget: Budget, now: datetime, detail: Detail = Detail.ALL) -> BudgetSpend | None:
        """Spend for a budget that is not in force, or not yet.

        None before the first poll, and if its scope matches nothing.
        """
        try:
            budget = replace(budget, scope=self.scope_of(budget.scope))
        except NoMatchError:
            return None
        return next(iter(self._spend_of([(budget, None)], now, detail)), None)

    def spends_in(
        self,
        asked: Sequence[tuple[Budget, Period]],
        now: datetime,
        detail: Detail = Detail.NONE,
        live: LiveSpend | None = None,
    ) -> list[BudgetSpend]:
        """Spend of budgets in any periods, as far as known, in the order asked.

        Empty before the first poll. `live`: the data that was decided on; the current data by default.
        """
        return self._spend_of(asked, now, detail, live=live)

    def widest(self, now: datetime, in_force: InForce | None = None) -> BudgetSpend | None:
        """Spend of the first organization budget, or else the first budget, in its present period, with expected end
        and mode shares. `in_force`: the fallback mode, if the caller has just read it.

        None before the first poll and without a budget. A period that began after the data ends has zero spend.
        """
        budgets = self.budgets
        if not budgets:
            return None
        widest = min(budgets, key=lambda budget: budget.scope.kind is not ScopeKind.ORGANIZATION)
        asked, detail = [(widest, widest.period_at(now))], Detail.ENDS | Detail.SHARES
        return next(iter(self._spend_of(asked, now, detail, in_force)), None)

    def movers(self, period: Period, now: datetime, most: int) -> tuple[NamedMover, ...]:
        """The largest callers of the organization in the last 24 hours, and in the period's provisional spend."""
        snapshot = self._snapshots.current()
        if snapshot.as_of is None:
            return ()
        live = self.live.beside(snapshot)
        return self._account(live, snapshot.as_of, now).movers(ORGANIZATION, live.spend(ORGANIZATION, period), most)

    def recent(self, now: datetime, mix_until: datetime | None = None) -> Recent | None:
        """Usage of the organization in the last 24 hours, or in those that end at `mix_until`, summed by price; None
        before the first poll.
        """
        snapshot = self._snapshots.current()
        if snapshot.as_of is None:
            return None
        return recent_spend(snapshot, mix_until).of_scope(ORGANIZATION)

    def windows(self, since: datetime, until: datetime) -> list[Window]:
        """Windows of planned or expected spend that this review counts; oldest first."""
        plans = self.plans()
        if not plans.kept and not plans.expected:
            return []
        planned = [found for each in plans.windows(since, until) if (found := self._counted(each)) is not None]
        scopes = {budget.name: budget.scope for budget in self.budgets} if plans.expected else {}
        expected = [
            Window(each.starts_at, each.ends_at, scopes[each.subject])
            for each in plans.expected
            if each.subject in scopes and each.starts_at < until and each.ends_at > max(since, each.starts_at)
        ]
        return sorted([*planned, *expected], key=lambda window: window.starts_at)

    def _counted(self, window: Window) -> Window | None:
        """The window, a team's with its counted scopes; None if this review counts nothing of it."""
        scope = window.scope
        if scope is None:
            return window
        if scope.kind is not ScopeKind.TEAM:
            return window if self._counts(scope) else None
        name = (scope.value or "").casefold()
        teams = (each.scope for each in self.budgets if each.scope.kind is ScopeKind.TEAM)
        found = next((each for each in teams if (each.value or "").casefold() == name), None)
        return None if found is None else replace(window, scope=found)

    def agenda(self, now: datetime) -> Agenda:
        """The agenda; the same object until a period begins or ends or a budget changes."""
        snapshot, found, agenda = self._snapshots.current(), self._matched(), self._agenda
        if agenda is None or not agenda.holds(found, snapshot.index.scopes, now):
            agenda = self._agenda = Agenda(found, snapshot, now)
        return agenda

    def _spend_of(
        self,
        asked: Sequence[tuple[Budget, Period | None]],
        now: datetime,
        detail: Detail,
        in_force: InForce | None = None,
        live: LiveSpend | None = None,
    ) -> list[BudgetSpend]:
        """Spend of the given periods; if None, of the last known period."""
        live = live or self.live.beside(self._snapshots.current())
        as_of = live.usage.as_of
        if as_of is None:
            return []
        pairs = [(budget, period or known_period(budget, live, as_of, now)) for budget, period in asked]
        return self._account(live, as_of, now, in_force).facts(pairs, now, detail)

    def _account(self, live: LiveSpend, as_of: datetime, now: datetime, in_force: InForce | None = None) -> Account:
        asked = partial(self.in_force, now) if in_force is None else lambda: in_force
        return Account(live, as_of, self.modes, asked, stale=self.is_stale(now), windows=self.windows)


def _in_scope(found: Sequence[Budget | Unmatched]) -> tuple[Budget, ...]:
    return tuple(each for each in found if isinstance(each, Budget))


def _reviewed(budget: Budget, now: datetime) -> list[Period]:
    return budget.periods_since(now - STILL_REVIEWED, now)


def _holds_until(period: Period, now: datetime) -> datetime:
    """When it ends, or is no longer reviewed."""
    return period.ends_at + (STILL_REVIEWED if period.is_over(now) else timedelta())


def known_period(budget: Budget, live: LiveSpend, as_of: datetime, now: datetime) -> Period:
    """The present period, or the last one with known usage."""
    present = budget.period_at(now)
    if present.starts_at < as_of or live.spend(budget.scope, present).provisional_usd:
        return present
    if present.starts_at < (live.usage.counted_until or as_of):
        # Its first minute is running.
        return present
    return budget.period_at(as_of - as_of.resolution)


@dataclass(frozen=True, slots=True)
class BudgetForecast:
    """One budget, its present period, its known spend and forecast, None with too little or stale data.

    There is no forecast for a period that began after the data ends. `spend` is of an earlier one then, unless
    applications have logged something in it.
    """

    budget: Budget
    period: Period
    spend: BudgetSpend
    forecast: Forecast | None


def budget_forecasts(
    review: BudgetReview, now: datetime, asked: Sequence[tuple[Budget, Period]] | None = None
) -> list[BudgetForecast]:
    """Forecasts of every budget in force with its present period, or of `asked`; empty before the first poll.

    Synchronous; asynchronous callers use a thread.
    """
    pairs = review.present(now) if asked is None else asked
    spends = review.spend_of([budget for budget, _ in pairs], now)
    if not spends:
        return []
    known = [
        (budget, period)
        for (budget, period), spend in zip(pairs, spends, strict=True)
        if spend.period == period.key and period.starts_at < spend.as_of
    ]
    made = {budget.name: found for (budget, _), found in zip(known, review.forecasts(known, now), strict=True)}
    return [
        BudgetForecast(budget, period, spend, made.get(budget.name))
        for (budget, period), spend in zip(pairs, spends, strict=True)
    ]


def needed_attribution(budgets: Iterable[Budget], now: datetime) -> dict[AttributedBy, date]:
    """Dimensions of Anthropic's attribution that these budgets count, with the first UTC day needed."""
    mine = [budget for budget in budgets if budget.scope.kind in ATTRIBUTED]
    since = min([now - ATTRIBUTED_BACK, *(_reviewed(budget, now)[0].starts_at for budget in mine)]).date()
    return {AttributedBy(kind.value): since for kind in sorted({budget.scope.kind for budget in mine})}


class Reviews:
    """Three reviews, each with its own snapshot, behind one interface. Synchronous; asynchronous callers use a
    thread.
    """

    def __init__(
        self, usage: BudgetReview, logged: BudgetReview, attributed: BudgetReview, teams: Teams | None = None
    ) -> None:
        self.usage = usage
        self.logged = logged
        self.attributed = attributed
        self.all = (usage, logged, attributed)
        self._teams = teams or Teams()

    def of(self, scope: Scope) -> BudgetReview:
        """The review whose snapshot counts this scope."""
        if scope.kind in ATTRIBUTED:
            return self.attributed
        return self.logged if scope.is_logged else self.usage

    def is_stale(self, now: datetime) -> bool:
        """Whether Anthropic's usage data is stale; logged data never is."""
        return self.usage.is_stale(now)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """See `BudgetReview`."""
        return tuple(budget for review in self.all for budget in review.budgets)

    def unmatched(self) -> list[Unmatched]:
        """See `BudgetReview`."""
        return [each for review in self.all for each in review.unmatched()]

    def scope_of(self, scope: Scope) -> Scope:
        """See `BudgetReview`; a team's scope with what it counts. Raises `NoMatchError`."""
        scope = self._teams.scope(scope)
        return self.of(scope).scope_of(scope)

    def spend(self, now: datetime, detail: Detail = Detail.ALL) -> list[BudgetSpend]:
        """See `BudgetReview`."""
        return [spend for review in self.all for spend in review.spend(now, detail)]

    def spend_by_name(self, names: Collection[str], now: datetime) -> dict[str, BudgetSpend]:
        """See `BudgetReview`."""
        return {name: spend for review in self.all for name, spend in review.spend_by_name(names, now).items()}

    def spending(self, now: datetime) -> Spending:
        """See `BudgetReview`."""
        return self.usage.spending(now) + self.logged.spending(now) + self.attributed.spending(now)

    def spend_against(self, budget: Budget, now: datetime, detail: Detail = Detail.ALL) -> BudgetSpend | None:
        """See `BudgetReview`."""
        budget = self._teams.completed(budget)
        return self.of(budget.scope).spend_against(budget, now, detail)

    def spent_usd(self, budget: Budget, now: datetime) -> Decimal | None:
        """Spend of a budget in the running period, USD; None if unknown."""
        spend = self.spend_against(budget, now, Detail.NONE)
        return None if spend is None or spend.period != budget.period_at(now).key else spend.spent_usd

    def measured(self, written: Scope) -> tuple[Scope, Stretch, Computed] | str:
        """The scope as stored, the stretch of its pace, and its cost; or why nothing is known."""
        try:
            scope = self.scope_of(written)
        except NoMatchError as error:
            return str(error)
        snapshot = self.of(scope).snapshot
        stretch = stretch_in(snapshot, scope)
        if stretch is None:
            return tr("No usage of {scope} is known so far.", scope=written)
        return scope, stretch, snapshot.computed(snapshot.index.of(scope), stretch.since, stretch.until)

    def present(self, now: datetime) -> Sequence[tuple[Budget, Period]]:
        """See `BudgetReview`."""
        return [pair for review in self.all for pair in review.present(now)]

    def budget_forecasts(self, asked: Sequence[tuple[Budget, Period]], now: datetime) -> list[BudgetForecast]:
        """Forecasts of all reviews, for the budgets in force with running periods."""
        return [
            each
            for review in self.all
            for each in budget_forecasts(review, now, [pair for pair in asked if self.of(pair[0].scope) is review])
        ]

    def shown(self, now: datetime) -> tuple[object, ...]:
        """A key for caches: the same while no period begins or ends, no budget changes, and no data becomes stale."""
        return tuple(part for review in self.all for part in (review.is_stale(now), review.agenda(now)))
