"""How people name a model: a family, `sonnet-4.6`, `Sonnet 4.6`, or any spelling of an API id."""

import difflib
import re

from bot.pricing.card import Model, RateCard


class UnknownModelError(Exception):
    """No model has this name. `nearest` is the likeliest one that was meant, as people write it."""

    def __init__(self, word: str, nearest: str | None) -> None:
        super().__init__(word)
        self.word = word
        self.nearest = nearest


def model_named(word: str, card: RateCard) -> Model:
    """The model that `word` names; a bare family is its newest model. Raises `UnknownModelError`."""
    found = card.find(word)
    if found is not None:
        return found
    slug = _slug(word)
    if slug in card.families():
        return card.newest(slug)
    by_slug = {_slug(model.name): model for model in card.models.values()}
    if slug in by_slug:
        return by_slug[slug]
    known = {**{family: family for family in card.families()}, **{name: short_name(m) for name, m in by_slug.items()}}
    nearest = difflib.get_close_matches(slug, known, n=1, cutoff=0.5)
    raise UnknownModelError(word, known[nearest[0]] if nearest else None)


def short_name(model: Model) -> str:
    """`sonnet-4.6`."""
    return model.name.lower().replace(" ", "-")


def _slug(word: str) -> str:
    """`sonnet-4-6` of `Sonnet 4.6`, `sonnet-4.6`, `sonnet4.6` and `claude-sonnet-4.6`."""
    text = re.sub(r"[\s._-]+", "-", word.lower()).strip("-").removeprefix("claude-")
    return re.sub(r"(?<=[a-z])(?=\d)", "-", text)
