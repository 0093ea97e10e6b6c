"""Wordings of estimates: each is understood, or refused with the true cause."""

import pytest

from bot.pricing.card import load_rate_card
from bot.pricing.words import WordsError, parse_workload

CARD = load_rate_card()
USUAL = "sonnet-4.6 requests=100k in=2000 out=500"
REST = "requests=100k in=2000 out=500"


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ("sonnet-4.6 requests=100k in=2000 out=500 --batch", f"{USUAL} batch"),
        ("sonnet-4.6 requests=100k in=2000 out=500 —batch", f"{USUAL} batch"),
        ("sonnet-4.6 requests=100k in=2000 out=500 -batch", f"{USUAL} batch"),
        ("sonnet-4.6 –requests=100k --in=2000 —out=500", USUAL),
        ("sonnet–4.6 requests:100k in: 2000 out : 500", USUAL),
        ("*sonnet-4.6* requests = 100k in=2 k out=500.", USUAL),
        ("sonnet 4.6: 100k requests, 2000 in, 500 out", USUAL),
        ("sonnet 4.6 100 000 requests, 2 000 in, 500 out", USUAL),
        ("sonnet-4.6 requests=100\u202f000 in=2000 out=500", USUAL),
        ("sonnet 4.6 in 2000 out 500 requests 100k", USUAL),
        ("sonnet 4.6 100k requests in 2000 out 500", USUAL),
        ("sonnet 4.6 100k reqs 2000 in/500 out", USUAL),
        ("sonnet 4.6 100k reqs in=2000/out=500", USUAL),
        ("sonnet 4.6, 100k requests, 2000 in and 500 out per request", USUAL),
        ("sonnet 4.6 100k requests/month 2000 input tokens/request 500 output tokens/request", USUAL),
        ("sonnet 4.6 input tokens: 2000, output tokens: 500, requests per month: 100k", USUAL),
        ("sonnet 4.6 monthly requests: 100k, avg input 2000, avg output 500", USUAL),
        ("sonnet 4.6 prompt 2000 completion 500 calls 100k", USUAL),
        ("sonnet 4.6 100k calls, 2000-token prompts, 500-token answers", USUAL),
        ("sonnet 4.6 ~100k requests of about 2000 tokens in and around 500 tokens out", USUAL),
        ("sonnet-4.6 requests=100k calls in=2000 tokens out=500 tokens", USUAL),
        ("sonnet-4.6 100 thousand requests 2k in .5 thousand out".replace(".5 thousand", "0.5k"), USUAL),
        ("How much would sonnet 4.6 cost for 100k requests a month with 2000 tokens in and 500 tokens out?", USUAL),
        ("claude-cost estimate sonnet-4.6 requests=100k in=2000 out=500", USUAL),
        ("sonnet-4.6 requests=100k in=2000 out=500, please!", USUAL),
        ("sonnet-4.6 requests=100k in=2000 out=500 without caching", USUAL),
        ("sonnet-4.6 requests=100k in=2000 out=500 no batch", USUAL),
        ("1 million requests on sonnet 4.6, 2000 in, 500 out", "sonnet-4.6 requests=1m in=2000 out=500"),
        ("sonnet 4.6 a million requests 2000 in 500 out", "sonnet-4.6 requests=1m in=2000 out=500"),
        ("opus 5 million requests in=1 out=1", "opus requests=5m in=1 out=1"),
        ("opus 5 100 requests in=1 out=1", "opus-5 requests=100 in=1 out=1"),
        ("sonnet-4.6 requests=1.5 m in=2000 out=500", "sonnet-4.6 requests=1.5m in=2000 out=500"),
        ("sonnet 3 requests per second 2000 in 500 out", "sonnet requests=180/minute in=2000 out=500"),
        ("sonnet requests=3/s in=2000 out=500", "sonnet requests=180/minute in=2000 out=500"),
        ("sonnet 500 a day 2000 in 500 out", "sonnet requests=500/day in=2000 out=500"),
        ("sonnet 500 requests daily 2000 in 500 out", "sonnet requests=500/day in=2000 out=500"),
        ("sonnet 500 requests every hour 2000 in 500 out", "sonnet requests=500/hour in=2000 out=500"),
        ("sonnet requests=500 /day in=2000 out=500", "sonnet requests=500/day in=2000 out=500"),
        ("haiku 4.5 in batches, 10 requests, 1 in, 2 out", "haiku-4.5 requests=10 in=1 out=2 batch"),
        ("haiku 4.5 batch mode 10 requests 1 in 2 out", "haiku-4.5 requests=10 in=1 out=2 batch"),
        (f"sonnet-4.6 {REST} cached=1500 hit=95 %", f"{USUAL} cached=1500 hit=95%"),
        (f"sonnet-4.6 {REST} 1500 of which cached, 95 % hit rate", f"{USUAL} cached=1500 hit=95%"),
        (f"sonnet-4.6 {REST} 1500 cached, cache hit rate of 95%", f"{USUAL} cached=1500 hit=95%"),
        (f"sonnet-4.6 {REST} cached=1500 ttl=1 hour", f"{USUAL} cached=1500 ttl=1h"),
        (f"sonnet-4.6 {REST} cached=1500 1h cache", f"{USUAL} cached=1500 ttl=1h"),
        (f"sonnet-4.6 {REST} peak=20 x", f"{USUAL} peak=20x"),
        (f"mix=sonnet-4.6:50%, haiku-4.5:50%, {REST}", f"mix=sonnet-4.6:50,haiku-4.5:50 {REST}"),
        (f"mix=Sonnet 4.6: 50 %, Haiku 4.5: 50 %, {REST}", f"mix=sonnet-4.6:50,haiku-4.5:50 {REST}"),
        (f"mix: sonnet-4.6:50 and haiku-4.5:50 {REST}", f"mix=sonnet-4.6:50,haiku-4.5:50 {REST}"),
        ("<http://sonnet-4.6|sonnet-4.6> requests=100k in=2000 out=500", USUAL),
        ("sonnet 4.6 月10万リクエスト 入力2000 出力500", USUAL),
        ("Sonnet 4.6で、月10万リクエスト、入力2000トークン、出力500トークン。", USUAL),
        ("ソネット4.6 10万リクエスト/月 入力：2000 出力：500", USUAL),
        ("sonnet 4.6 リクエスト=10万 入力=２０００ 出力=５００", USUAL),
        ("sonnet 4.6 毎月10万件、入力は2000トークン、出力は500トークンです", USUAL),
        ("sonnet 1日500リクエスト 入力2000 出力500", "sonnet requests=500/day in=2000 out=500"),
        ("sonnet 4.6 10万リクエスト 2000トークン入力 500トークン出力", USUAL),
        ("sonnet 4.6 入力2000 出力500 リクエスト10万", USUAL),
        ("sonnet 4.6 入力2000トークン出力500トークン 10万リクエスト", USUAL),
        ("1か月に10万リクエスト sonnet 4.6 入力2000 出力500", USUAL),
        ("sonnet 4.6 十万件 入力2000 出力500", USUAL),
        ("sonnet 4.6 | 100k requests (2000 in + 500 out)", USUAL),
        ("sonnet 4.6 100k requests, 2k input + 500 output", USUAL),
        ("sonnet 1億リクエスト 入力2000 出力500 バッチ", "sonnet requests=100m in=2000 out=500 batch"),
        ("haiku 1万件 日本語8000文字 出力500", "haiku requests=10k chars=8000 lang=ja out=500"),
        ("sonnet 4.6 10万リクエスト 入力2000 出力500 キャッシュ1500 ヒット率95%", f"{USUAL} cached=1500 hit=95%"),
        ("sonnet 4.6 100k requests in a month, 2000 in, 500 out", USUAL),
        ("sonnet 2000 in, 500 out per conversation, 1000 conversations", "sonnet requests=1k in=2000 out=500"),
        (
            "sonnet 1000 conversations, 10 turns per conversation, 2000 in, 500 out",
            "sonnet requests=1k in=2000 out=500 turns=10",
        ),
        ("opus 5 月10万リクエスト 入力2000 出力500", "opus-5 requests=100k in=2000 out=500"),
        ("ソネット4.6月10万リクエスト入力2000出力500", USUAL),
        ("sonnet 4.6 入力2000出力500月10万リクエスト", USUAL),
        ("opus 5 分間に10リクエスト 入力2000 出力500", "opus-5 requests=10/minute in=2000 out=500"),
        ("sonnet half a million requests in=2000 out=500", "sonnet requests=500k in=2000 out=500"),
        (f"sonnet v4.6 {REST}", USUAL),
        (f"sonnet version 4.6 {REST}", USUAL),
        *(
            (f"opus-4.7 {REST} {no}", f"opus-4.7 {REST}")
            for no in ("not fast", "no fast mode", "without fast", "fast=no")
        ),
        *(
            (f"sonnet-4.6 {REST} {no}", USUAL)
            for no in (
                "バッチなし",
                "バッチ不要",
                "バッチは使わない",
                "非バッチ",
                "non-batch",
                "batch=no",
                "batch=false",
                "batch: off",
                "batch off",
            )
        ),
        ("sonnet 4.6 100k monthly requests, 2000 in, 500 out", USUAL),
        ("sonnet 500 daily requests, 2000 in, 500 out", "sonnet requests=500/day in=2000 out=500"),
        ("sonnet 2000 in, 500 out, daily 500 requests", "sonnet requests=500/day in=2000 out=500"),
        ("sonnet 4.6 100k requests over a month, 2000 in, 500 out", USUAL),
        (f"sonnet 4.6 {REST}, monthly cost?", USUAL),
        ("opus 5 回数10万 入力2000 出力500", f"opus-5 {REST}"),
        ("ソネット4.6で月10万回、1回の入力2000トークン、出力500トークン", USUAL),
        ("sonnet 4.6 月10万req 入力2000 出力500", USUAL),
        ("sonnet 4.6 月に10万 入力2000 出力500", USUAL),
        ("sonnet 4.6 10万/月 入力2000 出力500", USUAL),
        (
            "sonnet 1日あたり 1万リクエスト、1リクエストあたり入力 2,000、出力 500",
            "sonnet requests=10k/day in=2000 out=500",
        ),
        (
            "sonnet 4.6 requests per month: 100,000 input tokens per request: 2,000 output tokens per request: 500",
            USUAL,
        ),
        ("sonnet 4.6 回数10万 入力2000 回答500", USUAL),
    ],
)
def test_a_wording_is_understood(wording: str, words: str) -> None:
    assert parse_workload(wording, CARD) == parse_workload(words, CARD)


