"""What the store knows of a budget's spikes, and of the alerts beside them."""

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine

from bot.alerts.decide import Reason, Status, Step
from bot.alerts.spike_rates import Spike
from bot.alerts.spike_store import SpikeStore
from bot.alerts.store import AlertStore
from bot.budgets.budget import Level
from tests.databases import BUDGET, NOW, PERIOD, SOFT_AGAIN, SOFT_RESOLVED, crossed, facts_of

KEY = "2026-11-20T12:00Z"
LATER = NOW + timedelta(minutes=30)


def step(status: Status, limit_usd: int = 10) -> Step:
    return Step(Level.SPIKE, Decimal(limit_usd), status, Reason.SPIKE_BEGAN, post=status is Status.OPEN)


def record(engine: Engine, taken: Step, at: datetime, period: str = KEY, budget: str = BUDGET) -> None:
    AlertStore(engine).record(budget, period, [taken], facts_of(), at)


def test_the_newest_spike_of_a_budget_is_found_whatever_became_of_it(engine: Engine) -> None:
    store = SpikeStore(engine)
    assert store.newest(BUDGET) is None
    record(engine, step(Status.OPEN), NOW)
    record(engine, step(Status.OPEN, 70), NOW, budget="another")
    record(engine, crossed(Level.SOFT), NOW, period=PERIOD)
    assert store.newest(BUDGET) == Spike(KEY, Decimal(10), Status.OPEN, NOW, NOW)
    record(engine, step(Status.RESOLVED), LATER)
    assert store.newest(BUDGET) == Spike(KEY, Decimal(10), Status.RESOLVED, NOW, LATER)
    record(engine, step(Status.OPEN, 20), LATER, period="2026-11-20T18:00Z")
    assert store.newest(BUDGET) == Spike("2026-11-20T18:00Z", Decimal(20), Status.OPEN, LATER, LATER)


def test_only_a_posted_alert_about_a_limit_counts_as_one(engine: Engine) -> None:
    store = SpikeStore(engine)
    record(engine, Step(Level.SOFT, Decimal(400), Status.WATCHED, Reason.IN_FORCE), NOW, period=PERIOD)
    record(engine, step(Status.OPEN), NOW)
    record(engine, crossed(Level.SOFT), NOW, period=PERIOD, budget="another")
    assert store.limit_posted_at(BUDGET) is None
    record(engine, crossed(Level.SOFT), NOW, period=PERIOD)
    for again in (SOFT_RESOLVED, SOFT_AGAIN):
        record(engine, again, LATER, period=PERIOD)
    assert store.limit_posted_at(BUDGET) == NOW
    record(engine, crossed(Level.HARD), LATER, period=PERIOD)
    assert store.limit_posted_at(BUDGET) == LATER
