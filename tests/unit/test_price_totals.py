"""Sums over calls: exact, whatever the order, whatever the files, however often a response is reported."""

import gc
import json
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO, RawIOBase
from itertools import repeat
from typing import Any, BinaryIO, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.responses import Call, Part
from bot.pricing.tally import Tally
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.totals import Totals
from bot.usage.logs.records import call_in
from bot.usage.logs.streams import records_of
from bot.usage.logs.usage_block import Skipped

CARD = load_rate_card()
TODAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

counts = st.builds(TokenCounts, *[st.integers(0, 200_000)] * 5, st.integers(0, 5))
terms = st.builds(
    Terms,
    st.sampled_from([None, "standard", "batch"]),
    st.sampled_from([None, "us"]),
    st.sampled_from([None, "fast"]),
)
responses = st.sampled_from(["msg_1", "msg_2", "relay"])
calls = st.builds(
    Call,
    model=st.sampled_from(["claude-opus-5-5", "claude-haiku-5-5", "claude-opus-9", "nameless"]),
    counts=counts,
    terms=terms,
    at=st.none() | st.timedeltas(timedelta(-700), timedelta()).map(lambda ago: NOON + ago),
    feature=st.sampled_from([None, "search", "mail"]),
    user=st.sampled_from([None, "ann", "bob"]),
    response=st.none() | responses,
    session=st.sampled_from([None, "s1", "s2"]),
    outside=st.lists(st.builds(Part, st.just("claude-opus-5-5"), counts), max_size=2).map(tuple),
)


def totals(calls: Iterable[Call]) -> Totals:
    tally = Tally(CARD, TODAY)
    for call in calls:
        tally.add(call)
    return tally.totals()


def opus(output: int = 7, **changes: Any) -> Call:
    return replace(Call("claude-opus-4-6", TokenCounts(10, output_tokens=output), at=NOON), **changes)


def test_a_repeat_of_one_response_counts_once_with_the_largest_output() -> None:
    first, last = (opus(output, response="msg_1") for output in (1, 109))
    for order in ((first, last), (last, first), (first, last, first, last)):
        found = totals(order)
        assert found.total == totals([last]).total
        assert found.repeats == len(order) - 1


def test_an_id_of_the_api_proves_a_repeat_in_any_file_session_or_model() -> None:
    """A side question writes the answers before it again, under its own request id; a resumed session copies them."""
    again = [opus(response="msg_1", session="s2"), opus(response="msg_1", model="claude-opus-4-8")]
    tally = Tally(CARD, TODAY)
    for number, call in enumerate([opus(response="msg_1", session="s1"), *again]):
        tally.add(call, f"file {number}")
    found = tally.totals()
    assert (found.total.calls, found.repeats) == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"session": "s2"},
        {"model": "claude-haiku-4-5"},
        {"counts": TokenCounts(11, output_tokens=7)},
        {"counts": TokenCounts(10, 5, output_tokens=7)},
        {"counts": TokenCounts(10, 0, 0, 5, 7)},
    ],
)
def test_any_other_id_is_a_repeat_only_in_one_session_with_the_same_model_and_prompt(change: dict[str, Any]) -> None:
    """A gateway may give every answer one id."""
    first = opus(response="relay", session="s1")
    found = totals([first, replace(first, **change)])
    assert (found.total.calls, found.repeats) == (2, 0)
    grown = replace(first, counts=TokenCounts(10, output_tokens=310))
    assert totals([first, grown, first]).total == totals([grown]).total


def test_where_no_session_is_named_any_other_id_is_a_repeat_only_within_its_file() -> None:
    call = opus(response="chatcmpl-0")
    tally = Tally(CARD, TODAY)
    for file in ("a", "a", "b"):
        tally.add(call, file)
    assert (tally.totals().total.calls, tally.totals().repeats) == (2, 1)


def test_of_several_states_each_counts_largest_is_taken() -> None:
    """The first state has a placeholder for input, and a late one may have output alone."""
    states = [TokenCounts(25, 0, 0, 0, 8), TokenCounts(25_000, 0, 0, 90_000, 1), TokenCounts(output_tokens=500)]
    for order in (states, states[::-1]):
        found = totals(opus(counts=state, response="msg_1") for state in order)
        assert found.total.counts == TokenCounts(25_000, 0, 0, 90_000, 500)


