"""The command that a sentence asks for. None of these commands changes anything."""

import re
from collections.abc import Mapping
from datetime import date

from bot.typed_text import cleaned

PERIODS = {
    "yesterday": r"yesterday|昨日|きのう",
    "today": r"today|本日|今日|きょう",
    "last week": r"(?:last|past|previous) week|先週",
    "week": r"(?:this )?week|今週",
    "last month": r"(?:last|past|previous) month|先月",
    "month": r"(?:this )?month|今月",
}
"""Periods of a report by the words people use, longer ones first."""

RUNNING = {"yesterday": "today", "last week": "week", "last month": "month"}
"""The running period that people compare with an ended one: "more than yesterday" is about today."""

_ANY_PERIOD = "|".join(PERIODS.values())
_COMPARED = (
    rf"(?:than|compared? (?:to|with)|versus|vs\.?|against|as) (?:{_ANY_PERIOD})"
    rf"|(?:{_ANY_PERIOD})(?:より|(?:と|に)?比べ|に対し|比で)"
)
_SO_FAR = "so far"

_SOME = r"(?:\d+|an?|one|two|three|four|five|six|seven|ten|few|couple of|several)"
_UNIT = r"(?:minute|hour|day|week|weekend|month|quarter|year)s?"
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
# "May" is a verb, too.
_MONTH = rf"(?:{'|'.join(_MONTHS[:4] + _MONTHS[5:])}|(?<=in )may|(?<=of )may|(?<=for )may|(?<=last )may|may(?= \d))"
OTHER_DAYS = (
    r"(?:the )?day before yesterday|(?:the )?(?:week|month) before last|tomorrow|tonight"
    rf"|(?:last|past|previous|next) {_SOME} {_UNIT}|{_SOME} {_UNIT} ago|next {_UNIT}"
    r"|(?:this|last|past|previous) (?:hour|weekend|quarter|year|morning|afternoon|evening|night)"
    r"|(?:last |this |next )?(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    rf"|(?:last |this |next )?{_MONTH}(?: \d{{1,2}}(?:st|nd|rd|th)?(?! ?%))?"
    r"|(?<![\w.-])\d{4}-\d{1,2}(?:-\d{1,2})?(?![\w-])|(?<![\w/])\d{1,2}/\d{1,2}(?:/\d{2,4})?(?![\w/])"
    r"|一昨日|おととい|明日|先々週|先々月|来週|来月|来年|今年|昨年|去年|週末|[月火水木金土日]曜日?"
    r"|(?:\d{4}年)?\d{1,2}月(?:\d{1,2}日)?|(?:過去|直近|最近)?\d+(?:日|週|か月|ヶ月|カ月|時間)(?:間|前)?"
)
"""Days and stretches that no word of `PERIODS` means, though some of them have one in it."""

GROUPS = {
    "feature": r"features?|機能",
    "user": r"users?|ユーザー?|誰",
    "workspace": r"workspaces?|ワークスペース",
    "model": r"models?|モデル",
    "key": r"(?:api )?keys?|キー|who",
}

_BUDGET = r"(?:budgets?|limits?)"
TOPICS = {
    "help": r"使い方|ヘルプ|できること|何ができ|what can you do|how do(?:es)? (?:you|this|it) work",
    "budget raise": rf"(?:rais\w+|increas\w+|lift\w*) .{{0,40}}{_BUDGET}|(?:予算|上限).{{0,20}}(?:上げ|増や|増額|緩め)",
    "budget set": rf"(?:set|setting|creat\w+|add|make|define|change|new|need) .{{0,30}}{_BUDGET}(?! in force)"
    r"|(?:予算|上限).{0,20}(?:設定(?!され)|作|つくり|つくる|決め|追加|登録|変更|変え|にしたい|にして|下げ)",
    "alerts": r"alerts?|alarms?|spikes?|snooz\w+|acknowledg\w+|アラート|警告|急増|スヌーズ|想定内|通知",
    "forecast": r"forecast|expect\w*|end up|end of (?:the )?month|going to (?:spend|cost|pay)|見込み|予測|着地|月末",
    "cache": r"cach\w+|キャッシュ",
    "fallback status": r"fallback|mode|フォールバック|モード",
    "digest": r"why|what (?:has )?(?:happened|changed)|なぜ|何故|なんで|どうして|何があった|何が変わ|原因|理由",
    "digest week": r"less|sav(?:e|es|ing|ings)|cheaper|reduc\w+|cut (?:costs?|spend\w*)|節約|減ら|削減|安く|抑え",
    "limits": r"rate limits?|レート(?:制限|リミット)",
    "rates": r"(?<!burn )rates?|prices?|単価|料金表|価格",
    "estimate": r"(?:would|will|does|do) \S.* cost|estimate|見積",
    "status": r"budgets?|limits?|left|remain\w*|予算|上限|残り|残って",
    "report": r"how much .{0,40}(?:use[ds]?|was it|burn\w*)|burn rate"
    r"|spen[dt]\w*|costs?|pay\w*|bill\w*|usage|expensive|いくら|使っ|使用|費用|コスト|支出|請求",
}
"""Commands by the words of a question, in the order of matching: two lead to a form, none changes anything."""

COMMANDS: Mapping[str, str] = {
    "予算": "budget",
    "状況": "status",
    "ステータス": "status",
    "見積もり": "estimate",
    "見積り": "estimate",
    "見積": "estimate",
    "レポート": "report",
    "見込み": "forecast",
    "予測": "forecast",
    "アラート": "alerts",
    "急増": "alerts",
    "ヘルプ": "help",
    "使い方": "help",
    "料金": "rates",
    "単価": "rates",
    "キャッシュ": "cache",
    "フォールバック": "fallback",
    "ダイジェスト": "digest",
    "カレンダー": "calendar",
    "診断": "doctor",
}
"""Japanese words for a command, alone or before its other words."""

