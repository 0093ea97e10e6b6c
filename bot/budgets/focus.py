"""Usage as rows of the FinOps Open Cost and Usage Specification (FOCUS 1.2). Pure.

Source: focus.finops.org, columns of the dataset. One row for each UTC day, model, workspace, key, terms and kind of
token, at list prices. Unknown columns are empty; the account is the organization.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from bot.clock import DAY
from bot.pricing.card import RateCard
from bot.pricing.cost import MTOK, CostLine, cost_of, stepped_prices
from bot.pricing.tokens import Terms, TokenCounts

COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName"),
    *("ResourceType", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName"),
    "Tags",
)

PROVIDER = "Anthropic"


@dataclass(frozen=True, slots=True)
class Charge:
    """Usage of a UTC day. `workspace`, `key`: id and name, None if unknown.

    `prompt_tokens`: see `unit_prices`.
    """

    day: date
    model: str
    counts: TokenCounts
    terms: Terms
    prompt_tokens: int | None = None
    workspace: tuple[str, str] | None = None
    key: tuple[str, str] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def focus_rows(charge: Charge, card: RateCard) -> Iterator[dict[str, str]]:
    """One row for each kind of token used, and one for web searches."""
    cost = cost_of(card, charge.model, charge.counts, charge.terms, charge.day, prompt_tokens=charge.prompt_tokens)
    step = stepped_prices(card, charge.model, charge.day, charge.terms).above_prompt_tokens
    is_long = step is not None and charge.prompt_tokens is not None and charge.prompt_tokens > step
    for line in cost.lines:
        yield _row(charge, line, f"/above-{step}" if is_long and line.kind != "web_search" else "")


def _row(charge: Charge, line: CostLine, step: str) -> dict[str, str]:
    month = charge.day.replace(day=1)
    usd, price = f"{line.usd:f}", f"{line.usd_per_mtok / MTOK:f}"
    unit = "Requests" if line.kind == "web_search" else "Tokens"
    sku = "/".join([charge.model, line.kind, *(term for term in charge.terms if term)])
    costs = dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), usd)
    found = dict.fromkeys(COLUMNS, "")
    return (
        found
        | costs
        | {
            "BillingAccountId": "organization",
            "BillingAccountName": "organization",
            "BillingCurrency": "USD",
            "BillingPeriodStart": _moment(month),
            "BillingPeriodEnd": _moment((month + timedelta(days=31)).replace(day=1)),
            "ChargeCategory": "Usage",
            "ChargeDescription": f"{charge.model}, {line.kind.replace('_', ' ')}, computed at list prices",
            "ChargeFrequency": "Usage-Based",
            "ChargePeriodStart": _moment(charge.day),
            "ChargePeriodEnd": _moment(charge.day + DAY),
            "ConsumedQuantity": str(line.tokens),
            "ConsumedUnit": unit,
            "ContractedUnitPrice": price,
            "InvoiceIssuerName": PROVIDER,
            "ListUnitPrice": price,
            "PricingCategory": "Standard",
            "PricingQuantity": str(line.tokens),
            "PricingUnit": unit,
            "ProviderName": PROVIDER,
            "PublisherName": PROVIDER,
            "RegionId": charge.terms.inference_geo or "",
            "RegionName": charge.terms.inference_geo or "",
            "ResourceId": charge.key[0] if charge.key else "",
            "ResourceName": charge.key[1] if charge.key else "",
            "ResourceType": "API key" if charge.key else "",
            "ServiceCategory": "AI and Machine Learning",
            "ServiceName": "Claude API",
            "SkuId": sku,
            "SkuPriceId": sku + step,
            "SubAccountId": charge.workspace[0] if charge.workspace else "",
            "SubAccountName": charge.workspace[1] if charge.workspace else "",
            "Tags": json.dumps(dict(sorted(charge.tags.items())), ensure_ascii=False) if charge.tags else "",
        }
    )


def _moment(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
