"""Running totals of files, session by session: what is new in them becomes events. Pure.

The rule by which a log is recognised, and by which a record rises above the one before, is that of `price`. A counter
that was read before goes on where it stood, in whichever file it goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.ledger.events_of_call import events_of_call
from bot.ledger.file_events import TOTAL, Held
from bot.ledger.model import Event
from bot.pricing.running_totals import rise_after
from bot.pricing.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class Counter:
    """Where a running total stands. `risen`: all that the ledger has of it; `last_at`: None where it has no times."""

    last: TokenCounts
    risen: TokenCounts
    last_at: datetime | None

    def written(self) -> dict[str, Any]:
        at = None if self.last_at is None else self.last_at.isoformat()
        return {"last": list(self.last), "risen": list(self.risen), "last_at": at}


def counter_in(written: Mapping[str, Any]) -> Counter:
    """What `Counter.written` made."""
    at = written["last_at"]
    last_at = None if at is None else datetime.fromisoformat(at)
    return Counter(TokenCounts(*written["last"]), TokenCounts(*written["risen"]), last_at)


def followed(series: Sequence[Held], counter: Counter | None, *, goes_on: bool) -> tuple[list[Event], Counter]:
    """The events of one series of a file, and where its counter stands then.

    `goes_on`: what is not new in the file was read as running totals before.
    """
    old = [held for held in series if not held.is_new]
    start = counter or Counter(TokenCounts(), TokenCounts(), None)
    if counter is None:
        rises = _as_read(series)
    elif goes_on and old and old[-1].step.total == counter.last:
        rises = _as_read([held for held in series if held.is_new])
    elif counter.last_at is not None:
        rises = _by_time(series, counter.last, counter.last_at)
    else:
        rises = _beyond(series, counter.risen)
    events: list[Event] = []
    last, risen, last_at = start.last, start.risen, start.last_at
    for held, rise, total, starts in rises:
        if starts or any(rise):
            events += _event(held, rise, starts)
        risen, last = risen + rise, total
        if held.call.at is not None:
            last_at = held.call.at if last_at is None else max(last_at, held.call.at)
    return events, Counter(last, risen, last_at)


Rise = tuple[Held, TokenCounts, TokenCounts, bool]
"""A record, what it has above the one before, where the counters stand then, and whether they began anew."""


def _as_read(series: Sequence[Held]) -> Iterator[Rise]:
    return ((held, held.step.rise, held.step.total, held.step.starts) for held in series)


def _by_time(series: Sequence[Held], last: TokenCounts, last_at: datetime) -> Iterator[Rise]:
    """What came later than all that was read: earlier records are in the total already."""
    for held in series:
        at, counts = held.call.at, held.call.counts
        if at is None or at < last_at:
            continue
        if at == last_at and all(one <= other for one, other in zip(counts, last, strict=True)):
            continue
        rise, last, starts = rise_after(last, counts)
        last_at = at
        yield held, rise, last, starts


def _beyond(series: Sequence[Held], risen: TokenCounts) -> Iterator[Rise]:
    """Without times: what a file has risen by beyond all that was read."""
    so_far = TokenCounts()
    for held in series:
        before = TokenCounts(*map(max, so_far, risen))
        so_far = so_far + held.step.rise
        yield held, TokenCounts(*map(max, so_far, before)) - before, held.step.total, False


def _event(held: Held, rise: TokenCounts, starts: bool) -> list[Event]:
    events = events_of_call(replace(held.call, counts=rise, is_sum=True), TOTAL + held.place, held.at, held.labels)
    return events if starts else [replace(event, requests=0) for event in events]
