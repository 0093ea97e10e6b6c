"""The Home tab: how spend stands, without typing. It is drawn from the latest snapshot when somebody opens it."""

import logging
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.report import GroupBy, report_of
from bot.budgets.report_words import ReportWords, report_words
from bot.budgets.snapshot import Snapshot
from bot.messages import Block
from bot.services import Services
from bot.slack_api import CallError, call
from bot.threads import InFlight
from handlers.estimate import open_form
from handlers.render.home import ESTIMATE_ACTION, REFRESH_ACTION, Stretch, home_view
from handlers.report import with_provisional
from handlers.requests import answering
from handlers.status import status_of

log = logging.getLogger(__name__)


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to people who open the Home tab, and to its buttons."""

    async def on_opened(event: dict[str, Any], client: AsyncWebClient) -> None:
        if event.get("tab") == "home":
            async with answering(services, in_flight, {"user": {"id": event.get("user")}}):
                await _publish(services, client, str(event.get("user") or ""))

    async def on_refresh(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await _publish(services, client, str(body["user"]["id"]))

    async def on_estimate(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await open_form(services, body, client)

    app.event("app_home_opened")(on_opened)
    app.action(REFRESH_ACTION)(on_refresh)
    app.action(ESTIMATE_ACTION)(on_estimate)


async def _publish(services: Services, client: AsyncWebClient, user: str) -> None:
    view = await services.threads.commands(_view, services)
    try:
        await call(client.views_publish(user_id=user, view=view))
    except CallError as error:
        log.warning("the Home tab was not shown: %s", error)


def _view(services: Services) -> Block:
    now = services.clock()
    snapshot = services.snapshots.current()
    stretches = [_stretch(services, snapshot, report_words(words, now)) for words in ("today", "month")]
    return home_view([each for each in stretches if each is not None], status_of(services), services.display)


def _stretch(services: Services, snapshot: Snapshot, asked: ReportWords) -> Stretch | None:
    """What a day or a month comes to; None where nothing is known of it."""
    report = report_of(snapshot, asked.period, asked.before, GroupBy.MODEL)
    return None if report is None else Stretch(asked.name, with_provisional(services, snapshot, report))
