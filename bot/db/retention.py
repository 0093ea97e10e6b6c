"""How long the rows of each table are kept, and the deletion of those that nothing reads any more.

Incidents are never deleted, since they keep an alert from being reported twice. The history of their messages and of
changes is. A transaction deletes a few hundred rows, so that no other writer waits long.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)

from bot.clock import floor_day
from bot.db.schema import (
    alerts,
    audit,
    budget_changes,
    digest_changes,
    digests,
    expectations,
    ledger_hours,
    ledger_known_hours,
    notices,
    state,
    usage,
    usage_hours,
)
from bot.db.state import save_state

AT_ONCE = 500
"""Most rows that one transaction deletes."""

MOST = 20_000
"""Most rows that one run deletes; the next run continues."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each kind of row is kept.

    `notices`: messages of the past, and the record of posted digests. `changes`: who changed what. `usage`: Anthropic's
    usage by the hour, None for ever. `ledger`: logged usage by the hour, None for ever.
    """

    notices: timedelta = timedelta(days=400)
    changes: timedelta = timedelta(days=1096)
    usage: timedelta | None = None
    ledger: timedelta | None = None


BY_DAY = "1d"
"""Width in `usage_hours` of an hour whose rows are deleted: only its day is known."""

LEDGER_BY_DAY = "ledger_by_day_before"
"""Key in `state` of the moment before which the ledger is known by UTC day only."""


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
    "ledger_hours": "`[retention] ledger_days`, or kept: a row an hour for each active combination of labels",
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
    "usage": "`[retention] usage_days`, or kept; minutes are replaced by the sums of their hour within two days",
    "usage_days": "kept: a row a day for each combination of model, key, workspace and terms",
    "usage_hours": "kept: 8,760 rows a year",
}
"""The rule of each table, as docs/operations.md lists them."""


def prune(engine: Engine, now: datetime, retention: Retention, most: int = MOST, at_once: int = AT_ONCE) -> int:
    """Delete what was kept long enough, at most `most` rows, `at_once` in a transaction. Returns the number."""
    pruned = 0
    for table, condition in _past(now, retention):
        while pruned < most:
            gone = _delete_some(engine, table, condition, min(at_once, most - pruned))
            pruned += gone
            if gone < at_once:
                break
    return pruned + prune_hours(engine, now, retention, max(0, most - pruned), at_once)


def prune_hours(engine: Engine, now: datetime, retention: Retention, most: int = MOST, at_once: int = AT_ONCE) -> int:
    """Delete usage by the hour of whole UTC days that were kept long enough, at most `most` rows. Returns the number.

    Sums by day stay. Days count from the newest known hour, so that a clock that is ahead deletes nothing.
    """
    pruned = _prune_usage(engine, now, retention.usage, most, at_once)
    return pruned + _prune_ledger(engine, now, retention.ledger, max(0, most - pruned), at_once)


def ledger_by_day_before(connection: Connection) -> datetime | None:
    """The midnight before which the ledger is known by UTC day only; None if all of it is known by the hour."""
    found = connection.execute(select(state.c.value).where(state.c.key == LEDGER_BY_DAY)).scalar_one_or_none()
    return None if found is None else datetime.fromisoformat(found)


def _prune_usage(engine: Engine, now: datetime, keep: timedelta | None, most: int, at_once: int) -> int:
    hour = usage_hours.c.hour
    before = _first_kept(engine, hour, now, keep)
    if before is None:
        return 0
    by_hour = and_(hour < before, usage_hours.c.width != BY_DAY)
    with engine.connect() as connection:
        oldest = connection.execute(select(func.min(hour)).where(by_hour)).scalar_one()
    if oldest is not None:
        # Mark the hours first: a reader then finds them unknown, not without usage.
        with engine.begin() as connection:
            connection.execute(update(usage_hours).where(by_hour).values(width=BY_DAY))
    return _delete_oldest(engine, usage, usage.c.hour, (usage.c.id,), before, most, at_once)


def _prune_ledger(engine: Engine, now: datetime, keep: timedelta | None, most: int, at_once: int) -> int:
    before = _first_kept(engine, ledger_known_hours.c.hour, now, keep)
    if before is None:
        return 0
    with engine.begin() as connection:
        known = ledger_by_day_before(connection)
        if known is None or known < before:
            save_state(connection, LEDGER_BY_DAY, before.isoformat())
    key = (ledger_hours.c.hour, ledger_hours.c.dimensions_id)
    return _delete_oldest(engine, ledger_hours, ledger_hours.c.hour, key, before, most, at_once)


def _first_kept(engine: Engine, hour: Column[Any], now: datetime, keep: timedelta | None) -> datetime | None:
    """The midnight before which hours are deleted; None if none are."""
    if keep is None:
        return None
    with engine.connect() as connection:
        first, last = connection.execute(select(func.min(hour), func.max(hour))).one()
    before = None if last is None else floor_day(min(now, last) - keep)
    return before if before is not None and first < before else None


def _delete_oldest(
    engine: Engine,
    table: Table,
    hour: Column[Any],
    key: Sequence[Column[Any]],
    before: datetime,
    most: int,
    at_once: int,
) -> int:
    pruned = 0
    while pruned < most:
        some = min(at_once, most - pruned)
        with engine.connect() as connection:
            found = connection.execute(select(*key).where(hour < before).order_by(hour).limit(some)).all()
        if found:
            with engine.begin() as connection:
                gone = tuple_(*key).in_([tuple(row) for row in found])
                connection.execute(delete(table).where(gone if len(key) > 1 else key[0].in_([row[0] for row in found])))
        pruned += len(found)
        if len(found) < some:
            break
    return pruned


def _past(now: datetime, retention: Retention) -> Iterator[tuple[Table, Callable[[], ColumnElement[bool]]]]:
    before, changed_before = now - retention.notices, now - retention.changes
    # Notices first, since they refer to changes.
    yield notices, lambda: _past_notices(before)
    yield digests, lambda: digests.c.posted_at < before
    yield expectations, lambda: and_(expectations.c.until < before, expectations.c.starts_at < before)
    yield audit, lambda: audit.c.at < changed_before
    yield budget_changes, lambda: _unreferenced(budget_changes, notices.c.budget_change_id, changed_before)
    yield digest_changes, lambda: _unreferenced(digest_changes, notices.c.digest_change_id, changed_before)


OTHERS = notices.alias("other")
"""Made once: its columns take longer than the query."""


def _past_notices(before: datetime) -> ColumnElement[bool]:
    settled = and_(notices.c.status.in_(("sent", "obsolete")), notices.c.created_at < before)
    owners = ("alert_id", "mode_change_id", "proposal_id", "raise_id")
    of_nothing_that_acts = and_(*(notices.c[name].is_(None) for name in owners))
    newest = (
        select(func.max(OTHERS.c.id))
        .where(OTHERS.c.alert_id == notices.c.alert_id, OTHERS.c.action.in_(("post", "update")))
        .where(OTHERS.c.destination == notices.c.destination)
        .scalar_subquery()
    )
    ended = exists().where(
        alerts.c.id == notices.c.alert_id, alerts.c.status.not_in(("open", "superseded")), alerts.c.changed_at < before
    )
    of_the_past = and_(ended, notices.c.action != "post", notices.c.step.is_(None), notices.c.id < newest)
    # Keep the newest notice: a database without any counts as new.
    last = select(func.max(OTHERS.c.id)).scalar_subquery()
    return and_(settled, or_(of_nothing_that_acts, of_the_past), notices.c.id < last)


def _unreferenced(changes: Table, reference: Any, before: datetime) -> ColumnElement[bool]:
    return and_(changes.c.at < before, ~exists().where(reference == changes.c.id))


def _delete_some(engine: Engine, table: Table, condition: Callable[[], ColumnElement[bool]], most: int) -> int:
    # Find them without a writer's lock, and check them again with it.
    with engine.connect() as connection:
        query = select(table.c.id).where(condition()).order_by(table.c.id).limit(most)
        ids = list(connection.execute(query).scalars())
    if not ids:
        return 0
    with engine.begin() as connection:
        return connection.execute(delete(table).where(table.c.id.in_(ids), condition())).rowcount
