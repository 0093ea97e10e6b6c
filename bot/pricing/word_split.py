"""Splits the words of an estimate, and reads amounts, shares and counts."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from bot.language import tr, tr_noop
from bot.listed import all_of
from bot.pricing.card import RateCard
from bot.pricing.model_names import UnknownModelError, model_named
from bot.typed_text import cleaned

MOST = 10**12
"""Above any real workload; otherwise a typing mistake floods the channel with digits."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "千": 10**3, "万": 10**4, "億": 10**8}
_DOTTED = re.compile(r"\d{1,3}(?:\.\d{3})+")
"""`1.500`: thousands for some readers, a fraction for others."""

_WRITTEN_NUMBER = re.compile(r"(\d{1,3}(?:[,_]\d{3})+|\d{1,40})(\.\d{1,9})?([kmb千万億]?)")

Choice = TypeVar("Choice", bound=str)


class WordsError(Exception):
    """The words are not a valid workload; the message is a sentence with the remedy. `key`: the word concerned, if
    any.
    """

    def __init__(self, sentence: str, key: str | None = None) -> None:
        super().__init__(sentence)
        self.key = key


def number(key: str, text: str, examples: str) -> Decimal:
    """`100k`, `1.5m`, `10万`, `100_000`, `100,000`. Raises `WordsError`."""
    word = f"{key}={text}"
    if _DOTTED.fullmatch(text):
        plain = text.replace(".", "")
        both = {"plain": plain, "parted": f"{int(plain):,}"}
        raise WordsError(tr("{word} could be read in two ways: write {plain} or {parted}.", word=word, **both), key)
    match = _WRITTEN_NUMBER.fullmatch(text)
    if match is None:
        raise WordsError(tr("{word} is not a number: write it like {examples}.", word=word, examples=examples), key)
    amount = Decimal(match[1].replace(",", "").replace("_", "") + (match[2] or "")) * _UNITS[match[3]]
    if amount > MOST:
        raise WordsError(tr("{word} is too large: the most is {most}.", word=word, most=f"{MOST:,}"), key)
    return amount


def whole_number(key: str, text: str, examples: str) -> int:
    """A number without a fraction. Raises `WordsError`."""
    amount = number(key, text, examples)
    if amount != amount.to_integral_value():
        word = f"{key}={text}"
        whole = tr("{word} is not a whole number: write it like {examples}.", word=word, examples=examples)
        raise WordsError(whole, key)
    return int(amount)


def rate(key: str, text: str) -> Decimal:
    """`95%` or `0.95`, from 0 to 1. Raises `WordsError`."""
    digits, per_cent = (text[:-1], True) if text.endswith("%") else (text, False)
    value = Decimal(digits) if re.fullmatch(r"\d{1,3}(\.\d{1,9})?|\.\d{1,9}", digits) else Decimal("NaN")
    value = value / 100 if per_cent else value
    if not value.is_finite() or not 0 <= value <= 1:
        meant = f"{key}={text}%" if re.fullmatch(r"\d{1,2}|100", text) else tr("hit=95% or hit=0.95")
        raise WordsError(
            tr(
                "{word} is no share: write a hit rate from 0% to 100%, such as {example}.",
                word=f"{key}={text}",
                example=meant,
            ),
            key,
        )
    return value.normalize() + 0


def choice(key: str, text: str, choices: Mapping[str, Choice], remedy: str) -> Choice:
    """One of a few words. `remedy`: of the `WordsError` that is raised, with the field `word`; it names the choices."""
    if text not in choices:
        raise WordsError(tr(remedy, word=f"{key}={text}"), key)
    return choices[text]


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
    "for",
)
"""Keys in the order of help: `in` and `chars`, and the pairs that belong together."""

