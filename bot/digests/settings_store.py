"""Digests set in chat, beside those of the TOML file: stored rows, each change audited and announced once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from bot.clock import Clock
from bot.db.engine import lock_for_writers
from bot.db.schema import digest_changes, digest_settings, digests
from bot.db.state import DIGESTS, audited, bump, keep, versions_of
from bot.digests.model import DigestChange
from bot.digests.schedule import DigestRule, Scheduled, next_due
from bot.digests.words import DigestWordsError, rule_from, rule_words
from bot.notify.queue_store import insert_in_one_channel

log = logging.getLogger(__name__)

ACTION = "digest"
"""Their name in the audit trail."""

MOST_KEPT = 100
"""Most digests set in chat."""

MOST_LOOKED_AT = 20
"""Posted digests checked to find the next one."""

Outcome = Literal["set", "changed", "removed", "undone", "same", "configured", "full", "missing", "since", "unknown"]
"""Result of a change. `same`: no difference. `configured`: set in the TOML file. `full`: there are `MOST_KEPT`.
`missing`: no such digest. `since`: changed since. `unknown`: no such change.
"""


@dataclass(frozen=True, slots=True)
class Changed:
    """`rule`: as it is now, or as it was before removal. `change_id`: for undoing it."""

    outcome: Outcome
    rule: DigestRule | None = None
    change_id: int = 0


class DigestSettingsStore:
    """All digests in force. Synchronous; asynchronous callers use a thread.

    A digest of the TOML file cannot be changed in chat, and wins over one set there before. `main`: id of the alert
    channel, which a rule may also name by its id.
    """

    def __init__(self, configured: Sequence[DigestRule], engine: Engine, clock: Clock, main: str = "") -> None:
        self._configured = tuple(Scheduled(rule) for rule in configured)
        self._engine = engine
        self._clock = clock
        self.main = main
        self._versions = versions_of(engine)
        self._known: tuple[int, tuple[Scheduled, ...]] | None = None
        self._unread: set[str] = set()

    def in_force(self) -> tuple[Scheduled, ...]:
        """Those of the TOML file first, then the others; the same object while nothing has changed."""
        version, known = self._versions.current(self._engine).get(DIGESTS, 0), self._known
        if known is None or known[0] != version:
            mine = {self._place(each.rule) for each in self._configured}
            with self._engine.connect() as connection:
                rows = connection.execute(select(digest_settings).order_by(digest_settings.c.rule)).all()
            found = [each for row in rows if (each := self._read(row)) is not None]
            kept = tuple(each for each in found if self._place(each.rule) not in mine)
            known = self._known = version, (*self._configured, *kept)
        return known[1]

    def find(self, key: str) -> Scheduled | None:
        """The digest in force with this key."""
        return next((each for each in self.in_force() if each.rule.key == key), None)

    def same_as(self, rule: DigestRule) -> Scheduled | None:
        """The digest in force with the same channel, frequency and subject."""
        place = self._place(rule)
        return next((each for each in self.in_force() if self._place(each.rule) == place), None)

    def placed(self, rule: DigestRule) -> DigestRule:
        """The rule without a channel if that is the alert channel."""
        return replace(rule, channel=None) if rule.channel == self.main else rule

    def keys(self, rule: DigestRule) -> tuple[str, ...]:
        """Keys under which its digests may be stored: the alert channel may also be named by its id."""
        placed = self.placed(rule)
        return (rule.key, placed.key if placed != rule else replace(rule, channel=rule.channel or self.main).key)

    def next_due(self, rule: DigestRule) -> datetime:
        """When its next digest comes."""
        query = select(digests.c.key).where(digests.c.rule.in_(self.keys(rule)))
        with self._engine.connect() as connection:
            posted = set(connection.execute(query.order_by(digests.c.id.desc()).limit(MOST_LOOKED_AT)).scalars())
        return next_due(rule, self._clock(), posted.__contains__)

    def set(self, rule: DigestRule, by: str, instead_of: str = "") -> Changed:
        """Store it, replacing the one with the same channel, frequency and subject.

        `instead_of`: key of another digest to replace.
        """
        rule = self.placed(rule)
        if self.is_configured(rule):
            return Changed("configured", rule)
        with audited(self._engine) as connection:
            before = _present(connection, rule.key)
            other = _present(connection, instead_of) if instead_of and instead_of != rule.key else None
            if before == rule:
                return Changed("same", rule)
            if before is None and other is None and _count(connection) >= MOST_KEPT:
                return Changed("full", rule)
            if other is not None:
                self._write(connection, other.key, other, None, by)
            change_id = self._write(connection, rule.key, before, rule, by)
        self._versions.changed()
        return Changed("set" if before is None and other is None else "changed", rule, change_id)

    def remove(self, key: str, by: str) -> Changed:
        """Remove it."""
        with audited(self._engine) as connection:
            before = _present(connection, key)
            if before is None:
                found = self.find(key)
                return Changed("missing") if found is None else Changed("configured", found.rule)
            change_id = self._write(connection, key, before, None, by)
        self._versions.changed()
        return Changed("removed", before, change_id)

    def change(self, change_id: int) -> tuple[DigestRule | None, DigestRule | None] | None:
        """The rule before and after a change; None if there is no such change or it cannot be read."""
        query = select(digest_changes).where(digest_changes.c.id == change_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        try:
            return None if row is None else (_rule(row.before), _rule(row.after))
        except DigestWordsError:
            return None

    def undo(self, change_id: int, by: str) -> Changed:
        """Undo a change once, if nothing was changed since."""
        with audited(self._engine) as connection:
            lock_for_writers(connection, digest_settings)
            query = select(digest_changes).where(digest_changes.c.id == change_id)
            row = connection.execute(query).one_or_none()
            if row is None:
                return Changed("unknown")
            try:
                before, after = _rule(row.before), _rule(row.after)
            except DigestWordsError:
                return Changed("unknown")
            if row.undone_by is not None or _present(connection, row.rule) != after:
                return Changed("since", after or before)
            if before is not None and self.is_configured(before):
                return Changed("configured", before)
            _mark_undone(connection, row, by, self._clock())
            made = self._write(connection, row.rule, after, before, by)
        self._versions.changed()
        return Changed("undone", before, made)

    def _write(
        self, connection: Connection, key: str, before: DigestRule | None, after: DigestRule | None, by: str
    ) -> int:
        """Replace a digest together with its audit entry, its line of history and its announcement."""
        now = self._clock()
        connection.execute(delete(digest_settings).where(digest_settings.c.rule == key))
        if after is not None:
            values = {"rule": key, "words": rule_words(after), "set_by": by, "set_at": now}
            connection.execute(insert(digest_settings).values(**values))
        was, will = (None if rule is None else rule_words(rule) for rule in (before, after))
        keep(connection, now, by, ACTION, "done", f"{was or 'new'} -> {will or 'removed'}")
        values = {"rule": key, "by": by, "at": now, "before": was, "after": will}
        kept = insert(digest_changes).values(**values).returning(digest_changes.c.id)
        change_id = int(connection.execute(kept).scalar_one())
        concerned = after or before
        channel = None if concerned is None else concerned.channel
        change = DigestChange(change_id=change_id, by=by, at=now, before=was, after=will)
        facts = _adapter().dump_python(change, mode="json")
        insert_in_one_channel(connection, "post", change.about, facts, now, channel, digest_change_id=change_id)
        bump(connection, DIGESTS)
        return change_id

    def is_configured(self, rule: DigestRule) -> bool:
        """Whether it is in the TOML file."""
        return self._place(rule) in {self._place(each.rule) for each in self._configured}

    def _place(self, rule: DigestRule) -> tuple[str, str, str]:
        """Channel, frequency and subject; two digests with the same would be duplicates."""
        about = "" if rule.about == "organization" else rule.about
        return rule.every.value, self.placed(rule).channel or "", f"{about}|{','.join(rule.budgets)}"

    def _read(self, row: Row[Any]) -> Scheduled | None:
        try:
            return Scheduled(rule_from(row.words), row.set_at, row.set_by)
        except DigestWordsError as error:
            if row.words not in self._unread:
                log.warning("a digest that was set in chat is not posted: %s", error)
                self._unread.add(row.words)
            return None


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(digest_settings)).scalar_one()


def _rule(words: str | None) -> DigestRule | None:
    return None if words is None else rule_from(words)


def _present(connection: Connection, key: str) -> DigestRule | None:
    lock_for_writers(connection, digest_settings)
    words = connection.execute(
        select(digest_settings.c.words).where(digest_settings.c.rule == key)
    ).scalar_one_or_none()
    try:
        return _rule(words)
    except DigestWordsError:
        # Written by another version; the new one replaces it.
        return None


def _mark_undone(connection: Connection, row: Row[Any], by: str, now: datetime) -> None:
    values = {"undone_by": by, "undone_at": now}
    connection.execute(update(digest_changes).where(digest_changes.c.id == row.id).values(**values))
    change = DigestChange(change_id=row.id, by=row.by, at=row.at, before=row.before, after=row.after, undone_by=by)
    facts = _adapter().dump_python(change, mode="json")
    insert_in_one_channel(connection, "update", change.about, facts, now, None, digest_change_id=row.id)


@cache
def _adapter() -> TypeAdapter[DigestChange]:
    return TypeAdapter(DigestChange)
