"""An incident: its kind, identity and steps. Light to import, unlike what detects and draws it. Pure.

An incident is known by its kind, its subject, its key, and its limit where it is about one. The subject is a budget, a
destination, or what belongs to neither. The key is the budget's period, or the moment or day at which it began.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from bot.budgets.budget import Limit, LimitKind


class AlertKind(StrEnum):
    """Every kind of alert, in the order in which a cycle looks for them.

    The value is what people write in the TOML file, what is stored, and part of the visible id. The name leads to all
    that there is of it: `NoDataAlert` and `NoDataDetector` in `bot/alerts/no_data.py`, `no_data_message` and
    `no_data_line` in `handlers/render/no_data_alert.py`.
    """

    LIMIT = "limit"
    NO_DATA = "stale"
    NEW_PERIOD = "period"
    FORECAST = "forecast"
    SPIKE = "spike"
    DRIFT = "drift"
    DELIVERY = "delivery"
    FIRST_SEEN = "first_seen"
    OUTLIER = "outlier"
    UNATTRIBUTED = "unattributed"
    RETIREMENT = "retirement"

    @property
    def module(self) -> str:
        """`no_data`: what its files are called."""
        return self.name.lower()

    @property
    def class_prefix(self) -> str:
        """`NoData`: how the names of its payload and its detector begin."""
        return self.module.title().replace("_", "")


Level = LimitKind | AlertKind
"""What a destination may receive, under its name in the TOML file: a limit is named by its own kind."""

LEVELS: tuple[Level, ...] = (*LimitKind, *(kind for kind in AlertKind if kind is not AlertKind.LIMIT))
"""In the order in which people read them."""


def level_of(name: object) -> Level:
    """The level of this name. Raises ValueError with one clause where there is none."""
    found = next((level for level in LEVELS if level == name), None)
    if found is None:
        raise ValueError(f"use {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
    return found


MINUTE_KEY = "%Y-%m-%dT%H:%MZ"

LONGEST_SUBJECT = 128
"""Characters."""

DATA, BILL, LOGS, ATTRIBUTION = "data", "bill", "logs", "attribution"
"""Subjects of incidents that belong to no budget."""


def subject_of(text: str) -> str:
    """A text from outside as a subject: a long one is cut, and ends in digits that stand for it alone."""
    if len(text) <= LONGEST_SUBJECT:
        return text
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: LONGEST_SUBJECT - len(digits) - 1]}…{digits}"


def minute_key(moment: datetime) -> str:
    """`2026-11-26T14:03Z`: how an incident that belongs to no period is known by the moment at which it began."""
    return moment.astimezone(UTC).strftime(MINUTE_KEY)


def moment_of(key: str) -> datetime:
    """The moment that `minute_key` names."""
    return datetime.strptime(key, MINUTE_KEY).replace(tzinfo=UTC)


class Status(StrEnum):
    """The state of an incident. `watched`: the limit is in force and was not seen crossed yet."""

    WATCHED = "watched"
    OPEN = "open"
    SUPERSEDED = "superseded"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Identity:
    """By which an incident is known. `limit`: None where it is about none."""

    kind: AlertKind
    subject: str
    key: str
    limit: Limit | None = None

    @property
    def level(self) -> Level:
        """What people call it: a limit's alert goes by the kind of its limit."""
        return self.limit.kind if self.kind is AlertKind.LIMIT and self.limit is not None else self.kind

    def visible(self, last: Decimal | None = None) -> str:
        """The id that messages show and are found again by: `default/2026-11/soft/400`.

        `last`: a sum to end with instead of the limit. Without either it ends with 0.
        """
        sum_ = last if last is not None else Decimal(0) if self.limit is None else self.limit.usd
        return f"{self.subject}/{self.key}/{self.level}/{sum_:f}"


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known of one incident of a subject and a key. `limit`: None where it is about none."""

    kind: AlertKind
    limit: Limit | None
    status: Status

    @property
    def limit_kind(self) -> LimitKind | None:
        return None if self.limit is None else self.limit.kind

    @property
    def limit_usd(self) -> Decimal | None:
        return None if self.limit is None else self.limit.usd


@dataclass(frozen=True, slots=True)
class Step:
    """One incident changes to `status`, and the message that it has, if any, is edited. `reason`: one clause.

    `post`: it belongs in the channel: one without a message gets one, never a second one.
    """

    limit: Limit | None
    status: Status
    reason: str
    post: bool = False

    @property
    def limit_kind(self) -> LimitKind | None:
        return None if self.limit is None else self.limit.kind

    @property
    def limit_usd(self) -> Decimal | None:
        return None if self.limit is None else self.limit.usd
