"""Models in settings: aliases are resolved; misspellings and other vendors' models are refused."""

import re
from collections.abc import Sequence
from itertools import pairwise

from bot.pricing.card import RateCard
from bot.pricing.model_ids import spelled
from bot.pricing.model_names import is_foreign
from bot.secret_shapes import MODEL, shown
from bot.typed_text import nearest

_MISSPELLED = 0.8
"""From this similarity on, a name is a misspelling of a known model, not another model."""


def rise_in(chain: Sequence[str], card: RateCard) -> str | None:
    """A clause about the first model that costs more than the one before it, by the newest list prices.

    Models that are not in the card are skipped, since their price is unknown.
    """
    known = [(model_id, model.price[-1]) for model_id in chain if (model := card.find(model_id)) is not None]
    for (costlier, before), (cheaper, after) in pairwise(known):
        if (after.output, after.input) > (before.output, before.input):
            return f"{cheaper} costs more than {costlier}"
    return None


_CHAIN_WORD = re.compile(r"[A-Za-z0-9.:/@ -]{1,40}")
"""The form of a model's name that may be shown."""


def chain_ids(text: str, card: RateCard) -> tuple[str, ...]:
    """The models of a chain as ids of Anthropic's API: `opus, sonnet-5.5` is `claude-opus-5-5,claude-sonnet-5-5`.

    A bare family is its newest model. Ids of other platforms and with a context or a speed are kept unchanged, and so
    is a name that may be a model newer than the card. Raises ValueError with one sentence for another vendor's model
    and for a misspelling.
    """
    return tuple(_chain_id(word, card) for word in (part.strip() for part in text.split(",")) if word)


def _chain_id(word: str, card: RateCard) -> str:
    found = card.index.api_id(word)
    if found is not None:
        return found
    if is_foreign(word):
        raise ValueError(f"{shown(word, _CHAIN_WORD)} is not a Claude model: name Claude models only.")
    near = nearest(word, [*card.models, *card.families()], _MISSPELLED)
    # A readable family and version is not a misspelling: the model may be newer than the card.
    if near and spelled(word).name is None:
        raise ValueError(f"{shown(word, _CHAIN_WORD)} is not a known model: did you mean {near}?")
    return word


def unknown_models(chain: Sequence[str], card: RateCard) -> list[str]:
    """A clause for each model of the chain without a price: it may be new or misspelled."""
    clauses = []
    for model_id in chain:
        if card.find(model_id) is None:
            near = nearest(model_id, card.models)
            hint = f"; did you mean {near}?" if near else ""
            named = shown(model_id, MODEL)
            clauses.append(f"{named}, which is in no price table of this version and is priced by assumption{hint}")
    return clauses
