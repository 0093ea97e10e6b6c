"""The bot with its settings in `.env` alone, as processes of its own."""

from pathlib import Path

from tests.scenario.conftest import HARD, World
from tests.scenario.test_doctor import Clinic, clinic

__all__ = ["clinic"]


def write(world: World, **changes: str) -> Path:
    """Write all settings of the world into the file, and none into the environment."""
    path = world.folder / ".env"
    lines = [f"{name}={value}" for name, value in {**world.environ, **changes}.items()]
    path.write_text("\n".join([*lines, ""]))
    path.chmod(0o600)
    return path


def emptied(world: World) -> dict[str, str]:
    return dict.fromkeys(world.environ, "")


async def test_one_cycle_runs_with_the_file_alone(world: World) -> None:
    write(world)
    world.spend(HARD)
    # The database, which the test has to migrate, is in both; the rest comes from the file.
    environ = emptied(world) | {"CLAUDE_COST_DATABASE_URL": world.environ["CLAUDE_COST_DATABASE_URL"]}
    finished = await world.once(**environ)
    assert (finished.code, finished.err) == (0, "")
    assert any("Hard" in message.text or "hard" in message.text for message in world.slack.messages)


async def test_a_line_that_cannot_be_read_ends_the_start(world: World) -> None:
    path = write(world)
    path.write_text(path.read_text() + "xoxb-pasted-by-mistake\n")
    for words in (("run",), ("run", "--once"), ("export",)):
        finished = await world.command(*words, **emptied(world))
        assert finished.code == 2
        number = len(world.environ) + 1
        assert finished.err.splitlines()[-1].startswith(f"{path}, line {number} has no =: write NAME=VALUE.")
        assert "xoxb" not in finished.err
        assert "Traceback" not in finished.err


async def test_the_doctor_reads_the_file_and_says_who_else_may(clinic: Clinic) -> None:
    path = write(clinic.world)
    clinic.world.environ = {}
    check = await clinic.one("env_file")
    assert (check.state, check.sentence) == (
        "ok",
        f"Settings that the environment does not have are read from {path}.",
    )
    path.chmod(0o644)
    check = await clinic.one("env_file")
    assert (check.state, check.remedy) == ("warn", f"Restrict it: chmod 600 {path}")


async def test_the_demo_takes_nothing_from_the_file(world: World) -> None:
    (world.folder / ".env").write_text("not a line of settings\n")
    for words in (("estimate", "sonnet", "requests=1k", "in=1000", "out=10"), ("demo", "--help")):
        assert (await world.command(*words, **emptied(world))).code == 0
