"""Strict parsing of Slack's posts: only bodies of a known shape, and only checked fields, reach Bolt and handlers.

Source: https://docs.slack.dev/interactivity/ (payloads of commands,
block_actions, view_submission, view_closed) and https://docs.slack.dev/apis/events-api/ (the wrapper of events).
"""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import from_json

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MOST_FIELDS = 100


class UnreadableBodyError(Exception):
    """The body is not a Slack request; the text is one sentence."""


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


class _SubmittedView(_View):
    # Bolt's matchers index it, and treat a `workflow_step` as a payload with a step.
    type: Literal["modal"]
    state: _State


class _Interaction(_Part):
    user: _User
    team: _Team | None = None
    enterprise: _Named | None = None
    channel: _Named | None = None
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


class _Event(_Part):
    type: str


class _EventCallback(_Part):
    type: Literal["event_callback"]
    event: _Event


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


_INTERACTIONS: TypeAdapter[_Part] = TypeAdapter(
    Annotated[_BlockActions | _Submission | _Closing, Field(discriminator="type")]
)
_EVENTS: TypeAdapter[_Part] = TypeAdapter(Annotated[_EventCallback | _Verification, Field(discriminator="type")])
_COMMANDS: TypeAdapter[_Part] = TypeAdapter(_Command)


def read(body: bytes, content_type: str) -> dict[str, Any]:
    """The known fields of a request, for Bolt's listeners. `content_type`: `FORM` or `JSON`.

    Raises `UnreadableBodyError`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableBodyError("The body is not UTF-8 text.") from None
    if content_type == JSON:
        return _checked(_object(text), _EVENTS)
    try:
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:
        raise UnreadableBodyError("The body is not a form.") from None
    if "payload" in fields:
        return _checked(_object(fields["payload"]), _INTERACTIONS)
    return _checked(fields, _COMMANDS)


def _object(text: str) -> dict[str, Any]:
    try:
        # It also raises ValueError for a body nested too deeply.
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise UnreadableBodyError("The body is not JSON as Slack sends it.") from None
    if not isinstance(value, dict):
        raise UnreadableBodyError("The body is not a JSON object.")
    return value


def _checked(payload: dict[str, Any], shape: TypeAdapter[_Part]) -> dict[str, Any]:
    try:
        return shape.validate_python(payload).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UnreadableBodyError(
            f"The body is not a request that this app accepts from Slack ({first['type']})."
        ) from None
