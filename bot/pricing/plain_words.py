"""Translates plain English into the words of an estimate: `2,000 tokens in` becomes `in=2000`.

Only unambiguous phrases are translated, and the result shows the translation. Unknown words stay in the text, so that
the parser refuses them by name. Phrases that would be misread raise `WordsError`.
"""

import re
from collections.abc import Callable, Mapping

from bot.language import tr
from bot.pricing.card import RateCard
from bot.pricing.japanese_words import from_japanese
from bot.pricing.misleading_words import check_named, check_periods, check_typed, with_halves
from bot.pricing.model_ids import FAMILIES
from bot.pricing.word_split import KEYS, LONGEST_WORD, SYNONYMS, WordsError

_N = r"\d[\d,._]*(?:\s?[kmb千万億](?![\w]))?"
_COUNT = rf"(?<![\w=:.,/$-])(?P<n>{_N})"
_END = r"(?![\w=-])(?!\s*[=:])"
_OF_WHAT = (
    r"(?:requests?|reqs?|calls?|queries|query|messages?|msgs?|documents?|docs|prompts|conversations?|sessions?|chats?)"
)
_IN = r"(?:input|prompt|in)"
_OUT = r"(?:output|completion|response|answer|repl(?:y|ies)|out)"
_TOKENS = r"(?:tokens?|tok|toks)"
_SECOND, _MINUTE, _HOUR = r"s|secs?|seconds?", r"mins?|minutes?", r"h|hrs?|hours?"
_PERIOD_NAMES = rf"(?P<per>{_SECOND}|{_MINUTE}|{_HOUR}|d|days?|w|wk|weeks?|mo|months?|years?|yr|annum|quarters?)"
_EVERY = r"(?:/|per\b|an?\b|each\b|every\b)"
_LANGUAGES = {"japanese": "ja", "english": "en"}

_BARE_KEYS: Mapping[str, str] = {
    **dict.fromkeys(("requests", "calls"), "requests"),
    **dict.fromkeys(("input", "in", "prompt"), "in"),
    **dict.fromkeys(("output", "out", "completion"), "out"),
    **dict.fromkeys(("cached",), "cached"),
    **dict.fromkeys(("turns",), "turns"),
}
"""Words before a number, as in `in 2000 out 500`."""

_NAMES = "|".join(_BARE_KEYS)
_VALUE = rf"(?:{_NAMES})(?:\s+{_TOKENS})?\s+(?:of\s+|is\s+)?{_N}(?:\s+{_TOKENS}(?![\w=:]))?"
_RUN = re.compile(
    rf"(?<![\w=:.-])(?P<before>{_N}\s+(?:{_TOKENS}\s+)?)?(?P<run>{_VALUE}(?:[\s,/]+(?:and\s+)?{_VALUE})*)(?![\w=:%])"
    rf"(?P<behind>\s+(?:{_NAMES})(?![\w=:]))?"
)
_KEY_AND_NUMBER = re.compile(rf"({_NAMES})(?:\s+{_TOKENS})?\s+(?:of\s+|is\s+)?({_N})(?:\s+{_TOKENS}(?![\w=:]))?")

