"""`claude-cost restore`: restores a backup in place of the database, which is kept beside it."""

import argparse
from pathlib import Path

from bot.cli.backup import on_sqlite
from bot.clock import system_clock
from bot.db.engine import newest_revision
from bot.db.restore import Restored, restore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `restore`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a backup that `claude-cost backup` has made")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if nothing was replaced, 2 for wrong settings."""

    def restored(database: Path) -> str:
        done = restore(arguments.file, database, system_clock())
        return " ".join(_sentences(arguments.file, database, done))

    return on_sqlite(arguments.file, restored)


def _sentences(backup: Path, database: Path, restored: Restored) -> list[str]:
    said = [f"{database} is now what {backup} holds."]
    if restored.kept is not None:
        said.append(f"The database before it is kept as {restored.kept}.")
    if restored.older:
        said.append(f"Its schema is {restored.revision}: the next start brings it to {newest_revision()}.")
    said.append("Alerts that were sent after the backup was made may be sent again.")
    return said
