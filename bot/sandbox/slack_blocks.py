"""Checks of Block Kit elements and blocks, and the blocks that each surface takes."""

from collections.abc import Mapping
from typing import Any, Literal

from bot.sandbox import slack_checks as limit
from bot.sandbox.slack_checks import (
    PLAIN,
    Check,
    Problems,
    also,
    anything,
    each,
    fields,
    flag,
    integer,
    number,
    say,
    string,
    text_object,
    typed,
    word,
)


def plain(most: int) -> Check:
    """A `plain_text` object."""
    return text_object(most, PLAIN)


CONFIRM = fields(
    {
        "title": plain(limit.CONFIRM_TITLE),
        "text": text_object(limit.CONFIRM_TEXT),
        "confirm": plain(limit.CONFIRM_BUTTON),
        "deny": plain(limit.CONFIRM_BUTTON),
    },
    {"style": word("primary", "danger")},
)


def _option(text: Check) -> Check:
    return fields({"text": text, "value": string(limit.OPTION_VALUE)}, {"description": text, "url": string(limit.URL)})


_PLAIN_OPTION = _option(plain(limit.OPTION_TEXT))
_MRKDWN_OPTION = _option(text_object(limit.OPTION_TEXT))
_OPTION_GROUP = fields({"label": plain(limit.OPTION_TEXT), "options": each(_PLAIN_OPTION, limit.SELECT_OPTIONS)})
_COMMON = {"action_id": string(limit.ID), "confirm": CONFIRM, "focus_on_load": flag}
_PLACEHOLDER = {"placeholder": plain(limit.PLACEHOLDER)}
IMAGE_SOURCE = {"image_url": string(limit.URL), "slack_file": fields({}, {"id": string(), "url": string(limit.URL)})}
_SELECT_FROM = {
    "options": each(_PLAIN_OPTION, limit.SELECT_OPTIONS),
    "option_groups": each(_OPTION_GROUP, limit.SELECT_OPTIONS),
}

BUTTON = fields(
    {"text": plain(limit.BUTTON_TEXT)},
    {
        **_COMMON,
        "value": string(limit.BUTTON_VALUE),
        "url": string(limit.URL),
        "style": word("primary", "danger"),
        "accessibility_label": string(limit.ACCESSIBILITY_LABEL),
    },
)
IMAGE_ELEMENT = fields({"alt_text": string(limit.ALT_TEXT)}, IMAGE_SOURCE, one_of=IMAGE_SOURCE)


def _picker(*names: str) -> Check:
    return fields({}, {**_COMMON, **_PLACEHOLDER, **dict.fromkeys(names, anything)})


def _typed_text(*names: str) -> Check:
    entered = {"initial_value": string(limit.INPUT_TEXT), "dispatch_action_config": anything}
    return fields({}, {**_COMMON, **_PLACEHOLDER, **entered, **dict.fromkeys(names, anything)})


_CHOSEN = ("default_to_current_conversation", "response_url_enabled", "filter")
MENUS: Mapping[str, Check] = {
    "button": BUTTON,
    "overflow": fields({"options": each(_PLAIN_OPTION, limit.OVERFLOW_OPTIONS)}, _COMMON),
    "static_select": fields(
        {}, {**_COMMON, **_PLACEHOLDER, **_SELECT_FROM, "initial_option": _PLAIN_OPTION}, one_of=_SELECT_FROM
    ),
    "multi_static_select": fields(
        {},
        {
            **_COMMON,
            **_PLACEHOLDER,
            **_SELECT_FROM,
            "initial_options": each(_PLAIN_OPTION, limit.SELECT_OPTIONS),
            "max_selected_items": number(1),
        },
        one_of=_SELECT_FROM,
    ),
    "checkboxes": fields(
        {"options": each(_MRKDWN_OPTION, limit.CHOICE_OPTIONS)}, {**_COMMON, "initial_options": each(_MRKDWN_OPTION)}
    ),
    "radio_buttons": fields(
        {"options": each(_MRKDWN_OPTION, limit.CHOICE_OPTIONS)}, {**_COMMON, "initial_option": _MRKDWN_OPTION}
    ),
    "users_select": _picker("initial_user"),
    "multi_users_select": _picker("initial_users", "max_selected_items"),
    "multi_conversations_select": _picker("initial_conversations", "max_selected_items", *_CHOSEN),
    "multi_channels_select": _picker("initial_channels", "max_selected_items"),
    "channels_select": _picker("initial_channel", "response_url_enabled"),
    "conversations_select": _picker("initial_conversation", *_CHOSEN),
    "datepicker": _picker("initial_date"),
    "timepicker": _picker("initial_time", "timezone"),
    "datetimepicker": fields({}, {**_COMMON, "initial_date_time": number()}),
}
INPUTS: Mapping[str, Check] = {
    **{kind: check for kind, check in MENUS.items() if kind not in ("button", "overflow")},
    "plain_text_input": _typed_text("multiline", "min_length", "max_length"),
    "number_input": _typed_text("is_decimal_allowed", "min_value", "max_value"),
    "email_text_input": _typed_text(),
    "url_text_input": _typed_text(),
}


