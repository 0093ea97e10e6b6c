"""The protocol of detectors, the context that they are built from, and the evaluator that runs them."""

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
    """Stores and rules that every detector is built from.

    `snapshots`: of the usage that the budgets of `review` count. `logged`: of logged usage. `state`: this cycle's
    state, mostly without I/O. `slack_blocked`: whether Slack takes no message at all. `refusing`: names of the
    destinations that refuse for good. `attribution`: attributed spend, if the budgets of `review` count that.
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
        """The steps to record and to report, one transaction each. `mode`: the fallback mode in force.

        Each part is recorded before the next one is computed.
        """


class Look(Protocol):
    """A check that runs after every poll. `name`: names its faults, which stop no other check."""

    name: str

    def look(self, now: datetime, mode: str) -> object:
        """Record what is due. `mode`: the fallback mode in force. The result is ignored."""


def detector_type(kind: AlertKind) -> Callable[[DetectorContext], Detector]:
    """The detector class of a kind, such as `SpikeDetector` of `bot/alerts/spike.py`."""
    module = import_module(f"bot.alerts.{kind.module}")
    found: Callable[[DetectorContext], Detector] = getattr(module, f"{kind.class_prefix}Detector")
    return found


class Evaluator:
    """Runs a detector and records its steps. `of`: suffix of its name, if several look for one kind."""

    def __init__(self, kind: AlertKind, context: DetectorContext, of: str = "") -> None:
        self.kind = kind
        self._detector = detector_type(kind)(context)
        self._alerts = context.alerts
        self.name = f"{self._detector.name}{of}"

    def look(self, now: datetime, mode: str) -> int:
        """Record what the detector decides. Returns the number of steps of incidents."""
        taken = 0
        for transitions in self._detector.look(now, mode):
            self._alerts.record(transitions, now)
            taken += sum(transition.payload.status is not Status.WATCHED for transition in transitions)
        return taken
