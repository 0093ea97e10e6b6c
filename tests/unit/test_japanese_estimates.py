"""Estimates, plans and rates for a reader of Japanese: what is typed, and that no English sentence is left."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.language import in_language
from bot.pricing.card import load_rate_card
from bot.pricing.estimate import estimate
from bot.pricing.model_names import short_name
from bot.pricing.plans import compare_plans, plan_lines
from bot.pricing.throughput import load_rate_limits
from bot.pricing.words import WordsError, parse_workload
from handlers.render.estimate import estimate_message
from handlers.render.rates import model_rates, overview

CARD = load_rate_card()
TODAY = date(2026, 11, 28)
USUAL = "sonnet-4.6 requests=100k in=2000 out=500"

FULL_WIDTH = str.maketrans("0123456789=,%", "０１２３４５６７８９＝，％")


def prefixed(values: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A workload in English words, and the same in Japanese ones."""
    requests, into, out = (draw(st.integers(1, most)) for most in (9_999, 90_000, 9_000))
    per, japanese = draw(prefixed(["month:月", "day:1日", "hour:1時間", "week:1週間", "day:毎日"])).split(":")
    unit, times = draw(prefixed([":1", "万:10000", "千:1000", "億:100000000"])).split(":")
    english = [f"requests={requests * int(times)}/{per}", f"in={into}", f"out={out}"]
    noun = draw(prefixed(["リクエスト", "件", "回"]))
    written = draw(prefixed([f"{japanese}{requests}{unit}{noun}", f"{japanese}に{requests}{unit}{noun}"]))
    sign, behind = draw(prefixed(["", "=", "：", "は"])), draw(prefixed(["", "トークン"]))
    words = [written, f"入力{sign}{into}{behind}", f"出力{sign}{out}{behind}"]
    if draw(st.booleans()):
        cached, rate = draw(st.integers(1, into)), draw(st.integers(0, 100))
        english += [f"cached={cached}", f"hit={rate}%"]
        words += [f"キャッシュ{sign}{cached}{behind}", f"ヒット率{sign}{rate}%"]
        if draw(st.booleans()):
            english.append("ttl=1h")
            words.append(draw(prefixed(["ttl=1時間", "有効期間1時間", "1時間キャッシュ"])))
    elif draw(st.booleans()):
        turns = draw(st.integers(1, 50))
        english.append(f"turns={turns}")
        words.append(draw(prefixed([f"{turns}ターン", f"{turns}往復", f"ターン={turns}"])))
    if draw(st.booleans()):
        english.append("batch")
        words.append(draw(prefixed(["バッチ", "バッチ処理", "バッチモード"])))
    if draw(st.booleans()):
        searches = draw(st.integers(1, 9))
        english.append(f"search={searches}")
        words.append(draw(prefixed([f"検索{searches}回", f"Web検索={searches}"])))
    ordered = draw(st.permutations(words))
    text = draw(prefixed([" ", "、"])).join(["ソネット4.6", *ordered])
    return f"sonnet-4.6 {' '.join(english)}", text.translate(FULL_WIDTH) if draw(st.booleans()) else text


@given(spellings())
def test_the_japanese_spelling_of_a_workload_is_the_same_workload(pair: tuple[str, str]) -> None:
    english, japanese = pair
    assert parse_workload(japanese, CARD) == parse_workload(english, CARD), japanese


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ("モデルはソネット4.6、リクエストは月10万、入力は2000、出力は500", USUAL),
        ("モデル=sonnet-4.6 リクエスト=10万 入力=2000トークン 出力=500", USUAL),
        ("ソネット4.6 入力1 月1リクエスト 出力1", "sonnet-4.6 requests=1 in=1 out=1"),
        ("sonnet 4.6 リクエスト=1日500 入力2000 出力500", "sonnet-4.6 requests=500/day in=2000 out=500"),
        ("ソネット4.6で月10万回呼び出し、入力2000トークン・出力500トークンの場合の費用は？", USUAL),
        ("sonnet 4.6 月10万リクエスト 入出力2000/500", USUAL),
        ("sonnet 4.6 月10万リクエスト プロンプト2000トークン 回答500トークン", USUAL),
        ("sonnet 4.6 月10万リクエスト 入力2000 出力500 キャッシュなし 高速モードなし", USUAL),
        ("sonnet 4.6 月10万件 入力2000 出力500 キャッシュ1500 ヒット率0.9", f"{USUAL} cached=1500 hit=0.9"),
        ("sonnet 4.6 月1000会話 20往復 入力2000 出力500", "sonnet-4.6 requests=1000 in=2000 out=500 turns=20"),
        ("haiku-4.5 月10万件 文字数8000 言語=日本語 出力500", "haiku-4.5 requests=100k chars=8000 lang=ja out=500"),
        ("sonnet 4.6 月10万件 入力2000 出力500 目標700ドル 移行先=haiku-4.5", f"{USUAL} target=700 to=haiku-4.5"),
        ("sonnet 4.6 月10万件 入力2000 出力500 ピーク20倍", f"{USUAL} peak=20x"),
        ("sonnet 4.6 リクエスト10万件、入力2000(うち1500トークンがキャッシュ)、出力500", f"{USUAL} cached=1500"),
        ("sonnet 4.6 月10万件 入力2000 出力500 キャッシュ1500 キャッシュ1時間", f"{USUAL} cached=1500 ttl=1h"),
        ("sonnet 4.6 月10万件 入力2000 出力500 各20ターン", f"{USUAL} turns=20"),
        ("sonnet-4.6 in/out 2000/500, 100k requests", USUAL),
        ("sonnet-4.6 100k requests, input/output tokens = 2k/500", USUAL),
        ("sonnet-4.6 3 rps 2000 in 500 out", "sonnet-4.6 requests=3/second in=2000 out=500"),
        ("sonnet-4.6 requests=100 qpm in=2000 out=500", "sonnet-4.6 requests=100/minute in=2000 out=500"),
        ("sonnet-4.6 100k monthly 2000 in 500 out", USUAL),
    ],
)
def test_more_wordings_are_understood(wording: str, words: str) -> None:
    assert parse_workload(wording, CARD) == parse_workload(words, CARD)


