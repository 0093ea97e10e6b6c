"""What is said of a budget's spend at one moment: sums, expected end, callers, causes, and what each mode costs."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Flag, auto
from functools import cached_property, partial

from bot.budgets.budget import ORGANIZATION, Budget
from bot.budgets.budget_spend import BudgetSpend, ModeShare, NamedCause, NamedMover
from bot.budgets.causes import LEAST_SHARE, LEAST_USD, ROSE, Cause
from bot.budgets.forecast import Forecast, ModeShift
from bot.budgets.history import forecasts_of
from bot.budgets.live import LiveSpend
from bot.budgets.named import named_cause, named_mover
from bot.budgets.period import Period
from bot.budgets.recent import RecentSpend, recent_spend
from bot.budgets.savings import InForce, mode_shares, mode_shifts, reckoned_mode
from bot.budgets.spend import Spend
from bot.budgets.trend import MOST_MOVERS, Mover, usd_of, usd_under
from bot.clock import DAY, floor_hour
from bot.mode import Mode


class Detail(Flag):
    """What is said of a budget beside its sums. Each costs work, so that only what is shown is asked for.

    `ENDS`: where the period is expected to end. `WHY`: callers and causes. `SHARES`: what each mode costs.
    """

    NONE = 0
    ENDS = auto()
    WHY = auto()
    SHARES = auto()
    ALL = ENDS | WHY | SHARES


class Account:
    """Of one snapshot, whose data has an age. `stale`: nothing is said of the rest of a period.

    Sums and expected ends have what is provisional, and its largest caller is named. What changed and what a mode saves
    of a dollar is told by the snapshot alone.

    `in_force`: the fallback mode, asked for where it is needed.
    """

    def __init__(
        self,
        live: LiveSpend,
        as_of: datetime,
        modes: Mapping[str, Mode],
        in_force: Callable[[], InForce],
        *,
        stale: bool,
    ) -> None:
        self._live = live
        self._snapshot = live.usage
        self._as_of = as_of
        self._modes = modes
        self._in_force = in_force
        self._stale = stale

    def facts(self, asked: Sequence[tuple[Budget, Period]], now: datetime, detail: Detail) -> list[BudgetSpend]:
        """Of a period that is over only the sums."""
        running = [pair for pair in asked if not pair[1].is_over(now)] if Detail.ENDS in detail else []
        expected = dict(zip(running, self.forecasts(running), strict=True))
        return [
            self._facts(
                budget, period, expected.get((budget, period)), now, Detail.NONE if period.is_over(now) else detail
            )
            for budget, period in asked
        ]

    def forecasts(self, asked: Sequence[tuple[Budget, Period]]) -> list[Forecast | None]:
        """Where periods that the data has reached will end; None with too little data, and where it is stale."""
        if self._stale:
            return [None for _ in asked]
        return forecasts_of(self._live, [(budget, period, self._shifts(budget)) for budget, period in asked])

    def _reckoned_mode(self, budget: Budget, expected: Forecast) -> str:
        changes = self._mode.changes
        return reckoned_mode(changes, self._shifts(budget), expected.shifts) if changes else self._mode.mode

    def _shifts(self, budget: Budget) -> tuple[ModeShift, ...]:
        changes = self._mode.changes
        return mode_shifts(changes, self._shares(budget)) if changes else ()

    def _facts(
        self, budget: Budget, period: Period, expected: Forecast | None, now: datetime, detail: Detail
    ) -> BudgetSpend:
        spend = self._live.spend(budget.scope, period)
        return BudgetSpend(
            budget=budget.name,
            scope=str(budget.scope),
            soft_usd=budget.soft_usd,
            hard_usd=budget.hard_usd,
            period=period.key,
            ends_at=period.ends_at,
            spent_usd=spend.total_usd,
            billed_usd=spend.billed_usd,
            billed_days=spend.billed_days,
            computed_usd=spend.computed_usd,
            report_only_usd=spend.report_only_usd,
            provisional_usd=spend.provisional_usd,
            provisional_since=spend.provisional_since,
            at_least=spend.at_least,
            hidden=tuple(sorted(spend.hidden)),
            assumed=spend.assumed,
            expected_usd=None if expected is None else expected.expected_usd,
            low_usd=None if expected is None else expected.low_usd,
            high_usd=None if expected is None else expected.high_usd,
            forecast_mode=None if expected is None else self._reckoned_mode(budget, expected),
            movers=self._movers(budget, spend) if Detail.WHY in detail else (),
            causes=self._causes(budget) if Detail.WHY in detail else (),
            shares=self._shares(budget) if Detail.SHARES in detail and not self._stale else (),
            as_of=self._as_of,
            stale_at=now if self._stale else None,
        )

    @cached_property
    def _mode(self) -> InForce:
        return self._in_force()

    @cached_property
    def _recent(self) -> RecentSpend:
        return recent_spend(self._snapshot)

    @property
    def _known_from(self) -> datetime:
        """The first hour that belongs to the last 24 hours, at least in part."""
        return floor_hour(self._recent.until - DAY)

    def _shares(self, budget: Budget) -> tuple[ModeShare, ...]:
        """Of the last 24 hours in which no mode held the team back."""
        mix = recent_spend(self._snapshot, self._mode.mix_until)
        usage, card = mix.of_scope(budget.scope), self._snapshot.card
        under = partial(usd_under, recent=usage, scope=ORGANIZATION, card=card)
        return mode_shares(self._modes.values(), usd_of(usage, ORGANIZATION, card), under)

    def _movers(self, budget: Budget, spend: Spend) -> tuple[NamedMover, ...]:
        """The largest, and among them who has logged most of what is provisional where that is worth naming."""
        names = self._snapshot.names
        found = tuple(
            named_mover(
                mover,
                names,
                seen_before=self._recent.seen_before(mover, self._known_from),
                by_mode=self._by_mode(mover, mover.usd, mover.before_usd),
            )
            for mover in self._recent.movers(budget.scope)
        )
        newest = self._live.provisional_caller(budget.scope, spend)
        if newest is None or newest.usd < max(LEAST_USD, LEAST_SHARE * self._recent.usd(budget.scope)):
            return found
        return tuple(sorted((*found[: MOST_MOVERS - 1], newest), key=lambda mover: -mover.usd))

    def _causes(self, budget: Budget) -> tuple[NamedCause, ...]:
        names = self._snapshot.names
        return tuple(
            named_cause(
                cause,
                names,
                by_mode=cause.kind in ROSE and self._by_mode(cause, cause.after, cause.before),
            )
            for cause in self._recent.causes(budget.scope, self._known_from)
        )

    def _by_mode(self, found: Mover | Cause, usd: Decimal, before_usd: Decimal | None) -> bool:
        until = self._recent.until
        return self._recent.is_moved(self._mode.moves(until), found, usd, before_usd, until.date())


class Spending:
    """The sums of many budgets; what more there is to say of one is worked out when it is shown."""

    def __init__(self, asked: Sequence[tuple[Account, Sequence[tuple[Budget, Period]]]], now: datetime) -> None:
        self._asked = asked
        self._account_of = {budget.name: (account, (budget, period)) for account, of in asked for budget, period in of}
        self._now = now

    def __add__(self, other: "Spending") -> "Spending":
        """Of both at the same moment."""
        return Spending([*self._asked, *other._asked], self._now)

    def sums(self) -> list[BudgetSpend]:
        """Without anything more."""
        return [spend for account, asked in self._asked for spend in account.facts(asked, self._now, Detail.NONE)]

    def of(self, name: str) -> BudgetSpend | None:
        """The sums of one budget; None where nothing is known of it."""
        return self._told(name, Detail.NONE) if name in self._account_of else None

    def told(self, spend: BudgetSpend, detail: Detail) -> BudgetSpend:
        """One of the sums, with what is asked for."""
        return self._told(spend.budget, detail)

    def _told(self, name: str, detail: Detail) -> BudgetSpend:
        account, asked = self._account_of[name]
        [found] = account.facts([asked], self._now, detail)
        return found