def test_of_several_states_the_last_says_the_terms_and_the_first_says_the_day() -> None:
    first = opus(response="msg_1", at=datetime(2026, 11, 20, 23, 59, tzinfo=UTC))
    last = replace(first, at=first.at and first.at + timedelta(minutes=2), terms=Terms(service_tier="batch"))
    for order in ((first, last), (last, first)):
        found = totals(order)
        assert found.total.usd * 2 == totals([first]).total.usd
        assert set(found.by_day) == {"2026-11-20"}


def test_calls_without_an_id_are_never_repeats() -> None:
    assert totals([opus(), opus(), opus()]).total.calls == 3


def test_of_repeats_the_one_that_knows_the_lifetimes_of_its_cache_writes_counts() -> None:
    split = opus(counts=TokenCounts(10, 0, 300, output_tokens=7), response="msg_1")
    unsplit = replace(split, counts=TokenCounts(10, 300, 0, output_tokens=7), unsplit=300)
    assert totals([split, unsplit]).total == totals([unsplit, split]).total == totals([split]).total
    more = replace(split, counts=TokenCounts(10, 350, 0, output_tokens=7), unsplit=350)
    assert totals([split, more, unsplit]).total.counts == TokenCounts(10, 50, 300, output_tokens=7)


def test_a_call_is_priced_at_the_rates_of_its_day() -> None:
    """Cache reads of Sonnet 5.5 became cheaper on 2026-10-07."""
    read = TokenCounts(cache_read_input_tokens=1_000_000)
    before, since = (
        totals([Call("claude-sonnet-5-5", read, at=datetime(2026, 10, day, tzinfo=UTC))]).total.usd for day in (6, 7)
    )
    assert (before, since) == (Decimal("0.20"), Decimal("0.10"))


def test_a_call_without_a_time_is_priced_at_todays_rates_and_stands_under_unknown() -> None:
    call = Call("claude-sonnet-5-5", TokenCounts(cache_read_input_tokens=1_000_000))
    tally = Tally(CARD, date(2026, 10, 6))
    tally.add(call)
    assert tally.totals().total.usd == Decimal("0.20")
    assert set(tally.totals().by_day) == {"unknown"}
    assert totals([call]).total.usd == Decimal("0.10")


def test_the_step_of_haiku_is_taken_by_each_request_for_itself() -> None:
    short, long = (Call("claude-haiku-5-5", TokenCounts(prompt), at=NOON) for prompt in (100_000, 100_001))
    found = totals([short, long, short])
    assert found.total.usd == (200_000 * Decimal("0.10") + 100_001 * Decimal("0.50")) / 1_000_000
    assert not found.at_least


def test_unknown_models_are_counted_at_the_dearest_rate_and_named() -> None:
    found = totals([opus(), opus(model="claude-opus-9"), opus(model="nameless"), opus(model="nameless")])
    assert {model: one.calls for model, one in found.assumed.items()} == {"claude-opus-9": 1, "nameless": 2}
    assert found.assumed_usd == found.by_model["claude-opus-9"].usd + found.by_model["nameless"].usd
    assert found.total.usd == found.assumed_usd + found.by_model["claude-opus-4-6"].usd
    assert "most expensive opus rate" in found.assumed["claude-opus-9"].how


def test_web_searches_are_priced_and_batches_cost_half() -> None:
    searched = totals([opus(counts=TokenCounts(web_search_requests=3))])
    assert searched.total.usd == Decimal("0.03")
    batch = totals([opus(terms=Terms(service_tier="batch"))])
    assert batch.total.usd * 2 == totals([opus()]).total.usd


