"""Raise a limit for a while: typed, by the button below an alert, and by the form that it opens.

Admins raise at once. The owners of the budget ask, or anybody if it has none, and an admin decides at the request's
message. Permissions are checked at each click, and again when the form is submitted.
"""

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.asks import Ask, Place, Wanted
from bot.budgets.budget import Budget, LimitKind
from bot.budgets.parsing import BudgetWordsError, budget_of, split_budget_words
from bot.budgets.raise_store import ACTION, NotPossibleError, Wish
from bot.budgets.raises import (
    LONGEST_REASON,
    Raise,
    amount_of,
    at_moment,
    limit_to_raise,
    split_raise_words,
    until_of,
)
from bot.clock import BEFORE_EVERYTHING
from bot.db.state import Person
from bot.fallback.admins import RAISE, NotAnOwner, RaiseRights
from bot.language import tr
from bot.messages import Message
from bot.services import Services
from bot.threads import InFlight
from bot.typed_text import cleaned, nearest, readable
from handlers.asking import refused
from handlers.render.budget import unknown_budget
from handlers.render.fields import filled_fields
from handlers.render.parts import cut, said, sentence
from handlers.render.raises import (
    APPROVE_ACTION,
    CANCEL_ACTION,
    DECLINE_ACTION,
    FORM,
    OPEN_ACTION,
    OTHER,
    REASON,
    TO,
    UNTIL,
    budget_missing,
    carried,
    not_an_owner,
    not_possible,
    opens_not,
    raise_answer,
    raise_form,
)
from handlers.requests import (
    Click,
    answering,
    click_of,
    dated,
    form_taken,
    in_time,
    on_click,
    open_view,
    person_of,
    reply,
    response_url_of,
)

NO_RAISE = 0
"""Id of no raise, for a forged button."""

ERROR_LIMIT = 300


async def raise_command(services: Services, person: Person, words: str) -> Message:
    """`budget raise NAME to=900 until=fri [limit=soft] [because …]`. Raises `BudgetWordsError`."""
    asked = split_raise_words(words)
    budget, rights = await _found(services, person, asked.budget)
    if budget is None:
        known = [each.name for each in await services.threads.commands(services.budgets.in_force)]
        return said(unknown_budget(asked.budget, nearest(asked.budget, known)))
    if rights.refused is not None:
        return _not_asked(services, person, budget, rights.refused)
    kind = limit_to_raise(budget, asked.limit)
    return await _wanted(services, person, rights, budget, kind, asked.to, asked.until, asked.reason)


def _not_asked(services: Services, person: Person, budget: Budget, why: NotAnOwner) -> Message:
    services.fallback.refused(person.id, ACTION, f"{budget.name}: only its owners and admins may ask")
    return not_an_owner(budget.name, why)


