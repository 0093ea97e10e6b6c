"""Arguments of a call, read and checked like Slack."""

import json
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from bot.messages import Block
from bot.sandbox.block_limits import problems, text_length
from bot.sandbox.slack_checks import MESSAGE_BLOCKS_TEXT
from bot.sandbox.slack_workspace import ApiError, invalid_blocks

Arguments = Mapping[str, Any]


def content(arguments: Arguments, *, most: int, unknown: Collection[str] = ()) -> tuple[str, list[Block]]:
    """Text and blocks of a message that is posted, edited or sent to a response URL. Raises `ApiError`.

    `unknown`: types of blocks to reject.
    """
    text = arguments.get("text") or ""
    if not isinstance(text, str):
        raise invalid_arguments("`text` must be a string")
    blocks = decoded(arguments, "blocks", ApiError("invalid_blocks_format")) or []
    if not isinstance(blocks, list):
        raise ApiError("invalid_blocks_format")
    if not text.strip() and not blocks:
        raise ApiError("no_text")
    if len(text) > most:
        raise ApiError("msg_too_long")
    found = problems(blocks, "message")
    found += [f"unsupported type: {kind}" for kind in unknown if not found and kind in {b["type"] for b in blocks}]
    if found:
        raise invalid_blocks(found)
    if text_length(blocks) > MESSAGE_BLOCKS_TEXT:
        raise ApiError("msg_blocks_too_long")
    return text, blocks


def metadata(arguments: Arguments) -> dict[str, Any] | None:
    """Metadata; None if not given; an empty object removes it. Raises `ApiError`."""
    given = decoded(arguments, "metadata", ApiError("invalid_metadata_format"))
    if given is None:
        return None
    if not isinstance(given, dict):
        raise ApiError("invalid_metadata_format")
    if given and not (isinstance(given.get("event_type"), str) and isinstance(given.get("event_payload"), dict)):
        raise ApiError("invalid_metadata_format")
    return given


def view(arguments: Arguments) -> dict[str, Any]:
    """The view of a call. Raises `ApiError`."""
    given = decoded(arguments, "view", invalid_arguments("`view` is not valid JSON"))
    if not isinstance(given, dict):
        raise invalid_arguments("`view` is required")
    return given


def decoded(arguments: Arguments, name: str, refusal: ApiError) -> Any:
    """A structured argument; forms and queries carry it as JSON text."""
    value = arguments.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise refusal from None


def truth(arguments: Arguments, name: str) -> bool:
    """A boolean, which forms write as `true` or `1`."""
    return str(arguments.get(name, "")).lower() in ("true", "1")


def moment(arguments: Arguments, name: str) -> Decimal | None:
    """A time in Slack's form, seconds with six decimals."""
    value = arguments.get(name)
    try:
        return None if value in (None, "") else Decimal(str(value))
    except InvalidOperation:
        raise ApiError(f"invalid_ts_{name}") from None


def invalid_arguments(reason: str) -> ApiError:
    """The error for invalid arguments."""
    return ApiError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {reason}"]})


async def arguments_of(request: web.Request) -> dict[str, Any]:
    """Arguments from query, form and JSON alike, as the SDK uses all three."""
    arguments: dict[str, Any] = dict(request.query)
    if request.content_type != "application/json":
        arguments.update(await request.post())
        return arguments
    text = await request.text()
    try:
        body = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError:
        raise ApiError("invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError("json_not_object")
    return arguments | body
