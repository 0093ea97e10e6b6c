"""Translates Japanese words of an estimate into English ones: `月10万リクエスト` is `10万 requests/month`.

Japanese is written without spaces, so matches are found inside words.
"""

import re
from collections.abc import Callable

from bot.pricing.misleading_words import check_japanese, check_japanese_tokens

_COUNT = r"\d[\d,._]*\s?[kmb千万億]?"
_PERIODS = {"年": "year", "月": "month", "週": "week", "日": "day", "時": "hour", "分": "minute", "秒": "second"}
_REQUESTS = r"(?:リクエスト|回の?呼び出し|(?:api)?呼び出し|コール|件|回(?!答))"
_ENGLISH_REQUESTS = r"(?:requests?|reqs?|calls?)(?![\w=:])"
_PER = r"(?P<per>年|月|週|日|時|分|秒)"
_TOKENS = r"(?:\s*トークン)?"
_PARTICLES = "[はがをのでともに]"

_MODELS = {
    "クロード": "claude",
    "オーパス": "opus",
    "オプス": "opus",
    "ソネット": "sonnet",
    "ハイク": "haiku",
    "フェイブル": "fable",
    "ミュトス": "mythos",
}
_KEYS = {
    "入力": "in",
    "プロンプト": "in",
    "出力": "out",
    "回答": "out",
    "応答": "out",
    "レスポンス": "out",
    "キャッシュ済み": "cached",
    "キャッシュ": "cached",
    "ターン": "turns",
}

