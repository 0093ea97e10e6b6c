"""The display currency and tax. Prices and limits are USD without tax; other amounts are only shown beside them."""

from dataclasses import dataclass
from decimal import MAX_PREC, Context, Decimal

from bot.amounts import in_currency
from bot.language import tr

_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_UNITS = {code: places for places, codes in _CODES.items() for code in codes.split()}
"""Decimal places of currencies that do not have two (ISO 4217, list one, six-group.com)."""

SIGNS = {"USD": "$", "JPY": "¥", "EUR": "€", "GBP": "£", "KRW": "₩", "INR": "₹"}
"""Signs that mean one currency to most readers; other currencies are shown by their code."""

_EXACT = Context(prec=MAX_PREC)


@dataclass(frozen=True, slots=True)
class Display:
    """`rate`: units of `currency` (an ISO 4217 code) for one USD. `tax_percent`: None to show no tax."""

    currency: str = "USD"
    rate: Decimal = Decimal(1)
    tax_percent: Decimal | None = None

    @property
    def dollar_sign(self) -> str:
        """`US$` if the currency shown beside it is another one or might be called dollar too."""
        return "$" if self.currency == "USD" else "US$"

    def of(self, usd: Decimal) -> str | None:
        """An amount in USD as shown beside the USD; None if there is nothing to add.

        `¥66,120 without tax, ¥72,732 with 10% tax (at 150 JPY for 1 USD)`: each rounded half-up separately, to the
        places of the currency.
        """
        if self.currency == "USD" and self.tax_percent is None:
            return None
        amount = _EXACT.multiply(usd, self.rate)
        text = self._written(amount)
        if self.tax_percent is not None:
            taxed = _EXACT.multiply(amount, 1 + self.tax_percent / 100)
            text = tr(
                "{untaxed} without tax, {taxed} with {percent}% tax",
                untaxed=text,
                taxed=self._written(taxed),
                percent=_plain(self.tax_percent),
            )
        if self.currency == "USD":
            return text
        rate = _plain(self.rate)
        return tr("{amount} (at {rate} {currency} for 1 USD)", amount=text, rate=rate, currency=self.currency)

    def _written(self, amount: Decimal) -> str:
        sign = SIGNS.get(self.currency, f"{self.currency} ")
        return in_currency(amount, sign, MINOR_UNITS.get(self.currency, 2))


USD = Display()
"""No second currency."""


def _plain(number: Decimal) -> str:
    """`10`, `151.2`: without trailing zeros and without an exponent."""
    return f"{number.normalize():f}"