_COUNTED = rf"(?:{_OF_WHAT}|turns?|{_TOKENS}|(?:in|input|out|output)(?!\s+batch))(?![\w=:])"
_VERSION = re.compile(
    rf"\b((?:claude[\s-]+)?(?:{'|'.join(FAMILIES)}|instant)|claude)\s+(\d(?:\.\d{{1,2}}|(?!\s+{_COUNTED})))"
    r"(?![\w.%千万億])(?!\s?(?:[kmbx千万億%]|thousand|millions?|mio|mil|mn|billions?|bn)(?!\w))"
)
_VERSION_SIGN = re.compile(
    rf"\b({'|'.join(FAMILIES)}|claude)[\s-]+v(?:er(?:sion)?)?[\s.]*(?=\d(?:\.\d{{1,2}})?(?![\w.]))"
)
_SHARE = r"([a-z](?:[^=:,;]|:(?=\d[^,;\s=:]*:))*?)\s*:\s*([\d.]+)\s?(%?)(?=[\s,;]|$)"
_SHARES = re.compile(rf"(?<!\S)mix\s*[=:]?\s*(?P<parts>{_SHARE}(?:[\s,;]+(?:and\s+)?{_SHARE})*)")
_NAMES_OF_NUMBERS = ((r"(?:thousand|grand)", "k"), (r"(?:millions?|mio|mil|mn)", "m"), (r"(?:billions?|bn)", "b"))
_IN_WORDS = re.compile(r"(?<![\w=])(?:an?|one)\s+(thousand|million|billion)\b")
_PARTED = re.compile(r"(?<![\w.,/:-])(\d{1,3})((?: \d{3})+)(?!\w|[.,:]\d)(?!\s?[=:])")
_UNIT_APART = re.compile(r"(?<=[\d.])\s+(?:([kmx千万億])(?![\w=:])|(%))")
_PAIR = re.compile(
    rf"(?<![\w=])in(?:put)?\s*/\s*out(?:put)?(?:\s+{_TOKENS})?\s*[=:]?\s*(?P<n>{_N})\s*/\s*(?P<m>{_N})"
    rf"(?:\s*{_TOKENS})?(?![\w=:/])"
)
_PAIR_JAPANESE = re.compile(
    rf"入出力(?:トークン)?数?\s*[はがを]?\s*[=:]?\s*(?P<n>{_N})\s*/\s*(?P<m>{_N})(?:\s*トークン)?(?![\w/])"
)
_RATE_IN_SHORT = re.compile(rf"(?<![\w.,-])(requests=)?({_N})\s*[rq]p([smhd])(?![\w=])")
_PERIOD_IN_SHORT = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_PROMPT_CACHING = re.compile(r"\bprompt[\s-]+(?=cach(?:ing|e)\b)")
_RATE_ADVERB = re.compile(rf"{_COUNT}\s+(hourly|daily|weekly|monthly)(?![\w=:])")
_APART = re.compile(r"(?<==)\$\s+(?=\d)")

