"""Acknowledge and snooze alerts, open to anybody in the channel; `/claude-cost alerts` and `test-alert`."""

import re
from datetime import timedelta

from slack_bolt.async_app import AsyncApp

from bot.alerts.lifecycle_store import Handled
from bot.alerts.model import SyntheticAlert
from bot.language import ntr, tr, tr_noop
from bot.messages import Message
from bot.services import Services
from bot.threads import InFlight
from handlers.asking import command_ask, refused
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION, SNOOZE_ACTION, SNOOZES, open_alerts_message
from handlers.render.parts import code, mention, moment, names, said, sentence
from handlers.requests import Click, Request, on_click
from handlers.status import with_names

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
        return tr("Acknowledged: the alert and its thread say so, and nothing is escalated any more.")
    if handled.outcome == "already":
        user = mention(handled.life.acknowledged_by or "")
        if handled.life.acknowledged_at is None:
            return tr("Nothing was changed: {user} has acknowledged it.", user=user)
        at = moment(handled.life.acknowledged_at)
        return tr("Nothing was changed: {user} has acknowledged it at {time}.", user=user, time=at)
    return _not_open(handled)


def _snoozed(handled: Handled) -> str:
    if handled.outcome == "done" and handled.life.snoozed_until is not None:
        return tr(
            "Snoozed until {until}: the channel is notified then if it is still open.",
            until=moment(handled.life.snoozed_until),
        )
    return _not_open(handled)


def _not_open(handled: Handled) -> str:
    if handled.outcome == "over":
        return tr("Nothing was changed: this alert is not open any more.")
    return tr("Nothing was changed: the bot does not know this alert; it may be from before its database was replaced.")


async def alerts_command(services: Services, request: Request) -> Message:
    """`alerts`: the open alerts, each with the link to its message, and what the buttons there do."""
    return await services.threads.commands(_open, services)


def _open(services: Services) -> Message:
    opened = with_names(services.lifecycle.open_alerts(), services.snapshots.current().names)
    return open_alerts_message(
        [(alert, None if alert.posted is None else services.workspace.permalink(alert.posted)) for alert in opened]
    )


async def test_alert_command(services: Services, request: Request) -> Message:
    """`test-alert`: send a message along the way of every alert, if the user may; otherwise say why not."""
    permission = await services.admins.may_switch(request.person, tr_noop("send a test alert"))
    if permission.refusal is not None:
        return refused(services, request.person, permission, TEST_ALERT, "", command_ask(TEST_ALERT))
    return said(await services.threads.commands(_enqueued, services, request.person.id))


def _enqueued(services: Services, user: str) -> str:
    before = services.notices.undelivered()
    alert = SyntheticAlert(by=user, requested_at=services.clock())
    services.alerts.enqueue_test(alert)
    to = tr("the alert channel")
    if others := sorted(services.destinations.names):
        to = tr("the alert channel and to {destinations}", destinations=names(others))
    values = {"incident": code(alert.incident), "to": to}
    if not before:
        return tr("Test alert {incident} is on its way to {to}: it is there within seconds.", **values)
    text = ntr(
        "Test alert {incident} is on its way to {to}: it is there within seconds, once the {number} message before it "
        "is delivered.",
        "Test alert {incident} is on its way to {to}: it is there within seconds, once the {number} messages before it "
        "are delivered.",
        before,
        **values,
    )
    error = services.notices.last_error()
    if error is None:
        return text
    return tr("{text} The first of them waits, because: {error}", text=text, error=sentence(error))
