"""A local Messages API that refuses and breaks, and an application that asks it as the official client can."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam

from claude_cost_client import with_fallback
from tests.client.applications import OPUS

HELLO: list[MessageParam] = [{"role": "user", "content": "Hello"}]
PLAIN: dict[str, Any] = {"model": OPUS, "max_tokens": 100, "messages": HELLO}

BATCH_ENDED = "2026-11-20T09:30:00Z"

Answer = Callable[[web.Request, dict[str, Any]], Any]


def usage(number: int) -> dict[str, Any]:
    return {
        "input_tokens": 1000 + number,
        "output_tokens": 300 + number,
        "cache_creation_input_tokens": 70,
        "cache_read_input_tokens": 5000,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 50},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "standard",
    }


class MessagesApi:
    """`faults`: model → what its next requests get, in order; with none left they are answered."""

    def __init__(self) -> None:
        self.faults: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.paths: list[str] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.batch_results: list[dict[str, Any]] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body["model"])
        self.paths.append(request.path_qs)
        waiting = self.faults.get(body["model"])
        answer = waiting.pop(0) if waiting else self.ok
        response = await answer(request, body)
        assert isinstance(response, web.StreamResponse)
        return response

    def message(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.sent) + 1
        self.sent.append((body["model"], usage(number)))
        return {
            "id": f"msg_{number:02}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": f"I am {body['model']}"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage(number),
        }

    async def ok(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        message = self.message(body)
        headers = {"request-id": f"req_{message['id']}"}
        if not body.get("stream"):
            return web.json_response(message, headers=headers)
        return await self.stream(request, message, headers, "")

    async def stream(
        self, request: web.Request, message: dict[str, Any], headers: dict[str, str], breaks: str
    ) -> web.StreamResponse:
        """`breaks`: the event before which the stream ends: with an error event, or by a dropped connection."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
        compressor = zlib.compressobj(wbits=31) if "x-zipped" in request.headers else None
        if compressor is not None:
            response.headers["content-encoding"] = "gzip"
        await response.prepare(request)
        where, _, how = breaks.partition(":")
        for name, event in events(message):
            if name == where:
                if how == "drop":
                    assert request.transport is not None
                    await asyncio.sleep(0.05)
                    request.transport.abort()
                    return response
                name, event = "error", {"type": "error", "error": {"type": how, "message": "broken"}}
            data = f"event: {name}\ndata: {json.dumps(event)}\n\n".encode()
            if compressor is not None:
                data = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
            await response.write(data)
            if name == "error":
                break
        await response.write_eof()
        return response

    async def batch(self, request: web.Request) -> web.Response:
        batch = request.match_info["batch"]
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        answer = {"id": batch, "type": "message_batch", "processing_status": "ended", "request_counts": counts}
        answer |= {"created_at": "2026-11-20T08:00:00Z", "expires_at": "2026-11-21T08:00:00Z"}
        answer |= {"ended_at": BATCH_ENDED, "results_url": f"{self.url}/v1/messages/batches/{batch}/results"}
        return web.json_response(answer)

    async def results(self, request: web.Request) -> web.StreamResponse:
        """`batch_results`: lines in pieces that end where no line does."""
        data = "".join(json.dumps(result) + "\n" for result in self.batch_results).encode().removesuffix(b"\n")
        response = web.StreamResponse(headers={"content-type": "application/x-jsonl"})
        await response.prepare(request)
        for start in range(0, len(data), 100):
            await response.write(data[start : start + 100])
        await response.write_eof()
        return response

    def breaking(self, breaks: str) -> Answer:
        async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            return await self.stream(request, self.message(body), {"request-id": "req_broken"}, breaks)

        return answer


def events(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    text, final = message["content"][0]["text"], message["usage"]
    first = {**message, "content": [], "stop_reason": None, "usage": {**final, "output_tokens": 1}}
    first["usage"]["server_tool_use"] = None
    last = {name: final[name] for name in ("output_tokens", "server_tool_use")} | {"cache_read_input_tokens": None}
    found: list[dict[str, Any]] = [
        {"type": "message_start", "message": first},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[:4]}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[4:]}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": last},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in found]


