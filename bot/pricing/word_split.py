"""From a line of text to its words: which are keys with values, which are flags, and which one is the model."""

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from bot.pricing.card import RateCard
from bot.pricing.model_words import UnknownModelError, model_named
from bot.pricing.plain_words import from_plain_words
from bot.pricing.word_values import WordsError

FLAGS = ("batch", "fast")
KEYS = (
    "requests",
    "in",
    "out",
    "chars",
    "lang",
    "cached",
    "hit",
    "ttl",
    "turns",
    "search",
    "geo",
    "mix",
    "target",
    "to",
    "peak",
    "as",
)
"""`in` and `chars`, and the pairs that belong together, in the order in which help names them."""

SYNONYMS = {
    **dict.fromkeys(("request", "calls", "messages", "documents", "docs", "conversations", "sessions"), "requests"),
    **dict.fromkeys(("input", "input_tokens"), "in"),
    **dict.fromkeys(("output", "output_tokens"), "out"),
    **dict.fromkeys(("characters", "char"), "chars"),
    **dict.fromkeys(("language",), "lang"),
    **dict.fromkeys(("cache", "cached_tokens"), "cached"),
    **dict.fromkeys(("hits", "hitrate", "hit_rate", "hit-rate"), "hit"),
    **dict.fromkeys(("turn",), "turns"),
    **dict.fromkeys(("searches", "web_search", "web_searches"), "search"),
    **dict.fromkeys(("region", "inference_geo"), "geo"),
    **dict.fromkeys(("budget", "goal"), "target"),
    **dict.fromkeys(("name",), "as"),
}
"""Other names that can mean only one thing."""

LONGEST_WORD = 200

_QUOTES = str.maketrans("", "", "\"'`“”„‘’‚«»\u200b")
_VERSION = re.compile(r"\d(\.\d{1,2})?")


@dataclass(frozen=True, slots=True)
class Split:
    """The words by their kind. Values are in lower case."""

    values: Mapping[str, str]
    flags: frozenset[str]
    model_word: str | None


def split_words(text: str, card: RateCard) -> Split:
    """Raises `WordsError` for words that are nothing, or too many."""
    values: dict[str, str] = {}
    flags: set[str] = set()
    models: list[str] = []
    for word in _single_words(text, card):
        key, equals, value = word.partition("=")
        name = SYNONYMS.get(key.lower(), key.lower())
        if equals and name == "model" and value:
            models.append(value)
        elif equals:
            _check_key(name, values)
            if not value:
                raise WordsError(f"{name}= has no value: write one, or leave {name} out.", name)
            values[name] = value.lower()
        elif name in FLAGS:
            flags.add(name)
        else:
            models.append(word)
    return Split(values, frozenset(flags), _only_model(models, card))


def nearest_word(word: str, cutoff: float) -> str | None:
    """The flag or key (with its `=`) that was likely meant."""
    near = difflib.get_close_matches(word.lower(), [*FLAGS, *KEYS], n=1, cutoff=cutoff)
    if not near:
        return None
    return near[0] if near[0] in FLAGS else f"{near[0]}="


def _single_words(text: str, card: RateCard) -> list[str]:
    """`Sonnet 4.6` is one word, `in = 2000` and `a:50, b:50` too, and full-width digits are digits."""
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    text = from_plain_words(re.sub(r"\s*([=:])\s*", r"\1", text).lower())
    text = re.sub(r"(:\d[\d.]*%?),\s+", r"\1,", text)
    single: list[str] = []
    for word in (word.strip(",;")[:LONGEST_WORD] for word in text.split()):
        if single and _goes_on(single[-1], word, card):
            single[-1] += f"-{word}"
        elif word:
            single.append(word)
    return single


def _goes_on(last: str, word: str, card: RateCard) -> bool:
    """Whether a word belongs to the model that the last one begins: `Sonnet`, `4.6` and `Claude`, `3.5`, `Haiku`."""
    if "=" in word:
        return False
    model = re.sub(r"^(?:to|model)=", "", last)
    if re.fullmatch(r"(?:anthropic-)?claude", model):
        return True
    is_part = _VERSION.fullmatch(word) is not None or word.split("[")[0] in (*card.families(), "instant")
    return is_part and card.knows(f"{model}-{word}")


def _check_key(name: str, values: Mapping[str, str]) -> None:
    if name in FLAGS:
        raise WordsError(f"{name} takes no value: write just {name}.", name)
    if name not in KEYS:
        near = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.7)
        known = ", ".join(f"{key}=" for key in KEYS)
        meant = f"did you mean {near[0]}=?" if near else f"use {known} or the flags {' and '.join(FLAGS)}."
        raise WordsError(f"{name}= is not known here: {meant}", near[0] if near else None)
    if name in values:
        raise WordsError(f"{name}= is given twice: keep one of them.", name)


def _only_model(words: list[str], card: RateCard) -> str | None:
    if len(words) < 2:
        return words[0] if words else None
    chosen = next((i for i, word in enumerate(words) if _is_model(word, card)), None)
    if chosen is None:
        return words[0]
    # The first word that is a model is the model, so another one is the mistake.
    wrong = words[1] if chosen == 0 else words[0]
    near = nearest_word(wrong, cutoff=0.7)
    if wrong.endswith("%"):
        raise WordsError(f"{wrong} stands alone: if it is the cache hit rate, write hit={wrong}.", "hit")
    if wrong[:1].isdigit():
        raise WordsError(
            f"{wrong} stands alone: say what it counts, as in requests={wrong}, in={wrong} or out={wrong}."
        )
    if near is not None and not _is_model(wrong, card):
        raise WordsError(f"{wrong} is not known here: did you mean {near}?", near.rstrip("="))
    several = " Several models are written as mix=sonnet-4.6:50,haiku-4.5:50." if _is_model(wrong, card) else ""
    raise WordsError(
        f"{wrong} is one word too many: {words[chosen]} is the model already, and other words look like in=2000."
        + several,
        "model",
    )


def _is_model(word: str, card: RateCard) -> bool:
    try:
        model_named(word, card)
    except UnknownModelError:
        return False
    return True
