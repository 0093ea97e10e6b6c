"""The rate card: what each model costs on a day, read from the dated data file beside this module."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

from bot.pricing.model_ids import Spelling, family_in, spelled


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prices(_Entry):
    """USD per million tokens. In fast mode the cache prices rise with the input price."""

    input: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal
    output: Decimal
    fast_input: Decimal | None = None
    fast_output: Decimal | None = None


class Step(Prices):
    """Prices of a single request whose whole prompt is longer than `above_prompt_tokens`, for all of its tokens."""

    above_prompt_tokens: int


class Rates(Prices):
    """Prices from `valid_from` (UTC day) on. `source` says where the figures were read.

    `fast_until` is the last day of fast mode; later requests run at standard speed and price.
    """

    valid_from: date
    fast_until: date | None = None
    step: Step | None = None
    source: str

    def at(self, prompt_tokens: int | None) -> Prices:
        """The prices for one request with this prompt; the base step for a sum of requests (None)."""
        if self.step is not None and prompt_tokens is not None and prompt_tokens > self.step.above_prompt_tokens:
            return self.step
        return self


class Model(_Entry):
    """One model. `tokenizer` 2 (Opus 4.7 and later) makes about 30 % more tokens of the same text than 1.

    `min_cacheable_tokens`: shorter prompts are silently not cached; None where no source says. `retires`: last
    day, announced or past. `spellings`: further ids that Anthropic's own API has for it.
    """

    id: str
    name: str
    family: str
    released: date
    retires: date | None = None
    retires_not_before: date | None = None
    tokenizer: int
    min_cacheable_tokens: int | None = None
    us_inference: bool = False
    regional_premium: bool = False
    spellings: tuple[str, ...] = ()
    price: tuple[Rates, ...]

    def rates(self, on: date) -> Rates:
        """The prices of a UTC day; before the first known price, that first one."""
        known = [rates for rates in self.price if rates.valid_from <= on]
        return known[-1] if known else self.price[0]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a model id is priced as. `assumed`: one clause that says so, None where the model is known."""

    model: Model
    rates: Rates
    regional: bool
    assumed: str | None


class _File(_Entry):
    checked_on: date
    web_search_usd_per_search: Decimal
    batch_factor: Decimal
    us_factor: Decimal
    regional_factor: Decimal
    model: tuple[Model, ...] = Field(min_length=1)


class RateCard:
    """All models. Ids match exactly, in any spelling that Anthropic, Bedrock and Vertex document; never by prefix."""

    def __init__(self, file: _File) -> None:
        self.checked_on = file.checked_on
        self.web_search_usd = file.web_search_usd_per_search
        self.batch_factor = file.batch_factor
        self.us_factor = file.us_factor
        self.regional_factor = file.regional_factor
        self.models: Mapping[str, Model] = {model.id: model for model in file.model}
        self._by_id = {spelling: model for model in file.model for spelling in (model.id, *model.spellings)}

    def find(self, spelling: str) -> Model | None:
        """The model of an id in any documented spelling; None where it is in no price table."""
        return self._look_up(spelling)[0]

    def resolve(self, model_id: str, on: date) -> Resolved:
        """The model, or for an unknown id the dearest of its family that day, or of the whole card."""
        model, regional = self._look_up(model_id)
        if model is not None:
            return Resolved(model, model.rates(on), regional, None)
        family = family_in(model_id)
        among = [model for model in self.models.values() if family is None or model.family == family]
        stand_in = max(among, key=lambda model: _dearness(model.rates(on)))
        known_as = f"the dearest {family} rate" if family else "the dearest rate of all"
        return Resolved(stand_in, stand_in.rates(on), regional, f"priced at {known_as}, {stand_in.name}'s")

    def newest(self, family: str) -> Model:
        """The newest model of a family. Raises KeyError for a family that is not in the card."""
        among = [model for model in self.models.values() if model.family == family]
        if not among:
            raise KeyError(family)
        return max(among, key=lambda model: model.released)

    def families(self) -> tuple[str, ...]:
        """The families, the dearest of today's models first."""
        return tuple(dict.fromkeys(model.family for model in self.models.values()))

    def _look_up(self, model_id: str) -> tuple[Model | None, bool]:
        spelling: Spelling = spelled(model_id)
        for candidate in spelling.candidates:
            if candidate in self._by_id:
                return self._by_id[candidate], spelling.regional
        return None, spelling.regional


def _dearness(rates: Rates) -> tuple[Decimal, ...]:
    """Fable 5 and 5.1 differ in the cache price alone, Sonnet 4.5 and 4.6 for a time in the step alone."""
    long = rates.step or rates
    return rates.output, rates.input, rates.cache_read, long.output


@cache
def load_rate_card() -> RateCard:
    """The packaged rate card."""
    text = files("bot.pricing").joinpath("rate_card.toml").read_text(encoding="utf-8")
    return RateCard(_File.model_validate(tomllib.loads(text)))
