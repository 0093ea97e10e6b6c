"""Acknowledging and snoozing an alert, which anybody in the channel may; and `/claude-cost test-alert`."""

import re
from datetime import timedelta

from slack_bolt.async_app import AsyncApp

from bot.alerts.lifecycle_store import Handled
from bot.alerts.model import SyntheticAlert
from bot.amounts import count
from bot.language import tr_noop
from bot.messages import Message
from bot.services import Services
from bot.threads import InFlight
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION, SNOOZE_ACTION, SNOOZES
from handlers.render.parts import code, mention, moment, names, said, sentence
from handlers.requests import Click, Request, on_click

TEST_ALERT = "test-alert"


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons below an alert."""
    app.action(ACKNOWLEDGE_ACTION)(on_click(services, in_flight, _acknowledge))
    app.action(re.compile(f"^{SNOOZE_ACTION}:"))(on_click(services, in_flight, _snooze))


async def _acknowledge(services: Services, click: Click) -> Message:
    if click.id is None:
        return said(_not_open(Handled("unknown")))
    handled = await services.threads.commands(
        services.lifecycle.acknowledge, click.id, click.person.id, services.clock()
    )
    return said(_acknowledged(handled))


async def _snooze(services: Services, click: Click) -> Message:
    minutes = click.action.partition(":")[2]
    if click.id is None or minutes not in map(str, SNOOZES):
        return said(_not_open(Handled("unknown")))
    now = services.clock()
    until = now + timedelta(minutes=int(minutes))
    handled = await services.threads.commands(services.lifecycle.snooze, click.id, click.person.id, until, now)
    return said(_snoozed(handled))


def _acknowledged(handled: Handled) -> str:
    if handled.outcome == "done":
        return "Acknowledged: the alert and its thread say so, and nothing is escalated any more."
    if handled.outcome == "already":
        at = "" if handled.life.acknowledged_at is None else f" at {moment(handled.life.acknowledged_at)}"
        return f"Nothing was changed: {mention(handled.life.acknowledged_by or '')} has acknowledged it{at}."
    return _not_open(handled)


def _snoozed(handled: Handled) -> str:
    if handled.outcome == "done" and handled.life.snoozed_until is not None:
        return f"Snoozed until {moment(handled.life.snoozed_until)}: the channel is notified then if it is still open."
    return _not_open(handled)


def _not_open(handled: Handled) -> str:
    if handled.outcome == "over":
        return "Nothing was changed: this alert is not open any more."
    return "Nothing was changed: the bot does not know this alert; it may be from before its database was replaced."


async def test_alert_command(services: Services, request: Request) -> Message:
    """`test-alert`: a message that goes the way of every alert, where the user may; otherwise why not."""
    permission = await services.admins.may_switch(request.person, tr_noop("send a test alert"))
    if permission.refusal is not None:
        services.fallback.refused(request.person.id, TEST_ALERT, permission.recorded)
        return said(permission.refusal)
    return said(await services.threads.commands(_enqueued, services, request.person.id))


def _enqueued(services: Services, user: str) -> str:
    before = services.notices.undelivered()
    alert = SyntheticAlert(by=user, requested_at=services.clock())
    services.alerts.enqueue_test(alert)
    others = sorted(services.destinations.names)
    besides = f" and to {names(others)}" if others else ""
    text = f"Test alert {code(alert.incident)} is on its way to the alert channel{besides}: it is there within seconds."
    if not before:
        return text
    error = services.notices.last_error()
    why = "" if error is None else f" The first of them waits, because: {sentence(error)}"
    return (
        f"{text[:-1]}, once the {count(before, 'message')} before it {'is' if before == 1 else 'are'} delivered.{why}"
    )
