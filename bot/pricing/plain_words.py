"""Plain English made into the words of an estimate: `2,000 tokens in` is `in=2000`.

Only phrases that can mean one thing are taken; what they became is shown beside the result.
"""

import re

_COUNT = r"(?<![\w=:.,-])(?P<n>\d[\d,._]*\s?[kmb]?)"
_END = r"\b(?!\s*[=:])"
_WHAT = r"(?:requests?|calls?|messages?|documents?|docs|conversations?|sessions?|chats?)"
_LANGUAGES = {"japanese": "ja", "english": "en"}

_PHRASES = (
    (re.compile(rf"{_COUNT}\s+{_WHAT}{_END}"), "requests"),
    (re.compile(rf"{_COUNT}\s+(?:input\s+tokens?|tokens?\s+in(?:put)?|in(?:put)?){_END}"), "in"),
    (re.compile(rf"{_COUNT}\s+(?:output\s+tokens?|tokens?\s+out(?:put)?|out(?:put)?){_END}"), "out"),
    (re.compile(rf"{_COUNT}\s+(?:cached\s+tokens?|tokens?\s+cached|cached){_END}"), "cached"),
    (re.compile(rf"(?<![\w=:.,-])(?P<n>\d[\d.]*\s?%)\s+(?:cache\s+)?hits?(?:[\s-]rate)?{_END}"), "hit"),
    (re.compile(rf"{_COUNT}\s+turns?{_END}"), "turns"),
)
_CHARACTERS = re.compile(rf"{_COUNT}\s+(?P<lang>japanese|english)\s+(?:characters?|chars){_END}")
_PERIOD = re.compile(r"(requests=\d[\d,._]*[kmb]?)\s*(?:/|per|an?|each|every)\s*(minute|hour|day|week|month)\b")
_BATCHES = re.compile(r"\b(?:in\s+batch(?:es)?|batched|--batch)\b")
_FILLERS = re.compile(r"(?<![\w=:.-])(?:per\s+month|a\s+month|monthly|and|of|with|each|on|for)(?![\w=:])")


def from_plain_words(text: str) -> str:
    """`text` (lower case) with its plain phrases made into words; everything else stays."""
    for phrase, key in _PHRASES:
        text = _named(phrase, key, text)
    text = _CHARACTERS.sub(_characters, text)
    text = _PERIOD.sub(r"\1/\2", text)
    text = _BATCHES.sub("batch", text)
    return _FILLERS.sub(" ", text)


def _named(phrase: re.Pattern[str], key: str, text: str) -> str:
    return phrase.sub(lambda found: f"{key}={found['n'].replace(' ', '')}", text)


def _characters(found: re.Match[str]) -> str:
    return f"chars={found['n'].replace(' ', '')} lang={_LANGUAGES[found['lang']]}"
