"""Automatic fallback: whether the chain steps down by itself, and how many further admins have to agree.

Pure: no clock, no database, no network. It cannot flap, whatever the incidents do: each incident causes one step per
period, automatic changes are at least `DWELL` apart, and a person's switch after an incident was first opened overrides
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bot.alerts.incident import AlertKind, Level
from bot.amounts import usd
from bot.budgets.budget import LimitKind
from bot.clock import is_over
from bot.db.state import BOT
from bot.language import Text, kept, tr_lazy, tr_noop
from bot.mode import NORMAL


@dataclass(frozen=True, slots=True)
class FallbackRules:
    """`auto`: whether the chain steps down by itself at an alert of `auto_levels`, unless chat says otherwise.

    `approvals`: how many admins other than the requester have to agree, within `approval_lasts`.
    """

    auto: bool = False
    auto_levels: frozenset[Level] = frozenset({LimitKind.HARD})
    approvals: int = 0
    approval_lasts: timedelta = timedelta(hours=1)


DWELL = timedelta(minutes=30)
"""Least time between two automatic changes: services that follow at a restart could not keep up with less."""

SETTLING = timedelta(minutes=60)
"""Time before the next step down: the data is minutes behind, consumers follow one by one, and a rate over less than an
hour is dominated by scheduled jobs.
"""

HOLD = timedelta(minutes=30)
"""How long no incident may count before the mode goes back. A correction of the data can close one for one poll."""

STILL_GOES_ON = Decimal("0.5")
"""If spend is below this share of the rate before the step, the step has worked."""

MATTERS = Decimal("0.01")
"""Expected spend until the end of the period, as a share of the limit, below which a second step is not worth it."""

_WHY = {
    LimitKind.SOFT: tr_noop("the soft limit of {limit} of budget {budget} is crossed"),
    LimitKind.HARD: tr_noop("the hard limit of {limit} of budget {budget} is crossed"),
    AlertKind.FORECAST: tr_noop("budget {budget} is going to end above its limit of {limit}"),
    AlertKind.SPIKE: tr_noop("budget {budget} spends far more an hour than is usual"),
}
_OTHERWISE = tr_noop("an alert ({level}) of budget {budget} is open")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the fallback mode. `by`: a Slack user id, or `BOT`."""

    mode: str
    at: datetime
    by: str

    @property
    def automatic(self) -> bool:
        return self.by == BOT


@dataclass(frozen=True, slots=True)
class Trigger:
    """An incident that may step the chain down. `opened_at`: first in its period; reopening does not change it.

    `closed_at`: since when it is not open, None while it is. `ends_at`: end of its period, after which it does not
    count. `bound_usd`: the bound that was passed; USD an hour for a spike.
    """

    budget: str
    level: Level
    bound_usd: Decimal
    opened_at: datetime
    closed_at: datetime | None
    ends_at: datetime

    def counts(self, now: datetime) -> bool:
        """Whether it is open in a running period."""
        return self.closed_at is None and now < self.ends_at

    def is_quiet(self, now: datetime) -> bool:
        """Whether it has not counted for long enough. The end of a period is planned, so nothing waits after it."""
        return self.ends_at <= now or (self.closed_at is not None and is_over(HOLD, self.closed_at, now))


@dataclass(frozen=True, slots=True)
class SpendRates:
    """USD an hour in the hours before the mode in force was switched on, and since, over at least `SETTLING`."""

    before: Decimal
    since: Decimal


@dataclass(frozen=True, slots=True)
class AutoStep:
    """The change to make, by `BOT`. `reason`: one clause, as stored. `trigger`: the incident behind it, if any."""

    mode: str
    previous: str
    reason: str
    trigger: Trigger | None


