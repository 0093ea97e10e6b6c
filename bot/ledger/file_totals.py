"""Running totals of files, session by session: their increases become events. Pure.

The rule that recognises a log, and that a record rises above the one before, is the one of `price`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from bot.ledger.events_of_call import events_of_call
from bot.ledger.file_events import TOTAL, Held
from bot.ledger.files_store import SingleCall
from bot.ledger.model import Event
from bot.pricing.counters import Counter, Reading, Rise, ends_of_stretches
from bot.pricing.responses import micros
from bot.pricing.tokens import TokenCounts


def followed(series: Sequence[Held], counter: Counter | None, *, goes_on: bool) -> tuple[list[Event], Counter]:
    """The events of one series of a file, and its counter afterwards.

    `goes_on`: the file was read as running totals before.
    """
    known = sum(not held.is_new for held in series) if goes_on and counter is not None else 0
    readings = [_reading(held.call.at, held.call.counts) for held in series]
    rises, end = (counter or Counter()).advanced(readings, known)
    return [event for rise in rises for event in _events(series[rise.number], rise)], end


def begun(singles: Sequence[SingleCall], *, timed: bool) -> tuple[list[str], Counter]:
    """Single calls of a series that turn out to be readings of its running total: the ids of events that others
    contain, and the counter. `singles`: ordered by time; `timed`: whether the log has its own times.
    """
    kept = set(ends_of_stretches([one.counts for one in singles]))
    counter = Counter()
    # They are from several files, and another file may have readings in between.
    apart = [list(of_one_time) for _, of_one_time in groupby(singles, lambda one: one.at)] if timed else [singles]
    for some in apart:
        _, counter = counter.advanced([_reading(one.at if timed else None, one.counts) for one in some])
    return [one.id for number, one in enumerate(singles) if number not in kept], counter


def _reading(at: datetime | None, counts: TokenCounts) -> Reading:
    return Reading(None if at is None else micros(at), counts)


def _events(held: Held, rise: Rise) -> list[Event]:
    if not rise.starts and not any(rise.counts):
        return []
    call = replace(held.call, counts=rise.counts, is_sum=True)
    events = events_of_call(call, TOTAL + held.place, held.at, held.labels)
    return events if rise.starts else [replace(event, requests=0) for event in events]
