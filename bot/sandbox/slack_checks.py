"""Slack's limits, and checks of JSON values that report what is wrong, and where, like Slack.

If copies of the documentation differ, the stricter limit applies.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_BLOCKS_TEXT = 13_200
ID = 255
TEXT = 3_000
SECTION_FIELDS = 10
FIELD_TEXT = 2_000
HEADER_TEXT = 150
CONTEXT_ELEMENTS = 10
ACTIONS_ELEMENTS = 25
CONTEXT_ACTIONS_ELEMENTS = 5
BUTTON_TEXT = 75
BUTTON_VALUE = 2_000
URL = 3_000
ACCESSIBILITY_LABEL = 75
CONFIRM_TITLE = 100
CONFIRM_TEXT = 300
CONFIRM_BUTTON = 30
OPTION_TEXT = 75
OPTION_VALUE = 150
SELECT_OPTIONS = 100
OVERFLOW_OPTIONS = 5
CHOICE_OPTIONS = 10
PLACEHOLDER = 150
INPUT_TEXT = 3_000
LABEL = 2_000
ALT_TEXT = 2_000
MARKDOWN_TEXT = 12_000
TABLE_ROWS = 100
TABLE_COLUMNS = 20
DATA_TABLE_ROWS = 101
DATA_TABLE_PAGE = 100
DATA_TABLE_TEXT = 10_000
CHARTS = 2
CHART_TITLE = 50
CHART_SERIES = 6
CHART_POINTS = 20
CHART_LABEL = 20
AXIS_LABEL = 50
CARD_TITLE = 150
CARD_BODY = 200
CARD_ACTIONS = 3
CAROUSEL_CARDS = 10
CONTAINER_BLOCKS = 10
ALERT_TEXT = 200
VIEW_TITLE = 24
PRIVATE_METADATA = 3_000
POSTED_TEXT = 40_000
UPDATED_TEXT = 4_000


Problems = list[str]
Check = Callable[[Any, str, Problems], None]

PLAIN = ("plain_text",)
PLAIN_OR_MRKDWN = ("plain_text", "mrkdwn")


def say(problems: Problems, pointer: str, reason: str) -> None:
    """`pointer`: a JSON pointer to the value."""
    problems.append(f"[ERROR] {reason} [json-pointer:{pointer}]")


def string(most: int | None = None, *, least: int = 1) -> Check:
    """Text from `least` to `most` characters long."""

    def check(value: Any, pointer: str, problems: Problems) -> None:
        if not isinstance(value, str):
            say(problems, pointer, "must be a string")
        elif len(value) < least:
            say(problems, pointer, f"must be more than {least - 1} characters")
        elif most is not None and len(value) > most:
            say(problems, pointer, f"must be less than {most + 1} characters")

    return check


def number(low: float | None = None, high: float | None = None, *, above: float | None = None) -> Check:
    """A number from `low` to `high`, or greater than `above`."""

    def check(value: Any, pointer: str, problems: Problems) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            say(problems, pointer, "must be a number")
        elif low is not None and value < low:
            say(problems, pointer, f"must be at least {low}")
        elif high is not None and value > high:
            say(problems, pointer, f"must be at most {high}")
        elif above is not None and value <= above:
            say(problems, pointer, f"must be greater than {above}")

    return check


def integer(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""
    in_range = number(low, high)

    def check(value: Any, pointer: str, problems: Problems) -> None:
        if isinstance(value, float) and not value.is_integer():
            say(problems, pointer, "must be an integer")
        else:
            in_range(value, pointer, problems)

    return check


def flag(value: Any, pointer: str, problems: Problems) -> None:
    """True or false."""
    if not isinstance(value, bool):
        say(problems, pointer, "must be true or false")


def anything(value: Any, pointer: str, problems: Problems) -> None:
    """Accepts any value: no rule is known."""


def word(*allowed: str) -> Check:
    """One of these words."""

    def check(value: Any, pointer: str, problems: Problems) -> None:
        if value not in allowed:
            say(problems, pointer, f"must be one of {', '.join(allowed)}")

    return check


def each(check_item: Check, most: int | None = None, *, least: int = 1) -> Check:
    """A list of `least` to `most` items."""

    def check(value: Any, pointer: str, problems: Problems) -> None:
        if not isinstance(value, list):
            say(problems, pointer, "must be a list")
            return
        if len(value) < least:
            say(problems, pointer, f"no less than {least} items needed")
        if most is not None and len(value) > most:
            say(problems, pointer, f"no more than {most} items allowed")
        for index, item in enumerate(value):
            check_item(item, f"{pointer}/{index}", problems)

    return check


def fields(
    required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
    *,
    one_of: Collection[str] = (),
) -> Check:
    """An object with exactly these fields and `type`. `one_of`: at least one of them must be there."""
    needed, known = required or {}, {**(required or {}), **(optional or {})}

    def check(value: Any, pointer: str, problems: Problems) -> None:
        if not isinstance(value, dict):
            say(problems, pointer, "must be an object")
            return
        for name in needed:
            if name not in value:
                say(problems, pointer, f"missing required field: {name}")
        if one_of and not any(name in value for name in one_of):
            say(problems, pointer, f"missing one of: {', '.join(one_of)}")
        for name, item in value.items():
            if name in known:
                known[name](item, f"{pointer}/{name}", problems)
            elif name != "type":
                say(problems, pointer, f"invalid additional property: {name}")

    return check


def typed(checks: Mapping[str, Check]) -> Check:
    """An object whose `type` selects its check."""

    def check(value: Any, pointer: str, problems: Problems) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        found = checks.get(kind) if isinstance(kind, str) else None
        if found is None:
            say(problems, f"{pointer}/type", f"unsupported type: {kind}")
        else:
            found(value, pointer, problems)

    return check


def also(*checks: Check) -> Check:
    """All of these checks in order."""

    def check(value: Any, pointer: str, problems: Problems) -> None:
        for one in checks:
            one(value, pointer, problems)

    return check


def text_object(most: int, kinds: Collection[str] = PLAIN_OR_MRKDWN) -> Check:
    """A text object; only `plain_text` has `emoji`, only `mrkdwn` has `verbatim`."""
    plain = fields({"text": string(most)}, {"emoji": flag})
    mrkdwn = fields({"text": string(most)}, {"verbatim": flag})
    return typed({kind: plain if kind == "plain_text" else mrkdwn for kind in kinds})