SYNONYMS = {
    **dict.fromkeys(
        ("request", "reqs", "req", "calls", "messages", "documents", "docs", "conversations", "sessions"), "requests"
    ),
    **dict.fromkeys(("input", "input_tokens", "prompt"), "in"),
    **dict.fromkeys(("output", "output_tokens", "completion", "response", "answer", "reply"), "out"),
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
"""Unambiguous synonyms."""

CACHED = tr_noop("{word} is not known here: say how many tokens of the input are cached, as in cached=1500 hit=90%.")
THINKING = tr_noop("{word} is not known here: thinking is output, so count its tokens in out=.")
ONE_MODEL = tr_noop(
    "{word} is not known here: name one model, and the answer holds others against it; shares of several are "
    "mix=sonnet-4.6:50,haiku-4.5:50."
)
IN_TOKENS = tr_noop("{word} is not known here: say how many tokens it has, as in in=2000.")
OUT_TOKENS = tr_noop("{word} is not known here: say how many tokens it has, as in out=500.")
WHICH_TOKENS = tr_noop("{word} is not known here: say which and how many, as in in=2000 out=500.")
HOW_MANY = tr_noop("{word} is not known here: say how many, as in requests=100k.")
GOAL = tr_noop("{word} is not known here: write target=700 to=haiku-4.5.")

REMEDIES = {
    **dict.fromkeys(("caching", "cache", "cached", "キャッシュ"), CACHED),
    **dict.fromkeys(("thinking", "reasoning", "extended", "思考", "推論"), THINKING),
    **dict.fromkeys(("vs", "versus", "or", "than", "または", "か"), ONE_MODEL),
    **dict.fromkeys(("prompt", "input", "入力", "プロンプト"), IN_TOKENS),
    **dict.fromkeys(("completion", "output", "response", "answer", "出力", "回答"), OUT_TOKENS),
    **dict.fromkeys(("tokens", "token", "トークン"), WHICH_TOKENS),
    **dict.fromkeys(("requests", "request", "calls", "messages", "リクエスト"), HOW_MANY),
    **dict.fromkeys(("budget", "target", "予算", "目標"), GOAL),
}
"""Refusals of common words that have another name here."""

NOTHING = tr_noop("{word} is not known here: leave it out, or write words such as requests=100k in=2000 out=500.")
BEGIN = tr_noop("{word} is not known here: begin with a model, as in sonnet-4.6 requests=100k in=2000 out=500.")
LONGEST_WORD = 200

_PLAIN = re.compile(
    r"requests=\d+(?:\.\d+)?[km]?(?:/(?:day|week|month))?|(?:in|out|cached)=\d+(?:\.\d+)?[km]?|hit=\d+%?|ttl=5m|ttl=1h"
    r"|turns=\d+"
)
"""Words with a key and a plain value."""

_PLAIN_MODEL = re.compile(r"[a-z][a-z0-9.-]{0,60}")

_NUMBER = re.compile(r"\d{1,12}[kmb千万億]?")


class Split(NamedTuple):
    """The words by kind. Values are in lower case. `typed`: each value's key as it was typed."""

    values: Mapping[str, str]
    flags: frozenset[str]
    model_word: str | None
    typed: Mapping[str, str]


def split_words(text: str, card: RateCard) -> Split:
    """Split the words by kind. Raises `WordsError` for unknown or surplus words."""
    values: dict[str, str] = {}
    typed: dict[str, str] = {}
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
                raise WordsError(tr("{name}= has no value: write one, or leave {name} out.", name=name), name)
            values[name] = value.lower()
            typed[name] = key.lower()
        elif name in FLAGS:
            flags.add(name)
        else:
            models.append(word)
    return Split(values, frozenset(flags), _only_model(models, card), typed)


def nearest_word(word: str, cutoff: float) -> str | None:
    """The most similar flag or key (with its `=`)."""
    near = _near(word.lower(), (*FLAGS, *KEYS), cutoff)
    if not near:
        return None
    return near[0] if near[0] in FLAGS else f"{near[0]}="


def _near(word: str, among: Sequence[str], cutoff: float) -> list[str]:
    # Needed only for a refusal.
    from difflib import get_close_matches

    return get_close_matches(word, among, n=1, cutoff=cutoff)


def _single_words(text: str, card: RateCard) -> list[str]:
    """`Sonnet 4.6`, `in = 2000` and `a:50, b:50` become one word each; full-width digits become digits."""
    text = cleaned(text).lower()
    plain = plain_words(text, card)
    if plain is not None:
        return plain
    # Import only for free wording: its hundred patterns take longer than a whole estimate.
    from bot.pricing.plain_words import single_words

    return single_words(text, card)


def plain_words(text: str, card: RateCard) -> list[str] | None:
    """The words if each has its plain form and at most one is a model; None if free wording has to be read."""
    words = text.split()
    models = [word for word in words if not _PLAIN.fullmatch(word)]
    if not models or (len(models) == 1 and _PLAIN_MODEL.fullmatch(models[0]) and card.knows(models[0])):
        return words
    return None


def _check_key(name: str, values: Mapping[str, str]) -> None:
    if name in FLAGS:
        raise WordsError(tr("{name} takes no value: write just {name}.", name=name), name)
    if name not in KEYS:
        near = _near(name, KEYS, 0.7)
        if near:
            raise WordsError(did_you_mean(f"{name}=", f"{near[0]}="), near[0])
        raise WordsError(
            tr(
                "{word} is not known here: use {keys} or the flags {flags}.",
                word=f"{name}=",
                keys=", ".join(f"{key}=" for key in KEYS),
                flags=all_of(FLAGS),
            )
        )
    if name in values:
        raise WordsError(tr("{word} is given twice: keep one of them.", word=f"{name}="), name)


def _only_model(words: list[str], card: RateCard) -> str | None:
    """The word that is the model. Raises `WordsError`."""
    models = [word for word in words if card.knows(word)]
    others = [word for word in words if word not in models]
    if others:
        raise _unknown(others[0], card, NOTHING if models else BEGIN)
    if len(models) > 1:
        raise WordsError(
            tr(
                "{word} is one word too many: {model} is the model already. Several models are written as "
                "mix=sonnet-4.6:50,haiku-4.5:50.",
                word=models[1],
                model=models[0],
            ),
            "model",
        )
    return models[0] if models else None


def _counts(word: str) -> bool:
    return word[:1].isdigit() or word.startswith("%")


def did_you_mean(word: str, near: str) -> str:
    """The refusal of an unknown word, with the one that may be meant."""
    return tr("{word} is not known here: did you mean {near}?", word=word, near=near)


def not_claude(word: str, card: RateCard) -> str:
    """The refusal of another vendor's model."""
    families = ", ".join(card.families())
    return tr("{word} is not priced here: only Claude models are ({families}).", word=word, families=families)


def no_price(word: str, near: str | None, card: RateCard) -> str:
    """The refusal of a model that is not in the rate card, with the one that may be meant."""
    if near is not None:
        return tr("No price is known for the model {word}: did you mean {near}?", word=word, near=near)
    return tr(
        "No price is known for the model {word}: name a family ({families}) or an API id.",
        word=word,
        families=", ".join(card.families()),
    )


def _unknown(word: str, card: RateCard, refusal: str) -> WordsError:
    """The refusal of an unknown word."""
    if re.fullmatch(r"\d[\d.]*%", word):
        return WordsError(
            tr("{word} stands alone: if it is the cache hit rate, write hit={word}.", word=word),
            "hit",
        )
    if _counts(word):
        return WordsError(_uncounted(word))
    if word in REMEDIES:
        return WordsError(tr(REMEDIES[word], word=word))
    near = nearest_word(word, cutoff=0.7) if len(word) > 2 else None
    if near is not None:
        return WordsError(did_you_mean(word, near), near.rstrip("="))
    try:
        model_named(word, card)
    except UnknownModelError as error:
        if error.is_foreign:
            return WordsError(not_claude(word, card))
        if error.nearest is not None and _is_likely(word, error.nearest):
            return WordsError(no_price(word, error.nearest, card), "model")
    if "claude" in word:
        return WordsError(no_price(word, None, card), "model")
    return WordsError(tr(refusal, word=word))


def _uncounted(word: str) -> str:
    """The refusal of a number without a word that says what it counts."""
    if _NUMBER.fullmatch(word):
        return tr(
            "{word} stands alone: say what it counts, as in requests={word}, in={word} or out={word}.",
            word=word,
        )
    return tr(
        "{word} stands alone: say what it counts, one number each for requests=, in= or out=.",
        word=word,
    )


def _is_likely(word: str, model: str) -> bool:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, word.removeprefix("claude-"), model).ratio() >= 0.7
