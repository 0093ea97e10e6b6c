"""Stored spikes of a budget, and the alerts beside them."""

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine

from bot.alerts.decide import LimitReason, LimitStep
from bot.alerts.incident import Status
from bot.alerts.model import Transition
from bot.alerts.spike import SpikeAlert
from bot.alerts.spike_rates import Spike
from bot.alerts.store import AlertStore, SpikeStore
from bot.budgets.budget import LimitKind
from tests.databases import BUDGET, NOW, SOFT_AGAIN, SOFT_RESOLVED, crossed, limit_step, reported, spike_payload

KEY = "2026-11-20T12:00Z"
LATER = NOW + timedelta(minutes=30)


def spikes(engine: Engine, payload: SpikeAlert, at: datetime) -> None:
    AlertStore(engine).record([Transition(payload, post=payload.status is Status.OPEN)], at)


def record(engine: Engine, step: LimitStep, at: datetime, budget: str = BUDGET) -> None:
    AlertStore(engine).record(reported([step], budget=budget), at)


def test_the_newest_spike_of_a_budget_is_found_whatever_became_of_it(engine: Engine) -> None:
    store = SpikeStore(engine)
    assert store.newest(BUDGET) is None
    spikes(engine, spike_payload(10, Status.OPEN), NOW)
    spikes(engine, spike_payload(70, Status.OPEN, budget="another"), NOW)
    record(engine, crossed(LimitKind.SOFT), NOW)
    assert store.newest(BUDGET) == Spike(KEY, Decimal(10), Status.OPEN, NOW, NOW)
    spikes(engine, spike_payload(10, Status.RESOLVED), LATER)
    assert store.newest(BUDGET) == Spike(KEY, Decimal(10), Status.RESOLVED, NOW, LATER)
    spikes(engine, spike_payload(20, Status.OPEN, key="2026-11-20T18:00Z"), LATER)
    assert store.newest(BUDGET) == Spike("2026-11-20T18:00Z", Decimal(20), Status.OPEN, LATER, LATER)


def test_only_a_posted_alert_about_a_limit_counts_as_one(engine: Engine) -> None:
    store = SpikeStore(engine)
    record(engine, limit_step(LimitKind.SOFT, Decimal(400), Status.WATCHED, LimitReason.IN_FORCE), NOW)
    spikes(engine, spike_payload(10, Status.OPEN), NOW)
    record(engine, crossed(LimitKind.SOFT), NOW, budget="another")
    assert store.limit_posted_at(BUDGET) is None
    record(engine, crossed(LimitKind.SOFT), NOW)
    for again in (SOFT_RESOLVED, SOFT_AGAIN):
        record(engine, again, LATER)
    assert store.limit_posted_at(BUDGET) == NOW
    record(engine, crossed(LimitKind.HARD), LATER)
    assert store.limit_posted_at(BUDGET) == LATER
