"""Refuses phrases of an estimate that would be misread, or that would change the price if they were ignored."""

import re

from bot.language import tr
from bot.pricing.word_split import WordsError

_N = r"\d[\d,._]*[kmb千万億]?"
_EVERY = r"(?:(?:in|for|over|during)\s+)?(?:per|an?|one|each|every|this|the)"
_DAYS = r"(?:second|minute|hour|day|week|quarter|year)s?|sec|min|hr|annum"
_ADVERBS = r"hourly|daily|weekly|quarterly|yearly|annually"
_ODD = (
    r"(?:week|work)days?|(?:business|working|work|week)[\s-]days?|weekends?|fortnights?|nights?|shifts?|mornings?|"
    r"evenings?|sprints?|semesters?"
)
_TALKS = r"conversations?|sessions?|chats?|threads?|dialogues?|dialogs?"
_BEHIND_TOKENS = re.compile(
    rf"(?<!\S)(?P<key>in|out|cached|chars)=(?P<n>{_N})[\s,;]*(?:each\s+)?(?:and\s+)?"
    rf"(?P<period>(?:/\s*|{_EVERY}\s+)(?:{_DAYS}|months?|mo|[smhdw]|{_ODD})|{_ADVERBS}|monthly)(?![\w=:/])(?!\s+(?:costs?|bills?|spend|price))"
)
_BETWEEN = re.compile(
    rf"(?<!\S)(?P<key>in|out|cached|chars)={_N}(?<![,.])\s+(?P<period>{_ADVERBS}|monthly)\s+requests="
)
_BEFORE_TOKENS = re.compile(
    rf"(?<![\w=:.-])(?P<period>{_EVERY}\s+(?:months?|{_DAYS})|{_ADVERBS}|monthly)\s+(?:of\s+|with\s+)?"
    r"(?P<key>in|out|cached|chars)="
)
_TOKENS_A_PERIOD = re.compile(
    rf"(?<![\w=])(?P<said>(?:(?:input|output|prompt|completion|in|out)\s+)?tokens|input|output|completion)\s*"
    rf"(?P<period>(?:/\s*|(?:per|an?|each|every)\s+)(?:{_DAYS}|months?|mo|{_ODD}))(?![\w-])"
)
_STRAY = re.compile(
    rf"(?<![\w=:.-])(?P<period>/\s*(?:{_DAYS})|{_EVERY}\s+(?P<unit>{_DAYS})|(?P<adverb>{_ADVERBS}))(?![\w=:-])"
)
_ODD_PERIOD = re.compile(rf"(?<![\w=])(?P<period>(?:/\s*|(?:per|an?|each|every|on|in)\s+)(?:{_ODD}))(?![\w=:-])")
_PER_TALK = re.compile(
    rf"(?<!\S)requests=(?P<n>{_N})\s*(?:(?:requests?|reqs?|calls?|queries|messages?|msgs?)\s*)?"
    rf"(?P<per>(?:/\s*|(?:in\s+)?(?:per|an?|each|every|one)\s+)(?:[a-z]+\s+)?(?P<what>{_TALKS}))(?![\w=])"
)
_PER_OTHER = re.compile(
    rf"(?<!\S)requests=(?P<n>{_N})\s*(?:(?:requests?|reqs?|calls?|queries|messages?|msgs?|prompts)\s*)?"
    r"(?P<per>(?:/\s*|(?:per|each|every)\s+|an?\s+(?=doc|user|person|customer|file|page|ticket))"
    r"(?P<what>(?!s\b|sec|min|h\b|hrs?\b|hour|d\b|day|w\b|wk|week|mo\b|month|year|yr|annum|quarter|request|call|msg"
    r"|message|turn)[a-z]{3,}))(?![\w=])"
)
_TALK_BEFORE = re.compile(
    rf"(?P<before>(?:in|out)={_N}[\s,;]+)?(?:per|each|every)\s+(?P<what>{_TALKS})[\s:,]*requests=(?P<n>{_N})(?![\w/])"
)
_OF_EACH = re.compile(
    rf"(?<!\S)requests=(?P<n>{_N})\s*(?:,\s*)?(?:of|with|having|at)\s+(?:about\s+)?requests=(?P<m>{_N})"
)
_PEOPLE = re.compile(
    rf"(?<![\w=.])(?<!\d,)(?P<n>{_N})\s*(?:active\s+)?(?P<who>users|people|persons|customers|employees|engineers|developers|"
    r"agents|seats|人|名(?!前)|ユーザー?)(?![a-z=])"
)
_PRODUCT = re.compile(rf"(?<![\w=.:])(?<!\d,)(?P<product>{_N}\S{{0,4}}?\s*(?:[×*]\s*|(?<=\d)x(?=\d)){_N})")
_IN_ALL = re.compile(
    r"(?<![\w=])(?P<word>in\s+total|totall?(?:ing|s)?|overall|altogether|combined|in\s+all)(?![\w=:-])|"
    r"(?P<japanese>合計|総計|延べ|トータル)"
)
_NUMBER_IN_WORDS = re.compile(
    r"(?<![\w=-])(?P<word>hundreds?|dozens?|half|(?:a\s+)?quarter\s+of|couple|twice|double|triple|lakhs?|crores?|"
    r"thousands|millions|billions)(?![\w=-])"
)
_MIX_TURNED = re.compile(r"(?<!\S)mix\s*[=:]?\s*\d[\d.]*\s?%?\s+(?:of\s+)?[a-z]")
_BOTH = re.compile(
    r"(?<!\w)(?P<said>with\s*(?:and|or|&|/|vs\.?|versus)\s*without\s+(?:the\s+)?(?P<what>batch\w*|cach\w*|fast\w*))"
)
_NO_CACHE = re.compile(r"(?<!\w)(?:no|not|without)\s+(?:any\s+)?(?:prompt\s+)?cach(?:e|ed|ing)(?![\w=])")
_HALVES = re.compile(r"(?<!\w)(?:a\s+)?half\s+(?:an?\s+)?(thousand|million|billion)(?!\w)")