@pytest.mark.parametrize(
    ("wording", "cause"),
    [
        (f"sonnet with caching {REST}", "caching is not known here: say how many tokens of the input are cached"),
        (f"sonnet thinking {REST}", "thinking is not known here: thinking is output"),
        (f"sonnet prompt {REST}", "prompt is not known here: say how many tokens it has"),
        (f"sonnet vs opus {REST}", "vs is not known here: name one model"),
        (f"sonnet summarise {REST}", "summarise is not known here: leave it out"),
        (f"summarise {REST}", "summarise is not known here: begin with a model"),
        ("support bot on sonnet: 100k requests, 2000 in, 500 out", "support is not known here"),
        (f"sonnet claude-4 {REST}", "No price is known for the model claude-4"),
        (f"claude-4 {REST}", "No price is known for the model claude-4"),
        (f"sonnet gpt-5 {REST}", "gpt-5 is not priced here: only Claude models are"),
        (f"gpt-4 {REST}", "gpt-4 is not priced here: only Claude models are"),
        (f"sonnet {REST} budget=100", "budget= needs its other half: add to=haiku-4.5."),
        (f"sonnet {REST} target=100", "target= needs its other half: add to=haiku-4.5."),
        ("sonnet 1m per year in=2000 out=500", "requests=1m/year has an unknown period: write /day, /week or /month."),
        ("sonnet requests=100.000 in=2000 out=500", "could be read in two ways: write 100000 or 100,000"),
        ("sonnet requests=1,5m in=2000 out=500", "requests=1,5m is not a number"),
        ("sonnet requests=2³ in=1 out=1", "requests=2³ is not a number"),
        (
            "sonnet 100k requests 2000/500",
            "2000/500 stands alone: say what it counts, one number each for requests=, in= or out=",
        ),
        ("sonnet 500 in=1 out=1", "500 stands alone: say what it counts, as in requests=500"),
        (f"sonnet {REST} 思考", "思考 is not known here: thinking is output"),
        (f"sonnet {REST} 東京", "東京 is not known here"),
        (f"sonnet opus {REST}", "opus is one word too many: sonnet is the model already"),
        (f"mix=sonnet,haiku:50 {REST}", "mix=sonnet,haiku:50 lacks a share"),
        (f"sonnet mix=sonnet:50,haiku:60 {REST}", "must sum to 100"),
    ],
)
def test_a_wording_is_refused_with_the_true_cause(wording: str, cause: str) -> None:
    with pytest.raises(WordsError) as refusal:
        parse_workload(wording, CARD)
    assert cause in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("wording", "cause"),
    [
        ("sonnet 100k requests, 500k input tokens per month, 100k output tokens per month", "in= is per request"),
        ("sonnet 100k requests, 2000 in, 100k output tokens per month", "out= is per request, and per month stands"),
        ("sonnet 100k requests, 500k input tokens monthly, 500 out", "in= is per request, and monthly stands at it"),
        ("sonnet 100k requests, 500k input tokens in a month, 500 out", "in= is per request, and in a month stands"),
        ("sonnet 100k requests, 500k in a month, 500 out", "in= is per request, and a month stands at it"),
        ("sonnet 100k requests in=500k/day out=500", "in= is per request, and /day stands at it"),
        ("sonnet 100k requests, input tokens per month: 500k, output 100", "in= is per request, and per month stands"),
        ("sonnet 10M input and 2M output tokens monthly 100 requests", "out= is per request, and monthly stands"),
        ("sonnet 10M input and 2M output tokens per month 100 requests", "out= is per request, and per month stands"),
        ("sonnet 100k requests, per month 500k input tokens, 500 out", "in= is per request, and per month stands"),
        ("sonnet 100k requests, 500k tokens/month in, 500 out", "in= is per request, and /month stands at it"),
        ("sonnet 10万件 月間入力50万トークン 出力10", "in= is per request, and 月間 stands at it"),
        ("sonnet 10万件 入力50万/月 出力10", "in= is per request, and /月 stands at it"),
        ("sonnet 10万件 入力は月50万トークン 出力10", "in= is per request, and 月 stands at it"),
        *(
            (
                f"sonnet {REST} {period}",
                f"and {period} stands at it: write the tokens of one request, and a period with",
            )
            for period in ("per day", "a day", "daily", "weekly", "each week", "per year")
        ),
        ("each day 500 requests on sonnet, 2000 in, 500 out", "each day does not stand with the requests"),
    ],
)
def test_a_period_at_the_tokens_is_refused(wording: str, cause: str) -> None:
    with pytest.raises(WordsError) as refusal:
        parse_workload(wording, CARD)
    assert cause in str(refusal.value)


