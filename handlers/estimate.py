"""`/claude-cost estimate`: typed words, the form, saved estimates, and sharing a result with the channel."""

import asyncio
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.account import Detail
from bot.budgets.planned import planned, touched
from bot.language import in_language, tr
from bot.messages import Message
from bot.pricing.estimate import Estimate, estimate
from bot.pricing.monthly_cost import Text, Workload, language_of
from bot.pricing.words import EXAMPLE, WordsError, parse_workload, words_of
from bot.services import Services
from bot.slack_api import as_object
from bot.threads import InFlight
from bot.typed_text import readable, words_in
from handlers.kept_estimates import KEPT_ACTIONS, Bound, check_bound, keep, kept_answer, kept_refusal, split_scope
from handlers.prices import priced
from handlers.render.estimate import Besides, estimate_message, planned_in_short, planned_line
from handlers.render.estimate_form import (
    ESTIMATE_FORM,
    MORE,
    PROMPT,
    SHARE_ACTION,
    Context,
    counting_view,
    estimate_form,
    filled_estimate,
    mistakes,
    result_view,
    share_button,
    shared_view,
    words_from,
)
from handlers.render.fields import PROMPT_LIMIT
from handlers.render.parts import buttons, code, mention, paragraph, plain, said, sentence
from handlers.render.spend import display_lines
from handlers.requests import (
    SETTLES_SECONDS,
    Request,
    answering,
    in_time,
    open_view,
    person_of,
    reply,
    response_url_of,
    say_to_channel,
    update_view,
)

FORM_SHORTCUT, PROMPT_SHORTCUT = "estimate_workload", "estimate_prompt"
"""Global shortcut and message shortcut, as named in the manifest."""


async def estimate_command(services: Services, request: Request) -> Message:
    """`estimate WORDS…`, `estimate list`, `estimate show NAME`, `estimate drop NAME`."""
    user, words = request.person.id, request.words
    first, *rest = [word.lower() for word in words_in(words)] or [""]
    if first in KEPT_ACTIONS:
        if (first == "list") == (not rest) and len(rest) < 2:
            shows_users = await services.user_spend.refusal(request.person) is None
            return await services.threads.commands(
                partial(kept_answer, shows_users=shows_users), services, first, *rest
            )
        return _priced(services, kept_refusal(first, rest))
    try:
        bound = split_scope(request.typed)
        workload = parse_workload(bound.words, services.card)
        check_bound(bound, workload.name)
    except WordsError as error:
        return _priced(services, sentence(str(error)))
    result = await _estimated(services, workload)
    lines = await services.threads.commands(_besides, services, user, result, bound)
    _remember(services, user, workload)
    share = buttons([share_button(words_of(workload._replace(name=None)))])
    return Message([*estimate_message(result, lines).parts, share])


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the form and to the button that shares."""

    async def on_submit(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        async with answering(services, in_flight, body):
            await _submitted(services, ack, body, client)

    async def on_share(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await _share(services, body, client, str(action.get("value") or ""))

    async def on_shortcut(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            text = as_object(body.get("message")).get("text")
            await open_form(services, body, client, prompt=readable(text) if isinstance(text, str) else "")

    app.shortcut(FORM_SHORTCUT)(on_shortcut)
    app.shortcut(PROMPT_SHORTCUT)(on_shortcut)
    app.view(ESTIMATE_FORM)(on_submit)
    app.action(SHARE_ACTION)(on_share)


async def open_form(services: Services, body: Mapping[str, Any], client: AsyncWebClient, prompt: str = "") -> None:
    """Open the form for a command, a click or a shortcut, filled in with the person's last estimate.

    `prompt`: text of a message to count instead of the input tokens.
    """
    # If this fails, the form is empty.
    last = await in_time(services.threads.commands(_last, services, person_of(body).id))
    if prompt and last is not None:
        last = last._replace(input_tokens=0, cached_tokens=0, text=None)
    sized = Text(len(prompt), language_of(prompt)) if len(prompt) > PROMPT_LIMIT else None
    carried = Context(response_url_of(body) or "")
    view = estimate_form(services.card, last, carried, _today(services), prompt="" if sized else prompt, sized=sized)
    if not await open_view(client, body, view):
        text = tr("The form could not be opened. Type the workload, as in {example}.", example=f"`estimate {EXAMPLE}`")
        await reply(services, body, _priced(services, text))
        return
    # Start now; it is done when the form is filled in.
    await services.rate_limits.measured()


async def _submitted(services: Services, ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
    view, user = body["view"], str(body["user"]["id"])
    carried, values = Context(response_url_of(body) or ""), filled_estimate(view["state"])
    errors = mistakes(values, services.card)
    prompt = values.pop(PROMPT, None)
    stand_in = {} if prompt is None else {"in": str(len(prompt))}
    if not errors:
        try:
            bound = split_scope(words_from(values | stand_in))
            workload = parse_workload(bound.words, services.card)
            check_bound(bound, workload.name)
        except WordsError as error:
            errors = {MORE: plain(str(error), 300)}
    if errors:
        await ack(response_action="errors", errors=errors)
        return
    if prompt is None or not services.counter.counts:
        if prompt is not None:
            workload = _sized(workload, prompt)
        # Slack waits three seconds here, so ask neither the database nor another service before.
        result = estimate(workload, services.card, _today(services), services.rate_limits.known)
        known = Besides(display_lines(result.monthly_usd, services.display))
        await ack(response_action="update", view=result_view(result, known, words_of(workload), carried))
        _remember(services, user, workload)
        lines, _ = await asyncio.gather(
            services.threads.commands(_besides, services, user, result, bound), asyncio.sleep(SETTLES_SECONDS)
        )
        if lines != known:
            await update_view(client, view["id"], result_view(result, lines, words_of(workload), carried))
        return
    # Counting takes longer than Slack waits for an answer, which must not overwrite what is shown then.
    await ack(response_action="update", view=counting_view(carried))
    workload, _ = await asyncio.gather(_counted(services, workload, prompt), asyncio.sleep(SETTLES_SECONDS))
    result = await _estimated(services, workload)
    lines = await services.threads.commands(_besides, services, user, result, bound)
    _remember(services, user, workload)
    await update_view(client, view["id"], result_view(result, lines, words_of(workload), carried))


async def _counted(services: Services, workload: Workload, prompt: str) -> Workload:
    models = [route.model for route in workload.routes]
    models += [services.card.newest(family) for family in services.card.families()]
    counts = await services.counter.count(prompt, dict.fromkeys(model.id for model in models))
    if all(route.model.id in counts for route in workload.routes):
        return workload._replace(input_tokens=counts[models[0].id], counted=tuple(counts.items()))
    return _sized(workload, prompt)


def _sized(workload: Workload, prompt: str) -> Workload:
    """The workload with the prompt's characters, from which its tokens are estimated."""
    return workload._replace(input_tokens=0, text=Text(len(prompt), language_of(prompt)))


