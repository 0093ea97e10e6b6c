"""What a fallback mode would save in the rest of a period. Pure.

A saving is a share of the spend still expected, against the mode in force. The share comes from the last 24 hours in
which no mode restricted the team. So a saving never exceeds what is left.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from itertools import takewhile
from typing import NamedTuple

from bot.budgets.budget_spend import BudgetSpend, ModeShare
from bot.budgets.forecast import ModeShift
from bot.clock import DAY, MINUTE
from bot.mode import NORMAL, Mode

WHOLE = Decimal(1)

_DIVISION = Context(prec=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Saving of a mode until the end of the period against the mode in force; negative if it would cost more.

    `share`: of the spend still expected; None in announcements stored by older versions. `until`: end of the mode, if
    earlier. `ends_at`: end of the period; None in announcements stored by older versions.
    """

    mode: str
    model: str
    usd: Decimal
    until: datetime | None = None
    share: Decimal | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InForce:
    """The fallback mode in force. `ceiling`: the most expensive model that it permits; None for `normal`.

    `since`: when it was switched on, None if it never was. `mix_until`: end of the newest 24 hours in which no mode
    restricted the team; None for now. `changes`: start of each mode, oldest first. `ceilings`: the same with the most
    expensive model that each permits.
    """

    mode: str = NORMAL
    ceiling: str | None = None
    since: datetime | None = None
    mix_until: datetime | None = None
    changes: tuple[tuple[datetime, str], ...] = ()
    ceilings: tuple[tuple[datetime, str | None], ...] = ()

    def moves(self, as_of: datetime) -> tuple["Move", ...]:
        """Changes of the permitted models that can show in the 24 hours up to `as_of`.

        A change before the 24 hours before those explains no rise.
        """
        found, before = [], None
        for at, after in self.ceilings:
            if after != before and as_of - 2 * DAY <= at < as_of:
                found.append(Move(before, after))
            before = after
        return tuple(found)


class Move(NamedTuple):
    """A change of the most expensive permitted model; None if all are permitted."""

    before: str | None
    after: str | None


def mode_shares(
    modes: Iterable[Mode], whole_usd: Decimal, usd_under: Callable[[str], Decimal]
) -> tuple[ModeShare, ...]:
    """Cost of each mode as a share of the 24 hours' cost; empty if that is zero.

    `whole_usd`: their cost. `usd_under`: what they would have cost with this model as the ceiling.
    """
    if whole_usd <= 0:
        return ()
    found = []
    for mode in modes:
        usd = whole_usd if mode.ceiling is None else usd_under(mode.ceiling)
        found.append(ModeShare(mode=mode.name, model=mode.ceiling, share=_DIVISION.divide(usd, whole_usd)))
    return tuple(found)


def saved_share(wanted: Decimal, in_force: Decimal) -> Decimal | None:
    """The share of spend under one mode that another saves, at most 1; negative if it costs more.

    `wanted`, `in_force`: cost of each relative to no mode. None if the mode in force costs nothing.
    """
    return None if in_force <= 0 else min(_DIVISION.divide(in_force - wanted, in_force), WHOLE)


def savings_of(spend: BudgetSpend | None, in_force: str, until: datetime | None = None) -> tuple[Saving, ...]:
    """Saving of each mode with a ceiling against the one in force; empty if unknown.

    `until`: end of the mode if before the period's; the spend left counts in proportion to time. Right after a switch
    the forecast does not include it yet: then the spend left is reduced by what the switch saves.
    """
    left_usd = None if spend is None else spend.left_usd
    if spend is None or left_usd is None:
        return ()
    if until is not None and until < spend.ends_at:
        left_usd = left_usd * _length(spend.as_of, until) / _length(spend.as_of, spend.ends_at)
    else:
        until = None
    shares: Mapping[str, Decimal] = {NORMAL: WHOLE, **{each.mode: each.share for each in spend.shares}}
    present = shares.get(in_force)
    if present is None:
        return ()
    reckoned = shares.get(spend.forecast_mode or in_force)
    if reckoned is not None and 0 < present < reckoned:
        left_usd = left_usd * _DIVISION.divide(present, reckoned)
    found = []
    for each in spend.shares:
        share = saved_share(each.share, present)
        if each.model is not None and share is not None:
            usd = left_usd * share
            found.append(
                Saving(mode=each.mode, model=each.model, usd=usd, until=until, share=share, ends_at=spend.ends_at)
            )
    return tuple(found)


def mode_shifts(changes: Iterable[tuple[datetime, str]], shares: Iterable[ModeShare]) -> tuple[ModeShift, ...]:
    """Factor of each mode change on the scope's spend, if known and not 1.

    `changes`: start of each mode, oldest first. `shares`: cost of each relative to no mode.
    """
    known: Mapping[str, Decimal] = {NORMAL: WHOLE, **{each.mode: each.share for each in shares}}
    found, before = [], known[NORMAL]
    for at, mode in changes:
        share = known.get(mode, before)
        if share != before and before > 0 and share > 0:
            found.append(ModeShift(at, float(share / before)))
        before = share
    return tuple(found)


def reckoned_mode(
    changes: Sequence[tuple[datetime, str]], shifts: Sequence[ModeShift], counted: Collection[ModeShift]
) -> str:
    """The mode that a forecast assumes: the one before the newest changes that it does not count.

    `changes`: start of each mode, oldest first; `shifts`: their effects on the scope; `counted`: those that the
    forecast counts.
    """
    not_counted = [shift.at for shift in takewhile(lambda shift: shift not in counted, reversed(shifts))]
    modes = [mode for at, mode in changes if not not_counted or at < not_counted[-1]]
    return modes[-1] if modes else NORMAL


def is_moved_by(
    moves: Iterable[Move], model: str, used: Collection[str], costs_more: Callable[[str, str], bool]
) -> bool:
    """Whether mode changes explain that a caller moved to `model` or back to it.

    `used`: the caller's models in these two days. `costs_more`: whether the first model costs more than the second.
    """
    for before, after in moves:
        if after == model and any(costs_more(each, model) for each in used):
            return True
        if before in used and before is not None and costs_more(model, before):
            return after is None or not costs_more(model, after)
    return False


def _length(since: datetime, until: datetime) -> Decimal:
    return Decimal(max(until - since, MINUTE) // MINUTE.resolution)
