"""Incidents: kind, identity and steps. Pure, and light to import, unlike what detects and renders them.

An incident is identified by its kind, subject, key, and limit if it has one. The subject is a budget, a destination, or
one of the fixed subjects below. The key is the budget's period, or the moment or day on which it began.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from bot.budgets.budget import Limit, LimitKind


class AlertKind(StrEnum):
    """Every kind of alert, in the order in which a cycle checks them.

    The value is stored, used in the TOML file, and part of the visible id. Names follow from it: `NoDataAlert` and
    `NoDataDetector` in `bot/alerts/no_data.py`, `no_data_message` and `no_data_line` in
    `handlers/render/no_data_alert.py`.
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
        """Name of its modules, such as `no_data`."""
        return self.name.lower()

    @property
    def class_prefix(self) -> str:
        """Prefix of its payload and detector classes, such as `NoData`."""
        return self.module.title().replace("_", "")


Level = LimitKind | AlertKind
"""A level that a destination may receive, as named in the TOML file: limits are named by their own kind."""

LEVELS: tuple[Level, ...] = (*LimitKind, *(kind for kind in AlertKind if kind is not AlertKind.LIMIT))
"""All levels, in display order."""


def level_of(name: object) -> Level:
    """The level with this name. Raises ValueError, one clause, if there is none."""
    found = next((level for level in LEVELS if level == name), None)
    if found is None:
        raise ValueError(f"use {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
    return found


MINUTE_KEY = "%Y-%m-%dT%H:%MZ"

LONGEST_SUBJECT = 128
"""Longest subject, in characters."""

DATA, BILL, LOGS, ATTRIBUTION = "data", "bill", "logs", "attribution"
"""Subjects of incidents that belong to no budget."""


def subject_of(text: str) -> str:
    """External text as a subject. A long text is cut and ends in a hash that makes it unique."""
    if len(text) <= LONGEST_SUBJECT:
        return text
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: LONGEST_SUBJECT - len(digits) - 1]}…{digits}"


def minute_key(moment: datetime) -> str:
    """Key of an incident that belongs to no period: the minute in which it began, `2026-11-26T14:03Z`."""
    return moment.astimezone(UTC).strftime(MINUTE_KEY)


def moment_of(key: str) -> datetime:
    """The moment that `minute_key` names."""
    return datetime.strptime(key, MINUTE_KEY).replace(tzinfo=UTC)


class Status(StrEnum):
    """State of an incident. `watched`: the limit is in force and has not been crossed yet."""

    WATCHED = "watched"
    OPEN = "open"
    SUPERSEDED = "superseded"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Identity:
    """What identifies an incident. `limit`: None if it is not about a limit."""

    kind: AlertKind
    subject: str
    key: str
    limit: Limit | None = None

    @property
    def level(self) -> Level:
        """The level that people see: for a limit's alert, the kind of the limit."""
        return self.limit.kind if self.kind is AlertKind.LIMIT and self.limit is not None else self.kind

    def visible(self, last: Decimal | None = None) -> str:
        """The id that messages show and are found by: `default/2026-11/soft/400`.

        `last`: amount at the end instead of the limit. Without either the id ends in 0.
        """
        sum_ = last if last is not None else Decimal(0) if self.limit is None else self.limit.usd
        return f"{self.subject}/{self.key}/{self.level}/{sum_:f}"


@dataclass(frozen=True, slots=True)
class Incident:
    """One stored incident of a subject and key. `limit`: None if it is not about a limit."""

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
    """A change of an incident to `status`; its message, if it has one, is edited. `reason`: one clause.

    `post`: post a message if the incident has none yet; there is never a second one.
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
