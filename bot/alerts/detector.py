"""What looks for one kind of alert, what it is given to look at, and the evaluator that runs it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from bot.alerts.model import Transition
from bot.alerts.rules import DetectorRules

if TYPE_CHECKING:
    # The stores read payloads back, which are defined in the files of their detectors.
    from bot.alerts.cycle_state import CycleState
    from bot.alerts.store import AlertStore, IncidentStore, SpikeStore
    from bot.budgets.review import BudgetReview
    from bot.budgets.snapshots import Snapshots
    from bot.db.state import StateStore
    from bot.ledger.store import SqlLedger
    from bot.usage.attributed_store import AttributedStore
    from bot.usage.store import UsageStore
from importlib import import_module

from bot.alerts.incident import AlertKind, Status


@dataclass(frozen=True, slots=True)
class DetectorContext:
    """What every detector is built from.

    `snapshots`: what the budgets of `review` count. `logged`: what applications log.
    `state`: of this cycle, without I/O where it was read already. `slack_blocked`: whether Slack takes nothing at all,
    not only one message. `refusing`: the destinations that refuse for good. `attribution`: what Anthropic itself
    attributes, where the budgets of `review` count that.
    """

    snapshots: "Snapshots"
    logged: "Snapshots"
    usage: "UsageStore"
    ledger: "SqlLedger"
    review: "BudgetReview"
    alerts: "AlertStore"
    incidents: "IncidentStore"
    spikes: "SpikeStore"
    state_store: "StateStore"
    state: "Callable[[], CycleState]"
    rules: DetectorRules
    slack_blocked: Callable[[], bool] = bool
    refusing: Callable[[], Collection[str]] = frozenset
    attribution: "AttributedStore | None" = None


class Detector(Protocol):
    """Looks for one kind of alert. Built from a `DetectorContext` alone. Synchronous.

    `name`: what its faults are called.
    """

    name: str

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """What is to be recorded and reported, each part in a transaction of its own. `mode`: the one in force.

        A part is recorded before the next one is asked for.
        """


class Look(Protocol):
    """What is run after every poll. `name`: what its faults are called, which keep no other from being run."""

    name: str

    def look(self, now: datetime, mode: str) -> object:
        """Record what is due. `mode`: the fallback mode in force. What it returns is of no meaning here."""


def detector_type(kind: AlertKind) -> Callable[[DetectorContext], Detector]:
    """`SpikeDetector` of `bot/alerts/spike.py`, for that kind."""
    module = import_module(f"bot.alerts.{kind.module}")
    found: Callable[[DetectorContext], Detector] = getattr(module, f"{kind.class_prefix}Detector")
    return found


class Evaluator:
    """`of`: added to the detector's name, where several look for one kind."""

    def __init__(self, kind: AlertKind, context: DetectorContext, of: str = "") -> None:
        self.kind = kind
        self._detector = detector_type(kind)(context)
        self._alerts = context.alerts
        self.name = f"{self._detector.name}{of}"

    def look(self, now: datetime, mode: str) -> int:
        """Record what the detector decides; returns how many incidents have taken a step."""
        taken = 0
        for transitions in self._detector.look(now, mode):
            self._alerts.record(transitions, now)
            taken += sum(transition.payload.status is not Status.WATCHED for transition in transitions)
        return taken
