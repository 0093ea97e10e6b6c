"""The words after `fallback on` and `off`: which mode, for how long, why."""

import re
from dataclasses import dataclass
from datetime import timedelta

SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(days=31)

_DURATION = re.compile(
    r"(?:(\d{1,6})(?:d|days?))?(?:(\d{1,6})(?:h|hours?))?(?:(\d{1,6})(?:m|min|minutes?))?", re.IGNORECASE
)


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
    before, _, reason = _parted(words, "because")
    mode, with_time, time = _parted(before, "for")
    return SwitchWords(mode, duration(time) if with_time else None, reason)


def duration(text: str) -> timedelta:
    """`2h`, `90m`, `3d`, `1h30m`, `2 hours`: 5 minutes to 31 days. Raises `DurationError`."""
    match = _DURATION.fullmatch("".join(text.split()))
    if match is None or not any(match.groups()):
        said = f"{text.strip()!r} is no time" if text.strip() else "The time is missing"
        raise DurationError(f"{said}: write it like 90m, 2h, 1h30m or 3d.")
    days, hours, minutes = (int(number or 0) for number in match.groups())
    lasts = timedelta(days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= lasts <= LONGEST:
        raise DurationError(f"{text.strip()} is out of bounds: a mode may be on for 5 minutes to 31 days.")
    return lasts


def _parted(words: str, keyword: str) -> tuple[str, bool, str]:
    listed = words.split()
    lowered = [word.lower() for word in listed]
    if keyword not in lowered:
        return " ".join(listed), False, ""
    at = lowered.index(keyword)
    return " ".join(listed[:at]), True, " ".join(listed[at + 1 :])
