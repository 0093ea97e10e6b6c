"""Names of workspaces and keys, kept in the store. A failed look-up only costs names, never a poll."""

import asyncio
import logging
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from bot.clock import DAY, HOUR, Clock, is_over
from bot.usage.anthropic.client import BadRequestError, NotServedError, Query, Transport
from bot.usage.anthropic.responses import ApiKey, ListPage, Shape, Workspace, parsed
from bot.usage.model import DEFAULT_WORKSPACE, MalformedError, RefusedError, SourceError
from bot.usage.store import UsageStore
from bot.usage.store_reads import Name, Names

log = logging.getLogger(__name__)

WORKSPACES_PATH = "/v1/organizations/workspaces"
KEYS_PATH = "/v1/organizations/api_keys"

PER_PAGE = 1000
MOST_PAGES = 100
AGAIN = DAY
AGAIN_AFTER_FAULT = timedelta(minutes=5)
AGAIN_AFTER_REFUSAL = HOUR

UNKNOWN_WORKSPACE = "unknown"
"""The workspace of usage whose workspace cannot be determined."""


class Directory:
    """Looks up workspaces and keys, and identifies the default workspace. Names once read are kept."""

    def __init__(self, transport: Transport, store: UsageStore, clock: Clock) -> None:
        self._transport = transport
        self._store = store
        self._clock = clock
        self._names = Names({}, {}, {}, None)
        self._not_before: datetime | None = None
        self._in_no_list: set[str] = set()
        self.generation = 0
        """Rises when a known workspace or key is reassigned."""

    async def load(self) -> None:
        """Load the stored names, unless names were read already."""
        if self._names.read_at is None:
            self._take(await asyncio.to_thread(self._store.names))

    async def know(self, keys: AbstractSet[str], workspaces: AbstractSet[str]) -> None:
        """Read the lists again if they are a day old, or if one of these ids is new."""
        await self.load()
        now = self._clock()
        unknown = self._unknown(keys, workspaces)
        if not self._due(unknown, now):
            return
        try:
            read = [*await self._workspaces(), *await self._keys()]
        except SourceError as error:
            refused = isinstance(error, RefusedError | NotServedError)
            self._not_before = now + (AGAIN_AFTER_REFUSAL if refused else AGAIN_AFTER_FAULT)
            log.warning("new workspaces and keys are shown by their ids: %s", error)
            return
        await asyncio.to_thread(self._store.save_names, _merged(self._names, read), now)
        self._take(await asyncio.to_thread(self._store.names))
        # Without this, an id that is in no list would make every poll read the lists again.
        self._in_no_list = self._unknown(keys, workspaces)

    def _take(self, names: Names) -> None:
        before, self._names = self._names, names
        moved = any(names.workspace_of_key.get(key) != before.workspace_of_key.get(key) for key in before.keys)
        if moved or _known_workspaces(names) != _known_workspaces(before):
            self.generation += 1

    def _unknown(self, keys: AbstractSet[str], workspaces: AbstractSet[str]) -> set[str]:
        return (keys - self._names.keys.keys()) | (
            workspaces - self._names.workspaces.keys() - {self._names.default_id}
        )

    def workspace_of_key(self, key: str) -> str:
        """A key's workspace; a key without one belongs to the default workspace, an unknown key to `unknown`."""
        if key not in self._names.keys:
            return UNKNOWN_WORKSPACE
        return self._names.workspace_of_key.get(key, DEFAULT_WORKSPACE)

    def lists(self, key: str) -> bool:
        """Whether the key is in a list that was read."""
        return key in self._names.keys

    def canonical(self, workspace_id: str) -> str:
        """The id under which both sources know a workspace: `default` for the default one."""
        names = self._names
        if workspace_id == names.default_id:
            return DEFAULT_WORKSPACE
        if names.read_at is None or names.default_id is not None or workspace_id in names.workspaces:
            return workspace_id
        # Older API versions leave the default workspace out of every list.
        return DEFAULT_WORKSPACE

    def _due(self, unknown: AbstractSet[str], now: datetime) -> bool:
        if self._not_before is not None and now < self._not_before <= now + AGAIN_AFTER_REFUSAL:
            return False
        read_at = self._names.read_at
        return read_at is None or is_over(AGAIN, read_at, now) or not unknown <= self._in_no_list

    async def _workspaces(self) -> list[Name]:
        """Every workspace. No field marks the default one: it is what `include_default` adds to the list."""
        query = [("include_archived", "true")]
        rows = {row.id: row.name for row in await self._all(WORKSPACES_PATH, query, Workspace)}
        try:
            with_default = await self._all(WORKSPACES_PATH, [*query, ("include_default", "true")], Workspace)
        except BadRequestError:
            with_default = []
        added = [row for row in with_default if row.id not in rows]
        default = [Name("workspace", DEFAULT_WORKSPACE, row.name, row.id) for row in added] if len(added) == 1 else []
        return [Name("workspace", id_, name) for id_, name in rows.items()] + default

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
            if not page.has_more:
                return rows
            if not page.last_id or after == [("after_id", page.last_id)]:
                break
            after = [("after_id", page.last_id)]
        raise MalformedError(f"Anthropic's pages from {path} do not come to an end.")


def _known_workspaces(names: Names) -> tuple[object, ...]:
    """What `Directory.canonical` depends on."""
    return names.read_at is None, names.default_id, names.workspaces.keys()


def _merged(known: Names, read: Iterable[Name]) -> list[Name]:
    """The read names merged over the known ones: usage outlives the key that made it."""
    workspaces = [
        Name("workspace", id_, name, known.default_id if id_ == DEFAULT_WORKSPACE else None)
        for id_, name in known.workspaces.items()
    ]
    keys = [Name("key", id_, name, known.workspace_of_key.get(id_)) for id_, name in known.keys.items()]
    return list({(name.kind, name.id): name for name in [*workspaces, *keys, *read]}.values())
