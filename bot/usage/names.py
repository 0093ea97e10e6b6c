"""Names of workspaces and keys, kept in the store. A look-up that fails costs names, never a poll."""

import asyncio
import logging
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from bot.clock import DAY, Clock
from bot.store.usage import Name, Names, UsageStore
from bot.usage.answers import ApiKey, ListPage, Shape, Workspace, parsed
from bot.usage.source import DEFAULT_WORKSPACE, MalformedError, SourceError
from bot.usage.transport import Query, Transport

log = logging.getLogger(__name__)

WORKSPACES_PATH = "/v1/organizations/workspaces"
KEYS_PATH = "/v1/organizations/api_keys"

PER_PAGE = 1000
MOST_PAGES = 100
AGAIN = DAY
AGAIN_FOR_UNKNOWN = timedelta(hours=1)
"""An id that no list has (a deleted key) must not make every poll read the lists again."""


class Directory:
    """Tells workspaces and keys apart, and the default workspace from the rest."""

    def __init__(self, transport: Transport, store: UsageStore, clock: Clock) -> None:
        self._transport = transport
        self._store = store
        self._clock = clock
        self._names = Names({}, {}, {}, None)
        self._tried_at: datetime | None = None

    async def know(self, keys: AbstractSet[str], workspaces: AbstractSet[str]) -> None:
        """Read the lists again where they are a day old, or where one of these ids is new."""
        if self._names.read_at is None:
            self._names = await asyncio.to_thread(self._store.names)
        now = self._clock()
        unknown = (keys - self._names.keys.keys()) | (workspaces - self._names.workspaces.keys())
        read_at = self._names.read_at
        due = read_at is None or now - read_at >= AGAIN or bool(unknown)
        if not due or (self._tried_at is not None and now - self._tried_at < AGAIN_FOR_UNKNOWN):
            return
        self._tried_at = now
        try:
            names = [*await self._workspaces(), *await self._keys()]
        except SourceError as error:
            log.warning("workspaces and keys are shown by their ids: %s", error)
            return
        await asyncio.to_thread(self._store.save_names, names, now)
        self._names = await asyncio.to_thread(self._store.names)

    def workspace_of_key(self, key: str) -> str:
        """A key's workspace; keys without one belong to the default workspace."""
        return self._names.workspace_of_key.get(key, DEFAULT_WORKSPACE)

    def canonical(self, workspace_id: str) -> str:
        """The same workspace under the name that both sources share: the default one is in no list of Anthropic's."""
        if self._names.read_at is None or workspace_id in self._names.workspaces:
            return workspace_id
        return DEFAULT_WORKSPACE

    async def _workspaces(self) -> list[Name]:
        rows = await self._all(WORKSPACES_PATH, [("include_archived", "true")], Workspace)
        return [Name("workspace", row.id, row.name) for row in rows]

    async def _keys(self) -> list[Name]:
        rows = await self._all(KEYS_PATH, [], ApiKey)
        return [Name("key", row.id, row.name, row.workspace_id) for row in rows]

    async def _all(self, path: str, query: Query, shape: type[Shape]) -> list[Shape]:
        rows: list[Shape] = []
        after: list[tuple[str, str]] = []
        for _ in range(MOST_PAGES):
            answer = await self._transport.get(path, [*query, ("limit", str(PER_PAGE)), *after])
            page = parsed(ListPage, answer, path)
            rows += [parsed(shape, value, path) for value in page.data]
            if not page.has_more or page.last_id is None:
                return rows
            after = [("after_id", page.last_id)]
        raise MalformedError(f"Anthropic's pages from {path} do not come to an end.")
