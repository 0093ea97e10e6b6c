"""Slack listeners: parse, call a service, render, reply. One module per kind, all registered here."""

from slack_bolt.async_app import AsyncApp

from bot.services import Services
from bot.threads import InFlight
from handlers import (
    alerts,
    asking,
    budget,
    budget_form,
    commands,
    digest_form,
    digest_settings,
    estimate,
    expected,
    home,
    mentions,
)
from handlers import fallback as fallback_clicks
from handlers.render.limit_alert import limit_message
from handlers.rendering import Rendering
from handlers.requests import register_errors

__all__ = ["Rendering", "limit_message", "register"]


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Add every listener to the app; what they do is counted by `in_flight`."""
    commands.register(app, services, in_flight)
    alerts.register(app, services, in_flight)
    asking.register(app, services, in_flight)
    estimate.register(app, services, in_flight)
    budget.register(app, services, in_flight)
    budget_form.register(app, services, in_flight)
    digest_form.register(app, services, in_flight)
    digest_settings.register(app, services, in_flight)
    expected.register(app, services, in_flight)
    fallback_clicks.register(app, services, in_flight)
    home.register(app, services, in_flight)
    mentions.register(app, services, in_flight)
    register_errors(app, services)
