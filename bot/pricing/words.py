"""The words of an estimate, as people type them in chat and on the command line, made into a workload.

Nothing is guessed silently: each mistake is one sentence that names the word and what to write instead.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import get_args

from bot.pricing.card import RateCard
from bot.pricing.model_words import UnknownModelError, model_named, short_name
from bot.pricing.workload import Per, Ttl, Workload

FLAGS = ("batch",)
KEYS = ("requests", "in", "out", "cached", "hit", "ttl")
EXAMPLE = "sonnet-4.6 requests=100k in=2000 out=500"

MOST = 10**12
"""Above every workload there is; a typing mistake otherwise fills the channel with digits."""

LONGEST_WORD = 80

_QUOTES = str.maketrans("", "", "\"'`“”„‘’‚«»")
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_COUNT = re.compile(r"(\d{1,3}(?:[,_]\d{3})+|\d+)(\.\d+)?([kmb]?)")
_VERSION = re.compile(r"\d+(\.\d+)?")


class WordsError(Exception):
    """Words that make no workload; the text is one sentence with the remedy."""


def parse_workload(words: str, card: RateCard) -> Workload:
    """The workload that `words` describe, in any order. Raises `WordsError`."""
    values, flags, model_word = _sorted_out(_split(words, card), card)
    if model_word is None:
        raise WordsError(f"No model is named: begin with one, as in {EXAMPLE}.")
    try:
        model = model_named(model_word, card)
    except UnknownModelError as error:
        raise WordsError(_unknown_model(error, card)) from None
    input_tokens = _count(values, "in")
    cached_tokens = _count(values, "cached", default=0)
    if cached_tokens > input_tokens:
        raise WordsError(
            f"cached={cached_tokens} is more than in={input_tokens}: cached tokens are part of in, so raise in or "
            "lower cached."
        )
    for key in ("hit", "ttl"):
        if key in values and "cached" not in values:
            raise WordsError(f"{key}= says something about cached tokens only: add cached=TOKENS or leave {key} out.")
    requests, per = _requests(values)
    return Workload(
        model=model,
        requests=requests,
        per=per,
        input_tokens=input_tokens,
        output_tokens=_count(values, "out"),
        cached_tokens=cached_tokens,
        hit_rate=_rate(values["hit"]) if "hit" in values else None,
        ttl=_ttl(values.get("ttl", "5m")),
        batch="batch" in flags,
    )


def words_of(workload: Workload) -> str:
    """The words that parse to this workload."""
    per = "" if workload.per == "month" else f"/{workload.per}"
    words = [
        short_name(workload.model),
        f"requests={workload.requests}{per}",
        f"in={workload.input_tokens}",
        f"out={workload.output_tokens}",
    ]
    if workload.cached_tokens:
        words.append(f"cached={workload.cached_tokens}")
        if workload.hit_rate is not None:
            words.append(f"hit={workload.hit_rate}")
        if workload.ttl != "5m":
            words.append(f"ttl={workload.ttl}")
    if workload.batch:
        words.append("batch")
    return " ".join(words)


def _split(words: str, card: RateCard) -> list[str]:
    """Single words. `Sonnet 4.6` is one word, `in = 2000` too, and full-width digits are digits."""
    text = unicodedata.normalize("NFKC", words).translate(_QUOTES)
    text = re.sub(r"\s*=\s*", "=", text.replace("\u200b", ""))
    single: list[str] = []
    for word in (word.strip(",;")[:LONGEST_WORD] for word in text.split()):
        before = single[-1].lower().removeprefix("claude-") if single else ""
        version = _VERSION.fullmatch(word) is not None and before in card.families()
        if version or (before == "claude" and "=" not in word):
            single[-1] += f"-{word}"
        elif word:
            single.append(word)
    return single


def _sorted_out(words: list[str], card: RateCard) -> tuple[Mapping[str, str], set[str], str | None]:
    values: dict[str, str] = {}
    flags: set[str] = set()
    models: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lower()
        if equals:
            _accept_key(name, values)
            if not value:
                raise WordsError(f"{name}= has no value: write it without a space, as in {EXAMPLE}.")
            values[name] = value.lower()
        elif name in FLAGS:
            flags.add(name)
        else:
            models.append(word)
    if len(models) > 1:
        # The first one that is a model is the model, so another word is the mistake.
        chosen = next((i for i, word in enumerate(models) if _is_model(word, card)), None)
        if chosen is None:
            return values, flags, models[0]
        wrong = models[1] if chosen == 0 else models[0]
        raise WordsError(_unknown_word(wrong, models[chosen], card))
    return values, flags, models[0] if models else None


def _accept_key(name: str, values: Mapping[str, str]) -> None:
    if name in FLAGS:
        raise WordsError(f"{name} takes no value: write just {name}.")
    if name not in KEYS:
        raise WordsError(f"{name}= is not known here: {_known_keys(name)}")
    if name in values:
        raise WordsError(f"{name}= is given twice: keep one of them.")


def _is_model(word: str, card: RateCard) -> bool:
    try:
        model_named(word, card)
    except UnknownModelError:
        return False
    return True


def _unknown_word(word: str, model: str, card: RateCard) -> str:
    near = _nearest_flag_or_key(word)
    if near is not None and not _is_model(word, card):
        return f"{word} is not known here: did you mean {near}?"
    return f"{word} is one word too many: {model} is the model already, and other words look like in=2000."


def _nearest_flag_or_key(word: str) -> str | None:
    near = difflib.get_close_matches(word.lower(), [*FLAGS, *KEYS], n=1, cutoff=0.65)
    if not near:
        return None
    return near[0] if near[0] in FLAGS else f"{near[0]}="


def _unknown_model(error: UnknownModelError, card: RateCard) -> str:
    near = _nearest_flag_or_key(error.word)
    if near is not None and error.nearest is None:
        return f"{error.word} is not known here: did you mean {near}?"
    families = ", ".join(card.families())
    meant = f"did you mean {error.nearest}?" if error.nearest else f"name a family ({families}) or an API id."
    return f"No price is known for the model {error.word}: {meant}"


def _known_keys(word: str) -> str:
    near = difflib.get_close_matches(word, KEYS, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}=?"
    return "use " + ", ".join(f"{name}=" for name in KEYS) + " or the flag batch."


def _count(values: Mapping[str, str], key: str, default: int | None = None) -> int:
    if key not in values:
        if default is None:
            raise WordsError(f"{key}= is missing: say how many tokens a request has, as in {EXAMPLE}.")
        return default
    return _whole_number(key, values[key], "2000, 100k or 1.5m")


def _requests(values: Mapping[str, str]) -> tuple[int, Per]:
    if "requests" not in values:
        raise WordsError(f"requests= is missing: say how many there are, as in {EXAMPLE} (or requests=500/day).")
    number, slash, per = values["requests"].partition("/")
    periods: Mapping[str, Per] = {name: name for name in get_args(Per)}
    if slash and per not in periods:
        raise WordsError(f"requests={values['requests']} has an unknown period: write /day, /week or /month.")
    requests = _whole_number("requests", number, "100k, 1.5m or 500/day")
    if requests == 0:
        raise WordsError("requests=0 costs nothing: give the number of requests, such as requests=100k.")
    return requests, periods[per] if slash else "month"


def _whole_number(key: str, text: str, examples: str) -> int:
    match = _COUNT.fullmatch(text)
    if match is None:
        raise WordsError(f"{key}={text} is not a number: write it like {examples}.")
    digits = match[1].replace(",", "").replace("_", "")
    amount = Decimal(digits + (match[2] or "")) * _UNITS[match[3]] if len(digits) <= 13 else Decimal(MOST + 1)
    if amount > MOST:
        raise WordsError(f"{key}={text[:40]} is too large: the most is {MOST:,}.")
    if amount != amount.to_integral_value():
        raise WordsError(f"{key}={text} is not a whole number: write it like {examples}.")
    return int(amount)


def _rate(text: str) -> Decimal:
    number, per_cent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        rate = Decimal(number) if re.fullmatch(r"\d{1,3}(\.\d{1,9})?|\.\d{1,9}", number) else Decimal("NaN")
    except InvalidOperation:
        rate = Decimal("NaN")
    rate = rate / 100 if per_cent else rate
    if not rate.is_finite() or not 0 <= rate <= 1:
        raise WordsError(f"hit={text} is no share: write a hit rate from 0% to 100%, such as hit=95% or hit=0.95.")
    return rate.normalize() + 0


def _ttl(text: str) -> Ttl:
    choices: Mapping[str, Ttl] = {name: name for name in get_args(Ttl)}
    if text not in choices:
        raise WordsError(f"ttl={text} is not offered: caches live 5 minutes or 1 hour, so write ttl=5m or ttl=1h.")
    return choices[text]
