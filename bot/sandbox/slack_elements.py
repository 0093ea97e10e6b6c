"""The rules of valid Block Kit elements: buttons, menus, inputs and their objects."""

from collections.abc import Mapping

from bot.sandbox import slack_limits as limit
from bot.sandbox.slack_checks import PLAIN, Check, anything, each, fields, flag, number, string, text_object, word


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
