"""Which models a mode leaves to the team's services. Pure.

`claude_cost_client.ceiling` decides the same inside the applications; `tests/contract/test_client.py` compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from bot.mode import CHAIN_VARIABLE, MODE_VARIABLE, MODEL_VARIABLE, NORMAL
from bot.pricing.card import RateCard
from bot.pricing.model_ids import spelled


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most expensive model that services may use. `model` is None where the mode sets none.

    `mode_chain`: the mode's own chain, from the ceiling down. `whole_chain`: the team's chain, most expensive first.
    """

    model: str | None
    mode_chain: tuple[str, ...]
    whole_chain: tuple[str, ...]

    def permits(self, model: str, card: RateCard) -> bool:
        """Whether a model is the ceiling or no more expensive than it, in whatever spelling either of them is written.

        The team's chains decide first. For a model that is in neither, the newest list prices do: it stays if neither
        its input nor its output costs more. A model that is not in the rate card counts as more expensive.
        """
        if self.model is None:
            return True
        own, ceiling = _key(model, card), _key(self.model, card)
        if own == ceiling or own in {_key(each, card) for each in self.mode_chain}:
            return True
        whole = [_key(each, card) for each in self.whole_chain]
        if own in whole and ceiling in whole:
            return whole.index(own) > whole.index(ceiling)
        return _costs_no_more(own, ceiling, card)


def ceiling_from(variables: Mapping[str, str], whole_chain: Sequence[str]) -> Ceiling:
    """The ceiling that a mode's variables set. `whole_chain`: the team's model ids, the most expensive first."""
    if variables.get(MODE_VARIABLE, NORMAL) == NORMAL:
        # Services use their own default, whatever else is set.
        return Ceiling(None, (), tuple(whole_chain))
    words = (part.strip() for part in variables.get(CHAIN_VARIABLE, "").split(","))
    return Ceiling(
        variables.get(MODEL_VARIABLE) or None, tuple(dict.fromkeys(word for word in words if word)), tuple(whole_chain)
    )


def _key(model: str, card: RateCard) -> str:
    """One text for all spellings of a model; a bare family is its newest model."""
    family = card.index.family(model)
    if family is not None:
        return card.index.newest(family)
    return card.index.find(model) or spelled(model).name or model


def _costs_no_more(own: str, ceiling: str, card: RateCard) -> bool:
    one, other = card.models.get(own), card.models.get(ceiling)
    if one is None or other is None:
        return False
    rates, limit = one.rates(date.max), other.rates(date.max)
    return rates.input <= limit.input and rates.output <= limit.output
