"""The clock that is passed to everything else; no other module reads the time."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current time as an aware UTC datetime."""

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

BEFORE_EVERYTHING = datetime.min.replace(tzinfo=UTC)
AFTER_EVERYTHING = datetime.max.replace(tzinfo=UTC)


def system_clock() -> datetime:
    """The machine's clock, UTC."""
    return datetime.now(UTC)


def floor_hour(moment: datetime) -> datetime:
    """The start of the UTC hour that contains `moment`."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def ceil_hour(moment: datetime) -> datetime:
    """The first full UTC hour that is not before `moment`."""
    hour = floor_hour(moment)
    return hour if hour == moment else hour + HOUR


def floor_day(moment: datetime) -> datetime:
    """The start of the UTC day that contains `moment`."""
    return floor_hour(moment).replace(hour=0)


def ceil_day(moment: datetime) -> datetime:
    """The first UTC midnight that is not before `moment`."""
    day = floor_day(moment)
    return day if day == moment else day + DAY


def is_over(wait: timedelta, since: datetime, now: datetime) -> bool:
    """Whether a wait that began at `since` has ended by `now`, even if the clock was set in between.

    If the clock was set back so that the start lies more than a wait ahead, the wait is over. So no wait lasts longer
    than twice its length.
    """
    return abs(now - since) >= wait


def seconds_since_boot() -> float:
    """Seconds that never go back and, if the system supports it, continue while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