_JAPANESE_UNITS = r"(?:(?:[かヶヵカケ個]|箇)月|月|週|日(?!本)|時間?|分|秒|年)(?:間)?"
_NUMBER_BEFORE_PERIOD = re.compile(
    rf"(?<![\d.,_])(?P<said>(?P<n>\d[\d.,]*|半|数)(?:{_JAPANESE_UNITS}|\s+(?:(?:[かヶヵカケ]|箇)月|(?:日|時|分|秒)間?(?=で))))(?!の?キャッシュ)"
)
_ODD_JAPANESE = re.compile(r"(?P<period>平日|営業日|週末|土日|祝日|休日|四半期|半期|隔週|隔日|隔月)")
_TALKS_JAPANESE = re.compile(
    r"(?P<said>(?P<what>会話|対話|セッション|チャット|スレッド|文書|ドキュメント)(?!\s+\d[\d.,]*\s*往復)(?:あたり|当たり|につき|ごと|毎)?"
    r"[にでの]?\s*\d[\d.,]*\s*[千万億]?\s*(?:件|回|メッセージ|リクエスト|往復|通|コール)|"
    r"(?<![\d.,])\d[\d.,]*\s*[千万億]?\s*(?:件|回|メッセージ|リクエスト|往復|コール)\s*/\s*(?P<what2>会話|対話|セッション|チャット|ユーザー?|人|名))"
)
_TOKENS_JAPANESE = re.compile(
    r"(?P<what>入力|出力|回答)(?:トークン)?数?[はがをも]?\s*(?P<period>毎[月日週年]|月間?|(?:1\s?)[日週年]間?|1[かヶヵカ]月)"
    r"(?:あたり|当たり)?[にで]?\s*\d[\d.,]*\s*[千万億km]?"
    r"(?:\s*(?:トークン|$|,)|\s+(?!リクエスト|件|回|コール|呼び出し|トークン|req|call))"
)
_BELONGS_BEFORE = re.compile(r"(?:入力|出力|回答|キャッシュ|済み|トークン|リクエスト|件|回|数|ターン|[はがを=:])\s*$")
_JAPANESE_TOKENS = re.compile(
    r"(?P<before>(?:月間|毎月|毎日|毎週|(?:1\s?)?[かヶヵカ]?[月日週年]間?(?:あたり|に|の|で)?)\s*)(?P<key>in|out|cached)=\S+|"
    r"(?<!\S)(?P<key2>in|out|cached)=\S+\s*(?P<behind>(?:/|毎)\s*[月日週年時分秒]間?)"
)


def with_halves(text: str) -> str:
    """`half a million` as a number and its name."""
    return _HALVES.sub(r"0.5 \1", text)


def check_japanese(text: str) -> None:
    """`text` (lower case, cleaned) before any translation. Raises `WordsError`."""
    for found in _NUMBER_BEFORE_PERIOD.finditer(text):
        if found["n"] != "1" and not _BELONGS_BEFORE.search(text[: found.start()]) and not _is_version(found):
            said = "".join(found["said"].split())
            raise WordsError(
                tr(
                    "{period} is not a period that is known here: say how many requests there are in one day, week or "
                    "month, as in 1日500リクエスト or requests=500/day.",
                    period=said,
                ),
                "requests",
            )
    if (odd := _ODD_JAPANESE.search(text)) is not None:
        raise _odd(odd["period"])
    if (talk := _TALKS_JAPANESE.search(text)) is not None:
        what = talk["what"] or talk["what2"]
        raise WordsError(
            tr(
                "{said} is per {what}: write the requests of a month as one number, or the number of conversations as "
                "requests= and their length as turns=10.",
                said=talk["said"],
                what=what,
            ),
            "requests",
        )
    if (tokens := _TOKENS_JAPANESE.search(text)) is not None:
        raise _per_request("in" if tokens["what"] == "入力" else "out", tokens["period"], text)
    _check_sums(text)


