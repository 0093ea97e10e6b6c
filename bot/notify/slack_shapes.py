"""The shapes of Slack's commands, interactions and events. A request of another shape reaches no listener.

Source: https://docs.slack.dev/interactivity/ (payloads of commands, shortcut, message_action, block_actions,
view_submission, view_closed) and https://docs.slack.dev/apis/events-api/ (the wrapper of events).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, TypeAdapter, ValidationError


class UnreadablePayloadError(Exception):
    """A request that this app does not accept. The text is the kind of the first mistake and quotes nothing."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Named(_Part):
    id: str


class _Team(_Named):
    enterprise_id: str | None = None


class _User(_Named):
    team_id: str | None = None
    enterprise_id: str | None = None


class _Action(_Part):
    action_id: str
    block_id: str | None = None
    type: str | None = None
    value: str | None = None


class _State(_Part):
    values: dict[str, dict[str, dict[str, JsonValue]]]


class _View(_Named):
    type: str | None = None
    callback_id: str = ""
    private_metadata: str = ""
    title: dict[str, JsonValue] | None = None
    blocks: list[dict[str, JsonValue]] | None = None


class _SubmittedView(_View):
    # Bolt's matchers index the type, and treat a `workflow_step` as a payload with a step.
    type: Literal["modal"]
    state: _State


class _Message(_Part):
    ts: str | None = None
    thread_ts: str | None = None
    text: str | None = None


class _Interaction(_Part):
    user: _User
    team: _Team | None = None
    enterprise: _Named | None = None
    channel: _Named | None = None
    message: _Message | None = None
    trigger_id: str | None = None
    response_url: str | None = None


class _BlockActions(_Interaction):
    type: Literal["block_actions"]
    actions: Annotated[list[_Action], Field(min_length=1)]
    view: _View | None = None


class _Submission(_Interaction):
    type: Literal["view_submission"]
    view: _SubmittedView


class _Closing(_Interaction):
    type: Literal["view_closed"]
    view: _View


class _Shortcut(_Interaction):
    type: Literal["shortcut", "message_action"]
    callback_id: str


class _Event(_Part):
    type: str


class _HeardEvent(_Event):
    """An event that listeners are registered for."""

    type: Literal["app_mention", "message", "app_home_opened"]
    user: str | None = None
    channel: str | None = None
    channel_type: str | None = None
    text: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    tab: str | None = None
    team: str | None = None
    user_team: str | None = None
    bot_id: str | None = None
    subtype: str | None = None
    edited: JsonValue = None


def _which(event: Any) -> str:
    # pydantic calls this with what was sent, and with the model made of it.
    kind = event.get("type") if isinstance(event, dict) else getattr(event, "type", None)
    return "heard" if kind in ("app_mention", "message", "app_home_opened") else "other"


class _Authorization(_Part):
    user_id: str | None = None
    team_id: str | None = None
    enterprise_id: str | None = None
    is_bot: bool | None = None


class _EventCallback(_Part):
    type: Literal["event_callback"]
    event: Annotated[Annotated[_HeardEvent, Tag("heard")] | Annotated[_Event, Tag("other")], Discriminator(_which)]
    event_id: str | None = None
    team_id: str | None = None
    enterprise_id: str | None = None
    authorizations: list[_Authorization] | None = None


class _Verification(_Part):
    type: Literal["url_verification"]
    challenge: str


class _Command(_Part):
    command: str
    text: str = ""
    user_id: str
    team_id: str | None = None
    enterprise_id: str | None = None
    channel_id: str | None = None
    trigger_id: str | None = None
    response_url: str | None = None


Kind = Literal["slash_commands", "interactive", "events_api"]
"""Kinds of requests, as the envelopes of Socket Mode name them."""

_SHAPES: dict[str, TypeAdapter[_Part]] = {
    "slash_commands": TypeAdapter(_Command),
    "interactive": TypeAdapter(
        Annotated[_BlockActions | _Submission | _Closing | _Shortcut, Field(discriminator="type")]
    ),
    "events_api": TypeAdapter(Annotated[_EventCallback | _Verification, Field(discriminator="type")]),
}


def checked(payload: object, kind: object) -> dict[str, Any]:
    """The fields of a request that listeners read. `kind`: a `Kind`, or whatever an envelope says instead.

    Raises `UnreadablePayloadError`.
    """
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise UnreadablePayloadError("unknown_kind")
    try:
        return shape.validate_python(payload).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UnreadablePayloadError(str(first["type"])) from None
    except RecursionError:
        raise UnreadablePayloadError("nested_too_deeply") from None