ACTIONS: Mapping[str, str] = {
    "一覧": "list",
    **dict.fromkeys(("設定", "新規", "作成", "追加", "登録", "変更"), "set"),
    **dict.fromkeys(("引き上げ", "引上げ", "増額"), "raise"),
    "削除": "remove",
    "履歴": "history",
    "試算": "try",
    "提案": "suggest",
}
"""Japanese words for actions of `budget`."""

HELP_ESTIMATE = "help estimate"

SIZES = "in=2000 out=500"
"""Assumed size of a request if a question gives none."""

_FAMILY = r"(?:opus|sonnet|haiku|fable|mythos)"
_AMOUNT_OF_WORK = re.compile(
    rf"(?=.*{_FAMILY}).*\d[\d,.]*\s*(?:[kmb千万億]|thousand|million)?\s*"
    r"(?:api )?(?:requests?|reqs?|calls?|quer(?:y|ies)|messages?|リクエスト|件|回|呼び出し)"
)
_TOKENS = re.compile(r"tokens?|トークン|characters?|文字|(?<![a-z])(?:in|out|input|output|chars)\s*[=:]|入力|出力")
_ASKED = re.compile(
    r"(?:だと|なら(?:ば)?|だったら|とすると|(?:の)?場合は?|では|で)?[\s、,]*(?:月に?|月額で?|1か月で?)?"
    r"(?:いくら|どの?くらい|どれ?くらい|どれぐらい|(?:の)?(?:費用|コスト|料金)は).*$"
)
_BEGINS = re.compile(
    r"^(?:what|how much) (?:would|will|does|do) "
    r"|^(?:見積もり|見積り|見積)(?:って|を|は)?\s*"
    r"|^(?:please\s+|can you\s+|could you\s+)?estimate\s+"
)
_TO_MODEL = re.compile(rf"(?<= )to (?=(?:claude )?{_FAMILY})")
_ENDS = re.compile(r"(?<= )cost(?: us)?(?: (?:a|per|each) month)?$")


def meant(sentence: str) -> str | None:
    """The words after `/claude-cost` that answer a sentence that begins with no command; None if nothing in it is
    known.
    """
    said = plain(sentence)
    topic = next((topic for topic, pattern in TOPICS.items() if has(pattern, said)), None)
    period = period_of(said)
    group = next((group for group, pattern in GROUPS.items() if has(pattern, said)), None)
    if topic in ("estimate", "report", None) and period is None and _AMOUNT_OF_WORK.match(said):
        return workload_words(said)
    if topic == "estimate":
        return HELP_ESTIMATE
    if topic in ("report", None) and (group is not None or (topic and period)):
        return " ".join(["report", period or "month", *([] if group is None else ["by", group])])
    if topic == "report":
        return "status"
    if topic == "cache":
        return f"cache {period}" if period else "cache"
    if topic == "digest":
        return f"digest {period or 'today'}"
    return topic


def plain(sentence: str) -> str:
    """The sentence as it is matched: in lower case, without people and channels, and without the 's of a name."""
    text = re.sub(r"<[@#!][^>]*>", " ", sentence)
    return cleaned(re.sub(r"['’]s(?![a-z])", "", text, flags=re.IGNORECASE)).casefold()


def period_of(said: str) -> str | None:
    """The period of a report that a plain sentence is about; None if it names none of them."""
    rest = re.sub(bounded(OTHER_DAYS), " ", said)
    compared = re.search(bounded(_COMPARED), rest)
    if compared is not None:
        rest = f"{rest[: compared.start()]} {rest[compared.end() :]}"
    found = next((period for period, pattern in PERIODS.items() if has(pattern, rest)), None)
    if found is None and compared is not None:
        ended = next(period for period, pattern in PERIODS.items() if has(pattern, compared[0]))
        return RUNNING.get(ended, ended)
    return "today" if found is None and has(_SO_FAR, rest) else found


def other_days(sentence: str, today: date) -> str | None:
    """The days of a sentence that no period of a report is; None for none, and for the running month by its name."""
    found = re.search(bounded(OTHER_DAYS), plain(sentence))
    if found is None:
        return None
    month = _MONTHS[today.month - 1]
    running = {month, f"this {month}", f"{today.month}月", f"{today:%Y-%m}", f"{today.year}年{today.month}月"}
    return None if found[0] in running else found[0]


def workload_words(said: str) -> str:
    """A question about a workload as words of `estimate`, with `SIZES` if it gives no tokens."""
    words = _ENDS.sub("", _BEGINS.sub("", _ASKED.sub("", said))).strip(" 、,")
    words = _TO_MODEL.sub("", words)
    return f"estimate {words}" if _TOKENS.search(said) else f"estimate {words} {SIZES}"


def has(pattern: str, said: str) -> bool:
    """Whether the words are in a sentence in lower case. Only words of Latin letters have borders: Japanese has no
    spaces, and its words stand right beside Latin names.
    """
    return re.search(bounded(pattern), said) is not None


def bounded(pattern: str) -> str:
    """The pattern, neither beginning nor ending within a word of Latin letters."""
    return rf"(?:(?<![a-z])|(?![a-z]))(?:{pattern})(?:(?![a-z])|(?<![a-z]))"
