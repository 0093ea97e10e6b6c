"""A further destination of alerts as it is configured. Light to import, unlike what delivers to it."""

from dataclasses import dataclass

from pydantic import SecretStr

from bot.budgets.budget import Level


@dataclass(frozen=True, slots=True)
class Addressee:
    """`name`: what people see instead of `url`, an Apprise address, which may hold a secret."""

    name: str
    url: SecretStr
    levels: frozenset[Level] = frozenset(Level)
