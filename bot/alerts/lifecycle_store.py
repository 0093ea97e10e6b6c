"""Stores steps of alerts by people and time: row, message edit and reply change in one transaction."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Row, case, func, select, update

from bot.alerts.incident import AlertKind, Status
from bot.alerts.lifecycle import (
    CountStep,
    Life,
    LifecycleStep,
    OpenAlert,
    SeenAlert,
    due_step,
    snooze_is_over,
)
from bot.alerts.model import AlertPayload, BudgetAlert, redrawn, shown_of
from bot.alerts.notice_contents import (
    LifecycleEvent,
    edit,
    identity_of,
    in_every_copy,
    in_slack,
    life_of,
    loaded,
    newest_notice,
    newest_payload,
    payload_type,
)
from bot.alerts.rules import AlertRules
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.calendar_store import Expectation, expect, take_back
from bot.clock import Clock
from bot.counting import not_counted
from bot.db.schema import alerts, notices
from bot.db.state import BOT, OF_ALERTS, audited, keep
from bot.notify.model import Action, Address, NoticeStatus

MAY_BE_EXPECTED = frozenset({AlertKind.SPIKE, AlertKind.FORECAST})
"""Kinds of alerts about unusually high spend, which people can mark as expected."""

SpendsOf = Callable[[Collection[str]], Mapping[str, BudgetSpend]]


@dataclass(frozen=True, slots=True)
class Handled:
    """Outcome of a click.

    `already`: nothing to change. `over`: the alert is not open. `unknown`: no such alert, or unreadable.
    """

    outcome: Literal["done", "already", "over", "unknown"]
    life: Life = field(default_factory=Life)


class LifecycleStore:
    """Synchronous; asynchronous callers use a thread. `count`: gets each step."""

    def __init__(self, engine: Engine, count: CountStep = not_counted) -> None:
        self._engine = engine
        self._count = count

    def seen(self) -> list[SeenAlert]:
        """Open alerts whose message has reached the channel, of the kinds that can be acknowledged."""
        posts = notices.c.alert_id == alerts.c.id, in_slack, notices.c.action == "post"
        sent = select(func.min(notices.c.sent_at)).where(*posts, notices.c.status == NoticeStatus.SENT)
        sent_at = sent.correlate(alerts).scalar_subquery()
        query = (
            select(alerts, sent_at.label("sent_at"))
            .where(alerts.c.status == Status.OPEN, _to_be_taken(), sent_at.is_not(None))
            .order_by(alerts.c.id)
        )
        with self._engine.connect() as connection:
            return [
                SeenAlert(row.id, identity_of(row).level, _seen_since(row.changed_at, row.sent_at), life_of(row))
                for row in connection.execute(query)
            ]

    def open_alerts(self) -> list[OpenAlert]:
        """All open alerts of the kinds that can be acknowledged, oldest first."""
        copies = notices.c.alert_id == alerts.c.id, in_slack, notices.c.action == "post", notices.c.ts.is_not(None)
        first = select(func.min(notices.c.id)).where(*copies).correlate(alerts).scalar_subquery()
        channel = case((alerts.c.ts.is_not(None), alerts.c.channel), else_=notices.c.channel)
        ts = func.coalesce(alerts.c.ts, notices.c.ts)
        query = (
            select(alerts, channel.label("message_channel"), ts.label("message_ts"))
            .outerjoin(notices, notices.c.id == first)
            .where(alerts.c.status == Status.OPEN, _to_be_taken())
            .order_by(alerts.c.changed_at, alerts.c.id)
        )
        with self._engine.connect() as connection:
            return [
                OpenAlert(identity_of(row), row.bound_usd_per_hour, row.changed_at, life_of(row), _posted(row))
                for row in connection.execute(query)
            ]

    def acknowledge(self, alert_id: int, by: str, now: datetime) -> Handled:
        """Record that `by` has seen the alert: it is no longer escalated, and a snooze ends."""

        def change(life: Life) -> dict[str, object] | None:
            if life.acknowledged_at is not None and life.snoozed_until is None:
                return None
            return {"acknowledged_by": by, "acknowledged_at": now, "snoozed_by": None, "snoozed_until": None}

        return self._act(alert_id, LifecycleStep.ACKNOWLEDGED, by, now, change)

    def snooze(self, alert_id: int, by: str, until: datetime, now: datetime) -> Handled:
        """Mute the alert until `until`."""

        def change(life: Life) -> dict[str, object] | None:
            return {"snoozed_by": by, "snoozed_until": until}

        return self._act(alert_id, LifecycleStep.SNOOZED, by, now, change)

    def expect(self, alert_id: int, by: str, until: datetime, now: datetime) -> Handled:
        """Expect higher spend of the alert's budget: no new notices about it until `until`."""

        def change(life: Life) -> dict[str, object] | None:
            return {"snoozed_by": by, "snoozed_until": until}

        def also(connection: Connection, about: AlertPayload) -> None:
            expect(connection, about.subject, alert_id, by, until, now)

        return self._act(alert_id, LifecycleStep.EXPECTED, by, now, change, also=also, only=MAY_BE_EXPECTED)

    def expect_no_more(self, expectation_id: int, by: str, now: datetime) -> Expectation | None:
        """Withdraw an expectation; a snooze that it set on an open alert ends. None if it is not in force."""
        with audited(self._engine) as connection:
            found = take_back(connection, expectation_id, by, now)
            if found is None or found.alert_id is None:
                return found
            query = select(alerts).where(alerts.c.id == found.alert_id).with_for_update()
            row = connection.execute(query).one_or_none()
            about = None if row is None else newest_payload(connection, found.alert_id)
            if row is None or about is None or row.status != Status.OPEN:
                return found
            if row.snoozed_until == found.until:
                cleared = {"snoozed_by": None, "snoozed_until": None}
                connection.execute(update(alerts).where(alerts.c.id == row.id).values(**cleared))
            _report(connection, row, about, LifecycleStep.NOT_EXPECTED, by, now, Life(), "reply")
        self._count(about.level, _word(LifecycleStep.NOT_EXPECTED))
        return found

    def subject(self, alert_id: int) -> str | None:
        """Subject of an alert, such as a budget; None if there is no such alert."""
        query = select(alerts.c.subject).where(alerts.c.id == alert_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def alert_at(self, address: Address) -> int | None:
        """Id of the alert with this message; None if it belongs to no alert."""
        own = select(alerts.c.id).where(alerts.c.channel == address.channel, alerts.c.ts == address.ts)
        copies = select(notices.c.alert_id).where(notices.c.channel == address.channel, notices.c.ts == address.ts)
        with self._engine.connect() as connection:
            found: int | None = connection.execute(own.union(copies).limit(1)).scalar_one_or_none()
        return found

    def advance(self, alert_id: int, step: LifecycleStep, now: datetime) -> Handled:
        """Take a timed step that is due, unless somebody has acted since; a broadcast notifies the channel."""

        def change(life: Life) -> dict[str, object] | None:
            if step is LifecycleStep.SNOOZE_OVER:
                if life.snoozed_until is None or not snooze_is_over(life.snoozed_until, now):
                    return None
                cleared = ("snoozed_by", "snoozed_until", "acknowledged_by", "acknowledged_at")
                return {**dict.fromkeys(cleared), "escalated_at": now}
            if life.escalated_at is not None or life.acknowledged_at is not None or life.snoozed_until is not None:
                return None
            return {"escalated_at": now}

        return self._act(alert_id, step, BOT, now, change, action="broadcast")

    def show_mode(self, mode: str, now: datetime, spends_of: SpendsOf) -> None:
        """Redraw the open alerts of budgets if the mode in force has changed or their period has ended.

        `spends_of`: newest figures by budget name, shown in the redrawn messages; messages drawn from stale data are
        redrawn once data is fresh. It is called before the transaction, and only if a message may change.
        """
        with self._engine.connect() as connection:
            open_alerts = _open_payloads(connection)
        asked = {about.subject for about in open_alerts.values() if _is_redrawn(about, mode, now)}
        if not asked:
            return
        spends = spends_of(asked)
        query = select(alerts.c.id).where(alerts.c.status == Status.OPEN).order_by(alerts.c.id).with_for_update()
        with self._engine.begin() as connection:
            connection.execute(query).all()
            # Use their state now, not when they were read.
            for alert_id, about in _open_payloads(connection).items():
                spend = spends.get(about.subject)
                due = about.mode != mode or _has_ended(about, now) or _is_fresh(spend)
                if due and _is_redrawn(about, mode, now):
                    edit(connection, alert_id, redrawn(about, mode, spend, now), now)

    def _act(
        self,
        alert_id: int,
        step: LifecycleStep,
        by: str,
        now: datetime,
        change: Callable[[Life], dict[str, object] | None],
        action: Action = "reply",
        also: Callable[[Connection, AlertPayload], None] | None = None,
        only: Collection[AlertKind] = frozenset(AlertKind),
    ) -> Handled:
        """`also`: further writes in the transaction of the step. `only`: kinds of alerts that may take it."""
        with audited(self._engine) as connection:
            row = connection.execute(select(alerts).where(alerts.c.id == alert_id).with_for_update()).one_or_none()
            about = None if row is None else newest_payload(connection, alert_id)
            if row is None or about is None:
                return Handled("unknown")
            if row.status != Status.OPEN:
                return Handled("over", life_of(row))
            if row.kind not in only:
                return Handled("unknown")
            values = change(life_of(row))
            if values is None:
                return Handled("already", life_of(row))
            changed = connection.execute(update(alerts).where(alerts.c.id == alert_id).values(values).returning(alerts))
            life = life_of(changed.one())
            if also is not None:
                also(connection, about)
            _report(connection, row, about, step, by, now, life, action)
        self._count(about.level, _word(step))
        return Handled("done", life)


def _word(step: LifecycleStep) -> str:
    return step.replace(" ", "_")


def _to_be_taken() -> ColumnElement[bool]:
    return alerts.c.kind.not_in([kind for kind in AlertKind if not payload_type(kind).can_be_acknowledged])


def _is_redrawn(about: AlertPayload, mode: str, now: datetime) -> bool:
    """Whether an open alert may be redrawn while this mode is in force."""
    drawn = about.spend if isinstance(about, BudgetAlert) else None
    was_stale = drawn is not None and drawn.stale_at is not None
    return about.ends_at is not None and (about.mode != mode or was_stale or _has_ended(about, now))


def _has_ended(about: AlertPayload, now: datetime) -> bool:
    """Whether its period has ended since it was drawn: it cannot be resolved any more."""
    return isinstance(about, BudgetAlert) and about.decided_at < about.ends_at <= now


def _is_fresh(spend: BudgetSpend | None) -> bool:
    return spend is not None and spend.stale_at is None


def _report(
    connection: Connection,
    row: Row[tuple[object, ...]],
    about: AlertPayload,
    step: LifecycleStep,
    by: str,
    now: datetime,
    life: Life,
    action: Action,
) -> None:
    alert_id = int(row._mapping["id"])
    since = _seen_since(row._mapping["changed_at"], _sent_at(connection, alert_id))
    event = LifecycleEvent(step=step, by=by, at=now, until=life.snoozed_until, since=since, about=about)
    edit(connection, alert_id, about, now)
    in_every_copy(connection, action, event, now, alert_id)
    shown = shown_of(about)
    keep(connection, now, by, f"{OF_ALERTS}{step}", "done", about.incident, **shown)


def _posted(row: Row[Any]) -> Address | None:
    """Address in the main channel, else in the budget's own."""
    return (
        None if row.message_channel is None or row.message_ts is None else Address(row.message_channel, row.message_ts)
    )


def _seen_since(changed_at: datetime, sent_at: datetime | None) -> datetime:
    """Later of both: nobody can acknowledge a message before it arrives."""
    return changed_at if sent_at is None else max(changed_at, sent_at)


def _sent_at(connection: Connection, alert_id: int) -> datetime | None:
    posts = notices.c.alert_id == alert_id, notices.c.action == "post", in_slack
    sent_at: datetime | None = connection.execute(select(func.min(notices.c.sent_at)).where(*posts)).scalar_one()
    return sent_at


def _open_payloads(connection: Connection) -> dict[int, AlertPayload]:
    """Content of the message of each open alert, by alert id; without those this version cannot read."""
    newest = newest_notice().scalar_subquery()
    query = (
        select(alerts.c.id, notices.c.facts)
        .join(notices, notices.c.id == newest)
        .where(alerts.c.status == Status.OPEN)
        .order_by(alerts.c.id)
    )
    read = ((alert_id, loaded(stored)) for alert_id, stored in connection.execute(query))
    return {alert_id: payload for alert_id, payload in read if isinstance(payload, AlertPayload)}


class LifecycleTimer:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, store: LifecycleStore, rules: AlertRules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    def look(self) -> None:
        """Take every step that is due."""
        for alert in self._store.seen():
            step = due_step(alert, self._rules, self._clock())
            if step is not None:
                self._store.advance(alert.alert_id, step, self._clock())
