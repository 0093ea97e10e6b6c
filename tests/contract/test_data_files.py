"""The form of the dated tables, which are read without a check at every start."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.pricing.card import RateCard, packaged


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PricesEntry(Entry):
    input: Decimal = Field(gt=0)
    cache_write_5m: Decimal = Field(gt=0)
    cache_write_1h: Decimal = Field(gt=0)
    cache_read: Decimal = Field(gt=0)
    output: Decimal = Field(gt=0)
    fast_input: Decimal | None = None
    fast_output: Decimal | None = None


class StepEntry(PricesEntry):
    above_prompt_tokens: int = Field(strict=True, gt=0)


class RatesEntry(PricesEntry):
    valid_from: date = Field(strict=True)
    fast_until: date | None = Field(default=None, strict=True)
    step: StepEntry | None = None
    source: str


class ModelEntry(Entry):
    id: str
    name: str
    family: str
    released: date = Field(strict=True)
    retires: date | None = Field(default=None, strict=True)
    retires_not_before: date | None = Field(default=None, strict=True)
    tokenizer: int = Field(strict=True, ge=1, le=2)
    min_cacheable_tokens: int | None = Field(default=None, strict=True)
    context_window: int | None = Field(default=None, strict=True)
    max_output: int | None = Field(default=None, strict=True)
    us_inference: bool = Field(default=False, strict=True)
    regional_premium: bool = Field(default=False, strict=True)
    spellings: list[str] = []
    price: list[RatesEntry] = Field(min_length=1)


class CardFile(Entry):
    checked_on: date = Field(strict=True)
    web_search_usd_per_search: Decimal
    batch_factor: Decimal
    us_factor: Decimal
    regional_factor: Decimal
    model: list[ModelEntry] = Field(min_length=1)


class PoolEntry(Entry):
    name: str
    models: list[str]
    batch: bool = Field(default=False, strict=True)


class ClassEntry(Entry):
    pools: list[PoolEntry] = Field(min_length=1)
    limits: dict[str, dict[str, int]] = {}


class TierEntry(Entry):
    name: str
    monthly_cap_usd: Decimal | None = None


class LimitsFile(Entry):
    checked_on: date = Field(strict=True)
    source: str
    tier: list[TierEntry] = Field(min_length=1)
    classes: list[ClassEntry] = Field(alias="class", min_length=1)


@pytest.mark.parametrize(("name", "form"), [("rate_card.toml", CardFile), ("rate_limits.toml", LimitsFile)])
def test_a_table_has_its_form(name: str, form: type[Entry]) -> None:
    form.model_validate(packaged(name))


def amounts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [amount for each in value.values() for amount in amounts(each)]
    if isinstance(value, list):
        return [amount for each in value for amount in amounts(each)]
    return [value]


@pytest.mark.parametrize("name", ["rate_card.toml", "rate_limits.toml", "plans.toml"])
def test_no_amount_is_a_binary_fraction(name: str) -> None:
    assert not [amount for amount in amounts(packaged(name)) if isinstance(amount, float)]


def test_a_misspelled_key_is_no_rate_card() -> None:
    table = packaged("rate_card.toml")
    table["model"][0]["price"][0]["ouput"] = table["model"][0]["price"][0].pop("output")
    with pytest.raises(ValidationError):
        CardFile.model_validate(table)
    with pytest.raises((KeyError, TypeError)):
        RateCard(table)
