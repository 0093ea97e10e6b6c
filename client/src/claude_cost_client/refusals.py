"""Next step after a failed request: another model, a pause, or the end. Pure.

Cases as in platform.claude.com on errors and rate limits. A spent budget differs from an ordinary rate limit by its
error code, and by the missing `retry-after`: it lasts until the first of a month or until somebody raises it, so that
another attempt, with any model, is refused too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

UNAVAILABLE = frozenset({408, 500, 502, 503, 504, 529})
UNAVAILABLE_IN_A_STREAM = frozenset({"overloaded_error", "api_error", "timeout_error"})
RATE_LIMITED = 429
RETRY_AFTER = ("retry-after", "retry-after-ms")
SPENT = frozenset(
    {"enforced_spend_limit_reached", "contract_spend_limit_reached", "linked_organization_spend_limit_reached"}
)

JITTER = 0.25
"""Largest extra share of a pause, so that many waiting services do not retry together."""


@dataclass(frozen=True)
class Refusal:
    """A refused attempt. `final`: raised to the application. `retry_after`: seconds to wait before the same model, as
    the API asks.
    """

    reason: str
    final: bool = False
    retry_after: float | None = None


def refusal_of(status: int, headers: Mapping[str, str], error_code: str | None, now: datetime) -> Refusal:
    """The refusal of a status of 400 or more. `headers`: by lower-case name. `now`: aware, for a date in
    `retry-after`.
    """
    if status in UNAVAILABLE:
        return Refusal(f"HTTP {status}")
    if status == RATE_LIMITED and error_code not in SPENT and not headers.keys().isdisjoint(RETRY_AFTER):
        return Refusal("a rate limit", retry_after=_asked(headers, now))
    return Refusal(f"HTTP {status}", final=True)


def refusal_in_stream(error_type: str) -> Refusal:
    """The refusal of an `error` event before the first token."""
    return Refusal(error_type, final=error_type not in UNAVAILABLE_IN_A_STREAM)


def _asked(headers: Mapping[str, str], now: datetime) -> float | None:
    with suppress(ValueError):
        # Milliseconds are more precise, so the official client prefers them too.
        return _bounded(float(headers.get("retry-after-ms", "")) / 1000)
    return _seconds(headers.get("retry-after", ""), now)


def _seconds(retry_after: str, now: datetime) -> float | None:
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return _bounded(seconds)


def _bounded(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None


class Attempts:
    """The model to try now, and after each refusal. Every model is tried once, and once more after a rate limit's
    pause.
    """

    def __init__(self, models: Sequence[str], longest_wait: float) -> None:
        self._models = models
        self._longest_wait = longest_wait
        self._position = 0
        self._paused = False

    @property
    def model(self) -> str:
        """The model to ask now."""
        return self._models[self._position]

    def after(self, refusal: Refusal, chance: float) -> float | None:
        """Seconds to wait before trying `model`; None if the application gets the refusal. `chance`: 0 to 1."""
        if refusal.final:
            return None
        asked = refusal.retry_after
        if asked is not None and not self._paused and asked <= self._longest_wait:
            self._paused = True
            return asked * (1 + JITTER * chance)
        if self._position + 1 == len(self._models):
            return None
        self._position += 1
        self._paused = False
        return 0.0
