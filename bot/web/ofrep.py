"""The fallback mode as flags of OpenFeature's Remote Evaluation Protocol (OFREP 0.2).

The flags are the names of the mode's variables. A variable that the mode does not set is an unknown flag, so that the
caller's default applies: in the mode normal, to the model. An SDK also returns its default when the flag has another
type than requested, so a value that looks like a boolean or a number is served as one.
Source: https://github.com/open-feature/protocol/blob/main/service/openapi.yaml
"""

import json
import re

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.mode import CHAIN_VARIABLE, MODE_VARIABLE, MODEL_VARIABLE
from bot.web.access import BearerAccess
from bot.web.fallback import CurrentMode, ModeUnreadableError, ServedMode, tagged, unavailable

ALWAYS_TEXT = (MODE_VARIABLE, MODEL_VARIABLE, CHAIN_VARIABLE)

# As many digits as JavaScript's numbers hold exactly. "007" and "+1" are names, not numbers.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_DECIMAL = re.compile(r"-?(?=[0-9.]{3,16}$)(?:0|[1-9][0-9]*)\.[0-9]+")


class EvaluationRequest(BaseModel):
    """The body of both requests. The mode is the same for everybody, so the context is ignored."""

    model_config = ConfigDict(strict=True)

    context: dict[str, object] | None = None


def ofrep_routes(current: CurrentMode, access: BearerAccess) -> list[web.RouteDef]:
    """`POST /ofrep/v1/evaluate/flags` and `POST /ofrep/v1/evaluate/flags/{key}`, behind `access`."""

    async def evaluate_all(request: web.Request) -> web.StreamResponse:
        problem = await _problem(request)
        if problem is not None:
            return web.json_response(problem, status=400)
        try:
            mode = await current.now()
        except ModeUnreadableError as error:
            return unavailable({"errorDetails": str(error)})
        return tagged(request, json.dumps({"flags": [_evaluation(mode, name) for name in mode.variables]}).encode())

    async def evaluate_one(request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"].rstrip("/")
        problem = await _problem(request)
        if problem is not None:
            return web.json_response({"key": key, **problem}, status=400)
        try:
            mode = await current.now()
        except ModeUnreadableError as error:
            return unavailable({"errorDetails": str(error)})
        if key not in mode.variables:
            details = f"The mode {mode.name} does not set {key}: use your own default."
            return web.json_response({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, status=404)
        return web.json_response(_evaluation(mode, key))

    return [
        web.post("/ofrep/v1/evaluate/flags", access.guard(evaluate_all)),
        web.post("/ofrep/v1/evaluate/flags/", access.guard(evaluate_all)),
        web.post("/ofrep/v1/evaluate/flags/{key:.+}", access.guard(evaluate_one)),
    ]


def _evaluation(mode: ServedMode, name: str) -> dict[str, object]:
    text = mode.variables[name]
    # STATIC: the same for every context.
    return {
        "key": name,
        "value": text if name in ALWAYS_TEXT else typed(text),
        "reason": "STATIC",
        "variant": mode.name,
    }


def typed(text: str) -> bool | int | float | str:
    """A boolean for true and false, a number for its canonical form, otherwise the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


async def _problem(request: web.Request) -> dict[str, object] | None:
    body = await request.read()
    if not body:
        return None
    try:
        EvaluationRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["loc"][:1] == ("context",):
            return {"errorCode": "INVALID_CONTEXT", "errorDetails": "context is not a JSON object."}
        return {"errorCode": "PARSE_ERROR", "errorDetails": f"The body is not a JSON object: {first['msg']}."}
    return None
