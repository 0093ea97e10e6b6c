"""Parse a digest typed in chat: `weekly at=09:00 zone=Asia/Tokyo for=team:search`. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import time
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from bot.budgets.budget import ORGANIZATION, PeriodKind, Scope, ScopeKind, Weekday, parse_scope
from bot.budgets.owners import Teams, channel_id, ids_in
from bot.budgets.parsing import LONGEST_SCOPE
from bot.digests.schedule import OF_BUDGET, DigestRule
from bot.language import LANGUAGES, tr
from bot.listed import any_of
from bot.typed_text import cleaned, nearest

EXAMPLE = "weekly at=09:00 zone=Asia/Tokyo for=team:search"

KEYS = ("at", "zone", "on", "for", "channel", "lang")

FREQUENCIES: Mapping[PeriodKind, tuple[str, ...]] = {
    PeriodKind.DAY: ("daily", "day", "毎日", "日次"),
    PeriodKind.WEEK: ("weekly", "week", "毎週", "週次"),
    PeriodKind.MONTH: ("monthly", "month", "month-close", "close", "毎月", "月次"),
}
"""Accepted words; the first one is used when written back."""

EVERYTHING = ("organization", "organisation", "org", "everything", "all", "全体", "組織", "組織全体")

_OTHER_NAMES = {
    "time": "at",
    "hour": "at",
    "tz": "zone",
    "timezone": "zone",
    "day": "on",
    "weekday": "on",
    "about": "for",
    "scope": "for",
    "in": "channel",
    "to": "channel",
    "language": "lang",
}
_WEEKDAYS_JA = dict(zip("月火水木金土日", Weekday, strict=True))
_LANGUAGE_NAMES = {"english": "en", "英語": "en", "japanese": "ja", "日本語": "ja"}
_SHORT_ZONES = {"jst": "Asia/Tokyo", "gmt": "UTC", "z": "UTC"}
_FILLERS = frozenset({"every", "each", "a", "the", "digest", "digests", "report", "and"})
_SIGN = re.compile(rf"(?<!\S)({'|'.join((*KEYS, *_OTHER_NAMES))})\s*=\s*", re.IGNORECASE)
_COLON = re.compile(r"(?<!\S)(at|zone|channel|lang)\s*:\s*", re.IGNORECASE)
_BEFORE = re.compile(r"(?<!\S)(at|on|for|about|in|to)\s+(?=\S)", re.IGNORECASE)
_TIME = re.compile(r"(\d{1,2})(?:[:.h](\d{2})|時(?:(\d{1,2})分)?)?\s*(am|pm)?(?:に)?", re.IGNORECASE)
_CHANNEL = re.compile(r"[CG][A-Z0-9]{5,}")


class DigestWordsError(Exception):
    """The words are not a valid digest; the message is one sentence with the remedy. `key`: of the wrong value, if
    any.
    """

    def __init__(self, sentence: str, key: str = "") -> None:
        super().__init__(sentence)
        self.key = key


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody typed. A field is None if omitted. `about`: as typed, empty for the organization."""

    every: PeriodKind | None = None
    at: time | None = None
    zone: ZoneInfo | None = None
    on: Weekday | None = None
    about: str | None = None
    channel: str | None = None
    language: str | None = None


def digest_wish(typed: str) -> Wish:
    """Parse the words, in any order, with or without keys. Raises `DigestWordsError`."""
    text = _COLON.sub(r"\1=", cleaned(ids_in(typed)))
    text = _SIGN.sub(lambda found: f"{found[1]}=", text)
    # `every monday at 9 in #finance`: join a small word with the one after it.
    text = re.sub(r"(?<!\S)month close(?!\S)", "monthly", text, flags=re.IGNORECASE)
    text = _BEFORE.sub(
        lambda found: f"{found[1]}=", re.sub(r"(?<=\d)\s+(?=(?:am|pm)\b)", "", text, flags=re.IGNORECASE)
    )
    wish = Wish()
    for word in (each.strip(",;") for each in text.split()):
        if word.strip("-=") and word.lower() not in _FILLERS:
            wish = _with(wish, word)
    if wish.on is not None:
        if wish.every not in (None, PeriodKind.WEEK):
            day = tr("A day of the week is for a weekly digest: leave {word} out.", word=f"on={wish.on}")
            raise DigestWordsError(day, "on")
        wish = replace(wish, every=PeriodKind.WEEK)
    return wish


