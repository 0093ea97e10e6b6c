"""`claude-cost restore`: a backup in the place of the database, which is kept beside it."""

import argparse
import os
from pathlib import Path

from bot.cli.backup import OF_POSTGRES
from bot.cli.output import complain, show
from bot.clock import system_clock
from bot.config.env_file import load_env_file
from bot.config.settings import Need, SettingsError, load_settings
from bot.db.backup import BackupError, sqlite_file
from bot.db.engine import newest_revision
from bot.db.restore import Restored, restore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `restore`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a backup that `claude-cost backup` has made")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 where nothing was replaced, 2 for wrong settings."""
    os.umask(0o077)
    try:
        load_env_file(os.environ)
        database = sqlite_file(load_settings(os.environ, Need(0)).database_url)
        if database is None:
            complain(OF_POSTGRES.format(file=arguments.file))
            return 2
        restored = restore(arguments.file, database, system_clock())
    except SettingsError as error:
        complain(str(error))
        return 2
    except BackupError as error:
        complain(str(error))
        return 1
    show(" ".join(_sentences(arguments.file, database, restored)))
    return 0


def _sentences(backup: Path, database: Path, restored: Restored) -> list[str]:
    said = [f"{database} is now what {backup} holds."]
    if restored.kept is not None:
        said.append(f"The database before it is kept as {restored.kept}.")
    if restored.older:
        said.append(f"Its schema is {restored.revision}: the next start brings it to {newest_revision()}.")
    said.append("Alerts that were sent after the backup was made may be sent again.")
    return said