def auto_step(
    rules: FallbackRules,
    auto: bool,
    modes: Sequence[str],
    changes: Sequence[Change],
    triggers: Sequence[Trigger],
    rates: SpendRates | None,
    savings: Mapping[str, Decimal],
    now: datetime,
) -> AutoStep | None:
    """The automatic step at `now`; None to leave the mode alone, as always while it is off.

    `auto`: whether it is on. `modes`: most expensive first, starting with `normal`; any other mode in force is left
    alone. `changes`: oldest first, back to the first opening of the oldest trigger and to the mode before the last
    automatic ones. `triggers`: closed ones too. `rates`: None if unknown. `savings`: share of spend by mode; a mode
    that saves nothing is skipped, one that is missing is trusted.

    Downwards one mode at a time: the first step at the crossing, another if spend goes on regardless. Back in one step
    to the mode before, once no incident counts.
    """
    in_force = changes[-1].mode if changes else NORMAL
    if not auto or in_force not in modes or _dwells(changes, now):
        return None
    own = _own_steps(changes, modes)
    taken_back_at = _taken_back_at(changes, modes)
    answered = [
        trigger
        for trigger in triggers
        if trigger.level in rules.auto_levels and (taken_back_at is None or taken_back_at < trigger.opened_at <= now)
    ]
    counting = [trigger for trigger in answered if trigger.counts(now)]
    if counting:
        return _down(in_force, modes, changes, own, counting, rates, savings, now)
    if own and all(trigger.is_quiet(now) for trigger in answered):
        return AutoStep(_mode_before(changes, own), in_force, _why_back(answered, now), None)
    return None


def _down(
    in_force: str,
    modes: Sequence[str],
    changes: Sequence[Change],
    own: int,
    counting: Sequence[Trigger],
    rates: SpendRates | None,
    savings: Mapping[str, Decimal],
    now: datetime,
) -> AutoStep | None:
    if in_force != NORMAL and not is_over(SETTLING, changes[-1].at, now):
        return None
    cheaper = modes[modes.index(in_force) + 1 :]
    mode = next((mode for mode in cheaper if mode not in savings or savings[mode] > 0), None)
    if mode is None:
        return None
    first = min(counting, key=lambda trigger: trigger.opened_at)
    why = _WHY.get(first.level, _OTHERWISE)
    reason = Text(why, {"limit": usd(first.bound_usd), "budget": first.budget, "level": str(first.level)})
    if own:
        if rates is None or not any(_goes_on(rates, trigger, now) for trigger in counting):
            return None
        reason = tr_lazy(
            "{why}, and spend goes on at {since} an hour ({before} before {mode})",
            why=reason,
            since=usd(rates.since),
            before=usd(rates.before),
            mode=in_force,
        )
    return AutoStep(mode, in_force, kept(reason), first)


def _goes_on(rates: SpendRates, trigger: Trigger, now: datetime) -> bool:
    hours_left = Decimal((trigger.ends_at - now) // timedelta.resolution) / (timedelta(hours=1) // timedelta.resolution)
    to_come = rates.since * hours_left
    return to_come > 0 and rates.since >= rates.before * STILL_GOES_ON and to_come >= trigger.bound_usd * MATTERS


def _why_back(answered: Sequence[Trigger], now: datetime) -> str:
    if answered and all(trigger.ends_at <= now for trigger in answered):
        return kept(tr_lazy("the period is over"))
    minutes = HOLD // timedelta(minutes=1)
    return kept(tr_lazy("no alert that counts has been open for {minutes} minutes", minutes=minutes))


def _dwells(changes: Sequence[Change], now: datetime) -> bool:
    return any(change.automatic and not is_over(DWELL, change.at, now) for change in changes)


def _own_steps(changes: Sequence[Change], modes: Sequence[str]) -> int:
    """How many of the last changes are automatic steps down, which can be taken back."""
    count = 0
    while count < len(changes) and _is_own_step(changes, len(changes) - 1 - count, modes):
        count += 1
    return count


def _taken_back_at(changes: Sequence[Change], modes: Sequence[str]) -> datetime | None:
    """When a person last changed the mode, or the automatic steps were taken back: older incidents are done with.

    A mode that ends at the time a person set counts as neither.
    """
    for index in range(len(changes) - 1, -1, -1):
        change = changes[index]
        returned = index > 0 and changes[index - 1].automatic and not _is_own_step(changes, index, modes)
        if not change.automatic or returned:
            return change.at
    return None


def _is_own_step(changes: Sequence[Change], index: int, modes: Sequence[str]) -> bool:
    change = changes[index]
    before = _mode_before(changes, len(changes) - index)
    known = change.mode in modes and before in modes
    return change.automatic and known and modes.index(change.mode) > modes.index(before)


def _mode_before(changes: Sequence[Change], count: int) -> str:
    """The mode before the last `count` changes."""
    index = len(changes) - 1 - count
    return changes[index].mode if index >= 0 else NORMAL
