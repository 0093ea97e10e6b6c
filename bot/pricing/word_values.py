"""The values of an estimate's words: numbers as people write them, each mistake one sentence with the remedy."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

MOST = 10**12
"""Above every workload there is; a typing mistake otherwise fills the channel with digits."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "千": 10**3, "万": 10**4, "億": 10**8}
_DOTTED = re.compile(r"\d{1,3}(?:\.\d{3})+")
"""Thousands to some, a fraction to others."""

_NUMBER = re.compile(r"(\d{1,3}(?:[,_]\d{3})+|\d{1,40})(\.\d{1,9})?([kmb千万億]?)")

Choice = TypeVar("Choice", bound=str)


class WordsError(Exception):
    """Words that make no workload; the text is one sentence with the remedy. `key`: the word it is about, if one."""

    def __init__(self, sentence: str, key: str | None = None) -> None:
        super().__init__(sentence)
        self.key = key


def number(key: str, text: str, examples: str) -> Decimal:
    """`100k`, `1.5m`, `10万`, `100_000`, `100,000`. Raises `WordsError`."""
    if _DOTTED.fullmatch(text):
        plain = text.replace(".", "")
        raise WordsError(f"{key}={text} could be read in two ways: write {plain} or {int(plain):,}.", key)
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise WordsError(f"{key}={text} is not a number: write it like {examples}.", key)
    amount = Decimal(match[1].replace(",", "").replace("_", "") + (match[2] or "")) * _UNITS[match[3]]
    if amount > MOST:
        raise WordsError(f"{key}={text} is too large: the most is {MOST:,}.", key)
    return amount


def whole_number(key: str, text: str, examples: str) -> int:
    """A number without a fraction. Raises `WordsError`."""
    amount = number(key, text, examples)
    if amount != amount.to_integral_value():
        raise WordsError(f"{key}={text} is not a whole number: write it like {examples}.", key)
    return int(amount)


def rate(key: str, text: str) -> Decimal:
    """`95%` or `0.95`, from 0 to 1. Raises `WordsError`."""
    digits, per_cent = (text[:-1], True) if text.endswith("%") else (text, False)
    value = Decimal(digits) if re.fullmatch(r"\d{1,3}(\.\d{1,9})?|\.\d{1,9}", digits) else Decimal("NaN")
    value = value / 100 if per_cent else value
    if not value.is_finite() or not 0 <= value <= 1:
        meant = f"{key}={text}%" if re.fullmatch(r"\d{1,2}|100", text) else "hit=95% or hit=0.95"
        raise WordsError(f"{key}={text} is no share: write a hit rate from 0% to 100%, such as {meant}.", key)
    return value.normalize() + 0


def choice(key: str, text: str, choices: Mapping[str, Choice], remedy: str) -> Choice:
    """One of a few words. Raises `WordsError`, with what to write instead."""
    if text not in choices:
        raise WordsError(f"{key}={text} is not offered: {remedy}.", key)
    return choices[text]
