"""The dated price tables beside this module. Tests check their types, so reading them needs no library."""

import os
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from bot.pricing.model_ids import FAMILIES, Listed, ModelIndex, family_in, spelled

Table = dict[str, Any]
"""A TOML table: strings, integers, dates, arrays and tables."""


def packaged(name: str) -> Table:
    """The content of a TOML file of this package. Raises OSError and TOMLDecodeError: then the install is broken."""
    # Avoid importlib.resources: its imports take longer than the reading.
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return tomllib.load(file)


class Step(NamedTuple):
    """Prices for all tokens of a request whose prompt is longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    input: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal
    output: Decimal
    fast_input: Decimal | None = None
    fast_output: Decimal | None = None


class Rates(NamedTuple):
    """Prices from `valid_from` (UTC day) on. `source` says where the figures were read.

    `fast_until` is the last day of fast mode; later requests run at standard speed and price.
    """

    valid_from: date
    source: str
    input: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal
    output: Decimal
    fast_input: Decimal | None = None
    fast_output: Decimal | None = None
    fast_until: date | None = None
    step: Step | None = None

    def at(self, prompt_tokens: int | None) -> "Prices":
        """The prices for one request with this prompt; the base step for a sum of requests (None)."""
        if self.step is not None and prompt_tokens is not None and prompt_tokens > self.step.above_prompt_tokens:
            return self.step
        return self


Prices = Step | Rates
"""USD per million tokens. In fast mode the cache prices rise with the input price."""


class Model(NamedTuple):
    """One model. `tokenizer` 2 (Opus 4.7 and later) makes about 30 % more tokens of the same text than 1.

    `min_cacheable_tokens`: shorter prompts are silently not cached; None if unknown. `context_window`: most tokens of
    prompt and output together, `max_output` of output; None if unknown. `retires`: last day, announced or past.
    `spellings`: further ids in Anthropic's own API.
    """

    id: str
    name: str
    family: str
    released: date
    tokenizer: int
    price: tuple[Rates, ...]
    retires: date | None = None
    retires_not_before: date | None = None
    min_cacheable_tokens: int | None = None
    context_window: int | None = None
    max_output: int | None = None
    us_inference: bool = False
    regional_premium: bool = False
    spellings: tuple[str, ...] = ()

    def rates(self, on: date) -> Rates:
        """Prices on a UTC day; the first known price also applies to earlier days."""
        known = [rates for rates in self.price if rates.valid_from <= on]
        return known[-1] if known else self.price[0]

    def runs_fast(self, on: date) -> bool:
        """Whether fast mode is sold for the model on a UTC day."""
        rates = self.rates(on)
        return rates.fast_input is not None and (rates.fast_until is None or on <= rates.fast_until)


class Resolved(NamedTuple):
    """The model whose price applies to an id, and what the spelling of the id says about the price.

    `assumed`: a clause about the assumption, None if the id names the model. `is_known`: False if the id names neither
    a model nor a family of the card.
    """

    model: Model
    rates: Rates
    regional: bool
    assumed: str | None
    is_known: bool = True
    fast: bool = False
    batch: bool = False


class RateCard:
    """All models. Ids match in any spelling that `model_ids` reads; never by prefix."""

    def __init__(self, file: Table) -> None:
        """Read the tables of `rate_card.toml`, whose types and completeness a test checks.

        Raises KeyError, TypeError or ArithmeticError for another form.
        """
        self.checked_on: date = file["checked_on"]
        self.web_search_usd = Decimal(file["web_search_usd_per_search"])
        self.batch_factor = Decimal(file["batch_factor"])
        self.us_factor = Decimal(file["us_factor"])
        self.regional_factor = Decimal(file["regional_factor"])
        models = [_model(table) for table in file["model"]]
        self.models: Mapping[str, Model] = {model.id: model for model in models}
        self.index = ModelIndex(Listed(each.id, each.family, each.released, each.spellings) for each in models)

    def find(self, spelling: str) -> Model | None:
        """The model that a text names in any spelling; None for a bare family and for a model that is not in the
        card.
        """
        found = self.index.find(spelling)
        return None if found is None else self.models[found]

    def knows(self, spelling: str) -> bool:
        """Whether a text names a model or a family of the card."""
        return self.index.find(spelling) is not None or self.index.family(spelling) is not None

    def resolve(self, model_id: str, on: date) -> Resolved:
        """The model that an id is priced as on a UTC day.

        A bare family means its newest model of that day. An unknown id is priced as the most expensive model of its
        family still served that day; without a family, as the most expensive of the card.
        """
        said = spelled(model_id)
        model = self.find(model_id)
        if model is not None:
            return Resolved(model, model.rates(on), said.regional, None, fast=said.fast, batch=said.batch)
        family = self.index.family(model_id)
        if family is not None:
            newest = self.newest(family, on)
            assumed = f"priced as the newest {family} of that day, {newest.name}"
            return Resolved(newest, newest.rates(on), said.regional, assumed, fast=said.fast, batch=said.batch)
        family = family_in(model_id)
        stand_in = self._most_expensive_served(family, on)
        known_as = f"the most expensive {family} rate" if family else "the most expensive rate of all"
        assumed = f"priced at {known_as}, {stand_in.name}'s"
        return Resolved(stand_in, stand_in.rates(on), said.regional, assumed, False, said.fast, said.batch)

    def newest(self, family: str, on: date | None = None) -> Model:
        """The newest model of a family, of all or of a UTC day. Raises KeyError for a family not in the card."""
        return self.models[self.index.newest(family, on)]

    def families(self) -> tuple[str, ...]:
        """The families, most expensive first. Models of the first generations belong to no family."""
        there = {model.family for model in self.models.values()}
        return tuple(family for family in FAMILIES if family in there)

    def _most_expensive_served(self, family: str | None, on: date) -> Model:
        among = [model for model in self.models.values() if family is None or model.family == family]
        served = [each for each in among if each.released <= on and (each.retires is None or on <= each.retires)]
        return max(served or among, key=lambda model: _dearness(model.rates(on)))


def _dearness(rates: Rates) -> tuple[Decimal, ...]:
    """Sort key: Fable 5 and 5.1 differ only in the cache price, Sonnet 4.5 and 4.6 for a time only in the step."""
    long = rates.step or rates
    return rates.output, rates.input, rates.cache_read, long.output


@cache
def load_rate_card() -> RateCard:
    """The packaged rate card."""
    return RateCard(packaged("rate_card.toml"))


_AMOUNTS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output", "fast_input", "fast_output")


def _model(table: Table) -> Model:
    price = tuple(_rates(rates) for rates in table["price"])
    return Model(**{**table, "spellings": tuple(table.get("spellings", ())), "price": price})


def _rates(table: Table) -> Rates:
    step = table.get("step")
    return Rates(**{**_with_amounts(table), "step": None if step is None else Step(**_with_amounts(step))})


def _with_amounts(table: Table) -> Table:
    return table | {name: Decimal(table[name]) for name in _AMOUNTS if name in table}
