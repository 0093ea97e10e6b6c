"""A budget's spend at one moment, with the names that people know: alerts keep it as it was at the decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from bot.budgets.budget import RaisedLimit
from bot.budgets.trend import Cause, CauseKind, Mover
from bot.pricing.cost import Hidden
from bot.usage.store_reads import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMover:
    """One of the largest callers of the last 24 hours; names are those that people know.

    `logged`: from the applications' own log, where `workspace` is the feature and `key` the user, tags and the like.

    `before_usd`: of the 24 hours before, None without any. `seen_before`: whether this caller was ever used before the
    last 24 hours; None where that is not known. `by_mode`: it has risen because a change of the fallback mode moved
    the caller to this model, or back to it. `since`: of a caller of what is provisional, when `usd` begins; it has no
    24 hours.
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
    """What changed in a caller's usage and about how many dollars that explains; names are those that people know.

    What `before` and `after` count is the kind's to say. `by_mode`: as for movers.
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
    """What the last 24 hours without a mode would have cost under a mode's ceiling, as a share of what they cost.

    1 is the same, less is cheaper. `model`: the ceiling; None for a mode without one, which changes nothing.
    """

    mode: str
    model: str | None
    share: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpend:
    """A budget's spend and trend at one moment: what alerts and `status` are both rendered from.

    `provisional_usd`: the part of `spent_usd` that only applications have logged, since `provisional_since`.
    `raised`: its limits that are raised for a while.
    `hidden`: why the sum is "at least". `expected_usd`: where the period ends by the forecast, in the range from
    `low_usd` to `high_usd`; all None with less than six hours of data, for a period that is over, and where the data
    was stale. `attributed`: all of it is what Anthropic itself attributes.
    `forecast_mode`: the fallback mode that the expected end reckons with; None where that is not known.
    `shares`: of every mode against none, so that savings can be drawn for any mode in force; empty where
    nothing was used. `as_of`: the age of all of it. `stale_at`: when it was drawn, where the data was stale then.
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
        """What is still expected to be spent in the period; None without a forecast."""
        return None if self.expected_usd is None else max(self.expected_usd - self.spent_usd, Decimal(0))

    def not_extrapolated(self, now: datetime) -> "BudgetSpend":
        """The same drawn at `now` from data that is stale by then: nothing is said of the rest of the period."""
        return replace(self, expected_usd=None, low_usd=None, high_usd=None, shares=(), stale_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSum:
    """What a budget's period comes to as far as it is known. `limit_usd`: the higher of its limits."""

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
    """`seen_before`, `by_mode`, `since`: as in `NamedMover`."""
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
    """`by_mode`: as in `NamedCause`."""
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
