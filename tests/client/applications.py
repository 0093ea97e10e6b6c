"""Shared by the tests of the client: the modes of the default chain, a follower, and the environment of a process."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import claude_cost_client as client
from bot.mode import modes_from_chain
from claude_cost_client.ceiling import DEFAULT_CHAIN, Ceiling, ceiling_from
from claude_cost_client.follower import Follower
from claude_cost_client.sender import Bounds
from claude_cost_client.source import Pace

SOURCES = Path(__file__).resolve().parents[2] / "client" / "src"

OPUS, SONNET, HAIKU = CHAIN = tuple(DEFAULT_CHAIN.split(","))
MODES = modes_from_chain(CHAIN, {})
QUICK = Pace(file=0.01, poll=0.01, first_pause=0.01, longest_pause=0.05)
QUICKLY = Bounds(collect=0.01, first_pause=0.01, longest_pause=0.05)
NOW = datetime(2026, 11, 16, 9, tzinfo=UTC)


def environ(**more: str) -> dict[str, str]:
    """Environment of a process that imports the client from this checkout."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), **more}


def ceiling(mode: str, whole_chain: str | None = None) -> Ceiling:
    found = ceiling_from(MODES[mode].variables, whole_chain)
    assert found is not None
    return found


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for another thread; a minute is far more than any of these need."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def following(pace: Pace = QUICK, /, **environ: str) -> Iterator[Follower]:
    follower = Follower(environ, pace)
    try:
        yield follower
    finally:
        follower.close()


@contextmanager
def following_here() -> Iterator[None]:
    """`current_model` follows what the environment of this process names."""
    client._follower.restart()
    try:
        yield
    finally:
        client._follower.restart()