_BEFORE = re.compile(
    rf"(?:毎|1|(?<!\S)1\s)?(?:[かヶヵカ](?=月))?{_PER}(?:間|ごと)?(?:あたり|当たり)?{_PARTICLES}?\s*(?P<n>{_COUNT})\s*(?:{_REQUESTS}|{_ENGLISH_REQUESTS})"
)
_OTHER_THINGS = r"(?:トークン|文字|円|ドル|人|名|ターン|tokens?|tok|usd|users?|(?:in|out|input|output)(?!\s*[=:\d]))"
_BEFORE_ALONE = re.compile(
    rf"(?<![\d.])(?:毎|1|(?<!\S)1\s)?(?:[かヶヵカ](?=月))?{_PER}(?:間|ごと)?(?:あたり|当たり)?{_PARTICLES}?\s*(?P<n>{_COUNT})"
    rf"(?=\s*(?:,|$)|\s+(?!{_OTHER_THINGS}))"
)
_BEHIND_ALONE = re.compile(rf"(?<![\d.,])(?P<n>{_COUNT})\s*/\s*{_PER}間?(?=[\s,]|$)")
_OF_ONE = re.compile(
    rf"(?<![\d.,])(?:(?:1\s*|各\s*)?{_REQUESTS}(?:あたり|当たり|につき|ごと|毎)|各リクエスト|毎回)(?:に|の|で|は)?"
    rf"|(?<![\d.,])1\s*{_REQUESTS}の(?=入力|出力|回答)"
)
_NAMED = re.compile(
    rf"{_REQUESTS}数?\s*{_PARTICLES}?\s*[=:]?\s*(?P<n>{_COUNT})(?:\s*(?:件|回(?!答)))?(?:\s*/\s*{_PER}間?)?"
)
_BEHIND = re.compile(rf"(?P<n>{_COUNT})\s*{_REQUESTS}(?!数)(?:\s*(?:/|毎)\s*{_PER}間?)?")
_HIT = re.compile(
    rf"(?:キャッシュ)?(?:の)?ヒット(?:率?\s*{_PARTICLES}?\s*[=:]?\s*(?P<n>\d[\d.]*\s?%)"
    rf"|率\s*{_PARTICLES}?\s*[=:]?\s*(?P<m>[\d.]+)(?![\d.千万億%]))"
)
_VALUE = re.compile(rf"(?P<key>{'|'.join(_KEYS)}){_TOKENS}数?\s*{_PARTICLES}?\s*[=:]?\s*(?P<n>{_COUNT}){_TOKENS}")
_VALUE_BEHIND = re.compile(rf"(?P<n>{_COUNT})\s*トークンの?(?P<key>{'|'.join(_KEYS)}){_TOKENS}")
_BELONGS_TO_THE_WORD_BEFORE = re.compile(
    r"(?:入力|出力|プロンプト|レスポンス|応答|回答|検索|(?<![\d千万億kmb])トークン|キャッシュ|済み|リクエスト|呼び出し|コール|件|回|数|ターン|[はがを=:])\s*$"
)
_MODEL_BEFORE = re.compile(rf"(?:{'|'.join(_MODELS.values())})[\s-]*$")
_VERSION = re.compile(r"\d\.\d{1,2}")
_TENS = {"十万": "10万", "百万": "100万", "千万": "1000万"}
_CHARACTERS = re.compile(rf"(?P<lang>日本語|英語){_PARTICLES}?\s*(?P<n>{_COUNT})\s*文字")
_CHARACTERS_ALONE = re.compile(rf"文字数\s*{_PARTICLES}?\s*[=:]?\s*(?P<n>{_COUNT})|(?P<m>{_COUNT})\s*文?字(?!数)")
_LANGUAGE = re.compile(
    rf"言語\s*{_PARTICLES}?\s*[=:]?\s*(?P<lang>日本語|英語)|(?<!\S)(?P<alone>日本語|英語)[での]?(?=[\s,]|$)"
)
_MODEL_IS = re.compile(r"モデル名?\s*[は=:]\s*")
_LIFETIME = re.compile(
    rf"(?:ttl|有効期間|有効期限|保持期間|キャッシュの?(?:時間|期間)?)\s*{_PARTICLES}?\s*[=:]?\s*"
    r"(?P<n>\d+)\s*(?P<unit>時間|分)間?(?!の?\d)|(?<![\d.])(?P<m>[15])\s*(?P<of>時間|分)間?の?(?=キャッシュ)"
)
_ALIVE = re.compile(r"(?<=\sttl=[15][hm]\s)キャッシュ(?=[\s,]|$)")
_TURNS_JOINED = re.compile(r"(?<![\d.,])(?:各\s*)?(?P<n>\d[\d,]*)(?:ターン|往復)(?:の(?:会話|対話))?")
_TURNS = re.compile(rf"(?<![\d.,])(?:各\s*)?(?P<n>{_COUNT})\s*(?:ターン|往復)(?:の(?:会話|対話))?")
_CACHED_OF_IT = re.compile(rf"(?:その)?うち\s*(?P<n>{_COUNT})\s*(?:トークン)?[がはを]?\s*キャッシュ(?:済み)?")
_TALKS = re.compile(
    rf"(?<![\d.,])(?!1\s*(?:会話|対話))(?P<n>{_COUNT})\s*(?:会話|対話)(?!あたり|当たり|につき|ごと|毎|[にでの]\s*\d)"
)
_TALKS_NAMED = re.compile(r"(?:会話|対話)数?\s*[は=:]?\s*(?=\d)")
_SEARCHES = re.compile(rf"(?:web|ウェブ)?検索(?:回数|数)?\s*{_PARTICLES}?\s*[=:]?\s*(?P<n>{_COUNT})\s*回?")
_PEAK = re.compile(r"ピーク時?\s*[はの]?\s*[=:]?\s*(?:平均の)?(?P<n>\d[\d.]*)\s*(?:倍|x)")
_GOAL = re.compile(
    r"目標(?:金?額)?\s*[は=:]?\s*\$?(?P<n>\d[\d,.]*)(?![\d,.千万億]|\s*円)\s*(?:ドル|usd)?(?:/月|以[下内])?"
)
_TO = re.compile(r"移行先\s*[は=:]\s*")
_NONE = r"(?:は|を|も)?\s*(?:なし|無し|不要|無効|オフ|(?:使わ|使用し|利用し|し)(?:ない|ません|ず))"
_NO_CACHE = re.compile(rf"キャッシュ{_NONE}")
_NO_FAST = re.compile(rf"(?:高速|ファスト|fast\s*)モード{_NONE}")
_FAST = re.compile(r"(?:高速|ファスト|fast\s*)モード")
_NAME_BEFORE = re.compile(r"(?:リクエスト|回|件)数?\s*[はが=:]?\s*(?=requests=)")
_QUESTION = re.compile(
    r"(?:の場合)?[のはで]?\s*(?:(?:費用|料金|コスト|値段|金額|見積もり|見積り)[はをが]?\s*)?"
    r"(?:いくら|どのくらい|どれくらい)?(?:(?:に|かかり)?(?:なります|ます|です)か)?(?:を?教えて(?:ください)?|を?見積もって(?:ください)?|お願いします)?\s*\??$"
)
_NO_BATCH = re.compile(rf"バッチ(?:処理|モード)?{_NONE}|(?:非|ノン)バッチ")
_BATCH = re.compile(r"バッチ(?:処理|モード)?")
_EMPTY = re.compile(rf"{_PARTICLES}+(?=[\s,]|$)|(?<=[a-z0-9%]){_PARTICLES}+(?=\s|$|[a-z0-9])|(?:です|ます)(?=\s|$)")


