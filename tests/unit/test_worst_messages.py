"""Every message that the outbox can send, at its worst, in both languages, as Slack takes it.

The payloads are made from the types of their fields: a new kind of message is tried without a word here.
"""

import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from itertools import cycle, islice
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.incident import Status
from bot.alerts.lifecycle import AdminRequest, Life
from bot.alerts.model import AlertPayload
from bot.alerts.new_period import NewPeriodAlert
from bot.alerts.notice_contents import Content, LifecycleEvent, Payload, dumped
from bot.budgets.budget import LIMITS, Limit, LimitKind, RaisedLimit
from bot.budgets.calendar_store import Expectation
from bot.budgets.change_store import BudgetChange
from bot.budgets.model_news import ChangedPrice, PriceChange, Retirement
from bot.budgets.raises import Raise
from bot.clock import DAY, HOUR
from bot.digests.model import Digest
from bot.display import Display
from bot.language import LANGUAGES
from bot.modes.model import VerificationReport
from bot.notify.languages import Spoken
from bot.notify.model import Action, Address, Notice
from bot.notify.slack_connection import Workspace
from bot.sandbox.block_limits import problems, text_length
from handlers.rendering import RENDERERS, Rendering
from tests.unit.test_blocks import LONGEST_EDIT, MOST_TEXT

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
YEN = Display("JPY", Decimal("151.20"))

MARKUP = "<!channel> <@U0ADMIN> <https://evil.example|click> & *b* _i_ ~s~ `c` "
NAMES = {
    "short": "search",
    "empty": "",
    "markup": (MARKUP * 5)[:300],
    "angles": "<&>" * 100,
    "backquotes": "*_~`" * 75,
    "emoji": "👩\u200d💻🎉🏳️\u200d🌈" * 50,
    "right to left": "\u202eمرحبا\u202c עברית " * 20,
    "japanese": "使用額の予算と上限" * 33,
    "lines": "one\ntwo\r\n\tthree\x00\x07" * 15,
}
"""External texts: names, reasons, errors."""


@dataclass(frozen=True, slots=True)
class Worst:
    """How to make a payload. `many`: length of every list; None leaves out optional parts."""

    name: str
    amount: Decimal
    many: int
    optional: bool


SIZES = {
    "nothing": partial(Worst, amount=Decimal(0), many=0, optional=False),
    "a cent": partial(Worst, amount=Decimal("0.005"), many=1, optional=True),
    "a trillion": partial(Worst, amount=Decimal("1234567890123.455"), many=50, optional=True),
    "five hundred": partial(Worst, amount=Decimal("1000000000000"), many=500, optional=True),
}

KEYS = {"period": "2026-11", "scope": "feature:", "period_kind": "month", "incident": "default/2026-11/hard/600"}
"""Texts that are not from outside: what a budget, a channel or a mode is known by has a form of its own."""


MOST = {
    "movers": 3,
    "causes": 3,
    "callers": 3,
    "parts": 3,
    "shares": 20,
    "savings": 20,
    "approved_by": 5,
    "admins": 50,
    "dimensions": 4,
    "rows": 6,
    "budgets": 30,
    "estimates": 5,
    "cheaper": 3,
    "options": 3,
    "retirements": 20,
    "prices": 7,
    "raised": 2,
}
"""Lists that are cut before they are stored; all others may have any length."""

POSITIVE = {"soft_usd", "hard_usd", "base_usd", "limit_usd", "last_limit_usd"}
LEAST = Decimal("0.01")
"""Least limit, which is never zero."""


