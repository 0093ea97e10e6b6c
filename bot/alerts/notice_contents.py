"""What notices report, stored and read back for their renderers; Slack's notices of an incident."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, select, update

from bot.alerts.decide import Status
from bot.alerts.lifecycle import Life
from bot.alerts.model import AlertPayload, LifecycleEvent, LimitAlert, SyntheticAlert
from bot.alerts.payloads import PAYLOADS, Payload, dumped
from bot.budgets.budget import Level
from bot.db.schema import alerts, mode_changes, notices
from bot.notify.model import SLACK, Action, Address, NoticeStatus, UnreadableContentError
from bot.notify.store import NoticeStore, address_of, insert_notice


@dataclass(frozen=True, slots=True)
class Content:
    """What a renderer gets. `related`: the message of the budget's other limit.

    `alert_id` and `life`: of an incident, the latter as it is by now. `written_at` and `write_error`: how far the
    target of a mode change has followed by now.
    """

    facts: Payload
    related: Address | None = None
    alert_id: int | None = None
    life: Life = field(default_factory=Life)
    written_at: datetime | None = None
    write_error: str | None = None


class ContentStore(NoticeStore):
    """The notices of one destination, with what each reports."""

    def __init__(self, engine: Engine, destination: str = SLACK) -> None:
        super().__init__(engine, read_content, destination)


def read_content(connection: Connection, row: Row[Any]) -> Content:
    """What a row of `notices` reports. Raises `UnreadableContentError`."""
    try:
        facts = PAYLOADS.validate_python(row.facts)
    except ValidationError as error:
        raise UnreadableContentError from error
    if row.alert_id is not None:
        alert = connection.execute(select(alerts).where(alerts.c.id == row.alert_id)).one()
        related = _related(connection, alert.budget, alert.period, facts) if isinstance(facts, LimitAlert) else None
        return Content(facts, related, row.alert_id, life_of(alert))
    if row.mode_change_id is not None:
        query = select(mode_changes.c.written_at, mode_changes.c.write_error)
        change = connection.execute(query.where(mode_changes.c.id == row.mode_change_id)).one()
        return Content(facts, written_at=change.written_at, write_error=change.write_error)
    return Content(facts)


def enqueue(
    connection: Connection,
    action: Action,
    facts: Payload,
    now: datetime,
    *,
    destination: str = SLACK,
    step: str | None = None,
    **owner: int | None,
) -> None:
    """Put a notice into the outbox, within the transaction of the change that it reports. See `insert_notice`."""
    stands_open = isinstance(facts, AlertPayload) and facts.status is Status.OPEN
    insert_notice(
        connection,
        action,
        _about(facts),
        dumped(facts),
        now,
        destination=destination,
        step=step,
        # An open alert whose message cannot be edited is posted anew, so that somebody sees it.
        reposts=action == "update" and stands_open,
        **owner,
    )


def edit(connection: Connection, alert_id: int, facts: Payload, now: datetime) -> None:
    """Have the incident's message edited; an older edit that waits gives way."""
    connection.execute(
        update(notices)
        .where(
            notices.c.alert_id == alert_id,
            notices.c.action == "update",
            notices.c.status == NoticeStatus.PENDING,
        )
        .values(status=NoticeStatus.OBSOLETE)
    )
    enqueue(connection, "update", facts, now, alert_id=alert_id)


def has_message(connection: Connection, alert_id: int) -> bool:
    """Whether the incident has a message of its own in Slack, or is going to have one."""
    query = select(notices.c.id).where(notices.c.alert_id == alert_id, notices.c.action == "post", in_slack).limit(1)
    return connection.execute(query).scalar_one_or_none() is not None


in_slack = notices.c.destination == SLACK
"""The condition that a notice is for the alert channel."""


def newest_notice() -> Select[tuple[int]]:
    """Within a query of alerts: the id of the notice that holds what Slack's message says now, or is about to say."""
    shown = notices.c.alert_id == alerts.c.id, notices.c.action.in_(("post", "update")), in_slack
    return select(func.max(notices.c.id)).where(*shown).correlate(alerts)


def incident_is(budget: str, period: str, level: Level, limit_usd: Decimal) -> ColumnElement[bool]:
    """The condition that a row of `alerts` is this incident."""
    return and_(
        alerts.c.budget == budget,
        alerts.c.period == period,
        alerts.c.level == level,
        alerts.c.limit_usd == limit_usd,
    )


def life_of(alert: Row[Any]) -> Life:
    """The life of a row of `alerts`."""
    return Life(alert.acknowledged_by, alert.acknowledged_at, alert.snoozed_by, alert.snoozed_until, alert.escalated_at)


def _about(facts: Payload) -> str:
    if isinstance(facts, LifecycleEvent):
        return facts.about.incident
    return facts.incident if isinstance(facts, AlertPayload | SyntheticAlert) else f"mode/{facts.mode}"


def _related(connection: Connection, budget: str, period: str, facts: LimitAlert) -> Address | None:
    """The message of the budget's other limit as it was at the decision; never that of a limit edited since."""
    hard = facts.level is Level.HARD
    level, limit_usd = (Level.SOFT, facts.spend.soft_usd) if hard else (Level.HARD, facts.spend.hard_usd)
    if limit_usd is None:
        return None
    query = select(alerts).where(incident_is(budget, period, level, limit_usd))
    other = connection.execute(query).one_or_none()
    return None if other is None else address_of(other)
