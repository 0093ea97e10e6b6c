"""Stored incidents that belong to no budget."""

from datetime import timedelta

from sqlalchemy import Engine

from bot.alerts.decide import LimitReason
from bot.alerts.incident import AlertKind, Status
from bot.alerts.store import AlertStore, IncidentStore, NewestIncident
from bot.budgets.budget import LimitKind
from tests.databases import BUDGET, NOW, SOFT, SOFT_RESOLVED, crossed, limit_step, reported

HOUR = timedelta(hours=1)


def test_of_an_empty_store_nothing_is_known(engine: Engine) -> None:
    store = IncidentStore(engine)
    assert store.newest(BUDGET, AlertKind.LIMIT) is None
    assert store.watching_since() is None


def test_the_newest_incident_is_the_one_that_was_opened_last(engine: Engine) -> None:
    alerts, store = AlertStore(engine), IncidentStore(engine)
    alerts.record(reported([crossed(LimitKind.SOFT)]), NOW)
    alerts.record(reported([crossed(LimitKind.SOFT)], budget=BUDGET, period="2026-12"), NOW + HOUR)
    alerts.record(reported([SOFT_RESOLVED]), NOW + 2 * HOUR)
    assert store.newest(BUDGET, AlertKind.LIMIT) == NewestIncident("2026-12", Status.OPEN, NOW + HOUR)
    assert store.newest(BUDGET, AlertKind.SPIKE) is None
    assert store.newest("other", AlertKind.LIMIT) is None


def test_the_bot_watches_since_it_first_noted_something(engine: Engine) -> None:
    alerts, store = AlertStore(engine), IncidentStore(engine)
    noted = limit_step(LimitKind.SOFT, SOFT, Status.WATCHED, LimitReason.IN_FORCE)
    alerts.record(reported([noted]), NOW)
    alerts.record(reported([noted], budget=BUDGET, period="2026-12"), NOW + HOUR)
    assert store.watching_since() == NOW
