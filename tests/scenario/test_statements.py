"""Counted database statements: quiet work costs almost nothing, and nothing grows with what is stored."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import World

BEGINNINGS = ("BEGIN", "COMMIT", "ROLLBACK", "SELECT set_config", "PRAGMA")
OWN_IN_A_CYCLE = 5
MOST_IN_A_CYCLE = 12
MOST_IN_A_COMMAND = 9
COMMANDS = (
    *("help", "status", "report month by key", "forecast", "budget", "estimate opus requests=100k in=2000 out=500"),
    *("plan", "rates", "limits", "test-alert", "fallback"),
)
SWITCHES = ("fallback on", "fallback off")
MOST_IN_A_SWITCH = 23
"""Statements of a switch: the change, its targets, its announcement, and the alerts that it redraws."""


@dataclass(slots=True)
class Counted:
    """Counted statements, without the ends and beginnings of transactions; `begun` counts those."""

    statements: list[str] = field(default_factory=list)
    begun: int = 0


@contextmanager
def counted(bot: Bot) -> Iterator[Counted]:
    """Counts the bot's statements, without the lease, which is renewed by the second anyway."""
    found = Counted()
    engine: Engine = bot.services.alerts._engine

    def note(*call: object) -> None:
        statement = str(call[2])
        if not statement.startswith(BEGINNINGS):
            found.statements.append(" ".join(statement.split()))

    def begin(*_: object) -> None:
        found.begun += 1

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "begin", begin)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "begin", begin)


def config_of(folder: Path, budgets: int) -> Path:
    """A TOML file with this many budgets in addition to the environment's."""
    config = folder / f"{budgets}.toml"
    tables = [
        f'[[budget]]\nname = "team-{number}"\nscope = "model:opus"\nperiod = "{period}"\nhard_usd = "{500 + number}"'
        for number, period in zip(range(budgets), ("month", "week", "day") * budgets, strict=False)
    ]
    config.write_text("\n\n".join(tables), encoding="utf-8")
    return config


@asynccontextmanager
async def quiet(world: World, clock: HandClock, url: str, budgets: int = 1) -> AsyncIterator[Bot]:
    """A connected bot that has reported everything, one of it a soft alert that stands open."""
    config = config_of(world.folder, budgets - 1)
    world.spend(120)
    clock.advance(timedelta(hours=1))
    changes = {"CLAUDE_COST_DATABASE_URL": url, "CLAUDE_COST_CONFIG": str(config), "CLAUDE_COST_USAGE_API": "admin"}
    async with world.connected_bot(**changes) as bot:
        for _ in range(3):
            await bot.cycle()
            clock.advance(timedelta(minutes=1))
        assert len(world.alerts("soft")) == 1
        assert bot.faults == {}
        yield bot


def about(statements: list[str], *tables: str) -> list[str]:
    """Statements that read or write one of these tables."""
    return [each for each in statements if any(f" {table}" in each for table in tables)]


async def test_a_quiet_delivery_asks_one_statement_in_one_transaction(
    simulated: World, clock: HandClock, database_url: str
) -> None:
    async with quiet(simulated, clock, database_url) as bot:
        with counted(bot) as tick:
            delivery = await bot.deliver()
        assert delivery is not None
        assert (delivery.delivered, delivery.waiting, delivery.error) == (0, 0, None)
        assert len(tick.statements) == tick.begun == 1


@pytest.mark.parametrize("budgets", [1, 20])
async def test_a_quiet_cycle_reads_the_small_state_twice_whatever_the_number_of_budgets(
    simulated: World, clock: HandClock, database_url: str, budgets: int
) -> None:
    async with quiet(simulated, clock, database_url, budgets) as bot:
        with counted(bot) as cycle:
            await bot.cycle()
        # Before the poll, and after it with the data that it brought.
        assert sum("proposals" in each for each in cycle.statements) == 2
        assert len(about(cycle.statements, "target_states")) == 1
        # Those two, the reconciler's, and the look at what is due.
        own = about(cycle.statements, "mode_changes", "proposals", "target_states", "notices")
        assert len(own) <= OWN_IN_A_CYCLE


async def test_an_alert_that_time_brings_a_step_is_seen_by_a_delivery(simulated: World, clock: HandClock) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"]) as bot:
        (alert,) = simulated.alerts("soft")
        await simulated.slack.click(alert, "alert_snooze:60")
        assert await bot.in_flight.drain(20)
        await bot.deliver()
        clock.advance(timedelta(minutes=59))
        with counted(bot) as before:
            await bot.deliver()
        clock.advance(timedelta(minutes=1))
        reported = len(simulated.replies(alert))
        await bot.deliver()
        assert len(before.statements) == 1
        assert len(simulated.replies(alert)) == reported + 1


async def test_the_mode_that_was_clicked_is_shown_in_open_alerts_by_the_next_cycle_and_looked_at_once(
    simulated: World, clock: HandClock
) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"]) as bot:
        (alert,) = simulated.alerts("soft")
        edits = len(alert.texts)
        fallback = bot.services.fallback
        await asyncio.to_thread(fallback.switch, fallback.modes["degraded"], "U1", "a test", (), None)
        await bot.cycle()
        assert len(alert.texts) == edits + 1
        clock.advance(timedelta(minutes=1))
        with counted(bot) as cycle:
            await bot.cycle()
        assert len(alert.texts) == edits + 1
        assert not [each for each in cycle.statements if "FROM notices WHERE notices.alert_id" in each]


@pytest.mark.parametrize("budgets", [1, 50])
async def test_a_quiet_cycle_asks_few_statements_whatever_the_number_of_budgets(
    simulated: World, clock: HandClock, database_url: str, budgets: int
) -> None:
    async with quiet(simulated, clock, database_url, budgets) as bot:
        with counted(bot) as cycle:
            await bot.cycle()
        assert len(cycle.statements) <= MOST_IN_A_CYCLE, "\n".join(cycle.statements)


@pytest.mark.parametrize("budgets", [5, 50])
async def test_a_command_asks_few_statements_whatever_the_number_of_budgets(
    simulated: World, clock: HandClock, budgets: int
) -> None:
    async with quiet(simulated, clock, simulated.environ["CLAUDE_COST_DATABASE_URL"], budgets) as bot:
        asked = {}
        for name in (*COMMANDS, *SWITCHES):
            with counted(bot) as command:
                await (await simulated.slack.command(name)).first_reply()
                assert await bot.in_flight.drain(20)
            asked[name] = len(command.statements)
        assert max(asked[name] for name in COMMANDS) <= MOST_IN_A_COMMAND, asked
        assert max(asked[name] for name in SWITCHES) <= MOST_IN_A_SWITCH, asked
