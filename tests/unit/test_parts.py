"""The parts of messages: text and blocks say the same, within Slack's limits, whatever comes from outside."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages import MOST_BLOCKS, Message, in_utc
from bot.sandbox.block_limits import problems
from handlers.render.parts import (
    bullets,
    button,
    buttons,
    confirmation,
    context,
    cut,
    fitting,
    heading,
    lead,
    moment,
    paragraph,
    plain,
    said,
    shown,
    table,
    warning,
    with_reason,
)

HOSTILE = ["<!channel> <@U0ADMIN001>", "*bold* _it_ `code`", "a\nb\u2028c", "&amp;" * 50, "x" * 4000, "", "\u202egnp"]


def texts_of(message: Message) -> str:
    """Text of the blocks in mrkdwn and plain text, without the marks for bold."""
    return json.dumps(message.blocks, ensure_ascii=False).replace("*", "")


def test_a_message_is_its_parts_and_empty_ones_do_not_count() -> None:
    message = Message([heading("Title"), lead("first", "second"), paragraph(), bullets("None", []), context("end")])
    assert message.text == "first\nsecond\nend"
    assert [block["type"] for block in message.blocks] == ["header", "section", "context"]


def test_every_line_of_the_text_is_drawn_and_bold_is_no_part_of_it() -> None:
    message = Message(
        [lead("first", "more"), warning("careful"), bullets("Title", ["one", "two"]), context("small", bold=True)]
    )
    assert message.text == "first\nmore\ncareful\n• one\n• two\nsmall"
    drawn = [text["text"] for block in message.blocks for text in (block.get("elements") or [block["text"]])]
    assert drawn == ["*first*\nmore", "*careful*", "*Title*\n• one\n• two", "*small*"]


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_time_is_drawn_in_the_readers_zone_and_written_in_utc() -> None:
    message = said(f"Ends {moment(NOON)}.")
    assert message.text == "Ends 20 Nov 12:00 UTC."
    (block,) = message.blocks
    assert block["text"]["text"] == "Ends <!date^1795176000^{date_short_pretty} {time}|20 Nov 12:00 UTC>."
    assert moment(NOON.astimezone(timezone(timedelta(hours=9)))) == moment(NOON)


def test_where_slack_draws_no_markup_a_time_is_utc() -> None:
    dialog = confirmation("Switch?", f"As of {moment(NOON)}.", "Switch")
    assert dialog["text"]["text"] == "As of 20 Nov 12:00 UTC."
    ((row, *_), *_) = table([moment(NOON)], [["x"]], lambda cells: cells[0]).blocks[0]["rows"]
    assert row["text"] == "20 Nov 12:00 UTC"
    # A name is never our own markup, whatever it looks like.
    assert in_utc("<!date^1^{date_short}|tomorrow>") == "<!date^1^{date_short}|tomorrow>"
    assert plain("<!channel>", 60) == "‹!channel›"


@given(st.integers(1, 200))
def test_no_time_is_cut_in_two(limit: int) -> None:
    text = cut(f"From {moment(NOON)} to {moment(NOON)}, a &amp; b", limit)
    assert len(text) <= limit
    assert "<" not in in_utc(text)


def test_more_goes_below_the_first_line_and_under_the_title() -> None:
    message = Message([heading("Title"), lead("first"), paragraph("last")]).below_first_line(context("late"))
    assert message.text == "first\nlate\nlast"
    assert [block["type"] for block in message.blocks] == ["header", "section", "context", "section"]
    assert Message([]).below_first_line(context("late")).text == "late"


@pytest.mark.parametrize("number", [MOST_BLOCKS - 1, MOST_BLOCKS, MOST_BLOCKS + 1, 400])
def test_no_message_has_more_blocks_than_slack_takes_and_the_end_stays(number: int) -> None:
    numbered = [paragraph(str(at)) for at in range(number - 2)]
    message = Message([*numbered, buttons([button("Go", "go", "1")]), context("end")])
    assert len(message.blocks) == min(number, MOST_BLOCKS)
    assert problems(message.blocks, "message") == []
    assert [block["type"] for block in message.blocks[-2:]] == ["actions", "context"]
    assert message.text.splitlines() == [*map(str, range(number - 2)), "end"]


@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(HOSTILE)), min_size=4, max_size=8))
def test_whatever_comes_from_outside_fits_and_calls_nobody(values: list[str]) -> None:
    lines = [shown(value, 4000) for value in values]
    message = Message(
        [
            heading(values[0]),
            lead(*lines),
            warning(*lines),
            bullets("Title", lines),
            with_reason(f"by whom: {shown(values[1])}", values[1]),
            table(("A", "B"), [values[:2], values[2:4]], ": ".join),
            buttons([button(values[0], "go", "1")]),
            context(*lines),
        ]
    )
    assert problems(message.blocks, "message") == []
    for call in ("<!", "<@", "<#"):
        assert call not in message.text
        assert call not in json.dumps(message.blocks)


def test_a_reason_with_marks_is_drawn_as_it_was_typed() -> None:
    part = with_reason("by Ann: *now*", "*now*")
    assert part.text == "by Ann: *now*"
    first, second = part.blocks
    assert (first["text"]["text"], second["text"]["text"]) == ("*by Ann:*", "*now*")
    assert second["text"]["type"] == "plain_text"
    assert with_reason("by Ann: now", "now") == lead("by Ann: now")


def test_a_table_says_the_same_in_words() -> None:
    part = table(("Model", "USD"), [("<opus>", "$1.00"), ("haiku", "$0.10")], "{0[0]} costs {0[1]}".format)
    assert part.text == "&lt;opus&gt; costs $1.00\nhaiku costs $0.10"
    assert [cell["text"] for row in part.blocks[0]["rows"] for cell in row] == [
        *("Model", "USD"),
        *("‹opus›", "$1.00"),
        *("haiku", "$0.10"),
    ]
    assert Message([table(("Model",), [], str)]).blocks == []


def test_groups_of_lines_are_kept_whole_and_nothing_is_asked_of_those_that_do_not_fit() -> None:
    asked: list[int] = []

    def groups() -> Iterator[list[str]]:
        for at in range(9):
            asked.append(at)
            yield ["x" * 9, "y" * 9]

    assert len(fitting(groups(), 50)) == 2
    assert asked == [0, 1, 2]
    assert len(fitting(groups(), 10_000, most=4)) == 4
    assert fitting(groups(), 19) == []


def test_one_sentence_is_a_message() -> None:
    assert (said("done").text, len(said("done").blocks)) == ("done", 1)
