"""Applications that wait for another model: by the file, the stream, OpenFeature, and the client.

Every wait returns the moment at which the model was seen, by the event loop's clock.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider

from claude_cost_client.source import variables_in
from tests.client.applications import environ as client_environ
from tests.scenario.http_port import PATIENCE, Event, events, next_mode

OWN = "claude-opus-5-5"
"""The applications' own default model."""

LOOK_SECONDS = 0.005

APPLICATION = f"""
import time
from claude_cost_client import current_model
shown = None
while True:
    if (model := current_model("{OWN}")) != shown:
        print(shown := model, flush=True)
    time.sleep({LOOK_SECONDS})
"""


def _now() -> float:
    return asyncio.get_running_loop().time()


class FileReader:
    """Reads the env file at each request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def sees(self, model: str) -> float:
        async with asyncio.timeout(PATIENCE):
            while self._model() != model:  # noqa: ASYNC110  # a file tells nobody that it has changed
                await asyncio.sleep(LOOK_SECONDS)
        return _now()

    def _model(self) -> str:
        with suppress(FileNotFoundError):
            return variables_in(self._path.read_text(encoding="utf-8")).get("CLAUDE_MODEL", OWN)
        return OWN


class StreamReader:
    """Listens to `/v1/fallback/stream`."""

    def __init__(self, stream: AsyncIterator[Event]) -> None:
        self._stream = stream

    async def sees(self, model: str) -> float:
        while (await next_mode(self._stream))["variables"].get("CLAUDE_MODEL", OWN) != model:
            pass
        return _now()


class FlagReader:
    """Evaluates a flag with the OpenFeature SDK at each request."""

    def __init__(self, sdk: OpenFeatureClient) -> None:
        self._sdk = sdk

    async def sees(self, model: str) -> float:
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(self._sdk.get_string_value, "CLAUDE_MODEL", OWN) != model:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        return _now()


class Application:
    """A process that asks `current_model` and prints what is new."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def sees(self, model: str) -> float:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while (line := await self._process.stdout.readline()).decode().strip() != model:
                assert line, "the application has ended"
        return _now()


Reader = FileReader | StreamReader | FlagReader | Application


@asynccontextmanager
async def listening(port: str) -> AsyncIterator[StreamReader]:
    """A reader of the stream of the bot at this address."""
    async with (
        httpx.AsyncClient(base_url=port, timeout=None) as client,
        client.stream("GET", "/v1/fallback/stream") as answer,
    ):
        yield StreamReader(events(answer))


@contextmanager
def evaluating(port: str) -> Iterator[FlagReader]:
    """A reader with the SDK and its OFREP provider."""
    provider = OFREPProvider(port)
    api.set_provider_and_wait(provider)
    try:
        yield FlagReader(api.get_client())
    finally:
        api.shutdown()
        api.clear_providers()
        provider.session.close()


@asynccontextmanager
async def application(folder: Path, **environ: str) -> AsyncIterator[Application]:
    """A process of the team's own, started in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", APPLICATION),
        cwd=folder,
        env=client_environ(**environ),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Application(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@asynccontextmanager
async def waiting(folder: Path, file: Path, port: str) -> AsyncIterator[dict[str, Reader]]:
    """All readers, each after its first look: they know that no mode is on."""
    async with (
        application(folder, CLAUDE_COST_FALLBACK_FILE=str(file)) as by_file,
        application(folder, CLAUDE_COST_FALLBACK_URL=port) as by_http,
        listening(port) as stream,
    ):
        with evaluating(port) as flags:
            readers: dict[str, Reader] = {
                "env file": FileReader(file),
                "stream": stream,
                "OFREP": flags,
                "current_model, file": by_file,
                "current_model, HTTP": by_http,
            }
            await asyncio.gather(*(reader.sees(OWN) for reader in readers.values()))
            yield readers
