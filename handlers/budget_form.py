"""The form behind `budget set`: opened without words, it leads to the same preview as typed words."""

from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.budget import ScopeKind
from bot.budgets.parsing import EXAMPLE
from bot.language import tr
from bot.services import Services
from bot.threads import InFlight
from handlers.budget import budget_command
from handlers.render.budget_form import BUDGET_FORM, Known, budget_form, filled_budget, mistakes, words_of
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


async def open_budget_form(services: Services, body: Mapping[str, Any], client: AsyncWebClient) -> None:
    """Open the form; where the names take long to read, it offers the organization alone."""
    known = await in_time(services.threads.commands(_known, services))
    if not await open_view(client, body, budget_form(known or {}, response_url_of(body) or "")):
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
    """Listen to the submitted form. Rights are checked with the preview, and again at its button."""

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        filled = filled_budget(body["view"]["state"])
        if not await form_taken(services, body, ack, lambda: mistakes(filled)):
            return
        async with answering(services, in_flight, body):
            answer = await budget_command(services, Request(person_of(body), f"set {words_of(filled)}"))
            await reply(services, body, await dated(services, answer))

    app.view(BUDGET_FORM)(on_submit)