@pytest.mark.parametrize(
    ("wording", "named"),
    [
        ("sonnet 月10万リクエスト 入力月2000 出力500", "in= is per request, and 月 stands at it"),
        ("sonnet 月10万リクエスト 入力2000 出力500 目標700円 to=haiku-4.5", "目標700円"),
        ("sonnet 月10万リクエスト 入力2000 出力500 検索2回/日", "/日"),
        ("sonnet 月10万リクエスト 入力2000 出力500 キャッシュ1500 ヒット率90", "hit=90%"),
        ("sonnet 月10万リクエスト 入力2000 出力500 キャッシュ率90%", "キャッシュ率90%"),
        ("sonnet 月10万リクエスト 入力2000 出力500 キャッシュなし キャッシュ1500", "contradict each other"),
        ("sonnet with prompt caching 100k requests 2000 in 500 out", "caching is not known here"),
        ("sonnet 100k requests 2000 in 500 out extended thinking", "thinking is output"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused_by_name(wording: str, named: str) -> None:
    with pytest.raises(WordsError, match=re.escape(named)):
        parse_workload(wording, CARD)


CODE = re.compile(
    r"`[^`]*`|\b[\w.-]+=\S*|<[^>]*>|claude-[\w.-]+|(?:opus|sonnet|haiku)-[\d.]+|出典：.*?(?=。|$)|コマンド：.*",
    re.MULTILINE,
)
NAMES = re.compile(
    r"\b(?:Opus|Sonnet|Haiku|Fable|Mythos|opus|sonnet|haiku|fable|mythos|Anthropic|Claude|API|ID|Console|HTTP|USD|MB|TTL|"
    r"Web|AND|fast|batch|Bedrock|Vertex|Enterprise|Pro|Max|Team|standard|premium|Start|Build|Scale|Custom|Message|"
    r"Batches|in|out|hit|cached|for|as|geo|lang|mix|turns|chars|under|M|k|m|x|xs?)\b"
)
ENGLISH = re.compile(r"[A-Za-z]{2,}(?:[ ,]+[a-z]{2,})+")


def english_in(text: str) -> list[str]:
    """Two English words in a row that are neither code nor names."""
    return ENGLISH.findall(NAMES.sub("", CODE.sub("", text)))


WORKLOADS = [
    USUAL,
    f"{USUAL} cached=1500",
    f"{USUAL} cached=1500 hit=99% ttl=1h batch",
    f"{USUAL} target=700 to=haiku-4.5",
    f"{USUAL} target=1 to=haiku-4.5",
    f"{USUAL} target=9999 to=haiku-4.5",
    "opus requests=500/day in=3000 out=800 turns=20 cached=3000",
    "opus requests=500/week in=3000 out=800 turns=20 cached=3000 hit=50% ttl=1h batch",
    "mix=opus-5:30,haiku-4.5:70 sonnet requests=3/hour in=150000 out=500 cached=1500 peak=1x",
    "opus-3 requests=1000 in=2000000 out=500000 cached=100",
    "opus-4.6 requests=1000 in=2000000 out=500000",
    "sonnet requests=10 in=999000 out=64000 fast",
    "sonnet-4.6 requests=20m in=20000 out=5000 batch search=2 geo=us",
    "haiku-4.5 requests=10k chars=8000 lang=ja out=500 batch search=1",
    "haiku requests=3/minute in=200000 out=1 cached=4000 hit=100%",
    "opus-4.6 requests=1 in=10 out=1 fast",
    "opus requests=1 in=0 out=0",
]


@pytest.mark.parametrize("words", WORKLOADS)
def test_an_estimate_and_its_plans_are_in_japanese(words: str) -> None:
    try:
        workload = parse_workload(words, CARD)
    except WordsError:
        workload = parse_workload(words.removesuffix(" fast"), CARD)
    limits = load_rate_limits().limits
    with in_language("ja"):
        by_table = estimate(workload, CARD, TODAY)
        measured = {pool: next(iter(tiers.values())) for pool, tiers in limits.items() if tiers}
        by_own = estimate(workload, CARD, TODAY, measured)
        plans = [
            line
            for seats in (1, 3, 200)
            for line in plan_lines(compare_plans(by_table.monthly_usd, seats, workload.routes[0].model, CARD, TODAY))
        ]
        shown = [estimate_message(by_table).text, estimate_message(by_own).text, *by_table.notes, *plans]
    assert [found for text in shown for found in english_in(text)] == []


@pytest.mark.parametrize("model", CARD.models.values(), ids=short_name)
def test_rates_are_in_japanese(model: object) -> None:
    with in_language("ja"):
        texts = [model_rates(each, CARD, TODAY).text for each in CARD.models.values() if each is model]
        texts.append(overview(CARD, TODAY).text)
    assert [found for text in texts for found in english_in(text)] == []


MISTAKES = [
    "",
    "sonnet",
    "sonnet requests=100k",
    "sonnet requests=100k in=2000",
    "sonnet rquests=1 in=1 out=1",
    "sonnet requests=many in=1 out=1",
    "sonnet requests=1.500 in=1 out=1",
    "sonnet requests=9999999999999 in=1 out=1",
    "sonnet requests=1.5 in=1 out=1",
    "sonnet requests=1/year in=1 out=1",
    "sonnet requests=0 in=1 out=1",
    "sonnet haiku requests=1 in=1 out=1",
    "gpt-4 requests=1 in=1 out=1",
    "sonet requests=1 in=1 out=1",
    "sonnet requests=1 in=1 out=1 whatever",
    "sonnet requests=1 in=1 out=1 zzz=1",
    "500 sonnet requests=1 in=1 out=1",
    "sonnet requests=1 in=1 out=1 90%",
    "sonnet requests=1 in=1 out=1 caching",
    "sonnet requests=1 in=1 out=1 thinking",
    "sonnet requests=1 in=1 out=1 cached=5",
    "sonnet requests=1 in=1 out=1 hit=90%",
    "sonnet requests=1 in=9 out=1 cached=5 hit=90",
    "sonnet requests=1 in=9 out=1 cached=5 ttl=2h",
    "sonnet requests=1 in=1 chars=5 lang=ja out=1",
    "sonnet requests=1 chars=5 out=1",
    "sonnet requests=1 chars=5 lang=fr out=1",
    "sonnet requests=1 in=1 out=1 batch fast",
    "sonnet requests=1 in=1 out=1 fast",
    "haiku-4.5 requests=1 in=1 out=1 geo=us",
    "sonnet requests=1 in=1 out=1 turns=0",
    "sonnet requests=1 in=1 out=1 target=700",
    "sonnet requests=1 in=1 out=1 peak=0.5x",
    "sonnet requests=1 in=1 out=1 as=a/b",
    "requests=1 in=1 out=1 mix=sonnet:50,haiku:40",
    "requests=1 in=1 out=1 mix=sonnet,haiku",
    "sonnet requests=1 in=1 out=1 requests=2",
    "sonnet 10 requests per conversation in=1 out=1",
    "sonnet 100 users in=1 out=1",
    "sonnet 10x20 requests in=1 out=1",
    "sonnet a dozen requests in=1 out=1",
    "sonnet 100 requests 2000 tokens/day out=1",
    "sonnet 平日500件 入力2000 出力500",
    "sonnet 5日で1000件 入力2000 出力500",
]


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_answered_in_japanese(words: str) -> None:
    with pytest.raises(WordsError) as english:
        parse_workload(words, CARD)
    with in_language("ja"), pytest.raises(WordsError) as raised:
        parse_workload(words, CARD)
    answer = str(raised.value)
    assert re.search(r"[ぁ-んァ-ヶ一-龠]", answer)
    assert english_in(answer) == []
    assert raised.value.key == english.value.key
