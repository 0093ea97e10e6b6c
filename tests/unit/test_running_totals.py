"""Logs of running totals are distinguished from logs of single calls, and count once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.responses import Call
from bot.pricing.tally import Tally
from bot.pricing.tokens import TokenCounts
from bot.pricing.totals import Totals

START = datetime(2026, 4, 11, 20, tzinfo=UTC)


def single(number: int, session: str | None = "s", seed: int = 1) -> list[Call]:
    """A conversation: each call reads from the cache what the ones before have sent."""
    chance = Random(seed)
    read, calls = 20_000, []
    for index in range(number):
        written, output = chance.randint(100, 5_000), chance.randint(1, 3_000)
        counts = TokenCounts(chance.randint(1, 20), written, 0, read, output)
        calls.append(Call("claude-opus-4-6", counts, at=START + index * timedelta(minutes=10), session=session))
        read += written
    return calls


def running(calls: list[Call]) -> list[Call]:
    sums = accumulate(call.counts for call in calls)
    return [replace(call, counts=counts) for call, counts in zip(calls, sums, strict=True)]


def totals(*files: list[Call]) -> Totals:
    tally = Tally(load_rate_card(), date(2026, 11, 22))
    for number, calls in enumerate(files):
        for call in calls:
            tally.add(call, f"{number}.jsonl")
    return tally.totals()


def test_running_totals_cost_what_their_calls_do_on_the_days_of_these() -> None:
    calls = single(60)
    found, expected = totals(running(calls)), totals(calls)
    assert found.total.counts == expected.total.counts
    assert found.total.usd == expected.total.usd
    assert (found.total.calls, found.running_totals, found.running_totals_in) == (1, 59, ("0.jsonl",))
    assert {day: part.usd for day, part in found.by_day.items()} == {
        day: part.usd for day, part in expected.by_day.items()
    }
    assert not found.beyond


def test_a_few_records_with_prompts_that_no_model_reads_are_enough() -> None:
    calls = [replace(call, counts=call.counts._replace(cache_read_input_tokens=900_000)) for call in single(4)]
    assert totals(running(calls)).total.counts == totals(calls).total.counts


def test_short_sessions_are_recognised_together() -> None:
    sessions = [single(7, session, seed) for seed, session in enumerate("abc")]
    found = totals([call for calls in sessions for call in running(calls)])
    assert found.total.counts == totals(*sessions).total.counts
    assert found.running_totals == 18


def talk(number: int, is_cached: bool) -> list[Call]:
    """A conversation whose answers become longer and longer, each prompt holding all that was said before."""
    history, calls = 1_000, []
    for output in range(100, 100 * number, 100):
        read = history if is_cached else 0
        calls.append(Call("claude-opus-4-6", TokenCounts(history - read + 50, 0, 0, read, output), session="s"))
        history += 50 + output
    return calls


def test_a_counter_that_goes_on_in_the_next_file_counts_once() -> None:
    calls = single(80)
    counted = running(calls)
    assert totals(counted[:40], counted[40:]).total.counts == totals(calls).total.counts
    assert totals(counted[40:], counted[:40]).total.counts == totals(calls).total.counts


def test_a_counter_that_begins_anew_counts_for_each_of_its_stretches() -> None:
    first, second = single(60, seed=1), single(60, seed=2)
    found = totals(running(first) + running(second))
    assert found.total.counts == totals(first, second).total.counts
    assert found.total.calls == 2


def test_sessions_and_models_have_counters_of_their_own() -> None:
    sessions = [single(30, session, seed) for seed, session in enumerate("abc")]
    sessions.append([replace(call, model="claude-haiku-4-5") for call in single(30, "a", 9)])
    counted = [running(calls) for calls in sessions]
    mixed = [call for turn in zip(*counted, strict=True) for call in turn]
    assert totals(mixed).total.counts == totals(*sessions).total.counts


@pytest.mark.parametrize(
    "calls",
    [
        single(200),
        single(200, session=None),
        [call for seed in range(50) for call in single(2, f"s{seed}", seed)],
        # Every answer of one length, of prompts that grow.
        [replace(call, counts=call.counts._replace(output_tokens=100)) for call in single(100)],
        # Answers that become longer and longer.
        talk(13, is_cached=False),
        talk(13, is_cached=True),
        # A test's fixture that counts up.
        [Call("claude-opus-4-6", TokenCounts(1_000 * n, output_tokens=100 + n), session="s") for n in range(1, 30)],
        # The same record again and again.
        single(1) * 50,
    ],
)
def test_single_calls_are_never_taken_for_running_totals(calls: list[Call]) -> None:
    found = totals(calls)
    assert (found.total.calls, found.running_totals) == (len(calls), 0)
    assert found.total.counts == sum((call.counts for call in calls), TokenCounts())


def test_a_prompt_that_no_model_reads_is_named_where_it_is_no_running_total() -> None:
    day = Call("claude-opus-4-6", TokenCounts(5_000_000, output_tokens=1), at=START)
    found = totals([day, *single(20)])
    assert (found.beyond, found.total.calls) == ({"claude-opus-4-6": 1}, 21)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(0, 99))
def test_every_record_is_counted_or_left_out(lengths: list[int], seed: int) -> None:
    def files() -> Iterator[list[Call]]:
        for number, length in enumerate(lengths):
            calls = single(length, f"s{number}", seed + number)
            yield running(calls) if number % 2 else calls

    found = totals(*files())
    assert found.total.calls + found.running_totals == sum(lengths)