_LONG_KEYS = (
    (re.compile(rf"\b(?:avg|average|mean)?\s*{_TOKENS}\s+(in|out)(?:put)?\s*[=:]\s*"), r" \1="),
    (re.compile(rf"\b({_IN}|{_OUT}|cached)[\s_-]{_TOKENS}\s*[=:]\s*"), r"\1="),
    (re.compile(rf"\b({_IN}|{_OUT}|cached)(?:\s+{_TOKENS})?\s*(?:/\s*|per\s+){_OF_WHAT}\s*[=:]\s*"), r"\1="),
    (re.compile(r"\b(?:cache[\s_-]*)?hit(?:s|[\s_-]*rate)?\s*[=:]\s*(?=[\d.])"), "hit="),
    (re.compile(rf"\b{_OF_WHAT}\s*{_EVERY}\s*{_PERIOD_NAMES}\s*[=:]\s*(?P<n>{_N})"), r"requests=\g<n>/\g<per>"),
    (
        re.compile(r"\b(monthly|weekly|daily|hourly)\s+requests?\s*[=:]\s*(?P<n>\d[\d,._]*[kmb千万億]?)"),
        r"\g<n> requests \1",
    ),
    (
        re.compile(
            rf"{_COUNT}\s+(hourly|daily|weekly|monthly|quarterly|yearly|annual)\s+(?:api\s+|user\s+)?{_OF_WHAT}{_END}"
        ),
        r"\g<n> requests \2",
    ),
)
_PHRASES = (
    (re.compile(rf"{_COUNT}\s+(?:api\s+|model\s+|user\s+)?{_OF_WHAT}{_END}"), "requests"),
    (
        re.compile(
            rf"{_COUNT}[\s-]+(?:{_IN}[\s-]+{_TOKENS}|{_TOKENS}\s+(?:of\s+)?{_IN}|{_TOKENS}[\s-]+(?:prompts?|inputs?)|{_IN}){_END}"
        ),
        "in",
    ),
    (re.compile(rf"{_COUNT}[\s-]+(?:{_OUT}[\s-]+{_TOKENS}|{_TOKENS}[\s-]+(?:of\s+)?{_OUT}s?|{_OUT}){_END}"), "out"),
    (
        re.compile(
            rf"{_COUNT}\s+(?:{_TOKENS}\s+)?(?:of\s+(?:them|which|it|those|that)\s+)?(?:are\s+|is\s+)?"
            rf"cached(?:\s+{_TOKENS})?{_END}"
        ),
        "cached",
    ),
    (re.compile(rf"(?<![\w=:.,-])(?P<n>\d[\d.]*\s?%)\s+(?:of\s+)?(?:cache\s+)?hits?(?:[\s-]rate)?{_END}"), "hit"),
    (re.compile(r"\b(?:cache\s+)?hits?(?:[\s-]rate)?\s+(?:of\s+|at\s+|is\s+)?(?P<n>\d[\d.]*\s?%)(?!\w)"), "hit"),
    (re.compile(rf"{_COUNT}\s+turns?(?:\s+each)?{_END}"), "turns"),
    (
        re.compile(r"(?<![\w=:.,-])(?P<n>\d[\d.]*)\s?x\s+peak(?![\w=:])|\bpeak\s+(?:of\s+)?(?P<m>\d[\d.]*)\s?x(?!\w)"),
        "peak",
    ),
)
_RATE = re.compile(rf"{_COUNT}\s*{_EVERY}\s*{_PERIOD_NAMES}(?![\w=:])")
_CHARACTERS = re.compile(rf"{_COUNT}\s+(?P<lang>japanese|english)\s+(?:characters?|chars){_END}")
_PERIOD = re.compile(
    rf"(requests=\d[\d,._]*[kmb千万億]?)\s*(?:{_OF_WHAT}\s*)?(?:(?:in|over|for|during)\s+)?{_EVERY}\s*{_PERIOD_NAMES}(?![\w=:])"
)
_ADVERB = re.compile(
    r"(requests=\d[\d,._]*[kmb千万億]?)\s+(?:every\s+)?(hourly|daily|weekly|monthly|quarterly|yearly|annual(?:ly)?)(?![\w=:])"
)
_ADVERB_BEFORE = re.compile(r"\b(hourly|daily|weekly|monthly)\s+(requests=\d[\d,._]*[kmb千万億]?)(?![\w/])")
_ADVERBS = {
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
    "annually": "year",
    "annual": "year",
}
_LIFETIME = re.compile(r"\bttl\s*[=:]?\s*(5|1)\s*(m|mins?|minutes?|h|hrs?|hours?)(?!\w)")
_CACHE_LIFETIME = re.compile(
    r"(?<![\w=:.,-])(5|1)[\s-]*(m|mins?|minutes?|h|hrs?|hours?)[\s-]+(?:ttl|cache(?:\s+ttl)?)(?![\w=:])"
)
_BATCHES = re.compile(
    r"(?<![\w=.-])(?:(?:in|as|using|with|via|by|through)\s+(?:the\s+|a\s+)?)?-{0,2}(?:batch(?:es|ed|ing)?)"
    r"(?:\s+(?:mode|api|processing|jobs?))?(?![\w=:.-])"
)
_NOT = r"(?:(?:no|not|without)\s+(?:using\s+)?(?:in\s+|the\s+|a\s+)?|non[\s-]?)"
_OFF = r"(?:\s*[=:]\s*(?:no|false|off|none|never|disabled)|\s+(?:off|disabled))"
_NO_BATCHES = re.compile(
    rf"(?<![\w=-])(?:{_NOT}batch(?:es|ed|ing)?(?:\s+(?:mode|api|processing|jobs?))?|batch(?:es|ing)?(?:\s+mode)?{_OFF})(?![\w=-])"
)
_FAST = re.compile(r"(?<![\w=.-])fast(?![\w=:.-])")
_NO_FAST = re.compile(rf"(?<![\w=-])(?:{_NOT}fast(?:[\s-]+mode)?|fast(?:[\s-]+mode)?{_OFF})(?![\w=-])")
_NO_CACHE = re.compile(r"\b(?:no|not|without)\s+(?:any\s+)?(?:prompt\s+)?cach(?:e|ed|ing)(?![\w=])")
_TOKENS_LEFT = re.compile(rf"((?<!\S)(?:in|out|cached)=\d\S*)\s+{_TOKENS}(?![\w=:])")
_PER_REQUEST = re.compile(rf"((?<!\S)(?:in|out|cached)=\d[\w.,]*)\s*/\s*(?:{_OF_WHAT}|turn)(?![\w=:])")
_REQUESTS_LEFT = re.compile(rf"((?<!\S)requests=\d\S*)\s+{_OF_WHAT}(?![\w=:])")
_APPROXIMATELY = re.compile(r"(?<=[\s=])(?:~|≈)\s*(?=\d)|^(?:~|≈)\s*(?=\d)")
_KEYS_PARTED = re.compile(r"(?<=[\dkmb%])\s*/\s*(?=(?:requests|in|out|input|output|cached)=)")
_FILLERS = re.compile(
    r"(?<![\w=:.<>@$/-])(?:"
    rf"(?:per|an?|each|every)\s+(?:{_OF_WHAT}|turn|month)|/\s?(?:request|call|month)|monthly|"
    r"how\s+much\s+(?:would|does|do|will|is|are)|what\s+(?:would|does|do|will|is)(?:\s+the\s+cost\s+of)?|"
    r"please|the|using|on\s+average|average|avg|mean|about|approx|approximately|around|roughly|circa|each|"
    r"of\s+which|of\s+them|and|of|with|on|for|costs?"
    r")(?![\w=:%-])"
)


