"""How people say what they want estimated: each wording is understood, or refused with the true cause."""

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
        ("sonnet 100k requests 2000/500", "2000/500 stands alone: say what it counts, as in requests=2000"),
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
