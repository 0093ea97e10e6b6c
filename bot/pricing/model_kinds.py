"""Whose model a text names: one of the rate card, another one of Claude's, or another vendor's."""

from enum import Enum
from functools import lru_cache
from typing import Protocol

from bot.pricing.model_ids import LONGEST_ID, plain, spelled
from bot.pricing.other_models import is_of_another_vendor


class Kind(Enum):
    """What a model id is to a sum of Claude's cost.

    KNOWN: a model of the rate card, or a bare family (priced as its newest model, and named as an assumption).
    UNKNOWN_CLAUDE: priced at the dearest model that it could be, and named. NOT_CLAUDE: left out, and named.
    """

    KNOWN = "known"
    UNKNOWN_CLAUDE = "unknown Claude model"
    NOT_CLAUDE = "not a Claude model"


class KnowsModels(Protocol):
    """The rate card, as far as this module asks it."""

    def knows(self, model_id: str) -> bool:
        """Whether a text names a model or a family of the card."""


def kind_of(model_id: str, card: KnowsModels) -> Kind:
    """Whether a model's usage counts among Claude's, for logs that may hold other vendors' models too.

    What is recognisably another vendor's is not Claude's, unless the text also says `claude`. Any other text that the
    card does not know (`my-finetune`, an application inference profile, an empty one) may be Claude's and counts.
    Anthropic's own usage reports hold nothing but Claude: do not ask there.
    """
    if card.knows(model_id):
        return Kind.KNOWN
    return Kind.NOT_CLAUDE if is_foreign(model_id) else Kind.UNKNOWN_CLAUDE


@lru_cache(maxsize=4096)
def is_foreign(model_id: str) -> bool:
    """Whether a text is recognisably the name of another vendor's model, whatever gateway it went through."""
    text = plain(model_id[:LONGEST_ID])
    return spelled(model_id).name is None and "claude" not in text and is_of_another_vendor(text)