def from_plain_words(text: str, knows: Callable[[str], bool]) -> str:
    """`text` (lower case, cleaned) with its plain phrases translated; everything else stays.

    `knows`: whether a text names a model, so that `opus 5 100 requests` is not read as 5,100.
    """
    text = with_halves(_VERSION_SIGN.sub(r"\1 ", text))
    check_typed(text)
    text = _PAIR.sub(_pair, _PROMPT_CACHING.sub("", text))
    text = _RATE_IN_SHORT.sub(lambda found: f"requests={_joined(found[2])}/{_PERIOD_IN_SHORT[found[3]]}", text)
    text = _VERSION.sub(lambda found: _version(found, knows), text)
    text = _SHARES.sub(_shares, text)
    for pattern, replacement in _LONG_KEYS:
        text = pattern.sub(replacement, text)
    text = _KEYS_PARTED.sub(" ", re.sub(r"\s*=\s*", "=", text))
    text = _numbers(text)
    text = _LIFETIME.sub(_ttl, text)
    text = _CACHE_LIFETIME.sub(_ttl, text)
    text = _batches(_NO_CACHE.sub(" ", text))
    text = re.sub(rf"({_N}\s*(?:{_TOKENS}\s*)?{_IN})\s*/\s*(?={_N}\s*(?:{_TOKENS}\s*)?{_OUT})", r"\1 ", text)
    text = _keyword_first(text)
    text = _CHARACTERS.sub(_characters, text)
    for phrase, key in _PHRASES:
        text = _named(phrase, key, text)
    check_named(text)
    for left in (_TOKENS_LEFT, _PER_REQUEST, _REQUESTS_LEFT):
        text = left.sub(r"\1", text)
    text = _PERIOD.sub(r"\1/\g<per>", text)
    text = _ADVERB.sub(lambda found: f"{found[1]}/{_ADVERBS[found[2]]}", text)
    text = _ADVERB_BEFORE.sub(lambda found: f"{found[2]}/{_ADVERBS[found[1]]}", text)
    if "requests=" not in text:
        text = _RATE.sub(lambda found: f"requests={_joined(found['n'])}/{found['per']}", text, count=1)
    if "requests=" not in text:
        text = _RATE_ADVERB.sub(lambda found: f"requests={_joined(found['n'])}/{_ADVERBS[found[2]]}", text, count=1)
    check_periods(text)
    return _FILLERS.sub(" ", text)


def _pair(found: re.Match[str]) -> str:
    """`in/out 2000/500`."""
    return f" in={_joined(found['n'])} out={_joined(found['m'])} "


def _batches(text: str) -> str:
    """The flags that are not negated. Raises `WordsError` if a flag is both set and negated."""
    for name, denied, wanted in (("batch", _NO_BATCHES, _BATCHES), ("fast", _NO_FAST, _FAST)):
        left = denied.sub(" ", text)
        if left != text and wanted.search(left):
            raise WordsError(tr("{name} and no {name} contradict each other: keep one of them.", name=name), name)
        text = left
    return _BATCHES.sub(" batch ", text)