async def _wanted(
    services: Services,
    person: Person,
    rights: RaiseRights,
    budget: Budget,
    kind: LimitKind,
    to: str,
    until: str,
    reason: str,
) -> Message:
    amount = amount_of(to, budget, kind)
    ends_at, with_period = until_of(until, budget, services.clock())
    wish = Wish(budget, kind, amount, ends_at, with_period, cut(reason.strip(), LONGEST_REASON))
    work = services.raises.start if rights.at_once else services.raises.ask
    return raise_answer(await services.threads.commands(work, wish, person.id))


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the button that opens the form, to the form, and to the buttons of a raise's message."""

    async def on_open(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await _open(services, body, click_of(body, action), client)

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        values = filled_fields(body["view"]["state"])
        try:
            form = carried(body["view"])
            shown_as = budget_of(*split_budget_words(form.words))
        except (ValueError, BudgetWordsError):
            await ack()
            return
        if not await form_taken(services, body, ack, lambda: _mistakes(services, shown_as, form.limit, values)):
            return
        async with answering(services, in_flight, body):
            answer = await _submitted(services, person_of(body), shown_as.name, form.limit, values)
            await reply(services, body, await dated(services, answer))

    app.action(OPEN_ACTION)(on_open)
    app.view(FORM)(on_submit)
    for name in (APPROVE_ACTION, DECLINE_ACTION, CANCEL_ACTION):
        app.action(name)(on_click(services, in_flight, _decided))


async def _open(services: Services, body: dict[str, Any], click: Click, client: AsyncWebClient) -> None:
    named, _, name = click.value.partition(" ")
    found = await in_time(_found(services, click.person, name))
    if found is None:
        await reply(services, body, opens_not(name))
        return
    budget, rights = found
    if budget is None:
        await reply(services, body, budget_missing(name))
        return
    if rights.refused is not None:
        await reply(services, body, _not_asked(services, click.person, budget, rights.refused))
        return
    kind = next((kind for kind in LimitKind if kind == named and budget.limit(kind) is not None), None)
    kind = kind or limit_to_raise(budget, "")
    base = at_moment(budget, BEFORE_EVERYTHING)
    base_usd = base.limit(kind)
    if base_usd is None or not await open_view(
        client, body, raise_form(base, kind, base_usd, not rights.at_once, response_url_of(body) or "")
    ):
        await reply(services, body, opens_not(budget.name))


async def _found(services: Services, person: Person, name: str) -> tuple[Budget | None, RaiseRights]:
    """The current budget with that name, and what the person may do about its limits."""
    budget = await services.threads.commands(services.budgets.effective, name)
    if budget is None:
        return None, RaiseRights(at_once=False)
    return budget, await services.admins.may_raise(person, budget)


def _mistakes(services: Services, budget: Budget, kind: LimitKind, values: dict[str, str]) -> dict[str, str]:
    """Mistakes by field, from the form alone, since Slack waits three seconds here."""
    errors = {}
    try:
        amount_of(cleaned(values.get(TO, "")), budget, kind)
    except BudgetWordsError as error:
        errors[TO] = str(error)[:ERROR_LIMIT]
    try:
        until_of(_until(values), budget, services.clock())
    except BudgetWordsError as error:
        errors[OTHER if values.get(OTHER) else UNTIL] = str(error)[:ERROR_LIMIT]
    return errors


def _until(values: dict[str, str]) -> str:
    return cleaned(values.get(OTHER, "")) or values.get(UNTIL, "")


async def _submitted(services: Services, person: Person, name: str, kind: LimitKind, values: dict[str, str]) -> Message:
    # The form may be old or forged, so check permissions now.
    budget, rights = await _found(services, person, name)
    if budget is None or budget.limit(kind) is None:
        return budget_missing(name)
    if rights.refused is not None:
        return _not_asked(services, person, budget, rights.refused)
    reason, to = readable(values.get(REASON, "")), cleaned(values.get(TO, ""))
    try:
        return await _wanted(services, person, rights, budget, kind, to, _until(values), reason)
    except BudgetWordsError as error:
        # The budget was changed while the form was open.
        return said(sentence(tr("Nothing was changed: {why}", why=error)))


async def _decided(services: Services, click: Click) -> Message:
    permission = await services.admins.may_switch(click.person, RAISE)
    if permission.refusal is not None:
        ask = Ask(Wanted.DECISION, "", Place.RAISE, click.id or NO_RAISE)
        detail = f"{click.action} {click.value}"
        return await dated(services, refused(services, click.person, permission, ACTION, detail, ask))
    decide = {
        APPROVE_ACTION: services.raises.approve,
        DECLINE_ACTION: services.raises.decline,
        CANCEL_ACTION: services.raises.cancel,
    }[click.action]
    try:
        decided: Raise = await services.threads.commands(decide, click.id or NO_RAISE, click.person.id)
    except NotPossibleError as error:
        return await dated(services, not_possible(error.present))
    return await dated(services, raise_answer(decided))
