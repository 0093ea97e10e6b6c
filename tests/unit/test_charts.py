"""Charts and tables of a report: with any names and sums, Slack accepts them and the parts add up."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.amounts import cents_of
from bot.budgets.budget import Period
from bot.budgets.course import MOST_STRETCHES, Course, Step, Stretch, stretches_of
from bot.budgets.report import Group, GroupBy, Known, Report
from bot.budgets.spend import Spend
from bot.clock import DAY, HOUR
from bot.language import in_language
from bot.messages import Message
from bot.pricing.cost import Hidden
from bot.pricing.tokens import TokenCounts
from bot.sandbox.block_limits import problems, text_length
from bot.sandbox.slack_checks import MESSAGE_BLOCKS_TEXT
from bot.usage.store_reads import Names
from handlers.render.charts import NAME_LIMIT, Cell, Series, chart, data_table, days_label, unique
from handlers.render.parts import fold, model_label, paragraph
from handlers.render.report import report_message

NOVEMBER = Period("2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))

NAMES = Names({}, {}, {}, None)

hostile = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["", " ", "<!channel>" * 30, "&lt;" * 80, "*_~`" * 50, "‮abc" * 40, "👩‍👩‍👧" * 60, "other", "x" * 300]
    ),
)
dollars = st.decimals(0, 10**12, places=7)


def period_of(days: int) -> Period:
    return Period("2025-12-03..", datetime(2025, 12, 3, tzinfo=UTC), datetime(2025, 12, 3, tzinfo=UTC) + days * DAY)


@given(st.integers(1, 366), st.data())
def test_stretches_follow_each_other_from_the_first_day_to_the_end_of_the_data(days: int, data: st.DataObject) -> None:
    period = period_of(days)
    minutes = data.draw(st.integers(1, days * 24 * 60))
    until = period.starts_at + timedelta(minutes=minutes)
    step, found = stretches_of(period, until)
    assert 1 <= len(found) <= MOST_STRETCHES
    assert found[0].starts_at == period.starts_at
    assert all(one.ends_at == other.starts_at for one, other in pairwise(found))
    assert found[-1].starts_at < until <= found[-1].ends_at
    assert [each.runs for each in found[:-1]] == [False] * (len(found) - 1)
    if days > 1 and until - period.starts_at <= MOST_STRETCHES * DAY:
        assert step is Step.DAY


@pytest.mark.parametrize(
    ("days", "step"),
    [
        *((1, Step.HOURS), (7, Step.DAY), (20, Step.DAY), (21, Step.TWO_DAYS), (31, Step.TWO_DAYS)),
        *((41, Step.WEEK), (140, Step.WEEK), (141, Step.MONTH), (366, Step.MONTH)),
    ],
)
def test_the_longer_a_report_the_longer_its_steps(days: int, step: Step) -> None:
    period = period_of(days)
    assert stretches_of(period, period.ends_at)[0] is step


def report_with(groups: Sequence[Group], at_least: bool = False) -> Report:
    total = sum((group.usd for group in groups), Decimal(0))
    hidden = frozenset({Hidden.PROMPT}) if at_least else frozenset()
    return Report(
        period=NOVEMBER,
        by=GroupBy.KEY,
        as_of=NOVEMBER.starts_at + 3 * DAY,
        known=Known(72, 72),
        spend=Spend(Decimal(0), 0, total, Decimal(0), hidden, ()),
        computed_usd=total,
        groups=tuple(sorted(groups, key=lambda group: -group.usd)),
        before=None,
    )


def course_with(groups: Sequence[Group], split: Sequence[Sequence[Decimal]]) -> Course:
    first = NOVEMBER.starts_at
    stretches = tuple(Stretch(first + index * DAY, first + (index + 1) * DAY) for index in range(3))
    usd = {(group.id, group.workspace_id): tuple(each) for group, each in zip(groups, split, strict=True)}
    return Course(Step.DAY, stretches, usd, ())


def chart_in(message: Message) -> dict[str, Any]:
    [block] = [block for block in message.blocks if block["type"] == "data_visualization"]
    drawn: dict[str, Any] = block["chart"]
    return drawn


def sums(drawn: dict[str, Any]) -> list[Decimal]:
    return [sum((Decimal(str(point["value"])) for point in one["data"]), Decimal(0)) for one in drawn["series"]]


@given(st.lists(st.tuples(hostile, st.tuples(dollars, dollars, dollars)), min_size=1, max_size=30))
def test_what_a_chart_shows_adds_up_to_the_sum_and_to_the_rows_to_the_cent(
    rows: list[tuple[str, tuple[Decimal, Decimal, Decimal]]],
) -> None:
    groups = [
        Group(
            f"{index} {name}", "wrkspc", sum(split, Decimal(0)), TokenCounts(1), None, assumed=False, hidden=frozenset()
        )
        for index, (name, split) in enumerate(rows)
    ]
    report = report_with(groups)
    message = report_message(report, NAMES, course=course_with(groups, [split for _, split in rows]))
    assert problems(message.blocks, "message") == []
    older = message.in_older_blocks
    assert older is not None
    assert problems(older.blocks, "message") == []
    assert {"data_table", "data_visualization", "container"}.isdisjoint(block["type"] for block in older.blocks)
    assert text_length(message.blocks) < MESSAGE_BLOCKS_TEXT
    if cents_of(report.computed_usd) == 0:
        return
    drawn = sums(chart_in(message))
    assert sum(drawn) == Decimal(cents_of(report.computed_usd)).scaleb(-2)
    [table] = [block for block in message.blocks if block["type"] == "data_table"]
    shown = [Decimal(str(row[1]["value"])) for row in table["rows"][1:]]
    named = len(drawn) - (len(groups) > len(drawn))
    assert drawn[:named] == shown[:named]


def test_without_a_cent_there_is_a_report_and_no_chart() -> None:
    group = Group("k", "w", Decimal(0), TokenCounts(), Decimal(5), assumed=False, hidden=frozenset())
    message = report_message(report_with([group]), NAMES, course=course_with([group], [[Decimal(0)] * 3]))
    assert "data_visualization" not in [block["type"] for block in message.blocks]
    assert problems(message.blocks, "message") == []


def test_a_sum_that_may_be_higher_says_so_at_the_axis() -> None:
    group = Group("k", "w", Decimal(3), TokenCounts(), None, assumed=False, hidden=frozenset({Hidden.PROMPT}))
    course = course_with([group], [[Decimal(1)] * 3])
    message = report_message(report_with([group], at_least=True), NAMES, course=course)
    assert chart_in(message)["axis_config"]["y_label"] == "USD (at least)"


@given(st.lists(hostile, max_size=40))
def test_names_of_a_chart_are_short_and_differ(names: list[str]) -> None:
    found = unique(names)
    assert len(set(found)) == len(found) == len(names)
    assert all(0 < len(name) <= NAME_LIMIT for name in found)


@given(hostile, st.lists(hostile, min_size=1, max_size=30), st.lists(hostile, min_size=1, max_size=12), dollars)
def test_any_chart_and_any_table_is_taken(title: str, categories: list[str], names: list[str], value: Decimal) -> None:
    series = [Series(name, [value] * len(categories)) for name in names]
    part = chart(title, categories, series, str, x_label=title, y_label=title)
    assert problems([*part.blocks], "message") == []
    rows = [[Cell(name), Cell(str(value), value), Cell(title)] for name in names * 10]
    rows_part = data_table(title, ["Name", title, "Share"], rows, names)
    for blocks in (rows_part.blocks, rows_part.older or []):
        assert problems([*blocks], "message") == []
    drawn = fold(title, [paragraph(title), rows_part])
    assert "data_table" not in str(drawn.older)


def test_few_points_are_bars_and_many_are_areas() -> None:
    series = [Series(name, [Decimal(1)] * 20) for name in "ab"]
    kinds = [
        chart("t", [str(n) for n in range(count)], _first(series, count), str).blocks[0]["chart"]["type"]
        for count in (3, 20)
    ]
    assert kinds == ["bar", "area"]


def _first(series: Sequence[Series], count: int) -> list[Series]:
    return [Series(each.name, each.values[:count]) for each in series]


@pytest.mark.parametrize(
    ("first", "last", "language", "label"),
    [
        (date(2026, 11, 3), date(2026, 11, 3), "en", "3 Nov"),
        (date(2026, 11, 3), date(2026, 11, 4), "en", "3–4 Nov"),
        (date(2026, 10, 31), date(2026, 11, 1), "en", "31 Oct–1 Nov"),
        (date(2026, 11, 3), date(2026, 11, 3), "ja", "11月3日"),
        (date(2026, 12, 29), date(2026, 12, 31), "ja", "12月29日–12月31日"),
    ],
)
def test_days_are_named_shortly(first: date, last: date, language: str, label: str) -> None:
    with in_language(language):
        assert days_label(first, last) == label


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("claude-opus-5-5", "Opus 5.5"),
        ("claude-sonnet-4-6", "Sonnet 4.6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"),
        ("claude-opus-9", "claude-opus-9"),
        ("gpt-4", "gpt-4"),
        ("", ""),
    ],
)
def test_a_model_has_its_short_name_unless_the_id_says_more(model: str, label: str) -> None:
    assert model_label(model) == label


def test_hours_of_a_day_are_twelve_stretches_at_most() -> None:
    period = period_of(1)
    step, found = stretches_of(period, period.starts_at + 23 * HOUR)
    assert step is Step.HOURS
    assert len(found) == 12
    assert found[-1].runs