def test_tokens_outside_of_the_counts_are_in_the_total_at_their_own_model_once() -> None:
    outside = (Part("claude-opus-4-6", TokenCounts(55_196)), Part("claude-haiku-4-5", TokenCounts(2518)))
    first, last = (opus(output, response="msg_1", outside=outside) for output in (1, 7))
    found = totals([first, last])
    assert (found.total.calls, found.outside.calls, found.outside.counts) == (1, 1, TokenCounts(57_714))
    assert found.outside.usd == Decimal("0.278498")
    assert found.total.usd == totals([opus()]).total.usd + found.outside.usd
    assert found.by_model["claude-haiku-4-5"].counts == TokenCounts(2518)
    assert totals([first, replace(last, outside=())]).outside.calls == 1


def test_the_step_of_haiku_is_taken_by_each_iteration_for_itself() -> None:
    inside = (Part("claude-haiku-5-5", TokenCounts(62_002)), Part("claude-haiku-5-5", TokenCounts(62_902)))
    call = Call("claude-haiku-5-5", TokenCounts(124_904, output_tokens=100), at=NOON, inside=inside)
    assert totals([call]).total.usd * 5 == totals([replace(call, inside=())]).total.usd
    assert totals([call]).total.counts == call.counts


def test_other_vendors_models_are_left_out_and_named() -> None:
    found = totals([opus(), opus(model="gpt-5"), opus(model="gemini-3-pro", response="msg_1"), opus(model="gpt-5")])
    assert (found.total.calls, found.not_claude) == (1, {"gpt-5": 2, "gemini-3-pro": 1})
    assert set(found.by_model) == {"claude-opus-4-6"}


def test_an_unknown_service_tier_is_priced_as_standard_and_named() -> None:
    found = totals([opus(terms=Terms(service_tier=tier)) for tier in ("flex", "flex_discount", "priority", None)])
    assert found.tiers == {"flex": 1, "flex_discount": 1}
    assert found.total.usd == 4 * totals([opus()]).total.usd


def test_days_may_be_of_another_zone_while_prices_go_by_utc_days() -> None:
    """Sonnet 5.5 reads cheaper from its cache from 2026-10-07 UTC on; in Berlin that day begins two hours earlier."""
    call = Call(
        "claude-sonnet-5-5",
        TokenCounts(cache_read_input_tokens=1_000_000),
        at=datetime(2026, 10, 6, 23, 30, tzinfo=UTC),
    )
    tally = Tally(CARD, TODAY, ZoneInfo("Europe/Berlin"))
    tally.add(call)
    found = tally.totals()
    assert {day: part.usd for day, part in found.by_day.items()} == {"2026-10-07": Decimal("0.20")}


def test_the_sum_of_a_session_counts_only_where_its_calls_do_not() -> None:
    summed = opus(counts=TokenCounts(100, output_tokens=70), session="s1", is_sum=True, sums_session=True)
    assert totals([summed]).total.counts == summed.counts
    found = totals([summed, opus(session="s1", response="msg_1")])
    assert (found.total.calls, found.total.counts, found.session_sums) == (1, opus().counts, 1)


