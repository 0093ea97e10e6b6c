"""Usage reports parsed directly from bytes equal those of the tolerant way, for any response."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import HOUR
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.anthropic.buckets import Buckets, ResultBuckets, RowBuckets
from bot.usage.anthropic.client import json_object
from bot.usage.anthropic.pages import LazyRows, as_stored, page_in
from bot.usage.anthropic.responses import (
    MOST,
    AnalyticsRow,
    AnalyticsUsageRow,
    OddFields,
    Page,
    ResultsBucket,
    UsageResult,
    belongs,
    parsed,
)
from bot.usage.model import MalformedError, OddUsage, Read, TooManyRowsError, UsageReading
from bot.usage.plan import packed

PATH = "/v1/report"
START = datetime(2026, 11, 20, 10, tzinfo=UTC)
READ = Read("1m", START, START + 2 * HOUR)

Found = tuple[list[tuple[Any, ...]], OddUsage]


def tolerant(body: bytes, analytics: bool) -> Found:
    """Parse into Python objects, each row checked by its documented shape."""
    page = parsed(Page, json_object(body, PATH), PATH)
    odd, rows = OddFields(PATH), []
    if analytics:
        parts = [(parsed(AnalyticsRow, value, PATH), [value]) for value in page.data]
    else:
        buckets = [parsed(ResultsBucket, value, PATH) for value in page.data]
        parts = [(bucket, bucket.results) for bucket in buckets]  # type: ignore[misc]
    for bucket, results in parts:
        if not belongs(bucket, READ, PATH):
            continue
        for value in results:
            one = OddFields(PATH)
            row: Any = one.usage(AnalyticsUsageRow if analytics else UsageResult, value)
            odd.add(one.tally(), bucket.starting_at)
            if row is not None:
                group, counts = (row.group, row.usage.tokens()) if analytics else (row, row.tokens())
                terms = Terms(group.service_tier, group.inference_geo, group.speed)
                dimensions = (group.model, group.workspace_id, group.api_key_id, terms)
                rows.append((bucket.starting_at, *dimensions, counts))
    return rows, odd.found()


def straight(body: bytes, analytics: bool) -> Found:
    """Parse directly from the bytes."""
    found = collector(analytics)
    found.take(page_in(body, PATH))
    found.end()
    rows = [
        (start, row.model, row.workspace_id, row.api_key_id, row.terms, row.counts)
        for start, each in found.rows.items()
        for row in each
    ]
    return rows, found.odd()


def collector(analytics: bool, **options: Any) -> Buckets:
    return (RowBuckets if analytics else ResultBuckets)(READ, PATH, **options)


def outcome(read: Callable[[bytes, bool], Found], body: bytes, analytics: bool) -> Any:
    try:
        rows, odd = read(body, analytics)
    except MalformedError as error:
        return str(error)
    return sorted(rows, key=repr), dict(odd.rows_by_hour), odd.sentence


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
counts = st.integers(0, MOST) | st.sampled_from([0, 1, MOST + 1, -1, 1.0, "1", True, None])
names = st.none() | st.sampled_from(["claude-opus-5-5", "key", "ü", "\ud800", ""]) | json_values


@st.composite
def usage(draw: st.DrawFn) -> dict[str, Any]:
    odd = draw(st.integers(0, 3)) == 0
    count = (counts | json_values) if odd else st.integers(0, MOST)
    name = names if odd else st.none() | st.sampled_from(["standard", "claude-opus-5-5"])
    cache = {"ephemeral_5m_input_tokens": draw(count), "ephemeral_1h_input_tokens": draw(count)}
    if odd and draw(st.booleans()):
        cache["ephemeral_2h_input_tokens"] = draw(count)
    value = {
        "uncached_input_tokens": draw(count),
        "cache_read_input_tokens": draw(count),
        "cache_creation": cache,
        "output_tokens": draw(count),
        "server_tool_use": {"web_search_requests": draw(count)},
        **{each: draw(name) for each in ("model", "workspace_id", "api_key_id", "service_tier", "speed")},
        "account_id": draw(json_values) if odd else None,
    }
    if odd and draw(st.booleans()):
        field = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            del value[field]
        else:
            value[field] = draw(json_values)
    return value


@st.composite
def bodies(draw: st.DrawFn, analytics: bool) -> bytes:
    entries: list[Any] = []
    for minute in draw(st.lists(st.integers(0, 121), max_size=3, unique=True)):
        at = START + minute * timedelta(minutes=1)
        times: dict[str, Any] = {
            "starting_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "ending_at": f"{at + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
        }
        if draw(st.integers(0, 15)) == 0:
            times[draw(st.sampled_from(sorted(times)))] = draw(json_values | st.just("2026-11-20T09:00:00+00:00"))
        rows: list[Any] = draw(st.lists(usage() | json_values if draw(st.booleans()) else usage(), max_size=12))
        if not analytics:
            entries.append({**times, "results": rows if draw(st.integers(0, 15)) else draw(json_values)})
            continue
        for row in rows:
            group = {each: row.get(each) for each in ("model", "api_key_id", "speed")} if isinstance(row, dict) else row
            entries.append({**times, "group": group, "usage": row})
    if draw(st.integers(0, 15)) == 0:
        entries.append(draw(json_values))
    page = {"data": entries, "has_more": False, "next_page": None, "data_refreshed_at": None}
    if draw(st.integers(0, 15)) == 0:
        page[draw(st.sampled_from(sorted(page)))] = draw(json_values)
    text = json.dumps(page, ensure_ascii=draw(st.booleans()))
    encoded = text.encode("utf-8", "surrogatepass")
    return encoded if draw(st.integers(0, 15)) else draw(st.sampled_from([encoded[:-1], encoded + b"x", b"\xff", b""]))


@pytest.mark.parametrize("analytics", [False, True], ids=["admin", "analytics"])
@given(data=st.data())
def test_the_bytes_say_what_the_tolerant_way_says(analytics: bool, data: st.DataObject) -> None:
    body = data.draw(bodies(analytics))
    assert outcome(straight, body, analytics) == outcome(tolerant, body, analytics)


def row(output: int, **changes: Any) -> dict[str, Any]:
    return {
        "uncached_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": 0},
        **changes,
    }


def entry(analytics: bool, minute: int, *outputs: int, **changes: Any) -> list[dict[str, Any]]:
    """A report of one minute."""
    at = START + timedelta(minutes=minute)
    times = {"starting_at": at.isoformat(), "ending_at": (at + timedelta(minutes=1)).isoformat()}
    rows = [row(output, **changes) for output in outputs]
    if analytics:
        return [{**times, "group": {}, "usage": each} for each in rows]
    return [{**times, "results": rows}]


def read(analytics: bool, *pages: list[dict[str, Any]], **options: Any) -> Buckets:
    found = collector(analytics, **options)
    for data in pages:
        found.take(page_in(json.dumps({"data": data, "has_more": False}).encode(), PATH))
    found.end()
    return found


def outputs(found: Buckets) -> dict[int, list[int]]:
    """Output tokens of what was parsed, by the minute."""
    return {
        (start - START) // timedelta(minutes=1): [each.counts.output_tokens for each in rows]
        for start, rows in found.rows.items()
    }


@pytest.mark.parametrize("analytics", [False, True], ids=["admin", "analytics"])
def test_only_buckets_that_have_changed_are_parsed_again(analytics: bool) -> None:
    first = read(analytics, [*entry(analytics, 0, 1, 2), *entry(analytics, 1, 3)])
    again = read(
        analytics, [*entry(analytics, 0, 1, 2), *entry(analytics, 1, 4), *entry(analytics, 2, 5)], stored=first.seen
    )
    assert outputs(first) == {0: [1, 2], 1: [3]}
    assert (outputs(again), again.unchanged) == ({1: [4], 2: [5]}, {START})


@pytest.mark.parametrize("analytics", [False, True], ids=["admin", "analytics"])
def test_a_bucket_on_two_pages_is_one_whatever_page_it_ends_on(analytics: bool) -> None:
    pages = [[*entry(analytics, 0, 1), *entry(analytics, 1, 2)], [*entry(analytics, 1, 3), *entry(analytics, 2, 4)]]
    first = read(analytics, *pages)
    assert outputs(first) == {0: [1], 1: [2, 3], 2: [4]}
    assert len(read(analytics, *pages, stored=first.seen).unchanged) == 3
    pages[1][0] = entry(analytics, 1, 9)[0]
    again = read(analytics, *pages, stored=first.seen)
    assert (outputs(again), len(again.unchanged)) == ({1: [2, 9]}, 2)
    moved = read(analytics, [*pages[0], pages[1][0]], pages[1][1:], stored=again.seen)
    assert len(moved.unchanged) == 3


@pytest.mark.parametrize("analytics", [False, True], ids=["admin", "analytics"])
def test_what_else_decides_what_is_stored_makes_the_same_bytes_another_bucket(analytics: bool) -> None:
    first = read(analytics, entry(analytics, 0, 1), decided_by="lists 1")
    assert read(analytics, entry(analytics, 0, 1), decided_by="lists 1", stored=first.seen).unchanged == {START}
    assert outputs(read(analytics, entry(analytics, 0, 1), decided_by="lists 2", stored=first.seen)) == {0: [1]}


@pytest.mark.parametrize("analytics", [False, True], ids=["admin", "analytics"])
def test_odd_rows_of_buckets_that_are_not_parsed_again_stay_counted(analytics: bool) -> None:
    odd = [*entry(analytics, 0, 1, 2, cache_read_input_tokens="many"), *entry(analytics, 1, 3)]
    first = read(analytics, odd)
    again = read(analytics, odd, stored=first.seen)
    assert (again.rows, len(again.unchanged)) == ({}, 2)
    assert again.odd() == first.odd()
    assert first.odd().rows_by_hour == {START: 2}


@pytest.mark.parametrize("analytics", [False, True], ids=["admin", "analytics"])
def test_more_rows_than_asked_for_are_refused_and_unchanged_ones_do_not_count(analytics: bool) -> None:
    first = read(analytics, entry(analytics, 0, 1, 2, 3))
    pages = [*entry(analytics, 0, 1, 2, 3), *entry(analytics, 1, 4)]
    with pytest.raises(TooManyRowsError):
        read(analytics, pages, most_rows=3)
    assert outputs(read(analytics, pages, most_rows=3, stored=first.seen)) == {1: [4]}


def test_counts_of_every_kind_arrive_in_their_place() -> None:
    value = row(6, uncached_input_tokens=1, cache_read_input_tokens=4, server_tool_use={"web_search_requests": 5})
    value["cache_creation"] = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}
    data = entry(False, 0)
    data[0]["results"] = [value]
    ((found,),) = read(False, data).rows.values()
    assert found.counts == TokenCounts(1, 2, 3, 4, 6, 5)


def test_many_rows_are_made_one_by_one_and_packed_without_loss() -> None:
    found = read(False, [*entry(False, 0, 1, 2, model="claude-opus-5-5"), *entry(False, 1, 3, api_key_id="key")])
    few = as_stored(found.rows)
    many = as_stored(found.rows, lazy_from=3)
    small = packed(UsageReading(READ, many, None), rows_per_pack=2).rows
    assert isinstance(many, LazyRows)
    assert few == tuple(many) == tuple(small) == tuple(small)
    assert (len(many), many[1], small[2], list(small[:2])) == (3, few[1], few[2], list(few[:2]))
