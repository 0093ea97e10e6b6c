"""Which alerts the destinations besides Slack receive: enqueued in the transaction of the incident's change."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

from sqlalchemy import Connection, select

from bot.alerts.incident import Status
from bot.alerts.kinds import Level
from bot.alerts.model import SyntheticAlert, Transition
from bot.alerts.notice_contents import enqueue
from bot.db.schema import notices

TEST = "test"


class Receivers:
    """`wanted`: the levels that each destination receives."""

    def __init__(self, wanted: Mapping[str, AbstractSet[Level]]) -> None:
        self._wanted = wanted

    def notify(self, connection: Connection, alert_id: int, transition: Transition, now: datetime) -> None:
        """Enqueue this step, once for each destination.

        A destination is notified when an incident opens, and once when it is resolved if it was notified before. What
        only an edit can show is left out, such as that a higher limit supersedes it.
        """
        payload, status = transition.payload, transition.payload.status
        for name, levels in self._wanted.items():
            if payload.level not in levels or payload.unreachable == name:
                continue
            if transition.post or (status is Status.RESOLVED and _was_notified(connection, name, alert_id)):
                enqueue(connection, "post", payload, now, destination=name, step=status, alert_id=alert_id)

    def notify_test(self, connection: Connection, test: SyntheticAlert) -> None:
        """Enqueue a test alert for every destination, whatever levels it receives."""
        for name in self._wanted:
            enqueue(connection, "post", test, test.requested_at, destination=name, step=TEST)


def _was_notified(connection: Connection, destination: str, alert_id: int) -> bool:
    query = select(notices.c.id).where(
        notices.c.destination == destination, notices.c.alert_id == alert_id, notices.c.step == Status.OPEN
    )
    return connection.execute(query).first() is not None
