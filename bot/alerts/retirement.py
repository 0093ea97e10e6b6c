"""Detector of retirements and price changes of models in use: one quiet post for each stage.

Announcements come with this version's price table. The last day of a model is posted 60, 14 and 3 days before; a bot
that starts later posts only the current stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Literal

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Status, Step, subject_of
from bot.alerts.model import AlertPayload, Transition, at_step
from bot.budgets.model_news import (
    IN_USE_FOR,
    PriceChange,
    Retirement,
    models_in_use,
    price_change_of,
    repriced,
    retirement_of,
    retiring,
    stretch_in_use,
)
from bot.budgets.snapshot import Snapshot
from bot.clock import DAY
from bot.pricing.card import Model, Rates

STAGES = (3, 14, 60)
"""Days before the last day of a model."""

PRICE_IS_NEWS = timedelta(days=7)
"""A price that changed longer ago is not news."""


class RetirementReason(StrEnum):
    RETIRES = "a model in use is to retire"
    PRICE = "a price of a model in use changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementAlert(AlertPayload):
    """A retirement or a price change. `key`: day and stage, which are posted once."""

    can_be_acknowledged: ClassVar[bool] = False

    kind: Literal[AlertKind.RETIREMENT] = AlertKind.RETIREMENT
    model: str
    key: str
    as_of: datetime
    retires: Retirement | None = None
    price: PriceChange | None = None

    @property
    def identity(self) -> Identity:
        return _identity(self.model, self.key)


@dataclass(frozen=True, slots=True)
class News:
    """Something to post about a model. `rates`: before and after, of a price that changes."""

    model: Model
    key: str
    rates: tuple[Rates, Rates] | None = None

    @property
    def identity(self) -> Identity:
        return _identity(self.model.id, self.key)


def stage_of(last_day: date, on: date) -> int | None:
    """The current stage; None if the last day is too far away or over."""
    left = (last_day - on).days
    return next((stage for stage in STAGES if 0 <= left <= stage), None)


def news_of(models: Sequence[Model], on: date) -> list[News]:
    """What to post by now about models in use."""
    found = [
        News(model, f"{model.retires}/{stage}d")
        for model in retiring(models, on)
        if model.retires is not None and (stage := stage_of(model.retires, on)) is not None
    ]
    changed = repriced(models, on - PRICE_IS_NEWS, date.max)
    return found + [News(model, f"price/{after.valid_from}", (before, after)) for model, before, after in changed]


class RetirementDetector:
    """Watches the models that Anthropic counts."""

    name = "retirements"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._in_use: tuple[tuple[object, ...], tuple[Model, ...]] | None = None
        self._posted: set[Identity] = set()

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """What has become known."""
        snapshot = self._context.snapshots.current()
        if snapshot.as_of is None:
            return
        models = self._models(snapshot, snapshot.as_of)
        waiting = [each for each in news_of(models, now.date()) if each.identity not in self._posted]
        if not waiting:
            return
        known = self._context.alerts.incidents_in({each.key for each in waiting})
        for each in waiting:
            incidents = known.get((each.identity.subject, each.key), ())
            if not any(incident.kind is AlertKind.RETIREMENT for incident in incidents):
                yield [Transition(self._payload(each, snapshot, snapshot.as_of, now, mode), post=True)]
            self._posted.add(each.identity)

    def _models(self, snapshot: Snapshot, as_of: datetime) -> tuple[Model, ...]:
        """Models in use; computed again after a new caller or a new day."""
        at = (snapshot.index, snapshot.callers, as_of.date())
        if self._in_use is None or self._in_use[0] != at:
            used = models_in_use(snapshot, *stretch_in_use(as_of))
            self._in_use = at, tuple(used.values())
        return self._in_use[1]

    def _payload(self, news: News, snapshot: Snapshot, as_of: datetime, now: datetime, mode: str) -> RetirementAlert:
        card, model, days = snapshot.card, news.model, IN_USE_FOR // DAY
        tokens = self._context.usage.tokens_of(None, *stretch_in_use(as_of))
        reason = RetirementReason.RETIRES if news.rates is None else RetirementReason.PRICE
        return RetirementAlert(
            **at_step(Step(None, Status.CLOSED, reason, post=True), mode, now),
            model=model.id,
            key=news.key,
            as_of=as_of,
            retires=retirement_of(model, tokens, days, card, now.date()) if news.rates is None else None,
            price=None if news.rates is None else price_change_of(model, *news.rates, tokens, days, card),
        )


def _identity(model: str, key: str) -> Identity:
    return Identity(AlertKind.RETIREMENT, subject_of(model), key)
