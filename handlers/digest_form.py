"""The form that sets a digest: opened by `digest settings` and by buttons, also on the Home tab."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.budget import PeriodKind
from bot.digests.schedule import DEFAULT_EVERY, UTC_ZONE, DigestRule, Scheduled
from bot.digests.settings_store import ACTION
from bot.digests.words import DigestWordsError, about
from bot.language import tr
from bot.messages import Message
from bot.services import Services
from bot.slack_api import as_object
from bot.threads import InFlight
from handlers.asking import command_ask, refused
from handlers.digest_settings import SET_DIGESTS, abouts, wanted
from handlers.render.digest_form import (
    ABOUT,
    EVERY,
    FORM,
    Carried,
    carried,
    digest_form,
    filled_digest,
    form_not_opened,
)
from handlers.render.digest_settings import NEW, OF_FILE, SETTINGS_ACTION
from handlers.render.fields import filled_fields
from handlers.render.forms import text_view
from handlers.render.parts import plain, said
from handlers.requests import (
    SETTLES_SECONDS,
    answering,
    click_of,
    in_time,
    open_view,
    person_of,
    reply,
    response_url_of,
    update_view,
)

ERROR_LIMIT = 300


async def open_digest_form(
    services: Services, body: Mapping[str, Any], client: AsyncWebClient, value: str = NEW
) -> None:
    """Open the form. `value`: key of the digest to change, or `NEW`."""
    person, digests = person_of(body), services.digest_settings
    reading = services.threads.commands(_known, services)
    known = await in_time(asyncio.gather(abouts(services, person), reading))
    if known is None:
        await reply(services, body, form_not_opened())
        return
    mine, (found, zone) = known
    chosen = next((each for each in found if each.rule.key == value), None)
    refusal = None
    if not mine.any:
        permission = await services.admins.may_switch(person, SET_DIGESTS)
        if permission.refusal is not None:
            refusal = refused(services, person, permission, ACTION, "", command_ask("digest settings"))
    elif chosen is not None and chosen.since is None:
        refusal = said(tr("{why} `/claude-cost digest settings` sets another one.", why=tr(OF_FILE)))
    if refusal is not None:
        await _say(services, body, client, refusal)
        return
    start = DigestRule(DEFAULT_EVERY, _channel_of(body)) if chosen is None else chosen.rule
    if chosen is None:
        start = replace(_free(services, start), zone=zone)
    carry = Carried(response_url_of(body) or "", "" if chosen is None else chosen.rule.key)
    if not await open_view(client, body, digest_form(start, carry, mine, found, digests.main)):
        await reply(services, body, form_not_opened())


def _known(services: Services) -> tuple[Sequence[Scheduled], ZoneInfo]:
    """The digests in force, and the most likely zone of people here."""
    found = services.digest_settings.in_force()
    zones = [each.rule.zone for each in found] or [each.zone for each in services.budgets.in_force()]
    return found, zones[-1] if zones else UTC_ZONE


def _free(services: Services, start: DigestRule) -> DigestRule:
    """`start` with a frequency that the TOML file does not already use."""
    digests = services.digest_settings
    choices = (replace(start, every=every) for every in (start.every, PeriodKind.DAY, PeriodKind.MONTH))
    return next((each for each in choices if not digests.is_configured(each)), start)


def _channel_of(body: Mapping[str, Any]) -> str | None:
    """Channel in which the form was opened; None outside of a channel."""
    channel = str(body.get("channel_id") or as_object(body.get("channel")).get("id") or "")
    return channel if channel.startswith(("C", "G")) else None


async def _say(services: Services, body: Mapping[str, Any], client: AsyncWebClient, message: Message) -> None:
    """Answer where the person is: in the channel, or over the Home tab."""
    if response_url_of(body) is not None:
        await reply(services, body, message)
    else:
        await open_view(client, body, text_view(tr("Digests"), message))


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that open the form, and to the form."""

    async def on_open(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await open_digest_form(services, body, client, click_of(body, action).value)

    async def on_submit(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        async with answering(services, in_flight, body):
            # Slack waits three seconds here, so query the database afterwards.
            filled = filled_digest(filled_fields(body["view"]["state"]))
            carry = carried(body["view"])
            mistakes = dict(filled.mistakes)
            named = None
            try:
                # Budgets were offered by name; one that is no longer in force is noticed below.
                name = filled.about.removeprefix("budget:")
                named = about(filled.rule, filled.about, [name], services.budgets.teams)
            except DigestWordsError as error:
                mistakes[ABOUT] = str(error)
            if named is not None and EVERY not in mistakes and services.digest_settings.is_configured(named):
                mistakes[EVERY] = tr(OF_FILE)
            if mistakes or named is None:
                await ack(
                    response_action="errors", errors={key: plain(text, ERROR_LIMIT) for key, text in mistakes.items()}
                )
                return
            save = partial(wanted, services, person_of(body), services.digest_settings.placed(named), carry.key)
            if carry.response_url:
                await ack()
                await reply(services, body, await save())
                return
            title = tr("Digests")
            await ack(response_action="update", view=text_view(title, said(tr("One moment …"))))
            answer = await save()
            await asyncio.sleep(SETTLES_SECONDS)
            await update_view(client, str(body["view"].get("id")), text_view(title, answer))

    app.action(SETTINGS_ACTION)(on_open)
    app.view(FORM)(on_submit)
