"""A story as the log and the traces tell it: one line for each decision, transition, delivery and refusal, with the
incident's id, and a span for each part of a cycle, each call and each answer."""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bot.log_bound import BoundedHandler, JsonLines
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER
from bot.traces import start_traces
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


async def test_each_step_of_an_incident_is_one_line_and_each_call_a_span(
    simulated: World, clock: HandClock, log: Log
) -> None:
    traced = InMemorySpanExporter()
    stop = start_traces("1.0", traced)
    try:
        await story(simulated, log)
    finally:
        stop()
    found = paths(traced.get_finished_spans())
    assert set(found) == {
        "cycle",
        "cycle/poll",
        "cycle/poll/anthropic",
        "cycle/decide",
        "cycle/deliver",
        "cycle/deliver/delivery",
        "cycle/deliver/delivery/slack",
        "deliver",
        "deliver/delivery",
        "deliver/delivery/slack",
        "answer",
        "answer/slack",
        "slack",
    }
    assert found["cycle/deliver/delivery"][1] == {
        "destination": "Slack",
        "incident": HARD,
        "notice": 2,
        "action": "post",
        "attempt": 1,
    }
    assert found["answer"][:2] == [
        {"request": "block_actions", "name": "alert_acknowledge"},
        {"request": "command", "name": "fallback"},
    ]
    assert {row["method"] for row in found["answer/slack"]} == {"users.info", "response_url"}
    assert {row["path"] for row in found["cycle/poll/anthropic"]} > {"/v1/organizations/analytics/usage"}


async def story(simulated: World, log: Log) -> None:
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


def paths(spans: Sequence[ReadableSpan]) -> dict[str, list[dict[str, object]]]:
    """The attributes of every span by the names of it and of those that have caused it, the first one first."""
    by_id = {each.context.span_id: each for each in spans}

    def path(of: ReadableSpan) -> str:
        return of.name if of.parent is None else f"{path(by_id[of.parent.span_id])}/{of.name}"

    found: dict[str, list[dict[str, object]]] = {}
    for each in spans:
        attributes: dict[str, object] = {
            key.removeprefix("claude_cost."): value for key, value in (each.attributes or {}).items()
        }
        found.setdefault(path(each), []).append(attributes)
    return found
