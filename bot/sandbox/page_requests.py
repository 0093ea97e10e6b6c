"""What the demo's page posts to its server."""

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.sandbox.directions import Cue


class Request(BaseModel):
    """What the page posts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Direction(Request):
    """Something happens on the stage, by nobody in the channel."""

    cue: Cue


class Act(Request):
    """Someone does something."""

    user: str


class Command(Act):
    """`text`: the words after `/claude-cost`, or a whole line that begins with a slash."""

    text: str


class Deletion(Act):
    """Someone deletes the message with this `ts`."""

    ts: str


Entries = dict[str, dict[str, str | list[str]]]
"""What inputs hold, by block id and action id: a text, the value of an option, or the values of all ticked ones."""


class Click(Act):
    """`ts` of a message or `view_id` of the topmost modal. `values`: what the modal's inputs hold by then."""

    ts: str | None = None
    view_id: str | None = None
    block_id: str
    action_id: str
    chosen: str | list[str] | None = None
    values: Entries = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_one_place(self) -> "Click":
        if (self.ts is None) == (self.view_id is None):
            raise ValueError("either ts or view_id must be given")
        return self


class Submission(Act):
    """Someone submits the topmost modal; what `values` leaves out stays as it began."""

    view_id: str
    values: Entries


class Closing(Act):
    """Someone closes the topmost modal."""

    view_id: str


R = TypeVar("R", bound=Request)


async def read(request: web.Request, shape: type[R]) -> R:
    """The body as this shape. Raises `web.HTTPBadRequest` with one sentence."""
    if request.content_type != "application/json":
        raise web.HTTPBadRequest(text="The body must be JSON and say so in its Content-Type.")
    try:
        return shape.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=_first_sentence(error)) from None


def _first_sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place or 'the body'}: {first['msg'].removeprefix('Value error, ')}."
