"""The form behind `budget set`: opened if no words are typed, it leads to the same preview as typed words."""

from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.budget import ScopeKind
from bot.budgets.parsing import EXAMPLE
from bot.language import tr
from bot.services import Services
from bot.slack_api import as_object
from bot.threads import InFlight
from bot.typed_text import cleaned
from handlers.budget import budget_command
from handlers.render.budget_form import (
    BUDGET_FORM,
    FORM_ACTION,
    NAME_RULE,
    NO_NAME,
    Known,
    budget_form,
    filled_budget,
    mistakes,
    words_of,
)
from handlers.render.parts import said
from handlers.requests import (
    Request,
    answering,
    dated,
    form_taken,
    in_time,
    open_view,
    person_of,
    reply,
    response_url_of,
)


async def may_fill_in(services: Services, words: str) -> bool:
    """Whether the words after `budget set` are empty, or the name of a new budget."""
    name = cleaned(words)
    if NAME_RULE.fullmatch(name) is None:
        return not name
    known = await in_time(services.threads.commands(services.budgets.effective, name))
    return known is None


async def open_budget_form(services: Services, body: Mapping[str, Any], client: AsyncWebClient, name: str = "") -> None:
    """Open the form; if reading the names takes long, it only offers the organization."""
    known = await in_time(services.threads.commands(_known, services))
    channel = str(body.get("channel_id") or as_object(body.get("channel")).get("id") or "")
    form = budget_form(
        known or {}, response_url_of(body) or "", cleaned(name), services.budgets.teams.in_channel(channel)
    )
    if not await open_view(client, body, form):
        text = tr("The form could not be opened. Type the budget, as in {example}.", example=f"`budget set {EXAMPLE}`")
        await reply(services, body, said(text))


def _known(services: Services) -> Known:
    names, logged = services.snapshots.current().names, services.logged.current().names
    return {
        ScopeKind.TEAM: {name: name for name in services.budgets.teams.names},
        ScopeKind.WORKSPACE: names.workspaces,
        ScopeKind.KEY: names.keys,
        ScopeKind.FEATURE: logged.workspaces,
    }


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the submitted form. Permissions are checked with the preview, and again at its button."""

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        filled = filled_budget(body["view"]["state"])
        if not await form_taken(services, body, ack, lambda: mistakes(filled)):
            return
        async with answering(services, in_flight, body):
            answer = await budget_command(services, Request(person_of(body), f"set {words_of(filled)}"))
            await reply(services, body, await dated(services, answer))

    async def on_open(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await open_budget_form(services, body, client, str(action.get("value") or "").removeprefix(NO_NAME))

    app.view(BUDGET_FORM)(on_submit)
    app.action(FORM_ACTION)(on_open)
