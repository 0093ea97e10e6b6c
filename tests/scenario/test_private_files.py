"""Files that a run leaves on disk, who may read them, and the message about a fallback file that cannot be written."""

from bot.cli.doctor import checks_of
from bot.clock import system_clock
from bot.doctor.check import State
from tests.scenario.conftest import World


async def test_everything_that_the_bot_makes_is_its_users_alone(world: World) -> None:
    world.spend(120)
    assert (await world.command("run", "--once")).code == 0
    made = {path.name: path.stat().st_mode & 0o777 for path in world.folder.iterdir() if path.is_file()}
    assert {"claude-cost.db", "claude-cost.db.lock", "fallback.env"} <= made.keys()
    assert set(made.values()) == {0o600}


async def test_the_doctor_warns_of_a_database_that_others_may_read(world: World) -> None:
    assert (await world.once()).code == 0
    path = world.folder / "claude-cost.db"
    for mode, state in ((0o600, State.OK), (0o640, State.WARN), (0o644, State.WARN)):
        path.chmod(mode)
        (check,) = [one for one in await checks_of(world.environ, system_clock) if one.name == "database"]
        assert check.state is state
        assert (check.remedy is not None and "chmod 600" in check.remedy) is (state is State.WARN)
        assert path.stat().st_mode & 0o777 == mode


async def test_a_fallback_file_that_cannot_be_written_is_said_at_the_start(world: World) -> None:
    nowhere = str(world.folder / "missing" / "fallback.env")
    finished = await world.once(CLAUDE_COST_FALLBACK_FILE=nowhere)
    assert (finished.code, finished.out, finished.err.count("\n")) == (1, "", 1)
    assert "CLAUDE_COST_FALLBACK_FILE" in finished.err
    assert nowhere in finished.err
    assert (await world.once()).code == 0


async def test_a_variable_that_holds_a_secret_by_mistake_ends_the_start(world: World) -> None:
    secret = "xoxb-7361920485-AbCdEfGhIjKl"
    finished = await world.once(CLAUDE_COST_FALLBACK_FILE=secret)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert "CLAUDE_COST_FALLBACK_FILE" in finished.err
    assert "AbCdEf" not in finished.err
    assert not any("xoxb" in path.name for path in world.folder.iterdir())
