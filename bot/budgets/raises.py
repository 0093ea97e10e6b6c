"""Limits that are raised for a while: which limit is in force when, and how to ask for a raise. Pure.

A raise belongs to one period of its budget and ends with it at the latest. It is stored in the database, so that
budgets of the environment and of the TOML file can be raised too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bot.amounts import usd, usd_amount
from bot.budgets.budget import LIMITS, Budget, LimitKind, Period, RaisedLimit
from bot.budgets.parsing import BudgetWordsError, named_first
from bot.clock import DAY, HOUR, MINUTE
from bot.language import tr, tr_noop
from bot.listed import all_of
from bot.typed_text import nearest, split_reason

REQUEST_LASTS = DAY
"""Longest time a request waits for an admin."""

SHORTEST = 5 * MINUTE
LONGEST = 92 * DAY
LONGEST_REASON = 300
"""Longest reason, in characters."""

EXAMPLE = "search to=900 until=fri because the batch job runs until then"


class RaiseState(StrEnum):
    """`replaced`: by a newer raise of the same limit. `cancelled`: ended early. `void`: what it was asked about has
    changed.
    """

    ASKED = "asked"
    ACTIVE = "active"
    ENDED = "ended"
    REPLACED = "replaced"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    EXPIRED = "expired"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """A raise at one step; its message and its database row hold the same.

    `base_usd`: the limit without it. `approved_by`: the admin; the requester if an admin. `closed_by`: who declined or
    cancelled it, None for time or another change. `with_period`: it ends because its period does. `spent_usd`: spend of
    the budget's period when the raise was requested or ended; None if unknown. `channel`: the budget's own, which has
    its message; None for the main one.
    """

    kind: Literal["raise"] = "raise"
    raise_id: int
    budget: str
    limit: LimitKind
    base_usd: Decimal
    usd: Decimal
    until: datetime
    with_period: bool
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    reason: str
    state: RaiseState
    starts_at: datetime | None = None
    ended_at: datetime | None = None
    approved_by: str | None = None
    closed_by: str | None = None
    spent_usd: Decimal | None = None
    channel: str | None = None

    @property
    def about(self) -> str:
        """The visible id."""
        return f"{self.budget}/raise/{self.raise_id}"

    @property
    def raised(self) -> RaisedLimit | None:
        """The raise as budgets show it; None if it was never in force."""
        if self.starts_at is None:
            return None
        return RaisedLimit(self.limit, self.base_usd, self.usd, self.starts_at, self.ended_at or self.until)


def with_raises(budget: Budget, raises: Sequence[RaisedLimit], now: datetime) -> Budget:
    """The budget with the limits in force at `now`."""
    if not raises:
        return budget
    # If the limit has been changed since, the raise starts from its current value.
    kept = tuple(replace(each, base_usd=base) for each in raises if (base := budget.limit(each.kind)) is not None)
    return at_moment(replace(budget, raises=kept), now)


def at_moment(budget: Budget, moment: datetime) -> Budget:
    """The budget with the limits in force at another moment.

    The newest raise of a limit counts. A raised soft limit counts only while it is below the hard one.
    """
    if not budget.raises:
        return budget
    base = {each.kind: each.base_usd for each in budget.raises}
    limits = {kind: base.get(kind, budget.limit(kind)) for kind in LIMITS}
    plain_soft = limits[LimitKind.SOFT]
    for each in sorted(budget.raises, key=lambda each: each.starts_at):
        if each.holds(moment):
            limits[each.kind] = max(each.base_usd, each.usd)
    soft, hard = limits[LimitKind.SOFT], limits[LimitKind.HARD]
    if soft is not None and hard is not None and soft >= hard:
        soft = plain_soft
    if (soft, hard) == (budget.soft_usd, budget.hard_usd):
        return budget
    return replace(budget, soft_usd=soft, hard_usd=hard)


def at_end_of(budget: Budget, period: Period) -> Budget:
    """The budget with the limits in force when a period ended."""
    return at_moment(budget, period.ends_at - timedelta.resolution)


def next_change(raises: Sequence[RaisedLimit], now: datetime) -> datetime | None:
    """When one of these next begins or ends."""
    return min((at for each in raises for at in (each.starts_at, each.until) if at > now), default=None)


@dataclass(frozen=True, slots=True)
class RaiseWords:
    """What somebody typed, unparsed; `to` and `until` are empty if omitted."""

    budget: str
    to: str
    until: str
    limit: str
    reason: str


_KEYS = ("to", "until", "limit")
_SIGN = re.compile(r"(?<=\s)-*(to|until|limit)\s*[=:]\s*", re.IGNORECASE)
_BARE = re.compile(r"(?<=\s)(to|until)\s+(?=[$\w])", re.IGNORECASE)
_AMOUNT = re.compile(r"(?<=to=)\$?\s*([\d.,_]*\d)\s*(?:usd|dollars?|米?ドル)?(?=[\s,]|$)", re.IGNORECASE)


def split_raise_words(text: str) -> RaiseWords:
    """Split `NAME to=900 until=fri [limit=soft] [because …]`. Raises `BudgetWordsError`."""
    before, reason = split_reason(text)
    name, words = named_first(before)
    if not name or "=" in name:
        raise BudgetWordsError(tr("The name of the budget comes first, as in budget raise {example}.", example=EXAMPLE))
    words = _BARE.sub(r"\1=", _SIGN.sub(r"\1=", f" {words}"))
    values: dict[str, str] = {}
    key = ""
    for word in _AMOUNT.sub(r"\1", words).split():
        typed, equals, value = word.partition("=")
        if equals and typed.lower() in _KEYS:
            key = typed.lower()
            if key in values:
                raise BudgetWordsError(tr("{key}= is given twice: keep one of them.", key=key))
            values[key] = value.strip(",;")
        elif key == "until" and not equals:
            # `until 4 Dec 18:00` is several words.
            values[key] = f"{values[key]} {word.strip(',;')}".strip()
        elif word.strip("-,;"):
            near = nearest(typed, _KEYS)
            if near:
                raise BudgetWordsError(tr("{word} is not known here: did you mean {near}=?", word=word, near=near))
            raise BudgetWordsError(tr("{word} is not known here: use to=, until= and because.", word=word))
    return RaiseWords(name, values.get("to", ""), values.get("until", ""), values.get("limit", ""), reason)


_CURRENCY = re.compile(r"(?:\$|usd|dollars?|米?ドル)$", re.IGNORECASE)


def limit_to_raise(budget: Budget, named: str) -> LimitKind:
    """The named limit, or the highest. Raises `BudgetWordsError`."""
    kinds = [kind for kind in LIMITS if budget.limit(kind) is not None]
    if not named:
        return kinds[-1]
    kind = next((kind for kind in kinds if kind == named.lower()), None)
    if kind is None:
        has = all_of([f"limit={kind}" for kind in kinds])
        raise BudgetWordsError(tr("limit={named} cannot be used: this budget has {has}.", named=named, has=has))
    return kind


AMOUNT_MISSING = {
    LimitKind.SOFT: tr_noop("The amount is missing: type {words}, with more than the soft limit of {limit}."),
    LimitKind.HARD: tr_noop("The amount is missing: type {words}, with more than the hard limit of {limit}."),
}
NOT_ABOVE = {
    LimitKind.SOFT: tr_noop("{amount} is not above the soft limit of {limit}: a raise makes it higher."),
    LimitKind.HARD: tr_noop("{amount} is not above the hard limit of {limit}: a raise makes it higher."),
}


def amount_of(text: str, budget: Budget, kind: LimitKind) -> Decimal:
    """The amount to raise a limit to, USD. Raises `BudgetWordsError`."""
    raised = {each.kind: each for each in budget.raised}
    base = raised[kind].base_usd if kind in raised else budget.limit(kind)
    if not text:
        which = "" if kind is LimitKind.HARD or budget.hard_usd is None else f" limit={kind}"
        words = f"budget raise {budget.name} to=USD until=2d{which}"
        raise BudgetWordsError(tr(AMOUNT_MISSING[kind], words=words, limit="" if base is None else usd(base)))
    try:
        amount = usd_amount(_CURRENCY.sub("", text.replace(" ", "")))
    except ValueError as error:
        raise BudgetWordsError(tr("{text} cannot be used: {clause}.", text=text, clause=error)) from None
    if base is not None and amount <= base:
        raise BudgetWordsError(tr(NOT_ABOVE[kind], amount=usd(amount), limit=usd(base)))
    if kind is LimitKind.SOFT and budget.hard_usd is not None and amount >= budget.hard_usd:
        raise BudgetWordsError(
            tr(
                "{amount} is not below the hard limit of {limit}: raise that one first, or less.",
                amount=usd(amount),
                limit=usd(budget.hard_usd),
            )
        )
    return amount


_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY_NAMES = re.compile(r"mon(day)?|tue(s|sday)?|wed(nesday)?|thu(r|rs|rsday)?|fri(day)?|sat(urday)?|sun(day)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LENGTH = re.compile(
    r"(?:(\d{1,3})(?:w|weeks?|週間?))?(?:(\d{1,3})(?:d|days?|日間?))?(?:(\d{1,4})(?:h|hours?|時間))?"
    r"(?:(\d{1,5})(?:m|min|minutes?|分間?))?"
)
_CLOCK = re.compile(r"(?:^|[t ])(\d{1,2}):(\d{2})$")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_DAY_MONTH = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th)? ?([a-z]{3,9})|([a-z]{3,9}) ?(\d{1,2})(?:st|nd|rd|th)?|(\d{1,2})月(\d{1,2})日"
)
_PERIOD_END = ("period", "end", "month", "week", "end of period", "end of month", "end of week", "期末", "月末")
_NAMED_DAYS = {"today": 0, "tonight": 0, "今日": 0, "tomorrow": 1, "明日": 1, "明後日": 2, "あさって": 2}
_JAPANESE_WEEKDAY = re.compile(r"([月火水木金土日])曜日?")


def until_of(text: str, budget: Budget, now: datetime) -> tuple[datetime, bool]:
    """When a raise ends, and whether because its period ends. A named day counts to its end, in the budget's zone.

    Raises `BudgetWordsError`.
    """
    ends_at = budget.period_at(now).ends_at
    until = _until(" ".join(text.lower().split()).removesuffix("まで"), budget, now, ends_at)
    if until is None:
        if text:
            raise BudgetWordsError(
                tr("{text} is no time: write it like 2d, 4h, fri, tomorrow, 2026-12-01 or period.", text=text)
            )
        raise BudgetWordsError(tr("The time is missing: write it like 2d, 4h, fri, tomorrow, 2026-12-01 or period."))
    if until - now < SHORTEST:
        raise BudgetWordsError(tr("{text} is over: name a time that is at least 5 minutes ahead.", text=text))
    if until - now > LONGEST:
        raise BudgetWordsError(tr("{text} is too far ahead: change the budget itself with budget set.", text=text))
    return min(until, ends_at), until >= ends_at


def _until(text: str, budget: Budget, now: datetime, ends_at: datetime) -> datetime | None:
    if text in _PERIOD_END:
        return ends_at
    match = _LENGTH.fullmatch(text.replace(" ", ""))
    if match is not None and any(match.groups()):
        weeks, days, hours, minutes = (int(number or 0) for number in match.groups())
        return now + weeks * 7 * DAY + days * DAY + hours * HOUR + minutes * MINUTE
    clock = _CLOCK.search(text)
    today = now.astimezone(budget.zone).date()
    named = text[: clock.start()].strip() if clock is not None else text
    day = today if clock is not None and not named else _day(named.removeprefix("next "), today)
    if day is None or (clock is not None and not (int(clock[1]) < 24 and int(clock[2]) < 60)):
        return None
    at = datetime.combine(day, time(int(clock[1]), int(clock[2])) if clock is not None else time(), budget.zone)
    if clock is None:
        at = datetime.combine(day + DAY, time(), budget.zone)
    elif not named and at.astimezone(UTC) <= now:
        at = datetime.combine(day + DAY, at.time(), budget.zone)
    return at.astimezone(UTC)


def _day(text: str, today: date) -> date | None:
    if text in _NAMED_DAYS:
        return today + _NAMED_DAYS[text] * DAY
    if (japanese := _JAPANESE_WEEKDAY.fullmatch(text)) is not None:
        return today + (("月火水木金土日".index(japanese[1]) - today.weekday()) % 7) * DAY
    if text[:3] in _WEEKDAYS and _WEEKDAY_NAMES.fullmatch(text):
        return today + ((_WEEKDAYS.index(text[:3]) - today.weekday()) % 7) * DAY
    try:
        if (iso := _ISO.fullmatch(text)) is not None:
            return date(int(iso[1]), int(iso[2]), int(iso[3]))
        if (match := _DAY_MONTH.fullmatch(text)) is not None:
            day, month = match[1] or match[4] or match[6], match[2] or match[3] or match[5]
            number = int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1
            found = date(today.year, number, int(day))
            return found if found >= today else found.replace(year=today.year + 1)
    except ValueError:
        return None
    return None