Surface = Literal["message", "modal", "home"]

_EVERYWHERE = {"actions", "card", "context", "divider", "header", "image", "input", "rich_text", "section", "video"}
_WIDE = {"carousel", "container", "data_table", "data_visualization", "table"}
SURFACES: Mapping[Surface, frozenset[str]] = {
    "message": frozenset(_EVERYWHERE | _WIDE | {"context_actions", "file", "markdown", "plan", "task_card"}),
    "modal": frozenset(_EVERYWHERE | {"alert"}),
    "home": frozenset(_EVERYWHERE | _WIDE),
}

_STYLE = {"style": anything}
_RICH_ELEMENT = typed(
    {
        "text": fields({"text": string()}, _STYLE),
        "link": fields({"url": string(limit.URL)}, {"text": string(), "unsafe": flag, **_STYLE}),
        "emoji": fields({"name": string()}, {"unicode": string(), **_STYLE}),
        "user": fields({"user_id": string()}, _STYLE),
        "usergroup": fields({"usergroup_id": string()}, _STYLE),
        "channel": fields({"channel_id": string()}, _STYLE),
        "broadcast": fields({"range": word("here", "channel", "everyone")}),
        "date": fields({"timestamp": number(), "format": string()}, {"url": string(limit.URL), "fallback": string()}),
    }
)
_RICH_LINE = {"elements": each(_RICH_ELEMENT)}
_BORDER = {"border": number(0, 1)}
_RICH_SECTION = fields(_RICH_LINE)
RICH_TEXT = {
    "elements": each(
        typed(
            {
                "rich_text_section": _RICH_SECTION,
                "rich_text_quote": fields(_RICH_LINE, _BORDER),
                "rich_text_preformatted": fields(_RICH_LINE, {**_BORDER, "language": string()}),
                "rich_text_list": fields(
                    {
                        "style": word("bullet", "ordered"),
                        "elements": each(typed({"rich_text_section": _RICH_SECTION})),
                    },
                    {"indent": number(0, 8), "offset": number(0), **_BORDER},
                ),
            }
        )
    )
}

_HEADING_CELLS = {"raw_text": fields({"text": string()}), "raw_number": fields({"value": number(), "text": string()})}
_CELL = typed({**_HEADING_CELLS, "rich_text": fields(RICH_TEXT)})
_COLUMN = fields({}, {"align": word("left", "center", "right"), "is_wrapped": flag})


def _nothing_or(check: Check) -> Check:
    return lambda value, pointer, problems: None if value is None else check(value, pointer, problems)


def _data_table(block: Any, pointer: str, problems: Problems) -> None:
    rows = block.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return
    if len({len(row) for row in rows}) > 1:
        say(problems, f"{pointer}/rows", "all rows must have the same number of columns")
    header = block.get("row_header_column_index", 0)
    if isinstance(header, int) and rows and header >= len(rows[0]) > 0:
        say(problems, f"{pointer}/row_header_column_index", "must be the index of a column")
    for index, cell in enumerate(rows[0] if rows else []):
        typed(_HEADING_CELLS)(cell, f"{pointer}/rows/0/{index}", problems)


_POINT = fields({"label": string(limit.CHART_LABEL), "value": number()})
_SERIES = fields({"name": string(limit.CHART_LABEL), "data": each(_POINT, limit.CHART_POINTS)})
_AXES = fields(
    {"categories": each(string(limit.CHART_LABEL), limit.CHART_POINTS)},
    {"x_label": string(limit.AXIS_LABEL), "y_label": string(limit.AXIS_LABEL)},
)


def _aligned(chart: Any, pointer: str, problems: Problems) -> None:
    """Series have unique names, and one value for every category."""
    if problems:
        return
    categories = chart["axis_config"]["categories"]
    names = [series["name"] for series in chart["series"]]
    if len(set(categories)) != len(categories):
        say(problems, f"{pointer}/axis_config/categories", "must be unique")
    if len(set(names)) != len(names):
        say(problems, f"{pointer}/series", "names must be unique")
    for index, series in enumerate(chart["series"]):
        if sorted(point["label"] for point in series["data"]) != sorted(categories):
            say(problems, f"{pointer}/series/{index}/data", "must have exactly one value for every category")


