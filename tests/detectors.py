"""Builds detectors for tests that run one by itself."""

from typing import Any

from sqlalchemy import Engine

from bot.alerts.cycle_state import CycleStateStore
from bot.alerts.detector import DetectorContext, Evaluator
from bot.alerts.incident import AlertKind
from bot.alerts.rules import DetectorRules
from bot.alerts.store import AlertStore, IncidentStore, SpikeStore
from bot.budgets.review import BudgetReview
from bot.budgets.snapshots import Snapshots
from bot.db.state import StateStore
from bot.ledger.store import SqlLedger
from bot.usage.store import UsageStore


def evaluator(
    kind: AlertKind, engine: Engine, snapshots: Snapshots, alerts: AlertStore, review: BudgetReview, **changes: Any
) -> Evaluator:
    """The evaluator of one kind of alert, by itself."""
    known: dict[str, Any] = {
        "snapshots": snapshots,
        "logged": snapshots,
        "usage": UsageStore(engine),
        "ledger": SqlLedger(engine),
        "review": review,
        "alerts": alerts,
        "incidents": IncidentStore(engine),
        "spikes": SpikeStore(engine),
        "state_store": StateStore(engine),
        "state": CycleStateStore(engine).latest,
        "rules": DetectorRules(),
    }
    return Evaluator(kind, DetectorContext(**(known | changes)))
