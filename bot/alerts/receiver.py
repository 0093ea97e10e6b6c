"""A further destination of alerts as it is configured. Light to import, unlike what delivers to it."""

from dataclasses import dataclass

from pydantic import SecretStr

from bot.alerts.kinds import LEVELS, AlertKind, Level

ALL_BUT_ROUTINE = frozenset(LEVELS) - {AlertKind.NEW_PERIOD}
"""What a destination receives by default: the start of a period alarms nobody."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """`name`: what people see instead of `url`, an Apprise address, which may hold a secret."""

    name: str
    url: SecretStr
    levels: frozenset[Level] = ALL_BUT_ROUTINE