def _with(wish: Wish, word: str) -> Wish:
    name, equals, value = word.partition("=")
    if equals and (key := _OTHER_NAMES.get(name.lower(), name.lower())) in KEYS:
        return _keyed(wish, key, name.lower(), value)
    every = next((kind for kind, names in FREQUENCIES.items() if word.lower() in names), None)
    if every is not None:
        return _once(wish, "every", every, word)
    if (on := _weekday(word)) is not None:
        return _once(wish, "on", on, word)
    if _TIME.fullmatch(word) is not None and not word.isdecimal():
        return _once(wish, "at", time_of(word), word)
    if word.lower() in _LANGUAGE_NAMES or word.lower() in LANGUAGES:
        return _once(wish, "language", language_code(word), word)
    if _CHANNEL.fullmatch(word):
        return _once(wish, "channel", word, word)
    if ":" in word or word.lower() in EVERYTHING:
        return _once(wish, "about", _about(word), word)
    if "/" in word or word.lower() in _zones() or word.lower() in _SHORT_ZONES:
        return _once(wish, "zone", zone_of(word), word)
    raise DigestWordsError(_unknown(word))


def _unknown(word: str) -> str:
    known = [name for names in FREQUENCIES.values() for name in names if name.isascii()]
    near = nearest(word.partition("=")[0], [*known, *KEYS, *Weekday])
    if near is not None and near in KEYS:
        near = f"{near}="
    if near is not None:
        return tr("{word} is not known here: did you mean {near}?", word=f"`{word[:40]}`", near=f"`{near}`")
    return tr(
        "{word} is not known here: write it as in {example}.", word=f"`{word[:40]}`", example=f"`digest on {EXAMPLE}`"
    )


def _keyed(wish: Wish, key: str, name: str, value: str) -> Wish:
    if not value:
        raise DigestWordsError(tr("{key}= has no value: write one, or leave {key} out.", key=name), key)
    if name in ("on", "in") and key != "lang" and value.lower() in _LANGUAGE_NAMES:
        key = "lang"
    elif name in ("in", "to", "on") and _CHANNEL.fullmatch(value):
        key = "channel"
    match key:
        case "at":
            return _once(wish, "at", time_of(value), value)
        case "zone":
            return _once(wish, "zone", zone_of(value), value)
        case "on":
            return _once(wish, "on", weekday_of(value), value)
        case "for":
            return _once(wish, "about", _about(value), value)
        case "channel":
            try:
                return _once(wish, "channel", channel_id(value), value)
            except ValueError as error:
                raise DigestWordsError(f"{error}.", key) from None
        case _:
            return _once(wish, "language", language_code(value), value)


def _once(wish: Wish, field: str, value: object, word: str) -> Wish:
    if getattr(wish, field) not in (None, value):
        raise DigestWordsError(tr("{word} says it a second time: keep one of them.", word=f"`{word}`"), field)
    changed: dict[str, Any] = {field: value}
    return replace(wish, **changed)


def time_of(text: str) -> time:
    """A time of day: `9`, `09:00`, `9pm`, `9時`. Raises `DigestWordsError`."""
    found = _TIME.fullmatch(cleaned(text))
    if found is not None:
        hour, minute = int(found[1]), int(found[2] or found[3] or 0)
        half = (found[4] or "").lower()
        if half and 1 <= hour <= 12:
            hour = hour % 12 + (12 if half == "pm" else 0)
        elif half:
            hour = 99
        if hour < 24 and minute < 60:
            return time(hour, minute)
    raise DigestWordsError(tr("“{value}” is no hour: write it like 09:00 or 17:30.", value=text[:40]), "at")


def weekday_of(text: str) -> Weekday:
    """`mon`, `monday`, `月`. Raises `DigestWordsError`."""
    found = _weekday(text)
    if found is None:
        raise DigestWordsError(tr("“{value}” is no day of the week: write it like mon.", value=text[:40]), "on")
    return found


def _weekday(text: str) -> Weekday | None:
    word = text.strip().lower()
    if word.removesuffix("曜日").removesuffix("曜") in _WEEKDAYS_JA:
        return _WEEKDAYS_JA[word.removesuffix("曜日").removesuffix("曜")]
    word = word.removesuffix("s") if len(word) > 4 else word
    return next((day for day in Weekday if len(word) >= 3 and day.startswith(word)), None)


def zone_of(text: str) -> ZoneInfo:
    """An IANA zone, ignoring case, or its city alone: `tokyo`. Raises `DigestWordsError`."""
    typed = cleaned(text)
    word = typed.lower().replace(" ", "_")
    zones = _zones()
    name = _SHORT_ZONES.get(word) or zones.get(word)
    if name is not None:
        return ZoneInfo(name)
    near = nearest(word, zones, 0.75)
    if near is not None:
        sentence = tr("“{value}” is no time zone: did you mean {near}?", value=typed[:40], near=zones[near])
    else:
        sentence = tr("“{value}” is no time zone: write it like Asia/Tokyo or Europe/Berlin.", value=typed[:40])
    raise DigestWordsError(sentence, "zone")


