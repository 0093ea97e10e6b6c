"""Japanese words for the days and rows of a report, as the English ones that `report_words` reads."""

import re

_PERIODS = {
    "today": ("今日", "本日", "きょう"),
    "yesterday": ("昨日", "前日", "きのう"),
    "week": ("今週",),
    "last week": ("先週", "前週"),
    "month": ("今月", "当月"),
    "last month": ("先月", "前月"),
}
_ENGLISH = {word: english for english, words in _PERIODS.items() for word in words}
_PERIOD = re.compile(rf"({'|'.join(_ENGLISH)})分?[のはをにで]?")

_BY = re.compile(r"(?:(?<=\s)|^)((?:api\s+)?\S+?)\s*(?:別|ごと|毎)[のはをにで]?(?=\s|$)", re.IGNORECASE)
"""`モデル別`: by model."""

_DAY = re.compile(r"(\d{4})年\s*(\d{1,2})月\s*(\d{1,2})日")
_FROM = re.compile(r"(?<=\d)\s*(?:から|[~〜])\s*")
_UNTIL = re.compile(r"まで[のはをにで]?")


def in_english(text: str) -> str:
    """`先週の機能別` as `last week by 機能`, `2026年11月1日から今日まで` as `2026-11-1.. today`. Other text as it is.

    `text`: cleaned. What the rows are comes last, wherever it was typed.
    """
    text = _PERIOD.sub(lambda found: f" {_ENGLISH[found[1]]} ", text)
    text = _UNTIL.sub(" ", _FROM.sub("..", _DAY.sub(r"\1-\2-\3", text)))
    by = _BY.search(text)
    if by is None:
        return text
    return f"{text[: by.start()]} {text[by.end() :]} by {by[1]}"