@pytest.mark.parametrize(
    ("wording", "cause"),
    [
        ("sonnet 10 messages per conversation, 2000 in, 500 out", "requests=10 is per conversation: write turns=10"),
        ("sonnet 5 requests per session, 2000 in, 500 out", "the number of sessions as requests=."),
        ("sonnet 5 msgs/chat, 2000 in, 500 out", "requests=5 is per chat: write turns=5"),
        ("sonnet per conversation 10 messages 2000 in 500 out", "requests=10 is per conversation: write turns=10"),
        ("sonnet 5 requests per document, 2000 in, 500 out", "requests=5 is per document: multiply it"),
        ("sonnet 5 calls per user, 2000 in, 500 out", "requests=5 is per user: multiply it"),
        ("sonnet 1000 conversations of 10 messages each, 2000 in, 500 out", "1000 with 10 each are two counts"),
        ("sonnet 1会話あたり10メッセージ 入力2000 出力500", "会話あたり10メッセージ is per 会話"),
        ("sonnet 100人×10回 入力2000 出力500", "100人×10 is a product: multiply it"),
        ("sonnet 100人 10回 入力2000 出力500", "100人 is a number of people: write the requests of all"),
        ("sonnet 100 users 10 requests each 2000 in 500 out", "100 users is a number of people"),
        ("sonnet 100 requests per weekday 2000 in 500 out", "per weekday is not a period that is known here"),
        ("sonnet 平日100リクエスト 入力2000 出力500", "平日 is not a period that is known here"),
        ("sonnet 年間120万リクエスト 入力2000 出力500", "requests=120万/year has an unknown period"),
        ("sonnet 1m requests yearly, 2000 in, 500 out", "requests=1m/year has an unknown period"),
        ("ソネット 5日で1000リクエスト 入力2000 出力500", "5日 is not a period that is known here"),
        ("ソネット 5時間1000リクエスト 入力2000 出力500", "5時間 is not a period"),
        ("opus 5分に10リクエスト 入力2000 出力500", "5分 is not a period"),
        ("オーパス 3ヶ月で10万リクエスト 入力2000 出力500", "3ヶ月 is not a period"),
        ("opus 3 ヶ月で10万リクエスト 入力2000 出力500", "3ヶ月 is not a period"),
        ("sonnet 4日で1000件 入力2000 出力500", "4日 is not a period"),
        ("ソネット 5月10万件 入力2000 出力500", "5月 is not a period"),
        ("sonnet 半年で10万件 入力2000 出力500", "半年 is not a period"),
    ],
)
def test_requests_of_something_else_than_a_known_period_are_refused(wording: str, cause: str) -> None:
    with pytest.raises(WordsError) as refusal:
        parse_workload(wording, CARD)
    assert cause in str(refusal.value)


