"""Whether a mode change took effect, whose calls are above its ceiling, and when to report that.

Pure. The share is of USD: budgets count them, and a model with long prompts and short answers would hardly show among
output tokens. The rule of services (`Ceiling`) decides what is above the ceiling, so that nobody is blamed for a model
that the mode permits. Time is the age of the data, never the clock.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate

from bot.clock import DAY, HOUR, floor_hour, is_over
from bot.modes.consequences import Ceiling
from bot.pricing.card import RateCard
from bot.pricing.cost import MTOK, cost_of
from bot.pricing.model_ids import family_in
from bot.usage.model import UsageRow
from bot.usage.plan import HourState

MINUTE = timedelta(minutes=1)
ZERO = Decimal(0)

RIGHT = Decimal("0.05")
"""Share of USD above the ceiling that still counts as none: a job that ends, somebody who tries something out."""

WINDOW = 5
"""Minutes judged together; a single minute may hold one large request and nothing else."""

HOLDS = 10
"""Minutes in which every window has to be right. A lull between two bursts confirms nothing."""

DEADLINE = timedelta(minutes=30)
"""Age of the change after which it should have taken effect: if not, somebody should look. Restarts are mostly done by
then.
"""

HARDLY = Decimal("0.8")
"""A share still above this part of what it was before has hardly fallen."""

STRETCHES = (HOLDS, 30, 60)
"""Minutes back from the end of the data in which callers are searched; the next one is used if one has no usage."""


class VerificationState(StrEnum):
    """What usage shows. `waiting`: not enough usage yet. `idle`: no usage since, so nothing can be said."""

    WAITING = "waiting"
    IDLE = "idle"
    PARTIAL = "partial"
    NO_EFFECT = "no effect"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class VerificationTarget:
    """A watched change: the mode's name, its ceiling, and when it was switched on."""

    mode: str
    ceiling: Ceiling
    since: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller; the key is None for usage without one."""

    model: str
    workspace_id: str
    api_key_id: str | None


@dataclass(frozen=True, slots=True)
class Calling:
    """A caller of a model above the ceiling, in USD an hour."""

    caller: Caller
    usd_per_hour: Decimal


@dataclass(frozen=True, slots=True)
class UsageSum:
    """USD of a stretch, of all usage and of models above the ceiling, and the tokens of all usage.

    `tokens`: of all kinds, cached input included. `usd` includes web searches, which have no tokens.
    """

    usd: Decimal
    above_usd: Decimal
    tokens: int
    span: timedelta

    @property
    def share(self) -> Decimal | None:
        """Share of models above the ceiling, 0 to 1; None without usage."""
        return self.above_usd / self.usd if self.usd else None

    @property
    def usd_per_mtok(self) -> Decimal | None:
        """USD per million tokens, which does not depend on the amount of usage or the time of day; None without
        tokens.
        """
        return self.usd * MTOK / self.tokens if self.tokens else None

    @property
    def usd_per_hour(self) -> Decimal:
        return per_hour(self.usd, self.span)

    @property
    def above_usd_per_hour(self) -> Decimal:
        return per_hour(self.above_usd, self.span)


@dataclass(frozen=True, slots=True)
class Verification:
    """`above`: names of the models seen above the ceiling, most expensive first.

    `before`: the hour before the change plus the part of the change's hour before it; None if unknown. `after`: the
    newest meaningful usage. `took`: time from the change until the share was right, None if it is not or if that is not
    known to the minute. `callers`: current callers of such models, largest first.
    """

    state: VerificationState
    above: tuple[str, ...]
    before: UsageSum | None
    after: UsageSum | None
    took: timedelta | None
    callers: tuple[Calling, ...]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class _Priced:
    row: UsageRow
    usd: Decimal
    above: bool

    @property
    def caller(self) -> Caller:
        return Caller(self.row.model, self.row.workspace_id, self.row.api_key_id)


def per_hour(usd: Decimal, span: timedelta) -> Decimal:
    """USD per hour. `span` is above zero."""
    return usd * (HOUR // timedelta.resolution) / (span // timedelta.resolution)


def needed_since(target: VerificationTarget) -> datetime:
    """Start of the usage that `verify` needs."""
    return floor_hour(target.since) - HOUR


def verify(
    target: VerificationTarget,
    rows: Iterable[UsageRow],
    hours: Mapping[datetime, HourState],
    as_of: datetime,
    card: RateCard,
) -> Verification | None:
    """What usage shows of a change. None for a mode without a ceiling, such as `normal`: no usage could be wrong.

    `rows` and `hours`: usage of the organization and its known hours, both from `needed_since` on. Recent hours have to
    be kept by the minute; of older ones only the part before the change is used.
    """
    if target.ceiling.model is None:
        return None
    priced = _priced(target.ceiling, rows, card)
    before = _before(target.since, priced, hours)
    start, minutes = _minutes_since(target.since, priced, hours, as_of)
    above = _names(target.ceiling, priced, card)
    known = len(minutes)

    def found(
        state: VerificationState, back: int, took: timedelta | None = None, callers: tuple[Calling, ...] = ()
    ) -> Verification:
        after = _mix(minutes[known - back :]) if back else None
        return Verification(state, above, before, after, took, callers, as_of)

    right_from = _right_from(minutes)
    if known - right_from >= HOLDS and _used(minutes[right_from:]):
        exact = right_from > 0 or start - target.since < MINUTE
        took = max(start + right_from * MINUTE - target.since, timedelta()) if exact else None
        return found(VerificationState.CONFIRMED, known - right_from, took)
    back = next((n for n in (*STRETCHES, known) if n <= known and _used(minutes[known - n :])), None)
    if known < HOLDS or as_of - target.since < DEADLINE:
        return found(VerificationState.WAITING, back or 0)
    if back is None:
        return found(VerificationState.IDLE, 0)
    after = _mix(minutes[known - back :])
    turned_right = right_from < known and _used(minutes[known - WINDOW :])
    if turned_right or (after.share or ZERO) <= RIGHT:
        # It has become right and has to stay so for a while.
        return found(VerificationState.WAITING, back)
    share_before = None if before is None else before.share
    hardly = (after.share or ZERO) >= HARDLY * (Decimal(1) if share_before is None else share_before)
    state = VerificationState.NO_EFFECT if hardly else VerificationState.PARTIAL
    return found(state, back, callers=_callers(minutes[known - back :]))


_Minute = list[_Priced]


def _priced(ceiling: Ceiling, rows: Iterable[UsageRow], card: RateCard) -> list[_Priced]:
    rows = list(rows)
    known = Ceiling(
        None if ceiling.model is None else _known_id(ceiling.model, card),
        tuple(_known_id(model, card) for model in ceiling.mode_chain),
        tuple(_known_id(model, card) for model in ceiling.whole_chain),
    )
    may_stay = {
        model: ceiling.permits(model, card) or known.permits(_known_id(model, card), card)
        for model in {row.model for row in rows}
    }
    return [
        _Priced(
            row,
            cost_of(card, row.model, row.counts, row.terms, row.starts_at.date(), prompt_tokens=None).usd,
            not may_stay[row.model],
        )
        for row in rows
    ]


def _known_id(model_id: str, card: RateCard) -> str:
    """Its id in the price table; for an unknown model the id of the one it is priced as."""
    return card.resolve(model_id, card.checked_on).model.id


def _before(since: datetime, priced: Sequence[_Priced], hours: Mapping[datetime, HourState]) -> UsageSum | None:
    change_hour = floor_hour(since)
    span = timedelta()
    found: list[_Priced] = []
    for hour in (change_hour - HOUR, change_hour):
        state = hours.get(hour)
        if state is None:
            continue
        until = min(hour + HOUR, _floor_minute(since))
        if state.width == "1h" and until < hour + HOUR:
            # Usage before and after the change can no longer be separated.
            continue
        span += until - hour
        found += [each for each in priced if hour <= each.row.starts_at < until]
    return _sum(found, span) if span else None


def _minutes_since(
    since: datetime, priced: Sequence[_Priced], hours: Mapping[datetime, HourState], as_of: datetime
) -> tuple[datetime, list[_Minute]]:
    """The first whole minute after the change, and all minutes from it until the first gap in the data."""
    until = _floor_minute(as_of)
    first = until
    hour = floor_hour(until - MINUTE)
    while hour + HOUR > since and (state := hours.get(hour)) is not None and state.width == "1m":
        first = hour
        hour -= HOUR
    start = min(max(first, _floor_minute(since + MINUTE - timedelta.resolution)), until)
    minutes: list[_Minute] = [[] for _ in range(max(0, (until - start) // MINUTE))]
    for each in priced:
        if start <= each.row.starts_at < until:
            minutes[(each.row.starts_at - start) // MINUTE].append(each)
    return start, minutes


def _right_from(minutes: Sequence[_Minute]) -> int:
    """The first minute from which every window is right; the number of minutes if the last window is not."""
    sums = list(
        accumulate((_sum(minute, MINUTE) for minute in minutes), _plus, initial=UsageSum(ZERO, ZERO, 0, timedelta()))
    )
    for end in range(len(minutes), WINDOW - 1, -1):
        usd = sums[end].usd - sums[end - WINDOW].usd
        above = sums[end].above_usd - sums[end - WINDOW].above_usd
        if above > RIGHT * usd:
            return len(minutes) if end == len(minutes) else end - WINDOW + 1
    return 0


def _callers(minutes: Sequence[_Minute]) -> tuple[Calling, ...]:
    sums: dict[Caller, Decimal] = {}
    for each in _all(minutes):
        if each.above:
            sums[each.caller] = sums.get(each.caller, ZERO) + each.usd
    span = len(minutes) * MINUTE
    largest = sorted(sums.items(), key=lambda item: (-item[1], str(item[0])))
    return tuple(Calling(caller, per_hour(usd, span)) for caller, usd in largest if usd)


def _names(ceiling: Ceiling, priced: Sequence[_Priced], card: RateCard) -> tuple[str, ...]:
    """Families as display names; the model's own name if another model of its family may stay."""
    may_stay = {_family(each.row.model, card) for each in priced if not each.above}
    may_stay.add(_family(ceiling.model or "", card))
    sums: dict[str, Decimal] = {}
    for each in priced:
        if each.above and each.usd:
            family = _family(each.row.model, card)
            model = card.find(each.row.model)
            own_name = each.row.model if model is None else model.name
            name = own_name if family is None or family in may_stay else family.capitalize()
            sums[name] = sums.get(name, ZERO) + each.usd
    return tuple(sorted(sums, key=lambda name: (-sums[name], name)))


