"""Changes of the fallback mode: how they are requested and stored, and when they end. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import TypeAdapter

from bot.budgets.budget import Budget, ScopeKind
from bot.language import tr
from bot.mode import NORMAL
from bot.typed_text import split_reason, words_in


@dataclass(frozen=True, slots=True)
class ModeChange:
    """One change. `written_at`: when all targets had it; `write_error`: why one does not, in sentences.

    `until`: requested end; `warned_at`: when its end was announced.
    """

    id: int
    mode: str
    variables: Mapping[str, str]
    changed_at: datetime
    changed_by: str
    reason: str
    written_at: datetime | None
    write_error: str | None
    until: datetime | None = None
    warned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AutoSwitch:
    """Whether the chain steps down automatically, as set in chat."""

    on: bool
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did or tried what. `outcome`: done | refused | failed."""

    at: datetime
    actor: str
    action: str
    outcome: str
    detail: str


AUTO_KEY = "fallback_auto"
AUTO_SWITCH = TypeAdapter(AutoSwitch)

NO_CHANGE = 0
"""Id of the newest change before there is one."""

LOOK_BACK = 50
"""Changes searched for what led to the present mode."""


LONGEST_WARNING = timedelta(minutes=15)
WARNING_SHARE = 10
"""The warning comes a tenth of the time before the end, but at most `LONGEST_WARNING` before it."""


class Cause(StrEnum):
    """Why a mode ends."""

    TIME = "time"
    PERIOD = "period"


class Due(StrEnum):
    """What is to be done about a mode now."""

    WARN = "warn"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class End:
    """When a mode returns to normal, and why then."""

    at: datetime
    cause: Cause


def period_end(budgets: Sequence[Budget], moment: datetime) -> datetime | None:
    """End of the period around `moment`, of the organization's first budget or else the first budget; None without
    any.
    """
    if not budgets:
        return None
    widest = min(budgets, key=lambda budget: budget.scope.kind is not ScopeKind.ORGANIZATION)
    return widest.period_at(moment).ends_at


def end_of(mode: str, until: datetime | None, ends_period: datetime | None) -> End | None:
    """`until`: requested end. `ends_period`: end of the period in which the mode was switched on."""
    if mode == NORMAL:
        return None
    if until is not None:
        return End(until, Cause.TIME)
    return None if ends_period is None else End(ends_period, Cause.PERIOD)


def due(end: End, since: datetime, now: datetime, *, warned: bool) -> Due | None:
    """`since`: when the mode was switched on. `warned`: whether its end has been announced."""
    if now >= end.at:
        return Due.RETURN
    ahead = min((end.at - since) / WARNING_SHARE, LONGEST_WARNING)
    return Due.WARN if not warned and now >= end.at - ahead else None


SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(days=31)

_DURATION = re.compile(
    r"(?:(\d{1,6})(?:w|wks?|weeks?|週間?))?(?:(\d{1,6})(?:d|days?|日間?))?(?:(\d{1,6})(?:h|hrs?|hours?|時間))?"
    r"(?:(\d{1,6})(?:m|mins?|minutes?|分間?))?",
    re.IGNORECASE,
)
_ONE = re.compile(r"\ban?\s+(?=week|day|hour)", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+|,", re.IGNORECASE)
_NO_MODES = ("mode", "to", "the")
"""Words typed beside a mode, as in `on to minimal mode`."""


class DurationError(ValueError):
    """Not a time, or a time out of bounds; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class SwitchWords:
    """`mode` is empty if none is named, `reason` if none is given, `lasts` None without `for`."""

    mode: str
    lasts: timedelta | None
    reason: str


def switch_words(words: str) -> SwitchWords:
    """Parse `[MODE] [for TIME] [because WORDS…]`; the words after because are kept as typed. Raises `DurationError`."""
    before, reason = split_reason(words)
    listed = words_in(before)
    lowered = [word.lower() for word in listed]
    at = lowered.index("for") if "for" in lowered else len(listed)
    mode = [word for word in listed[:at] if word.lower() not in _NO_MODES]
    return SwitchWords(" ".join(mode), duration(" ".join(listed[at + 1 :])) if at < len(listed) else None, reason)


def duration(text: str) -> timedelta:
    """Parse `2h`, `90m`, `3d`, `1h30m`, `2 hours`, `2hrs.`: 5 minutes to 31 days. Raises `DurationError`."""
    text = " ".join(words_in(text))
    match = _DURATION.fullmatch("".join(_AND.sub(" ", _ONE.sub("1 ", text)).split()))
    if match is None or not any(match.groups()):
        if not text:
            raise DurationError(tr("The time is missing: write it like 90m, 2h, 1h30m or 3d."))
        raise DurationError(tr("{text} is no time: write it like 90m, 2h, 1h30m or 3d.", text=repr(text)))
    weeks, days, hours, minutes = (int(number or 0) for number in match.groups())
    lasts = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= lasts <= LONGEST:
        raise DurationError(tr("{text} is out of bounds: a mode may be on for 5 minutes to 31 days.", text=text))
    return lasts
