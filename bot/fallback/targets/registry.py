"""The targets named in settings. A further one is a file beside `env_file.py`, and a line here."""

import logging
from pathlib import Path

from bot.amounts import count
from bot.fallback.targets.base import Target
from bot.fallback.targets.env_file import EnvFile

log = logging.getLogger(__name__)


def targets_from(fallback_file: Path) -> list[Target]:
    """All places to which the variables of a mode are written."""
    return [EnvFile(fallback_file)]


def tidy_targets(fallback_file: Path, now: float) -> None:
    """Remove what killed writers have left beside the targets. `now`: seconds since the epoch, as file systems have
    it.
    """
    removed = EnvFile(fallback_file).remove_leftovers(now)
    if removed:
        log.info("%s of killed writers removed beside %s", count(removed, "temporary file"), fallback_file)
