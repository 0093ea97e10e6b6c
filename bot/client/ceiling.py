"""What a mode's variables mean to a service that would rather use a certain model. Pure but for the list prices."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MODE_VARIABLE = "CLAUDE_FALLBACK_MODE"
MODEL_VARIABLE = "CLAUDE_MODEL"
MODE_CHAIN_VARIABLE = "CLAUDE_FALLBACK_CHAIN"
WHOLE_CHAIN_VARIABLE = "CLAUDE_COST_FALLBACK_CHAIN"

NORMAL = "normal"
DEFAULT_CHAIN = "claude-opus-5-5,claude-sonnet-5-5,claude-haiku-5-5"

RATE_CARD = Path(__file__).parent.parent / "pricing" / "rate_card.toml"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The dearest model that services may use. `model` is None where the mode sets none.

    `mode_chain`: the mode's own chain, from the ceiling downwards. `whole_chain`: the whole one, the dearest first.
    """

    model: str | None
    mode_chain: tuple[str, ...]
    whole_chain: tuple[str, ...]

    def permits(self, model: str) -> bool:
        """Whether a model is the ceiling or no dearer than it.

        The team's chains decide first. For a model that is in neither, the rate card does: it stays if neither its
        input nor its output costs more. A model that is in no price table counts as dearer.
        """
        if self.model is None or model == self.model or model in self.mode_chain:
            return True
        if model in self.whole_chain and self.model in self.whole_chain:
            return self.whole_chain.index(model) > self.whole_chain.index(self.model)
        return no_dearer(model, self.model)

    def applied_to(self, preferred: str) -> str:
        """`preferred` where it is permitted, else the ceiling."""
        return preferred if self.model is None or self.permits(preferred) else self.model

    def models_to_try(self, preferred: str, chain: Sequence[str] | None) -> tuple[str, ...]:
        """The models for one request, each once: the permitted one, then the permitted ones of the chain behind it.

        Behind a model that is not in the chain come those that are no dearer by the rate card; behind one that is in
        no price table either, the whole chain.
        """
        first = self.applied_to(preferred)
        among = tuple(chain) if chain is not None else (self.mode_chain or self.whole_chain)
        if first in among:
            among = among[among.index(first) + 1 :]
        elif first in list_prices():
            among = tuple(model for model in among if no_dearer(model, first))
        return tuple(dict.fromkeys((first, *filter(self.permits, among))))


def ceiling_from(variables: Mapping[str, str], whole_chain: str | None) -> Ceiling | None:
    """What a mode's variables ask for; None where they are no mode's, because `CLAUDE_FALLBACK_MODE` is missing.

    `whole_chain`: model ids with commas between; None or empty is the default chain.
    """
    mode = variables.get(MODE_VARIABLE)
    if not mode:
        return None
    team = _models(whole_chain or DEFAULT_CHAIN)
    if mode == NORMAL:
        # Services use their own default, even where a line outside the managed block sets CLAUDE_MODEL.
        return Ceiling(None, (), team)
    return Ceiling(variables.get(MODEL_VARIABLE) or None, _models(variables.get(MODE_CHAIN_VARIABLE, "")), team)


def no_dearer(model: str, than: str) -> bool:
    """Whether neither input nor output of `model` costs more, by the newest list prices. Unknown prices are dearer."""
    prices = list_prices()
    if model not in prices or than not in prices:
        return False
    return all(price <= limit for price, limit in zip(prices[model], prices[than], strict=True))


@cache
def list_prices() -> Mapping[str, tuple[float, float]]:
    """Every spelling of a model in the rate card → USD per million tokens of input and output. Read once.

    Only compared, never added, so that floats are exact enough.
    """
    try:
        card = tomllib.loads(RATE_CARD.read_text(encoding="utf-8"))
    except OSError:
        # A copy of this package without the card: the chains still decide.
        return {}
    prices: dict[str, tuple[float, float]] = {}
    for model in card["model"]:
        newest = max(model["price"], key=lambda price: price["valid_from"])
        for spelling in (model["id"], *model.get("spellings", ())):
            prices[spelling] = float(newest["input"]), float(newest["output"])
    return prices


def _models(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in (part.strip() for part in text.split(",")) if word))
