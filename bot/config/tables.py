"""Tables of the TOML file other than budgets and rules of detectors: each is validated and converted into the product's
own values.
"""

import re
from datetime import time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from bot.alerts.incident import AlertKind, Level, level_of
from bot.alerts.rules import ALL_BUT_ROUTINE, AlertRules
from bot.budgets.budget import ORGANIZATION, LimitKind, PeriodKind, Scope, Weekday, parse_scope
from bot.budgets.parsing import LONGEST_SCOPE
from bot.db.backup import KEPT_BACKUPS
from bot.db.retention import Retention
from bot.digests.schedule import MOST_BUDGETS, NINE, DigestRule
from bot.display import USD, Display
from bot.fallback.auto import FallbackRules
from bot.language import LANGUAGES, known_languages
from bot.ledger.model import LedgerRules
from bot.notify.model import SLACK
from bot.secret_shapes import CHANNEL, WORD, quoted
from bot.strict_fields import Minutes, Number, Percent, Table, Zone

_ALERTS, _FALLBACK, _LEDGER, _RETENTION = AlertRules(), FallbackRules(), LedgerRules(), Retention()
"""The defaults of keys that are left out."""

AUTO_LEVELS = (LimitKind.HARD, AlertKind.FORECAST, AlertKind.SPIKE)
"""Alerts at which the bot may step down the fallback chain automatically."""

MOST_APPROVALS = 5
LEAST_KEPT_DAYS, MOST_KEPT_DAYS = 100, 3660
INGEST_TOKEN = re.compile(r"[!-~]+")
"""Characters that an HTTP header can carry, without spaces."""

NamedLevel = Annotated[Level, BeforeValidator(level_of)]


def _minutes(span: timedelta | None) -> int:
    return 0 if span is None else span // timedelta(minutes=1)


class AlertsTable(Table):
    """`[alerts]`."""

    escalate_minutes: Minutes = _minutes(_ALERTS.escalate_after)
    escalate_levels: Annotated[frozenset[NamedLevel], Field(min_length=1)] = _ALERTS.escalate_levels
    channel_levels: frozenset[NamedLevel] = _ALERTS.channel_levels

    def rules(self) -> AlertRules:
        after = timedelta(minutes=self.escalate_minutes) if self.escalate_minutes else None
        return AlertRules(after, self.escalate_levels, self.channel_levels)


class DisplayTable(Table):
    """`[display]`."""

    currency: str = USD.currency
    rate: Number | None = None
    tax_percent: Percent | None = None
    languages: dict[str, str] = Field(default_factory=dict)

    @field_validator("languages")
    @classmethod
    def _spoken(cls, values: dict[str, str]) -> dict[str, str]:
        for channel, language in values.items():
            if not re.fullmatch(r"[CG][A-Z0-9]{5,}", channel):
                raise ValueError(f"{quoted(channel, CHANNEL)} is not the id of a channel, such as C0123456789")
            if language not in LANGUAGES:
                raise ValueError(f"{quoted(language, WORD)} is not a language of claude-cost: {known_languages()}")
        return values

    @field_validator("currency")
    @classmethod
    def _code(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Z]{3}", value):
            raise ValueError(
                f"{quoted(value, WORD)} is not a currency code of ISO 4217; write three capitals, such as JPY or EUR"
            )
        return value

    @model_validator(mode="after")
    def _one_rate(self) -> "DisplayTable":
        if self.currency == USD.currency and self.rate is not None:
            raise ValueError("remove rate: sums are in USD already")
        if self.currency != USD.currency and self.rate is None:
            raise ValueError(f'set rate to the units of {self.currency} for 1 USD, such as "151.20"')
        return self

    def display(self) -> Display:
        return Display(self.currency, USD.rate if self.rate is None else self.rate, self.tax_percent)


class FallbackTable(Table):
    """`[fallback]`."""

    auto: bool = _FALLBACK.auto
    auto_levels: Annotated[frozenset[NamedLevel], Field(min_length=1)] = _FALLBACK.auto_levels
    approvals: Annotated[int, Field(strict=True, ge=0, le=MOST_APPROVALS)] = _FALLBACK.approvals
    approval_minutes: Annotated[Minutes, Field(ge=1)] = _minutes(_FALLBACK.approval_lasts)

    @field_validator("auto_levels")
    @classmethod
    def _worth_a_switch(cls, value: frozenset[Level]) -> frozenset[Level]:
        others = sorted(value.difference(AUTO_LEVELS))
        if others:
            raise ValueError(f"{others[0]} switches nothing: use {', '.join(AUTO_LEVELS)}")
        return value

    def rules(self) -> FallbackRules:
        return FallbackRules(self.auto, self.auto_levels, self.approvals, timedelta(minutes=self.approval_minutes))


class PrivacyTable(Table):
    """`[privacy]`. `user_spend`: who may see what single users spend."""

    user_spend: Literal["admins", "everyone"] = "admins"

    @property
    def hides_users(self) -> bool:
        return self.user_spend != "everyone"


