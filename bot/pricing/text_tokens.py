"""About how many tokens a text is, from its characters alone.

Rules of thumb for the older tokenizer (generation 1): English 4 characters a token, Japanese 1.5 tokens a character,
between 1 and 2 by content. The newer one makes about 30 % more of the same text (platform.claude.com, 2026).
"""

from fractions import Fraction
from math import ceil
from typing import Literal, NamedTuple

from bot.pricing.tokens import same_text

Lang = Literal["en", "ja"]

OLD_TOKENIZER = 1


class Rule(NamedTuple):
    """Tokens of one character with the older tokenizer: usually, at least, at most."""

    usual: Fraction
    least: Fraction
    most: Fraction
    name: str


RULES: dict[Lang, Rule] = {
    "en": Rule(Fraction(1, 4), Fraction(1, 5), Fraction(1, 3), "English"),
    "ja": Rule(Fraction(3, 2), Fraction(1), Fraction(2), "Japanese"),
}


class Text(NamedTuple):
    """So many characters of a language."""

    chars: int
    lang: Lang


def tokens_of(text: Text, tokenizer: int) -> int:
    """The usual number of tokens in a tokenizer generation."""
    return _tokens(text, RULES[text.lang].usual, tokenizer)


def token_range(text: Text, tokenizer: int) -> tuple[int, int]:
    """The fewest and the most that the rule of thumb allows."""
    rule = RULES[text.lang]
    return _tokens(text, rule.least, tokenizer), _tokens(text, rule.most, tokenizer)


def language_of(text: str) -> Lang:
    """`ja` for a text with a good part of Japanese script, otherwise `en`."""
    japanese = sum(1 for character in text if _is_japanese(character))
    return "ja" if japanese * 5 > len(text.replace(" ", "")) else "en"


def _is_japanese(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff" or "\uff66" <= character <= "\uff9f"


def _tokens(text: Text, rate: Fraction, tokenizer: int) -> int:
    return same_text(ceil(text.chars * rate), OLD_TOKENIZER, tokenizer)