_AXIS_CHART = also(fields({"series": each(_SERIES, limit.CHART_SERIES), "axis_config": _AXES}), _aligned)
_SEGMENT = fields({"label": string(limit.CHART_LABEL), "value": number(above=0)})
_CHART = typed(
    {
        "pie": fields({"segments": each(_SEGMENT, limit.CHART_SERIES)}),
        "bar": _AXIS_CHART,
        "area": _AXIS_CHART,
        "line": _AXIS_CHART,
    }
)

_CARD = fields(
    {},
    {
        "block_id": string(limit.ID),
        "title": text_object(limit.CARD_TITLE),
        "subtitle": text_object(limit.CARD_TITLE),
        "body": text_object(limit.CARD_BODY),
        "subtext": text_object(limit.CARD_BODY),
        "actions": each(typed({"button": BUTTON}), limit.CARD_ACTIONS),
        "hero_image": IMAGE_ELEMENT,
        "icon": IMAGE_ELEMENT,
        "slack_icon": anything,
    },
    one_of=("hero_image", "title", "body", "actions"),
)


def _block(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, one_of: tuple[str, ...] = ()
) -> Check:
    return fields(required, {"block_id": string(limit.ID), **(optional or {})}, one_of=one_of)


def _loose(block: Any, pointer: str, problems: Problems) -> None:
    """A block of which only its place and its id are checked."""
    if "block_id" in block:
        string(limit.ID)(block["block_id"], f"{pointer}/block_id", problems)


_SIMPLE_BLOCKS: Mapping[str, Check] = {
    "divider": _block({}),
    "header": _block({"text": plain(limit.HEADER_TEXT)}),
    "section": _block(
        {},
        {
            "text": text_object(limit.TEXT),
            "fields": each(text_object(limit.FIELD_TEXT), limit.SECTION_FIELDS),
            "accessory": typed({**MENUS, "image": IMAGE_ELEMENT}),
            "expand": flag,
        },
        one_of=("text", "fields"),
    ),
    "context": _block(
        {
            "elements": each(
                typed(
                    {"image": IMAGE_ELEMENT, "mrkdwn": text_object(limit.TEXT), "plain_text": text_object(limit.TEXT)}
                ),
                limit.CONTEXT_ELEMENTS,
            )
        }
    ),
    "actions": _block({"elements": each(typed(MENUS), limit.ACTIONS_ELEMENTS)}),
    "image": _block(
        {"alt_text": string(limit.ALT_TEXT)},
        {**IMAGE_SOURCE, "title": plain(limit.ALT_TEXT)},
        one_of=tuple(IMAGE_SOURCE),
    ),
    "input": _block(
        {"label": plain(limit.LABEL), "element": typed(INPUTS)},
        {"hint": plain(limit.LABEL), "optional": flag, "dispatch_action": flag},
    ),
    "rich_text": _block(RICH_TEXT),
    "table": _block(
        {"rows": each(each(_CELL, limit.TABLE_COLUMNS), limit.TABLE_ROWS)},
        {"column_settings": each(_nothing_or(_COLUMN), limit.TABLE_COLUMNS)},
    ),
    "video": _loose,
    "file": _loose,
}
BLOCKS: Mapping[str, Check] = {
    **_SIMPLE_BLOCKS,
    "markdown": _block({"text": string(limit.MARKDOWN_TEXT)}),
    "context_actions": _block({"elements": each(anything, limit.CONTEXT_ACTIONS_ELEMENTS)}),
    "data_table": also(
        _block(
            {"caption": string(), "rows": each(each(_CELL, limit.TABLE_COLUMNS), limit.DATA_TABLE_ROWS, least=2)},
            {
                "page_size": integer(1, limit.DATA_TABLE_PAGE),
                "row_header_column_index": integer(0, limit.TABLE_COLUMNS - 1),
            },
        ),
        _data_table,
    ),
    "data_visualization": _block({"title": string(limit.CHART_TITLE), "chart": _CHART}),
    "card": _CARD,
    "carousel": _block({"elements": each(typed({"card": _CARD}), limit.CAROUSEL_CARDS)}),
    "container": _block(
        {"child_blocks": each(typed(_SIMPLE_BLOCKS), limit.CONTAINER_BLOCKS)},
        {
            "title": plain(limit.CARD_TITLE),
            "rich_text_title": typed({"rich_text": fields(RICH_TEXT)}),
            "subtitle": text_object(limit.CARD_TITLE),
            "width": word("narrow", "standard", "wide", "full"),
            "icon": IMAGE_ELEMENT,
            "is_collapsible": flag,
            "default_collapsed": flag,
            "has_header_divider": flag,
        },
        one_of=("title", "rich_text_title"),
    ),
    "alert": _block(
        {"text": text_object(limit.ALERT_TEXT)}, {"level": word("default", "info", "warning", "error", "success")}
    ),
    "plan": _loose,
    "task_card": _loose,
}
