"""Requests that are refused over HTTP: one line each, with the route and the reason, and nothing of what was sent."""

import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from bot.log_fields import NAMES
from bot.web.access import BearerAccess
from bot.web.refusals import refusals_logged

TOKEN, WRONG = "right-token-of-this-test", "wrong-token-of-this-test"


async def mode(request: web.Request) -> web.Response:
    return web.Response()


async def packed(request: web.Request) -> web.Response:
    return web.Response(status=415, body=b"\x08\x03\xff")


async def failing(request: web.Request) -> web.Response:
    return web.json_response({"error": "later"}, status=503)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name in NAMES}


async def test_a_refusal_is_one_line_without_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bot.web.refusals")
    app = web.Application(middlewares=[refusals_logged])
    access = BearerAccess(SecretStr(TOKEN), "CLAUDE_COST_READ_TOKEN")
    app.router.add_get("/v1/flags/{key}", access.guard(mode))
    app.router.add_get("/packed", packed)
    app.router.add_get("/failing", failing)
    async with TestClient(TestServer(app)) as client:
        for path, token in (
            (f"/v1/flags/{WRONG}", WRONG),
            ("/v1/flags/a", None),
            ("/v1/flags/a", TOKEN),
            ("/packed", None),
            ("/failing", None),
            (f"/{WRONG}", None),
        ):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            async with client.get(path, headers=headers):
                pass
    lines = [record for record in caplog.records if record.name == "bot.web.refusals"]
    flags = {"event": "refusal", "path": "/v1/flags/{key}", "http_status": 401}
    assert [fields_of(line) for line in lines] == [
        {**flags, "reason": "This is not the token of CLAUDE_COST_READ_TOKEN."},
        {**flags, "reason": "Send Authorization: Bearer TOKEN with the token of CLAUDE_COST_READ_TOKEN."},
        {"event": "refusal", "path": "/packed", "http_status": 415, "reason": "Unsupported Media Type"},
    ]
    assert WRONG not in caplog.text
