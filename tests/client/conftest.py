"""Fixtures of the client's tests: short pauses, and a bot to ask over HTTP."""

from collections.abc import Iterator

import pytest

from tests.client.ingest_server import IngestServer
from tests.client.mode_server import ModeServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_cost_client.source.FILE_SECONDS", 0.01)
    monkeypatch.setattr("claude_cost_client.source.POLL_SECONDS", 0.01)
    monkeypatch.setattr("claude_cost_client.source.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("claude_cost_client.source.LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("claude_cost_client.sender.COLLECT_SECONDS", 0.01)
    monkeypatch.setattr("claude_cost_client.sender.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("claude_cost_client.sender.LONGEST_PAUSE_SECONDS", 0.05)


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
