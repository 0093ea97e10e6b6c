"""Which channels get an alert, and whom it mentions there. Pure, but for the budgets that it is asked to look up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.alerts.model import AlertPayload
from bot.budgets.budget import Budget, LimitKind
from bot.budgets.owners import mentioned, owners_of


@dataclass(frozen=True, slots=True)
class Copy:
    """One message of an alert in Slack. `channel`: None for the main one. `mention`: ids of owners."""

    channel: str | None = None
    mention: tuple[str, ...] = ()


class Routes:
    """`main`: the id of the main channel. `in_force`: the budgets, asked at every alert."""

    def __init__(self, main: str = "", in_force: Callable[[], Sequence[Budget]] = tuple) -> None:
        self._main = main
        self._in_force = in_force

    def copies(self, payload: AlertPayload) -> list[Copy]:
        """The messages of a new alert, those in channels of their own first.

        The main channel gets what no other takes, and every hard limit. Each owner is mentioned in one of them.
        """
        found: dict[str | None, list[str]] = {}
        notified: set[str] = set()
        for budget in self._budgets(payload):
            here = found.setdefault(self.own_channel(budget), [])
            owners = [owner for owner in mentioned(budget, payload.level) if owner not in notified]
            here += owners
            notified.update(owners)
        if not found or payload.level is LimitKind.HARD:
            found.setdefault(None, [])
        own = [Copy(channel, tuple(owners)) for channel, owners in found.items() if channel is not None]
        return [*own, *(Copy(None, tuple(owners)) for channel, owners in found.items() if channel is None)]

    def owners(self, payload: AlertPayload) -> tuple[str, ...]:
        """Of every budget that an alert is about, for destinations that mention nobody."""
        return tuple(dict.fromkeys(owner for budget in self._budgets(payload) for owner in owners_of(budget)))

    def own_channel(self, budget: Budget) -> str | None:
        """The channel for what is said of a budget; None for the main one."""
        return None if budget.channel == self._main else budget.channel

    def _budgets(self, payload: AlertPayload) -> list[Budget]:
        names = payload.budgets
        by_name = {budget.name: budget for budget in self._in_force()} if names else {}
        return [by_name[name] for name in names if name in by_name]
