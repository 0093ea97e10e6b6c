"""The words after `fallback on` and `off`: which mode, for how long, why."""

import re
from dataclasses import dataclass
from datetime import timedelta

from bot.typed_text import split_reason, words_in

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
"""Said beside a mode, as in `on to minimal mode`."""


class DurationError(ValueError):
    """Words that are no time, or a time out of bounds; the text is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class SwitchWords:
    """`mode` is empty where none is named, `reason` where none is given, `lasts` None without `for`."""

    mode: str
    lasts: timedelta | None
    reason: str


def switch_words(words: str) -> SwitchWords:
    """`[MODE] [for TIME] [because WORDS…]`, what follows because being taken as it is. Raises `DurationError`."""
    before, reason = split_reason(words)
    listed = words_in(before)
    lowered = [word.lower() for word in listed]
    at = lowered.index("for") if "for" in lowered else len(listed)
    mode = [word for word in listed[:at] if word.lower() not in _NO_MODES]
    return SwitchWords(" ".join(mode), duration(" ".join(listed[at + 1 :])) if at < len(listed) else None, reason)


def duration(text: str) -> timedelta:
    """`2h`, `90m`, `3d`, `1h30m`, `2 hours`, `2hrs.`: 5 minutes to 31 days. Raises `DurationError`."""
    text = " ".join(words_in(text))
    match = _DURATION.fullmatch("".join(_AND.sub(" ", _ONE.sub("1 ", text)).split()))
    if match is None or not any(match.groups()):
        said = f"{text!r} is no time" if text else "The time is missing"
        raise DurationError(f"{said}: write it like 90m, 2h, 1h30m or 3d.")
    weeks, days, hours, minutes = (int(number or 0) for number in match.groups())
    lasts = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= lasts <= LONGEST:
        raise DurationError(f"{text} is out of bounds: a mode may be on for 5 minutes to 31 days.")
    return lasts
