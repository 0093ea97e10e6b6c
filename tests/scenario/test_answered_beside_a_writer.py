"""A holder of the database's write lock, such as a long poll, does not delay requests that change nothing."""

import logging

import pytest

from bot.sandbox.slack_dispatch import Interaction
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from tests.scenario.conftest import World
from tests.scenario.test_acknowledged_first import ESTIMATE, locked, opened
from tests.scenario.test_fallback_lifecycle import refusals

SONNET = "sonnet-4.6 requests=100k in=2000 out=500"
PATIENCE = 3
"""Seconds, fewer than the five for which a writer waits for another one."""

READING = (
    "help",
    "status",
    f"estimate {SONNET}",
    f"estimate {SONNET} requests=none",
    "estimate list",
    "estimate show support",
    "report",
    "forecast",
    f"plan {SONNET} seats=3",
    "fallback",
    "fallback status",
    "fallback history",
    "rates",
    "budget",
    "budget set search hard=10",
    "budget remove search",
    "limits",
)
REFUSED = ("fallback on minimal", "fallback off", "fallback auto on", "test-alert")


async def answer(typed: Interaction) -> str:
    return (await typed.first_reply(PATIENCE)).text


async def test_commands_that_change_nothing_are_answered(simulated: World) -> None:
    simulated.spend(120)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        with locked(simulated.folder):
            for words in READING:
                assert "database" not in await answer(await simulated.slack.command(words)), words
            assert "fails" not in await answer(await simulated.slack.command("doctor"))
        assert await bot.in_flight.drain(20)


async def test_what_was_estimated_is_remembered_once_the_lock_is_free(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        with locked(simulated.folder):
            assert "a month" in await answer(await simulated.slack.command(f"estimate {SONNET}"))
            assert "a month" in await answer(await simulated.slack.command("estimate haiku-4.5 requests=1k in=1 out=1"))
            assert bot.services.estimates.last_words(ADMIN) is None
        assert await bot.in_flight.drain(20)
        last = bot.services.estimates.last_words(ADMIN)
        assert last is not None
        assert last.startswith("haiku-4.5 ")


async def test_the_form_shows_its_result_and_remembers_it_later(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await opened(simulated, "estimate")
        with locked(simulated.folder):
            submitted = await simulated.slack.submit_view(ESTIMATE)
            assert submitted.ack is not None
            assert "$1,350.00 a month" in str((submitted.ack.payload or {})["view"])
        assert await bot.in_flight.drain(20)
        assert bot.services.estimates.last_words(ADMIN) is not None


async def test_an_estimate_that_cannot_be_remembered_is_a_line_in_the_log(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.connected_bot() as bot:
        with bot.services.estimates._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE last_estimates")
        caplog.set_level(logging.WARNING)
        typed = await simulated.slack.command(f"estimate {SONNET}")
        said = await answer(typed)
        assert await bot.in_flight.drain(20)
        assert "a month" in said
        assert [reply.text for reply in typed.replies] == [said]
        (line,) = [record for record in caplog.records if "estimate" in record.getMessage()]
        assert line.getMessage().startswith("the last estimate is not remembered: The database has lost its tables")
        assert line.exc_info is None


async def test_refusals_are_answered_and_kept_in_the_audit_trail_later(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        # The button is for admins; anybody else is refused.
        await (await simulated.slack.command("budget set search hard=10", user=DEVELOPER)).first_reply()
        with locked(simulated.folder):
            typed = [await simulated.slack.command(words, user=DEVELOPER) for words in REFUSED]
            for each in typed:
                assert (await answer(each)).startswith("Nothing was changed: only the people named in")
            # At most that of the one before, which may have been kept in time.
            assert len(refusals(simulated)) <= 1
        assert await bot.in_flight.drain(20)
        assert [actor for actor, _ in refusals(simulated)] == [DEVELOPER] * (1 + len(typed))
