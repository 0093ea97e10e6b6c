"""Several copies on one database: one leads, and every one keeps its own fallback file."""

from datetime import timedelta
from pathlib import Path

from bot.fallback.env_file import EnvFile
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World


async def test_every_copy_writes_its_own_fallback_file_and_the_mode_is_announced_once(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    theirs = tmp_path / "other-machine.env"
    async with simulated.bot() as leader, simulated.bot(CLAUDE_COST_FALLBACK_FILE=str(theirs)) as other:
        await leader.cycle()
        assert (await other.cycle()).poll is None
        fallback = leader.services.fallback
        for mode in ("degraded", "normal", "minimal"):
            wanted = fallback.modes[mode]
            before = fallback.switch(wanted, ADMIN, "too dear", (), None)
            clock.advance(timedelta(minutes=1))
            for bot in (other, leader, other):
                await bot.cycle()
            for path in (simulated.fallback_file, theirs):
                assert EnvFile(path).holds(wanted.variables)
            assert fallback.state().written_at == before.written_at
    assert len(simulated.posts()) == 3


async def test_a_mode_that_another_copy_switched_reaches_the_leaders_file_too(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    theirs = tmp_path / "other-machine.env"
    async with simulated.bot() as leader, simulated.bot(CLAUDE_COST_FALLBACK_FILE=str(theirs)) as other:
        await leader.cycle()
        wanted = other.services.fallback.modes["degraded"]
        other.services.fallback.switch(wanted, ADMIN, "too dear", (), None)
        assert EnvFile(theirs).holds(wanted.variables)
        await leader.cycle()
        assert EnvFile(simulated.fallback_file).holds(wanted.variables)
    assert len(simulated.posts()) == 1