@pytest.mark.parametrize(
    ("wording", "cause"),
    [
        ("sonnet 100k requests total 2000 in 500 out", "total is not taken here: in= and out= are the tokens of one"),
        ("sonnet 10万件 合計入力2000 出力500", "合計 is not taken here: in= and out= are the tokens of one"),
        ("sonnet a hundred requests 2000 in 500 out", "hundred is a number in words: write it in digits"),
        (f"sonnet 9 {REST}", "No price is known for the model sonnet-9"),
        (f"opus 6 {REST}", "No price is known for the model opus-6"),
        (f"haiku 4 {REST}", "No price is known for the model haiku-4"),
        (f"mix=50% sonnet-4.6, 50% haiku-4.5 {REST}", "mix= takes MODEL:SHARE, as in mix=sonnet-4.6:50,haiku-4.5:50."),
        (f"sonnet {REST} with and without batch", "with and without batch are two estimates"),
        (f"sonnet {REST} batch, no batch", "batch and no batch contradict each other"),
        (f"opus-4.7 {REST} fast, not fast", "fast and no fast contradict each other"),
        (f"sonnet {REST} no cache cached=1500", "no cache and cached= contradict each other"),
    ],
)
def test_what_cannot_be_meant_is_refused(wording: str, cause: str) -> None:
    with pytest.raises(WordsError) as refusal:
        parse_workload(wording, CARD)
    assert cause in str(refusal.value)


def test_a_refusal_invents_no_number() -> None:
    with pytest.raises(WordsError) as refusal:
        parse_workload("sonnet 100k requests 1200-3000 in=1 out=500", CARD)
    assert str(refusal.value) == (
        "1200-3000 stands alone: say what it counts, one number each for requests=, in= or out=."
    )
