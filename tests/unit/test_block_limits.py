"""The block checker: each limit at its edge and one beyond, and what each surface takes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sandbox.block_limits import problems, text_length, view_problems
from bot.sandbox.slack_blocks import BLOCKS, SURFACES, Surface

Json = dict[str, Any]
Build = Callable[[int], Any]


def plain(length: int) -> Json:
    return {"type": "plain_text", "text": "x" * length}


def mrkdwn(length: int) -> Json:
    return {"type": "mrkdwn", "text": "x" * length}


def button(**more: Any) -> Json:
    return {"type": "button", "text": plain(1), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def section(**more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(1), **more}


def confirm(**more: Any) -> Json:
    dialog = {"title": plain(1), "text": mrkdwn(1), "confirm": plain(1), "deny": plain(1), **more}
    return actions(button(confirm=dialog))


def options(count: int) -> list[Json]:
    return [{"text": plain(1), "value": str(index)} for index in range(count)]


def menu(kind: str, **more: Any) -> Json:
    return actions({"type": kind, "action_id": "menu", "options": options(1), **more})


def field(**more: Any) -> Json:
    return {"type": "input", "label": plain(1), "element": {"type": "plain_text_input"}, **more}


def image(**more: Any) -> Json:
    return {"type": "image", "alt_text": "x", "image_url": "https://example.com/x.png", **more}


def cells(rows: int, columns: int = 1, length: int = 1) -> list[list[Json]]:
    return [[{"type": "raw_text", "text": "x" * length} for _ in range(columns)] for _ in range(rows)]


def table(rows: list[list[Json]], **more: Any) -> Json:
    return {"type": "table", "rows": rows, **more}


def data_table(rows: list[list[Json]], **more: Any) -> Json:
    return {"type": "data_table", "caption": "x", "rows": rows, **more}


def chart(chart: Json, **more: Any) -> Json:
    return {"type": "data_visualization", "title": "x", "chart": chart, **more}


def pie(count: int, label: str = "x", value: float = 1) -> Json:
    return chart({"type": "pie", "segments": [{"label": label, "value": value}] * count})


def lines(series: int, points: int = 1, **axes: Any) -> Json:
    categories = [f"c{index}" for index in range(points)]
    data = [{"label": category, "value": 1} for category in categories]
    drawn = [{"name": f"s{index}", "data": data} for index in range(series)]
    return chart({"type": "line", "series": drawn, "axis_config": {"categories": categories, **axes}})


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def one(block: Json) -> list[Json]:
    return [block]


# The figures of docs.slack.dev, written out so that a wrong constant cannot agree with itself.
MOST: list[tuple[str, int, Build]] = [
    ("blocks of a message", 50, lambda n: [{"type": "divider"}] * n),
    ("header", 150, lambda n: one({"type": "header", "text": plain(n)})),
    ("section text", 3000, lambda n: one(section(text=mrkdwn(n)))),
    ("section fields", 10, lambda n: one(section(fields=[mrkdwn(1)] * n))),
    ("field text", 2000, lambda n: one(section(fields=[mrkdwn(n)]))),
    ("context elements", 10, lambda n: one({"type": "context", "elements": [mrkdwn(1)] * n})),
    ("actions elements", 25, lambda n: one(actions(*[button()] * n))),
    ("block id", 255, lambda n: one({"type": "divider", "block_id": "x" * n})),
    ("action id", 255, lambda n: one(actions(button(action_id="x" * n)))),
    ("button text", 75, lambda n: one(actions(button(text=plain(n))))),
    ("button value", 2000, lambda n: one(actions(button(value="x" * n)))),
    ("button url", 3000, lambda n: one(actions(button(url="x" * n)))),
    ("button label", 75, lambda n: one(actions(button(accessibility_label="x" * n)))),
    ("confirm title", 100, lambda n: one(confirm(title=plain(n)))),
    ("confirm text", 300, lambda n: one(confirm(text=mrkdwn(n)))),
    ("confirm yes", 30, lambda n: one(confirm(confirm=plain(n)))),
    ("confirm no", 30, lambda n: one(confirm(deny=plain(n)))),
    ("option text", 75, lambda n: one(menu("overflow", options=[{"text": plain(n), "value": "x"}]))),
    (
        "option value",
        150,
        lambda n: one(menu("overflow", options=[{"text": plain(1), "value": "x" * n}])),
    ),
    ("overflow options", 5, lambda n: one(menu("overflow", options=options(n)))),
    ("select options", 100, lambda n: one(menu("static_select", options=options(n)))),
    ("checkboxes", 10, lambda n: one(menu("checkboxes", options=options(n)))),
    ("radio buttons", 10, lambda n: one(menu("radio_buttons", options=options(n)))),
    ("placeholder", 150, lambda n: one(menu("static_select", placeholder=plain(n)))),
    ("input label", 2000, lambda n: one(field(label=plain(n)))),
    ("input hint", 2000, lambda n: one(field(hint=plain(n)))),
    ("alt text", 2000, lambda n: one(image(alt_text="x" * n))),
    ("image title", 2000, lambda n: one(image(title=plain(n)))),
    ("image url", 3000, lambda n: one(image(image_url="x" * n))),
    ("markdown", 12_000, lambda n: one({"type": "markdown", "text": "x" * n})),
    (
        "markdown in all",
        12_000,
        lambda n: [{"type": "markdown", "text": "x" * 6000}, {"type": "markdown", "text": "x" * (n - 6000)}],
    ),
    ("table rows", 100, lambda n: one(table(cells(n)))),
    ("table columns", 20, lambda n: one(table(cells(1, n)))),
    ("column settings", 20, lambda n: one(table(cells(1), column_settings=[{"align": "right"}] * n))),
    ("tables of a message", 1, lambda n: [table(cells(1))] * n),
    ("data table rows", 101, lambda n: one(data_table(cells(n)))),
    ("data table columns", 20, lambda n: one(data_table(cells(2, n)))),
    ("data table page", 100, lambda n: one(data_table(cells(2), page_size=n))),
    (
        "data table text",
        10_000,
        lambda n: one(data_table([*cells(1, 1, 5_000), *cells(1, 1, n - 5_000)])),
    ),
    ("charts of a message", 2, lambda n: [pie(1)] * n),
    ("chart title", 50, lambda n: one({**pie(1), "title": "x" * n})),
    ("pie segments", 6, lambda n: one(pie(n))),
    ("segment label", 20, lambda n: one(pie(1, "x" * n))),
    ("chart series", 6, lambda n: one(lines(n))),
    ("chart points", 20, lambda n: one(lines(1, n))),
    ("axis label", 50, lambda n: one(lines(1, x_label="x" * n))),
    ("card title", 150, lambda n: one({"type": "card", "title": plain(n)})),
    ("card body", 200, lambda n: one({"type": "card", "body": mrkdwn(n)})),
    ("card actions", 3, lambda n: one({"type": "card", "actions": [button()] * n})),
    (
        "carousel",
        10,
        lambda n: one({"type": "carousel", "elements": [{"type": "card", "title": plain(1)}] * n}),
    ),
    (
        "container",
        10,
        lambda n: one({"type": "container", "title": plain(1), "child_blocks": [{"type": "divider"}] * n}),
    ),
    (
        "context actions",
        5,
        lambda n: one({"type": "context_actions", "elements": [{"type": "icon_button"}] * n}),
    ),
]


@pytest.mark.parametrize(("most", "build"), [(most, build) for _, most, build in MOST], ids=[name for name, *_ in MOST])
def test_the_limit_is_good_and_one_more_is_not(most: int, build: Build) -> None:
    assert problems(build(most), "message") == []
    found = problems(build(most + 1), "message")
    assert found
    assert all(re.search(rf"no more than {most} |less than {most + 1} |at most {most} |only_one", one) for one in found)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "header", "text": plain(0)},
        section(text=mrkdwn(0)),
        section(fields=[]),
        {"type": "context", "elements": []},
        actions(),
        actions(button(text=plain(0))),
        actions(button(value="")),
        actions(button(action_id="")),
        menu("overflow", options=[]),
        {"type": "markdown", "text": ""},
        table([[]]),
        table(cells(1, 1, 0)),
        data_table(cells(1)),
        pie(0),
        rich(),
        rich({"type": "text", "text": ""}),
    ],
)
def test_empty_is_not_enough(block: Json) -> None:
    assert len(problems([block], "message")) == 1


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"type": "header", "text": mrkdwn(1)}, "[ERROR] unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"),
        (actions(button(text=mrkdwn(1))), "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/text/type]"),
        (confirm(title=mrkdwn(1)), "elements/0/confirm/title/type]"),
        (section(text={"type": "plain_text", "text": "x", "verbatim": True}), "invalid additional property: verbatim"),
        (section(text={"type": "mrkdwn", "text": "x", "emoji": True}), "invalid additional property: emoji"),
        (section(text="just text"), "unsupported type: None"),
        (section(colour="red"), "invalid additional property: colour [json-pointer:/blocks/0]"),
        ({"type": "section"}, "missing one of: text, fields"),
        ({"type": "header"}, "missing required field: text"),
        ({"type": "image", "image_url": "x"}, "missing required field: alt_text"),
        ({"type": "image", "alt_text": "x"}, "missing one of: image_url, slack_file"),
        (actions(button(style="warning")), "must be one of primary, danger"),
        (actions(button(value=7)), "must be a string"),
        (actions({"type": "plain_text_input"}), "unsupported type: plain_text_input"),
        (field(element=button()), "unsupported type: button"),
        (section(accessory={"type": "mrkdwn", "text": "x"}), "unsupported type: mrkdwn"),
        (
            actions(button(action_id="a"), button(action_id="a")),
            "action_id 'a' already exists [json-pointer:/blocks/0]",
        ),
        (table([[{"type": "raw_number", "text": "7"}]]), "missing required field: value"),
        (table(cells(1), column_settings=[{"align": "middle"}]), "must be one of left, center, right"),
        (data_table([*cells(1, 2), *cells(1, 1)]), "all rows must have the same number of columns"),
        (data_table([[rich({"type": "text", "text": "x"})], *cells(1)]), "/blocks/0/rows/0/0/type"),
        (pie(1, value=0), "must be greater than 0"),
        (pie(1, value=True), "must be a number"),
        (chart({"type": "donut"}), "unsupported type: donut"),
        (data_table(cells(2), page_size=0), "must be at least 1"),
        (data_table(cells(2), page_size=1.5), "must be an integer"),
        (data_table(cells(2, 2), row_header_column_index=2), "must be the index of a column"),
        ({"type": "data_table", "rows": cells(2)}, "missing required field: caption"),
        ({"type": "nonsense"}, "unsupported type: nonsense"),
        ({}, "unsupported type: None"),
        ("text", "unsupported type: None"),
    ],
)
def test_what_is_wrong_is_said_with_where_it_is(block: Any, reason: str) -> None:
    [problem] = problems([block], "message")
    assert reason in problem


def test_blocks_have_to_be_a_list() -> None:
    assert problems({"type": "divider"}, "message") == ["[ERROR] must be a list [json-pointer:/blocks]"]


def test_two_blocks_of_a_message_do_not_share_an_id_but_two_actions_may() -> None:
    assert len(problems([section(block_id="same"), section(block_id="same")], "message")) == 1
    assert problems([actions(button(action_id="a")), actions(button(action_id="a"))], "message") == []


def test_a_second_table_has_slacks_own_word() -> None:
    [problem] = problems([table(cells(1)), table(cells(1))], "message")
    assert "only_one_table_allowed" in problem


def test_a_chart_has_names_of_its_own_and_a_value_for_every_category() -> None:
    twice = lines(2)
    twice["chart"]["series"][1]["name"] = "s0"
    short = lines(1, 2)
    short["chart"]["series"][0]["data"] = short["chart"]["series"][0]["data"][:1]
    same = lines(1, 2)
    same["chart"]["axis_config"]["categories"] = ["c0", "c0"]
    assert ["must be unique" in problems([block], "message")[0] for block in (twice, same)] == [True, True]
    assert "exactly one value" in problems([short], "message")[0]


def test_rich_text_of_every_kind_is_good() -> None:
    text = {"type": "text", "text": "x", "style": {"bold": True}}
    listed = {"type": "rich_text_list", "style": "bullet", "indent": 1}
    blocks = [
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_section",
                    "elements": [
                        text,
                        {"type": "link", "url": "https://example.com"},
                        {"type": "user", "user_id": "U0"},
                        {"type": "emoji", "name": "wave"},
                        {"type": "broadcast", "range": "here"},
                    ],
                },
                {"type": "rich_text_quote", "elements": [text]},
                {"type": "rich_text_preformatted", "elements": [text], "border": 0},
                {**listed, "elements": [{"type": "rich_text_section", "elements": [text]}]},
            ],
        }
    ]
    assert problems(blocks, "message") == []


@pytest.mark.parametrize(
    ("kind", "surfaces"),
    [
        ("alert", {"modal"}),
        ("table", {"message", "home"}),
        ("data_table", {"message", "home"}),
        ("data_visualization", {"message", "home"}),
        ("markdown", {"message"}),
        ("context_actions", {"message"}),
        ("section", {"message", "modal", "home"}),
        ("input", {"message", "modal", "home"}),
    ],
)
def test_a_block_is_taken_only_where_slack_shows_it(kind: str, surfaces: set[Surface]) -> None:
    block = {
        "alert": {"type": "alert", "text": mrkdwn(200), "level": "warning"},
        "table": table(cells(1)),
        "data_table": data_table(cells(2)),
        "data_visualization": pie(1),
        "markdown": {"type": "markdown", "text": "x"},
        "context_actions": {"type": "context_actions", "elements": [{"type": "icon_button"}]},
        "section": section(),
        "input": field(),
    }[kind]
    everywhere: tuple[Surface, ...] = ("message", "modal", "home")
    assert {surface for surface in everywhere if not problems([block], surface)} == surfaces


def test_every_block_of_a_surface_has_a_check() -> None:
    assert set().union(*SURFACES.values()) == set(BLOCKS)


def test_a_view_takes_twice_the_blocks_of_a_message() -> None:
    blocks = [{"type": "divider"}] * 100
    assert view_problems({"type": "home", "blocks": blocks}) == []
    assert len(view_problems({"type": "home", "blocks": [*blocks, {"type": "divider"}]})) == 1


@pytest.mark.parametrize(
    ("name", "most", "build"),
    [
        ("title", 24, plain),
        ("submit", 24, plain),
        ("close", 24, plain),
        ("private_metadata", 3000, lambda n: "x" * n),
        ("callback_id", 255, lambda n: "x" * n),
        ("external_id", 255, lambda n: "x" * n),
    ],
)
def test_a_modal_has_limits_of_its_own(name: str, most: int, build: Build) -> None:
    modal = {"type": "modal", "title": plain(1), "blocks": [section()]}
    assert view_problems({**modal, name: build(most)}) == []
    assert len(view_problems({**modal, name: build(most + 1)})) == 1


def test_a_form_needs_a_button_to_submit_it() -> None:
    form = {"type": "modal", "title": plain(1), "blocks": [field()]}
    assert "required where the view has an input block" in view_problems(form)[0]
    assert view_problems({**form, "submit": plain(1)}) == []


@pytest.mark.parametrize("view", [None, {}, {"type": "message"}, {"type": "modal", "blocks": []}, {"type": "home"}])
def test_what_is_no_view_is_refused(view: Any) -> None:
    assert view_problems(view)


def test_all_texts_count_wherever_they_stand() -> None:
    assert text_length([section(text=mrkdwn(10), fields=[mrkdwn(5)]), actions(button(text=plain(3)))]) == 18


NAMES = st.sampled_from(["type", "text", "elements", "rows", "chart", "action_id", "block_id"])
KINDS = st.sampled_from(["section", "actions", "table", "data_table", "data_visualization", "markdown", "card", "plan"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, KINDS)
def test_nonsense_is_refused_and_never_breaks_the_check(value: Any, kind: str) -> None:
    block = {**value, "type": kind} if isinstance(value, dict) else {"type": kind, "text": value}
    assert all("json-pointer" in problem for problem in problems([block], "message"))