def error(
    status: int, kind: str, message: str = "no", code: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    details = {"error_code": code} if code else None

    async def answer(request: web.Request, body: dict[str, Any]) -> web.Response:
        document = {"type": "error", "error": {"type": kind, "message": message, "details": details}}
        return web.json_response(document, status=status, headers=headers)

    return answer


async def dropped(request: web.Request, body: dict[str, Any]) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_an_answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "9999"})
    await response.prepare(request)
    await response.write(b'{"id": "msg_01", "type": "mess')
    await asyncio.sleep(0.05)
    assert request.transport is not None
    request.transport.abort()
    return response


async def silent(request: web.Request, body: dict[str, Any]) -> web.Response:
    await asyncio.sleep(2)
    return web.Response()


async def empty_stream(request: web.Request, body: dict[str, Any]) -> web.Response:
    return web.Response(content_type="text/event-stream")


@asynccontextmanager
async def served_messages() -> AsyncIterator[MessagesApi]:
    """The API on a free port."""
    api = MessagesApi()
    app = web.Application()
    app.router.add_post("/v1/messages", api.serve)
    app.router.add_post("/v1/messages/count_tokens", api.serve)
    app.router.add_get("/v1/messages/batches/{batch}", api.batch)
    app.router.add_get("/v1/messages/batches/{batch}/results", api.results)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield api
    await runner.cleanup()


class Team:
    """One application in all its manners of asking; each returns the text and the model that answered."""

    def __init__(self, api: MessagesApi, wrap: Callable[..., Any] = with_fallback, **options: Any) -> None:
        self.raw = Anthropic(api_key="key", base_url=api.url, timeout=30)
        self.raw_async = AsyncAnthropic(api_key="key", base_url=api.url, timeout=30)
        self.sync: Anthropic = wrap(self.raw, **options)
        self.asynchronous: AsyncAnthropic = wrap(self.raw_async, **options)

    async def ask(self, manner: str, model: str = OPUS, **more: Any) -> tuple[str, str]:
        request = {**PLAIN, "model": model, **more}
        if manner.startswith("async"):
            answered: tuple[str, str] = await getattr(self, manner)(request)
            return answered
        return await asyncio.to_thread(getattr(self, manner), request)

    def create(self, request: dict[str, Any]) -> tuple[str, str]:
        message = self.sync.messages.create(**request)
        return message.content[0].text, message.model

    def create_streaming(self, request: dict[str, Any]) -> tuple[str, str]:
        text, model = "", ""
        for event in self.sync.messages.create(**request, stream=True):
            if event.type == "message_start":
                model = event.message.model
            if event.type == "content_block_delta":
                text += event.delta.text
        return text, model

    def stream(self, request: dict[str, Any]) -> tuple[str, str]:
        with self.sync.messages.stream(**request) as stream:
            return "".join(stream.text_stream), stream.get_final_message().model

    def raw_response(self, request: dict[str, Any]) -> tuple[str, str]:
        response = self.sync.messages.with_raw_response.create(**request)
        message = response.parse()
        return message.content[0].text, message.model

    def streaming_response(self, request: dict[str, Any]) -> tuple[str, str]:
        with self.sync.messages.with_streaming_response.create(**request) as response:
            found = json.loads(b"".join(response.iter_bytes()))
        return found["content"][0]["text"], found["model"]

    def beta(self, request: dict[str, Any]) -> tuple[str, str]:
        message = self.sync.beta.messages.create(**request)
        return message.content[0].text, str(message.model)

    async def async_create(self, request: dict[str, Any]) -> tuple[str, str]:
        message = await self.asynchronous.messages.create(**request)
        return message.content[0].text, message.model

    async def async_create_streaming(self, request: dict[str, Any]) -> tuple[str, str]:
        text, model = "", ""
        async for event in await self.asynchronous.messages.create(**request, stream=True):
            if event.type == "message_start":
                model = event.message.model
            if event.type == "content_block_delta":
                text += event.delta.text
        return text, model

    async def async_stream(self, request: dict[str, Any]) -> tuple[str, str]:
        async with self.asynchronous.messages.stream(**request) as stream:
            text = "".join([part async for part in stream.text_stream])
            return text, (await stream.get_final_message()).model

    async def close(self) -> None:
        self.raw.close()
        await self.raw_async.close()


STREAMING = ("create_streaming", "stream", "async_create_streaming", "async_stream")
WHOLE = ("create", "raw_response", "streaming_response", "beta", "async_create")
MANNERS = (*WHOLE, *STREAMING)
