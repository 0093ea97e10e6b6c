"""Parses the words of an estimate, from chat, command line and form, into a workload.

Nothing is guessed silently: each mistake is one sentence that names the word and the remedy.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import get_args

from bot.language import tr, tr_noop
from bot.pricing.card import Model, RateCard
from bot.pricing.model_names import UnknownModelError, model_named, short_name
from bot.pricing.monthly_cost import Geo, Goal, Lang, Per, Route, Text, Ttl, Workload, all_on
from bot.pricing.word_split import (
    FLAGS,
    KEYS,
    Split,
    WordsError,
    choice,
    did_you_mean,
    nearest_word,
    no_price,
    not_claude,
    number,
    rate,
    split_words,
    whole_number,
)

EXAMPLE = "sonnet-4.6 requests=100k in=2000 out=500"

MIX = "mix=sonnet-4.6:50,haiku-4.5:50"

COUNTS = tr_noop("2000, 100k or 1.5m")
MISSING = {
    "in": tr_noop("in= is missing: say how many tokens a request has, as in {example} (or chars=8000 lang=en)."),
    "out": tr_noop("out= is missing: say how many tokens a request has, as in {example}."),
}
CACHED_ABOVE_INPUT = tr_noop(
    "cached={cached} is more than in={shortest}: cached tokens are part of the input, so lower cached or lengthen the "
    "input."
)
CACHED_ABOVE_TEXT = tr_noop(
    "cached={cached} is more than the {shortest} tokens of the text: cached tokens are part of the input, so lower "
    "cached or lengthen the input."
)
MOST_TURNS = 1000
MOST_PEAK = 10_000
MOST_SEARCHES = 1000

SECONDS = ("second", "seconds", "sec", "secs", "s")
PERIODS: Mapping[str, Per] = {
    **dict.fromkeys(("min", "mins"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs"), "hour"),
    **dict.fromkeys(("d",), "day"),
    **dict.fromkeys(("w", "wk"), "week"),
    **dict.fromkeys(("mo",), "month"),
}
"""Abbreviations of periods."""

MOST_CHARACTERS = 1000
MOST_DIGITS = 40
_LONG_NUMBER = re.compile(rf"[\d.,_]{{{MOST_DIGITS + 1}}}")

_NAME = re.compile(r"[\w-]{1,40}")


def _check_length(words: str) -> None:
    """Longer texts are refused: the cost of parsing grows with the square of the length."""
    if len(words) > MOST_CHARACTERS:
        raise WordsError(
            tr(
                "This has {number} characters: describe a workload in at most {most}.",
                number=f"{len(words):,}",
                most=f"{MOST_CHARACTERS:,}",
            )
        )
    if _LONG_NUMBER.search(words):
        raise WordsError(
            tr("A number here has more than {most} characters: write it as in 100k or 1.5m.", most=MOST_DIGITS)
        )


def parse_workload(words: str, card: RateCard) -> Workload:
    """The workload that `words` describe, in any order. Raises `WordsError`."""
    _check_length(words)
    split = split_words(words, card)
    values = split.values
    routes, compared_with = _routes(split, card)
    requests, per = _requests(values)
    text = _text(values)
    turns, cached = _turns(values), _count(values, "cached", default=0)
    workload = Workload(
        routes=routes,
        requests=requests,
        per=per,
        input_tokens=0 if text is not None else _count(values, "in"),
        text=text,
        output_tokens=_count(values, "out"),
        prefix_tokens=cached if turns > 1 else 0,
        cached_tokens=cached,
        hit_rate=rate("hit", values["hit"]) if "hit" in values else None,
        ttl=_ttl(values.get("ttl", "5m")),
        batch="batch" in split.flags,
        fast="fast" in split.flags,
        geo=_geo(values),
        searches=_searches(values),
        turns=turns,
        compared_with=compared_with,
        goal=_goal(split, routes, card),
        peak=_peak(values),
        name=_name(values),
    )
    _check_cache(workload, values)
    _check_terms(workload, card)
    return workload


def words_of(workload: Workload) -> str:
    """The words that parse to this workload."""
    words = []
    if workload.model is not None:
        words.append(short_name(workload.model))
    else:
        words += [] if workload.compared_with is None else [short_name(workload.compared_with)]
        parts = (f"{short_name(route.model)}:{_percentage(route.share)}" for route in workload.routes)
        words.append(f"mix={','.join(parts)}")
    words.append(f"requests={workload.requests}" + ("" if workload.per == "month" else f"/{workload.per}"))
    if workload.text is None:
        words.append(f"in={workload.input_tokens}")
    else:
        words += [f"chars={workload.text.chars}", f"lang={workload.text.lang}"]
    words.append(f"out={workload.output_tokens}")
    if workload.cached_tokens:
        words.append(f"cached={workload.cached_tokens}")
        words += [] if workload.hit_rate is None else [f"hit={workload.hit_rate:f}"]
    words += [] if workload.ttl == "5m" else [f"ttl={workload.ttl}"]
    words += [] if workload.turns == 1 else [f"turns={workload.turns}"]
    words += [] if workload.goal is None else [f"target={workload.goal.usd:f}", f"to={short_name(workload.goal.to)}"]
    words += [] if workload.peak is None else [f"peak={workload.peak:f}x"]
    words += [f"search={workload.searches:f}"] if workload.searches else []
    words += [] if workload.geo is None else [f"geo={workload.geo}"]
    words += ["batch"] if workload.batch else []
    words += ["fast"] if workload.fast else []
    words += [] if workload.name is None else [f"as={workload.name}"]
    return " ".join(words)


def _routes(split: Split, card: RateCard) -> tuple[tuple[Route, ...], Model | None]:
    named = None if split.model_word is None else _model(split.model_word, card)
    if "mix" in split.values:
        return _mix(split.values["mix"], card), named
    if named is None:
        raise WordsError(tr("No model is named: begin with one, as in {example}.", example=EXAMPLE), "model")
    return all_on(named), None


def _mix(text: str, card: RateCard) -> tuple[Route, ...]:
    routes: list[Route] = []
    for part in text.split(","):
        word, colon, share = part.rpartition(":")
        if not colon:
            raise WordsError(tr("{word} lacks a share: write it as {example}.", word=f"mix={text}", example=MIX), "mix")
        model = _model(word, card, "mix")
        if any(route.model.id == model.id for route in routes):
            twice = tr("mix= names {model} twice: give each model one share.", model=short_name(model))
            raise WordsError(twice, "mix")
        percentage = number("mix", share.removesuffix("%"), MIX)
        if percentage:
            routes.append(Route(model, Fraction(percentage) / 100))
    total = sum((route.share for route in routes), Fraction(0))
    if total != 1:
        raise WordsError(tr("The shares of mix= sum to {sum}: they must sum to 100.", sum=_percentage(total)), "mix")
    return tuple(routes)


def _model(word: str, card: RateCard, key: str = "model") -> Model:
    try:
        return model_named(word, card)
    except UnknownModelError as error:
        near = nearest_word(word, cutoff=0.65)
        if near is not None and error.nearest is None and key == "model":
            raise WordsError(did_you_mean(word, near), near.rstrip("=")) from None
        if error.is_foreign:
            raise WordsError(not_claude(word, card), key) from None
        raise WordsError(no_price(word, error.nearest, card), key) from None


def _count(values: Mapping[str, str], key: str, default: int | None = None) -> int:
    if key in values:
        return whole_number(key, values[key], tr(COUNTS))
    if default is None:
        raise WordsError(tr(MISSING[key], example=EXAMPLE), key)
    return default


def _text(values: Mapping[str, str]) -> Text | None:
    if "chars" not in values:
        if "lang" in values:
            raise WordsError(tr("lang= says something about chars= only: add chars=8000 or leave lang out."), "lang")
        return None
    if "in" in values:
        raise WordsError(tr("in= and chars= both say how long the input is: keep one of them."), "chars")
    if "lang" not in values:
        raise WordsError(tr("lang= is missing: say which language the characters are, lang=en or lang=ja."), "lang")
    languages: Mapping[str, Lang] = {"en": "en", "english": "en", "ja": "ja", "jp": "ja", "japanese": "ja"}
    remedy = tr_noop("{word} is not offered: write lang=en or lang=ja, or count the tokens and write in=.")
    lang = choice("lang", values["lang"], languages, remedy)
    return Text(whole_number("chars", values["chars"], tr("8000 or 10k")), lang)


def _requests(values: Mapping[str, str]) -> tuple[int, Per]:
    if "requests" not in values:
        raise WordsError(
            tr("requests= is missing: say how many there are, as in {example} (or requests=500/day).", example=EXAMPLE),
            "requests",
        )
    amount, slash, per = values["requests"].partition("/")
    if per in SECONDS:
        minutely = number("requests", amount, "3/second") * 60
        if minutely != minutely.to_integral_value() or not minutely:
            word = f"requests={values['requests']}"
            raise WordsError(tr("{word} is no whole number a minute: write it /minute.", word=word), "requests")
        return int(minutely), "minute"
    periods: Mapping[str, Per] = {
        **{name: name for name in get_args(Per)},
        **{f"{name}s": name for name in get_args(Per)},
        **PERIODS,
    }
    if slash and per not in periods:
        word = f"requests={values['requests']}"
        raise WordsError(tr("{word} has an unknown period: write /day, /week or /month.", word=word), "requests")
    requests = whole_number("requests", amount, tr("100k, 1.5m or 500/day"))
    if requests == 0:
        raise WordsError(
            tr("requests=0 costs nothing: give the number of requests, such as requests=100k."), "requests"
        )
    return requests, periods[per] if slash else "month"


def _ttl(text: str) -> Ttl:
    choices: Mapping[str, Ttl] = {name: name for name in get_args(Ttl)}
    remedy = tr_noop("{word} is not offered: caches live 5 minutes or 1 hour, so write ttl=5m or ttl=1h.")
    return choice("ttl", text, choices, remedy)


def _turns(values: Mapping[str, str]) -> int:
    turns = whole_number("turns", values.get("turns", "1"), "turns=20")
    if not 1 <= turns <= MOST_TURNS:
        word = f"turns={values['turns']}"
        raise WordsError(tr("{word} is no conversation: write 1 to {most}.", word=word, most=MOST_TURNS), "turns")
    return turns


def _geo(values: Mapping[str, str]) -> Geo | None:
    choices: Mapping[str, str] = {"us": "us", "global": ""}
    remedy = tr_noop(
        "{word} is not offered: inference runs anywhere or in the US only, so write geo=us or leave geo out."
    )
    return "us" if choice("geo", values.get("geo", "global"), choices, remedy) else None


def _searches(values: Mapping[str, str]) -> Decimal:
    searches = number("search", values.get("search", "0"), tr("search=2 or search=0.5"))
    if searches > MOST_SEARCHES:
        raise WordsError(
            tr(
                "{word} is too many for one request: the most is {most}.",
                word=f"search={values['search']}",
                most=MOST_SEARCHES,
            ),
            "search",
        )
    return searches.normalize() + 0


def _goal(split: Split, routes: tuple[Route, ...], card: RateCard) -> Goal | None:
    values = split.values
    if "target" not in values and "to" not in values:
        return None
    for key, other in (("target", "to=haiku-4.5"), ("to", "target=700")):
        if key in values and other.partition("=")[0] not in values:
            half = tr("{word} needs its other half: add {other}.", word=f"{split.typed[key]}=", other=other)
            raise WordsError(half, other.partition("=")[0])
    if len(routes) > 1:
        raise WordsError(tr("target= works from one model: leave mix= out and name that model."), "target")
    to = _model(values["to"], card, "to")
    if to.id == routes[0].model.id:
        raise WordsError(tr("{word} is the model itself: name a cheaper one.", word=f"to={values['to']}"), "to")
    usd = number("target", values["target"].removeprefix("$"), "target=700")
    return Goal(usd, to)


def _peak(values: Mapping[str, str]) -> Decimal | None:
    if "peak" not in values:
        return None
    peak = number("peak", values["peak"].removesuffix("x"), "peak=10x")
    if not 1 <= peak <= MOST_PEAK:
        word = f"peak={values['peak']}"
        raise WordsError(tr("{word} is no peak: write how many times the mean it is, from 1x on.", word=word), "peak")
    return peak


def _name(values: Mapping[str, str]) -> str | None:
    if "for" in values:
        # The scope of the comparison is read before the workload, where estimates are saved.
        raise WordsError(
            tr(
                "for= says whose usage an estimate is compared with that /claude-cost estimate keeps: type it there, "
                "or leave for out."
            ),
            "for",
        )
    if "as" in values and not _NAME.fullmatch(values["as"]):
        word = f"as={values['as']}"
        raise WordsError(tr("{word} is no name: use up to 40 letters, digits, - and _.", word=word), "as")
    return values.get("as")


def _check_cache(workload: Workload, values: Mapping[str, str]) -> None:
    for key in ("hit", "ttl"):
        if key in values and "cached" not in values and not (key == "ttl" and workload.turns > 1):
            raise WordsError(
                tr("{key}= says something about cached tokens only: add cached=TOKENS or leave {key} out.", key=key),
                key,
            )
    if workload.turns > 1:
        # The prefix precedes the conversation and is not part of a turn's input.
        return
    shortest = min(workload.input_for(route.model) for route in workload.routes)
    if workload.cached_tokens > shortest:
        text = CACHED_ABOVE_INPUT if workload.text is None else CACHED_ABOVE_TEXT
        raise WordsError(tr(text, cached=workload.cached_tokens, shortest=shortest), "cached")


def _check_terms(workload: Workload, card: RateCard) -> None:
    """Check fast mode and inference in the US, which not every model has."""
    if workload.fast and workload.batch:
        raise WordsError(
            tr("batch and fast do not go together: batches never run fast, so leave one of them out."), "fast"
        )
    for model in (route.model for route in workload.routes):
        if workload.fast and all(rates.fast_input is None for rates in model.price):
            newest = [each for each in card.models.values() if each.price[-1].fast_input]
            known = [short_name(each) for each in newest if each.price[-1].fast_until is None]
            raise WordsError(
                tr(
                    "{model} has no fast mode: leave fast out, or name one of {models}.",
                    model=model.name,
                    models=", ".join(known),
                ),
                "fast",
            )
        if workload.geo == "us" and not model.us_inference:
            raise WordsError(
                tr(
                    "{model} does not take geo=us, which Anthropic refuses with HTTP 400: leave it out, or name a "
                    "model from Opus 4.6 and Sonnet 4.6 on.",
                    model=model.name,
                ),
                "geo",
            )


def _percentage(share: Fraction) -> str:
    exact = share * 100
    return f"{Decimal(exact.numerator) / Decimal(exact.denominator):f}"


__all__ = ["EXAMPLE", "FLAGS", "KEYS", "WordsError", "parse_workload", "words_of"]


EXAMPLES = (
    "sonnet-4.6 requests=100k in=2000 out=500",
    "sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%",
    "haiku-4.5 requests=10k chars=8000 lang=ja out=500 batch",
    "opus requests=1000 in=3000 out=800 turns=10",
    "sonnet-4.6 requests=100k in=2000 out=500 target=700 to=haiku-4.5",
)

MEANINGS: tuple[tuple[str, str], ...] = (
    ("sonnet-4.6", "the model: a family (`opus` is its newest model), a version, or an API id"),
    ("requests=100k", "a month of 30 days; also `1.5m`, `100,000`, `500/day`, `9k/week`, `20/hour`"),
    ("in=2000", "input tokens of a request"),
    ("chars=8000", "instead of `in`: characters of text, together with `lang`"),
    ("lang=ja", "the language of those characters, `en` or `ja`"),
    ("out=500", "output tokens of a request, thinking included"),
    ("cached=1500", "the part of the input that is cached; with `turns`, a prefix that every turn sends besides"),
    (
        "hit=90%",
        "share of requests that find it there (when left out, what the request rate and `ttl` make likely); a miss is "
        "billed as a write",
    ),
    ("ttl=1h", "how long the cache lives: `5m` (when left out) or `1h`"),
    ("batch", "half the price, results within 24 hours"),
    ("fast", "fast mode, on models that have it; never together with `batch`"),
    ("geo=us", "inference in the US only, a tenth more expensive; models from Opus 4.6 and Sonnet 4.6 on"),
    ("search=2", "web searches of a request (of each turn), $10 per 1,000"),
    (
        "turns=20",
        "`requests` are conversations, `in` and `out` what each turn adds; the turns before are sent again",
    ),
    ("mix=sonnet-4.6:50,haiku-4.5:50", "several models with their shares; a model beside it is the comparison"),
    ("target=700", "which share must move, for this many USD a month, to the model of `to`"),
    ("to=haiku-4.5", "the model that requests move to"),
    ("peak=20x", "the busiest minute against the mean, for the rate limits (10 when left out)"),
    ("as=support-bot", "keeps the estimate under this name (in Slack)"),
    (
        "for=feature:support",
        "with `as`: whose usage `estimate show NAME` compares it with, as a budget's scope (`for=none`: nobody's)",
    ),
)
"""An example of each word, and its meaning."""