class BackupTable(Table):
    """`[backup]`. `keep`: how many daily backups stay."""

    keep: Annotated[int, Field(strict=True, ge=1, le=MOST_KEPT_DAYS)] = KEPT_BACKUPS


class RetentionTable(Table):
    """`[retention]`. Days; the minimum is more than the longest period and its comparison with the one before."""

    notice_days: Annotated[int, Field(strict=True, ge=LEAST_KEPT_DAYS, le=MOST_KEPT_DAYS)] = _RETENTION.notices.days
    change_days: Annotated[int, Field(strict=True, ge=LEAST_KEPT_DAYS, le=MOST_KEPT_DAYS)] = _RETENTION.changes.days
    usage_days: Annotated[int, Field(strict=True, ge=LEAST_KEPT_DAYS, le=MOST_KEPT_DAYS)] | None = None
    ledger_days: Annotated[int, Field(strict=True, ge=LEAST_KEPT_DAYS, le=MOST_KEPT_DAYS)] | None = None

    def rules(self) -> Retention:
        return Retention(
            timedelta(days=self.notice_days),
            timedelta(days=self.change_days),
            None if self.usage_days is None else timedelta(days=self.usage_days),
            None if self.ledger_days is None else timedelta(days=self.ledger_days),
        )


class LedgerTable(Table):
    """`[ledger]`. The address of ClickHouse may hold a password, so it may also come from a file."""

    url: SecretStr | None = None
    url_file: str | None = None
    keep_days: Annotated[int, Field(strict=True, ge=1, le=MOST_KEPT_DAYS)] = _LEDGER.keep.days
    hash_users: bool = _LEDGER.hash_users

    @model_validator(mode="after")
    def _one_address(self) -> "LedgerTable":
        if self.url is not None and self.url_file is not None:
            raise ValueError("set url or url_file, one of them")
        return self

    def rules(self) -> LedgerRules:
        return LedgerRules(timedelta(days=self.keep_days), self.hash_users)


class IngestTable(Table):
    """One `[[ingest]]`: who may send usage, and nothing else. The token may also come from a file."""

    name: str = Field(min_length=1, max_length=60)
    token: SecretStr | None = None
    token_file: str | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", value):
            raise ValueError("a name of a sender has letters, digits, spaces, dots, - and _")
        return value

    @model_validator(mode="after")
    def _one_token(self) -> "IngestTable":
        if (self.token is None) == (self.token_file is None):
            raise ValueError("set token or token_file, one of them")
        return self


def _time(value: object) -> time:
    """`09:00`, by the wall clock."""
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", str(value).strip())
    if found is None:
        raise ValueError('write the hour by a clock of 24 hours, as in "09:00"')
    return time(int(found[1]), int(found[2]))


def _weekday(value: object) -> Weekday:
    """`mon` or `monday`."""
    word = str(value).strip().lower()
    found = next((day for day in Weekday if len(word) >= 3 and day.startswith(word)), None)
    if found is None:
        raise ValueError("write a day of the week, as in mon")
    return found


class DigestTable(Table):
    """One `[[digest]]`: a summary of a day, a week or a month, posted to a channel."""

    channel: str | None = None
    every: PeriodKind
    at: Annotated[time, BeforeValidator(_time)] = NINE
    zone: Zone = "UTC"
    on: Annotated[Weekday, BeforeValidator(_weekday)] = Weekday.MONDAY
    budgets: Annotated[tuple[str, ...], Field(max_length=MOST_BUDGETS)] = ()
    scope: Annotated[Scope | None, BeforeValidator(lambda value: parse_scope(str(value)))] = None

    @field_validator("channel")
    @classmethod
    def _id(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z][A-Za-z0-9_-]{0,80}", value):
            raise ValueError(f"{quoted(value, CHANNEL)} is not a channel id; write it as in C0123456789")
        return value

    @field_validator("scope")
    @classmethod
    def _short(cls, value: Scope | None) -> Scope | None:
        if value is not None and len(str(value)) > LONGEST_SCOPE:
            raise ValueError(f"a scope has at most {LONGEST_SCOPE} characters")
        return value

    def rule(self) -> DigestRule:
        scope = None if self.scope == ORGANIZATION else self.scope
        return DigestRule(self.every, self.channel, self.at, ZoneInfo(self.zone), self.on, self.budgets, scope)


class DestinationTable(Table):
    """One `[[destination]]`. The URL may hold a secret, so it may also come from a file.

    Period-start notices only go to the channel, unless a destination asks for them.
    """

    url: SecretStr | None = None
    url_file: str | None = None
    levels: Annotated[frozenset[NamedLevel], Field(min_length=1)] = ALL_BUT_ROUTINE
    name: str | None = Field(default=None, min_length=1, max_length=60)

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and not (value.isprintable() and value.strip()):
            raise ValueError("a name is shown to people; use letters they can read")
        if value == SLACK:
            raise ValueError(f"{SLACK} is the alert channel itself; use another name")
        return value

    @model_validator(mode="after")
    def _one_address(self) -> "DestinationTable":
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or url_file, one of them")
        return self
