"""Which Anthropic organization the usage in a database is of: that of another one would count as this one's."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Engine

from bot.db.state import locked
from bot.usage.anthropic.client import Transport

KEY = "anthropic_organization"


class OtherOrganizationError(Exception):
    """The key is of another organization than the one whose usage the database holds; one sentence with the remedy."""


def claim_organization(engine: Engine, organization: str) -> None:
    """Record the organization of a database that has none. Raises `OtherOrganizationError` where it has another one."""
    with engine.begin() as connection:
        known = locked(connection, KEY, organization)
    if known != organization:
        raise OtherOrganizationError(
            f"The database holds the usage of another Anthropic organization ({known}, and ANTHROPIC_ADMIN_KEY is of "
            f"{organization}), so nothing was stored: name another database in CLAUDE_COST_DATABASE_URL, one for each "
            "bot, or use a key of that organization."
        )


class Owner:
    """Compares the organization that `transport` reads from with the one whose usage the database holds.

    `claim` raises `OtherOrganizationError`. Each organization is looked up once, not at every poll.
    """

    def __init__(self, transport: Transport, claim: Callable[[str], None]) -> None:
        self._transport = transport
        self._claim = claim
        self._own: str | None = None

    async def check(self) -> None:
        """Raises `OtherOrganizationError`. Where no response names its organization, nothing is known against it."""
        await self._compare(self._transport.organization)

    async def ask(self) -> None:
        """The same, where nothing was read so far. Raises `SourceError`."""
        await self._compare(await self._transport.own_organization())

    async def _compare(self, organization: str | None) -> None:
        if organization is not None and organization != self._own:
            await asyncio.to_thread(self._claim, organization)
            self._own = organization
