"""How long the rows of every table are kept, and the deletion of those that nothing reads any more.

Incidents are never deleted: they are what keeps an alert from being reported twice. What goes is the history of their
messages, and of changes. A transaction deletes a few hundred rows, so no other writer waits long.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, and_, delete, exists, func, or_, select

from bot.db.schema import alerts, audit, budget_changes, digest_changes, digests, expectations, notices

AT_ONCE = 500
"""Rows of one transaction."""

MOST = 20_000
"""Rows of one run; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Retention:
    """`notices`: messages of the past, and which digests were posted. `changes`: who changed what."""

    notices: timedelta = timedelta(days=400)
    changes: timedelta = timedelta(days=1096)


RULES: Mapping[str, str] = {
    "alerts": "kept: one row for each incident and limit, some thousand a year",
    "approvals": "kept: a few rows for each change of the mode",
    "attributed_days": "kept: a row a day for each product, group, agent or actor that a budget counts",
    "attributed_names": "bounded: a row for each name",
    "audit": "`[retention] change_days`",
    "billed": "kept: a row a day for each model and workspace",
    "budget_changes": "`[retention] change_days`",
    "budgets": "bounded by what is set",
    "calendar": "bounded by what is set",
    "digest_changes": "`[retention] change_days`",
    "digest_settings": "bounded by what is set",
    "digests": "`[retention] notice_days`",
    "estimates": "bounded by what is kept",
    "expectations": "`[retention] notice_days` after their end",
    "last_estimates": "bounded: a row for each person",
    "lease": "one row",
    "ledger_days": "kept: a row a day for each combination of labels",
    "ledger_dimensions": "kept: a row for each combination of labels",
    "ledger_events": "`[ledger] keep_days`",
    "ledger_file_sessions": "kept: a row for each session of imported files, which keeps imports from counting twice",
    "ledger_files": "kept: a row for each imported file, which keeps imports from counting twice",
    "ledger_hours": "kept: a row an hour for each active combination of labels",
    "ledger_known_hours": "kept: 8,760 rows a year",
    "ledger_minutes": "bounded: the last days",
    "ledger_senders": "`[ledger] keep_days` after the last call",
    "ledger_series": "`[ledger] keep_days` after the last call",
    "mode_changes": "kept: a row for each change of the mode",
    "names": "bounded: a row for each key and workspace",
    "notices": "`[retention] notice_days`, but an alert's own post and what its message says last",
    "proposals": "kept: a row for each change of the mode that is proposed",
    "raises": "kept: a row for each raise of a limit",
    "state": "bounded: a row for each value",
    "target_states": "bounded by the targets",
    "unreachable_channels": "bounded by the channels",
    "usage": "kept by hours: minutes are replaced by the sums of their hour within two days",
    "usage_days": "kept: a row a day for each combination of model, key, workspace and terms",
    "usage_hours": "kept: 8,760 rows a year",
}
"""By table, what docs/operations.md says of it. A new table needs a rule."""


def prune(engine: Engine, now: datetime, retention: Retention, most: int = MOST, at_once: int = AT_ONCE) -> int:
    """Delete what was kept long enough, at most `most` rows. Returns how many."""
    pruned = 0
    for table, condition in _past(now, retention):
        while pruned < most:
            gone = _delete_some(engine, table, condition, min(at_once, most - pruned))
            pruned += gone
            if gone < at_once:
                break
    return pruned


def _past(now: datetime, retention: Retention) -> Iterator[tuple[Table, Callable[[], ColumnElement[bool]]]]:
    before, changed_before = now - retention.notices, now - retention.changes
    # What refers to changes goes first.
    yield notices, lambda: _past_notices(before)
    yield digests, lambda: digests.c.posted_at < before
    yield expectations, lambda: and_(expectations.c.until < before, expectations.c.starts_at < before)
    yield audit, lambda: audit.c.at < changed_before
    yield budget_changes, lambda: _unreferenced(budget_changes, notices.c.budget_change_id, changed_before)
    yield digest_changes, lambda: _unreferenced(digest_changes, notices.c.digest_change_id, changed_before)


def _past_notices(before: datetime) -> ColumnElement[bool]:
    settled = and_(notices.c.status.in_(("sent", "obsolete")), notices.c.created_at < before)
    owners = ("alert_id", "mode_change_id", "proposal_id", "raise_id")
    of_nothing_that_acts = and_(*(notices.c[name].is_(None) for name in owners))
    other = notices.alias("other")
    newest = (
        select(func.max(other.c.id))
        .where(other.c.alert_id == notices.c.alert_id, other.c.action.in_(("post", "update")))
        .where(other.c.destination == notices.c.destination)
        .scalar_subquery()
    )
    ended = exists().where(
        alerts.c.id == notices.c.alert_id, alerts.c.status.not_in(("open", "superseded")), alerts.c.changed_at < before
    )
    of_the_past = and_(ended, notices.c.action != "post", notices.c.step.is_(None), notices.c.id < newest)
    # The last of all: a database without a notice would take itself for new.
    last = select(func.max(other.c.id)).scalar_subquery()
    return and_(settled, or_(of_nothing_that_acts, of_the_past), notices.c.id < last)


def _unreferenced(changes: Table, reference: Any, before: datetime) -> ColumnElement[bool]:
    return and_(changes.c.at < before, ~exists().where(reference == changes.c.id))


def _delete_some(engine: Engine, table: Table, condition: Callable[[], ColumnElement[bool]], most: int) -> int:
    # Looked for without the lock of a writer, and looked at again with it.
    with engine.connect() as connection:
        query = select(table.c.id).where(condition()).order_by(table.c.id).limit(most)
        ids = list(connection.execute(query).scalars())
    if not ids:
        return 0
    with engine.begin() as connection:
        return connection.execute(delete(table).where(table.c.id.in_(ids), condition())).rowcount