def _family(model_id: str, card: RateCard) -> str | None:
    model = card.find(model_id)
    return family_in(model_id) if model is None else model.family


def _mix(minutes: Sequence[_Minute]) -> UsageSum:
    return _sum(_all(minutes), len(minutes) * MINUTE)


def _sum(priced: Iterable[_Priced], span: timedelta) -> UsageSum:
    usd = above = ZERO
    tokens = 0
    for each in priced:
        usd += each.usd
        above += each.usd if each.above else ZERO
        tokens += each.row.counts.prompt_tokens + each.row.counts.output_tokens
    return UsageSum(usd, above, tokens, span)


def _plus(one: UsageSum, other: UsageSum) -> UsageSum:
    return UsageSum(
        one.usd + other.usd, one.above_usd + other.above_usd, one.tokens + other.tokens, one.span + other.span
    )


def _used(minutes: Sequence[_Minute]) -> bool:
    return any(each.usd for each in _all(minutes))


def _all(minutes: Sequence[_Minute]) -> Iterator[_Priced]:
    return (each for minute in minutes for each in minute)


def _floor_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


AGAIN = HOUR
"""Least time between two reports that it is still wrong."""

WATCHED_FOR = DAY
"""How long a change is watched; naming callers again later does not help."""

MOST_REPORTS = 5
"""Most reports about one change, including the last one."""

MOST_CALLERS = 3


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `callers`: those that it named. `last`: watching ends with it."""

    state: VerificationState
    callers: frozenset[Caller]
    at: datetime
    last: bool


def report_due(
    found: Verification, target: VerificationTarget, reported: Sequence[Report], dismissed: bool, now: datetime
) -> Report | None:
    """The report to make now, None for none. `reported`: of this change, oldest first.

    First, as soon as there is something to say; while it is not right, at most one an hour, and only with news; one
    when it is right or no longer watched, and nothing after that.
    """
    if dismissed or (reported and reported[-1].last):
        return None
    named = frozenset(calling.caller for calling in found.callers[:MOST_CALLERS])
    if found.state is VerificationState.CONFIRMED or is_over(WATCHED_FOR, target.since, now):
        return Report(found.state, named, now, last=True)
    if found.state in (VerificationState.WAITING, VerificationState.IDLE):
        return None
    if reported:
        nothing_new = (reported[-1].state, reported[-1].callers) == (found.state, named)
        if nothing_new or not is_over(AGAIN, reported[-1].at, now) or len(reported) >= MOST_REPORTS - 1:
            return None
    return Report(found.state, named, now, last=False)