async def _estimated(services: Services, workload: Workload) -> Estimate:
    measured = await services.rate_limits.measured()
    return await services.threads.commands(estimate, workload, services.card, _today(services), measured)


async def _share(services: Services, body: dict[str, Any], client: AsyncWebClient, words: str) -> None:
    try:
        workload = parse_workload(words, services.card)
    except WordsError as error:
        await reply(services, body, _priced(services, sentence(str(error))))
        return
    channel = str(as_object(body.get("channel")).get("id") or "")
    with in_language(services.languages.spoken.in_channel(channel)):
        result = await _estimated(services, workload)
        who = tr("{who} estimated {words}", who=mention(str(body["user"]["id"])), words=code(words, 400))
        message = Message([paragraph(who), *estimate_message(result).parts])
    await say_to_channel(services, body, message)
    view = as_object(body.get("view"))
    if view:
        carried = Context(response_url_of(body) or "")
        await update_view(client, str(view.get("id")), shared_view(view, carried))


def _remember(services: Services, user: str, workload: Workload) -> None:
    """Store the workload to fill in the form next time, without delaying the answer."""
    words = words_of(workload._replace(name=None))
    services.later("the last estimate is not remembered", services.estimates.remember, user, words)


def _besides(services: Services, user: str, result: Estimate, bound: Bound) -> Besides:
    """Further lines of an estimate, which is saved first if it has a name."""
    workload = result.workload
    monthly = {route.model.id: result.usd_on(route.model) for route in workload.routes}
    review = services.review.usage
    lines = display_lines(result.monthly_usd, services.display)
    now = services.clock()
    budgets = touched(review.budgets, monthly, services.card)
    found = planned(budgets, review.spend_of(budgets, now, Detail.ENDS), monthly, services.card, now)
    # The budget closest to its limit with it.
    plans = sorted(found, key=lambda plan: (plan.total_usd or plan.whole_usd) / plan.limit_usd, reverse=True)
    lines += [planned_in_short(plan) for plan in plans[:1]]
    lines += keep(services, user, result, bound)
    return Besides(lines, [planned_line(plan) for plan in plans])


def _last(services: Services, user: str) -> Workload | None:
    words = services.estimates.last_words(user)
    try:
        return None if words is None else parse_workload(words, services.card)
    except WordsError:
        # This version may not understand stored words of an older one; the form is then empty.
        return None


def _priced(services: Services, text: str) -> Message:
    return priced(services, said(text))


def _today(services: Services) -> date:
    return services.clock().date()
