"""Planned spend: times at which high spend is expected, parsed from text. Pure.

An entry starts by the wall clock of its zone. A time skipped by a clock change starts that much later; of one that
occurs twice the first counts. Its length is elapsed time, whatever clocks do.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, auto
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.budgets.budget import ATTRIBUTED, ORGANIZATION, Budget, Scope, ScopeKind, parse_scope
from bot.clock import DAY, HOUR, MINUTE
from bot.language import tr
from bot.typed_text import cleaned, nearest

LONGEST_NAME = 60
MOST_ENTRIES = 100
SHORTEST, LONGEST = 5 * MINUTE, 7 * DAY
EXAMPLE = '"batch night" every fri 22:00 for 6h zone=Asia/Tokyo'

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CalendarWordsError(Exception):
    """The text is not a valid entry; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Days of an entry: of the week (Monday is 0), of the month, or one date; the other two are empty."""

    weekdays: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    on: date | None = None

    def holds(self, day: date) -> bool:
        """Whether an occurrence begins on this day."""
        if self.on is not None:
            return day == self.on
        return day.weekday() in self.weekdays or day.day in self.month_days


@dataclass(frozen=True, slots=True)
class Entry:
    """`at`: start time by the wall clock of `zone`. `scope`: whose spend it is; None for everybody's."""

    name: str
    rule: Rule
    at: time
    lasts: timedelta
    zone: ZoneInfo
    scope: Scope | None = None

    def words(self) -> str:
        """The text after the name that makes this entry, without the scope."""
        rule = self.rule
        if rule.on is not None:
            days = f"on {rule.on.isoformat()}"
        elif rule.month_days:
            days = f"every {','.join(_ordinal(day) for day in rule.month_days)}"
        elif len(rule.weekdays) == len(WEEKDAYS):
            days = "every day"
        else:
            days = f"every {','.join(WEEKDAYS[day] for day in rule.weekdays)}"
        return f"{days} {self.at:%H:%M} for {_length(self.lasts)} zone={self.zone.key}"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of planned or expected spend. `name`: of its entry; None for a one-off expectation.

    `scope`: whose spend; None for everybody's.
    """

    starts_at: datetime
    ends_at: datetime
    scope: Scope | None = None
    name: str | None = None

    def covers(self, scope: Scope) -> bool:
        """Whether all spend of this scope is planned."""
        return self.scope in (None, ORGANIZATION, scope)

    def touches(self, scope: Scope) -> bool:
        """Whether some spend of the scope is planned, as far as scopes alone show."""
        return self.covers(scope) or scope == ORGANIZATION

    def holds(self, moment: datetime) -> bool:
        """Whether it covers `moment`."""
        return self.starts_at <= moment < self.ends_at


class Reach(Enum):
    """Which budgets an entry affects. `LOGGED`: those that count the applications' log; `ATTRIBUTED`: those that count
    Anthropic's attribution; `NOTHING`: none.
    """

    ALL = auto()
    LOGGED = auto()
    ATTRIBUTED = auto()
    NOTHING = auto()


def reach_of(scope: Scope, budgets: Iterable[Budget]) -> Reach:
    """Which budgets a planned time for this scope mutes; a team's scope has its `parts`.

    Anthropic's usage does not tell features, users, tags, products, groups, agents or actors apart, so budgets that
    count it cannot leave any of these out. A team reaches them only through a budget of its own.
    """
    scopes = [budget.scope for budget in budgets]
    teams = {(each.value or "").casefold() for each in scopes if each.kind is ScopeKind.TEAM}
    if scope.kind is ScopeKind.TEAM and (scope.value or "").casefold() not in teams:
        return Reach.NOTHING
    if scope.is_logged:
        return Reach.LOGGED if any(each.is_logged for each in scopes) else Reach.NOTHING
    if scope.kind in ATTRIBUTED:
        return Reach.ATTRIBUTED if any(each.kind is scope.kind for each in scopes) else Reach.NOTHING
    return Reach.ALL


def windows_of(entry: Entry, since: datetime, until: datetime) -> list[Window]:
    """Occurrences that overlap this time; oldest first."""
    if until <= since:
        return []
    # A zone is at most 14 hours ahead of UTC; an occurrence may have begun its whole length before.
    first = (since - entry.lasts - DAY).astimezone(UTC).date()
    days = ((until + DAY).astimezone(UTC).date() - first).days
    found = (_occurrence(entry, first + index * DAY) for index in range(days + 1))
    return [each for each in found if each is not None and each.starts_at < until and each.ends_at > since]


def all_windows(entries: Iterable[Entry], since: datetime, until: datetime) -> list[Window]:
    """Occurrences of several entries, oldest first."""
    found = (window for entry in entries for window in windows_of(entry, since, until))
    return sorted(found, key=lambda window: window.starts_at)


def next_window(entry: Entry, now: datetime) -> Window | None:
    """The current occurrence, or the next one within a year; None if there is none."""
    for months in (2, 13):
        found = windows_of(entry, now, now + months * 31 * DAY)
        if found:
            return found[0]
    return None


def quiet(windows: Sequence[Window], budget: Budget, moment: datetime) -> Window | None:
    """The window that covers everything a budget counts; a one-off expectation covers only its own scope."""
    on = (each for each in windows if each.holds(moment) and each.covers(budget.scope))
    return next((each for each in on if each.name is not None or each.scope == budget.scope), None)


def entry_of(name: str, words: str, scope: Scope | None = None) -> Entry:
    """The entry of stored words. Raises `CalendarWordsError`."""
    found, scope_words = _parsed(name, words)
    return Entry(found.name, found.rule, found.at, found.lasts, found.zone, scope or _scope(scope_words))


def parse_entry(text: str, today: date) -> Entry:
    """Parse `"batch night" every fri 22:00 for 6h [zone=…] [for=feature:…]`. Raises `CalendarWordsError`."""
    name, words = split_name(text)
    if not name:
        raise CalendarWordsError(tr("The name comes first, as in calendar add {example}.", example=EXAMPLE))
    entry = entry_of(name, words)
    if entry.rule.on is not None and entry.rule.on < today - LONGEST:
        raise CalendarWordsError(tr("{day} is over: name a day to come.", day=entry.rule.on.isoformat()))
    return entry


_QUOTED = re.compile(r"\s*[\"'“”„«»「『](.+?)[\"'“”»」』](?:\s+|$)(.*)", re.DOTALL)
_BEGINS = re.compile(r"(?:^|\s)(every|each|on|毎日|毎週|平日)(?=\s|$)", re.IGNORECASE)


def split_name(text: str) -> tuple[str, str]:
    """The name, quoted or up to the word that begins a rule, and the rest."""
    match = _QUOTED.fullmatch(text)
    if match is not None:
        name, rest = match[1], match[2]
    else:
        begins = _BEGINS.search(text)
        name, rest = (text, "") if begins is None else (text[: begins.start()], text[begins.start() :])
    visible = "".join(character if character.isprintable() else " " for character in cleaned(name))
    return " ".join(visible.split())[:LONGEST_NAME].strip(), rest.strip()


_KEY = re.compile(r"(?:^|(?<=\s))-*(zone|for)\s*=\s*(\S+)", re.IGNORECASE)
_LENGTH = re.compile(
    r"(?:(\d{1,2})(?:w|weeks?|週間))?(?:(\d{1,3})(?:d|days?|日間?))?(?:(\d{1,3})(?:h|hrs?|hours?|時間))?"
    r"(?:(\d{1,4})(?:m|mins?|minutes?|分間?))?",
    re.IGNORECASE,
)
_FOR = re.compile(r"\bfor\s+(.+)$", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:^|\s)(?:at\s+)?(\d{1,2}):(\d{2})(?:\s*(am|pm))?(?=\s|$)|(?:^|\s)(?:at\s+)?(\d{1,2})\s*(am|pm)(?=\s|$)", re.I
)
_NAMES = {
    "day": tuple(range(7)),
    "night": tuple(range(7)),
    "weekday": tuple(range(5)),
    "weekdays": tuple(range(5)),
    "workday": tuple(range(5)),
    "weekend": (5, 6),
    "毎日": tuple(range(7)),
    "平日": tuple(range(5)),
    **{name: (number,) for number, name in enumerate(WEEKDAYS)},
    **{f"{name}曜": (number,) for number, name in enumerate("月火水木金土日")},
    **{f"{name}曜日": (number,) for number, name in enumerate("月火水木金土日")},
}
_LONG_NAMES = {
    name: (number,)
    for number, name in enumerate(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))
}
_ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)")


@dataclass(frozen=True, slots=True)
class _Parsed:
    name: str
    rule: Rule
    at: time
    lasts: timedelta
    zone: ZoneInfo


def _parsed(name: str, words: str) -> tuple[_Parsed, str]:
    values: dict[str, str] = {}
    for match in _KEY.finditer(words):
        key = match[1].lower()
        if key in values:
            raise CalendarWordsError(tr("{key}= is given twice: keep one of them.", key=key))
        values[key] = match[2].strip(",;\"'“”")
    text = cleaned(_KEY.sub(" ", words)).lower()
    lasts_for = _FOR.search(text)
    if lasts_for is None:
        raise CalendarWordsError(
            tr("How long it lasts is missing: write for 6h, as in calendar add {example}.", example=EXAMPLE)
        )
    lasts = _lasts(lasts_for[1])
    at, text = _at(text[: lasts_for.start()])
    return _Parsed(name, _rule(text), at, lasts, _zone(values.get("zone", "UTC"))), values.get("for", "")


def _lasts(text: str) -> timedelta:
    match = _LENGTH.fullmatch("".join(text.split()))
    if match is None or not any(match.groups()):
        raise CalendarWordsError(tr("{text} is no length of time: write it like 90m, 6h or 2d.", text=text))
    weeks, days, hours, minutes = (int(number or 0) for number in match.groups())
    lasts = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= lasts <= LONGEST:
        raise CalendarWordsError(tr("{text} is out of bounds: it may last for 5 minutes to 7 days.", text=text))
    return lasts


def _at(text: str) -> tuple[time, str]:
    """The time of day, midnight if none is given, and the text without it."""
    match = _CLOCK.search(text)
    if match is None:
        return time(), text
    hour, minute, half = int(match[1] or match[4]), int(match[2] or 0), match[3] or match[5]
    if half and not 1 <= hour <= 12:
        hour = 24
    elif half:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    if hour > 23 or minute > 59:
        raise CalendarWordsError(tr("{text} is no time of the day: write it like 22:00.", text=match[0].strip()))
    return time(hour, minute), f"{text[: match.start()]} {text[match.end() :]}"


def _rule(text: str) -> Rule:
    words = [word for word in re.split(r"[\s,&+]+|\band\b", text) if word not in ("", "from", "the", "of", "month")]
    first, rest = (words[0], words[1:]) if words else ("", [])
    if first in ("毎日", "平日"):
        first, rest = "every", words
    if first == "毎週":
        first = "every"
    if first == "on" and len(rest) == 1 and re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", rest[0]):
        try:
            return Rule(on=date(*map(int, rest[0].split("-"))))
        except ValueError:
            raise CalendarWordsError(tr("{word} is no day: write it like 2026-12-24.", word=rest[0])) from None
    if first not in ("every", "each", "on") or not rest:
        raise CalendarWordsError(
            tr(
                "Say when: every fri 22:00, every day 02:00, every weekday 08:00, every 1st 00:00 or on 2026-12-24 "
                "18:00."
            )
        )
    weekdays: set[int] = set()
    month_days: set[int] = set()
    for word in rest:
        known = _NAMES.get(word) or _LONG_NAMES.get(word) or _LONG_NAMES.get(word.removesuffix("s"))
        ordinal = _ORDINAL.fullmatch(word)
        if known is not None:
            weekdays |= set(known)
        elif ordinal is not None and 1 <= int(ordinal[1]) <= 31:
            month_days.add(int(ordinal[1]))
        else:
            near = nearest(word, [*_LONG_NAMES, "day", "weekday", "weekend", "1st"])
            if near:
                raise CalendarWordsError(tr("{word} is no day: write {near}, if that is meant.", word=word, near=near))
            raise CalendarWordsError(
                tr("{word} is no day: use day, weekday, a day of the week, or 1st to 31st.", word=word)
            )
    if weekdays and month_days:
        raise CalendarWordsError(tr("Days of the week and of the month are two entries: add one of each."))
    return Rule(tuple(sorted(weekdays)), tuple(sorted(month_days)))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = tr("zone={zone} is no IANA time zone; write it as in zone=Asia/Tokyo.", zone=name)
        raise CalendarWordsError(text) from None


def _scope(text: str) -> Scope | None:
    if not text:
        return None
    try:
        scope = parse_scope(text)
    except ValueError as error:
        raise CalendarWordsError(tr("for={scope} cannot be used: {clause}.", scope=text, clause=error)) from None
    return None if scope == ORGANIZATION else scope


def _occurrence(entry: Entry, day: date) -> Window | None:
    return _window(entry, day) if entry.rule.holds(day) else None


@lru_cache(maxsize=4096)
def _window(entry: Entry, day: date) -> Window:
    starts_at = datetime.combine(day, entry.at, entry.zone).astimezone(UTC)
    return Window(starts_at, starts_at + entry.lasts, entry.scope, entry.name)


def _ordinal(day: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{day}{'th' if 10 <= day % 100 <= 20 else ends.get(day % 10, 'th')}"


def _length(lasts: timedelta) -> str:
    minutes = lasts // MINUTE
    hours, rest = divmod(minutes, HOUR // MINUTE)
    return "".join([f"{hours}h" if hours else "", f"{rest}m" if rest else ""])


def overlap(window: Window, since: datetime, until: datetime) -> Iterator[datetime]:
    """Whole UTC hours between these moments that the window overlaps."""
    hour = max(window.starts_at, since).replace(minute=0, second=0, microsecond=0)
    while hour < min(window.ends_at, until):
        yield hour
        hour += HOUR
