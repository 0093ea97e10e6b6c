"""`claude-cost backup`: a checked copy of the database, made while the bot runs."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from bot.cli.output import complain, show
from bot.config.env_file import load_env_file
from bot.config.settings import Need, SettingsError, load_settings
from bot.db.backup import BackupError, back_up, sqlite_file

OF_POSTGRES = (
    "The database is PostgreSQL, which has its own tool: pg_dump --format=custom --file={file} DATABASE, and "
    "pg_restore --clean --dbname=DATABASE {file} to restore it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `backup`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to make")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if there is no complete copy, 2 for wrong settings."""

    def made(database: Path) -> str:
        copy = back_up(database, arguments.file, force=arguments.force)
        return f"{copy.path}: a whole copy of {database}, schema {copy.revision}, {copy.size:,} bytes."

    return on_sqlite(arguments.file, made)


def on_sqlite(file: Path, work: Callable[[Path], str]) -> int:
    """Run `work` on the SQLite file of the settings and print its result; returns the exit code. `file`: the backup."""
    os.umask(0o077)
    try:
        load_env_file(os.environ)
        database = sqlite_file(load_settings(os.environ, Need(0)).database_url)
        if database is None:
            complain(OF_POSTGRES.format(file=file))
            return 2
        done = work(database)
    except SettingsError as error:
        complain(str(error))
        return 2
    except BackupError as error:
        complain(str(error))
        return 1
    show(done)
    return 0
