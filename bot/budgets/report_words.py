"""Parse the days and rows of a report from Japanese and English words."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.budgets.budget import Period, PeriodKind, period_at, period_before
from bot.budgets.report import GroupBy
from bot.clock import DAY
from bot.language import tr, tr_noop
from bot.typed_text import cleaned, nearest, words_in
from bot.usage.model import AttributedBy

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
    """Translate `先週の機能別` to `last week by 機能`, `2026年11月1日から今日まで` to `2026-11-1.. today`.

    `text`: cleaned; other words are unchanged. The grouping comes last in the result, wherever it was typed.
    """
    text = _PERIOD.sub(lambda found: f" {_ENGLISH[found[1]]} ", text)
    text = _UNTIL.sub(" ", _FROM.sub("..", _DAY.sub(r"\1-\2-\3", text)))
    by = _BY.search(text)
    if by is None:
        return text
    return f"{text[: by.start()]} {text[by.end() :]} by {by[1]}"


REPORTS_IN = ZoneInfo("UTC")

MOST_DAYS = 366

_RUNNING = {"today": PeriodKind.DAY, "week": PeriodKind.WEEK, "month": PeriodKind.MONTH}
_THIS = {"today": tr_noop("today"), "week": tr_noop("this week"), "month": tr_noop("this month")}
"""Names of the running periods in a sentence."""

_PAST = {
    tr_noop("yesterday"): PeriodKind.DAY,
    tr_noop("last week"): PeriodKind.WEEK,
    tr_noop("last month"): PeriodKind.MONTH,
}
PERIODS = (*_RUNNING, *_PAST)
USE = (
    "`report [today | yesterday | week | month | last week | last month | FROM..TO] "
    "[by model | workspace | key | feature | user | tag:NAME | product | group | agent | actor | organization]`"
)

_KINDS: tuple[GroupBy | AttributedBy, ...] = (*GroupBy, *AttributedBy)

_JAPANESE: dict[GroupBy | AttributedBy, tuple[str, ...]] = {
    GroupBy.MODEL: ("モデル",),
    GroupBy.WORKSPACE: ("ワークスペース",),
    GroupBy.KEY: ("キー", "apiキー", "api キー"),
    GroupBy.FEATURE: ("機能",),
    GroupBy.USER: ("ユーザー", "ユーザ"),
    AttributedBy.PRODUCT: ("プロダクト", "製品"),
    AttributedBy.GROUP: ("グループ",),
    AttributedBy.AGENT: ("エージェント",),
    AttributedBy.ACTOR: ("アクター", "利用者"),
    AttributedBy.ORGANIZATION: ("組織",),
}

_GROUPS: dict[str, GroupBy | AttributedBy] = {
    **{by.value: by for by in _KINDS},
    **{f"{by.value}s": by for by in _KINDS},
    **dict.fromkeys(("organisation", "organisations", "org", "orgs"), AttributedBy.ORGANIZATION),
    **{noun: by for by, nouns in _JAPANESE.items() for noun in nouns},
    **dict.fromkeys(("api key", "api-key", "apikey", "api keys", "api-keys", "api_key"), GroupBy.KEY),
}
_TAG = re.compile(r"(?:(?:tags?|label)[:= ]|タグ[:= ]?)\s*([^\s:=]{1,64})", re.IGNORECASE)
_FILLERS = ("for", "of", "the", "this", "in", "from", "current")
_DATE = r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
_LONE_DASH = re.compile(rf"({_DATE},?)\s+-+(?=\s|\d|$)")
_DATES = re.compile(
    rf"(?P<since>(?:from|since)\s+)?{_DATE}(?:\s*(?:\.{{2,}}|to|until|till|-)\s*(?:{_DATE}|today|now)?)?(?=\s|$)"
)


class ReportWordsError(Exception):
    """The words are not a valid report. `word`: the one that was not understood, or empty.

    `text`: the message (mrkdwn), marked by `tr_noop`, with a field `{word}` unless that is empty.
    """

    def __init__(self, word: str, text: str, **values: object) -> None:
        super().__init__(text.format(word=word, **values))
        self.word = word
        self._text = text
        self._values = values

    def sentence(self, word: str) -> str:
        """The message in the language in force. `word`: how the word is shown."""
        return tr(self._text, word=word, **self._values)


@dataclass(frozen=True, slots=True)
class ReportWords:
    """`name`: the period in a sentence, `this month`; `tr` translates it. `before`: the stretch to compare with.

    `tag`: the tag whose values are the rows, for a report by tag. `by_given`: whether `by` was typed.
    """

    name: str
    period: Period
    before: Period
    by: GroupBy | AttributedBy
    tag: str | None = None
    by_given: bool = False


def report_words(text: str, now: datetime) -> ReportWords:
    """Parse; the default is the month by model. Raises `ReportWordsError`."""
    # A lone dash would be dropped with other marks, but between days it means "to".
    typed = " ".join(words_in(_LONE_DASH.sub(r"\1..", in_english(cleaned(text))))).split()
    words = [word.lower() for word in typed]
    at = next((at for at, word in enumerate(words) if word in ("by", "per")), len(words))
    tag = _TAG.fullmatch(" ".join(typed[at + 1 :]))
    by: GroupBy | AttributedBy = GroupBy.MODEL
    if at < len(words):
        by = _group(words[at + 1 :]) if tag is None else GroupBy.TAG
    name, period, before = _period(" ".join(words[:at]), now)
    return ReportWords(name, period, before, by, None if tag is None else tag[1], by_given=at < len(words))


def _period(text: str, now: datetime) -> tuple[str, Period, Period]:
    dates = _DATES.search(text)
    if dates is not None:
        extra = [word for word in (text[: dates.start()] + text[dates.end() :]).split() if word not in _FILLERS]
        if extra:
            raise _unknown(extra[0])
        return _between(dates, now)
    words = [word for word in text.split() if word not in _FILLERS]
    said = " ".join("last" if word == "previous" else word for word in words)
    if not said or said in _RUNNING:
        kind = _RUNNING[said or "month"]
        period = period_at(kind, REPORTS_IN, now)
        return (
            _THIS[said or "month"],
            period,
            period_before(kind, REPORTS_IN, period),
        )
    if said in _PAST:
        kind = _PAST[said]
        period = period_before(kind, REPORTS_IN, period_at(kind, REPORTS_IN, now))
        return said, period, period_before(kind, REPORTS_IN, period)
    raise _unknown(*_not_a_period(words))


def _not_a_period(words: list[str]) -> tuple[str, str]:
    """The first word that belongs to no period, and all of them."""
    known = {word for name in PERIODS for word in name.split()}
    wrong = [word for word in words if word not in known]
    return (wrong or words[-1:])[0], " ".join(words)


def _between(dates: re.Match[str], now: datetime) -> tuple[str, Period, Period]:
    first = _day(*dates.groups()[1:4])
    # "from 2026-11-01" alone reaches until now.
    is_range = re.fullmatch(_DATE, dates[0].strip()) is None
    today = now.astimezone(UTC).date()
    last = first if not is_range else _day(*dates.groups()[4:]) if dates[5] else today
    said = re.sub(r"\.\. (?=\d)", "..", dates[0].removeprefix(dates["since"] or ""))
    if first > today:
        raise ReportWordsError(
            first.isoformat(), tr_noop("{word} is still to come: a report is about days that have begun.")
        )
    if last < first:
        raise ReportWordsError(
            said,
            tr_noop("{word} ends before it begins: write {range}."),
            range=f"{last.isoformat()}..{first.isoformat()}",
        )
    if last - first >= MOST_DAYS * DAY:
        raise ReportWordsError(
            said, tr_noop("{word} is too long: a report is about {days} days at most."), days=MOST_DAYS
        )
    length = last - first + DAY
    key = first.isoformat() if first == last else f"{first.isoformat()}..{last.isoformat()}"
    return key, _stretch(key, first, length), _stretch(f"{_PRECEDING}{length.days}", first - length, length)


_PRECEDING = "preceding "


def preceding_days(key: str) -> int | None:
    """Number of days of a stretch known by its length alone; None for any other period key."""
    return int(key.removeprefix(_PRECEDING)) if key.startswith(_PRECEDING) else None


def _stretch(key: str, first: date, length: timedelta) -> Period:
    starts_at = datetime.combine(first, time(), UTC)
    return Period(key, starts_at, starts_at + length)


def _day(year: str, month: str, day: str) -> date:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise ReportWordsError(
            f"{year}-{month}-{day}", tr_noop("{word} is no day of the calendar: write it like 2026-11-05.")
        ) from None


def _group(words: list[str]) -> GroupBy | AttributedBy:
    if not words:
        raise ReportWordsError("", tr_noop("`by` needs a word after it: use {use}."), use=USE)
    said = " ".join(words)
    if said in ("tag", "tags", "タグ"):
        raise ReportWordsError(words[0], tr_noop("{word} needs the name of a tag, as in `report by tag:team`."))
    if said in _GROUPS:
        return _GROUPS[said]
    unknown = next((word for word in words if word not in _GROUPS and word != "api"), None)
    if unknown is None:
        raise ReportWordsError(words[1], tr_noop("{word} is one too many after `by`: use {use}."), use=USE)
    near = nearest(unknown, _KINDS)
    if near is None:
        raise ReportWordsError(unknown, tr_noop("{word} is not known after `by`: use {use}."), use=USE)
    raise ReportWordsError(
        unknown,
        tr_noop("{word} is not known after `by`: use {use}. Did you mean `report by {near}`?"),
        use=USE,
        near=near,
    )


def _unknown(word: str, said: str = "") -> ReportWordsError:
    typed = {**{period: period for period in PERIODS}, **{by.value: f"by {by}" for by in _KINDS}}
    typed |= {"day": "today", "days": "today", "daily": "today", "weekly": "week", "monthly": "month"}
    near = nearest(said, typed) or nearest(word, typed)
    if near is None:
        return ReportWordsError(word, tr_noop("{word} is not known here: use {use}."), use=USE)
    return ReportWordsError(
        word,
        tr_noop("{word} is not known here: use {use}. Did you mean `report {near}`?"),
        use=USE,
        near=typed[near],
    )
