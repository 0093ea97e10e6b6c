"""How people name a model: a family, `sonnet-4.6`, `Claude 4.6 Sonnet`, or any spelling of an API id."""

from bot.pricing.card import Model, RateCard
from bot.pricing.model_ids import spelled
from bot.pricing.model_kinds import is_foreign


class UnknownModelError(Exception):
    """No model has this name. `nearest` is the likeliest one that was meant, as people write it.

    `is_foreign`: the name is another vendor's, so that no model of Claude's can have been meant.
    """

    def __init__(self, word: str, nearest: str | None, is_foreign: bool = False) -> None:
        super().__init__(word)
        self.word = word
        self.nearest = nearest
        self.is_foreign = is_foreign


def model_named(word: str, card: RateCard) -> Model:
    """The model that `word` names; a bare family is its newest model. Raises `UnknownModelError`."""
    found = card.find(word)
    if found is not None:
        return found
    family = card.index.family(word)
    if family is not None:
        return card.newest(family)
    if is_foreign(word):
        raise UnknownModelError(word, None, is_foreign=True)
    # Imported for a refusal alone.
    from difflib import get_close_matches

    known = {short_name(model): short_name(model) for model in card.models.values()}
    known |= {name.replace(".", "-"): name for name in known} | {family: family for family in card.families()}
    slug = (spelled(word).name or word.lower()).removeprefix("claude-")
    nearest = get_close_matches(slug, known, n=1, cutoff=0.5)
    raise UnknownModelError(word, known[nearest[0]] if nearest else None)


def short_name(model: Model) -> str:
    """`sonnet-4.6`."""
    return model.name.lower().replace(" ", "-")
