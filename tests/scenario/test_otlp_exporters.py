"""The official client under real instrumentations, reported by the SDK's exporters: right records, to the token."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.ledger.model import Event, Outcome
from bot.pricing.tokens import TokenCounts
from tests.databases import open_migrated
from tests.otlp import TOKEN, OtlpPort, otlp_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60

PLAIN = {"input_tokens": 11, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
CACHED = {
    "input_tokens": 13,
    "cache_read_input_tokens": 3_000,
    "cache_creation_input_tokens": 500,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
}
OUTPUT, AT_START = 17, 1
"""Tokens of every answer, and those that the first event of a stream has already."""

CALLS = ("plain", "cached", "streamed", "managed", "async-cached", "async-streamed", "async-managed")
WITHOUT_LIFETIMES = TokenCounts(13, 500, 0, 3_000, OUTPUT)
WITH_LIFETIMES = TokenCounts(13, 200, 300, 3_000, OUTPUT)


async def messages(request: web.Request) -> web.StreamResponse:
    """A Messages API that answers with the text of the request in the id of its response."""
    asked = await request.json()
    text = asked["messages"][0]["content"]
    if text == "limited":
        error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
        return web.json_response(error, status=429)
    usage = PLAIN if text == "plain" else CACHED
    message = {"id": f"msg_{text}", "type": "message", "role": "assistant", "model": asked["model"]}
    message |= {"stop_reason": None, "stop_sequence": None}
    if not asked.get("stream"):
        content = [{"type": "text", "text": "yes"}]
        answer = message | {"content": content, "stop_reason": "end_turn", "usage": usage | {"output_tokens": OUTPUT}}
        return web.json_response(answer)
    begun = message | {"content": [], "usage": usage | {"output_tokens": AT_START}}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": OUTPUT}},
        {"type": "message_stop"},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return web.Response(text=stream, content_type="text/event-stream")


@asynccontextmanager
async def reported(tmp_path: Path, *words: str, **environ: str) -> AsyncIterator[OtlpPort]:
    """A port after an application has called everything and ended."""
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    api = web.Application()
    api.router.add_post("/v1/messages", messages)
    async with otlp_port(engine, clock=lambda: datetime.now(UTC)) as port, TestServer(api) as server:
        telemetry = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": port.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{TOKEN}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "support",
            "OTEL_RESOURCE_ATTRIBUTES": "team=search,pull.request=12",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "tests.otlp_application", str(server.make_url("/")), *words),
            cwd=ROOT,
            env={**os.environ, **telemetry, **environ},
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, err.decode()
        assert "Failed to export" not in err.decode()
        yield port
    engine.dispose()


HIDING = {"OPENINFERENCE_HIDE_OUTPUTS": "true", "OPENINFERENCE_HIDE_INPUTS": "true"}
"""Hides all content, and so the id of the response."""


def spent(port: OtlpPort) -> dict[str, TokenCounts]:
    """The counts by event id; those without the id of a response together."""
    found: dict[str, TokenCounts] = {}
    for event in port.ledger.events.values():
        assert event.dimensions.model == "claude-sonnet-4-6"
        assert event.dimensions.feature == "support"
        assert event.dimensions.tags == (("pull.request", "12"), ("team", "search"))
        if event.outcome is Outcome.OK:
            name = event.id if event.id.startswith("msg_") else "without"
            found[name] = found.get(name, TokenCounts()) + event.counts
    return found


def limited(port: OtlpPort) -> list[Event]:
    return [event for event in port.ledger.events.values() if event.outcome is Outcome.RATE_LIMITED]


def expected(cached: TokenCounts, beyond: int = 0) -> dict[str, TokenCounts]:
    """Expected counts of every call. `beyond`: extra tokens of each stream."""
    more = TokenCounts(output_tokens=beyond)
    return {
        f"msg_{name}": TokenCounts(11, output_tokens=OUTPUT)
        if name == "plain"
        else cached + more
        if "streamed" in name or "managed" in name
        else cached
        for name in CALLS
    }


REPORTED: tuple[tuple[tuple[str, ...], dict[str, str], dict[str, TokenCounts]], ...] = (
    # OpenLLMetry adds the usage in a stream's first event to that in the last one, which includes it.
    (("openllmetry",), {}, expected(WITHOUT_LIFETIMES, AT_START)),
    (("openinference",), {}, expected(WITH_LIFETIMES)),
    (("official", "openllmetry", "openinference"), HIDING, expected(WITH_LIFETIMES)),
)
"""Instrumentations, their environment, and the counts that are right. OpenLLMetry reports metrics as well."""


async def test_every_call_lands_once_to_the_token_whatever_reports_it(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as together:
        for number, (words, environ, counts) in enumerate(REPORTED):
            folder = tmp_path / str(number)
            folder.mkdir()
            together.create_task(check(folder, words, environ, counts))


async def check(folder: Path, words: tuple[str, ...], environ: dict[str, str], counts: dict[str, TokenCounts]) -> None:
    """Run the application, and compare."""
    async with reported(folder, *words, **environ) as port:
        assert spent(port) == counts, words
        assert len(limited(port)) == 1, words
