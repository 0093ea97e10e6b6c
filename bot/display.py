"""In what money people want to read sums. Prices and limits are USD without tax; this only ever stands beside them."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Display:
    """`rate`: units of `currency` (an ISO 4217 code) for one USD. `tax_percent`: None where no tax is to be shown."""

    currency: str = "USD"
    rate: Decimal = Decimal(1)
    tax_percent: Decimal | None = None
