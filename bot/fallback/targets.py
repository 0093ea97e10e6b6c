"""The targets that settings name. A further one is a file beside `env_file.py`, and a line here."""

from bot.fallback.env_file import EnvFile
from bot.fallback.target import Target
from bot.settings import Settings


def targets_from(settings: Settings) -> list[Target]:
    """Every place to which the variables of a mode are written."""
    return [EnvFile(settings.fallback_file)]
