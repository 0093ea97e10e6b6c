"""Runs a detector: what it decides is recorded and reported, and logged with its reason by `AlertStore.record`."""

from collections.abc import Callable
from datetime import datetime
from importlib import import_module

from bot.alerts.detector import Detector, DetectorContext
from bot.alerts.incident import Status
from bot.alerts.kinds import AlertKind


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