def _version(found: re.Match[str], knows: Callable[[str], bool]) -> str:
    name = f"{'-'.join(found[1].split())}-{found[2]}"
    return name if knows(name) else found[0]


def _shares(found: re.Match[str]) -> str:
    parts = re.findall(_SHARE, found["parts"])
    listed = (f"{'-'.join(name.removeprefix('and ').split())}:{share}{sign}" for name, share, sign in parts)
    return f"mix={','.join(listed)} "


def _numbers(text: str) -> str:
    """`1.5 million`, `100 000`, `95 %`, `20 x` and `2 k` as one word each."""
    text = _APPROXIMATELY.sub("", text)
    text = _IN_WORDS.sub(r"1 \1", text)
    for name, unit in _NAMES_OF_NUMBERS:
        text = re.sub(rf"(?<=[\d.])[\s-]*{name}(?![\w=])", unit, text)
    text = _PARTED.sub(_whole, text)
    text = _UNIT_APART.sub(lambda found: found[1] or found[2], text)
    return _APART.sub("$", text)


def _whole(found: re.Match[str]) -> str:
    """Join `100 000`, unless the second number may stand alone, as in `requests=100 500 in`."""
    behind = found.string[found.end() :].lstrip()
    named = found.string[: found.start()].endswith("=")
    ambiguous = named and not found[2].endswith("000") and re.match(r"[a-z]+(?![\w=])", behind) is not None
    return found[0] if ambiguous else found[0].replace(" ", "")


def _keyword_first(text: str) -> str:
    """`in 2000 out 500`; not after a number or before a word, which may mean `2000 in 500 out`."""

    def turned(found: re.Match[str]) -> str:
        if found["before"] or found["behind"]:
            return found[0]
        return _KEY_AND_NUMBER.sub(lambda one: f"{_BARE_KEYS[one[1]]}={_joined(one[2])}", found["run"])

    return _RUN.sub(turned, text)


def _named(phrase: re.Pattern[str], key: str, text: str) -> str:
    return phrase.sub(lambda found: f"{key}={_joined(next(filter(None, found.groups())))}", text)


def _joined(number: str) -> str:
    return number.replace(" ", "").rstrip(",.")


def _characters(found: re.Match[str]) -> str:
    return f"chars={_joined(found['n'])} lang={_LANGUAGES[found['lang']]}"


def _ttl(found: re.Match[str]) -> str:
    return f"ttl={found[1]}{found[2][0]}"


_KEY_AND_COLON = re.compile(rf"(?<![\w=:.,/-])({'|'.join(sorted({*KEYS, *SYNONYMS, 'model'}))})\s*:\s*(?=[^\s:])")
_DASHES = re.compile(r"(?<!\S)-+(?=[^\W\d])")
_COMMAND = re.compile(r"^(?:/?claude-cost\s+)?(?:estimate\s+)?")
_BRACKETS = re.compile(r"[(){}|]|(?<!\S)[+&](?!\S)")
_MODEL_VERSION = re.compile(r"\d(\.\d{1,2})?")


def single_words(text: str, card: RateCard) -> list[str]:
    """The words of `text` (lower case, cleaned) after its plain phrases were translated. Raises `WordsError`."""
    text = _COMMAND.sub("", from_japanese(_PAIR_JAPANESE.sub(_pair, text)))
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
    """Whether a word continues a model name that the last word began: `Sonnet`, `4.6`; `Claude`, `3.5`, `Haiku`."""
    if "=" in word:
        return False
    model = re.sub(r"^(?:to|model)=", "", last)
    if re.fullmatch(r"(?:anthropic-)?claude", model):
        return True
    is_part = _MODEL_VERSION.fullmatch(word) is not None or word.split("[")[0] in (*card.families(), "instant")
    if _MODEL_VERSION.fullmatch(word) and model.removeprefix("claude-") in card.families():
        # Keeps a version that no model has, so that the refusal names it: `sonnet 9`.
        return True
    return is_part and card.knows(f"{model}-{word}")
