"""`claude-cost backup` and `restore`: by hand, every day, and after damage."""

import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from bot.cli.doctor import checks_of
from bot.clock import system_clock
from bot.db.backup import daily
from bot.doctor.check import State
from tests.scenario.conftest import World


def database_of(world: World) -> Path:
    return Path(str(make_url(world.environ["CLAUDE_COST_DATABASE_URL"]).database))


async def test_a_backup_made_while_the_bot_runs_is_restored_and_its_alerts_are_not_repeated(world: World) -> None:
    world.spend(120)
    async with world.running() as process:
        await world.slack.until(lambda: bool(world.alerts("soft")), 30)
        refused = await world.command("restore", "nothing.db")
        made = await world.command("backup", "backup.db")
        too_early = await world.command("restore", "backup.db")
        process.terminate()
        await process.wait()
    assert (made.code, made.err) == (0, "")
    assert "backup.db: a whole copy of" in made.out
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert (too_early.code, too_early.out) == (1, "")
    assert "A copy of the bot runs" in too_early.err
    database_of(world).write_bytes(b"what is left of it")
    broken = await world.command("run", "--once")
    assert (broken.code, broken.out, broken.err.count("\n")) == (2, "", 1)
    assert f"The database file {database_of(world)} is damaged (" in broken.err
    restored = await world.command("restore", "backup.db")
    assert (restored.code, restored.err) == (0, "")
    assert "is kept as" in restored.out
    assert "may be sent again" in restored.out
    assert (await world.once()).code == 0
    assert len(world.alerts("soft")) == 1
    assert len(world.greetings()) == 1


async def test_every_day_has_its_backup_and_a_damaged_database_is_offered_the_last_good_one(world: World) -> None:
    folder = world.folder / "my backups"
    changes = {"CLAUDE_COST_BACKUP_FOLDER": str(folder)}
    assert (await world.once(**changes)).code == 0
    assert (await world.once(**changes)).code == 0
    [made] = daily(folder)
    data = database_of(world).read_bytes()
    database_of(world).write_bytes(data[: len(data) // 2])
    broken = await world.command("run", "--once", **changes)
    assert (broken.code, broken.err.count("\n")) == (2, 1)
    assert f"run claude-cost restore '{made}', the last good backup." in broken.err
    checks = await checks_of({**world.environ, **changes}, system_clock)
    [check] = [one for one in checks if one.name == "database"]
    assert (check.state, str(made) in check.text) == (State.FAIL, True)
    assert (await world.command("restore", str(made), **changes)).code == 0
    assert (await world.once(**changes)).code == 0


async def test_a_folder_of_backups_that_cannot_be_written_is_a_fault_and_stops_nothing(world: World) -> None:
    (world.folder / "file").touch()
    world.spend(120)
    finished = await world.once(CLAUDE_COST_BACKUP_FOLDER=str(world.folder / "file" / "backups"))
    assert (finished.code, finished.err.count("\n")) == (1, 1)
    assert "There is no backup of today: The folder of backups" in finished.err
    assert len(world.alerts("soft")) == 1


async def test_postgresqls_own_tool_is_named(world: World) -> None:
    changes = {"CLAUDE_COST_DATABASE_URL": "postgresql://bot:secret@127.0.0.1/cost"}
    for word in ("backup", "restore"):
        finished = await world.command(word, "cost.dump", **changes)
        assert (finished.code, finished.err.count("\n")) == (2, 1)
        assert "pg_dump --format=custom --file=cost.dump" in finished.err
        assert "secret" not in finished.err


async def test_a_database_of_a_newer_version_ends_every_command_in_one_sentence(world: World) -> None:
    assert (await world.once()).code == 0
    with sqlite3.connect(database_of(world)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database_of(world).read_bytes()
    for words in (("run", "--once"), ("run",), ("export",), ("backup", "newer.db")):
        finished = await world.command(*words)
        assert (finished.code in (1, 2), finished.out, finished.err.count("\n")) == (True, "", 1), words
        assert "newer version" in finished.err
    assert database_of(world).read_bytes() == before
    assert not (world.folder / "newer.db").exists()
