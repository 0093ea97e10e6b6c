"""A fault in one part of the bot keeps nothing else from being reported, and shows."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import update

from bot.db.engine import connect
from bot.db.schema import notices
from bot.fallback.service import FallbackService
from bot.runner.cycle import Patience
from bot.runner.lifecycle import Lifecycle
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import ADMIN, World


class Fragile:
    """A detector that may have a fault of its own."""

    name = "fragile"
    broken = True

    def look(self, now: datetime, mode: str) -> None:
        if self.broken:
            raise LookupError(mode)


async def test_a_detector_that_fails_is_named_and_the_limit_is_reported_all_the_same(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(120)
    clock.advance(timedelta(hours=1))
    async with simulated.bot() as bot:
        fragile = Fragile()
        bot.looks = (fragile, *bot.looks)
        await bot.cycle()
        assert len(simulated.alerts("soft")) == 1
        (fault,) = bot.faults.values()
        assert "fragile: LookupError" in fault
        fragile.broken = False
        await bot.cycle()
        assert bot.faults == {}


async def test_an_alert_that_another_version_stored_keeps_no_other_from_being_posted(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(120)
    clock.advance(timedelta(hours=1))
    async with simulated.bot() as bot:
        await bot.cycle()
        engine = connect(simulated.environ["CLAUDE_COST_DATABASE_URL"])
        with engine.begin() as connection:
            connection.execute(update(notices).values(facts={"kind": "of another version"}))
        engine.dispose()
        simulated.spend(120)
        clock.advance(timedelta(hours=2))
        await bot.cycle()
        assert len(simulated.alerts("hard")) == 1
        assert bot.faults == {}


async def test_a_letter_that_cannot_be_read_is_shown_as_waiting(simulated: World, clock: HandClock) -> None:
    config = simulated.folder / "config.toml"
    config.write_text('[[destination]]\nurl = "json://127.0.0.1:9/hook"\nname = "hook"\n', encoding="utf-8")
    simulated.spend(120)
    clock.advance(timedelta(hours=1))
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await bot.cycle()
        await bot.destinations.settled()
        engine = connect(simulated.environ["CLAUDE_COST_DATABASE_URL"])
        with engine.begin() as connection:
            connection.execute(update(notices).values(facts={"kind": "of another version"}, error=None))
        engine.dispose()
        clock.advance(timedelta(hours=1))
        await bot.cycle()
        await bot.destinations.settled()
        (waiting,) = bot.services.alerts.destinations.waiting()
        assert waiting.error == "this version of the bot cannot read its stored content"


class HangingTargets:
    """The service of the fallback mode, with targets that do not answer until they are let."""

    def __init__(self, service: FallbackService) -> None:
        self._service = service
        self.answers = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._service, name)

    def reconcile(self, *, records: bool = True) -> None:
        self.answers.wait(30)


async def test_a_target_that_hangs_delays_no_alert_and_is_named(simulated: World) -> None:
    simulated.spend(120)
    async with simulated.bot() as bot:
        bot.patience = Patience(target=0.1)
        hanging = HangingTargets(bot.services.fallback)
        bot.services = replace(bot.services, fallback=hanging)  # type: ignore[arg-type]
        try:
            await bot.cycle()
            assert len(simulated.alerts("soft")) == 1
            problems = await Lifecycle(bot, timedelta(1)).problems()
            assert any("A part of the bot hangs (the fallback targets)" in problem for problem in problems)
        finally:
            hanging.answers.set()


async def test_a_target_that_cannot_be_written_is_a_problem_of_readiness(simulated: World) -> None:
    simulated.fallback_file.mkdir()
    async with simulated.bot() as bot:
        await bot.cycle()
        problems = await Lifecycle(bot, timedelta(1)).problems()
        assert any(str(simulated.fallback_file) in problem for problem in problems)


async def test_who_asks_while_the_database_has_lost_its_tables_hears_so(simulated: World) -> None:
    async with simulated.connected_bot():
        other = connect(simulated.environ["CLAUDE_COST_DATABASE_URL"])
        with other.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE state RENAME TO gone")
        other.dispose()
        answer = await (await simulated.slack.command("status", ADMIN)).first_reply()
        assert answer.text.startswith("The database has lost its tables")
