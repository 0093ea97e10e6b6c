"""Fixtures of the client's tests: a bot to ask over HTTP."""

from collections.abc import Iterator

import pytest

from tests.client.ingest_server import IngestServer
from tests.client.mode_server import ModeServer


@pytest.fixture
def bot() -> Iterator[IngestServer]:
    bot = IngestServer()
    yield bot
    bot.close()


@pytest.fixture
def server() -> Iterator[ModeServer]:
    server = ModeServer()
    yield server
    server.close()
