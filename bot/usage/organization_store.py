"""Records the Anthropic organization of a database, so that another one's usage does not count as its own."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Engine

from bot.db.state import locked
from bot.usage.anthropic.client import Transport

KEY = "anthropic_organization"


class OtherOrganizationError(Exception):
    """The key and the database are of different organizations; the text is one sentence with the remedy."""


def claim_organization(engine: Engine, organization: str) -> None:
    """Record the organization of a database that has none. Raises `OtherOrganizationError` if it has another one."""
    with engine.begin() as connection:
        known = locked(connection, KEY, organization)
    if known != organization:
        raise OtherOrganizationError(
            f"The database holds the usage of another Anthropic organization ({known}, and ANTHROPIC_ADMIN_KEY is of "
            f"{organization}), so nothing was stored: name another database in CLAUDE_COST_DATABASE_URL, one for each "
            "bot, or use a key of that organization."
        )


class Owner:
    """Compares the organization that `transport` reads from with the organization of the database.

    `claim` records it and raises `OtherOrganizationError`. It is called once per organization, not at every poll.
    """

    def __init__(self, transport: Transport, claim: Callable[[str], None]) -> None:
        self._transport = transport
        self._claim = claim
        self._own: str | None = None

    async def check(self) -> None:
        """Check the organization of the responses so far, if one named it. Raises `OtherOrganizationError`."""
        await self._compare(self._transport.organization)

    async def ask(self) -> None:
        """Ask Anthropic for the organization and check it. Raises `OtherOrganizationError` or `SourceError`."""
        await self._compare(await self._transport.own_organization())

    async def _compare(self, organization: str | None) -> None:
        if organization is not None and organization != self._own:
            await asyncio.to_thread(self._claim, organization)
            self._own = organization
