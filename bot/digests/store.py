"""Stores which digests were posted, each with its notice in one transaction, so that none is posted twice."""

import logging
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from bot.budgets.scopes import NoMatchError
from bot.db.schema import digests
from bot.digests.content import DigestSources, digest_of
from bot.digests.model import Digest
from bot.digests.schedule import DueDigest, Scheduled, is_ready, stretch_before
from bot.digests.settings_store import DigestSettingsStore
from bot.notify.queue_store import insert_notice

log = logging.getLogger(__name__)

STORED: TypeAdapter[Digest] = TypeAdapter(Digest)


class DigestStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def is_posted(self, rule: str, key: str) -> bool:
        """Whether the digest of this period was posted or queued."""
        query = select(digests.c.id).where(digests.c.rule == rule, digests.c.key == key)
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def post(self, digest: Digest, channel: str | None, now: datetime) -> bool:
        """Put it into the outbox. Returns False and does nothing if that was done before, by any copy.

        `channel`: None for the alert channel, which also gets what another channel rejects.
        """
        with self._engine.begin() as connection:
            dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
            kept = dialect.insert(digests).values(rule=digest.rule, key=digest.period.key, posted_at=now)
            new = connection.execute(kept.on_conflict_do_nothing().returning(digests.c.id)).first()
            if new is None:
                return False
            content = STORED.dump_python(digest, mode="json")
            insert_notice(connection, "post", digest.incident, content, now, channel=channel)
        return True


class DigestPoster:
    """Posts every scheduled digest once. A changed rule counts from its next due time on."""

    name = "digests"

    def __init__(self, settings: DigestSettingsStore, sources: DigestSources, store: DigestStore) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._posted: dict[str, str] = {}
        """Key of the last posted period, by rule."""
        self._reported: dict[str, str] = {}

    def look(self, now: datetime, mode: str) -> int:
        """Post what is due; returns how many. A fault of one digest is raised once the others are posted."""
        posted, faults = 0, []
        for scheduled in self._settings.in_force():
            try:
                posted += self._post(scheduled, now)
            except SQLAlchemyError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever fails, the other digests get out
                faults.append(error)
        if faults:
            raise faults[0]
        return posted

    def _post(self, scheduled: Scheduled, now: datetime) -> bool:
        """Post a digest if it is due. Returns whether it was posted now."""
        rule, due, posted = scheduled.rule, scheduled.newest_due(now), False
        if due is None or self._posted.get(rule.key) == due.period.key:
            return False
        if not is_ready(due, self._sources.snapshots.current().as_of, now):
            return False
        if not any(self._store.is_posted(key, due.period.key) for key in self._settings.keys(rule)):
            digest = self._digest(due, now)
            if digest is None:
                # Nothing is known of those days, which is reported elsewhere.
                return False
            posted = self._store.post(digest, self._settings.placed(rule).channel, now)
        self._posted[rule.key] = due.period.key
        return posted

    def _digest(self, due: DueDigest, now: datetime) -> Digest | None:
        before = stretch_before(due.rule.every, due.period)
        try:
            return digest_of(self._sources, due.rule, due.period, before, now)
        except NoMatchError as error:
            if self._reported.get(due.rule.key) != str(error):
                log.warning("the %s digest of %s is not posted: %s", due.rule.every, due.rule.about, error)
                self._reported[due.rule.key] = str(error)
            return None
