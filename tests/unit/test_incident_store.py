"""What the store knows of incidents that belong to no budget."""

from datetime import timedelta

from sqlalchemy import Engine

from bot.alerts.decide import Reason, Status, Step
from bot.alerts.incident_store import IncidentStore, NewestIncident
from bot.alerts.store import AlertStore
from bot.budgets.budget import Level
from tests.databases import BUDGET, NOW, PERIOD, SOFT, SOFT_RESOLVED, crossed, facts_of

HOUR = timedelta(hours=1)


def test_of_an_empty_store_nothing_is_known(engine: Engine) -> None:
    store = IncidentStore(engine)
    assert store.newest(BUDGET, Level.SOFT) is None
    assert store.watching_since() is None


def test_the_newest_incident_is_the_one_that_was_opened_last(engine: Engine) -> None:
    alerts, store = AlertStore(engine), IncidentStore(engine)
    alerts.record(BUDGET, PERIOD, [crossed(Level.SOFT)], facts_of(), NOW)
    alerts.record(BUDGET, "2026-12", [crossed(Level.SOFT)], facts_of(), NOW + HOUR)
    alerts.record(BUDGET, PERIOD, [SOFT_RESOLVED], facts_of(), NOW + 2 * HOUR)
    assert store.newest(BUDGET, Level.SOFT) == NewestIncident("2026-12", Status.OPEN, NOW + HOUR)
    assert store.newest(BUDGET, Level.HARD) is None
    assert store.newest("other", Level.SOFT) is None


def test_the_bot_watches_since_it_first_noted_something(engine: Engine) -> None:
    alerts, store = AlertStore(engine), IncidentStore(engine)
    noted = Step(Level.SOFT, SOFT, Status.WATCHED, Reason.IN_FORCE)
    alerts.record(BUDGET, PERIOD, [noted], facts_of(), NOW)
    alerts.record(BUDGET, "2026-12", [noted], facts_of(), NOW + HOUR)
    assert store.watching_since() == NOW
