"""Random lines: each is a workload that can be estimated, or one sentence.

`benchmarks/words_at_random.py` plays a hundred thousand of them.
"""

import random
from datetime import date

from bot.pricing.card import load_rate_card
from bot.pricing.estimate import estimate
from bot.pricing.estimate_text import estimate_text
from tests.unit.test_words import workload_or_sentence

LINES = 1_500
SEED = 20261123
TODAY = date(2026, 11, 23)

GOOD = "cached=100 hit=90% ttl=1h batch turns=3 target=5 to=haiku peak=3x as=x geo=us search=2 per month 80% cache hits"
OTHER = """
sonnet opus-4.7 haiku Sonnet 4.6 claude claude-opus-5 gpt-4 nonsense requests=1k requests=5/day requests=0 in=2000
in=2.000 out=500 out= cached=9999 hit=95 ttl=2h batch=1 turns=0 chars=800 lang=ja lang=fr mix=sonnet:50,haiku:50
mix=sonnet:1 100 requests tokens in out = : , ％ ２０００ ∞ ½ 😀 1e9 -5
"""
BASE = "sonnet requests=1k in=2000 out=500"
LETTERS = "abcdefghijklmnopqrstuvwxyz=:,./%$-_ 0123456789０１２３“”\t\n"


def line_at(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.3:
        return "".join(chance.choices(LETTERS, k=chance.randint(0, 40)))
    if kind < 0.5:
        return " ".join([BASE, *chance.choices(GOOD.split(), k=chance.randint(0, 3))])
    return " ".join(chance.choices(GOOD.split() + OTHER.split(), k=chance.randint(0, 9)))


def play(lines: int, seed: int) -> int:
    """Number of lines that are workloads; the others are answered with one sentence."""
    card, chance, workloads = load_rate_card(), random.Random(seed), 0
    for _ in range(lines):
        answer = workload_or_sentence(line_at(chance))
        if isinstance(answer, str):
            assert "\n" not in answer
        else:
            assert " a month: " in estimate_text(estimate(answer, card, TODAY))
            workloads += 1
    return workloads


def test_random_lines_are_workloads_or_sentences() -> None:
    assert LINES // 20 < play(LINES, SEED) < LINES // 2
