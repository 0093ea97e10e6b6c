"""The log of a story: one line for each decision, transition, delivery and refusal, as JSON, with the incident's id."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bot.log_bound import BoundedHandler, JsonLines
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION
from tests.scenario.conftest import ADMIN, World


class Log:
    """What the bot logs as JSON, line by line."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = BoundedHandler(self.stream)
        self.handler.setFormatter(JsonLines())

    def new(self) -> list[dict[str, Any]]:
        """The lines since the last look."""
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        self.stream.seek(0)
        self.stream.truncate()
        return lines


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(log.handler)
    yield log
    root.removeHandler(log.handler)
    root.setLevel(before)


async def typed(world: World, words: str, user: str) -> str:
    return (await (await world.slack.command(words, user)).first_reply()).text


def told(lines: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """The values of each line's fields but for the reason, as far as it is about an event."""
    names = ("event", "incident", "user", "action", "status", "outcome", "notice", "mode")
    events = [line for line in lines if "event" in line]
    return [tuple(line[name] for name in names if name in line) for line in events]


HARD, SOFT = "default/2026-11/hard/200", "default/2026-11/soft/100"


async def test_each_step_of_an_incident_is_one_line(simulated: World, clock: HandClock, log: Log) -> None:
    simulated.spend(210)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        opened, *delivered = log.new()[-4:]
        assert opened.pop("time").endswith("+00:00")
        assert opened == {
            "level": "INFO",
            "logger": "bot.alerts.store",
            "message": f"alert {HARD}: open, because: crossed together with the soft limit",
            "event": "transition",
            "incident": HARD,
            "kind": "hard",
            "budget": "default",
            "status": "open",
            "reason": "crossed together with the soft limit",
        }
        assert told(delivered) == [
            ("transition", SOFT, "superseded"),
            ("delivery", "greeting", "post", "delivered", 1),
            ("delivery", HARD, "post", "delivered", 2),
        ]
        await bot.cycle()
        assert [line for line in log.new() if line["logger"].startswith("bot.")] == []

        [alert] = simulated.alerts("hard")
        await (await simulated.slack.click(alert, ACKNOWLEDGE_ACTION, DEVELOPER)).first_reply()
        await bot.deliver()
        assert told(log.new()) == [
            ("transition", HARD, DEVELOPER, "acknowledged"),
            ("delivery", HARD, "update", "delivered", 3),
            ("delivery", HARD, "reply", "delivered", 4),
        ]

        await typed(simulated, "fallback on", DEVELOPER)
        await typed(simulated, 'calendar add "xoxb-12345678" every fri 22:00 for 6h', DEVELOPER)
        await bot.deliver()
        refused = log.new()
        assert told(refused) == [("refusal", DEVELOPER, "mode"), ("refusal", DEVELOPER, "calendar")]
        assert refused[1]["reason"].startswith('add "…" every fri 22:00 for 6h: Nothing was changed: only the people')

        await typed(simulated, "budget raise default to=300 until=2d because of the import", ADMIN)
        await bot.cycle()
        assert told(log.new()) == [
            ("change", "default/raise/1", ADMIN, "raise", "done"),
            ("transition", HARD, "withdrawn"),
            ("transition", SOFT, "open"),
            ("delivery", "default/raise/1", "post", "delivered", 5),
            ("delivery", HARD, "update", "delivered", 6),
            ("delivery", HARD, "reply", "delivered", 7),
            ("delivery", SOFT, "post", "delivered", 8),
        ]

        await typed(simulated, "fallback on", ADMIN)
        await bot.cycle()
        assert told(log.new()) == [
            ("change", ADMIN, "mode", "done", "degraded"),
            ("target", "written", "degraded"),
            ("delivery", "mode/degraded", "post", "delivered", 9),
            ("delivery", SOFT, "update", "delivered", 10),
        ]
