"""Token count of the local Anthropic: one token per four characters, and 30 % more on the newer tokenizer."""

import json
from decimal import Decimal

from aiohttp import web

from bot.pricing.card import load_rate_card
from bot.pricing.tokens import same_text

PATH = "/v1/messages/count_tokens"
API_KEY = "sk-ant-api03-sandbox"


def add_token_count(app: web.Application) -> None:
    """Serve `POST /v1/messages/count_tokens`; rejects Admin keys, like the real one."""
    app.router.add_post(PATH, _count)


async def _count(request: web.Request) -> web.Response:
    if request.headers.get("x-api-key") != API_KEY:
        return _error(401, "authentication_error", "invalid x-api-key")
    try:
        body = json.loads(await request.text())
        model_id, text = str(body["model"]), str(body["messages"][0]["content"])
    except (json.JSONDecodeError, KeyError, IndexError, TypeError):
        return _error(400, "invalid_request_error", "model and messages are required")
    model = load_rate_card().find(model_id)
    if model is None:
        return _error(404, "not_found_error", f"model: {model_id}")
    tokens = int(Decimal(len(text)) / 4) + 7
    return web.json_response({"input_tokens": same_text(tokens, 1, model.tokenizer)})


def _error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"type": "error", "error": {"type": kind, "message": message}}, status=status)
