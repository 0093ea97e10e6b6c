"""Slack listeners: parse, call a service, render, reply. One module per kind, all registered here."""

from slack_bolt.async_app import AsyncApp

from bot.in_flight import InFlight
from bot.services import Services
from handlers import actions, alerts, budget, commands, errors, estimate, fallback_form, fallback_proof
from handlers.render.alert import alert_message
from handlers.rendering import Rendering

__all__ = ["Rendering", "alert_message", "register"]


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Add every listener to the app; what they do is counted by `in_flight`."""
    commands.register(app, services, in_flight)
    actions.register(app, services, in_flight)
    alerts.register(app, services, in_flight)
    estimate.register(app, services, in_flight)
    budget.register(app, services, in_flight)
    fallback_form.register(app, services, in_flight)
    fallback_proof.register(app, services, in_flight)
    errors.register(app, services)
