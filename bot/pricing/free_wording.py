"""Single words from what is written freely: English and Japanese phrases, colons, models of several words."""

import re

from bot.pricing.card import RateCard
from bot.pricing.japanese_words import from_japanese
from bot.pricing.plain_words import from_plain_words
from bot.pricing.word_split import KEYS, LONGEST_WORD, SYNONYMS

_KEY_AND_COLON = re.compile(rf"(?<![\w=:.,/-])({'|'.join(sorted({*KEYS, *SYNONYMS, 'model'}))})\s*:\s*(?=[^\s:])")
_DASHES = re.compile(r"(?<!\S)-+(?=[^\W\d])")
_COMMAND = re.compile(r"^(?:/?claude-cost\s+)?(?:estimate\s+)?")
_BRACKETS = re.compile(r"[(){}|]|(?<!\S)[+&](?!\S)")
_VERSION = re.compile(r"\d(\.\d{1,2})?")


def single_words(text: str, card: RateCard) -> list[str]:
    """The words of `text` (lower case, cleaned) after its plain phrases were made into words. Raises `WordsError`."""
    text = _COMMAND.sub("", from_japanese(text))
    text = _BRACKETS.sub(" ", text)
    text = _KEY_AND_COLON.sub(r"\1=", re.sub(r"\s*=\s*", "=", _DASHES.sub("", text)))
    text = from_plain_words(text, card.knows)
    text = re.sub(r"(:\d[\d.]*%?),\s+", r"\1,", text)
    single: list[str] = []
    for word in (word.strip(",;:")[:LONGEST_WORD] for word in text.split()):
        if single and _goes_on(single[-1], word, card):
            single[-1] += f"-{word}"
        elif word.strip("-"):
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
    if _VERSION.fullmatch(word) and model.removeprefix("claude-") in card.families():
        # A version that no model has is refused as one: `sonnet 9`.
        return True
    return is_part and card.knows(f"{model}-{word}")