@given(st.lists(calls, max_size=8).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_the_order_of_calls_changes_nothing(orders: tuple[list[Call], Sequence[Call]]) -> None:
    one, other = orders
    assert totals(one) == totals(other)


@given(st.lists(calls.map(lambda call: replace(call, response=None)), max_size=8))
def test_the_sums_are_those_of_the_calls_priced_one_by_one(some: list[Call]) -> None:
    requests = [(call, part) for call in some for part in (Part(call.model, call.counts), *call.outside)]
    one_by_one = sum(
        (
            cost_of(
                CARD,
                part.model,
                part.counts,
                call.terms,
                TODAY if call.at is None else call.at.date(),
                prompt_tokens=part.counts.prompt_tokens,
            ).usd
            for call, part in requests
        ),
        Decimal(0),
    )
    found = totals(some)
    assert found.total.usd == one_by_one
    assert found.total.counts == sum((part.counts for _, part in requests), TokenCounts())
    for sums in (found.by_model, found.by_day, found.by_feature, found.by_user):
        assert sum((part.usd for part in sums.values()), Decimal(0)) == one_by_one
        assert sum(part.calls for part in sums.values()) == len(some)


@given(st.lists(calls, max_size=6), calls, responses, st.integers(0, 200_000))
def test_a_state_with_more_output_changes_output_alone(
    others: list[Call], call: Call, response: str, output: int
) -> None:
    reported = replace(call, response=response)
    again = replace(reported, counts=reported.counts._replace(output_tokens=output))
    distinct = [other for other in others if other.response != response]
    once, twice = totals([*distinct, reported]), totals([*distinct, reported, again])
    expected = totals([*distinct, again]) if output > reported.counts.output_tokens else once
    assert replace(twice, repeats=once.repeats) == replace(expected, repeats=once.repeats)
    assert twice.repeats == once.repeats + 1


@given(st.lists(st.one_of(calls, st.sampled_from(["", "rubbish", "[]", '{"a": 1}'])), max_size=8), st.data())
def test_where_files_are_split_changes_nothing_and_every_line_is_accounted_for(
    content: list[Call | str], data: st.DataObject
) -> None:
    lines = [entry if isinstance(entry, str) else _line(entry) for entry in content]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
    parts = [lines[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    whole, skipped = _price([lines])
    assert (whole, skipped) == _price(data.draw(st.permutations(parts)))
    records = [line for line in lines if line not in ("", "[]")]
    assert whole.total.calls + whole.repeats + skipped == len(records)


def _line(call: Call) -> str:
    """The call as an application that keeps everything logs it."""
    return json.dumps(
        {
            "ts": None if call.at is None else call.at.isoformat(),
            "feature": call.feature,
            "user_id": call.user,
            "message_id": call.response,
            "session_id": call.session,
            "model": call.model,
            "usage": {
                "input_tokens": call.counts.uncached_input_tokens,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": call.counts.cache_creation_5m_input_tokens,
                    "ephemeral_1h_input_tokens": call.counts.cache_creation_1h_input_tokens,
                },
                "cache_read_input_tokens": call.counts.cache_read_input_tokens,
                "output_tokens": call.counts.output_tokens,
                "server_tool_use": {"web_search_requests": call.counts.web_search_requests},
                "service_tier": call.terms.service_tier,
                "inference_geo": call.terms.inference_geo,
                "speed": call.terms.speed,
            },
        }
    )


def _price(files: Iterable[Iterable[str]]) -> tuple[Totals, int]:
    tally, skipped = Tally(CARD, TODAY), 0
    for lines in files:
        for record in records_of(BytesIO("\n".join(lines).encode())):
            call = record if isinstance(record, Skipped) else call_in(record)
            if isinstance(call, Skipped):
                skipped += 1
            else:
                tally.add(call)
    return tally.totals(), skipped


class _Endless(RawIOBase):
    """A file that is made line by line while it is read, so that only the reader's memory is measured."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return next(self._lines, b"")


def _peak_memory(lines: Iterator[bytes]) -> int:
    tally = Tally(CARD, TODAY)
    gc.collect()
    tracemalloc.start()
    try:
        for record in records_of(cast("BinaryIO", _Endless(lines))):
            call = call_in(cast("dict[str, Any]", record))
            assert isinstance(call, Call)
            tally.add(call)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def _warm() -> None:
    """Compiled patterns and the like belong to neither measurement."""
    _peak_memory(repeat(_line(opus(user="ann")).encode() + b"\n", 100))


@pytest.mark.usefixtures("_warm")
def test_memory_is_flat_in_the_length_of_a_file_without_ids() -> None:
    line = _line(opus(user="ann")).encode() + b"\n"
    short, long = (_peak_memory(repeat(line, number)) for number in (100, 1_000))
    assert long < short * 1.2


@pytest.mark.usefixtures("_warm")
def test_a_response_with_an_id_is_remembered_in_few_bytes() -> None:
    """Its repeats may come at any time, so something must be kept; the record itself is several times as large."""

    def lines(number: int) -> Iterator[bytes]:
        for index in range(number):
            at = NOON + timedelta(seconds=index)
            yield _line(opus(at=at, response=f"msg_{index:024}")).encode() + b"\n"

    small, large = _peak_memory(lines(200)), _peak_memory(lines(1_000))
    record = len(next(lines(1)))
    assert (large - small) / 800 < record / 2
