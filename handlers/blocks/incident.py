"""Any incident as a message: which renderer it is."""

from bot.alerts.incident_facts import (
    AlertFacts,
    DeliveryFacts,
    DriftFacts,
    ForecastFacts,
    IncidentFacts,
    PeriodFacts,
    SpikeFacts,
    StaleFacts,
)
from bot.display import USD, Display
from bot.message import Message
from handlers.blocks.alert import alert_message
from handlers.blocks.delivery import delivery_message
from handlers.blocks.drift import drift_message
from handlers.blocks.forecast_alert import forecast_alert_message
from handlers.blocks.period import period_message
from handlers.blocks.spike import spike_message
from handlers.blocks.stale import stale_message


def incident_message(facts: IncidentFacts, related_link: str | None = None, display: Display = USD) -> Message:
    """An incident at one step, without what people did to it. Raises TypeError for facts that have no renderer.

    `related_link`: the message of the budget's other limit. `display`: the money in which a limit's sum is told too.
    """
    match facts:
        case AlertFacts():
            return alert_message(facts, related_link, display)
        case ForecastFacts():
            return forecast_alert_message(facts)
        case SpikeFacts():
            return spike_message(facts)
        case StaleFacts():
            return stale_message(facts)
        case DriftFacts():
            return drift_message(facts)
        case DeliveryFacts():
            return delivery_message(facts)
        case PeriodFacts():
            return period_message(facts)
        case _:
            raise TypeError(f"no renderer for {type(facts).__name__}")


def headline(facts: IncidentFacts) -> str:
    """What the incident's message says first."""
    return incident_message(facts).text.partition("\n")[0]
