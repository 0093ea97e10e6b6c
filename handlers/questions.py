"""The command that a sentence asks for. None of these commands changes anything."""

import re
from collections.abc import Mapping

from bot.typed_text import cleaned

PERIODS = {
    "yesterday": r"yesterday|昨日|きのう",
    "today": r"today|so far|本日|今日|きょう",
    "last week": r"(?:last|past|previous) week|先週",
    "week": r"(?:this )?week|今週",
    "last month": r"(?:last|past|previous) month|先月",
    "month": r"(?:this )?month|今月",
}
"""Periods of a report by the words people use, longer ones first."""

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
    "rates": r"rates?|prices?|単価|料金表|価格",
    "estimate": r"(?:would|will|does|do) \S.* cost|estimate|見積",
    "status": r"budgets?|limits?|left|remain\w*|予算|上限|残り|残って",
    "report": r"spen[dt]\w*|costs?|pay\w*|bill\w*|usage|expensive|いくら|使っ|使用|費用|コスト|支出|請求",
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
    said = cleaned(sentence).lower()
    topic = next((topic for topic, pattern in TOPICS.items() if _has(pattern, said)), None)
    period = next((period for period, pattern in PERIODS.items() if _has(pattern, said)), None)
    group = next((group for group, pattern in GROUPS.items() if _has(pattern, said)), None)
    if topic in ("estimate", "report", None) and period is None and _AMOUNT_OF_WORK.match(said):
        return workload_words(said)
    if topic == "estimate":
        return "help estimate"
    if topic in ("report", None) and (group is not None or (topic and period)):
        return " ".join(["report", period or "month", *([] if group is None else ["by", group])])
    if topic == "report":
        return "status"
    if topic == "cache":
        return f"cache {period}" if period else "cache"
    if topic == "digest":
        return f"digest {period or 'today'}"
    return topic


def workload_words(said: str) -> str:
    """A question about a workload as words of `estimate`, with `SIZES` if it gives no tokens."""
    words = _ENDS.sub("", _BEGINS.sub("", _ASKED.sub("", said))).strip(" 、,")
    words = _TO_MODEL.sub("", words)
    return f"estimate {words}" if _TOKENS.search(said) else f"estimate {words} {SIZES}"


def _has(pattern: str, said: str) -> bool:
    # Japanese has no spaces between words, so no word borders either.
    return re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", said) is not None
