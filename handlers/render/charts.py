"""Native charts and tables of Slack: plain blocks within its limits, each with the same as text.

Sources: docs.slack.dev, data visualization block and data table block. Bars of one category stand side by side and
areas overlap, the first at the back: neither chart stacks, so every value is the part's own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from babel.dates import format_skeleton

from bot.language import ENGLISH, language, locale
from bot.listed import comma_list, labelled
from bot.messages import Block, Part
from handlers.render.parts import CELL_LIMIT, plain, shown

MOST_SERIES = 6
"""Most series. Some of Slack's clients and pages say twelve; all of them take six."""

MOST_POINTS = 20
NAME_LIMIT = 20
"""Longest name of a series or category, in characters."""

TITLE_LIMIT = AXIS_LIMIT = 50
PAGE_SIZE = 15
CAPTION_LIMIT = 150

FEW_POINTS = 7
"""Most points at which bars of several series are wide enough for a phone."""

TABLE_TEXT = 9_000
"""Characters of all cells together; Slack takes 10,000."""

TABLE_ROWS = 100
"""Most rows with headings (docs.slack.dev, table block); a data table may have one more."""


@dataclass(frozen=True, slots=True)
class Series:
    """`values`: one for each category. `said`: whether the text lists them; otherwise they are in the text
    elsewhere.
    """

    name: str
    values: Sequence[Decimal]
    said: bool = True


Kind = Literal["bar", "area", "line"]


def chart(
    title: str,
    categories: Sequence[str],
    series: Sequence[Series],
    written: Callable[[Decimal], str],
    *,
    kind: Kind | None = None,
    x_label: str = "",
    y_label: str = "",
) -> Part:
    """A chart with its figures as text, a line for each series; empty without data.

    `written`: formats a value. `kind`: by default bars for few categories or one series, else areas. Draws at most
    `MOST_SERIES` series and `MOST_POINTS` categories: callers sum up the rest.
    """
    if not series or not categories:
        return Part()
    names, labels = unique([each.name for each in series]), unique(categories)
    lines = [
        labelled(
            shown(each.name),
            comma_list(
                [f"{shown(label)} {written(value)}" for label, value in zip(categories, each.values, strict=True)]
            ),
        )
        for each in series
        if each.said
    ]
    axes: Block = {"categories": labels[:MOST_POINTS]}
    axes |= {"x_label": plain(x_label, AXIS_LIMIT)} if x_label else {}
    axes |= {"y_label": plain(y_label, AXIS_LIMIT)} if y_label else {}
    drawn = {
        "type": "data_visualization",
        "title": plain(title, TITLE_LIMIT),
        "chart": {
            "type": kind or ("bar" if len(labels) <= FEW_POINTS or len(series) == 1 else "area"),
            "series": [
                {"name": name, "data": _points(labels, each.values)}
                for name, each in zip(names[:MOST_SERIES], series, strict=False)
            ],
            "axis_config": axes,
        },
    }
    return Part("\n".join([f"{title}:", *lines]), [drawn], older=[])


def _points(labels: Sequence[str], values: Sequence[Decimal]) -> list[Block]:
    return [{"label": label, "value": float(value)} for label, value in zip(labels[:MOST_POINTS], values, strict=False)]


def unique(names: Iterable[str]) -> list[str]:
    """Names on one line of at most `NAME_LIMIT` characters, made unique by numbers."""
    found: dict[str, None] = {}
    for name in names:
        short = plain(name, NAME_LIMIT)
        number = 2
        while short in found:
            ending = f" ({number})"
            short = plain(name, NAME_LIMIT - len(ending)) + ending
            number += 1
        found[short] = None
    return list(found)


def days_label(first: date, last: date) -> str:
    """`3 Nov`, `3–4 Nov`, `31 Oct–1 Nov`: short enough for a category."""
    if first == last:
        return _day(first)
    if first.month == last.month and language() == ENGLISH:
        return f"{first.day}–{_day(last)}"
    return f"{_day(first)}–{_day(last)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%b}" if language() == ENGLISH else format_skeleton("MMMd", day, locale=locale())


def weekday_label(day: date) -> str:
    """`Fri 27 Nov`."""
    if language() == ENGLISH:
        return f"{day:%a} {day.day} {day:%b}"
    return format_skeleton("MMMEd", day, locale=locale())


def month_label(day: date) -> str:
    """`Nov 2026`."""
    return format_skeleton("yMMM", day, locale=locale())


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell. `value`: sort key; None for words."""

    text: str
    value: Decimal | None = None


def data_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]], lines: Sequence[str]) -> Part:
    """A table that readers can sort by its columns; a plain one if Slack rejects it. `lines`: the rows as text
    (mrkdwn).

    Slack sorts a column by number if all of its cells have one, otherwise alphabetically.
    """
    if not rows:
        return Part()
    texts = [[plain(heading, CELL_LIMIT) for heading in headings]]
    texts += [[plain(cell.text, CELL_LIMIT) for cell in row] for row in rows]
    drawn, room = [_words(texts[0])], TABLE_TEXT - sum(map(len, texts[0]))
    for row, cells in zip(rows, texts[1:TABLE_ROWS], strict=False):
        room -= sum(map(len, cells))
        if room < 0:
            break
        drawn.append([_cell(text, cell.value) for text, cell in zip(cells, row, strict=True)])
    block: Block = {
        "type": "data_table",
        "caption": plain(caption, CAPTION_LIMIT),
        "rows": drawn,
        "page_size": PAGE_SIZE,
        "row_header_column_index": 0,
    }
    columns = [{"align": "left", "is_wrapped": True}, *({"align": "right"} for _ in headings[1:])]
    older = {"type": "table", "rows": [_words(row) for row in texts[: len(drawn)]], "column_settings": columns}
    return Part("\n".join(lines), [block], older=[older])


def _words(texts: Sequence[str]) -> list[Block]:
    return [{"type": "raw_text", "text": text} for text in texts]


def _cell(text: str, value: Decimal | None) -> Block:
    if value is None:
        return {"type": "raw_text", "text": text}
    return {"type": "raw_number", "value": float(value), "text": text}
