"""Checks blocks and views as Slack does before it shows them."""

from collections.abc import Iterator
from typing import Any

from bot.sandbox import slack_checks as limit
from bot.sandbox.slack_blocks import BLOCKS, SURFACES, Surface, plain
from bot.sandbox.slack_checks import Problems, anything, fields, flag, say, string, typed

_MODAL = fields(
    {"title": plain(limit.VIEW_TITLE), "blocks": anything},
    {
        "submit": plain(limit.VIEW_TITLE),
        "close": plain(limit.VIEW_TITLE),
        "private_metadata": string(limit.PRIVATE_METADATA, least=0),
        "callback_id": string(limit.ID, least=0),
        "external_id": string(limit.ID, least=0),
        "clear_on_close": flag,
        "notify_on_close": flag,
        "submit_disabled": flag,
    },
)
_HOME = fields(
    {"blocks": anything},
    {
        "private_metadata": string(limit.PRIVATE_METADATA, least=0),
        "callback_id": string(limit.ID, least=0),
        "external_id": string(limit.ID, least=0),
    },
)


def problems(blocks: Any, surface: Surface) -> list[str]:
    """What Slack would reject in blocks on this surface, each with a JSON pointer; empty if they are valid."""
    found: Problems = []
    if not isinstance(blocks, list):
        say(found, "/blocks", "must be a list")
        return found
    most = limit.MESSAGE_BLOCKS if surface == "message" else limit.VIEW_BLOCKS
    if len(blocks) > most:
        say(found, "/blocks", f"no more than {most} items allowed")
    allowed = typed({kind: check for kind, check in BLOCKS.items() if kind in SURFACES[surface]})
    for index, block in enumerate(blocks):
        in_block: Problems = []
        allowed(block, f"/blocks/{index}", in_block)
        if not in_block:
            _repeated(_action_ids(block), f"/blocks/{index}", "action_id", in_block)
        found += in_block
    if not found:
        _all_together(blocks, found)
    return found


def view_problems(view: Any) -> list[str]:
    """What Slack would reject in a modal or a Home tab."""
    found: Problems = []
    typed({"modal": _MODAL, "home": _HOME})(view, "/view", found)
    if found:
        return found
    found += problems(view["blocks"], view["type"])
    inputs = [block for block in view["blocks"] if isinstance(block, dict) and block.get("type") == "input"]
    if view["type"] == "modal" and inputs and "submit" not in view:
        say(found, "/view/submit", "required where the view has an input block")
    return found


def text_length(blocks: Any) -> int:
    """Characters of all texts; Slack was seen to reject a message beyond some 13,200 (`msg_blocks_too_long`)."""
    return sum(len(text) for text in _texts(blocks))


def _all_together(blocks: list[Any], found: Problems) -> None:
    _repeated([block["block_id"] for block in blocks if "block_id" in block], "/blocks", "block_id", found)
    kinds = [block["type"] for block in blocks]
    if kinds.count("table") > 1:
        say(found, "/blocks", "only_one_table_allowed")
    if kinds.count("data_visualization") > limit.CHARTS:
        say(found, "/blocks", f"no more than {limit.CHARTS} data_visualization blocks allowed")
    markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    if markdown > limit.MARKDOWN_TEXT:
        say(found, "/blocks", f"all markdown together must be less than {limit.MARKDOWN_TEXT + 1} characters")
    data = sum(text_length(block["rows"]) for block in blocks if block["type"] == "data_table")
    if data > limit.DATA_TABLE_TEXT:
        say(found, "/blocks", f"all data_table cells together must be less than {limit.DATA_TABLE_TEXT + 1} characters")


def _repeated(ids: list[str], pointer: str, name: str, found: Problems) -> None:
    for id_ in sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        say(found, pointer, f"{name} {id_!r} already exists")


def _action_ids(value: Any) -> list[str]:
    if isinstance(value, list):
        return [id_ for item in value for id_ in _action_ids(item)]
    if not isinstance(value, dict):
        return []
    id_ = value.get("action_id")
    own = [id_] if isinstance(id_, str) else []
    return own + [id_ for item in value.values() for id_ in _action_ids(item)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and name == "text":
                yield item
            else:
                yield from _texts(item)