def from_japanese(text: str) -> str:
    """`text` (lower case, cleaned) with its Japanese words translated; unknown words stay.

    Raises `WordsError` for phrases that would be misread.
    """
    if text.isascii():
        return text
    check_japanese(text)
    text = _QUESTION.sub(" ", text.replace("・", " "))
    text = _OF_ONE.sub(" ", text)
    text = with_english_models(text)
    text = _options(text)
    text = re.sub(r"\s*([=:])\s*", r"\1", text)
    text = re.sub(r"(?<!\d)[十百千]万", lambda found: _TENS[found[0]], text)
    text = re.sub(r"(?<=[千万億])(?=[a-z])", " ", text)
    text = _BEFORE.sub(_requests, text)
    text = _BEFORE_ALONE.sub(_requests, text)
    text = _with_the_number_before(_BEHIND_ALONE, _requests, text)
    text = _with_the_number_before(_BEHIND, _requests, text)
    text = _NAMED.sub(_requests, text)
    text = _NAME_BEFORE.sub(" ", text)
    text = _HIT.sub(lambda found: f" hit={(found['n'] or found['m']).replace(' ', '')} ", text)
    text = _CHARACTERS.sub(lambda found: f" chars={found['n']} lang={_lang(found['lang'])} ", text)
    text = _CHARACTERS_ALONE.sub(lambda found: f" chars={found['n'] or found['m']} ", text)
    text = _LANGUAGE.sub(lambda found: f" lang={_lang(found['lang'] or found['alone'])} ", text)
    text = _with_the_number_before(_VALUE_BEHIND, _value, text)
    text = _VALUE.sub(_value, text)
    check_japanese_tokens(text)
    text = _NO_BATCH.sub(" no batch ", text)
    return " ".join(_EMPTY.sub(" ", _BATCH.sub(" batch ", text)).split())


def _options(text: str) -> str:
    """Translate numbers and units that could be taken for requests before the requests."""
    text = _TO.sub(" to=", _MODEL_IS.sub(" model=", text))
    text = _ALIVE.sub(" ", _LIFETIME.sub(_lifetime, text))
    text = _CACHED_OF_IT.sub(lambda found: f" cached={found['n'].replace(' ', '')} ", text)
    text = _SEARCHES.sub(lambda found: f" search={found['n'].replace(' ', '')} ", text)
    text = _PEAK.sub(lambda found: f" peak={found['n']}x ", text)
    text = _GOAL.sub(lambda found: f" target={found['n'].rstrip(',.')} ", text)
    text = _TURNS_JOINED.sub(r" turns=\g<n> ", text)
    text = _with_the_number_before(_TURNS, lambda found: f" turns={found['n']} ", text)
    text = _with_the_number_before(_TALKS, lambda found: f"{found['n']}件 ", text)
    text = _TALKS_NAMED.sub("リクエスト=", text)
    text = _NO_CACHE.sub(" no cache ", text)
    return _FAST.sub(" fast ", _NO_FAST.sub(" no fast ", text))


def _lifetime(found: re.Match[str]) -> str:
    unit = found["unit"] or found["of"]
    return f" ttl={found['n'] or found['m']}{'h' if unit == '時間' else 'm'} "


def with_english_models(text: str) -> str:
    """`ソネット4.6` as ` sonnet 4.6`."""
    for name, model in _MODELS.items():
        text = text.replace(name, f" {model} ")
    return text


def _requests(found: re.Match[str]) -> str:
    per = found["per"]
    return f" requests={found['n'].replace(' ', '')}" + (f"/{_PERIODS[per]} " if per else " ")


def _value(found: re.Match[str]) -> str:
    return f" {_KEYS[found['key']]}={found['n'].replace(' ', '')} "


def _with_the_number_before(phrase: re.Pattern[str], made: Callable[[re.Match[str]], str], text: str) -> str:
    """Replace `phrase`, unless its number belongs to the word before: `入力2000 リクエスト10万`."""
    done, last = "", 0
    for found in phrase.finditer(text):
        done += text[last : found.start()]
        is_version = _VERSION.fullmatch(found["n"].strip(" ,")) is not None and _MODEL_BEFORE.search(done) is not None
        kept = is_version or _BELONGS_TO_THE_WORD_BEFORE.search(done) is not None
        done += found[0] if kept else made(found)
        last = found.end()
    return done + text[last:]


def _lang(name: str) -> str:
    return "ja" if name == "日本語" else "en"
