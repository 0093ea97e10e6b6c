"""The readiness check answers whatever its checks do."""

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy.exc import OperationalError

from bot.web.access import BearerAccess
from bot.web.server import Readiness, health_routes


async def test_a_check_that_fails_is_a_503_with_a_sentence_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> list[str]:
        raise OperationalError("select secret", {}, Exception("away"))

    app = web.Application()
    app.add_routes(health_routes(failing, tuple, BearerAccess(None, "CLAUDE_COST_READ_TOKEN")))
    async with TestClient(TestServer(app)) as client:
        for _ in range(3):
            async with client.get("/readyz") as answer:
                assert answer.status == 503
                assert await answer.json() == {
                    "status": "not ready",
                    "problems": ["The checks failed (OperationalError): see the bot's log."],
                    "notes": [],
                }
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        async with client.get("/readyz", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
    assert [record.levelno for record in caplog.records if record.name.startswith("bot")] == [logging.ERROR]


async def test_checks_that_hang_are_said_to_and_begun_once() -> None:
    begun, go_on = [], asyncio.Event()

    async def hanging() -> list[str]:
        begun.append(1)
        await go_on.wait()
        return []

    readiness = Readiness(hanging, 0.05)
    answers = await asyncio.gather(*(readiness.problems() for _ in range(20)))
    assert {len(answer) for answer in answers} == {1}
    assert answers[0][0].startswith("The checks did not finish within 0.05 s")
    assert len(begun) == 1
    go_on.set()
    assert await readiness.problems() == []
    assert await readiness.problems() == []
    assert len(begun) == 2
