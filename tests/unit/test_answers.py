"""The shapes of Anthropic's answers: new fields pass, missing and impossible ones are errors, money is exact."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.tokens import TokenCounts
from bot.usage.anthropic.responses import (
    MOST,
    AnalyticsCostRow,
    AnalyticsUsageRow,
    Answer,
    ApiKey,
    Bucket,
    CostResult,
    ListPage,
    Page,
    ResultsBucket,
    UsageResult,
    Workspace,
    belongs,
    parsed,
    usd_from_cents,
)
from bot.usage.model import MalformedError, Read, Width

PATH = "/v1/organizations/report"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

COUNTS: dict[str, Any] = {
    "uncached_input_tokens": 1,
    "cache_read_input_tokens": 2,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 5,
    "server_tool_use": {"web_search_requests": 6},
}
TIMES = {"starting_at": "2026-11-20T12:00:00Z", "ending_at": "2026-11-20T13:00:00Z"}
RESULTS_BUCKET: dict[str, Any] = {**TIMES, "results": []}
USAGE_RESULT: dict[str, Any] = {**COUNTS, "model": "claude-opus-5-5"}
COST_RESULT: dict[str, Any] = {"amount": "123.45", "currency": "USD"}
USAGE_ROW: dict[str, Any] = {**TIMES, "group": {"model": "claude-opus-5-5"}, "usage": COUNTS}
COST_ROW: dict[str, Any] = {**TIMES, "group": {}, "cost": {"amount": "123.45", "currency": "USD"}}
SHAPES: list[tuple[type[Answer], dict[str, Any]]] = [
    (ResultsBucket, RESULTS_BUCKET),
    (UsageResult, USAGE_RESULT),
    (CostResult, COST_RESULT),
    (AnalyticsUsageRow, USAGE_ROW),
    (AnalyticsCostRow, COST_ROW),
    (Page, {"data": [], "has_more": False}),
    (ListPage, {"data": [], "has_more": False}),
    (Workspace, {"id": "wrkspc_1", "name": "Search"}),
    (ApiKey, {"id": "apikey_1", "name": "ingest"}),
]
MAY_BE_MISSING = {"model"}

Place = tuple[str | int, ...]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Paths of all fields of a body."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*here, name)
        yield from places(inner, (*here, name))


def changed(body: dict[str, Any], place: Place, change: Callable[[Any, str | int], None]) -> dict[str, Any]:
    """A copy in which `change` has treated the field at `place`."""
    copy = deepcopy(body)
    parent: Any = copy
    for name in place[:-1]:
        parent = parent[name]
    change(parent, place[-1])
    return copy


def without(parent: Any, name: str | int) -> None:
    del parent[name]


def put(value: Any) -> Callable[[Any, str | int], None]:
    def change(parent: Any, name: str | int) -> None:
        parent[name] = value

    return change


def bucket_of(begins: datetime, length: timedelta) -> Bucket:
    return parsed(Bucket, {"starting_at": begins.isoformat(), "ending_at": (begins + length).isoformat()}, PATH)


REQUIRED = [
    pytest.param(shape, body, place, id=f"{shape.__name__}-{'.'.join(map(str, place))}")
    for shape, body in SHAPES
    for place in places(body)
    if isinstance(place[-1], str) and place[-1] not in MAY_BE_MISSING
]
TOKEN_PLACES = [
    pytest.param(shape, body, place, id=f"{shape.__name__}-{place[-1]}")
    for shape, body in [(UsageResult, USAGE_RESULT), (AnalyticsUsageRow, USAGE_ROW)]
    for place in places(body)
    if str(place[-1]).endswith(("_tokens", "_requests"))
]


@pytest.mark.parametrize(("shape", "body"), SHAPES)
def test_fields_and_values_that_are_new_do_no_harm(shape: type[Answer], body: dict[str, Any]) -> None:
    more = {**body, "surprise": {"deep": [1, None]}}
    assert parsed(shape, more, PATH) == parsed(shape, body, PATH)


@pytest.mark.parametrize(("shape", "body", "place"), REQUIRED)
def test_a_field_that_is_missing_is_an_error_and_not_a_zero(
    shape: type[Answer], body: dict[str, Any], place: Place
) -> None:
    with pytest.raises(MalformedError, match=rf"{PATH}.*{place[-1]}.*nothing was counted"):
        parsed(shape, changed(body, place, without), PATH)


@pytest.mark.parametrize(("shape", "body", "place"), REQUIRED)
def test_a_field_that_is_null_is_an_error_and_not_a_zero(
    shape: type[Answer], body: dict[str, Any], place: Place
) -> None:
    with pytest.raises(MalformedError, match="nothing was counted"):
        parsed(shape, changed(body, place, put(None)), PATH)


@pytest.mark.parametrize("value", ["5", "", -1, 1.0, 1.5, True, MOST + 1, 10**30, [5], {}, float("nan")])
@pytest.mark.parametrize(("shape", "body", "place"), TOKEN_PLACES)
def test_a_count_is_a_whole_number_that_is_possible(
    shape: type[Answer], body: dict[str, Any], place: Place, value: Any
) -> None:
    with pytest.raises(MalformedError, match=str(place[-1])):
        parsed(shape, changed(body, place, put(value)), PATH)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20T12:00:00",
        "2026-11-20",
        "1795176000",
        1795176000,
        "yesterday",
        "",
        "2026-11-20T25:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
    ],
)
@pytest.mark.parametrize(("shape", "body"), [pair for pair in SHAPES if "starting_at" in pair[1]])
def test_a_time_without_a_zone_is_an_error_and_so_is_what_is_no_time(
    shape: type[Answer], body: dict[str, Any], value: Any
) -> None:
    with pytest.raises(MalformedError, match="starting_at"):
        parsed(shape, {**body, "starting_at": value}, PATH)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-23 * 60, 23 * 60))  # noqa: DTZ001
def test_a_time_of_any_zone_is_the_same_moment_in_utc(wall: datetime, offset: int) -> None:
    moment = wall.replace(tzinfo=timezone(offset * MINUTE))
    bucket = parsed(Bucket, {**TIMES, "starting_at": moment.isoformat()}, PATH)
    assert bucket.starting_at == moment
    assert bucket.starting_at.tzinfo is UTC


@pytest.mark.parametrize("value", ["yes", 1, 0, "false", []])
def test_whether_more_follows_is_said_in_so_many_words(value: Any) -> None:
    with pytest.raises(MalformedError, match="has_more"):
        parsed(Page, {"data": [], "has_more": value}, PATH)
    with pytest.raises(MalformedError, match="has_more"):
        parsed(ListPage, {"data": [], "has_more": value}, PATH)


@pytest.mark.parametrize("value", [None, {}, "rows", 0])
def test_data_that_is_no_list_is_an_error(value: Any) -> None:
    with pytest.raises(MalformedError, match="data"):
        parsed(Page, {"data": value, "has_more": False}, PATH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(SHAPES), st.data())
def test_whatever_stands_in_a_field_the_answer_is_read_or_refused_in_one_sentence(
    known: tuple[type[Answer], dict[str, Any]], data: st.DataObject
) -> None:
    shape, body = known
    body = changed(body, data.draw(st.sampled_from(list(places(body)))), put(data.draw(JSON)))
    try:
        parsed(shape, body, PATH)
    except MalformedError as error:
        text = str(error)
        assert "\n" not in text
        assert text.endswith("nothing was counted.")


@given(JSON)
def test_whatever_is_answered_instead_is_refused(body: Any) -> None:
    with pytest.raises(MalformedError):
        parsed(ResultsBucket, body, PATH)


def test_the_counters_keep_their_meaning() -> None:
    result = parsed(UsageResult, USAGE_RESULT, PATH)
    row = parsed(AnalyticsUsageRow, USAGE_ROW, PATH)
    expected = TokenCounts(
        uncached_input_tokens=1,
        cache_read_input_tokens=2,
        cache_creation_5m_input_tokens=3,
        cache_creation_1h_input_tokens=4,
        output_tokens=5,
        web_search_requests=6,
    )
    assert result.tokens() == row.usage.tokens() == expected


@pytest.mark.parametrize(
    ("amount", "usd"),
    [
        ("123.45", "1.2345"),
        ("123.78912", "1.2378912"),
        ("41280.000000", "412.80"),
        ("0", "0"),
        ("0.000001", "0.00000001"),
        ("-250", "-2.50"),
        ("1E+3", "10"),
        (186, "1.86"),
    ],
)
def test_cents_are_dollars_to_the_last_digit(amount: Any, usd: str) -> None:
    row = parsed(AnalyticsCostRow, {**COST_ROW, "cost": {"amount": amount, "currency": "USD"}}, PATH)
    assert usd_from_cents(row.cost.amount, row.cost.currency, PATH) == Decimal(usd)


@given(st.integers(-(10**27), 10**27), st.integers(0, 20))
def test_no_amount_loses_a_digit(digits: int, places: int) -> None:
    amount = Decimal(digits).scaleb(-places)
    row = parsed(AnalyticsCostRow, {**COST_ROW, "cost": {"amount": str(amount), "currency": "USD"}}, PATH)
    usd = usd_from_cents(row.cost.amount, row.cost.currency, PATH)
    # Whole numbers on both sides, since Decimal itself rounds.
    assert usd.as_integer_ratio()[0] * 100 * 10**places == digits * usd.as_integer_ratio()[1]


@pytest.mark.parametrize("amount", ["", "amount", "NaN", "Infinity", "1,5", True, [], "1e400000", "9" * 60])
def test_an_amount_that_is_no_number_of_cents_is_an_error(amount: Any) -> None:
    money = {"amount": amount, "currency": "USD"}
    with pytest.raises(MalformedError, match="amount"):
        parsed(CostResult, money, PATH)
    with pytest.raises(MalformedError, match="amount"):
        parsed(AnalyticsCostRow, {**COST_ROW, "cost": money}, PATH)


def test_money_of_another_currency_is_not_taken_for_dollars() -> None:
    with pytest.raises(MalformedError, match="EUR and not in USD"):
        usd_from_cents(Decimal(100), "EUR", PATH)


@pytest.mark.parametrize(
    ("width", "begins", "length", "answer"),
    [
        ("1h", NOON, HOUR, True),
        ("1h", NOON + 3 * HOUR, HOUR, True),
        ("1h", NOON + 4 * HOUR, HOUR, False),
        ("1h", NOON + HOUR, 20 * MINUTE, True),
        ("1m", NOON, MINUTE, True),
        ("1m", NOON + 239 * MINUTE, MINUTE, True),
        ("1m", NOON + 240 * MINUTE, MINUTE, False),
    ],
)
def test_buckets_of_the_read_belong_and_later_ones_do_not(
    width: Width, begins: datetime, length: timedelta, answer: bool
) -> None:
    bucket = bucket_of(begins, length)
    assert belongs(bucket, Read(width, NOON, NOON + 4 * HOUR), PATH) is answer


@pytest.mark.parametrize(
    ("width", "begins", "length"),
    [("1h", NOON - HOUR, HOUR), ("1h", NOON, 24 * HOUR), ("1m", NOON, HOUR), ("1m", NOON - MINUTE, MINUTE)],
)
def test_an_answer_to_another_question_is_an_error(width: Width, begins: datetime, length: timedelta) -> None:
    bucket = bucket_of(begins, length)
    with pytest.raises(MalformedError, match="other buckets than asked for"):
        belongs(bucket, Read(width, NOON, NOON + 4 * HOUR), PATH)


@pytest.mark.parametrize(
    ("file", "shape"), [("docs_usage_report_messages.json", UsageResult), ("docs_cost_report.json", CostResult)]
)
def test_the_documented_examples_have_these_shapes(shared: Path, file: str, shape: type[Answer]) -> None:
    page = parsed(Page, json.loads((shared / "data/admin-api" / file).read_text(encoding="utf-8")), PATH)
    assert page.has_more
    assert page.next_page
    buckets = [parsed(ResultsBucket, value, PATH) for value in page.data]
    assert [parsed(shape, result, PATH) for bucket in buckets for result in bucket.results]


@pytest.mark.parametrize(
    "file",
    [
        "docs_analytics_cost_report.json",
        "docs_analytics_usage_report.json",
        "docs_analytics_user_cost_report.json",
        "docs_analytics_user_usage_report.json",
        "docs_usage_report_claude_code.json",
    ],
)
@pytest.mark.parametrize("shape", [AnalyticsUsageRow, AnalyticsCostRow])
def test_the_documented_examples_of_other_reports_are_refused_instead_of_read_as_nothing(
    shared: Path, file: str, shape: type[Answer]
) -> None:
    page = parsed(Page, json.loads((shared / "data/admin-api" / file).read_text(encoding="utf-8")), PATH)
    for value in page.data:
        with pytest.raises(MalformedError):
            parsed(shape, value, PATH)
