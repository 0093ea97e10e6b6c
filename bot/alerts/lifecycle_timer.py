"""Lets time act on open alerts: snoozes end, and what nobody acknowledges is escalated."""

from bot.alerts.lifecycle import due_step
from bot.alerts.lifecycle_store import LifecycleStore
from bot.alerts.rules import AlertRules
from bot.clock import Clock


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
