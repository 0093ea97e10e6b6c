"""A budget as people write it, in the TOML file or in chat, and what is wrong with it where something is."""

import re
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bot.budgets.budget import ORGANIZATION, Budget, Scope, parse_scope
from bot.budgets.period import PeriodKind, Weekday
from bot.strict_fields import Table, Usd, Zone

LONGEST_SCOPE = 200
MOST_THRESHOLDS = 10


class WrittenBudget(Table):
    """One `[[budget]]`. Validation says what to write instead."""

    name: str
    scope: Annotated[Scope, BeforeValidator(lambda value: parse_scope(str(value)))] = ORGANIZATION
    period: PeriodKind = PeriodKind.MONTH
    zone: Zone = "UTC"
    week_starts: Weekday = Weekday.MONDAY
    soft_usd: Usd | None = None
    hard_usd: Usd | None = None
    thresholds: Annotated[tuple[Annotated[int, Field(strict=True)], ...], Field(max_length=MOST_THRESHOLDS)] = ()

    @field_validator("name")
    @classmethod
    def _short_word(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]{1,60}", value):
            raise ValueError("a name is one word of at most 60 letters, digits, points, - and _")
        return value

    @field_validator("scope")
    @classmethod
    def _storable(cls, value: Scope) -> Scope:
        if len(str(value)) > LONGEST_SCOPE:
            raise ValueError(f"a scope has at most {LONGEST_SCOPE} characters")
        return value

    @field_validator("thresholds")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= percent <= 99 for percent in value):
            raise ValueError("a threshold is a per cent from 1 to 99; the limits themselves are told anyway")
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("thresholds rise, and each is there once, as in 50, 75, 90")
        return value

    @model_validator(mode="after")
    def _limits(self) -> "WrittenBudget":
        if self.soft_usd is None and self.hard_usd is None:
            raise ValueError("set soft_usd, hard_usd or both")
        if self.soft_usd is not None and self.hard_usd is not None and self.soft_usd >= self.hard_usd:
            raise ValueError("soft_usd must be below hard_usd")
        return self

    def budget(self, origin: str) -> Budget:
        """The budget, with the place where it is written down."""
        return Budget(
            name=self.name,
            scope=self.scope,
            period=self.period,
            zone=ZoneInfo(self.zone),
            soft_usd=self.soft_usd,
            hard_usd=self.hard_usd,
            origin=origin,
            week_starts=self.week_starts,
            thresholds=self.thresholds,
        )
