"""Parses times as logs write them into aware UTC. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

EARLIEST = datetime(2023, 1, 1, tzinfo=UTC)
"""Before the API existed; an earlier time is a field that was never set."""

LATEST_EPOCH = 4_102_444_800
"""2100-01-01 in seconds: a larger number counts milli-, micro- or nanoseconds."""

LONGEST_TIME = 80

_NUMBER = re.compile(r"\d{8,20}(?:\.\d{1,12})?")
_COMPACT = re.compile(r"20\d{6}(?:[0-2]\d[0-5]\d[0-6]\d)?")
_ISO = re.compile(
    r"(?P<day>\d{4}[-/]\d{1,2}[-/]\d{1,2})"
    r"(?:[T _]+(?P<clock>\d{1,2}:\d\d(?::\d\d)?)(?P<fraction>[.,]\d+)?)?"
    r"\s*(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d\d?:?(?:\d\d)?(?::?\d\d)?)?"
    r"(?P<name>(?:\s*(?:\[[\w/+-]+\]|\(?[a-z]{2,5}\)?|m=[+-][\d.]+))*)",
    re.IGNORECASE,
)
_COMMON_LOG = re.compile(r"\[?(\d{1,2})/([A-Za-z]{3})/(\d{4}):(\d\d:\d\d:\d\d)(?: ([+-]\d{4}))?\]?")
_UNIX_DATE = re.compile(r"([A-Za-z]{3}) ([A-Za-z]{3}) +(\d{1,2}) (\d\d:\d\d:\d\d)(?: (UTC|GMT|Z|[+-]\d{4}))? (\d{4})")
_UTC = frozenset({"z", "utc", "gmt"})


def moment_in(value: Any) -> datetime | None:
    """The moment of a JSON value: ISO 8601 and its neighbours, RFC 2822, what `date` prints, or a count since 1970.

    A time without a zone is UTC. None if it is not a time, is before the API existed, or has an uncertain zone.
    """
    try:
        moment = _text(value) if isinstance(value, str) else _number(value)
        if moment is None:
            return None
        if moment.tzinfo is not UTC:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= EARLIEST else None


def _text(text: str) -> datetime | None:
    if not text.isdigit():
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            text = text.strip()
    if not text or len(text) > LONGEST_TIME:
        return None
    if _NUMBER.fullmatch(text):
        return _number(int(text) if text.isdigit() else float(text))
    written = _ISO.fullmatch(text)
    if written is not None:
        return _written(written)
    common = _COMMON_LOG.fullmatch(text)
    if common is not None:
        day, month, year, clock, offset = common.groups()
        text = f"{day} {month} {year} {clock} {offset or '+0000'}"
    unix = _UNIX_DATE.fullmatch(text)
    if unix is not None:
        _, month, day, clock, zone, year = unix.groups()
        text = f"{day} {month} {year} {clock} {zone if zone and zone[0] in '+-' else '+0000'}"
    return _mail_date(text)


def _number(value: Any) -> datetime | None:
    """Seconds, milli-, micro- or nanoseconds since 1970; a day as 20260901; or an object that wraps a time."""
    if isinstance(value, dict):
        wrapped = value.get("$date")
        return None if wrapped is None or isinstance(wrapped, dict) else moment_in(wrapped)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e20:
        return None
    if isinstance(value, int) and _COMPACT.fullmatch(str(value)):
        return datetime.strptime(str(value).ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    seconds = float(value)
    while seconds > LATEST_EPOCH:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC)


def _written(written: re.Match[str]) -> datetime | None:
    """ISO 8601 and common variations: spaces, slashes, a zone in words, 24:00, a leap second."""
    if written["name"] and not written["zone"]:
        return None  # a zone by its name alone: EST is at least three of them
    year, month, day = map(int, re.split("[-/]", written["day"]))
    moment = datetime(year, month, day, tzinfo=UTC)
    hour, minute, second = (*map(int, (written["clock"] or "0:0").split(":")), 0)[:3]
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        raise ValueError("no time of day")
    fraction = float("0." + written["fraction"][1:7]) if written["fraction"] else 0
    moment += timedelta(hours=hour, minutes=minute, seconds=min(second, 59) + fraction)
    zone = (written["zone"] or "z").lower().removeprefix("utc").removeprefix("gmt") or "z"
    if zone in _UTC:
        return moment
    digits = zone[1:].replace(":", "").ljust(4, "0") if len(zone) != 2 else f"0{zone[1]}00"
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]))
    return moment - offset if zone[0] == "+" else moment + offset


def _mail_date(text: str) -> datetime | None:
    """RFC 2822; rejects undefined zones such as JST, which would be read as UTC."""
    from email.utils import parsedate_to_datetime  # Import lazily: its imports take longer than everything else here.

    moment = parsedate_to_datetime(text)
    if moment.tzinfo is None and not text.endswith(("-0000", "GMT", "UTC")):
        last = text.split()[-1]
        if last.isalpha():
            return None
    return moment
