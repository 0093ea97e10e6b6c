"""A workload: what an estimate is about."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from bot.pricing.card import Model

Ttl = Literal["5m", "1h"]
Per = Literal["day", "week", "month"]

DAYS_IN = {"day": 1, "week": 7, "month": 30}
"""A month of an estimate has 30 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests of one shape on one model. Tokens are per request; `cached_tokens` are part of `input_tokens`.

    `hit_rate`: share of requests that find the cached part in the cache, 0 to 1; None where nothing was said.
    """

    model: Model
    requests: int
    per: Per = "month"
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    hit_rate: Decimal | None = None
    ttl: Ttl = "5m"
    batch: bool = False

    @property
    def monthly_requests(self) -> Fraction:
        """Requests in 30 days, exactly."""
        return Fraction(self.requests * DAYS_IN["month"], DAYS_IN[self.per])
