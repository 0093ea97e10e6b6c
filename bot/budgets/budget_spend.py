"""A budget's spend at one moment, with display names: alerts keep it as it was at the decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from bot.budgets.budget import RaisedLimit
from bot.budgets.trend import Cause, CauseKind, Mover
from bot.pricing.cost import Hidden
from bot.usage.store_reads import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMover:
    """One of the largest callers of the last 24 hours, with display names.

    `logged`: from the applications' own log, where `workspace` is the feature and `key` the user, tags and the like.

    `before_usd`: of the 24 hours before, None without any. `seen_before`: whether this caller was used before the last
    24 hours; None if unknown. `by_mode`: it rose because a change of the fallback mode moved the caller to or back to
    this model. `since`: for a caller of provisional spend, the start of the time that `usd` covers instead of 24 hours.
    """

    model: str
    workspace: str
    key: str | None
    usd: Decimal
    before_usd: Decimal | None
    seen_before: bool | None = None
    by_mode: bool = False
    logged: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCause:
    """What changed in a caller's usage and about how many USD that explains, with display names.

    The unit of `before` and `after` depends on the kind. `by_mode`: as for movers.
    """

    kind: CauseKind
    model: str
    workspace: str
    key: str | None
    usd: Decimal
    before: Decimal
    after: Decimal
    by_mode: bool = False
    logged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeShare:
    """Cost of the last 24 hours without a mode under a mode's ceiling, as a share of their actual cost.

    1 is the same, less is cheaper. `model`: the ceiling; None for a mode without one, which changes nothing.
    """

    mode: str
    model: str | None
    share: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpend:
    """A budget's spend and trend at one moment, for alerts and `status`.

    `provisional_usd`: the part of `spent_usd` that only applications have logged, since `provisional_since`. `raised`:
    its limits that are raised for a while. `hidden`: why the sum is "at least". `expected_usd`: forecast of the
    period's end, in the range from `low_usd` to `high_usd`; all None with less than six hours of data, for a period
    that is over, and with stale data. `attributed`: all of it is Anthropic's own attribution. `forecast_mode`: the
    fallback mode assumed by the forecast; None if unknown. `shares`: cost of every mode against none, so that savings
    can be shown for any mode in force; empty without usage. `as_of`: age of all of it. `stale_at`: when it was drawn,
    if the data was stale then.
    """

    budget: str
    scope: str
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    period: str
    ends_at: datetime
    spent_usd: Decimal
    billed_usd: Decimal
    billed_days: int
    computed_usd: Decimal
    report_only_usd: Decimal
    at_least: bool
    hidden: tuple[Hidden, ...] = ()
    assumed: tuple[str, ...]
    raised: tuple[RaisedLimit, ...] = ()
    provisional_usd: Decimal = Decimal(0)
    provisional_since: datetime | None = None
    attributed: bool = False
    expected_usd: Decimal | None = None
    low_usd: Decimal | None = None
    high_usd: Decimal | None = None
    forecast_mode: str | None = None
    movers: tuple[NamedMover, ...] = ()
    causes: tuple[NamedCause, ...] = ()
    shares: tuple[ModeShare, ...] = ()
    as_of: datetime
    stale_at: datetime | None = None

    @property
    def left_usd(self) -> Decimal | None:
        """USD still expected in the period; None without a forecast."""
        return None if self.expected_usd is None else max(self.expected_usd - self.spent_usd, Decimal(0))

    def not_extrapolated(self, now: datetime) -> "BudgetSpend":
        """The same without a forecast, for data that is stale at `now`."""
        return replace(self, expected_usd=None, low_usd=None, high_usd=None, shares=(), stale_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSum:
    """Known spend of a budget's period. `limit_usd`: the higher of its limits."""

    budget: str
    period: str
    spent_usd: Decimal
    limit_usd: Decimal | None


def named_mover(
    mover: Mover,
    names: Names,
    *,
    seen_before: bool | None = None,
    by_mode: bool = False,
    since: datetime | None = None,
) -> NamedMover:
    """`seen_before`, `by_mode`, `since`: see `NamedMover`."""
    return NamedMover(
        model=mover.model,
        workspace=names.workspaces.get(mover.workspace_id, mover.workspace_id),
        key=_key(mover.api_key_id, names),
        usd=mover.usd,
        before_usd=mover.before_usd,
        seen_before=seen_before,
        by_mode=by_mode,
        logged=names.logged,
        since=since,
    )


def named_cause(cause: Cause, names: Names, *, by_mode: bool = False) -> NamedCause:
    """`by_mode`: see `NamedCause`."""
    return NamedCause(
        kind=cause.kind,
        model=cause.model,
        workspace=names.workspaces.get(cause.workspace_id, cause.workspace_id),
        key=_key(cause.api_key_id, names),
        usd=cause.usd,
        before=cause.before,
        after=cause.after,
        by_mode=by_mode,
        logged=names.logged,
    )


def _key(api_key_id: str | None, names: Names) -> str | None:
    if names.logged:
        return names.keys.get(api_key_id or "", "") or None
    return None if api_key_id is None else names.keys.get(api_key_id, api_key_id)