def made(kind: Any, worst: Worst, turn: int, name: str = "") -> Any:
    """A value of a type. `turn`: which of several possible values; `name`: of its field."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return made(arguments[0], worst, turn, name)
    if origin in (Union, types.UnionType):
        present = [each for each in arguments if each is not type(None)]
        if len(present) < len(arguments) and not worst.optional:
            return None
        return made(present[turn % len(present)], worst, turn, name)
    if origin is Literal:
        return arguments[turn % len(arguments)]
    if origin in (tuple, frozenset, list):
        if origin is tuple and arguments[-1] is not Ellipsis:
            return tuple(made(each, worst, turn, name) for each in arguments)
        many = min(worst.many, MOST.get(name, worst.many))
        # Nested lists are shorter.
        inner = replace(worst, many=min(worst.many, 3))
        several = [made(arguments[0], inner, turn + index, name) for index in range(many)]
        return origin(several)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        several = [made(arguments[0], worst, turn + index, name) for index in range(min(worst.many, 20))]
        keys = [f"{key}{index}" if type(key) is str else key for index, key in enumerate(several)]
        return {key: made(arguments[1], worst, turn, name) for key in keys}
    return _plain(kind, worst, turn, name)


def _plain(kind: Any, worst: Worst, turn: int, name: str) -> Any:
    simple: dict[Any, Callable[[], Any]] = {
        str: lambda: _text(worst, name),
        bool: lambda: turn % 2 == 0 and worst.optional,
        int: lambda: int(worst.amount) if worst.many > 1 else worst.many,
        Decimal: lambda: max(worst.amount, LEAST) if name in POSITIVE else worst.amount,
        datetime: lambda: NOW + (HOUR if name in ("until", "expires_at", "ends_at", "new_ends_at") else -HOUR),
        date: lambda: NOW.date(),
        timedelta: lambda: DAY,
        ZoneInfo: lambda: ZoneInfo("UTC"),
    }
    if kind in simple:
        return simple[kind]()
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[turn % len(kind)]
    if kind is AlertPayload:
        return payload(_alerts()[turn % len(_alerts())], worst, turn)
    return payload(kind, worst, turn)


def _text(worst: Worst, name: str) -> str:
    if name == "scope":
        return f"feature:{worst.name[:250] or 'a'}"
    if name == "key" and worst.name == NAMES["short"]:
        return "2026-11"
    if name in ("mode", "previous"):
        return worst.name or "normal"
    return KEYS.get(name, worst.name)


def payload(kind: Any, worst: Worst, turn: int) -> Any:
    """A payload, or a part of one, with every field filled in."""
    hints = _hints(kind)
    values = {}
    for each in fields(kind):
        if each.init and not (each.name == "kind" and each.default is not MISSING):
            values[each.name] = made(hints[each.name], _of_field(kind, each.name, worst), turn, each.name)
    found, fix = kind(**values), FIXED.get(kind)
    return found if fix is None else fix(found, worst)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _of_field(kind: type, name: str, worst: Worst) -> Worst:
    """Reasons of alerts are our own words, and the names of models that retire are those of the price table."""
    if issubclass(kind, AlertPayload) and name == "reason":
        return replace(worst, name="crossed")
    if kind is ChangedPrice and name == "kind":
        return replace(worst, name="output")
    return (
        replace(worst, name="Opus 5.5")
        if kind in (Retirement, PriceChange) and name in ("name", "successor")
        else worst
    )


def _change(found: BudgetChange, worst: Worst) -> BudgetChange:
    words = f"search soft=0.01 hard={worst.amount + 1:f} scope=feature:{worst.name[:150].split() and 'a'}"
    return replace(found, before=words if worst.optional else None, after=words)


def _raised(found: RaisedLimit, worst: Worst) -> RaisedLimit:
    return replace(found, kind=LIMITS[-1] if found.kind is LimitKind.THRESHOLD else found.kind)


def _digest(found: Digest, worst: Worst) -> Digest:
    period = replace(found.period, key="2026-11", starts_at=NOW - 30 * DAY, ends_at=NOW + DAY)
    # Its rows add up.
    return replace(found, period=period, rows_usd=sum((row.usd for row in found.rows), Decimal(0)))


def _raise(found: Raise, worst: Worst) -> Raise:
    return replace(found, limit=LIMITS[-1] if found.limit is LimitKind.THRESHOLD else found.limit)


def _limit(found: Limit, worst: Worst) -> Limit:
    return replace(found, usd=max(found.usd, LEAST))


FIXED: Mapping[type, Callable[[Any, Worst], Any]] = {
    BudgetChange: _change,
    RaisedLimit: _raised,
    Digest: _digest,
    Limit: _limit,
    Raise: _raise,
}
"""Makers of payload parts with a fixed form."""


def _alerts() -> list[type[AlertPayload]]:
    return [kind for kind in RENDERERS if issubclass(kind, AlertPayload)]


def turns(kind: type) -> int:
    """Number of runs in which each step of a payload occurs once."""
    hints = get_type_hints(kind)
    counts = [len(hint) for hint in hints.values() if isinstance(hint, type) and issubclass(hint, Enum)]
    literals = [len(get_args(hint)) for hint in hints.values() if get_origin(hint) is Literal]
    return max(2, *counts, *literals)


def notices(content: Payload) -> Iterator[Notice]:
    """Every way in which the outbox sends it."""
    lives = [Life(), Life("U0ADA", NOW, "U0BEN", NOW + HOUR, NOW)]
    expected = Expectation(7, "search", 7, NOW - HOUR, NOW + HOUR, "U0ADA")
    related = Address("C0ALERTS", "1794398400.000000")
    actions: Collection[Action] = ("post", "update", "reply", "broadcast", "details")
    for action, life in zip(actions, cycle(lives), strict=False):
        is_alert = isinstance(content, AlertPayload)
        found = Content(content, related, 7 if is_alert else None, life, expected=expected if is_alert else None)
        owners = ("U0ADA", "S0TEAM") * 5
        yield Notice(
            7,
            action,
            "",
            found,
            0,
            False,
            NOW - HOUR,
            None,
            channel="C0TEAM",
            meant_for=("C0GONE", "C0CLOSED"),
            mention=owners,
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", RENDERERS, ids=lambda kind: kind.__name__)
def test_every_message_of_the_outbox_is_taken_at_its_worst(kind: type[Payload], name: str) -> None:
    for size in SIZES.values() if name == "markup" else [SIZES["a trillion"]]:
        worst = size(NAMES[name])
        for turn in range(turns(kind)):
            content = payload(kind, worst, turn)
            if isinstance(content, AlertPayload) and content.status is Status.WATCHED:
                continue
            dumped(content)
            for language in LANGUAGES:
                rendering = Rendering(
                    [], Workspace("https://t.slack.com/"), YEN, spoken=Spoken(language), channel="C0ALERTS"
                )
                for notice in islice(notices(content), None if name == "markup" and turn < 2 else 2):
                    message = rendering.blocks(notice, NOW + HOUR)
                    assert problems(message.blocks, "message") == [], (size, turn, language, notice.action)
                    assert text_length(message.blocks) <= MOST_TEXT
                    assert len(message.text) <= LONGEST_EDIT or not _is_edited(content)
                    assert message.text.strip()
                    assert "<!channel>" not in message.text
                    assert "<https://evil" not in message.text
                plain = rendering.plain(next(notices(content)), NOW)
                assert plain.title.strip()
                assert "<!date" not in plain.body


def _is_edited(content: Payload) -> bool:
    return not isinstance(content, Digest | LifecycleEvent | NewPeriodAlert | AdminRequest | VerificationReport)