@cache
def _zones() -> dict[str, str]:
    """Zones by name and by city, in lower case."""
    names = sorted(available_timezones() - {"localtime", "Factory"})
    cities: dict[str, set[str]] = {}
    for name in names:
        region, _, city = name.rpartition("/")
        if region and not region.startswith(("Etc", "SystemV", "posix", "right")):
            cities.setdefault(city.lower(), set()).add(name)
    alone = {city: next(iter(found)) for city, found in cities.items() if len(found) == 1}
    return {**alone, **{name.lower(): name for name in names}}


def language_code(text: str) -> str:
    """`ja`, `Japanese`. Raises `DigestWordsError`."""
    word = text.strip().lower()
    code = _LANGUAGE_NAMES.get(word, word)
    if code not in LANGUAGES:
        known = any_of([f"{code} ({name})" for code, name in LANGUAGES.items()])
        raise DigestWordsError(
            tr("“{value}” is no language of claude-cost: write {known}.", value=text[:40], known=known), "lang"
        )
    return code


def _about(word: str) -> str:
    if word.lower() in EVERYTHING:
        return ""
    if len(word) > LONGEST_SCOPE:
        raise DigestWordsError(
            tr("What a digest is about has at most {number} characters.", number=LONGEST_SCOPE), "for"
        )
    return word


def about(rule: DigestRule, typed: str, budgets: Collection[str], teams: Teams) -> DigestRule:
    """The rule with the typed subject: a budget or a team by name, or a scope. Raises `DigestWordsError`.

    `budgets`: names of those in force.
    """
    kind, colon, value = typed.partition(":")
    rule = replace(rule, scope=None, budget=None)
    if not typed or typed.lower() in EVERYTHING:
        return rule
    if colon and f"{kind.lower()}:" == OF_BUDGET:
        if value not in budgets:
            raise DigestWordsError(_no_budget(value, budgets), "for")
        return replace(rule, budget=value)
    if not colon:
        if typed in budgets:
            return replace(rule, budget=typed)
        if (team := teams.find(typed)) is not None:
            return replace(rule, scope=Scope(ScopeKind.TEAM, team.name))
        raise DigestWordsError(_no_budget(typed, [*budgets, *teams.names]), "for")
    try:
        scope = parse_scope(f"{kind.lower()}:{value}")
    except ValueError:
        raise DigestWordsError(
            tr(
                "“{value}” is nothing that a digest is about: write team:NAME, budget:NAME or a scope such as "
                "feature:NAME, or leave it out for the whole organization.",
                value=typed[:40],
            ),
            "for",
        ) from None
    if scope.kind is ScopeKind.TEAM:
        team = teams.find(scope.value)
        if team is None:
            raise DigestWordsError(teams.unknown(scope.value or "") or "", "for")
        scope = Scope(ScopeKind.TEAM, team.name)
    return replace(rule, scope=None if scope == ORGANIZATION else scope)


def _no_budget(name: str, known: Collection[str]) -> str:
    near = nearest(name, known)
    if near is not None:
        return tr("There is no budget and no team {name}: did you mean {near}?", name=name[:60], near=near)
    return tr("There is no budget and no team {name}: `budget list` names the budgets.", name=name[:60])


def rule_words(rule: DigestRule) -> str:
    """Words that parse to this rule."""
    values = {
        "at": f"{rule.at:%H:%M}",
        "zone": rule.zone.key,
        "on": rule.on.value if rule.every is PeriodKind.WEEK else "",
        "for": rule.about,
        "channel": rule.channel or "",
        "lang": rule.language or "",
    }
    return " ".join([FREQUENCIES[rule.every][0], *(f"{key}={value}" for key, value in values.items() if value)])


def rule_from(words: str) -> DigestRule:
    """Parse words that `rule_words` made. Raises `DigestWordsError` if this version cannot read them."""
    name, *values = words.split(" ")
    found = dict(value.split("=", maxsplit=1) for value in values if "=" in value)
    every = next((kind for kind, names in FREQUENCIES.items() if name == names[0]), None)
    about, on = found.get("for", ""), found.get("on")
    if every is None or not found.keys() <= set(KEYS):
        raise DigestWordsError(_unknown(words))
    try:
        is_budget = about.startswith(OF_BUDGET)
        return DigestRule(
            every,
            found.get("channel"),
            time_of(found["at"]),
            ZoneInfo(found["zone"]),
            Weekday.MONDAY if on is None else Weekday(on),
            scope=None if not about or is_budget else parse_scope(about),
            budget=about.removeprefix(OF_BUDGET) if is_budget else None,
            language=found.get("lang"),
        )
    except (ValueError, KeyError, OSError):
        raise DigestWordsError(_unknown(words)) from None


def of_wish(wish: Wish, before: DigestRule) -> DigestRule:
    """The rule `before`, changed by the typed words except for its subject."""
    return replace(
        before,
        every=wish.every or before.every,
        at=before.at if wish.at is None else wish.at,
        zone=wish.zone or before.zone,
        on=wish.on or before.on,
        channel=wish.channel or before.channel,
        language=wish.language or before.language,
    )