def _is_version(found: re.Match[str]) -> bool:
    """`Sonnet 4.6月10万件`: no month has a fraction."""
    return re.fullmatch(r"\d\.\d", found["n"]) is not None and "月" in found["said"] and len(found["said"]) == 4


def check_japanese_tokens(text: str) -> None:
    """Refuse a Japanese period attached to tokens; the rest is translated already. Raises `WordsError`."""
    if (found := _JAPANESE_TOKENS.search(text)) is not None:
        key = found["key"] or found["key2"]
        raise _per_request(key, (found["before"] or found["behind"]).strip(), text)


def check_typed(text: str) -> None:
    """`text` before plain phrases become words. Raises `WordsError`."""
    _check_sums(text)
    if (tokens := _TOKENS_A_PERIOD.search(text)) is not None:
        raise _per_request("out" if tokens["said"].startswith(("out", "comp")) else "in", tokens["period"], text)
    if _MIX_TURNED.search(text):
        raise WordsError(tr("mix= takes MODEL:SHARE, as in mix=sonnet-4.6:50,haiku-4.5:50."), "mix")
    if (both := _BOTH.search(text)) is not None:
        raise WordsError(tr("{said} are two estimates: ask for each of them on its own.", said=both["said"]))
    if _NO_CACHE.search(text) and re.search(r"(?<!\w)(?:cached?|hit|ttl)\s*[=:]\s*[\d.]*[1-9]", text):
        raise WordsError(tr("no cache and cached= contradict each other: keep one of them."), "cached")
    if (number := _NUMBER_IN_WORDS.search(text)) is not None:
        word = number["word"]
        raise WordsError(tr("{word} is a number in words: write it in digits, as in 500k or 1.5m.", word=word))


def _check_sums(text: str) -> None:
    if (product := _PRODUCT.search(text)) is not None:
        raise WordsError(
            tr(
                "{product} is a product: multiply it, and write the requests of all as one number.",
                product=product["product"],
            ),
            "requests",
        )
    if (people := _PEOPLE.search(text)) is not None:
        said = " ".join(people[0].split())
        raise WordsError(
            tr("{said} is a number of people: write the requests of all of them together as requests=.", said=said),
            "requests",
        )
    if (in_all := _IN_ALL.search(text)) is not None:
        raise WordsError(
            tr(
                "{word} is not taken here: in= and out= are the tokens of one request, and requests= says how many "
                "requests there are, as in requests=100k/month in=2000 out=500.",
                word=in_all[0],
            )
        )


def check_named(text: str) -> None:
    """`text` whose counts are named already, as in `requests=10 per conversation`. Raises `WordsError`."""
    before = _TALK_BEFORE.search(text)
    talk = _PER_TALK.search(text) or (before if before is not None and not before["before"] else None)
    if talk is not None:
        what = talk["what"].removesuffix("s")
        raise WordsError(
            tr(
                "requests={number} is per {what}: write turns={number}, and the number of {many} as requests=.",
                number=talk["n"],
                what=what,
                many=f"{what}s",
            ),
            "requests",
        )
    if (each := _OF_EACH.search(text)) is not None:
        raise WordsError(
            tr(
                "{one} with {other} each are two counts: multiply them, or write requests={one} and turns={other} for "
                "conversations.",
                one=each["n"],
                other=each["m"],
            ),
            "requests",
        )
    if (between := _BETWEEN.search(text)) is not None:
        raise _per_request(between["key"], between["period"], text)
    if (odd := _ODD_PERIOD.search(text)) is not None:
        raise _odd(odd["period"])
    if (other := _PER_OTHER.search(text)) is not None:
        raise WordsError(
            tr(
                "requests={number} is per {what}: multiply it, and write the requests of all as one number.",
                number=other["n"],
                what=other["what"],
            ),
            "requests",
        )


def check_periods(text: str) -> None:
    """`text` after the requests' period was read. Raises `WordsError` for a second period."""
    if (tokens := _BEHIND_TOKENS.search(text)) is not None:
        raise _per_request(tokens["key"], tokens["period"], text)
    if (before := _BEFORE_TOKENS.search(text)) is not None:
        raise _per_request(before["key"], before["period"], text)
    if (stray := _STRAY.search(text)) is not None:
        raise WordsError(
            tr(
                "{period} does not stand with the requests: write the period there, as in {example}.",
                period=stray["period"],
                example=_with_period(text),
            ),
            "requests",
        )


def _per_request(key: str, period: str, text: str) -> WordsError:
    return WordsError(
        tr(
            "{key}= is per request, and {period} stands at it: write the tokens of one request, and a period with the "
            "requests, as in {example}.",
            key=key,
            period=period,
            example=_with_period(text),
        ),
        key,
    )


def _odd(period: str) -> WordsError:
    return WordsError(
        tr(
            "{period} is not a period that is known here: say how many requests there are in a day, week or month, as "
            "in requests=500/week.",
            period=period,
        ),
        "requests",
    )


def _with_period(text: str) -> str:
    found = re.search(rf"requests=({_N})", text)
    return f"requests={found[1].rstrip(',.')}/day" if found else "requests=500/day"
